package iam

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

var (
	_ reconcile.Granter[spec.IAMPolicy, PolicyFacts]      = Policies{}
	_ reconcile.Granter[spec.IAMRole, reconcile.NoFacts]  = Roles{}
	_ reconcile.Granter[spec.IAMGroup, reconcile.NoFacts] = Groups{}
	_ reconcile.Granter[spec.IAMUser, reconcile.NoFacts]  = Users{}
)

// Access is what changes for whoever has the policy. A new one nobody has: what
// it gives is said where it is attached.
func (p Policies) Access(live livePolicy, want spec.IAMPolicy) []string {
	if !live.Exists {
		return nil
	}
	return policy.AttachedLines(p.env.Account, live.Is.Document, want.Document)
}

// Access is who may assume the role, and what it may do.
func (r Roles) Access(live liveRole, want spec.IAMRole) []string {
	arn := *r.env.ARN(want.ID(), want.Path)
	lines := policy.TrustLines(r.env.Account, arn, live.Is.AssumeRolePolicy, want.AssumeRolePolicy)
	return append(lines, r.known.access(r.env.Account, arn, !live.Exists, roleGrants(live.Is), roleGrants(want))...)
}

// Access is what changes for whoever is in the group. In a new one nobody is:
// what it gives is said where a user joins it.
func (g Groups) Access(live liveGroup, want spec.IAMGroup) []string {
	if !live.Exists {
		return nil
	}
	return g.known.access(g.env.Account, "", false, groupGrants(live.Is), groupGrants(want))
}

// Access is what the user may do.
func (u Users) Access(live liveUser, want spec.IAMUser) []string {
	return u.known.access(u.env.Account, *u.env.ARN(want.ID(), want.Path), !live.Exists, userGrants(live.Is), userGrants(want))
}

// A known is what is known of policies and groups that others refer to.
type known struct {
	documents map[string]spec.Document // of managed policies, by ARN
	groups    map[string]grants        // by name
}

// knownOf is what the spec itself says. No other policy's document is at hand.
func knownOf(env reconcile.Env, want spec.IAM) known {
	k := known{make(map[string]spec.Document, len(want.Policies)), make(map[string]grants, len(want.Groups))}
	for _, p := range want.Policies {
		if p.Document.Given() {
			k.documents[policyARN(env, p)] = p.Document
		}
	}
	for _, g := range want.Groups {
		k.groups[g.Name] = groupGrants(g)
	}
	return k
}

// access compares what a user, a role or the users of a group are granted. A
// managed policy and a group of the spec count as the spec has them, before and
// after: what changes within them is said at their own addresses.
//
// What is not known is left out of both sides where it is on both, and is a
// line of its own where it comes or goes. The spec need not manage all that a
// principal has, so that there may always be others, except where it is new.
func (k known) access(account, arn string, isNew bool, live, want grants) []string {
	if same(live, want) {
		return nil
	}
	var unknown []string
	sets := [2]policy.Set{}
	for i, g := range []grants{live, want} {
		other := []grants{want, live}[i]
		verb := []string{"goes", "comes"}[i]
		attach := func(what string, p *policy.Policy, err error, changes bool) {
			switch {
			case err == nil:
				sets[i].Identity = append(sets[i].Identity, p)
			case changes:
				unknown = append(unknown, fmt.Sprintf("unknown: what %s with %s: %v", verb, what, err))
			}
		}
		for _, arn := range slices.Sorted(slices.Values(g.attached)) {
			p, err := k.managed(arn)
			attach("policy "+arn, p, err, !slices.Contains(other.attached, arn))
		}
		for _, name := range slices.Sorted(maps.Keys(g.inline)) {
			p, err := policy.Compile(name, g.inline[name])
			attach("inline policy "+name, p, err, string(g.inline[name]) != string(other.inline[name]))
		}
		for _, name := range slices.Sorted(slices.Values(g.groups)) {
			policies, err := k.group(name)
			changes := !slices.Contains(other.groups, name)
			for _, p := range policies {
				attach("", p, nil, changes)
			}
			if err != nil {
				attach("group "+name, nil, err, changes)
			}
		}
	}
	// Nor is a boundary that is not known, on either side: what is gained and
	// lost is then too much, and never too little.
	was, is := aws.ToString(live.boundary), aws.ToString(want.boundary)
	before, errBefore := k.boundary(was)
	after, errAfter := k.boundary(is)
	switch {
	case errBefore == nil && errAfter == nil:
		sets[0].Boundary, sets[1].Boundary = before, after
	case was == is:
	case was == "":
		unknown = append(unknown, fmt.Sprintf("loses what permissions boundary %s does not allow: %v", is, errAfter))
	default:
		unknown = append(unknown, fmt.Sprintf("unknown: what permissions boundary %s no longer keeps out: %v", was, cmp.Or(errBefore, errAfter)))
	}
	scope := policy.Scope{Account: account}
	if arn != "" {
		scope.Principal = policy.Principal{Type: "AWS", ID: arn}
	}
	return append(policy.Lines(scope, sets[0], sets[1], !isNew), unknown...)
}

// managed is a managed policy.
func (k known) managed(arn string) (*policy.Policy, error) {
	document, ok := k.documents[arn]
	if !ok {
		return nil, errNotOurs
	}
	return policy.Compile(arn, document)
}

var errNotOurs = errors.New("its document is not in the spec")

// group is what the members of a group are granted by it; an error says what of
// it is not known.
func (k known) group(name string) ([]*policy.Policy, error) {
	g, ok := k.groups[name]
	if !ok {
		return nil, errors.New("it is not in the spec")
	}
	var policies []*policy.Policy
	var errs []error
	add := func(what string, p *policy.Policy, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
			return
		}
		p.Name += " of group " + name
		policies = append(policies, p)
	}
	if g.attached == nil {
		errs = append(errs, errors.New("its policies are not in the spec"))
	}
	if g.inline == nil {
		errs = append(errs, errors.New("its inlinePolicies are not in the spec"))
	}
	for _, arn := range slices.Sorted(slices.Values(g.attached)) {
		p, err := k.managed(arn)
		add("policy "+arn, p, err)
	}
	for _, inline := range slices.Sorted(maps.Keys(g.inline)) {
		p, err := policy.Compile(inline, g.inline[inline])
		add("inline policy "+inline, p, err)
	}
	return policies, errors.Join(errs...)
}

// boundary is a permissions boundary; nil is none.
func (k known) boundary(arn string) (*policy.Policy, error) {
	if arn == "" {
		return nil, nil
	}
	return k.managed(arn)
}

// same says that two grants are made of the same policies.
func same(a, b grants) bool {
	return aws.ToString(a.boundary) == aws.ToString(b.boundary) &&
		len(without(a.attached, b.attached))+len(without(b.attached, a.attached)) == 0 &&
		len(without(a.groups, b.groups))+len(without(b.groups, a.groups)) == 0 &&
		maps.EqualFunc(a.inline, b.inline, func(a, b spec.Document) bool {
			same, err := policy.Equal(a, b)
			return err == nil && same
		})
}
