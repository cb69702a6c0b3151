package s3

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
)

func rule(id string, change func(*types.LifecycleRule)) types.LifecycleRule {
	r := types.LifecycleRule{
		Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{},
		Expiration: &types.LifecycleExpiration{Days: aws.Int32(30)},
	}
	if id != "" {
		r.ID = &id
	}
	if change != nil {
		change(&r)
	}
	return r
}

func filter(f *types.LifecycleRuleFilter) func(*types.LifecycleRule) {
	return func(r *types.LifecycleRule) { r.Filter = f }
}

func tag(key, value string) types.Tag { return types.Tag{Key: &key, Value: &value} }

// In each case the rules mean the same, and differ's rules differ in the
// paths.
func TestLifecyclesAreEquivalent(t *testing.T) {
	t.Parallel()
	type rules = []types.LifecycleRule
	prefix := func(p string) *types.LifecycleRuleFilter { return &types.LifecycleRuleFilter{Prefix: &p} }
	days := func(n int32) func(*types.LifecycleRule) {
		return func(r *types.LifecycleRule) { r.Expiration.Days = &n }
	}
	moves := func(list ...types.Transition) func(*types.LifecycleRule) {
		return func(r *types.LifecycleRule) { r.Transitions = list }
	}
	move := func(days int32, class types.TransitionStorageClass) types.Transition {
		return types.Transition{Days: &days, StorageClass: class}
	}
	tests := []struct {
		name   string
		live   rules
		want   rules
		differ rules
		paths  []string
	}{
		{
			name: "no filter, an empty one, and an empty prefix",
			live: rules{rule("a", filter(prefix(""))), rule("b", filter(nil)), rule("c", nil)},
			want: rules{rule("a", nil), rule("b", filter(prefix(""))), rule("c", filter(nil))},
			differ: rules{
				rule("a", nil), rule("b", nil), rule("c", filter(prefix("logs/"))),
			},
			paths: []string{"lifecycleRules[c].filter.prefix"},
		},
		{
			name: "the old prefix",
			live: rules{rule("a", func(r *types.LifecycleRule) {
				r.Filter = nil
				//lint:ignore SA1019 it is what an old bucket answers
				r.Prefix = aws.String("logs/")
			})},
			want:   rules{rule("a", filter(prefix("logs/")))},
			differ: rules{rule("a", filter(prefix("log/")))},
			paths:  []string{"lifecycleRules[a].filter.prefix"},
		},
		{
			name:   "and around one condition",
			live:   rules{rule("a", filter(&types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{Tags: []types.Tag{tag("k", "v")}}}))},
			want:   rules{rule("a", filter(&types.LifecycleRuleFilter{Tag: &types.Tag{Key: aws.String("k"), Value: aws.String("v")}}))},
			differ: rules{rule("a", filter(&types.LifecycleRuleFilter{Tag: &types.Tag{Key: aws.String("k"), Value: aws.String("w")}}))},
			paths:  []string{"lifecycleRules[a].filter.tag:k"},
		},
		{
			name: "the order of a filter's tags",
			live: rules{rule("a", filter(&types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{
				Prefix: aws.String("p"), Tags: []types.Tag{tag("k", "v"), tag("l", "w")}, ObjectSizeGreaterThan: aws.Int64(5),
			}}))},
			want: rules{rule("a", filter(&types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{
				Prefix: aws.String("p"), Tags: []types.Tag{tag("l", "w"), tag("k", "v")}, ObjectSizeGreaterThan: aws.Int64(5),
			}}))},
			differ: rules{rule("a", filter(&types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{
				Prefix: aws.String("p"), Tags: []types.Tag{tag("k", "v")}, ObjectSizeGreaterThan: aws.Int64(6),
			}}))},
			paths: []string{"lifecycleRules[a].filter.objectSizeGreaterThan", "lifecycleRules[a].filter.tag:l"},
		},
		{
			name:   "the order of rules",
			live:   rules{rule("a", nil), rule("b", days(1))},
			want:   rules{rule("b", days(1)), rule("a", nil)},
			differ: rules{rule("a", days(1)), rule("b", nil)},
			paths:  []string{"lifecycleRules[a].expiration.days", "lifecycleRules[b].expiration.days"},
		},
		{
			name:   "an id that S3 has made",
			live:   rules{rule("generated", nil), rule("b", days(1))},
			want:   rules{rule("b", days(1)), rule("", nil)},
			differ: rules{rule("b", days(1)), rule("", days(2))},
			paths: []string{
				"lifecycleRules[generated].expiration.days", "lifecycleRules[generated].id", "lifecycleRules[generated].status",
				"lifecycleRules[rule 2].expiration.days", "lifecycleRules[rule 2].id", "lifecycleRules[rule 2].status",
			},
		},
		{
			name:   "twice the same rule without an id",
			live:   rules{rule("g1", nil), rule("g2", nil)},
			want:   rules{rule("", nil), rule("", nil)},
			differ: rules{rule("", nil)},
			paths:  []string{"lifecycleRules[g2].expiration.days", "lifecycleRules[g2].id", "lifecycleRules[g2].status"},
		},
		{
			name:   "a rule without an id beside the same one with one",
			live:   rules{rule("a", nil), rule("generated", nil)},
			want:   rules{rule("", nil), rule("a", nil)},
			differ: rules{rule("", nil), rule("a", days(3))},
			paths:  []string{"lifecycleRules[a].expiration.days"},
		},
		{
			name:   "an empty id is none",
			live:   rules{rule("generated", nil)},
			want:   rules{rule("", func(r *types.LifecycleRule) { r.ID = aws.String("") })},
			differ: rules{rule("other", nil)},
			paths: []string{
				"lifecycleRules[generated].expiration.days", "lifecycleRules[generated].id", "lifecycleRules[generated].status",
				"lifecycleRules[other].expiration.days", "lifecycleRules[other].id", "lifecycleRules[other].status",
			},
		},
		{
			name:   "the order of moves",
			live:   rules{rule("a", moves(move(90, "GLACIER"), move(30, "STANDARD_IA")))},
			want:   rules{rule("a", moves(move(30, "STANDARD_IA"), move(90, "GLACIER")))},
			differ: rules{rule("a", moves(move(30, "STANDARD_IA"), move(120, "GLACIER")))},
			paths:  []string{"lifecycleRules[a].transitions[1].days"},
		},
		{
			name: "the order of noncurrent moves",
			live: rules{rule("a", func(r *types.LifecycleRule) {
				r.NoncurrentVersionTransitions = []types.NoncurrentVersionTransition{
					{NoncurrentDays: aws.Int32(60), StorageClass: "GLACIER"}, {NoncurrentDays: aws.Int32(30), StorageClass: "STANDARD_IA", NewerNoncurrentVersions: aws.Int32(2)},
				}
			})},
			want: rules{rule("a", func(r *types.LifecycleRule) {
				r.NoncurrentVersionTransitions = []types.NoncurrentVersionTransition{
					{NoncurrentDays: aws.Int32(30), StorageClass: "STANDARD_IA", NewerNoncurrentVersions: aws.Int32(2)}, {NoncurrentDays: aws.Int32(60), StorageClass: "GLACIER"},
				}
			})},
			differ: rules{rule("a", func(r *types.LifecycleRule) {
				r.NoncurrentVersionTransitions = []types.NoncurrentVersionTransition{
					{NoncurrentDays: aws.Int32(30), StorageClass: "STANDARD_IA", NewerNoncurrentVersions: aws.Int32(3)}, {NoncurrentDays: aws.Int32(60), StorageClass: "GLACIER"},
				}
			})},
			paths: []string{"lifecycleRules[a].noncurrentVersionTransitions[0].newerNoncurrentVersions"},
		},
		{
			name: "one moment in two zones",
			live: rules{rule("a", func(r *types.LifecycleRule) {
				r.Expiration = &types.LifecycleExpiration{Date: aws.Time(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))}
			})},
			want: rules{rule("a", func(r *types.LifecycleRule) {
				r.Expiration = &types.LifecycleExpiration{Date: aws.Time(time.Date(2030, 1, 1, 2, 0, 0, 0, time.FixedZone("", 2*60*60)))}
			})},
			differ: rules{rule("a", func(r *types.LifecycleRule) {
				r.Expiration = &types.LifecycleExpiration{Date: aws.Time(time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC))}
			})},
			paths: []string{"lifecycleRules[a].expiration.date"},
		},
		{
			name: "a delete marker that is not to expire",
			live: rules{rule("a", func(r *types.LifecycleRule) { r.Expiration = nil })},
			want: rules{rule("a", func(r *types.LifecycleRule) {
				r.Expiration = &types.LifecycleExpiration{ExpiredObjectDeleteMarker: aws.Bool(false)}
			})},
			differ: rules{rule("a", func(r *types.LifecycleRule) {
				r.Expiration = &types.LifecycleExpiration{ExpiredObjectDeleteMarker: aws.Bool(true)}
			})},
			paths: []string{"lifecycleRules[a].expiration.expiredObjectDeleteMarker"},
		},
		{
			name: "versions and uploads",
			live: rules{rule("a", func(r *types.LifecycleRule) {
				r.NoncurrentVersionExpiration = &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(90)}
				r.AbortIncompleteMultipartUpload = &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(7)}
			})},
			want: rules{rule("a", func(r *types.LifecycleRule) {
				r.NoncurrentVersionExpiration = &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(90)}
				r.AbortIncompleteMultipartUpload = &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(7)}
			})},
			differ: rules{rule("a", func(r *types.LifecycleRule) {
				r.NoncurrentVersionExpiration = &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(90), NewerNoncurrentVersions: aws.Int32(5)}
				r.AbortIncompleteMultipartUpload = &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(8)}
			})},
			paths: []string{
				"lifecycleRules[a].abortIncompleteMultipartUpload.daysAfterInitiation",
				"lifecycleRules[a].noncurrentVersionExpiration.newerNoncurrentVersions",
			},
		},
		{
			name:   "status",
			live:   rules{rule("a", nil)},
			want:   rules{rule("a", nil)},
			differ: rules{rule("a", func(r *types.LifecycleRule) { r.Status = types.ExpirationStatusDisabled })},
			paths:  []string{"lifecycleRules[a].status"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lines := func(want rules) []reconcile.Diff {
				return reconcile.Compare("lifecycleRules", rulesTree(tt.live), rulesTree(identified(tt.live, want)))
			}
			if got := lines(tt.want); len(got) > 0 {
				t.Errorf("a difference where there is none: %v", got)
			}
			var paths []string
			for _, d := range lines(tt.differ) {
				paths = append(paths, d.Path)
			}
			if d := cmp.Diff(tt.paths, paths); d != "" {
				t.Errorf("paths, want (-), got (+):\n%s", d)
			}
		})
	}
}
