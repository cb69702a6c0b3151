package sandbox

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func TestIAMGroup(t *testing.T) {
	c := serveIAM(t)
	ctx := t.Context()
	name, user := aws.String("engineers"), aws.String("joe")
	made := must[*iam.CreateGroupOutput](t)(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: name, Path: aws.String("/ml/")})).Group
	want := &iamtypes.Group{
		GroupName: name, Path: aws.String("/ml/"), Arn: aws.String(ownPrefix + "group/ml/engineers"),
		GroupId: made.GroupId, CreateDate: &start,
	}
	if d := diff(want, made); d != "" {
		t.Errorf("created (-want +got):\n%s", d)
	}
	if d := diff([]iamtypes.Group{*want}, must[*iam.ListGroupsOutput](t)(c.ListGroups(ctx, &iam.ListGroupsInput{PathPrefix: aws.String("/ml/")})).Groups); d != "" {
		t.Errorf("listed (-want +got):\n%s", d)
	}
	_, err := c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: aws.String("Engineers")}) // a name in other case
	wantCode(t, err, "EntityAlreadyExists")
	_, err = c.GetGroup(ctx, &iam.GetGroupInput{GroupName: aws.String("others")}) // another group
	wantCode(t, err, "NoSuchEntity")

	must[*iam.CreateUserOutput](t)(c.CreateUser(ctx, &iam.CreateUserInput{UserName: user}))
	_, err = c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: aws.String("others"), UserName: user}) // to join another group
	wantCode(t, err, "NoSuchEntity")
	_, err = c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: name, UserName: aws.String("ann")}) // another user to join
	wantCode(t, err, "NoSuchEntity")
	_, err = c.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: name, UserName: user}) // to leave what was not joined
	wantCode(t, err, "NoSuchEntity")
	for range 2 { // idempotent
		must[*iam.AddUserToGroupOutput](t)(c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: name, UserName: user}))
	}
	if d := diff([]iamtypes.Group{*want}, must[*iam.ListGroupsForUserOutput](t)(c.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: user})).Groups); d != "" {
		t.Errorf("the user's groups (-want +got):\n%s", d)
	}
	if in := must[*iam.GetGroupOutput](t)(c.GetGroup(ctx, &iam.GetGroupInput{GroupName: name})).Users; len(in) != 1 || *in[0].UserName != "joe" {
		t.Errorf("the group's users: %v", in)
	}
	for i := range 10 {
		other := aws.String(fmt.Sprintf("other-%d", i))
		must[*iam.CreateGroupOutput](t)(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: other}))
		out, err := c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: other, UserName: user})
		if i == 9 {
			wantCode(t, err, "LimitExceeded")
			break
		}
		must[*iam.AddUserToGroupOutput](t)(out, err)
	}

	details := must[*iam.GetAccountAuthorizationDetailsOutput](t)(c.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{
		Filter: []iamtypes.EntityType{iamtypes.EntityTypeGroup, iamtypes.EntityTypeUser},
	}))
	if n := len(details.GroupDetailList); n != 11 {
		t.Errorf("%d groups in the account's details, want 11", n)
	}
	for _, u := range details.UserDetailList {
		if want := map[string]int{"joe": 10}[*u.UserName]; len(u.GroupList) != want {
			t.Errorf("%s is in %v, want %d groups", *u.UserName, u.GroupList, want)
		}
	}

	// A group goes last: its users, its policies and then itself.
	deleted := func() error {
		_, err := c.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: name})
		return err
	}
	must[*iam.AttachGroupPolicyOutput](t)(c.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: name, PolicyArn: aws.String(ownPrefix + "policy/p")}))
	must[*iam.PutGroupPolicyOutput](t)(c.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: name, PolicyName: aws.String("inline"), PolicyDocument: aws.String(allowAll)}))
	_, err = c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: aws.String(ownPrefix + "policy/p")})
	wantCode(t, err, "DeleteConflict")
	entities := must[*iam.ListEntitiesForPolicyOutput](t)(c.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: aws.String(ownPrefix + "policy/p")}))
	if len(entities.PolicyGroups) != 1 || *entities.PolicyGroups[0].GroupName != "engineers" {
		t.Errorf("the policy's groups: %v", entities.PolicyGroups)
	}
	wantCode(t, deleted(), "DeleteConflict")
	must[*iam.DetachGroupPolicyOutput](t)(c.DetachGroupPolicy(ctx, &iam.DetachGroupPolicyInput{GroupName: name, PolicyArn: aws.String(ownPrefix + "policy/p")}))
	wantCode(t, deleted(), "DeleteConflict")
	must[*iam.DeleteGroupPolicyOutput](t)(c.DeleteGroupPolicy(ctx, &iam.DeleteGroupPolicyInput{GroupName: name, PolicyName: aws.String("inline")}))
	wantCode(t, deleted(), "DeleteConflict")
	_, err = c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: user})
	wantCode(t, err, "DeleteConflict")
	must[*iam.RemoveUserFromGroupOutput](t)(c.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: name, UserName: user}))
	wantCode(t, deleted(), "")
	wantCode(t, deleted(), "NoSuchEntity")
}
