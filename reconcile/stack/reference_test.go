package stack_test

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
)

// The names of examples/dev.yaml.
const (
	bucket    = "churn-prediction-data-asamane"
	logGroup  = "/ecs/churn-prediction"
	repo      = "churn-prediction-repo"
	cluster   = "churn-prediction-cluster"
	family    = "churn-prediction-task"
	role      = "ecsTaskExecutionRole"
	user      = "ml-engineer"
	s3Policy  = "ml-engineer-s3-policy"
	ecsPolicy = "ml-engineer-ecs-policy"
	ecrPolicy = "ml-engineer-ecr-policy"
	taskS3    = "ecs-s3-access"

	policyARN     = "arn:aws:iam::" + accountID + ":policy/"
	roleARN       = "arn:aws:iam::" + accountID + ":role/" + role
	repoARN       = "arn:aws:ecr:" + region + ":" + accountID + ":repository/" + repo
	logGroupARN   = "arn:aws:logs:" + region + ":" + accountID + ":log-group:" + logGroup
	clusterARN    = "arn:aws:ecs:" + region + ":" + accountID + ":cluster/" + cluster
	taskARN       = "arn:aws:ecs:" + region + ":" + accountID + ":task-definition/" + family
	imageURI      = accountID + ".dkr.ecr." + region + ".amazonaws.com/" + repo
	executionARN  = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
	readOnlyARN   = "arn:aws:iam::aws:policy/ReadOnlyAccess"
	trustECSTasks = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

	s3Document = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:ListBucket"],` +
		`"Resource":["arn:aws:s3:::` + bucket + `","arn:aws:s3:::` + bucket + `/*"]}]}`
	ecsDocument = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecs:RunTask","ecs:DescribeTasks",` +
		`"ecs:DescribeTaskDefinition","ecs:ListTasks","iam:PassRole"],"Resource":"*"}]}`
	ecrDocument = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:GetAuthorizationToken",` +
		`"ecr:BatchCheckLayerAvailability","ecr:GetDownloadUrlForLayer","ecr:BatchGetImage","ecr:PutImage","ecr:InitiateLayerUpload",` +
		`"ecr:UploadLayerPart","ecr:CompleteLayerUpload","ecr:DescribeRepositories"],"Resource":"*"}]}`
	otherDocument = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"s3:*","Resource":"*"}]}`
)

// devAddresses are all addresses of examples/dev.yaml, in report order.
var devAddresses = []string{
	"s3.bucket/" + bucket,
	"logs.log-group/" + logGroup,
	"ecr.repository/" + repo,
	"iam.policy/" + taskS3,
	"iam.policy/" + ecrPolicy,
	"iam.policy/" + ecsPolicy,
	"iam.policy/" + s3Policy,
	"iam.role/" + role,
	"iam.user/" + user,
	"iam.access-key/" + user,
	"ecs.cluster/" + cluster,
	"ecs.task-definition/" + family,
}

func TestExamplesFromNothing(t *testing.T) {
	alone(t)
	for _, name := range []string{"dev.yaml", "prod.yaml"} {
		t.Run(name, func(t *testing.T) {
			alone(t)
			a := newAccount(t)
			path := a.example(t, name)

			dry := a.look(path)
			if err := dry.failure(); err != nil {
				t.Fatal(err)
			}
			if w := dry.writes(); len(w) > 0 {
				t.Fatalf("a dry run wrote: %v", w)
			}
			o := a.mustApply(t, path)
			if diff := cmp.Diff(dry.changes(), o.changes()); diff != "" {
				t.Errorf("the run did other things than its dry run said (-said +did):\n%s", diff)
			}
			for _, r := range o.results {
				if r.Action != reconcile.Create || r.Status != reconcile.Done {
					t.Errorf("%s: %s, %s; want create, done", r.ID, r.Action, r.Status)
				}
			}
			a.mustBeInSync(t, path)
		})
	}
}

func TestOutputs(t *testing.T) {
	alone(t)
	a := newAccount(t)
	path := a.example(t, "dev.yaml")

	values := func(o outcome) map[string]string {
		m := map[string]string{}
		for _, out := range o.outputs {
			m[out.Name] = "(unknown)"
			if out.Value != nil {
				m[out.Name] = *out.Value
			}
			if sensitive := strings.HasPrefix(out.Name, "ml_engineer"); out.Sensitive != sensitive {
				t.Errorf("output %s: sensitive is %t", out.Name, out.Sensitive)
			}
		}
		return m
	}
	want := map[string]string{
		"bucket_name":                   bucket,
		"bucket_arn":                    "arn:aws:s3:::" + bucket,
		"ml_engineer_access_key_id":     "(unknown)",
		"ml_engineer_secret_access_key": "(unknown)",
	}
	if diff := cmp.Diff(want, values(a.look(path))); diff != "" {
		t.Errorf("before the key is born (-want +got):\n%s", diff)
	}
	first := a.mustApply(t, path)
	want["ml_engineer_access_key_id"] = a.onlyKey(t, user)
	want["ml_engineer_secret_access_key"] = "delivered to " + a.sink() + " (profile " + user + ")"
	for _, o := range []outcome{first, a.look(path)} {
		if diff := cmp.Diff(want, values(o)); diff != "" {
			t.Errorf("outputs (-want +got):\n%s", diff)
		}
	}
}

// onlyKey is the id of the one access key that a user has.
func (a *account) onlyKey(t testing.TB, user string) string {
	t.Helper()
	ids := a.keys(t, user)
	if len(ids) != 1 {
		t.Fatalf("%s has the keys %v, want one", user, ids)
	}
	return ids[0]
}

func (a *account) keys(t testing.TB, user string) []string {
	t.Helper()
	out, err := a.iam.ListAccessKeys(t.Context(), &iam.ListAccessKeysInput{UserName: &user})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range out.AccessKeyMetadata {
		ids = append(ids, *k.AccessKeyId)
	}
	slices.Sort(ids)
	return ids
}

// makeReference makes the stack of examples/dev.yaml as Terraform did: with
// tags of its own on two resources, and with no mark on any. It answers the id
// of the user's key.
func (a *account) makeReference(t testing.TB) string {
	t.Helper()
	ctx, done := t.Context(), done(t)
	done(a.s3.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: aws.String(bucket), CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: region},
	}))
	a.tagBucket(t, map[string]string{"Name": bucket, "Environment": "dev", "Project": "churn-prediction"})
	done(a.s3.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: aws.String(bucket), VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled},
	}))
	done(a.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String(logGroup)}))
	done(a.logs.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String(logGroup), RetentionInDays: aws.Int32(7)}))
	done(a.ecr.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String(repo), ImageTagMutability: ecrtypes.ImageTagMutabilityMutable}))
	for _, p := range []struct{ name, description, document string }{
		{s3Policy, "IAM policy for ML engineer to access S3 bucket", s3Document},
		{taskS3, "Allow ECS tasks to access S3", s3Document},
		{ecsPolicy, "", ecsDocument},
		{ecrPolicy, "", ecrDocument},
	} {
		in := &iam.CreatePolicyInput{PolicyName: &p.name, PolicyDocument: &p.document}
		if p.description != "" {
			in.Description = &p.description
		}
		done(a.iam.CreatePolicy(ctx, in))
	}
	done(a.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(role), AssumeRolePolicyDocument: aws.String(trustECSTasks)}))
	for _, arn := range []string{executionARN, policyARN + taskS3} {
		done(a.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String(role), PolicyArn: &arn}))
	}
	done(a.iam.CreateUser(ctx, &iam.CreateUserInput{
		UserName: aws.String(user), Tags: []iamtypes.Tag{{Key: aws.String("Project"), Value: aws.String("churn-prediction")}},
	}))
	for _, name := range []string{s3Policy, ecsPolicy, ecrPolicy} {
		done(a.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String(user), PolicyArn: aws.String(policyARN + name)}))
	}
	key, err := a.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String(user)})
	if err != nil {
		t.Fatal(err)
	}
	// A tag, since moto's tagging API cannot take a cluster without one.
	done(a.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: aws.String(cluster)}))
	done(a.ecs.RegisterTaskDefinition(ctx, referenceTask()))
	return *key.AccessKey.AccessKeyId
}

// referenceTask is the task definition of examples/dev.yaml.
func referenceTask() *ecs.RegisterTaskDefinitionInput {
	return &ecs.RegisterTaskDefinitionInput{
		Family: aws.String(family), NetworkMode: ecstypes.NetworkModeAwsvpc,
		RequiresCompatibilities: []ecstypes.Compatibility{ecstypes.CompatibilityFargate},
		Cpu:                     aws.String("512"), Memory: aws.String("1024"),
		ExecutionRoleArn: aws.String(roleARN), TaskRoleArn: aws.String(roleARN),
		ContainerDefinitions: []ecstypes.ContainerDefinition{{
			Name: aws.String("ml-container"), Image: aws.String(imageURI + ":latest"), Essential: aws.Bool(true),
			Environment: []ecstypes.KeyValuePair{
				{Name: aws.String("BUCKET_NAME"), Value: aws.String(bucket)},
				{Name: aws.String("UPLOAD_TO_S3"), Value: aws.String("true")},
				{Name: aws.String("AWS_REGION"), Value: aws.String(region)},
			},
			LogConfiguration: &ecstypes.LogConfiguration{
				LogDriver: ecstypes.LogDriverAwslogs,
				Options:   map[string]string{"awslogs-group": logGroup, "awslogs-region": region, "awslogs-stream-prefix": "ecs"},
			},
		}},
	}
}

func (a *account) tagBucket(t testing.TB, tags map[string]string) {
	t.Helper()
	var set []s3types.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		set = append(set, s3types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	done(t)(a.s3.PutBucketTagging(t.Context(), &s3.PutBucketTaggingInput{Bucket: aws.String(bucket), Tagging: &s3types.Tagging{TagSet: set}}))
}

func TestAdoptReference(t *testing.T) {
	alone(t)
	a := newAccount(t)
	path := a.example(t, "dev.yaml")
	key := a.makeReference(t)

	o := a.mustApply(t, path)
	// Tags are all that is written; what has its own tags needs fewer.
	wantChanges(t, `
