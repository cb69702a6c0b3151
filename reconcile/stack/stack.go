// Package stack makes the resources of a spec, with clients for the account
// that it is about.
package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/cloudtrail"
	"github.com/churn-reconcile/churn-reconcile/reconcile/ecr"
	"github.com/churn-reconcile/churn-reconcile/reconcile/ecs"
	"github.com/churn-reconcile/churn-reconcile/reconcile/iam"
	"github.com/churn-reconcile/churn-reconcile/reconcile/lease"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A Look says which of a stack's resources a look is about, and what for. The
// zero value is an ordinary run over all of them.
type Look struct {
	Target []string // globs over addresses; none: all

	// Rotate makes the access keys of the users that it picks due, and leaves
	// everything else alone; nil: an ordinary run.
	Rotate func(user string) bool

	// Prune also deletes what carries the stack's mark and is not in the spec;
	// Destroy deletes all that carries it, and does nothing else.
	Prune, Destroy bool

	// Batch is the stacks that are looked at together; nil: this one alone.
	Batch *Batch
}

// A Batch is stacks that are looked at together, once. IAM is read once for
// those that share credentials, where that is cheaper.
type Batch struct {
	mu        sync.Mutex
	snapshots map[*account]*iam.Snapshot
}

// NewBatch makes a batch of what the specs are, which need not be bound.
func NewBatch(specs []*spec.Spec) *Batch {
	all := make([]spec.IAM, len(specs))
	for i, s := range specs {
		all[i] = s.IAM
	}
	if !iam.Many(all...) {
		return nil
	}
	return &Batch{snapshots: map[*account]*iam.Snapshot{}}
}

func (b *Batch) snapshot(a *account, at *place, partition string) *iam.Snapshot {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.snapshots[a]
	if !ok {
		s = iam.NewSnapshot(at.iam, at.tagging, partition)
		b.snapshots[a] = s
	}
	return s
}

// A Stack is a spec bound to an account, with its resources, for one look.
type Stack struct {
	Spec      *spec.Spec
	Resources []reconcile.Resource

	// Orphans are what carries the stack's mark and is not in the spec; nil where
	// nobody has asked for an inventory.
	Orphans []spec.ID

	// Caller is the ARN of whose credentials the run has; "" where the spec names
	// its account, and nobody had to ask.
	Caller string

	// Lease is the object that lets one run of the stack at a time write, and
	// Claim what this run says to have it; zero where the spec asks for none.
	Lease lease.Object
	Claim lease.Claim

	// Trail knows who has changed what has drifted.
	Trail reconcile.Trail

	verify func() error
	access func() (undecided []string, err error)
	marked func() ([]string, error) // ARNs, by the tagging API
}

// Open checks the spec, finds out who is calling, and prepares the resources.
// A spec that names its account lets the resources be read before the answer
// about the caller is there; ask Verify for it before anything is written.
// A spec that is wrong costs no call.
func (s *Session) Open(ctx context.Context, file *spec.File, look Look) (*Stack, error) {
	if err := file.Check(); err != nil {
		return nil, err
	}
	run, err := s.runID()
	if err != nil {
		return nil, err
	}
	preview, err := file.Preview()
	if err != nil {
		return nil, err
	}
	account := s.account(preview.AssumeRole)
	if preview.AssumeRole != (spec.AssumeRole{}) {
		if err := s.assume(ctx, account, preview.AssumeRole, file.Region()); err != nil {
			return nil, err
		}
	}
	at, err := account.at(ctx, file.Region())
	if err != nil {
		return nil, err
	}
	keys, err := s.keySinks(at.cfg, preview.IAM.Users, look.Rotate)
	if err != nil {
		return nil, err
	}

	st := &Stack{}
	identity := spec.Identity{Region: at.cfg.Region}
	if file.Account() == "" {
		who, err := account.caller(ctx, at)
		if err != nil {
			return nil, err
		}
		identity.Account, identity.Partition = who.AccountID, who.Partition
		st.Caller = who.String()
	}
	if st.Spec, err = file.Bind(identity); err != nil {
		return nil, err
	}
	st.verify = func() error { return nil }
	if file.Account() != "" {
		st.verify = verify(func() (arn.ARN, error) { return account.caller(ctx, at) }, st.Spec)
	}
	st.marked = sync.OnceValues(func() ([]string, error) {
		return tagged(ctx, at.cfg, tag{reconcile.Mark, st.Spec.Stack()}, regions(st.Spec)...)
	})

	st.access = func() ([]string, error) { return checkAccess(ctx, at.iam, s.o.Pause, st.Spec) }

	env := reconcile.Env{
		Account: st.Spec.Account, Region: st.Spec.Region, Partition: st.Spec.Partition,
		Stack: st.Spec.Stack(), IgnoreTags: st.Spec.IgnoreTags,
		Pause: s.o.Pause, Now: s.o.Now, AWSNow: s.clock.Now, Run: run,
	}
	st.Trail = &cloudtrail.Trail{API: at.trail, Global: iam.GlobalRegion(env.Partition), Env: env}
	if l := st.Spec.Lease; l.Bucket != "" {
		st.Lease = lease.Object{API: at.s3, Bucket: l.Bucket, Key: l.Key}
		st.Claim = lease.Claim{Stack: st.Spec.Stack(), Run: run, TTL: l.TTL, Now: s.o.Now}
	}
	keys.Files.Stack = owner(at.cfg, st.Spec)
	if look.Prune || look.Destroy {
		census := iam.NewCensus(at.iam)
		orphans, err := (&inventory{at, env, census, tag{reconcile.Mark, env.Stack}}).orphans(ctx, st.Spec)
		if err != nil {
			return nil, err
		}
		st.Orphans = []spec.ID{}
		for _, o := range orphans {
			st.Orphans = append(st.Orphans, o.ID)
		}
		if st.Resources, err = st.removals(at, env, keys, census, orphans, look); err != nil || look.Destroy {
			return st, err
		}
	}
	declared := resources(at, env, st.Spec, keys, look.Batch.snapshot(account, at, env.Partition))
	if look.Rotate != nil {
		declared, err = rotated(declared, look.Rotate)
	} else {
		declared, err = target(declared, look.Target, st.Resources)
	}
	st.Resources = append(declared, st.Resources...)
	return st, err
}

