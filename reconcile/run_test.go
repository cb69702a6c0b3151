package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A fake is a resource in memory. It has calls to make, and shows those that
// are not made yet as its steps.
type fake struct {
	id    spec.ID
	needs []spec.ID
	log   *log

	calls []string                          // to be made, in this order
	once  bool                              // they are not to be repeated blindly
	do    func(call string, time int) error // the time-th make of a call, from 1; nil: succeeds
	lost  bool                              // an error of do comes although the call took effect
	plan  func(ctx context.Context) error   // asked before each look; nil: succeeds
	lag   int                               // looks after a call that do not see it
	told  string                            // how far each call says that it is
	mu    sync.Mutex
	made  []string // took effect
	tries map[string]int
	stale int
	old   []string // made, as looks that lag see it
}

// log is what happens to several resources, in order.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *log) count(line string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int
	for _, have := range l.lines {
		if have == line {
			n++
		}
	}
	return n
}

func bucketID(name string) spec.ID { return spec.ID{Kind: spec.Bucket, Name: name} }

func newFake(l *log, name string, needs ...string) *fake {
	f := &fake{id: bucketID(name), log: l, calls: []string{"s3:Create"}, tries: map[string]int{}}
	for _, n := range needs {
		f.needs = append(f.needs, bucketID(n))
	}
	return f
}

func (f *fake) ID() spec.ID      { return f.id }
func (f *fake) Needs() []spec.ID { return f.needs }

func (f *fake) Permissions() []reconcile.Permission { return nil }

