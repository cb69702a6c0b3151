package sandbox

import "encoding/json"

// ecrNeeds lists what ECR's operations need.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html
func ecrNeeds() map[string]needs {
	t := map[string]needs{"GetAuthorizationToken": anyResource}
	theseNeed(t, repositoryNeeds,
		"CreateRepository", "DescribeRepositories", "DeleteRepository",
		"PutImageTagMutability", "PutImageScanningConfiguration",
		"GetLifecyclePolicy", "PutLifecyclePolicy", "DeleteLifecyclePolicy",
		"GetRepositoryPolicy", "SetRepositoryPolicy", "DeleteRepositoryPolicy",
		"ListTagsForResource", "TagResource", "UntagResource",
		"BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload",
		"PutImage", "ListImages", "DescribeImages", "BatchGetImage", "BatchDeleteImage")
	return t
}

// repositoryNeeds is about each repository that the call names, or all.
func repositoryNeeds(st *state, r *request) []need {
	var in struct {
		RepositoryName  string
		RepositoryNames []string
		ResourceARN     string
		Tags            []tag
		TagKeys         []string
	}
	_ = json.Unmarshal(r.body, &in) // what is malformed is for the operation to refuse
	if in.ResourceARN != "" {
		n := needed(r.action(), in.ResourceARN)
		if repo, err := ecrFindARN(st, r, in.ResourceARN); err == nil {
			n = repo.on(n)
		}
		return []need{n.tagging(in.Tags).with("aws:TagKeys", append(tagNames(in.Tags), in.TagKeys...)...)}
	}
	names := in.RepositoryNames
	switch {
	case in.RepositoryName != "":
		names = []string{in.RepositoryName}
	case len(names) == 0:
		names = []string{"*"}
	}
	var all []need
	for _, name := range names {
		n := st.ECR.on(r, r.action(), name)
		if r.operation == "CreateRepository" {
			return n.alsoTagging("ecr:TagResource", in.Tags)
		}
		all = append(all, n)
	}
	return all
}

// on is an action on a repository.
func (st *ecrState) on(r *request, action, name string) need {
	n := needed(action, regionalARN(r, "ecr", "repository/"+name))
	if repo := st.Repositories[r.region][name]; repo != nil {
		return repo.on(n)
	}
	return n
}

func (repo *ecrRepository) on(n need) need {
	n.policy = repo.Policy
	return n.tagged(tagList(repo.Tags), "ecr:ResourceTag/")
}
