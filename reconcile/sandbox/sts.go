package sandbox

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
)

// A roleSession is a role that somebody has assumed. As with keys, the secret
// is answered once and forgotten.
type roleSession struct {
	Role           string // its ARN
	RoleID         string
	Name           string
	Issued         time.Time
	Expires        time.Time
	Policies       []string            `json:",omitempty"` // documents that limit the session
	PolicyARNs     []string            `json:",omitempty"`
	Tags           []tag               `json:",omitempty"`
	SourceIdentity string              `json:",omitempty"`
	Provider       string              `json:",omitempty"` // the ARN of who vouched for the caller
	Claims         map[string][]string `json:",omitempty"` // condition keys of the provider's token
}

// sessionPrincipal is who acts by a session. A role that was deleted, be it to
// make one of its name again, takes what its sessions may do along.
func (st *iamState) sessionPrincipal(r *request, s *roleSession) principal {
	name := s.Role[strings.LastIndex(s.Role, "/")+1:]
	p := principal{
		ARN:     r.arn("sts", "", "assumed-role/"+name+"/"+s.Name),
		ID:      s.RoleID + ":" + s.Name,
		kind:    "AWS",
		session: s,
	}
	if o := st.Roles[strings.ToLower(name)]; o != nil && o.ID == s.RoleID {
		p.role = o
	}
	return p
}

func stsHandlers() map[string]handler {
	return map[string]handler{
		"GetCallerIdentity":         getCallerIdentity,
		"AssumeRole":                assumeRole,
		"AssumeRoleWithWebIdentity": assumeRoleWithWebIdentity,
	}
}

// stsNeeds lists what STS's operations need.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html
func stsNeeds() map[string]needs {
	return map[string]needs{
		"GetCallerIdentity":         anyResource,
		"AssumeRole":                assumeRoleNeeds,
		"AssumeRoleWithWebIdentity": byHandler, // of what the token says, once it is known to be one
	}
}

func getCallerIdentity(_ *state, r *request) (any, error) {
	return struct {
		Arn     string
		UserID  string `xml:"UserId"`
		Account string
	}{r.caller.ARN, r.caller.ID, r.account}, nil
}

// assumable finds a role by its ARN; nil where there is none.
func (st *iamState) assumable(arn string) *iamRole {
	if o := st.Roles[strings.ToLower(arn[strings.LastIndex(arn, "/")+1:])]; o != nil && o.Arn == arn {
		return o
	}
	return nil
}

// assuming is an action on a role that its trust policy has to allow too. AWS
// does not tell a role that does not exist from one that trusts nobody.
func (st *iamState) assuming(action, arn string) need {
	n := needed(action, arn)
	n.trust = &policy.Policy{Name: arn}
	if o := st.assumable(arn); o != nil {
		n.trust = compilePolicy(arn, st.withoutDeleted(o.Trust))
		n = n.tagged(o.Tags, "iam:ResourceTag/")
	}
	return n
}

func assumeRoleNeeds(st *state, r *request) []need {
	actions := []string{"sts:AssumeRole"}
	if r.form.Has("Tags.member.1.Key") {
		actions = append(actions, "sts:TagSession")
	}
	if r.form.Has("SourceIdentity") {
		actions = append(actions, "sts:SetSourceIdentity")
	}
	var all []need
	for _, action := range actions {
		all = append(all, st.IAM.assuming(action, r.form.Get("RoleArn")).
			tagging(formTagList(r.form)).
			with("sts:ExternalId", r.form.Get("ExternalId")).
			with("sts:RoleSessionName", r.form.Get("RoleSessionName")).
			with("sts:SourceIdentity", r.form.Get("SourceIdentity")))
	}
	return all
}

