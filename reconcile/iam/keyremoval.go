package iam

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
)

// keyRemoval takes the stack's own keys of a user away, and then out of the
// sinks. Any other key keeps the user. The sinks of a user that has left the
// spec are not known.
type keyRemoval struct {
	AccessKey
	again func(ctx context.Context, user string) (liveUser, error) // as the user is right now
}

var _ reconcile.Removal = (*keyRemoval)(nil)

// Removes says that the key is to go.
func (k *keyRemoval) Removes() {}

// Plan reads the user's keys, the record of them and the sinks. A run that is
// cut off between a key and its sinks finds in the record what they may have.
func (k *keyRemoval) Plan(ctx context.Context) (reconcile.Plan, error) {
	base, err := k.base(ctx)
	if err != nil || !base.Exists || !k.env.Owns(base.Is.Tags) {
		return reconcile.Plan{}, err
	}
	live := accessKeys{ours: true}
	if live.record, err = parseRecord(base.Is.Tags[keyTag]); err != nil {
		return reconcile.Plan{}, err
	}
	if live.keys, err = k.list(ctx); err != nil {
		return reconcile.Plan{}, err
	}
	if err := k.inspect(ctx, &live); err != nil {
		return reconcile.Plan{}, err
	}

	plan := reconcile.Plan{Marked: true, Deletes: true}
	made := map[string]time.Time{live.record.current: {}, live.record.retiring: {}}
	for _, key := range live.keys {
		if why := k.foreign(live, key); why != "" {
			plan.Holders = append(plan.Holders, reconcile.Holder{
				What: why, Do: fmt.Sprintf("if nobody uses it, delete it (aws iam delete-access-key --user-name %s --access-key-id %s)", k.user, key.id),
			})
			continue
		}
		made[key.id] = key.created
		plan.Steps = append(plan.Steps, k.remove(key.id, "the stack's own"))
	}
	forget, err := k.forget(ctx, live, made)
	if err != nil {
		return reconcile.Plan{}, err
	}
	plan.Steps = append(plan.Steps, forget...)
	plan.Exists = len(plan.Steps) > 0
	if plan.Exists && reconcile.Protected(base.Is.Tags) {
		plan.Holders = append(plan.Holders, reconcile.Protection())
	}
	plan.Steps = reconcile.OnceMore(plan.Steps, func(ctx context.Context) error {
		is, err := k.again(ctx, k.user)
		if err == nil && is.Exists && is.Is.Tags[keyTag] != base.Is.Tags[keyTag] {
			return reconcile.ErrOvertaken
		}
		return k.env.StillOwns(is.Is.Tags, err)
	})
	return plan, nil
}

// foreign says why a key is not known to be the stack's, or "".
func (k *keyRemoval) foreign(live accessKeys, key userKey) string {
	if key.id == live.record.current || key.id == live.record.retiring {
		return ""
	}
	if !slices.Contains(ids(live.uncommitted()), key.id) {
		return "the access key " + key.id + " is not the stack's"
	}
	key.delivered = key.delivered && len(k.sinks) > 0
	if why := live.doubtOf(key); why != "" {
		return "the access key " + key.id + " may be somebody's, for a run was cut off while it made one: " + why
	}
	return ""
}

// forget lists the steps that take keys out of the sinks.
func (k *keyRemoval) forget(ctx context.Context, live accessKeys, made map[string]time.Time) ([]reconcile.Step, error) {
	var steps []reconcile.Step
	for _, s := range k.sinks {
		for _, id := range slices.Sorted(maps.Keys(made)) {
			// GitHub shows of no pair which it is, and has the last one.
			asks := s.Tells() || s.Shared() && id == live.record.current
			if id == "" || !asks {
				continue
			}
			has, err := s.Holds(ctx, id, made[id])
			if err != nil {
				return nil, fmt.Errorf("look into %s: %w", s, awsx.Clean(err))
			}
			if !has {
				continue
			}
			steps = append(steps, reconcile.Step{
				Call: "sink:Forget", Does: "take " + id + " out of " + s.String() + " for " + k.ID().String(),
				Diffs: []reconcile.Diff{{Path: "deliver[" + s.String() + "]", Before: id}},
				Do:    func(ctx context.Context) error { return s.Forget(ctx, id) },
			})
		}
	}
	return steps, nil
}
