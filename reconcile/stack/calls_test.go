package stack_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"golang.org/x/sync/errgroup"

	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
)

// The budgets of AWS calls, for the reference stack. Its example also says that
// role and user have no inline policies, which takes a call for each of them to
// see.
const (
	noOpCalls     = 22
	firstRunCalls = 66
	inlineCalls   = 2
)

// bare is examples/dev.yaml without what it says of inline policies.
func (a *account) bare(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(a.example(t, "dev.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	const line = "      inlinePolicies: {}\n"
	if n := strings.Count(string(text), line); n != inlineCalls {
		t.Fatalf("the example says %d times that there are no inline policies", n)
	}
	return a.write(t, strings.ReplaceAll(string(text), line, ""))
}

func TestCallBudgets(t *testing.T) {
	alone(t)
	a := newAccount(t)
	path := a.bare(t)
	if n := len(a.mustApply(t, path).calls); n > firstRunCalls {
		t.Errorf("a first run makes %d calls, the budget is %d", n, firstRunCalls)
	}
	if n := len(a.mustApply(t, path).calls); n > noOpCalls {
		t.Errorf("a run with nothing to do makes %d calls, the budget is %d", n, noOpCalls)
	}
	if n := len(a.mustApply(t, a.example(t, "dev.yaml")).calls); n > noOpCalls+inlineCalls {
		t.Errorf("a run of the example with nothing to do makes %d calls, the budget is %d", n, noOpCalls+inlineCalls)
	}
}

// A run with nothing to do waits for AWS three times in a row, twice where the
// spec names the account: the calls of a wave are answered only once all of
// them have arrived, so a run that needs a wave more does not come to its end.
func TestWaitsInARow(t *testing.T) {
	alone(t)
	for _, tt := range []struct {
		name    string
		account bool
		waves   []int // calls
	}{
		{"who is calling, what is there, policies' documents", false, []int{1, 17, 4}},
		{"account given", true, []int{18, 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alone(t)
			a := sandboxAccount(t, sandbox.Options{})
			path := a.bare(t)
			if tt.account {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				path = a.write(t, string(text)+"\naccount: \""+accountID+"\"\n")
			}
			a.mustApply(t, path)

			waves := &waves{sizes: tt.waves, full: make(chan struct{})}
			// The one way out for a run that never fills its wave.
			giveUp := time.AfterFunc(20*time.Second, waves.giveUp)
			defer giveUp.Stop()
			a.setFault(func(_ sandbox.Call, p sandbox.Phase) sandbox.Fault {
				if p == sandbox.Before {
					waves.arrive()
				}
				return sandbox.None
			})
			a.mustBeInSync(t, path)
			if waves.stuck {
				t.Errorf("the run waits more often than %d times", len(tt.waves))
			}
			if len(waves.sizes) > 0 {
				t.Errorf("the waves %v never came", waves.sizes)
			}
		})
	}
}

// waves lets calls pass by the wave.
type waves struct {
	mu    sync.Mutex
	sizes []int
	here  int           // calls of the first wave that have arrived
	full  chan struct{} // closed when they all have
	stuck bool
}

func (w *waves) arrive() {
	w.mu.Lock()
	full := w.full
	w.here++
	if len(w.sizes) > 0 && w.here == w.sizes[0] {
		w.sizes, w.here, w.full = w.sizes[1:], 0, make(chan struct{})
		close(full)
	}
	if w.stuck || len(w.sizes) == 0 {
		w.stuck = w.stuck || w.here > 0 // one call too many
		w.mu.Unlock()
		return
	}
	w.mu.Unlock()
	<-full
}

func (w *waves) giveUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stuck = true
	close(w.full)
}

// many is a spec of n policies and n roles, each with one of the policies.
func many(n int) string {
	var b strings.Builder
	b.WriteString("account: \"" + accountID + "\"\niam:\n  policies:\n")
	for i := range n {
		fmt.Fprintf(&b, "    - {name: policy-%04d, document: %s}\n", i, otherDocument)
	}
	b.WriteString("  roles:\n")
	for i := range n {
		fmt.Fprintf(&b, "    - {name: role-%04d, assumeRolePolicy: %s, policies: [policy-%04d]}\n", i, trustECSTasks, i)
	}
	return b.String()
}

// makeMany makes what many asks for.
func (a *account) makeMany(t testing.TB, n int) {
	t.Helper()
	mark := []iamtypes.Tag{{Key: aws.String("churn-reconcile:stack"), Value: aws.String("test/test")}}
	all, ctx := errgroup.WithContext(t.Context())
	all.SetLimit(8)
	for i := range n {
		policy, role := fmt.Sprintf("policy-%04d", i), fmt.Sprintf("role-%04d", i)
		all.Go(func() error {
			if _, err := a.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{
				PolicyName: &policy, PolicyDocument: aws.String(otherDocument), Tags: mark,
			}); err != nil {
				return err
			}
			if _, err := a.iam.CreateRole(ctx, &iam.CreateRoleInput{
				RoleName: &role, AssumeRolePolicyDocument: aws.String(trustECSTasks), Tags: mark,
			}); err != nil {
				return err
			}
			_, err := a.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &role, PolicyArn: aws.String(policyARN + policy)})
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestLargeSpec(t *testing.T) {
	alone(t)
	a := newAccount(t)
	a.makeMany(t, 500)
	path := a.stack(t, many(500))
	o := a.mustApply(t, path)
	var n int
	for _, call := range o.calls {
		if strings.HasPrefix(call, "iam:") {
			n++
		}
	}
	if n >= 100 {
		t.Errorf("1,000 roles and policies are read by %d calls of IAM, the budget is 100", n)
	}
	if w := append(o.changes(), o.writes()...); len(w) > 0 {
		t.Errorf("there was nothing to do, but: %v", w)
	}

	// What one of a thousand has lost shows all the same.
	done(t)(a.iam.DetachRolePolicy(context.Background(), &iam.DetachRolePolicyInput{
		RoleName: aws.String("role-0321"), PolicyArn: aws.String(policyARN + "policy-0321"),
	}))
	wantChanges(t, `
iam.role/role-0321: update
  iam:AttachRolePolicy
  iam:TagRole
  policies[policy-0321]: <nil> -> arn:aws:iam::123456789012:policy/policy-0321`, a.mustApply(t, path).changes())
	a.mustBeInSync(t, path)
}

// slowly puts 50 ms before each answer of the account's endpoint.
func (a *account) slowly(b *testing.B) {
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(50 * time.Millisecond)
		a.handler.ServeHTTP(w, r)
	}))
	b.Cleanup(slow.Close)
	a.url = slow.URL
}

