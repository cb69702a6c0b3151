package stack_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
)

// teams is a group with a user in it.
const teams = `
tags: {Team: ml}
iam:
  policies: [{name: ecs-access, document: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "ecs:RunTask", Resource: "*"}]}}]
  groups:
    - name: engineers
      path: /ml/
      policies: [ecs-access]
      inlinePolicies: {logs: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: ["logs:GetLogEvents", "logs:FilterLogEvents"], Resource: "*"}]}}
  users:
    - {name: joe, groups: [engineers]}
`

const teamsFromNothing = `
iam.policy/ecs-access: create
  iam:CreatePolicy
  name: <nil> -> ecs-access
  document: <nil> -> map[Statement:[map[Action:ecs:RunTask Effect:Allow Resource:*]] Version:2012-10-17]
  tags.Team: <nil> -> ml
  tags.churn-reconcile:stack: <nil> -> test/test
iam.group/engineers: create
  iam:CreateGroup
  iam:PutGroupPolicy
  iam:AttachGroupPolicy
  name: <nil> -> engineers
  path: <nil> -> /ml/
  inlinePolicies[logs]: <nil> -> map[Statement:[map[Action:[logs:GetLogEvents logs:FilterLogEvents] Effect:Allow Resource:*]] Version:2012-10-17]
  policies[ecs-access]: <nil> -> arn:aws:iam::123456789012:policy/ecs-access
iam.user/joe: create
  iam:CreateUser
  iam:AddUserToGroup
  name: <nil> -> joe
  tags.Team: <nil> -> ml
  tags.churn-reconcile:stack: <nil> -> test/test
  groups[engineers]: <nil> -> engineers`

func (a *account) makeGroups(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		done(t)(a.iam.CreateGroup(t.Context(), &iam.CreateGroupInput{GroupName: &name}))
	}
}

func (a *account) join(t testing.TB, user string, groups ...string) {
	t.Helper()
	for _, group := range groups {
		done(t)(a.iam.AddUserToGroup(t.Context(), &iam.AddUserToGroupInput{UserName: &user, GroupName: &group}))
	}
}

func (a *account) groupsOf(t testing.TB, user string) []string {
	t.Helper()
	out, err := a.iam.ListGroupsForUser(t.Context(), &iam.ListGroupsForUserInput{UserName: &user})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, g := range out.Groups {
		names = append(names, *g.GroupName)
	}
	slices.Sort(names)
	return names
}

func TestGroupFromNothing(t *testing.T) {
	alone(t)
	a := newAccount(t)
	path := a.stack(t, teams)
	wantChanges(t, teamsFromNothing, a.look(path).changes())
	wantChanges(t, teamsFromNothing, a.mustApply(t, path).changes())
	if diff := cmp.Diff([]string{"engineers"}, a.groupsOf(t, "joe")); diff != "" {
		t.Errorf("joe's groups (-want +got):\n%s", diff)
	}
	a.mustBeInSync(t, path)
}

// A group that is there is kept as the spec says, whoever made it, since there is
// no telling.
func TestGroupAdopted(t *testing.T) {
	alone(t)
	a := newAccount(t)
	done(t)(a.iam.CreateGroup(t.Context(), &iam.CreateGroupInput{GroupName: aws.String("engineers"), Path: aws.String("/ml/")}))
	path := a.stack(t, `iam: {groups: [{name: engineers, policies: []}]}`)
	a.mustBeInSync(t, path)

	// The twin: what it may do differs.
	done(t)(a.iam.AttachGroupPolicy(t.Context(), &iam.AttachGroupPolicyInput{GroupName: aws.String("engineers"), PolicyArn: aws.String(readOnlyARN)}))
	wantChanges(t, `
iam.group/engineers: update
  iam:DetachGroupPolicy
  policies[ReadOnlyAccess]: arn:aws:iam::aws:policy/ReadOnlyAccess -> <nil>`, a.mustApply(t, path).changes())
	a.mustBeInSync(t, path)
}

