package sandbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// A layer comes in parts, whose sum it is known by from then on.
func TestECRLayers(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, testRegion, "")
	ctx := t.Context()
	repo := aws.String("repo")
	createRepository(t, e, &ecr.CreateRepositoryInput{RepositoryName: repo})
	content := bytes.Repeat([]byte("layer"), 1<<20+1)
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(content))
	begin := func() *string {
		return must[*ecr.InitiateLayerUploadOutput](t)(e.ecr.InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: repo})).UploadId
	}
	part := func(id *string, first int, blob []byte) error {
		return erase(e.ecr.UploadLayerPart(ctx, &ecr.UploadLayerPartInput{
			RepositoryName: repo, UploadId: id, PartFirstByte: aws.Int64(int64(first)), PartLastByte: aws.Int64(int64(first + len(blob) - 1)), LayerPartBlob: blob,
		}))
	}
	complete := func(id *string, digest string) error {
		return erase(e.ecr.CompleteLayerUpload(ctx, &ecr.CompleteLayerUploadInput{RepositoryName: repo, UploadId: id, LayerDigests: []string{digest}}))
	}
	available := func() string {
		out := must[*ecr.BatchCheckLayerAvailabilityOutput](t)(e.ecr.BatchCheckLayerAvailability(ctx, &ecr.BatchCheckLayerAvailabilityInput{RepositoryName: repo, LayerDigests: []string{digest}}))
		return fmt.Sprintf("%s %d", out.Layers[0].LayerAvailability, aws.ToInt64(out.Layers[0].LayerSize))
	}
	put := func(ctx context.Context) error {
		return erase(e.ecr.PutImage(ctx, &ecr.PutImageInput{RepositoryName: repo, ImageTag: aws.String("v1"), ImageManifest: aws.String(`{"layers":[{"digest":"` + digest + `"}]}`)}))
	}
	if got := available(); got != "UNAVAILABLE 0" {
		t.Errorf("before: %s", got)
	}
	id, empty, small := begin(), begin(), begin()
	const whole = ecrLeastPart
	runRefusals(t, []refusal{
		{"an image without its layers", put, "LayersNotFoundException"},
		{"no parts", func(context.Context) error { return complete(empty, digest) }, "EmptyUploadException"},
		{"no such upload", func(context.Context) error { return complete(aws.String("none"), digest) }, "UploadNotFoundException"},
		{"a part that is not the next", func(context.Context) error { return part(id, 1, content[1:whole]) }, "InvalidLayerPartException"},
		{"the first part", func(context.Context) error { return part(id, 0, content[:whole]) }, ""},
		{"the first part again", func(context.Context) error { return part(id, 0, content[:whole]) }, "InvalidLayerPartException"},
		{"the last part", func(context.Context) error { return part(id, whole, content[whole:]) }, ""},
		{"a small part", func(context.Context) error { return part(small, 0, content[:5]) }, ""},
		{"another after it", func(context.Context) error { return part(small, 5, content[5:10]) }, "LayerPartTooSmallException"},
		{"another digest", func(context.Context) error { return complete(id, "sha256:"+strings.Repeat("0", 64)) }, "InvalidLayerException"},
		{"whole", func(context.Context) error { return complete(id, digest) }, ""},
		{"an image with its layers", put, ""},
	})
	if got, want := available(), fmt.Sprintf("AVAILABLE %d", len(content)); got != want {
		t.Errorf("after: %s, want %s", got, want)
	}
	again := begin()
	for i := 0; i < len(content); i += whole {
		if err := part(again, i, content[i:min(i+whole, len(content))]); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, complete(again, digest), "LayerAlreadyExistsException")
}