func assumeRole(st *state, r *request) (any, error) {
	s, err := st.IAM.newSession(r)
	if err != nil {
		return nil, err
	}
	// "Role chaining limits your session to a maximum of one hour."
	if r.caller.session != nil && s.Expires.Sub(r.now) > time.Hour {
		return nil, stsInvalid("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	}
	s.SourceIdentity = r.form.Get("SourceIdentity")
	if by := r.caller.session; by != nil {
		s.SourceIdentity = cmp.Or(by.SourceIdentity, s.SourceIdentity) // it cannot be changed once it is set
	}
	return st.IAM.assume(r, s), nil
}

var sessionName = &pattern{expr: `^[\w+=,.@-]{2,64}$`}

func stsInvalid(format string, args ...any) error {
	return &apiError{http.StatusBadRequest, "ValidationError", fmt.Sprintf(format, args...)}
}

// newSession reads the parameters that all ways to assume a role share.
func (st *iamState) newSession(r *request) (*roleSession, error) {
	o := st.assumable(r.form.Get("RoleArn"))
	if o == nil {
		return nil, accessDenied(r, r.caller, st.assuming(r.action(), r.form.Get("RoleArn")), policy.Decision{Kind: policy.Trust})
	}
	s := &roleSession{
		Role: o.Arn, RoleID: o.ID, Name: r.form.Get("RoleSessionName"), Issued: r.now,
		Tags: formTagList(r.form),
	}
	if !sessionName.MatchString(s.Name) {
		return nil, iamInvalid("RoleSessionName", s.Name, `Member must satisfy regular expression pattern: [\w+=,.@-]*, with 2 to 64 characters`)
	}
	seconds := 3600
	if v := r.form.Get("DurationSeconds"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 900 || n > maxSession {
			return nil, iamInvalid("DurationSeconds", v, "Member must have value between 900 and 43200")
		}
		if n > o.MaxSession {
			return nil, stsInvalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
		}
		seconds = n
	}
	s.Expires = r.now.Add(time.Duration(seconds) * time.Second)
	if doc := r.form.Get("Policy"); doc != "" {
		if len(doc) > 2048 {
			return nil, &apiError{http.StatusBadRequest, "PackedPolicyTooLarge", "Serialized token too large for session"}
		}
		if err := identityPolicy(doc); err != nil {
			return nil, err
		}
		s.Policies = []string{doc}
	}
	for i := 1; r.form.Has("PolicyArns.member." + strconv.Itoa(i) + ".arn"); i++ {
		arn := r.form.Get("PolicyArns.member." + strconv.Itoa(i) + ".arn")
		if st.policy(arn) == nil {
			return nil, noSuchEntity("Policy %s does not exist.", arn)
		}
		s.PolicyARNs = append(s.PolicyARNs, arn)
	}
	return s, nil
}

// An assumption is what the ways to assume a role answer.
type assumption struct {
	Credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      time.Time
	}
	AssumedRoleUser struct {
		AssumedRoleID string `xml:"AssumedRoleId"`
		Arn           string
	}
	SourceIdentity              string `xml:",omitempty"`
	SubjectFromWebIdentityToken string `xml:",omitempty"`
	Provider                    string `xml:",omitempty"`
	Audience                    string `xml:",omitempty"`
}

// assume keeps the session and answers its credentials.
func (st *iamState) assume(r *request, s *roleSession) assumption {
	for id, old := range st.Sessions {
		// Long after its end nobody asks for it any more.
		if r.now.Sub(old.Expires) > maxSession*time.Second {
			delete(st.Sessions, id)
		}
	}
	if st.Sessions == nil {
		st.Sessions = map[string]*roleSession{}
	}
	id := "ASIA" + randomBase32(16)
	st.Sessions[id] = s

	secret := make([]byte, 30+90) // 40 characters, and a token
	_, _ = rand.Read(secret)      // never fails
	var a assumption
	a.Credentials.AccessKeyID = id
	a.Credentials.SecretAccessKey = base64.StdEncoding.EncodeToString(secret[:30])
	a.Credentials.SessionToken = base64.StdEncoding.EncodeToString(secret[30:])
	a.Credentials.Expiration = s.Expires
	who := st.sessionPrincipal(r, s)
	a.AssumedRoleUser.AssumedRoleID, a.AssumedRoleUser.Arn = who.ID, who.ARN
	a.SourceIdentity = s.SourceIdentity
	return a
}

// claims are what a token says. aud is a text or a list of texts.
type claims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience texts  `json:"aud"`
	Party    string `json:"azp"`
	Expires  int64  `json:"exp"`
	Issued   int64  `json:"iat"`
	AMR      texts  `json:"amr"`
}

