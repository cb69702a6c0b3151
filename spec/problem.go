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
