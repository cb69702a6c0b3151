package watch

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Each line is what one round says of a resource, as STATUS or STATUS/look, and
// behind an arrow what is news by it.
func TestChanges(t *testing.T) {
	for name, rounds := range map[string][]string{
		"well from the start":             {"in_sync > first well_again", "in_sync >"},
		"drift that is only looked at":    {"in_sync > first well_again", "planned/look > drifted", "planned/look >", "in_sync > well_again"},
		"drift at the start":              {"planned/look > first drifted", "planned/look >", "done > corrected", "in_sync >"},
		"drift that is corrected at once": {"in_sync > first well_again", "done > corrected", "in_sync >", "done > corrected"},
		"made":                            {"done > corrected", "in_sync >"},
		"cannot be corrected":             {"in_sync > first well_again", "failed > cannot_be_corrected", "failed >", "in_sync > well_again"},
		"the same alert every evening": {
			"failed > first cannot_be_corrected", "planned/look >", "failed >", "planned/look >", "in_sync/look > well_again",
			"planned/look > drifted", "failed > cannot_be_corrected", "unconfirmed >", "done > corrected",
		},
		"held":                    {"held > first cannot_be_corrected", "held/look >", "done > corrected"},
		"cut off":                 {"interrupted >", "in_sync > first well_again", "interrupted >", "in_sync >"},
		"cut off while it drifts": {"planned/look > first drifted", "interrupted >", "planned/look >"},
		"needs another":           {"in_sync > first well_again", "needs > drifted", "needs >", "done > corrected"},
		"left the spec":           {"failed > first cannot_be_corrected", "gone > well_again", "in_sync > first well_again"},
		"left the spec in peace":  {"in_sync > first well_again", "gone >"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newState("dev.yaml")
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for i, line := range rounds {
				status, want, _ := strings.Cut(line, " >")
				status, look := strings.CutSuffix(status, "/look")
				result := reconcile.Result{ID: bucket, Action: reconcile.Update, Status: reconcile.Status(status)}
				mode := Correct
				if look {
					mode = Look
				}
				r := &reconcile.Report{}
				switch status {
				case "interrupted":
					r.Interrupted = true
					result.Status, result.Err = reconcile.Skipped, reconcile.ErrInterrupted
				case "needs":
					result.Status, result.Err = reconcile.Skipped, &reconcile.NeedError{Need: spec.ID{Kind: spec.Role, Name: "x"}}
				case "failed", "unconfirmed", "held":
					result.Err = errors.New("AccessDenied")
				case "in_sync":
					result.Action = reconcile.None
				}
				if status != "gone" {
					r.Results = []reconcile.Result{result}
				}
				now = now.Add(every)
				var told []string
				for _, c := range s.take(Ended{Began: now, Mode: mode, Outcome: outcome(r, nil), Report: r}, s.Failures) {
					if c.Address != bucket.String() || !c.At.Equal(now) {
						t.Errorf("round %d: %+v", i+1, c)
					}
					if c.First {
						told = append(told, "first")
					}
					told = append(told, string(c.Kind))
				}
				if got := strings.Join(told, " "); got != strings.TrimSpace(want) {
					t.Errorf("round %d, %s: %q is news, want %q", i+1, status, got, strings.TrimSpace(want))
				}
			}
		})
	}
}

// Since when something is not well goes on from one bad condition to the next.
func TestSince(t *testing.T) {
	s := newState("dev.yaml")
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	take := func(minute int, status reconcile.Status, action reconcile.Action) Change {
		t.Helper()
		r := &reconcile.Report{Results: []reconcile.Result{{ID: bucket, Status: status, Action: action}}}
		changes := s.take(Ended{Began: begin.Add(time.Duration(minute) * time.Minute), Mode: Correct, Outcome: outcome(r, nil), Report: r}, 0)
		if len(changes) != 1 {
			t.Fatalf("minute %d: %+v", minute, changes)
		}
		return changes[0]
	}
	take(0, reconcile.InSync, reconcile.None)
	for minute, status := range []reconcile.Status{reconcile.Planned, reconcile.Failed, reconcile.Done} {
		if since := take(minute+1, status, reconcile.Update).Since; !since.Equal(begin.Add(time.Minute)) {
			t.Errorf("%s: since %s", status, since)
		}
	}
	if now := s.Resources[bucket.String()]; !now.Since.IsZero() || now.Corrections != 1 || !now.Corrected.Equal(begin.Add(3*time.Minute)) {
		t.Errorf("%+v", now)
	}
}

// A stack as a whole is news once, after the second round that came to nothing,
// or as soon as its spec is no good.
func TestWholeStack(t *testing.T) {
	s := newState("dev.yaml")
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	denied, bad := errors.New("ExpiredToken"), errors.New("dev.yaml:1:1: unknown field")
	for i, round := range []struct {
		err, spec error
		news      ChangeKind
		failures  int
	}{
		{denied, nil, "", 1},
		{nil, nil, "", 0},
		{denied, nil, "", 1},
		{denied, nil, CannotBeMended, 2},
		{denied, nil, "", 3},
		{denied, bad, "", 4},
		{nil, bad, "", 0},
		{nil, nil, IsWellAgain, 0},
		{nil, bad, CannotBeMended, 0},
		{nil, nil, IsWellAgain, 0},
	} {
		s.SpecErr = round.spec
		e := Ended{Began: begin.Add(time.Duration(i) * every), Err: round.err, Outcome: Failed}
		if round.err == nil {
			e.Report, e.Outcome = &reconcile.Report{}, InSync
		}
		var news ChangeKind
		for _, c := range s.take(e, s.Failures) {
			news = c.Kind
			if c.Address != "" {
				t.Errorf("%+v", c)
			}
		}
		if news != round.news || s.Failures != round.failures {
			t.Errorf("round %d: %q is news, and %d have failed; want %q and %d", i+1, news, s.Failures, round.news, round.failures)
		}
	}
}
