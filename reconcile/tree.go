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
// is made of map[string]any, []any, string, bool, numbers (int, int32, int64,
// float64, json.Number) and nil. nil is "absent", which a key that is not
// there is too; it is not the same as empty. Numbers are compared by value,
// whatever their type.
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
	diffs := compare(nil, path, before, after)
	slices.SortStableFunc(diffs, func(a, b Diff) int { return natural(a.Path, b.Path) })
	return diffs
}

func compare(diffs []Diff, path string, before, after any) []Diff {
	if beforeMap, afterMap, ok := both[map[string]any](before, after); ok {
		for _, key := range sortedKeys(beforeMap, afterMap) {
			diffs = compare(diffs, join(path, key), beforeMap[key], afterMap[key])
		}
		return diffs
	}
	if beforeList, afterList, ok := both[[]any](before, after); ok {
		beforeNamed, afterNamed := named(beforeList, afterList)
		for _, key := range sortedKeys(beforeNamed, afterNamed) {
			diffs = compare(diffs, path+"["+key+"]", beforeNamed[key], afterNamed[key])
		}
		return diffs
	}
	if sameLeaf(before, after) {
		return diffs
	}
	return append(diffs, Diff{Path: path, Before: before, After: after})
}

// both returns the two values as containers of one type. An absent side counts
// as an empty one, but for the sake of the leaf that an empty container is,
// not where the other side is empty too.
func both[T map[string]any | []any](before, after any) (b, a T, ok bool) {
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
func named(before, after []any) (b, a map[string]any) {
	for _, field := range []string{"name", "id", "ID", "key", "Sid"} {
		b, okB := by(field, before)
		a, okA := by(field, after)
		if okB && okA {
			return b, a
		}
	}
	return positions(before), positions(after)
}

func by(field string, list []any) (map[string]any, bool) {
	elements := make(map[string]any, len(list))
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

func positions(list []any) map[string]any {
	elements := make(map[string]any, len(list))
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
