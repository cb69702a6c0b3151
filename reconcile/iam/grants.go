package iam

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// grants is what roles and users have in common: what they are allowed.
type grants struct {
	attached []string          // ARNs
	inline   map[string]string // documents by name
	boundary string            // an ARN; "": none
}

// wantGrants is what the spec gives; nil fields are not managed.
type wantGrants struct {
	attached []string
	inline   map[string]spec.Document
	boundary *string
}

// grantCalls are the writes of a role or of a user.
type grantCalls struct {
	kind           string // Role, User: how IAM's calls end
	attach, detach func(ctx context.Context, arn string) error
	putInline      func(ctx context.Context, name, document string) error
	deleteInline   func(ctx context.Context, name string) error
	putBoundary    func(ctx context.Context, arn string) error
	deleteBoundary func(ctx context.Context) error
}

// principalTags are the tags of a role or a user, whose keys IAM folds. Those
// of policies and providers it does not.
func principalTags(env reconcile.Env, want map[string]string) reconcile.Tags {
	tags := env.Tags(want)
	tags.FoldCase = true
	return tags
}

// sureAttachments is how many policies every account may attach to a role or a
// user. It may ask for more, and there is no telling from IAM whether it has.
const sureAttachments = 10

// grantSteps lists the steps from live to want. Policies come before others
// go, so that one that is replaced by another leaves no gap.
func grantSteps(id spec.ID, needs []spec.ID, env reconcile.Env, want wantGrants, live grants, calls grantCalls) ([]reconcile.Step, error) {
	var steps []reconcile.Step
	step := func(call, does string, diffs []reconcile.Diff, do func(context.Context) error) {
		steps = append(steps, reconcile.Step{Call: call, Does: does + " " + id.String(), Diffs: diffs, Do: do})
	}

	ours := func(arn string) bool {
		return slices.Contains(needs, spec.ID{Kind: spec.Policy, Name: lastSegment(arn)})
	}

	if want.boundary != nil && *want.boundary != live.boundary {
		diffs := reconcile.Compare("permissionsBoundary", reconcile.OrNil(live.boundary), reconcile.OrNil(*want.boundary))
		if *want.boundary == "" {
			step("iam:Delete"+calls.kind+"PermissionsBoundary", "remove the permissions boundary of", diffs, calls.deleteBoundary)
		} else {
			step("iam:Put"+calls.kind+"PermissionsBoundary", "set the permissions boundary of", diffs,
				func(ctx context.Context) error {
					return attach(ctx, env, *want.boundary, ours(*want.boundary), calls.putBoundary)
				})
		}
	}

	if want.inline != nil {
		for _, name := range slices.Sorted(maps.Keys(want.inline)) {
			var is []byte
			if text, ok := live.inline[name]; ok {
				is = []byte(text)
			}
			diffs, err := policy.Diff("inlinePolicies["+name+"]", is, want.inline[name])
			if err != nil {
				return nil, err
			}
			if len(diffs) > 0 {
				step("iam:Put"+calls.kind+"Policy", "write inline policy "+name+" of", diffs, func(ctx context.Context) error {
					return calls.putInline(ctx, name, string(want.inline[name]))
				})
			}
		}
	}
	if want.attached != nil {
		missing, extra := without(want.attached, live.attached), without(live.attached, want.attached)
		// At the quota one has to go before another can come. Between the two
		// calls the principal has the rights of neither, which is the price:
		// attached first, every run would end in LimitExceeded.
		quota, n := max(sureAttachments, len(live.attached)), len(live.attached)
		for len(missing)+len(extra) > 0 {
			if len(missing) > 0 && (n < quota || len(extra) == 0) {
				arn := missing[0]
				missing, n = missing[1:], n+1
				step("iam:Attach"+calls.kind+"Policy", "attach policy "+lastSegment(arn)+" to",
					[]reconcile.Diff{{Path: "policies[" + lastSegment(arn) + "]", After: arn}},
					func(ctx context.Context) error { return attach(ctx, env, arn, ours(arn), calls.attach) })
				continue
			}
			arn := extra[0]
			extra, n = extra[1:], n-1
			step("iam:Detach"+calls.kind+"Policy", "detach policy "+lastSegment(arn)+" from",
				[]reconcile.Diff{{Path: "policies[" + lastSegment(arn) + "]", Before: arn}},
				func(ctx context.Context) error { return gone(calls.detach(ctx, arn)) })
		}
	}
	if want.inline != nil {
		for _, name := range slices.Sorted(maps.Keys(live.inline)) {
			if _, ok := want.inline[name]; ok {
				continue
			}
			diffs, err := policy.Diff("inlinePolicies["+name+"]", []byte(live.inline[name]), nil)
			if err != nil {
				return nil, err
			}
			step("iam:Delete"+calls.kind+"Policy", "remove inline policy "+name+" of", diffs,
				func(ctx context.Context) error { return gone(calls.deleteInline(ctx, name)) })
		}
	}
	return steps, nil
}

