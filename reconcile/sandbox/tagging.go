package sandbox

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

func taggingHandlers() map[string]handler {
	return map[string]handler{"GetResources": getResources}
}

// taggingNeeds lists what the tagging API's operations need.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonresourcegrouptaggingapi.html
func taggingNeeds() map[string]needs { return map[string]needs{"GetResources": anyResource} }

type taggedResource struct {
	ResourceARN string
	Tags        []tag
}

// getResources is the tagging API's listing. It has what lies in the request's
// region, and IAM's policies and OIDC providers in IAM's home region alone.
// Roles and users it never has, as in AWS.
func getResources(st *state, r *request) (any, error) {
	var in struct {
		ResourceARNList     []string
		ResourceTypeFilters []string
		TagFilters          []struct {
			Key    string
			Values []string
		}
		ResourcesPerPage int
		PaginationToken  string
	}
	if err := json.Unmarshal(r.body, &in); err != nil {
		return nil, invalidParameter(err.Error())
	}
	if len(in.ResourceARNList) > 0 && (len(in.ResourceTypeFilters) > 0 || len(in.TagFilters) > 0 || in.ResourcesPerPage > 0 || in.PaginationToken != "") {
		return nil, invalidParameter("ResourceARNList goes with no filter and no paging")
	}
	if in.ResourcesPerPage < 0 || in.ResourcesPerPage > 100 {
		return nil, invalidParameter("ResourcesPerPage must be between 1 and 100")
	}
	wants := func(kind string) bool {
		if len(in.ResourceTypeFilters) == 0 {
			return true
		}
		service, _, _ := strings.Cut(kind, ":")
		return slices.Contains(in.ResourceTypeFilters, kind) || slices.Contains(in.ResourceTypeFilters, service)
	}

	var all []taggedResource
	home := r.region == homeRegion(r.region)
	if home && wants("iam:policy") {
		for _, p := range st.IAM.Policies {
			all = append(all, taggedResource{p.Arn, p.Tags})
		}
	}
	if home && wants("iam:oidc-provider") {
		for _, p := range st.IAM.Providers {
			all = append(all, taggedResource{p.Arn, p.Tags})
		}
	}
	if wants("s3:bucket") {
		for _, b := range st.S3.Buckets {
			if b.Region == r.region {
				all = append(all, taggedResource{"arn:" + partition(r.region) + ":s3:::" + b.Name, b.Tags})
			}
		}
	}
	// The services that tag by a map list their tags by key.
	add := func(kind, arn string, tags map[string]string) {
		if tags != nil && wants(kind) {
			all = append(all, taggedResource{arn, tagList(tags)})
		}
	}
	for _, repo := range st.ECR.Repositories[r.region] {
		add("ecr:repository", repo.Repository.RepositoryARN, repo.Tags)
	}
	for name, cluster := range st.ECS.Clusters[r.region] {
		if cluster.Status == "ACTIVE" {
			add("ecs:cluster", regionalARN(r, "ecs", "cluster/"+name), cluster.Tags)
		}
	}
	for name, family := range st.ECS.Families[r.region] {
		for i, definition := range family {
			add("ecs:task-definition", ecsRevisionARN(r, name, i+1), definition.Tags)
		}
	}
	for name, group := range st.Logs.Groups[r.region] {
		add("logs:log-group", logGroupARN(r, name), group.Tags)
	}
	for _, secret := range st.Secrets.Secrets[r.region] {
		add("secretsmanager:secret", secret.ARN, secret.Tags)
	}
	all = slices.DeleteFunc(all, func(t taggedResource) bool {
		// What has lost its tags stays in the list, with none; what never had
		// any is not in it.
		if t.Tags == nil || len(in.ResourceARNList) > 0 && !slices.Contains(in.ResourceARNList, t.ResourceARN) {
			return true
		}
		for _, f := range in.TagFilters {
			i := slices.IndexFunc(t.Tags, func(o tag) bool { return o.Key == f.Key })
			if i < 0 || len(f.Values) > 0 && !slices.Contains(f.Values, t.Tags[i].Value) {
				return true
			}
		}
		return false
	})
	slices.SortFunc(all, func(a, b taggedResource) int { return cmp.Compare(a.ResourceARN, b.ResourceARN) })

	// The token is the last ARN that was answered.
	i, found := slices.BinarySearchFunc(all, in.PaginationToken, func(t taggedResource, token string) int {
		return cmp.Compare(t.ResourceARN, token)
	})
	if found {
		i++
	}
	all = all[i:]
	answer := struct {
		ResourceTagMappingList []taggedResource
		PaginationToken        string
	}{ResourceTagMappingList: []taggedResource{}}
	if size := cmp.Or(in.ResourcesPerPage, 100); len(all) > size {
		all = all[:size]
		answer.PaginationToken = all[size-1].ResourceARN
	}
	answer.ResourceTagMappingList = append(answer.ResourceTagMappingList, all...)
	return answer, nil
}

func invalidParameter(message string) error {
	return &apiError{http.StatusBadRequest, "InvalidParameterException", message}
}
