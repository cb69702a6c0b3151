package policy_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
)

var (
	seed   = flag.Uint64("seed", 0, "of random policies; 0 is a new one each time")
	rounds = flag.Int("rounds", 0, "of random tests; 0 is what each test does by itself")
)

// newRand gives a source that replays by -seed, which a failing test prints.
func newRand(t testing.TB) *rand.Rand {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("replay with -seed=%d", s)
	return rand.New(rand.NewPCG(s, 0))
}

func times(standard int) int {
	if *rounds > 0 {
		return *rounds
	}
	return standard
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func some(r *rand.Rand, from []string) any {
	list := []string{pick(r, from)}
	for r.IntN(3) == 0 {
		list = append(list, pick(r, from))
	}
	if len(list) == 1 && r.IntN(2) == 0 {
		return list[0]
	}
	return list
}

const (
	account = "123456789012"
	other   = "210987654321"
)

// What random policies and requests are made of.
var (
	someActions = []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "sqs:SendMessage"}

	actionPatterns = []string{
		"*", "s3:*", "s3:Get*", "s3:*Object", "S3:getobject", "s3:?etObject", "sqs:*", "sqs:SendMessage", "s3:PutObject", "s3:ListBucket", "s3:**",
	}

	someResources = []string{
		"arn:aws:s3:::b", "arn:aws:s3:::b/joe/k", "arn:aws:s3:::b/ann/k", "arn:aws:s3:::b/a:b", "arn:aws:s3:::c/joe",
		"arn:aws:sqs:us-east-1:123456789012:joe", "arn:aws:sqs:eu-west-1:210987654321:q",
	}

	resourcePatterns = []string{
		"*", "arn:aws:s3:::*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/?oe/k", "arn:aws:s3:::b*", "arn:aws:s3:::b/joe/k",
		"arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/${aws:PrincipalTag/team}/*", "arn:aws:s3:::b/${aws:PrincipalTag/team, 'ann'}/*",
		"arn:aws:sqs:*:123456789012:*", "arn:aws:sqs:*:*:${aws:username}", "arn:aws:sqs:us-????-1:*:*", "arn:*:s3:::c/*", "arn:aws:s3:::b/a${*}b",
	}

	somePrincipals = []policy.Principal{
		{Type: "AWS", ID: "arn:aws:iam::123456789012:user/joe"},
		{Type: "AWS", ID: "arn:aws:iam::123456789012:user/team/ann"},
		{Type: "AWS", ID: "arn:aws:iam::123456789012:role/r"},
		{Type: "AWS", ID: "arn:aws:sts::123456789012:assumed-role/r/s"},
		{Type: "AWS", ID: "arn:aws:iam::210987654321:user/joe"},
		{Type: "AWS", ID: "arn:aws:sts::210987654321:assumed-role/r/s"},
		{Type: "Service", ID: "ecs-tasks.amazonaws.com"},
		{},
	}

	principalPatterns = []map[string]any{
		{"AWS": "*"},
		{"AWS": "123456789012"},
		{"AWS": "arn:aws:iam::210987654321:root"},
		{"AWS": "arn:aws:iam::123456789012:user/joe"},
		{"AWS": []string{"arn:aws:iam::123456789012:role/r", "arn:aws:iam::123456789012:user/team/ann"}},
		{"AWS": "arn:aws:sts::123456789012:assumed-role/r/s"},
		{"AWS": "arn:aws:iam::210987654321:user/joe"},
		{"AWS": "arn:aws:iam::210987654321:role/r"},
		{"Service": "ecs-tasks.amazonaws.com"},
	}

	operators = map[string]struct {
		keys   []string
		values []string
	}{
		"StringEquals":              {[]string{"s3:prefix", "aws:PrincipalTag/team", "aws:username"}, []string{"joe", "ann", "home/joe", "${aws:username}", "${aws:PrincipalTag/team, 'ann'}", "j*"}},
		"StringEqualsIgnoreCase":    {[]string{"s3:prefix", "aws:PrincipalTag/team"}, []string{"JOE", "ann", "Home/joe"}},
		"StringLike":                {[]string{"s3:prefix", "aws:PrincipalTag/team"}, []string{"j*", "home/${aws:username}", "home/*", "???", "*o*"}},
		"NumericEquals":             {[]string{"s3:max-keys"}, []string{"10", "10.0", "20"}},
		"NumericLessThan":           {[]string{"s3:max-keys"}, []string{"10", "10.5", "20"}},
		"NumericLessThanEquals":     {[]string{"s3:max-keys"}, []string{"10", "9.5"}},
		"NumericGreaterThan":        {[]string{"s3:max-keys"}, []string{"10", "-1"}},
		"NumericGreaterThanEquals":  {[]string{"s3:max-keys"}, []string{"10", "20"}},
		"DateEquals":                {[]string{"aws:CurrentTime"}, []string{"2030-01-01T00:00:00Z", "2030-01-02"}},
		"DateLessThan":              {[]string{"aws:CurrentTime"}, []string{"2030-01-01T00:00:00Z"}},
		"DateLessThanEquals":        {[]string{"aws:CurrentTime"}, []string{"2030-01-01T01:00:00+01:00"}},
		"DateGreaterThan":           {[]string{"aws:CurrentTime"}, []string{"2029-12-31"}},
		"DateGreaterThanEquals":     {[]string{"aws:CurrentTime"}, []string{"2030-01-01T00:00:00Z"}},
		"Bool":                      {[]string{"aws:SecureTransport"}, []string{"true", "false", "TRUE"}},
		"BinaryEquals":              {[]string{"x:digest"}, []string{"QmluYXJ5", "eA=="}},
		"IpAddress":                 {[]string{"aws:SourceIp"}, []string{"10.0.0.0/8", "10.1.0.0/16", "192.0.2.7", "2001:db8::/32"}},
		"ArnLike":                   {[]string{"aws:SourceArn"}, []string{"arn:aws:s3:::*", "arn:aws:sqs:*:*:q?", "arn:aws:sqs:us-east-1:123456789012:${aws:username}"}},
		"ArnEquals":                 {[]string{"aws:SourceArn"}, []string{"arn:aws:s3:::b", "arn:aws:sqs:*:123456789012:joe"}},
		"Null":                      {[]string{"s3:prefix", "aws:PrincipalTag/team", "aws:TagKeys", "aws:username"}, []string{"true", "false"}},
		"ForAnyValue:StringEquals":  {[]string{"aws:TagKeys"}, []string{"a", "b"}},
		"ForAllValues:StringEquals": {[]string{"aws:TagKeys"}, []string{"a", "b"}},
		"ForAnyValue:StringLike":    {[]string{"aws:TagKeys"}, []string{"a*", "b"}},
		"ForAllValues:StringLike":   {[]string{"aws:TagKeys"}, []string{"a*", "b"}},
	}

	negated = map[string]string{
		"StringEquals": "StringNotEquals", "StringEqualsIgnoreCase": "StringNotEqualsIgnoreCase", "StringLike": "StringNotLike",
		"NumericEquals": "NumericNotEquals", "DateEquals": "DateNotEquals", "IpAddress": "NotIpAddress", "ArnLike": "ArnNotLike", "ArnEquals": "ArnNotEquals",
		"ForAnyValue:StringEquals": "ForAnyValue:StringNotEquals", "ForAllValues:StringLike": "ForAllValues:StringNotLike",
	}

	operatorNames = sortedKeys(operators)

	contexts = map[string][]string{
		"s3:prefix":             {"joe", "JOE", "ann", "home/joe", "home/ann", "j*"},
		"aws:PrincipalTag/team": {"joe", "ann", "Ann"},
		"s3:max-keys":           {"10", "9.75", "20", "21"},
		"aws:CurrentTime":       {"2030-01-01T00:00:00Z", "2029-12-31T23:59:59Z", "2030-01-02T00:00:00Z"},
		"aws:SecureTransport":   {"true", "false"},
		"x:digest":              {"QmluYXJ5", "other"},
		"aws:SourceIp":          {"10.1.2.3", "10.200.0.1", "192.0.2.7", "2001:db8::1", "203.0.113.9"},
		"aws:SourceArn":         {"arn:aws:s3:::b", "arn:aws:sqs:us-east-1:123456789012:joe", "arn:aws:sqs:us-east-1:123456789012:q1"},
		"aws:TagKeys":           {"a", "b", "ab"},
	}

	contextKeys = sortedKeys(contexts)
)

