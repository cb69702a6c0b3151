package spec

import (
	"regexp"
	"slices"
	"strings"
)

// A policyKind is what a policy document is attached to, which decides what
// its statements must and must not have.
type policyKind struct {
	what      string
	principal bool // wants Principal; otherwise refuses it
	resource  bool // wants Resource
	noneOK    bool // {} asks for no policy at all
	iam       bool // IAM's own rules on Sid, Action and Resource
}

var (
	identityPolicy   = policyKind{what: "an identity policy", resource: true, iam: true}
	trustPolicy      = policyKind{what: "a trust policy", principal: true, iam: true}
	bucketPolicy     = policyKind{what: "a bucket policy", principal: true, resource: true, noneOK: true}
	repositoryPolicy = policyKind{what: "a repository policy", principal: true, noneOK: true}
)

var sid = regexp.MustCompile(`^[A-Za-z0-9]*$`)

func policyFields() []string { return []string{"Version", "Id", "Statement"} }

func statementFields() []string {
	return []string{
		"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction",
		"Resource", "NotResource", "Condition",
	}
}

// checkStatements holds a resolved policy document to the grammar,
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
func (b *binder) checkStatements(n *node, kind policyKind) {
	if n.kind != mapping || len(n.fields) == 0 && kind.noneOK {
		return
	}
	b.checkKeys(n, policyFields(), "a policy")
	if kind.iam {
		n.walk(func(s *node) {
			if i := strings.IndexFunc(s.text, func(r rune) bool { return r > 0xff }); i >= 0 && !s.bad {
				b.errorf(s, "%q: IAM's documents hold no characters above U+00FF", clip(s.text))
			}
		})
	}
	if v := n.field("Version"); v != nil {
		allowed := []string{"2012-10-17", "2008-10-17"}
		if b.want(v, scalar, "Version") && !v.bad && !slices.Contains(allowed, v.text) {
			b.errorf(v, "Version: %q is none; it is 2012-10-17 or 2008-10-17, the version of the language, not of this policy", clip(v.text))
		}
	}
	list := n.field("Statement")
	if list == nil {
		b.errorf(n, "%s needs a Statement", kind.what)
		return
	}
	items := list.items
	switch list.kind {
	case mapping:
		items = []*node{list}
	case scalar:
		b.errorf(list, "Statement: want a list of statements, have %s", list.what())
		return
	}
	if len(items) == 0 {
		b.errorf(list, "Statement: the list is empty")
	}
	sids := make(map[string]bool)
	for _, s := range items {
		if !b.want(s, mapping, "Statement") {
			continue
		}
		if id := s.field("Sid"); id != nil && id.kind == scalar && !id.bad && kind.iam && id.text != "" {
			if !sid.MatchString(id.text) {
				b.errorf(id, "Sid: %q: IAM allows only letters and digits", clip(id.text))
			}
			if sids[id.text] {
				b.errorf(id, "Sid: a second statement with the Sid %q", clip(id.text))
			}
			sids[id.text] = true
		}
		b.checkStatement(s, kind)
	}
}

func (b *binder) checkKeys(n *node, allowed []string, what string) {
	for _, f := range n.fields {
		if !f.key.bad && !slices.Contains(allowed, f.key.text) {
			b.errorf(f.key, "%s has no %q; it has %s%s", what, clip(f.key.text), strings.Join(allowed, ", "), suggest(f.key.text, allowed))
		}
	}
}

func (b *binder) checkStatement(n *node, kind policyKind) {
	b.checkKeys(n, statementFields(), "a statement")
	effect := n.field("Effect")
	switch {
	case effect == nil:
		b.errorf(n, "a statement needs an Effect: Allow or Deny")
	case b.want(effect, scalar, "Effect") && !effect.bad && effect.text != "Allow" && effect.text != "Deny":
		b.errorf(effect, "Effect: %q is none; Allow or Deny%s", clip(effect.text), suggest(effect.text, []string{"Allow", "Deny"}))
	}
	if at := b.either(n, "Action", "NotAction"); at != nil {
		b.eachText(at, func(item *node) {
			if kind.iam && item.text != "*" && !strings.Contains(item.text, ":") {
				b.errorf(item, "Action: %q wants the service before it, like s3:GetObject", clip(item.text))
			}
		})
	}
	if kind.resource {
		if at := b.either(n, "Resource", "NotResource"); at != nil {
			b.eachText(at, func(item *node) {
				if item.text != "*" && !strings.HasPrefix(item.text, "arn:") {
					b.errorf(item, "Resource: %q is no ARN; AWS wants one, or \"*\"", clip(item.text))
				}
			})
		}
	} else if kind == trustPolicy {
		b.refuse(n, kind, "Resource", "NotResource")
	}
	if kind.principal {
		b.checkPrincipal(b.either(n, "Principal", "NotPrincipal"))
	} else {
		b.refuse(n, kind, "Principal", "NotPrincipal")
	}
	if c := n.field("Condition"); c != nil && b.want(c, mapping, "Condition") {
		for _, f := range c.fields {
			b.want(f.value, mapping, "Condition: "+f.key.text)
		}
	}
}

// either wants exactly one of two elements and returns it.
func (b *binder) either(n *node, name, not string) *node {
	is, isNot := n.field(name), n.field(not)
	switch {
	case is != nil && isNot != nil:
		b.errorf(n.key(not), "a statement has %s or %s, not both", name, not)
	case is != nil:
		return is
	case isNot == nil:
		b.errorf(n, "a statement needs %s or %s", name, not)
	}
	return isNot
}

func (b *binder) refuse(n *node, kind policyKind, names ...string) {
	for _, name := range names {
		if n.field(name) != nil {
			b.errorf(n.key(name), "%s cannot have %s", kind.what, name)
		}
	}
}

// eachText visits a text or the texts of a list.
func (b *binder) eachText(n *node, visit func(*node)) {
	items := n.items
	if n.kind != sequence {
		items = []*node{n}
	} else if len(items) == 0 {
		b.errorf(n, "the list is empty")
	}
	for _, item := range items {
		if item.kind != scalar {
			b.errorf(item, "want text or a list of texts, have %s", item.what())
		} else if !item.bad && !item.isNull() {
			visit(item)
		}
	}
}

func (b *binder) checkPrincipal(n *node) {
	if n == nil {
		return
	}
	switch n.kind {
	case scalar:
		if !n.bad && n.text != "*" {
			b.errorf(n, "Principal: want \"*\" or a mapping like {Service: ecs-tasks.amazonaws.com}, have %s", n.what())
		}
	case sequence:
		b.want(n, mapping, "Principal")
	case mapping:
		b.checkKeys(n, []string{"AWS", "Service", "Federated", "CanonicalUser"}, "Principal")
		if len(n.fields) == 0 {
			b.errorf(n, "Principal: names nobody")
		}
		for _, f := range n.fields {
			b.eachText(f.value, func(*node) {})
		}
	}
}