func (f *fake) Plan(ctx context.Context) (reconcile.Plan, error) {
	f.log.add("%s look", f.id.Name)
	if f.plan != nil {
		if err := f.plan(ctx); err != nil {
			return reconcile.Plan{}, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	made := f.made
	if f.stale > 0 {
		f.stale--
		made = f.old
	}
	plan := reconcile.Plan{Exists: len(made) > 0, Attrs: map[string]string{"made": strings.Join(made, " ")}}
	for _, call := range f.calls {
		if slices.Contains(made, call) {
			continue
		}
		plan.Steps = append(plan.Steps, reconcile.Step{
			Call: call, Does: call + " of " + f.id.Name, Once: f.once,
			Diffs: []reconcile.Diff{{Path: "path." + call, After: "new"}},
			Do: func(ctx context.Context) error {
				if f.told != "" {
					reconcile.Progress(ctx, f.told)
				}
				return f.make(call)
			},
		})
	}
	return plan, nil
}

func (f *fake) make(call string) error {
	f.log.add("%s %s", f.id.Name, call)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tries[call]++
	if f.do != nil {
		if err := f.do(call, f.tries[call]); err != nil {
			if f.lost {
				f.effect(call)
			}
			return err
		}
	}
	f.effect(call)
	return nil
}

func (f *fake) effect(call string) {
	f.old, f.stale = slices.Clone(f.made), f.lag
	if !slices.Contains(f.made, call) {
		f.made = append(f.made, call)
	}
}

// pauses counts what is asked of it and does not wait.
type pauses struct {
	mu  sync.Mutex
	sum time.Duration
}

func (p *pauses) pause(ctx context.Context, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sum += d
	return ctx.Err()
}

func statuses(r *reconcile.Run) map[string]reconcile.Status {
	m := map[string]reconcile.Status{}
	for _, res := range r.Results() {
		m[res.ID.Name] = res.Status
	}
	return m
}

func wantStatuses(t *testing.T, r *reconcile.Run, want map[string]reconcile.Status) {
	t.Helper()
	if diff := cmp.Diff(want, statuses(r)); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

func errorOf(t *testing.T, r *reconcile.Run, name string) error {
	t.Helper()
	for _, res := range r.Results() {
		if res.ID.Name == name {
			return res.Err
		}
	}
	t.Fatalf("no result for %s", name)
	return nil
}

func TestLookWritesNothing(t *testing.T) {
	var l log
	a := newFake(&l, "a")
	a.calls = []string{"s3:Create", "s3:Tag"}
	r := reconcile.Look(t.Context(), []reconcile.Resource{a}, reconcile.Options{})
	want := []reconcile.Result{{
		ID: bucketID("a"), Action: reconcile.Create, Status: reconcile.Planned,
		Calls: []string{"s3:Create", "s3:Tag"},
		Diffs: []reconcile.Diff{{Path: "path.s3:Create", After: "new"}, {Path: "path.s3:Tag", After: "new"}},
	}}
	if diff := cmp.Diff(want, r.Results()); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a look"}, l.lines); diff != "" {
		t.Errorf("what happened (-want +got):\n%s", diff)
	}
}

func TestApplyInOrder(t *testing.T) {
	var l log
	a, b, c := newFake(&l, "a", "b"), newFake(&l, "b", "c"), newFake(&l, "c")
	b.calls = []string{"s3:Create", "s3:Tag"}
	r := reconcile.Look(t.Context(), []reconcile.Resource{a, b, c}, reconcile.Options{})
	l.lines = nil
	r.Apply(t.Context())
	// Each is read back before what needs it begins.
	want := []string{"c s3:Create", "c look", "b s3:Create", "b s3:Tag", "b look", "a s3:Create", "a look"}
	if diff := cmp.Diff(want, l.lines); diff != "" {
		t.Errorf("what happened (-want +got):\n%s", diff)
	}
	wantStatuses(t, r, map[string]reconcile.Status{"a": reconcile.Done, "b": reconcile.Done, "c": reconcile.Done})
	if made, gap := r.Attr(bucketID("b"), "made"); gap != "" || made != "s3:Create s3:Tag" {
		t.Errorf("the attribute is %q, gap %q: not that of the last look", made, gap)
	}
	var names []string
	for _, res := range r.Results() {
		names = append(names, res.ID.Name)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, names); diff != "" {
		t.Errorf("the results' order (-want +got):\n%s", diff)
	}
}

// Resources that do not need each other are written side by side: each of the
// two waits for the other to have begun.
func TestApplySideBySide(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // to fail rather than hang
	defer cancel()
	var l log
	begun := map[string]chan struct{}{"a": make(chan struct{}), "b": make(chan struct{})}
	meet := func(own, other string) func(string, int) error {
		return func(string, int) error {
			close(begun[own])
			select {
			case <-begun[other]:
				return nil
			case <-ctx.Done():
				return errors.New("the other has not begun")
			}
		}
	}
	a, b := newFake(&l, "a"), newFake(&l, "b")
	a.do, b.do = meet("a", "b"), meet("b", "a")
	r := reconcile.Look(ctx, []reconcile.Resource{a, b}, reconcile.Options{})
	r.Apply(ctx)
	wantStatuses(t, r, map[string]reconcile.Status{"a": reconcile.Done, "b": reconcile.Done})
}

// fails needs nothing, dependent needs it, further needs that; idle needs it
// too but has nothing to do; apart needs none of them.
func family(l *log) (fails *fake, all []reconcile.Resource) {
	fails = newFake(l, "fails")
	idle := newFake(l, "idle", "fails")
	idle.calls = nil
	return fails, []reconcile.Resource{
		fails, newFake(l, "dependent", "fails"), newFake(l, "further", "dependent"), idle, newFake(l, "apart"),
	}
}

func TestFailureSkipsDependents(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name string
		as   reconcile.Status
		fail func(*fake)
	}{
		{"when looking", reconcile.Failed, func(f *fake) { f.plan = func(context.Context) error { return broken } }},
		{"when writing", reconcile.Failed, func(f *fake) { f.do = func(string, int) error { return broken } }},
		{"when reading back", reconcile.Unconfirmed, func(f *fake) {
			looks := 0
			f.plan = func(context.Context) error {
				if looks++; looks > 1 {
					return broken
				}
				return nil
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l log
			fails, all := family(&l)
			tt.fail(fails)
			r := reconcile.Look(t.Context(), all, reconcile.Options{})
			r.Apply(t.Context())
			wantStatuses(t, r, map[string]reconcile.Status{
				"fails": tt.as, "dependent": reconcile.Skipped, "further": reconcile.Skipped,
				"idle": reconcile.InSync, "apart": reconcile.Done,
			})
			if err := errorOf(t, r, "fails"); !errors.Is(err, broken) {
				t.Errorf("the error is %v", err)
			}
			for name, need := range map[string]string{"dependent": "fails", "further": "dependent"} {
				if e, ok := errors.AsType[*reconcile.NeedError](errorOf(t, r, name)); !ok || e.Need != bucketID(need) {
					t.Errorf("%s was skipped because %v", name, errorOf(t, r, name))
				}
			}
		})
	}
}

// errUnclear is an answer that may hide an effect.
var errUnclear = lost("s3:Tag")

func lost(call string) error {
	return fmt.Errorf("answer lost: %w", &awsx.CallError{Call: call, Err: io.ErrUnexpectedEOF})
}

func TestUnclearAnswers(t *testing.T) {
	first := func(call string, time int) error {
		if call == "s3:Tag" && time == 1 {
			return errUnclear
		}
		return nil
	}
	always := func(call string, _ int) error {
		if call == "s3:Tag" {
			return errUnclear
		}
		return nil
	}
	for _, tt := range []struct {
		name   string
		make   func(*fake)
		tags   int // how often the call that was unclear is made
		status reconcile.Status
	}{
		{"it had no effect", func(f *fake) { f.do = first }, 2, reconcile.Done},
		{"it had an effect", func(f *fake) { f.do, f.lost = first, true }, 1, reconcile.Done},
		{"it had an effect, which a look after it does not show", func(f *fake) { f.do, f.lost, f.lag = first, true, 1 }, 2, reconcile.Done},
		{"once: it had no effect", func(f *fake) { f.do, f.once = first, true }, 2, reconcile.Done},
		{"once: it had an effect", func(f *fake) { f.do, f.lost, f.once = first, true, true }, 1, reconcile.Done},
		{"once: it had an effect, which five looks do not show", func(f *fake) { f.do, f.lost, f.once, f.lag = first, true, true, 5 }, 1, reconcile.Done},
		{"for good, without an effect", func(f *fake) { f.do = always }, 4, reconcile.Failed},
		{"for good, with one", func(f *fake) { f.do, f.lost = always, true }, 1, reconcile.Done},
		{"another call's answer is unclear", func(f *fake) {
			f.do = func(call string, _ int) error {
				if call == "s3:Tag" {
					return lost("sts:GetCallerIdentity")
				}
				return nil
			}
		}, 1, reconcile.Failed},
		{"it is clear", func(f *fake) { f.do = func(string, int) error { return errors.New("denied") } }, 0, reconcile.Failed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l log
			var p pauses
			a := newFake(&l, "a")
			a.calls = []string{"s3:Create", "s3:Tag", "s3:Last"}
			tt.make(a)
			r := reconcile.Look(t.Context(), []reconcile.Resource{a}, reconcile.Options{Pause: p.pause})
			r.Apply(t.Context())
			wantStatuses(t, r, map[string]reconcile.Status{"a": tt.status})
			if n := l.count("a s3:Tag"); n != tt.tags {
				t.Errorf("the call was made %d times, want %d", n, tt.tags)
			}
			if n := l.count("a s3:Create"); n != 1 {
				t.Errorf("the call before it was made %d times, want once", n)
			}
			if tt.status == reconcile.Done && l.count("a s3:Last") != 1 {
				t.Error("the call after it was not made once")
			}
		})
	}
}

// A call that must not be made twice is looked for as long as any step makes
// it, also where an older state asks for another call first.
func TestUnclearAnswerBehindAnotherStep(t *testing.T) {
	var l log
	var p pauses
	a := newFake(&l, "a")
	a.calls, a.once, a.lost, a.lag = []string{"s3:Delete", "s3:Create"}, true, true, 0
	a.do = func(call string, time int) error {
		if call == "s3:Create" && time == 1 {
			return lost(call)
		}
		return nil
	}
	r := reconcile.Look(t.Context(), []reconcile.Resource{a}, reconcile.Options{Pause: p.pause})
	a.plan = func(context.Context) error {
		// Looks fall back behind both calls for a while.
		if a.tries["s3:Create"] == 1 && p.sum < 2*time.Second {
			a.stale, a.old = 1, nil
		}
		return nil
	}
	r.Apply(t.Context())
	wantStatuses(t, r, map[string]reconcile.Status{"a": reconcile.Done})
	for _, call := range a.calls {
		if n := l.count("a " + call); n != 1 {
			t.Errorf("%s was made %d times", call, n)
		}
	}
}

// Where others get in first, the resource is looked at again, and given up at
// last.
func TestOvertaken(t *testing.T) {
	for _, tt := range []struct {
		times  int
		status reconcile.Status
	}{{1, reconcile.Done}, {10, reconcile.Done}, {11, reconcile.Failed}} {
		var l log
		var p pauses
		a := newFake(&l, "a")
		a.do = func(_ string, time int) error {
			if time <= tt.times {
				return reconcile.ErrOvertaken
			}
			return nil
		}
		r := reconcile.Look(t.Context(), []reconcile.Resource{a}, reconcile.Options{Pause: p.pause})
		r.Apply(t.Context())
		wantStatuses(t, r, map[string]reconcile.Status{"a": tt.status})
	}
}

// A panic is the failure of the resource that it strikes, and of no other.
func TestPanics(t *testing.T) {
	var none *reconcile.Plan
	for _, tt := range []struct {
		name  string
		spoil func(*fake)
	}{
		{"when looking", func(f *fake) { f.plan = func(context.Context) error { _ = none.Exists; return nil } }},
		{"in a read beside others", func(f *fake) {
			f.plan = func(context.Context) error {
				var reads awsx.Reads
				reads.Go(func() error { _ = none.Exists; return nil })
				return reads.Wait()
			}
		}},
		{"when writing", func(f *fake) { f.do = func(string, int) error { _ = none.Exists; return nil } }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l log
			var p pauses
			a, b, c := newFake(&l, "a"), newFake(&l, "b", "a"), newFake(&l, "c")
			tt.spoil(a)
			r := reconcile.Look(t.Context(), []reconcile.Resource{a, b, c}, reconcile.Options{Pause: p.pause})
			r.Apply(t.Context())
			wantStatuses(t, r, map[string]reconcile.Status{"a": reconcile.Failed, "b": reconcile.Skipped, "c": reconcile.Done})
			if err := errorOf(t, r, "a"); !strings.Contains(err.Error(), "nil pointer") || !strings.Contains(err.Error(), "run_test.go:") {
				t.Errorf("the error names neither the fault nor its place: %v", err)
			}
		})
	}
}

