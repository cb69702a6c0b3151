package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

type ecrState struct {
	Repositories byRegion[*ecrRepository]
}

type ecrRepository struct {
	Repository      ecrRepositoryDescription
	Tags            map[string]string
	LifecyclePolicy string                // as it was given; "" where there is none
	Policy          string                // as it was given; "" where there is none
	Images          map[string]*ecrImage  // by digest
	Layers          map[string]int64      `json:",omitempty"` // sizes by digest
	Uploads         map[string]*ecrUpload `json:",omitempty"` // by ID
}

// ecrRepositoryDescription is the repository as ECR's answers have it.
type ecrRepositoryDescription struct {
	RepositoryARN                      string               `json:"repositoryArn"`
	RegistryID                         string               `json:"registryId"`
	RepositoryName                     string               `json:"repositoryName"`
	RepositoryURI                      string               `json:"repositoryUri"`
	CreatedAt                          int64                `json:"createdAt"`
	ImageTagMutability                 string               `json:"imageTagMutability"`
	ImageTagMutabilityExclusionFilters []ecrExclusionFilter `json:"imageTagMutabilityExclusionFilters,omitempty"`
	ImageScanningConfiguration         ecrScanning          `json:"imageScanningConfiguration"`
	EncryptionConfiguration            ecrEncryption        `json:"encryptionConfiguration"`
}

type ecrExclusionFilter struct {
	FilterType string `json:"filterType"`
	Filter     string `json:"filter"`
}

type ecrScanning struct {
	ScanOnPush bool `json:"scanOnPush"`
}

type ecrEncryption struct {
	EncryptionType string `json:"encryptionType"`
	KMSKey         string `json:"kmsKey,omitempty"`
}

func ecrHandlers() map[string]handler {
	return map[string]handler{
		"CreateRepository":              withInput(ecrCreateRepository),
		"DescribeRepositories":          withInput(ecrDescribeRepositories),
		"DeleteRepository":              withInput(ecrDeleteRepository),
		"PutImageTagMutability":         withInput(ecrPutImageTagMutability),
		"PutImageScanningConfiguration": withInput(ecrPutImageScanningConfiguration),
		"GetLifecyclePolicy":            withInput(ecrGetLifecyclePolicy),
		"PutLifecyclePolicy":            withInput(ecrPutLifecyclePolicy),
		"DeleteLifecyclePolicy":         withInput(ecrDeleteLifecyclePolicy),
		"GetRepositoryPolicy":           withInput(ecrGetRepositoryPolicy),
		"SetRepositoryPolicy":           withInput(ecrSetRepositoryPolicy),
		"DeleteRepositoryPolicy":        withInput(ecrDeleteRepositoryPolicy),
		"ListTagsForResource":           withInput(ecrListTagsForResource),
		"TagResource":                   withInput(ecrTagResource),
		"UntagResource":                 withInput(ecrUntagResource),
		"GetAuthorizationToken":         withInput(ecrGetAuthorizationToken),
		"BatchCheckLayerAvailability":   withInput(ecrBatchCheckLayerAvailability),
		"InitiateLayerUpload":           withInput(ecrInitiateLayerUpload),
		"UploadLayerPart":               withInput(ecrUploadLayerPart),
		"CompleteLayerUpload":           withInput(ecrCompleteLayerUpload),
		"PutImage":                      withInput(ecrPutImage),
		"ListImages":                    withInput(ecrListImages),
		"DescribeImages":                withInput(ecrDescribeImages),
		"BatchGetImage":                 withInput(ecrBatchGetImage),
		"BatchDeleteImage":              withInput(ecrBatchDeleteImage),
	}
}

var ecrTags = tagRules{invalid: "InvalidTagParameterException", tooMany: "TooManyTagsException"}

// ecrRef names a repository in a call's input. Embedded, its fields are the
// input's own.
type ecrRef struct {
	RegistryID     string
	RepositoryName string
}

var ecrName = &pattern{expr: `^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`}

func ecrInvalid(parameter, format string, args ...any) *apiError {
	return badRequest("InvalidParameterException", "Invalid parameter at '%s' failed to satisfy constraint: '%s'",
		parameter, fmt.Sprintf(format, args...))
}

func (ref ecrRef) check() error {
	if n := len(ref.RepositoryName); n < 2 || n > 256 || !ecrName.MatchString(ref.RepositoryName) {
		return ecrInvalid("repositoryName", "must satisfy regular expression '%s' and have 2 to 256 characters", ecrName)
	}
	return nil
}

// registry is the registry that the call is about: the caller's own where it
// does not name one.
func (ref ecrRef) registry(r *request) string {
	if ref.RegistryID == "" {
		return r.account
	}
	return ref.RegistryID
}