func randomStatement(r *rand.Rand, resourcePolicy, trust bool) map[string]any {
	s := map[string]any{"Effect": "Allow"}
	if r.IntN(4) == 0 {
		s["Effect"] = "Deny"
	}
	switch {
	case trust:
		s["Action"] = some(r, []string{"sts:AssumeRole", "sts:*", "sts:TagSession"})
	case r.IntN(6) == 0:
		s["NotAction"] = some(r, actionPatterns[1:])
	default:
		s["Action"] = some(r, actionPatterns)
	}
	switch {
	case trust:
	case r.IntN(6) == 0:
		s["NotResource"] = some(r, resourcePatterns[1:])
	default:
		s["Resource"] = some(r, resourcePatterns)
	}
	if resourcePolicy {
		if r.IntN(8) == 0 && s["Effect"] == "Deny" {
			s["NotPrincipal"] = pick(r, principalPatterns[1:])
		} else {
			s["Principal"] = pick(r, principalPatterns)
		}
	}
	if r.IntN(2) == 0 {
		conditions := map[string]any{}
		for range 1 + r.IntN(2) {
			name := pick(r, operatorNames)
			operator := operators[name]
			if n := negated[name]; n != "" && r.IntN(2) == 0 {
				name = n
			}
			if name != "Null" && r.IntN(4) == 0 {
				name += "IfExists"
			}
			conditions[name] = map[string]any{pick(r, operator.keys): some(r, operator.values)}
		}
		s["Condition"] = conditions
	}
	return s
}

