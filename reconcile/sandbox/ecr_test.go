package sandbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

const (
	ecrARN       = "arn:aws:ecr:eu-north-1:123456789012:repository/"
	ecrLifecycle = `{ "rules": [ {"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":5},"action":{"type":"expire"}} ] }`
)

func createRepository(t *testing.T, e *jsonEndpoint, in *ecr.CreateRepositoryInput) types.Repository {
	t.Helper()
	return *must[*ecr.CreateRepositoryOutput](t)(e.ecr.CreateRepository(t.Context(), in)).Repository
}

func describeRepository(t *testing.T, e *jsonEndpoint, name string) types.Repository {
	t.Helper()
	out := must[*ecr.DescribeRepositoriesOutput](t)(e.ecr.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{RepositoryNames: []string{name}}))
	if len(out.Repositories) != 1 {
		t.Fatalf("%d repositories, want 1", len(out.Repositories))
	}
	return out.Repositories[0]
}

func TestECRCreateRepository(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   ecr.CreateRepositoryInput
		want types.Repository
	}{
		{
			name: "defaults",
			want: types.Repository{
				ImageTagMutability:         types.ImageTagMutabilityMutable,
				ImageScanningConfiguration: &types.ImageScanningConfiguration{},
				EncryptionConfiguration:    &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeAes256},
			},
		},
		{
			name: "everything given",
			in: ecr.CreateRepositoryInput{
				ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion,
				ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{
					{FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard, Filter: aws.String("dev-*")},
				},
				ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true},
				EncryptionConfiguration: &types.EncryptionConfiguration{
					EncryptionType: types.EncryptionTypeKms, KmsKey: aws.String("arn:aws:kms:eu-north-1:123456789012:key/k"),
				},
			},
			want: types.Repository{
				ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion,
				ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{
					{FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard, Filter: aws.String("dev-*")},
				},
				ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true},
				EncryptionConfiguration: &types.EncryptionConfiguration{
					EncryptionType: types.EncryptionTypeKms, KmsKey: aws.String("arn:aws:kms:eu-north-1:123456789012:key/k"),
				},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := serveJSON(t, "eu-north-1", "")
			in := tt.in
			in.RepositoryName = aws.String("churn/repo")
			want := tt.want
			want.RepositoryName = aws.String("churn/repo")
			want.RepositoryArn = aws.String(ecrARN + "churn/repo")
			want.RepositoryUri = aws.String("123456789012.dkr.ecr.eu-north-1.amazonaws.com/churn/repo")
			want.RegistryId = aws.String("123456789012")
			want.CreatedAt = aws.Time(start)
			if d := diff(want, createRepository(t, e, &in)); d != "" {
				t.Errorf("created (-want +got):\n%s", d)
			}
			if d := diff(want, describeRepository(t, e, "churn/repo")); d != "" {
				t.Errorf("described (-want +got):\n%s", d)
			}
		})
	}
}

// A KMS repository without a key of its own has the account's key, by its ARN.
func TestECRManagedKey(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "cn-north-1", "")
	repo := createRepository(t, e, &ecr.CreateRepositoryInput{
		RepositoryName:          aws.String("repo"),
		EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms},
	})
	if got := aws.ToString(repo.EncryptionConfiguration.KmsKey); !strings.HasPrefix(got, "arn:aws-cn:kms:cn-north-1:123456789012:key/") {
		t.Errorf("key %q", got)
	}
	if got, want := aws.ToString(repo.RepositoryUri), "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/repo"; got != want {
		t.Errorf("uri %q, want %q", got, want)
	}
}

