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

// grants are what users, roles and groups have in common: what they may do. A
// nil field is left out.
type grants struct {
	boundary *string // "": none
	attached []string
	inline   map[string]spec.Document
}

// grantCalls are the writes of a user, a role or a group.
type grantCalls struct {
	kind           string // User, Role, Group: how IAM's calls end
	attach, detach func(ctx context.Context, arn string) error
	putInline      func(ctx context.Context, name, document string) error
	deleteInline   func(ctx context.Context, name string) error
	putBoundary    func(ctx context.Context, arn string) error
	deleteBoundary func(ctx context.Context) error
}

// normalGrants brings what is granted into the form in which it is compared.
func normalGrants(tree map[string]any, g grants) error {
	tree["policies"] = reconcile.Set(g.attached)
	inline := reconcile.Keyed{}
	for name, text := range g.inline {
		document, err := policy.Parse(text)
		if err != nil {
			return fmt.Errorf("inline policy %s: %w", name, err)
		}
		inline[name] = document
	}
	tree["inlinePolicies"] = inline
	return nil
}

// sureAttachments is how many policies every account may attach to a role or a
// user. It may ask for more, and there is no telling from IAM whether it has.
const sureAttachments = 10

// grant appends the steps from live to want. Policies come before others go, so
// that one that is replaced by another leaves no gap. What is new has its
// boundary already, and is not known to all of IAM.
func grant(steps *reconcile.Steps, env reconcile.Env, needs []spec.ID, isNew bool, live, want grants, c reconcile.Changes, calls grantCalls) {
	do := func(write func(context.Context) error) func(context.Context) error {
		if isNew {
			return onceVisible(env, write)
		}
		return write
	}
	ours := func(arn string) bool {
		return slices.Contains(needs, spec.ID{Kind: spec.Policy, Name: lastSegment(arn)})
	}

	switch boundary := c.Of("permissionsBoundary"); {
	case isNew:
	case aws.ToString(want.boundary) == "":
		steps.Add("iam:Delete"+calls.kind+"PermissionsBoundary", "remove the permissions boundary of", boundary, calls.deleteBoundary)
	default:
		steps.Add("iam:Put"+calls.kind+"PermissionsBoundary", "set the permissions boundary of", boundary, func(ctx context.Context) error {
			return attach(ctx, env, *want.boundary, ours(*want.boundary), calls.putBoundary)
		})
	}
	for _, name := range slices.Sorted(maps.Keys(want.inline)) {
		steps.Add("iam:Put"+calls.kind+"Policy", "write inline policy "+name+" of", c.Under("inlinePolicies["+name+"]"),
			do(func(ctx context.Context) error { return calls.putInline(ctx, name, string(want.inline[name])) }))
	}
	line := func(arn string) reconcile.Diff { return reconcile.Diff{Path: "policies[" + lastSegment(arn) + "]"} }
	// At the quota one has to go before another can come. Between the two calls
	// the principal has the rights of neither, which is the price: attached
	// first, every run would end in LimitExceeded.
	missing, extra := without(want.attached, live.attached), without(live.attached, want.attached)
	quota, n := max(sureAttachments, len(live.attached)), len(live.attached)
	for len(missing)+len(extra) > 0 {
		if len(missing) > 0 && (n < quota || len(extra) == 0) {
			arn := missing[0]
			missing, n = missing[1:], n+1
			d := line(arn)
			d.After = arn
			steps.Add("iam:Attach"+calls.kind+"Policy", "attach policy "+lastSegment(arn)+" to", []reconcile.Diff{d},
				func(ctx context.Context) error { return attach(ctx, env, arn, ours(arn), calls.attach) })
			continue
		}
		arn := extra[0]
		extra, n = extra[1:], n-1
		d := line(arn)
		d.Before = arn
		steps.Add("iam:Detach"+calls.kind+"Policy", "detach policy "+lastSegment(arn)+" from", []reconcile.Diff{d},
			func(ctx context.Context) error { return gone(calls.detach(ctx, arn)) })
	}
	for _, name := range slices.Sorted(maps.Keys(live.inline)) {
		if _, wanted := want.inline[name]; !wanted {
			steps.Add("iam:Delete"+calls.kind+"Policy", "remove inline policy "+name+" of", c.Under("inlinePolicies["+name+"]"),
				func(ctx context.Context) error { return gone(calls.deleteInline(ctx, name)) })
		}
	}
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
) (map[string]spec.Document, error) {
	poll := awsx.Poll{Pause: pause, Budget: visibleBudget}
	for {
		names, err := list(ctx)
		if err != nil {
			return nil, orAbsent(err)
		}
		documents := make(map[string]spec.Document, len(names))
		for _, name := range names {
			var text string
			if text, err = get(ctx, name); err != nil {
				break
			}
			document, err := policy.Decode(text)
			if err != nil {
				return nil, fmt.Errorf("inline policy %s: %w", name, err)
			}
			documents[name] = spec.Document(document)
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
	arns := []string{}
	for _, p := range list {
		arns = append(arns, aws.ToString(p.PolicyArn))
	}
	return arns
}

func boundaryARN(b *types.AttachedPermissionsBoundary) *string {
	if b == nil {
		return aws.String("")
	}
	return aws.String(aws.ToString(b.PermissionsBoundaryArn))
}
