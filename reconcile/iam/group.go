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

// GroupAPI is what a group needs of IAM.
type GroupAPI interface {
	GetGroup(context.Context, *iam.GetGroupInput, ...func(*iam.Options)) (*iam.GetGroupOutput, error)
	CreateGroup(context.Context, *iam.CreateGroupInput, ...func(*iam.Options)) (*iam.CreateGroupOutput, error)

	ListAttachedGroupPolicies(context.Context, *iam.ListAttachedGroupPoliciesInput, ...func(*iam.Options)) (*iam.ListAttachedGroupPoliciesOutput, error)
	AttachGroupPolicy(context.Context, *iam.AttachGroupPolicyInput, ...func(*iam.Options)) (*iam.AttachGroupPolicyOutput, error)
	DetachGroupPolicy(context.Context, *iam.DetachGroupPolicyInput, ...func(*iam.Options)) (*iam.DetachGroupPolicyOutput, error)

	ListGroupPolicies(context.Context, *iam.ListGroupPoliciesInput, ...func(*iam.Options)) (*iam.ListGroupPoliciesOutput, error)
	GetGroupPolicy(context.Context, *iam.GetGroupPolicyInput, ...func(*iam.Options)) (*iam.GetGroupPolicyOutput, error)
	PutGroupPolicy(context.Context, *iam.PutGroupPolicyInput, ...func(*iam.Options)) (*iam.PutGroupPolicyOutput, error)
	DeleteGroupPolicy(context.Context, *iam.DeleteGroupPolicyInput, ...func(*iam.Options)) (*iam.DeleteGroupPolicyOutput, error)
}

var _ GroupAPI = (*iam.Client)(nil)

type liveGroup = reconcile.Live[spec.IAMGroup, reconcile.NoFacts]

// Groups keeps the groups of an account. Who is in them is the users' to say.
type Groups struct {
	api   GroupAPI
	env   reconcile.Env
	known known
	read  func(context.Context, spec.IAMGroup) (liveGroup, error)
	seen  *Census // where its policies are to be deleted
}

var _ reconcile.Kind[spec.IAMGroup, reconcile.NoFacts] = Groups{}

// Describe reads a group.
func (g Groups) Describe(ctx context.Context, want spec.IAMGroup, all bool) (liveGroup, error) {
	if all {
		want.Policies, want.InlinePolicies = []string{}, map[string]spec.Document{}
		return describeGroup(ctx, g.api, g.env.Pause, want)
	}
	return g.read(ctx, want)
}

func describeGroup(ctx context.Context, api GroupAPI, pause awsx.Pause, want spec.IAMGroup) (liveGroup, error) {
	live := liveGroup{Exists: true}
	var granted grants
	var reads awsx.Reads
	reads.Go(func() error {
		// The answer lists the group's users too, which nobody asks about.
		out, err := api.GetGroup(ctx, &iam.GetGroupInput{GroupName: &want.Name, MaxItems: aws.Int32(1)})
		if err != nil {
			return orAbsent(err)
		}
		if out.Group == nil {
			return awsx.Hollow("iam:GetGroup", "Group", out.ResultMetadata)
		}
		live.Is.Name, live.Is.Path = aws.ToString(out.Group.GroupName), aws.ToString(out.Group.Path)
		return nil
	})
	reads.Go(func() (err error) {
		granted, err = readGrants(ctx, pause, groupGrants(want), groupGrantReads(api, &want.Name))
		return err
	})
	err := reads.Wait()
	if errors.Is(err, errAbsent) {
		return liveGroup{}, nil
	}
	live.Is.Policies, live.Is.InlinePolicies = granted.attached, granted.inline
	return live, err
}

// Complete has nothing to fill in.
func (g Groups) Complete(_ liveGroup, want spec.IAMGroup) (spec.IAMGroup, error) { return want, nil }

// Normal is a group in the form in which groups are compared.
func (g Groups) Normal(group spec.IAMGroup) (map[string]any, error) {
	tree := spec.Tree(group)
	return tree, normalGrants(tree, groupGrants(group))
}

func groupGrants(g spec.IAMGroup) grants {
	return grants{attached: g.Policies, inline: g.InlinePolicies}
}

