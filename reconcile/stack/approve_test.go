package stack_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
)

// approve makes a plan of the spec and lets later runs do that and no more.
func (a *account) approve(t testing.TB, path string, opts ...option) reconcile.ApprovedPlan {
	t.Helper()
	var plan reconcile.ApprovedPlan
	a.permit = func(s *stack.Stack, run *reconcile.Run) error {
		plan = reconcile.ApprovedPlan{Scope: s.Scope(), Changes: reconcile.Pending(run.Results())}
		return nil
	}
	if err := a.look(path, opts...).failure(); err != nil {
		t.Fatal(err)
	}
	a.permit = func(s *stack.Stack, run *reconcile.Run) error {
		return run.Approve(&reconcile.Approval{Plan: &plan}, s.Scope())
	}
	return plan
}

// Whatever drifts after the plan, what was approved is done or nothing is.
func TestDriftAfterApproval(t *testing.T) {
	alone(t)
	for _, tt := range []struct {
		name  string
		drift func(*testing.T, *account)
		moved string // "": the run is as approved
	}{
		{"nothing", func(*testing.T, *account) {}, ""},
		{"somebody else's bucket", func(t *testing.T, a *account) {
			done(t)(a.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{
				Bucket:                    aws.String("of-somebody-else"),
				CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: region},
			}))
		}, ""},
		{"a field that the spec leaves out", func(t *testing.T, a *account) {
			done(t)(a.s3.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
				Bucket: aws.String("data-of-test"), VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled},
			}))
		}, ""},
		{"a tag that is ignored", func(t *testing.T, a *account) {
			done(t)(a.iam.TagRole(t.Context(), &iam.TagRoleInput{RoleName: aws.String("r"), Tags: []iamtypes.Tag{{Key: aws.String("org:cost"), Value: aws.String("1")}}}))
		}, ""},
		{"somebody has mended a part of it", func(t *testing.T, a *account) {
			done(t)(a.logs.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String("/g"), RetentionInDays: aws.Int32(30)}))
		}, ""},
		{"somebody has changed what is to be changed", func(t *testing.T, a *account) {
			done(t)(a.logs.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String("/g"), RetentionInDays: aws.Int32(1)}))
		}, `logs.log-group//g: retentionInDays: was 7 -> 30, now 1 -> 30`},
		{"somebody has changed something else of it", func(t *testing.T, a *account) {
			done(t)(a.iam.AttachRolePolicy(t.Context(), &iam.AttachRolePolicyInput{RoleName: aws.String("r"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")}))
		}, `iam.role/r: policies[AdministratorAccess]: was nothing to do, now "arn:aws:iam::aws:policy/AdministratorAccess" -> absent`},
		{"what was to be changed is gone", func(t *testing.T, a *account) {
			done(t)(a.logs.DeleteLogGroup(t.Context(), &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: aws.String("/g")}))
		}, `logs.log-group//g: was update, now create`},
		{"somebody has made what was to be created", func(t *testing.T, a *account) {
			done(t)(a.logs.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/new")}))
		}, `logs.log-group//new: was create, now update`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alone(t)
			a := newAccount(t)
			const spec = `
ignoreTags: ["org:*"]
s3: {buckets: [{name: data-of-test}]}
iam: {roles: [{name: r, assumeRolePolicy: ` + trustECSTasks + `, policies: [], tags: {a: "1"}}]}
logs: {logGroups: [{name: /g, retentionInDays: 7}]}
`
			path := a.stack(t, spec)
			a.mustApply(t, path)
			path = a.stack(t, strings.NewReplacer(`a: "1"`, `a: "2"`, `{name: /g, retentionInDays: 7}`, `{name: /g, retentionInDays: 30}, {name: /new}`).Replace(spec))
			a.approve(t, path)
			tt.drift(t, a)
			o := a.apply(path)
			if tt.moved == "" {
				if err := o.failure(); err != nil {
					t.Fatal(err)
				}
				a.permit = nil
				a.mustBeInSync(t, path)
				return
			}
			moved, _ := errors.AsType[*reconcile.NotApprovedError](o.err)
			if moved == nil || !cmp.Equal(moved.Moved, []string{tt.moved}) {
				t.Errorf("moved: %v", o.err)
			}
			if w := o.writes(); len(w) > 0 {
				t.Errorf("the run wrote %v", w)
			}
		})
	}
}

// A lost answer is looked for, and what is then left to do is within what was
// approved: a run that has one anywhere ends as approved. The one thing that is not
// is a key whose secret was lost with the answer, since another has to go first.
func TestApprovedRunWithLostAnswers(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{})
	writes := map[string]bool{}
	for _, call := range a.mustApply(t, a.example(t, "dev.yaml")).writes() {
		writes[call] = true
	}
	for call := range writes {
		t.Run(call, func(t *testing.T) {
			alone(t)
			a := sandboxAccount(t, sandbox.Options{})
			path := a.example(t, "dev.yaml")
			plan := a.approve(t, path)
			_, operation, _ := strings.Cut(call, ":")
			var once sync.Once
			a.setFault(func(c sandbox.Call, p sandbox.Phase) (f sandbox.Fault) {
				if c.Operation == operation && p == sandbox.After {
					once.Do(func() { f = sandbox.Cut })
				}
				return f
			})
			o := a.apply(path)
			err := o.failure()
			if operation == "CreateAccessKey" {
				res := o.result(t, "iam.access-key/ml-engineer")
				if res.Status != reconcile.Failed || !strings.Contains(res.Err.Error(), "beyond what was approved") || slices.Contains(o.writes(), "iam:DeleteAccessKey") {
					t.Errorf("%s, %v", res.Status, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, res := range o.results {
				if res.Status != reconcile.Done {
					t.Errorf("%s is %s", res.ID, res.Status)
				}
			}
			if len(plan.Changes) != len(o.results) {
				t.Errorf("%d were approved, %d done", len(plan.Changes), len(o.results))
			}
			a.permit = nil
			a.mustBeInSync(t, path)
		})
	}
}

// The same state gives the same plan, whatever the clock says, so that what was
// approved on Friday can be run on Monday. A key that retires has the times in its
// record.
func TestPlanIsTimeless(t *testing.T) {
	alone(t)
	k := newKeyring(t)
	k.mustApply(t)
	k.mustApply(t, rotateNow)
	k.clock.advance(40 * day) // the key that was succeeded is idle for long enough
	plan := k.approve(t, k.path, k.with(nil)...)
	if len(plan.Changes) == 0 {
		t.Fatal("nothing is to be done, so nothing is tried")
	}
	k.clock.advance(time.Hour)
	if d := cmp.Diff(plan, k.approve(t, k.path, k.with(nil)...)); d != "" {
		t.Errorf("an hour later the plan is another (-before +after):\n%s", d)
	}
}

// Where everything of a stack seems gone, the tagging API is the second witness.
func TestCheckAbsence(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{})
	path := a.example(t, "dev.yaml")
	first := a.mustApply(t, path)
	asked := func(o outcome) int {
		n := 0
		for _, call := range o.calls {
			if call == "tag:GetResources" {
				n++
			}
		}
		return n
	}
	if n := asked(first); n < 1 || n > 2 {
		t.Errorf("a first run asks the tagging API %d times, want 1 or 2", n)
	}
	if n := asked(a.mustApply(t, path)); n != 0 {
		t.Errorf("a run with nothing to do asks the tagging API %d times", n)
	}

	// lost is an endpoint that has lost its account, save what tagged answers in
	// the tagging API's place.
	lost := func(t *testing.T, tagged http.Handler) *account {
		t.Helper()
		empty := sandboxAccount(t, sandbox.Options{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "ResourceGroupsTaggingAPI") {
				tagged.ServeHTTP(w, r)
				return
			}
			empty.sandbox.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		empty.url = server.URL
		return empty
	}
	answer := func(status int, code string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"__type": "` + code + `", "message": "no"}`))
		})
	}
	refused := func(t *testing.T, o outcome, words ...string) {
		t.Helper()
		if o.err == nil {
			t.Fatalf("the run goes on: %v", o.changes())
		}
		for _, word := range words {
			if !strings.Contains(o.err.Error(), word) {
				t.Errorf("%v; it does not say %q", o.err, word)
			}
		}
		if w := o.writes(); len(w) > 0 {
			t.Errorf("the run wrote %v", w)
		}
	}

	t.Run("an endpoint that has lost its account", func(t *testing.T) {
		l := lost(t, a.sandbox)
		path := l.example(t, "dev.yaml")
		for _, o := range []outcome{l.look(path), l.apply(path)} {
			refused(t, o, "aws contradicts itself", "none of the 12 resources was found",
				"arn:aws:s3:::churn-prediction-data-asamane", "policy/ecs-s3-access", "log-group:/ecs/churn-prediction")
		}
	})
	t.Run("another stack's mark", func(t *testing.T) {
		l := lost(t, a.sandbox)
		l.mustApply(t, l.stack(t, "s3: {buckets: [{name: churn-prediction-data-asamane}]}\nlogs: {logGroups: [{name: /g}]}"))
	})
	t.Run("the caller may not ask", func(t *testing.T) {
		l := lost(t, answer(http.StatusBadRequest, "AccessDeniedException"))
		refused(t, l.apply(l.example(t, "dev.yaml")), "tag:GetResources", "AccessDeniedException")
	})
	t.Run("the tagging API fails", func(t *testing.T) {
		l := lost(t, answer(http.StatusInternalServerError, "InternalServiceException"))
		refused(t, l.apply(l.example(t, "dev.yaml")), "tag:GetResources", "InternalServiceException")
	})
	t.Run("there is no tagging API", func(t *testing.T) {
		l := lost(t, answer(http.StatusBadRequest, "UnknownOperationException"))
		l.mustApply(t, l.example(t, "dev.yaml"))
	})
	t.Run("a cluster that was deleted is listed for a while", func(t *testing.T) {
		l := lost(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			_, _ = w.Write([]byte(`{"ResourceTagMappingList": [{"ResourceARN": "arn:aws:ecs:eu-north-1:123456789012:cluster/churn-prediction-cluster"}]}`))
		}))
		l.mustApply(t, l.example(t, "dev.yaml"))
	})
	t.Run("one resource is no stack", func(t *testing.T) {
		l := lost(t, answer(http.StatusBadRequest, "AccessDeniedException"))
		if o := l.mustApply(t, l.stack(t, "s3: {buckets: [{name: data-of-test}]}")); asked(o) != 0 {
			t.Error("the tagging API is asked")
		}
	})
	t.Run("what cannot be read is an error by itself", func(t *testing.T) {
		l := sandboxAccount(t, sandbox.Options{})
		l.setFault(func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
			if !c.Mutates && p == sandbox.Before && c.Service != "sts" {
				return sandbox.Denied
			}
			return sandbox.None
		})
		o := l.apply(l.example(t, "dev.yaml"))
		if w := o.writes(); len(w) > 0 || o.failure() == nil {
			t.Errorf("%v; the run wrote %v", o.failure(), w)
		}
	})
}

// What counts as taken away, kind by kind: each line that leaves nothing.
func TestRemovals(t *testing.T) {
	alone(t)
	const (
		one = `{Statement: [{Sid: a, Effect: Allow, Action: ["s3:GetObject", "s3:PutObject"], Resource: "*"}, {Sid: b, Effect: Allow, Action: "s3:ListBucket", Resource: "*"}]}`
		two = `{Statement: [{Sid: a, Effect: Allow, Action: ["s3:GetObject"], Resource: "*"}]}`
	)
	a := sandboxAccount(t, sandbox.Options{})
	a.mustApply(t, a.stack(t, `
s3:
  buckets:
    - name: data-of-test
      versioning: Enabled
      tags: {a: "1", b: "1"}
      lifecycleRules:
        - {id: x, status: Enabled, filter: {prefix: x/}, expiration: {days: 1}}
        - {id: y, status: Enabled, filter: {prefix: y/}, expiration: {days: 1}}
logs: {logGroups: [{name: /g, retentionInDays: 7}]}
iam:
  policies: [{name: p, document: `+one+`}]
  roles:
    - name: r
      assumeRolePolicy: `+trustECSTasks+`
      policies: [p, "arn:aws:iam::aws:policy/ReadOnlyAccess"]
      inlinePolicies: {i: `+one+`, j: `+one+`}
      permissionsBoundary: arn:aws:iam::aws:policy/ReadOnlyAccess
ecs:
  taskDefinitions:
    - family: task
      networkMode: awsvpc
      requiresCompatibilities: [FARGATE]
      cpu: "512"
      memory: "1024"
      containerDefinitions: [{name: c, image: i, environment: [{name: A, value: "1"}, {name: B, value: "1"}]}]
`))
	path := a.stack(t, `
s3:
  buckets:
    - name: data-of-test
      versioning: Suspended
      tags: {a: "2"}
      lifecycleRules:
        - {id: x, status: Enabled, filter: {prefix: x/}, expiration: {days: 2}}
logs: {logGroups: [{name: /g, retentionInDays: never}]}
iam:
  policies: [{name: p, document: `+two+`}]
  roles:
    - name: r
      assumeRolePolicy: `+trustECSTasks+`
      policies: ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
      inlinePolicies: {i: `+two+`}
      permissionsBoundary: ""
ecs:
  taskDefinitions:
    - family: task
      networkMode: awsvpc
      requiresCompatibilities: [FARGATE]
      cpu: "256"
      memory: "1024"
      containerDefinitions: [{name: c, image: i, environment: [{name: A, value: "2"}]}]
`)
	a.permit = func(_ *stack.Stack, run *reconcile.Run) error { return run.Limit(reconcile.Limits{Removals: new(int)}) }
	limit, _ := errors.AsType[*reconcile.LimitError](a.look(path).err)
	if limit == nil {
		t.Fatal("nothing is over the limit of 0")
	}
	if d := cmp.Diff([]string{
		"s3.bucket/data-of-test lifecycleRules[y].expiration.days",
		"s3.bucket/data-of-test lifecycleRules[y].filter.prefix",
		"s3.bucket/data-of-test lifecycleRules[y].id",
		"s3.bucket/data-of-test lifecycleRules[y].status",
		"s3.bucket/data-of-test tags.b",
		"logs.log-group//g retentionInDays",
		"iam.policy/p document.Statement[a].Action[s3:PutObject]",
		"iam.policy/p document.Statement[b]",
		"iam.role/r permissionsBoundary",
		"iam.role/r inlinePolicies[i].Statement[a].Action[s3:PutObject]",
		"iam.role/r inlinePolicies[i].Statement[b]",
		"iam.role/r policies[p]",
		"iam.role/r inlinePolicies[j]",
		"ecs.task-definition/task containerDefinitions[c].environment.B",
	}, limit.Removed); d != "" {
		t.Errorf("removals (-want +got):\n%s", d)
	}
}
