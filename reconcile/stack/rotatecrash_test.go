package stack_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sink/sinktest"
)

// A turn is a point in a key's life at which a run has something to do.
type turn struct {
	name    string
	prepare func(t *testing.T, k *keyring) (former string) // up to the run
	former  types.StatusType                               // of the former key once the run is through; "": there is none
}

var turns = []turn{
	{"first delivery", func(*testing.T, *keyring) string { return "" }, ""},
	{"rotation", beforeRotation, types.StatusTypeActive},
	{"retirement", beforeRetirement, types.StatusTypeInactive},
	{"deletion", beforeDeletion, ""},
}

func beforeRotation(t *testing.T, k *keyring) string {
	t.Helper()
	k.mustApply(t)
	k.clock.advance(90 * day)
	return k.currentKey(t)
}

func beforeRetirement(t *testing.T, k *keyring) string {
	t.Helper()
	former := beforeRotation(t, k)
	k.mustApply(t)
	k.clock.advance(day)
	return former
}

func beforeDeletion(t *testing.T, k *keyring) string {
	t.Helper()
	former := beforeRetirement(t, k)
	k.mustApply(t)
	k.clock.advance(day)
	return former
}

// mustHavePassed wants the turn to have come about.
func (k *keyring) mustHavePassed(t *testing.T, turn turn, former string) {
	t.Helper()
	current := k.currentKey(t)
	if current == former {
		t.Fatalf("%s has no successor", former)
	}
	if turn.former != "" {
		k.mustHold(t, current, former)
		if keys, err := k.status(t.Context()); err != nil || keys[former] != turn.former {
			t.Errorf("the keys are %v (%v), want %s to be %s", keys, err, former, turn.former)
		}
	} else {
		k.mustHold(t, current)
	}
	k.mustBeInSync(t)
}

// mustGoOn wants the rest of the former key's life to follow.
func (k *keyring) mustGoOn(t *testing.T) {
	t.Helper()
	current := k.currentKey(t)
	for range 2 {
		k.clock.advance(day)
		k.mustApply(t)
	}
	k.mustHold(t, current)
}

// points makes hook decide about every call of AWS and of GitHub. A call's id
// is like "iam:TagUser#2" or "github:PUT AWS_ACCESS_KEY_ID#1".
func (k *keyring) points(hook func(id string, after bool) mishap) {
	count := newCounter()
	k.setFault(func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
		return hook(count.id(c), p == sandbox.After).aws
	})
	var mu sync.Mutex
	seen, ids := map[string]int{}, map[int]string{}
	k.github.SetFault(func(c sinktest.Call, p sinktest.Phase) sinktest.Fault {
		mu.Lock()
		id, ok := ids[c.N]
		if !ok {
			op := "github:" + c.Method + " " + c.Name
			seen[op]++
			id = fmt.Sprintf("%s#%d", op, seen[op])
			ids[c.N] = id
		}
		mu.Unlock()
		return hook(id, p == sinktest.After).github
	})
}

func (k *keyring) heal() {
	k.setFault(nil)
	k.github.SetFault(nil)
}

// recordTurn lists the calls of a turn in which nothing goes wrong, by id.
func recordTurn(t *testing.T, turn turn) []string {
	t.Helper()
	k := sandboxKeyring(t, sandbox.Options{})
	turn.prepare(t, k)
	var mu sync.Mutex
	var ids []string
	k.points(func(id string, after bool) mishap {
		if !after {
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, id)
		}
		return mishap{}
	})
	k.mustApply(t)
	slices.Sort(ids)
	return ids
}

// calls are those of the turn's calls that can go wrong in a way of the turn's
// own: where nothing is delivered, the sinks are read as at any other turn.
func (turn turn) calls(t *testing.T) []string {
	t.Helper()
	ids := recordTurn(t, turn)
	if turn.name == "retirement" || turn.name == "deletion" {
		ids = slices.DeleteFunc(ids, func(id string) bool { return !strings.HasPrefix(id, "iam:") })
	}
	return ids
}

func writesOrSinks(id string) bool {
	op, _, _ := strings.Cut(id, "#")
	if strings.HasPrefix(op, "github:") || strings.HasPrefix(op, "secretsmanager:") {
		return true
	}
	// The proof that a key works comes between its create and its delivery.
	return mutating(op) || op == "sts:GetCallerIdentity" && !strings.HasSuffix(id, "#1")
}

