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
)

// Tags is what the spec wants of a resource's tags.
type Tags struct {
	Want   map[string]string // nil: not managed, save the mark; empty: none of them
	Ignore []string          // globs over keys that others look after
	Stack  string            // the value of the mark
}

// An OwnedError says that a resource carries the mark of another stack and
// must not be touched.
type OwnedError struct {
	Owner string // the other stack
}

func (e *OwnedError) Error() string {
	return fmt.Sprintf("belongs to the stack %q by its tag %s; take it out of one of the two specs, or change the tag by hand", e.Owner, Mark)
}

// Diff compares with the tags that a resource carries. put holds what has to
// be written, the mark included, and remove the keys that have to go, sorted;
// both are nil where there is nothing to do. The error is an *OwnedError where
// live carries the mark of another stack.
//
// Keys of AWS, of the product and those that Ignore matches are never removed.
// A key that the spec gives is written even if Ignore matches it.
func (t Tags) Diff(live map[string]string) (put map[string]string, remove []string, diffs []Diff, err error) {
	if owner, ok := live[Mark]; ok && owner != t.Stack {
		return nil, nil, nil, &OwnedError{Owner: owner}
	}
	want := t.Create()
	for _, key := range sortedKeys(want, live) {
		before, has := live[key]
		after, wanted := want[key]
		d := Diff{Path: join("tags", key)}
		switch {
		case wanted && has && before == after:
			continue
		case wanted:
			if put == nil {
				put = make(map[string]string)
			}
			put[key] = after
			d.After = after
		case t.Want == nil || t.keeps(key):
			continue
		default:
			remove = append(remove, key)
		}
		if has {
			d.Before = before
		}
		diffs = append(diffs, d)
	}
	return put, remove, diffs, nil
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
	return want
}

// Whole returns all tags that a resource should carry once Diff's are written,
// for calls that take nothing less. AWS's own keys are not among them: AWS
// keeps those by itself and refuses to be sent them.
func (t Tags) Whole(live map[string]string) map[string]string {
	whole := t.Create()
	for key, value := range live {
		if _, given := whole[key]; !given && !ofAWS(key) && (t.Want == nil || t.keeps(key)) {
			whole[key] = value
		}
	}
	return whole
}

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

// SplitTags tells the lines that set a tag from those that take one away, for
// services that have a call for each.
func SplitTags(diffs []Diff) (sets, takes []Diff) {
	for _, d := range diffs {
		if d.After == nil {
			takes = append(takes, d)
		} else {
			sets = append(sets, d)
		}
	}
	return sets, takes
}
