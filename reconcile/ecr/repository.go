// Package ecr keeps image repositories.
package ecr

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	DeleteRepository(context.Context, *ecr.DeleteRepositoryInput, ...func(*ecr.Options)) (*ecr.DeleteRepositoryOutput, error)
	ListImages(context.Context, *ecr.ListImagesInput, ...func(*ecr.Options)) (*ecr.ListImagesOutput, error)
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

// Live is what ECR has of a repository.
type Live = reconcile.Live[spec.ECRRepository, reconcile.NoFacts]

// Repositories keeps the repositories of an account and region.
type Repositories struct {
	api  API
	env  reconcile.Env
	read *awsx.Shared[*types.Repository]
}

var (
	_ reconcile.Kind[spec.ECRRepository, reconcile.NoFacts]    = (*Repositories)(nil)
	_ reconcile.Granter[spec.ECRRepository, reconcile.NoFacts] = (*Repositories)(nil)
)

// NewRepositories keeps repositories, of which those that the spec wants are
// read together.
func NewRepositories(api API, env reconcile.Env, wants []spec.ECRRepository) *Repositories {
	names := make([]string, len(wants))
	for i, w := range wants {
		names[i] = w.Name
	}
	return &Repositories{api, env, awsx.NewShared(names,
		func(ctx context.Context, names []string) (map[string]*types.Repository, error) {
			return describeRepositories(ctx, api, env.Account, names)
		},
		func(ctx context.Context, name string) (*types.Repository, error) {
			found, err := describeRepositories(ctx, api, env.Account, []string{name})
			return found[name], err
		},
	)}
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

// Describe reads a repository.
func (r *Repositories) Describe(ctx context.Context, want spec.ECRRepository, all bool) (Live, error) {
	var repository *types.Repository
	var tags map[string]string
	var lifecycle, document spec.Document
	name, account := &want.Name, &r.env.Account
	var reads awsx.Reads
	reads.Go(func() (err error) {
		repository, err = r.read.Get(ctx, want.Name)
		return err
	})
	reads.Go(func() error {
		out, err := r.api.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: r.env.ARN(want.ID(), "")})
		if err == nil {
			tags = make(map[string]string, len(out.Tags))
			for _, t := range out.Tags {
				tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
			}
		}
		return absent(err, "RepositoryNotFoundException")
	})
	if all || want.LifecyclePolicy.Given() {
		reads.Go(func() error {
			out, err := r.api.GetLifecyclePolicy(ctx, &ecr.GetLifecyclePolicyInput{RegistryId: account, RepositoryName: name})
			if err == nil {
				if out.LifecyclePolicyText == nil {
					return awsx.Hollow("ecr:GetLifecyclePolicy", "lifecyclePolicyText", out.ResultMetadata)
				}
				lifecycle = spec.Document(*out.LifecyclePolicyText)
			}
			return absent(err, "LifecyclePolicyNotFoundException", "RepositoryNotFoundException")
		})
	}
	if all || want.Policy.Given() {
		reads.Go(func() error {
			out, err := r.api.GetRepositoryPolicy(ctx, &ecr.GetRepositoryPolicyInput{RegistryId: account, RepositoryName: name})
			if err == nil {
				if out.PolicyText == nil {
					return awsx.Hollow("ecr:GetRepositoryPolicy", "policyText", out.ResultMetadata)
				}
				document = spec.Document(*out.PolicyText)
			}
			return absent(err, "RepositoryPolicyNotFoundException", "RepositoryNotFoundException")
		})
	}
	if err := reads.Wait(); err != nil || repository == nil {
		return Live{}, err
	}
	return Live{Exists: true, Is: spec.ECRRepository{
		Meta: spec.Meta{Tags: tags}, Name: want.Name,
		ImageTagMutability: string(repository.ImageTagMutability), ImageTagMutabilityExclusionFilters: repository.ImageTagMutabilityExclusionFilters,
		ScanOnPush: aws.Bool(repository.ImageScanningConfiguration != nil && repository.ImageScanningConfiguration.ScanOnPush),
		Encryption: encryption(repository.EncryptionConfiguration), LifecyclePolicy: lifecycle, Policy: document,
	}}, nil
}

func encryption(c *types.EncryptionConfiguration) *spec.ECREncryption {
	if c == nil {
		return &spec.ECREncryption{EncryptionType: string(types.EncryptionTypeAes256)} // as of repositories older than the field
	}
	return &spec.ECREncryption{EncryptionType: string(c.EncryptionType), KMSKey: c.KmsKey}
}

