package view_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

var _ reconcile.Observer = (*view.Progress)(nil)

func TestProgressLines(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	p := view.NewProgress(&b, view.ProgressOptions{})
	for _, res := range []reconcile.Result{
		created, updated, asPlanned(created), asPlanned(updated), inSync, failed, skipped, unconfirmed,
		{ID: hostile.ID, Status: reconcile.Failed, Err: errors.New("\x1b[2J")},
	} {
		p.Started(res.ID, "iam:GetRole")
		p.Finished(res)
	}
	p.Stop()
	p.Stop()
	want := `iam.role/ecsTaskExecutionRole: created
ecs.task-definition/churn-prediction-task: updated
iam.role/ecsTaskExecutionRole: to create
ecs.task-definition/churn-prediction-task: to update
iam.user/ml-engineer: failed
iam.access-key/ml-engineer: skipped
logs.log-group//ecs/churn-prediction: unconfirmed
` + "iam.role/a\\x1b[2J|`b`<img src=x>@org/team: failed\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

// A long step tells how far it is, and ever more seldom where lines stay.
func TestProgressOfAStep(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	p := view.NewProgress(&b, view.ProgressOptions{})
	for i := range 9 {
		p.Progressed(created.ID, fmt.Sprintf("s3:DeleteObjects %d000 versions deleted", i+1))
	}
	p.Progressed(updated.ID, "\x1b[2J")
	p.Stop()
	want := `iam.role/ecsTaskExecutionRole: s3:DeleteObjects 1000 versions deleted
iam.role/ecsTaskExecutionRole: s3:DeleteObjects 2000 versions deleted
iam.role/ecsTaskExecutionRole: s3:DeleteObjects 4000 versions deleted
iam.role/ecsTaskExecutionRole: s3:DeleteObjects 8000 versions deleted
` + "ecs.task-definition/churn-prediction-task: \\x1b[2J\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

// screen is a terminal that knows the escape sequences that are used here.
type screen struct {
	lines []string // the last one is where the cursor is
}

func (s *screen) Write(b []byte) (int, error) {
	if len(s.lines) == 0 {
		s.lines = []string{""}
	}
	text := string(b)
	if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
		var up int
		for rest[0] >= '0' && rest[0] <= '9' {
			up = 10*up + int(rest[0]-'0')
			rest = rest[1:]
		}
		rest, ok = strings.CutPrefix(rest, "A\r\x1b[J")
		if !ok {
			return 0, errors.New("unknown escape sequence")
		}
		s.lines = append(s.lines[:len(s.lines)-1-up], "")
		text = rest
	}
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			s.lines = append(s.lines, "")
		}
		s.lines[len(s.lines)-1] += line
	}
	return len(b), nil
}

func TestProgressTerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s screen
		tick := make(chan time.Time)
		width := 60
		p := view.NewProgress(&s, view.ProgressOptions{
			Terminal: true, Now: time.Now, Tick: tick,
			Width: func() int { return width },
		})
		show := func(want ...string) {
			t.Helper()
			if d := cmp.Diff(append(want, ""), s.lines); d != "" {
				t.Errorf("screen: %s", d)
			}
		}
		role := spec.ID{Kind: spec.Role, Name: "r"}
		user := spec.ID{Kind: spec.User, Name: "ü\x1b[2J"}

		if len(s.lines) > 0 {
			t.Errorf("a run that is over at once shows %q", s.lines)
		}
		tick <- time.Now()
		synctest.Wait()
		show("  asking aws who is calling")
		p.Looking(2)
		show("  reading 0 of 2")
		p.Looked(role)
		show("  reading 1 of 2")
		p.Slowed("logs", 50)
		p.Slowed("iam", 16.807)
		p.Slowed("logs", 35)
		show("  aws slows iam down, to 16.8 calls a second", "  aws slows logs down, to 35 calls a second", "  reading 1 of 2")
		time.Sleep(10 * time.Second)
		tick <- time.Now()
		synctest.Wait()
		show("  reading 1 of 2")
		p.Looked(user)

		p.Started(role, "iam:GetRole")
		show("  iam.role/r  iam:GetRole  0s", "  1 in flight, 0 of 2 finished")

		time.Sleep(3 * time.Second)
		p.Started(user, "iam:GetUser")
		p.Started(role, "iam:CreateRole")
		show("  iam.role/r  iam:CreateRole  3s", `  iam.user/ü\x1b[2J  iam:GetUser  0s`, "  2 in flight, 0 of 2 finished")

		time.Sleep(2 * time.Second)
		tick <- time.Now()
		synctest.Wait()
		show("  iam.role/r  iam:CreateRole  5s", `  iam.user/ü\x1b[2J  iam:GetUser  2s`, "  2 in flight, 0 of 2 finished")

		if _, err := p.Write([]byte("a line of the log\n")); err != nil {
			t.Error(err)
		}
		p.Finished(reconcile.Result{ID: role, Status: reconcile.Done, Action: reconcile.Create})
		show("a line of the log", `  iam.user/ü\x1b[2J  iam:GetUser  2s`, "  1 in flight, 1 of 2 finished")

		width = 15
		tick <- time.Now()
		synctest.Wait()
		show("a line of the log", `  iam.user/ü\x`, "  1 in flight,")

		p.Stop()
		show("a line of the log")
		p.Finished(reconcile.Result{ID: user})
		if _, err := p.Write([]byte("another\n")); err != nil {
			t.Error(err)
		}
		show("a line of the log", "another")
	}) // which also waits for the goroutine to be gone
}

func TestProgressManyInFlight(t *testing.T) {
	t.Parallel()
	var s screen
	p := view.NewProgress(&s, view.ProgressOptions{
		Terminal: true, Now: func() time.Time { return time.Time{} }, Width: func() int { return 0 },
	})
	defer p.Stop()
	p.Looking(12)
	for _, name := range strings.Split("abcdefghijkl", "") {
		p.Started(spec.ID{Kind: spec.Role, Name: name}, "iam:GetRole")
	}
	if len(s.lines) != 10 || s.lines[8] != "  12 in flight, 0 of 12 finished" {
		t.Errorf("screen: %q", s.lines)
	}
}

func TestProgressConcurrent(t *testing.T) {
	t.Parallel()
	for _, terminal := range []bool{true, false} {
		var s screen
		p := view.NewProgress(&s, view.ProgressOptions{
			Terminal: terminal, Now: func() time.Time { return time.Time{} }, Width: func() int { return 80 },
		})
		p.Looking(12)
		var wg sync.WaitGroup
		for _, name := range strings.Split("abcdefghijkl", "") {
			wg.Go(func() {
				id := spec.ID{Kind: spec.Role, Name: name}
				p.Looked(id)
				p.Started(id, "iam:GetRole")
				p.Finished(reconcile.Result{ID: id, Action: reconcile.Create, Status: reconcile.Done})
			})
		}
		wg.Wait()
		p.Stop()
		want := map[bool]int{true: 1, false: 13}[terminal]
		if len(s.lines) != want {
			t.Errorf("terminal %v: screen %q, want %d lines", terminal, s.lines, want)
		}
	}
}
