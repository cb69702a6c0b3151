package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A Holder is what keeps a resource from being deleted: what of others is in
// it, or needs it.
type Holder struct {
	What string // "2 objects", "attached to iam.role/x"
	Do   string // what to do about it

	// By is what needs it, zero: nothing that has an address. Where that goes in
	// the same run, or its plan has the line Path that takes something away, it
	// holds nothing and is only done first.
	By   spec.ID
	Path string
}

// Remove makes a resource of what is to go. want is its name and what the spec
// permits; a field that has to be emptied first is given, and empty.
func Remove[S spec.Resource, F any](kind Kind[S, F], env Env, want S) Removal {
	return &removal[S, F]{kind, env, want}
}

type removal[S spec.Resource, F any] struct {
	kind Kind[S, F]
	env  Env
	want S
}

func (r *removal[S, F]) ID() spec.ID { return r.want.ID() }

func (r *removal[S, F]) Needs() []spec.ID { return r.want.Common().Needs }

func (r *removal[S, F]) Removes() {}

func (r *removal[S, F]) Permissions() []Permission { return r.kind.Permissions(r.want) }

// Plan reads what is there and lists the steps that delete it, the first of
// which looks once more whose it is.
func (r *removal[S, F]) Plan(ctx context.Context) (Plan, error) {
	live, err := r.kind.Describe(ctx, r.want, false)
	if err != nil || !live.Exists {
		return Plan{}, err
	}
	tags := live.Is.Common().Tags
	plan := Plan{Exists: true, Marked: r.env.Owns(tags)}
	if !plan.Marked {
		plan.Notes = []string{"kept: " + NotOwned(tags)}
		return plan, nil
	}
	if plan.Holders, err = r.kind.Holders(ctx, live, r.want); err != nil {
		return Plan{}, err
	}
	if Protected(tags) {
		plan.Holders = append(plan.Holders, Protection())
	}
	if plan.Steps, err = r.kind.Delete(live, r.want); err != nil {
		return Plan{}, err
	}
	plan.Deletes = true
	plan.Steps = OnceMore(plan.Steps, func(ctx context.Context) error {
		return r.env.StillOwns(r.kind.Tags(ctx, r.want))
	})
	return plan, nil
}

// OnceMore has the first of the steps look, right before it writes, whether
// they may still be done.
func OnceMore(steps []Step, look func(context.Context) error) []Step {
	if len(steps) == 0 {
		return nil
	}
	first := steps[0].Do
	steps[0].Do = func(ctx context.Context) error {
		if err := look(ctx); err != nil {
			return err
		}
		return first(ctx)
	}
	return steps
}

// Owns says that tags carry the stack's mark.
func (e Env) Owns(tags map[string]string) bool { return tags[Mark] == e.Stack }

// StillOwns says whether what was planned to be deleted may be, by the tags that
// it has now; nil: it is gone.
func (e Env) StillOwns(tags map[string]string, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("look whose it is: %w", err)
	case tags == nil:
		return ErrOvertaken
	case !e.Owns(tags):
		return fmt.Errorf("somebody has changed it meanwhile, so it was kept: %s", NotOwned(tags))
	case Protected(tags):
		return fmt.Errorf("somebody has changed it meanwhile, so it was kept: %s", Protection().What)
	}
	return nil
}

// NotOwned says why tags are not those of the stack's own.
func NotOwned(tags map[string]string) string {
	if owner, ok := tags[Mark]; ok {
		return fmt.Sprintf("it belongs to the stack %q by its tag %s", owner, Mark)
	}
	return fmt.Sprintf("it does not carry the stack's mark, the tag %s", Mark)
}

// Protected says that tags keep a resource from being deleted. Whatever else than
// false the tag says, somebody meant something by it.
func Protected(tags map[string]string) bool {
	value, ok := tags[Protect]
	return ok && !strings.EqualFold(value, "false")
}

// Protection is what keeps a resource that is protected.
func Protection() Holder {
	return Holder{
		What: "it is protected by its tag " + Protect,
		Do:   "to take that away say protect: false in the spec and run, or untag it by hand",
	}
}

// A KeptError says what cannot be deleted.
type KeptError struct {
	Lines []string // address, what keeps it, and what to do
}

func (e *KeptError) Error() string {
	const most = 20
	lines := e.Lines
	if len(lines) > most {
		lines = append(slices.Clone(lines[:most]), fmt.Sprintf("and %d more", len(lines)-most))
	}
	return "not everything can be deleted, so nothing was:\n  " + strings.Join(lines, "\n  ")
}

// CheckHolders holds all that is to go where one of it cannot be deleted, and
// the error is a *KeptError. What could not be read is kept as well.
func (r *Run) CheckHolders() error {
	var lines []string
	for _, n := range r.nodes {
		if !n.goes {
			continue
		}
		var held []string
		for _, h := range n.plan.Holders {
			if r.letsGo(h) {
				continue
			}
			if h.Do != "" {
				h.What += "; " + h.Do
			}
			held = append(held, h.What)
		}
		if n.result.Status == Failed {
			held = []string{"it could not be read"}
		}
		for _, what := range held {
			lines = append(lines, n.result.ID.String()+": "+what)
		}
		if n.result.Status == Planned && len(held) > 0 {
			n.result.Status, n.result.Err = Held, fmt.Errorf("it cannot be deleted: %s", strings.Join(held, "; "))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	for _, n := range r.nodes {
		if n.goes && n.result.Status == Planned {
			n.result.Status, n.result.Err = Held, errKept
		}
	}
	return &KeptError{lines}
}

// letsGo says that what holds a resource is done with before it goes.
func (r *Run) letsGo(h Holder) bool {
	by, ok := r.byID[h.By]
	if !ok {
		return false
	}
	if by.goes {
		return by.plan.Deletes
	}
	return slices.ContainsFunc(by.result.Diffs, func(d Diff) bool { return d.Path == h.Path && d.After == nil })
}

// order finds out what each resource has to wait for: for those that it needs,
// and where it goes for those that need it.
func (r *Run) order() {
	wait := func(n, first *node) {
		if !slices.Contains(n.after, first) {
			n.after = append(n.after, first)
		}
	}
	for _, n := range r.nodes {
		for _, id := range n.res.Needs() {
			switch need := r.byID[id]; {
			case need == nil:
			case n.goes && need.goes:
				wait(need, n)
			case !n.goes && !need.goes:
				wait(n, need)
			}
		}
		for _, h := range n.plan.Holders {
			if r.letsGo(h) {
				wait(n, r.byID[h.By])
			}
		}
	}
}
