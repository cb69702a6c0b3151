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
	_ reconcile.Granter[spec.IAMPolicy, PolicyFacts]     = Policies{}
	_ reconcile.Granter[spec.IAMRole, reconcile.NoFacts] = Roles{}
	_ reconcile.Granter[spec.IAMUser, reconcile.NoFacts] = Users{}
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

// Access is what the user may do.
func (u Users) Access(live liveUser, want spec.IAMUser) []string {
	return u.known.access(u.env.Account, *u.env.ARN(want.ID(), want.Path), !live.Exists, userGrants(live.Is), userGrants(want))
}

// documents are the managed policies of the spec, by ARN. No other policy's
// document is at hand.
type documents map[string]spec.Document

func documentsOf(env reconcile.Env, policies []spec.IAMPolicy) documents {
	known := make(documents, len(policies))
	for _, p := range policies {
		if p.Document.Given() {
			known[policyARN(env, p)] = p.Document
		}
	}
	return known
}

// access compares what a user or a role is granted. A managed policy of the
// spec counts as the spec has it, before and after: what changes within it is
// said at its own address.
//
// What is not known is left out of both sides where it is on both, and is a
// line of its own where it comes or goes. A user has the policies of its groups
// beside, so that there may always be others, except where it is new.
func (known documents) access(account, arn string, isNew bool, live, want grants) []string {
	if same(live, want) {
		return nil
	}
	var unknown []string
	sets := [2]policy.Set{}
	for i, g := range []grants{live, want} {
		other := []grants{want, live}[i]
		verb := []string{"goes", "comes"}[i]
		attach := func(what, name string, document spec.Document, err error, changes bool) {
			var p *policy.Policy
			if err == nil {
				p, err = policy.Compile(name, document)
			}
			switch {
			case err == nil:
				sets[i].Identity = append(sets[i].Identity, p)
			case changes:
				unknown = append(unknown, fmt.Sprintf("unknown: what %s with %s %s: %v", verb, what, name, err))
			}
		}
		for _, arn := range slices.Sorted(slices.Values(g.attached)) {
			document, err := known.of(arn)
			attach("policy", arn, document, err, !slices.Contains(other.attached, arn))
		}
		for _, name := range slices.Sorted(maps.Keys(g.inline)) {
			attach("inline policy", name, g.inline[name], nil, string(g.inline[name]) != string(other.inline[name]))
		}
	}
	// Nor is a boundary that is not known, on either side: what is gained and
	// lost is then too much, and never too little.
	was, is := aws.ToString(live.boundary), aws.ToString(want.boundary)
	before, errBefore := known.boundary(was)
	after, errAfter := known.boundary(is)
	switch {
	case errBefore == nil && errAfter == nil:
		sets[0].Boundary, sets[1].Boundary = before, after
	case was == is:
	case was == "":
		unknown = append(unknown, fmt.Sprintf("loses what permissions boundary %s does not allow: %v", is, errAfter))
	default:
		unknown = append(unknown, fmt.Sprintf("unknown: what permissions boundary %s no longer keeps out: %v", was, cmp.Or(errBefore, errAfter)))
	}
	scope := policy.Scope{Account: account, Principal: policy.Principal{Type: "AWS", ID: arn}}
	return append(policy.Lines(scope, sets[0], sets[1], !isNew), unknown...)
}

// of is the document of a managed policy.
func (known documents) of(arn string) (spec.Document, error) {
	document, ok := known[arn]
	if !ok {
		return nil, errNotOurs
	}
	return document, nil
}

var errNotOurs = errors.New("its document is not in the spec")

// boundary is a permissions boundary; nil is none.
func (known documents) boundary(arn string) (*policy.Policy, error) {
	if arn == "" {
		return nil, nil
	}
	document, err := known.of(arn)
	if err != nil {
		return nil, err
	}
	return policy.Compile(arn, document)
}

// same says that two grants are made of the same policies.
func same(a, b grants) bool {
	return aws.ToString(a.boundary) == aws.ToString(b.boundary) &&
		len(without(a.attached, b.attached))+len(without(b.attached, a.attached)) == 0 &&
		maps.EqualFunc(a.inline, b.inline, func(a, b spec.Document) bool {
			same, err := policy.Equal(a, b)
			return err == nil && same
		})
}