func TestECRRefusals(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	createRepository(t, e, &ecr.CreateRepositoryInput{RepositoryName: aws.String("repo")})
	create := func(in ecr.CreateRepositoryInput) func(context.Context) error {
		return func(ctx context.Context) error { return erase(e.ecr.CreateRepository(ctx, &in)) }
	}
	named := func(name string) func(context.Context) error {
		return create(ecr.CreateRepositoryInput{RepositoryName: &name})
	}
	absent, repo := aws.String("absent"), aws.String("repo")
	runRefusals(t, []refusal{
		{"name there already", named("repo"), "RepositoryAlreadyExistsException"},
		{"name in capitals", named("Repo"), "InvalidParameterException"},
		{"name too short", named("r"), "InvalidParameterException"},
		{"name too long", named(strings.Repeat("r", 257)), "InvalidParameterException"},
		{"name with an empty part", named("a//b"), "InvalidParameterException"},
		{"name with every separator", named("a.b_c__d---e/f0"), ""},
		{"unknown mutability", create(ecr.CreateRepositoryInput{RepositoryName: absent, ImageTagMutability: "SOMETIMES"}), "InvalidParameterException"},
		{"filters without exclusion", create(ecr.CreateRepositoryInput{RepositoryName: absent, ImageTagMutability: "IMMUTABLE", ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{
			{FilterType: "WILDCARD", Filter: aws.String("v*")},
		}}), "InvalidParameterException"},
		{"filter with a slash", create(ecr.CreateRepositoryInput{RepositoryName: absent, ImageTagMutability: "IMMUTABLE_WITH_EXCLUSION", ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{
			{FilterType: "WILDCARD", Filter: aws.String("a/*")},
		}}), "InvalidParameterException"},
		{"filter with three wildcards", create(ecr.CreateRepositoryInput{RepositoryName: absent, ImageTagMutability: "IMMUTABLE_WITH_EXCLUSION", ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{
			{FilterType: "WILDCARD", Filter: aws.String("*a*b*")},
		}}), "InvalidParameterException"},
		{"too many results", func(ctx context.Context) error {
			return erase(e.ecr.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{MaxResults: aws.Int32(1001)}))
		}, "InvalidParameterException"},
		{"change to unknown mutability", func(ctx context.Context) error {
			return erase(e.ecr.PutImageTagMutability(ctx, &ecr.PutImageTagMutabilityInput{RepositoryName: repo, ImageTagMutability: "SOMETIMES"}))
		}, "InvalidParameterException"},
		{"tag with a reserved key", func(ctx context.Context) error {
			return erase(e.ecr.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: aws.String(ecrARN + "repo"), Tags: []types.Tag{{Key: aws.String("aws:x"), Value: aws.String("")}}}))
		}, "InvalidTagParameterException"},
		{"exclusion without filters", create(ecr.CreateRepositoryInput{RepositoryName: absent, ImageTagMutability: "IMMUTABLE_WITH_EXCLUSION"}), "InvalidParameterException"},
		{"unknown encryption", create(ecr.CreateRepositoryInput{RepositoryName: absent, EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: "ROT13"}}), "InvalidParameterException"},
		{"key without KMS", create(ecr.CreateRepositoryInput{RepositoryName: absent, EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: "AES256", KmsKey: aws.String("k")}}), "InvalidParameterException"},
		{"reserved tag", create(ecr.CreateRepositoryInput{RepositoryName: absent, Tags: []types.Tag{{Key: aws.String("aws:x"), Value: aws.String("")}}}), "InvalidTagParameterException"},
		{"none of these made one", func(ctx context.Context) error {
			return erase(e.ecr.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{"absent"}}))
		}, "RepositoryNotFoundException"},
		{"one missing name of two", func(ctx context.Context) error {
			return erase(e.ecr.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{"repo", "absent"}}))
		}, "RepositoryNotFoundException"},
		{"registry of another account", func(ctx context.Context) error {
			return erase(e.ecr.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{"repo"}, RegistryId: aws.String("210987654321")}))
		}, "RepositoryNotFoundException"},
		{"names with pages", func(ctx context.Context) error {
			return erase(e.ecr.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{"repo"}, MaxResults: aws.Int32(1)}))
		}, "InvalidParameterException"},
		{"delete absent", func(ctx context.Context) error {
			return erase(e.ecr.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: absent}))
		}, "RepositoryNotFoundException"},
		{"no lifecycle policy", func(ctx context.Context) error {
			return erase(e.ecr.GetLifecyclePolicy(ctx, &ecr.GetLifecyclePolicyInput{RepositoryName: repo}))
		}, "LifecyclePolicyNotFoundException"},
		{"no lifecycle policy to delete", func(ctx context.Context) error {
			return erase(e.ecr.DeleteLifecyclePolicy(ctx, &ecr.DeleteLifecyclePolicyInput{RepositoryName: repo}))
		}, "LifecyclePolicyNotFoundException"},
		{"bad lifecycle policy", func(ctx context.Context) error {
			return erase(e.ecr.PutLifecyclePolicy(ctx, &ecr.PutLifecyclePolicyInput{RepositoryName: repo, LifecyclePolicyText: aws.String(`{"rules":[]}`)}))
		}, "InvalidParameterException"},
		{"no policy", func(ctx context.Context) error {
			return erase(e.ecr.GetRepositoryPolicy(ctx, &ecr.GetRepositoryPolicyInput{RepositoryName: repo}))
		}, "RepositoryPolicyNotFoundException"},
		{"bad policy", func(ctx context.Context) error {
			return erase(e.ecr.SetRepositoryPolicy(ctx, &ecr.SetRepositoryPolicyInput{RepositoryName: repo, PolicyText: aws.String(`[]`)}))
		}, "InvalidParameterException"},
		{"tags of absent", func(ctx context.Context) error {
			return erase(e.ecr.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: aws.String(ecrARN + "absent")}))
		}, "RepositoryNotFoundException"},
		{"tags of another region", func(ctx context.Context) error {
			return erase(e.ecr.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: aws.String("arn:aws:ecr:us-east-1:123456789012:repository/repo")}))
		}, "RepositoryNotFoundException"},
		{"tags of no ARN", func(ctx context.Context) error {
			return erase(e.ecr.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: repo}))
		}, "InvalidParameterException"},
	})
}

