package policy

import (
	"cmp"
	"maps"
	"slices"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A Document is a policy document in canonical form, which compares itself by
// meaning as a part of a tree.
type Document struct{ document }

var _ reconcile.Leaf = Document{}

// Parse reads a document as AWS answers it, raw JSON or URL-encoded.
func Parse(text []byte) (Document, error) {
	d, err := read(text)
	return Document{d}, err
}

// Normal puts a Document in the place of the text of one in a tree; an empty
// one asks for none to be there, and leaves the tree.
func Normal(tree map[string]any, keys ...string) error {
	for _, key := range keys {
		text, _ := tree[key].(spec.Document)
		delete(tree, key)
		if len(text) == 0 || text.Empty() {
			continue
		}
		document, err := Parse(text)
		if err != nil {
			return err
		}
		tree[key] = document
	}
	return nil
}

// Value is the document as it is written, without its statements' order.
func (d Document) Value() any { return d.rest.value }

// Canonical is the document as [Canonical] has it.
func (d Document) Canonical() any { return d.tree() }

// Lines lists the paths under path at which two documents differ by meaning, as
// [Canonical] defines it; none where they are equal.
//
// Elements of sets are named by value, statements by Sid or, where they have
// none of their own, by position: "document.Statement[Read].Action[s3:GetObject]",
// "document.Statement[0].Effect". Names and values are spelled as in the
// documents. Statements of the same Sid are compared with each other. Of the
// others, those that are equal belong together, and those without a Sid that
// then remain are paired in their order. A statement that has no counterpart
// is one difference as a whole. Positions count in after, save for statements
// that only the document itself has.
func (d Document) Lines(path string, after reconcile.Leaf) []reconcile.Diff {
	want, ok := after.(Document)
	if !ok {
		return []reconcile.Diff{{Path: path, Before: d.Value(), After: after.Value()}}
	}
	diffs := compare(nil, path, d.rest, want.rest)
	for _, p := range match(d.statements, want.statements) {
		switch {
		case p.live == nil:
			diffs = append(diffs, reconcile.Diff{Path: at(path, p.want), After: p.want.value})
		case p.want == nil:
			diffs = append(diffs, reconcile.Diff{Path: at(path, p.live), Before: p.live.value})
		default:
			diffs = compare(diffs, at(path, p.want), p.live.node, p.want.node)
		}
	}
	return diffs
}

func at(path string, s *statement) string {
	return path + ".Statement[" + s.label() + "]"
}

// A pair is two statements to compare, or one that has no counterpart.
type pair struct{ live, want *statement }

// match pairs statements, in the order of want and then of live.
func match(live, want []statement) []pair {
	counterpart := make([]*statement, len(want))
	taken := make([]bool, len(live))
	for _, same := range []func(l, w statement) bool{
		func(l, w statement) bool { return l.sid != "" && l.sid == w.sid },
		func(l, w statement) bool { return l.text == w.text },
		func(l, w statement) bool { return l.sid == "" && w.sid == "" },
	} {
		for i := range want {
			for j := range live {
				if counterpart[i] == nil && !taken[j] && same(live[j], want[i]) {
					counterpart[i], taken[j] = &live[j], true
				}
			}
		}
	}
	var pairs []pair
	for i := range want {
		pairs = append(pairs, pair{counterpart[i], &want[i]})
	}
	for j := range live {
		if !taken[j] {
			pairs = append(pairs, pair{live: &live[j]})
		}
	}
	return pairs
}

// compare appends what differs between two nodes that have the same path.
func compare(diffs []reconcile.Diff, path string, live, want node) []reconcile.Diff {
	if live.kind != want.kind {
		return append(diffs, reconcile.Diff{Path: path, Before: live.value, After: want.value})
	}
	if live.kind == leaf {
		if text(live.value) != text(want.value) {
			diffs = append(diffs, reconcile.Diff{Path: path, Before: live.value, After: want.value})
		}
		return diffs
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(live.children)), maps.Keys(want.children))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		l, isLive := live.children[name]
		w, isWant := want.children[name]
		below := path + "." + cmp.Or(w.name, l.name)
		if live.kind == set {
			below = path + "[" + cmp.Or(w.name, l.name) + "]"
		}
		switch {
		case isLive && isWant:
			if live.kind != set { // elements that have one name are equal
				diffs = compare(diffs, below, l, w)
			}
		case isLive:
			diffs = append(diffs, reconcile.Diff{Path: below, Before: l.value})
		default:
			diffs = append(diffs, reconcile.Diff{Path: below, After: w.value})
		}
	}
	return diffs
}