func BenchmarkNothingToDo(b *testing.B) {
	a := newAccount(b)
	path := a.example(b, "dev.yaml")
	a.mustApply(b, path)
	a.slowly(b)
	b.ReportAllocs()
	var calls int
	for b.Loop() {
		calls = len(a.mustApply(b, path).calls)
	}
	b.ReportMetric(float64(calls), "calls/op")
}

func BenchmarkFirstRun(b *testing.B) {
	b.ReportAllocs()
	var calls int
	for b.Loop() {
		b.StopTimer()
		a := newAccount(b)
		path := a.example(b, "dev.yaml")
		a.slowly(b)
		b.StartTimer()
		calls = len(a.mustApply(b, path).calls)
	}
	b.ReportMetric(float64(calls), "calls/op")
}

func BenchmarkLargeSpecNothingToDo(b *testing.B) {
	a := newAccount(b)
	a.makeMany(b, 500)
	path := a.stack(b, many(500))
	a.slowly(b)
	b.ReportAllocs()
	var calls int
	for b.Loop() {
		calls = len(a.mustApply(b, path).calls)
	}
	b.ReportMetric(float64(calls), "calls/op")
}

// TestInlinePolicyOnTheExample: what somebody writes into the role or the user
// of the example is drift, and is taken away.
func TestInlinePolicyOnTheExample(t *testing.T) {
	alone(t)
	a := newAccount(t)
	path := a.example(t, "dev.yaml")
	a.mustApply(t, path)
	admin := aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	done(t)(a.iam.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: aws.String("ml-engineer"), PolicyName: aws.String("admin"), PolicyDocument: admin}))
	done(t)(a.iam.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("ecsTaskExecutionRole"), PolicyName: aws.String("admin"), PolicyDocument: admin}))
	writes := strings.Join(a.mustApply(t, path).writes(), " ")
	if !strings.Contains(writes, "DeleteUserPolicy") || !strings.Contains(writes, "DeleteRolePolicy") {
		t.Errorf("the run writes %s", writes)
	}
	a.mustBeInSync(t, path)
}