// What AWS does not show at once is waited for, and never written twice.
func TestConfirm(t *testing.T) {
	t.Run("shown at last", func(t *testing.T) {
		var l log
		var p pauses
		a := newFake(&l, "a")
		a.lag = 10
		r := reconcile.Look(t.Context(), []reconcile.Resource{a}, reconcile.Options{Pause: p.pause})
		r.Apply(t.Context())
		wantStatuses(t, r, map[string]reconcile.Status{"a": reconcile.Done})
		if n := l.count("a s3:Create"); n != 1 {
			t.Errorf("it was written %d times", n)
		}
		if p.sum == 0 {
			t.Error("it was not waited for")
		}
	})
	t.Run("never shown", func(t *testing.T) {
		var l log
		var p pauses
		a := newFake(&l, "a")
		a.lag = 1 << 30
		r := reconcile.Look(t.Context(), []reconcile.Resource{a, newFake(&l, "b", "a")}, reconcile.Options{Pause: p.pause})
		r.Apply(t.Context())
		wantStatuses(t, r, map[string]reconcile.Status{"a": reconcile.Failed, "b": reconcile.Skipped})
		err := errorOf(t, r, "a")
		for _, want := range []string{"path.s3:Create", "which s3:Create would mend", "2m0s", "s3.bucket/a"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error does not say %q: %v", want, err)
			}
		}
		if n := l.count("a s3:Create"); n != 1 {
			t.Errorf("it was written %d times", n)
		}
		if p.sum < 2*time.Minute || p.sum > 3*time.Minute {
			t.Errorf("it was waited for %s, the budget is 2m0s", p.sum)
		}
	})
}

