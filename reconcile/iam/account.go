// Package iam keeps customer-managed policies, roles, groups, users and their
// access keys.
package iam

import (
	"cmp"
	"context"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sink"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// API is all that this package needs of IAM.
type API interface {
	PolicyAPI
	RoleAPI
	GroupAPI
	UserAPI
	AccessKeyAPI
	OIDCProviderAPI
	DetailsAPI
}

// Keys is what access keys need beside IAM.
type Keys struct {
	Files          sink.Files
	GitHub         *sink.GitHub
	SecretsManager sink.SecretsManagerAPI
	Prove          Prove
	Rotate         func(user string) bool // makes the user's key due; nil: none
}

// New prepares what the spec declares under iam. What several stacks have read
// together is taken from their snapshot, nil where there is none. Otherwise a
// spec of many resources is read by the page, any other one by one.
func New(api API, tagging TaggingAPI, env reconcile.Env, want spec.IAM, keys Keys, snapshot *Snapshot) []reconcile.Resource {
	if snapshot == nil && Many(want) {
		snapshot = NewSnapshot(api, tagging, env.Partition)
	}
	read := oneByOne(api, env, want)
	if snapshot != nil {
		read = byThePage(api, snapshot, env, want)
	}

	known := knownOf(env, want)
	var all []reconcile.Resource
	for _, w := range want.OIDCProviders {
		all = append(all, reconcile.Declare(OIDCProviders{api: api, env: env}, env, w))
	}
	for _, w := range want.Policies {
		all = append(all, reconcile.Declare(Policies{api: api, env: env, read: read.policy}, env, w))
	}
	for _, w := range want.Roles {
		all = append(all, reconcile.Declare(Roles{api: api, env: env, known: known, read: read.role}, env, w))
	}
	for _, w := range want.Groups {
		all = append(all, reconcile.Declare(Groups{api: api, env: env, known: known, read: read.group}, env, w))
	}
	claims := map[string]*claim{}
	for _, w := range want.Users {
		if w.AccessKey != nil {
			claims[w.Name] = &claim{run: env.Run}
		}
	}
	for _, w := range want.Users {
		all = append(all, reconcile.Declare(Users{api: api, env: env, known: known, read: read.user, granted: read.granted, claims: claims}, env, w))
		if w.AccessKey == nil {
			continue
		}
		to := sinks(keys, env, w)
		all = append(all, &AccessKey{
			api: api, env: env, user: w.Name, userARN: *env.ARN(w.ID(), w.Path), base: func(ctx context.Context) (liveUser, error) { return read.user(ctx, w.Name) },
			claim: claims[w.Name], sinks: to, prove: keys.Prove,
			terms: terms{
				asOf: env.Now(), rotateAfter: w.AccessKey.RotateAfter, retireAfter: w.AccessKey.RetireAfter,
				run: env.Run, sharedSinks: places(to, sink.Sink.Shared),
			},
			rotate: keys.Rotate != nil && keys.Rotate(w.Name),
		})
	}
	return all
}

func sinks(keys Keys, env reconcile.Env, user spec.IAMUser) []sink.Sink {
	var all []sink.Sink
	for _, to := range user.AccessKey.Deliver {
		switch {
		case to.File != nil && to.File.Format == "env":
			all = append(all, keys.Files.Env(to.File.Path))
		case to.File != nil:
			all = append(all, keys.Files.Credentials(to.File.Path, cmp.Or(to.File.Profile, user.Name)))
		case to.GitHub != nil:
			all = append(all, keys.GitHub.Sink(sink.GitHubSecrets(*to.GitHub)))
		case to.SecretsManager != nil:
			all = append(all, &sink.SecretsManager{
				API: keys.SecretsManager, Name: to.SecretsManager.Name, KMSKeyID: to.SecretsManager.KMSKeyID,
				Tags: env.Tags(user.Tags), Pause: env.Pause,
			})
		}
	}
	return all
}

// reader is a way to read IAM, resource by resource.
type reader struct {
	policy  func(context.Context, spec.IAMPolicy) (livePolicy, error)
	role    func(context.Context, spec.IAMRole) (liveRole, error)
	group   func(context.Context, spec.IAMGroup) (liveGroup, error)
	user    func(ctx context.Context, name string) (liveUser, error) // the user and its key share one
	granted func(context.Context, spec.IAMUser) (grants, error)
}

func oneByOne(api API, env reconcile.Env, want spec.IAM) reader {
	one := func(ctx context.Context, name string) (liveUser, error) { return describeUser(ctx, api, name) }
	return reader{
		policy: func(ctx context.Context, want spec.IAMPolicy) (livePolicy, error) {
			return describePolicy(ctx, api, env.Pause, policyARN(env, want))
		},
		role: func(ctx context.Context, want spec.IAMRole) (liveRole, error) {
			return describeRole(ctx, api, env.Pause, want)
		},
		group: func(ctx context.Context, want spec.IAMGroup) (liveGroup, error) {
			return describeGroup(ctx, api, env.Pause, want)
		},
		user: awsx.NewShared(askers(want.Users), sideBySide(one), one).Get,
		granted: func(ctx context.Context, want spec.IAMUser) (grants, error) {
			return describeUserGrants(ctx, api, env.Pause, want)
		},
	}
}

// askers are the users by name, one that has an access key twice: the key looks
// at its user too.
func askers(users []spec.IAMUser) []string {
	var names []string
	for _, u := range users {
		names = append(names, u.Name)
		if u.AccessKey != nil {
			names = append(names, u.Name)
		}
	}
	return names
}

// sideBySide makes a read of many of a read of one.
func sideBySide[V any](one func(context.Context, string) (V, error)) func(context.Context, []string) (map[string]V, error) {
	return func(ctx context.Context, keys []string) (map[string]V, error) {
		answers := make([]V, len(keys))
		var reads awsx.Reads
		for i, key := range keys {
			reads.Go(func() (err error) {
				answers[i], err = one(ctx, key)
				return err
			})
		}
		err := reads.Wait()
		found := make(map[string]V, len(keys))
		for i, key := range keys {
			found[key] = answers[i]
		}
		return found, err
	}
}
