package stack_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
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
)

// Somebody changes the reference stack by hand, and the next run takes exactly
// that back.
func TestMendChanges(t *testing.T) {
	alone(t)
	for _, tt := range []struct {
		name string
		hand func(context.Context, testing.TB, *account)
		want string
	}{
		{
			name: "bucket versioning suspended",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.s3.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
					Bucket: aws.String(bucket), VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusSuspended},
				}))
			},
			want: `
s3.bucket/churn-prediction-data-asamane: update
  s3:PutBucketVersioning
  versioning: Suspended -> Enabled`,
		},
		{
			name: "bucket tags changed, added and gone, the mark among them",
			hand: func(_ context.Context, t testing.TB, a *account) {
				a.tagBucket(t, map[string]string{"Name": bucket, "Project": "other", "Owner": "somebody"})
			},
			want: `
s3.bucket/churn-prediction-data-asamane: update
  s3:PutBucketTagging
  tags.Environment: <nil> -> dev
  tags.Owner: somebody -> <nil>
  tags.Project: other -> churn-prediction
  tags.churn-reconcile:stack: <nil> -> churn-prediction/dev`,
		},
		{
			name: "log group retention changed",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.logs.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String(logGroup), RetentionInDays: aws.Int32(30)}))
			},
			want: `
logs.log-group//ecs/churn-prediction: update
  logs:PutRetentionPolicy
  retentionInDays: 30 -> 7`,
		},
		{
			name: "log group retention gone",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.logs.DeleteRetentionPolicy(ctx, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: aws.String(logGroup)}))
			},
			want: `
logs.log-group//ecs/churn-prediction: update
  logs:PutRetentionPolicy
  retentionInDays: <nil> -> 7`,
		},
		{
			name: "log group tags changed, added and gone",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.logs.TagResource(ctx, &cloudwatchlogs.TagResourceInput{
					ResourceArn: aws.String(logGroupARN), Tags: map[string]string{"Project": "other", "Owner": "somebody"},
				}))
				done(t)(a.logs.UntagResource(ctx, &cloudwatchlogs.UntagResourceInput{ResourceArn: aws.String(logGroupARN), TagKeys: []string{"Environment"}}))
			},
			want: `
logs.log-group//ecs/churn-prediction: update
  logs:TagResource
  logs:UntagResource
  tags.Environment: <nil> -> dev
  tags.Project: other -> churn-prediction
  tags.Owner: somebody -> <nil>`,
		},
		{
			name: "repository mutability changed",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.ecr.PutImageTagMutability(ctx, &ecr.PutImageTagMutabilityInput{
					RepositoryName: aws.String(repo), ImageTagMutability: ecrtypes.ImageTagMutabilityImmutable,
				}))
			},
			want: `
ecr.repository/churn-prediction-repo: update
  ecr:PutImageTagMutability
  imageTagMutability: IMMUTABLE -> MUTABLE`,
		},
		{
			name: "repository tags changed, added and gone",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.ecr.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: aws.String(repoARN), Tags: []ecrtypes.Tag{
					{Key: aws.String("Project"), Value: aws.String("other")}, {Key: aws.String("Owner"), Value: aws.String("somebody")},
				}}))
				done(t)(a.ecr.UntagResource(ctx, &ecr.UntagResourceInput{ResourceArn: aws.String(repoARN), TagKeys: []string{"Environment"}}))
			},
			want: `
ecr.repository/churn-prediction-repo: update
  ecr:TagResource
  ecr:UntagResource
  tags.Environment: <nil> -> dev
  tags.Project: other -> churn-prediction
  tags.Owner: somebody -> <nil>`,
		},
		{
			name: "policy document changed",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				wider := strings.Replace(ecsDocument, `"ecs:RunTask"`, `"ecs:RunTask","ecs:StopTask"`, 1)
				done(t)(a.iam.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{
					PolicyArn: aws.String(policyARN + ecsPolicy), PolicyDocument: &wider, SetAsDefault: true,
				}))
			},
			// The version that says so already comes back.
			want: `
iam.policy/ml-engineer-ecs-policy: update
  iam:SetDefaultPolicyVersion
  document.Statement[0].Action[ecs:StopTask]: ecs:StopTask -> <nil>`,
		},
		{
			name: "policy tags changed, added and gone",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				arn := aws.String(policyARN + ecsPolicy)
				done(t)(a.iam.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: arn, Tags: handTags()}))
				done(t)(a.iam.UntagPolicy(ctx, &iam.UntagPolicyInput{PolicyArn: arn, TagKeys: []string{"Environment"}}))
			},
			want: `
iam.policy/ml-engineer-ecs-policy: update
  iam:TagPolicy
  iam:UntagPolicy
  tags.Environment: <nil> -> dev
  tags.Project: other -> churn-prediction
  tags.Owner: somebody -> <nil>`,
		},
		{
			name: "role trust policy changed",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{
					RoleName: aws.String(role), PolicyDocument: aws.String(strings.Replace(trustECSTasks, "ecs-tasks", "ec2", 1)),
				}))
			},
			want: `
iam.role/ecsTaskExecutionRole: update
  iam:UpdateAssumeRolePolicy
  assumeRolePolicy.Statement[0].Principal.Service[ec2.amazonaws.com]: ec2.amazonaws.com -> <nil>
  assumeRolePolicy.Statement[0].Principal.Service[ecs-tasks.amazonaws.com]: <nil> -> ecs-tasks.amazonaws.com`,
		},
		{
			name: "role attachments: two gone, one too many",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				for _, arn := range []string{executionARN, policyARN + taskS3} {
					done(t)(a.iam.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: aws.String(role), PolicyArn: &arn}))
				}
				done(t)(a.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String(role), PolicyArn: aws.String(readOnlyARN)}))
			},
			want: `
iam.role/ecsTaskExecutionRole: update
  iam:AttachRolePolicy
  iam:AttachRolePolicy
  iam:DetachRolePolicy
  policies[ecs-s3-access]: <nil> -> arn:aws:iam::123456789012:policy/ecs-s3-access
  policies[AmazonECSTaskExecutionRolePolicy]: <nil> -> arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy
  policies[ReadOnlyAccess]: arn:aws:iam::aws:policy/ReadOnlyAccess -> <nil>`,
		},
		{
			name: "role tags changed, added and gone",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.TagRole(ctx, &iam.TagRoleInput{RoleName: aws.String(role), Tags: handTags()}))
				done(t)(a.iam.UntagRole(ctx, &iam.UntagRoleInput{RoleName: aws.String(role), TagKeys: []string{"Environment"}}))
			},
			want: `
iam.role/ecsTaskExecutionRole: update
  iam:TagRole
  iam:UntagRole
  tags.Environment: <nil> -> dev
  tags.Project: other -> churn-prediction
  tags.Owner: somebody -> <nil>`,
		},
		{
			name: "user attachments: one gone, one too many",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: aws.String(user), PolicyArn: aws.String(policyARN + ecrPolicy)}))
				done(t)(a.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String(user), PolicyArn: aws.String(readOnlyARN)}))
			},
			want: `
iam.user/ml-engineer: update
  iam:AttachUserPolicy
  iam:DetachUserPolicy
  policies[ml-engineer-ecr-policy]: <nil> -> arn:aws:iam::123456789012:policy/ml-engineer-ecr-policy
  policies[ReadOnlyAccess]: arn:aws:iam::aws:policy/ReadOnlyAccess -> <nil>`,
		},
		{
			name: "user tags changed, added and gone",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.TagUser(ctx, &iam.TagUserInput{UserName: aws.String(user), Tags: handTags()}))
				done(t)(a.iam.UntagUser(ctx, &iam.UntagUserInput{UserName: aws.String(user), TagKeys: []string{"Environment"}}))
			},
			want: `
iam.user/ml-engineer: update
  iam:TagUser
  iam:UntagUser
  tags.Environment: <nil> -> dev
  tags.Project: other -> churn-prediction
  tags.Owner: somebody -> <nil>`,
		},
		{
			name: "access key deactivated",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{
					UserName: aws.String(user), AccessKeyId: aws.String(a.onlyKey(t, user)), Status: iamtypes.StatusTypeInactive,
				}))
			},
			want: `
iam.access-key/ml-engineer: update
  iam:UpdateAccessKey
  status: Inactive -> Active`,
		},
		{
			name: "a second access key of somebody's",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String(user)}))
			},
			want: ``, // it is theirs
		},
		{
			name: "cluster tags changed, added and gone",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				a.tagECS(ctx, t, clusterARN)
			},
			want: `
ecs.cluster/churn-prediction-cluster: update
  ecs:TagResource
  ecs:UntagResource
  tags.Environment: <nil> -> dev
  tags.Project: other -> churn-prediction
  tags.Owner: somebody -> <nil>`,
		},
		{
			name: "task definition tags changed, added and gone",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				a.tagECS(ctx, t, taskARN+":1")
			},
			want: `
ecs.task-definition/churn-prediction-task: update
  ecs:TagResource
  ecs:UntagResource
  tags.Environment: <nil> -> dev
  tags.Project: other -> churn-prediction
  tags.Owner: somebody -> <nil>`,
		},
		{
			name: "task definition with another revision, every field changed",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				in := referenceTask()
				in.Cpu, in.Memory = aws.String("1024"), aws.String("2048")
				in.TaskRoleArn = nil
				c := &in.ContainerDefinitions[0]
				c.Image = aws.String("docker.io/library/busybox")
				c.Environment = append(c.Environment[1:], ecstypes.KeyValuePair{Name: aws.String("DEBUG"), Value: aws.String("1")})
				c.LogConfiguration.Options["awslogs-stream-prefix"] = "other"
				c.Command = []string{"sleep", "1"}
				done(t)(a.ecs.RegisterTaskDefinition(ctx, in))
			},
			// A revision made by hand has none of the tags.
			want: `
ecs.task-definition/churn-prediction-task: update
  ecs:RegisterTaskDefinition
  containerDefinitions[ml-container].command[0]: sleep -> <nil>
  containerDefinitions[ml-container].command[1]: 1 -> <nil>
  containerDefinitions[ml-container].environment.BUCKET_NAME: <nil> -> churn-prediction-data-asamane
  containerDefinitions[ml-container].environment.DEBUG: 1 -> <nil>
  containerDefinitions[ml-container].image: docker.io/library/busybox -> 123456789012.dkr.ecr.eu-north-1.amazonaws.com/churn-prediction-repo:latest
  containerDefinitions[ml-container].logConfiguration.options.awslogs-stream-prefix: other -> ecs
  cpu: 1024 -> 512
  memory: 2048 -> 1024
  taskRoleArn: <nil> -> arn:aws:iam::123456789012:role/ecsTaskExecutionRole
  tags.Environment: <nil> -> dev
  tags.Project: <nil> -> churn-prediction
  tags.churn-reconcile:stack: <nil> -> churn-prediction/dev`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alone(t)
			a := newAccount(t)
			path := a.example(t, "dev.yaml")
			a.mustApply(t, path)
			a.mustBeInSync(t, path)

			tt.hand(t.Context(), t, a)
			keys := a.keys(t, user)
			wantChanges(t, tt.want, a.look(path).changes())
			wantChanges(t, tt.want, a.mustApply(t, path).changes())
			if diff := cmp.Diff(keys, a.keys(t, user)); diff != "" {
				t.Errorf("access keys (-before +after):\n%s", diff)
			}
			a.mustBeInSync(t, path)
		})
	}
}

