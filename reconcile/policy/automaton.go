package policy

import (
	"errors"
	"slices"
	"strings"
	"unicode"
)

// maxStates bounds the automaton of a set of patterns. A few dozen patterns as
// people write them need a few thousand states. Patterns with many wildcards
// inside can need exponentially many.
const maxStates = 1 << 14

var errTooManyStates = errors.New("the patterns overlap in too many ways to tell them all apart")

// A class is the set of all texts that the same patterns match.
type class struct {
	example string
	in      []bool // by pattern: whether its texts match
}

// classes divides the texts that one of shapes matches by which of patterns
// match them. Every text of a shape is in one of the classes, and each has an
// example, so that what holds for the examples holds for all texts.
//
// It walks through the deterministic automaton of all patterns at once,
// making states as it meets them, and shortest texts first.
func classes(shapes, patterns []*pattern) ([]class, error) {
	all := slices.Concat(shapes, patterns)
	letters, filler := alphabet(all)

	var starts []position
	for i := range all {
		starts = append(starts, position{i, 0})
	}
	type state struct {
		at   []position
		text string
	}
	first := closure(all, starts)
	queue := []state{{at: first}}
	seen := map[string]bool{name(first): true}
	known := make(map[string]bool)
	var found []class
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]

		in := make([]bool, len(all))
		for _, p := range s.at {
			in[p.pattern] = in[p.pattern] || p.token == len(all[p.pattern].tokens)
		}
		if slices.Contains(in[:len(shapes)], true) {
			if in = in[len(shapes):]; !known[bits(in)] {
				known[bits(in)] = true
				found = append(found, class{s.text, in})
			}
		}

		for _, r := range letters {
			// Any other letter leads where the filler does, which is first.
			if r != filler && r != ':' && !slices.ContainsFunc(s.at, func(p position) bool {
				tokens := all[p.pattern].tokens
				return p.token < len(tokens) && (tokens[p.token].kind == literal || tokens[p.token].kind == digit) && tokens[p.token].accepts(r)
			}) {
				continue
			}
			next := step(all, s.at, r)
			if !slices.ContainsFunc(next, func(p position) bool { return p.pattern < len(shapes) }) || seen[name(next)] {
				continue
			}
			if len(seen) == maxStates {
				return nil, errTooManyStates
			}
			seen[name(next)] = true
			queue = append(queue, state{next, s.text + string(r)})
		}
	}

	// The shortest text of "b/*" is "b/". Where "b/x" is of the same class, it
	// reads better.
	for i := range found {
		var best *pattern
		for j, p := range patterns {
			if !found[i].in[j] || best != nil && p.weight() <= best.weight() {
				continue
			}
			text := example(p.tokens, filler)
			fits := func(q *pattern) bool { return matches(q.tokens, text) }
			if slices.ContainsFunc(shapes, fits) && bits(membership(patterns, text)) == bits(found[i].in) {
				found[i].example, best = text, p
			}
		}
	}
	return found, nil
}

// membership says which patterns match a text.
func membership(patterns []*pattern, text string) []bool {
	in := make([]bool, len(patterns))
	for i, p := range patterns {
		in[i] = matches(p.tokens, text)
	}
	return in
}

func bits(in []bool) string {
	b := make([]byte, len(in))
	for i, yes := range in {
		b[i] = '0'
		if yes {
			b[i] = '1'
		}
	}
	return string(b)
}

// A position is before a token of a pattern; a state of the automaton is a
// set of them, sorted.
type position struct{ pattern, token int }

// closure adds the positions that a wildcard's matching nothing leads to.
func closure(all []*pattern, at []position) []position {
	for i := 0; i < len(at); i++ {
		p := at[i]
		if tokens := all[p.pattern].tokens; p.token < len(tokens) && tokens[p.token].kind == many {
			at = append(at, position{p.pattern, p.token + 1})
		}
	}
	slices.SortFunc(at, func(a, b position) int {
		if a.pattern != b.pattern {
			return a.pattern - b.pattern
		}
		return a.token - b.token
	})
	return slices.Compact(at)
}

func step(all []*pattern, at []position, r rune) []position {
	var next []position
	for _, p := range at {
		tokens := all[p.pattern].tokens
		if p.token == len(tokens) || !tokens[p.token].accepts(r) {
			continue
		}
		if tokens[p.token].kind != many {
			p.token++
		}
		next = append(next, p)
	}
	return closure(all, next)
}

func name(at []position) string {
	var b strings.Builder
	for _, p := range at {
		b.WriteRune(rune(p.pattern + 1))
		b.WriteRune(rune(p.token + 1))
	}
	return b.String()
}

// overlap says whether some text matches both of two patterns. Where it is not
// sure, they overlap.
func overlap(a, b []token) bool {
	seen := make(map[[2]int]bool)
	var from func(i, j int) bool
	from = func(i, j int) bool {
		at := [2]int{i, j}
		if seen[at] {
			return false
		}
		seen[at] = true
		switch {
		case i == len(a) && j == len(b):
			return true
		case i < len(a) && a[i].kind == many && from(i+1, j):
			return true
		case j < len(b) && b[j].kind == many && from(i, j+1):
			return true
		case i == len(a) || j == len(b) || !a[i].meets(b[j]):
			return false
		}
		next, after := i+1, j+1
		if a[i].kind == many {
			next = i
		}
		if b[j].kind == many {
			after = j
		}
		return from(next, after)
	}
	return from(0, 0)
}

// meets says whether two tokens accept a character in common.
func (t token) meets(u token) bool {
	switch {
	case t.kind == literal:
		return u.accepts(t.r) || t.fold && (u.accepts(unicode.ToLower(t.r)) || u.accepts(unicode.ToUpper(t.r)))
	case u.kind == literal:
		return u.meets(t)
	}
	return true
}

// alphabet is every character that a pattern tells from others, and one, the
// filler, that stands for all the rest.
func alphabet(all []*pattern) ([]rune, rune) {
	letters := []rune{':'}
	for _, p := range all {
		for _, t := range p.tokens {
			switch t.kind {
			case literal:
				letters = append(letters, t.r)
				if t.fold {
					letters = append(letters, unicode.ToLower(t.r), unicode.ToUpper(t.r))
				}
			case digit:
				letters = append(letters, []rune("0123456789")...)
			}
		}
	}
	slices.Sort(letters)
	letters = slices.Compact(letters)
	filler := 'x'
	for slices.Contains(letters, filler) {
		filler = nextFiller(filler)
	}
	return append([]rune{filler}, letters...), filler
}

// nextFiller goes through small letters, then anything.
func nextFiller(r rune) rune {
	switch {
	case r == 'z':
		return 'a'
	case r == 'w':
		return 0x100
	}
	return r + 1
}
