package sandbox

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
)

// A need is one action that a call has to be allowed, on one resource.
// https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
type need struct {
	action   string
	resource string              // an ARN; "*" where the action knows no resource
	says     string              // what AWS's message calls the resource; "" is its ARN
	keys     map[string][]string // condition keys of this action on this resource

	policy string         // the resource's own policy; "" is none
	trust  *policy.Policy // of the role that is to be assumed
}

// needs lists what an operation needs. It runs before the operation looks at
// its input, so it takes anything for an input, and names what does not exist
// as best it can: AWS refuses first and validates after.
type needs func(*state, *request) []need

// byHandler is an operation whose handler asks for what it needs.
func byHandler(*state, *request) []need { return nil }

// anyResource is an operation whose action knows no resource.
func anyResource(_ *state, r *request) []need { return []need{needed(r.action(), "*")} }

// theseNeed puts several operations of the same needs into a table.
func theseNeed(table map[string]needs, what needs, operations ...string) {
	for _, name := range operations {
		table[name] = what
	}
}

func needed(action, resource string) need {
	return need{action: action, resource: resource, keys: map[string][]string{}}
}

// with gives a condition key, which is absent where it has no value.
func (n need) with(key string, values ...string) need {
	values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	if len(values) > 0 {
		n.keys[key] = values
	}
	return n
}

// tagged gives the keys of the resource's tags, under the names that the
// service has for them besides AWS's.
func (n need) tagged(tags []tag, aliases ...string) need {
	for _, t := range tags {
		for _, prefix := range append(aliases, "aws:ResourceTag/") {
			n.keys[prefix+t.Key] = []string{t.Value}
		}
	}
	return n
}

// tagging gives the keys of the tags that the request brings.
func (n need) tagging(tags []tag) need {
	for _, t := range tags {
		n.keys["aws:RequestTag/"+t.Key] = []string{t.Value}
	}
	return n.with("aws:TagKeys", tagNames(tags)...)
}

func tagNames(tags []tag) []string {
	var names []string
	for _, t := range tags {
		names = append(names, t.Key)
	}
	return names
}

// alsoTagging is what a call needs that creates something with tags: the
// service's tagging action on it as well.
func (n need) alsoTagging(action string, tags []tag) []need {
	n = n.tagging(tags)
	if len(tags) == 0 {
		return []need{n}
	}
	also := n
	also.action = action
	return []need{n, also}
}

// action is the action of the operation's own name.
func (r *request) action() string {
	if r.service == "tagging" {
		return "tag:" + r.operation
	}
	return r.service + ":" + r.operation
}

// arn names a resource of the account.
func (r *request) arn(service, region, resource string) string {
	return fmt.Sprintf("arn:%s:%s:%s:%s:%s", partition(r.region), service, region, r.account, resource)
}

// denied says why the caller may not do something; nil is that it may. A
// sandbox that does not enforce IAM lets everybody do everything.
func (r *request) denied(st *state, all ...need) *apiError { return r.deniedTo(st, r.caller, all...) }

// deniedTo is denied for somebody who acts in the course of the call.
func (r *request) deniedTo(st *state, who principal, all ...need) *apiError {
	if !r.enforced {
		return nil
	}
	for _, n := range all {
		if d := st.IAM.decide(r, who, n); d.Verdict != policy.Allow {
			return accessDenied(r, who, n, d)
		}
	}
	return nil
}

// authorize says why the caller may not make the call; nil is that it may.
// Policies are looked at as they are, whatever reads are shown.
func (s service) authorize(st *state, r *request) *apiError {
	if !r.enforced {
		return nil
	}
	if r.caller.kind == "" && r.service != "s3" && r.operation != "AssumeRoleWithWebIdentity" {
		return s.unsigned()
	}
	list, ok := s.needs[r.operation]
	if !ok {
		return s.internal(fmt.Errorf("the sandbox has no rule for who may call %s", r.action()))
	}
	return r.denied(st, list(st, r)...)
}

// decide evaluates what somebody may do.
func (st *iamState) decide(r *request, who principal, n need) policy.Decision {
	set := st.policies(who)
	set.Trust = n.trust
	if n.policy != "" {
		set.Resource = compilePolicy("of the resource", n.policy)
	}
	context := st.context(r, who)
	maps.Copy(context, n.keys)
	return policy.Evaluate(policy.Request{
		Principal: policy.Principal{Type: who.kind, ID: who.ARN},
		Action:    n.action,
		Resource:  n.resource,
		Account:   r.account, // nothing here is another account's
		Context:   context,
	}, set)
}