// A run is killed at every write and at every call of a sink, at each turn of a
// key's life, and the next one makes up for it.
func TestKilledWhileRotating(t *testing.T) {
	alone(t)
	for _, turn := range turns {
		t.Run(turn.name, func(t *testing.T) {
			alone(t)
			points := slices.DeleteFunc(recordTurn(t, turn), func(id string) bool { return !writesOrSinks(id) })
			for _, id := range points {
				for after, name := range map[bool]string{false: "before its effect", true: "after its effect"} {
					t.Run(id+" "+name, func(t *testing.T) {
						alone(t)
						k := sandboxKeyring(t, sandbox.Options{})
						former := turn.prepare(t, k)
						k.killAt(t, id, after)
						k.mustKeepFormer(t, turn, former)
						k.mustApply(t)
						k.mustHavePassed(t, turn, former)
						k.mustGoOn(t)
					})
				}
			}
		})
	}
}

// Two runs in a row are killed while they deliver, and the third makes up for
// both.
func TestKilledTwiceWhileRotating(t *testing.T) {
	alone(t)
	points := []string{
		"iam:CreateAccessKey#1", "github:PUT AWS_SECRET_ACCESS_KEY#1", "github:PUT AWS_ACCESS_KEY_ID#1",
		"secretsmanager:PutSecretValue#2", "iam:TagUser#2",
	}
	for _, one := range points {
		for _, two := range points {
			t.Run(one+", "+two, func(t *testing.T) {
				alone(t)
				k := sandboxKeyring(t, sandbox.Options{})
				former := beforeRotation(t, k)
				k.killAt(t, one, true)
				k.clock.advance(day / 24)
				if !k.tryKillAt(t, two, true) {
					// The second run had only to commit.
					k.mustBeInSync(t)
				}
				k.clock.advance(day / 24)
				k.mustApply(t)
				k.mustHavePassed(t, turns[1], former)
				k.mustGoOn(t)
			})
		}
	}
}

// mustKeepFormer wants a former key to work for as long as a rotation is not
// through.
func (k *keyring) mustKeepFormer(t *testing.T, turn turn, former string) {
	t.Helper()
	if turn.name != "rotation" {
		return
	}
	keys, err := k.status(t.Context())
	if err != nil || keys[former] != types.StatusTypeActive {
		t.Errorf("in the midst of a rotation the keys are %v (%v), %s among them", keys, err, former)
	}
}

func (k *keyring) killAt(t *testing.T, id string, after bool) {
	t.Helper()
	if !k.tryKillAt(t, id, after) {
		t.Fatalf("the run has not met the call %s", id)
	}
}

// tryKillAt runs the product in a process of its own and kills it at a call. It
// says whether the run has come that far.
func (k *keyring) tryKillAt(t *testing.T, id string, after bool) bool {
	t.Helper()
	var p *process
	started := make(chan struct{})
	k.points(func(at string, a bool) mishap {
		if at != id || a != after {
			return mishap{}
		}
		<-started
		_ = p.cmd.Process.Kill() // killed tells whether it worked
		<-p.dead
		return mishap{aws: sandbox.Cut, github: sinktest.Fault{Cut: true}}
	})
	p = k.start(t, k.path, githubURLVar+"="+k.github.URL, githubTokenVar+"="+k.github.Token)
	close(started)
	killed := p.killed()
	k.heal()
	if !killed && !p.cmd.ProcessState.Success() {
		t.Fatalf("the run to be killed at %s has failed: %s", id, &p.out)
	}
	return killed
}

// A mishap is what goes wrong with a call, of whichever service it is.
type mishap struct {
	name   string
	after  bool
	aws    sandbox.Fault
	github sinktest.Fault
}

var mishaps = []mishap{
	{"lost answer", true, sandbox.Cut, sinktest.Fault{Cut: true}},
	{"500", false, sandbox.InternalError, sinktest.Fault{Status: http.StatusInternalServerError}},
	{"cut", false, sandbox.Cut, sinktest.Fault{Cut: true}},
	{"throttled", false, sandbox.Throttle, sinktest.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}}},
	{"garbage", true, sandbox.Garbage, sinktest.Fault{Garbage: true}},
}

