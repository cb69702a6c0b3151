package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Budgets of patience, in time asked to pause.
const (
	// confirmBudget is how long AWS gets to show what it has taken. IAM is
	// the slowest: Terraform's provider waits two minutes for it as well.
	confirmBudget = 2 * time.Minute

	// lostBudget is how long a create without an idempotency token is looked
	// for after an unclear answer, before it is made again.
	lostBudget = 15 * time.Second

	// kindAtATime is how many resources of one kind are worked on side by
	// side: more than calls of one service are in flight, and few enough that
	// their stacks and requests fit into memory, however many there are.
	kindAtATime = 64

	// unclearTries bounds how often an unclear answer sends a resource back
	// to looking.
	unclearTries = 3

	// overtakenTries bounds how often other runs send a resource back to
	// looking.
	overtakenTries = 10
)

// ErrOvertaken is a step's error where somebody else has changed what the step
// was planned from, before the step has written anything. The resource is
// looked at again.
var ErrOvertaken = errors.New("somebody else has changed it meanwhile")

// ErrInterrupted is why a resource was left alone after an interrupt.
var ErrInterrupted = errors.New("interrupted")

// A NeedError says that a resource was skipped because of one that it needs, or
// that needs it and was to go before it.
type NeedError struct {
	Need spec.ID
	By   bool // Need needs it
}

func (e *NeedError) Error() string {
	if e.By {
		return "still needed by " + e.Need.String()
	}
	return "needs " + e.Need.String()
}

// An Observer hears of a run as it goes, from several goroutines at once.
type Observer interface {
	Looking(total int) // so many resources are about to be read
	Looked(id spec.ID)
	Started(id spec.ID, call string)
	Progressed(id spec.ID, said string) // a long step has come so far
	Finished(Result)
}

// Options are what a run takes from outside. The zero value serves.
type Options struct {
	Stop     <-chan struct{} // once closed, no further step is started
	Observer Observer
	Pause    awsx.Pause
}

// A Run is a set of resources and what a look at AWS has said of them.
type Run struct {
	opts  Options
	nodes []*node // sorted by ID
	byID  map[spec.ID]*node
}

type node struct {
	res    Resource
	plan   Plan
	read   bool // plan is what a look has said
	result Result
	done   chan struct{} // closed when Apply has written it
	after  []*node       // what it has to wait for

	goes    bool // it is to be deleted
	written bool // all its steps were done

	approved *ResourceChange // what may be done of it; nil: whatever there is
	gated    bool            // nothing may be done that lets in more
}

// Look reads all resources side by side. What cannot be read has failed, and
// what needs it and has anything to do is skipped; the rest is planned or in
// sync. Nothing is written.
func Look(ctx context.Context, resources []Resource, o Options) *Run {
	if o.Pause == nil {
		o.Pause = awsx.Wait
	}
	r := &Run{opts: o, byID: make(map[spec.ID]*node, len(resources))}
	for _, res := range resources {
		n := &node{res: res, done: make(chan struct{})}
		_, n.goes = res.(Removal)
		r.nodes = append(r.nodes, n)
		r.byID[res.ID()] = n
	}
	slices.SortFunc(r.nodes, func(a, b *node) int { return spec.Compare(a.res.ID(), b.res.ID()) })

	// A read that is cut off does no harm, so an interrupt waits for none.
	reads, done := UntilStopped(ctx, o.Stop)
	defer done()
	if o.Observer != nil {
		o.Observer.Looking(len(r.nodes))
	}
	var wg sync.WaitGroup
	for _, kind := range r.kinds() {
		wg.Go(func() {
			var looks errgroup.Group
			looks.SetLimit(kindAtATime)
			for _, n := range kind {
				looks.Go(func() error {
					n.look(reads)
					if o.Observer != nil {
						o.Observer.Looked(n.result.ID)
					}
					return nil
				})
			}
			_ = looks.Wait() // a look keeps its error in its result
		})
	}
	wg.Wait()
	r.order()
	r.skip()
	return r
}

