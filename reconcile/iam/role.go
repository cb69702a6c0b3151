package iam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// RoleAPI is what a role needs of IAM.
type RoleAPI interface {
	GetRole(context.Context, *iam.GetRoleInput, ...func(*iam.Options)) (*iam.GetRoleOutput, error)
	CreateRole(context.Context, *iam.CreateRoleInput, ...func(*iam.Options)) (*iam.CreateRoleOutput, error)
	DeleteRole(context.Context, *iam.DeleteRoleInput, ...func(*iam.Options)) (*iam.DeleteRoleOutput, error)
	UpdateRole(context.Context, *iam.UpdateRoleInput, ...func(*iam.Options)) (*iam.UpdateRoleOutput, error)
	UpdateAssumeRolePolicy(context.Context, *iam.UpdateAssumeRolePolicyInput, ...func(*iam.Options)) (*iam.UpdateAssumeRolePolicyOutput, error)
	TagRole(context.Context, *iam.TagRoleInput, ...func(*iam.Options)) (*iam.TagRoleOutput, error)
	UntagRole(context.Context, *iam.UntagRoleInput, ...func(*iam.Options)) (*iam.UntagRoleOutput, error)

	ListAttachedRolePolicies(context.Context, *iam.ListAttachedRolePoliciesInput, ...func(*iam.Options)) (*iam.ListAttachedRolePoliciesOutput, error)
	AttachRolePolicy(context.Context, *iam.AttachRolePolicyInput, ...func(*iam.Options)) (*iam.AttachRolePolicyOutput, error)
	DetachRolePolicy(context.Context, *iam.DetachRolePolicyInput, ...func(*iam.Options)) (*iam.DetachRolePolicyOutput, error)

	ListRolePolicies(context.Context, *iam.ListRolePoliciesInput, ...func(*iam.Options)) (*iam.ListRolePoliciesOutput, error)
	GetRolePolicy(context.Context, *iam.GetRolePolicyInput, ...func(*iam.Options)) (*iam.GetRolePolicyOutput, error)
	PutRolePolicy(context.Context, *iam.PutRolePolicyInput, ...func(*iam.Options)) (*iam.PutRolePolicyOutput, error)
	DeleteRolePolicy(context.Context, *iam.DeleteRolePolicyInput, ...func(*iam.Options)) (*iam.DeleteRolePolicyOutput, error)

	PutRolePermissionsBoundary(context.Context, *iam.PutRolePermissionsBoundaryInput, ...func(*iam.Options)) (*iam.PutRolePermissionsBoundaryOutput, error)
	DeleteRolePermissionsBoundary(context.Context, *iam.DeleteRolePermissionsBoundaryInput, ...func(*iam.Options)) (*iam.DeleteRolePermissionsBoundaryOutput, error)
}

var _ RoleAPI = (*iam.Client)(nil)

type liveRole = reconcile.Live[spec.IAMRole, reconcile.NoFacts]

// Roles keeps the roles of an account.
type Roles struct {
	api   RoleAPI
	env   reconcile.Env
	known known
	read  func(context.Context, spec.IAMRole) (liveRole, error)
	seen  *Census // where one is to be deleted
}

var _ reconcile.Kind[spec.IAMRole, reconcile.NoFacts] = Roles{}

// Describe reads a role.
func (r Roles) Describe(ctx context.Context, want spec.IAMRole, all bool) (liveRole, error) {
	if all {
		want.Policies, want.InlinePolicies = []string{}, map[string]spec.Document{}
		return describeRole(ctx, r.api, r.env.Pause, want)
	}
	return r.read(ctx, want)
}

func describeRole(ctx context.Context, api RoleAPI, pause awsx.Pause, want spec.IAMRole) (liveRole, error) {
	live := liveRole{Exists: true}
	var g grants
	var reads awsx.Reads
	reads.Go(func() error {
		out, err := api.GetRole(ctx, &iam.GetRoleInput{RoleName: &want.Name})
		if err != nil {
			return orAbsent(err)
		}
		if out.Role == nil || out.Role.AssumeRolePolicyDocument == nil {
			return awsx.Hollow("iam:GetRole", "Role with its AssumeRolePolicyDocument", out.ResultMetadata)
		}
		live.Is, err = role(*out.Role)
		return err
	})
	reads.Go(func() (err error) {
		g, err = readGrants(ctx, pause, roleGrants(want), roleGrantReads(api, &want.Name))
		return err
	})
	err := reads.Wait()
	if errors.Is(err, errAbsent) {
		return liveRole{}, nil
	}
	live.Is.Policies, live.Is.InlinePolicies = g.attached, g.inline
	return live, err
}