func TestGroupRefusals(t *testing.T) {
	alone(t)
	a := newAccount(t)
	a.makeGroups(t, "Engineers")
	path := a.stack(t, `iam: {groups: [{name: Engineers, path: /ml/}]}`)
	if err := a.apply(path).failure(); err == nil || !strings.Contains(err.Error(), `path is "/" and cannot change to "/ml/"`) {
		t.Errorf("another path: %v", err)
	}
}

func TestGroupInOtherCase(t *testing.T) {
	alone(t)
	a := newAccount(t)
	a.makeGroups(t, "Engineers")
	path := a.stack(t, `iam: {groups: [{name: engineers}]}`)
	if err := a.apply(path).failure(); err == nil || !strings.Contains(err.Error(), "or written in other case") {
		t.Errorf("another spelling: %v", err)
	}
}

// Somebody changes what a group may do and who is in it, and the next run takes
// exactly that back. What the spec does not say stays as it is.
func TestGroupMended(t *testing.T) {
	alone(t)
	document := aws.String(otherDocument)
	for _, tt := range []struct {
		name string
		spec string
		hand func(context.Context, testing.TB, *account)
		want string // "": no difference
	}{
		{
			name: "a policy too many, one gone",
			spec: teams,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: aws.String("engineers"), PolicyArn: aws.String(readOnlyARN)}))
				done(t)(a.iam.DetachGroupPolicy(ctx, &iam.DetachGroupPolicyInput{GroupName: aws.String("engineers"), PolicyArn: aws.String(policyARN + "ecs-access")}))
			},
			want: `
iam.group/engineers: update
  iam:AttachGroupPolicy
  iam:DetachGroupPolicy
  policies[ecs-access]: <nil> -> arn:aws:iam::123456789012:policy/ecs-access
  policies[ReadOnlyAccess]: arn:aws:iam::aws:policy/ReadOnlyAccess -> <nil>`,
		},
		{
			name: "policies that the spec does not say",
			spec: `iam: {groups: [{name: engineers}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: aws.String("engineers"), PolicyArn: aws.String(readOnlyARN)}))
				done(t)(a.iam.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: aws.String("engineers"), PolicyName: aws.String("more"), PolicyDocument: document}))
			},
		},
		{
			name: "an inline policy too many",
			spec: teams,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: aws.String("engineers"), PolicyName: aws.String("more"), PolicyDocument: document}))
			},
			want: `
iam.group/engineers: update
  iam:DeleteGroupPolicy
  inlinePolicies[more]: map[Statement:[map[Action:s3:* Effect:Deny Resource:*]] Version:2012-10-17] -> <nil>`,
		},
		{
			name: "an inline policy in other words",
			spec: teams,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: aws.String("engineers"), PolicyName: aws.String("logs"), PolicyDocument: aws.String(
					`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["logs:FilterLogEvents","logs:GetLogEvents"],"Resource":["*"]}}`)}))
			},
		},
		{
			name: "an inline policy that says less",
			spec: teams,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: aws.String("engineers"), PolicyName: aws.String("logs"), PolicyDocument: aws.String(
					`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["logs:FilterLogEvents"],"Resource":["*"]}}`)}))
			},
			want: `
iam.group/engineers: update
  iam:PutGroupPolicy
  inlinePolicies[logs].Statement[0].Action[logs:GetLogEvents]: <nil> -> logs:GetLogEvents`,
		},
		{
			name: "a membership too many, one gone",
			spec: teams,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				a.makeGroups(t, "admins")
				a.join(t, "joe", "admins")
				done(t)(a.iam.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{UserName: aws.String("joe"), GroupName: aws.String("engineers")}))
			},
			want: `
iam.user/joe: update
  iam:AddUserToGroup
  iam:RemoveUserFromGroup
  groups[engineers]: <nil> -> engineers
  groups[admins]: admins -> <nil>`,
		},
		{
			name: "a membership that the spec does not say",
			spec: `iam: {groups: [{name: engineers}], users: [{name: joe}]}`,
			hand: func(_ context.Context, t testing.TB, a *account) { a.join(t, "joe", "engineers") },
		},
		{
			name: "a membership where there is to be none",
			spec: `iam: {groups: [{name: engineers}], users: [{name: joe, groups: []}]}`,
			hand: func(_ context.Context, t testing.TB, a *account) { a.join(t, "joe", "engineers") },
			want: `
