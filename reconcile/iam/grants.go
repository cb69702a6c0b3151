package iam

import (
	"context"
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
			step("iam:Put"+calls.kind+"PermissionsBoundary", "set the permissions boundary of", diffs, func(ctx context.Context) error {
				return calls.putBoundary(ctx, *want.boundary)
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
		for _, arn := range slices.Sorted(slices.Values(want.attached)) {
			if !slices.Contains(live.attached, arn) {
				step("iam:Attach"+calls.kind+"Policy", "attach policy "+lastSegment(arn)+" to",
					[]reconcile.Diff{{Path: "policies[" + lastSegment(arn) + "]", After: arn}},
					func(ctx context.Context) error { return attach(ctx, env, arn, ours(arn), calls.attach) })
			}
		}
		for _, arn := range slices.Sorted(slices.Values(live.attached)) {
			if !slices.Contains(want.attached, arn) {
				step("iam:Detach"+calls.kind+"Policy", "detach policy "+lastSegment(arn)+" from",
					[]reconcile.Diff{{Path: "policies[" + lastSegment(arn) + "]", Before: arn}},
					func(ctx context.Context) error { return gone(calls.detach(ctx, arn)) })
			}
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

// attach waits for a principal, or a policy of the spec, that was created a
// moment ago. Any other policy is there or is not.
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
