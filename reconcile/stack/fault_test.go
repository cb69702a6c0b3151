package stack_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A counter names the calls of a run, whose order is another each time: the
// second CreatePolicy is "iam:CreatePolicy#2".
type counter struct {
	mu   sync.Mutex
	seen map[string]int
	ids  map[int]string // by Call.N, since a call is asked about in each phase
}

func newCounter() *counter { return &counter{seen: map[string]int{}, ids: map[int]string{}} }

func (c *counter) id(call sandbox.Call) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.ids[call.N]
	if !ok {
		op := operation(call)
		c.seen[op]++
		id = fmt.Sprintf("%s#%d", op, c.seen[op])
		c.ids[call.N] = id
	}
	return id
}

func operation(c sandbox.Call) string {
	if c.Service == "tagging" {
		return "tag:" + c.Operation // as IAM and errors have it
	}
	return c.Service + ":" + c.Operation
}

// A recording is a first run of examples/dev.yaml in which nothing went wrong.
type recording struct {
	calls      []string // as a counter names them, sorted
	writes     []string // those of them that write
	operations []string // distinct, sorted
	state      string   // what it leads to
}

func recordFirstRun(t *testing.T) recording {
	t.Helper()
	a, state := savedAccount(t)
	a.mustApply(t, a.example(t, "dev.yaml"))
	var r recording
	count := newCounter()
	for _, c := range a.sandbox.Calls() {
		id := count.id(c)
		r.calls = append(r.calls, id)
		r.operations = append(r.operations, operation(c))
		if mutating(operation(c)) {
			r.writes = append(r.writes, id)
		}
	}
	slices.Sort(r.calls)
	slices.Sort(r.writes)
	slices.Sort(r.operations)
	r.operations = slices.Compact(r.operations)
	r.state = state()
	return r
}

// What the state says of keys that are no more, and last of all of the calls
// that led to it, is the sandbox's own.
var deletedKeys = regexp.MustCompile(`"DeletedKeys":(null|\[[^]]*\])|,"Trail":\[.*\]`)

// savedAccount is an account whose whole state can be compared: what differs
// from one to the next are the ids that AWS makes up, since everything else is
// made at the one time at which the test's clock stands.
func savedAccount(t *testing.T) (a *account, state func() string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "state.json")
	a = sandboxAccount(t, sandbox.Options{State: file})
	return a, func() string {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = bornIDs.ReplaceAll(deletedKeys.ReplaceAll(text, nil), []byte("A$1"))
		return strings.ReplaceAll(string(text), ",", ",\n")
	}
}

// A trouble is a fault in the phase in which it strikes.
type trouble struct {
	name  string
	fault sandbox.Fault
	phase sandbox.Phase
}

var troubles = []trouble{
	{"throttled", sandbox.Throttle, sandbox.Before},
	{"failed", sandbox.InternalError, sandbox.Before},
	{"failed after the effect", sandbox.InternalError, sandbox.After},
	{"cut", sandbox.Cut, sandbox.Before},
	{"answer lost", sandbox.Cut, sandbox.After},
	{"half an answer", sandbox.HalfAnswer, sandbox.After},
	{"garbage in place of the answer", sandbox.Garbage, sandbox.After},
}

// troublesPerRun is how many calls of one run are struck, each once. More at
// a time make the walk shorter. 1 tells best which call it was.
const troublesPerRun = 12