// role is a role as a spec would declare it, but for what it is granted.
func role(r types.Role) (spec.IAMRole, error) {
	trust, err := policy.Decode(aws.ToString(r.AssumeRolePolicyDocument))
	return spec.IAMRole{
		Meta: spec.Meta{Tags: tagMap(r.Tags)}, Name: aws.ToString(r.RoleName), Path: aws.ToString(r.Path),
		Description: aws.String(aws.ToString(r.Description)), MaxSessionDuration: r.MaxSessionDuration,
		PermissionsBoundary: boundaryARN(r.PermissionsBoundary), AssumeRolePolicy: spec.Document(trust),
	}, err
}

// Complete has nothing to fill in.
func (r Roles) Complete(_ liveRole, want spec.IAMRole) (spec.IAMRole, error) { return want, nil }

// Normal is a role in the form in which roles are compared. Its short form of
// trust stands in assumeRolePolicy.
func (r Roles) Normal(role spec.IAMRole) (map[string]any, error) {
	tree := spec.Tree(role)
	delete(tree, "trust")
	if err := normalGrants(tree, roleGrants(role)); err != nil {
		return nil, err
	}
	return tree, policy.Normal(tree, "assumeRolePolicy")
}

func roleGrants(r spec.IAMRole) grants {
	return grants{boundary: r.PermissionsBoundary, attached: r.Policies, inline: r.InlinePolicies}
}

// defaultSession is how long a session of a role may be, in seconds, unless it
// says otherwise.
const defaultSession = 3600

// Brief leaves out what a new role has.
func (r Roles) Brief(role spec.IAMRole) spec.IAMRole {
	role.Path, role.Description = briefPath(role.Path), briefText(role.Description)
	if aws.ToInt32(role.MaxSessionDuration) == defaultSession {
		role.MaxSessionDuration = nil
	}
	g := roleGrants(role).brief()
	role.PermissionsBoundary, role.Policies, role.InlinePolicies = g.boundary, g.attached, g.inline
	return role
}

// Diff lists the steps from live to want.
func (r Roles) Diff(live liveRole, want spec.IAMRole, c reconcile.Changes) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	if !live.Exists {
		lines := c.Of("name", "description", "maxSessionDuration", "permissionsBoundary", "path", "assumeRolePolicy")
		steps.Add("iam:CreateRole", "create", append(lines, c.Tags.Lines...), func(ctx context.Context) error { return r.create(ctx, want, c.Tags.Put) })
	} else {
		if len(c.Of("path")) > 0 {
			return nil, immutablePath(live.Is.Path, want.Path)
		}
		steps.Add("iam:UpdateAssumeRolePolicy", "set the trust policy of", c.Of("assumeRolePolicy"), func(ctx context.Context) error { return r.updateTrust(ctx, want) })
		// Both fields are sent: UpdateRole without a duration sets it to an hour.
		steps.Add("iam:UpdateRole", "update", c.Of("description", "maxSessionDuration"), func(ctx context.Context) error {
			_, err := r.api.UpdateRole(ctx, &iam.UpdateRoleInput{
				RoleName: &want.Name, Description: want.Description, MaxSessionDuration: want.MaxSessionDuration,
			})
			return err
		})
	}
	grant(&steps, r.env, want.Needs, !live.Exists, roleGrants(live.Is), roleGrants(want), c, r.grantCalls(want.Name))
	if live.Exists {
		steps.Tag(c.Tags,
			"iam:TagRole", func(ctx context.Context) error {
				_, err := r.api.TagRole(ctx, &iam.TagRoleInput{RoleName: &want.Name, Tags: tagList(c.Tags.Put)})
				return err
			},
			"iam:UntagRole", func(ctx context.Context) error {
				_, err := r.api.UntagRole(ctx, &iam.UntagRoleInput{RoleName: &want.Name, TagKeys: c.Tags.Remove})
				return err
			})
	}
	return steps.List, nil
}

// Permissions are what a role's calls need.
func (r Roles) Permissions(want spec.IAMRole) []reconcile.Permission {
	p := reconcile.Permissions{On: []string{*r.env.ARN(want.ID(), want.Path)}}
	p.Read("iam:GetRole")
	p.Write("iam:CreateRole", "iam:TagRole", "iam:UntagRole")
	p.Also(reconcile.Writing, "iam:CreateRole", "iam:TagRole")
	if want.AssumeRolePolicy.Given() {
		p.Write("iam:UpdateAssumeRolePolicy")
	}
	if want.Description != nil || want.MaxSessionDuration != nil {
		p.Write("iam:UpdateRole")
	}
	roleGrants(want).permissions(&p, "Role")
	p.Delete("iam:DeleteRole")
	return p.List
}

// trustBudget covers a principal that was created a moment ago: IAM refuses a
// trust policy that names it until it knows it everywhere.
const trustBudget = 2 * time.Minute

func trustPassing(err error, needs []spec.ID) bool {
	// Only a principal of this spec can be so young.
	ours := slices.ContainsFunc(needs, func(id spec.ID) bool { return id.Kind == spec.Role || id.Kind == spec.User })
	return ours && strings.HasPrefix(awsx.Code(err), "MalformedPolicyDocument") && awsx.Mentions(err, "invalid principal")
}

