package policy_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	awspolicy "github.com/hashicorp/awspolicyequivalence"

	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
)

// statement wraps the members of one statement into a document.
func statement(members string) string {
	return `{"Version":"2012-10-17","Statement":[{` + members + `}]}`
}

// Each case has a document, others of the same meaning, and twins that look
// much like those but mean something else.
var cases = []struct {
	name string
	doc  string
	same []string
	not  []string
	// oracle holds the documents of same and not that awspolicyequivalence is
	// known to judge otherwise.
	oracle []string
}{
	{
		name: "white space and order of keys",
		doc:  statement(`"Effect":"Allow","Action":"s3:GetObject","Resource":"*"`),
		same: []string{
			"\n { \"Statement\" : [ { \"Resource\" : \"*\",\n\t\"Action\" : \"s3:GetObject\", \"Effect\":\"Allow\" } ], \"Version\":\"2012-10-17\" } \r\n",
		},
		not: []string{
			statement(`"Effect":"Allow","Action":"s3:GetObject ","Resource":"*"`),
			statement(`"Effect":"Allow","Action":"s3:GetObject"`),
			statement(`"Effect":"Allow","Resource":"s3:GetObject","Action":"*"`),
		},
	},
	{
		name: "scalar and list of one",
		doc:  statement(`"Effect":"Allow","Action":"s3:GetObject","Resource":"*"`),
		same: []string{
			statement(`"Effect":"Allow","Action":["s3:GetObject"],"Resource":["*"]`),
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}`,
			`[` + statement(`"Effect":"Allow","Action":"s3:GetObject","Resource":"*"`) + `]`,
		},
		not: []string{
			statement(`"Effect":"Allow","Action":[],"Resource":["*"]`),
			statement(`"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":["*"]`),
		},
	},
	{
		name: "sets",
		doc:  statement(`"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]`),
		same: []string{
			statement(`"Effect":"Allow","Action":["s3:PutObject","s3:GetObject"],"Resource":["arn:aws:s3:::b/*","arn:aws:s3:::b"]`),
			statement(`"Effect":"Allow","Action":["s3:PutObject","s3:GetObject","s3:PutObject"],"Resource":["arn:aws:s3:::b/*","arn:aws:s3:::b"]`),
			statement(`"Effect":"Allow","Action":["s3:PutObject","s3:GetObject"],"Resource":["arn:aws:s3:::b/*","arn:aws:s3:::b","arn:aws:s3:::b"]`),
		},
		not: []string{
			statement(`"Effect":"Allow","Action":["s3:PutObject","s3:PutObject"],"Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]`),
			statement(`"Effect":"Allow","NotAction":["s3:GetObject","s3:PutObject"],"Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]`),
			statement(`"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"NotResource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]`),
		},
		oracle: []string{
			statement(`"Effect":"Allow","Action":["s3:PutObject","s3:GetObject","s3:PutObject"],"Resource":["arn:aws:s3:::b/*","arn:aws:s3:::b"]`),
			statement(`"Effect":"Allow","Action":["s3:PutObject","s3:GetObject"],"Resource":["arn:aws:s3:::b/*","arn:aws:s3:::b","arn:aws:s3:::b"]`),
		},
	},
	{
		name: "case",
		doc:  statement(`"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::Bucket"`),
		same: []string{
			statement(`"Effect":"allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::Bucket"`),
			statement(`"Effect":"Allow","Action":["S3:getobject"],"Resource":"arn:aws:s3:::Bucket"`),
			statement(`"Effect":"Allow","Action":["S3:getobject","s3:GetObject"],"Resource":"arn:aws:s3:::Bucket"`),
		},
		not: []string{
			statement(`"Effect":"Deny","Action":"s3:GetObject","Resource":"arn:aws:s3:::Bucket"`),
			statement(`"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket"`),
			statement(`"Effect":"Allow","Action":"s3:GetObjects","Resource":"arn:aws:s3:::Bucket"`),
		},
		oracle: []string{
			statement(`"Effect":"Allow","Action":["S3:getobject"],"Resource":"arn:aws:s3:::Bucket"`),
			statement(`"Effect":"Allow","Action":["S3:getobject","s3:GetObject"],"Resource":"arn:aws:s3:::Bucket"`),
		},
	},
	{
		name: "conditions",
		doc:  statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":["vpc-1","vpc-2"]},"Bool":{"aws:SecureTransport":"false"}}`),
		same: []string{
			statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":false},"StringEquals":{"aws:SourceVpc":["vpc-2","vpc-1","vpc-2"]}}`),
			statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"AWS:sourcevpc":["vpc-1","vpc-2"]},"Bool":{"aws:securetransport":["false"]}}`),
		},
		not: []string{
			statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":["vpc-1","VPC-2"]},"Bool":{"aws:SecureTransport":"false"}}`),
			statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":["vpc-1","vpc-2"]},"Bool":{"aws:SecureTransport":"False"}}`),
			statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":["vpc-1","vpc-2"]},"Bool":{"aws:SecureTransport":true}}`),
			statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringLike":{"aws:SourceVpc":["vpc-1","vpc-2"]},"Bool":{"aws:SecureTransport":"false"}}`),
			statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":["vpc-1","vpc-2"],"aws:SourceVpce":"x"},"Bool":{"aws:SecureTransport":"false"}}`),
			statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}`),
			statement(`"Effect":"Deny","Action":"*","Resource":"*"`),
		},
		oracle: []string{
			statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":false},"StringEquals":{"aws:SourceVpc":["vpc-2","vpc-1","vpc-2"]}}`),
			statement(`"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"AWS:sourcevpc":["vpc-1","vpc-2"]},"Bool":{"aws:securetransport":["false"]}}`),
		},
	},
	{
		name: "numbers keep their text",
		doc:  statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NumericLessThan":{"aws:MultiFactorAuthAge":12345678901234567890}}`),
		same: []string{
			statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NumericLessThan":{"aws:MultiFactorAuthAge":"12345678901234567890"}}`),
			statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NumericLessThan":{"aws:MultiFactorAuthAge":[12345678901234567890]}}`),
		},
		not: []string{
			statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NumericLessThan":{"aws:MultiFactorAuthAge":12345678901234567891}}`),
		},
		oracle: []string{ // reads numbers as float64
			statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NumericLessThan":{"aws:MultiFactorAuthAge":"12345678901234567890"}}`),
			statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NumericLessThan":{"aws:MultiFactorAuthAge":12345678901234567891}}`),
		},
	},
	{
		name: "empty condition",
		doc:  statement(`"Effect":"Allow","Action":"*","Resource":"*"`),
		same: []string{statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{}`)},
		not:  []string{statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"a":"b"}}`)},
		oracle: []string{
			statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{}`),
		},
	},
	{
		name: "account as principal",
		doc:  statement(`"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"`),
		same: []string{
			statement(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"`),
			statement(`"Effect":"Allow","Principal":{"AWS":["arn:aws-us-gov:iam::123456789012:root"]},"Action":"sts:AssumeRole"`),
			statement(`"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:root","123456789012"]},"Action":"sts:AssumeRole"`),
		},
		not: []string{
			statement(`"Effect":"Allow","Principal":{"AWS":"210987654321"},"Action":"sts:AssumeRole"`),
			statement(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/root"},"Action":"sts:AssumeRole"`),
			statement(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::12345678901:root"},"Action":"sts:AssumeRole"`),
			statement(`"Effect":"Allow","Principal":{"Federated":"123456789012"},"Action":"sts:AssumeRole"`),
			statement(`"Effect":"Allow","Principal":{"AWS":"123456789012","Service":"ecs.amazonaws.com"},"Action":"sts:AssumeRole"`),
			statement(`"Effect":"Allow","NotPrincipal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"`),
		},
		oracle: []string{
			statement(`"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:root","123456789012"]},"Action":"sts:AssumeRole"`),
		},
	},
	{
		name: "no account as principal",
		doc:  statement(`"Effect":"Allow","Principal":{"AWS":"12345678901"},"Action":"sts:AssumeRole"`),
		same: []string{statement(`"Effect":"Allow","Principal":{"AWS":["12345678901"]},"Action":"sts:AssumeRole"`)},
		not:  []string{statement(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::12345678901:root"},"Action":"sts:AssumeRole"`)},
	},
	{
		name: "deleted principal",
		doc:  statement(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/x"},"Action":"sts:AssumeRole"`),
		same: []string{
			statement(`"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:role/x"]},"Action":["sts:AssumeRole"]`),
		},
		not: []string{
			statement(`"Effect":"Allow","Principal":{"AWS":"AROADBQP57FF2AEXAMPLE"},"Action":"sts:AssumeRole"`),
			statement(`"Effect":"Allow","Principal":{"AWS":"AIDAJQABLZS4A3QDU576Q"},"Action":"sts:AssumeRole"`),
			statement(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/X"},"Action":"sts:AssumeRole"`),
		},
	},
	{
		name: "anyone",
		doc:  statement(`"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"`),
		same: []string{
			statement(`"Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:GetObject","Resource":"*"`),
			statement(`"Effect":"Allow","Principal":{"AWS":["*"]},"Action":"s3:GetObject","Resource":"*"`),
		},
		not: []string{
			statement(`"Effect":"Allow","Principal":{"Service":"*"},"Action":"s3:GetObject","Resource":"*"`),
			statement(`"Effect":"Allow","NotPrincipal":"*","Action":"s3:GetObject","Resource":"*"`),
			statement(`"Effect":"Allow","Principal":{"AWS":["*","123456789012"]},"Action":"s3:GetObject","Resource":"*"`),
		},
		oracle: []string{
			statement(`"Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:GetObject","Resource":"*"`),
			statement(`"Effect":"Allow","Principal":{"AWS":["*"]},"Action":"s3:GetObject","Resource":"*"`),
			statement(`"Effect":"Allow","NotPrincipal":"*","Action":"s3:GetObject","Resource":"*"`),
		},
	},
	{
		name: "everyone but",
		doc:  statement(`"Effect":"Deny","NotPrincipal":{"AWS":["123456789012"]},"Action":"*","Resource":"*"`),
		same: []string{statement(`"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"*","Resource":"*"`)},
		not:  []string{statement(`"Effect":"Deny","NotPrincipal":{"AWS":"*"},"Action":"*","Resource":"*"`)},
	},
	{
		name: "everyone but anyone",
		doc:  statement(`"Effect":"Deny","NotPrincipal":"*","Action":"*","Resource":"*"`),
		not:  []string{statement(`"Effect":"Deny","NotPrincipal":{"AWS":"*"},"Action":"*","Resource":"*"`)},
	},
	{
		name: "version, id and sid",
		doc:  `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
		same: []string{
			`{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
			`{"Id":"","Statement":{"Sid":"","Effect":"Allow","Action":"*","Resource":"*"}}`,
		},
		not: []string{
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
			`{"Id":"a","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
			`{"Statement":{"Sid":"a","Effect":"Allow","Action":"*","Resource":"*"}}`,
		},
		oracle: []string{
			`{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
		},
	},
	{
		name: "statements",
		doc:  `{"Statement":[{"Sid":"A","Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"s3:DeleteBucket","Resource":"*"}]}`,
		same: []string{
			`{"Statement":[{"Effect":"Deny","Action":"s3:DeleteBucket","Resource":"*"},{"Sid":"A","Effect":"Allow","Action":"s3:*","Resource":"*"}]}`,
			`{"Statement":[{"Effect":"Deny","Action":"s3:DeleteBucket","Resource":"*"},{"Effect":"Deny","Action":"s3:DeleteBucket","Resource":["*"]},{"Sid":"A","Effect":"Allow","Action":"s3:*","Resource":"*"}]}`,
		},
		not: []string{
			`{"Statement":[{"Effect":"Deny","Action":"s3:DeleteBucket","Resource":"*"}]}`,
			`{"Statement":[{"Sid":"A","Effect":"Deny","Action":"s3:DeleteBucket","Resource":"*"},{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`,
			`{"Statement":[]}`,
			`{}`,
		},
		oracle: []string{
			`{"Statement":[{"Effect":"Deny","Action":"s3:DeleteBucket","Resource":"*"},{"Effect":"Deny","Action":"s3:DeleteBucket","Resource":["*"]},{"Sid":"A","Effect":"Allow","Action":"s3:*","Resource":"*"}]}`,
		},
	},
	{
		name: "no statement",
		doc:  `{}`,
		same: []string{`{"Statement":[]}`, `{"Version":"2008-10-17"}`, `[{}]`},
		not:  []string{`{"Version":"2012-10-17"}`, `{"Statement":[{}]}`},
		oracle: []string{
			`{"Version":"2008-10-17"}`,
		},
	},
	{
		name: "elements that are not known here",
		doc:  statement(`"Effect":"Allow","New":["b","a"]`),
		same: []string{statement(`"New":["b","a"],"Effect":"Allow"`)},
		not:  []string{statement(`"Effect":"Allow","New":["a","b"]`), statement(`"Effect":"Allow"`)},
		oracle: []string{ // leaves them out
			statement(`"Effect":"Allow","New":["a","b"]`), statement(`"Effect":"Allow"`),
		},
	},
}

func TestEqual(t *testing.T) {
	t.Parallel()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, other := range c.same {
				check(t, c.doc, other, true)
			}
			for _, other := range c.not {
				check(t, c.doc, other, false)
			}
		})
	}
}

// check holds Equal, Canonical and Diff to one answer, either way round and
// with one side as IAM encodes it.
func check(t *testing.T, a, b string, want bool) {
	t.Helper()
	for _, pair := range [][2]string{{a, b}, {b, a}, {url.PathEscape(a), b}} {
		a, b := []byte(pair[0]), []byte(pair[1])
		got, err := policy.Equal(a, b)
		if err != nil || got != want {
			t.Errorf("Equal = %v, %v, want %v\n%s\n%s", got, err, want, a, b)
		}
		x, errX := policy.Canonical(a)
		y, errY := policy.Canonical(b)
		if errX != nil || errY != nil {
			t.Fatal(errX, errY)
		}
		if cmp.Equal(x, y) != want {
			t.Errorf("Canonical, want equal = %v\n%s", want, cmp.Diff(x, y))
		}
		diffs, err := diff("document", a, b)
		if err != nil || (len(diffs) == 0) != want {
			t.Errorf("Diff = %v, %v, want none = %v", diffs, err, want)
		}
		for _, d := range diffs {
			if d.Before == nil && d.After == nil {
				t.Errorf("Diff: %s has neither side", d.Path)
			}
		}
	}
}

func TestOracle(t *testing.T) {
	t.Parallel()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			gaps := make(map[string]bool)
			for _, doc := range c.oracle {
				gaps[doc] = true
			}
			for want, others := range map[bool][]string{true: c.same, false: c.not} {
				for _, other := range others {
					got, err := awspolicy.PoliciesAreEquivalent(c.doc, other)
					if err != nil {
						got = false
					}
					switch {
					case got != want && !gaps[other]:
						t.Errorf("awspolicyequivalence says %v, %v\n%s\n%s", got, err, c.doc, other)
					case got == want && gaps[other]:
						t.Errorf("no longer a gap of awspolicyequivalence:\n%s\n%s", c.doc, other)
					}
				}
			}
		})
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	const doc = `{"Id":"x","Statement":{"Sid":"S","Effect":"ALLOW","Principal":"*",
		"Action":["s3:PutObject","S3:GetObject"],"Resource":"*","Condition":{"Bool":{"aws:SecureTransport":true}}}}`
	want := map[string]any{
		"Version": "2008-10-17",
		"Id":      "x",
		"Statement": []any{map[string]any{
			"Sid":       "S",
			"Effect":    "Allow",
			"Principal": map[string]any{"AWS": []any{"*"}},
			"Action":    []any{"s3:getobject", "s3:putobject"},
			"Resource":  []any{"*"},
			"Condition": map[string]any{"Bool": map[string]any{"aws:securetransport": []any{"true"}}},
		}},
	}
	got, err := policy.Canonical([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(any(want), got); d != "" {
		t.Error(d)
	}
}

func TestReject(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, doc, want string }{
		{"nothing", "", "empty"},
		{"white space", " \n", "empty"},
		{"no JSON", "allow all", "invalid character"},
		{"cut off", `{"Statement":[`, "unexpected end"},
		{"trailing garbage", `{} {}`, "after top-level value"},
		{"comma too many", `{"Statement":[],}`, "invalid character"},
		{"invalid UTF-8", "{\"Id\":\"\xff\"}", "UTF-8"},
		{"invalid UTF-8, encoded", "%7B%22Id%22:%22%ff%22%7D", "UTF-8"},
		{"invalid escape", "%7B%zz", "invalid URL escape"},
		{"duplicate key", `{"Id":"a","Id":"a"}`, `duplicate key "Id"`},
		{"duplicate key, escaped", `{"Id":"a","\u0049d":"a"}`, `duplicate key "Id"`},
		{"duplicate key below", `{"Statement":[{"Effect":"Allow","Effect":"Deny"}]}`, `duplicate key "Effect"`},
		{"duplicate condition key", statement(`"Condition":{"Bool":{"aws:x":"a","AWS:X":"b"}}`), `duplicate key "aws:x"`},
		{"null", `{"Id":null}`, "null"},
		{"scalar", `"x"`, "object is wanted"},
		{"two documents", `[{},{}]`, "object is wanted"},
		{"no document", `[]`, "object is wanted"},
		{"statement", `{"Statement":["x"]}`, "statement 0: an object is wanted"},
		{"action", statement(`"Action":{"a":"b"}`), "statement 0: Action: a string"},
		{"nested list", statement(`"Resource":[["a"]]`), "statement 0: Resource: a string"},
		{"principal", statement(`"Principal":{"AWS":{"a":"b"}}`), "statement 0: Principal.AWS: a string"},
		{"condition", statement(`"Condition":["a"]`), "statement 0: Condition: an object"},
		{"operator", statement(`"Condition":{"Bool":"a"}`), "statement 0: Condition.Bool: an object"},
		{"condition value", statement(`"Condition":{"Bool":{"a":{}}}`), "statement 0: Condition.Bool.a: a string"},
		{"depth", strings.Repeat("[", 100_000), "exceeded max depth"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			good, bad := []byte(`{}`), []byte(test.doc)
			_, err := policy.Canonical(bad)
			_, errA := policy.Equal(bad, good)
			_, errB := policy.Equal(good, bad)
			_, errC := diff("document", bad, good)
			_, errD := diff("document", good, bad)
			for _, err := range []error{err, errA, errB, errC, errD} {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want one with %q", err, test.want)
				}
			}
		})
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, doc, want string }{
		{"raw", `{"Resource":"a%2Ab+c"}`, `{"Resource":"a%2Ab+c"}`},
		{"encoded", "%7B%22Resource%22%3A%22a%252Ab%2Bc%20d%22%7D", `{"Resource":"a%2Ab+c d"}`},
		{"plus is no space", "%7B%22a+b%22", `{"a+b"`},
		{"encoded white space first", "%0A%7B%7D", "\n{}"},
		{"empty", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := policy.Decode(test.doc)
			if err != nil || got != test.want {
				t.Errorf("Decode = %q, %v, want %q", got, err, test.want)
			}
		})
	}
	if got, err := policy.Decode("%7B%"); err == nil {
		t.Errorf("Decode of a broken escape = %q, want an error", got)
	}
}