// Each call of each turn goes wrong once, and the run rides it out.
func TestPassingFaultsWhileRotating(t *testing.T) {
	alone(t)
	for _, turn := range turns {
		t.Run(turn.name, func(t *testing.T) {
			alone(t)
			for _, id := range turn.calls(t) {
				for _, m := range mishaps {
					if !writesOrSinks(id) && !m.after {
						continue // reads are repeated whatever it was
					}
					t.Run(id+" "+m.name, func(t *testing.T) {
						alone(t)
						k := sandboxKeyring(t, sandbox.Options{})
						former := turn.prepare(t, k)
						k.points(func(at string, after bool) mishap {
							if at == id && after == m.after {
								return m
							}
							return mishap{}
						})
						k.mustApply(t)
						k.heal()
						k.mustHavePassed(t, turn, former)
					})
				}
			}
		})
	}
}

// A call that fails for good ends the run with an error that names it, no key
// is lost over it, and once it works the next run goes on.
func TestLastingFaultsWhileRotating(t *testing.T) {
	alone(t)
	lasting := []mishap{
		{"denied", false, sandbox.Denied, sinktest.Fault{Status: http.StatusForbidden}},
		{"500", false, sandbox.InternalError, sinktest.Fault{Status: http.StatusInternalServerError}},
		{"lost answer", true, sandbox.Cut, sinktest.Fault{Cut: true}},
	}
	for _, turn := range turns {
		t.Run(turn.name, func(t *testing.T) {
			alone(t)
			var ops []string
			for _, id := range turn.calls(t) {
				op, _, _ := strings.Cut(id, "#")
				ops = append(ops, op)
			}
			for _, op := range slices.Compact(ops) {
				for _, m := range lasting {
					t.Run(op+" "+m.name, func(t *testing.T) {
						alone(t)
						k := sandboxKeyring(t, sandbox.Options{})
						former := turn.prepare(t, k)
						k.points(func(at string, after bool) mishap {
							if strings.HasPrefix(at, op+"#") && after == m.after {
								return m
							}
							return mishap{}
						})
						// Twice, since the second run meets what the first one left.
						for range 2 {
							err := k.apply().failure()
							if err != nil && !says(err, op) {
								t.Errorf("the error does not say %s: %v", op, err)
							}
							if err == nil && !m.after {
								t.Error("the run succeeded")
							}
						}
						k.heal()
						k.mustKeepFormer(t, turn, former)
						k.mustApply(t)
						k.mustHavePassed(t, turn, former)
					})
				}
			}
		})
	}
}

// says looks for an operation in an error. One of GitHub's is told with its
// whole path.
func says(err error, op string) bool {
	rest, github := strings.CutPrefix(op, "github:")
	if !github {
		return strings.Contains(err.Error(), op)
	}
	method, name, _ := strings.Cut(rest, " ")
	return strings.Contains(err.Error(), "github "+method+" /") && strings.Contains(err.Error(), "/secrets/"+name)
}

// A sink that breaks in the midst of a delivery, and stays broken, costs none
// of the others its pair: what they got stays a key until there is a way to
// give all of them another.
func TestSinkBreaksWhileDelivering(t *testing.T) {
	alone(t)
	k := sandboxKeyring(t, sandbox.Options{})
	former := beforeRotation(t, k)
	k.points(func(id string, after bool) mishap {
		if strings.HasPrefix(id, "secretsmanager:PutSecretValue#") && id != "secretsmanager:PutSecretValue#1" {
			return mishap{aws: sandbox.Denied}
		}
		return mishap{}
	})
	if err := k.apply().failure(); err == nil || !strings.Contains(err.Error(), "to Secrets Manager ci/key: secretsmanager:PutSecretValue: AccessDeniedException") {
		t.Errorf("the run: %v", err)
	}
	k.points(func(id string, after bool) mishap {
		if strings.HasPrefix(id, "secretsmanager:PutSecretValue#") {
			return mishap{aws: sandbox.Denied}
		}
		return mishap{}
	})
	before, err := k.status(t.Context())
	if err != nil || len(before) != 2 {
		t.Fatalf("the keys are %v (%v)", before, err)
	}
	for range 3 {
		if err := k.usable(t.Context(), before); err != nil {
			t.Error(err)
		}
		k.clock.advance(time.Hour)
		o := k.apply()
		if err := o.failure(); err == nil || !strings.Contains(err.Error(), "Secrets Manager ci/key cannot be written, so no key was made") {
			t.Errorf("a run after it: %v", err)
		}
		after, err := k.status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("the keys have changed (-before +after):\n%s", diff)
		}
	}
	k.heal()
	k.mustApply(t)
	k.mustHavePassed(t, turns[1], former)
	k.mustGoOn(t)
}