func absent(err error, codes ...string) error {
	if slices.Contains(codes, awsx.Code(err)) {
		return nil
	}
	return err
}

// Complete takes the live key for one that the spec leaves to ECR, and no
// filters where there is nothing to exclude from.
func (r *Repositories) Complete(live Live, want spec.ECRRepository) (spec.ECRRepository, error) {
	if !strings.HasSuffix(want.ImageTagMutability, "_WITH_EXCLUSION") {
		want.ImageTagMutabilityExclusionFilters = nil
	}
	if is, e := live.Is.Encryption, want.Encryption; is != nil && e != nil && e.KMSKey == nil {
		want.Encryption = &spec.ECREncryption{EncryptionType: e.EncryptionType, KMSKey: is.KMSKey}
	}
	return want, nil
}

// Normal is a repository in the form in which repositories are compared.
func (r *Repositories) Normal(repository spec.ECRRepository) (map[string]any, error) {
	tree := spec.Tree(repository)
	delete(tree, "forceDelete")
	if text := repository.LifecyclePolicy; text.Given() {
		rules, err := lifecycleTree(text)
		if err != nil {
			return nil, fmt.Errorf("lifecyclePolicy: %w", err)
		}
		tree["lifecyclePolicy"] = rules
	}
	filters := reconcile.Keyed{}
	for _, f := range repository.ImageTagMutabilityExclusionFilters {
		filters[aws.ToString(f.Filter)] = string(f.FilterType)
	}
	tree["imageTagMutabilityExclusionFilters"] = filters
	return tree, policy.Normal(tree, "policy")
}

// Access is what the repository's policy lets in.
func (r *Repositories) Access(live Live, want spec.ECRRepository) []string {
	return policy.ResourceLines(r.env.Account, *r.env.ARN(want.ID(), ""), !live.Exists, live.Is.Policy, want.Policy)
}

// Brief leaves out what a new repository has.
func (r *Repositories) Brief(repository spec.ECRRepository) spec.ECRRepository {
	if repository.ImageTagMutability == string(types.ImageTagMutabilityMutable) {
		repository.ImageTagMutability = ""
	}
	if !aws.ToBool(repository.ScanOnPush) {
		repository.ScanOnPush = nil
	}
	if e := repository.Encryption; e != nil && e.EncryptionType == string(types.EncryptionTypeAes256) {
		repository.Encryption = nil
	}
	return repository
}

// Diff lists the steps from live to want.
func (r *Repositories) Diff(live Live, want spec.ECRRepository, c reconcile.Changes) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	do := func(write func(context.Context, spec.ECRRepository) error) func(context.Context) error {
		return func(ctx context.Context) error { return write(ctx, want) }
	}
	mutability := c.Of("imageTagMutability", "imageTagMutabilityExclusionFilters")
	if !live.Exists {
		lines := append(c.Of("name"), mutability...)
		lines = append(lines, c.Of("scanOnPush", "encryption")...)
		steps.Add("ecr:CreateRepository", "create", append(lines, c.Tags.Lines...), func(ctx context.Context) error { return r.create(ctx, want, c.Tags.Put) })
	} else {
		if err := immutable(c.Of("encryption")); err != nil {
			return nil, err
		}
		steps.Add("ecr:PutImageTagMutability", "set the tag mutability of", mutability, do(r.putMutability))
		steps.Add("ecr:PutImageScanningConfiguration", "set the scanning of", c.Of("scanOnPush"), do(r.putScanning))
	}
	if want.LifecyclePolicy.Empty() {
		steps.Add("ecr:DeleteLifecyclePolicy", "remove the lifecycle policy of", c.Of("lifecyclePolicy"), do(r.deleteLifecycle))
	} else {
		steps.Add("ecr:PutLifecyclePolicy", "set the lifecycle policy of", c.Of("lifecyclePolicy"), do(r.putLifecycle))
	}
	if want.Policy.Empty() {
		steps.Add("ecr:DeleteRepositoryPolicy", "remove the policy of", c.Of("policy"), do(r.deletePolicy))
	} else {
		steps.Add("ecr:SetRepositoryPolicy", "set the policy of", c.Of("policy"), do(r.setPolicy))
	}
	if live.Exists {
		steps.Tag(c.Tags,
			"ecr:TagResource", func(ctx context.Context) error {
				_, err := r.api.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: r.env.ARN(want.ID(), ""), Tags: tagList(c.Tags.Put)})
				return err
			},
			"ecr:UntagResource", func(ctx context.Context) error {
				_, err := r.api.UntagResource(ctx, &ecr.UntagResourceInput{ResourceArn: r.env.ARN(want.ID(), ""), TagKeys: c.Tags.Remove})
				return err
			})
	}
	return steps.List, nil
}

