package stack_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
)

const (
	trustECS = `{Version: "2012-10-17", Statement: [{Effect: Allow, Principal: {Service: ecs-tasks.amazonaws.com}, Action: "sts:AssumeRole"}]}`
	readS3   = `{Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:GetObject", Resource: "*"}]}`
)

// everyTaggable is a spec of a resource of each kind that can carry tags.
func everyTaggable(tags string) string {
	return fmt.Sprintf(`
tags: %s
s3: {buckets: [{name: data-of-test}]}
logs: {logGroups: [{name: /test}]}
ecr: {repositories: [{name: images}]}
iam:
  policies: [{name: p, document: %s}]
  roles: [{name: r, assumeRolePolicy: %s}]
  users: [{name: u}]
  oidcProviders: [{url: "https://token.actions.githubusercontent.com", clientIDList: [sts.amazonaws.com]}]
ecs:
  clusters: [{name: c}]
  taskDefinitions: [{family: f, networkMode: awsvpc, requiresCompatibilities: [FARGATE], cpu: "256", memory: "512", containerDefinitions: [{name: app, image: busybox}]}]
`, tags, readS3, trustECS)
}

// A key that changes its case is one key for users and roles, and two for
// everything else. Either way the run comes to an end.
func TestTagKeyInAnotherCase(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{})
	a.mustApply(t, a.stack(t, everyTaggable(`{project: x, Team: y}`)))
	path := a.stack(t, everyTaggable(`{Project: x, Team: y}`))

	o := a.mustApply(t, path)
	writes := o.writes()
	for call, want := range map[string]int{
		"iam:TagRole": 1, "iam:TagUser": 1, "iam:UntagRole": 0, "iam:UntagUser": 0,
		"iam:TagPolicy": 1, "iam:UntagPolicy": 1, "logs:UntagResource": 1, "ecr:UntagResource": 1,
	} {
		if n := count(writes, call); n != want {
			t.Errorf("%d calls of %s, want %d", n, call, want)
		}
	}
	role, err := a.iam.GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("r")})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, tag := range role.Role.Tags {
		keys = append(keys, aws.ToString(tag.Key))
	}
	slices.Sort(keys)
	if d := cmp.Diff([]string{"Project", "Team", "churn-reconcile:applied", "churn-reconcile:stack"}, keys); d != "" {
		t.Errorf("the role's tags (-want +got):\n%s", d)
	}
	a.mustBeInSync(t, path)
}

func count(calls []string, call string) int {
	n := 0
	for _, c := range calls {
		if c == call {
			n++
		}
	}
	return n
}

// A resource with as many tags as AWS allows takes another key in the place of
// one of them.
func TestTagsAtTheQuota(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{})
	tags := func(last string) string {
		var b strings.Builder
		for i := range 48 {
			fmt.Fprintf(&b, "k%02d: v, ", i)
		}
		return "{" + b.String() + last + ": v}"
	}
	a.mustApply(t, a.stack(t, everyTaggable(tags("before"))))
	path := a.stack(t, everyTaggable(tags("after")))
	a.mustApply(t, path)
	a.mustBeInSync(t, path)
}

