package ecr

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// lifecycleTree is a lifecycle policy in the form in which two are compared:
// rules are told apart by their priority, which is unique, and the order of
// rules and of a rule's tag lists means nothing to ECR. An empty document asks
// for no policy.
func lifecycleTree(text spec.Document) (any, error) {
	if len(text) == 0 || text.Empty() {
		return nil, nil
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if doc == nil {
		return nil, nil // null
	}
	rules, _ := doc["rules"].([]any)
	byPriority := make(map[string]any, len(rules))
	for _, rule := range rules {
		byPriority[fmt.Sprint(object(rule)["rulePriority"])] = rule
	}
	doc["rules"] = byPriority
	for _, rule := range rules {
		selection, _ := object(rule)["selection"].(map[string]any)
		for _, key := range []string{"tagPrefixList", "tagPatternList"} {
			tags, ok := selection[key].([]any)
			if !ok {
				continue
			}
			if len(tags) == 0 {
				delete(selection, key)
				continue
			}
			slices.SortFunc(tags, func(a, b any) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
	}
	return doc, nil
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}
