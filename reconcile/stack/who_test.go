package stack_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awscloudtrail "github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/cloudtrail"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
)

// asked looks at a spec and asks who has changed what has drifted. waits are
// the pauses between the questions.
func (a *account) asked(t *testing.T, path string) (o outcome, waits []time.Duration, err error) {
	t.Helper()
	client := awscloudtrail.NewFromConfig(aws.Config{
		Region: region, BaseEndpoint: &a.url, Credentials: credentials.NewStaticCredentialsProvider("operator", "operator", ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	})
	trail := &cloudtrail.Trail{API: client, Global: "us-east-1", Env: reconcile.Env{
		Account: accountID, Region: region, Partition: "aws", Now: a.clock.Now,
		Pause: func(_ context.Context, d time.Duration) error {
			waits = append(waits, d)
			a.clock.advance(d)
			return nil
		},
	}}
	a.permit = func(_ *stack.Stack, run *reconcile.Run) error {
		err = run.Attribute(t.Context(), trail)
		return nil
	}
	defer func() { a.permit = nil }()
	return a.look(path), waits, err
}

func (a *account) suspend(t *testing.T) {
	t.Helper()
	done(t)(a.s3.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: aws.String(bucket), VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusSuspended},
	}))
}

func driftingStack(t *testing.T, a *account) string {
	t.Helper()
	path := a.stack(t, `s3: {buckets: [{name: `+bucket+`, versioning: Enabled}]}
iam: {roles: [{name: r, description: one, assumeRolePolicy: `+trustECS+`}, {name: still, assumeRolePolicy: `+trustECS+`}]}`)
	a.mustApply(t, path)
	a.clock.advance(time.Minute)
	return path
}

// Who has changed what has drifted is asked of CloudTrail, two questions a
// second, and of nothing else.
func TestWho(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{})
	path := driftingStack(t, a)
	a.suspend(t)
	at := a.clock.Now()
	done(t)(a.iam.UpdateRole(t.Context(), &iam.UpdateRoleInput{RoleName: aws.String("r"), Description: aws.String("hand")}))
	// What was refused has changed nothing.
	if _, err := a.iam.DetachRolePolicy(t.Context(), &iam.DetachRolePolicyInput{RoleName: aws.String("r"), PolicyArn: aws.String(readOnlyARN)}); err == nil {
		t.Fatal("a policy that is not attached was detached")
	}

	before := len(a.sandbox.Calls())
	o, waits, err := a.asked(t, path)
	if err != nil {
		t.Fatal(err)
	}
	root := "arn:aws:iam::" + accountID + ":root"
	for address, want := range map[string][]reconcile.Event{
		"s3.bucket/" + bucket: {{Principal: root, Call: "s3:PutBucketVersioning", Time: at, Source: "127.0.0.1"}},
		"iam.role/r":          {{Principal: root, Call: "iam:UpdateRole", Time: at, Source: "127.0.0.1"}},
		"iam.role/still":      nil,
	} {
		if d := cmp.Diff(want, o.result(t, address).Who); d != "" {
			t.Errorf("%s: who (-want +got):\n%s", address, d)
		}
	}
	var questions int
	for _, call := range a.sandbox.Calls()[before:] {
		if call.Service == "cloudtrail" {
			questions++
		}
	}
	if questions != 4 { // each by name and by ARN
		t.Errorf("%d questions, want 4", questions)
	}
	if d := cmp.Diff([]time.Duration{time.Second / 2, time.Second / 2, time.Second / 2}, waits); d != "" {
		t.Errorf("waits (-want +got):\n%s", d)
	}
}

// What CloudTrail does not tell is not guessed, and fails nothing.
func TestWhoIsUnknown(t *testing.T) {
	alone(t)
	unknown := []reconcile.Event{{}}
	ask := func(t *testing.T, o sandbox.Options, fault faulter) (outcome, error) {
		a := sandboxAccount(t, o)
		path := driftingStack(t, a)
		a.suspend(t)
		done(t)(a.iam.UpdateRole(t.Context(), &iam.UpdateRoleInput{RoleName: aws.String("r"), Description: aws.String("hand")}))
		a.setFault(fault)
		out, _, err := a.asked(t, path)
		if failed := out.failure(); failed != nil {
			t.Fatal(failed)
		}
		return out, err
	}
	check := func(t *testing.T, o outcome) {
		for _, address := range []string{"s3.bucket/" + bucket, "iam.role/r"} {
			if d := cmp.Diff(unknown, o.result(t, address).Who); d != "" {
				t.Errorf("%s: who (-want +got):\n%s", address, d)
			}
		}
	}
	t.Run("late", func(t *testing.T) {
		alone(t)
		o, err := ask(t, sandbox.Options{TrailDelay: 15 * time.Minute}, nil)
		if err != nil {
			t.Error(err)
		}
		check(t, o)
	})
	for name, fault := range map[string]sandbox.Fault{"denied": sandbox.Denied, "failed": sandbox.InternalError, "cut": sandbox.Cut, "garbage": sandbox.Garbage} {
		t.Run(name, func(t *testing.T) {
			alone(t)
			var questions atomic.Int64
			o, err := ask(t, sandbox.Options{}, func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
				if c.Service != "cloudtrail" || p != sandbox.Before {
					return sandbox.None
				}
				questions.Add(1)
				return fault
			})
			if err == nil {
				t.Error("nobody is told why")
			}
			if n := questions.Load(); n != 1 {
				t.Errorf("%d questions, want 1", n)
			}
			check(t, o)
		})
	}
	t.Run("of before the product's own change", func(t *testing.T) {
		alone(t)
		a := sandboxAccount(t, sandbox.Options{TrailDelay: 15 * time.Minute})
		path := driftingStack(t, a)
		a.suspend(t)
		a.mustApply(t, path)
		a.clock.advance(20 * time.Minute)
		a.suspend(t) // which CloudTrail does not know yet
		o, _, err := a.asked(t, path)
		if d := cmp.Diff(unknown, o.result(t, "s3.bucket/"+bucket).Who); d != "" || err != nil {
			t.Errorf("who (-want +got):\n%s%v", d, err)
		}
	})
	t.Run("too long ago", func(t *testing.T) {
		alone(t)
		a := sandboxAccount(t, sandbox.Options{})
		path := driftingStack(t, a)
		a.suspend(t)
		a.clock.advance(91 * 24 * time.Hour)
		o, _, err := a.asked(t, path)
		if d := cmp.Diff(unknown, o.result(t, "s3.bucket/"+bucket).Who); d != "" || err != nil {
			t.Errorf("who (-want +got):\n%s%v", d, err)
		}
	})
}
