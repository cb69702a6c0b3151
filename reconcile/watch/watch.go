// Package watch looks at stacks again and again, and mends what it finds where
// it may. It knows time and rounds; AWS, specs and people are handed in.
package watch

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
)

// A Mode is what a round may do.
type Mode int

// The modes.
const (
	Look    Mode = iota // only look
	Correct             // mend what differs
)

// A Round looks at a stack once, and in mode Correct does what there is to do.
// Once stop is closed it begins nothing more and lets calls in flight finish;
// ctx cuts those off. The error is of a round that could look at nothing, or
// that was refused: the report, where there is one beside it, says how far it
// came.
type Round func(ctx context.Context, mode Mode, stop <-chan struct{}) (*reconcile.Report, error)

// A Spec is the spec of a stack as it was read just now.
type Spec struct {
	Name    string // PROJECT/ENVIRONMENT
	Digest  string // another one is a changed spec
	Suspend bool   // only look, whatever the options say
	Round   Round
}

// A Stack is one thing to watch.
type Stack struct {
	Source string               // where the spec is, which is what the stack is called until it has been read
	Load   func() (Spec, error) // reads the spec anew
}

// Options say when rounds are, and what they may do.
type Options struct {
	Every   time.Duration // from the end of a round to the next, give or take a tenth
	Windows Windows       // outside of them rounds only look
	DryRun  bool          // all rounds only look
	Seed    uint64        // of the jitter

	// Observe hears of each round of any stack when it is over, in the order of
	// the rounds of one stack, and from several goroutines at once. nil: nobody does.
	Observe func(Ended)
}

// maxBackoff is how many pauses at most lie between a round that has failed and
// the next one.
const maxBackoff = 8

// A Watcher looks at its stacks until it is stopped.
type Watcher struct {
	o      Options
	stacks []*watched

	mu     sync.Mutex // guards jitter
	jitter *rand.Rand
}

// New prepares to watch stacks.
func New(stacks []Stack, o Options) *Watcher {
	w := &Watcher{o: o, jitter: rand.New(rand.NewPCG(o.Seed, 0))}
	if w.o.Observe == nil {
		w.o.Observe = func(Ended) {}
	}
	for _, s := range stacks {
		w.stacks = append(w.stacks, &watched{stack: s, state: newState(s.Source)})
	}
	return w
}

// Run does rounds until stop is closed and the rounds under way are over, or
// until ctx ends. Stacks do not wait for one another.
func (w *Watcher) Run(ctx context.Context, stop <-chan struct{}) {
	var wg sync.WaitGroup
	for _, s := range w.stacks {
		var first time.Duration
		if len(w.stacks) > 1 {
			// Many stacks of one account do not all begin at the same moment.
			first = w.random(w.o.Every / 10)
		}
		wg.Go(func() { w.watch(ctx, stop, s, first) })
	}
	wg.Wait()
}

// States answers what is known of each stack, in the order in which they were
// handed in.
func (w *Watcher) States() []State {
	states := make([]State, len(w.stacks))
	for i, s := range w.stacks {
		s.mu.Lock()
		states[i] = s.state.clone()
		s.mu.Unlock()
	}
	return states
}

// random is anything from nothing to less than d.
func (w *Watcher) random(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.jitter.Int64N(int64(d)))
}

// pause is from one round to the next, give or take a tenth.
func (w *Watcher) pause() time.Duration {
	return w.o.Every - w.o.Every/10 + w.random(w.o.Every/5)
}

// watched is a stack with what is known of it.
type watched struct {
	stack Stack
	spec  Spec // the last good one; its Round is nil before there was one

	mu    sync.Mutex // guards state
	state State
}

func (s *watched) update(f func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.state)
}