// Permissions are what a repository's calls need.
func (r *Repositories) Permissions(want spec.ECRRepository) []reconcile.Permission {
	p := reconcile.Permissions{On: []string{*r.env.ARN(want.ID(), "")}}
	p.Read("ecr:DescribeRepositories", "ecr:ListTagsForResource")
	p.Write("ecr:CreateRepository", "ecr:TagResource", "ecr:UntagResource")
	p.Delete("ecr:DeleteRepository")
	if !want.ForceDelete {
		p.Delete("ecr:ListImages")
	}
	p.Also(reconcile.Writing, "ecr:CreateRepository", "ecr:TagResource")
	if want.ImageTagMutability != "" {
		p.Write("ecr:PutImageTagMutability")
	}
	if want.ScanOnPush != nil {
		p.Write("ecr:PutImageScanningConfiguration")
	}
	if want.LifecyclePolicy.Given() {
		p.Read("ecr:GetLifecyclePolicy")
		if want.LifecyclePolicy.Empty() {
			p.Write("ecr:DeleteLifecyclePolicy")
		} else {
			p.Write("ecr:PutLifecyclePolicy")
		}
	}
	if want.Policy.Given() {
		p.Read("ecr:GetRepositoryPolicy")
		if want.Policy.Empty() {
			p.Write("ecr:DeleteRepositoryPolicy")
		} else {
			p.Write("ecr:SetRepositoryPolicy")
		}
	}
	// ECR makes a grant for itself with the caller's rights.
	// https://docs.aws.amazon.com/AmazonECR/latest/userguide/encryption-at-rest.html
	if e := want.Encryption; e != nil && e.KMSKey != nil {
		p.On = []string{*e.KMSKey}
		for _, action := range []string{"kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"} {
			p.Also(reconcile.Writing, "ecr:CreateRepository", action)
		}
	}
	return p.List
}

// immutable refuses what ECR cannot change. A replacement would take the
// images with it, so there is none.
func immutable(encryption []reconcile.Diff) error {
	if len(encryption) == 0 {
		return nil
	}
	d := encryption[len(encryption)-1]
	for _, e := range encryption {
		if e.Path == "encryption.encryptionType" {
			d = e
		}
	}
	return fmt.Errorf("%s is %v and cannot change to %v: ECR fixes it when the repository is created; "+
		"say what is there in the spec, or move the images to a repository of another name", d.Path, text(d.Before), text(d.After))
}

func text(v any) any {
	if v == nil {
		return ""
	}
	return v
}

func (r *Repositories) create(ctx context.Context, want spec.ECRRepository, tags map[string]string) error {
	in := &ecr.CreateRepositoryInput{
		RegistryId:         &r.env.Account,
		RepositoryName:     &want.Name,
		ImageTagMutability: types.ImageTagMutability(want.ImageTagMutability), ImageTagMutabilityExclusionFilters: want.ImageTagMutabilityExclusionFilters,
		Tags: tagList(tags),
	}
	if want.ScanOnPush != nil {
		in.ImageScanningConfiguration = &types.ImageScanningConfiguration{ScanOnPush: *want.ScanOnPush}
	}
	if e := want.Encryption; e != nil {
		in.EncryptionConfiguration = &types.EncryptionConfiguration{
			EncryptionType: types.EncryptionType(e.EncryptionType), KmsKey: e.KMSKey,
		}
	}
	_, err := r.api.CreateRepository(ctx, in)
	return err
}

func (r *Repositories) putMutability(ctx context.Context, want spec.ECRRepository) error {
	_, err := r.api.PutImageTagMutability(ctx, &ecr.PutImageTagMutabilityInput{
		RegistryId: &r.env.Account, RepositoryName: &want.Name,
		ImageTagMutability: types.ImageTagMutability(want.ImageTagMutability), ImageTagMutabilityExclusionFilters: want.ImageTagMutabilityExclusionFilters,
	})
	return err
}

func (r *Repositories) putScanning(ctx context.Context, want spec.ECRRepository) error {
	_, err := r.api.PutImageScanningConfiguration(ctx, &ecr.PutImageScanningConfigurationInput{
		RegistryId: &r.env.Account, RepositoryName: &want.Name,
		ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: *want.ScanOnPush},
	})
	return err
}

