// Package ecr keeps image repositories.
package ecr

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// API is what a repository needs of ECR.
type API interface {
	CreateRepository(context.Context, *ecr.CreateRepositoryInput, ...func(*ecr.Options)) (*ecr.CreateRepositoryOutput, error)
	DescribeRepositories(context.Context, *ecr.DescribeRepositoriesInput, ...func(*ecr.Options)) (*ecr.DescribeRepositoriesOutput, error)
	PutImageTagMutability(context.Context, *ecr.PutImageTagMutabilityInput, ...func(*ecr.Options)) (*ecr.PutImageTagMutabilityOutput, error)
	PutImageScanningConfiguration(context.Context, *ecr.PutImageScanningConfigurationInput, ...func(*ecr.Options)) (*ecr.PutImageScanningConfigurationOutput, error)

	GetLifecyclePolicy(context.Context, *ecr.GetLifecyclePolicyInput, ...func(*ecr.Options)) (*ecr.GetLifecyclePolicyOutput, error)
	PutLifecyclePolicy(context.Context, *ecr.PutLifecyclePolicyInput, ...func(*ecr.Options)) (*ecr.PutLifecyclePolicyOutput, error)
	DeleteLifecyclePolicy(context.Context, *ecr.DeleteLifecyclePolicyInput, ...func(*ecr.Options)) (*ecr.DeleteLifecyclePolicyOutput, error)

	GetRepositoryPolicy(context.Context, *ecr.GetRepositoryPolicyInput, ...func(*ecr.Options)) (*ecr.GetRepositoryPolicyOutput, error)
	SetRepositoryPolicy(context.Context, *ecr.SetRepositoryPolicyInput, ...func(*ecr.Options)) (*ecr.SetRepositoryPolicyOutput, error)
	DeleteRepositoryPolicy(context.Context, *ecr.DeleteRepositoryPolicyInput, ...func(*ecr.Options)) (*ecr.DeleteRepositoryPolicyOutput, error)

	ListTagsForResource(context.Context, *ecr.ListTagsForResourceInput, ...func(*ecr.Options)) (*ecr.ListTagsForResourceOutput, error)
	TagResource(context.Context, *ecr.TagResourceInput, ...func(*ecr.Options)) (*ecr.TagResourceOutput, error)
	UntagResource(context.Context, *ecr.UntagResourceInput, ...func(*ecr.Options)) (*ecr.UntagResourceOutput, error)
}

var _ API = (*ecr.Client)(nil)

// Repository keeps one repository.
type Repository struct {
	api  API
	env  reconcile.Env
	want spec.ECRRepository
	read awsx.Read[*types.Repository] // nil: absent
}

// NewRepositories prepares the repositories of the spec, which are read
// together.
func NewRepositories(api API, env reconcile.Env, wants []spec.ECRRepository) []*Repository {
	list := awsx.NewShared(
		func(ctx context.Context, names []string) (map[string]*types.Repository, error) {
			return describeRepositories(ctx, api, env.Account, names)
		},
		func(ctx context.Context, name string) (*types.Repository, error) {
			found, err := describeRepositories(ctx, api, env.Account, []string{name})
			return found[name], err
		},
	)
	var all []*Repository
	for _, w := range wants {
		all = append(all, &Repository{api: api, env: env, want: w, read: list.For(w.Name)})
	}
	return all
}

// ID is the repository's address.
func (r *Repository) ID() spec.ID { return spec.ID{Kind: spec.Repository, Name: r.want.Name} }

// Needs lists what the spec's repository refers to.
func (r *Repository) Needs() []spec.ID { return r.want.Needs }

// Plan reads the repository and says what is to do.
func (r *Repository) Plan(ctx context.Context) (reconcile.Plan, error) {
	live, err := r.describe(ctx)
	if err != nil {
		return reconcile.Plan{}, err
	}
	steps, err := r.diff(live)
	return reconcile.Plan{Exists: live.repository != nil, Steps: steps}, err
}

