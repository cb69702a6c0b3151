package stack_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// everyActionVar asks for all examples and all actions, which takes minutes;
// without it some actions of one example have to do.
const everyActionVar = "CHURN_TEST_EVERY_ACTION"

// motoAuthVar asks for the tests that turn moto's own enforcement on, which is
// then on for whatever else asks the same moto.
const motoAuthVar = "CHURN_TEST_MOTO_AUTH"

// as makes a run with an access key of the account's.
func as(key aws.CredentialsProvider) option {
	return func(o *stack.Options, _ *stack.Look, _ *reconcile.Options) { o.AWS.Credentials = key }
}

// operator makes a user who may do exactly this, and gives its key.
func (a *account) operator(t testing.TB, name string, permissions []reconcile.Permission) aws.CredentialsProvider {
	t.Helper()
	ctx := t.Context()
	done(t)(a.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}))
	for i, document := range policy.Documents(permissions) {
		p, err := a.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String(fmt.Sprint(name, i)), PolicyDocument: aws.String(string(document))})
		if err != nil {
			t.Fatal(err)
		}
		done(t)(a.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &name, PolicyArn: p.Policy.Arn}))
	}
	key, err := a.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return credentials.NewStaticCredentialsProvider(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
}

// A life is what becomes of a stack: what is done by hand, and a run after it.
type life []struct {
	name string
	hand func(context.Context, testing.TB, *account, *spec.Spec)
	opts []option
	dry  bool
}

var wholeLife = life{
	{name: "dry run of nothing", dry: true},
	{name: "first run"},
	{name: "no-op"},
	{name: "mend", hand: upset},
	{name: "mend again", hand: upsetAgain},
	{name: "rotate", hand: func(_ context.Context, _ testing.TB, a *account, _ *spec.Spec) { a.clock.advance(91 * day) }, opts: []option{rotateNow}},
	{name: "retire the old key", hand: func(_ context.Context, _ testing.TB, a *account, _ *spec.Spec) { a.clock.advance(2 * day) }},
	{name: "after it", hand: func(_ context.Context, _ testing.TB, a *account, _ *spec.Spec) { a.clock.advance(2 * day) }},
	{name: "dry run of all", dry: true},
}

// A past is what has become of a stack.
type past struct {
	calls map[string]bool // that its runs have made
	run   string          // that has failed; "" is none
	err   error
}

// live leads the stack through its life, with an access key of its own. It ends
// where a run fails.
func (l life) live(t testing.TB, a *account, path string, key aws.CredentialsProvider) past {
	t.Helper()
	s := bound(t, path)
	calls := make(map[string]bool)
	for _, step := range l {
		if step.opts != nil && len(s.IAM.Users) == 0 {
			continue // there is no key to rotate
		}
		if step.hand != nil {
			a.enforce(t, false)
			step.hand(t.Context(), t, a, s)
		}
		a.enforce(t, true)
		o := a.run(path, !step.dry, append([]option{as(key)}, step.opts...))
		for _, call := range o.calls {
			calls[call] = true
		}
		if err := o.failure(); err != nil {
			return past{calls, step.name, err}
		}
	}
	return past{calls: calls}
}

