package reconcile

import (
	"cmp"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Compare lists the leaves at which two normalised trees differ, under path
// and sorted by path, numbers within it by value ("[2]" before "[10]"). A tree
// is made of map[string]any, []any, [Keyed], [Leaf], string, bool, numbers (int,
// int32, int64, float64, json.Number) and nil. nil is "absent", which a key that
// is not there is too; it is not the same as empty. Numbers are compared by
// value, whatever their type.
//
// Elements of a list are matched by what they are called where every element
// on both sides is an object that has a "name", or else an "id", "ID", "key"
// or "Sid", a different one each: "containerDefinitions[ml-container].image".
// The order of such a list means nothing. Other lists are matched by position.
//
// Where a whole object or list appears or disappears, its leaves are listed
// rather than the value as one piece, so that a line of a report is short
// whatever comes or goes; only an empty one is a leaf itself. Where a value
// changes its type, as from a list to a string, it is one line with both.
func Compare(path string, before, after any) []Diff {
	lines := compare(nil, path, before, after)
	slices.SortStableFunc(lines, func(a, b line) int { return natural(a.at, b.at) })
	var diffs []Diff
	for _, l := range lines {
		diffs = append(diffs, l.Diff)
	}
	return diffs
}

// Keyed is a list without order: its elements by what they are called.
type Keyed map[string]any

// Set is a list of texts without order.
func Set[T ~string](texts []T) Keyed {
	set := make(Keyed, len(texts))
	for _, t := range texts {
		set[string(t)] = string(t)
	}
	return set
}

// A Leaf is a part of a tree with a meaning of its own, such as a policy
// document.
type Leaf interface {
	// Value is the part as a plain tree, for a line that shows all of it.
	Value() any
	// Canonical is the part as a tree that every part of the same meaning
	// shares.
	Canonical() any
	// Lines lists where after, of the same type, differs, under path. They
	// keep their order.
	Lines(path string, after Leaf) []Diff
}

// A line is a Diff and the path that it is sorted by.
type line struct {
	Diff
	at string
}

func compare(lines []line, path string, before, after any) []line {
	if b, a, ok := both[map[string]any](before, after); ok {
		for _, key := range sortedKeys(b, a) {
			lines = compare(lines, join(path, key), b[key], a[key])
		}
		return lines
	}
	if b, a, ok := both[Keyed](before, after); ok {
		return compareKeyed(lines, path, b, a)
	}
	if b, a, ok := both[[]any](before, after); ok {
		beforeNamed, afterNamed := named(b, a)
		return compareKeyed(lines, path, beforeNamed, afterNamed)
	}
	beforeLeaf, isBefore := before.(Leaf)
	afterLeaf, isAfter := after.(Leaf)
	if isBefore && isAfter {
		for _, d := range beforeLeaf.Lines(path, afterLeaf) {
			lines = append(lines, line{d, path})
		}
		return lines
	}
	if isBefore {
		before = beforeLeaf.Value()
	}
	if isAfter {
		after = afterLeaf.Value()
	}
	if sameLeaf(before, after) {
		return lines
	}
	return append(lines, line{Diff{Path: path, Before: before, After: after}, path})
}

func compareKeyed(lines []line, path string, before, after Keyed) []line {
	for _, key := range sortedKeys(before, after) {
		lines = compare(lines, path+"["+key+"]", before[key], after[key])
	}
	return lines
}

// both returns the two values as containers of one type. An absent side counts
// as an empty one, but for the sake of the leaf that an empty container is,
// not where the other side is empty too.
func both[T map[string]any | Keyed | []any](before, after any) (b, a T, ok bool) {
	b, isB := before.(T)
	a, isA := after.(T)
	switch {
	case isB && isA:
		return b, a, true
	case isB && after == nil:
		return b, nil, len(b) > 0
	case isA && before == nil:
		return nil, a, len(a) > 0
	}
	return nil, nil, false
}

// named turns two lists into maps by the name of the elements, or by position.
func named(before, after []any) (b, a Keyed) {
	for _, field := range []string{"name", "id", "ID", "key", "Sid"} {
		b, okB := by(field, before)
		a, okA := by(field, after)
		if okB && okA {
			return b, a
		}
	}
	return positions(before), positions(after)
}

func by(field string, list []any) (Keyed, bool) {
	elements := make(Keyed, len(list))
	for _, element := range list {
		object, _ := element.(map[string]any)
		name, _ := object[field].(string)
		if _, twice := elements[name]; twice || name == "" {
			return nil, false
		}
		elements[name] = element
	}
	return elements, true
}

func positions(list []any) Keyed {
	elements := make(Keyed, len(list))
	for i, element := range list {
		elements[strconv.Itoa(i)] = element
	}
	return elements
}

func sameLeaf(a, b any) bool {
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y
	}
	return reflect.DeepEqual(a, b)
}

// number returns the text that every spelling of one number shares. An integer
// too large for an int64 keeps its digits, as a float would lose some.
func number(v any) (string, bool) {
	switch n := v.(type) {
	case int:
		return strconv.Itoa(n), true
	case int32:
		return strconv.FormatInt(int64(n), 10), true
	case int64:
		return strconv.FormatInt(n, 10), true
	case float64:
		return strconv.FormatFloat(n, 'f', -1, 64), true
	case json.Number:
		text := n.String()
		if strings.Trim(text, "-0123456789") == "" {
			return text, true
		}
		f, err := n.Float64()
		if err != nil {
			return text, true
		}
		return strconv.FormatFloat(f, 'f', -1, 64), true
	}
	return "", false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// natural orders text as a reader expects: runs of digits by their value.
func natural(a, b string) int {
	for x, y := a, b; x != "" && y != ""; {
		dx, dy := digits(x), digits(y)
		if dx == 0 || dy == 0 {
			if x[0] != y[0] {
				return cmp.Compare(x[0], y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		nx, ny := strings.TrimLeft(x[:dx], "0"), strings.TrimLeft(y[:dy], "0")
		if c := cmp.Or(cmp.Compare(len(nx), len(ny)), cmp.Compare(nx, ny)); c != 0 {
			return c
		}
		x, y = x[dx:], y[dy:]
	}
	// One begins with the other, or they differ in leading zeros alone.
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// digits counts the digits that s begins with.
func digits(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}

// OrNil is s as a leaf of a tree, or nil for text that is not there.
func OrNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}