type repository struct {
	repository *types.Repository // nil: absent
	tags       map[string]string
	lifecycle  []byte
	policy     []byte
}

func (r *Repository) arn() *string {
	return aws.String(fmt.Sprintf("arn:%s:ecr:%s:%s:repository/%s", r.env.Partition, r.env.Region, r.env.Account, r.want.Name))
}

// batch is the most that DescribeRepositories takes by name.
const batch = 100

func describeRepositories(ctx context.Context, api API, account string, names []string) (map[string]*types.Repository, error) {
	found := make(map[string]*types.Repository, len(names))
	for chunk := range slices.Chunk(names, batch) {
		out, err := api.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RegistryId: &account, RepositoryNames: chunk})
		// One missing name fails a whole batch. Only of a batch of one does
		// that say which.
		if len(chunk) == 1 && awsx.Code(err) == "RepositoryNotFoundException" {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, repo := range out.Repositories {
			found[aws.ToString(repo.RepositoryName)] = &repo
		}
		// What is asked for by name is answered, or is an error.
		for _, name := range chunk {
			if found[name] == nil {
				return nil, awsx.Hollow("ecr:DescribeRepositories", "repository "+name, out.ResultMetadata)
			}
		}
	}
	return found, nil
}

func (r *Repository) describe(ctx context.Context) (repository, error) {
	var live repository
	name, account := &r.want.Name, &r.env.Account
	var reads awsx.Reads
	reads.Go(func() (err error) {
		live.repository, err = r.read(ctx)
		return err
	})
	reads.Go(func() error {
		out, err := r.api.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: r.arn()})
		if err == nil {
			live.tags = make(map[string]string, len(out.Tags))
			for _, t := range out.Tags {
				live.tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
			}
		}
		return absent(err, "RepositoryNotFoundException")
	})
	if r.want.LifecyclePolicy.Given() {
		reads.Go(func() error {
			out, err := r.api.GetLifecyclePolicy(ctx, &ecr.GetLifecyclePolicyInput{RegistryId: account, RepositoryName: name})
			if err == nil {
				if out.LifecyclePolicyText == nil {
					return awsx.Hollow("ecr:GetLifecyclePolicy", "lifecyclePolicyText", out.ResultMetadata)
				}
				live.lifecycle = []byte(*out.LifecyclePolicyText)
			}
			return absent(err, "LifecyclePolicyNotFoundException", "RepositoryNotFoundException")
		})
	}
	if r.want.Policy.Given() {
		reads.Go(func() error {
			out, err := r.api.GetRepositoryPolicy(ctx, &ecr.GetRepositoryPolicyInput{RegistryId: account, RepositoryName: name})
			if err == nil {
				if out.PolicyText == nil {
					return awsx.Hollow("ecr:GetRepositoryPolicy", "policyText", out.ResultMetadata)
				}
				live.policy = []byte(*out.PolicyText)
			}
			return absent(err, "RepositoryPolicyNotFoundException", "RepositoryNotFoundException")
		})
	}
	if err := reads.Wait(); err != nil {
		return repository{}, err
	}
	if live.repository == nil {
		return repository{}, nil
	}
	return live, nil
}

func absent(err error, codes ...string) error {
	if slices.Contains(codes, awsx.Code(err)) {
		return nil
	}
	return err
}

