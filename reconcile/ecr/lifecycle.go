package ecr

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// lifecycleDiff compares lifecycle policies by meaning: rules are told apart
// by their priority, which is unique, and the order of rules and of a rule's
// tag lists means nothing to ECR.
func lifecycleDiff(live []byte, want spec.Document) ([]reconcile.Diff, error) {
	before, err := lifecycleTree(live)
	if err != nil {
		return nil, fmt.Errorf("lifecycle policy in aws: %w", err)
	}
	var after any
	if !want.Empty() {
		if after, err = lifecycleTree(want); err != nil {
			return nil, fmt.Errorf("lifecyclePolicy: %w", err)
		}
	}
	return reconcile.Compare("lifecyclePolicy", before, after), nil
}

func lifecycleTree(text []byte) (any, error) {
	if len(text) == 0 {
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
