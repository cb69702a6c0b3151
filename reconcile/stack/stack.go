// Package stack makes the resources of a spec, with clients for the account
// that it is about.
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
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/credentials"
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
	"github.com/churn-reconcile/churn-reconcile/reconcile/ecr"
	"github.com/churn-reconcile/churn-reconcile/reconcile/ecs"
	"github.com/churn-reconcile/churn-reconcile/reconcile/iam"
	"github.com/churn-reconcile/churn-reconcile/reconcile/logs"
	"github.com/churn-reconcile/churn-reconcile/reconcile/s3"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sink"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Options are what a stack takes from outside.
type Options struct {
	AWS    awsx.Options     // Region wins over the spec's
	Pause  awsx.Pause       // nil: awsx.Wait
	Now    func() time.Time // nil: time.Now
	Rand   io.Reader        // of the run's id; nil: crypto/rand
	Target []string         // globs over addresses; none: all

	GitHubURL   string // GitHub's API; "": https://api.github.com
	GitHubToken string // for secrets that are delivered to GitHub
	AllowGitHub bool   // deliver to GitHub whatever the endpoint is

	// Sandbox says that AWS is an endpoint in this process: what it gives is
	// delivered beside the real thing.
	Sandbox bool

	// Rotate makes the access keys of the users that it picks due, and leaves
	// everything else alone; nil: an ordinary run.
	Rotate func(user string) bool
}

// A Stack is a spec bound to an account, with its resources.
type Stack struct {
	Spec      *spec.Spec
	Resources []reconcile.Resource

	// Caller is the ARN of whose credentials the run has; "" where the spec names
	// its account, and nobody had to ask.
	Caller string

	calls  *atomic.Int64
	verify func() error
	marked func() ([]string, error) // ARNs, by the tagging API
}

// Open checks the spec, finds out who is calling, and prepares the resources.
// A spec that names its account lets the resources be read before the answer
// about the caller is there; ask Verify for it before anything is written.
// A spec that is wrong costs no call.
func Open(ctx context.Context, file *spec.File, o Options) (*Stack, error) {
	if o.Pause == nil {
		o.Pause = awsx.Wait
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if err := file.Check(); err != nil {
		return nil, err
	}
	id := make([]byte, 8)
	if _, err := io.ReadFull(o.Rand, id); err != nil {
		return nil, fmt.Errorf("make an id for the run: %w", err)
	}
	clock := awsx.NewClock(o.Now)
	o.AWS.Clock = clock
	s := &Stack{calls: &atomic.Int64{}}
	if o.AWS.Region == "" {
		o.AWS.Region = file.Region()
	}
	cfg, err := awsx.Config(ctx, o.AWS, s.calls)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		return nil, errors.New("no region: say region: in the spec, --region, or AWS_REGION")
	}

	if !spec.IsRegion(cfg.Region) {
		return nil, fmt.Errorf("the region of the run, %q, is none; one looks like eu-north-1: say region: in the spec, or check AWS_REGION and the profile", cfg.Region)
	}
	keys, err := keySinks(cfg, file, o)
	if err != nil {
		return nil, err
	}

	identity := spec.Identity{Region: cfg.Region}
	caller := func() (arn.ARN, error) { return whoami(ctx, cfg) }
	if file.Account() == "" {
		who, err := caller()
		if err != nil {
			return nil, err
		}
		identity.Account, identity.Partition = who.AccountID, who.Partition
		s.Caller = who.String()
		s.verify = func() error { return nil }
	}
	if s.Spec, err = file.Bind(identity); err != nil {
		return nil, err
	}
	if s.verify == nil {
		s.verify = verify(caller, s.Spec)
	}

	s.marked = sync.OnceValues(func() ([]string, error) { return marked(ctx, cfg, s.Spec) })

	env := reconcile.Env{
		Account: s.Spec.Account, Region: s.Spec.Region, Partition: s.Spec.Partition,
		Stack: s.Spec.Stack(), IgnoreTags: s.Spec.IgnoreTags,
		Pause: o.Pause, Now: o.Now, AWSNow: clock.Now, Run: hex.EncodeToString(id),
	}
	keys.Files.Stack = owner(cfg, s.Spec)
	s.Resources = resources(cfg, env, s.Spec, keys)
	if o.Rotate != nil {
		s.Resources, err = rotated(s.Resources, o.Rotate)
	} else {
		s.Resources, err = target(s.Resources, o.Target)
	}
	return s, err
}

// Scope is what a plan of the stack is about.
func (s *Stack) Scope() reconcile.Scope {
	return reconcile.Scope{Project: s.Spec.Project, Environment: s.Spec.Environment, Account: s.Spec.Account, Region: s.Spec.Region}
}

// SandboxSuffix is put behind the path of each file that a key of a sandbox is
// delivered to.
const SandboxSuffix = ".sandbox"