func (r *Repository) diff(live repository) ([]reconcile.Step, error) {
	var steps []reconcile.Step
	step := func(call, does string, diffs []reconcile.Diff, do func(context.Context) error) {
		if len(diffs) > 0 {
			steps = append(steps, reconcile.Step{Call: call, Does: does + " " + r.ID().String(), Diffs: diffs, Do: do})
		}
	}

	_, _, tags, err := r.env.Tags(r.want.Tags).Diff(live.tags)
	if err != nil {
		return nil, err
	}
	was := live.repository
	mutability, scan := r.want.ImageTagMutability, r.want.ScanOnPush
	if was == nil {
		diffs := []reconcile.Diff{{Path: "name", After: r.want.Name}}
		if mutability != "" {
			diffs = append(diffs, reconcile.Diff{Path: "imageTagMutability", After: mutability})
		}
		if scan != nil {
			diffs = append(diffs, reconcile.Diff{Path: "scanOnPush", After: *scan})
		}
		if r.want.Encryption != nil {
			diffs = append(diffs, reconcile.Compare("encryption", nil, r.encryptionTree())...)
		}
		step("ecr:CreateRepository", "create", append(diffs, tags...), r.create)
	} else {
		if err := r.checkEncryption(was.EncryptionConfiguration); err != nil {
			return nil, err
		}
		if mutability != "" {
			step("ecr:PutImageTagMutability", "set the tag mutability of",
				reconcile.Compare("imageTagMutability", string(was.ImageTagMutability), mutability), r.putMutability)
		}
		if scan != nil {
			before := was.ImageScanningConfiguration != nil && was.ImageScanningConfiguration.ScanOnPush
			step("ecr:PutImageScanningConfiguration", "set the scanning of",
				reconcile.Compare("scanOnPush", before, *scan), r.putScanning)
		}
		tagging, err := r.env.Tags(r.want.Tags).Steps(r.ID(), live.tags, reconcile.TagCalls{
			Tag: "ecr:TagResource", Put: func(ctx context.Context, tags map[string]string) error {
				_, err := r.api.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: r.arn(), Tags: tagList(tags)})
				return err
			},
			Untag: "ecr:UntagResource", Remove: func(ctx context.Context, keys []string) error {
				_, err := r.api.UntagResource(ctx, &ecr.UntagResourceInput{ResourceArn: r.arn(), TagKeys: keys})
				return err
			},
		})
		if err != nil {
			return nil, err
		}
		steps = append(steps, tagging...)
	}

	if r.want.LifecyclePolicy.Given() {
		diffs, err := lifecycleDiff(live.lifecycle, r.want.LifecyclePolicy)
		if err != nil {
			return nil, err
		}
		if r.want.LifecyclePolicy.Empty() {
			step("ecr:DeleteLifecyclePolicy", "remove the lifecycle policy of", diffs, r.deleteLifecycle)
		} else {
			step("ecr:PutLifecyclePolicy", "set the lifecycle policy of", diffs, r.putLifecycle)
		}
	}
	if r.want.Policy.Given() {
		want := r.want.Policy
		if want.Empty() {
			want = nil
		}
		diffs, err := policy.Diff("policy", live.policy, want)
		if err != nil {
			return nil, err
		}
		if want == nil {
			step("ecr:DeleteRepositoryPolicy", "remove the policy of", diffs, r.deletePolicy)
		} else {
			step("ecr:SetRepositoryPolicy", "set the policy of", diffs, r.setPolicy)
		}
	}
	return steps, nil
}

// checkEncryption refuses what ECR cannot change. A replacement would take
// the images with it, so there is none.
func (r *Repository) checkEncryption(is *types.EncryptionConfiguration) error {
	want := r.want.Encryption
	if want == nil {
		return nil
	}
	if is == nil {
		is = &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeAes256}
	}
	const advice = "ECR fixes it when the repository is created; say what is there in the spec, or move the images to a repository of another name"
	if string(is.EncryptionType) != want.EncryptionType {
		return fmt.Errorf("encryption.encryptionType is %s and cannot change to %s: %s", is.EncryptionType, want.EncryptionType, advice)
	}
	if want.KMSKey != nil && *want.KMSKey != aws.ToString(is.KmsKey) {
		return fmt.Errorf("encryption.kmsKey is %s and cannot change to %s: %s", aws.ToString(is.KmsKey), *want.KMSKey, advice)
	}
	return nil
}

