package spec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzLoad: no text makes a load panic, what is wrong has a place, and what
// loads binds twice to the same. The words that name files are spoilt, so that
// a text cannot reach into the machine.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"../examples/*.yaml", "testdata/golden/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal("no seeds", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(data))
		}
	}
	rules, err := filepath.Glob("testdata/rules/*.txt")
	if err != nil || len(rules) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range rules {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for body := range strings.SplitSeq(string(data), "\n-- ") {
			_, body, _ = strings.Cut(body, " --\n")
			f.Add(head + body + "\n")
		}
	}
	f.Fuzz(func(t *testing.T, in string) {
		in = strings.NewReplacer("file", "fiel", "extends", "extend").Replace(in)
		file, err := Load("-", Options{Stdin: strings.NewReader(in)})
		if err != nil {
			placed(t, err)
			return
		}
		if err := file.Check(); err != nil {
			placed(t, err)
			return
		}
		id := Identity{Account: file.Account(), Region: "eu-north-1"}
		if id.Account == "" {
			id.Account = "123456789012"
		}
		first, err := file.Bind(id)
		if err != nil {
			// A name may take what only a real account breaks; it must not
			// come to anything else.
			placed(t, err)
			return
		}
		second, err := file.Bind(id)
		if err != nil {
			t.Fatalf("the second bind: %v", err)
		}
		if !reflect.DeepEqual(first, second) {
			t.Errorf("two binds differ: %s", cmp.Diff(fmt.Sprintf("%#v", first), fmt.Sprintf("%#v", second)))
		}
	})
}

// placed wants Problems that say where they are.
func placed(t *testing.T, err error) {
	t.Helper()
	problems, ok := errors.AsType[Problems](err)
	if !ok || len(problems) == 0 {
		t.Fatalf("%T: %v", err, err)
	}
	for _, p := range problems {
		if p.File != "-" || p.Line < 1 || p.Column < 1 || p.Message == "" {
			t.Errorf("no place: %#v", p)
		}
	}
}

// FuzzMistake: looking for a mistake ends, whatever the text, and points into
// it.
func FuzzMistake(f *testing.F) {
	sections, err := os.ReadFile("testdata/yaml.txt")
	if err != nil {
		f.Fatal(err)
	}
	for part := range strings.SplitSeq(string(sections), "-- want --") {
		f.Add(part)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m := findMistake(text)
		if m == nil {
			return
		}
		if m.offset < 0 || m.offset > len(text) {
			t.Errorf("byte %d of %d", m.offset, len(text))
		}
		for _, fix := range m.fixes {
			apply(text, fix)
		}
	})
}