func invalidToken(format string, args ...any) error {
	return &apiError{http.StatusBadRequest, "InvalidIdentityToken", fmt.Sprintf(format, args...)}
}

// readToken reads a JSON Web Token. Its signature is not checked: that would
// take the provider's keys, and the sandbox asks nobody for them.
func readToken(token string) (c claims, all map[string]any, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, nil, invalidToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(raw, &c) != nil || json.Unmarshal(raw, &all) != nil {
		return c, nil, invalidToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	for _, missing := range []struct {
		claim string
		yes   bool
	}{{"iss", c.Issuer == ""}, {"sub", c.Subject == ""}, {"aud", len(c.Audience) == 0}, {"exp", c.Expires == 0}} {
		if missing.yes {
			return c, nil, invalidToken("Missing a required claim: %s", missing.claim)
		}
	}
	return c, all, nil
}

// assumeRoleWithWebIdentity lets in whom an OpenID Connect provider vouches
// for. Nobody signs the call: the token is the proof.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
func assumeRoleWithWebIdentity(st *state, r *request) (any, error) {
	c, all, err := readToken(r.form.Get("WebIdentityToken"))
	if err != nil {
		return nil, err
	}
	issuer, err := url.Parse(c.Issuer)
	if err != nil {
		return nil, invalidToken("Issuer %s is no URL", c.Issuer)
	}
	name := providerName(issuer)
	p := st.IAM.Providers[iamARN(r, "oidc-provider", "/", name)]
	switch {
	case p == nil:
		return nil, invalidToken("No OpenIDConnect provider found in your account for %s", c.Issuer)
	case !slices.ContainsFunc(c.Audience, func(a string) bool { return slices.Contains(p.ClientIDs, a) }):
		return nil, invalidToken("Incorrect token audience")
	case c.Expires <= r.now.Unix():
		return nil, &apiError{
			http.StatusBadRequest, "ExpiredTokenException",
			fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d", r.now.Unix(), c.Expires),
		}
	}

	keys := claimKeys(name, c, all)
	r.caller = principal{ARN: p.Arn, ID: c.Subject, kind: "Federated"}
	n := st.IAM.assuming("sts:AssumeRoleWithWebIdentity", r.form.Get("RoleArn")).
		with("sts:RoleSessionName", r.form.Get("RoleSessionName")).
		with("aws:FederatedProvider", p.Arn)
	for key, values := range keys {
		n = n.with(key, values...)
	}
	if e := r.denied(st, n); e != nil {
		return nil, e
	}
	s, err := st.IAM.newSession(r)
	if err != nil {
		return nil, err
	}
	s.Provider, s.Claims = p.Arn, keys
	a := st.IAM.assume(r, s)
	a.SubjectFromWebIdentityToken, a.Provider, a.Audience = c.Subject, p.Arn, c.Audience[0]
	return a, nil
}

// githubClaims are those of GitHub's claims that AWS has condition keys for.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
var githubClaims = []string{
	"actor", "actor_id", "enterprise_id", "environment", "job_workflow_ref", "ref", "repository", "repository_id", "workflow",
}

// claimKeys are the condition keys that a token's claims become. Of other
// claims than these AWS's policies know nothing.
func claimKeys(provider string, c claims, all map[string]any) map[string][]string {
	// "If the azp value is set, it is the value of the aud key", and the
	// audience is the key oaud.
	keys := map[string][]string{
		provider + ":aud": c.Audience,
		provider + ":sub": {c.Subject},
	}
	if c.Party != "" {
		keys[provider+":aud"], keys[provider+":oaud"] = []string{c.Party}, c.Audience
	}
	if len(c.AMR) > 0 {
		keys[provider+":amr"] = c.AMR
	}
	if provider == "token.actions.githubusercontent.com" {
		for _, name := range githubClaims {
			if v, ok := all[name].(string); ok {
				keys[provider+":"+name] = []string{v}
			}
		}
	}
	return keys
}
