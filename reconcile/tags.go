package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

const (
	// OwnPrefix begins every tag key that belongs to the product.
	OwnPrefix = "churn-reconcile:"
	// Mark is the key of the ownership mark. Its value is the stack's name,
	// PROJECT/ENVIRONMENT.
	Mark = OwnPrefix + "stack"

	// maxTags is what every service here lets a resource carry, AWS's own
	// tags not counted.
	maxTags = 50
)

// Tags is what the spec wants of a resource's tags.
type Tags struct {
	Want   map[string]string // nil: not managed, save the mark; empty: none of them
	Ignore []string          // globs over keys that others look after
	Stack  string            // the value of the mark

	// FoldCase says that the service takes keys that differ in case only for
	// the same, as IAM does for users and roles: to tag Project replaces
	// project, and to untag either takes away whichever is there. A live key
	// that a wanted one equals in this way is then never untagged.
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
		case t.FoldCase && t.replaces(want, key): // gone by the write of the other spelling
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

// replaces says whether a wanted key is key in another case.
func (t Tags) replaces(want map[string]string, key string) bool {
	for other := range want {
		if strings.EqualFold(other, key) {
			return true
		}
	}
	return false
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

// TagCalls are the calls by which a service writes a resource's tags.
type TagCalls struct {
	Tag, Untag string // their names, such as iam:TagRole

	Put    func(context.Context, map[string]string) error
	Remove func(ctx context.Context, keys []string) error
}

// Steps are the steps from the tags that a resource carries to those that it
// should carry. New tags come before old ones go, so that a policy that looks
// at a tag which is replaced by another finds one of them at any time. A
// resource that has no room for that is untagged first: tagged first, it would
// meet AWS's limit on every run. The error is that of Diff.
func (t Tags) Steps(id spec.ID, live map[string]string, calls TagCalls) ([]Step, error) {
	put, remove, diffs, err := t.Diff(live)
	if err != nil {
		return nil, err
	}
	var sets, takes []Diff
	for _, d := range diffs {
		if slices.ContainsFunc(remove, func(key string) bool { return d.Path == join("tags", key) }) {
			takes = append(takes, d)
		} else {
			sets = append(sets, d)
		}
	}
	var steps []Step
	if len(put) > 0 {
		steps = append(steps, Step{
			Call: calls.Tag, Does: "tag " + id.String(), Diffs: sets,
			Do: func(ctx context.Context) error { return calls.Put(ctx, put) },
		})
	}
	if len(remove) > 0 {
		steps = append(steps, Step{
			Call: calls.Untag, Does: "untag " + id.String(), Diffs: takes,
			Do: func(ctx context.Context) error { return calls.Remove(ctx, remove) },
		})
	}
	if t.count(live, put) > maxTags {
		slices.Reverse(steps)
	}
	return steps, nil
}

// count is how many tags a resource carries once put is written to it.
func (t Tags) count(live, put map[string]string) int {
	n := len(put)
	for key := range live {
		_, written := put[key]
		if !written && !ofAWS(key) && !(t.FoldCase && t.replaces(put, key)) {
			n++
		}
	}
	return n
}