// Every call of a first run meets every passing fault once, and the run comes
// to what a run without faults comes to.
func TestPassingFaults(t *testing.T) {
	alone(t)
	clean := recordFirstRun(t)
	for _, tr := range troubles {
		// Every n-th, so that the calls of one run are of many operations.
		n := (len(clean.calls) + troublesPerRun - 1) / troublesPerRun
		for first := range n {
			strike := map[string]bool{}
			for i := first; i < len(clean.calls); i += n {
				strike[clean.calls[i]] = true
			}
			t.Run(fmt.Sprintf("%s/%d", tr.name, first), func(t *testing.T) {
				alone(t)
				a, state := savedAccount(t)
				count := newCounter()
				var mu sync.Mutex
				struck := map[string]bool{}
				a.setFault(func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
					id := count.id(c)
					if p != tr.phase || !strike[id] {
						return sandbox.None
					}
					mu.Lock()
					defer mu.Unlock()
					struck[id] = true
					return tr.fault
				})
				path := a.example(t, "dev.yaml")
				o := a.apply(path)
				a.setFault(nil)
				if err := o.failure(); err != nil {
					t.Fatalf("with %v: %v", slices.Sorted(maps.Keys(strike)), err)
				}
				for id := range strike {
					// The first answer that a bucket is absent ends its other reads.
					if !struck[id] && !strings.HasPrefix(id, "s3:Get") {
						t.Errorf("the call %s was not made", id)
					}
				}
				if diff := cmp.Diff(clean.state, state()); diff != "" {
					t.Errorf("with %v the state is another than without faults (-without +with):\n%s", slices.Sorted(maps.Keys(strike)), diff)
				}
				a.mustHaveDelivered(t, user)
				a.mustBeInSync(t, path)
			})
		}
	}
}

// A fault that lasts ends in an error that tells all there is to tell, stops
// only what depends on it, and leaves nothing behind that the next run does
// not heal.
func TestLastingFaults(t *testing.T) {
	alone(t)
	clean := recordFirstRun(t)
	for i, op := range clean.operations {
		others := []trouble{
			{"failed", sandbox.InternalError, sandbox.Before},
			{"cut", sandbox.Cut, sandbox.Before},
			{"garbage in place of the answer", sandbox.Garbage, sandbox.After},
		}
		// Every operation is denied, and has one of the other troubles.
		for _, tt := range []trouble{{"denied", sandbox.Denied, sandbox.Before}, others[i%len(others)]} {
			t.Run(op+"/"+tt.name, func(t *testing.T) {
				alone(t)
				a, state := savedAccount(t)
				a.setFault(func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
					if operation(c) == op && p == tt.phase {
						return tt.fault
					}
					return sandbox.None
				})
				path := a.example(t, "dev.yaml")
				o := a.apply(path)
				a.setFault(nil)

				err := o.failure()
				// CreateBucket has set the tags, so that a bucket can do without.
				if err == nil && tt.phase == sandbox.Before && op != "s3:PutBucketTagging" {
					t.Error("the run succeeded")
				}
				if err != nil {
					checkFailure(t, o, op, tt.fault)
				}
				a.mustApply(t, path)
				if diff := cmp.Diff(clean.state, state()); diff != "" {
					t.Errorf("healed, the state is another than without faults (-without +with):\n%s", diff)
				}
				a.mustHaveDelivered(t, user)
				a.mustBeInSync(t, path)
			})
		}
	}
}

// checkFailure wants the failed resources to say which call failed and how,
// and every other one to be done, or skipped because of one that it needs.
func checkFailure(t *testing.T, o outcome, op string, fault sandbox.Fault) {
	t.Helper()
	says := func(err error) {
		t.Helper()
		code := map[sandbox.Fault]string{sandbox.Denied: ": AccessDenied", sandbox.InternalError: ": "}[fault]
		if !strings.Contains(err.Error(), op+code) {
			t.Errorf("the error does not say %s%s: %v", op, code, err)
		}
		if code != "" && !strings.Contains(err.Error(), "request id 00000000-0000-4000-8000-") {
			t.Errorf("the error has no request id: %v", err)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("the error has more than one line: %v", err)
		}
	}
	if o.err != nil {
		says(o.err)
		return
	}
	status := map[spec.ID]reconcile.Status{}
	for _, r := range o.results {
		status[r.ID] = r.Status
	}
	for _, r := range o.results {
		switch r.Status {
		case reconcile.Failed, reconcile.Unconfirmed:
			says(r.Err)
			if !strings.Contains(r.Err.Error(), r.ID.String()) {
				t.Errorf("the error does not name %s: %v", r.ID, r.Err)
			}
		case reconcile.Skipped:
			need, ok := errors.AsType[*reconcile.NeedError](r.Err)
			if !ok || status[need.Need] == reconcile.Done {
				t.Errorf("%s was skipped because %v", r.ID, r.Err)
			}
		case reconcile.Done:
		default:
			t.Errorf("%s is %s", r.ID, r.Status)
		}
	}
}

