package policy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
)

// variable is what stands for any text where a request is not at hand.
var variable = regexp.MustCompile(`\$\{[^*?$][^}]*\}`)

// A reader reads the names that changes have, "A and B except C, D", with
// Evaluate for the patterns.
type reader map[[2]string]policy.Set

func (r reader) named(t testing.TB, text, element string, req policy.Request) bool {
	if text == "requests without a resource" {
		return req.Resource == "*"
	}
	req.Account, req.Principal, req.Context = account, somePrincipals[0], nil
	is := func(pattern string) bool {
		set, ok := r[[2]string{element, pattern}]
		if !ok {
			s := map[string]string{"Effect": "Allow", "Action": "*", "Resource": "*"}
			s[element] = strings.ReplaceAll(pattern, "\x00", "*")
			doc, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": s})
			if err != nil {
				t.Fatal(err)
			}
			set = policy.Set{Identity: []*policy.Policy{compile(t, doc)}}
			r[[2]string{element, pattern}] = set
		}
		return policy.Evaluate(req, set).Verdict == policy.Allow
	}
	in, out, _ := strings.Cut(variable.ReplaceAllString(text, "\x00"), " except ")
	for _, p := range strings.Split(in, " and ") {
		if !is(p) {
			return false
		}
	}
	return out == "" || !slices.ContainsFunc(strings.Split(out, ", "), func(p string) bool {
		return !strings.Contains(p, "\x00") && is(p)
	})
}

// covers says whether a request is among those that a change is about, by the
// words of its String alone. Other users are those that are not known.
func (r reader) covers(t testing.TB, c policy.Change, req policy.Request, known []string) bool {
	return calls(c.Principal, req.Principal, known) && r.named(t, c.Action, "Action", req) && (c.Resource == "" || r.named(t, c.Resource, "Resource", req))
}

func calls(text string, p policy.Principal, named []string) bool {
	session := strings.Split(p.ID, "/")
	isSession := strings.Contains(p.ID, ":assumed-role/")
	one := func(name string) bool {
		id, isAccount := strings.CutPrefix(name, "account ")
		id, out, _ := strings.Cut(id, " except ")
		if isAccount {
			return strings.Contains(p.ID, ":"+id+":") && !slices.Contains(strings.Split(out, " and "), p.ID) &&
				!(isSession && slices.Contains(strings.Split(out, " and "), role(session[0], session[1])))
		}
		kind, of, isRest := strings.Cut(strings.TrimPrefix(name, "other "), " of ")
		if account, ok := strings.CutPrefix(of, "account "); isRest {
			if isSession && slices.Contains(named, role(session[0], session[1])) {
				return false
			}
			is := kind == "users" && strings.Contains(p.ID, ":user/") || kind == "roles" && len(session) > 1 && !strings.Contains(p.ID, ":user/")
			in := func(account string) bool { return strings.Contains(p.ID, ":"+account+":") }
			return is && !slices.Contains(named, p.ID) && (ok && in(account) || !ok && !slices.ContainsFunc(named, in))
		}
		// A role's name is for its sessions, too, that have none of their own.
		return name == p.ID || p.Type == "" && name == "anyone" ||
			isSession && name == role(session[0], session[1]) && !slices.Contains(named, p.ID)
	}
	if out, ok := strings.CutPrefix(text, "anyone except "); ok {
		return !slices.ContainsFunc(strings.Split(out, ", "), one)
	}
	return text == "" || text == "anyone" || one(text)
}

// role is a session's role.
func role(prefix, name string) string {
	return strings.Replace(strings.TrimSuffix(prefix, "assumed-role"), ":sts:", ":iam:", 1) + "role/" + name
}

// A pair is two sets and the scope that they are compared in.
type pair struct {
	scope         policy.Scope
	before, after policy.Set
	docs          [2][]json.RawMessage
}

// modern makes variables of what would be text, so that a change's words say
// which it is.
func modern(doc json.RawMessage) json.RawMessage {
	return bytes.Replace(doc, []byte("2008-10-17"), []byte("2012-10-17"), 1)
}

