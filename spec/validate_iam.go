package spec

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// IAM's limits, https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html.
// Where a quota can be raised, the number is the highest that it can be
// raised to. Sizes are in characters other than white space.
const (
	maxUserName      = 64 // roles, too
	maxPolicyName    = 128
	maxPath          = 512
	maxDescription   = 1000
	maxManagedPolicy = 6144
	maxTrustPolicy   = 8192 // 2048 unless raised
	maxRoleInline    = 10240
	maxUserInline    = 2048
	maxRoleAttached  = 25 // 10 unless raised
	maxUserAttached  = 20 // 10 unless raised
	minSession       = 3600
	maxSession       = 43200
)

var (
	iamName   = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]+$`)
	iamPath   = regexp.MustCompile(`^/([!-~]+/)?$`)
	policyARN = regexp.MustCompile(`^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+$`)
	roleARN   = regexp.MustCompile(`^arn:[a-z-]+:iam::[0-9]{12}:role/.+$`)
)

func (c checker) checkPolicy(n *node, p *IAMPolicy) {
	c.checkIAMName(n, p.Name, p.Path, "policy", maxPolicyName)
	c.checkDescription(n, p.Description)
	if p.Document == nil {
		return
	}
	c.checkStatements(n.get("document"), identityPolicy)
	c.checkSize(n.get("document"), "document", size(p.Document), maxManagedPolicy)
}

func (c checker) checkRole(n *node, r *IAMRole) {
	c.checkIAMName(n, r.Name, r.Path, "role", maxUserName)
	c.checkDescription(n, r.Description)
	assume, trust := n.field("assumeRolePolicy"), n.field("trust")
	switch {
	case r.AssumeRolePolicy != nil && r.Trust != nil:
		c.errorf(n.key("trust"), "iam.role: assumeRolePolicy and trust say the same thing; give one of them")
	case r.Trust != nil:
		r.AssumeRolePolicy = c.trust(n.get("trust"), r.Trust)
	case (assume == nil || assume.isNull()) && (trust == nil || trust.isNull()):
		c.errorf(n, "iam.role: assumeRolePolicy or trust is missing")
	case r.AssumeRolePolicy != nil:
		c.checkStatements(n.get("assumeRolePolicy"), trustPolicy)
		c.checkSize(n.get("assumeRolePolicy"), "assumeRolePolicy", size(r.AssumeRolePolicy), maxTrustPolicy)
	}
	if d := r.MaxSessionDuration; d != nil && (*d < minSession || *d > maxSession) {
		c.errorf(n.get("maxSessionDuration"), "maxSessionDuration: %d seconds; IAM allows %d to %d", *d, minSession, maxSession)
	}
	c.resolvePolicies(n, r.PermissionsBoundary, r.Policies, "role", maxRoleAttached)
	c.checkInline(n.get("inlinePolicies"), r.InlinePolicies, maxRoleInline)
}

func (c checker) checkUser(n *node, u *IAMUser) {
	c.checkIAMName(n, u.Name, u.Path, "user", maxUserName)
	c.resolvePolicies(n, u.PermissionsBoundary, u.Policies, "user", maxUserAttached)
	c.checkInline(n.get("inlinePolicies"), u.InlinePolicies, maxUserInline)
	c.checkMembership(n.get("groups"), u.Groups)
	if u.AccessKey == nil {
		return
	}
	c.checkAccessKey(n.get("accessKey"), u.AccessKey)
}

func (c checker) checkIAMName(n *node, name, path, what string, most int) {
	at := n.get("name")
	switch {
	case name == "":
		c.emptyName(at, "name")
	case len(name) > most:
		c.errorf(at, "%s name: %d characters; IAM allows %d", what, len(name), most)
	case !iamName.MatchString(name):
		c.errorf(at, "%s name: %q: allowed are letters, digits and _ + = , . @ -", what, clip(name))
	}
	at = n.get("path")
	if path != "" && (len(path) > maxPath || !iamPath.MatchString(path)) {
		c.errorf(at, "path: %q: want up to %d characters without spaces that begin and end with a slash, like /ml/", clip(path), maxPath)
	}
}

func (c checker) checkDescription(n *node, text *string) {
	if text != nil && utf8.RuneCountInString(*text) > maxDescription {
		c.errorf(n.get("description"), "description: %d characters; IAM allows %d", utf8.RuneCountInString(*text), maxDescription)
	}
}

// size is how IAM measures a document.
func size(d Document) int {
	n := 0
	for _, r := range string(d) {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}

func (c checker) checkSize(n *node, what string, size, most int) {
	if size > most {
		c.errorf(n, "%s: %d characters without white space; IAM allows %d", what, size, most)
	}
}

// resolvePolicies puts ARNs in the place of names.
func (c checker) resolvePolicies(n *node, boundary *string, policies []string, what string, most int) {
	if boundary != nil && *boundary != "" {
		*boundary = c.resolveARN(n.get("permissionsBoundary"), "permissionsBoundary", *boundary, Policy, policyARN)
	}
	at := n.get("policies")
	if len(policies) > most {
		c.errorf(at, "policies: %d; IAM attaches at most %d to a %s", len(policies), most, what)
	}
	seen := make(map[string]bool)
	for i, p := range policies {
		if item := at.item(i); item.kind == scalar && !item.bad && !item.isNull() {
			policies[i] = c.resolveARN(item, "policies", p, Policy, policyARN)
			if seen[policies[i]] {
				c.errorf(item, "policies: %q is listed twice", p)
			}
			seen[policies[i]] = true
		}
	}
}

// resolveARN turns what names a policy or a role into its ARN: a name of this
// spec, or an ARN as it is.
func (c checker) resolveARN(n *node, field, text string, kind Kind, pattern *regexp.Regexp) string {
	if n.kind != scalar || n.bad {
		return text
	}
	id := ID{kind, text}
	if r := c.byID[id]; r != nil {
		c.needs.add(id, n)
		return c.arn(r)
	}
	what := strings.TrimPrefix(string(kind), "iam.")
	switch {
	case strings.HasPrefix(text, "arn:"):
		if !pattern.MatchString(text) {
			c.errorf(n, "%s: %q is not the ARN of a %s", field, clip(text), what)
		}
	case !c.incomplete[kind]:
		var names []string
		for id := range c.byID {
			if id.Kind == kind {
				names = append(names, id.Name)
			}
		}
		c.errorf(n, "%s: this spec has no %s %q; name one of its own, any other by ARN%s", field, what, clip(text), suggest(text, names))
	}
	return text
}

func (c checker) checkInline(n *node, policies map[string]Document, most int) {
	total := 0
	for _, name := range slices.Sorted(maps.Keys(policies)) {
		if len(name) > maxPolicyName || !iamName.MatchString(name) {
			c.errorf(n.key(name), "inlinePolicies: %q: a name has 1 to %d letters, digits and _ + = , . @ -", clip(name), maxPolicyName)
		}
		if policies[name] == nil {
			continue
		}
		c.checkStatements(n.get(name), identityPolicy)
		total += size(policies[name])
	}
	c.checkSize(n, "inlinePolicies together", total, most)
}