func (r *Repository) encryptionTree() map[string]any {
	tree := map[string]any{"encryptionType": r.want.Encryption.EncryptionType}
	if r.want.Encryption.KMSKey != nil {
		tree["kmsKey"] = *r.want.Encryption.KMSKey
	}
	return tree
}

func (r *Repository) create(ctx context.Context) error {
	in := &ecr.CreateRepositoryInput{
		RegistryId:         &r.env.Account,
		RepositoryName:     &r.want.Name,
		ImageTagMutability: types.ImageTagMutability(r.want.ImageTagMutability),
		Tags:               tagList(r.env.Tags(r.want.Tags).Create()),
	}
	if r.want.ScanOnPush != nil {
		in.ImageScanningConfiguration = &types.ImageScanningConfiguration{ScanOnPush: *r.want.ScanOnPush}
	}
	if e := r.want.Encryption; e != nil {
		in.EncryptionConfiguration = &types.EncryptionConfiguration{
			EncryptionType: types.EncryptionType(e.EncryptionType), KmsKey: e.KMSKey,
		}
	}
	_, err := r.api.CreateRepository(ctx, in)
	return err
}

func (r *Repository) putMutability(ctx context.Context) error {
	_, err := r.api.PutImageTagMutability(ctx, &ecr.PutImageTagMutabilityInput{
		RegistryId: &r.env.Account, RepositoryName: &r.want.Name,
		ImageTagMutability: types.ImageTagMutability(r.want.ImageTagMutability),
	})
	return err
}

func (r *Repository) putScanning(ctx context.Context) error {
	_, err := r.api.PutImageScanningConfiguration(ctx, &ecr.PutImageScanningConfigurationInput{
		RegistryId: &r.env.Account, RepositoryName: &r.want.Name,
		ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: *r.want.ScanOnPush},
	})
	return err
}

func (r *Repository) putLifecycle(ctx context.Context) error {
	_, err := r.api.PutLifecyclePolicy(ctx, &ecr.PutLifecyclePolicyInput{
		RegistryId: &r.env.Account, RepositoryName: &r.want.Name,
		LifecyclePolicyText: aws.String(string(r.want.LifecyclePolicy)),
	})
	return err
}

func (r *Repository) deleteLifecycle(ctx context.Context) error {
	_, err := r.api.DeleteLifecyclePolicy(ctx, &ecr.DeleteLifecyclePolicyInput{
		RegistryId: &r.env.Account, RepositoryName: &r.want.Name,
	})
	return absent(err, "LifecyclePolicyNotFoundException") // the answer was lost, and the call made again
}

// principalBudget covers a principal that was created a moment ago and that
// ECR does not know yet.
const principalBudget = 2 * time.Minute

func (r *Repository) setPolicy(ctx context.Context) error {
	// Only a principal of this spec can be so young. For any other, a refusal
	// is a refusal.
	young := slices.ContainsFunc(r.want.Needs, func(id spec.ID) bool { return id.Kind == spec.Role || id.Kind == spec.User })
	passing := func(err error) bool {
		return young && awsx.Code(err) == "InvalidParameterException" &&
			(awsx.Mentions(err, "principal not found") || awsx.Mentions(err, "invalid repository policy provided"))
	}
	return awsx.Patiently(ctx, r.env.Pause, principalBudget, passing, func(ctx context.Context) error {
		_, err := r.api.SetRepositoryPolicy(ctx, &ecr.SetRepositoryPolicyInput{
			RegistryId: &r.env.Account, RepositoryName: &r.want.Name,
			PolicyText: aws.String(string(r.want.Policy)),
		})
		return err
	})
}

func (r *Repository) deletePolicy(ctx context.Context) error {
	_, err := r.api.DeleteRepositoryPolicy(ctx, &ecr.DeleteRepositoryPolicyInput{
		RegistryId: &r.env.Account, RepositoryName: &r.want.Name,
	})
	return absent(err, "RepositoryPolicyNotFoundException") // the answer was lost, and the call made again
}

func tagList(tags map[string]string) []types.Tag {
	list := make([]types.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return list
}
