package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestManyMistakes: a spec with mistakes everywhere shows them all at once.
func TestManyMistakes(t *testing.T) {
	golden, err := filepath.Abs("testdata/golden/mistakes.txt")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := os.ReadFile("testdata/golden/mistakes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(golden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	got := text(check(t, map[string]string{"dev.yaml": string(spec)}, Options{Vars: map[string]string{"bukcet": "x"}}))
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if n := strings.Count(got, "\n"); n < 50 {
		t.Errorf("only %d mistakes were found", n)
	}
}

func TestProblemText(t *testing.T) {
	p := Problems{
		{File: "b.yaml", Line: 2, Column: 1, Message: "second"},
		{File: "b.yaml", Line: 1, Column: 9, Message: "late"},
		{File: "b.yaml", Line: 1, Column: 9, Message: "late"},
		{File: "b.yaml", Line: 1, Column: 2, Message: "early"},
		{File: "a.yaml", Message: "the whole file"},
		{Message: "no file"},
	}
	want := "no file\na.yaml: the whole file\nb.yaml:1:2: early\nb.yaml:1:9: late\nb.yaml:2:1: second"
	if diff := cmp.Diff(want, p.err().Error()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	if err := (Problems{}).err(); err != nil {
		t.Errorf("no problems make the error %v", err)
	}
}

func TestSuggest(t *testing.T) {
	fields := []string{"name", "versioning", "encryption", "tags"}
	tests := []struct {
		have string
		want string
	}{
		{"versionin", "versioning"},
		{"Versioning", "versioning"},
		{"vresioning", "versioning"},
		{"tag", "tags"},
		{"nmae", "name"},
		{"x", ""},
		{"", ""},
		{"policy", ""},
		{strings.Repeat("versioning", 20), ""},
	}
	for _, tt := range tests {
		want := tt.want
		if want != "" {
			want = `; did you mean "` + want + `"?`
		}
		if got := suggest(tt.have, fields); got != want {
			t.Errorf("suggest(%q) = %q, want %q", tt.have, got, want)
		}
	}
}

func TestParseID(t *testing.T) {
	for _, s := range []string{"s3.bucket/data", "logs.log-group//ecs/x", "ecr.repository/team/app", "iam.access-key/u"} {
		id, err := ParseID(s)
		if err != nil || id.String() != s {
			t.Errorf("ParseID(%q) = %v, %v", s, id, err)
		}
	}
	for _, s := range []string{"", "s3.bucket", "s3.bucket/", "s3.buckets/data"} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("ParseID(%q) = %v", s, id)
		}
	}
}