s3.bucket/churn-prediction-data-asamane: update
  s3:PutBucketTagging
  tags.churn-reconcile:stack: <nil> -> churn-prediction/dev
logs.log-group//ecs/churn-prediction: update
  logs:TagResource
  tags.Environment: <nil> -> dev
  tags.Project: <nil> -> churn-prediction
  tags.churn-reconcile:stack: <nil> -> churn-prediction/dev
ecr.repository/churn-prediction-repo: update
  ecr:TagResource
  tags.Environment: <nil> -> dev
  tags.Project: <nil> -> churn-prediction
  tags.churn-reconcile:stack: <nil> -> churn-prediction/dev
iam.policy/ecs-s3-access: update
  iam:TagPolicy
  tags.Environment: <nil> -> dev
  tags.Project: <nil> -> churn-prediction
  tags.churn-reconcile:stack: <nil> -> churn-prediction/dev
iam.policy/ml-engineer-ecr-policy: update
  iam:TagPolicy
  tags.Environment: <nil> -> dev
  tags.Project: <nil> -> churn-prediction
  tags.churn-reconcile:stack: <nil> -> churn-prediction/dev
iam.policy/ml-engineer-ecs-policy: update
  iam:TagPolicy
  tags.Environment: <nil> -> dev
  tags.Project: <nil> -> churn-prediction
  tags.churn-reconcile:stack: <nil> -> churn-prediction/dev