func TestECRPages(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	var want []string
	for i := range 5 {
		name := fmt.Sprintf("repo-%d", i)
		want = append(want, name)
		createRepository(t, e, &ecr.CreateRepositoryInput{RepositoryName: &name})
	}
	var got []string
	pages := ecr.NewDescribeRepositoriesPaginator(e.ecr, &ecr.DescribeRepositoriesInput{MaxResults: aws.Int32(2)})
	for n := 0; pages.HasMorePages(); n++ {
		if n == 3 {
			t.Fatal("more than three pages of two")
		}
		for _, repo := range must[*ecr.DescribeRepositoriesOutput](t)(pages.NextPage(t.Context())).Repositories {
			got = append(got, *repo.RepositoryName)
		}
	}
	if d := diff(want, got); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
}

func TestECRChanges(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	ctx, repo := t.Context(), aws.String("repo")
	createRepository(t, e, &ecr.CreateRepositoryInput{
		RepositoryName: repo,
		Tags:           []types.Tag{{Key: aws.String("b"), Value: aws.String("1")}, {Key: aws.String("a"), Value: aws.String("1")}},
	})

	must[*ecr.PutImageTagMutabilityOutput](t)(e.ecr.PutImageTagMutability(ctx, &ecr.PutImageTagMutabilityInput{RepositoryName: repo, ImageTagMutability: "IMMUTABLE"}))
	must[*ecr.PutImageScanningConfigurationOutput](t)(e.ecr.PutImageScanningConfiguration(ctx, &ecr.PutImageScanningConfigurationInput{
		RepositoryName: repo, ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true},
	}))
	if got := describeRepository(t, e, "repo"); got.ImageTagMutability != "IMMUTABLE" || !got.ImageScanningConfiguration.ScanOnPush {
		t.Errorf("unchanged: %+v", got)
	}

	// Documents come back as they were given, byte by byte.
	must[*ecr.PutLifecyclePolicyOutput](t)(e.ecr.PutLifecyclePolicy(ctx, &ecr.PutLifecyclePolicyInput{RepositoryName: repo, LifecyclePolicyText: aws.String(ecrLifecycle)}))
	lifecycle := must[*ecr.GetLifecyclePolicyOutput](t)(e.ecr.GetLifecyclePolicy(ctx, &ecr.GetLifecyclePolicyInput{RepositoryName: repo}))
	if got := aws.ToString(lifecycle.LifecyclePolicyText); got != ecrLifecycle {
		t.Errorf("lifecycle policy %s", got)
	}
	const policy = `{ "Version": "2012-10-17", "Statement": [] }`
	must[*ecr.SetRepositoryPolicyOutput](t)(e.ecr.SetRepositoryPolicy(ctx, &ecr.SetRepositoryPolicyInput{RepositoryName: repo, PolicyText: aws.String(policy)}))
	set := must[*ecr.GetRepositoryPolicyOutput](t)(e.ecr.GetRepositoryPolicy(ctx, &ecr.GetRepositoryPolicyInput{RepositoryName: repo}))
	if got := aws.ToString(set.PolicyText); got != policy {
		t.Errorf("policy %s", got)
	}
	must[*ecr.DeleteLifecyclePolicyOutput](t)(e.ecr.DeleteLifecyclePolicy(ctx, &ecr.DeleteLifecyclePolicyInput{RepositoryName: repo}))
	must[*ecr.DeleteRepositoryPolicyOutput](t)(e.ecr.DeleteRepositoryPolicy(ctx, &ecr.DeleteRepositoryPolicyInput{RepositoryName: repo}))
	wantCode(t, erase(e.ecr.GetLifecyclePolicy(ctx, &ecr.GetLifecyclePolicyInput{RepositoryName: repo})), "LifecyclePolicyNotFoundException")
	wantCode(t, erase(e.ecr.GetRepositoryPolicy(ctx, &ecr.GetRepositoryPolicyInput{RepositoryName: repo})), "RepositoryPolicyNotFoundException")

	arn := aws.String(ecrARN + "repo")
	must[*ecr.TagResourceOutput](t)(e.ecr.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: arn, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("2")}}}))
	must[*ecr.UntagResourceOutput](t)(e.ecr.UntagResource(ctx, &ecr.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"b", "never there"}}))
	tags := must[*ecr.ListTagsForResourceOutput](t)(e.ecr.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: arn}))
	if d := diff([]types.Tag{{Key: aws.String("a"), Value: aws.String("2")}}, tags.Tags); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}

	// Tags and documents go with the repository.
	must[*ecr.DeleteRepositoryOutput](t)(e.ecr.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: repo}))
	createRepository(t, e, &ecr.CreateRepositoryInput{RepositoryName: repo})
	if tags := must[*ecr.ListTagsForResourceOutput](t)(e.ecr.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: arn})); len(tags.Tags) != 0 {
		t.Errorf("tags of the deleted repository: %v", tags.Tags)
	}
}