// Scope is what a plan of the stack is about.
func (s *Stack) Scope() reconcile.Scope {
	return reconcile.Scope{Project: s.Spec.Project, Environment: s.Spec.Environment, Account: s.Spec.Account, Region: s.Spec.Region}
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

// Verify says whether the caller's account is the one that the spec names.
func (s *Stack) Verify() error { return s.verify() }

// CheckAccess says whether what the spec's access: states is so, by the policies
// of the spec and by those of AWS that it names. What a policy decides that may
// not be read is undecided, in a line each.
func (s *Stack) CheckAccess() (undecided []string, err error) { return s.access() }

func checkAccess(ctx context.Context, api iam.PolicyAPI, pause awsx.Pause, s *spec.Spec) ([]string, error) {
	if len(s.Assertions) == 0 {
		return nil, nil
	}
	assertions, err := iam.NewAssertions(s)
	if err != nil {
		return nil, err
	}
	if err := assertions.Read(ctx, api, pause); err != nil {
		return nil, fmt.Errorf("read the policies that access: is about: %w", awsx.Clean(err))
	}
	broken, undecided := assertions.Decide()
	if len(broken) > 0 {
		return nil, broken
	}
	return undecided, nil
}

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

func resources(at *place, env reconcile.Env, s *spec.Spec, keys iam.Keys, snapshot *iam.Snapshot) []reconcile.Resource {
	var all []reconcile.Resource
	all = declare(all, at.buckets(env), env, s.S3.Buckets)
	all = declare(all, at.logGroups(env), env, s.Logs.LogGroups)
	all = declare(all, ecr.NewRepositories(at.ecr, env, s.ECR.Repositories), env, s.ECR.Repositories)
	all = append(all, iam.New(at.iam, at.tagging, env, s.IAM, keys, snapshot)...)
	all = declare(all, ecs.NewClusters(at.ecs, env, s.ECS.Clusters), env, s.ECS.Clusters)
	return declare(all, at.taskDefinitions(env), env, s.ECS.TaskDefinitions)
}

// declare appends the resources of one kind.
func declare[S spec.Resource, F any](all []reconcile.Resource, kind reconcile.Kind[S, F], env reconcile.Env, wants []S) []reconcile.Resource {
	for _, want := range wants {
		all = append(all, reconcile.Declare(kind, env, want))
	}
	return all
}

// target keeps what the globs match, and what that needs. A glob may match
// something beside in place of that.
func target(all []reconcile.Resource, globs []string, beside []reconcile.Resource) ([]reconcile.Resource, error) {
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
		hit := slices.ContainsFunc(beside, func(r reconcile.Resource) bool { return reconcile.Glob(glob, r.ID().String()) })
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
	return names(ids)
}

func names(ids []spec.ID) string {
	slices.SortFunc(ids, spec.Compare)
	const most = 20
	var words []string
	for i, id := range ids {
		if i == most {
			words = append(words, fmt.Sprintf("and %d more", len(ids)-most))
			break
		}
		words = append(words, id.String())
	}
	return strings.Join(words, ", ")
}
