package reconcile_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

var scope = reconcile.Scope{Project: "churn", Environment: "dev", Account: "123456789012", Region: "eu-north-1"}

// The canonical form is part of the contract: a digest that was approved has to
// mean the same plan after an update of the program.
func TestDigestForm(t *testing.T) {
	t.Parallel()
	got := reconcile.Digest(scope, []reconcile.ResourceChange{{
		Address: "iam.role/x", Action: reconcile.Update, Calls: []string{"iam:TagRole", "iam:DetachRolePolicy"},
		Lines: []reconcile.Diff{
			{Path: "tags.a", Before: nil, After: "<&>é\x01"},
			{Path: "list", Before: []any{1, true, json.Number("12345678901234567890"), 0.5}, After: map[string]any{"b": nil, "a": "x"}},
			{Path: "bad", Before: "\xff"},
		},
	}})
	text := `{"account":"123456789012","environment":"dev","project":"churn","region":"eu-north-1","resources":[` +
		`{"action":"update","address":"iam.role/x","calls":["iam:TagRole","iam:DetachRolePolicy"],"diff":[` +
		`{"after":"<&>é\u0001","before":null,"path":"tags.a"},` +
		`{"after":{"a":"x","b":null},"before":[1,true,12345678901234567890,0.5],"path":"list"},` +
		`{"after":null,"before":"�","path":"bad"}]}]}`
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))); got != want {
		t.Errorf("the digest is %s, want %s", got, want)
	}
	if !reconcile.IsDigest(got) || reconcile.IsDigest(got+"0") || reconcile.IsDigest("sha256:") || reconcile.IsDigest(strings.ToUpper(got)) {
		t.Error("a digest is not told from what is none")
	}
	const empty = `{"account":"123456789012","environment":"dev","project":"churn","region":"eu-north-1","resources":[]}`
	if got, want := reconcile.Digest(scope, nil), fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(empty))); got != want {
		t.Errorf("the digest of nothing is %s, want %s", got, want)
	}
}

// A still is a resource whose plan is given.
type still struct {
	id   spec.ID
	plan reconcile.Plan
	err  error
}

func (s still) ID() spec.ID                                  { return s.id }
func (s still) Needs() []spec.ID                             { return nil }
func (s still) Permissions() []reconcile.Permission          { return nil }
func (s still) Plan(context.Context) (reconcile.Plan, error) { return s.plan, s.err }

// step is one that must not be done.
func step(call string, lines ...reconcile.Diff) reconcile.Step {
	return reconcile.Step{Call: call, Diffs: lines, Do: func(context.Context) error { panic("a write") }}
}

func line(path string, before, after any) reconcile.Diff {
	return reconcile.Diff{Path: path, Before: before, After: after}
}

