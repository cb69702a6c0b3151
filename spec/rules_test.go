package spec

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what is found into testdata")

// head makes a spec of a body, which starts on line 4.
const head = "project: p\nenvironment: e\nregion: eu-north-1\n"

// check loads dev.yaml from a directory that holds the given files and
// returns what is wrong with it.
func check(t *testing.T, files map[string]string, o Options) error {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Load("dev.yaml", o)
	if err != nil {
		return err
	}
	return f.Check()
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error() + "\n"
}

// A section is a part of a file of rules, below a line "-- NAME --".
type section struct{ name, text string }

func readSections(t *testing.T, file string) []*section {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []*section
	for line := range strings.Lines(string(data)) {
		name, ok := strings.CutPrefix(line, "-- ")
		if name, end := strings.CutSuffix(name, " --\n"); ok && end {
			list = append(list, &section{name: name})
		} else if len(list) > 0 {
			list[len(list)-1].text += line
		}
	}
	return list
}

func writeSections(t *testing.T, file string, list []*section) {
	t.Helper()
	var sb strings.Builder
	for _, s := range list {
		sb.WriteString("-- " + s.name + " --\n" + s.text)
	}
	if err := os.WriteFile(file, []byte(sb.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestRules holds each rule to its message and its place, and to the twin
// that is just right. A case in testdata/rules has three sections: NAME, with
// the body of a spec that breaks the rule; "want", with what is reported; and
// "good", with the body of one that keeps it.
func TestRules(t *testing.T) {
	files, err := filepath.Glob("testdata/rules/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no rules", err)
	}
	for _, file := range files {
		file, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		sections := readSections(t, file)
		if len(sections)%3 != 0 {
			t.Fatalf("%s: sections do not come in threes", file)
		}
		for i := 0; i < len(sections); i += 3 {
			bad, want, good := sections[i], sections[i+1], sections[i+2]
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+bad.name, func(t *testing.T) {
				if want.name != "want" || good.name != "good" {
					t.Fatalf("sections are %q, %q", want.name, good.name)
				}
				got := text(check(t, map[string]string{"dev.yaml": head + bad.text}, Options{}))
				if *update {
					want.text = got
				}
				if got == "" {
					t.Error("nothing was found")
				}
				if diff := cmp.Diff(want.text, got); diff != "" {
					t.Errorf("problems (-want +got):\n%s", diff)
				}
				if got := text(check(t, map[string]string{"dev.yaml": head + good.text}, Options{})); got != "" {
					t.Errorf("the good twin: %s", got)
				}
			})
		}
		if *update {
			writeSections(t, file, sections)
		}
	}
}
