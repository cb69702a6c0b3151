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
func (c checker) checkStatements(n *node, kind policyKind) {
	if n.kind != mapping || len(n.fields) == 0 && kind.noneOK {
		return
	}
	c.checkKeys(n, policyFields(), "a policy")
	if kind.iam {
		n.walk(func(s *node) {
			if i := strings.IndexFunc(s.text, func(r rune) bool { return r > 0xff }); i >= 0 && !s.bad {
				c.errorf(s, "%q: IAM's documents hold no characters above U+00FF", clip(s.text))
			}
		})
	}
	if v := n.field("Version"); v != nil {
		allowed := []string{"2012-10-17", "2008-10-17"}
		if c.want(v, scalar, "Version") && !v.bad && !slices.Contains(allowed, v.text) {
			c.errorf(v, "Version: %q is none; it is 2012-10-17 or 2008-10-17, the version of the language, not of this policy", clip(v.text))
		}
	}
	list := n.field("Statement")
	if list == nil {
		c.errorf(n, "%s needs a Statement", kind.what)
		return
	}
	items := list.items
	switch list.kind {
	case mapping:
		items = []*node{list}
	case scalar:
		c.errorf(list, "Statement: want a list of statements, have %s", list.what())
		return
	}
	if len(items) == 0 {
		c.errorf(list, "Statement: the list is empty")
	}
	sids := make(map[string]bool)
	for _, s := range items {
		if !c.want(s, mapping, "Statement") {
			continue
		}
		if id := s.field("Sid"); id != nil && id.kind == scalar && !id.bad && kind.iam && id.text != "" {
			if !sid.MatchString(id.text) {
				c.errorf(id, "Sid: %q: IAM allows only letters and digits", clip(id.text))
			}
			if sids[id.text] {
				c.errorf(id, "Sid: a second statement with the Sid %q", clip(id.text))
			}
			sids[id.text] = true
		}
		c.checkStatement(s, kind)
	}
}

func (c checker) checkKeys(n *node, allowed []string, what string) {
	for _, f := range n.fields {
		if !f.key.bad && !slices.Contains(allowed, f.key.text) {
			c.errorf(f.key, "%s has no %q; it has %s%s", what, clip(f.key.text), strings.Join(allowed, ", "), suggest(f.key.text, allowed))
		}
	}
}

func (c checker) checkStatement(n *node, kind policyKind) {
	c.checkKeys(n, statementFields(), "a statement")
	effect := n.field("Effect")
	switch {
	case effect == nil:
		c.errorf(n, "a statement needs an Effect: Allow or Deny")
	case c.want(effect, scalar, "Effect") && !effect.bad && effect.text != "Allow" && effect.text != "Deny":
		c.errorf(effect, "Effect: %q is none; Allow or Deny%s", clip(effect.text), suggest(effect.text, []string{"Allow", "Deny"}))
	}
	if at := c.either(n, "Action", "NotAction"); at != nil {
		c.eachText(at, func(item *node) {
			if kind.iam && item.text != "*" && !strings.Contains(item.text, ":") {
				c.errorf(item, "Action: %q wants the service before it, like s3:GetObject", clip(item.text))
			}
		})
	}
	if kind.resource {
		if at := c.either(n, "Resource", "NotResource"); at != nil {
			c.eachText(at, func(item *node) {
				if item.text != "*" && !strings.HasPrefix(item.text, "arn:") {
					c.errorf(item, "Resource: %q is no ARN; AWS wants one, or \"*\"", clip(item.text))
				}
			})
		}
	} else if kind == trustPolicy {
		c.refuse(n, kind, "Resource", "NotResource")
	}
	if kind.principal {
		c.checkPrincipal(c.either(n, "Principal", "NotPrincipal"))
	} else {
		c.refuse(n, kind, "Principal", "NotPrincipal")
	}
	if conditions := n.field("Condition"); conditions != nil && c.want(conditions, mapping, "Condition") {
		for _, f := range conditions.fields {
			c.want(f.value, mapping, "Condition: "+f.key.text)
		}
	}
}

// either wants exactly one of two elements and returns it.
func (c checker) either(n *node, name, not string) *node {
	is, isNot := n.field(name), n.field(not)
	switch {
	case is != nil && isNot != nil:
		c.errorf(n.key(not), "a statement has %s or %s, not both", name, not)
	case is != nil:
		return is
	case isNot == nil:
		c.errorf(n, "a statement needs %s or %s", name, not)
	}
	return isNot
}

func (c checker) refuse(n *node, kind policyKind, names ...string) {
	for _, name := range names {
		if n.field(name) != nil {
			c.errorf(n.key(name), "%s cannot have %s", kind.what, name)
		}
	}
}

// eachText visits a text or the texts of a list.
func (c checker) eachText(n *node, visit func(*node)) {
	items := n.items
	if n.kind != sequence {
		items = []*node{n}
	} else if len(items) == 0 {
		c.errorf(n, "the list is empty")
	}
	for _, item := range items {
		if item.kind != scalar {
			c.errorf(item, "want text or a list of texts, have %s", item.what())
		} else if !item.bad && !item.isNull() {
			visit(item)
		}
	}
}

func (c checker) checkPrincipal(n *node) {
	if n == nil {
		return
	}
	switch n.kind {
	case scalar:
		if !n.bad && n.text != "*" {
			c.errorf(n, "Principal: want \"*\" or a mapping like {Service: ecs-tasks.amazonaws.com}, have %s", n.what())
		}
	case sequence:
		c.want(n, mapping, "Principal")
	case mapping:
		c.checkKeys(n, []string{"AWS", "Service", "Federated", "CanonicalUser"}, "Principal")
		if len(n.fields) == 0 {
			c.errorf(n, "Principal: names nobody")
		}
		for _, f := range n.fields {
			c.eachText(f.value, func(*node) {})
		}
	}
}