func randomPair(t testing.TB, r *rand.Rand) pair {
	var p pair
	kind := r.IntN(4)
	documents := func(resource, trust bool) []json.RawMessage {
		var docs []json.RawMessage
		for range r.IntN(3) {
			docs = append(docs, modern(randomPolicy(r, resource, trust)))
		}
		return docs
	}
	p.scope = policy.Scope{Account: account, Actions: someActions}
	p.docs[0] = documents(kind == 3, false)
	switch p.docs[1] = slices.Clone(p.docs[0]); {
	case r.IntN(3) == 0:
		p.docs[1] = documents(kind == 3, false)
	case len(p.docs[1]) > 0 && r.IntN(2) == 0:
		p.docs[1] = p.docs[1][1:]
	default:
		p.docs[1] = append(p.docs[1], modern(randomPolicy(r, kind == 3, false)))
	}
	var boundary *policy.Policy
	if kind == 2 {
		boundary = compile(t, modern(randomPolicy(r, false, false)))
	}
	if kind != 3 {
		p.scope.Principal = pick(r, somePrincipals[:4])
	}
	for i, set := range []*policy.Set{&p.before, &p.after} {
		if kind == 3 { // one policy of a resource, of all statements
			set.AnyCaller = true
			var whole struct {
				Version   string
				Statement []json.RawMessage
			}
			for _, doc := range p.docs[i] {
				before := whole.Statement
				whole.Statement = nil
				if err := json.Unmarshal(doc, &whole); err != nil {
					t.Fatal(err)
				}
				whole.Statement = append(before, whole.Statement...)
			}
			if len(p.docs[i]) > 0 {
				doc, err := json.Marshal(whole)
				if err != nil {
					t.Fatal(err)
				}
				set.Resource = compile(t, doc)
			}
			continue
		}
		set.Boundary = boundary
		for _, doc := range p.docs[i] {
			set.Identity = append(set.Identity, compile(t, doc))
		}
	}
	return p
}

// universe is the requests that brute force tries.
func (p pair) universe(r *rand.Rand) []policy.Request {
	var all []policy.Request
	principals := []policy.Principal{p.scope.Principal}
	if p.scope.Principal.Type == "" {
		principals = somePrincipals
	}
	contexts := []map[string][]string{{}}
	for range 5 {
		contexts = append(contexts, randomContext(r))
	}
	for _, principal := range principals {
		for _, action := range append([]string{"s3:GetX", "x:y"}, someActions...) {
			for _, resource := range append([]string{"*", "arn:aws:x:::y"}, someResources...) {
				for _, context := range contexts {
					all = append(all, policy.Request{Principal: principal, Action: action, Resource: resource, Account: account, Context: context})
				}
			}
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(len(all), 400)]
}

// TestAccessByBruteForce holds Access to what Evaluate says of many requests:
// each that changes is in a change, and each that is in a change and hangs on
// no condition changes.
func TestAccessByBruteForce(t *testing.T) {
	t.Parallel()
	r := newRand(t)
	counts := map[string]int{}
	words := reader{}
	for round := range times(40) {
		p := randomPair(t, r)
		changes := policy.Access(p.scope, p.before, p.after)
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("round %d: %s\nbefore %s\nafter  %s\n%v", round, fmt.Sprintf(format, args...), p.docs[0], p.docs[1], changes)
		}
		if again := policy.Access(p.scope, p.before, p.after); fmt.Sprint(again) != fmt.Sprint(changes) {
			fail("another answer: %v", again)
		}
		known := []string{account}
		docs := fmt.Sprintf("%s", p.docs)
		if strings.Contains(docs, other) {
			known = append(known, other)
		}
		for _, id := range somePrincipals {
			if id.ID != "" && strings.Contains(docs, `"`+id.ID+`"`) {
				known = append(known, id.ID)
			}
			if parts := strings.Split(id.ID, "/"); len(parts) == 3 && strings.Contains(parts[0], "assumed-role") && strings.Contains(docs, `"`+role(parts[0], parts[1])+`"`) {
				known = append(known, role(parts[0], parts[1]))
			}
		}
		for _, c := range changes {
			counts[fmt.Sprint("changes of direction ", c.Direction)]++
			if c.Direction == policy.Unclear {
				continue
			}
			a, b := p.before, p.after
			if c.Direction == policy.Loses {
				a, b = b, a
			}
			if policy.Evaluate(c.Witness, a).Verdict == policy.Allow || policy.Evaluate(c.Witness, b).Verdict != policy.Allow {
				fail("%v: no witness: %+v", c, c.Witness)
			}
			if !words.covers(t, c, c.Witness, known) {
				fail("%v: another request as witness: %+v", c, c.Witness)
			}
		}
		for _, req := range p.universe(r) {
			a, b := policy.Evaluate(req, p.before), policy.Evaluate(req, p.after)
			if a.Verdict == policy.Undecided || b.Verdict == policy.Undecided {
				continue
			}
			direction, differs := policy.Gains, (a.Verdict == policy.Allow) != (b.Verdict == policy.Allow)
			if a.Verdict == policy.Allow {
				direction = policy.Loses
			}
			if differs {
				counts["requests that change"]++
				if !slices.ContainsFunc(changes, func(c policy.Change) bool {
					return (c.Direction == direction || c.Direction == policy.Unclear) && words.covers(t, c, req, known)
				}) {
					fail("missed (direction %d): %+v", direction, req)
				}
			}
			for _, c := range changes {
				if c.Direction == policy.Unclear || c.Condition != "" || !words.covers(t, c, req, known) || strings.Contains(c.Resource, "${aws") {
					continue
				}
				if !differs || direction != c.Direction {
					fail("%v: not so: %+v", c, req)
				}
			}
		}
	}
	for _, name := range sortedKeys(counts) {
		t.Logf("%6d %s", counts[name], name)
	}
}

