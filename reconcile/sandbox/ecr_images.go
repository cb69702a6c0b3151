package sandbox

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// An ecrImage is an image's manifest. What is in its layers is not kept: enough
// for a repository that is not empty, none that could be pulled.
type ecrImage struct {
	Manifest  string
	MediaType string
	Tags      []string
	PushedAt  int64
}

type ecrImageID struct {
	ImageDigest string `json:"imageDigest,omitempty"`
	ImageTag    string `json:"imageTag,omitempty"`
}

type ecrImageAnswer struct {
	RegistryID             string     `json:"registryId"`
	RepositoryName         string     `json:"repositoryName"`
	ImageID                ecrImageID `json:"imageId"`
	ImageManifest          string     `json:"imageManifest"`
	ImageManifestMediaType string     `json:"imageManifestMediaType,omitempty"`
}

type ecrImageFailure struct {
	ImageID       ecrImageID `json:"imageId"`
	FailureCode   string     `json:"failureCode"`
	FailureReason string     `json:"failureReason"`
}

// tagged finds the digest that a tag points to.
func (repo *ecrRepository) tagged(tag string) (digest string, ok bool) {
	for digest, image := range repo.Images {
		if slices.Contains(image.Tags, tag) {
			return digest, true
		}
	}
	return "", false
}

// image finds what an ID of a batch call stands for.
func (repo *ecrRepository) image(id ecrImageID) (digest string, failure *ecrImageFailure) {
	if id == (ecrImageID{}) {
		return "", &ecrImageFailure{id, "MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"}
	}
	digest = id.ImageDigest
	if id.ImageTag != "" {
		tagged, ok := repo.tagged(id.ImageTag)
		if !ok {
			return "", &ecrImageFailure{id, "ImageNotFound", "Requested image not found"}
		}
		if digest != "" && digest != tagged {
			return "", &ecrImageFailure{id, "ImageTagDoesNotMatchDigest", "Tag does not refer to the digest"}
		}
		digest = tagged
	}
	if repo.Images[digest] == nil {
		return "", &ecrImageFailure{id, "ImageNotFound", "Requested image not found"}
	}
	return digest, nil
}

// immutable says whether a tag, once set, stays where it is.
func (repo *ecrRepository) immutable(tag string) bool {
	excluded := slices.ContainsFunc(repo.Repository.ImageTagMutabilityExclusionFilters, func(f ecrExclusionFilter) bool {
		wildcard := strings.ReplaceAll(regexp.QuoteMeta(f.Filter), `\*`, ".*")
		return regexp.MustCompile("^" + wildcard + "$").MatchString(tag)
	})
	switch repo.Repository.ImageTagMutability {
	case "IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION":
		return !excluded
	default:
		return excluded
	}
}

func ecrPutImage(st *state, r *request, in struct {
	ecrRef
	ImageManifest          string
	ImageManifestMediaType string
	ImageTag               string
	ImageDigest            string
},
) (any, error) {
	repo, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	if in.ImageManifest == "" {
		return nil, ecrInvalid("imageManifest", "Member must not be empty")
	}
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(in.ImageManifest)))
	if in.ImageDigest != "" && in.ImageDigest != digest {
		return nil, badRequest("ImageDigestDoesNotMatchException", "The digest of the manifest is %s, not %s", digest, in.ImageDigest)
	}
	if missing := repo.missingLayers(in.ImageManifest); len(missing) > 0 {
		return nil, badRequest("LayersNotFoundException", "Layers with digests '%v' required for pushing image into repository with name '%s' in the registry with id '%s' do not exist",
			missing, in.RepositoryName, r.account)
	}
	old, taken := repo.tagged(in.ImageTag)
	switch {
	case repo.Images[digest] != nil && (in.ImageTag == "" || taken && old == digest):
		return nil, badRequest("ImageAlreadyExistsException", "Image with digest '%s' and tag '%s' already exists in the repository with name '%s' in registry with id '%s'",
			digest, in.ImageTag, in.RepositoryName, r.account)
	case taken && repo.immutable(in.ImageTag):
		return nil, badRequest("ImageTagAlreadyExistsException", "The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the tag is immutable.",
			in.ImageTag, in.RepositoryName)
	}
	if taken {
		repo.Images[old].untag(in.ImageTag)
	}
	image := repo.Images[digest]
	if image == nil {
		image = &ecrImage{Manifest: in.ImageManifest, MediaType: in.ImageManifestMediaType, PushedAt: r.now.Unix()}
		if repo.Images == nil {
			repo.Images = map[string]*ecrImage{}
		}
		repo.Images[digest] = image
	}
	if in.ImageTag != "" {
		image.Tags = append(image.Tags, in.ImageTag)
		slices.Sort(image.Tags)
	}
	return map[string]any{"image": ecrImageAnswer{r.account, in.RepositoryName, ecrImageID{digest, in.ImageTag}, image.Manifest, image.MediaType}}, nil
}

func (image *ecrImage) untag(tag string) {
	image.Tags = slices.DeleteFunc(image.Tags, func(t string) bool { return t == tag })
}

