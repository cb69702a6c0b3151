package stack_test

import (
	"context"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/export"
	"github.com/churn-reconcile/churn-reconcile/reconcile/export/tfstate"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// exportState is the spec that takes the place of a Terraform state.
func (a *account) exportState(t testing.TB, state string, project, environment string) []byte {
	t.Helper()
	read, err := tfstate.Read(strings.NewReader(state))
	if err != nil {
		t.Fatal(err)
	}
	place, err := read.In("", "")
	if err != nil {
		t.Fatal(err)
	}
	part := read.At(place)
	session := stack.NewSession(stack.Options{
		AWS: awsx.Options{EndpointURL: a.url, Credentials: credentials.NewStaticCredentialsProvider("operator", "operator", ""), Backoff: noDelay},
		Now: a.clock.Now, Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	from, err := session.Account(t.Context(), place.Region)
	if err != nil {
		t.Fatal(err)
	}
	draft, left := from.Export(t.Context(), part.Wants, export.Options{})
	left = append(left, part.Complete(&draft, false)...)
	if len(left) > 0 {
		t.Fatalf("left out: %v", left)
	}
	draft.Project, draft.Environment = project, environment
	text := draft.YAML()
	if part.Tells(string(text)) {
		t.Errorf("the spec tells a secret:\n%s", text)
	}
	return text
}

// mustOnlyTag wants a run over what Terraform has made to add tags and to do
// nothing else, and, of a spec that was exported, none but the product's own.
func mustOnlyTag(t testing.TB, o outcome, product bool) {
	t.Helper()
	if err := o.failure(); err != nil {
		t.Error(err)
	}
	for _, r := range o.results {
		if r.Action == reconcile.Create {
			t.Errorf("%s would be created although terraform had made it", r.ID)
		}
		for _, d := range r.Diffs {
			if !strings.HasPrefix(d.Path, "tags.") || d.Before != nil || product && !strings.HasPrefix(d.Path, "tags."+spec.OwnTagPrefix) {
				t.Errorf("%s: %s: %v -> %v is no tag that is added", r.ID, d.Path, d.Before, d.After)
			}
		}
	}
}

var update = flag.Bool("update", false, "write golden files anew")

func golden(t testing.TB, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
