// Package awsx is what every service's resources share of the AWS SDK: how a
// client is configured, what is retried, how errors read, and reads that
// several resources have in common.
package awsx

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
)

// Options say how to reach AWS. What is left zero is decided by the SDK's own
// chain: environment, shared files, SSO, container and instance roles.
type Options struct {
	Region      string
	Profile     string
	EndpointURL string
	Credentials aws.CredentialsProvider

	Parallelism int           // calls in flight per service; 0: 10
	CallTimeout time.Duration // one attempt of one call; 0: 30s

	// Backoff decides how long the SDK waits between attempts; nil leaves
	// that to the SDK. Tests set it, so that no test waits.
	Backoff retry.BackoffDelayer

	// HTTPClient carries the calls; nil: the SDK's own, over the network.
	// CallTimeout is of the SDK's own.
	HTTPClient aws.HTTPClient

	// Slowed hears each time AWS asks for fewer calls of a service, such as
	// "iam", and how many a second are made from then on. nil: nobody does.
	// It may be called from several goroutines at once.
	Slowed func(service string, perSecond float64)

	// Called hears of each attempt of each call, such as "iam" and "GetRole",
	// and how it ended. nil: nobody does. It may be called from several
	// goroutines at once.
	Called func(service, operation string, err error)

	Log *slog.Logger // a debug line per attempt; nil: none
}

// Config loads the SDK's configuration. Every call made with it goes through
// the gate.
func Config(ctx context.Context, o Options, gate *Gate) (aws.Config, error) {
	if o.CallTimeout <= 0 {
		o.CallTimeout = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.HTTPClient == nil {
		// http.Client.Timeout bounds the whole attempt, the body included,
		// and the SDK takes it for a passing error, which it does not do with
		// a deadline in the context.
		o.HTTPClient = awshttp.NewBuildableClient().WithTimeout(o.CallTimeout)
	}

	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(o.HTTPClient),
		config.WithRetryer(func() aws.Retryer { return newRetryer(o.Backoff) }),
		// The SDK's own warnings would otherwise go to standard error.
		config.WithLogger(logging.LoggerFunc(func(_ logging.Classification, format string, v ...any) {
			o.Log.Debug("aws sdk: " + fmt.Sprintf(format, v...))
		})),
		config.WithAPIOptions([]func(*middleware.Stack) error{gate.insert}),
	}
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	if o.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(o.Profile))
	}
	if o.EndpointURL != "" {
		load = append(load, config.WithBaseEndpoint(o.EndpointURL))
	}
	if o.Credentials != nil {
		load = append(load, config.WithCredentialsProvider(o.Credentials))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("load aws configuration: %w", err)
	}
	if o.EndpointURL != "" {
		// AWS_IGNORE_CONFIGURED_ENDPOINT_URLS makes the SDK forget this one as
		// well, and a run against a sandbox would go to the real AWS.
		cfg.BaseEndpoint = &o.EndpointURL
	}
	cfg.HTTPClient = httpClient{cfg.HTTPClient}
	cfg.APIOptions = append(cfg.APIOptions, awsmiddleware.AddUserAgentKey(UserAgent))
	if cfg.Credentials != nil {
		cfg.Credentials = signer{cfg.Credentials, profile(cfg)}
	}
	return cfg, nil
}

// UserAgent is by what AWS knows the product's calls.
const UserAgent = "churn-reconcile"

// profile is the section of the shared files that the credentials come from.
func profile(cfg aws.Config) config.SharedConfig {
	for _, source := range cfg.ConfigSources {
		if shared, ok := source.(config.SharedConfig); ok {
			return shared
		}
	}
	return config.SharedConfig{}
}

// A signer tells a failure to find credentials from a failure of the call
// that they were to sign. The SDK has no type for it.
type signer struct {
	aws.CredentialsProvider
	profile config.SharedConfig
}

func (s signer) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := s.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = &CredentialsError{Err: err, profile: s.profile}
	}
	return creds, err
}
