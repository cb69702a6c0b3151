package stack_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	kindecr "github.com/churn-reconcile/churn-reconcile/reconcile/ecr"
	"github.com/churn-reconcile/churn-reconcile/reconcile/ecs"
	"github.com/churn-reconcile/churn-reconcile/reconcile/logs"
	kinds3 "github.com/churn-reconcile/churn-reconcile/reconcile/s3"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A doomed is one resource of a kind: how it is made by hand with the mark of a
// stack, what is put into it, and what is taken out again.
type doomed struct {
	make   func(ctx context.Context, a *account, mark string) error
	fill   func(ctx context.Context, a *account) error // nil: nothing that would keep it
	clear  func(ctx context.Context, a *account) error
	kept   string // what keeps it
	remove func(a *account, env reconcile.Env, force bool) reconcile.Removal
	forced bool // what is in it can be made to go with it
	there  func(ctx context.Context, a *account) (bool, error)

	sandboxOnly bool // what fills it, no other endpoint has
}

func doomedKinds() map[string]doomed {
	bucket, name := aws.String("data-of-the-removal"), aws.String("removal")
	const family = "removal"
	there := func(err error, absent string) (bool, error) {
		if err != nil && strings.Contains(err.Error(), absent) {
			return false, nil
		}
		return err == nil, err
	}
	return map[string]doomed{
		"bucket": {
			make: func(ctx context.Context, a *account, mark string) error {
				if _, err := a.s3.CreateBucket(ctx, &s3.CreateBucketInput{
					Bucket: bucket, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: region},
				}); err != nil {
					return err
				}
				_, err := a.s3.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: bucket, Tagging: &s3types.Tagging{
					TagSet: []s3types.Tag{{Key: aws.String(reconcile.Mark), Value: &mark}},
				}})
				return err
			},
			fill: func(ctx context.Context, a *account) error {
				_, err := a.s3.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
					Bucket: bucket, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled},
				})
				for _, key := range []string{"a", "b", "a"} {
					_, e := a.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: strings.NewReader(key)})
					err = errors.Join(err, e)
				}
				_, e := a.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String("b")})
				_, f := a.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: aws.String("big")})
				return errors.Join(err, e, f)
			},
			kept: "4 versions of objects, old ones and delete markers among them, 1 unfinished upload", forced: true,
			remove: func(a *account, env reconcile.Env, force bool) reconcile.Removal {
				return reconcile.Remove(kinds3.Buckets{API: a.s3, Env: env}, env, spec.S3Bucket{Name: *bucket, ForceDestroy: force})
			},
			there: func(ctx context.Context, a *account) (bool, error) {
				_, err := a.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: bucket})
				return there(err, "NotFound")
			},
		},
		"log group": {
			make: func(ctx context.Context, a *account, mark string) error {
				_, err := a.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: name, Tags: map[string]string{reconcile.Mark: mark}})
				return err
			},
			fill: func(ctx context.Context, a *account) error {
				_, err := a.logs.PutLogGroupDeletionProtection(ctx, &cloudwatchlogs.PutLogGroupDeletionProtectionInput{
					LogGroupIdentifier: name, DeletionProtectionEnabled: aws.Bool(true),
				})
				return err
			},
			kept: "its deletionProtectionEnabled is true", forced: true, sandboxOnly: true,
			remove: func(a *account, env reconcile.Env, force bool) reconcile.Removal {
				want := spec.LogsLogGroup{Name: *name}
				if force {
					want.DeletionProtectionEnabled = aws.Bool(false)
				}
				return reconcile.Remove(logs.LogGroups{API: a.logs, Env: env}, env, want)
			},
			there: func(ctx context.Context, a *account) (bool, error) {
				out, err := a.logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: name})
				return err == nil && len(out.LogGroups) > 0, err
			},
		},
		"repository": {
			make: func(ctx context.Context, a *account, mark string) error {
				out, err := a.ecr.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: name})
				if err != nil {
					return err
				}
				_, err = a.ecr.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: out.Repository.RepositoryArn, Tags: []ecrtypes.Tag{{Key: aws.String(reconcile.Mark), Value: &mark}}})
				return err
			},
			fill: func(ctx context.Context, a *account) error {
				_, err := a.ecr.PutImage(ctx, &ecr.PutImageInput{RepositoryName: name, ImageTag: aws.String("latest"), ImageManifest: aws.String(manifest)})
				return err
			},
			kept: "1 image", forced: true,
			remove: func(a *account, env reconcile.Env, force bool) reconcile.Removal {
				return reconcile.Remove(kindecr.NewRepositories(a.ecr, env, nil), env, spec.ECRRepository{Name: *name, ForceDelete: force})
			},
			there: func(ctx context.Context, a *account) (bool, error) {
				_, err := a.ecr.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{*name}})
				return there(err, "RepositoryNotFoundException")
			},
		},
		"cluster": {
			make: func(ctx context.Context, a *account, mark string) error {
				_, err := a.ecs.CreateCluster(ctx, &awsecs.CreateClusterInput{ClusterName: name, Tags: ecsTag(mark)})
				return err
			},
			fill: func(ctx context.Context, a *account) error {
				_, err := a.ecs.RegisterContainerInstance(ctx, &awsecs.RegisterContainerInstanceInput{Cluster: name})
				return err
			},
			clear: func(ctx context.Context, a *account) error {
				_, err := a.ecs.DeregisterContainerInstance(ctx, &awsecs.DeregisterContainerInstanceInput{
					Cluster: name, ContainerInstance: aws.String("00000000000000000000000000000001"),
				})
				return err
			},
			kept: "1 container instance", sandboxOnly: true,
			remove: func(a *account, env reconcile.Env, _ bool) reconcile.Removal {
				return reconcile.Remove(ecs.NewClusters(a.ecs, env, nil), env, spec.ECSCluster{Name: *name})
			},
			there: func(ctx context.Context, a *account) (bool, error) {
				out, err := a.ecs.DescribeClusters(ctx, &awsecs.DescribeClustersInput{Clusters: []string{*name}})
				return err == nil && len(out.Clusters) == 1 && *out.Clusters[0].Status != "INACTIVE", err
			},
		},
		"task definition": {
			make: func(ctx context.Context, a *account, mark string) error {
				for range 2 {
					_, err := a.ecs.RegisterTaskDefinition(ctx, &awsecs.RegisterTaskDefinitionInput{
						Family: aws.String(family), Tags: ecsTag(mark),
						ContainerDefinitions: []ecstypes.ContainerDefinition{{Name: aws.String("c"), Image: aws.String("i"), Memory: aws.Int32(128)}},
					})
					if err != nil {
						return err
					}
				}
				return nil
			},
			remove: func(a *account, env reconcile.Env, _ bool) reconcile.Removal {
				return reconcile.Remove(ecs.Families{TaskDefinitions: ecs.TaskDefinitions{API: a.ecs, Env: env}}, env, spec.ECSTaskDefinition{Family: family})
			},
			there: func(ctx context.Context, a *account) (bool, error) {
				out, err := a.ecs.ListTaskDefinitions(ctx, &awsecs.ListTaskDefinitionsInput{FamilyPrefix: aws.String(family)})
				return err == nil && len(out.TaskDefinitionArns) > 0, err
			},
		},
	}
}