func FuzzCanonical(f *testing.F) {
	for _, c := range cases {
		f.Add([]byte(c.doc))
		f.Add([]byte(url.PathEscape(c.doc)))
		for _, doc := range append(c.same, c.not...) {
			f.Add([]byte(doc))
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		tree, err := policy.Canonical(doc)
		if err != nil {
			return
		}
		text, err := json.Marshal(tree)
		if err != nil {
			t.Fatalf("marshal: %v", err)
		}
		again, err := policy.Canonical(text)
		if err != nil {
			t.Fatalf("canonical form is refused: %v\n%s", err, text)
		}
		if d := cmp.Diff(tree, again); d != "" {
			t.Errorf("not idempotent: %s", d)
		}
		reversed, err := json.Marshal(reverse(tree, 0))
		if err != nil {
			t.Fatalf("marshal: %v", err)
		}
		if equal, err := policy.Equal(doc, reversed); err != nil || !equal {
			t.Errorf("Equal after another order of sets = %v, %v\n%s", equal, err, reversed)
		}
		if diffs, err := diff("document", doc, reversed); err != nil || len(diffs) > 0 {
			t.Errorf("Diff after another order of sets = %v, %v", diffs, err)
		}
	})
}

// reverse turns round the lists that have no order: statements and sets.
// Elements of statements that Canonical does not know keep theirs.
func reverse(tree any, depth int) any {
	switch v := tree.(type) {
	case []any:
		turned := make([]any, len(v))
		for i, element := range v {
			turned[len(v)-1-i] = reverse(element, depth+1)
		}
		return turned
	case map[string]any:
		turned := make(map[string]any, len(v))
		for key, value := range v {
			known := strings.Contains(" Action NotAction Resource NotResource Principal NotPrincipal Condition ", " "+key+" ")
			if depth == 0 && key == "Statement" || depth == 2 && known || depth > 2 {
				value = reverse(value, depth+1)
			}
			turned[key] = value
		}
		return turned
	}
	return tree
}