// find gives the repository. Other accounts' registries are empty.
func (ref ecrRef) find(st *state, r *request) (*ecrRepository, error) {
	if err := ref.check(); err != nil {
		return nil, err
	}
	repo := st.ECR.Repositories[r.region][ref.RepositoryName]
	if repo == nil || ref.registry(r) != r.account {
		return nil, badRequest("RepositoryNotFoundException", "The repository with name '%s' does not exist in the registry with id '%s'",
			ref.RepositoryName, ref.registry(r))
	}
	return repo, nil
}

// ecrFindARN gives the repository that the tagging calls name by its ARN.
func ecrFindARN(st *state, r *request, arn string) (*ecrRepository, error) {
	_, name, ok := strings.Cut(arn, ":repository/")
	if !ok || !strings.HasPrefix(arn, "arn:") {
		return nil, ecrInvalid("resourceArn", "Invalid ARN")
	}
	repo, err := ecrRef{RepositoryName: name}.find(st, r)
	if err != nil {
		return nil, err
	}
	if repo.Repository.RepositoryARN != arn {
		return nil, badRequest("RepositoryNotFoundException", "The repository with ARN '%s' does not exist", arn)
	}
	return repo, nil
}

func ecrCheckMutability(mutability string, filters []ecrExclusionFilter) error {
	switch mutability {
	case "MUTABLE", "IMMUTABLE":
		if len(filters) > 0 {
			return ecrInvalid("imageTagMutabilityExclusionFilters", "filters need IMMUTABLE_WITH_EXCLUSION or MUTABLE_WITH_EXCLUSION")
		}
	case "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION":
		if len(filters) < 1 || len(filters) > 5 {
			return ecrInvalid("imageTagMutabilityExclusionFilters", "1 to 5 filters are needed")
		}
	default:
		return ecrInvalid("imageTagMutability", "Member must satisfy enum value set: [MUTABLE, IMMUTABLE, IMMUTABLE_WITH_EXCLUSION, MUTABLE_WITH_EXCLUSION]")
	}
	for _, f := range filters {
		if f.FilterType != "WILDCARD" || !ecrFilter.MatchString(f.Filter) {
			return ecrInvalid("imageTagMutabilityExclusionFilters", "a filter is a WILDCARD that satisfies '%s'", ecrFilter)
		}
		if strings.Count(f.Filter, "*") > 2 {
			return ecrInvalid("imageTagMutabilityExclusionFilters", "a filter has at most 2 wildcards")
		}
	}
	return nil
}

var ecrFilter = &pattern{expr: `^[0-9a-zA-Z._*-]{1,128}$`}

func ecrCreateRepository(st *state, r *request, in struct {
	ecrRef
	Tags                               []tag
	ImageTagMutability                 string
	ImageTagMutabilityExclusionFilters []ecrExclusionFilter
	ImageScanningConfiguration         ecrScanning
	EncryptionConfiguration            *ecrEncryption
},
) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	if in.ImageTagMutability == "" {
		in.ImageTagMutability = "MUTABLE"
	}
	if err := ecrCheckMutability(in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters); err != nil {
		return nil, err
	}
	encryption := ecrEncryption{EncryptionType: "AES256"}
	if in.EncryptionConfiguration != nil {
		encryption = *in.EncryptionConfiguration
	}
	switch encryption.EncryptionType {
	case "AES256":
		if encryption.KMSKey != "" {
			return nil, ecrInvalid("encryptionConfiguration", "AES256 takes no KMS key")
		}
	case "KMS", "KMS_DSSE":
		if encryption.KMSKey == "" {
			encryption.KMSKey = ecrManagedKey(r)
		}
	default:
		return nil, ecrInvalid("encryptionConfiguration", "Member must satisfy enum value set: [AES256, KMS, KMS_DSSE]")
	}
	tags, err := ecrTags.add(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	if st.ECR.Repositories[r.region][in.RepositoryName] != nil {
		return nil, badRequest("RepositoryAlreadyExistsException", "The repository with name '%s' already exists in the registry with id '%s'",
			in.RepositoryName, r.account)
	}
	repo := &ecrRepository{
		Repository: ecrRepositoryDescription{
			RepositoryARN:                      regionalARN(r, "ecr", "repository/"+in.RepositoryName),
			RegistryID:                         r.account,
			RepositoryName:                     in.RepositoryName,
			RepositoryURI:                      ecrHost(r) + "/" + in.RepositoryName,
			CreatedAt:                          r.now.Unix(),
			ImageTagMutability:                 in.ImageTagMutability,
			ImageTagMutabilityExclusionFilters: in.ImageTagMutabilityExclusionFilters,
			ImageScanningConfiguration:         in.ImageScanningConfiguration,
			EncryptionConfiguration:            encryption,
		},
		Tags:   tags,
		Images: map[string]*ecrImage{},
	}
	st.ECR.Repositories.put(r.region, in.RepositoryName, repo)
	return map[string]any{"repository": repo.Repository}, nil
}

