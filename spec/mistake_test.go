package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestYAMLMistakes: each is explained at its own place, and does not hide what
// else is wrong. A case in testdata/yaml.txt has two sections: NAME, with the
// body of a spec that is not YAML and ends in a wrong region of a bucket; and
// "want", with what is reported.
func TestYAMLMistakes(t *testing.T) {
	file, err := filepath.Abs("testdata/yaml.txt")
	if err != nil {
		t.Fatal(err)
	}
	sections := readSections(t, file)
	if len(sections) == 0 || len(sections)%2 != 0 {
		t.Fatalf("%s: %d sections do not come in pairs", file, len(sections))
	}
	for i := 0; i < len(sections); i += 2 {
		bad, want := sections[i], sections[i+1]
		t.Run(bad.name, func(t *testing.T) {
			const more = "outputs: {last: 1, x: \"${nothing}\"}\n"
			err := check(t, map[string]string{"dev.yaml": head + bad.text + more}, Options{})
			got := text(err)
			if *update {
				want.text = got
			}
			if diff := cmp.Diff(want.text, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if !strings.Contains(got, "${nothing}") {
				t.Error("it hides what is wrong behind it")
			}
			for _, p := range err.(Problems) {
				if lines := strings.Split(head+bad.text+more, "\n"); p.Source != lines[p.Line-1] {
					t.Errorf("%v shows the line %q", p, p.Source)
				}
			}
		})
	}
	if *update {
		writeSections(t, file, sections)
	}
}

// TestNoMistake: in a text that is YAML there is none to be found.
func TestNoMistake(t *testing.T) {
	texts := map[string]string{
		"flow over lines":     "a: {b: [1,\n  2], c: 'x\n  y', d: \"e\n\n  f\"}\nb: {\n  \"c\": {\"d\":1},\n}\n",
		"text over lines":     "a: one\n  two - three\n  - four\nb: 'it''s'\n",
		"text below its key":  "a:\n  some text\n  and more\nb: c\n",
		"lists below keys":    "a:\n- b: 1\n  c:\n  - d\n  - - e\n    - f\n- g\n",
		"literals":            "a: |\n  x: y: z\n    *\n\n  @\nb: >-\n  - {\nc: |2-\n    x\nd:\n  - |\n    x\n  - y\n",
		"anchors and tags":    "a: &x\n  b: 1\nc: *x\nd:\n  <<: *x\n  e: !!str 5\nf: &y z\n",
		"odd keys":            "\"a b\": 1\n'c': 2\n? d\n: e\na:b: 3\n$x: 4\n",
		"comments":            "# a\na: b # c: d\n   # e\nb: # f\n  - c # g\n#: [\n",
		"colons and dollars":  "a: b:c\nd: ${x.y}\ne: http://f\ng: -h\ni: 12:30\nj: [a:b, http://c]\nk: {l: m:n}\n",
		"document marks":      "---\na: b\n...\n",
		"JSON":                "{\"a\": [\"b\", {\"c\": null}],\n\"d\": 1}\n",
		"escapes":             "a: \"\\\\ \\n \\u00e9 \\\"\"\nb: '\\d'\n",
		"carriage returns":    "a:\r\n  - b\r\n  - c: 'd'\r\n",
		"spaces before colon": "a : b\n\"c\" : d\n",
	}
	for _, pattern := range []string{"../examples/*.y*ml", "testdata/golden/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal("no files", err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			texts[file] = string(data)
		}
	}
	rules, err := filepath.Glob("testdata/rules/*.txt")
	if err != nil || len(rules) == 0 {
		t.Fatal("no rules", err)
	}
	for _, file := range rules {
		for _, s := range readSections(t, file) {
			if s.name != "want" {
				texts[file+"/"+s.name+"/"+s.text] = head + s.text
			}
		}
	}
	for name, text := range texts {
		var problems Problems
		if root, _ := parse("dev.yaml", []byte(text), &problems); root == nil {
			continue
		}
		if m := findMistake(text); m != nil {
			t.Errorf("%s: at byte %d (%q): %s", name, m.offset, text[m.offset:min(m.offset+20, len(text))], m.message)
		}
	}
}