// After an interrupt, what has begun a call finishes it, and no other call is
// begun.
func TestInterrupt(t *testing.T) {
	for _, tt := range []struct {
		name string
		at   string // what is under way when the interrupt comes
		want map[string]reconcile.Status
		last string
	}{
		{
			"before the first write", "",
			map[string]reconcile.Status{"a": reconcile.Skipped, "b": reconcile.Skipped},
			"b look",
		},
		{
			"in the first of two writes", "a s3:Create",
			map[string]reconcile.Status{"a": reconcile.Unconfirmed, "b": reconcile.Skipped},
			"a s3:Create",
		},
		{
			"in the last write, before it is read back", "a s3:Tag",
			map[string]reconcile.Status{"a": reconcile.Unconfirmed, "b": reconcile.Skipped},
			"a s3:Tag",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l log
			stop := make(chan struct{})
			a, b := newFake(&l, "a"), newFake(&l, "b", "a")
			a.calls = []string{"s3:Create", "s3:Tag"}
			a.do = func(call string, _ int) error {
				if "a "+call == tt.at {
					close(stop)
				}
				return nil
			}
			r := reconcile.Look(t.Context(), []reconcile.Resource{a, b}, reconcile.Options{Stop: stop})
			if tt.at == "" {
				close(stop)
			}
			looked := len(l.lines)
			r.Apply(t.Context())
			wantStatuses(t, r, tt.want)
			if err := errorOf(t, r, "a"); !errors.Is(err, reconcile.ErrInterrupted) {
				t.Errorf("the error is %v", err)
			}
			if tt.at != "" && (l.lines[len(l.lines)-1] != tt.last) {
				t.Errorf("the last thing that happened is %q, want %q", l.lines[len(l.lines)-1], tt.last)
			}
			if tt.at == "" && len(l.lines) != looked {
				t.Errorf("after the interrupt came %v", l.lines[looked:])
			}
		})
	}
}

