package iam

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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
	DeleteUser(context.Context, *iam.DeleteUserInput, ...func(*iam.Options)) (*iam.DeleteUserOutput, error)
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

	ListAccessKeys(context.Context, *iam.ListAccessKeysInput, ...func(*iam.Options)) (*iam.ListAccessKeysOutput, error)
	GetLoginProfile(context.Context, *iam.GetLoginProfileInput, ...func(*iam.Options)) (*iam.GetLoginProfileOutput, error)
	ListMFADevices(context.Context, *iam.ListMFADevicesInput, ...func(*iam.Options)) (*iam.ListMFADevicesOutput, error)
	ListSSHPublicKeys(context.Context, *iam.ListSSHPublicKeysInput, ...func(*iam.Options)) (*iam.ListSSHPublicKeysOutput, error)
	ListSigningCertificates(context.Context, *iam.ListSigningCertificatesInput, ...func(*iam.Options)) (*iam.ListSigningCertificatesOutput, error)
	ListServiceSpecificCredentials(context.Context, *iam.ListServiceSpecificCredentialsInput, ...func(*iam.Options)) (*iam.ListServiceSpecificCredentialsOutput, error)

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
	known   known
	read    func(ctx context.Context, name string) (liveUser, error) // without what it is granted
	granted func(context.Context, spec.IAMUser) (grants, error)
	claims  map[string]*claim // of the access keys, by user; none for a user that has none
	seen    *Census           // where one is to be deleted
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
			func(ctx context.Context) error { return u.create(ctx, want, c.Tags.Put) })
	} else if len(c.Of("path")) > 0 {
		return nil, immutablePath(live.Is.Path, want.Path)
	}
	grant(&steps, u.env, want.Needs, !live.Exists, userGrants(live.Is), userGrants(want), c, u.grantCalls(want.Name))
	if live.Exists {
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
	return steps.List, nil
}

// Permissions are what a user's calls need. IAM asks for the group, and not for
// the user, where one joins or leaves.
func (u Users) Permissions(want spec.IAMUser) []reconcile.Permission {
	p := reconcile.Permissions{On: []string{*u.env.ARN(want.ID(), want.Path)}}
	p.Read("iam:GetUser")
	p.Write("iam:CreateUser", "iam:TagUser", "iam:UntagUser")
	p.Also(reconcile.Writing, "iam:CreateUser", "iam:TagUser")
	userGrants(want).permissions(&p, "User")
	p.Delete("iam:ListAccessKeys", "iam:GetLoginProfile", "iam:ListMFADevices", "iam:ListSSHPublicKeys", "iam:ListSigningCertificates",
		"iam:ListServiceSpecificCredentials", "iam:DeleteUser")
	if want.Groups != nil {
		p.Read("iam:ListGroupsForUser")
	}
	p.On = []string{*u.env.ARN(spec.ID{Kind: spec.Group, Name: "*"}, "")}
	p.Delete("iam:RemoveUserFromGroup")
	if want.Groups != nil {
		p.Write("iam:RemoveUserFromGroup")
	}
	if len(want.Groups) > 0 {
		p.On = nil
		for _, name := range want.Groups {
			group := spec.ID{Kind: spec.Group, Name: name}
			// A group has a path, which its name does not tell.
			p.On = append(p.On, *u.env.ARN(group, ""), *u.env.ARN(group, "/*/"))
		}
		p.Write("iam:AddUserToGroup")
	}
	return p.List
}