// kinds cuts the nodes, which are sorted, into those of one kind each.
func (r *Run) kinds() [][]*node {
	var kinds [][]*node
	for i, n := range r.nodes {
		if i == 0 || n.res.ID().Kind != r.nodes[i-1].res.ID().Kind {
			kinds = append(kinds, nil)
		}
		kinds[len(kinds)-1] = append(kinds[len(kinds)-1], n)
	}
	return kinds
}

func (n *node) look(ctx context.Context) {
	id := n.res.ID()
	n.result = Result{ID: id, Action: None, Status: InSync}
	plan, err := n.ask(ctx)
	switch {
	case err != nil && errors.Is(context.Cause(ctx), ErrInterrupted):
		n.result.Status, n.result.Err = Skipped, ErrInterrupted
		return
	case err != nil:
		n.fail(ctx, fmt.Errorf("describe %s: %w", id, awsx.Clean(err)))
		return
	}
	n.plan, n.read = plan, true
	n.result.Notes, n.result.Access = plan.Notes, plan.access()
	if len(plan.Steps) == 0 {
		return
	}
	c := planned(id, plan)
	n.result.Status, n.result.Action, n.result.Calls, n.result.Diffs = Planned, c.Action, c.Calls, c.Lines
}

// ask has the resource make its plan.
func (n *node) ask(ctx context.Context) (plan Plan, err error) {
	err = awsx.Guard(func() (err error) {
		plan, err = n.res.Plan(ctx)
		return err
	})
	return plan, err
}

func (n *node) fail(ctx context.Context, err error) {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	n.result.Status, n.result.Err = Failed, err
	if _, ok := errors.AsType[*unconfirmedError](err); ok {
		n.result.Status = Unconfirmed
	}
}

// An unconfirmedError is about what was written, or may have been, and could
// not be read back.
type unconfirmedError struct{ err error }

func (e *unconfirmedError) Error() string { return e.err.Error() }
func (e *unconfirmedError) Unwrap() error { return e.err }

// skip marks what has anything to do but needs what failed or was skipped.
func (r *Run) skip() {
	for changed := true; changed; {
		changed = false
		for _, n := range r.nodes {
			if n.result.Status != Planned {
				continue
			}
			if err := n.unmet(); err != nil {
				n.result.Status, n.result.Err = Skipped, err
				changed = true
			}
		}
	}
}

// unmet names the first of what n waits for that has come to nothing.
func (n *node) unmet() error {
	for _, first := range n.after {
		switch first.result.Status {
		case Failed, Skipped, Unconfirmed:
			return &NeedError{Need: first.result.ID, By: n.goes}
		}
	}
	return nil
}

