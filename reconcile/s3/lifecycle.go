package s3

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
)

// lifecycle is a bucket's lifecycle configuration. Its rules are a set.
type lifecycle struct {
	rules       []types.LifecycleRule
	minimumSize types.TransitionDefaultMinimumObjectSize
}

// diff compares rules by meaning. S3 gives a rule without an ID one of its
// own, so such a rule of the spec stands for the live rule that says the same.
func (l lifecycle) diff(want []types.LifecycleRule) []reconcile.Diff {
	before, after := rulesTree(l.rules), rulesTree(want)
	taken := map[any]bool{}
	for _, rule := range after {
		if id := rule["id"]; id != nil {
			taken[id] = true
		}
	}
	for i, rule := range after {
		if rule["id"] != nil {
			continue
		}
		rule["id"] = fmt.Sprintf("rule %d", i+1)
		for _, live := range before {
			if !taken[live["id"]] && sameRule(live, rule) {
				rule["id"] = live["id"]
				break
			}
		}
		taken[rule["id"]] = true
	}
	return reconcile.Compare("lifecycleRules", list(before), list(after))
}

func sameRule(a, b map[string]any) bool {
	id := b["id"]
	defer func() { b["id"] = id }()
	b["id"] = a["id"]
	return len(reconcile.Compare("", a, b)) == 0
}

func list(rules []map[string]any) any {
	if len(rules) == 0 {
		return nil
	}
	all := make([]any, len(rules))
	for i, r := range rules {
		all[i] = r
	}
	return all
}

func rulesTree(rules []types.LifecycleRule) []map[string]any {
	trees := make([]map[string]any, 0, len(rules))
	for _, r := range rules {
		trees = append(trees, ruleTree(r))
	}
	return trees
}

func ruleTree(r types.LifecycleRule) map[string]any {
	t := tree{"status": string(r.Status)}
	if id := aws.ToString(r.ID); id != "" {
		t["id"] = id
	}
	if f := filterTree(r); len(f) > 0 {
		t["filter"] = map[string]any(f)
	}
	if e := r.Expiration; e != nil {
		x := tree{}
		put(x, "days", e.Days)
		putDate(x, e.Date)
		if aws.ToBool(e.ExpiredObjectDeleteMarker) {
			x["expiredObjectDeleteMarker"] = true
		}
		if len(x) > 0 { // expiredObjectDeleteMarker: false asks for nothing
			t["expiration"] = map[string]any(x)
		}
	}
	if e := r.NoncurrentVersionExpiration; e != nil {
		x := tree{}
		put(x, "noncurrentDays", e.NoncurrentDays)
		put(x, "newerNoncurrentVersions", e.NewerNoncurrentVersions)
		t["noncurrentVersionExpiration"] = map[string]any(x)
	}
	if a := r.AbortIncompleteMultipartUpload; a != nil {
		x := tree{}
		put(x, "daysAfterInitiation", a.DaysAfterInitiation)
		t["abortIncompleteMultipartUpload"] = map[string]any(x)
	}
	var moves []any
	for _, m := range slices.SortedFunc(slices.Values(r.Transitions), func(a, b types.Transition) int {
		return cmp.Or(cmp.Compare(aws.ToInt32(a.Days), aws.ToInt32(b.Days)), cmp.Compare(a.StorageClass, b.StorageClass))
	}) {
		x := tree{"storageClass": string(m.StorageClass)}
		put(x, "days", m.Days)
		putDate(x, m.Date)
		moves = append(moves, map[string]any(x))
	}
	if moves != nil {
		t["transitions"] = moves
	}
	moves = nil
	for _, m := range slices.SortedFunc(slices.Values(r.NoncurrentVersionTransitions), func(a, b types.NoncurrentVersionTransition) int {
		return cmp.Or(cmp.Compare(aws.ToInt32(a.NoncurrentDays), aws.ToInt32(b.NoncurrentDays)), cmp.Compare(a.StorageClass, b.StorageClass))
	}) {
		x := tree{"storageClass": string(m.StorageClass)}
		put(x, "noncurrentDays", m.NoncurrentDays)
		put(x, "newerNoncurrentVersions", m.NewerNoncurrentVersions)
		moves = append(moves, map[string]any(x))
	}
	if moves != nil {
		t["noncurrentVersionTransitions"] = moves
	}
	return t
}

// filterTree folds the ways to write a filter into one: no filter, an empty
// one and an empty prefix all mean every object, the rule's own prefix is the
// old form of the filter's, and "and" around a single condition is that
// condition.
func filterTree(r types.LifecycleRule) tree {
	t := tree{}
	//lint:ignore SA1019 deprecated, and still what an old bucket answers
	prefix := r.Prefix
	var tags []types.Tag
	if f := r.Filter; f != nil {
		prefix = cmp.Or(f.Prefix, prefix)
		put(t, "objectSizeGreaterThan", f.ObjectSizeGreaterThan)
		put(t, "objectSizeLessThan", f.ObjectSizeLessThan)
		if f.Tag != nil {
			tags = append(tags, *f.Tag)
		}
		if and := f.And; and != nil {
			prefix = cmp.Or(and.Prefix, prefix)
			put(t, "objectSizeGreaterThan", and.ObjectSizeGreaterThan)
			put(t, "objectSizeLessThan", and.ObjectSizeLessThan)
			tags = append(tags, and.Tags...)
		}
	}
	if aws.ToString(prefix) != "" {
		t["prefix"] = *prefix
	}
	slices.SortFunc(tags, func(a, b types.Tag) int {
		return strings.Compare(aws.ToString(a.Key), aws.ToString(b.Key))
	})
	for _, tag := range tags {
		t["tag:"+aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return t
}

type tree map[string]any

func put[T any](t tree, key string, v *T) {
	if v != nil {
		t[key] = *v
	}
}

// putDate drops the time of day's zone, which S3 answers as UTC whatever it
// was sent.
func putDate(t tree, date *time.Time) {
	if date != nil {
		t["date"] = date.UTC().Format(time.RFC3339)
	}
}
