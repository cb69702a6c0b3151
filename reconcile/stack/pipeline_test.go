package stack_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
)

// A workflow is what a pipeline's job does, with its own credentials and
// nothing else.
type workflow struct {
	s3   *s3.Client
	logs *cloudwatchlogs.Client
	ecr  *ecr.Client
	iam  *iam.Client
	ecs  *ecs.Client
	sts  *sts.Client
}

func (a *account) workflow(p aws.CredentialsProvider) workflow {
	cfg := aws.Config{
		Region: region, BaseEndpoint: &a.url, Credentials: p,
		Retryer: func() aws.Retryer { return retry.AddWithMaxAttempts(retry.NewStandard(), 1) },
	}
	return workflow{
		s3:   s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }),
		logs: cloudwatchlogs.NewFromConfig(cfg), ecr: ecr.NewFromConfig(cfg), iam: iam.NewFromConfig(cfg),
		ecs: ecs.NewFromConfig(cfg), sts: sts.NewFromConfig(cfg),
	}
}

// push does what docker login and docker push do, as far as AWS sees it.
func (w workflow) push(ctx context.Context, repository, tag string) error {
	if _, err := w.ecr.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{}); err != nil {
		return err
	}
	type blob struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int    `json:"size"`
	}
	var blobs []blob
	for _, content := range []string{"configuration", "layer"} {
		b := blob{"application/octet-stream", fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))), len(content)}
		blobs = append(blobs, b)
		there, err := w.ecr.BatchCheckLayerAvailability(ctx, &ecr.BatchCheckLayerAvailabilityInput{RepositoryName: &repository, LayerDigests: []string{b.Digest}})
		if err != nil {
			return err
		}
		if there.Layers[0].LayerAvailability == "AVAILABLE" {
			continue
		}
		upload, err := w.ecr.InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: &repository})
		if err != nil {
			return err
		}
		if _, err := w.ecr.UploadLayerPart(ctx, &ecr.UploadLayerPartInput{
			RepositoryName: &repository, UploadId: upload.UploadId,
			PartFirstByte: aws.Int64(0), PartLastByte: aws.Int64(int64(len(content)) - 1), LayerPartBlob: []byte(content),
		}); err != nil {
			return err
		}
		if _, err := w.ecr.CompleteLayerUpload(ctx, &ecr.CompleteLayerUploadInput{
			RepositoryName: &repository, UploadId: upload.UploadId, LayerDigests: []string{b.Digest},
		}); err != nil {
			return err
		}
	}
	manifest, err := json.Marshal(map[string]any{"schemaVersion": 2, "config": blobs[0], "layers": blobs[1:]})
	if err != nil {
		return err
	}
	_, err = w.ecr.PutImage(ctx, &ecr.PutImageInput{RepositoryName: &repository, ImageTag: &tag, ImageManifest: aws.String(string(manifest))})
	return err
}

// run runs a task on Fargate and says how it has ended.
func (w workflow) run(ctx context.Context, cluster, family string, change func(*ecs.RunTaskInput)) (*ecstypes.Task, error) {
	in := &ecs.RunTaskInput{
		Cluster: &cluster, TaskDefinition: &family, LaunchType: ecstypes.LaunchTypeFargate,
		NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{Subnets: []string{"subnet-1"}}},
	}
	if change != nil {
		change(in)
	}
	started, err := w.ecs.RunTask(ctx, in)
	if err != nil {
		return nil, err
	}
	out, err := w.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: []string{*started.Tasks[0].TaskArn}})
	if err != nil {
		return nil, err
	}
	return &out.Tasks[0], nil
}

// refused wants a call to be refused to its caller, in AWS's words.
func refused(t *testing.T, what string, err error) {
	t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok || e.ErrorCode() != "AccessDenied" && e.ErrorCode() != "AccessDeniedException" {
		t.Errorf("%s: %v, want it refused", what, err)
	}
}