// Brief leaves out what a new group has.
func (g Groups) Brief(group spec.IAMGroup) spec.IAMGroup {
	granted := groupGrants(group).brief()
	group.Path, group.Policies, group.InlinePolicies = briefPath(group.Path), granted.attached, granted.inline
	return group
}

// Diff lists the steps from live to want. A group has no tags, so that there is
// no telling whose it is: what is there is taken as it is, and kept.
func (g Groups) Diff(live liveGroup, want spec.IAMGroup, c reconcile.Changes) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	if !live.Exists {
		steps.Add("iam:CreateGroup", "create", c.Of("name", "path"), func(ctx context.Context) error { return g.create(ctx, want) })
	} else if len(c.Of("path")) > 0 {
		return nil, immutablePath(live.Is.Path, want.Path)
	}
	grant(&steps, g.env, want.Needs, !live.Exists, groupGrants(live.Is), groupGrants(want), c, g.grantCalls(want.Name))
	return steps.List, nil
}

// Permissions are what a group's calls need.
func (g Groups) Permissions(want spec.IAMGroup) []reconcile.Permission {
	p := reconcile.Permissions{On: []string{*g.env.ARN(want.ID(), want.Path)}}
	p.Read("iam:GetGroup")
	p.Write("iam:CreateGroup")
	groupGrants(want).permissions(&p, "Group")
	return p.List
}

func (g Groups) create(ctx context.Context, want spec.IAMGroup) error {
	in := &iam.CreateGroupInput{GroupName: &want.Name}
	if want.Path != "" {
		in.Path = &want.Path
	}
	_, err := g.api.CreateGroup(ctx, in)
	return named(err, "group", want.Path)
}

func groupGrantReads(api GroupAPI, name *string) grantReads {
	return grantReads{
		kind: "Group",
		attached: func(ctx context.Context) ([]types.AttachedPolicy, error) {
			return pagesOf(ctx, iam.NewListAttachedGroupPoliciesPaginator(api, &iam.ListAttachedGroupPoliciesInput{GroupName: name}),
				func(page *iam.ListAttachedGroupPoliciesOutput) []types.AttachedPolicy { return page.AttachedPolicies })
		},
		inline: func(ctx context.Context) ([]string, error) {
			return pagesOf(ctx, iam.NewListGroupPoliciesPaginator(api, &iam.ListGroupPoliciesInput{GroupName: name}),
				func(page *iam.ListGroupPoliciesOutput) []string { return page.PolicyNames })
		},
		document: func(ctx context.Context, policy string) (*string, middleware.Metadata, error) {
			out, err := api.GetGroupPolicy(ctx, &iam.GetGroupPolicyInput{GroupName: name, PolicyName: &policy})
			if err != nil {
				return nil, middleware.Metadata{}, err
			}
			return out.PolicyDocument, out.ResultMetadata, nil
		},
	}
}

func (g Groups) grantCalls(group string) grantCalls {
	name := &group
	return grantCalls{
		kind: "Group",
		attach: func(ctx context.Context, arn string) error {
			_, err := g.api.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: name, PolicyArn: &arn})
			return err
		},
		detach: func(ctx context.Context, arn string) error {
			_, err := g.api.DetachGroupPolicy(ctx, &iam.DetachGroupPolicyInput{GroupName: name, PolicyArn: &arn})
			return err
		},
		putInline: func(ctx context.Context, policy, document string) error {
			_, err := g.api.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: name, PolicyName: &policy, PolicyDocument: &document})
			return err
		},
		deleteInline: func(ctx context.Context, policy string) error {
			_, err := g.api.DeleteGroupPolicy(ctx, &iam.DeleteGroupPolicyInput{GroupName: name, PolicyName: &policy})
			return err
		},
	}
}

// Tags are none: IAM keeps none of a group.
func (g Groups) Tags(context.Context, spec.IAMGroup) (map[string]string, error) { return nil, nil }

// Holders is not asked: there is no telling whose a group is.
func (g Groups) Holders(context.Context, liveGroup, spec.IAMGroup) ([]reconcile.Holder, error) {
	return nil, nil
}

// Delete is not asked: there is no telling whose a group is.
func (g Groups) Delete(liveGroup, spec.IAMGroup) ([]reconcile.Step, error) {
	return nil, errors.New("a group is never deleted: it carries no mark")
}