// An interrupt while reading waits for no answer.
func TestInterruptWhileLooking(t *testing.T) {
	var l log
	stop := make(chan struct{})
	a := newFake(&l, "a")
	a.plan = func(ctx context.Context) error {
		close(stop)
		<-ctx.Done()
		return ctx.Err()
	}
	r := reconcile.Look(t.Context(), []reconcile.Resource{a}, reconcile.Options{Stop: stop})
	wantStatuses(t, r, map[string]reconcile.Status{"a": reconcile.Skipped})
	if err := errorOf(t, r, "a"); !errors.Is(err, reconcile.ErrInterrupted) {
		t.Errorf("the error is %v", err)
	}
}

// A run that is ended says why, whatever error that ended it with.
func TestEndedContext(t *testing.T) {
	var l log
	over := errors.New("the run's limit is over")
	ctx, cancel := context.WithCancelCause(t.Context())
	a, b := newFake(&l, "a"), newFake(&l, "b", "a")
	a.do = func(string, int) error {
		cancel(over)
		return context.Canceled
	}
	r := reconcile.Look(ctx, []reconcile.Resource{a, b}, reconcile.Options{})
	r.Apply(ctx)
	wantStatuses(t, r, map[string]reconcile.Status{"a": reconcile.Failed, "b": reconcile.Skipped})
	if err := errorOf(t, r, "a"); !errors.Is(err, over) {
		t.Errorf("the error is %v", err)
	}
}

// The second interrupt cuts a call off that AWS may have taken all the same: it
// has not failed.
func TestInterruptCutsCallOff(t *testing.T) {
	var l log
	ctx, cancel := context.WithCancelCause(t.Context())
	a := newFake(&l, "a")
	a.do = func(string, int) error {
		cancel(reconcile.ErrInterrupted)
		return fmt.Errorf("cut off: %w", context.Canceled)
	}
	r := reconcile.Look(ctx, []reconcile.Resource{a}, reconcile.Options{})
	r.Apply(ctx)
	wantStatuses(t, r, map[string]reconcile.Status{"a": reconcile.Unconfirmed})
}

// A value that is not known has a reason.
func TestAttrGap(t *testing.T) {
	var l log
	a, broken := newFake(&l, "a"), newFake(&l, "broken")
	broken.plan = func(context.Context) error { return errors.New("denied") }
	r := reconcile.Look(t.Context(), []reconcile.Resource{a, broken}, reconcile.Options{})
	for name, want := range map[string]reconcile.Gap{
		"a": reconcile.NotBorn, "broken": reconcile.NotRead, "elsewhere": reconcile.NotLookedAt,
	} {
		if _, gap := r.Attr(bucketID(name), "nothing"); gap != want {
			t.Errorf("%s: %q, want %q", name, gap, want)
		}
	}
}

// observer keeps what it hears.
type observer struct{ log *log }

