package iam

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// OIDCProviderAPI is what an OpenID Connect provider needs of IAM.
type OIDCProviderAPI interface {
	GetOpenIDConnectProvider(context.Context, *iam.GetOpenIDConnectProviderInput, ...func(*iam.Options)) (*iam.GetOpenIDConnectProviderOutput, error)
	CreateOpenIDConnectProvider(context.Context, *iam.CreateOpenIDConnectProviderInput, ...func(*iam.Options)) (*iam.CreateOpenIDConnectProviderOutput, error)
	AddClientIDToOpenIDConnectProvider(context.Context, *iam.AddClientIDToOpenIDConnectProviderInput, ...func(*iam.Options)) (*iam.AddClientIDToOpenIDConnectProviderOutput, error)
	RemoveClientIDFromOpenIDConnectProvider(context.Context, *iam.RemoveClientIDFromOpenIDConnectProviderInput, ...func(*iam.Options)) (*iam.RemoveClientIDFromOpenIDConnectProviderOutput, error)
	UpdateOpenIDConnectProviderThumbprint(context.Context, *iam.UpdateOpenIDConnectProviderThumbprintInput, ...func(*iam.Options)) (*iam.UpdateOpenIDConnectProviderThumbprintOutput, error)
	TagOpenIDConnectProvider(context.Context, *iam.TagOpenIDConnectProviderInput, ...func(*iam.Options)) (*iam.TagOpenIDConnectProviderOutput, error)
	UntagOpenIDConnectProvider(context.Context, *iam.UntagOpenIDConnectProviderInput, ...func(*iam.Options)) (*iam.UntagOpenIDConnectProviderOutput, error)
}

var _ OIDCProviderAPI = (*iam.Client)(nil)

// OIDCProvider keeps one OpenID Connect provider. There is one of a URL in an
// account, so several stacks have to share it. The stack whose mark it carries
// keeps it whole; any other sees to it that what it needs is there, and takes
// nothing away.
type OIDCProvider struct {
	api  OIDCProviderAPI
	env  reconcile.Env
	want spec.IAMOIDCProvider
}

// ID is the provider's address.
func (p *OIDCProvider) ID() spec.ID { return spec.ID{Kind: spec.OIDCProvider, Name: p.want.URL} }

// Needs lists what the spec's provider refers to.
func (p *OIDCProvider) Needs() []spec.ID { return p.want.Needs }

// Plan reads the provider and says what is to do.
func (p *OIDCProvider) Plan(ctx context.Context) (reconcile.Plan, error) {
	live, err := p.describe(ctx)
	if err != nil {
		return reconcile.Plan{}, err
	}
	return p.diff(live), nil
}

type oidcProvider struct {
	exists      bool
	clientIDs   []string
	thumbprints []string
	tags        map[string]string
}

func (p *OIDCProvider) arn() *string {
	return aws.String(fmt.Sprintf("arn:%s:iam::%s:oidc-provider/%s", p.env.Partition, p.env.Account, p.want.URL))
}

func (p *OIDCProvider) describe(ctx context.Context) (oidcProvider, error) {
	out, err := p.api.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: p.arn()})
	if awsx.Code(err) == "NoSuchEntity" {
		return oidcProvider{}, nil
	}
	if err != nil {
		return oidcProvider{}, err
	}
	if out.Url == nil {
		return oidcProvider{}, awsx.Hollow("iam:GetOpenIDConnectProvider", "Url", out.ResultMetadata)
	}
	return oidcProvider{
		exists: true, clientIDs: out.ClientIDList, thumbprints: out.ThumbprintList, tags: tagMap(out.Tags),
	}, nil
}

func (p *OIDCProvider) diff(live oidcProvider) reconcile.Plan {
	plan := reconcile.Plan{Exists: live.exists}
	step := func(call, does string, diffs []reconcile.Diff, do func(context.Context) error) {
		if len(diffs) > 0 {
			plan.Steps = append(plan.Steps, reconcile.Step{Call: call, Does: does + " " + p.ID().String(), Diffs: diffs, Do: do})
		}
	}

	_, _, tags, err := p.env.Tags(p.want.Tags).Diff(live.tags)
	owned, foreign := errors.AsType[*reconcile.OwnedError](err)
	if foreign {
		plan.Notes = append(plan.Notes, fmt.Sprintf("shared with the stack %q, which keeps its tags, thumbprints and further client ids", owned.Owner))
	}
	if !live.exists {
		diffs := []reconcile.Diff{{Path: "url", After: p.want.URL}}
		for _, id := range p.want.ClientIDList {
			diffs = append(diffs, reconcile.Diff{Path: "clientIDList[" + id + "]", After: id})
		}
		if p.want.ThumbprintList != nil {
			diffs = append(diffs, reconcile.Compare("thumbprintList", nil, set(p.want.ThumbprintList))...)
		}
		step("iam:CreateOpenIDConnectProvider", "create", append(diffs, tags...), p.create)
		return plan
	}

	for _, id := range p.want.ClientIDList {
		if !slices.Contains(live.clientIDs, id) {
			step("iam:AddClientIDToOpenIDConnectProvider", "add client id "+id+" to",
				[]reconcile.Diff{{Path: "clientIDList[" + id + "]", After: id}}, func(ctx context.Context) error {
					_, err := p.api.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: p.arn(), ClientID: &id})
					return err
				})
		}
	}
	if foreign {
		return plan
	}
	for _, id := range slices.Sorted(slices.Values(live.clientIDs)) {
		if p.want.ClientIDList != nil && !slices.Contains(p.want.ClientIDList, id) {
			step("iam:RemoveClientIDFromOpenIDConnectProvider", "remove client id "+id+" from",
				[]reconcile.Diff{{Path: "clientIDList[" + id + "]", Before: id}}, func(ctx context.Context) error {
					_, err := p.api.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: p.arn(), ClientID: &id})
					return err
				})
		}
	}
	if p.want.ThumbprintList != nil {
		step("iam:UpdateOpenIDConnectProviderThumbprint", "set the thumbprints of",
			reconcile.Compare("thumbprintList", set(live.thumbprints), set(p.want.ThumbprintList)), func(ctx context.Context) error {
				_, err := p.api.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: p.arn(), ThumbprintList: p.want.ThumbprintList})
				return err
			})
	}
	// Diff has said already whose the provider is.
	tagging, _ := p.env.Tags(p.want.Tags).Steps(p.ID(), live.tags, reconcile.TagCalls{
		Tag: "iam:TagOpenIDConnectProvider", Put: func(ctx context.Context, tags map[string]string) error {
			_, err := p.api.TagOpenIDConnectProvider(ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: p.arn(), Tags: tagList(tags)})
			return err
		},
		Untag: "iam:UntagOpenIDConnectProvider", Remove: func(ctx context.Context, keys []string) error {
			_, err := p.api.UntagOpenIDConnectProvider(ctx, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: p.arn(), TagKeys: keys})
			return err
		},
	})
	plan.Steps = append(plan.Steps, tagging...)
	return plan
}

func (p *OIDCProvider) create(ctx context.Context) error {
	_, err := p.api.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{
		Url:          aws.String("https://" + p.want.URL),
		ClientIDList: p.want.ClientIDList,
		// Without thumbprints IAM trusts the provider's certificate authority,
		// or fetches the thumbprint itself.
		ThumbprintList: p.want.ThumbprintList,
		Tags:           tagList(p.env.Tags(p.want.Tags).Create()),
	})
	return err
}

// set is a list whose order means nothing, as a tree.
func set(list []string) any {
	tree := make(map[string]any, len(list))
	for _, v := range list {
		tree[v] = v
	}
	return tree
}
