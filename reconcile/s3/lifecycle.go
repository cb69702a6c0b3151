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

// identified gives each rule without an ID that of the live rule that says the
// same. S3 gives such a rule an ID of its own.
func identified(live, want []types.LifecycleRule) []types.LifecycleRule {
	taken := map[string]bool{}
	for _, rule := range want {
		taken[aws.ToString(rule.ID)] = true
	}
	want = slices.Clone(want)
	for i, rule := range want {
		if aws.ToString(rule.ID) != "" {
			continue
		}
		for _, was := range live {
			if !taken[aws.ToString(was.ID)] && sameRule(was, rule) {
				want[i].ID = was.ID
				taken[aws.ToString(was.ID)] = true
				break
			}
		}
	}
	return want
}

func sameRule(a, b types.LifecycleRule) bool {
	return len(reconcile.Compare("", ruleTree(a), ruleTree(b))) == 0
}

// rulesTree is the rules as a list whose order means nothing.
func rulesTree(rules []types.LifecycleRule) reconcile.Keyed {
	trees := reconcile.Keyed{}
	for i, r := range rules {
		id := cmp.Or(aws.ToString(r.ID), fmt.Sprintf("rule %d", i+1))
		tree := ruleTree(r)
		tree["id"] = id
		trees[id] = tree
	}
	return trees
}

func ruleTree(r types.LifecycleRule) map[string]any {
	t := tree{"status": string(r.Status)}
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
