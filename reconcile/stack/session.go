package stack

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	awscloudtrail "github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3control"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyendpoints "github.com/aws/smithy-go/endpoints"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/ecs"
	"github.com/churn-reconcile/churn-reconcile/reconcile/iam"
	"github.com/churn-reconcile/churn-reconcile/reconcile/logs"
	"github.com/churn-reconcile/churn-reconcile/reconcile/s3"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sink"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Options are what a session takes from outside.
type Options struct {
	AWS   awsx.Options     // Region wins over each spec's
	Pause awsx.Pause       // nil: awsx.Wait
	Now   func() time.Time // nil: time.Now
	Rand  io.Reader        // of the runs' ids; nil: crypto/rand

	GitHubURL   string // GitHub's API; "": https://api.github.com
	GitHubToken string // for secrets that are delivered to GitHub
	AllowGitHub bool   // deliver to GitHub whatever the endpoint is

	// Sandbox says that AWS is an endpoint in this process: what it gives is
	// delivered beside the real thing.
	Sandbox bool
}

// A Session lives as long as the process: it holds the credentials, who they
// belong to, and the clients with the pace that AWS asks of them. Stacks that use
// the same credentials share them. What belongs to one look is a [Stack]'s. A
// session may be used from several goroutines at once.
type Session struct {
	o     Options
	clock *awsx.Clock

	mu       sync.Mutex
	accounts map[spec.AssumeRole]*account
}

// NewSession makes a session. It asks nobody yet.
func NewSession(o Options) *Session {
	if o.Pause == nil {
		o.Pause = awsx.Wait
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return &Session{o: o, clock: awsx.NewClock(o.Now), accounts: map[spec.AssumeRole]*account{}}
}

// account is what a role's credentials open, or the session's own for the zero
// value. The gate is its own: what throttles one account slows no other.
func (s *Session) account(role spec.AssumeRole) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.accounts[role]
	if !ok {
		a = &account{o: s.o.AWS, gate: awsx.NewGate(s.o.AWS, s.clock), places: map[string]*place{}}
		s.accounts[role] = a
	}
	return a
}

// An account is what stacks with the same credentials have in common.
type account struct {
	o    awsx.Options
	gate *awsx.Gate

	mu     sync.Mutex
	places map[string]*place // by region

	asking sync.Mutex // one question about the caller at a time
	who    arn.ARN    // the answer, once there is one
}

// A place is a region of the session's account, with a client for each service.
type place struct {
	cfg     aws.Config
	s3      *awss3.Client
	control *s3control.Client
	logs    *cloudwatchlogs.Client
	ecr     *awsecr.Client
	iam     *awsiam.Client
	ecs     *awsecs.Client
	tagging *resourcegroupstaggingapi.Client
	trail   *awscloudtrail.Client
}

// buckets is that kind here; whoever looks, deletes, lists or exports has it from
// this one place, as those below.
func (p *place) buckets(env reconcile.Env) s3.Buckets {
	return s3.Buckets{API: p.s3, Control: p.control, Env: env}
}

func (p *place) logGroups(env reconcile.Env) logs.LogGroups {
	return logs.LogGroups{API: p.logs, Env: env}
}

func (p *place) taskDefinitions(env reconcile.Env) ecs.TaskDefinitions {
	return ecs.TaskDefinitions{API: p.ecs, Env: env}
}

// families are the task definitions that are to go.
func (p *place) families(env reconcile.Env) ecs.Families {
	return ecs.Families{TaskDefinitions: p.taskDefinitions(env)}
}

// at is where a spec of a region has its resources: the session's own region
// wins, and "" is the one that the SDK's chain decides on.
func (a *account) at(ctx context.Context, region string) (*place, error) {
	region = cmp.Or(a.o.Region, region)
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, ok := a.places[region]; ok {
		return p, nil
	}
	o := a.o
	o.Region = region
	cfg, err := awsx.Config(ctx, o, a.gate)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		return nil, errors.New("no region: say region: in the spec, --region, or AWS_REGION")
	}
	if !spec.IsRegion(cfg.Region) {
		return nil, fmt.Errorf("the region of the run, %q, is none; one looks like eu-north-1: say region: in the spec, or check AWS_REGION and the profile", cfg.Region)
	}
	p := &place{
		cfg: cfg,
		s3: awss3.NewFromConfig(cfg, func(o *awss3.Options) {
			// Path style, for endpoints that have one name only. AWS's own is
			// asked by virtual host, as it wants to be.
			o.UsePathStyle = o.BaseEndpoint != nil
		}),
		control: s3control.NewFromConfig(cfg, func(o *s3control.Options) {
			if o.BaseEndpoint != nil {
				o.EndpointResolverV2 = oneName(*o.BaseEndpoint)
			}
		}),
		logs:    cloudwatchlogs.NewFromConfig(cfg),
		ecr:     awsecr.NewFromConfig(cfg),
		iam:     awsiam.NewFromConfig(cfg),
		ecs:     awsecs.NewFromConfig(cfg),
		tagging: resourcegroupstaggingapi.NewFromConfig(cfg),
		trail:   awscloudtrail.NewFromConfig(cfg),
	}
	a.places[region] = p
	// One set of credentials serves every region, and is renewed once.
	a.o.Credentials = cfg.Credentials
	return p, nil
}

