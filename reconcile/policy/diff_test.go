package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
)

// diff compares two documents as parts of trees; nil is an absent one.
func diff(path string, live, want []byte) ([]reconcile.Diff, error) {
	part := func(text []byte) (any, error) {
		if text == nil {
			return nil, nil
		}
		return policy.Parse(text)
	}
	before, err := part(live)
	if err != nil {
		return nil, err
	}
	after, err := part(want)
	if err != nil {
		return nil, err
	}
	return reconcile.Compare(path, before, after), nil
}

func TestDiff(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		live, want string
		diffs      []reconcile.Diff
	}{
		{
			name: "elements of sets, spelled as written",
			live: statement(`"Sid":"Read","Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"a"`),
			want: statement(`"Sid":"Read","Effect":"Allow","Action":["S3:GetObject","s3:ListBucket"],"Resource":["a","B"]`),
			diffs: []reconcile.Diff{
				{Path: "document.Statement[Read].Action[s3:ListBucket]", After: "s3:ListBucket"},
				{Path: "document.Statement[Read].Action[s3:PutObject]", Before: "s3:PutObject"},
				{Path: "document.Statement[Read].Resource[B]", After: "B"},
			},
		},
		{
			name: "leaves",
			live: `{"Id":"a","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
			want: `{"Version":"2012-10-17","Statement":{"Effect":"deny","Action":"*","Resource":"*"}}`,
			diffs: []reconcile.Diff{
				{Path: "document.Id", Before: "a"},
				{Path: "document.Version", Before: "2008-10-17", After: "2012-10-17"},
				{Path: "document.Statement[0].Effect", Before: "Allow", After: "Deny"},
			},
		},
		{
			name: "conditions and principals",
			live: statement(`"Effect":"Allow","Principal":{"AWS":"AROADBQP57FF2AEXAMPLE"},"Condition":{"StringEquals":{"aws:SourceVpc":"a"}}`),
			want: statement(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Condition":{"StringEquals":{"AWS:SourceVpc":"b"},"Bool":{"c":true}}`),
			diffs: []reconcile.Diff{
				{Path: "document.Statement[0].Condition.Bool", After: map[string]any{"c": "true"}},
				{Path: "document.Statement[0].Condition.StringEquals.AWS:SourceVpc[a]", Before: "a"},
				{Path: "document.Statement[0].Condition.StringEquals.AWS:SourceVpc[b]", After: "b"},
				{Path: "document.Statement[0].Principal.AWS[arn:aws:iam::123456789012:root]", After: "arn:aws:iam::123456789012:root"},
				{Path: "document.Statement[0].Principal.AWS[AROADBQP57FF2AEXAMPLE]", Before: "AROADBQP57FF2AEXAMPLE"},
			},
		},
		{
			name: "a set against a map",
			live: statement(`"NotPrincipal":"*"`),
			want: statement(`"NotPrincipal":{"AWS":"*"}`),
			diffs: []reconcile.Diff{
				{Path: "document.Statement[0].NotPrincipal", Before: "*", After: map[string]any{"AWS": "*"}},
			},
		},
		{
			name: "statements by Sid, wherever they stand",
			live: `{"Statement":[{"Sid":"A","Action":"a"},{"Sid":"B","Action":"b"},{"Sid":"C","Action":"c"}]}`,
			want: `{"Statement":[{"Sid":"C","Action":"c"},{"Sid":"B","Action":"x"},{"Sid":"D","Action":"d"}]}`,
			diffs: []reconcile.Diff{
				{Path: "document.Statement[B].Action[b]", Before: "b"},
				{Path: "document.Statement[B].Action[x]", After: "x"},
				{Path: "document.Statement[D]", After: map[string]any{"Sid": "D", "Action": "d"}},
				{Path: "document.Statement[A]", Before: map[string]any{"Sid": "A", "Action": "a"}},
			},
		},
		{
			name: "statements without Sid: equal ones first, then in order",
			live: `{"Statement":[{"Action":"a"},{"Action":"b"},{"Action":"c"}]}`,
			want: `{"Statement":[{"Action":"c"},{"Action":"x"},{"Action":"y"},{"Action":"z"}]}`,
			diffs: []reconcile.Diff{
				{Path: "document.Statement[1].Action[a]", Before: "a"},
				{Path: "document.Statement[1].Action[x]", After: "x"},
				{Path: "document.Statement[2].Action[b]", Before: "b"},
				{Path: "document.Statement[2].Action[y]", After: "y"},
				{Path: "document.Statement[3]", After: map[string]any{"Action": "z"}},
			},
		},
		{
			name: "a Sid that is not alone names nothing",
			live: `{"Statement":[{"Sid":"A","Action":"a"},{"Sid":"A","Action":"b"}]}`,
			want: `{"Statement":[{"Sid":"A","Action":"b"}]}`,
			diffs: []reconcile.Diff{
				{Path: "document.Statement[0]", Before: map[string]any{"Sid": "A", "Action": "a"}},
			},
		},
		{
			name: "one element for another",
			live: statement(`"Action":"a"`),
			want: statement(`"NotAction":["a","b"]`),
			diffs: []reconcile.Diff{
				{Path: "document.Statement[0].Action", Before: "a"},
				{Path: "document.Statement[0].NotAction", After: []any{"a", "b"}},
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for range 20 { // maps must not decide the order
				got, err := diff("document", []byte(test.live), []byte(test.want))
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(test.diffs, got); d != "" {
					t.Fatal(d)
				}
			}
		})
	}
}

func TestDiffAbsent(t *testing.T) {
	t.Parallel()
	doc := []byte(`{"Statement":[{"Action":["S3:GetObject"]}]}`)
	whole := map[string]any{"Statement": []any{map[string]any{"Action": []any{"S3:GetObject"}}}}
	tests := []struct {
		name       string
		live, want []byte
		diffs      []reconcile.Diff
	}{
		{"created", nil, doc, []reconcile.Diff{{Path: "p", After: whole}}},
		{"removed", doc, nil, []reconcile.Diff{{Path: "p", Before: whole}}},
		{"empty is not absent", nil, []byte(`{}`), []reconcile.Diff{{Path: "p", After: map[string]any{}}}},
		{"neither", nil, nil, nil},
		{"both", doc, doc, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := diff("p", test.live, test.want)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.diffs, got); d != "" {
				t.Error(d)
			}
		})
	}
}
