package stack_test

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/ecr"
	"github.com/churn-reconcile/churn-reconcile/reconcile/ecs"
	"github.com/churn-reconcile/churn-reconcile/reconcile/logs"
	"github.com/churn-reconcile/churn-reconcile/reconcile/s3"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// What AWS has is read whole into the spec's own type: whatever a spec gave
// comes back, of a resource of which only the name is known, and what comes back
// is in sync with itself.
func TestKindsReadAll(t *testing.T) {
	a := newAccount(t)
	path := a.stack(t, `
s3: {buckets: [{name: data-of-test, versioning: Enabled, objectOwnership: BucketOwnerEnforced, encryption: {sseAlgorithm: AES256},
  publicAccessBlock: {blockPublicAcls: true, ignorePublicAcls: true, blockPublicPolicy: true, restrictPublicBuckets: true},
  lifecycleRules: [{id: old, status: Enabled, filter: {prefix: a/}, expiration: {days: 30}}],
  policy: {Version: "2012-10-17", Statement: [{Effect: Deny, Principal: "*", Action: "s3:*", Resource: "arn:aws:s3:::data-of-test/*", Condition: {Bool: {"aws:SecureTransport": false}}}]}}]}
logs: {logGroups: [{name: /test/group, retentionInDays: 7}]}
ecr: {repositories: [{name: test-repo, imageTagMutability: IMMUTABLE, scanOnPush: true,
  lifecyclePolicy: {rules: [{rulePriority: 1, selection: {tagStatus: untagged, countType: imageCountMoreThan, countNumber: 5}, action: {type: expire}}]}}]}
ecs:
  clusters: [{name: test-cluster, capacityProviders: [FARGATE], settings: [{name: containerInsights, value: enabled}]}]
  taskDefinitions: [{family: test-task, networkMode: awsvpc, requiresCompatibilities: [FARGATE], cpu: "512", memory: "1024",
    containerDefinitions: [{name: c, image: "x:1", environment: [{name: A, value: "1"}]}]}]
`)
	a.mustApply(t, path)

	file, err := spec.Load(path, spec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	identity := spec.Identity{Account: "123456789012", Partition: "aws", Region: region}
	s, err := file.Bind(identity)
	if err != nil {
		t.Fatal(err)
	}
	env := reconcile.Env{Account: identity.Account, Partition: identity.Partition, Region: identity.Region, Stack: s.Stack(), Now: a.clock.Now}
	readsAll(t, s3.Buckets{API: a.s3, Env: env}, env, s.S3.Buckets[0], spec.S3Bucket{Name: "data-of-test"})
	readsAll(t, logs.LogGroups{API: a.logs, Env: env}, env, s.Logs.LogGroups[0], spec.LogsLogGroup{Name: "/test/group"})
	readsAll(t, ecr.NewRepositories(a.ecr, env, nil), env, s.ECR.Repositories[0], spec.ECRRepository{Name: "test-repo"})
	readsAll(t, ecs.NewClusters(a.ecs, env, nil), env, s.ECS.Clusters[0], spec.ECSCluster{Name: "test-cluster"})
	readsAll(t, ecs.TaskDefinitions{API: a.ecs, Env: env}, env, s.ECS.TaskDefinitions[0], spec.ECSTaskDefinition{Family: "test-task"})
}

func readsAll[S spec.Resource, F any](t *testing.T, kind reconcile.Kind[S, F], env reconcile.Env, want, named S) {
	t.Helper()
	live, err := kind.Describe(t.Context(), named, true)
	if err != nil || !live.Exists {
		t.Fatalf("%s: exists %t (%v)", named.ID(), live.Exists, err)
	}
	normal := func(s S) map[string]any {
		tree, err := kind.Normal(s)
		if err != nil {
			t.Fatal(err)
		}
		return reconcile.Given(tree)
	}
	complete, err := kind.Complete(live, want)
	if err != nil {
		t.Fatal(err)
	}
	is, wanted := normal(live.Is), normal(complete)
	maps.DeleteFunc(is, func(field string, _ any) bool { _, given := wanted[field]; return !given })
	// Tags have their own rules.
	delete(is, "tags")
	delete(wanted, "tags")
	if lines := reconcile.Compare("", is, wanted); len(lines) > 0 {
		t.Errorf("%s: what the spec gave and what was read: %v", named.ID(), lines)
	}
	steps, err := reconcile.Between(kind, env, live, live.Is)
	if err != nil || len(steps) > 0 {
		t.Errorf("%s: differs from itself: %v", named.ID(), cmp.Diff([]reconcile.Step(nil), steps, cmp.Comparer(func(a, b reconcile.Step) bool { return a.Call == b.Call })))
	}
}
