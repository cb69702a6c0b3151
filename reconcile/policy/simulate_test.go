package policy_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// simulate asks @cloud-copilot/iam-simulate, which is in the node_modules that
// CHURN_TEST_IAM_SIMULATE names. The policy-oracles script of the checks
// installs it.
func simulate(t *testing.T, questions []question) []string {
	t.Helper()
	modules := os.Getenv("CHURN_TEST_IAM_SIMULATE")
	node, err := exec.LookPath("node")
	if modules == "" || err != nil {
		t.Skip("CHURN_TEST_IAM_SIMULATE names no node_modules with @cloud-copilot/iam-simulate, or there is no node")
	}
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, q := range questions {
		context := map[string]any{}
		for key, values := range q.Request.Context {
			context[key] = values
			if key != "aws:TagKeys" && len(values) == 1 {
				context[key] = values[0]
			}
		}
		if _, name, ok := strings.Cut(q.Request.Principal.ID, ":user/"); ok {
			context["aws:username"] = name[strings.LastIndex(name, "/")+1:]
		}
		if err := enc.Encode(map[string]any{
			"principal": q.Request.Principal.ID, "action": q.Request.Action, "resource": q.Request.Resource, "account": q.Request.Account,
			"context": context, "identity": q.Identity, "boundary": q.Boundary, "session": q.Session, "resourcePolicy": q.ResourcePolicy,
		}); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(node, "testdata/simulate.mjs", modules)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var results []string
	dec := json.NewDecoder(bytes.NewReader(out))
	for dec.More() {
		var result string
		if err := dec.Decode(&result); err != nil {
			t.Fatal(err)
		}
		results = append(results, result)
	}
	if len(results) != len(questions) {
		t.Fatalf("%d answers to %d questions", len(results), len(questions))
	}
	return results
}

// missing says whether a document has a variable without a default that the
// request has no value for, in an element or operator whose name begins so.
func (q question) missing(names ...string) bool {
	for _, doc := range slices.Concat(q.Identity, []json.RawMessage{q.Boundary, q.Session, q.ResourcePolicy}) {
		var d struct{ Statement []map[string]json.RawMessage }
		if json.Unmarshal(doc, &d) != nil {
			continue
		}
		for _, s := range d.Statement {
			var conditions map[string]json.RawMessage
			_ = json.Unmarshal(s["Condition"], &conditions)
			for name, text := range conditions {
				s[name] = text
			}
			for name, text := range s {
				if !slices.ContainsFunc(names, func(n string) bool { return strings.Contains(name, n) }) {
					continue
				}
				_, user := q.Request.Context["aws:username"]
				user = user || strings.Contains(q.Request.Principal.ID, ":user/")
				_, team := q.Request.Context["aws:PrincipalTag/team"]
				if !user && bytes.Contains(text, []byte("${aws:username}")) || !team && bytes.Contains(text, []byte("${aws:PrincipalTag/team}")) {
					return true
				}
			}
		}
	}
	return false
}

func (q question) has(text string) bool {
	for _, doc := range slices.Concat(q.Identity, []json.RawMessage{q.Boundary, q.Session, q.ResourcePolicy}) {
		if bytes.Contains(doc, []byte(text)) {
			return true
		}
	}
	return false
}

// disagreements are the cases in which iam-simulate says something else than
// we do, each with what AWS's documentation says of it. Each has an example,
// so that one that is mended there is noticed.
var disagreements = []struct {
	name, because string
	is            func(q question, ours policy.Decision, theirs string) bool
	example       question
	ours          policy.Verdict
}{
	{
		name: "a grant to a session itself, or to anyone, under a session policy",
		because: "Policy evaluation logic: if a resource-based policy grants permission directly to the session principal that is making the request, " +
			"an implicit deny in an identity-based policy, a permissions boundary, or a session policy does not impact the final decision.",
		is: func(q question, ours policy.Decision, theirs string) bool {
			return q.Session != nil && ours.Verdict == policy.Allow && (ours.Kind == policy.Resource || ours.Kind == policy.Trust) && theirs == "ImplicitlyDenied"
		},
		example: question{
			Session:        doc(`"Effect":"Allow","Action":"sqs:*","Resource":"*"`),
			ResourcePolicy: doc(`"Effect":"Allow","Principal":{"AWS":"arn:aws:sts::123456789012:assumed-role/r/s"},"Action":"s3:*","Resource":"*"`),
			Request:        policy.Request{Principal: policy.Principal{Type: "AWS", ID: "arn:aws:sts::123456789012:assumed-role/r/s"}},
		},
		ours: policy.Allow,
	},
	{
		name: "a variable without a value in NotResource",
		because: "Policy variables with no value: the value is effectively null, there is no equal or like value. So the resource is not like it, " +
			"and NotResource matches what is not like it.",
		is:      func(q question, _ policy.Decision, _ string) bool { return q.missing("NotResource") },
		example: question{Identity: docs(`"Effect":"Allow","Action":"*","NotResource":"arn:aws:s3:::b/${aws:PrincipalTag/team}/*"`)},
		ours:    policy.Allow,
	},
	{
		name:    "a variable without a value under a negated operator",
		because: "Policy variables with no value: inverted condition operators like StringNotEquals or StringNotLike do match against a null value.",
		is:      func(q question, _ policy.Decision, _ string) bool { return q.missing("StringNot", "ArnNot") },
		example: question{
			Identity: docs(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"s3:prefix":"${aws:PrincipalTag/team}"}}`),
			Request:  policy.Request{Context: map[string][]string{"s3:prefix": {"a"}}},
		},
		ours: policy.Allow,
	},
	{
		name:    "ForAnyValue with IfExists and no such key",
		because: "IfExists: if the key is not present, evaluate the condition element as true.",
		is: func(q question, _ policy.Decision, _ string) bool {
			return q.Request.Context["aws:TagKeys"] == nil && q.has("ForAnyValue:String") && q.has("IfExists")
		},
		example: question{Identity: docs(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ForAnyValue:StringEqualsIfExists":{"aws:TagKeys":"a"}}`)},
		ours:    policy.Allow,
	},
	{
		name: "a variable that an ARN's last field begins with",
		because: "Resource: you can use policy variables in the trailing part of the ARN. iam-simulate takes the colon of aws:username " +
			"for the end of a resource type and looks for the text before it.",
		is:      func(q question, _ policy.Decision, _ string) bool { return q.has(":${aws:username}") },
		example: question{Identity: docs(`"Effect":"Allow","Action":"*","Resource":"arn:aws:sqs:*:*:${aws:username}"`), Request: policy.Request{Resource: "arn:aws:sqs:us-east-1:123456789012:joe"}},
		ours:    policy.Allow,
	},
	{
		name: "NotPrincipal with the account of a user",
		because: "NotPrincipal: the policy that names user Bob and the root of his account denies access to everybody but Bob; " +
			"so an account that is named does not spare its users.",
		is: func(q question, ours policy.Decision, _ string) bool {
			return ours.Verdict == policy.ExplicitDeny && q.has(`"NotPrincipal":{"AWS":"123456789012"}`) || q.has(`"NotPrincipal":{"AWS":"arn:aws:iam::210987654321:root"}`)
		},
		example: question{
			Identity:       docs(`"Effect":"Allow","Action":"*","Resource":"*"`),
			ResourcePolicy: doc(`"Effect":"Deny","NotPrincipal":{"AWS":"123456789012"},"Action":"*","Resource":"*"`),
		},
		ours: policy.ExplicitDeny,
	},
	{
		name:    "variables in a document of the old version",
		because: "Version: without 2012-10-17, variables such as ${aws:username} are not recognized as variables and are treated as literal strings.",
		is:      func(q question, _ policy.Decision, _ string) bool { return q.has("2008-10-17") && q.has("${") },
		example: question{Identity: []json.RawMessage{[]byte(`{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b/${aws:username}/*"}}`)}},
		ours:    policy.ImplicitDeny,
	},
	{
		name:    "NotIpAddress with one IPv4 address, from IPv6",
		because: "IP address condition operators: NotIpAddress matches all IP addresses except the specified IP address or range.",
		is: func(q question, _ policy.Decision, _ string) bool {
			ip := q.Request.Context["aws:SourceIp"]
			return len(ip) == 1 && strings.Contains(ip[0], "::") && q.has("NotIpAddress") && q.has("192.0.2.7")
		},
		example: question{
			Identity: docs(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"192.0.2.7"}}`),
			Request:  policy.Request{Context: map[string][]string{"aws:SourceIp": {"2001:db8::1"}}},
		},
		ours: policy.Allow,
	},
	{
		name:    "seconds since the epoch beside a date",
		because: "Date condition operators: values are ISO 8601 dates or epoch (UNIX) time, which is in seconds. iam-simulate compares it with milliseconds.",
		is:      func(question, policy.Decision, string) bool { return false },
		example: question{
			Identity: docs(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"1893456000"}}`),
			Request:  policy.Request{Context: map[string][]string{"aws:CurrentTime": {"2029-12-31T23:59:59Z"}}},
		},
		ours: policy.ImplicitDeny,
	},
	{
		name:    "a wildcard in the resource type",
		because: "Resource: wildcard characters stand within any segment of the ARN. IAM refuses some of them for some services; where it has taken one, we read it as it stands.",
		is:      func(question, policy.Decision, string) bool { return false },
		example: question{
			Identity: docs(`"Effect":"Allow","Action":"*","Resource":"arn:aws:ecs:us-east-1:123456789012:c*/x"`),
			Request:  policy.Request{Action: "ecs:DescribeClusters", Resource: "arn:aws:ecs:us-east-1:123456789012:cluster/x"},
		},
		ours: policy.Allow,
	},
}