// policies are those of a caller, as they are now.
func (st *iamState) policies(who principal) policy.Set {
	var set policy.Set
	add := func(id *identity) {
		for _, arn := range id.Attached {
			set.Identity = append(set.Identity, st.managed(arn))
		}
		for name, doc := range id.Inline {
			set.Identity = append(set.Identity, compilePolicy(name, doc))
		}
	}
	var id *identity
	switch {
	case who.user != nil:
		id = &who.user.identity
		for _, name := range who.user.Groups {
			if g := st.Groups[strings.ToLower(name)]; g != nil {
				add(&g.identity)
			}
		}
	case who.role != nil:
		id = &who.role.identity
	}
	if id != nil {
		add(id)
		if id.Boundary != "" {
			set.Boundary = st.managed(id.Boundary)
		}
	}
	if who.session != nil {
		for i, doc := range who.session.Policies {
			set.Session = append(set.Session, compilePolicy("policy "+strconv.Itoa(i)+" of the session", doc))
		}
		for _, arn := range who.session.PolicyARNs {
			set.Session = append(set.Session, st.managed(arn))
		}
	}
	return set
}

// managed compiles the default version of a managed policy.
func (st *iamState) managed(arn string) *policy.Policy {
	p := st.policy(arn)
	if p == nil {
		return &policy.Policy{Name: arn} // it was deleted, and allows nothing
	}
	return compilePolicy(arn, p.version(p.Default).Document)
}

func compilePolicy(name, doc string) *policy.Policy {
	p, err := policy.Compile(name, []byte(doc))
	if err != nil {
		return policy.Unknown(name, err.Error())
	}
	return p
}

// context has the condition keys that every request has.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
//
// The sandbox stands for AWS's own endpoints, to which everybody speaks TLS.
func (st *iamState) context(r *request, who principal) map[string][]string {
	now := r.now
	address, _, err := net.SplitHostPort(r.http.RemoteAddr)
	if err != nil {
		address = r.http.RemoteAddr
	}
	c := map[string][]string{
		"aws:CurrentTime":           {now.Format(time.RFC3339)},
		"aws:EpochTime":             {strconv.FormatInt(now.Unix(), 10)},
		"aws:SecureTransport":       {"true"},
		"aws:SourceIp":              {address},
		"aws:UserAgent":             {r.http.UserAgent()},
		"aws:RequestedRegion":       {r.region},
		"aws:ResourceAccount":       {r.account},
		"aws:PrincipalIsAWSService": {strconv.FormatBool(who.kind == "Service")},
		"aws:ViaAWSService":         {"false"},
	}
	if referer := r.http.Referer(); referer != "" {
		c["aws:Referer"] = []string{referer}
	}
	if who.ID != "" {
		c["aws:userid"] = []string{who.ID}
	}
	tags := map[string]string{}
	switch {
	case who.user != nil:
		for _, t := range who.user.Tags {
			tags[t.Key] = t.Value
		}
	case who.role != nil:
		c["aws:PrincipalArn"] = []string{who.role.Arn} // with its path, unlike the session's ARN
		for _, t := range who.role.Tags {
			tags[t.Key] = t.Value
		}
	}
	if s := who.session; s != nil {
		for _, t := range s.Tags {
			tags[t.Key] = t.Value
		}
		c["aws:TokenIssueTime"] = []string{s.Issued.Format(time.RFC3339)}
		c["aws:MultiFactorAuthPresent"] = []string{"false"}
		if s.Provider != "" {
			c["aws:FederatedProvider"] = []string{s.Provider}
		}
		if s.SourceIdentity != "" {
			c["aws:SourceIdentity"] = []string{s.SourceIdentity}
		}
		maps.Copy(c, s.Claims)
	}
	for k, v := range tags {
		c["aws:PrincipalTag/"+k] = []string{v}
	}
	return c
}

// accessDenied is AWS's error for what is not allowed.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
func accessDenied(r *request, who principal, n need, d policy.Decision) *apiError {
	e := &apiError{http.StatusForbidden, "AccessDenied", ""}
	if r.form == nil && r.service != "s3" {
		e.status, e.code = http.StatusBadRequest, "AccessDeniedException"
	}
	switch {
	case r.operation == "AssumeRoleWithWebIdentity":
		e.message = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
		return e
	case who.kind == "":
		e.message = "Access Denied"
		return e
	case r.enforced && who.root() && n.trust != nil:
		e.message = "Roles may not be assumed by root accounts."
		return e
	}
	e.message = fmt.Sprintf("User: %s is not authorized to perform: %s", who.ARN, n.action)
	switch {
	case n.resource == "*" && r.service == "s3":
	case n.says != "":
		e.message += " on resource: " + n.says
	default:
		e.message += " on resource: " + n.resource
	}
	switch {
	case d.Verdict == policy.ExplicitDeny:
		e.message += " with an explicit deny in " + article(d.Kind)
	case d.Verdict == policy.Undecided:
		e.message += ", as far as the sandbox can tell: " + d.Why
	case d.Kind != policy.Trust:
		e.message += fmt.Sprintf(" because no %s allows the %s action", d.Kind, n.action)
	}
	return e
}

func article(k policy.Kind) string {
	if k == policy.Identity {
		return "an " + k.String()
	}
	return "a " + k.String()
}