func TestECRImages(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	ctx, repo := t.Context(), aws.String("repo")
	createRepository(t, e, &ecr.CreateRepositoryInput{
		RepositoryName:                     repo,
		ImageTagMutability:                 types.ImageTagMutabilityImmutableWithExclusion,
		ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{{FilterType: "WILDCARD", Filter: aws.String("dev.*")}},
	})
	put := func(manifest, tag string) error {
		return erase(e.ecr.PutImage(ctx, &ecr.PutImageInput{RepositoryName: repo, ImageManifest: &manifest, ImageTag: &tag}))
	}
	wantCode(t, put("one", "v1"), "")
	wantCode(t, put("one", "v1"), "ImageAlreadyExistsException")
	wantCode(t, put("two", "v1"), "ImageTagAlreadyExistsException")
	wantCode(t, put("one", "dev.1"), "")
	wantCode(t, put("two", "dev.1"), "") // the filter lets this tag move
	wantCode(t, put("two", "devX1"), "") // the filter's dot is a dot:
	wantCode(t, put("one", "devX1"), "ImageTagAlreadyExistsException")

	images := must[*ecr.DescribeImagesOutput](t)(e.ecr.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: repo}))
	got := map[string][]string{}
	for _, image := range images.ImageDetails {
		got[*image.ImageDigest] = image.ImageTags
	}
	const one, two = "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed", "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
	if d := diff(map[string][]string{one: {"v1"}, two: {"dev.1", "devX1"}}, got); d != "" {
		t.Errorf("images (-want +got):\n%s", d)
	}

	wantCode(t, erase(e.ecr.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: repo})), "RepositoryNotEmptyException")
	deleted := must[*ecr.BatchDeleteImageOutput](t)(e.ecr.BatchDeleteImage(ctx, &ecr.BatchDeleteImageInput{RepositoryName: repo, ImageIds: []types.ImageIdentifier{
		{ImageTag: aws.String("v1")}, {ImageTag: aws.String("dev.1")}, {ImageTag: aws.String("never")},
	}}))
	if len(deleted.ImageIds) != 2 || len(deleted.Failures) != 1 || deleted.Failures[0].FailureCode != types.ImageFailureCodeImageNotFound {
		t.Errorf("deleted %+v", deleted)
	}
	left := must[*ecr.ListImagesOutput](t)(e.ecr.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: repo}))
	if d := diff([]types.ImageIdentifier{{ImageDigest: aws.String(two), ImageTag: aws.String("devX1")}}, left.ImageIds); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
	wantCode(t, erase(e.ecr.PutImage(ctx, &ecr.PutImageInput{RepositoryName: repo, ImageManifest: aws.String("three"), ImageDigest: aws.String(two)})), "ImageDigestDoesNotMatchException")
	wantCode(t, erase(e.ecr.PutImage(ctx, &ecr.PutImageInput{RepositoryName: repo, ImageManifest: aws.String("one")})), "")
	for status, want := range map[types.TagStatus][]string{types.TagStatusTagged: {two}, types.TagStatusUntagged: {one}, types.TagStatusAny: {two, one}, "": {two, one}} {
		var listed, described []string
		for _, id := range must[*ecr.ListImagesOutput](t)(e.ecr.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: repo, Filter: &types.ListImagesFilter{TagStatus: status}})).ImageIds {
			listed = append(listed, *id.ImageDigest)
		}
		for _, image := range must[*ecr.DescribeImagesOutput](t)(e.ecr.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: repo, Filter: &types.DescribeImagesFilter{TagStatus: status}})).ImageDetails {
			described = append(described, *image.ImageDigest)
		}
		if d := diff([][]string{want, want}, [][]string{listed, described}); d != "" {
			t.Errorf("images %q (-want +got):\n%s", status, d)
		}
	}
	for code, id := range map[types.ImageFailureCode]types.ImageIdentifier{
		types.ImageFailureCodeImageNotFound:              {ImageDigest: aws.String("sha256:0")},
		types.ImageFailureCodeImageTagDoesNotMatchDigest: {ImageDigest: aws.String(one), ImageTag: aws.String("devX1")},
		types.ImageFailureCodeMissingDigestAndTag:        {},
	} {
		got := must[*ecr.BatchGetImageOutput](t)(e.ecr.BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: repo, ImageIds: []types.ImageIdentifier{id}}))
		if len(got.Images) != 0 || len(got.Failures) != 1 || got.Failures[0].FailureCode != code {
			t.Errorf("%s: %+v", code, got)
		}
		wantCode(t, erase(e.ecr.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: repo, ImageIds: []types.ImageIdentifier{id}})), "ImageNotFoundException")
	}
	read := must[*ecr.BatchGetImageOutput](t)(e.ecr.BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: repo, ImageIds: []types.ImageIdentifier{{ImageDigest: aws.String(two)}}}))
	if len(read.Images) != 1 || aws.ToString(read.Images[0].ImageManifest) != "two" {
		t.Errorf("read %+v", read)
	}
	wantCode(t, erase(e.ecr.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: repo, Force: true})), "")
}

