package watch

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
)

// An Outcome is how a round ended.
type Outcome string

// The outcomes.
const (
	InSync      Outcome = "in_sync"     // there was nothing to do
	Corrected   Outcome = "corrected"   // what there was to do was done
	Drifted     Outcome = "drifted"     // there is something to do, and the round only looked
	Failed      Outcome = "failed"      // it could not look, was refused, or could not do everything
	Interrupted Outcome = "interrupted" // it was told to stop, or its window closed
)

// Outcomes are all there are.
var Outcomes = []Outcome{InSync, Corrected, Drifted, Failed, Interrupted}

func outcome(r *reconcile.Report, err error) Outcome {
	if r != nil && r.Interrupted || errors.Is(err, reconcile.ErrInterrupted) {
		return Interrupted
	}
	if r == nil || err != nil {
		return Failed
	}
	sum := r.Summary()
	switch {
	case sum.Failed+sum.Skipped+sum.Unconfirmed+sum.Held > 0:
		return Failed
	case !r.InSync():
		return Drifted
	case sum.Create+sum.Update+sum.Delete > 0:
		return Corrected
	}
	return InSync
}

// Ended is a round that is over.
type Ended struct {
	Began   time.Time
	Took    time.Duration
	Mode    Mode
	Outcome Outcome
	Report  *reconcile.Report // nil: it could look at nothing
	Err     error

	Changes []Change
	State   State // of the stack, after the round
}

// A Past is what is kept of each of the last rounds.
type Past struct {
	Began    time.Time
	Took     time.Duration
	Outcome  Outcome
	Drifted  int // resources that are not well after it
	Changed  int // resources that it wrote
	APICalls int
}

// history is how many rounds are remembered of a stack: half a day of them, at
// one each quarter of an hour.
const history = 48

// A Condition is how a resource is, or a stack as a whole.
type Condition string

// The conditions. A stack as a whole is well or stuck.
const (
	Well  Condition = "well"
	Drift Condition = "drifted"             // AWS is not as the spec says
	Stuck Condition = "cannot_be_corrected" // it could not be read, or not be mended, or nothing may be written: somebody has to look
)

// A ChangeKind is what has become of a resource.
type ChangeKind string

// The kinds of changes.
const (
	HasDrifted     ChangeKind = "drifted"
	WasCorrected   ChangeKind = "corrected"
	CannotBeMended ChangeKind = "cannot_be_corrected"
	IsWellAgain    ChangeKind = "well_again"
)

// A Change is another condition of a resource than after the round before, or
// the one that it was first seen in.
type Change struct {
	Kind    ChangeKind
	Address string // "": the stack as a whole
	At      time.Time
	Since   time.Time // since when it is, or was, not well
	First   bool      // the process has only begun to look, so that all this may have been told before
	Result  reconcile.Result
	Err     error
}

// A Resource is what is known of a resource of the spec.
type Resource struct {
	Condition   Condition
	Since       time.Time        // since when it is not well, as far as this process can know; zero: it is
	Corrections int              // by this process
	Corrected   time.Time        // the last of them; zero: there was none
	Correction  reconcile.Result // what it was
	Result      reconcile.Result // of the last round that has looked at it
}

// State is what is known of a stack.
type State struct {
	Source  string
	Name    string // PROJECT/ENVIRONMENT; Source as long as no spec could be read
	SpecErr error  // what is wrong with the spec; the last good one is in force
	Running bool

	Mode      Mode
	LooksOnly string // why Mode is Look

	Next        time.Time // of the next round
	Rounds      map[Outcome]int
	Failures    int           // rounds that have failed since one succeeded
	Last        Past          // the round before; its Began is zero before there was one
	LastSuccess time.Time     // the end of the last round that did not fail; zero: there was none
	Busy        time.Duration // how long all rounds took together
	History     []Past        // the last rounds, the newest last

	Err       error             // why the last round failed as a whole
	Stuck     time.Time         // since when it does; zero: it does not
	Report    *reconcile.Report // the last that there was
	Resources map[string]Resource
}

func newState(source string) State {
	return State{Source: source, Name: source, Rounds: map[Outcome]int{}, Resources: map[string]Resource{}}
}

// clone shares nothing with s that s changes.
func (s State) clone() State {
	s.Rounds, s.Resources = maps.Clone(s.Rounds), maps.Clone(s.Resources)
	s.History = slices.Clone(s.History)
	return s
}

// Count counts the resources that are in a condition.
func (s State) Count(c Condition) int {
	n := 0
	for _, r := range s.Resources {
		if r.Condition == c {
			n++
		}
	}
	return n
}

