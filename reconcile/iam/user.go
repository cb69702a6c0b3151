package iam

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// UserAPI is what a user needs of IAM. Every call names the user: without a
// name IAM takes the caller.
type UserAPI interface {
	GetUser(context.Context, *iam.GetUserInput, ...func(*iam.Options)) (*iam.GetUserOutput, error)
	CreateUser(context.Context, *iam.CreateUserInput, ...func(*iam.Options)) (*iam.CreateUserOutput, error)
	TagUser(context.Context, *iam.TagUserInput, ...func(*iam.Options)) (*iam.TagUserOutput, error)
	UntagUser(context.Context, *iam.UntagUserInput, ...func(*iam.Options)) (*iam.UntagUserOutput, error)

	ListAttachedUserPolicies(context.Context, *iam.ListAttachedUserPoliciesInput, ...func(*iam.Options)) (*iam.ListAttachedUserPoliciesOutput, error)
	AttachUserPolicy(context.Context, *iam.AttachUserPolicyInput, ...func(*iam.Options)) (*iam.AttachUserPolicyOutput, error)
	DetachUserPolicy(context.Context, *iam.DetachUserPolicyInput, ...func(*iam.Options)) (*iam.DetachUserPolicyOutput, error)

	ListUserPolicies(context.Context, *iam.ListUserPoliciesInput, ...func(*iam.Options)) (*iam.ListUserPoliciesOutput, error)
	GetUserPolicy(context.Context, *iam.GetUserPolicyInput, ...func(*iam.Options)) (*iam.GetUserPolicyOutput, error)
	PutUserPolicy(context.Context, *iam.PutUserPolicyInput, ...func(*iam.Options)) (*iam.PutUserPolicyOutput, error)
	DeleteUserPolicy(context.Context, *iam.DeleteUserPolicyInput, ...func(*iam.Options)) (*iam.DeleteUserPolicyOutput, error)

	ListGroupsForUser(context.Context, *iam.ListGroupsForUserInput, ...func(*iam.Options)) (*iam.ListGroupsForUserOutput, error)
	AddUserToGroup(context.Context, *iam.AddUserToGroupInput, ...func(*iam.Options)) (*iam.AddUserToGroupOutput, error)
	RemoveUserFromGroup(context.Context, *iam.RemoveUserFromGroupInput, ...func(*iam.Options)) (*iam.RemoveUserFromGroupOutput, error)

	PutUserPermissionsBoundary(context.Context, *iam.PutUserPermissionsBoundaryInput, ...func(*iam.Options)) (*iam.PutUserPermissionsBoundaryOutput, error)
	DeleteUserPermissionsBoundary(context.Context, *iam.DeleteUserPermissionsBoundaryInput, ...func(*iam.Options)) (*iam.DeleteUserPermissionsBoundaryOutput, error)
}

var _ UserAPI = (*iam.Client)(nil)

type liveUser = reconcile.Live[spec.IAMUser, reconcile.NoFacts]

// Users keeps the users of an account, but for their access keys, which are
// resources of their own.
type Users struct {
	api     UserAPI
	env     reconcile.Env
	known   documents
	read    func(ctx context.Context, name string) (liveUser, error) // without what it is granted
	granted func(context.Context, spec.IAMUser) (grants, error)
	claims  map[string]*claim // of the access keys, by user; none for a user that has none
}

var _ reconcile.Kind[spec.IAMUser, reconcile.NoFacts] = Users{}

// Describe reads a user.
func (u Users) Describe(ctx context.Context, want spec.IAMUser, all bool) (liveUser, error) {
	granted := u.granted
	if all {
		want.Policies, want.InlinePolicies, want.Groups = []string{}, map[string]spec.Document{}, []string{}
		granted = func(ctx context.Context, want spec.IAMUser) (grants, error) {
			return describeUserGrants(ctx, u.api, u.env.Pause, want)
		}
	}
	var live liveUser
	var g grants
	var reads awsx.Reads
	reads.Go(func() (err error) {
		live, err = u.read(ctx, want.Name)
		return err
	})
	reads.Go(func() (err error) {
		g, err = granted(ctx, want)
		return err
	})
	err := reads.Wait()
	live.Is.Policies, live.Is.InlinePolicies, live.Is.Groups = g.attached, g.inline, g.groups
	return live, err
}

func describeUser(ctx context.Context, api UserAPI, name string) (liveUser, error) {
	out, err := api.GetUser(ctx, &iam.GetUserInput{UserName: &name})
	if awsx.Code(err) == "NoSuchEntity" {
		return liveUser{}, nil
	}
	if err != nil {
		return liveUser{}, err
	}
	if out.User == nil {
		return liveUser{}, awsx.Hollow("iam:GetUser", "User", out.ResultMetadata)
	}
	return user(out.User.UserName, out.User.Path, out.User.PermissionsBoundary, out.User.Tags), nil
}

// user is a user as a spec would declare it, but for what it is granted.
func user(name, path *string, boundary *types.AttachedPermissionsBoundary, tags []types.Tag) liveUser {
	return liveUser{Exists: true, Is: spec.IAMUser{
		Meta: spec.Meta{Tags: tagMap(tags)}, Name: aws.ToString(name), Path: aws.ToString(path), PermissionsBoundary: boundaryARN(boundary),
	}}
}

func describeUserGrants(ctx context.Context, api UserAPI, pause awsx.Pause, want spec.IAMUser) (grants, error) {
	live, err := readGrants(ctx, pause, userGrants(want), userGrantReads(api, &want.Name))
	if errors.Is(err, errAbsent) {
		return grants{}, nil
	}
	return live, err
}

