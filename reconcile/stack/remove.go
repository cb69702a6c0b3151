package stack

import (
	"errors"
	"fmt"
	"slices"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/ecr"
	"github.com/churn-reconcile/churn-reconcile/reconcile/ecs"
	"github.com/churn-reconcile/churn-reconcile/reconcile/iam"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// removals makes resources of what is to go: the orphans, and where the stack is
// destroyed all that the spec declares. A target is only what a glob matches:
// what that needs stays, and what needs it keeps it.
func (s *Stack) removals(at *place, env reconcile.Env, keys iam.Keys, census *iam.Census, orphans []iam.Entity, look Look) ([]reconcile.Resource, error) {
	var doomed []spec.Resource
	if look.Destroy {
		doomed = slices.Clone(s.Spec.Resources())
	}
	for _, o := range orphans {
		doomed = append(doomed, orphan(o))
	}
	if len(look.Target) > 0 {
		var ids []spec.ID
		for _, r := range doomed {
			ids = append(ids, r.ID())
			if r.ID().Kind == spec.User {
				ids = append(ids, spec.ID{Kind: spec.AccessKey, Name: r.ID().Name})
			}
		}
		if err := hits(look.Target, ids); err != nil && look.Destroy {
			return nil, err
		}
	}
	picked := func(id spec.ID) bool {
		return len(look.Target) == 0 || slices.ContainsFunc(look.Target, func(glob string) bool { return reconcile.Glob(glob, id.String()) })
	}

	var going spec.Spec
	for _, r := range doomed {
		doom(&going, r)
	}
	var all []reconcile.Resource
	all = remove(all, at.buckets(env), env, going.S3.Buckets)
	all = remove(all, at.logGroups(env), env, going.Logs.LogGroups)
	all = remove(all, ecr.NewRepositories(at.ecr, env, going.ECR.Repositories), env, going.ECR.Repositories)
	all = append(all, iam.Removals(at.iam, census, env, going.IAM, keys)...)
	all = remove(all, ecs.NewClusters(at.ecs, env, going.ECS.Clusters), env, going.ECS.Clusters)
	all = remove(all, at.families(env), env, going.ECS.TaskDefinitions)
	return slices.DeleteFunc(all, func(r reconcile.Resource) bool {
		id := r.ID()
		return !picked(id) && (id.Kind != spec.AccessKey || !picked(spec.ID{Kind: spec.User, Name: id.Name}))
	}), nil
}

// remove appends what is to go of one kind.
func remove[S spec.Resource, F any](all []reconcile.Resource, kind reconcile.Kind[S, F], env reconcile.Env, wants []S) []reconcile.Resource {
	for _, want := range wants {
		all = append(all, reconcile.Remove(kind, env, want))
	}
	return all
}

// doom puts a resource among those that are to go, with as much of it as that
// has to know: its name, what it needs, and what the spec permits.
func doom(going *spec.Spec, r spec.Resource) {
	meta := spec.Meta{Needs: r.Common().Needs}
	switch r := r.(type) {
	case *spec.S3Bucket:
		going.S3.Buckets = append(going.S3.Buckets, spec.S3Bucket{Meta: meta, Name: r.Name, ForceDestroy: r.ForceDestroy})
	case *spec.LogsLogGroup:
		going.Logs.LogGroups = append(going.Logs.LogGroups, spec.LogsLogGroup{Meta: meta, Name: r.Name, DeletionProtectionEnabled: r.DeletionProtectionEnabled})
	case *spec.ECRRepository:
		going.ECR.Repositories = append(going.ECR.Repositories, spec.ECRRepository{Meta: meta, Name: r.Name, ForceDelete: r.ForceDelete})
	case *spec.IAMOIDCProvider:
		going.IAM.OIDCProviders = append(going.IAM.OIDCProviders, spec.IAMOIDCProvider{Meta: meta, URL: r.URL, ClientIDList: r.ClientIDList})
	case *spec.IAMPolicy:
		going.IAM.Policies = append(going.IAM.Policies, spec.IAMPolicy{Meta: meta, Name: r.Name, Path: r.Path})
	case *spec.IAMRole:
		going.IAM.Roles = append(going.IAM.Roles, spec.IAMRole{Meta: meta, Name: r.Name, Path: r.Path})
	case *spec.IAMGroup:
		going.IAM.Groups = append(going.IAM.Groups, spec.IAMGroup{Meta: meta, Name: r.Name, Path: r.Path, Policies: r.Policies})
	case *spec.IAMUser:
		going.IAM.Users = append(going.IAM.Users, spec.IAMUser{Meta: meta, Name: r.Name, Path: r.Path, Groups: r.Groups, AccessKey: r.AccessKey})
	case *spec.ECSCluster:
		going.ECS.Clusters = append(going.ECS.Clusters, spec.ECSCluster{Meta: meta, Name: r.Name})
	case *spec.ECSTaskDefinition:
		going.ECS.TaskDefinitions = append(going.ECS.TaskDefinitions, spec.ECSTaskDefinition{Meta: meta, Family: r.Family})
	}
}

// orphan is what is known of a resource that no spec declares.
func orphan(e iam.Entity) spec.Resource {
	name := e.ID.Name
	switch e.ID.Kind {
	case spec.Bucket:
		return &spec.S3Bucket{Name: name}
	case spec.LogGroup:
		return &spec.LogsLogGroup{Name: name}
	case spec.Repository:
		return &spec.ECRRepository{Name: name}
	case spec.OIDCProvider:
		return &spec.IAMOIDCProvider{URL: name}
	case spec.Policy:
		return &spec.IAMPolicy{Name: name, Path: e.Path}
	case spec.Role:
		return &spec.IAMRole{Name: name, Path: e.Path}
	case spec.Cluster:
		return &spec.ECSCluster{Name: name}
	case spec.TaskDefinition:
		return &spec.ECSTaskDefinition{Family: name}
	}
	return &spec.IAMUser{Name: name, Path: e.Path}
}

// hits says which of the globs match nothing.
func hits(globs []string, ids []spec.ID) error {
	var errs []error
	for _, glob := range globs {
		if !slices.ContainsFunc(ids, func(id spec.ID) bool { return reconcile.Glob(glob, id.String()) }) {
			errs = append(errs, fmt.Errorf("--target %s matches no address of the stack; it has %s", glob, names(ids)))
		}
	}
	return errors.Join(errs...)
}
