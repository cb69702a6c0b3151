package iam

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

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

	PutUserPermissionsBoundary(context.Context, *iam.PutUserPermissionsBoundaryInput, ...func(*iam.Options)) (*iam.PutUserPermissionsBoundaryOutput, error)
	DeleteUserPermissionsBoundary(context.Context, *iam.DeleteUserPermissionsBoundaryInput, ...func(*iam.Options)) (*iam.DeleteUserPermissionsBoundaryOutput, error)
}

var _ UserAPI = (*iam.Client)(nil)

// User keeps one user, but for the access key, which is a resource of its
// own.
type User struct {
	api  UserAPI
	env  reconcile.Env
	want spec.IAMUser

	base   awsx.Read[*userBase] // nil: absent
	grants awsx.Read[*grants]   // nil: absent
}

// ID is the user's address.
func (u *User) ID() spec.ID { return spec.ID{Kind: spec.User, Name: u.want.Name} }

// Needs lists what the spec's user refers to.
func (u *User) Needs() []spec.ID { return u.want.Needs }

// Plan reads the user and says what is to do.
func (u *User) Plan(ctx context.Context) (reconcile.Plan, error) {
	var live user
	var reads awsx.Reads
	reads.Go(func() (err error) {
		live.base, err = u.base(ctx)
		return err
	})
	reads.Go(func() (err error) {
		live.grants, err = u.grants(ctx)
		return err
	})
	if err := reads.Wait(); err != nil {
		return reconcile.Plan{}, err
	}
	steps, err := u.diff(live)
	return reconcile.Plan{Exists: live.base != nil, Steps: steps}, err
}

type user struct {
	base   *userBase // nil: absent
	grants *grants   // nil: absent
}

// userBase is what the user and its access key both look at.
type userBase struct {
	path     string
	tags     map[string]string
	boundary string
}

func describeUserBase(ctx context.Context, api UserAPI, name string) (*userBase, error) {
	out, err := api.GetUser(ctx, &iam.GetUserInput{UserName: &name})
	if awsx.Code(err) == "NoSuchEntity" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if out.User == nil {
		return nil, awsx.Hollow("iam:GetUser", "User", out.ResultMetadata)
	}
	return &userBase{
		path:     aws.ToString(out.User.Path),
		tags:     tagMap(out.User.Tags),
		boundary: boundaryARN(out.User.PermissionsBoundary),
	}, nil
}

func describeUserGrants(ctx context.Context, api UserAPI, pause awsx.Pause, want spec.IAMUser) (*grants, error) {
	var live grants
	var reads awsx.Reads
	if want.Policies != nil {
		reads.Go(func() error {
			pages := iam.NewListAttachedUserPoliciesPaginator(api, &iam.ListAttachedUserPoliciesInput{UserName: &want.Name})
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
				pages := iam.NewListUserPoliciesPaginator(api, &iam.ListUserPoliciesInput{UserName: &want.Name})
				for pages.HasMorePages() {
					page, err := pages.NextPage(ctx)
					if err != nil {
						return nil, err
					}
					names = append(names, page.PolicyNames...)
				}
				return names, nil
			}, func(ctx context.Context, name string) (string, error) {
				out, err := api.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: &want.Name, PolicyName: &name})
				if err != nil {
					return "", err
				}
				if out.PolicyDocument == nil {
					return "", awsx.Hollow("iam:GetUserPolicy", "PolicyDocument", out.ResultMetadata)
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
	return &live, err
}

func (u *User) diff(live user) ([]reconcile.Step, error) {
	var steps []reconcile.Step
	step := func(call, does string, diffs []reconcile.Diff, do func(context.Context) error) {
		if len(diffs) > 0 {
			steps = append(steps, reconcile.Step{Call: call, Does: does + " " + u.ID().String(), Diffs: diffs, Do: do})
		}
	}
	exists := live.base != nil
	base := live.base
	if !exists {
		base = &userBase{}
	}
	var held grants
	if live.grants != nil {
		held = *live.grants
	}
	held.boundary = base.boundary

	_, _, tags, err := principalTags(u.env, u.want.Tags).Diff(base.tags)
	if err != nil {
		return nil, err
	}
	if !exists {
		diffs := []reconcile.Diff{{Path: "name", After: u.want.Name}}
		if u.want.Path != "" {
			diffs = append(diffs, reconcile.Diff{Path: "path", After: u.want.Path})
		}
		if boundary := aws.ToString(u.want.PermissionsBoundary); boundary != "" {
			diffs = append(diffs, reconcile.Diff{Path: "permissionsBoundary", After: boundary})
		}
		step("iam:CreateUser", "create", append(diffs, tags...), u.create)
		// Set in the create call.
		held.boundary = aws.ToString(u.want.PermissionsBoundary)
	} else {
		if u.want.Path != "" && base.path != u.want.Path {
			return nil, immutablePath(base.path, u.want.Path)
		}
		tagging, err := principalTags(u.env, u.want.Tags).Steps(u.ID(), base.tags, reconcile.TagCalls{
			Tag: "iam:TagUser", Put: func(ctx context.Context, tags map[string]string) error {
				_, err := u.api.TagUser(ctx, &iam.TagUserInput{UserName: &u.want.Name, Tags: tagList(tags)})
				return err
			},
			Untag: "iam:UntagUser", Remove: func(ctx context.Context, keys []string) error {
				_, err := u.api.UntagUser(ctx, &iam.UntagUserInput{UserName: &u.want.Name, TagKeys: keys})
				return err
			},
		})
		if err != nil {
			return nil, err
		}
		steps = append(steps, tagging...)
	}

	granted, err := grantSteps(u.ID(), u.want.Needs, u.env, wantGrants{
		attached: u.want.Policies, inline: u.want.InlinePolicies, boundary: u.want.PermissionsBoundary,
	}, held, u.grantCalls())
	if err != nil {
		return nil, err
	}
	if !exists {
		for i, step := range granted {
			// Attaching has a patience of its own, which knows better.
			if !strings.HasPrefix(step.Call, "iam:Attach") {
				granted[i].Do = onceVisible(u.env, step.Do)
			}
		}
	}
	return append(steps, granted...), nil
}

func (u *User) create(ctx context.Context) error {
	in := &iam.CreateUserInput{
		UserName: &u.want.Name,
		Tags:     tagList(principalTags(u.env, u.want.Tags).Create()),
	}
	if u.want.Path != "" {
		in.Path = &u.want.Path
	}
	if aws.ToString(u.want.PermissionsBoundary) != "" {
		in.PermissionsBoundary = u.want.PermissionsBoundary
	}
	passing := func(err error) bool { return youngBoundary(err, u.want.PermissionsBoundary, u.want.Needs) }
	err := awsx.Patiently(ctx, u.env.Pause, visibleBudget, passing, func(ctx context.Context) error {
		_, err := u.api.CreateUser(ctx, in)
		return err
	})
	return named(err, "user", u.want.Path)
}

func (u *User) grantCalls() grantCalls {
	name := &u.want.Name
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
	}
}