func TestECRImmutableTags(t *testing.T) {
	t.Parallel()
	for mutability, want := range map[types.ImageTagMutability]string{
		types.ImageTagMutabilityMutable: "", types.ImageTagMutabilityImmutable: "ImageTagAlreadyExistsException",
	} {
		e := serveJSON(t, "eu-north-1", "")
		createRepository(t, e, &ecr.CreateRepositoryInput{RepositoryName: aws.String("repo"), ImageTagMutability: mutability})
		put := func(manifest string) error {
			return erase(e.ecr.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: aws.String("repo"), ImageManifest: &manifest, ImageTag: aws.String("v1")}))
		}
		wantCode(t, put("one"), "")
		wantCode(t, put("two"), want)
	}
}

func TestECRAuthorizationToken(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	out := must[*ecr.GetAuthorizationTokenOutput](t)(e.ecr.GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{}))
	want := []types.AuthorizationData{{
		AuthorizationToken: aws.String("QVdTOnNhbmRib3g="), // AWS:sandbox
		ExpiresAt:          aws.Time(start.Add(12 * time.Hour)),
		ProxyEndpoint:      aws.String("https://123456789012.dkr.ecr.eu-north-1.amazonaws.com"),
	}}
	if d := diff(want, out.AuthorizationData); d != "" {
		t.Errorf("data (-want +got):\n%s", d)
	}
}