// A call that hangs is given up and made again, within the timeout of a call.
func TestHangingCalls(t *testing.T) {
	alone(t)
	// Long enough for a busy machine to answer a call that does not hang.
	callTimeout := func(o *stack.Options, _ *stack.Look, _ *reconcile.Options) { o.AWS.CallTimeout = time.Second }
	for _, op := range []string{"s3:CreateBucket", "iam:GetRole", "iam:CreateAccessKey", "ecs:RegisterTaskDefinition", "sts:GetCallerIdentity"} {
		t.Run(op, func(t *testing.T) {
			alone(t)
			a := sandboxAccount(t, sandbox.Options{})
			var once sync.Once
			a.setFault(func(c sandbox.Call, p sandbox.Phase) (f sandbox.Fault) {
				if operation(c) == op && p == sandbox.Before {
					once.Do(func() { f = sandbox.Hang })
				}
				return f
			})
			path := a.example(t, "dev.yaml")
			a.mustApply(t, path, callTimeout)
			a.mustHaveDelivered(t, user)
			a.mustBeInSync(t, path)
		})
	}
	t.Run("for good", func(t *testing.T) {
		alone(t)
		a := sandboxAccount(t, sandbox.Options{})
		a.setFault(func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
			if operation(c) == "ecs:CreateCluster" && p == sandbox.Before {
				return sandbox.Hang
			}
			return sandbox.None
		})
		path := a.example(t, "dev.yaml")
		o := a.apply(path, func(o *stack.Options, _ *stack.Look, _ *reconcile.Options) {
			o.AWS.CallTimeout = 300 * time.Millisecond
		})
		err := o.result(t, "ecs.cluster/"+cluster).Err
		if err == nil || !strings.Contains(err.Error(), "ecs:CreateCluster") || !strings.Contains(err.Error(), "timeout") {
			t.Errorf("the error is %v", err)
		}
	})
}

// Reads that lag behind writes lead neither to a failure nor to a second
// create.
func TestLaggingReads(t *testing.T) {
	alone(t)
	clean := recordFirstRun(t)
	for n := 1; n <= 4; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			alone(t)
			a, state := savedAccount(t)
			a.sandbox.Lag(n)
			path := a.example(t, "dev.yaml")
			o := a.mustApply(t, path)
			a.sandbox.Lag(0)
			creates := slices.DeleteFunc(o.writes(), func(c string) bool {
				return !strings.Contains(c, ":Create") && !strings.Contains(c, ":Register")
			})
			slices.Sort(creates)
			if diff := cmp.Diff([]string{
				"ecr:CreateRepository", "ecs:CreateCluster", "ecs:RegisterTaskDefinition", "iam:CreateAccessKey",
				"iam:CreatePolicy", "iam:CreatePolicy", "iam:CreatePolicy", "iam:CreatePolicy",
				"iam:CreateRole", "iam:CreateUser", "logs:CreateLogGroup", "s3:CreateBucket",
			}, creates); diff != "" {
				t.Errorf("creates (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(clean.state, state()); diff != "" {
				t.Errorf("the state is another than without lag (-without +with):\n%s", diff)
			}
			if o.paused == 0 {
				t.Error("the run has not waited once, so nothing lagged")
			}
			a.mustHaveDelivered(t, user)
			a.mustBeInSync(t, path)
		})
	}
}
