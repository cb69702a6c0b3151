package iam

import (
	"context"
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
	DeleteOpenIDConnectProvider(context.Context, *iam.DeleteOpenIDConnectProviderInput, ...func(*iam.Options)) (*iam.DeleteOpenIDConnectProviderOutput, error)
	AddClientIDToOpenIDConnectProvider(context.Context, *iam.AddClientIDToOpenIDConnectProviderInput, ...func(*iam.Options)) (*iam.AddClientIDToOpenIDConnectProviderOutput, error)
	RemoveClientIDFromOpenIDConnectProvider(context.Context, *iam.RemoveClientIDFromOpenIDConnectProviderInput, ...func(*iam.Options)) (*iam.RemoveClientIDFromOpenIDConnectProviderOutput, error)
	UpdateOpenIDConnectProviderThumbprint(context.Context, *iam.UpdateOpenIDConnectProviderThumbprintInput, ...func(*iam.Options)) (*iam.UpdateOpenIDConnectProviderThumbprintOutput, error)
	TagOpenIDConnectProvider(context.Context, *iam.TagOpenIDConnectProviderInput, ...func(*iam.Options)) (*iam.TagOpenIDConnectProviderOutput, error)
	UntagOpenIDConnectProvider(context.Context, *iam.UntagOpenIDConnectProviderInput, ...func(*iam.Options)) (*iam.UntagOpenIDConnectProviderOutput, error)
}

var _ OIDCProviderAPI = (*iam.Client)(nil)

type liveOIDCProvider = reconcile.Live[spec.IAMOIDCProvider, reconcile.NoFacts]

// OIDCProviders keeps the OpenID Connect providers of an account. There is one
// of a URL, so several stacks have to share it. The stack whose mark it carries
// keeps it whole; any other sees to it that what it needs is there, and takes
// nothing away.
type OIDCProviders struct {
	api  OIDCProviderAPI
	env  reconcile.Env
	seen *Census // where one is to be deleted
}

var (
	_ reconcile.Kind[spec.IAMOIDCProvider, reconcile.NoFacts] = OIDCProviders{}
	_ reconcile.Sharer                                        = OIDCProviders{}
)

// Shared says that another stack's provider serves this one too.
func (p OIDCProviders) Shared() {}

// Describe reads a provider. One call answers with all of it.
func (p OIDCProviders) Describe(ctx context.Context, want spec.IAMOIDCProvider, _ bool) (liveOIDCProvider, error) {
	out, err := p.api.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: p.env.ARN(want.ID(), "")})
	if awsx.Code(err) == "NoSuchEntity" {
		return liveOIDCProvider{}, nil
	}
	if err != nil {
		return liveOIDCProvider{}, err
	}
	if out.Url == nil {
		return liveOIDCProvider{}, awsx.Hollow("iam:GetOpenIDConnectProvider", "Url", out.ResultMetadata)
	}
	live := liveOIDCProvider{Exists: true, Is: spec.IAMOIDCProvider{
		Meta: spec.Meta{Tags: tagMap(out.Tags)}, URL: want.URL, ClientIDList: out.ClientIDList, ThumbprintList: out.ThumbprintList,
	}}
	if owner, marked := live.Is.Tags[reconcile.Mark]; marked && owner != p.env.Stack {
		live.Notes = []string{fmt.Sprintf("shared with the stack %q, which keeps its tags, thumbprints and further client ids", owner)}
	}
	return live, nil
}

// Complete has nothing to fill in.
func (p OIDCProviders) Complete(_ liveOIDCProvider, want spec.IAMOIDCProvider) (spec.IAMOIDCProvider, error) {
	return want, nil
}

// Normal is a provider in the form in which providers are compared.
func (p OIDCProviders) Normal(provider spec.IAMOIDCProvider) (map[string]any, error) {
	tree := spec.Tree(provider)
	tree["clientIDList"] = reconcile.Set(provider.ClientIDList)
	thumbprints := map[string]any{}
	for _, t := range provider.ThumbprintList {
		thumbprints[t] = t
	}
	tree["thumbprintList"] = thumbprints
	return tree, nil
}

// Brief leaves out the thumbprints, which IAM finds out where none are given.
func (p OIDCProviders) Brief(provider spec.IAMOIDCProvider) spec.IAMOIDCProvider {
	provider.ThumbprintList = nil
	return provider
}