// UntilStopped is ctx, ended with ErrInterrupted when stop is closed. Call
// done once the context is not needed any longer.
func UntilStopped(ctx context.Context, stop <-chan struct{}) (stopped context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-stop:
			cancel(ErrInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Apply does the planned steps: each resource after those that it needs,
// others side by side. One failure stops only what depends on it.
func (r *Run) Apply(ctx context.Context) {
	// What AWS has slowed down does not wait for its turn after an interrupt.
	turns, done := UntilStopped(ctx, r.opts.Stop)
	defer done()
	ctx = awsx.WhileTurns(ctx, turns)
	places := map[spec.Kind]chan struct{}{}
	for _, n := range r.nodes {
		if kind := n.res.ID().Kind; places[kind] == nil {
			places[kind] = make(chan struct{}, kindAtATime)
		}
	}
	var wg sync.WaitGroup
	for _, n := range r.nodes {
		wg.Go(func() {
			defer close(n.done)
			for _, first := range n.after {
				<-first.done
			}
			if n.result.Status == Planned {
				place := places[n.res.ID().Kind]
				place <- struct{}{}
				r.apply(ctx, n)
				<-place
			}
			if !n.gone() {
				r.finished(n)
			}
		})
	}
	wg.Wait()

	// Whether all is gone that was deleted is asked together: a page of IAM
	// tells of many.
	for _, n := range r.nodes {
		if n.gone() {
			wg.Go(func() {
				r.settle(ctx, n)
				r.finished(n)
			})
		}
	}
	wg.Wait()
}

func (r *Run) finished(n *node) {
	if o := r.opts.Observer; o != nil {
		o.Finished(n.result)
	}
}

// gone says that n was deleted, for all that the answers tell.
func (n *node) gone() bool { return n.goes && n.written }

func (r *Run) apply(ctx context.Context, n *node) {
	if err := n.unmet(); err != nil {
		n.result.Status, n.result.Err = Skipped, err
		return
	}
	if err := r.stopped(ctx); err != nil {
		n.result.Status, n.result.Err = Skipped, err
		return
	}
	if err := r.write(ctx, n); err == ErrInterrupted {
		n.result.Status, n.result.Err = Skipped, err
		return
	} else if err != nil {
		n.fail(ctx, err)
		return
	}
	if n.written = true; !n.goes {
		r.settle(ctx, n)
	}
}

// settle says of what was written whether AWS shows it.
func (r *Run) settle(ctx context.Context, n *node) {
	if err := r.confirm(ctx, n); err != nil {
		n.fail(ctx, err)
		return
	}
	n.result.Status = Done
	n.result.Notes = n.plan.Notes
}

// write does the steps of n's plan. After an unclear answer it looks again
// and goes on with what is then left to do, so that a lost answer is neither
// taken for a failure nor made up for twice.
func (r *Run) write(ctx context.Context, n *node) error {
	for tries, overtaken := 0, 0; ; {
		step, err := r.do(ctx, n)
		if err == nil {
			return nil
		}
		if err == ErrInterrupted && tries+overtaken == 0 {
			return err // nothing was written
		}
		err = fmt.Errorf("%s: %w", step.Does, awsx.Clean(err))
		if errors.Is(err, context.Canceled) && errors.Is(context.Cause(ctx), ErrInterrupted) {
			return &unconfirmedError{err} // AWS may have taken the call before it was cut off
		}
		switch {
		case r.stopped(ctx) != nil:
			return err
		case errors.Is(err, ErrOvertaken) && overtaken < overtakenTries:
			overtaken++
		case unclear(step, err) && tries < unclearTries:
			tries++
		default:
			return err
		}
		again, lookErr := r.lookFor(ctx, n, step, err)
		if lookErr != nil {
			return errors.Join(err, lookErr)
		}
		if awsx.AlreadyExists(err) && makes(again, step) {
			// It is there, and yet is not what was to be made.
			return err
		}
		if beyond := n.within(again); beyond != nil {
			return errors.Join(err, beyond)
		}
		n.plan = again
	}
}

// makes says that a plan makes the call of a step.
func makes(plan Plan, step Step) bool {
	return slices.ContainsFunc(plan.Steps, func(s Step) bool { return s.Call == step.Call })
}

// unclear says that a step's own call may have taken effect although it
// failed. What a step does beside it, such as to deliver a key, is not.
func unclear(step Step, err error) bool {
	call, ok := errors.AsType[*awsx.CallError](err)
	return ok && call.Call == step.Call && awsx.Unclear(call)
}

// do does n's steps in order and answers with the one that failed.
func (r *Run) do(ctx context.Context, n *node) (Step, error) {
	for i, s := range n.plan.Steps {
		if err := r.stopped(ctx); err != nil && !s.Follows {
			return s, notBegun(i, err)
		}
		stepCtx := ctx
		if o := r.opts.Observer; o != nil {
			o.Started(n.result.ID, s.Call)
			stepCtx = withProgress(ctx, func(said string) { o.Progressed(n.result.ID, s.Call+" "+said) })
		}
		if s.Follows {
			stepCtx = awsx.WhileTurns(stepCtx, ctx)
		}
		if err := awsx.Guard(func() error { return s.Do(stepCtx) }); err != nil {
			// It never had its turn, or AWS has refused it for its rate.
			if why := r.stopped(ctx); errors.Is(why, ErrInterrupted) && (errors.Is(err, ErrInterrupted) || awsx.Throttled(err)) && !s.Follows {
				return s, notBegun(i, why)
			}
			return s, err
		}
	}
	return Step{}, nil
}

// notBegun is why the i-th step was left alone.
func notBegun(i int, why error) error {
	if i == 0 {
		return why
	}
	return &unconfirmedError{fmt.Errorf("not begun; what comes before it was written, but not read back: %w", why)}
}

// lookFor reads n again after a step's answer was unclear, or where the plan
// no longer holds. AWS's reads lag behind its writes: what cannot be made twice
// without harm, and what is known to exist, is looked for until the budget is
// spent, anything else once. As long as any step makes the lost call, its
// effect does not show: an older state may ask for other steps before it.
func (r *Run) lookFor(ctx context.Context, n *node, lost Step, why error) (Plan, error) {
	poll := awsx.Poll{Pause: r.opts.Pause, Budget: 100 * time.Millisecond}
	if !errors.Is(why, ErrOvertaken) && (lost.Once || awsx.AlreadyExists(why)) {
		poll.Budget = lostBudget
	}
	plan := n.plan
	for poll.Again(ctx) {
		var err error
		if plan, err = n.ask(ctx); err != nil {
			return Plan{}, fmt.Errorf("describe %s: %w", n.result.ID, awsx.Clean(err))
		}
		if !makes(plan, lost) {
			break
		}
	}
	return plan, nil
}

// confirm reads n until AWS shows what was written. A stale read asks for
// patience, never for a second write.
func (r *Run) confirm(ctx context.Context, n *node) error {
	poll := awsx.Poll{Pause: r.opts.Pause, Budget: confirmBudget}
	for {
		if err := r.stopped(ctx); err != nil {
			return &unconfirmedError{fmt.Errorf("written, but not read back: %w", err)}
		}
		plan, err := n.ask(ctx)
		if err != nil {
			return &unconfirmedError{fmt.Errorf("written, but not read back: describe %s: %w", n.result.ID, awsx.Clean(err))}
		}
		if n.goes && !plan.Exists || !n.goes && len(plan.Steps) == 0 {
			n.plan = plan
			return nil
		}
		if poll.Again(ctx) {
			continue
		}
		if n.goes {
			return fmt.Errorf("read back %s: after %s aws still has it; somebody may have made it again", n.result.ID, confirmBudget)
		}
		return fmt.Errorf("read back %s: after %s aws still differs in %s, which %s would mend; somebody else may be changing it too",
			n.result.ID, confirmBudget, paths(plan.Steps), calls(plan.Steps))
	}
}

// stopped says why nothing more is to be started, or nil.
func (r *Run) stopped(ctx context.Context) error {
	select {
	case <-r.opts.Stop:
		return ErrInterrupted
	default:
		return context.Cause(ctx)
	}
}

// Results answers what is known of each resource, sorted.
func (r *Run) Results() []Result {
	results := make([]Result, len(r.nodes))
	for i, n := range r.nodes {
		results[i] = n.result
	}
	return results
}

// Marked says that some resource carries the stack's mark already.
func (r *Run) Marked() bool {
	return slices.ContainsFunc(r.nodes, func(n *node) bool { return n.plan.Marked })
}

// Absent lists what a look has not found, nil where it has found anything.
func (r *Run) Absent() []spec.ID {
	var absent []spec.ID
	for _, n := range r.nodes {
		switch {
		case n.plan.Exists:
			return nil
		case n.read:
			absent = append(absent, n.res.ID())
		}
	}
	return absent
}

// Attr is a value born in AWS, as the last look has seen it, or why there is
// none.
func (r *Run) Attr(id spec.ID, name string) (string, Gap) {
	n, ok := r.byID[id]
	switch {
	case !ok:
		return "", NotLookedAt
	case !n.read:
		return "", NotRead
	}
	v, ok := n.plan.Attrs[name]
	if !ok {
		return "", NotBorn
	}
	return v, ""
}

func paths(steps []Step) string {
	var all []string
	for _, s := range steps {
		for _, d := range s.Diffs {
			all = append(all, d.Path)
		}
		if len(s.Diffs) == 0 {
			all = append(all, s.Does)
		}
	}
	return strings.Join(all, ", ")
}

func calls(steps []Step) string {
	var all []string
	for _, s := range steps {
		all = append(all, s.Call)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}
