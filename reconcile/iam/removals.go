package iam

import (
	"context"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Removals makes resources of what is to be deleted under iam, as seen. Of each
// there is the name and the path, of a user also its groups and where its key is
// delivered, of a provider its client ids; what of that has left the spec is not
// known.
func Removals(api API, seen *Census, env reconcile.Env, going spec.IAM, keys Keys) []reconcile.Resource {
	var all []reconcile.Resource
	for _, w := range going.OIDCProviders {
		all = append(all, reconcile.Remove(OIDCProviders{api: api, env: env, seen: seen}, env, w))
	}
	policies := Policies{api: api, env: env, seen: seen}
	policies.read = func(ctx context.Context, want spec.IAMPolicy) (livePolicy, error) {
		live, err := seen.policy(ctx, policyARN(env, want))
		if err != nil || !live.Exists {
			return livePolicy{}, err
		}
		live.Is.Tags, err = policies.Tags(ctx, want)
		live.Exists = live.Is.Tags != nil
		return live, err
	}
	for _, w := range going.Policies {
		all = append(all, reconcile.Remove(policies, env, w))
	}
	for _, w := range going.Roles {
		all = append(all, reconcile.Remove(Roles{api: api, env: env, seen: seen, read: seen.role}, env, w))
	}
	for _, w := range going.Users {
		users := Users{api: api, env: env, seen: seen, read: seen.userAs("user"), granted: seen.granted}
		all = append(all, reconcile.Remove(users, env, w))
		key := &keyRemoval{AccessKey: AccessKey{
			api: api, env: env, user: w.Name, userARN: *env.ARN(w.ID(), w.Path),
			base: func(ctx context.Context) (liveUser, error) { return seen.userAs("key of")(ctx, w.Name) },
		}}
		key.again = func(ctx context.Context, name string) (liveUser, error) { return describeUser(ctx, api, name) }
		if w.AccessKey != nil {
			key.sinks = sinks(keys, env, w)
		}
		all = append(all, key)
	}
	return all
}
