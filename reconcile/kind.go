package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A Kind is how one kind of resource is read, compared and written. S is the
// spec's own type of it, and AWS is read into that very type. F holds the few
// facts that a spec has no word for; [NoFacts] where there are none.
//
// Describe, Tags and Holders are the only ones that ask AWS. The others do no
// I/O and change nothing that they are handed.
type Kind[S spec.Resource, F any] interface {
	// Describe reads the fields that want gives, or every field where all is
	// set. It never writes.
	Describe(ctx context.Context, want S, all bool) (Live[S, F], error)

	// Complete fills in what want leaves to AWS within its fields, so that it
	// says what is there once it is applied. Whole fields that the spec leaves
	// out are in want already, as they are live.
	Complete(live Live[S, F], want S) (S, error)

	// Normal is a value as a tree that every value of the same meaning shares:
	// defaults filled in, lists without order made maps, documents made
	// [Leaf]s. What is empty may be in it or not. It has no tags.
	Normal(S) (map[string]any, error)

	// Diff lists the steps from live to want, which is complete. An error says
	// what cannot be changed, and what to do.
	Diff(live Live[S, F], want S, changes Changes) ([]Step, error)

	// Permissions are what IAM has to allow for the calls that the kind makes
	// for want, whatever AWS has.
	Permissions(want S) []Permission

	// Tags reads the tags that the resource has now, as its own service tells
	// them; nil where it is not there. It never writes.
	Tags(ctx context.Context, want S) (map[string]string, error)

	// Holders reads what keeps the resource from being deleted: what of others
	// is in it, or needs it. want is as for Delete. It never writes.
	Holders(ctx context.Context, live Live[S, F], want S) ([]Holder, error)

	// Delete lists the steps that take live away, each of which may be done a
	// second time. want says what there is to know beside: the name, and what
	// the spec permits (forceDestroy, forceDelete), which it does not of what
	// has left the spec.
	Delete(live Live[S, F], want S) ([]Step, error)
}

// A Sharer is a kind of which several stacks may need the same resource. Where
// it carries another stack's mark, Diff is told the owner and takes nothing
// away; of any other kind such a resource is an error.
type Sharer interface{ Shared() }

// NoFacts are the facts of a kind that has none.
type NoFacts = struct{}

// Live is what AWS has of a resource.
type Live[S, F any] struct {
	Exists bool
	Is     S                 // what was not read is left out; the tags are all that AWS has
	Facts  F                 // what the spec has no word for
	Attrs  map[string]string // values born in AWS, for outputs
	Notes  []string          // what a reader of the report should know
}

// Declare makes a resource of what the spec wants.
func Declare[S spec.Resource, F any](kind Kind[S, F], env Env, want S) Resource {
	return &declared[S, F]{kind, env, want}
}

type declared[S spec.Resource, F any] struct {
	kind Kind[S, F]
	env  Env
	want S
}

func (d *declared[S, F]) ID() spec.ID { return d.want.ID() }

func (d *declared[S, F]) Needs() []spec.ID { return d.want.Common().Needs }

func (d *declared[S, F]) Permissions() []Permission { return d.kind.Permissions(d.want) }

func (d *declared[S, F]) Plan(ctx context.Context) (Plan, error) {
	live, err := d.kind.Describe(ctx, d.want, false)
	if err != nil {
		return Plan{}, err
	}
	if !live.Exists {
		// A part may be read although the whole is gone.
		live = Live[S, F]{Notes: live.Notes}
	}
	plan := Plan{
		Exists: live.Exists, Marked: live.Is.Common().Tags[Mark] == d.env.Stack,
		Notes: live.Notes, Attrs: live.Attrs,
	}
	if plan.Steps, err = Between(d.kind, d.env, live, d.want); err != nil || len(plan.Steps) == 0 {
		return plan, err
	}
	plan.Access = access(d.kind, live, d.want)
	return plan, nil
}

