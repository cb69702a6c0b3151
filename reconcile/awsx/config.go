// Package awsx is what every service's resources share of the AWS SDK: how a
// client is configured, what is retried, how errors read, and reads that
// several resources have in common.
package awsx

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
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

	Log *slog.Logger // a debug line per attempt; nil: none
}

// Config loads the SDK's configuration. Every attempt of every call made
// with it is counted in calls.
func Config(ctx context.Context, o Options, calls *atomic.Int64) (aws.Config, error) {
	if o.Parallelism <= 0 {
		o.Parallelism = 10
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	gate := &gate{limit: o.Parallelism, calls: calls, log: o.Log, slots: map[string]chan struct{}{}}

	load := []func(*config.LoadOptions) error{
		// http.Client.Timeout bounds the whole attempt, the body included,
		// and the SDK takes it for a passing error, which it does not do with
		// a deadline in the context.
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(o.CallTimeout)),
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
	cfg.HTTPClient = plainBody{cfg.HTTPClient}
	if cfg.Credentials != nil {
		cfg.Credentials = signer{cfg.Credentials}
	}
	return cfg, nil
}

// plainBody hides that the SDK's request bodies are io.WriterTo. The SDK closes
// a body as soon as the answer begins, and smithy-go's WriteTo of a closed body
// gives io.EOF as an error, for which net/http closes the connection in the
// middle of the answer. A server that is near, as a sandbox is, is fast enough
// for that.
type plainBody struct{ aws.HTTPClient }

func (c plainBody) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return c.HTTPClient.Do(r)
}

// A signer tells a failure to find credentials from a failure of the call
// that they were to sign. The SDK has no type for it.
type signer struct{ aws.CredentialsProvider }

func (s signer) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := s.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = &CredentialsError{Err: err}
	}
	return creds, err
}

// A gate lets a number of attempts per service through at a time, counts and
// logs them. It sits below the SDK's retries, so that a call that waits for
// its next attempt holds no slot.
type gate struct {
	limit int
	calls *atomic.Int64
	log   *slog.Logger

	mu    sync.Mutex
	slots map[string]chan struct{}
}

func (g *gate) insert(stack *middleware.Stack) error {
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("ChurnGate", g.pass), "Retry", middleware.After)
}

func (g *gate) pass(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	service := awsmiddleware.GetServiceID(ctx)
	slot := g.slot(service)
	select {
	case slot <- struct{}{}:
		defer func() { <-slot }()
	case <-ctx.Done():
		return middleware.FinalizeOutput{}, middleware.Metadata{}, &aws.RequestCanceledError{Err: ctx.Err()}
	}

	g.calls.Add(1)
	start := time.Now()
	out, md, err := next.HandleFinalize(ctx, in)
	id, _ := awsmiddleware.GetRequestIDMetadata(md)
	attrs := []slog.Attr{
		slog.String("call", callName(service, awsmiddleware.GetOperationName(ctx))),
		slog.Int64("duration_ms", time.Since(start).Milliseconds()),
	}
	if res, ok := awsmiddleware.GetRawResponse(md).(*smithyhttp.Response); ok && res != nil && res.Response != nil {
		attrs = append(attrs, slog.Int("status", res.StatusCode))
	}
	attrs = append(attrs, slog.String("request_id", id))
	if err != nil {
		// The code only: an error's text may quote what was sent or answered.
		attrs = append(attrs, slog.String("error", describeCode(err)))
	}
	g.log.LogAttrs(ctx, slog.LevelDebug, "aws call", attrs...)
	return out, md, err
}

func (g *gate) slot(service string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	slot, ok := g.slots[service]
	if !ok {
		slot = make(chan struct{}, g.limit)
		g.slots[service] = slot
	}
	return slot
}
