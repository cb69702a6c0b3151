package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What ECR, ECS, CloudWatch Logs and Secrets Manager have in common: JSON in
// and out, regional resources, tags, pages.

// withInput makes a handler of a function that takes its input decoded.
// encoding/json matches names without regard to case, so inputs need no tags.
func withInput[T any](do func(*state, *request, T) (any, error)) handler {
	return func(st *state, r *request) (any, error) {
		var in T
		if len(r.body) > 0 && json.Unmarshal(r.body, &in) != nil {
			// Without encoding/json's own words: they may quote a secret.
			return nil, badRequest("SerializationException", "the request is not JSON of the operation's input")
		}
		return do(st, r, in)
	}
}

func badRequest(code, format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// empty is the answer of an operation that has nothing to say.
type empty struct{}

// byRegion holds a kind of resource: region, name, resource.
type byRegion[T any] map[string]map[string]T

func (b *byRegion[T]) put(region, name string, v T) {
	if *b == nil {
		*b = byRegion[T]{}
	}
	if (*b)[region] == nil {
		(*b)[region] = map[string]T{}
	}
	(*b)[region][name] = v
}

// regionalARN names a resource of the caller's account and region.
func regionalARN(r *request, service, resource string) string {
	return "arn:" + partition(r.region) + ":" + service + ":" + r.region + ":" + r.account + ":" + resource
}

// slicePage cuts out what a list call answers, and the token for the rest: ""
// where nothing is left. A limit of 0 asks for the standard one. It fails where
// the limit is above the maximum or the token is none that slicePage has given.
func slicePage[T any](all []T, token string, limit, standard, maximum int) (items []T, next string, ok bool) {
	if limit == 0 {
		limit = standard
	}
	if limit < 0 || limit > maximum {
		return nil, "", false
	}
	start := 0
	if token != "" {
		n, err := strconv.Atoi(token)
		if err != nil || n < 0 {
			return nil, "", false
		}
		start = min(n, len(all))
	}
	end := min(start+limit, len(all))
	if end < len(all) {
		next = strconv.Itoa(end)
	}
	return all[start:end], next, true
}

// tagList lists tags by key, as ECR and Secrets Manager answer them.
func tagList(tags map[string]string) []tag {
	list := make([]tag, 0, len(tags))
	for k, v := range tags {
		list = append(list, tag{k, v})
	}
	slices.SortFunc(list, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// tagRules holds the codes by which a service refuses tags.
type tagRules struct {
	invalid string
	tooMany string
}

// add gives the tags that are there with a list on top. What is there stays
// as it is. nil is what never had a tag, other than what has lost them all.
func (c tagRules) add(have map[string]string, list []tag) (map[string]string, error) {
	if len(list) == 0 {
		return have, nil
	}
	tags := make(map[string]string, len(have)+len(list))
	maps.Copy(tags, have)
	seen := map[string]bool{}
	for _, t := range list {
		switch {
		case seen[t.Key]:
			return nil, badRequest(c.invalid, "Duplicate tag keys found: %s", t.Key)
		case t.Key == "" || utf8.RuneCountInString(t.Key) > 128 || !tagText.MatchString(t.Key):
			return nil, badRequest(c.invalid, "Tag key %q is not valid: 1 to 128 letters, numbers, spaces and _.:/=+-@", t.Key)
		case utf8.RuneCountInString(t.Value) > 256 || !tagText.MatchString(t.Value):
			return nil, badRequest(c.invalid, "The value of tag %q is not valid: up to 256 letters, numbers, spaces and _.:/=+-@", t.Key)
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return nil, badRequest(c.invalid, "Tag key %q is not valid: the prefix aws: is reserved", t.Key)
		}
		seen[t.Key] = true
		tags[t.Key] = t.Value
	}
	if len(tags) > maxTags {
		return nil, badRequest(c.tooMany, "A resource has at most %d tags", maxTags)
	}
	return tags, nil
}

// jsonObject says whether a document is a JSON object. None of these services
// goes deeper into a policy document than IAM's grammar, which is not checked.
func jsonObject(document string) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal([]byte(document), &object) == nil && object != nil
}
