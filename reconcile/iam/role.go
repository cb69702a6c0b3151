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

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// RoleAPI is what a role needs of IAM.
type RoleAPI interface {
	GetRole(context.Context, *iam.GetRoleInput, ...func(*iam.Options)) (*iam.GetRoleOutput, error)
	CreateRole(context.Context, *iam.CreateRoleInput, ...func(*iam.Options)) (*iam.CreateRoleOutput, error)
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

// Role keeps one role.
type Role struct {
	api  RoleAPI
	env  reconcile.Env
	want spec.IAMRole
	read awsx.Read[*role] // nil: absent
}

// ID is the role's address.
func (r *Role) ID() spec.ID { return spec.ID{Kind: spec.Role, Name: r.want.Name} }

// Needs lists what the spec's role refers to.
func (r *Role) Needs() []spec.ID { return r.want.Needs }

// Plan reads the role and says what is to do.
func (r *Role) Plan(ctx context.Context) (reconcile.Plan, error) {
	live, err := r.read(ctx)
	if err != nil {
		return reconcile.Plan{}, err
	}
	steps, err := r.diff(live)
	return reconcile.Plan{Exists: live != nil, Steps: steps}, err
}

// role is what IAM has. What the spec does not manage may be missing.
type role struct {
	path               string
	description        string
	maxSessionDuration int32
	trust              string
	tags               map[string]string
	grants
}

func describeRole(ctx context.Context, api RoleAPI, pause awsx.Pause, want spec.IAMRole) (*role, error) {
	var live role
	var reads awsx.Reads
	reads.Go(func() error {
		out, err := api.GetRole(ctx, &iam.GetRoleInput{RoleName: &want.Name})
		if err != nil {
			return orAbsent(err)
		}
		if out.Role == nil || out.Role.AssumeRolePolicyDocument == nil {
			return awsx.Hollow("iam:GetRole", "Role with its AssumeRolePolicyDocument", out.ResultMetadata)
		}
		live.path = aws.ToString(out.Role.Path)
		live.description = aws.ToString(out.Role.Description)
		live.maxSessionDuration = aws.ToInt32(out.Role.MaxSessionDuration)
		live.tags = tagMap(out.Role.Tags)
		live.boundary = boundaryARN(out.Role.PermissionsBoundary)
		live.trust, err = policy.Decode(aws.ToString(out.Role.AssumeRolePolicyDocument))
		return err
	})
	if want.Policies != nil {
		reads.Go(func() error {
			pages := iam.NewListAttachedRolePoliciesPaginator(api, &iam.ListAttachedRolePoliciesInput{RoleName: &want.Name})
			for pages.HasMorePages() {
				page, err := pages.NextPage(ctx)
				if err != nil {
					return orAbsent(err)
				}
				live.attached = append(live.attached, attachedARNs(page.AttachedPolicies)...)
			}
			return nil
		})
	}
	if want.InlinePolicies != nil {
		reads.Go(func() (err error) {
			live.inline, err = inlinePolicies(ctx, pause, func(ctx context.Context) ([]string, error) {
				var names []string
				pages := iam.NewListRolePoliciesPaginator(api, &iam.ListRolePoliciesInput{RoleName: &want.Name})
				for pages.HasMorePages() {
					page, err := pages.NextPage(ctx)
					if err != nil {
						return nil, err
					}
					names = append(names, page.PolicyNames...)
				}
				return names, nil
			}, func(ctx context.Context, name string) (string, error) {
				out, err := api.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &want.Name, PolicyName: &name})
				if err != nil {
					return "", err
				}
				if out.PolicyDocument == nil {
					return "", awsx.Hollow("iam:GetRolePolicy", "PolicyDocument", out.ResultMetadata)
				}
				return *out.PolicyDocument, nil
			})
			return err
		})
	}
	err := reads.Wait()
	if errors.Is(err, errAbsent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &live, nil
}