// manifest is as much of an image's as every endpoint takes.
const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","layers":[]}`

func ecsTag(mark string) []ecstypes.Tag {
	return []ecstypes.Tag{{Key: aws.String(reconcile.Mark), Value: &mark}}
}

// Each kind goes where it carries the stack's mark and nothing keeps it, and
// only there.
func TestKindsAreDeleted(t *testing.T) {
	alone(t)
	for name, kind := range doomedKinds() {
		for _, tt := range []struct {
			name  string
			mark  string
			fill  bool
			force bool
			goes  bool
		}{
			{"the stack's", "test/test", false, false, true},
			{"another stack's", "test/prod", false, true, false},
			{"held", "test/test", true, false, false},
			{"by force", "test/test", true, true, true},
		} {
			if tt.fill && (kind.fill == nil || tt.force && !kind.forced) {
				continue
			}
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				alone(t)
				a := newAccount(t)
				ctx := t.Context()
				if tt.fill && kind.sandboxOnly && a.sandbox == nil {
					t.Skip("the endpoint does not know it")
				}
				if err := kind.make(ctx, a, tt.mark); err != nil {
					t.Fatal(err)
				}
				if tt.fill {
					if err := kind.fill(ctx, a); err != nil {
						t.Fatal(err)
					}
				}
				env := reconcile.Env{
					Account: accountID, Region: region, Partition: "aws", Stack: "test/test", AWSNow: a.clock.Now,
					Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
				}
				remove := func() (*reconcile.Run, error) {
					run := reconcile.Look(ctx, []reconcile.Resource{kind.remove(a, env, tt.force)}, reconcile.Options{Pause: env.Pause})
					err := run.CheckHolders()
					run.Apply(ctx)
					return run, err
				}
				run, err := remove()
				result := run.Results()[0]
				wantKept := ""
				if tt.fill && !tt.goes {
					wantKept = kind.kept
				}
				if (err != nil) != (wantKept != "") || err != nil && !strings.Contains(err.Error(), ": "+wantKept+"; ") {
					t.Errorf("kept: %v, want %q", err, wantKept)
				}
				if result.Err != nil && err == nil {
					t.Errorf("%s: %v", result.Status, result.Err)
				}
				if there, err := kind.there(ctx, a); err != nil || there == tt.goes {
					t.Errorf("it is there: %v, %v", there, err)
				}
				if kind.clear != nil && wantKept != "" {
					if err := kind.clear(ctx, a); err != nil {
						t.Fatal(err)
					}
					_, err := remove()
					if there, e := kind.there(ctx, a); err != nil || there || e != nil {
						t.Errorf("with nothing to keep it, it is there: %v, %v", there, errors.Join(err, e))
					}
				}
				// Again, there is nothing to do.
				run, err = remove()
				if r := run.Results()[0]; tt.goes && (r.Status != reconcile.InSync || err != nil) {
					t.Errorf("a second run: %s, %v", r.Status, errors.Join(r.Err, err))
				}
			})
		}
	}
}