// upset changes by hand all that the examples' resources have.
func upset(ctx context.Context, t testing.TB, a *account, s *spec.Spec) {
	for _, b := range s.S3.Buckets {
		name := aws.String(b.Name)
		done(t)(a.s3.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: name, VersioningConfiguration: &s3types.VersioningConfiguration{Status: "Suspended"}}))
		done(t)(a.s3.DeleteBucketTagging(ctx, &s3.DeleteBucketTaggingInput{Bucket: name}))
		done(t)(a.s3.DeleteBucketEncryption(ctx, &s3.DeleteBucketEncryptionInput{Bucket: name}))
		done(t)(a.s3.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: name}))
		done(t)(a.s3.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{Bucket: name, OwnershipControls: &s3types.OwnershipControls{
			Rules: []s3types.OwnershipControlsRule{{ObjectOwnership: "ObjectWriter"}},
		}}))
		done(t)(a.s3.DeleteBucketLifecycle(ctx, &s3.DeleteBucketLifecycleInput{Bucket: name}))
		done(t)(a.s3.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: name}))
	}
	for _, g := range s.Logs.LogGroups {
		done(t)(a.logs.DeleteRetentionPolicy(ctx, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: &g.Name}))
		done(t)(a.logs.TagResource(ctx, &cloudwatchlogs.TagResourceInput{
			ResourceArn: aws.String("arn:aws:logs:" + region + ":" + accountID + ":log-group:" + g.Name), Tags: map[string]string{"Owner": "x", "Project": "x"},
		}))
	}
	for _, r := range s.ECR.Repositories {
		other := ecrtypes.ImageTagMutabilityImmutable
		if r.ImageTagMutability == string(other) {
			other = ecrtypes.ImageTagMutabilityMutable
		}
		done(t)(a.ecr.PutImageTagMutability(ctx, &ecr.PutImageTagMutabilityInput{RepositoryName: &r.Name, ImageTagMutability: other}))
		done(t)(a.ecr.PutImageScanningConfiguration(ctx, &ecr.PutImageScanningConfigurationInput{RepositoryName: &r.Name, ImageScanningConfiguration: &ecrtypes.ImageScanningConfiguration{}}))
		if r.LifecyclePolicy != nil {
			done(t)(a.ecr.DeleteLifecyclePolicy(ctx, &ecr.DeleteLifecyclePolicyInput{RepositoryName: &r.Name}))
		}
		done(t)(a.ecr.TagResource(ctx, &ecr.TagResourceInput{
			ResourceArn: aws.String("arn:aws:ecr:" + region + ":" + accountID + ":repository/" + r.Name),
			Tags:        []ecrtypes.Tag{{Key: aws.String("Owner"), Value: aws.String("x")}, {Key: aws.String("Project"), Value: aws.String("x")}},
		}))
	}
	for i, p := range s.IAM.Policies {
		arn := aws.String(policyARN + p.Name)
		done(t)(a.iam.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: arn, Tags: handTags()}))
		versions := 1
		if i == 0 {
			versions = 4 // with the first one there is no room for another
		}
		for n := range versions {
			document := strings.Replace(ecsDocument, `"ecs:RunTask"`, fmt.Sprintf(`"ecs:RunTask","ecs:StopTask%d"`, n), 1)
			done(t)(a.iam.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: &document, SetAsDefault: true}))
		}
		if i == 0 { // nor is the wanted one among them
			document := strings.Replace(ecsDocument, `"ecs:RunTask"`, `"ecs:StopTask"`, 1)
			done(t)(a.iam.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")}))
			done(t)(a.iam.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: &document, SetAsDefault: true}))
		}
	}
	for _, o := range s.IAM.Roles {
		name := &o.Name
		done(t)(a.iam.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: aws.String(strings.Replace(trustECSTasks, "ecs-tasks", "ec2", 1))}))
		for _, arn := range o.Policies {
			done(t)(a.iam.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: &arn}))
		}
		if o.Description != nil {
			done(t)(a.iam.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: name, Description: aws.String("other")}))
		}
		done(t)(a.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: aws.String(readOnlyARN)}))
		done(t)(a.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("theirs"), PolicyDocument: aws.String(ecsDocument)}))
		for inline := range o.InlinePolicies {
			done(t)(a.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: &inline, PolicyDocument: aws.String(ecsDocument)}))
		}
		done(t)(a.iam.TagRole(ctx, &iam.TagRoleInput{RoleName: name, Tags: handTags()}))
	}
	for _, u := range s.IAM.Users {
		name := &u.Name
		for _, arn := range u.Policies {
			done(t)(a.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: name, PolicyArn: &arn}))
		}
		done(t)(a.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: name, PolicyArn: aws.String(readOnlyARN)}))
		done(t)(a.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: name, PolicyName: aws.String("theirs"), PolicyDocument: aws.String(ecsDocument)}))
		done(t)(a.iam.TagUser(ctx, &iam.TagUserInput{UserName: name, Tags: handTags()}))
		done(t)(a.iam.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: name, AccessKeyId: aws.String(a.onlyKey(t, u.Name)), Status: "Inactive"}))
	}
	for _, p := range s.IAM.OIDCProviders {
		arn := aws.String("arn:aws:iam::" + accountID + ":oidc-provider/" + p.URL)
		done(t)(a.iam.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("theirs")}))
		for _, id := range p.ClientIDList {
			done(t)(a.iam.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: &id}))
		}
		done(t)(a.iam.TagOpenIDConnectProvider(ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, Tags: handTags()}))
	}
	for _, c := range s.ECS.Clusters {
		a.tagECS(ctx, t, "arn:aws:ecs:"+region+":"+accountID+":cluster/"+c.Name)
		done(t)(a.ecs.UpdateCluster(ctx, &ecs.UpdateClusterInput{Cluster: &c.Name, Settings: []ecstypes.ClusterSetting{{Name: "containerInsights", Value: aws.String("disabled")}}}))
	}
	for _, d := range s.ECS.TaskDefinitions {
		a.tagECS(ctx, t, "arn:aws:ecs:"+region+":"+accountID+":task-definition/"+d.Family+":1")
	}
}

