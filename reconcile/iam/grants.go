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
	"github.com/aws/smithy-go/middleware"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// grants are what users, roles and groups have in common: what they may do. A
// nil field is left out.
type grants struct {
	boundary *string // "": none; not a group's
	attached []string
	inline   map[string]spec.Document
	groups   []string // by name; a user's only
}

// brief leaves out what is empty.
func (g grants) brief() grants {
	if aws.ToString(g.boundary) == "" {
		g.boundary = nil
	}
	if len(g.attached) == 0 {
		g.attached = nil
	}
	if len(g.inline) == 0 {
		g.inline = nil
	}
	if len(g.groups) == 0 {
		g.groups = nil
	}
	return g
}

// grantCalls are the writes of a user, a role or a group.
type grantCalls struct {
	kind           string // User, Role, Group: how IAM's calls end
	attach, detach func(ctx context.Context, arn string) error
	putInline      func(ctx context.Context, name, document string) error
	deleteInline   func(ctx context.Context, name string) error
	putBoundary    func(ctx context.Context, arn string) error
	deleteBoundary func(ctx context.Context) error
	join, leave    func(ctx context.Context, group string) error
}

// grantReads are the reads of a user, a role or a group.
type grantReads struct {
	kind     string // as in grantCalls
	attached func(ctx context.Context) ([]types.AttachedPolicy, error)
	inline   func(ctx context.Context) ([]string, error)
	document func(ctx context.Context, name string) (*string, middleware.Metadata, error)
	groups   func(ctx context.Context) ([]types.Group, error)
}

// readGrants reads those fields that want gives. The error is errAbsent where
// the user, role or group is not there.
func readGrants(ctx context.Context, pause awsx.Pause, want grants, calls grantReads) (grants, error) {
	var live grants
	var reads awsx.Reads
	if want.attached != nil {
		reads.Go(func() error {
			list, err := calls.attached(ctx)
			live.attached = attachedARNs(list)
			return orAbsent(err)
		})
	}
	if want.inline != nil {
		reads.Go(func() (err error) {
			live.inline, err = inlinePolicies(ctx, pause, calls)
			return err
		})
	}
	if want.groups != nil {
		reads.Go(func() error {
			list, err := calls.groups(ctx)
			live.groups = []string{}
			for _, g := range list {
				live.groups = append(live.groups, aws.ToString(g.GroupName))
			}
			return orAbsent(err)
		})
	}
	err := reads.Wait()
	return live, err
}

// A pager is one of the SDK's paginators.
type pager[O any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*iam.Options)) (O, error)
}

// pagesOf gathers what is on all pages of a list.
func pagesOf[O, T any](ctx context.Context, pages pager[O], on func(O) []T) ([]T, error) {
	var all []T
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, on(page)...)
	}
	return all, nil
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
	if g.groups != nil {
		tree["groups"] = reconcile.Set(g.groups)
	}
	return nil
}

// permissions appends what the calls of readGrants and grant need. What may be
// attached is what the spec attaches: whoever may attach any policy may do
// anything.
func (g grants) permissions(p *reconcile.Permissions, kind string) {
	p.Delete("iam:Detach"+kind+"Policy", "iam:Delete"+kind+"Policy")
	if g.attached != nil {
		p.Read("iam:ListAttached" + kind + "Policies")
		p.Write("iam:Detach" + kind + "Policy")
	}
	if len(g.attached) > 0 {
		p.Also(reconcile.Writing, "iam:Attach"+kind+"Policy", "iam:Attach"+kind+"Policy").If = reconcile.Condition{
			Operator: "ArnEquals", Key: "iam:PolicyARN", Values: g.attached,
		}
	}
	if g.inline != nil {
		p.Read("iam:List"+kind+"Policies", "iam:Get"+kind+"Policy")
		p.Write("iam:Delete" + kind + "Policy")
	}
	if len(g.inline) > 0 {
		p.Write("iam:Put" + kind + "Policy")
	}
	switch boundary := aws.ToString(g.boundary); {
	case g.boundary == nil:
	case boundary == "":
		p.Write("iam:Delete" + kind + "PermissionsBoundary")
	default:
		call := "iam:Put" + kind + "PermissionsBoundary"
		p.Also(reconcile.Writing, call, call).If = reconcile.Condition{
			Operator: "StringEquals", Key: "iam:PermissionsBoundary", Values: []string{boundary},
		}
	}
}

// sureAttachments is how many policies every account may attach to a role, a
// group or a user. It may ask for more, and there is no telling from IAM whether it has.
const sureAttachments = 10

// maxMemberships is how many groups a user may be in. It cannot be raised.
const maxMemberships = 10