iam.policy/ml-engineer-s3-policy: update
  iam:TagPolicy
  tags.Environment: <nil> -> dev
  tags.Project: <nil> -> churn-prediction
  tags.churn-reconcile:stack: <nil> -> churn-prediction/dev
iam.role/ecsTaskExecutionRole: update
  iam:TagRole
  tags.Environment: <nil> -> dev
  tags.Project: <nil> -> churn-prediction
  tags.churn-reconcile:stack: <nil> -> churn-prediction/dev
iam.user/ml-engineer: update
  iam:TagUser
  tags.Environment: <nil> -> dev
  tags.churn-reconcile:stack: <nil> -> churn-prediction/dev
ecs.cluster/churn-prediction-cluster: update
  ecs:TagResource
  tags.Environment: <nil> -> dev
  tags.Project: <nil> -> churn-prediction
  tags.churn-reconcile:stack: <nil> -> churn-prediction/dev
ecs.task-definition/churn-prediction-task: update
  ecs:TagResource
  tags.Environment: <nil> -> dev
  tags.Project: <nil> -> churn-prediction
  tags.churn-reconcile:stack: <nil> -> churn-prediction/dev
`, o.changes())
	for _, call := range o.writes() {
		if !strings.Contains(call, "Tag") && call != "sts:GetCallerIdentity" {
			t.Errorf("adopting made the call %s", call)
		}
	}

	notes := o.result(t, "iam.access-key/"+user).Notes
	if len(notes) != 1 || !strings.Contains(notes[0], key) || !strings.Contains(notes[0], "was not delivered here") {
		t.Errorf("the adopted key's notes are %q", notes)
	}
	if got := a.onlyKey(t, user); got != key {
		t.Errorf("the key is %s, was %s", got, key)
	}
	if _, err := os.Stat(a.sink()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a sink was written although no secret is known: %v", err)
	}
	a.mustBeInSync(t, path)
}
