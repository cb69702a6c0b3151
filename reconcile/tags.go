package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	// OwnPrefix begins every tag key that belongs to the product.
	OwnPrefix = "churn-reconcile:"
	// Mark is the key of the ownership mark. Its value is the stack's name,
	// PROJECT/ENVIRONMENT.
	Mark = OwnPrefix + "stack"
	// Protect is the key of the tag that keeps a resource from being deleted.
	Protect = OwnPrefix + "protect"

	// maxTags is what every service here lets a resource carry, AWS's own
	// tags not counted.
	maxTags = 50
)

// Tags is what the spec wants of a resource's tags.
type Tags struct {
	Want   map[string]string // nil: not managed, save the mark; empty: none of them
	Ignore []string          // globs over keys that others look after
	Stack  string            // the value of the mark

	Protect *bool // whether it is protected from being deleted; nil: not managed

	// FoldCase says that AWS takes keys that differ in case only for the same
	// (see [spec.Kind.FoldsTags]). A live key that a wanted one equals in this
	// way is then never untagged.
	FoldCase bool
}

// An OwnedError says that a resource carries the mark of another stack and
// must not be touched.
type OwnedError struct {
	Owner string // the other stack
}

func (e *OwnedError) Error() string {
	return fmt.Sprintf("belongs to the stack %q by its tag %s; take it out of one of the two specs, or change the tag by hand", e.Owner, Mark)
}

// TagChanges are what has to be written of a resource's tags, and the lines that
// say so. Services have a call for what is set and another for what goes; Put
// and Remove are what these two take.
type TagChanges struct {
	Put    map[string]string
	Remove []string // sorted
	Sets   []Diff
	Takes  []Diff
	Lines  []Diff // both, sorted by key

	// Whole are all tags that the resource should carry in the end, for calls
	// that take nothing less. A kind's Diff is told of them.
	Whole map[string]string

	// Full says that the resource has no room for what is set before what goes
	// is gone.
	Full bool
}

// Changes compares with the tags that a resource carries. The error is an
// *OwnedError where live carries the mark of another stack.
//
// Keys of AWS, of the product and those that Ignore matches are never removed.
// A key that the spec gives is written even if Ignore matches it.
func (t Tags) Changes(live map[string]string) (TagChanges, error) {
	if owner, ok := live[Mark]; ok && owner != t.Stack {
		return TagChanges{}, &OwnedError{Owner: owner}
	}
	var c TagChanges
	want := t.Create()
	for _, key := range sortedKeys(want, live) {
		before, has := live[key]
		after, wanted := want[key]
		d := Diff{Path: join("tags", key)}
		if has {
			d.Before = before
		}
		switch {
		case wanted && has && before == after:
			continue
		case wanted:
			if c.Put == nil {
				c.Put = make(map[string]string)
			}
			c.Put[key] = after
			d.After = after
			c.Sets = append(c.Sets, d)
		case t.FoldCase && folds(want, key): // gone by the write of the other spelling
			c.Sets = append(c.Sets, d)
		case !t.unprotects(key) && (t.Want == nil || t.keeps(key)):
			continue
		default:
			c.Remove = append(c.Remove, key)
			c.Takes = append(c.Takes, d)
		}
		c.Lines = append(c.Lines, d)
	}
	c.Full = t.carried(live, c.Put) > maxTags
	return c, nil
}

// carried counts the tags of a resource once some are put over those that it has.
func (t Tags) carried(live, put map[string]string) int {
	n := len(put)
	for key := range live {
		if _, written := put[key]; !written && !ofAWS(key) && !(t.FoldCase && folds(put, key)) {
			n++
		}
	}
	return n
}

// recorded are changes with the tag that says what was applied, unless live has
// it already or the resource has no room for it and one more: an access key may
// want one on its user. It has no line: it is nothing to be done by itself.
func (t Tags) recorded(c TagChanges, live map[string]string, applied string) TagChanges {
	c.Whole = t.Whole(live)
	was, has := live[Applied]
	if applied == "" || applied == was {
		return c
	}
	n := t.carried(live, c.Put)
	if !has {
		if n++; n-len(c.Remove) >= maxTags {
			return c
		}
		c.Full = n > maxTags
	}
	c.Put = maps.Clone(c.Put)
	if c.Put == nil {
		c.Put = map[string]string{}
	}
	c.Put[Applied], c.Whole[Applied] = applied, applied
	return c
}

// folds says whether a key is one of tags in any case.
func folds(tags map[string]string, key string) bool {
	for other := range tags {
		if strings.EqualFold(other, key) {
			return true
		}
	}
	return false
}

// Create returns every tag that a create call has to carry, the mark included.
func (t Tags) Create() map[string]string {
	want := make(map[string]string, len(t.Want)+1)
	for key, value := range t.Want {
		// AWS refuses a write that carries a key of its own.
		if !ofAWS(key) {
			want[key] = value
		}
	}
	want[Mark] = t.Stack
	if t.Protect != nil && *t.Protect {
		want[Protect] = "true"
	}
	return want
}

// Whole returns all tags that a resource should carry once Diff's are written,
// for calls that take nothing less. AWS's own keys are not among them: AWS
// keeps those by itself and refuses to be sent them.
func (t Tags) Whole(live map[string]string) map[string]string {
	whole := t.Create()
	for key, value := range live {
		if _, given := whole[key]; !given && !ofAWS(key) && !t.unprotects(key) && (t.Want == nil || t.keeps(key)) {
			whole[key] = value
		}
	}
	return whole
}

// compare adds the tags to the fields that differences are found in: those that
// AWS has of them, and those that the spec wants. The product's own are fields
// of their own.
func (t Tags) compare(live map[string]string, before, after map[string]any) {
	had, wants := map[string]any{}, map[string]any{}
	want := t.Create()
	for _, key := range sortedKeys(live, want) {
		is, has := live[key]
		value, wanted := want[key]
		switch own := strings.HasPrefix(key, OwnPrefix); {
		case own && wanted && has:
			before[join("tags", key)], after[join("tags", key)] = is, value
		case own && wanted:
			after[join("tags", key)] = value
		case wanted && has:
			had[key], wants[key] = is, value
		case wanted:
			wants[key] = value
		case t.Want != nil && !t.keeps(key):
			had[key] = is
		}
	}
	before["tags"], after["tags"] = had, wants
}

// unprotects says that a key is the one that protects, and is to go.
func (t Tags) unprotects(key string) bool { return key == Protect && t.Protect != nil && !*t.Protect }

// keeps says whether a key that the spec does not give stays all the same.
func (t Tags) keeps(key string) bool {
	return ofAWS(key) || strings.HasPrefix(key, OwnPrefix) ||
		slices.ContainsFunc(t.Ignore, func(glob string) bool { return Glob(glob, key) })
}

// ofAWS says whether a key is reserved. AWS reserves the prefix in any mix of
// upper and lower case.
func ofAWS(key string) bool {
	const prefix = "aws:"
	return len(key) >= len(prefix) && strings.EqualFold(key[:len(prefix)], prefix)
}

func sortedKeys[V any](a, b map[string]V) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}