// take notes a round that is over, the round before which failures rounds have
// failed in a row, and answers with what has changed by it.
func (s *State) take(e Ended, failures int) []Change {
	now := e.Began.Add(e.Took)
	s.Rounds[e.Outcome]++
	s.Busy += e.Took
	switch e.Outcome {
	case Failed:
		s.Failures = failures + 1
	case Interrupted: // says nothing
		s.Failures = failures
	default:
		s.Failures, s.LastSuccess = 0, now
	}
	changes := s.takeWhole(e, now)
	if e.Report != nil {
		changes = append(changes, s.takeResults(e, now)...)
	}

	past := Past{Began: e.Began, Took: e.Took, Outcome: e.Outcome, Drifted: s.Count(Drift) + s.Count(Stuck)}
	if e.Report != nil {
		past.APICalls = e.Report.APICalls
		for _, r := range e.Report.Results {
			if r.Status == reconcile.Done {
				past.Changed++
			}
		}
	}
	s.Last = past
	if s.History = append(s.History, past); len(s.History) > history {
		s.History = slices.Delete(s.History, 0, len(s.History)-history)
	}
	return changes
}

// patience is how many rounds in a row fail as a whole before the stack is said
// to be stuck: AWS and networks have their moments.
const patience = 2

// takeWhole notes how the stack as a whole is: a spec that is no good, or rounds
// that come to nothing.
func (s *State) takeWhole(e Ended, now time.Time) []Change {
	if e.Outcome == Interrupted {
		return nil
	}
	s.Err = e.Err
	why := s.SpecErr
	if why == nil && e.Err != nil && s.Failures >= patience {
		why = e.Err
	}
	switch {
	case why != nil && s.Stuck.IsZero():
		s.Stuck = now
		return []Change{{Kind: CannotBeMended, At: now, Since: now, Err: why, First: s.Last.Began.IsZero()}}
	case s.SpecErr == nil && e.Err == nil && !s.Stuck.IsZero():
		since := s.Stuck
		s.Stuck = time.Time{}
		return []Change{{Kind: IsWellAgain, At: now, Since: since}}
	}
	return nil
}

// takeResults notes how each resource is.
func (s *State) takeResults(e Ended, now time.Time) []Change {
	var changes []Change
	seen := make(map[string]Resource, len(e.Report.Results))
	for _, result := range e.Report.Results {
		address := result.ID.String()
		was, known := s.Resources[address]
		is := was
		is.Result = result
		condition, told := judge(result, was.Condition, e.Mode)
		if !told {
			if known {
				is.Result = was.Result
				seen[address] = is
			}
			continue
		}
		is.Condition = condition
		if condition == Well {
			is.Since = time.Time{}
		} else if is.Since.IsZero() {
			is.Since = now
		}
		change := Change{Address: address, At: now, Since: was.Since, First: !known, Result: result, Err: result.Err}
		switch {
		case result.Status == reconcile.Done && result.Action != reconcile.None:
			is.Corrections++
			is.Corrected, is.Correction = now, result
			change.Kind, change.First = WasCorrected, false
		case condition == was.Condition:
			change.Kind = ""
		case condition == Drift:
			change.Kind, change.Since = HasDrifted, is.Since
		case condition == Stuck:
			change.Kind, change.Since = CannotBeMended, is.Since
		default:
			change.Kind = IsWellAgain
		}
		if change.Kind != "" {
			changes = append(changes, change)
		}
		seen[address] = is
	}
	for _, address := range slices.Sorted(maps.Keys(s.Resources)) {
		was := s.Resources[address]
		if _, ok := seen[address]; !ok && was.Condition != Well {
			// Whoever was told of it should not wait for its end.
			gone := reconcile.Result{ID: was.Result.ID, Action: reconcile.None, Status: reconcile.InSync, Notes: []string{"it is no longer in the spec"}}
			changes = append(changes, Change{Kind: IsWellAgain, Address: address, At: now, Since: was.Since, Result: gone})
		}
	}
	s.Resources, s.Report = seen, e.Report
	return changes
}

// judge says how a resource is; told is false where the round does not say.
func judge(r reconcile.Result, was Condition, mode Mode) (_ Condition, told bool) {
	switch r.Status {
	case reconcile.InSync, reconcile.Done:
		return Well, true
	case reconcile.Failed, reconcile.Unconfirmed, reconcile.Held:
		return Stuck, true
	case reconcile.Planned:
		if was == Stuck && mode == Look {
			// A look cannot know that what could not be mended now could.
			// Otherwise each evening, when the window closes, it would be news.
			return Stuck, true
		}
		return Drift, true
	}
	switch {
	case errors.Is(r.Err, reconcile.ErrInterrupted):
		return was, false
	case was == Stuck:
		return Stuck, true
	}
	return Drift, true // skipped, because of what it needs, which has its own news
}
