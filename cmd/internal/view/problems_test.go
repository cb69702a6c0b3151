package view

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

func hostileProblems() spec.Problems {
	return spec.Problems{
		{Message: "--var x: no such variable"},
		{File: "a,b:c%.yaml", Line: 3, Column: 5, Message: "bad \x1b[31m\n::add-mask::x 100%", Source: "a: \t\x1b[2Jx"},
		{File: "dev.yaml", Line: 7, Column: 200, Message: "far", Source: strings.Repeat("x", 199) + "HERE" + strings.Repeat("y", 100)},
	}
}

func TestProblems(t *testing.T) {
	var b strings.Builder
	if err := Problems(&b, hostileProblems(), false); err != nil {
		t.Fatal(err)
	}
	want := `--var x: no such variable
a,b:c%.yaml:3:5: bad \x1b[31m\n::add-mask::x 100%
    3 | a:  \x1b[2Jx
      |     ^
dev.yaml:7:200: far
    7 | ...` + strings.Repeat("x", 60) + "HERE" + strings.Repeat("y", 36) + `...
      | ` + strings.Repeat(" ", 63) + "^\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	b.Reset()
	if err := Problems(&b, hostileProblems()[:1], true); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "\x1b[1;31m--var x: no such variable\x1b[0m\n"; got != want {
		t.Errorf("coloured: %q", got)
	}
}

// Nothing of a spec becomes a workflow command of its own.
func TestProblemsGitHub(t *testing.T) {
	var b strings.Builder
	if err := ProblemsGitHub(&b, hostileProblems()); err != nil {
		t.Fatal(err)
	}
	want := `::error::--var x: no such variable
::error file=a%2Cb%3Ac%25.yaml,line=3,col=5::bad \x1b[31m\n::add-mask::x 100%25
::error file=dev.yaml,line=7,col=200::far
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

func TestProblemsJSON(t *testing.T) {
	var b strings.Builder
	if err := ProblemsJSON(&b, "dev.yaml", hostileProblems()); err != nil {
		t.Fatal(err)
	}
	var got jsonValidation
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Valid || got.Spec != "dev.yaml" || len(got.Problems) != 3 || got.Problems[1].Source != hostileProblems()[1].Source {
		t.Errorf("JSON: %s", b.String())
	}
	b.Reset()
	if err := ProblemsJSON(&b, "dev.yaml", nil); err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"format_version\": \"1.0\",\n  \"spec\": \"dev.yaml\",\n  \"valid\": true,\n  \"problems\": []\n}\n"; b.String() != want {
		t.Errorf("JSON of none: %s", b.String())
	}
}
