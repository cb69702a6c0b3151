package view_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile"
)

// A report that is read back is the plan that it shows, whatever its values hold:
// what a run compares with and what its digest says.
func TestReadPlan(t *testing.T) {
	t.Parallel()
	for name, r := range scenarios() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pending := *r
			pending.DryRun = true
			pending.Results = nil
			for _, res := range r.Results {
				if res.Status == reconcile.Done {
					res.Status = reconcile.Planned
				}
				pending.Results = append(pending.Results, res)
			}
			scope := reconcile.Scope{Project: r.Project, Environment: r.Environment, Account: r.Account, Region: r.Region}
			pending.Digest = reconcile.Digest(scope, reconcile.Pending(pending.Results))
			var b bytes.Buffer
			if err := view.JSON(&b, &pending); err != nil {
				t.Fatal(err)
			}
			got, err := view.ReadPlan(b.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if got.Digest != pending.Digest || got.Plan.Scope != scope {
				t.Errorf("read back %s of %+v, want %s of %+v", got.Digest, got.Plan.Scope, pending.Digest, scope)
			}
			if got, want := reconcile.Digest(scope, got.Plan.Changes), pending.Digest; got != want {
				t.Errorf("what it shows has the digest %s, want %s", got, want)
			}
		})
	}
}

// No part of what was approved can be changed without its digest: of each byte
// of the report that a plan is made of, another one is no plan.
func TestReadPlanEdited(t *testing.T) {
	t.Parallel()
	r := *scenarios()["plan"]
	r.Digest = reconcile.Digest(
		reconcile.Scope{Project: r.Project, Environment: r.Environment, Account: r.Account, Region: r.Region}, reconcile.Pending(r.Results))
	var b bytes.Buffer
	if err := view.JSON(&b, &r); err != nil {
		t.Fatal(err)
	}
	if _, err := view.ReadPlan(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	for _, edit := range [][2]string{
		{`"churn-prediction"`, `"other"`},
		{`"environment": "dev"`, `"environment": "prod"`},
		{`"123456789012"`, `"123456789013"`},
		{`"eu-north-1"`, `"eu-north-2"`},
		{`"iam.role/ecsTaskExecutionRole"`, `"iam.role/admin"`},
		{`"action": "create"`, `"action": "update"`},
		{`"iam:CreateRole"`, `"iam:DeleteRole"`},
		{`"path": "cpu"`, `"path": "memory"`},
		{`"after": 512`, `"after": 513`},
		{`"after": 512`, `"after": "512"`},
		{`"before": 256`, `"before": null`},
		{`policy/ecs-s3-access`, `policy/admin`},
		{`"status": "planned"`, `"status": "in_sync"`},
	} {
		edited := bytes.Replace(b.Bytes(), []byte(edit[0]), []byte(edit[1]), 1)
		if cmp.Equal(edited, b.Bytes()) {
			t.Errorf("%s is not in the report", edit[0])
		} else if _, err := view.ReadPlan(edited); err == nil {
			t.Errorf("%s is taken in the place of %s", edit[1], edit[0])
		}
	}
}