iam.user/joe: update
  iam:RemoveUserFromGroup
  groups[engineers]: engineers -> <nil>`,
		},
		{
			name: "somebody else in the group",
			spec: teams,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("ann")}))
				a.join(t, "ann", "engineers")
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alone(t)
			a := newAccount(t)
			path := a.stack(t, tt.spec)
			a.mustApply(t, path)
			tt.hand(t.Context(), t, a)
			wantChanges(t, tt.want, a.look(path).changes())
			wantChanges(t, tt.want, a.mustApply(t, path).changes())
			a.mustBeInSync(t, path)
		})
	}
}

// A user who is in as many groups as IAM allows has to leave one before another
// can be joined; a group of the account need not be the spec's.
func TestGroupsAtTheQuota(t *testing.T) {
	alone(t)
	a := newAccount(t)
	var old []string
	for i := range 10 {
		old = append(old, fmt.Sprintf("old-%d", i))
	}
	a.makeGroups(t, append([]string{"new"}, old...)...)
	path := a.stack(t, `iam: {users: [{name: joe, groups: [`+strings.Join(old, ", ")+`]}]}`)
	a.mustApply(t, path)
	path = a.stack(t, `iam: {users: [{name: joe, groups: [new, `+strings.Join(old[1:], ", ")+`]}]}`)
	wantChanges(t, `
iam.user/joe: update
  iam:RemoveUserFromGroup
  iam:AddUserToGroup
  iam:TagUser
  groups[old-0]: old-0 -> <nil>
  groups[new]: <nil> -> new`, a.mustApply(t, path).changes())
	a.mustBeInSync(t, path)
}

// Memberships cost a call where the spec gives them, and none where it does not.
func TestGroupsReadOnlyWhereGiven(t *testing.T) {
	alone(t)
	a := newAccount(t)
	for spec, want := range map[string]int{
		`iam: {users: [{name: joe}]}`:             0,
		`iam: {users: [{name: joe, groups: []}]}`: 1,
	} {
		path := a.stack(t, spec)
		a.mustApply(t, path)
		calls := slices.DeleteFunc(a.mustApply(t, path).calls, func(call string) bool { return call != "iam:ListGroupsForUser" })
		if len(calls) != want {
			t.Errorf("%s: %d calls of ListGroupsForUser, want %d", spec, len(calls), want)
		}
	}
}

// In a large spec, groups and who is in them come with the account's pages.
func TestLargeSpecGroups(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{})
	const n = 30
	var b strings.Builder
	b.WriteString("iam:\n  groups:\n")
	for i := range n {
		fmt.Fprintf(&b, "    - {name: group-%02d, policies: [%s], inlinePolicies: {p: %s}}\n", i, readOnlyARN, otherDocument)
	}
	b.WriteString("  users:\n")
	for i := range n {
		fmt.Fprintf(&b, "    - {name: user-%02d, groups: [group-%02d]}\n", i, i)
	}
	path := a.stack(t, b.String())
	a.mustApply(t, path)
	for _, call := range a.mustApply(t, path).calls {
		if strings.Contains(call, "Group") {
			t.Errorf("a group is read by itself: %s", call)
		}
	}
	a.join(t, "user-07", "group-08")
	done(t)(a.iam.DetachGroupPolicy(t.Context(), &iam.DetachGroupPolicyInput{GroupName: aws.String("group-09"), PolicyArn: aws.String(readOnlyARN)}))
	wantChanges(t, `
iam.group/group-09: update
  iam:AttachGroupPolicy
  policies[ReadOnlyAccess]: <nil> -> arn:aws:iam::aws:policy/ReadOnlyAccess
iam.user/user-07: update
  iam:RemoveUserFromGroup
  groups[group-08]: group-08 -> <nil>`, a.mustApply(t, path).changes())
	a.mustBeInSync(t, path)
}