func (w *Watcher) watch(ctx context.Context, stop <-chan struct{}, s *watched, first time.Duration) {
	wait, pauses := first, 1 // pauses until the next round
	s.update(func(st *State) { st.Next = time.Now().Add(wait) })
	for {
		if !sleep(ctx, stop, wait) {
			return
		}
		// While failed rounds keep it waiting, a mended spec is not kept waiting.
		changed, err := s.read()
		if pauses--; pauses > 0 && !changed {
			wait = w.pause()
			continue
		}
		failures := 0
		if !changed {
			failures = s.state.Failures // this goroutine alone writes it
		}
		ended := w.round(ctx, stop, s, err, failures)
		wait, pauses = w.pause(), min(1<<min(s.state.Failures, 10), maxBackoff)
		s.update(func(st *State) {
			st.Next = time.Now().Add(wait + time.Duration(pauses-1)*w.o.Every)
			ended.State = st.clone()
		})
		w.o.Observe(ended)
	}
}

// sleep waits for d, and says whether it got to the end of it.
func sleep(ctx context.Context, stop <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-stop:
		return false
	case <-ctx.Done():
		return false
	case <-t.C:
	}
	// Where both are due, no round begins.
	select {
	case <-stop:
		return false
	default:
		return ctx.Err() == nil
	}
}

// read reads the spec anew. Where it is no good the last good one is kept.
func (s *watched) read() (changed bool, err error) {
	var spec Spec
	err = awsx.Guard(func() (err error) {
		spec, err = s.stack.Load()
		return err
	})
	if err == nil {
		changed = spec.Digest != s.spec.Digest
		s.spec = spec
	}
	return changed, err
}

// round does one round. specErr is what is wrong with the spec as it is now,
// failures how many rounds have failed in a row before.
func (w *Watcher) round(ctx context.Context, stop <-chan struct{}, s *watched, specErr error, failures int) Ended {
	began := time.Now()
	mode, why := w.mode(began, s.spec.Suspend)
	s.update(func(st *State) {
		st.Running, st.SpecErr = true, specErr
		st.Mode, st.LooksOnly = mode, why
		if s.spec.Name != "" {
			st.Name = s.spec.Name
		}
	})

	var report *reconcile.Report
	err := specErr // where there was never a good spec, there is nothing to do
	if s.spec.Round != nil {
		stop, release := w.until(stop, mode, began)
		err = awsx.Guard(func() (err error) {
			report, err = s.spec.Round(ctx, mode, stop)
			return err
		})
		release()
	}

	ended := Ended{Began: began, Took: time.Since(began), Mode: mode, Report: report, Err: err}
	ended.Outcome = outcome(report, err)
	s.update(func(st *State) {
		ended.Changes = st.take(ended, failures)
		st.Running = false
	})
	return ended
}

// mode is what a round that begins now may do, and why it may only look.
func (w *Watcher) mode(now time.Time, suspend bool) (Mode, string) {
	switch {
	case w.o.DryRun:
		return Look, "--dry-run"
	case suspend:
		return Look, "suspend: true in the spec"
	case !w.o.Windows.Open(now):
		why := "outside of the window"
		if opens := w.o.Windows.Turn(now); !opens.IsZero() {
			why += ", which opens " + opens.In(w.o.Windows[0].at).Format("Mon 2006-01-02 15:04 MST")
		}
		return Look, why
	}
	return Correct, ""
}

// until is stop, closed as well when the window that the round writes in does:
// a round that began inside of it begins nothing outside of it.
func (w *Watcher) until(stop <-chan struct{}, mode Mode, began time.Time) (_ <-chan struct{}, release func()) {
	closes := w.o.Windows.Turn(began)
	if mode != Correct || closes.IsZero() {
		return stop, func() {}
	}
	either, over := make(chan struct{}), make(chan struct{})
	go func() {
		t := time.NewTimer(time.Until(closes))
		defer t.Stop()
		select {
		case <-over:
			return
		case <-stop:
		case <-t.C:
		}
		close(either)
	}()
	return either, func() { close(over) }
}
