package spec

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func draftOf(s *Spec) Draft {
	return Draft{
		Project: s.Project, Environment: s.Environment, Region: s.Region, Account: s.Account, Partition: s.Partition,
		Resources: s.Resources(), Outputs: s.Outputs,
	}
}

// loaded is what a draft comes to once it is written and loaded.
func loaded(t testing.TB, text []byte) *Spec {
	t.Helper()
	f, err := Load("-", Options{Stdin: strings.NewReader(string(text))})
	if err == nil {
		err = f.Check()
	}
	var s *Spec
	if err == nil {
		s, err = f.Bind(Identity{Partition: "aws", Account: f.Account()})
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s
}

// trees are the resources of a spec as trees, by address. The order of attached
// policies means nothing.
func trees(s *Spec) map[string]any {
	all := map[string]any{}
	for _, r := range s.Resources() {
		tree := Tree(indirect(r))
		if policies, ok := tree["policies"].([]any); ok {
			slices.SortFunc(policies, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		}
		all[r.ID().String()] = tree
	}
	return all
}

// TestDraftExamples: each example, written from what it comes to, reads as a
// person would have written it, and means the same.
func TestDraftExamples(t *testing.T) {
	for _, name := range []string{"dev.yaml", "prod.yaml", "github-oidc.yaml"} {
		t.Run(name, func(t *testing.T) {
			want := example(t, name)
			text := draftOf(want).YAML()
			golden := filepath.Join("testdata", "drafts", name)
			if *update {
				if err := os.WriteFile(golden, text, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			kept, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(kept), string(text)); diff != "" {
				t.Errorf("the golden and what is written (-want +got):\n%s", diff)
			}
			got := loaded(t, text)
			if diff := cmp.Diff(trees(want), trees(got)); diff != "" {
				t.Errorf("what was meant and what was loaded (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want.Outputs, got.Outputs); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
			if again := draftOf(got).YAML(); string(again) != string(text) {
				t.Errorf("written again it is other text:\n%s", cmp.Diff(string(text), string(again)))
			}
		})
	}
}
