package iam

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// CensusAPI is what a census needs of IAM.
type CensusAPI interface {
	DetailsAPI
	ListOpenIDConnectProviders(context.Context, *iam.ListOpenIDConnectProvidersInput, ...func(*iam.Options)) (*iam.ListOpenIDConnectProvidersOutput, error)
}

// A Census is what IAM has in the account, by the page: who there is, with
// what tags, and what is attached to whom. Whoever deletes has to know that of
// all. One is read for all that ask, until something was written, or somebody
// asks a second time.
type Census struct {
	api   CensusAPI
	mu    sync.Mutex
	page  pages
	fresh bool
	asked map[string]bool
}

// NewCensus prepares a census.
func NewCensus(api CensusAPI) *Census { return &Census{api: api} }

// read answers who asks.
func (c *Census) read(ctx context.Context, who string) (pages, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.fresh || c.asked[who] {
		page, err := readPages(ctx, c.api)
		if err != nil {
			return pages{}, err
		}
		c.page, c.fresh, c.asked = page, true, map[string]bool{}
	}
	c.asked[who] = true
	return c.page, nil
}

// writes has the census forget what it has seen after each of the steps, also
// one that has failed.
func (c *Census) writes(steps []reconcile.Step) []reconcile.Step {
	for i, step := range steps {
		steps[i].Do = func(ctx context.Context) error {
			defer func() {
				c.mu.Lock()
				c.fresh = false
				c.mu.Unlock()
			}()
			return step.Do(ctx)
		}
	}
	return steps
}

// policy reads a policy without its tags, which the pages do not tell.
func (c *Census) policy(ctx context.Context, arn string) (livePolicy, error) {
	page, err := c.read(ctx, "policy "+arn)
	detail, ok := page.policies[arn]
	if err != nil || !ok {
		return livePolicy{}, err
	}
	live, err := detailPolicy(detail, nil)
	if err != nil {
		return livePolicy{}, err
	}
	for _, v := range detail.PolicyVersionList {
		if !v.IsDefaultVersion {
			live.Facts.Others = append(live.Facts.Others, v)
		}
	}
	return *live, nil
}

func (c *Census) role(ctx context.Context, want spec.IAMRole) (liveRole, error) {
	page, err := c.read(ctx, "role "+want.Name)
	detail, ok := page.roles[want.Name]
	if err != nil || !ok {
		return liveRole{}, err
	}
	is, err := detailRole(detail, types.Role{})
	return liveRole{Exists: true, Is: is}, err
}

func (c *Census) group(ctx context.Context, want spec.IAMGroup) (liveGroup, error) {
	page, err := c.read(ctx, "group "+want.Name)
	detail, ok := page.groups[want.Name]
	if err != nil || !ok {
		return liveGroup{}, err
	}
	return liveGroup{Exists: true, Is: spec.IAMGroup{Name: want.Name, Policies: attachedARNs(detail.AttachedManagedPolicies)}}, nil
}

// userAs reads a user for one of several that ask for it.
func (c *Census) userAs(who string) func(context.Context, string) (liveUser, error) {
	return func(ctx context.Context, name string) (liveUser, error) {
		page, err := c.read(ctx, who+" "+name)
		detail, ok := page.users[name]
		if err != nil || !ok {
			return liveUser{}, err
		}
		return user(detail.UserName, detail.Path, detail.PermissionsBoundary, detail.Tags), nil
	}
}

func (c *Census) granted(ctx context.Context, want spec.IAMUser) (grants, error) {
	page, err := c.read(ctx, "grants of "+want.Name)
	detail, ok := page.users[want.Name]
	if err != nil || !ok {
		return grants{}, err
	}
	return detailGrants(detail)
}

