package stack_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/export"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// bound is a spec as it is in the tests' account.
func bound(t testing.TB, path string) *spec.Spec {
	t.Helper()
	file, err := spec.Load(path, spec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := file.Bind(spec.Identity{Account: accountID, Partition: "aws", Region: region})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// exporter is the account, to export from.
func (a *account) exporter(t testing.TB) *export.Account {
	t.Helper()
	session := stack.NewSession(stack.Options{
		AWS: awsx.Options{EndpointURL: a.url, Credentials: credentials.NewStaticCredentialsProvider("operator", "operator", ""), Backoff: noDelay},
		Now: a.clock.Now, Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	from, err := session.Account(t.Context(), region)
	if err != nil {
		t.Fatal(err)
	}
	return from
}

// export is a spec of what the account has at these addresses.
func (a *account) export(t testing.TB, s *spec.Spec, o export.Options, wants ...export.Want) []byte {
	t.Helper()
	draft, left := a.exporter(t).Export(t.Context(), wants, o)
	if len(left) > 0 {
		t.Fatalf("left out: %v", left)
	}
	draft.Project, draft.Environment, draft.Outputs = s.Project, s.Environment, s.Outputs
	return draft.YAML()
}

func wantsOf(s *spec.Spec) []export.Want {
	var wants []export.Want
	for _, id := range s.IDs() {
		wants = append(wants, export.Want{ID: id})
	}
	return wants
}

// mustRoundTrip exports what a spec has made: the spec that comes of it finds
// nothing to do, exported again it is the same text, and in an empty account it
// makes what the first spec wants, so that nothing is missing from it, unless a
// default of AWS's has changed.
func (a *account) mustRoundTrip(t testing.TB, path string, olderDefault bool) {
	t.Helper()
	s := bound(t, path)
	for _, o := range []export.Options{{}, {All: true}} {
		text := a.export(t, s, o, wantsOf(s)...)
		exported := filepath.Join(a.dir, "exported.yaml")
		if err := os.WriteFile(exported, text, 0o600); err != nil {
			t.Fatal(err)
		}
		run := a.look(exported)
		if err := run.failure(); err != nil {
			t.Fatalf("dry run of what was exported: %v\n%s", err, text)
		}
		if diff := cmp.Diff([]string(nil), run.changes()); diff != "" {
			t.Errorf("dry run of what was exported (-want +got):\n%s\n%s", diff, text)
		}
		if a.sandbox != nil && !o.All && !olderDefault {
			b := newSandbox(t, sandbox.Options{})
			b.mustApply(t, exported)
			if diff := cmp.Diff([]string(nil), b.look(path).changes()); diff != "" {
				t.Errorf("what was exported makes something else (-want +got):\n%s\n%s", diff, text)
			}
		}
		if again := a.export(t, bound(t, exported), o, wantsOf(bound(t, exported))...); string(again) != string(text) {
			t.Errorf("exported again:\n%s", cmp.Diff(string(text), string(again)))
		}
	}
}

func TestExportExamples(t *testing.T) {
	alone(t)
	for _, name := range []string{"dev.yaml", "prod.yaml", "github-oidc.yaml"} {
		t.Run(name, func(t *testing.T) {
			alone(t)
			a := newAccount(t)
			path := a.example(t, name)
			a.mustApply(t, path)
			a.mustRoundTrip(t, path, false)

			// The mark finds all of it. A key has none, and comes with its user.
			var want []string
			for _, id := range bound(t, path).IDs() {
				if id.Kind != spec.AccessKey {
					want = append(want, id.String())
				}
			}
			found, err := a.exporter(t).Tagged(t.Context(), reconcile.Mark, bound(t, path).Stack())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range found {
				got = append(got, w.ID.String())
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("what carries the mark (-want +got):\n%s", diff)
			}
		})
	}
}

// What was made by hand is adopted by the spec that is exported of it: all there
// is to do is to put the stack's mark on it.
func TestExportByHand(t *testing.T) {
	alone(t)
	ctx, a := t.Context(), newAccount(t)
	done(t)(a.s3.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: aws.String("data-by-hand"), CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: region},
	}))
	done(t)(a.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/by/hand"), Tags: map[string]string{"Owner": "no"}}))
	done(t)(a.ecr.CreateRepository(ctx, &ecr.CreateRepositoryInput{
		RepositoryName: aws.String("by/hand"), ImageScanningConfiguration: &ecrtypes.ImageScanningConfiguration{ScanOnPush: true},
	}))
	done(t)(a.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{
		PolicyName: aws.String("by-hand"), Path: aws.String("/team/"), PolicyDocument: aws.String(
			`{"Statement":{"Action":"s3:*","Effect":"Allow","Resource":"arn:aws:s3:::data-by-hand/${aws:username}/*"},"Version":"2012-10-17"}`),
	}))
	done(t)(a.iam.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: aws.String("by-hand"), Path: aws.String("/team/"), AssumeRolePolicyDocument: aws.String(trustECSTasks), MaxSessionDuration: aws.Int32(7200),
	}))
	done(t)(a.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("by-hand"), PolicyArn: aws.String(policyARN + "team/by-hand")}))
	done(t)(a.iam.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: aws.String("by-hand")}))
	done(t)(a.iam.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: aws.String("by-hand"), PolicyName: aws.String("all"), PolicyDocument: aws.String(otherDocument)}))
	done(t)(a.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("by-hand"), Tags: []iamtypes.Tag{{Key: aws.String("Owner"), Value: aws.String("no")}}}))
	done(t)(a.iam.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: aws.String("by-hand"), UserName: aws.String("by-hand")}))
	done(t)(a.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("by-hand")}))
	done(t)(a.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: aws.String("by-hand")}))
	a.registerTask(ctx, t, "256", "public.ecr.aws/x/y:latest")

	var wants []export.Want
	for _, address := range []string{
		"s3.bucket/data-by-hand", "logs.log-group//by/hand", "ecr.repository/by/hand", "iam.policy/by-hand", "iam.role/by-hand",
		"iam.group/by-hand", "iam.user/by-hand", "ecs.cluster/by-hand", "ecs.task-definition/task",
	} {
		id, err := spec.ParseID(address)
		if err != nil {
			t.Fatal(err)
		}
		wants = append(wants, export.Want{ID: id})
	}
	text := a.export(t, &spec.Spec{Project: "by", Environment: "hand"}, export.Options{}, wants...)
	exported := filepath.Join(a.dir, "exported.yaml")
	if err := os.WriteFile(exported, text, 0o600); err != nil {
		t.Fatal(err)
	}
	run := a.apply(exported)
	if err := run.failure(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var lines []string
	for _, r := range run.results {
		for _, d := range r.Diffs {
			if d.Path != "tags."+reconcile.Mark || d.After != "by/hand" {
				lines = append(lines, fmt.Sprintf("%s: %s: %v -> %v", r.ID, d.Path, d.Before, d.After))
			}
		}
		if r.Action == reconcile.Create {
			lines = append(lines, r.ID.String()+" was created")
		}
	}
	if diff := cmp.Diff([]string(nil), lines); diff != "" {
		t.Errorf("more than the mark (-want +got):\n%s\n%s", diff, text)
	}
	a.mustBeInSync(t, exported)
	if again := a.export(t, &spec.Spec{Project: "by", Environment: "hand"}, export.Options{}, wants...); string(again) != string(text) {
		t.Errorf("exported again:\n%s", cmp.Diff(string(text), string(again)))
	}
}