// upsetAgain is what cannot be changed at the same time as the rest.
func upsetAgain(ctx context.Context, t testing.TB, a *account, s *spec.Spec) {
	for _, b := range s.S3.Buckets {
		// Tags of a bucket with this turned on are written in another way.
		done(t)(a.s3.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: aws.String(b.Name), Tagging: &s3types.Tagging{
			TagSet: []s3types.Tag{{Key: aws.String("Owner"), Value: aws.String("x")}},
		}}))
		done(t)(a.s3.PutBucketAbac(ctx, &s3.PutBucketAbacInput{Bucket: aws.String(b.Name), AbacStatus: &s3types.AbacStatus{Status: "Enabled"}}))
	}
	for _, p := range s.IAM.Policies[:min(1, len(s.IAM.Policies))] {
		// The wanted version is there, and is not the default.
		out, err := a.iam.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: aws.String(policyARN + p.Name)})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range out.Versions {
			if !v.IsDefaultVersion {
				done(t)(a.iam.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: aws.String(policyARN + p.Name), VersionId: v.VersionId}))
				break
			}
		}
	}
	for _, d := range s.ECS.TaskDefinitions {
		in := referenceTask()
		in.Family = &d.Family
		in.Cpu, in.Memory = aws.String("1024"), aws.String("2048")
		done(t)(a.ecs.RegisterTaskDefinition(ctx, in))
	}
}

