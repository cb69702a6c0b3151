package policy

import (
	"fmt"
	"slices"
	"strings"
)

// examples are actions that exist and that a reader knows, for the requests
// that lines give as examples.
var examples = []string{
	"ecr:BatchDeleteImage", "ecr:PutImage", "ecs:RunTask", "ecs:StopTask",
	"iam:CreateAccessKey", "iam:PassRole", "iam:PutUserPolicy", "kms:Decrypt",
	"logs:DeleteLogGroup", "logs:GetLogEvents", "s3:DeleteObject", "s3:GetObject", "s3:PutObject",
	"secretsmanager:GetSecretValue", "sts:AssumeRole",
}

// Lines says in words what Access finds, with one request as an example where
// the words are about several.
//
// Where others is true, policies that are not in the sets may have a say, and
// allow what before denies and after does not: that is in the lines too.
func Lines(scope Scope, before, after Set, others bool) []string {
	scope.Actions = examples
	var lines []string
	var seen [Unclear + 1]int
	add := func(c Change, where string) {
		if seen[c.Direction]++; seen[c.Direction] <= most {
			lines = append(lines, c.line(where))
		}
	}
	for _, c := range access(scope, before, after) {
		add(c, "")
	}
	if others {
		said := slices.Clone(lines)
		for _, c := range access(scope, before.open(), after.open()) {
			if !slices.Contains(said, c.line("")) {
				add(c, ", where another policy allows it")
			}
		}
	}
	for d, n := range seen {
		if n > most {
			lines = append(lines, fmt.Sprintf("%s %d times more, in ways that are not listed", [...]string{"gains", "loses", "unknown:"}[d], n-most))
		}
	}
	return lines
}

// most is how many lines there are of one direction: nobody reads more.
const most = 40

// access is Access, less what is about callers of other accounts where the sets
// are policies to attach: there is nobody of another account to attach them to.
func access(scope Scope, before, after Set) []Change {
	changes := Access(scope, before, after)
	if scope.Principal != (Principal{}) || before.byResource() || after.byResource() {
		return changes
	}
	var own []Change
	for _, c := range changes {
		if caller := c.Witness.Principal; caller != (Principal{}) && describe(caller).account != scope.Account {
			continue
		}
		if c.Principal == "account "+scope.Account {
			c.Principal = "" // whoever they are attached to
		}
		own = append(own, c)
	}
	return own
}

func (s Set) byResource() bool { return s.Resource != nil || s.Trust != nil || s.AnyCaller }

// open is a set to which everything is allowed that it does not deny.
func (s Set) open() Set {
	everything := rule{label: "0", allow: true, notAction: true, notResource: true, notPrincipal: true, text: "allow everything"}
	add := func(p *Policy) *Policy {
		return &Policy{Name: p.Name, statements: append(slices.Clip(p.statements), everything)}
	}
	switch {
	case s.Trust != nil:
		s.Trust = add(s.Trust)
	case s.Resource != nil:
		s.Resource = add(s.Resource)
	default:
		s.Identity = append(slices.Clip(s.Identity), add(&Policy{Name: "another policy"}))
	}
	return s
}

// line is the change in words, with where behind what it says of it.
func (c Change) line(where string) string {
	text := c.String() + where
	if c.Direction == Unclear || c.Witness.Action == "" {
		return text
	}
	said := strings.EqualFold(c.Action, c.Witness.Action) && (c.Resource == "" || c.Resource == c.Witness.Resource) &&
		(c.Principal == "" || c.Principal == c.Witness.Principal.String())
	if said {
		return text
	}
	text += "; for example " + c.Witness.Action
	if c.Resource != "" {
		text += " on " + c.Witness.Resource
	}
	if c.Principal != "" && c.Principal != c.Witness.Principal.String() {
		text += " by " + c.Witness.Principal.String()
	}
	return text
}

// AttachedLines is Lines for a policy that is attached to whoever.
func AttachedLines(account string, before, after []byte) []string {
	was, is, why := compileBoth(before, after)
	if why != "" {
		return []string{why}
	}
	return Lines(Scope{Account: account}, Set{Identity: []*Policy{was}}, Set{Identity: []*Policy{is}}, true)
}

// ResourceLines is Lines for the policy of a resource, where an empty document
// is none. resource is what all requests are about, "" where the policy says it
// itself. What is new has had no callers.
func ResourceLines(account, resource string, isNew bool, before, after []byte) []string {
	was, is, why := compileBoth(before, after)
	if why != "" {
		return []string{why}
	}
	return Lines(Scope{Account: account, Resource: resource},
		Set{Resource: was, AnyCaller: true}, Set{Resource: is, AnyCaller: true}, !isNew)
}

// TrustLines is Lines for the trust policy of a role. No other policy can let
// anybody in.
func TrustLines(account, role string, before, after []byte) []string {
	was, is, why := compileBoth(before, after)
	if why != "" {
		return []string{why}
	}
	return Lines(Scope{Account: account, Resource: role},
		Set{Trust: was, AnyCaller: true}, Set{Trust: is, AnyCaller: true}, false)
}

func compileBoth(before, after []byte) (was, is *Policy, why string) {
	if same, err := Equal(before, after); err == nil && same {
		return &Policy{}, &Policy{}, ""
	}
	compiled := [2]*Policy{{}, {}}
	for i, document := range [][]byte{before, after} {
		if len(document) == 0 || string(document) == "{}" {
			continue
		}
		var err error
		if compiled[i], err = Compile("the policy", document); err != nil {
			return nil, nil, "unknown: " + err.Error()
		}
	}
	return compiled[0], compiled[1], ""
}
