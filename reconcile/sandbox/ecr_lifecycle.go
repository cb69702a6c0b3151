package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// An ecrLifecycleRule has the fields that ECR's documentation lists under
// "Lifecycle policy template"; ECR refuses any other.
type ecrLifecycleRule struct {
	RulePriority int
	Description  string
	Selection    struct {
		TagStatus      string
		TagPrefixList  []string
		TagPatternList []string
		StorageClass   string
		CountType      string
		CountUnit      string
		CountNumber    int
	}
	Action struct {
		Type               string
		TargetStorageClass string
	}
}

// checkLifecyclePolicy says what ECR has against a lifecycle policy.
func checkLifecyclePolicy(text string) error {
	if len(text) > 30720 {
		return errors.New("longer than 30720 characters")
	}
	var policy struct{ Rules []ecrLifecycleRule }
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&policy); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("text after the policy")
	}
	if len(policy.Rules) == 0 || len(policy.Rules) > 50 {
		return errors.New("a policy has 1 to 50 rules")
	}

	seen := map[int]bool{}
	last, anyTag := 0, 0
	for _, rule := range policy.Rules {
		if err := rule.check(); err != nil {
			return fmt.Errorf("rule %d: %w", rule.RulePriority, err)
		}
		if seen[rule.RulePriority] {
			return fmt.Errorf("rule %d: rulePriority must be unique", rule.RulePriority)
		}
		seen[rule.RulePriority] = true
		last = max(last, rule.RulePriority)
		if rule.Selection.TagStatus == "any" {
			if anyTag != 0 {
				return fmt.Errorf("rule %d: only one rule may have tagStatus any", rule.RulePriority)
			}
			anyTag = rule.RulePriority
		}
	}
	if anyTag != 0 && anyTag != last {
		return fmt.Errorf("rule %d: tagStatus any needs the highest rulePriority, to be evaluated last", anyTag)
	}
	return nil
}

func (rule ecrLifecycleRule) check() error {
	s := rule.Selection
	if rule.RulePriority < 1 {
		return errors.New("rulePriority must be 1 or more")
	}
	lists := len(s.TagPrefixList) + len(s.TagPatternList)
	switch s.TagStatus {
	case "tagged":
		if lists == 0 || len(s.TagPrefixList) > 0 && len(s.TagPatternList) > 0 {
			return errors.New("tagStatus tagged needs either tagPrefixList or tagPatternList")
		}
	case "untagged", "any":
		if lists > 0 {
			return fmt.Errorf("tagStatus %s takes no tagPrefixList and no tagPatternList", s.TagStatus)
		}
	default:
		return errors.New("tagStatus must be tagged, untagged or any")
	}
	switch s.CountType {
	case "imageCountMoreThan":
		if s.CountUnit != "" {
			return errors.New("countType imageCountMoreThan takes no countUnit")
		}
	case "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned":
		if s.CountUnit != "days" {
			return fmt.Errorf("countType %s needs countUnit days", s.CountType)
		}
	default:
		return errors.New("countType must be imageCountMoreThan, sinceImagePushed, sinceImagePulled or sinceImageTransitioned")
	}
	if s.CountNumber < 1 {
		return errors.New("countNumber must be 1 or more")
	}
	switch rule.Action.Type {
	case "expire":
	case "transition":
		if rule.Action.TargetStorageClass != "archive" {
			return errors.New("action transition needs targetStorageClass archive")
		}
	default:
		return errors.New("action type must be expire or transition")
	}
	return nil
}