// A role and a user with as many policies as AWS attaches take others in the
// place of some, and lose no more than they have to in between.
func TestAttachmentsAtTheQuota(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{})
	spec := func(first, n int) string {
		var policies, names []string
		for i := range 13 {
			policies = append(policies, fmt.Sprintf("{name: p%02d, document: %s}", i, readS3))
		}
		for i := range n {
			names = append(names, fmt.Sprintf("p%02d", first+i))
		}
		attached := strings.Join(names, ", ")
		return fmt.Sprintf("iam: {policies: [%s], roles: [{name: r, assumeRolePolicy: %s, policies: [%s]}], users: [{name: u, policies: [%s]}]}",
			strings.Join(policies, ", "), trustECS, attached, attached)
	}
	for _, tt := range []struct {
		name  string
		first int
		n     int
		calls []string // of the role
	}{
		{"full", 0, 10, nil},
		{"three others", 3, 10, []string{"Detach", "Attach", "Detach", "Attach", "Detach", "Attach", "TagRole"}},
		{"one less", 3, 9, []string{"Detach", "TagRole"}},
		{"one other, with room for one", 4, 9, []string{"Attach", "Detach", "TagRole"}},
	} {
		path := a.stack(t, spec(tt.first, tt.n))
		o := a.mustApply(t, path)
		if tt.calls != nil {
			var calls []string
			for _, call := range o.result(t, "iam.role/r").Calls {
				calls = append(calls, strings.TrimSuffix(strings.TrimPrefix(call, "iam:"), "RolePolicy"))
			}
			if d := cmp.Diff(tt.calls, calls); d != "" {
				t.Errorf("%s: calls (-want +got):\n%s", tt.name, d)
			}
		}
		a.mustBeInSync(t, path)
	}
}

// onFirst does something by hand just ahead of the first call of an operation,
// and something else ahead of the second.
func (a *account) onFirst(op string, hand ...func()) {
	var mu sync.Mutex
	n := 0
	a.setFault(func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
		if operation(c) != op || p != sandbox.Before {
			return sandbox.None
		}
		mu.Lock()
		i := n
		n++
		mu.Unlock()
		if i < len(hand) {
			hand[i]()
		}
		return sandbox.None
	})
}