func handTags() []iamtypes.Tag {
	return []iamtypes.Tag{
		{Key: aws.String("Project"), Value: aws.String("other")},
		{Key: aws.String("Owner"), Value: aws.String("somebody")},
	}
}

func (a *account) tagECS(ctx context.Context, t testing.TB, arn string) {
	t.Helper()
	done(t)(a.ecs.TagResource(ctx, &ecs.TagResourceInput{ResourceArn: &arn, Tags: []ecstypes.Tag{
		{Key: aws.String("Project"), Value: aws.String("other")}, {Key: aws.String("Owner"), Value: aws.String("somebody")},
	}}))
	done(t)(a.ecs.UntagResource(ctx, &ecs.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"Environment"}}))
}

// Somebody deletes a part of the reference stack by hand, and the next run
// makes it anew, and nothing else.
func TestMendDeletions(t *testing.T) {
	alone(t)
	for _, tt := range []struct {
		name string
		hand func(context.Context, testing.TB, *account)
		want []string
	}{
		{
			name: "bucket",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(bucket)}))
			},
			want: []string{"s3.bucket/" + bucket + ": create"},
		},
		{
			name: "log group",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.logs.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: aws.String(logGroup)}))
			},
			want: []string{"logs.log-group/" + logGroup + ": create"},
		},
		{
			name: "repository",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.ecr.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: aws.String(repo), Force: true}))
			},
			want: []string{"ecr.repository/" + repo + ": create"},
		},
		{
			name: "policy, which has to be detached first",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				arn := aws.String(policyARN + s3Policy)
				done(t)(a.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: aws.String(user), PolicyArn: arn}))
				done(t)(a.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn}))
			},
			want: []string{"iam.policy/" + s3Policy + ": create", "iam.user/" + user + ": update"},
		},
		{
			name: "role",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				for _, arn := range []string{executionARN, policyARN + taskS3} {
					done(t)(a.iam.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: aws.String(role), PolicyArn: &arn}))
				}
				done(t)(a.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String(role)}))
			},
			want: []string{"iam.role/" + role + ": create"},
		},
		{
			name: "access key",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				a.deleteKeys(ctx, t, user)
			},
			want: []string{"iam.access-key/" + user + ": create"},
		},
		{
			name: "user with its key",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				a.deleteKeys(ctx, t, user)
				for _, name := range []string{s3Policy, ecsPolicy, ecrPolicy} {
					done(t)(a.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: aws.String(user), PolicyArn: aws.String(policyARN + name)}))
				}
				done(t)(a.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String(user)}))
			},
			want: []string{"iam.user/" + user + ": create", "iam.access-key/" + user + ": create"},
		},
		{
			name: "cluster",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.ecs.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: aws.String(cluster)}))
			},
			want: []string{"ecs.cluster/" + cluster + ": create"},
		},
		{
			name: "task definition deregistered",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.ecs.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String(taskARN + ":1")}))
			},
			want: []string{"ecs.task-definition/" + family + ": create"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alone(t)
			a := newAccount(t)
			path := a.example(t, "dev.yaml")
			a.mustApply(t, path)

			tt.hand(t.Context(), t, a)
			// Long enough for no list to be taken for one that lags.
			a.clock.advance(time.Hour)
			o := a.mustApply(t, path)
			if diff := cmp.Diff(tt.want, headings(o.changes())); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			a.mustHaveDelivered(t, user)
			a.mustBeInSync(t, path)
		})
	}
}

func (a *account) deleteKeys(ctx context.Context, t testing.TB, user string) {
	t.Helper()
	for _, id := range a.keys(t, user) {
		done(t)(a.iam.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &user, AccessKeyId: &id}))
	}
}

// mustHaveDelivered wants the user to have one key, and the sink to hold it
// with a secret, for its owner alone.
func (a *account) mustHaveDelivered(t testing.TB, user string) {
	t.Helper()
	id := a.onlyKey(t, user)
	profile := a.profile(t, user)
	if profile.AccessKeyID != id || profile.SecretAccessKey == "" {
		t.Errorf("the sink holds %s (secret there: %t), want %s", profile.AccessKeyID, profile.SecretAccessKey != "", id)
	}
	info, err := os.Stat(a.sink())
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("the sink's mode is %o, want 600", mode)
	}
}

// profile reads the sink as the SDK does.
func (a *account) profile(t testing.TB, name string) aws.Credentials {
	t.Helper()
	p, err := config.LoadSharedConfigProfile(t.Context(), name, func(o *config.LoadSharedConfigOptions) {
		o.CredentialsFiles = []string{a.sink()}
		o.ConfigFiles = []string{}
	})
	if err != nil {
		t.Fatal(err)
	}
	return p.Credentials
}
