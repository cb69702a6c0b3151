package watch

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

var seed = flag.Uint64("seed", 0, "seed of the simulated year; 0: another each time")

const every = 15 * time.Minute

// A world is a stack with an AWS and a spec that change by themselves, and that
// checks what rounds do.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	windows Windows

	busy    atomic.Bool // a round is under way
	drifted bool
	broken  bool // rounds fail
	hangs   bool // a call hangs until its timeout

	version   int // of the spec
	bad       bool
	suspended bool

	rounds, writes, outside, bads, hung int
	seen                                []roundSeen // of this process
}

type roundSeen struct {
	began, ended time.Time
	failed, cut  bool // a round that was cut off neither failed nor succeeded
	version      int
}

const callTimeout = 30 * time.Second

var bucket = spec.ID{Kind: spec.Bucket, Name: "x"}

func (w *world) load() (Spec, error) {
	if w.bad {
		w.bads++
		w.bad = w.rng.IntN(4) > 0
		return Spec{}, errors.New("dev.yaml:3:1: unknown field")
	}
	version := w.version
	suspended := w.suspended
	return Spec{
		Name: "p/dev", Digest: fmt.Sprint(version), Suspend: suspended,
		Round: func(ctx context.Context, mode Mode, stop <-chan struct{}) (*reconcile.Report, error) {
			return w.round(ctx, mode, stop, version, suspended)
		},
	}, nil
}

