package iam

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A Census is what IAM has in the account, by the page: who there is, with
// what tags, and what is attached to whom. Whoever deletes has to know that of
// all. One is read for all that ask, until something was written, or somebody
// asks a second time.
type Census struct {
	api   DetailsAPI
	mu    sync.Mutex
	page  pages
	fresh bool
	asked map[string]bool
}

// NewCensus prepares a census.
func NewCensus(api DetailsAPI) *Census { return &Census{api: api} }

// read answers who asks.
func (s *Census) read(ctx context.Context, who string) (pages, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fresh || s.asked[who] {
		page, err := readPages(ctx, s.api)
		if err != nil {
			return pages{}, err
		}
		s.page, s.fresh, s.asked = page, true, map[string]bool{}
	}
	s.asked[who] = true
	return s.page, nil
}

// writes has the census forget what it has seen after each of the steps, also
// one that has failed.
func (s *Census) writes(steps []reconcile.Step) []reconcile.Step {
	for i, step := range steps {
		steps[i].Do = func(ctx context.Context) error {
			defer func() {
				s.mu.Lock()
				s.fresh = false
				s.mu.Unlock()
			}()
			return step.Do(ctx)
		}
	}
	return steps
}

// policy reads a policy without its tags, which the pages do not tell.
func (s *Census) policy(ctx context.Context, arn string) (livePolicy, error) {
	page, err := s.read(ctx, "policy "+arn)
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

func (s *Census) role(ctx context.Context, want spec.IAMRole) (liveRole, error) {
	page, err := s.read(ctx, "role "+want.Name)
	detail, ok := page.roles[want.Name]
	if err != nil || !ok {
		return liveRole{}, err
	}
	is, err := detailRole(detail, types.Role{})
	return liveRole{Exists: true, Is: is}, err
}

// userAs reads a user for one of several that ask for it.
func (s *Census) userAs(who string) func(context.Context, string) (liveUser, error) {
	return func(ctx context.Context, name string) (liveUser, error) {
		page, err := s.read(ctx, who+" "+name)
		detail, ok := page.users[name]
		if err != nil || !ok {
			return liveUser{}, err
		}
		return user(detail.UserName, detail.Path, detail.PermissionsBoundary, detail.Tags), nil
	}
}

func (s *Census) granted(ctx context.Context, want spec.IAMUser) (grants, error) {
	page, err := s.read(ctx, "grants of "+want.Name)
	detail, ok := page.users[want.Name]
	if err != nil || !ok {
		return grants{}, err
	}
	return detailGrants(detail)
}

// attached lists who has a policy attached, or for a boundary.
func (s *Census) attached(ctx context.Context, arn string) ([]reconcile.Holder, error) {
	page, err := s.read(ctx, "attachments of "+arn)
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
func (s *Census) profiles(ctx context.Context, role string) ([]reconcile.Holder, error) {
	page, err := s.read(ctx, "profiles of "+role)
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
func (s *Census) trusting(ctx context.Context, arn string) ([]reconcile.Holder, error) {
	page, err := s.read(ctx, "trust in "+arn)
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