func TestApprove(t *testing.T) {
	t.Parallel()
	mark := line("tags."+reconcile.Mark, nil, "churn/dev")
	tagged := line("tags.a", "1", "2")
	untagged := line("tags.b", "1", nil)
	versioned := line("versioning", "Suspended", "Enabled")
	tag, version := step("s3:PutBucketTagging", tagged, untagged), step("s3:PutBucketVersioning", versioned)
	update := func(steps ...reconcile.Step) reconcile.Plan { return reconcile.Plan{Exists: true, Steps: steps} }
	create := func(steps ...reconcile.Step) reconcile.Plan { return reconcile.Plan{Steps: steps} }
	made := create(step("s3:CreateBucket", line("name", nil, "b")), step("s3:PutBucketTagging", mark), step("s3:PutBucketEncryption", line("encryption", nil, "kms")))

	for _, tt := range []struct {
		name      string
		was, now  reconcile.Plan
		moved     []string // by file
		different bool     // by digest
	}{
		{"the same", update(tag, version), update(tag, version), nil, false},
		{"nothing, as approved", update(), update(), nil, false},
		{"all is done already", update(tag, version), update(), nil, true},
		{"a step is done already", update(tag, version), update(version), nil, true},
		{"a line is done already", update(tag), update(step("s3:PutBucketTagging", untagged)), nil, true},
		{"a line more", update(step("s3:PutBucketTagging", tagged)), update(tag), []string{`s3.bucket/b: tags.b: was nothing to do, now "1" -> absent`}, true},
		{"a step more", update(tag), update(tag, version), []string{`s3.bucket/b: versioning: was nothing to do, now "Suspended" -> "Enabled"`}, true},
		{"another value is there", update(version), update(step("s3:PutBucketVersioning", line("versioning", nil, "Enabled"))), []string{`s3.bucket/b: versioning: was "Suspended" -> "Enabled", now absent -> "Enabled"`}, true},
		{"another value is wanted", update(version), update(step("s3:PutBucketVersioning", line("versioning", "Suspended", "x"))), []string{`s3.bucket/b: versioning: was "Suspended" -> "Enabled", now "Suspended" -> "x"`}, true},
		{"text for a number", update(step("c", line("p", nil, 1))), update(step("c", line("p", nil, "1"))), []string{`s3.bucket/b: p: was absent -> 1, now absent -> "1"`}, true},
		{"another call", update(version), update(step("s3:Other", versioned)), []string{`s3.bucket/b: calls: was s3:PutBucketVersioning, now s3:Other`}, true},
		{"a call twice", update(step("c", tagged, untagged)), update(step("c", tagged), step("c", untagged)), []string{`s3.bucket/b: calls: was c, now c, c`}, true},
		{"the same line twice", update(step("c", tagged), step("c", untagged)), update(step("c", tagged), step("c", tagged)), []string{`s3.bucket/b: tags.a: was "1" -> "2", now "1" -> "2"`}, true},
		{"to do where there was nothing", update(), update(version), []string{`s3.bucket/b: versioning: was nothing to do, now "Suspended" -> "Enabled"`}, true},
		{"a call without a line where there was nothing", update(), update(step("iam:TagUser")), []string{`s3.bucket/b: was nothing to do, now update by iam:TagUser`}, true},
		{"it is gone", update(tag), made, []string{`s3.bucket/b: was update, now create`}, true},
		{"it was begun, and is the stack's", made, update(step("s3:PutBucketEncryption", line("encryption", "AES256", "kms"))), nil, true},
		{"it was begun, and something else is wrong", made, update(step("s3:PutBucketEncryption", line("encryption", "AES256", "other"))), []string{`s3.bucket/b: encryption: was absent -> "kms", now "AES256" -> "other"`}, true},
		{"it was begun, and something would go", made, update(step("s3:PutBucketTagging", line("tags.x", "y", nil))), []string{`s3.bucket/b: tags.x: was nothing to do, now "y" -> absent`}, true},
		{"somebody else made it", made, update(step("s3:PutBucketTagging", mark)), []string{`s3.bucket/b: was create, now update`}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			look := func(plan reconcile.Plan) *reconcile.Run {
				return reconcile.Look(t.Context(), []reconcile.Resource{
					still{id: bucketID("b"), plan: plan}, still{id: bucketID("same"), plan: update(tag)},
				}, reconcile.Options{})
			}
			plan := reconcile.ApprovedPlan{Scope: scope, Changes: reconcile.Pending(look(tt.was).Results())}
			digest := reconcile.Digest(scope, plan.Changes)

			run := look(tt.now)
			err := run.Approve(&reconcile.Approval{Digest: digest, Plan: &plan}, scope)
			refused, _ := errors.AsType[*reconcile.NotApprovedError](err)
			var moved []string
			if refused != nil {
				moved = refused.Moved
			}
			if d := cmp.Diff(tt.moved, moved); d != "" {
				t.Errorf("moved (-want +got):\n%s", d)
			}
			if (err != nil) != (tt.moved != nil) {
				t.Errorf("by file: %v", err)
			}
			wantHeld(t, run, err != nil)

			run = look(tt.now)
			err = run.Approve(&reconcile.Approval{Digest: digest}, scope)
			if (err != nil) != tt.different {
				t.Errorf("by digest: %v", err)
			}
			wantHeld(t, run, err != nil)
		})
	}
}

// wantHeld wants everything that there is to do to be held, or nothing of it.
func wantHeld(t *testing.T, run *reconcile.Run, held bool) {
	t.Helper()
	if held {
		run.Apply(t.Context()) // a write panics, and has failed then
	}
	for _, res := range run.Results() {
		want := reconcile.Planned
		switch {
		case res.Action == reconcile.None:
			want = reconcile.InSync
		case held:
			want = reconcile.Held
		}
		if res.Status != want {
			t.Errorf("%s is %s, want %s", res.ID, res.Status, want)
		}
	}
}

