package stack_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/export"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// bound is a spec as it is in the tests' account.
func bound(t testing.TB, path string) *spec.Spec {
	t.Helper()
	file, err := spec.Load(path, spec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := file.Bind(spec.Identity{Account: accountID, Partition: "aws", Region: region})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// export is a spec of what the account has at these addresses.
func (a *account) export(t testing.TB, s *spec.Spec, o export.Options, wants ...export.Want) []byte {
	t.Helper()
	session := stack.NewSession(stack.Options{
		AWS: awsx.Options{EndpointURL: a.url, Credentials: credentials.NewStaticCredentialsProvider("operator", "operator", ""), Backoff: noDelay},
		Now: a.clock.Now, Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	from, err := session.Account(t.Context(), region)
	if err != nil {
		t.Fatal(err)
	}
	draft, left := from.Export(t.Context(), wants, o)
	if len(left) > 0 {
		t.Fatalf("left out: %v", left)
	}
	draft.Project, draft.Environment, draft.Outputs = s.Project, s.Environment, s.Outputs
	return draft.YAML()
}

func wantsOf(s *spec.Spec) []export.Want {
	var wants []export.Want
	for _, id := range s.IDs() {
		wants = append(wants, export.Want{ID: id})
	}
	return wants
}

// mustRoundTrip exports what a spec has made: the spec that comes of it finds
// nothing to do, exported again it is the same text, and in an empty account it
// makes what the first spec wants, so that nothing is missing from it, unless a
// default of AWS's has changed.
func (a *account) mustRoundTrip(t testing.TB, path string, olderDefault bool) {
	t.Helper()
	s := bound(t, path)
	for _, o := range []export.Options{{}, {All: true}} {
		text := a.export(t, s, o, wantsOf(s)...)
		exported := filepath.Join(a.dir, "exported.yaml")
		if err := os.WriteFile(exported, text, 0o600); err != nil {
			t.Fatal(err)
		}
		run := a.look(exported)
		if err := run.failure(); err != nil {
			t.Fatalf("dry run of what was exported: %v\n%s", err, text)
		}
		if diff := cmp.Diff([]string(nil), run.changes()); diff != "" {
			t.Errorf("dry run of what was exported (-want +got):\n%s\n%s", diff, text)
		}
		if a.sandbox != nil && !o.All && !olderDefault {
			b := newSandbox(t, sandbox.Options{})
			b.mustApply(t, exported)
			if diff := cmp.Diff([]string(nil), b.look(path).changes()); diff != "" {
				t.Errorf("what was exported makes something else (-want +got):\n%s\n%s", diff, text)
			}
		}
		if again := a.export(t, bound(t, exported), o, wantsOf(bound(t, exported))...); string(again) != string(text) {
			t.Errorf("exported again:\n%s", cmp.Diff(string(text), string(again)))
		}
	}
}

func TestExportExamples(t *testing.T) {
	alone(t)
	for _, name := range []string{"dev.yaml", "prod.yaml", "github-oidc.yaml"} {
		t.Run(name, func(t *testing.T) {
			alone(t)
			a := newAccount(t)
			path := a.example(t, name)
			a.mustApply(t, path)
			a.mustRoundTrip(t, path, false)
		})
	}
}
