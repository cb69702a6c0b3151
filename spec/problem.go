package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one finding, at the token that is wrong. Lines and columns
// count from 1, columns in characters. Line 0 means the file as a whole; an
// empty File means that the finding is about no file, as with a --var that
// names nothing.
type Problem struct {
	File    string
	Line    int
	Column  int
	Message string

	// Source is the line of the file, to be shown with the finding; "" where
	// there is none to show.
	Source string
}

func (p Problem) Error() string {
	switch {
	case p.File == "":
		return p.Message
	case p.Line == 0:
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Problems is everything that is wrong with a spec, sorted by file, line and
// column. Its text has a line for each.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// maxProblems is more than anybody mends in one go.
const maxProblems = 1000

// findings collects what the passes of a bind find wrong.
type findings struct{ problems Problems }

func (f *findings) add(p Problem) {
	if len(f.problems) < maxProblems {
		f.problems = append(f.problems, p)
	}
}

// errorf reports a finding at a node.
func (f *findings) errorf(n *node, format string, args ...any) {
	line, column := n.place()
	if n.bad || n.kind == scalar && n.src.guessed[line] {
		return // what is wrong there has been told
	}
	if n.fromFile {
		args = withoutText(args, n.text)
	}
	f.add(n.src.problem(line, column, format, args...))
}

// want reports a node that is of another kind, once.
func (f *findings) want(n *node, kind nodeKind, name string) bool {
	if n.kind == kind {
		return true
	}
	wanted := map[nodeKind]string{scalar: "text", mapping: "a mapping", sequence: "a list"}[kind]
	f.errorf(n, "%s: want %s, have %s%s", name, wanted, n.what(), reshape(n, kind, name))
	n.bad = true
	return false
}

// fileContent stands in a message where the text of a file would, which is not
// the spec's to show.
const fileContent = "(the content of a file)"

// withoutText takes what is some of a text out of a message's words.
func withoutText(args []any, text string) []any {
	args = slices.Clone(args)
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			if part := strings.TrimSuffix(arg, "..."); part != "" && strings.Contains(text, part) {
				args[i] = fileContent
			}
		case ID:
			if strings.Contains(text, arg.Name) {
				args[i] = ID{arg.Kind, fileContent}
			}
		}
	}
	return args
}

// characters counts them in words.
func characters(n int) string {
	if n == 1 {
		return "1 character"
	}
	return fmt.Sprintf("%d characters", n)
}

// sorted orders findings and drops repeated ones: an alias lets one wrong
// token be met many times.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Message, b.Message),
		)
	})
	return slices.Compact(p)
}

// err is p as an error, nil where nothing was found.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p.sorted()
}
