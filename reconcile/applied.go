package reconcile

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A Cause says whose change a line of a difference is: of the spec since it was
// last applied, or of somebody in AWS. "" is not known.
type Cause string

// The causes.
const (
	BySpec  Cause = "spec"       // AWS has what was applied, and the spec asks for something else
	ByDrift Cause = "drift"      // the spec asks for what was applied, and AWS has something else
	ByBoth  Cause = "spec+drift" // neither is what was applied
)

// Drifted says that AWS is no longer what was applied.
func (c Cause) Drifted() bool { return c == ByDrift || c == ByBoth }

// Applied is the key of the tag that says what was last applied. A resource is
// created with it, and an update writes it last, with the tags where there are
// any to write: what it says was applied then was. It is written only where
// there is something else to write, so that it makes no difference by itself; a
// resource that is not tagged with it, as those of the first release, gets it
// with its next change.
//
// A create that fails half way leaves the tag of all that it was to be, and
// what is missing counts as drift until it is mended. An update that is killed
// before its last call leaves the tag of what was there before, and the next
// change of the same field counts as spec+drift.
//
// Its value is a version, "1", and entries of six characters without anything
// between them, 42 at most. The first three stand for a path, such as
// "versioning", "tags.Owner" or "containerDefinitions[app].cpu", the others for
// the value there: each is the first 18 bits of a SHA-256, of the path and of
// the path, a zero byte and the value in its normal form as JSON, in base64url.
// In place of a value
//
//	...  says that what is below the path has entries of its own
//	===  says that two paths have the same three characters
//
// Every field that the spec gives has an entry, and "tags" is one of them. A
// field is opened up, the topmost and smallest first, as long as all entries
// have room. The version changes with the normal form of any value; a version
// that is not known says nothing.
const Applied = OwnPrefix + "applied"

const (
	appliedVersion = "1"
	appliedEntries = (256 - len(appliedVersion)) / 6 // a tag's value has at most 256 characters

	appliedBelow = "..."
	appliedTwice = "==="
)

// fingerprints are the entries of the tag: what was applied, by path.
type fingerprints map[string]string

// readFingerprints reads the tag's value; nil where it says nothing.
func readFingerprints(value string) fingerprints {
	entries, ok := strings.CutPrefix(value, appliedVersion)
	if !ok || len(entries)%6 != 0 {
		return nil
	}
	f := fingerprints{}
	for entry := range slices.Chunk([]byte(entries), 6) {
		f[string(entry[:3])] = string(entry[3:])
	}
	return f
}

// managed are the fields that a spec gives and the tags of the product, as they
// are about to be applied.
func managed(declared spec.Resource, after map[string]any) map[string]any {
	fields := map[string]any{}
	for name := range spec.Tree(declared) {
		fields[recorded(name)] = nil // it may be given, and empty
	}
	for name, value := range after {
		if _, given := fields[recorded(name)]; given || ownTag(name) {
			fields[recorded(name)] = value
		}
	}
	return fields
}

// A part is a value at a path.
type part struct {
	path  string
	depth int
	value any
}

// below are the parts that a part is made of; none where it is a leaf.
func (p part) below() []part {
	var parts []part
	add := func(path string, value any) { parts = append(parts, part{path, p.depth + 1, value}) }
	switch v := p.value.(type) {
	case map[string]any:
		for key, value := range v {
			add(join(p.path, key), value)
		}
	case Keyed:
		for key, value := range v {
			add(p.path+"["+key+"]", value)
		}
	}
	return parts
}