// Looking takes no permission to write.
func TestPermissionsToLook(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{EnforceIAM: true})
	path := a.example(t, "prod.yaml")
	reader := as(a.operator(t, "reader", stack.Permissions(bound(t, path), reconcile.Reading)))
	look := func(what string) {
		t.Helper()
		if err := a.look(path, reader).failure(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	look("nothing")
	a.mustApply(t, path)
	look("all")
	upset(t.Context(), t, a, bound(t, path))
	look("all, changed")
	if err := a.apply(path, reader).failure(); err == nil || !strings.Contains(err.Error(), "is not authorized to perform") {
		t.Errorf("a run that has something to do: %v", err)
	}
}

// The permissions of an example are enough for the whole life of its stack, and
// there is none among them that it could do without.
func TestPermissionsAreExact(t *testing.T) {
	alone(t)
	examples, every := []string{"dev.yaml"}, 8
	if os.Getenv(everyActionVar) != "" {
		examples, every = []string{"dev.yaml", "prod.yaml", "github-oidc.yaml"}, 1
	}
	for _, example := range examples {
		t.Run(example, func(t *testing.T) {
			alone(t)
			enforced := func(t testing.TB) (*account, string, []reconcile.Permission) {
				a := sandboxAccount(t, sandbox.Options{EnforceIAM: true})
				path := a.example(t, example)
				return a, path, stack.Permissions(bound(t, path), reconcile.Reading, reconcile.Writing)
			}
			a, path, permissions := enforced(t)
			if was := wholeLife.live(t, a, path, a.operator(t, "operator", permissions)); was.err != nil {
				t.Fatalf("%s: %v", was.run, was.err)
			}
			actions := make(map[string]bool)
			for _, p := range permissions {
				actions[p.Action] = true
			}
			for i, action := range slices.Sorted(maps.Keys(actions)) {
				if i%every != 0 {
					continue
				}
				t.Run(action, func(t *testing.T) {
					a, path, permissions := enforced(t)
					less := slices.DeleteFunc(permissions, func(p reconcile.Permission) bool { return p.Action == action })
					was := wholeLife.live(t, a, path, a.operator(t, "operator", less))
					want := action
					if action == "s3:GetBucketAbac" {
						want = "a bucket with ABAC enabled" // S3 refuses what is written for want of a look
					}
					if was.err == nil || !strings.Contains(was.err.Error(), want) {
						t.Errorf("without it: %q %v", was.run, was.err)
					}
				})
			}
		})
	}
}

// Who may look and delete takes the stack down, and gets nowhere without one of
// the actions that this takes. What is printed is more: it is for whatever
// carries the stack's mark, of all kinds.
func TestPermissionsToDestroy(t *testing.T) {
	alone(t)
	examples, every := []string{"dev.yaml"}, 8
	if os.Getenv(everyActionVar) != "" {
		examples, every = []string{"dev.yaml", "prod.yaml", "github-oidc.yaml"}, 1
	}
	for _, example := range examples {
		t.Run(example, func(t *testing.T) {
			alone(t)
			// down takes a stack down that was up, as somebody without an action, and
			// gives the actions of deletion that it has made use of.
			down := func(t *testing.T, without string) ([]string, error) {
				a := sandboxAccount(t, sandbox.Options{EnforceIAM: true})
				path := a.example(t, example)
				a.mustApply(t, path)
				done(t)(a.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{
					Bucket: aws.String("theirs"), CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: region},
				}))
				permissions := slices.DeleteFunc(stack.Permissions(bound(t, path), reconcile.Reading, reconcile.Deleting), func(p reconcile.Permission) bool {
					return p.Action == without
				})
				key := as(a.operator(t, "operator", permissions))
				if err := a.look(path, destroy, key).failure(); err != nil {
					return nil, err
				}
				o := a.apply(path, destroy, key)
				if err := o.failure(); err != nil {
					return nil, err
				}
				again := a.apply(path, destroy, key)
				if w := again.writes(); len(w) > 0 {
					t.Errorf("again: %v", w)
				}
				var used []string
				for _, p := range permissions {
					if p.For == reconcile.Deleting && slices.Contains(o.calls, p.Call) {
						used = append(used, p.Action)
					}
				}
				slices.Sort(used)
				return slices.Compact(used), again.failure()
			}
			actions, err := down(t, "")
			if err != nil {
				t.Fatal(err)
			}
			if len(actions) == 0 {
				t.Fatal("nothing was deleted")
			}
			for i, action := range actions {
				if i%every != 0 {
					continue
				}
				t.Run(action, func(t *testing.T) {
					if _, err := down(t, action); err == nil || !strings.Contains(err.Error(), action) {
						t.Errorf("without it: %v", err)
					}
				})
			}
		})
	}
}