// A new key gets the time that AWS takes to know it, and no sink gets it
// before.
func TestRotationWaitsForTheKey(t *testing.T) {
	alone(t)
	const delay = 4
	k := sandboxKeyring(t, sandbox.Options{KeyDelay: delay})
	for range 2 {
		var mu sync.Mutex
		var proofs int
		k.points(func(id string, after bool) mishap {
			mu.Lock()
			defer mu.Unlock()
			if after {
				return mishap{}
			}
			if strings.HasPrefix(id, "sts:GetCallerIdentity#") {
				proofs++
			}
			// The first of them asks who runs this.
			if strings.HasPrefix(id, "github:PUT AWS_") && proofs != 1+delay+1 {
				t.Errorf("%s after %d proofs", id, proofs)
			}
			return mishap{}
		})
		o := k.mustApply(t)
		if o.paused == 0 {
			t.Error("the run has not waited once")
		}
		k.clock.advance(90 * day)
	}
}

// A key that never comes to work is taken back, whether or not there is one
// that it was to succeed.
func TestKeyThatNeverWorks(t *testing.T) {
	alone(t)
	for _, turn := range turns[:2] {
		t.Run(turn.name, func(t *testing.T) {
			alone(t)
			k := sandboxKeyring(t, sandbox.Options{})
			former := turn.prepare(t, k)
			k.points(func(id string, after bool) mishap {
				if strings.HasPrefix(id, "sts:") && id != "sts:GetCallerIdentity#1" {
					return mishap{aws: sandbox.Denied}
				}
				return mishap{}
			})
			err := k.apply().failure()
			if err == nil || !strings.Contains(err.Error(), "prove that AKIA") || !strings.Contains(err.Error(), "sts:GetCallerIdentity: AccessDenied") {
				t.Errorf("the run: %v", err)
			}
			k.heal()
			keys, err := k.status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]types.StatusType{}
			if former != "" {
				want[former] = types.StatusTypeActive
			}
			if diff := cmp.Diff(want, keys); diff != "" {
				t.Errorf("the keys (-want +got):\n%s", diff)
			}
			k.mustApply(t)
			k.mustHavePassed(t, turn, former)
		})
	}
}

// Reads that lag behind writes lead to no second key, no lost one, and no turn
// taken twice; nor do they where the run before was killed and either the list
// of keys or the record is old.
func TestLaggingReadsWhileRotating(t *testing.T) {
	alone(t)
	for n := 1; n <= 3; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			alone(t)
			for _, turn := range turns {
				t.Run(turn.name, func(t *testing.T) {
					alone(t)
					k := sandboxKeyring(t, sandbox.Options{})
					former := turn.prepare(t, k)
					k.sandbox.Lag(n)
					o := k.mustApply(t)
					k.sandbox.Lag(0)
					// With one read it is left to chance which one that is.
					if o.paused == 0 && n > 1 {
						t.Error("the run has not waited once, so nothing lagged")
					}
					creates := 0
					for _, call := range o.calls {
						if call == "iam:CreateAccessKey" {
							creates++
						}
					}
					if turn.name == "retirement" || turn.name == "deletion" {
						creates++
					}
					if creates != 1 {
						t.Errorf("%d keys were made", creates)
					}
					k.mustHavePassed(t, turn, former)
				})
				for _, id := range []string{"iam:TagUser#1", "iam:CreateAccessKey#1", "github:PUT AWS_ACCESS_KEY_ID#1", "iam:TagUser#2"} {
					if n > 1 || turn.name != "first delivery" && turn.name != "rotation" {
						continue
					}
					if turn.name == "first delivery" && id == "iam:TagUser#2" {
						continue // CreateUser has set the mark
					}
					t.Run(turn.name+", killed after "+id, func(t *testing.T) {
						alone(t)
						k := sandboxKeyring(t, sandbox.Options{})
						former := turn.prepare(t, k)
						k.sandbox.Lag(n)
						k.killAt(t, id, true)
						k.mustApply(t)
						k.sandbox.Lag(0)
						k.mustHavePassed(t, turn, former)
					})
				}
			}
		})
	}
}
