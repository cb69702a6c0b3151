package spec

import (
	"regexp"
	"slices"
	"strings"

	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

const (
	maxRepositoryPolicy = 10240 // bytes
	maxExclusionFilters = 5
	maxWildcards        = 2 // in one filter
)

var exclusionFilter = regexp.MustCompile(`^[0-9a-zA-Z._*-]{1,128}$`)

var repositoryName = regexp.MustCompile(`^([a-z0-9]+([._-][a-z0-9]+)*/)*[a-z0-9]+([._-][a-z0-9]+)*$`)

func (c checker) checkRepository(n *node, repo *ECRRepository) {
	name, at := repo.Name, n.get("name")
	switch {
	case name == "":
		c.emptyName(at, "name")
	case len(name) < 2 || len(name) > 256:
		c.errorf(at, "repository name: %s; ECR wants 2 to 256", characters(len(name)))
	case !repositoryName.MatchString(name):
		c.errorf(at, "repository name: %q: allowed are small letters and digits, in words parted by one of . _ - /", clip(name))
	}
	c.checkExclusions(n, repo)
	if e := repo.Encryption; e != nil {
		at := n.get("encryption", "kmsKey")
		c.checkKMSKey(at, "kmsKey", e.KMSKey)
		if e.KMSKey != nil && e.EncryptionType == "AES256" {
			c.errorf(at, "encryption: AES256 takes no key; encryptionType KMS does")
		}
	}
	if repo.Policy != nil {
		c.checkStatements(n.get("policy"), repositoryPolicy)
		if len(repo.Policy) > maxRepositoryPolicy {
			c.errorf(n.get("policy"), "policy: %d bytes; ECR allows %d", len(repo.Policy), maxRepositoryPolicy)
		}
	}
	if repo.LifecyclePolicy != nil {
		// Unlike IAM, ECR wants its numbers as numbers.
		repo.LifecyclePolicy = encode(n.get("lifecyclePolicy"), lifecycleScalar, c.findings)
		c.checkImageLifecycle(n.get("lifecyclePolicy"))
	}
}

// checkExclusions: ECR takes filters with the two mutabilities that have
// exclusions, and those only with filters,
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImageTagMutability.html
func (c checker) checkExclusions(n *node, repo *ECRRepository) {
	const name = "imageTagMutabilityExclusionFilters"
	mutability, at := n.get("imageTagMutability"), n.get(name)
	excludes := strings.HasSuffix(repo.ImageTagMutability, "_WITH_EXCLUSION")
	filters := repo.ImageTagMutabilityExclusionFilters
	switch {
	case mutability.bad || at.bad:
	case excludes && !n.has(name):
		c.errorf(mutability, "imageTagMutability: %s needs %s", repo.ImageTagMutability, name)
	case excludes && (len(filters) < 1 || len(filters) > maxExclusionFilters):
		c.errorf(at, "%s: %d filters; with %s ECR wants 1 to %d", name, len(filters), repo.ImageTagMutability, maxExclusionFilters)
	case len(filters) > 0 && !excludes:
		c.errorf(n.key(name), "%s: only with imageTagMutability IMMUTABLE_WITH_EXCLUSION or MUTABLE_WITH_EXCLUSION", name)
	}
	for i, f := range filters {
		item := at.item(i).get("filter")
		switch {
		case f.Filter == nil || !item.readable():
		case !exclusionFilter.MatchString(*f.Filter):
			c.errorf(item, "%s: %q: a filter has 1 to 128 letters, digits and . _ * -", name, clip(*f.Filter))
		case strings.Count(*f.Filter, "*") > maxWildcards:
			c.errorf(item, "%s: %q: a filter has at most %d wildcards", name, clip(*f.Filter), maxWildcards)
		case slices.ContainsFunc(filters[:i], func(o ecrtypes.ImageTagMutabilityExclusionFilter) bool {
			return o.Filter != nil && *o.Filter == *f.Filter
		}):
			c.errorf(item, "%s: %q is listed twice", name, clip(*f.Filter))
		}
	}
}

// checkImageLifecycle wants what every rule of ECR has; the rest of the shape
// grows faster than this could follow.
func (c checker) checkImageLifecycle(n *node) {
	if len(n.fields) == 0 {
		return // none wanted
	}
	for _, f := range n.fields {
		if f.key.text != "rules" {
			c.errorf(f.key, "lifecyclePolicy: unknown field %q; there is rules", clip(f.key.text))
		}
	}
	rules := n.field("rules")
	switch {
	case rules == nil:
		c.errorf(n, "lifecyclePolicy: rules is missing")
		return
	case !c.want(rules, sequence, "lifecyclePolicy: rules"):
		return
	case len(rules.items) == 0:
		c.errorf(rules, "lifecyclePolicy: rules is empty; write lifecyclePolicy: {} for no policy")
	}
	priorities := make(map[string]bool)
	for _, rule := range rules.items {
		if !c.want(rule, mapping, "lifecyclePolicy: a rule") {
			continue
		}
		for _, name := range []string{"rulePriority", "selection", "action"} {
			if rule.field(name) == nil {
				c.errorf(rule, "lifecyclePolicy: %s is missing in a rule", name)
			}
		}
		if p := rule.field("rulePriority"); p != nil {
			c.lifecycleNumber(p, "rulePriority")
			if priorities[p.text] {
				c.errorf(p, "lifecyclePolicy: a second rule with the priority %s", p.text)
			}
			priorities[p.text] = true
		}
		if s := rule.field("selection"); s != nil && c.want(s, mapping, "lifecyclePolicy: selection") {
			if count := s.field("countNumber"); count != nil {
				c.lifecycleNumber(count, "countNumber")
			}
		}
	}
}

func (c checker) lifecycleNumber(n *node, name string) {
	if i, ok := lifecycleScalar(name, n).(int64); !n.bad && (!ok || n.kind != scalar || i < 1) {
		c.errorf(n, "lifecyclePolicy: %s: want a whole number above 0, have %s", name, n.what())
	}
}