// Who prunes deletes what carries the stack's mark, and could not delete what
// does not.
func TestPermissionsToPrune(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{EnforceIAM: true})
	path := a.example(t, "dev.yaml")
	a.mustApply(t, path)
	ctx := t.Context()
	mark := "churn-prediction/dev"
	done(t)(a.ecr.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("left"), Tags: []ecrtypes.Tag{{Key: aws.String(reconcile.Mark), Value: &mark}}}))
	done(t)(a.ecr.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("theirs")}))
	done(t)(a.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("left"), Tags: map[string]string{reconcile.Mark: mark}}))
	done(t)(a.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: aws.String("left"), Tags: []ecstypes.Tag{{Key: aws.String(reconcile.Mark), Value: &mark}}}))
	key := a.operator(t, "operator", stack.Permissions(bound(t, path), reconcile.Reading, reconcile.Writing, reconcile.Deleting))
	o := a.apply(path, prune, as(key))
	if err := o.failure(); err != nil {
		t.Fatal(err)
	}
	want := []string{"ecr:DeleteRepository", "ecs:DeleteCluster", "logs:DeleteLogGroup"}
	writes := o.writes()
	slices.Sort(writes)
	if !slices.Equal(writes, want) {
		t.Errorf("written: %v, want %v", writes, want)
	}
	err := only(a.workflow(key).ecr.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: aws.String("theirs")}))
	refused(t, "delete what is not the stack's", err)
}

// enforce turns moto's enforcement of IAM on or off. The sandbox's is on from
// the beginning, and knows the account's root.
func (a *account) enforce(t testing.TB, on bool) {
	t.Helper()
	if a.sandbox != nil {
		return
	}
	after := "inf"
	if on {
		after = "0"
	}
	r, err := http.Post(os.Getenv(endpointVar)+"/moto-api/reset-auth", "text/plain", strings.NewReader(after))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Fatalf("moto answers %s", r.Status)
	}
}

// The same on moto, whose authors have read AWS's documentation for themselves.
// It knows what the actions of calls are called, but neither on what they are
// nor what calls need beside: the policies are of the same actions on
// everything.
func TestPermissionsOnMoto(t *testing.T) {
	if os.Getenv(motoAuthVar) == "" {
		t.Skip("turns enforcement on for all who ask the same moto: " + motoAuthVar + "=1")
	}
	// What moto has no calls for cannot be upset.
	short := life{{name: "first run"}, {name: "mend", hand: upset}}
	granted := func(a *account) (string, []reconcile.Permission) {
		path := a.example(t, "dev.yaml")
		all := stack.Permissions(bound(t, path), reconcile.Reading, reconcile.Writing)
		for i := range all {
			all[i].On, all[i].If = []string{"*"}, reconcile.Condition{}
			if all[i].Action == "tag:GetResources" {
				all[i].Action = "tagging:GetResources" // moto takes the signature's name of the service
			}
		}
		return path, all
	}
	t.Cleanup(func() { (&account{}).enforce(t, false) })
	a := newAccount(t)
	path, all := granted(a)
	was := short.live(t, a, path, a.operator(t, "operator", all))
	if was.err != nil {
		t.Fatalf("%s: %v", was.run, was.err)
	}
	made := make(map[string]bool) // actions of the calls that were made
	for _, p := range all {
		// What a call needs beside the action of its own moto does not ask for.
		if was.calls[p.Call] && !strings.HasSuffix(p.Action, ":TagResource") && !strings.HasPrefix(p.Action, "iam:Tag") && p.Action != "iam:PassRole" && p.Action != "iam:CreateServiceLinkedRole" {
			made[p.Action] = true
		}
	}
	for i, action := range slices.Sorted(maps.Keys(made)) {
		if i%10 != 0 {
			continue // moto takes some ten seconds for each
		}
		t.Run(action, func(t *testing.T) {
			a.enforce(t, false)
			a := newAccount(t)
			path, all := granted(a)
			less := slices.DeleteFunc(all, func(p reconcile.Permission) bool { return p.Action == action })
			was := short.live(t, a, path, a.operator(t, "operator", less))
			// Of AWS's words moto has some only, and not for all services.
			if was.err == nil || !strings.Contains(was.err.Error(), "403") && !strings.Contains(was.err.Error(), "AccessDenied") {
				t.Errorf("without it: %q %v", was.run, was.err)
			}
		})
	}
}