func identity(statements string) policy.Set {
	p, err := policy.Compile("p", []byte(`{"Version":"2012-10-17","Statement":[`+statements+`]}`))
	if err != nil {
		panic(err)
	}
	return policy.Set{Identity: []*policy.Policy{p}}
}

func resource(statements string) policy.Set {
	return policy.Set{AnyCaller: true, Resource: identity(statements).Identity[0]}
}

func trust(statements string) policy.Set {
	return policy.Set{AnyCaller: true, Trust: identity(statements).Identity[0]}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	joe := policy.Scope{Principal: somePrincipals[0], Account: account, Actions: someActions}
	bucket := policy.Scope{Account: account, Actions: someActions}
	role := policy.Scope{Account: account, Resource: "arn:aws:iam::123456789012:role/r"}
	tests := []struct {
		name          string
		scope         policy.Scope
		before, after policy.Set
		want          []string
	}{
		{
			name: "attached", scope: joe,
			after: identity(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/*"}`),
			want:  []string{"gains s3:* on arn:aws:s3:::b/*"},
		},
		{
			name: "detached", scope: joe,
			before: identity(`{"Effect":"Allow","Action":"s3:DeleteObject","Resource":"arn:aws:s3:::b/*"}`),
			want:   []string{"loses s3:DeleteObject on arn:aws:s3:::b/*"},
		},
		{
			name: "said otherwise", scope: joe,
			before: identity(`{"Effect":"Allow","Action":["s3:Get*","s3:GetObject"],"Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]}`),
			after:  identity(`{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b"},{"Effect":"Allow","Action":"S3:get*","Resource":"arn:aws:s3:::b/*"}`),
		},
		{
			name: "wider", scope: joe,
			before: identity(`{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b/*"}`),
			after:  identity(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/*"}`),
			want:   []string{"gains s3:* except s3:Get* on arn:aws:s3:::b/*"},
		},
		{
			name: "NotAction", scope: joe,
			before: identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`),
			after:  identity(`{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`),
			want:   []string{"gains * except iam:*, s3:* on *"},
		},
		{
			name: "a condition is implied by another", scope: joe,
			before: identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`),
			after:  identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","10.1.0.0/16"]}}}`),
		},
		{
			name: "conditions", scope: joe,
			before: identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`),
			after:  identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`),
			want:   []string{"loses s3:* on * in some requests, such as with aws:SecureTransport=false"},
		},
		{
			name: "numbers that are next to each other", scope: joe,
			before: identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"NumericLessThan":{"s3:max-keys":"10"}}}`),
			after:  identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"NumericLessThanEquals":{"s3:max-keys":"9.5"}}}`),
			want:   []string{"loses s3:* on * in some requests, such as with s3:max-keys=9.75"},
		},
		{
			name: "the caller's name", scope: joe,
			after: identity(`{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/${aws:username}/*"}`),
			want:  []string{"gains s3:PutObject on arn:aws:s3:::b/joe/*"},
		},
		{
			name: "a variable hides a denial", scope: joe,
			before: identity(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/team}/*"},{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::b/admin/*"}`),
			after:  identity(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/team}/*"}`),
			want:   []string{"gains s3:* on arn:aws:s3:::b/admin/* in some requests, such as with aws:PrincipalTag/team=admin"},
		},
		{
			name: "a default", scope: joe,
			before: identity(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/team, 'ann'}/*","Condition":{"Null":{"aws:PrincipalTag/team":"true"}}}`),
			want:   []string{"loses s3:* on arn:aws:s3:::b/ann/* in some requests, such as with no aws:PrincipalTag/team"},
		},
		{
			name: "another account's role", scope: joe,
			after: identity(`{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::210987654321:role/x"}`),
			want:  []string{"gains sts:AssumeRole on arn:aws:iam::210987654321:role/x"},
		},
		{
			name: "a boundary", scope: joe,
			before: identity(`{"Effect":"Allow","Action":"*","Resource":"*"}`),
			after: policy.Set{
				Identity: identity(`{"Effect":"Allow","Action":"*","Resource":"*"}`).Identity,
				Boundary: identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`).Identity[0],
			},
			want: []string{"loses * except s3:* on *"},
		},
		{
			name: "a policy that is not at hand", scope: joe,
			before: policy.Set{Identity: []*policy.Policy{policy.Unknown("ReadOnlyAccess", "its document is not in the spec")}},
			after:  policy.Set{},
			want:   []string{"unknown: * on *: ReadOnlyAccess: its document is not in the spec"},
		},
		{
			name: "and was attached before", scope: joe,
			before: policy.Set{Identity: []*policy.Policy{policy.Unknown("ReadOnlyAccess", "its document is not in the spec")}},
			after:  policy.Set{Identity: []*policy.Policy{policy.Unknown("ReadOnlyAccess", "its document is not in the spec")}},
		},
		{
			name: "anyone", scope: bucket,
			before: policy.Set{AnyCaller: true},
			after:  resource(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}`),
			want:   []string{"gains s3:GetObject on arn:aws:s3:::b/* for anyone"},
		},
		{
			name: "another account", scope: bucket,
			before: resource(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/r"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}`),
			after:  resource(`{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:role/r","210987654321"]},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}`),
			want:   []string{"gains s3:GetObject on arn:aws:s3:::b/* for account 210987654321"},
		},
		{
			name: "a pull request's token", scope: role,
			before: trust(`{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/token"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"token:sub":"repo:o/r:ref:refs/heads/main"}}}`),
			after:  trust(`{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/token"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringLike":{"token:sub":"repo:o/r:*"}}}`),
			want:   []string{"gains sts:AssumeRoleWithWebIdentity for arn:aws:iam::123456789012:oidc-provider/token in some requests, such as with token:sub=repo:o/r:x"},
		},
		{
			name: "a service", scope: role,
			before: trust(`{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}`),
			after:  trust(`{"Effect":"Allow","Principal":{"Service":["ecs-tasks.amazonaws.com","ec2.amazonaws.com"]},"Action":"sts:AssumeRole"}`),
			want:   []string{"gains sts:AssumeRole for ec2.amazonaws.com"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, c := range policy.Access(test.scope, test.before, test.after) {
				got = append(got, c.String())
				if c.Direction != policy.Unclear && policy.Evaluate(c.Witness, test.after).Verdict == policy.Evaluate(c.Witness, test.before).Verdict {
					t.Errorf("%s: no witness: %+v", c, c.Witness)
				}
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