// attached lists who has a policy attached, or for a boundary.
func (c *Census) attached(ctx context.Context, arn string) ([]reconcile.Holder, error) {
	page, err := c.read(ctx, "attachments of "+arn)
	if err != nil {
		return nil, err
	}
	var holders []reconcile.Holder
	look := func(kind spec.Kind, name *string, list []types.AttachedPolicy, boundary *types.AttachedPermissionsBoundary) {
		by := spec.ID{Kind: kind, Name: aws.ToString(name)}
		if slices.Contains(attachedARNs(list), arn) {
			holders = append(holders, reconcile.Holder{
				What: "it is attached to " + by.String(), Do: "detach it there",
				By: by, Path: "policies[" + lastSegment(arn) + "]",
			})
		}
		if boundary != nil && aws.ToString(boundary.PermissionsBoundaryArn) == arn {
			holders = append(holders, reconcile.Holder{
				What: "it is the permissions boundary of " + by.String(), Do: "give that another one",
				By: by, Path: "permissionsBoundary",
			})
		}
	}
	for _, r := range page.roles {
		look(spec.Role, r.RoleName, r.AttachedManagedPolicies, r.PermissionsBoundary)
	}
	for _, g := range page.groups {
		look(spec.Group, g.GroupName, g.AttachedManagedPolicies, nil)
	}
	for _, u := range page.users {
		look(spec.User, u.UserName, u.AttachedManagedPolicies, u.PermissionsBoundary)
	}
	return sorted(holders), nil
}

// profiles lists the instance profiles that a role is in.
func (c *Census) profiles(ctx context.Context, role string) ([]reconcile.Holder, error) {
	page, err := c.read(ctx, "profiles of "+role)
	if err != nil {
		return nil, err
	}
	var holders []reconcile.Holder
	for _, p := range page.roles[role].InstanceProfileList {
		name := aws.ToString(p.InstanceProfileName)
		holders = append(holders, reconcile.Holder{
			What: "the instance profile " + name + " has it, and with it whatever instances have that",
			Do:   fmt.Sprintf("take it out (aws iam remove-role-from-instance-profile --instance-profile-name %s --role-name %s)", name, role),
		})
	}
	return sorted(holders), nil
}

// trusting lists the roles whose trust policy names an OpenID Connect provider.
func (c *Census) trusting(ctx context.Context, arn string) ([]reconcile.Holder, error) {
	page, err := c.read(ctx, "trust in "+arn)
	if err != nil {
		return nil, err
	}
	var holders []reconcile.Holder
	for _, r := range page.roles {
		by := spec.ID{Kind: spec.Role, Name: aws.ToString(r.RoleName)}
		document, err := policy.Decode(aws.ToString(r.AssumeRolePolicyDocument))
		if err != nil {
			return nil, fmt.Errorf("trust policy of %s: %w", by, err)
		}
		if strings.Contains(document, `"`+arn+`"`) {
			holders = append(holders, reconcile.Holder{
				What: by.String() + " trusts it", Do: "it is shared, and stays as long as another role needs it", By: by,
			})
		}
	}
	return sorted(holders), nil
}

func sorted(holders []reconcile.Holder) []reconcile.Holder {
	slices.SortFunc(holders, func(a, b reconcile.Holder) int { return strings.Compare(a.What, b.What) })
	return holders
}

// An Entity is something in the account.
type Entity struct {
	ID   spec.ID
	Path string
	Tags map[string]string // nil: not told
}

// Entities are the users, the roles and, without their tags, the customer-managed
// policies and the OpenID Connect providers of the account.
func (c *Census) Entities(ctx context.Context) ([]Entity, error) {
	var all, providers []Entity
	var reads awsx.Reads
	reads.Go(func() error {
		page, err := c.read(ctx, "entities")
		for _, u := range page.users {
			all = append(all, Entity{spec.ID{Kind: spec.User, Name: aws.ToString(u.UserName)}, aws.ToString(u.Path), tagMap(u.Tags)})
		}
		for _, r := range page.roles {
			all = append(all, Entity{spec.ID{Kind: spec.Role, Name: aws.ToString(r.RoleName)}, aws.ToString(r.Path), tagMap(r.Tags)})
		}
		for arn, p := range page.policies {
			all = append(all, Entity{spec.ID{Kind: spec.Policy, Name: lastSegment(arn)}, aws.ToString(p.Path), nil})
		}
		return err
	})
	reads.Go(func() error {
		out, err := c.api.ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{})
		if err != nil {
			return err
		}
		for _, p := range out.OpenIDConnectProviderList {
			_, name, _ := strings.Cut(aws.ToString(p.Arn), ":oidc-provider/")
			providers = append(providers, Entity{ID: spec.ID{Kind: spec.OIDCProvider, Name: name}})
		}
		return nil
	})
	err := reads.Wait()
	return append(all, providers...), err
}