// visibleBudget covers the time until an entity just created is known to all
// of IAM. Terraform's provider waits as long.
const visibleBudget = 2 * time.Minute

// without is what list has and other has not, sorted.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Sorted(slices.Values(list)), func(s string) bool { return slices.Contains(other, s) })
}

// attach waits for a principal, or a policy of the spec, that was created a
// moment ago. Any other policy is there or is not. A boundary is attached in
// the same way.
func attach(ctx context.Context, env reconcile.Env, arn string, ours bool, do func(context.Context, string) error) error {
	passing := func(err error) bool {
		return awsx.Code(err) == "NoSuchEntity" && (ours || !awsx.Mentions(err, arn))
	}
	return awsx.Patiently(ctx, env.Pause, visibleBudget, passing, func(ctx context.Context) error {
		return do(ctx, arn)
	})
}

// onceVisible waits for an entity that this run has created a moment ago.
func onceVisible(env reconcile.Env, do func(context.Context) error) func(context.Context) error {
	passing := func(err error) bool { return awsx.Code(err) == "NoSuchEntity" }
	return func(ctx context.Context) error {
		return awsx.Patiently(ctx, env.Pause, visibleBudget, passing, do)
	}
}

// youngBoundary says that IAM does not know the permissions boundary of a
// create call yet, which is a policy of the spec.
func youngBoundary(err error, boundary *string, needs []spec.ID) bool {
	return awsx.Code(err) == "NoSuchEntity" && boundary != nil &&
		slices.Contains(needs, spec.ID{Kind: spec.Policy, Name: lastSegment(*boundary)})
}

// errAbsent says that the role or the user itself is not there.
var errAbsent = errors.New("absent")

// orAbsent is the error of a call that names nothing but a role or a user.
func orAbsent(err error) error {
	if awsx.Code(err) == "NoSuchEntity" {
		return errAbsent
	}
	return err
}

// inlinePolicies reads the inline policies of a role or a user. One that goes
// between the list and its own read, or that IAM does not know everywhere yet,
// is a race and no absent principal: all is read again.
func inlinePolicies(ctx context.Context, pause awsx.Pause,
	list func(context.Context) ([]string, error), get func(ctx context.Context, name string) (string, error),
) (map[string]string, error) {
	poll := awsx.Poll{Pause: pause, Budget: visibleBudget}
	for {
		names, err := list(ctx)
		if err != nil {
			return nil, orAbsent(err)
		}
		documents := make(map[string]string, len(names))
		for _, name := range names {
			var text string
			if text, err = get(ctx, name); err != nil {
				break
			}
			if documents[name], err = policy.Decode(text); err != nil {
				return nil, fmt.Errorf("inline policy %s: %w", name, err)
			}
		}
		if awsx.Code(err) != "NoSuchEntity" || !poll.Again(ctx) {
			return documents, err
		}
	}
}

// gone takes "it is not there" for success of a call that takes it away.
func gone(err error) error {
	if awsx.Code(err) == "NoSuchEntity" {
		return nil
	}
	return err
}

func once(o *iam.Options) { o.Retryer = awsx.Once(o.Retryer) }

func tagList(tags map[string]string) []types.Tag {
	list := make([]types.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return list
}

func attachedARNs(list []types.AttachedPolicy) []string {
	var arns []string
	for _, p := range list {
		arns = append(arns, aws.ToString(p.PolicyArn))
	}
	return arns
}

func boundaryARN(b *types.AttachedPermissionsBoundary) string {
	if b == nil {
		return ""
	}
	return aws.ToString(b.PermissionsBoundaryArn)
}
