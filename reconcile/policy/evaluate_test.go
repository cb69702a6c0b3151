package policy_test

import (
	"strings"
	"testing"

	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
)

func TestEvaluate(t *testing.T) {
	t.Parallel()
	joe := policy.Principal{Type: "AWS", ID: "arn:aws:iam::123456789012:user/joe"}
	session := policy.Principal{Type: "AWS", ID: "arn:aws:sts::123456789012:assumed-role/r/s"}
	root := policy.Principal{Type: "AWS", ID: "arn:aws:iam::123456789012:root"}
	foreign := policy.Principal{Type: "AWS", ID: "arn:aws:iam::210987654321:user/joe"}
	all := `"Effect":"Allow","Action":"*","Resource":"*"`
	bucket := func(principal string) policy.Set {
		return policy.Set{Resource: identity(`{"Effect":"Allow","Principal":` + principal + `,"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}`).Identity[0]}
	}
	role := func(principal string) policy.Set {
		return policy.Set{Trust: identity(`{"Effect":"Allow","Principal":` + principal + `,"Action":["sts:AssumeRole","sts:AssumeRoleWithWebIdentity"]}`).Identity[0]}
	}
	with := func(sets ...policy.Set) policy.Set {
		var s policy.Set
		for _, other := range sets {
			s.Identity = append(s.Identity, other.Identity...)
			s.Session = append(s.Session, other.Session...)
			for to, from := range map[**policy.Policy]*policy.Policy{&s.Boundary: other.Boundary, &s.Resource: other.Resource, &s.Trust: other.Trust} {
				if from != nil {
					*to = from
				}
			}
		}
		return s
	}
	boundary := policy.Set{Boundary: identity(`{"Effect":"Allow","Action":"sqs:*","Resource":"*"}`).Identity[0]}
	statement := func(text string) policy.Set { return identity("{" + text + "}") }

	tests := []struct {
		name    string
		set     policy.Set
		request policy.Request
		want    string
	}{
		{"nothing", policy.Set{}, policy.Request{}, "no identity-based policy allows it"},
		{"allowed", statement(all), policy.Request{}, "allowed by statement 0 of the identity-based policy p"},
		{"denied", identity("{" + all + `},{"Sid":"Keep","Effect":"Deny","Action":"s3:get*","Resource":"*"}`), policy.Request{}, "denied by statement Keep of the identity-based policy p"},
		{"boundary", with(statement(all), boundary), policy.Request{}, "no permissions boundary allows it"},
		{"within the boundary", with(statement(all), boundary), policy.Request{Action: "sqs:SendMessage"}, "allowed by statement 0 of the identity-based policy p"},
		{"session policy", with(statement(all), policy.Set{Session: boundary.Identity}, policy.Set{Session: []*policy.Policy{boundary.Boundary}}), policy.Request{Principal: session}, "no session policy allows it"},
		{"bucket policy", bucket(`{"AWS":"arn:aws:iam::123456789012:user/joe"}`), policy.Request{}, "allowed by statement 0 of the resource-based policy p"},
		{"bucket policy for a user within a boundary", with(bucket(`{"AWS":"arn:aws:iam::123456789012:user/joe"}`), boundary), policy.Request{}, "allowed by statement 0 of the resource-based policy p"},
		{"bucket policy for a role within a boundary", with(bucket(`{"AWS":"arn:aws:iam::123456789012:role/r"}`), boundary), policy.Request{Principal: session}, "no identity-based policy allows it"},
		{"bucket policy for a role with a path", bucket(`{"AWS":"arn:aws:iam::123456789012:role/team/r"}`), policy.Request{Principal: session, Context: map[string][]string{"aws:PrincipalArn": {"arn:aws:iam::123456789012:role/team/r"}}}, "allowed by statement 0 of the resource-based policy p"},
		{"bucket policy for the account", bucket(`{"AWS":"123456789012"}`), policy.Request{}, "no identity-based policy allows it"},
		{"another account: its policy alone", statement(all), policy.Request{Principal: foreign}, "no resource-based policy allows it"},
		{"another account: the bucket's alone", bucket(`{"AWS":"210987654321"}`), policy.Request{Principal: foreign}, "no identity-based policy allows it"},
		{"another account: both", with(statement(all), bucket(`{"AWS":"210987654321"}`)), policy.Request{Principal: foreign}, "allowed by statement 0 of the identity-based policy p"},
		{"anonymous", bucket(`"*"`), policy.Request{Principal: policy.Principal{Type: "-"}}, "allowed by statement 0 of the resource-based policy p"},
		{"root", policy.Set{}, policy.Request{Principal: root}, "allowed"},
		{"root and a denial", policy.Set{Resource: identity(`{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`).Identity[0]}, policy.Request{Principal: root}, "denied by statement 0 of the resource-based policy p"},
		{"GetCallerIdentity", statement(`"Effect":"Deny","Action":"*","Resource":"*"`), policy.Request{Action: "sts:GetCallerIdentity"}, "allowed"},

		{"a role that trusts the account", role(`{"AWS":"123456789012"}`), policy.Request{Action: "sts:AssumeRole", Resource: "arn:aws:iam::123456789012:role/t"}, "no identity-based policy allows it"},
		{"and the caller may", with(statement(all), role(`{"AWS":"123456789012"}`)), policy.Request{Action: "sts:AssumeRole", Resource: "arn:aws:iam::123456789012:role/t"}, "allowed by statement 0 of the identity-based policy p"},
		{"a role that trusts somebody else", with(statement(all), role(`{"Service":"ecs-tasks.amazonaws.com"}`)), policy.Request{Action: "sts:AssumeRole", Resource: "arn:aws:iam::123456789012:role/t"}, "no role trust policy allows it"},
		{"a role that trusts the caller", role(`{"AWS":"arn:aws:iam::123456789012:user/joe"}`), policy.Request{Action: "sts:AssumeRole", Resource: "arn:aws:iam::123456789012:role/t"}, "allowed by statement 0 of the role trust policy p"},
		{"root assumes no role", with(statement(all), role(`{"AWS":"123456789012"}`)), policy.Request{Principal: root, Action: "sts:AssumeRole", Resource: "arn:aws:iam::123456789012:role/t"}, "no role trust policy allows it"},
		{"a service", role(`{"Service":"ecs-tasks.amazonaws.com"}`), policy.Request{Principal: policy.Principal{Type: "Service", ID: "ecs-tasks.amazonaws.com"}, Action: "sts:AssumeRole", Resource: "arn:aws:iam::123456789012:role/t"}, "allowed by statement 0 of the role trust policy p"},
		{"a deleted principal", bucket(`{"AWS":"AIDAJQABLZS4A3QDU576Q"}`), policy.Request{}, "no identity-based policy allows it"},

		{"NotPrincipal", with(statement(all), policy.Set{Resource: identity(`{"Effect":"Deny","NotPrincipal":{"AWS":["arn:aws:iam::123456789012:user/joe","123456789012"]},"Action":"*","Resource":"*"}`).Identity[0]}), policy.Request{}, "allowed by statement 0 of the identity-based policy p"},
		{"NotPrincipal without the account", with(statement(all), policy.Set{Resource: identity(`{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::123456789012:user/joe"},"Action":"*","Resource":"*"}`).Identity[0]}), policy.Request{}, "unknown: NotPrincipal names the caller and not its account or role, which AWS may then deny as a whole"},

		{"an incomplete ARN", statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3"`), policy.Request{}, "allowed by statement 0 of the identity-based policy p"},
		{"a wildcard ends at a colon", statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:logs:*:log-group:x"`), policy.Request{Action: "logs:PutLogEvents", Resource: "arn:aws:logs:us-east-1:123456789012:log-group:x"}, "no identity-based policy allows it"},
		{"no resource", statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::*"`), policy.Request{Action: "s3:ListAllMyBuckets", Resource: "*"}, "no identity-based policy allows it"},
		{"the case of a resource", statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::B/*"`), policy.Request{}, "no identity-based policy allows it"},
		{"a default", statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/team, 'k'}"`), policy.Request{}, "allowed by statement 0 of the identity-based policy p"},
		{"an escape", statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b/${*}"`), policy.Request{}, "no identity-based policy allows it"},
		{"a value is no pattern", statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/team}"`), policy.Request{Context: map[string][]string{"AWS:principaltag/team": {"*"}}}, "no identity-based policy allows it"},

		{"several values for one", statement(all + `,"Condition":{"StringEquals":{"x:y":"a"}}`), policy.Request{Context: map[string][]string{"x:y": {"a", "b"}}}, "unknown: x:y has several values, and StringEquals is for one"},
		{"an operator that is not known", statement(all + `,"Condition":{"StringSounds":{"x:y":"a"}}`), policy.Request{}, "unknown: the condition operator StringSounds is not known"},
		{"what is not known", statement(all + `,"Condition":{"StringEquals":{"x:y":"a"}}`), policy.Request{Partial: true}, "unknown: it depends on x:y"},
		{"what is not known and does not matter", identity("{" + all + `},{` + all + `,"Condition":{"StringEquals":{"x:y":"a"}}}`), policy.Request{Partial: true}, "allowed by statement 0 of the identity-based policy p"},
		{"what is not known and may deny", identity("{" + all + `},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"x:y":"a"}}}`), policy.Request{Partial: true}, "unknown: it depends on x:y"},
		{"a variable that is not known", statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b/${x:y}"`), policy.Request{Partial: true}, "unknown: it depends on x:y"},
		{"a policy that is not at hand", policy.Set{Identity: []*policy.Policy{policy.Unknown("P", "it is AWS's")}}, policy.Request{}, "unknown: P: it is AWS's"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			req := test.request
			switch req.Principal.Type {
			case "":
				req.Principal = joe
			case "-":
				req.Principal = policy.Principal{}
			}
			if req.Action == "" {
				req.Action = "s3:GetObject"
			}
			if req.Resource == "" {
				req.Resource = "arn:aws:s3:::b/k"
			}
			req.Account = account
			if got := policy.Evaluate(req, test.set).String(); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		condition string
		value     string // "" is an absent key
		want      bool
	}{
		{`"StringEquals":{"k":["a","b"]}`, "b", true},
		{`"StringEquals":{"k":"a*"}`, "ab", false},
		{`"StringEquals":{"k":"a"}`, "", false},
		{`"StringEqualsIfExists":{"k":"a"}`, "", true},
		{`"StringEqualsIfExists":{"k":"a"}`, "b", false},
		{`"StringNotEquals":{"k":["a","b"]}`, "b", false},
		{`"StringNotEquals":{"k":["a","b"]}`, "", true},
		{`"StringEqualsIgnoreCase":{"k":"Straße"}`, "strAßE", true},
		{`"StringLike":{"k":"a?c*"}`, "abcd", true},
		{`"StringLike":{"k":"a?c"}`, "aéc", true},
		{`"StringNotLike":{"k":"a*"}`, "abcd", false},
		{`"stringlike":{"K":"a*"}`, "abcd", true},
		{`"NumericEquals":{"k":"10"}`, "10.0", true},
		{`"NumericLessThan":{"k":"10"}`, "9.99", true},
		{`"NumericLessThan":{"k":"10"}`, "ten", false},
		{`"NumericNotEquals":{"k":"10"}`, "ten", false},
		{`"NumericNotEquals":{"k":"10"}`, "0x0a", false},
		{`"NumericGreaterThanEquals":{"k":10}`, "10", true},
		{`"DateLessThan":{"k":"2030-01-01T00:00:00Z"}`, "2029-12-31T23:59:59Z", true},
		{`"DateEquals":{"k":"2030-01-01T02:00:00+02:00"}`, "1893456000", true},
		{`"DateGreaterThan":{"k":"2030-01-01"}`, "2030-01-01T00:00:00.5Z", true},
		{`"Bool":{"k":true}`, "TRUE", true},
		{`"Bool":{"k":"true"}`, "yes", false},
		{`"BinaryEquals":{"k":"QmluYXJ5"}`, "QmluYXJ5", true},
		{`"IpAddress":{"k":"10.0.0.0/8"}`, "10.255.255.255", true},
		{`"IpAddress":{"k":"10.0.0.0/8"}`, "::ffff:10.0.0.1", true},
		{`"IpAddress":{"k":"10.0.0.0/8"}`, "2001:db8::1", false},
		{`"NotIpAddress":{"k":"10.0.0.0/8"}`, "2001:db8::1", true},
		{`"NotIpAddress":{"k":"10.0.0.0/8"}`, "nowhere", false},
		{`"IpAddress":{"k":"2001:db8::/32"}`, "2001:db8::1", true},
		{`"ArnLike":{"k":"arn:aws:s3:::b*"}`, "arn:aws:s3:::b/k", true},
		{`"ArnEquals":{"k":"arn:aws:sqs:*:*:q"}`, "arn:aws:sqs:r:1:q", true},
		{`"ArnLike":{"k":"arn:aws:sqs:*:q"}`, "arn:aws:sqs:r:1:q", false},
		{`"ArnNotLike":{"k":"arn:aws:s3:::b*"}`, "b", false},
		{`"Null":{"k":"true"}`, "", true},
		{`"Null":{"k":false}`, "", false},
		{`"ForAllValues:StringEquals":{"k":["a","b"]}`, "a,b", true},
		{`"ForAllValues:StringEquals":{"k":["a","b"]}`, "a,c", false},
		{`"ForAllValues:StringEquals":{"k":["a","b"]}`, "", true},
		{`"ForAnyValue:StringEquals":{"k":["a","b"]}`, "c,b", true},
		{`"ForAnyValue:StringEquals":{"k":["a","b"]}`, "", false},
		{`"ForAnyValue:StringNotEquals":{"k":["a"]}`, "a,b", true},
		{`"ForAllValues:StringNotEquals":{"k":["a"]}`, "a,b", false},
	}
	for _, test := range tests {
		t.Run(test.condition+" "+test.value, func(t *testing.T) {
			t.Parallel()
			set := identity(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{` + test.condition + `}}`)
			req := policy.Request{Principal: somePrincipals[0], Action: "s3:GetObject", Resource: "arn:aws:s3:::b"}
			if test.value != "" {
				req.Context = map[string][]string{"k": strings.Split(test.value, ",")}
			}
			if got := policy.Evaluate(req, set); (got.Verdict == policy.Allow) != test.want || got.Verdict == policy.Undecided {
				t.Errorf("%s, want %v", got, test.want)
			}
		})
	}
}

func TestCompile(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, doc, want string }{
		{"no JSON", "x", "invalid character"},
		{"no effect", statement(`"Action":"*","Resource":"*"`), "statement 0: it has no Effect"},
		{"another effect", statement(`"Effect":"Maybe","Action":"*"`), "statement 0: effect Maybe is neither Allow nor Deny"},
		{"no action", statement(`"Sid":"A","Effect":"Allow","Resource":"*"`), "statement A: it has neither Action nor NotAction"},
		{"both", statement(`"Effect":"Allow","Action":"*","NotAction":"*"`), "it has both Action and NotAction"},
		{"an element that does not exist", statement(`"Effect":"Allow","Action":"*","Ressource":"*"`), "there is no element Ressource"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if _, err := policy.Compile("p", []byte(test.doc)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestGrants(t *testing.T) {
	t.Parallel()
	scope := policy.Scope{Principal: somePrincipals[0], Account: account, Actions: someActions}
	set := identity(`{"Sid":"RW","Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::b/*","Condition":{"Bool":{"aws:SecureTransport":"true"}}},
		{"Sid":"Mine","Effect":"Allow","Action":"s3:DeleteObject","Resource":"arn:aws:s3:::b/${aws:username}/*"},
		{"Sid":"Locked","Effect":"Deny","Action":"*","Resource":"arn:aws:s3:::b/locked/*"}`)
	unknown := policy.Set{Identity: append([]*policy.Policy{policy.Unknown("P", "it is AWS's")}, set.Identity...)}
	tests := []struct {
		name             string
		set              policy.Set
		action, resource string
		allowed, denied  string // resources
		why              string
	}{
		{"all of it", set, "s3:GetObject", "arn:aws:s3:::b/open/*", "arn:aws:s3:::b/open/x", "", ""},
		{"some of it", set, "s3:GetObject", "arn:aws:s3:::b/*", "arn:aws:s3:::b/x", "arn:aws:s3:::b/locked/x", ""},
		{"one's own", set, "s3:DeleteObject", "arn:aws:s3:::b/joe/*", "arn:aws:s3:::b/joe/x", "", ""},
		{"nothing", set, "iam:*", "*", "", "*", ""},
		{"nothing that is denied", set, "s3:*", "arn:aws:s3:::b/locked/*", "", "arn:aws:s3:::b/locked/x", ""},
		{"not at hand", unknown, "iam:*", "*", "", "arn:aws:s3:::b/locked/x", "P: it is AWS's"},
		{"denied all the same", unknown, "s3:*", "arn:aws:s3:::b/locked/*", "", "arn:aws:s3:::b/locked/x", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := policy.Grants(scope, test.set, test.action, test.resource)
			resource := func(r *policy.Request) string {
				if r == nil {
					return ""
				}
				return r.Resource
			}
			if (g.Allowed != nil) != (test.allowed != "") || (g.Denied != nil) != (test.denied != "") || g.Why != test.why {
				t.Errorf("allowed %s, denied %s, why %q; want %+v", resource(g.Allowed), resource(g.Denied), g.Why, test)
			}
			if g.Allowed != nil && policy.Evaluate(*g.Allowed, test.set).Verdict != policy.Allow {
				t.Errorf("not allowed: %+v", *g.Allowed)
			}
			if g.Allowed != nil && g.By.Statement == "" {
				t.Error("allowed by no statement")
			}
			if g.Denied != nil && policy.Evaluate(*g.Denied, test.set).Verdict == policy.Allow {
				t.Errorf("not denied: %+v", *g.Denied)
			}
		})
	}
}

func BenchmarkEvaluate(b *testing.B) {
	set := identity(`{"Effect":"Allow","Action":["s3:Get*","s3:PutObject"],"Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]},
		{"Effect":"Allow","Action":"ecr:*","Resource":"arn:aws:ecr:*:123456789012:repository/ml-*"},
		{"Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::123456789012:role/*","Condition":{"StringEquals":{"iam:PassedToService":"ecs-tasks.amazonaws.com"}}}`)
	req := policy.Request{Principal: somePrincipals[0], Action: "iam:PassRole", Resource: "arn:aws:iam::123456789012:role/r", Context: map[string][]string{"iam:passedtoservice": {"ecs-tasks.amazonaws.com"}}}
	b.ReportAllocs()
	for b.Loop() {
		if policy.Evaluate(req, set).Verdict != policy.Allow {
			b.Fatal("not allowed")
		}
	}
}

// BenchmarkAccess compares two policies of the size that IAM allows.
func BenchmarkAccess(b *testing.B) {
	var statements []string
	for i := range 12 {
		n := string(rune('a' + i))
		statements = append(statements, `{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject`+n+`","ecs:Run`+n+`*","ecr:Batch`+n+`*","logs:Get`+n+`"],"Resource":["arn:aws:s3:::bucket-`+n+`","arn:aws:s3:::bucket-`+n+`/*"],"Condition":{"StringEquals":{"aws:RequestedRegion":["eu-west-1","eu-`+n+`"]}}}`)
	}
	before, after := identity(strings.Join(statements, ",")), identity(strings.Join(statements[1:], ","))
	scope := policy.Scope{Principal: somePrincipals[2], Account: account}
	for b.Loop() {
		if len(policy.Access(scope, before, after)) == 0 {
			b.Fatal("no changes")
		}
	}
}