// Diff lists the steps from live to want.
func (p OIDCProviders) Diff(live liveOIDCProvider, want spec.IAMOIDCProvider, c reconcile.Changes) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	arn := p.env.ARN(want.ID(), "")
	if !live.Exists {
		lines := c.Of("url")
		for _, id := range want.ClientIDList {
			lines = append(lines, c.Under("clientIDList["+id+"]")...)
		}
		steps.Add("iam:CreateOpenIDConnectProvider", "create", append(append(lines, c.Of("thumbprintList")...), c.Tags.Lines...),
			func(ctx context.Context) error { return p.create(ctx, want, c.Tags.Put) })
		return steps.List, nil
	}
	for _, id := range want.ClientIDList {
		if !slices.Contains(live.Is.ClientIDList, id) {
			steps.Add("iam:AddClientIDToOpenIDConnectProvider", "add client id "+id+" to", c.Under("clientIDList["+id+"]"), func(ctx context.Context) error {
				_, err := p.api.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: &id})
				return err
			})
		}
	}
	if c.Owner != "" {
		return steps.List, nil
	}
	for _, id := range slices.Sorted(slices.Values(live.Is.ClientIDList)) {
		if !slices.Contains(want.ClientIDList, id) {
			steps.Add("iam:RemoveClientIDFromOpenIDConnectProvider", "remove client id "+id+" from", c.Under("clientIDList["+id+"]"), func(ctx context.Context) error {
				_, err := p.api.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: &id})
				return err
			})
		}
	}
	steps.Add("iam:UpdateOpenIDConnectProviderThumbprint", "set the thumbprints of", c.Of("thumbprintList"), func(ctx context.Context) error {
		_, err := p.api.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: arn, ThumbprintList: want.ThumbprintList})
		return err
	})
	steps.Tag(c.Tags,
		"iam:TagOpenIDConnectProvider", func(ctx context.Context) error {
			_, err := p.api.TagOpenIDConnectProvider(ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, Tags: tagList(c.Tags.Put)})
			return err
		},
		"iam:UntagOpenIDConnectProvider", func(ctx context.Context) error {
			_, err := p.api.UntagOpenIDConnectProvider(ctx, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, TagKeys: c.Tags.Remove})
			return err
		})
	return steps.List, nil
}

// Permissions are what a provider's calls need.
func (p OIDCProviders) Permissions(want spec.IAMOIDCProvider) []reconcile.Permission {
	n := reconcile.Permissions{On: []string{*p.env.ARN(want.ID(), "")}}
	n.Read("iam:GetOpenIDConnectProvider")
	n.Write("iam:CreateOpenIDConnectProvider", "iam:AddClientIDToOpenIDConnectProvider", "iam:RemoveClientIDFromOpenIDConnectProvider",
		"iam:TagOpenIDConnectProvider", "iam:UntagOpenIDConnectProvider")
	n.Also(reconcile.Writing, "iam:CreateOpenIDConnectProvider", "iam:TagOpenIDConnectProvider")
	n.Delete("iam:DeleteOpenIDConnectProvider")
	if want.ThumbprintList != nil {
		n.Write("iam:UpdateOpenIDConnectProviderThumbprint")
	}
	return n.List
}

func (p OIDCProviders) create(ctx context.Context, want spec.IAMOIDCProvider, tags map[string]string) error {
	_, err := p.api.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{
		Url:          aws.String("https://" + want.URL),
		ClientIDList: want.ClientIDList,
		// Without thumbprints IAM trusts the provider's certificate authority,
		// or fetches the thumbprint itself.
		ThumbprintList: want.ThumbprintList,
		Tags:           tagList(tags),
	})
	return err
}

// Tags reads the tags that a provider has now.
func (p OIDCProviders) Tags(ctx context.Context, want spec.IAMOIDCProvider) (map[string]string, error) {
	live, err := p.Describe(ctx, want, false)
	if err != nil || !live.Exists {
		return nil, err
	}
	return live.Is.Tags, nil
}

// Holders lists whom else a provider serves: the roles that trust it, and client
// ids that another stack has added.
func (p OIDCProviders) Holders(ctx context.Context, live liveOIDCProvider, want spec.IAMOIDCProvider) ([]reconcile.Holder, error) {
	holders, err := p.seen.trusting(ctx, *p.env.ARN(want.ID(), ""))
	for _, id := range without(live.Is.ClientIDList, want.ClientIDList) {
		if want.ClientIDList != nil {
			holders = append(holders, reconcile.Holder{
				What: "it has the client id " + id + ", which is none of this spec's", Do: "take that away if nobody needs it",
			})
		}
	}
	return holders, err
}

// Delete lists the step that takes a provider away.
func (p OIDCProviders) Delete(_ liveOIDCProvider, want spec.IAMOIDCProvider) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	steps.Add("iam:DeleteOpenIDConnectProvider", "delete", []reconcile.Diff{{Path: "url", Before: want.URL}}, onceLetGo(p.env, func(ctx context.Context) error {
		_, err := p.api.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: p.env.ARN(want.ID(), "")})
		return err
	}))
	return p.seen.writes(steps.List), nil
}