// ecrHost is the account's registry. China has a DNS suffix of its own.
func ecrHost(r *request) string {
	host := r.account + ".dkr.ecr." + r.region + ".amazonaws.com"
	if partition(r.region) == "aws-cn" {
		host += ".cn"
	}
	return host
}

// ecrManagedKey is the key behind the alias aws/ecr. ECR answers its ARN
// where the caller asked for KMS and named no key.
func ecrManagedKey(r *request) string {
	sum := sha256.Sum256([]byte("aws/ecr " + r.account + " " + r.region))
	return regionalARN(r, "kms", fmt.Sprintf("key/%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]))
}

func ecrDescribeRepositories(st *state, r *request, in struct {
	RegistryID      string
	RepositoryNames []string
	NextToken       string
	MaxResults      int
},
) (any, error) {
	if len(in.RepositoryNames) > 100 {
		return nil, ecrInvalid("repositoryNames", "at most 100 names")
	}
	if len(in.RepositoryNames) > 0 && (in.MaxResults != 0 || in.NextToken != "") {
		return nil, ecrInvalid("maxResults", "maxResults and nextToken cannot be used with repositoryNames")
	}
	repositories := []ecrRepositoryDescription{}
	if len(in.RepositoryNames) > 0 {
		// One missing name fails the whole call.
		for _, name := range in.RepositoryNames {
			repo, err := ecrRef{in.RegistryID, name}.find(st, r)
			if err != nil {
				return nil, err
			}
			repositories = append(repositories, repo.Repository)
		}
		return map[string]any{"repositories": repositories}, nil
	}

	var names []string
	if (ecrRef{RegistryID: in.RegistryID}).registry(r) == r.account {
		names = slices.Sorted(maps.Keys(st.ECR.Repositories[r.region]))
	}
	names, next, ok := slicePage(names, in.NextToken, in.MaxResults, 100, 1000)
	if !ok {
		return nil, ecrInvalid("maxResults", "nextToken is one that ECR gave, maxResults 1 to 1000")
	}
	for _, name := range names {
		repositories = append(repositories, st.ECR.Repositories[r.region][name].Repository)
	}
	return struct {
		Repositories []ecrRepositoryDescription `json:"repositories"`
		NextToken    string                     `json:"nextToken,omitempty"`
	}{repositories, next}, nil
}

func ecrDeleteRepository(st *state, r *request, in struct {
	ecrRef
	Force bool
},
) (any, error) {
	repo, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	if len(repo.Images) > 0 && !in.Force {
		return nil, badRequest("RepositoryNotEmptyException",
			"The repository with name '%s' in registry with id '%s' cannot be deleted because it still contains images", in.RepositoryName, r.account)
	}
	delete(st.ECR.Repositories[r.region], in.RepositoryName)
	return map[string]any{"repository": repo.Repository}, nil
}

func ecrPutImageTagMutability(st *state, r *request, in struct {
	ecrRef
	ImageTagMutability                 string
	ImageTagMutabilityExclusionFilters []ecrExclusionFilter
},
) (any, error) {
	repo, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	if err := ecrCheckMutability(in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters); err != nil {
		return nil, err
	}
	repo.Repository.ImageTagMutability = in.ImageTagMutability
	repo.Repository.ImageTagMutabilityExclusionFilters = in.ImageTagMutabilityExclusionFilters
	return struct {
		RegistryID         string               `json:"registryId"`
		RepositoryName     string               `json:"repositoryName"`
		ImageTagMutability string               `json:"imageTagMutability"`
		Filters            []ecrExclusionFilter `json:"imageTagMutabilityExclusionFilters,omitempty"`
	}{r.account, in.RepositoryName, in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters}, nil
}

func ecrPutImageScanningConfiguration(st *state, r *request, in struct {
	ecrRef
	ImageScanningConfiguration ecrScanning
},
) (any, error) {
	repo, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	repo.Repository.ImageScanningConfiguration = in.ImageScanningConfiguration
	return struct {
		RegistryID     string      `json:"registryId"`
		RepositoryName string      `json:"repositoryName"`
		Scanning       ecrScanning `json:"imageScanningConfiguration"`
	}{r.account, in.RepositoryName, in.ImageScanningConfiguration}, nil
}

// ecrPolicyText is the answer of the calls about a repository's two documents.
type ecrPolicyText struct {
	RegistryID      string `json:"registryId"`
	RepositoryName  string `json:"repositoryName"`
	LifecyclePolicy string `json:"lifecyclePolicyText,omitempty"`
	Policy          string `json:"policyText,omitempty"`
}

func ecrGetLifecyclePolicy(st *state, r *request, in ecrRef) (any, error) {
	repo, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	if repo.LifecyclePolicy == "" {
		return nil, badRequest("LifecyclePolicyNotFoundException",
			"Lifecycle policy does not exist for the repository with name '%s' in the registry with id '%s'", in.RepositoryName, r.account)
	}
	return ecrPolicyText{RegistryID: r.account, RepositoryName: in.RepositoryName, LifecyclePolicy: repo.LifecyclePolicy}, nil
}

func ecrPutLifecyclePolicy(st *state, r *request, in struct {
	ecrRef
	LifecyclePolicyText string
},
) (any, error) {
	repo, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	if err := checkLifecyclePolicy(in.LifecyclePolicyText); err != nil {
		return nil, ecrInvalid("LifecyclePolicyText", "Lifecycle policy validation failure: %s", err)
	}
	repo.LifecyclePolicy = in.LifecyclePolicyText
	return ecrPolicyText{RegistryID: r.account, RepositoryName: in.RepositoryName, LifecyclePolicy: repo.LifecyclePolicy}, nil
}

func ecrDeleteLifecyclePolicy(st *state, r *request, in ecrRef) (any, error) {
	answer, err := ecrGetLifecyclePolicy(st, r, in)
	if err != nil {
		return nil, err
	}
	st.ECR.Repositories[r.region][in.RepositoryName].LifecyclePolicy = ""
	return answer, nil
}

func ecrGetRepositoryPolicy(st *state, r *request, in ecrRef) (any, error) {
	repo, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	if repo.Policy == "" {
		return nil, badRequest("RepositoryPolicyNotFoundException",
			"Repository policy does not exist for the repository with name '%s' in the registry with id '%s'", in.RepositoryName, r.account)
	}
	return ecrPolicyText{RegistryID: r.account, RepositoryName: in.RepositoryName, Policy: repo.Policy}, nil
}

func ecrSetRepositoryPolicy(st *state, r *request, in struct {
	ecrRef
	PolicyText string
},
) (any, error) {
	repo, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	if len(in.PolicyText) > 10240 || !jsonObject(in.PolicyText) {
		return nil, ecrInvalid("PolicyText", "Invalid repository policy provided")
	}
	repo.Policy = in.PolicyText
	return ecrPolicyText{RegistryID: r.account, RepositoryName: in.RepositoryName, Policy: repo.Policy}, nil
}

func ecrDeleteRepositoryPolicy(st *state, r *request, in ecrRef) (any, error) {
	answer, err := ecrGetRepositoryPolicy(st, r, in)
	if err != nil {
		return nil, err
	}
	st.ECR.Repositories[r.region][in.RepositoryName].Policy = ""
	return answer, nil
}

func ecrListTagsForResource(st *state, r *request, in struct{ ResourceARN string }) (any, error) {
	repo, err := ecrFindARN(st, r, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return map[string]any{"tags": tagList(repo.Tags)}, nil
}

func ecrTagResource(st *state, r *request, in struct {
	ResourceARN string
	Tags        []tag
},
) (any, error) {
	repo, err := ecrFindARN(st, r, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	tags, err := ecrTags.add(repo.Tags, in.Tags)
	if err != nil {
		return nil, err
	}
	repo.Tags = tags
	return empty{}, nil
}

func ecrUntagResource(st *state, r *request, in struct {
	ResourceARN string
	TagKeys     []string
},
) (any, error) {
	repo, err := ecrFindARN(st, r, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	for _, key := range in.TagKeys {
		delete(repo.Tags, key)
	}
	return empty{}, nil
}

// ecrGetAuthorizationToken answers a token for docker login. There is no
// registry behind it, so it opens nothing.
func ecrGetAuthorizationToken(_ *state, r *request, _ empty) (any, error) {
	type data struct {
		AuthorizationToken string `json:"authorizationToken"`
		ExpiresAt          int64  `json:"expiresAt"`
		ProxyEndpoint      string `json:"proxyEndpoint"`
	}
	return map[string]any{"authorizationData": []data{{
		AuthorizationToken: base64.StdEncoding.EncodeToString([]byte("AWS:sandbox")),
		ExpiresAt:          r.now.Add(12 * time.Hour).Unix(),
		ProxyEndpoint:      "https://" + ecrHost(r),
	}}}, nil
}