// ecrImageFilter picks images by whether they have a tag.
type ecrImageFilter struct{ TagStatus string }

func (f ecrImageFilter) match(tagged bool) bool {
	switch f.TagStatus {
	case "TAGGED":
		return tagged
	case "UNTAGGED":
		return !tagged
	default:
		return true
	}
}

// ecrListImages answers an entry a tag, as ECR does.
func ecrListImages(st *state, r *request, in struct {
	ecrRef
	NextToken  string
	MaxResults int
	Filter     ecrImageFilter
},
) (any, error) {
	repo, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	var ids []ecrImageID
	for digest, image := range repo.Images {
		if !in.Filter.match(len(image.Tags) > 0) {
			continue
		}
		for _, tag := range image.Tags {
			ids = append(ids, ecrImageID{digest, tag})
		}
		if len(image.Tags) == 0 {
			ids = append(ids, ecrImageID{ImageDigest: digest})
		}
	}
	slices.SortFunc(ids, func(a, b ecrImageID) int {
		return cmp.Or(cmp.Compare(a.ImageDigest, b.ImageDigest), cmp.Compare(a.ImageTag, b.ImageTag))
	})
	ids, next, ok := slicePage(ids, in.NextToken, in.MaxResults, 100, 1000)
	if !ok {
		return nil, ecrInvalid("maxResults", "nextToken is one that ECR gave, maxResults 1 to 1000")
	}
	return struct {
		ImageIDs  []ecrImageID `json:"imageIds"`
		NextToken string       `json:"nextToken,omitempty"`
	}{append([]ecrImageID{}, ids...), next}, nil
}

func ecrDescribeImages(st *state, r *request, in struct {
	ecrRef
	ImageIDs   []ecrImageID
	NextToken  string
	MaxResults int
	Filter     ecrImageFilter
},
) (any, error) {
	repo, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	var digests []string
	for _, id := range in.ImageIDs {
		digest, failure := repo.image(id)
		if failure != nil {
			return nil, badRequest("ImageNotFoundException", "The image with imageId {imageDigest:'%s', imageTag:'%s'} does not exist within the repository with name '%s' in the registry with id '%s'",
				id.ImageDigest, id.ImageTag, in.RepositoryName, r.account)
		}
		digests = append(digests, digest)
	}
	if len(in.ImageIDs) == 0 {
		digests = slices.Sorted(maps.Keys(repo.Images))
	}
	digests = slices.DeleteFunc(digests, func(d string) bool { return !in.Filter.match(len(repo.Images[d].Tags) > 0) })
	digests, next, ok := slicePage(digests, in.NextToken, in.MaxResults, 100, 1000)
	if !ok {
		return nil, ecrInvalid("maxResults", "nextToken is one that ECR gave, maxResults 1 to 1000")
	}
	type detail struct {
		RegistryID             string   `json:"registryId"`
		RepositoryName         string   `json:"repositoryName"`
		ImageDigest            string   `json:"imageDigest"`
		ImageTags              []string `json:"imageTags,omitempty"`
		ImageSizeInBytes       int      `json:"imageSizeInBytes"`
		ImagePushedAt          int64    `json:"imagePushedAt"`
		ImageManifestMediaType string   `json:"imageManifestMediaType,omitempty"`
	}
	details := []detail{}
	for _, digest := range digests {
		image := repo.Images[digest]
		details = append(details, detail{r.account, in.RepositoryName, digest, image.Tags, len(image.Manifest), image.PushedAt, image.MediaType})
	}
	return struct {
		ImageDetails []detail `json:"imageDetails"`
		NextToken    string   `json:"nextToken,omitempty"`
	}{details, next}, nil
}

type ecrImageBatch struct {
	ecrRef
	ImageIDs []ecrImageID
}

func ecrBatchGetImage(st *state, r *request, in ecrImageBatch) (any, error) {
	repo, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	images, failures := []ecrImageAnswer{}, []ecrImageFailure{}
	for _, id := range in.ImageIDs {
		digest, failure := repo.image(id)
		if failure != nil {
			failures = append(failures, *failure)
			continue
		}
		image := repo.Images[digest]
		images = append(images, ecrImageAnswer{r.account, in.RepositoryName, ecrImageID{digest, id.ImageTag}, image.Manifest, image.MediaType})
	}
	return map[string]any{"images": images, "failures": failures}, nil
}

// ecrBatchDeleteImage takes tags off, and images away whose last tag went or
// that were named by their digest.
func ecrBatchDeleteImage(st *state, r *request, in ecrImageBatch) (any, error) {
	repo, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	deleted, failures := []ecrImageID{}, []ecrImageFailure{}
	for _, id := range in.ImageIDs {
		digest, failure := repo.image(id)
		if failure != nil {
			failures = append(failures, *failure)
			continue
		}
		image := repo.Images[digest]
		if id.ImageTag == "" {
			image.Tags = nil
		} else {
			image.untag(id.ImageTag)
		}
		if len(image.Tags) == 0 {
			delete(repo.Images, digest)
		}
		deleted = append(deleted, ecrImageID{digest, id.ImageTag})
	}
	return map[string]any{"imageIds": deleted, "failures": failures}, nil
}
