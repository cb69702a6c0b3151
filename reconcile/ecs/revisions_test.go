package ecs

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

func onSandbox(t *testing.T) *ecs.Client {
	t.Helper()
	server, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	endpoint := httptest.NewServer(server)
	t.Cleanup(endpoint.Close)
	return ecs.New(ecs.Options{
		Region: "eu-north-1", BaseEndpoint: &endpoint.URL, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	})
}

// register makes a revision that carries the mark of a stack, "" of none.
func register(t *testing.T, api *ecs.Client, family, stack string) {
	t.Helper()
	in := &ecs.RegisterTaskDefinitionInput{
		Family: &family, ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("c"), Image: aws.String("i"), Memory: aws.Int32(128)}},
	}
	if stack != "" {
		in.Tags = []types.Tag{{Key: aws.String(reconcile.Mark), Value: &stack}}
	}
	if _, err := api.RegisterTaskDefinition(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// status lists the revisions of a family with their status, by number.
func status(t *testing.T, api *ecs.Client, family string) []string {
	t.Helper()
	all := map[int]string{}
	for _, s := range []types.TaskDefinitionStatus{types.TaskDefinitionStatusActive, types.TaskDefinitionStatusInactive, types.TaskDefinitionStatusDeleteInProgress} {
		out, err := api.ListTaskDefinitions(t.Context(), &ecs.ListTaskDefinitionsInput{FamilyPrefix: &family, Status: s})
		if err != nil {
			t.Fatal(err)
		}
		for _, arn := range out.TaskDefinitionArns {
			_, n := splitRevision(arn)
			all[n] = fmt.Sprint(n, " ", s)
		}
	}
	var list []string
	for _, n := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[n])
	}
	return list
}

const ourStack = "churn/dev" // of environment()

// All revisions that carry the stack's mark go, active or not, and no other.
func TestDeleteFamily(t *testing.T) {
	t.Parallel()
	api := onSandbox(t)
	ctx := t.Context()
	kind, want := Families{TaskDefinitions{api, environment()}}, spec.ECSTaskDefinition{Family: "f"}
	if live, err := kind.Describe(ctx, want, false); err != nil || live.Exists {
		t.Errorf("before there is any: %v, %v", live.Exists, err)
	}
	for _, stack := range []string{ourStack, "", ourStack, "churn/prod", ourStack} {
		register(t, api, "f", stack)
	}
	register(t, api, "f-2", ourStack)
	for range 12 { // more than can be deleted at a time
		register(t, api, "f", ourStack)
	}
	register(t, api, "f", "") // by a pipeline, and the latest
	for _, n := range []int{2, 3} {
		if _, err := api.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String(fmt.Sprint("f:", n))}); err != nil {
			t.Fatal(err)
		}
	}
	live, err := kind.Describe(ctx, want, false)
	if err != nil || !live.Exists || !kind.Env.Owns(live.Is.Tags) {
		t.Fatalf("exists %v with %v, %v", live.Exists, live.Is.Tags, err)
	}
	if a, i := len(live.Facts.Active), len(live.Facts.Inactive); a != 14 || i != 1 {
		t.Errorf("%d active and %d inactive ones, want 14 and 1", a, i)
	}
	steps, err := kind.Delete(live, want)
	if diff := cmp.Diff([]string{"ecs:DeregisterTaskDefinition", "ecs:DeleteTaskDefinitions"}, calls(steps)); diff != "" || err != nil {
		t.Fatalf("steps (-want +got):\n%s\n%v", diff, err)
	}
	// A run that is killed between the two is gone on with by another.
	if err := steps[0].Do(ctx); err != nil {
		t.Fatal(err)
	}
	live, err = kind.Describe(ctx, want, false)
	if err != nil || !live.Exists {
		t.Fatalf("what is inactive exists: %v, %v", live.Exists, err)
	}
	if steps, err = kind.Delete(live, want); err != nil || !slices.Equal(calls(steps), []string{"ecs:DeleteTaskDefinitions"}) {
		t.Fatalf("steps %v, %v", calls(steps), err)
	}
	for range 2 { // again, as after a lost answer
		for _, s := range steps {
			if err := s.Do(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	left := slices.DeleteFunc(status(t, api, "f"), func(s string) bool { return strings.HasSuffix(s, " DELETE_IN_PROGRESS") })
	if diff := cmp.Diff([]string{"2 INACTIVE", "4 ACTIVE", "18 ACTIVE"}, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"1 ACTIVE"}, status(t, api, "f-2")); diff != "" {
		t.Errorf("another family (-want +got):\n%s", diff)
	}
	// What is left of the family is somebody's.
	if live, err := kind.Describe(ctx, want, false); err != nil || live.Exists {
		t.Errorf("it still has something of the stack's: %v", err)
	}
}

// Services, tasks and instances hold a cluster.
func TestDeleteCluster(t *testing.T) {
	t.Parallel()
	api := onSandbox(t)
	ctx, cluster, want := t.Context(), aws.String("c"), spec.ECSCluster{Name: "c"}
	if _, err := api.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: cluster}); err != nil {
		t.Fatal(err)
	}
	kind := NewClusters(api, environment(), nil)
	held := func(want string) {
		t.Helper()
		holders, err := kind.Holders(ctx, liveCluster{Exists: true}, spec.ECSCluster{Name: "c"})
		var got string
		for _, h := range holders {
			got += h.What
		}
		if err != nil || got != want {
			t.Errorf("held by %q, %v; want %q", got, err, want)
		}
		steps, _ := kind.Delete(liveCluster{}, spec.ECSCluster{Name: "c"})
		if err := steps[0].Do(ctx); (err == nil) != (want == "") {
			t.Errorf("deleted: %v, though it is held by %q", err, want)
		}
	}
	register(t, api, "f", "")
	if _, err := api.CreateService(ctx, &ecs.CreateServiceInput{Cluster: cluster, ServiceName: aws.String("s"), TaskDefinition: aws.String("f")}); err != nil {
		t.Fatal(err)
	}
	held("1 service")
	tasks, err := api.RunTask(ctx, &ecs.RunTaskInput{Cluster: cluster, TaskDefinition: aws.String("f"), Count: aws.Int32(2)})
	if err != nil {
		t.Fatal(err)
	}
	instance, err := api.RegisterContainerInstance(ctx, &ecs.RegisterContainerInstanceInput{Cluster: cluster})
	if err != nil {
		t.Fatal(err)
	}
	held("1 service, 2 pending tasks, 1 container instance")
	if _, err := api.DeleteService(ctx, &ecs.DeleteServiceInput{Cluster: cluster, Service: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks.Tasks {
		if _, err := api.StopTask(ctx, &ecs.StopTaskInput{Cluster: cluster, Task: task.TaskArn}); err != nil {
			t.Fatal(err)
		}
	}
	held("1 container instance")
	_, err = api.DeregisterContainerInstance(ctx, &ecs.DeregisterContainerInstanceInput{Cluster: cluster, ContainerInstance: instance.ContainerInstance.ContainerInstanceArn})
	if err != nil {
		t.Fatal(err)
	}
	held("")
	held("") // what is inactive, as after a lost answer
	if tags, err := kind.Tags(ctx, want); tags != nil || err != nil {
		t.Errorf("it has the tags %v, %v", tags, err)
	}
}