func (o observer) Looking(total int)               { o.log.add("looking at %d", total) }
func (o observer) Looked(id spec.ID)               { o.log.add("%s looked at", id.Name) }
func (o observer) Started(id spec.ID, call string) { o.log.add("%s started %s", id.Name, call) }
func (o observer) Finished(r reconcile.Result)     { o.log.add("%s %s", r.ID.Name, r.Status) }

func (o observer) Progressed(id spec.ID, said string) { o.log.add("%s progressed %s", id.Name, said) }

func TestObserver(t *testing.T) {
	var l, heard log
	a, b := newFake(&l, "a"), newFake(&l, "b", "a")
	a.do = func(string, int) error { return errors.New("broken") }
	r := reconcile.Look(t.Context(), []reconcile.Resource{a, b}, reconcile.Options{Observer: observer{&heard}})
	r.Apply(t.Context())
	slices.Sort(heard.lines[1:3]) // read side by side
	if diff := cmp.Diff([]string{"looking at 2", "a looked at", "b looked at", "a started s3:Create", "a failed", "b skipped"}, heard.lines); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
}

// A step of many calls tells how far it is, and where nobody listens it tells
// nobody.
func TestProgress(t *testing.T) {
	t.Parallel()
	for _, listens := range []bool{true, false} {
		var l, heard log
		a := newFake(&l, "a")
		a.told = "1000 deleted"
		var o reconcile.Options
		want := []string(nil)
		if listens {
			o.Observer = observer{&heard}
			want = []string{"looking at 1", "a looked at", "a started s3:Create", "a progressed s3:Create 1000 deleted", "a done"}
		}
		reconcile.Look(t.Context(), []reconcile.Resource{a}, o).Apply(t.Context())
		if diff := cmp.Diff(want, heard.lines); diff != "" {
			t.Errorf("listens: %v (-want +got):\n%s", listens, diff)
		}
	}
}

// However many resources there are, few of a kind are looked at at a time, and
// no kind waits for another.
func TestFewOfAKindAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const each = 500
		var mu sync.Mutex
		flying := map[spec.Kind]int{}
		release := make(chan struct{})
		var resources []reconcile.Resource
		for _, kind := range []spec.Kind{spec.Bucket, spec.Role} {
			for i := range each {
				f := newFake(&log{}, fmt.Sprint(i))
				f.id.Kind = kind
				f.plan = func(context.Context) error {
					mu.Lock()
					flying[kind]++
					mu.Unlock()
					<-release
					mu.Lock()
					flying[kind]--
					mu.Unlock()
					return nil
				}
				resources = append(resources, f)
			}
		}
		looked := make(chan *reconcile.Run)
		go func() { looked <- reconcile.Look(t.Context(), resources, reconcile.Options{}) }()
		synctest.Wait()
		mu.Lock()
		if b, r := flying[spec.Bucket], flying[spec.Role]; b != r || b < 10 || b > 100 {
			t.Errorf("%d buckets and %d roles of %d each are looked at at a time", b, r, each)
		}
		mu.Unlock()
		close(release)
		if n := len((<-looked).Results()); n != 2*each {
			t.Errorf("%d results, want %d", n, 2*each)
		}
	})
}

// After an interrupt nothing waits for AWS to let it through: what AWS has
// refused for its rate was not written.
func TestInterruptWhileThrottled(t *testing.T) {
	t.Parallel()
	stop, written := make(chan struct{}), make(chan struct{})
	f := newFake(&log{}, "a")
	f.do = func(string, int) error {
		<-written
		close(stop)
		return &smithy.GenericAPIError{Code: "Throttling"}
	}
	second := newFake(&log{}, "b")
	second.calls = []string{"s3:Create", "s3:Tag"}
	second.do = func(call string, _ int) error {
		if call == "s3:Create" {
			close(written)
			return nil
		}
		<-stop
		return &smithy.GenericAPIError{Code: "Throttling"}
	}
	run := reconcile.Look(t.Context(), []reconcile.Resource{f, second}, reconcile.Options{Stop: stop})
	run.Apply(t.Context())
	for i, want := range []reconcile.Status{reconcile.Skipped, reconcile.Unconfirmed} {
		if got := run.Results()[i]; got.Status != want || !errors.Is(got.Err, reconcile.ErrInterrupted) {
			t.Errorf("%s is %s (%v), want %s", got.ID, got.Status, got.Err, want)
		}
	}
}
