package stack_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logstypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
)

// What AWS cannot change in place is an error that names the field and says
// what to do; nothing is recreated, and nothing else is written to it.
func TestImmutableFields(t *testing.T) {
	alone(t)
	for _, tt := range []struct {
		name    string
		hand    func(context.Context, testing.TB, *account)
		spec    string
		address string
		says    []string
	}{
		{
			name: "log group class",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{
					LogGroupName: aws.String("/test"), LogGroupClass: logstypes.LogGroupClassInfrequentAccess,
				}))
			},
			spec:    `logs: {logGroups: [{name: /test, logGroupClass: STANDARD, retentionInDays: 7}]}`,
			address: "logs.log-group//test",
			says:    []string{"logGroupClass", "INFREQUENT_ACCESS", "STANDARD", "name another group"},
		},
		{
			name: "repository encryption",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.ecr.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("images")}))
			},
			spec:    `ecr: {repositories: [{name: images, encryption: {encryptionType: KMS}, scanOnPush: true}]}`,
			address: "ecr.repository/images",
			says:    []string{"encryption.encryptionType", "AES256", "KMS", "another name"},
		},
		{
			name: "policy description",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{
					PolicyName: aws.String("p"), PolicyDocument: aws.String(otherDocument), Description: aws.String("first"),
				}))
			},
			spec:    `iam: {policies: [{name: p, description: second, document: ` + ecsDocument + `}]}`,
			address: "iam.policy/p",
			says:    []string{"description", "first", "second", "name another policy"},
		},
		{
			name: "policy path",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{
					PolicyName: aws.String("p"), PolicyDocument: aws.String(otherDocument), Path: aws.String("/team/"),
				}))
			},
			spec:    `iam: {policies: [{name: p, document: ` + otherDocument + `}]}`,
			address: "iam.policy/p",
			says:    []string{"EntityAlreadyExists", "another path"},
		},
		{
			name: "role path",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String(trustECSTasks)}))
			},
			spec:    `iam: {roles: [{name: r, path: /team/, description: new, assumeRolePolicy: ` + trustECSTasks + `}]}`,
			address: "iam.role/r",
			says:    []string{"path", `"/"`, `"/team/"`},
		},
		{
			name: "user path",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("u")}))
			},
			spec:    `iam: {users: [{name: u, path: /team/, policies: ["` + readOnlyARN + `"]}]}`,
			address: "iam.user/u",
			says:    []string{"path", `"/"`, `"/team/"`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alone(t)
			a := newAccount(t)
			path := a.stack(t, tt.spec)
			tt.hand(t.Context(), t, a)
			o := a.apply(path)
			r := o.result(t, tt.address)
			if r.Status != reconcile.Failed {
				t.Fatalf("%s is %s: %v", tt.address, r.Status, o.changes())
			}
			for _, want := range append(tt.says, tt.address) {
				if !strings.Contains(r.Err.Error(), want) {
					t.Errorf("the error does not say %s: %v", want, r.Err)
				}
			}
			for _, call := range o.writes() {
				if call != "iam:CreatePolicy" { // it is IAM that knows of the other path
					t.Errorf("the call %s was made", call)
				}
			}
		})
	}
}

// What carries another stack's mark is an error, and is not touched, whatever
// is different about it.
func TestOwnedByAnotherStack(t *testing.T) {
	alone(t)
	a := newAccount(t)
	path := a.example(t, "dev.yaml")
	a.mustApply(t, path)

	// Another environment of the same names, whose tags differ as well.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	o := a.apply(a.write(t, strings.Replace(string(text), "environment: dev", "environment: other", 1)))
	for _, r := range o.results {
		owned, ok := errors.AsType[*reconcile.OwnedError](r.Err)
		switch {
		case r.ID.String() == "iam.access-key/"+user:
			// A key has no tags of its own. Its record is on the user.
		case !ok || owned.Owner != "churn-prediction/dev" || r.Status != reconcile.Failed:
			t.Errorf("%s is %s: %v", r.ID, r.Status, r.Err)
		}
	}
	if w := o.writes(); len(w) > 0 {
		t.Errorf("the other stack wrote: %v", w)
	}
	a.mustBeInSync(t, path)
}

// Credentials of another account end a run before its first write.
func TestAccountMismatch(t *testing.T) {
	alone(t)
	a := newAccount(t)
	path := a.stack(t, "account: \"999999999999\"\ns3: {buckets: [{name: data-of-test, versioning: Enabled}]}\n")
	o := a.apply(path)
	if o.err == nil || !strings.Contains(o.err.Error(), accountID) || !strings.Contains(o.err.Error(), "999999999999") {
		t.Errorf("the error is %v", o.err)
	}
	if w := o.writes(); len(w) > 0 {
		t.Errorf("calls were made: %v", w)
	}
	a.mustApply(t, a.stack(t, "account: \""+accountID+"\"\ns3: {buckets: [{name: data-of-test, versioning: Enabled}]}\n"))
}