// assume has an account's credentials be those of a role, which the session's
// own take on.
func (s *Session) assume(ctx context.Context, a *account, role spec.AssumeRole, region string) error {
	own, err := s.account(spec.AssumeRole{}).at(ctx, region)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.o.Credentials != nil && len(a.places) > 0 {
		return nil
	}
	a.o.Profile = ""
	assumed := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(own.cfg), role.RoleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = "churn-reconcile"
		if role.ExternalID != "" {
			o.ExternalID = aws.String(role.ExternalID)
		}
	})
	a.o.Credentials = aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		creds, err := assumed.Retrieve(ctx)
		if err != nil {
			err = &awsx.AssumeError{Role: role.RoleARN, Err: err}
		}
		return creds, err
	}))
	return nil
}

// oneName leaves S3 Control's endpoint as it is given. AWS's own has the account
// in front of its name, and so would the SDK have it with any other, be that an
// address.
type oneName string

func (n oneName) ResolveEndpoint(context.Context, s3control.EndpointParameters) (smithyendpoints.Endpoint, error) {
	uri, err := url.Parse(string(n))
	if err != nil {
		return smithyendpoints.Endpoint{}, fmt.Errorf("endpoint url: %w", err)
	}
	return smithyendpoints.Endpoint{URI: *uri}, nil
}

// caller is whose credentials these are. It is asked until there is an
// answer, and not again.
func (a *account) caller(ctx context.Context, at *place) (arn.ARN, error) {
	a.asking.Lock()
	defer a.asking.Unlock()
	if a.who != (arn.ARN{}) {
		return a.who, nil
	}
	who, err := whoami(ctx, at.cfg)
	if err == nil {
		a.who = who
	}
	return who, err
}

func whoami(ctx context.Context, cfg aws.Config) (arn.ARN, error) {
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return arn.ARN{}, fmt.Errorf("ask who is calling: %w: %w", cause, awsx.Clean(err))
	}
	if err != nil {
		return arn.ARN{}, fmt.Errorf("ask who is calling: %w", awsx.Clean(err))
	}
	who, err := arn.Parse(aws.ToString(out.Arn))
	if err != nil {
		return arn.ARN{}, fmt.Errorf("ask who is calling: sts:GetCallerIdentity answered the ARN %q: %w", aws.ToString(out.Arn), err)
	}
	return who, nil
}

// runID makes the id of one run, which no other has.
func (s *Session) runID() (string, error) {
	id := make([]byte, 8)
	if _, err := io.ReadFull(s.o.Rand, id); err != nil {
		return "", fmt.Errorf("make an id for the run: %w", err)
	}
	return hex.EncodeToString(id), nil
}

// SandboxSuffix is put behind the path of each file that a key of a sandbox is
// delivered to.
const SandboxSuffix = ".sandbox"

// keySinks prepares what access keys need beside IAM. An address of GitHub's
// API that no token may be sent to is an error before the first call.
func (s *Session) keySinks(cfg aws.Config, users []spec.IAMUser, rotate func(user string) bool) (iam.Keys, error) {
	o := s.o
	github := &sink.GitHub{
		URL: o.GitHubURL, Token: o.GitHubToken, Pause: o.Pause,
		Client: &http.Client{Timeout: cmp.Or(o.AWS.CallTimeout, 30*time.Second)},
	}
	// What another endpoint than AWS's gives is no key of AWS, and must not
	// come over one that is. On loopback there is no real GitHub.
	switch {
	case o.AllowGitHub:
	case o.Sandbox:
		github.LeftAlone = "a sandbox's key is no use there"
	case !atAWS(cfg) && !github.Loopback():
		github.LeftAlone = "the endpoint is not AWS's, and --allow-github is not given"
	}
	keys := iam.Keys{
		GitHub:         github,
		SecretsManager: secretsmanager.NewFromConfig(cfg),
		Prove:          prove(cfg, o.Pause),
		Rotate:         rotate,
	}
	if o.Sandbox {
		keys.Files.Suffix = SandboxSuffix
	}
	for _, user := range users {
		if user.AccessKey == nil {
			continue
		}
		if slices.ContainsFunc(user.AccessKey.Deliver, func(s spec.Sink) bool { return s.GitHub != nil }) {
			return keys, github.Check()
		}
	}
	return keys, nil
}

// atAWS says that access keys are made by AWS itself.
func atAWS(cfg aws.Config) bool { return awsx.IsAWS(awsiam.NewFromConfig(cfg).Options().BaseEndpoint) }

// owner says whose a key is that the stack makes. A real one is not that of a
// stack of the same name on another endpoint, whatever account that is.
func owner(cfg aws.Config, s *spec.Spec) string {
	at := s.Stack() + ", account " + s.Account
	if !atAWS(cfg) {
		at += ", not at AWS"
	}
	return at
}

// proveBudget is how long a new key pair gets to become known to AWS.
const proveBudget = 2 * time.Minute

// prove asks STS who bears a key pair. IAM tells the rest of AWS of a new one
// within seconds, and until then it is answered InvalidClientTokenId.
func prove(cfg aws.Config, pause awsx.Pause) iam.Prove {
	passing := func(err error) bool { return awsx.Code(err) == "InvalidClientTokenId" }
	return func(ctx context.Context, key sink.Key) error {
		as := cfg.Copy()
		as.Credentials = credentials.NewStaticCredentialsProvider(key.ID, key.Secret.Reveal(), "")
		return awsx.Patiently(ctx, pause, proveBudget, passing, func(ctx context.Context) error {
			_, err := sts.NewFromConfig(as).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
			return err
		})
	}
}
