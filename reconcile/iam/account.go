// Package iam keeps customer-managed policies, roles, users and their access
// keys.
package iam

import (
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
	UserAPI
	AccessKeyAPI
	DetailsAPI
}

// New prepares what the spec declares under iam. A spec of many resources is
// read by the page, any other one by one.
func New(api API, tagging TaggingAPI, env reconcile.Env, want spec.IAM) []reconcile.Resource {
	read := oneByOne(api)
	if len(want.Policies)+len(want.Roles)+len(want.Users) > many {
		read = byThePage(api, tagging, env, want, read)
	}

	var all []reconcile.Resource
	for _, w := range want.Policies {
		arn := policyARN(env, w)
		all = append(all, &Policy{api: api, env: env, want: w, read: func(ctx context.Context) (*managedPolicy, error) {
			return read.policy(ctx, arn)
		}})
	}
	for _, w := range want.Roles {
		all = append(all, &Role{api: api, env: env, want: w, read: func(ctx context.Context) (*role, error) {
			return read.role(ctx, w)
		}})
	}
	files := &sink.Files{}
	for _, w := range want.Users {
		base := func(ctx context.Context) (*userBase, error) { return read.user(ctx, w.Name) }
		if w.AccessKey != nil {
			// The user and its key look at the same answer.
			shared := awsx.NewShared(func(ctx context.Context, _ []string) (map[string]*userBase, error) {
				u, err := read.user(ctx, w.Name)
				return map[string]*userBase{w.Name: u}, err
			}, read.user, w.Name, w.Name)
			base = func(ctx context.Context) (*userBase, error) { return shared.Get(ctx, w.Name) }
			all = append(all, &AccessKey{api: api, env: env, user: w.Name, base: base, sinks: sinks(files, w)})
		}
		all = append(all, &User{api: api, env: env, want: w, base: base, grants: func(ctx context.Context) (*grants, error) {
			return read.grants(ctx, w)
		}})
	}
	return all
}

func sinks(files *sink.Files, user spec.IAMUser) []sink.Sink {
	var all []sink.Sink
	for _, s := range user.AccessKey.Deliver {
		if s.File != nil {
			profile := s.File.Profile
			if profile == "" {
				profile = user.Name
			}
			all = append(all, files.Sink(s.File.Path, profile))
		}
	}
	return all
}

// reader is a way to read IAM. Each answers nil for what does not exist.
type reader struct {
	policy func(ctx context.Context, arn string) (*managedPolicy, error)
	role   func(ctx context.Context, want spec.IAMRole) (*role, error)
	user   func(ctx context.Context, name string) (*userBase, error)
	grants func(ctx context.Context, want spec.IAMUser) (*grants, error)
}

func oneByOne(api API) reader {
	return reader{
		policy: func(ctx context.Context, arn string) (*managedPolicy, error) { return describePolicy(ctx, api, arn) },
		role:   func(ctx context.Context, want spec.IAMRole) (*role, error) { return describeRole(ctx, api, want) },
		user:   func(ctx context.Context, name string) (*userBase, error) { return describeUserBase(ctx, api, name) },
		grants: func(ctx context.Context, want spec.IAMUser) (*grants, error) {
			return describeUserGrants(ctx, api, want)
		},
	}
}