// A task on Fargate is recorded and ends at once, by what ECS would have met on
// the way to its containers.
func TestECSFargateTask(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, testRegion, "")
	ctx := t.Context()
	cluster := aws.String("c")
	createCluster(t, e, &ecs.CreateClusterInput{ClusterName: cluster})
	register := func(family string, change func(*ecs.RegisterTaskDefinitionInput)) {
		t.Helper()
		in := fargate(change)
		in.Family = &family
		must[*ecs.RegisterTaskDefinitionOutput](t)(e.ecs.RegisterTaskDefinition(ctx, in))
	}
	register("plain", nil)
	register("logging", func(in *ecs.RegisterTaskDefinitionInput) {
		in.ExecutionRoleArn = aws.String(ownPrefix + "role/x")
		in.ContainerDefinitions[0].LogConfiguration = &types.LogConfiguration{LogDriver: "awslogs", Options: map[string]string{
			"awslogs-group": "g", "awslogs-region": testRegion, "awslogs-stream-prefix": "p",
		}}
	})
	register("image", func(in *ecs.RegisterTaskDefinitionInput) {
		in.ExecutionRoleArn = aws.String(ownPrefix + "role/x")
		in.ContainerDefinitions[0].Image = aws.String("123456789012.dkr.ecr.eu-north-1.amazonaws.com/repo:v1")
	})
	network := &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: []string{"subnet-1"}}}
	run := func(family string, change func(*ecs.RunTaskInput)) (*ecs.RunTaskOutput, error) {
		in := &ecs.RunTaskInput{Cluster: cluster, TaskDefinition: &family, LaunchType: types.LaunchTypeFargate, NetworkConfiguration: network}
		if change != nil {
			change(in)
		}
		return e.ecs.RunTask(ctx, in)
	}
	ends := func(family, want string) {
		t.Helper()
		started := must[*ecs.RunTaskOutput](t)(run(family, nil)).Tasks[0]
		task := must[*ecs.DescribeTasksOutput](t)(e.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: cluster, Tasks: []string{*started.TaskArn}})).Tasks[0]
		if got := fmt.Sprintf("%s %s: %s", *task.LastStatus, task.StopCode, *task.StoppedReason); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", family, got, want)
		}
	}
	const well = "STOPPED EssentialContainerExited: Essential container in task exited"
	ends("plain", well)
	ends("logging", "STOPPED TaskFailedToStart: ResourceInitializationError: failed to validate logger args: ")
	ends("image", "STOPPED TaskFailedToStart: CannotPullContainerError: ")

	must[*cloudwatchlogs.CreateLogGroupOutput](t)(e.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("g")}))
	createRepository(t, e, &ecr.CreateRepositoryInput{RepositoryName: aws.String("repo")})
	ends("image", "STOPPED TaskFailedToStart: CannotPullContainerError: failed to resolve ref")
	must[*ecr.PutImageOutput](t)(e.ecr.PutImage(ctx, &ecr.PutImageInput{RepositoryName: aws.String("repo"), ImageTag: aws.String("v1"), ImageManifest: aws.String("{}")}))
	ends("image", well)
	ends("logging", well)

	filter := func(pattern string) int {
		t.Helper()
		return len(must[*cloudwatchlogs.FilterLogEventsOutput](t)(e.logs.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: aws.String("g"), LogStreamNamePrefix: aws.String("p/c/"), FilterPattern: &pattern,
		})).Events)
	}
	if all, phrase, none := filter(""), filter(`sandbox "no container"`), filter("sandbox error"); all != 1 || phrase != 1 || none != 0 {
		t.Errorf("%d events, %d with the words, %d with others; want 1, 1, 0", all, phrase, none)
	}

	runRefusals(t, []refusal{
		{"no network", func(context.Context) error {
			return erase(run("plain", func(in *ecs.RunTaskInput) { in.NetworkConfiguration = nil }))
		}, "InvalidParameterException"},
		{"a launch type and a strategy", func(context.Context) error {
			return erase(run("plain", func(in *ecs.RunTaskInput) {
				in.CapacityProviderStrategy = []types.CapacityProviderStrategyItem{{CapacityProvider: aws.String("FARGATE")}}
			}))
		}, "InvalidParameterException"},
		{"no such task definition", func(context.Context) error { return erase(run("none", nil)) }, "ClientException"},
		{"a filter in a language that the sandbox has not learnt", func(ctx context.Context) error {
			return erase(e.logs.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("g"), FilterPattern: aws.String(`{$.level = "error"}`)}))
		}, "InvalidParameterException"},
		// What has ended keeps no cluster.
		{"the cluster goes", func(ctx context.Context) error {
			return erase(e.ecs.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: cluster}))
		}, ""},
	})
}

// The role that a task is to run with has to trust ECS.
func TestEnforceIAMTaskRole(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	e := serve(t, Options{EnforceIAM: true})
	root := e.as("test")
	u := e.user(t, "u", allow("ecs:RunTask iam:PassRole", "*"))
	must[*ecs.CreateClusterOutput](t)(root.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{}))
	must[*ecs.RegisterTaskDefinitionOutput](t)(root.ecs.RegisterTaskDefinition(ctx, fargate(func(in *ecs.RegisterTaskDefinitionInput) {
		in.TaskRoleArn = aws.String(ownPrefix + "role/task")
	})))
	run := func() string {
		return message(erase(u.ecs.RunTask(ctx, &ecs.RunTaskInput{
			TaskDefinition: aws.String("f"), LaunchType: types.LaunchTypeFargate,
			NetworkConfiguration: &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: []string{"subnet-1"}}},
		})))
	}
	const no = "ClientException: ECS was unable to assume the role '" + ownPrefix + "role/task' that was provided for this task."
	if got := run(); !strings.HasPrefix(got, no) {
		t.Errorf("no such role: %s", got)
	}
	if err := (iamCalls{root.iam}).createRole(ctx, "task", strings.Replace(trustECS, "ecs-tasks", "ec2", 1)); err != nil {
		t.Fatal(err)
	}
	if got := run(); !strings.HasPrefix(got, no) {
		t.Errorf("a role that trusts another service: %s", got)
	}
	must[*iam.UpdateAssumeRolePolicyOutput](t)(root.iam.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("task"), PolicyDocument: aws.String(trustECS)}))
	if got := run(); got != "<nil>" {
		t.Errorf("a role that trusts ECS: %s", got)
	}
}