// grant appends the steps from live to want. Policies and groups come before
// others go, so that one that is replaced by another leaves no gap. What is new has its
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
	attached := func(arn string) []reconcile.Diff {
		lines := c.Under("policies[" + arn + "]")
		for i := range lines {
			lines[i].Path = "policies[" + lastSegment(arn) + "]"
		}
		return lines
	}
	detach := func(arn string) {
		steps.Add("iam:Detach"+calls.kind+"Policy", "detach policy "+lastSegment(arn)+" from", attached(arn),
			func(ctx context.Context) error { return gone(calls.detach(ctx, arn)) })
	}
	surplus := fill(live.attached, want.attached, max(sureAttachments, len(live.attached)), func(arn string) {
		steps.Add("iam:Attach"+calls.kind+"Policy", "attach policy "+lastSegment(arn)+" to", attached(arn),
			func(ctx context.Context) error { return attach(ctx, env, arn, ours(arn), calls.attach) })
	}, detach)
	leave := func(group string) {
		steps.Add("iam:RemoveUserFromGroup", "leave group "+group+" as", c.Under("groups["+group+"]"),
			func(ctx context.Context) error { return gone(calls.leave(ctx, group)) })
	}
	left := fill(live.groups, want.groups, maxMemberships, func(group string) {
		join := func(ctx context.Context) error { return calls.join(ctx, group) }
		// A group of the spec may be as young as the user.
		if isNew || slices.Contains(needs, spec.ID{Kind: spec.Group, Name: group}) {
			join = onceVisible(env, join)
		}
		steps.Add("iam:AddUserToGroup", "join group "+group+" as", c.Under("groups["+group+"]"), join)
	}, leave)
	for _, arn := range surplus {
		detach(arn)
	}
	for _, group := range left {
		leave(group)
	}
	for _, name := range slices.Sorted(maps.Keys(live.inline)) {
		if _, wanted := want.inline[name]; !wanted {
			steps.Add("iam:Delete"+calls.kind+"Policy", "remove inline policy "+name+" of", c.Under("inlinePolicies["+name+"]"),
				func(ctx context.Context) error { return gone(calls.deleteInline(ctx, name)) })
		}
	}
}

// fill adds what is wanted and not live, and answers what is live and not
// wanted, to be removed once nothing more is added. At the quota one has to go
// before another can come. Between the two calls the principal has the rights of
// neither, which is the price: added first, every run would end in
// LimitExceeded.
func fill(live, want []string, quota int, add, remove func(string)) (surplus []string) {
	surplus = without(live, want)
	n := len(live)
	for _, name := range without(want, live) {
		if n >= quota && len(surplus) > 0 {
			remove(surplus[0])
			surplus, n = surplus[1:], n-1
		}
		add(name)
		n++
	}
	return surplus
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

// errAbsent says that the user, role or group itself is not there.
var errAbsent = errors.New("absent")

// orAbsent is the error of a call that names nothing but a user, role or group.
func orAbsent(err error) error {
	if awsx.Code(err) == "NoSuchEntity" {
		return errAbsent
	}
	return err
}

// inlinePolicies reads inline policies. One that goes between the list and its
// own read, or that IAM does not know everywhere yet, is a race and no absent
// principal: all is read again.
func inlinePolicies(ctx context.Context, pause awsx.Pause, calls grantReads) (map[string]spec.Document, error) {
	poll := awsx.Poll{Pause: pause, Budget: visibleBudget}
	for {
		names, err := calls.inline(ctx)
		if err != nil {
			return nil, orAbsent(err)
		}
		documents := make(map[string]spec.Document, len(names))
		for _, name := range names {
			var text *string
			var answer middleware.Metadata
			if text, answer, err = calls.document(ctx, name); err != nil {
				break
			}
			if text == nil {
				return nil, awsx.Hollow("iam:Get"+calls.kind+"Policy", "PolicyDocument", answer)
			}
			document, err := policy.Decode(*text)
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

// strip appends the steps that take away what is granted, for a principal that
// is about to be deleted.
func strip(steps *reconcile.Steps, live grants, calls grantCalls) {
	for _, arn := range slices.Sorted(slices.Values(live.attached)) {
		steps.Add("iam:Detach"+calls.kind+"Policy", "detach policy "+lastSegment(arn)+" from",
			[]reconcile.Diff{{Path: "policies[" + lastSegment(arn) + "]", Before: arn}},
			func(ctx context.Context) error { return gone(calls.detach(ctx, arn)) })
	}
	for _, name := range slices.Sorted(maps.Keys(live.inline)) {
		steps.Add("iam:Delete"+calls.kind+"Policy", "remove inline policy "+name+" of",
			[]reconcile.Diff{{Path: "inlinePolicies[" + name + "]", Before: string(live.inline[name])}},
			func(ctx context.Context) error { return gone(calls.deleteInline(ctx, name)) })
	}
	for _, group := range slices.Sorted(slices.Values(live.groups)) {
		steps.Add("iam:RemoveUserFromGroup", "leave group "+group+" as", []reconcile.Diff{{Path: "groups[" + group + "]", Before: group}},
			func(ctx context.Context) error { return gone(calls.leave(ctx, group)) })
	}
}

// letGoBudget is how long IAM may go on to say that what was detached, emptied
// or left a moment ago still is: it answers DeleteConflict until that is known
// everywhere, and EntityTemporarilyUnmodifiable while a change of it is under
// way (API_DeleteRole, API_DeleteUser). Terraform's provider waits as long.
const letGoBudget = 2 * time.Minute

// onceLetGo deletes with patience. What is gone already is deleted.
func onceLetGo(env reconcile.Env, do func(context.Context) error) func(context.Context) error {
	passing := func(err error) bool {
		return awsx.Code(err) == "DeleteConflict" || awsx.Code(err) == "EntityTemporarilyUnmodifiable"
	}
	return func(ctx context.Context) error {
		return gone(awsx.Patiently(ctx, env.Pause, letGoBudget, passing, do))
	}
}
