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
	plan.Access, err = access(d.kind, live, d.want)
	return plan, err
}

// Between lists the steps from what AWS has to what the spec wants. It asks
// nobody and changes nothing.
func Between[S spec.Resource, F any](kind Kind[S, F], env Env, live Live[S, F], want S) ([]Step, error) {
	tags := env.Tags(want.Common().Tags)
	tags.FoldCase = want.ID().Kind.FoldsTags()
	want, err := kind.Complete(live, spec.Overlay(live.Is, want))
	if err != nil {
		return nil, err
	}
	changes, err := compareNormal(kind, live.Is, want)
	if err != nil {
		return nil, err
	}
	changes.Tags, err = tags.Changes(live.Is.Common().Tags)
	owned, foreign := errors.AsType[*OwnedError](err)
	if _, shared := kind.(Sharer); foreign && shared {
		changes.Owner = owned.Owner
	} else if err != nil {
		return nil, err
	}
	return kind.Diff(live, want, changes)
}

// compareNormal compares two values field by field.
func compareNormal[S spec.Resource, F any](kind Kind[S, F], live, want S) (Changes, error) {
	before, err := kind.Normal(live)
	if err != nil {
		return Changes{}, fmt.Errorf("in aws: %w", err)
	}
	after, err := kind.Normal(want)
	if err != nil {
		return Changes{}, err
	}
	changes := Changes{fields: map[string][]Diff{}}
	before, after = Given(before), Given(after)
	for _, name := range sortedKeys(before, after) {
		if lines := Compare(name, before[name], after[name]); len(lines) > 0 {
			changes.fields[name] = lines
		}
	}
	return changes, nil
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
		rest, ok := strings.CutPrefix(d.Path, path)
		return !ok || rest != "" && rest[0] != '.' && rest[0] != '['
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
	step := Step{Call: call, Does: does + " " + s.For.String(), Diffs: lines, Do: do}
	if len(lines) == 0 {
		return &step
	}
	s.List = append(s.List, step)
	return &s.List[len(s.List)-1]
}

// Tag appends the steps that write tags and take tags away. New tags come
// before old ones go, so that a policy that looks at a tag which is replaced by
// another finds one of them at any time. Where there is no room for both, what
// goes is first: otherwise every run would meet AWS's limit.
func (s *Steps) Tag(c TagChanges, tag string, put func(context.Context) error, untag string, remove func(context.Context) error) {
	if c.Full {
		s.Add(untag, "untag", c.Takes, remove)
	}
	s.Add(tag, "tag", c.Sets, put)
	if !c.Full {
		s.Add(untag, "untag", c.Takes, remove)
	}
}
