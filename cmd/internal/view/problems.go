package view

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Problems writes what is wrong with a spec: for each finding its place and
// words on a line that editors can jump to, and below it the line of the file
// with a caret under the place.
func Problems(w io.Writer, problems spec.Problems, color bool) error {
	var b strings.Builder
	t := func(sgr, text string) {
		if color {
			fmt.Fprintf(&b, "\x1b[%sm%s\x1b[0m", sgr, text)
			return
		}
		b.WriteString(text)
	}
	for _, p := range problems {
		t(boldRed, plainStart(printable(p.Error())))
		b.WriteString("\n")
		if strings.TrimSpace(p.Source) == "" {
			continue
		}
		text, caret := window(p.Source, p.Column)
		number := fmt.Sprintf("%5d | ", p.Line)
		t(dim, number)
		b.WriteString(text + "\n")
		t(dim, strings.Repeat(" ", len(number)-2)+"| ")
		b.WriteString(strings.Repeat(" ", caret))
		t(boldRed, "^")
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// window is the part of a line around a column, printable, and where in it the
// caret goes.
func window(line string, column int) (text string, caret int) {
	const width, before = 100, 60
	runes := []rune(strings.ReplaceAll(line, "\t", " "))
	at := min(max(column-1, 0), len(runes))
	from, to := 0, len(runes)
	head, tail := "", ""
	if at > width-10 {
		from, head = at-before, "..."
	}
	if to-from > width {
		to, tail = from+width, "..."
	}
	head += printable(string(runes[from:at]))
	return head + printable(string(runes[at:to])) + tail, utf8.RuneCountInString(head)
}

type jsonValidation struct {
	FormatVersion string        `json:"format_version"`
	Spec          string        `json:"spec"`
	Valid         bool          `json:"valid"`
	Problems      []jsonProblem `json:"problems"`
}

// jsonProblem is a finding. Line and column count from 1; 0 means the file as
// a whole, or none.
type jsonProblem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
	Source  string `json:"source,omitempty"`
}

// ProblemsJSON writes whether a spec is valid, and what is wrong with it, as
// one JSON document.
func ProblemsJSON(w io.Writer, file string, problems spec.Problems) error {
	v := jsonValidation{FormatVersion: formatVersion, Spec: file, Valid: len(problems) == 0, Problems: []jsonProblem{}}
	for _, p := range problems {
		v.Problems = append(v.Problems, jsonProblem(p))
	}
	text, err := encode(v, "  ")
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text+"\n")
	return err
}

// ProblemsGitHub writes an annotation of GitHub Actions for each finding,
// https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
func ProblemsGitHub(w io.Writer, problems spec.Problems) error {
	// Both end at a line break; a property also at a comma or two colons.
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	var b strings.Builder
	for _, p := range problems {
		b.WriteString("::error")
		if p.File != "" && p.File != "-" {
			fmt.Fprintf(&b, " file=%s,line=%d,col=%d", property.Replace(printable(p.File)), cmp.Or(p.Line, 1), cmp.Or(p.Column, 1))
		}
		fmt.Fprintf(&b, "::%s\n", data.Replace(printable(p.Message)))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