// An inline policy, or a version of a policy, that goes between its listing and
// its reading says nothing of the role, the user or the policy.
func TestGoneBetweenTwoReads(t *testing.T) {
	alone(t)
	ctx := context.Background()
	path := func(t *testing.T, a *account) string {
		return a.stack(t, fmt.Sprintf(`iam: {policies: [{name: p, document: %[1]s}], roles: [{name: r, assumeRolePolicy: %[2]s, inlinePolicies: {}}], users: [{name: u, inlinePolicies: {}}]}`, readS3, trustECS))
	}
	document := aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`)
	policyARN := aws.String("arn:aws:iam::" + accountID + ":policy/p")
	for _, tt := range []struct {
		op     string
		before func(*testing.T, *account)
		then   func(*testing.T, *account)
	}{
		{
			"iam:GetRolePolicy",
			func(t *testing.T, a *account) {
				done(t)(a.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("r"), PolicyName: aws.String("x"), PolicyDocument: document}))
			},
			func(t *testing.T, a *account) {
				done(t)(a.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: aws.String("r"), PolicyName: aws.String("x")}))
			},
		},
		{
			"iam:GetUserPolicy",
			func(t *testing.T, a *account) {
				done(t)(a.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String("u"), PolicyName: aws.String("x"), PolicyDocument: document}))
			},
			func(t *testing.T, a *account) {
				done(t)(a.iam.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: aws.String("u"), PolicyName: aws.String("x")}))
			},
		},
		{
			"iam:GetPolicyVersion",
			func(t *testing.T, a *account) {
				done(t)(a.iam.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: policyARN, PolicyDocument: document, SetAsDefault: true}))
			},
			func(t *testing.T, a *account) {
				done(t)(a.iam.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: policyARN, VersionId: aws.String("v1")}))
				done(t)(a.iam.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: policyARN, VersionId: aws.String("v2")}))
			},
		},
	} {
		t.Run(tt.op, func(t *testing.T) {
			alone(t)
			a := sandboxAccount(t, sandbox.Options{})
			path := path(t, a)
			a.mustApply(t, path)
			tt.before(t, a)
			a.onFirst(tt.op, func() { tt.then(t, a) })
			o := a.look(path)
			a.setFault(nil)
			if err := o.failure(); err != nil {
				t.Fatal(err)
			}
			wantChanges(t, "", o.changes())
		})
	}
}

// A permissions boundary that IAM does not know for a while, because the run
// has made it a moment ago, is waited for. Any other is there or is not.
func TestYoungBoundary(t *testing.T) {
	alone(t)
	ctx := context.Background()
	const p = "{name: edge, document: " + readS3 + "}"
	principals := func(boundary string) string {
		return fmt.Sprintf("iam: {policies: [%s], roles: [{name: r, assumeRolePolicy: %s%s}], users: [{name: u%s}]}", p, trustECS, boundary, boundary)
	}
	arn := aws.String("arn:aws:iam::" + accountID + ":policy/edge")
	for _, op := range []string{"iam:CreateRole", "iam:CreateUser", "iam:PutRolePermissionsBoundary", "iam:PutUserPermissionsBoundary"} {
		t.Run(op, func(t *testing.T) {
			alone(t)
			a := sandboxAccount(t, sandbox.Options{})
			if strings.Contains(op, "Put") {
				a.mustApply(t, a.stack(t, principals("")))
			}
			path := a.stack(t, principals(", permissionsBoundary: edge"))
			// Of the two principals only the one that is asked about, since the
			// other would find the policy in use.
			only := target("iam.role/r")
			if strings.Contains(op, "User") {
				only = target("iam.user/u")
			}
			a.onFirst(op,
				func() { done(t)(a.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn})) },
				func() { a.mustApplyBeside(t, principals("")) },
			)
			o := a.mustApply(t, path, only)
			a.setFault(nil)
			if o.paused == 0 {
				t.Error("nothing was waited for")
			}
			a.mustApply(t, path)
			a.mustBeInSync(t, path)
		})
	}
	t.Run("of somebody else", func(t *testing.T) {
		alone(t)
		a := sandboxAccount(t, sandbox.Options{})
		o := a.apply(a.stack(t, principals(", permissionsBoundary: 'arn:aws:iam::"+accountID+":policy/nowhere'")))
		if err := o.failure(); err == nil || !strings.Contains(err.Error(), "NoSuchEntity") {
			t.Errorf("error %v, want NoSuchEntity", err)
		}
	})
}

// mustApplyBeside makes the policies of a spec in the middle of another run of
// the same stack.
func (a *account) mustApplyBeside(t testing.TB, resources string) {
	t.Helper()
	beside := &account{url: a.url, sandbox: a.sandbox, dir: t.TempDir(), clock: a.clock}
	if err := beside.apply(beside.stack(t, resources), target("iam.policy/*")).failure(); err != nil {
		t.Error(err)
	}
}

// A public policy is refused for some seconds after the access block has been
// loosened. A block that nobody loosens stays a refusal.
func TestPublicPolicyAfterLoosening(t *testing.T) {
	alone(t)
	ctx := context.Background()
	const open = `s3: {buckets: [{name: data-of-test, publicAccessBlock: {blockPublicAcls: true, ignorePublicAcls: true, blockPublicPolicy: false, restrictPublicBuckets: false},
		policy: {Version: "2012-10-17", Statement: [{Effect: Allow, Principal: "*", Action: "s3:GetObject", Resource: "arn:aws:s3:::data-of-test/*"}]}}]}`
	block := func(t *testing.T, a *account, on bool) func() {
		return func() {
			done(t)(a.s3.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
				Bucket: aws.String("data-of-test"), PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{
					BlockPublicAcls: aws.Bool(true), IgnorePublicAcls: aws.Bool(true), BlockPublicPolicy: &on, RestrictPublicBuckets: aws.Bool(false),
				},
			}))
		}
	}
	for _, first := range []string{"", "s3: {buckets: [{name: data-of-test}]}"} {
		a := sandboxAccount(t, sandbox.Options{})
		if first != "" {
			a.mustApply(t, a.stack(t, first))
		}
		path := a.stack(t, open)
		a.onFirst("s3:PutBucketPolicy", block(t, a, true), block(t, a, true), block(t, a, false))
		a.mustApply(t, path)
		a.setFault(nil)
		a.mustBeInSync(t, path)
	}

	a := sandboxAccount(t, sandbox.Options{})
	path := a.stack(t, strings.Replace(open, "blockPublicPolicy: false", "blockPublicPolicy: true", 1))
	o := a.apply(path)
	if err := o.failure(); err == nil || !strings.Contains(err.Error(), "s3:PutBucketPolicy: AccessDenied") {
		t.Errorf("error %v, want AccessDenied", err)
	}
	if n := count(o.calls, "s3:PutBucketPolicy"); n != 1 {
		t.Errorf("a policy that is blocked for good was put %d times", n)
	}
}

// Names that end in -an are the account's own in a region.
func TestBucketOfTheOwnNamespace(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{})
	path := a.stack(t, "s3: {buckets: [{name: data-"+accountID+"-"+region+"-an}]}")
	a.mustApply(t, path)
	a.mustBeInSync(t, path)

	o := a.apply(a.stack(t, "s3: {buckets: [{name: data-000000000000-"+region+"-an}]}"))
	if err := o.failure(); err == nil || !strings.Contains(err.Error(), "InvalidBucketName") {
		t.Errorf("error %v, want InvalidBucketName", err)
	}
}

// A bucket with ABAC turned on refuses to be tagged as others are.
func TestBucketTaggedWithABAC(t *testing.T) {
	alone(t)
	ctx := context.Background()
	a := sandboxAccount(t, sandbox.Options{})
	a.mustApply(t, a.stack(t, "s3: {buckets: [{name: data-of-test, tags: {old: v, kept: v}}]}"))
	done(t)(a.s3.PutBucketAbac(ctx, &s3.PutBucketAbacInput{
		Bucket: aws.String("data-of-test"), AbacStatus: &s3types.AbacStatus{Status: s3types.BucketAbacStatusEnabled},
	}))
	path := a.stack(t, `s3: {buckets: [{name: data-of-test, tags: {new: "1", kept: w}}]}`)
	wantChanges(t, `
s3.bucket/data-of-test: update
  s3:TagResource
  s3:UntagResource
  tags.kept: v -> w
  tags.new: <nil> -> 1
  tags.old: v -> <nil>`, a.look(path).changes())
	o := a.mustApply(t, path)
	if n := count(o.calls, "s3:PutBucketTagging"); n != 0 {
		t.Errorf("s3:PutBucketTagging was called %d times", n)
	}
	a.mustBeInSync(t, path)

	// A caller that may not ask whether it is on tags as ever where it is off.
	done(t)(a.s3.PutBucketAbac(ctx, &s3.PutBucketAbacInput{
		Bucket: aws.String("data-of-test"), AbacStatus: &s3types.AbacStatus{Status: s3types.BucketAbacStatusDisabled},
	}))
	a.setFault(func(c sandbox.Call, _ sandbox.Phase) sandbox.Fault {
		if operation(c) == "s3:GetBucketAbac" {
			return sandbox.Denied
		}
		return sandbox.None
	})
	path = a.stack(t, "s3: {buckets: [{name: data-of-test, tags: {kept: v}}]}")
	a.mustApply(t, path)
	a.mustBeInSync(t, path)
}

// A log group of the class DELIVERY keeps its events for two days, whatever
// anybody says.
func TestDeliveryRetention(t *testing.T) {
	alone(t)
	var a *account
	for _, more := range []string{"", ", retentionInDays: 2"} {
		a = sandboxAccount(t, sandbox.Options{})
		path := a.stack(t, "logs: {logGroups: [{name: /delivery, logGroupClass: DELIVERY"+more+"}]}")
		a.mustApply(t, path)
		a.mustBeInSync(t, path)
	}
	// The class is the group's own where the spec says none.
	o := a.apply(a.stack(t, "logs: {logGroups: [{name: /delivery, retentionInDays: 7}]}"))
	if err := o.failure(); err == nil || !strings.Contains(err.Error(), "class DELIVERY keeps its events for 2 days") {
		t.Errorf("error %v, want one about the class", err)
	}
	if w := o.writes(); len(w) > 0 {
		t.Errorf("written: %v", w)
	}
}