func TestTargets(t *testing.T) {
	alone(t)
	for _, tt := range []struct {
		globs []string
		want  []string
	}{
		{[]string{"s3.bucket/*"}, []string{"s3.bucket/" + bucket}},
		{[]string{"logs.log-group/" + logGroup, "ecs.cluster/*"}, []string{"logs.log-group/" + logGroup, "ecs.cluster/" + cluster}},
		// What is matched brings along what it needs, and what that needs.
		{[]string{"iam.role/*"}, []string{"s3.bucket/" + bucket, "iam.policy/" + taskS3, "iam.role/" + role}},
		{[]string{"iam.access-key/*"}, []string{
			"s3.bucket/" + bucket, "iam.policy/" + ecrPolicy, "iam.policy/" + ecsPolicy, "iam.policy/" + s3Policy,
			"iam.user/" + user, "iam.access-key/" + user,
		}},
		{[]string{"*"}, devAddresses},
	} {
		t.Run(fmt.Sprint(tt.globs), func(t *testing.T) {
			alone(t)
			a := newAccount(t)
			path := a.example(t, "dev.yaml")
			o := a.mustApply(t, path, target(tt.globs...))
			var got []string
			for _, r := range o.results {
				got = append(got, r.ID.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
			// The rest is still to be made.
			rest := len(devAddresses) - len(tt.want)
			if n := len(headings(a.look(path).changes())); n != rest {
				t.Errorf("%d resources are left, want %d", n, rest)
			}
		})
	}
	t.Run("no match", func(t *testing.T) {
		alone(t)
		a := newAccount(t)
		o := a.apply(a.example(t, "dev.yaml"), target("s3.bucket/*", "s3.bucket/typo"))
		if o.err == nil || !strings.Contains(o.err.Error(), "s3.bucket/typo") || !strings.Contains(o.err.Error(), "s3.bucket/"+bucket) {
			t.Errorf("the error is %v", o.err)
		}
		if w := o.writes(); len(w) > 0 {
			t.Errorf("calls were made: %v", w)
		}
	})
}

// One resource that cannot be made stops only what depends on it.
func TestFailureStopsDependentsOnly(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{})
	a.setFault(func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
		if operation(c) == "iam:CreateRole" && p == sandbox.Before {
			return sandbox.Denied
		}
		return sandbox.None
	})
	path := a.example(t, "dev.yaml")
	o := a.apply(path)
	for _, address := range devAddresses {
		want := reconcile.Done
		switch address {
		case "iam.role/" + role:
			want = reconcile.Failed
		case "ecs.task-definition/" + family:
			want = reconcile.Skipped
		}
		if r := o.result(t, address); r.Status != want {
			t.Errorf("%s is %s (%v), want %s", address, r.Status, r.Err, want)
		}
	}
	a.setFault(nil)
	o = a.mustApply(t, path)
	if diff := cmp.Diff([]string{"iam.role/" + role + ": create", "ecs.task-definition/" + family + ": create"}, headings(o.changes())); diff != "" {
		t.Errorf("the next run (-want +got):\n%s", diff)
	}
	a.mustBeInSync(t, path)
}

// A policy has five versions at most: the oldest makes room, and a document
// that is there already becomes the default again.
func TestPolicyVersions(t *testing.T) {
	alone(t)
	a := newAccount(t)
	document := func(n int) string {
		return a.stack(t, fmt.Sprintf(`iam: {policies: [{name: p, document: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:GetObject", Resource: "arn:aws:s3:::b%d/*"}]}}]}`, n))
	}
	for n := 1; n <= 7; n++ {
		path := document(n)
		o := a.mustApply(t, path)
		want := []string{"iam:CreatePolicyVersion", "iam:TagPolicy"}
		switch {
		case n == 1:
			want = []string{"iam:CreatePolicy"}
		case n > 5:
			want = []string{"iam:DeletePolicyVersion", "iam:CreatePolicyVersion", "iam:TagPolicy"}
		}
		if diff := cmp.Diff(want, o.result(t, "iam.policy/p").Calls); diff != "" {
			t.Errorf("document %d (-want +got):\n%s", n, diff)
		}
		a.mustBeInSync(t, path)
	}
	path := document(5)
	if diff := cmp.Diff([]string{"iam:SetDefaultPolicyVersion", "iam:TagPolicy"}, a.mustApply(t, path).result(t, "iam.policy/p").Calls); diff != "" {
		t.Errorf("back to document 5 (-want +got):\n%s", diff)
	}
	a.mustBeInSync(t, path)
	out, err := a.iam.ListPolicyVersions(t.Context(), &iam.ListPolicyVersionsInput{PolicyArn: aws.String(policyARN + "p")})
	if err != nil {
		t.Fatal(err)
	}
	var versions []string
	for _, v := range out.Versions {
		versions = append(versions, fmt.Sprintf("%s %t", *v.VersionId, v.IsDefaultVersion))
	}
	slices.Sort(versions)
	if diff := cmp.Diff([]string{"v3 false", "v4 false", "v5 true", "v6 false", "v7 false"}, versions); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
}