// keySinks prepares what access keys need beside IAM. An address of GitHub's
// API that no token may be sent to is an error before the first call.
func keySinks(cfg aws.Config, file *spec.File, o Options) (iam.Keys, error) {
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
		Rotate:         o.Rotate,
	}
	if o.Sandbox {
		keys.Files.Suffix = SandboxSuffix
	}
	preview, err := file.Preview()
	if err != nil {
		return iam.Keys{}, err
	}
	for _, user := range preview.IAM.Users {
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

// rotated keeps the access keys of the users that pick picks.
func rotated(all []reconcile.Resource, pick func(user string) bool) ([]reconcile.Resource, error) {
	var users []string
	kept := slices.DeleteFunc(all, func(r reconcile.Resource) bool {
		if r.ID().Kind != spec.AccessKey {
			return true
		}
		users = append(users, r.ID().Name)
		return !pick(r.ID().Name)
	})
	switch {
	case len(users) == 0:
		return nil, errors.New("the spec has no access key to rotate: no user has accessKey")
	case len(kept) == 0:
		return nil, fmt.Errorf("the spec has no access key for that user; it has one for %s", strings.Join(users, ", "))
	}
	return kept, nil
}

// Calls is the number of API calls made so far, each attempt counted.
func (s *Stack) Calls() int { return int(s.calls.Load()) }

// Verify says whether the caller's account is the one that the spec names.
func (s *Stack) Verify() error { return s.verify() }

// verify asks at once and lets the answer wait.
func verify(caller func() (arn.ARN, error), s *spec.Spec) func() error {
	answer := make(chan error, 1)
	go func() {
		who, err := caller()
		if err == nil && (who.AccountID != s.Account || who.Partition != s.Partition) {
			err = fmt.Errorf("the credentials are of account %s (%s), but the spec is for account %s (%s): nothing was written; "+
				"check AWS_PROFILE and --profile, or account: in %s", who.AccountID, who.Partition, s.Account, s.Partition, s.File)
		}
		answer <- err
	}()
	return sync.OnceValue(func() error { return <-answer })
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

func resources(cfg aws.Config, env reconcile.Env, s *spec.Spec, keys iam.Keys) []reconcile.Resource {
	s3API := awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		// Path style, for endpoints that have one name only. AWS's own is
		// asked by virtual host, as it wants to be.
		o.UsePathStyle = o.BaseEndpoint != nil
	})
	controlAPI := s3control.NewFromConfig(cfg, func(o *s3control.Options) {
		if o.BaseEndpoint != nil {
			o.EndpointResolverV2 = oneName(*o.BaseEndpoint)
		}
	})
	logsAPI := cloudwatchlogs.NewFromConfig(cfg)
	ecrAPI := awsecr.NewFromConfig(cfg)
	iamAPI := awsiam.NewFromConfig(cfg)
	ecsAPI := awsecs.NewFromConfig(cfg)
	tagAPI := resourcegroupstaggingapi.NewFromConfig(cfg)

	var all []reconcile.Resource
	all = declare(all, s3.Buckets{API: s3API, Control: controlAPI, Env: env}, env, s.S3.Buckets)
	all = declare(all, logs.LogGroups{API: logsAPI, Env: env}, env, s.Logs.LogGroups)
	all = declare(all, ecr.NewRepositories(ecrAPI, env, s.ECR.Repositories), env, s.ECR.Repositories)
	all = append(all, iam.New(iamAPI, tagAPI, env, s.IAM, keys)...)
	all = declare(all, ecs.NewClusters(ecsAPI, env, s.ECS.Clusters), env, s.ECS.Clusters)
	return declare(all, ecs.TaskDefinitions{API: ecsAPI, Env: env}, env, s.ECS.TaskDefinitions)
}

// declare appends the resources of one kind.
func declare[S spec.Resource, F any](all []reconcile.Resource, kind reconcile.Kind[S, F], env reconcile.Env, wants []S) []reconcile.Resource {
	for _, want := range wants {
		all = append(all, reconcile.Declare(kind, env, want))
	}
	return all
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

// target keeps what the globs match, and what that needs.
func target(all []reconcile.Resource, globs []string) ([]reconcile.Resource, error) {
	if len(globs) == 0 {
		return all, nil
	}
	byID := make(map[spec.ID]reconcile.Resource, len(all))
	for _, r := range all {
		byID[r.ID()] = r
	}
	keep := map[spec.ID]bool{}
	var mark func(spec.ID)
	mark = func(id spec.ID) {
		if r, ok := byID[id]; ok && !keep[id] {
			keep[id] = true
			for _, need := range r.Needs() {
				mark(need)
			}
		}
	}
	var errs []error
	for _, glob := range globs {
		var hit bool
		for id := range byID {
			if reconcile.Glob(glob, id.String()) {
				hit = true
				mark(id)
			}
		}
		if !hit {
			errs = append(errs, fmt.Errorf("--target %s matches no address of the spec; it has %s", glob, addresses(all)))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return slices.DeleteFunc(all, func(r reconcile.Resource) bool { return !keep[r.ID()] }), nil
}

// addresses lists what there is, as far as a message can hold it.
func addresses(all []reconcile.Resource) string {
	var ids []spec.ID
	for _, r := range all {
		ids = append(ids, r.ID())
	}
	slices.SortFunc(ids, spec.Compare)
	const most = 20
	var names []string
	for i, id := range ids {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(ids)-most))
			break
		}
		names = append(names, id.String())
	}
	return strings.Join(names, ", ")
}
