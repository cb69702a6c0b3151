package spec

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// IAM's limits on OpenID Connect providers.
const (
	maxIssuer      = 255
	maxClientIDs   = 100
	maxClientID    = 255
	maxThumbprints = 5
)

const (
	githubIssuer = "token.actions.githubusercontent.com"
	stsAudience  = "sts.amazonaws.com" // what AWS's own action for GitHub asks a token for
)

var (
	issuerURL  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+(/[A-Za-z0-9._~-]+)*$`)
	thumbprint = regexp.MustCompile(`^[0-9a-f]{40}$`)

	// A repository made since July 2026, or whose owner asked for it, goes
	// into tokens with two numbers that a later owner of its name cannot have:
	// https://docs.github.com/en/actions/reference/security/oidc
	numberedRepository = regexp.MustCompile(`^([^@/]+)@[0-9]+/([^@/]+)@[0-9]+$`)

	notInRef    = regexp.MustCompile(`[ ~^:\\[]|\.\.|@\{`)
	notInPolicy = regexp.MustCompile(`[^\x20-\x{ff}]|\x7f|\$\{`) // ${ begins a variable of IAM's
)

// issuer is a provider's URL as IAM keeps it, and as it stands in its ARN.
func issuer(url string) string {
	return strings.TrimSuffix(strings.TrimPrefix(url, "https://"), "/")
}

func (c checker) checkOIDCProvider(n *node, p *IAMOIDCProvider) {
	c.checkIssuer(n.get("url"), "url", p.URL)
	p.URL = issuer(p.URL)

	at := n.get("clientIDList")
	switch {
	case p.ClientIDList == nil:
	case len(p.ClientIDList) == 0:
		c.errorf(at, "clientIDList: the list is empty; for a role of AWS it is [%s]", stsAudience)
	case len(p.ClientIDList) > maxClientIDs:
		c.errorf(at, "clientIDList: %d; IAM allows %d", len(p.ClientIDList), maxClientIDs)
	}
	for i, id := range p.ClientIDList {
		item := at.item(i)
		switch {
		case !item.readable():
		case id == "" || len(id) > maxClientID:
			c.errorf(item, "clientIDList: a client id has 1 to %d characters, this one has %d", maxClientID, len(id))
		case slices.Contains(p.ClientIDList[:i], id):
			c.errorf(item, "clientIDList: %q is listed twice", clip(id))
		}
	}

	at = n.get("thumbprintList")
	switch {
	case p.ThumbprintList == nil:
	case len(p.ThumbprintList) == 0:
		c.errorf(at, "thumbprintList: the list is empty; leave it out, and AWS finds out itself")
	case len(p.ThumbprintList) > maxThumbprints:
		c.errorf(at, "thumbprintList: %d; IAM allows %d", len(p.ThumbprintList), maxThumbprints)
	}
	for i, hash := range p.ThumbprintList {
		hash = strings.ToLower(hash)
		p.ThumbprintList[i] = hash
		item := at.item(i)
		switch {
		case !item.readable():
		case !thumbprint.MatchString(hash):
			c.errorf(item, "thumbprintList: %s is none; want the SHA-1 of a certificate in 40 hex digits, without colons", item.what())
		case slices.Contains(p.ThumbprintList[:i], hash):
			c.errorf(item, "thumbprintList: %s is listed twice", item.what())
		}
	}
}

func (c checker) checkIssuer(n *node, field, url string) {
	name := issuer(url)
	switch {
	case !n.readable():
	case len(name) > maxIssuer:
		c.errorf(n, "%s: %d characters; IAM allows %d", field, len(name), maxIssuer)
	case !issuerURL.MatchString(name):
		c.errorf(n, "%s: %q: want a host in small letters, perhaps with a path, and no port or query, like %s", field, clip(url), githubIssuer)
	}
}

// A trustDocument is what the short form of a trust policy stands for.
type trustDocument struct {
	Version   string
	Statement []trustStatement
}

type trustStatement struct {
	Effect    string
	Principal struct{ Federated string }
	Action    string
	Condition map[string]map[string]string
}

// trust writes out the short form. What it returns is of use only where
// nothing was reported.
func (c checker) trust(n *node, t *RoleTrust) Document {
	if t.GitHub == nil {
		return nil
	}
	n, github := n.get("github"), t.GitHub
	subject, operator := c.githubSubject(n, github)

	provider := ID{OIDCProvider, githubIssuer}
	at := n
	if f := n.field("provider"); f != nil && !f.isNull() {
		at = f
		c.checkIssuer(f, "provider", github.Provider)
		provider.Name = issuer(github.Provider)
	}
	declared := c.byID[provider]
	if declared == nil {
		declared = &entry{id: provider} // the account's, kept by somebody else
	} else {
		c.needs.add(provider, at)
		c.checkAudience(at, declared)
	}

	s := trustStatement{Effect: "Allow", Action: "sts:AssumeRoleWithWebIdentity"}
	s.Principal.Federated = c.arn(declared)
	s.Condition = map[string]map[string]string{"StringEquals": {provider.Name + ":aud": stsAudience}}
	if s.Condition[operator] == nil {
		s.Condition[operator] = make(map[string]string)
	}
	s.Condition[operator][provider.Name+":sub"] = subject

	var buf bytes.Buffer
	encodeJSON(&buf, trustDocument{Version: "2012-10-17", Statement: []trustStatement{s}})
	return buf.Bytes()
}

// githubSubject is what GitHub's token has to say of a job, and how IAM has to
// compare it: https://docs.github.com/en/actions/reference/security/oidc
func (c checker) githubSubject(n *node, t *GitHubTrust) (subject, operator string) {
	if at := n.field("repository"); at.readable() {
		name := t.Repository
		if parts := numberedRepository.FindStringSubmatch(name); parts != nil {
			name = parts[1] + "/" + parts[2]
		}
		if !isRepository(name) {
			c.errorf(at, "github: %s is no repository; one looks like owner/name, or owner@123456/name@456789 with GitHub's numbers", at.what())
		}
	}
	subject, operator = "repo:"+t.Repository+":*", "StringLike"
	given := 0
	for _, f := range []struct{ name, value, kind string }{
		{"branch", t.Branch, "ref:refs/heads/"},
		{"tag", t.Tag, "ref:refs/tags/"},
		{"environment", t.Environment, "environment:"},
	} {
		at := n.field(f.name)
		if !at.readable() {
			continue
		}
		if given++; given > 1 {
			c.errorf(n.key(f.name), "github: give one of branch, environment and tag, since GitHub's token names only one")
		}
		c.checkGitHubName(at, f.name, f.value)
		// Colons part the subject, so GitHub writes those of a name this way.
		subject = "repo:" + t.Repository + ":" + f.kind + strings.ReplaceAll(f.value, ":", "%3A")
		operator = "StringEquals"
		if f.name != "environment" && strings.ContainsAny(f.value, "*?") {
			operator = "StringLike"
		}
	}
	return subject, operator
}

func (c checker) checkGitHubName(n *node, field, name string) {
	isRef := field != "environment"
	switch {
	case name == "":
		c.emptyName(n, field)
	case notInPolicy.MatchString(name):
		c.errorf(n, "github: %s: IAM takes ${ for a variable of its own, and its documents hold no characters above U+00FF", n.what())
	case isRef && strings.HasPrefix(name, "refs/"):
		c.errorf(n, "github: %s: a %s goes without refs/ and what follows it", n.what(), field)
	case isRef && notInRef.MatchString(name):
		c.errorf(n, "github: %s is no %s: git's names have no spaces, no .. and none of ~ ^ : \\ [ @{", n.what(), field)
	case !isRef:
		c.checkEnvironment(n, name)
	}
}

// checkAudience wants a provider of this spec to let tokens for AWS in.
func (c checker) checkAudience(at *node, provider *entry) {
	list := provider.node.field("clientIDList")
	if list == nil || list.kind != sequence || slices.ContainsFunc(list.items, func(n *node) bool { return n.text == stsAudience || n.bad }) {
		return
	}
	c.errorf(at, "trust: %s lacks %s in its clientIDList, so no workflow could take the role", provider.id, stsAudience)
}