func (u Users) create(ctx context.Context, want spec.IAMUser, tags map[string]string) error {
	tags = maps.Clone(tags)
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

// Tags reads the tags that a user has now.
func (u Users) Tags(ctx context.Context, want spec.IAMUser) (map[string]string, error) {
	live, err := describeUser(ctx, u.api, want.Name)
	if err != nil || !live.Exists {
		return nil, err
	}
	return live.Is.Tags, nil
}

// Holders lists what a user has that this stack has not given it: whoever made
// that needs the user.
func (u Users) Holders(ctx context.Context, live liveUser, want spec.IAMUser) ([]reconcile.Holder, error) {
	name := &want.Name
	lists := make([][]reconcile.Holder, 6)
	hold := func(i int, what, do string) { lists[i] = append(lists[i], reconcile.Holder{What: what, Do: do}) }
	var reads awsx.Reads
	reads.Go(func() error {
		if live.Is.Tags[keyTag] != "" {
			return nil // the access key's own removal tells which are others'
		}
		keys, err := pagesOf(ctx, iam.NewListAccessKeysPaginator(u.api, &iam.ListAccessKeysInput{UserName: name}),
			func(page *iam.ListAccessKeysOutput) []types.AccessKeyMetadata { return page.AccessKeyMetadata })
		for _, key := range keys {
			id := aws.ToString(key.AccessKeyId)
			hold(0, "it has the access key "+id+", which is not the stack's",
				fmt.Sprintf("if nobody uses it, delete it (aws iam delete-access-key --user-name %s --access-key-id %s)", want.Name, id))
		}
		return gone(err)
	})
	reads.Go(func() error {
		_, err := u.api.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: name})
		if err == nil {
			hold(1, "somebody signs in to the console with it", "delete its password (aws iam delete-login-profile --user-name "+want.Name+")")
		}
		return gone(err)
	})
	reads.Go(func() error {
		devices, err := pagesOf(ctx, iam.NewListMFADevicesPaginator(u.api, &iam.ListMFADevicesInput{UserName: name}),
			func(page *iam.ListMFADevicesOutput) []types.MFADevice { return page.MFADevices })
		for _, d := range devices {
			hold(2, "it has the MFA device "+aws.ToString(d.SerialNumber), "deactivate that")
		}
		return gone(err)
	})
	reads.Go(func() error {
		keys, err := pagesOf(ctx, iam.NewListSSHPublicKeysPaginator(u.api, &iam.ListSSHPublicKeysInput{UserName: name}),
			func(page *iam.ListSSHPublicKeysOutput) []types.SSHPublicKeyMetadata { return page.SSHPublicKeys })
		for _, key := range keys {
			hold(3, "it has the SSH key "+aws.ToString(key.SSHPublicKeyId), "delete that")
		}
		return gone(lacked(err))
	})
	reads.Go(func() error {
		certificates, err := pagesOf(ctx, iam.NewListSigningCertificatesPaginator(u.api, &iam.ListSigningCertificatesInput{UserName: name}),
			func(page *iam.ListSigningCertificatesOutput) []types.SigningCertificate { return page.Certificates })
		for _, c := range certificates {
			hold(4, "it has the signing certificate "+aws.ToString(c.CertificateId), "delete that")
		}
		return gone(lacked(err))
	})
	reads.Go(func() error {
		out, err := u.api.ListServiceSpecificCredentials(ctx, &iam.ListServiceSpecificCredentialsInput{UserName: name})
		if err == nil {
			for _, c := range out.ServiceSpecificCredentials {
				hold(5, "it has the credential "+aws.ToString(c.ServiceSpecificCredentialId)+" for "+aws.ToString(c.ServiceName), "delete that")
			}
		}
		return gone(lacked(err))
	})
	err := reads.Wait()
	holders := slices.Concat(lists...)
	for _, group := range without(live.Is.Groups, want.Groups) {
		holders = append(holders, reconcile.Holder{
			What: "it is in the group " + group + ", which is not by this spec",
			Do:   fmt.Sprintf("take it out (aws iam remove-user-from-group --user-name %s --group-name %s)", want.Name, group),
		})
	}
	return holders, err
}

// lacked takes a call that an endpoint in AWS's place lacks for an empty answer.
func lacked(err error) error {
	if awsx.Lacks(err) {
		return nil
	}
	return err
}

// Delete lists the steps that take a user away, and first what it may do. Its
// access key has an address of its own.
func (u Users) Delete(live liveUser, want spec.IAMUser) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	strip(&steps, userGrants(live.Is), u.grantCalls(want.Name))
	steps.Add("iam:DeleteUser", "delete", []reconcile.Diff{{Path: "name", Before: want.Name}}, onceLetGo(u.env, func(ctx context.Context) error {
		_, err := u.api.DeleteUser(ctx, &iam.DeleteUserInput{UserName: &want.Name})
		return err
	}))
	return u.seen.writes(steps.List), nil
}
