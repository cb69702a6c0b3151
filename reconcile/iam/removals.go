package iam

import (
	"context"
	"slices"

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
	for _, w := range going.Groups {
		all = append(all, &release{Groups{api: api, env: env, seen: seen, read: seen.group}, w})
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

// release lets a group go of the policies that the spec has attached to it, which
// could not be deleted otherwise. The group itself stays: it has no tags, so that
// there is no telling whose it is.
type release struct {
	groups Groups
	want   spec.IAMGroup
}

// ID is the group's address.
func (r *release) ID() spec.ID { return r.want.ID() }

// Needs are those of the group.
func (r *release) Needs() []spec.ID { return r.want.Needs }

// Permissions are those of the group.
func (r *release) Permissions() []reconcile.Permission { return r.groups.Permissions(r.want) }

// Plan detaches what is attached and is a policy of the spec's own.
func (r *release) Plan(ctx context.Context) (reconcile.Plan, error) {
	live, err := r.groups.read(ctx, r.want)
	if err != nil || !live.Exists {
		return reconcile.Plan{}, err
	}
	attached := slices.DeleteFunc(slices.Clone(live.Is.Policies), func(arn string) bool {
		ours := slices.Contains(r.want.Needs, spec.ID{Kind: spec.Policy, Name: lastSegment(arn)})
		return !ours || !slices.Contains(r.want.Policies, arn)
	})
	steps := reconcile.Steps{For: r.ID()}
	strip(&steps, grants{attached: attached}, r.groups.grantCalls(r.want.Name))
	return reconcile.Plan{
		Exists: true, Steps: r.groups.seen.writes(steps.List),
		Notes: []string{"kept: AWS keeps no tags of a group, so that there is no telling whose it is; " +
			"if nobody needs it, delete it (aws iam delete-group --group-name " + r.want.Name + ")"},
	}, nil
}