// appliedValue is the tag's value for what is about to be applied, by field; ""
// where not even the fields have room.
func appliedValue(fields map[string]any) string {
	if len(fields) == 0 || len(fields) > appliedEntries {
		return ""
	}
	parts := make([]part, 0, appliedEntries)
	for path, value := range fields {
		parts = append(parts, part{path: path, value: shared(value)})
	}
	entries := fingerprints{}
	for room := appliedEntries - len(parts); len(parts) > 0; parts = parts[1:] {
		slices.SortFunc(parts, func(a, b part) int {
			return cmp.Or(cmp.Compare(a.depth, b.depth), cmp.Compare(len(a.below()), len(b.below())), cmp.Compare(a.path, b.path))
		})
		path, value := parts[0].path, appliedBelow
		if below := parts[0].below(); len(below) > 0 && len(below) <= room {
			room -= len(below)
			parts = append(parts, below...)
		} else {
			value = parts[0].fingerprint()
		}
		if _, twice := entries[digest18(path)]; twice {
			value = appliedTwice
		}
		entries[digest18(path)] = value
	}
	var b strings.Builder
	b.WriteString(appliedVersion)
	for _, path := range slices.Sorted(maps.Keys(entries)) {
		b.WriteString(path + entries[path])
	}
	return b.String()
}

// fingerprint stands for the part's value.
func (p part) fingerprint() string { return digest18(p.path + "\x00" + canonical(p.value)) }

func digest18(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:3])[:3]
}

// attribute says of each line whose change it is. before is what AWS has by
// field, and after what the spec wants.
func (f fingerprints) attribute(c Changes, before, after map[string]any) {
	if f == nil {
		return
	}
	lines := append(slices.Collect(maps.Values(c.fields)), c.Tags.Sets, c.Tags.Takes, c.Tags.Lines)
	for _, lines := range lines {
		for i, d := range lines {
			field := fieldOf(d.Path)
			lines[i].Cause = f.cause(d.Path, field, before[field], after[field])
		}
	}
}

// fieldOf is the field that a path leads into. Each tag of the product is one
// of its own: it is there whether the spec gives tags or not.
func fieldOf(path string) string {
	if end := strings.IndexAny(path, ".["); end >= 0 && !ownTag(path) {
		return path[:end]
	}
	return path
}

func ownTag(path string) bool { return strings.HasPrefix(path, join("tags", OwnPrefix)) }

// recorded is a field as the spec calls it. What the spec calls a role is a
// roleArn to ECS.
func recorded(field string) string { return strings.TrimSuffix(field, "Arn") }

// cause says whose change a line at a path is. before is what AWS has of the
// path's field and after what the spec wants.
func (f fingerprints) cause(path, field string, before, after any) Cause {
	field = recorded(field)
	live, want := part{path: field, value: shared(before)}, part{path: field, value: shared(after)}
	known, ok := f[digest18(field)]
	if !ok {
		return BySpec // which did not give the field
	}
	for known == appliedBelow {
		l, w := live.toward(path), want.toward(path)
		switch {
		case l.path == "" && w.path == "":
			return "" // the line is of the part as a whole
		case len(l.path) > len(w.path):
			w = part{path: l.path}
		case len(l.path) < len(w.path):
			l = part{path: w.path}
		}
		live, want = l, w
		if known, ok = f[digest18(live.path)]; !ok {
			known = part{path: live.path}.fingerprint() // there was none
		}
	}
	wasLive, wasWanted := known == live.fingerprint(), known == want.fingerprint()
	switch {
	case known == appliedTwice, wasLive && wasWanted:
		return ""
	case wasLive:
		return BySpec
	case wasWanted:
		return ByDrift
	}
	return ByBoth
}

// toward is the part below that a path leads to, without a path where there is
// none.
func (p part) toward(path string) part {
	var found part
	for _, b := range p.below() {
		if within(path, b.path) && len(b.path) > len(found.path) {
			found = b
		}
	}
	return found
}

// within says that a path is another one or leads below it.
func within(path, of string) bool {
	rest, ok := strings.CutPrefix(path, of)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// shared is a normalised value in a form that every value shares from which
// [Compare] finds no difference.
func shared(v any) any {
	switch v := v.(type) {
	case Leaf:
		return canonical(shared(v.Canonical())) // which is one part: its lines' paths are its own
	case map[string]any:
		tree := make(map[string]any, len(v))
		for key, value := range v {
			if value != nil {
				tree[key] = shared(value)
			}
		}
		return tree
	case Keyed:
		keyed := make(Keyed, len(v))
		for key, value := range v {
			keyed[key] = shared(value)
		}
		return keyed
	case []any:
		elements, _ := named(v, v)
		return shared(elements)
	}
	if n, ok := number(v); ok {
		return n
	}
	return v
}