func (r Roles) create(ctx context.Context, want spec.IAMRole, tags map[string]string) error {
	in := &iam.CreateRoleInput{
		RoleName:                 &want.Name,
		Description:              want.Description,
		AssumeRolePolicyDocument: aws.String(string(want.AssumeRolePolicy)),
		MaxSessionDuration:       want.MaxSessionDuration,
		Tags:                     tagList(tags),
	}
	if want.Path != "" {
		in.Path = &want.Path
	}
	if aws.ToString(want.PermissionsBoundary) != "" {
		in.PermissionsBoundary = want.PermissionsBoundary
	}
	passing := func(err error) bool {
		return trustPassing(err, want.Needs) || youngBoundary(err, want.PermissionsBoundary, want.Needs)
	}
	err := awsx.Patiently(ctx, r.env.Pause, trustBudget, passing, func(ctx context.Context) error {
		_, err := r.api.CreateRole(ctx, in)
		return err
	})
	return named(err, "role", want.Path)
}

func (r Roles) updateTrust(ctx context.Context, want spec.IAMRole) error {
	return awsx.Patiently(ctx, r.env.Pause, trustBudget, func(err error) bool { return trustPassing(err, want.Needs) }, func(ctx context.Context) error {
		_, err := r.api.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{
			RoleName: &want.Name, PolicyDocument: aws.String(string(want.AssumeRolePolicy)),
		})
		return err
	})
}

func roleGrantReads(api RoleAPI, name *string) grantReads {
	return grantReads{
		kind: "Role",
		attached: func(ctx context.Context) ([]types.AttachedPolicy, error) {
			return pagesOf(ctx, iam.NewListAttachedRolePoliciesPaginator(api, &iam.ListAttachedRolePoliciesInput{RoleName: name}),
				func(page *iam.ListAttachedRolePoliciesOutput) []types.AttachedPolicy { return page.AttachedPolicies })
		},
		inline: func(ctx context.Context) ([]string, error) {
			return pagesOf(ctx, iam.NewListRolePoliciesPaginator(api, &iam.ListRolePoliciesInput{RoleName: name}),
				func(page *iam.ListRolePoliciesOutput) []string { return page.PolicyNames })
		},
		document: func(ctx context.Context, policy string) (*string, middleware.Metadata, error) {
			out, err := api.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: &policy})
			if err != nil {
				return nil, middleware.Metadata{}, err
			}
			return out.PolicyDocument, out.ResultMetadata, nil
		},
	}
}

func (r Roles) grantCalls(role string) grantCalls {
	name := &role
	return grantCalls{
		kind: "Role",
		attach: func(ctx context.Context, arn string) error {
			_, err := r.api.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: &arn})
			return err
		},
		detach: func(ctx context.Context, arn string) error {
			_, err := r.api.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: &arn})
			return err
		},
		putInline: func(ctx context.Context, policy, document string) error {
			_, err := r.api.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: &policy, PolicyDocument: &document})
			return err
		},
		deleteInline: func(ctx context.Context, policy string) error {
			_, err := r.api.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: &policy})
			return err
		},
		putBoundary: func(ctx context.Context, arn string) error {
			_, err := r.api.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: &arn})
			return err
		},
		deleteBoundary: func(ctx context.Context) error {
			_, err := r.api.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: name})
			return gone(err)
		},
	}
}

func immutablePath(is, want string) error {
	return fmt.Errorf("path is %q and cannot change to %q: IAM has no call for it; say path: %s in the spec, or choose another name", is, want, is)
}

// Tags reads the tags that a role has now.
func (r Roles) Tags(ctx context.Context, want spec.IAMRole) (map[string]string, error) {
	out, err := r.api.GetRole(ctx, &iam.GetRoleInput{RoleName: &want.Name})
	if awsx.Code(err) == "NoSuchEntity" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if out.Role == nil {
		return nil, awsx.Hollow("iam:GetRole", "Role", out.ResultMetadata)
	}
	return tagMap(out.Role.Tags), nil
}

// Holders lists the instance profiles that have the role.
func (r Roles) Holders(ctx context.Context, _ liveRole, want spec.IAMRole) ([]reconcile.Holder, error) {
	return r.seen.profiles(ctx, want.Name)
}

// Delete lists the steps that take a role away, and first what it may do.
func (r Roles) Delete(live liveRole, want spec.IAMRole) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	strip(&steps, roleGrants(live.Is), r.grantCalls(want.Name))
	steps.Add("iam:DeleteRole", "delete", []reconcile.Diff{{Path: "name", Before: want.Name}}, onceLetGo(r.env, func(ctx context.Context) error {
		_, err := r.api.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &want.Name})
		return err
	}))
	return r.seen.writes(steps.List), nil
}