// Complete has nothing to fill in.
func (u Users) Complete(_ liveUser, want spec.IAMUser) (spec.IAMUser, error) { return want, nil }

// Normal is a user in the form in which users are compared.
func (u Users) Normal(user spec.IAMUser) (map[string]any, error) {
	tree := spec.Tree(user)
	delete(tree, "accessKey")
	return tree, normalGrants(tree, userGrants(user))
}

func userGrants(u spec.IAMUser) grants {
	return grants{boundary: u.PermissionsBoundary, attached: u.Policies, inline: u.InlinePolicies, groups: u.Groups}
}

// Brief leaves out what a new user has.
func (u Users) Brief(user spec.IAMUser) spec.IAMUser {
	g := userGrants(user).brief()
	user.Path, user.PermissionsBoundary = briefPath(user.Path), g.boundary
	user.Policies, user.InlinePolicies, user.Groups = g.attached, g.inline, g.groups
	return user
}

// Diff lists the steps from live to want.
func (u Users) Diff(live liveUser, want spec.IAMUser, c reconcile.Changes) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	if !live.Exists {
		steps.Add("iam:CreateUser", "create", append(c.Of("name", "path", "permissionsBoundary"), c.Tags.Lines...),
			func(ctx context.Context) error { return u.create(ctx, want) })
	} else {
		if len(c.Of("path")) > 0 {
			return nil, immutablePath(live.Is.Path, want.Path)
		}
		steps.Tag(c.Tags,
			"iam:TagUser", func(ctx context.Context) error {
				_, err := u.api.TagUser(ctx, &iam.TagUserInput{UserName: &want.Name, Tags: tagList(c.Tags.Put)})
				return err
			},
			"iam:UntagUser", func(ctx context.Context) error {
				_, err := u.api.UntagUser(ctx, &iam.UntagUserInput{UserName: &want.Name, TagKeys: c.Tags.Remove})
				return err
			})
	}
	grant(&steps, u.env, want.Needs, !live.Exists, userGrants(live.Is), userGrants(want), c, u.grantCalls(want.Name))
	return steps.List, nil
}

func (u Users) create(ctx context.Context, want spec.IAMUser) error {
	tags := u.env.Tags(want.Tags).Create()
	mark := record{creating: u.env.AWSNow(), run: u.env.Run}
	key := u.claims[want.Name]
	if key != nil {
		tags[keyTag] = mark.String()
	}
	in := &iam.CreateUserInput{UserName: &want.Name, Tags: tagList(tags)}
	if want.Path != "" {
		in.Path = &want.Path
	}
	if aws.ToString(want.PermissionsBoundary) != "" {
		in.PermissionsBoundary = want.PermissionsBoundary
	}
	passing := func(err error) bool { return youngBoundary(err, want.PermissionsBoundary, want.Needs) }
	err := awsx.Patiently(ctx, u.env.Pause, visibleBudget, passing, func(ctx context.Context) error {
		_, err := u.api.CreateUser(ctx, in)
		return err
	})
	if err == nil && key != nil {
		key.made(mark)
	}
	return named(err, "user", want.Path)
}

func userGrantReads(api UserAPI, name *string) grantReads {
	return grantReads{
		kind: "User",
		attached: func(ctx context.Context) ([]types.AttachedPolicy, error) {
			return pagesOf(ctx, iam.NewListAttachedUserPoliciesPaginator(api, &iam.ListAttachedUserPoliciesInput{UserName: name}),
				func(page *iam.ListAttachedUserPoliciesOutput) []types.AttachedPolicy { return page.AttachedPolicies })
		},
		inline: func(ctx context.Context) ([]string, error) {
			return pagesOf(ctx, iam.NewListUserPoliciesPaginator(api, &iam.ListUserPoliciesInput{UserName: name}),
				func(page *iam.ListUserPoliciesOutput) []string { return page.PolicyNames })
		},
		document: func(ctx context.Context, policy string) (*string, middleware.Metadata, error) {
			out, err := api.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: name, PolicyName: &policy})
			if err != nil {
				return nil, middleware.Metadata{}, err
			}
			return out.PolicyDocument, out.ResultMetadata, nil
		},
		groups: func(ctx context.Context) ([]types.Group, error) {
			return pagesOf(ctx, iam.NewListGroupsForUserPaginator(api, &iam.ListGroupsForUserInput{UserName: name}),
				func(page *iam.ListGroupsForUserOutput) []types.Group { return page.Groups })
		},
	}
}

func (u Users) grantCalls(user string) grantCalls {
	name := &user
	return grantCalls{
		kind: "User",
		attach: func(ctx context.Context, arn string) error {
			_, err := u.api.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: name, PolicyArn: &arn})
			return err
		},
		detach: func(ctx context.Context, arn string) error {
			_, err := u.api.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: name, PolicyArn: &arn})
			return err
		},
		putInline: func(ctx context.Context, policy, document string) error {
			_, err := u.api.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: name, PolicyName: &policy, PolicyDocument: &document})
			return err
		},
		deleteInline: func(ctx context.Context, policy string) error {
			_, err := u.api.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: name, PolicyName: &policy})
			return err
		},
		putBoundary: func(ctx context.Context, arn string) error {
			_, err := u.api.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: name, PermissionsBoundary: &arn})
			return err
		},
		deleteBoundary: func(ctx context.Context) error {
			_, err := u.api.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: name})
			return gone(err)
		},
		join: func(ctx context.Context, group string) error {
			_, err := u.api.AddUserToGroup(ctx, &iam.AddUserToGroupInput{UserName: name, GroupName: &group})
			return err
		},
		leave: func(ctx context.Context, group string) error {
			_, err := u.api.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{UserName: name, GroupName: &group})
			return err
		},
	}
}