// Between lists the steps from what AWS has to what the spec wants. It asks
// nobody and changes nothing.
func Between[S spec.Resource, F any](kind Kind[S, F], env Env, live Live[S, F], want S) ([]Step, error) {
	tags, declared := env.Tags(want.Common().Tags), want
	tags.FoldCase, tags.Protect = want.ID().Kind.FoldsTags(), want.Common().Protect
	want, err := kind.Complete(live, spec.Overlay(live.Is, want))
	if err != nil {
		return nil, err
	}
	before, after, err := normal(kind, live.Is, want)
	if err != nil {
		return nil, err
	}
	changes := Changes{fields: map[string][]Diff{}}
	for _, name := range sortedKeys(before, after) {
		if lines := Compare(name, before[name], after[name]); len(lines) > 0 {
			changes.fields[name] = lines
		}
	}
	carried := live.Is.Common().Tags
	changes.Tags, err = tags.Changes(carried)
	owned, foreign := errors.AsType[*OwnedError](err)
	_, shared := kind.(Sharer)
	switch {
	case foreign && shared:
		changes.Owner = owned.Owner
	case err != nil:
		return nil, err
	case len(changes.fields)+len(changes.Tags.Lines) > 0:
		tags.compare(carried, before, after)
		changes.Tags = tags.recorded(changes.Tags, carried, appliedValue(managed(declared, after)))
		readFingerprints(carried[Applied]).attribute(changes, before, after)
	}
	steps, err := kind.Diff(live, want, changes)
	if err != nil || !slices.ContainsFunc(steps, func(s Step) bool { return len(s.Diffs) > 0 }) {
		return nil, err // to record what was applied is nothing to do by itself
	}
	return steps, nil
}

// normal is two values in the form in which they are compared, but for their
// tags.
func normal[S spec.Resource, F any](kind Kind[S, F], live, want S) (before, after map[string]any, err error) {
	if before, err = kind.Normal(live); err != nil {
		return nil, nil, fmt.Errorf("in aws: %w", err)
	}
	if after, err = kind.Normal(want); err != nil {
		return nil, nil, err
	}
	for _, meta := range []string{"tags", "protect"} {
		delete(before, meta)
		delete(after, meta)
	}
	return Given(before), Given(after), nil
}

// Given is a tree without the fields that are empty: an empty list of the spec
// asks for none to be there, which is what AWS answers by leaving it out.
func Given(tree map[string]any) map[string]any {
	maps.DeleteFunc(tree, func(_ string, v any) bool {
		switch v := v.(type) {
		case nil:
			return true
		case string:
			return v == ""
		case []any:
			return len(v) == 0
		case map[string]any:
			return len(v) == 0
		case Keyed:
			return len(v) == 0
		}
		return false
	})
	return tree
}

// Changes are the lines of a difference, by the field of the spec that they
// belong to.
type Changes struct {
	fields map[string][]Diff
	Tags   TagChanges
	Owner  string // the other stack that a shared resource belongs to; "": none
}

// Of are the lines of some fields, in the order in which they are asked for.
func (c Changes) Of(fields ...string) []Diff {
	var lines []Diff
	for _, f := range fields {
		lines = append(lines, c.fields[f]...)
	}
	return lines
}

// Under are the lines of one part of a field, such as inlinePolicies[x].
func (c Changes) Under(path string) []Diff {
	field, _, _ := strings.Cut(path, "[")
	return slices.DeleteFunc(slices.Clone(c.fields[field]), func(d Diff) bool {
		return !within(d.Path, path)
	})
}

// All are the lines of every field, sorted by it.
func (c Changes) All() []Diff { return c.Of(slices.Sorted(maps.Keys(c.fields))...) }

// Steps gathers the steps of one resource.
type Steps struct {
	For  spec.ID
	List []Step
}

// Add appends a step where there are lines for it to mend. does is completed by
// the resource's address. What more there is to say of the step can be said of
// the answer, which counts for nothing where there was no step.
func (s *Steps) Add(call, does string, lines []Diff, do func(context.Context) error) *Step {
	if len(lines) == 0 {
		return &Step{}
	}
	s.List = append(s.List, Step{Call: call, Does: does + " " + s.For.String(), Diffs: lines, Do: do})
	return &s.List[len(s.List)-1]
}

// Put appends the step that writes tags, with the record of what was applied.
// Where that is all, there are no lines for it.
func (s *Steps) Put(c TagChanges, call string, lines []Diff, do func(context.Context) error) {
	if len(c.Put)+len(lines) > 0 {
		s.List = append(s.List, Step{Call: call, Does: "tag " + s.For.String(), Diffs: lines, Do: do})
	}
}

// Tag appends the steps that write tags and take tags away. New tags come
// before old ones go, so that a policy that looks at a tag which is replaced by
// another finds one of them at any time. Where there is no room for both, what
// goes is first: otherwise every run would meet AWS's limit. They are the last
// steps, since they record what was applied.
func (s *Steps) Tag(c TagChanges, tag string, put func(context.Context) error, untag string, remove func(context.Context) error) {
	if c.Full {
		s.Add(untag, "untag", c.Takes, remove)
	}
	s.Put(c, tag, c.Sets, put)
	if !c.Full {
		s.Add(untag, "untag", c.Takes, remove)
	}
}