func doc(statement string) json.RawMessage {
	return json.RawMessage(`{"Version":"2012-10-17","Statement":{` + statement + `}}`)
}

func docs(statement string) []json.RawMessage { return []json.RawMessage{doc(statement)} }

// complete fills in what an example does not care for.
func (q question) complete() question {
	q.Request.Principal = cmp.Or(q.Request.Principal, somePrincipals[0])
	q.Request.Action = cmp.Or(q.Request.Action, "s3:GetObject")
	q.Request.Resource = cmp.Or(q.Request.Resource, "arn:aws:s3:::b/joe/k")
	q.Request.Account = account
	return q
}

// TestDisagreements holds both sides to what the table says of them.
func TestDisagreements(t *testing.T) {
	t.Parallel()
	var questions []question
	for _, d := range disagreements {
		questions = append(questions, d.example.complete())
		if got := policy.Evaluate(questions[len(questions)-1].Request, questions[len(questions)-1].set(t)); got.Verdict != d.ours {
			t.Errorf("%s: %s, want %s", d.name, got, d.ours)
		}
	}
	for i, theirs := range simulate(t, questions) {
		if d := disagreements[i]; (d.ours == policy.Allow) == (theirs == "Allowed") {
			t.Errorf("%s: no longer a disagreement: %s", d.name, theirs)
		}
	}
}

func TestSimulate(t *testing.T) {
	r := newRand(t)
	var questions []question
	for range times(20_000) {
		questions = append(questions, randomQuestion(r))
	}
	counts := map[string]int{}
	unexplained := 0
	for i, theirs := range simulate(t, questions) {
		q := questions[i]
		ours := policy.Evaluate(q.Request, q.set(t))
		counts[ours.Verdict.String()]++
		if ours.Verdict == policy.Undecided || (ours.Verdict == policy.Allow) == (theirs == "Allowed") && !strings.HasPrefix(theirs, "error") {
			continue
		}
		explained := false
		for _, d := range disagreements {
			if d.is(q, ours, theirs) {
				counts["differs: "+d.name]++
				explained = true
				break
			}
		}
		if explained {
			continue
		}
		if unexplained++; unexplained <= 5 {
			t.Errorf("ours: %s; theirs: %s\n%s", ours, theirs, q)
		}
	}
	for _, name := range sortedKeys(counts) {
		t.Logf("%6d %s", counts[name], name)
	}
	if unexplained > 0 {
		t.Errorf("%d answers differ for no known reason", unexplained)
	}
}