func TestCheckLifecyclePolicy(t *testing.T) {
	t.Parallel()
	const (
		count = `"countType":"imageCountMoreThan","countNumber":5`
		days  = `"countType":"sinceImagePushed","countUnit":"days","countNumber":5`
	)
	rule := func(priority int, selection string) string {
		return fmt.Sprintf(`{"rulePriority":%d,"description":"d","selection":{%s},"action":{"type":"expire"}}`, priority, selection)
	}
	rules := func(list ...string) string { return `{"rules":[` + strings.Join(list, ",") + `]}` }
	anyTag := `"tagStatus":"any",` + count
	tests := []struct {
		name string
		text string
		want string // a part of the error; "" is none
	}{
		{"any", ecrLifecycle, ""},
		{"by prefix", rules(rule(1, `"tagStatus":"tagged","tagPrefixList":["v"],`+days)), ""},
		{"by pattern", rules(rule(1, `"tagStatus":"tagged","tagPatternList":["v*"],`+days)), ""},
		{"any last, not in order", rules(rule(9, anyTag), rule(1, `"tagStatus":"untagged",`+days)), ""},
		{"transition", rules(`{"rulePriority":1,"selection":{` + anyTag + `},"action":{"type":"transition","targetStorageClass":"archive"}}`), ""},
		{"no JSON", `rules`, "invalid character"},
		{"more than one document", ecrLifecycle + `{}`, "text after"},
		{"no rules", rules(), "1 to 50 rules"},
		{"unknown field", rules(`{"rulePriority":1,"colour":"red"}`), "unknown field"},
		{"priority zero", rules(rule(0, anyTag)), "rulePriority must be 1"},
		{"priority twice", rules(rule(1, `"tagStatus":"untagged",`+count), rule(1, `"tagStatus":"untagged",`+days)), "unique"},
		{"any twice", rules(rule(1, anyTag), rule(2, anyTag)), "only one rule"},
		{"any before others", rules(rule(1, anyTag), rule(2, `"tagStatus":"untagged",`+count)), "highest rulePriority"},
		{"tagged without a list", rules(rule(1, `"tagStatus":"tagged",`+count)), "either tagPrefixList or"},
		{"tagged with both lists", rules(rule(1, `"tagStatus":"tagged","tagPrefixList":["a"],"tagPatternList":["a"],`+count)), "either tagPrefixList or"},
		{"untagged with a list", rules(rule(1, `"tagStatus":"untagged","tagPrefixList":["a"],`+count)), "takes no tagPrefixList"},
		{"unknown status", rules(rule(1, `"tagStatus":"some",`+count)), "tagStatus must be"},
		{"unit for a count", rules(rule(1, `"tagStatus":"any","countUnit":"days",`+count)), "takes no countUnit"},
		{"days without a unit", rules(rule(1, `"tagStatus":"any","countType":"sinceImagePushed","countNumber":1`)), "needs countUnit"},
		{"unknown count", rules(rule(1, `"tagStatus":"any","countType":"size","countNumber":1`)), "countType must be"},
		{"number zero", rules(rule(1, `"tagStatus":"any","countType":"imageCountMoreThan","countNumber":0`)), "countNumber must be"},
		{"number in fractions", rules(rule(1, `"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1.5`)), "cannot unmarshal"},
		{"unknown action", rules(`{"rulePriority":1,"selection":{` + anyTag + `},"action":{"type":"archive"}}`), "action type must be"},
		{"transition to nowhere", rules(`{"rulePriority":1,"selection":{` + anyTag + `},"action":{"type":"transition"}}`), "targetStorageClass"},
		{"too long", rules(rule(1, anyTag)) + strings.Repeat(" ", 30720), "longer than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := checkLifecyclePolicy(tt.text)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