func allowed(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func only[T any](_ T, err error) error { return err }

const (
	devBucket  = "churn-prediction-data-asamane"
	devRepo    = "churn-prediction-repo"
	devCluster = "churn-prediction-cluster"
	devTask    = "churn-prediction-task"
	devGroup   = "/ecs/churn-prediction"
)

// The key that a run has delivered does what the pipeline needs, and nothing
// beside it.
func TestPipeline(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{EnforceIAM: true})
	a.mustApply(t, a.example(t, "dev.yaml"))
	ctx := t.Context()
	key := a.profile(t, "ml-engineer")
	w := a.workflow(credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, ""))

	task, err := w.run(ctx, devCluster, devTask, nil)
	if err != nil {
		t.Fatal(err)
	}
	if task.StopCode != ecstypes.TaskStopCodeTaskFailedToStart || !strings.HasPrefix(*task.StoppedReason, "CannotPullContainerError") {
		t.Errorf("without an image the task stops by %s: %s", task.StopCode, *task.StoppedReason)
	}
	allowed(t, "push the image", w.push(ctx, devRepo, "latest"))
	task, err = w.run(ctx, devCluster, devTask, nil)
	if err != nil {
		t.Fatal(err)
	}
	if *task.LastStatus != "STOPPED" || task.StopCode != ecstypes.TaskStopCodeEssentialContainerExited || aws.ToInt32(task.Containers[0].ExitCode) != 0 {
		t.Errorf("the task is %s by %s: %s", *task.LastStatus, task.StopCode, *task.StoppedReason)
	}
	bucket, object := aws.String(devBucket), aws.String("models/churn.bin")
	allowed(t, "put an object", only(w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: object, Body: strings.NewReader("model")})))
	got, err := w.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: object})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(body, []byte("model")) {
		t.Errorf("the object is %q, %v", body, err)
	}
	allowed(t, "list the bucket", only(w.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})))
	allowed(t, "who am I", only(w.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})))

	done(t)(a.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("other-bucket"), CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: region}}))
	done(t)(a.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("admin"), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}]}`)}))
	me := aws.String("ml-engineer")
	for what, err := range map[string]error{
		"look at itself":            only(w.iam.GetUser(ctx, &iam.GetUserInput{})),
		"make itself another key":   only(w.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: me})),
		"make itself administrator": only(w.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: me, PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})),
		"change its policy":         only(w.iam.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: aws.String("arn:aws:iam::123456789012:policy/ml-engineer-s3-policy"), PolicyDocument: aws.String(ecsDocument), SetAsDefault: true})),
		"become another":            only(w.sts.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::123456789012:role/admin"), RoleSessionName: aws.String("me")})),
		"list buckets":              only(w.s3.ListBuckets(ctx, &s3.ListBucketsInput{})),
		"read another bucket":       only(w.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("other-bucket")})),
		"write to another bucket":   only(w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("other-bucket"), Key: object, Body: strings.NewReader("x")})),
		"delete an object":          only(w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: object})),
		"delete the bucket":         only(w.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket})),
		"open the bucket":           only(w.s3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: bucket, Policy: aws.String(`{}`)})),
		"make a repository":         only(w.ecr.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("mine")})),
		"delete the repository":     only(w.ecr.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: aws.String(devRepo), Force: true})),
		"delete the cluster":        only(w.ecs.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: aws.String(devCluster)})),
		"change the task":           only(w.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{Family: aws.String(devTask), ContainerDefinitions: []ecstypes.ContainerDefinition{{Name: aws.String("c"), Image: aws.String("i")}}})),
		// The reference stack gives it no right to read what its task has logged.
		"read the log": w.readLog(ctx),
	} {
		refused(t, what, err)
	}

	// A policy that somebody adds counts at once: with this one it reads its log.
	done(t)(a.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: me, PolicyName: aws.String("read-log"), PolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["logs:GetLogEvents","logs:FilterLogEvents"],"Resource":"arn:aws:logs:eu-north-1:123456789012:log-group:/ecs/churn-prediction:*"}]}`)}))
	allowed(t, "read the log", w.readLog(ctx))

	// The task writes its log as the execution role, which has to be allowed to.
	done(t)(a.iam.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: aws.String("ecsTaskExecutionRole"), PolicyArn: aws.String("arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy")}))
	task, err = w.run(ctx, devCluster, devTask, nil)
	if err != nil {
		t.Fatal(err)
	}
	if task.StopCode != ecstypes.TaskStopCodeTaskFailedToStart || !strings.Contains(*task.StoppedReason, "ecr:GetAuthorizationToken") {
		t.Errorf("without its policy the execution role ends the task by %s: %s", task.StopCode, *task.StoppedReason)
	}

	// A rotated key is out, whatever it could do.
	done(t)(a.iam.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: me, AccessKeyId: &key.AccessKeyID, Status: "Inactive"}))
	if _, err := w.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); err == nil || !strings.Contains(err.Error(), "InvalidClientTokenId") {
		t.Errorf("a key that was turned off: %v", err)
	}
}

// readLog reads what the last task has logged.
func (w workflow) readLog(ctx context.Context) error {
	found, err := w.logs.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: aws.String(devGroup), LogStreamNamePrefix: aws.String("ecs/ml-container/"), FilterPattern: aws.String(`"no container"`),
	})
	if err != nil {
		return err
	}
	if len(found.Events) != 1 {
		return fmt.Errorf("%d events, want 1", len(found.Events))
	}
	events, err := w.logs.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String(devGroup), LogStreamName: found.Events[0].LogStreamName})
	if err == nil && len(events.Events) != 1 {
		return fmt.Errorf("%d events in %s, want 1", len(events.Events), *found.Events[0].LogStreamName)
	}
	return err
}

