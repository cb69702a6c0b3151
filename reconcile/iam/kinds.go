package iam

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Kinds are IAM's kinds without a spec, to describe what an account has.
type Kinds struct {
	OIDCProviders OIDCProviders
	Policies      Policies // one without a path is found under whichever it has
	Roles         Roles
	Groups        Groups
	Users         Users

	api API
}

// ListPoliciesAPI lists customer-managed policies.
type ListPoliciesAPI interface {
	ListPolicies(context.Context, *iam.ListPoliciesInput, ...func(*iam.Options)) (*iam.ListPoliciesOutput, error)
}

var _ ListPoliciesAPI = (*iam.Client)(nil)

// NewKinds prepares to describe an account.
func NewKinds(api interface {
	API
	ListPoliciesAPI
}, env reconcile.Env,
) Kinds {
	read := oneByOne(api, env, spec.IAM{})
	paths := policyPaths{api: api, call: awsx.NewSingle()}
	byName := func(ctx context.Context, want spec.IAMPolicy) (livePolicy, error) {
		live, err := read.policy(ctx, want)
		if err != nil || live.Exists || want.Path != "" {
			return live, err
		}
		if want.Path, err = paths.of(ctx, want.Name); err != nil || want.Path == "" {
			return livePolicy{}, err
		}
		return read.policy(ctx, want)
	}
	return Kinds{
		OIDCProviders: OIDCProviders{api: api, env: env},
		Policies:      Policies{api: api, env: env, read: byName},
		Roles:         Roles{api: api, env: env, read: read.role},
		Groups:        Groups{api: api, env: env, read: read.group},
		Users:         Users{api: api, env: env, read: read.user, granted: read.granted},
		api:           api,
	}
}

// HasKey says whether a user has an access key, be it inactive.
func (k Kinds) HasKey(ctx context.Context, user string) (bool, error) {
	keys, err := (&AccessKey{api: k.api, user: user}).list(ctx)
	return len(keys) > 0, err
}

// policyPaths finds policies of which only the name is known. IAM has no call
// for that; the list of all is read once, and only where one is not at "/".
type policyPaths struct {
	api    ListPoliciesAPI
	call   awsx.Single
	byName map[string]string
}

// of is the path of a policy, "" where there is none of the name.
func (p *policyPaths) of(ctx context.Context, name string) (string, error) {
	err := p.call.Do(ctx, func() error {
		p.byName = map[string]string{}
		pages := iam.NewListPoliciesPaginator(p.api, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal, MaxItems: aws.Int32(1000)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			if page.Policies == nil {
				return awsx.Hollow("iam:ListPolicies", "Policies", page.ResultMetadata)
			}
			for _, policy := range page.Policies {
				p.byName[aws.ToString(policy.PolicyName)] = aws.ToString(policy.Path)
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return p.byName[name], nil
}