func randomPolicy(r *rand.Rand, resourcePolicy, trust bool) json.RawMessage {
	var statements []any
	for range 1 + r.IntN(3) {
		statements = append(statements, randomStatement(r, resourcePolicy, trust))
	}
	version := "2012-10-17"
	if r.IntN(10) == 0 {
		version = "2008-10-17"
	}
	doc, err := json.Marshal(map[string]any{"Version": version, "Statement": statements})
	if err != nil {
		panic(err)
	}
	return doc
}

func randomContext(r *rand.Rand) map[string][]string {
	context := map[string][]string{}
	for _, key := range contextKeys {
		if r.IntN(3) == 0 {
			continue
		}
		context[key] = []string{pick(r, contexts[key])}
		if key == "aws:TagKeys" && r.IntN(2) == 0 {
			context[key] = append(context[key], pick(r, contexts[key]))
		}
	}
	return context
}

// A question is one request and the documents that decide about it.
type question struct {
	Identity       []json.RawMessage
	Boundary       json.RawMessage
	Session        json.RawMessage
	ResourcePolicy json.RawMessage
	Trust          bool // ResourcePolicy is a trust policy
	Request        policy.Request
}

func randomQuestion(r *rand.Rand) question {
	q := question{Trust: r.IntN(8) == 0}
	q.Request = policy.Request{
		Principal: pick(r, somePrincipals),
		Action:    pick(r, someActions),
		Resource:  pick(r, someResources),
		Account:   pick(r, []string{account, account, account, other}),
		Context:   randomContext(r),
	}
	if q.Trust {
		q.Request.Action, q.Request.Resource = "sts:AssumeRole", "arn:aws:iam::"+q.Request.Account+":role/target"
	}
	if q.Request.Principal.Type == "AWS" {
		if r.IntN(3) == 0 {
			q.Identity = append(q.Identity, json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`))
		}
		for range r.IntN(3) {
			q.Identity = append(q.Identity, randomPolicy(r, false, false))
		}
		if q.Trust && r.IntN(2) == 0 {
			q.Identity = append(q.Identity, json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}`))
		}
		if r.IntN(3) == 0 {
			q.Boundary = randomPolicy(r, false, false)
		}
		if strings.Contains(q.Request.Principal.ID, "role") && r.IntN(4) == 0 {
			q.Session = randomPolicy(r, false, false)
		}
	}
	if q.Trust || r.IntN(2) == 0 {
		q.ResourcePolicy = randomPolicy(r, true, q.Trust)
	}
	return q
}

func compile(t testing.TB, doc []byte) *policy.Policy {
	t.Helper()
	p, err := policy.Compile("p", doc)
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	return p
}

func (q question) set(t testing.TB) policy.Set {
	var s policy.Set
	for _, doc := range q.Identity {
		s.Identity = append(s.Identity, compile(t, doc))
	}
	if q.Boundary != nil {
		s.Boundary = compile(t, q.Boundary)
	}
	if q.Session != nil {
		s.Session = []*policy.Policy{compile(t, q.Session)}
	}
	if q.ResourcePolicy != nil {
		if p := compile(t, q.ResourcePolicy); q.Trust {
			s.Trust = p
		} else {
			s.Resource = p
		}
	}
	return s
}

func (q question) String() string {
	text, err := json.Marshal(q)
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(text)
}