func (r *Role) diff(live *role) ([]reconcile.Step, error) {
	var steps []reconcile.Step
	step := func(call, does string, diffs []reconcile.Diff, do func(context.Context) error) {
		if len(diffs) > 0 {
			steps = append(steps, reconcile.Step{Call: call, Does: does + " " + r.ID().String(), Diffs: diffs, Do: do})
		}
	}
	exists := live != nil
	if !exists {
		live = &role{}
	}

	_, _, tags, err := principalTags(r.env, r.want.Tags).Diff(live.tags)
	if err != nil {
		return nil, err
	}
	trust, err := policy.Diff("assumeRolePolicy", nilIfEmpty(live.trust), r.want.AssumeRolePolicy)
	if err != nil {
		return nil, err
	}
	if !exists {
		diffs := append([]reconcile.Diff{{Path: "name", After: r.want.Name}}, r.attributes(nil)...)
		if r.want.Path != "" {
			diffs = append(diffs, reconcile.Diff{Path: "path", After: r.want.Path})
		}
		step("iam:CreateRole", "create", append(append(diffs, trust...), tags...), r.create)
		// Set in the create call.
		live.boundary = aws.ToString(r.want.PermissionsBoundary)
	} else {
		if r.want.Path != "" && live.path != r.want.Path {
			return nil, immutablePath(live.path, r.want.Path)
		}
		step("iam:UpdateAssumeRolePolicy", "set the trust policy of", trust, r.updateTrust)
		step("iam:UpdateRole", "update", r.attributes(live), func(ctx context.Context) error { return r.update(ctx, live) })
		tagging, err := principalTags(r.env, r.want.Tags).Steps(r.ID(), live.tags, reconcile.TagCalls{
			Tag: "iam:TagRole", Put: func(ctx context.Context, tags map[string]string) error {
				_, err := r.api.TagRole(ctx, &iam.TagRoleInput{RoleName: &r.want.Name, Tags: tagList(tags)})
				return err
			},
			Untag: "iam:UntagRole", Remove: func(ctx context.Context, keys []string) error {
				_, err := r.api.UntagRole(ctx, &iam.UntagRoleInput{RoleName: &r.want.Name, TagKeys: keys})
				return err
			},
		})
		if err != nil {
			return nil, err
		}
		steps = append(steps, tagging...)
	}

	granted, err := grantSteps(r.ID(), r.want.Needs, r.env, wantGrants{
		attached: r.want.Policies, inline: r.want.InlinePolicies, boundary: r.want.PermissionsBoundary,
	}, live.grants, r.grantCalls())
	if err != nil {
		return nil, err
	}
	if !exists {
		for i, step := range granted {
			// Attaching has a patience of its own, which knows better.
			if !strings.HasPrefix(step.Call, "iam:Attach") {
				granted[i].Do = onceVisible(r.env, step.Do)
			}
		}
	}
	return append(steps, granted...), nil
}

// attributes compares what UpdateRole writes; live is nil for a new role.
func (r *Role) attributes(live *role) []reconcile.Diff {
	before, after := map[string]any{}, map[string]any{}
	if r.want.Description != nil {
		after["description"] = reconcile.OrNil(*r.want.Description)
		if live != nil {
			before["description"] = reconcile.OrNil(live.description)
		}
	}
	if r.want.MaxSessionDuration != nil {
		after["maxSessionDuration"] = *r.want.MaxSessionDuration
		if live != nil {
			before["maxSessionDuration"] = live.maxSessionDuration
		}
	}
	if live == nil && r.want.PermissionsBoundary != nil {
		after["permissionsBoundary"] = reconcile.OrNil(*r.want.PermissionsBoundary)
	}
	return reconcile.Compare("", before, after)
}

// trustBudget covers a principal that was created a moment ago: IAM refuses a
// trust policy that names it until it knows it everywhere.
const trustBudget = 2 * time.Minute

func (r *Role) trustPassing(err error) bool {
	// Only a principal of this spec can be so young.
	ours := slices.ContainsFunc(r.want.Needs, func(id spec.ID) bool { return id.Kind == spec.Role || id.Kind == spec.User })
	return ours && strings.HasPrefix(awsx.Code(err), "MalformedPolicyDocument") && awsx.Mentions(err, "invalid principal")
}

func (r *Role) create(ctx context.Context) error {
	in := &iam.CreateRoleInput{
		RoleName:                 &r.want.Name,
		Description:              r.want.Description,
		AssumeRolePolicyDocument: aws.String(string(r.want.AssumeRolePolicy)),
		MaxSessionDuration:       r.want.MaxSessionDuration,
		Tags:                     tagList(principalTags(r.env, r.want.Tags).Create()),
	}
	if r.want.Path != "" {
		in.Path = &r.want.Path
	}
	if aws.ToString(r.want.PermissionsBoundary) != "" {
		in.PermissionsBoundary = r.want.PermissionsBoundary
	}
	passing := func(err error) bool {
		return r.trustPassing(err) || youngBoundary(err, r.want.PermissionsBoundary, r.want.Needs)
	}
	err := awsx.Patiently(ctx, r.env.Pause, trustBudget, passing, func(ctx context.Context) error {
		_, err := r.api.CreateRole(ctx, in)
		return err
	})
	return named(err, "role", r.want.Path)
}

func (r *Role) updateTrust(ctx context.Context) error {
	return awsx.Patiently(ctx, r.env.Pause, trustBudget, r.trustPassing, func(ctx context.Context) error {
		_, err := r.api.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{
			RoleName: &r.want.Name, PolicyDocument: aws.String(string(r.want.AssumeRolePolicy)),
		})
		return err
	})
}

// update sends both fields: UpdateRole without a duration sets it to an hour.
func (r *Role) update(ctx context.Context, live *role) error {
	in := &iam.UpdateRoleInput{
		RoleName: &r.want.Name, Description: &live.description, MaxSessionDuration: &live.maxSessionDuration,
	}
	if r.want.Description != nil {
		in.Description = r.want.Description
	}
	if r.want.MaxSessionDuration != nil {
		in.MaxSessionDuration = r.want.MaxSessionDuration
	}
	_, err := r.api.UpdateRole(ctx, in)
	return err
}

func (r *Role) grantCalls() grantCalls {
	name := &r.want.Name
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

func nilIfEmpty(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}