func (r *Repositories) putLifecycle(ctx context.Context, want spec.ECRRepository) error {
	_, err := r.api.PutLifecyclePolicy(ctx, &ecr.PutLifecyclePolicyInput{
		RegistryId: &r.env.Account, RepositoryName: &want.Name,
		LifecyclePolicyText: aws.String(string(want.LifecyclePolicy)),
	})
	return err
}

func (r *Repositories) deleteLifecycle(ctx context.Context, want spec.ECRRepository) error {
	_, err := r.api.DeleteLifecyclePolicy(ctx, &ecr.DeleteLifecyclePolicyInput{
		RegistryId: &r.env.Account, RepositoryName: &want.Name,
	})
	return absent(err, "LifecyclePolicyNotFoundException") // the answer was lost, and the call made again
}

// principalBudget covers a principal that was created a moment ago and that
// ECR does not know yet.
const principalBudget = 2 * time.Minute

func (r *Repositories) setPolicy(ctx context.Context, want spec.ECRRepository) error {
	// Only a principal of this spec can be so young. For any other, a refusal
	// is a refusal.
	young := slices.ContainsFunc(want.Needs, func(id spec.ID) bool { return id.Kind == spec.Role || id.Kind == spec.User })
	passing := func(err error) bool {
		return young && awsx.Code(err) == "InvalidParameterException" &&
			(awsx.Mentions(err, "principal not found") || awsx.Mentions(err, "invalid repository policy provided"))
	}
	return awsx.Patiently(ctx, r.env.Pause, principalBudget, passing, func(ctx context.Context) error {
		_, err := r.api.SetRepositoryPolicy(ctx, &ecr.SetRepositoryPolicyInput{
			RegistryId: &r.env.Account, RepositoryName: &want.Name,
			PolicyText: aws.String(string(want.Policy)),
		})
		return err
	})
}

func (r *Repositories) deletePolicy(ctx context.Context, want spec.ECRRepository) error {
	_, err := r.api.DeleteRepositoryPolicy(ctx, &ecr.DeleteRepositoryPolicyInput{
		RegistryId: &r.env.Account, RepositoryName: &want.Name,
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

// Tags reads the tags that a repository has now.
func (r *Repositories) Tags(ctx context.Context, want spec.ECRRepository) (map[string]string, error) {
	out, err := r.api.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: r.env.ARN(want.ID(), "")})
	if err != nil {
		return nil, absent(err, "RepositoryNotFoundException")
	}
	tags := make(map[string]string, len(out.Tags))
	for _, t := range out.Tags {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return tags, nil
}

// Holders tells of the images, unless the spec says that they may go.
func (r *Repositories) Holders(ctx context.Context, _ Live, want spec.ECRRepository) ([]reconcile.Holder, error) {
	if want.ForceDelete {
		return nil, nil
	}
	// It lists an image once for each of its tags.
	out, err := r.api.ListImages(ctx, &ecr.ListImagesInput{RegistryId: &r.env.Account, RepositoryName: &want.Name, MaxResults: aws.Int32(1000)})
	if err != nil {
		return nil, absent(err, "RepositoryNotFoundException")
	}
	if out.ImageIds == nil {
		return nil, awsx.Hollow("ecr:ListImages", "imageIds", out.ResultMetadata)
	}
	digests := map[string]bool{}
	for _, id := range out.ImageIds {
		digests[aws.ToString(id.ImageDigest)] = true
	}
	what := fmt.Sprintf("%d images", len(digests))
	switch {
	case len(digests) == 0:
		return nil, nil
	case out.NextToken != nil:
		what = "more than " + what
	case len(digests) == 1:
		what = "1 image"
	}
	return []reconcile.Holder{{What: what, Do: "delete them, or say forceDelete: true of the repository in the spec"}}, nil
}

// Delete lists the step that takes a repository away. ECR takes the images
// along in one call, and only where it is told to: one that was pushed since
// keeps the repository otherwise.
func (r *Repositories) Delete(_ Live, want spec.ECRRepository) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	lines := []reconcile.Diff{{Path: "name", Before: want.Name}}
	if want.ForceDelete {
		lines = append(lines, reconcile.Diff{Path: "images", Before: "every one"})
	}
	steps.Add("ecr:DeleteRepository", "delete", lines, func(ctx context.Context) error {
		_, err := r.api.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RegistryId: &r.env.Account, RepositoryName: &want.Name, Force: want.ForceDelete})
		return absent(err, "RepositoryNotFoundException") // the answer was lost, and the call made again
	})
	return steps.List, nil
}