// githubToken is one as GitHub gives it to a job; nobody has signed it.
func githubToken(t *testing.T, now time.Time, change map[string]any) *string {
	t.Helper()
	claims := map[string]any{
		"iss": "https://token.actions.githubusercontent.com", "aud": "sts.amazonaws.com",
		"sub": "repo:asamane/churn-prediction:ref:refs/heads/main",
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
	maps.Copy(claims, change)
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	part := base64.RawURLEncoding.EncodeToString
	return aws.String(part([]byte(`{"alg":"RS256"}`)) + "." + part(body) + "." + part([]byte("signature")))
}

// The role of the example without keys lets in a job of the right repository
// and branch, which then does what the pipeline needs and nothing beside it.
func TestPipelineWithoutKeys(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{EnforceIAM: true})
	a.mustApply(t, a.example(t, "dev.yaml"))
	a.mustApply(t, a.example(t, "github-oidc.yaml"))
	ctx := t.Context()
	nobody := a.workflow(aws.AnonymousCredentials{})
	assume := func(claims map[string]any) (*sts.AssumeRoleWithWebIdentityOutput, error) {
		return nobody.sts.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
			RoleArn:          aws.String("arn:aws:iam::123456789012:role/churn-prediction-github-dev"),
			RoleSessionName:  aws.String("GitHubActions"),
			WebIdentityToken: githubToken(t, a.clock.Now(), claims),
		})
	}
	for what, claims := range map[string]map[string]any{
		"another branch":          {"sub": "repo:asamane/churn-prediction:ref:refs/heads/dev"},
		"a branch that begins so": {"sub": "repo:asamane/churn-prediction:ref:refs/heads/main2"},
		"a tag":                   {"sub": "repo:asamane/churn-prediction:ref:refs/tags/main"},
		"a pull request":          {"sub": "repo:asamane/churn-prediction:pull_request"},
		"an environment":          {"sub": "repo:asamane/churn-prediction:environment:main"},
		"another repository":      {"sub": "repo:asamane/other:ref:refs/heads/main"},
		"a fork":                  {"sub": "repo:somebody/churn-prediction:ref:refs/heads/main"},
	} {
		refused(t, what, only(assume(claims)))
	}
	for what, claims := range map[string]map[string]any{
		"another audience":      {"aud": "https://github.com/asamane"},
		"another provider":      {"iss": "https://token.actions.example.com"},
		"a token that is over":  {"exp": a.clock.Now().Unix()},
		"a token without a sub": {"sub": nil},
	} {
		if _, err := assume(claims); err == nil {
			t.Errorf("%s: it gets in", what)
		}
	}

	out, err := assume(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := out.Credentials
	w := a.workflow(credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken))
	allowed(t, "push the image", w.push(ctx, devRepo, "latest"))
	task, err := w.run(ctx, devCluster, devTask, nil)
	if err != nil {
		t.Fatal(err)
	}
	if task.StopCode != ecstypes.TaskStopCodeEssentialContainerExited {
		t.Errorf("the task has stopped by %s: %s", task.StopCode, *task.StoppedReason)
	}
	allowed(t, "list tasks", only(w.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: aws.String(devCluster)})))

	for _, name := range []string{"other", devRepo + "2"} {
		done(t)(a.ecr.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: &name}))
	}
	done(t)(a.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: aws.String("other")}))
	done(t)(a.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("admin"), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)}))
	done(t)(a.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("other"), NetworkMode: "awsvpc", RequiresCompatibilities: []ecstypes.Compatibility{"FARGATE"}, Cpu: aws.String("256"), Memory: aws.String("512"),
		ContainerDefinitions: []ecstypes.ContainerDefinition{{Name: aws.String("c"), Image: aws.String("public.ecr.aws/nginx")}},
	}))
	for what, err := range map[string]error{
		"push to another repository":          w.push(ctx, "other", "latest"),
		"push to a repository that begins so": w.push(ctx, devRepo+"2", "latest"),
		"run on another cluster":              only(w.run(ctx, "other", devTask, nil)),
		"run another task":                    only(w.run(ctx, devCluster, "other", nil)),
		"run the task as somebody else": only(w.run(ctx, devCluster, devTask, func(in *ecs.RunTaskInput) {
			in.Overrides = &ecstypes.TaskOverride{TaskRoleArn: aws.String("arn:aws:iam::123456789012:role/admin")}
		})),
		"read the bucket, which the task does": only(w.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(devBucket)})),
		"delete images":                        only(w.ecr.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: aws.String(devRepo), Force: true})),
		"change whom the role trusts":          only(w.iam.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("churn-prediction-github-dev"), PolicyDocument: aws.String(`{}`)})),
		"look at IAM":                          only(w.iam.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{})),
	} {
		refused(t, what, err)
	}

	a.clock.advance(time.Hour)
	if _, err := w.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); err == nil || !strings.Contains(err.Error(), "ExpiredToken") {
		t.Errorf("an hour later: %v", err)
	}
}