// A digest is of a place, too.
func TestApproveElsewhere(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		other reconcile.Scope
		moved string
	}{
		{reconcile.Scope{"other", "dev", "123456789012", "eu-north-1"}, "project was churn, now other"},
		{reconcile.Scope{"churn", "prod", "123456789012", "eu-north-1"}, "environment was dev, now prod"},
		{reconcile.Scope{"churn", "dev", "210987654321", "eu-north-1"}, "account was 123456789012, now 210987654321"},
		{reconcile.Scope{"churn", "dev", "123456789012", "us-east-1"}, "region was eu-north-1, now us-east-1"},
	} {
		run := reconcile.Look(t.Context(), []reconcile.Resource{still{id: bucketID("b"), plan: reconcile.Plan{Steps: []reconcile.Step{step("c")}}}}, reconcile.Options{})
		changes := reconcile.Pending(run.Results())
		if err := run.Approve(&reconcile.Approval{Digest: reconcile.Digest(scope, changes)}, tt.other); err == nil {
			t.Errorf("the digest serves where %s", tt.moved)
		}
		approval := &reconcile.Approval{Plan: &reconcile.ApprovedPlan{Scope: scope, Changes: changes}}
		if err := approval.Covers(tt.other); err == nil || !strings.Contains(err.Error(), tt.moved) {
			t.Errorf("the plan where %s: %v", tt.moved, err)
		}
		if err := approval.Covers(scope); err != nil {
			t.Error(err)
		}
	}
}

// What is planned anew within a run stays within what was approved.
func TestApproveReplan(t *testing.T) {
	t.Parallel()
	lost := &awsx.CallError{Call: "s3:Create", Err: io.ErrUnexpectedEOF}
	for _, tt := range []struct {
		name  string
		after reconcile.Plan // what the look after the lost answer says
		want  reconcile.Status
		error string
	}{
		{"it took effect", reconcile.Plan{Exists: true}, reconcile.Done, ""},
		{"the rest is left", reconcile.Plan{Exists: true, Steps: []reconcile.Step{{Call: "s3:Tag", Diffs: []reconcile.Diff{line("tags.a", nil, "1")}}}}, reconcile.Done, ""},
		{"AWS's default is there by now", reconcile.Plan{Exists: true, Steps: []reconcile.Step{{Call: "s3:Tag", Diffs: []reconcile.Diff{line("tags.a", "0", "1")}}}}, reconcile.Done, ""},
		{
			"something else would go",
			reconcile.Plan{Exists: true, Steps: []reconcile.Step{{Call: "s3:Untag", Diffs: []reconcile.Diff{line("tags.b", "x", nil)}}}},
			reconcile.Failed,
			`what is left to do goes beyond what was approved: s3.bucket/b: tags.b: was nothing to do, now "x" -> absent`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &replanned{after: tt.after, lost: lost}
			run := reconcile.Look(t.Context(), []reconcile.Resource{r}, reconcile.Options{Pause: (&pauses{}).pause})
			if err := run.Approve(&reconcile.Approval{Digest: reconcile.Digest(scope, reconcile.Pending(run.Results()))}, scope); err != nil {
				t.Fatal(err)
			}
			run.Apply(t.Context())
			res := run.Results()[0]
			if res.Status != tt.want || tt.error != "" && !strings.Contains(fmt.Sprint(res.Err), tt.error) {
				t.Errorf("%s: %v", res.Status, res.Err)
			}
			if tt.want == reconcile.Failed && r.wrote {
				t.Error("it was written all the same")
			}
		})
	}
}

// A replanned resource loses the answer to its create, and then has another
// plan, whose steps end it.
type replanned struct {
	after reconcile.Plan
	lost  error
	tried bool
	wrote bool
}

func (r *replanned) ID() spec.ID      { return bucketID("b") }
func (r *replanned) Needs() []spec.ID { return nil }

func (r *replanned) Permissions() []reconcile.Permission { return nil }

func (r *replanned) Plan(context.Context) (reconcile.Plan, error) {
	switch {
	case !r.tried:
		return reconcile.Plan{Steps: []reconcile.Step{
			{Call: "s3:Create", Does: "create", Diffs: []reconcile.Diff{line("name", nil, "b")}, Do: func(context.Context) error {
				r.tried = true
				return r.lost
			}},
			{Call: "s3:Tag", Diffs: []reconcile.Diff{line("tags.a", nil, "1")}},
		}}, nil
	case r.wrote:
		return reconcile.Plan{Exists: true}, nil
	}
	plan := r.after
	plan.Steps = slices.Clone(plan.Steps)
	for i := range plan.Steps {
		plan.Steps[i].Do = func(context.Context) error {
			r.wrote = true
			return nil
		}
	}
	return plan, nil
}

