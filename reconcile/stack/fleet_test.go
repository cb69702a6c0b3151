package stack_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// fleetCalls is the budget of AWS calls for each stack of many in one account,
// with nothing to do.
const fleetCalls = 10

// Stacks of one account read IAM once together. The session's second round
// sees what the first has written, and a change by hand is one stack's.
func TestFleet(t *testing.T) {
	alone(t)
	const stacks = 25
	a := sandboxAccount(t, sandbox.Options{})
	text, err := os.ReadFile(a.bare(t))
	if err != nil {
		t.Fatal(err)
	}
	var files []*spec.File
	var previews []*spec.Spec
	for i := range stacks {
		of := text
		for _, name := range []string{"churn-prediction", "ml-engineer", "ecsTaskExecutionRole", "ecs-s3-access"} {
			of = []byte(strings.ReplaceAll(string(of), name, fmt.Sprintf("%s-%d", name, i)))
		}
		path := filepath.Join(a.dir, fmt.Sprintf("%d.yaml", i))
		of = []byte(strings.ReplaceAll(string(of), a.sink(), fmt.Sprintf("%s-%d", a.sink(), i)))
		if err := os.WriteFile(path, of, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := spec.Load(path, spec.Options{})
		if err != nil {
			t.Fatal(err)
		}
		preview, err := file.Preview()
		if err != nil {
			t.Fatal(err)
		}
		files, previews = append(files, file), append(previews, preview)
	}

	calls := &journal{}
	session := stack.NewSession(stack.Options{
		AWS: awsx.Options{
			EndpointURL: a.url, Credentials: credentials.NewStaticCredentialsProvider("operator", "operator", ""),
			Backoff: noDelay, Log: slog.New(calls),
		},
		Now: a.clock.Now,
	})
	// round runs every stack, side by side, and answers with what changed.
	round := func() (changed []string) {
		t.Helper()
		which := stack.Look{Batch: stack.NewBatch(previews)}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i, file := range files {
			wg.Go(func() {
				st, err := session.Open(t.Context(), file, which)
				if err != nil {
					t.Errorf("%d: %v", i, err)
					return
				}
				run := reconcile.Look(t.Context(), st.Resources, reconcile.Options{})
				run.Apply(t.Context())
				mu.Lock()
				defer mu.Unlock()
				for _, r := range run.Results() {
					if r.Err != nil {
						t.Errorf("%d: %s: %v", i, r.ID, r.Err)
					}
					if r.Action != reconcile.None {
						changed = append(changed, r.ID.String())
					}
				}
			})
		}
		wg.Wait()
		return changed
	}
	if n := len(round()); n != stacks*12 {
		t.Fatalf("%d resources were made, want %d", n, stacks*12)
	}
	before := len(calls.all())
	if changed := round(); len(changed) > 0 {
		t.Errorf("a second round changes %v", changed)
	}
	if n := len(calls.all()) - before; n > fleetCalls*stacks {
		t.Errorf("%d stacks with nothing to do make %d calls, the budget is %d", stacks, n, fleetCalls*stacks)
	}

	done(t)(a.iam.DetachRolePolicy(t.Context(), &iam.DetachRolePolicyInput{
		RoleName: aws.String("ecsTaskExecutionRole-7"), PolicyArn: aws.String("arn:aws:iam::123456789012:policy/ecs-s3-access-7"),
	}))
	if changed := round(); len(changed) != 1 || changed[0] != "iam.role/ecsTaskExecutionRole-7" {
		t.Errorf("after a change to one role the round changes %v", changed)
	}
}