func (w *world) round(_ context.Context, mode Mode, stop <-chan struct{}, version int, suspended bool) (*reconcile.Report, error) {
	if w.busy.Swap(true) {
		w.t.Error("two rounds of one stack at once")
	}
	defer w.busy.Store(false)
	w.rounds++
	began := time.Now()
	if len(w.seen) > 0 {
		w.checkPause(w.seen[len(w.seen)-1], began, version)
	}
	if mode == Correct && suspended {
		w.t.Error("a suspended stack is written to")
	}
	failed, cut := w.broken, false
	defer func() {
		w.seen = append(w.seen, roundSeen{began, time.Now(), failed, cut, version})
		if len(w.seen) > 20 {
			w.seen = slices.Delete(w.seen, 0, 1)
		}
	}()
	// What the world does between rounds.
	defer w.live()

	time.Sleep(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
	if w.broken {
		return nil, errors.New("sts: ExpiredToken")
	}
	result := reconcile.Result{ID: bucket, Action: reconcile.None, Status: reconcile.InSync}
	r := &reconcile.Report{Results: []reconcile.Result{result}}
	if !w.drifted {
		return r, nil
	}
	r.Results[0].Action, r.Results[0].Status = reconcile.Update, reconcile.Planned
	if mode == Look {
		return r, nil
	}
	// A long correction, of many calls, some of which hang.
	for range 1 + w.rng.IntN(40) {
		select {
		case <-stop:
			cut, r.Interrupted = true, true
			r.Results[0].Status, r.Results[0].Err = reconcile.Skipped, reconcile.ErrInterrupted
			return r, nil
		default:
		}
		if !w.windows.Open(time.Now()) {
			w.t.Errorf("written at %s, outside of the windows", time.Now())
			w.outside++
		}
		w.writes++
		d := time.Duration(w.rng.IntN(int(callTimeout)))
		if w.hangs {
			d = callTimeout
			w.hung++
		}
		time.Sleep(d)
	}
	w.drifted = false
	r.Results[0].Status = reconcile.Done
	return r, nil
}

// live is what others do to AWS and to the spec.
func (w *world) live() {
	w.drifted = w.drifted || w.rng.IntN(10) == 0
	w.hangs = w.rng.IntN(20) == 0
	if w.rng.IntN(30) == 0 {
		w.broken = !w.broken
	} else if w.broken && w.rng.IntN(5) == 0 {
		w.broken = false
	}
	if w.rng.IntN(40) == 0 {
		w.bad = !w.bad
	}
	if w.rng.IntN(60) == 0 {
		w.version++
	}
	if w.rng.IntN(100) == 0 {
		w.suspended = !w.suspended
		w.version++
	}
}

// checkPause holds the pause before a round against what it should have been.
func (w *world) checkPause(last roundSeen, began time.Time, version int) {
	failures := 0
	for i, r := range slices.Backward(w.seen) {
		if !r.failed && !r.cut {
			break
		}
		if r.failed {
			failures++
		}
		if i > 0 && w.seen[i-1].version != r.version {
			break // a changed spec is a new beginning
		}
	}
	pauses := min(1<<min(failures, 4), maxBackoff)
	pause := began.Sub(last.ended)
	least, most := time.Duration(pauses)*every*9/10, time.Duration(pauses)*every*11/10
	if version != last.version {
		least = every * 9 / 10
	}
	if pause < least || pause > most {
		w.t.Errorf("a pause of %s after %d failed rounds, want %s to %s", pause, failures, least, most)
	}
}

// A year of rounds, with windows across both changes of the clocks, drift,
// failures, calls that hang, good and bad changes of the spec, and restarts.
func TestYear(t *testing.T) {
	from := *seed
	if from == 0 {
		from = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", from)
	windows := Windows{
		mustWindow(t, "Mon-Fri 08:00-18:00 Europe/Stockholm"),
		mustWindow(t, "Sun 01:30-04:00 Europe/Stockholm"),
		mustWindow(t, "Fri 22:00-02:00 America/New_York"),
	}
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(from, 1))
		var worlds []*world
		var stacks []Stack
		for i := range 3 {
			w := &world{t: t, rng: rand.New(rand.NewPCG(from, uint64(i)+2)), windows: windows}
			worlds = append(worlds, w)
			stacks = append(stacks, Stack{Source: "dev.yaml", Load: w.load})
		}
		var outcomes [3]map[Outcome]int
		for i := range outcomes {
			outcomes[i] = map[Outcome]int{}
		}
		var early, late uint64
		began := time.Now()
		restarts := 0
		for time.Since(began) < 365*24*time.Hour {
			w := New(stacks, Options{Every: every, Windows: windows, Seed: rng.Uint64()})
			stop, ended := make(chan struct{}), make(chan struct{})
			go func() {
				w.Run(t.Context(), stop)
				close(ended)
			}()
			time.Sleep(time.Duration(rng.Int64N(int64(20 * 24 * time.Hour))))
			asked := time.Now()
			close(stop)
			<-ended
			if took := time.Since(asked); took > callTimeout {
				t.Errorf("it took %s to end", took)
			}
			for i, s := range w.States() {
				for o, n := range s.Rounds {
					outcomes[i][o] += n
				}
				if len(s.History) > history || len(s.Resources) > 1 {
					t.Errorf("%d rounds and %d resources are remembered", len(s.History), len(s.Resources))
				}
			}
			for _, world := range worlds {
				world.seen = nil
			}
			restarts++
			used := heap()
			if early == 0 && time.Since(began) > 60*24*time.Hour {
				early = used
			}
			late = used
		}
		total := 0
		for i, w := range worlds {
			total += w.rounds
			t.Logf("%d rounds (%v), %d writes, %d calls that hung, %d loads of a bad spec", w.rounds, outcomes[i], w.writes, w.hung, w.bads)
			for _, o := range Outcomes {
				if outcomes[i][o] == 0 {
					t.Errorf("no round was %s: the year was too quiet", o)
				}
			}
			if w.writes == 0 || w.bads == 0 || w.hung == 0 {
				t.Error("the year was too quiet")
			}
		}
		if total < 35_000 {
			t.Errorf("%d rounds, want 35,000", total)
		}
		t.Logf("%d restarts; %d kB in use after two months, %d kB at the end", restarts, early>>10, late>>10)
		if late > early+1<<20 {
			t.Error("memory is not flat")
		}
	})
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