// What is planned anew within a run lets in no more than the plan that the gate
// has let pass. Where nothing is gated nobody asks what access comes.
func TestRefuseNewAccessReplan(t *testing.T) {
	t.Parallel()
	tag := []reconcile.Step{{Call: "s3:Tag", Diffs: []reconcile.Diff{line("tags.a", nil, "1")}}}
	for _, tt := range []struct {
		name  string
		lines []string
		gated bool
		want  reconcile.Status
	}{
		{"gains", []string{"loses a:b", "gains s3:Get on *"}, true, reconcile.Failed},
		{"may gain", []string{"unknown: who knows"}, true, reconcile.Failed},
		{"loses", []string{"loses a:b"}, true, reconcile.Done},
		{"gains, which nobody minds", []string{"gains s3:Get on *"}, false, reconcile.Done},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			asked := false
			after := reconcile.Plan{Exists: true, Steps: tag, Access: func() []string {
				asked = true
				return tt.lines
			}}
			r := &replanned{after: after, lost: &awsx.CallError{Call: "s3:Create", Err: io.ErrUnexpectedEOF}}
			run := reconcile.Look(t.Context(), []reconcile.Resource{r}, reconcile.Options{Pause: (&pauses{}).pause})
			if tt.gated {
				if err := run.RefuseNewAccess(); err != nil {
					t.Fatal(err)
				}
			}
			run.Apply(t.Context())
			res := run.Results()[0]
			if res.Status != tt.want || tt.want == reconcile.Failed && !strings.Contains(fmt.Sprint(res.Err), "would give new access (--fail-on-new-access): "+tt.lines[len(tt.lines)-1]) {
				t.Errorf("%s: %v", res.Status, res.Err)
			}
			if r.wrote != (tt.want == reconcile.Done) || asked != tt.gated {
				t.Errorf("written %t, asked %t", r.wrote, asked)
			}
		})
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	n := func(i int) *int { return &i }
	resources := []reconcile.Resource{
		still{id: bucketID("a"), plan: reconcile.Plan{Steps: []reconcile.Step{step("create", line("name", nil, "a"))}}},
		still{id: bucketID("b"), plan: reconcile.Plan{Exists: true, Steps: []reconcile.Step{
			step("tag", line("tags.x", "1", "2"), line("tags.y", "1", "")), step("untag", line("tags.z", "1", nil)),
			step("nothing", line("odd", nil, nil)),
		}}},
		still{id: bucketID("c"), plan: reconcile.Plan{Exists: true}},
		still{id: bucketID("d"), err: errors.New("cannot be read")},
	}
	for _, tt := range []struct {
		name   string
		limits reconcile.Limits
		want   string
	}{
		{"none", reconcile.Limits{}, ""},
		{"as much as there is", reconcile.Limits{Changes: n(2), Removals: n(1)}, ""},
		{"too many changes", reconcile.Limits{Changes: n(1), Removals: n(1)}, "2 to change, and the limit is 1"},
		{"no changes at all", reconcile.Limits{Changes: n(0)}, "2 to change, and the limit is 0"},
		{"too many removals", reconcile.Limits{Removals: n(0)}, "1 to take away, and the limit is 0 (--max-removals, or limits.removals in the spec): s3.bucket/b tags.z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run := reconcile.Look(t.Context(), resources, reconcile.Options{})
			err := run.Limit(tt.limits)
			if tt.want == "" && err != nil || !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			held := 0
			for _, res := range run.Results() {
				if res.Status == reconcile.Held {
					held++
				}
			}
			if want := 2 * btoi(tt.want != ""); held != want {
				t.Errorf("%d are held, want %d", held, want)
			}
			if held > 0 {
				run.Apply(t.Context()) // a write panics, and has failed then
			}
			s := (&reconcile.Report{Results: run.Results()}).Summary()
			if s.Held != held || s.Create+s.Update != 2-held || s.Failed != 1 || s.Unchanged != 1 {
				t.Errorf("summary %+v", s)
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
