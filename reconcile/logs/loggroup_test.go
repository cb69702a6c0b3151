package logs

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

func environment() reconcile.Env {
	return reconcile.Env{
		Account: "123456789012", Region: "eu-north-1", Partition: "aws", Stack: "churn/dev",
		Pause: func(context.Context, time.Duration) error { return nil },
	}
}

// between lists the steps from live to want, which is named as live is.
func between(api API, live Live, want spec.LogsLogGroup) ([]reconcile.Step, error) {
	want.Name = "/ecs/churn"
	return reconcile.Between(LogGroups{api, environment()}, environment(), live, want)
}

func there() Live {
	live := Live{Exists: true, Is: logGroup(types.LogGroup{LogGroupName: aws.String("/ecs/churn"), LogGroupClass: types.LogGroupClassStandard})}
	live.Is.Tags = map[string]string{reconcile.Mark: "churn/dev"}
	return live
}

func paths(steps []reconcile.Step) []string {
	var all []string
	for _, s := range steps {
		for _, d := range s.Diffs {
			all = append(all, d.Path)
		}
	}
	return all
}

// calls are those that mend a line. The one that records what was applied has
// none.
func calls(steps []reconcile.Step) []string {
	var all []string
	for _, s := range steps {
		if len(s.Diffs) > 0 {
			all = append(all, s.Call)
		}
	}
	return all
}

// In each case the spec and the group agree, and differ's spec differs in the
// paths, which the calls mend.
func TestLogGroupsAreEquivalent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		want   spec.LogsLogGroup
		live   func(*Live)
		differ spec.LogsLogGroup
		calls  []string
		paths  []string
	}{
		{
			name:   "retention",
			want:   spec.LogsLogGroup{RetentionInDays: aws.Int32(7)},
			live:   func(g *Live) { g.Is.RetentionInDays = aws.Int32(7) },
			differ: spec.LogsLogGroup{RetentionInDays: aws.Int32(30)},
			calls:  []string{"logs:PutRetentionPolicy"}, paths: []string{"retentionInDays"},
		},
		{
			name:   "retention that is not managed",
			live:   func(g *Live) { g.Is.RetentionInDays = aws.Int32(7) },
			differ: spec.LogsLogGroup{RetentionInDays: aws.Int32(0)},
			calls:  []string{"logs:DeleteRetentionPolicy"}, paths: []string{"retentionInDays"},
		},
		{
			name:   "never is no retention",
			want:   spec.LogsLogGroup{RetentionInDays: aws.Int32(0)},
			differ: spec.LogsLogGroup{RetentionInDays: aws.Int32(1)},
			calls:  []string{"logs:PutRetentionPolicy"}, paths: []string{"retentionInDays"},
		},
		{
			name:   "a key",
			want:   spec.LogsLogGroup{KMSKeyID: aws.String("arn:k1")},
			live:   func(g *Live) { g.Is.KMSKeyID = aws.String("arn:k1") },
			differ: spec.LogsLogGroup{KMSKeyID: aws.String("arn:k2")},
			calls:  []string{"logs:AssociateKmsKey"}, paths: []string{"kmsKeyId"},
		},
		{
			name:   "a key that is not managed",
			live:   func(g *Live) { g.Is.KMSKeyID = aws.String("arn:k1") },
			differ: spec.LogsLogGroup{KMSKeyID: aws.String("")},
			calls:  []string{"logs:DisassociateKmsKey"}, paths: []string{"kmsKeyId"},
		},
		{
			name:   "no key is wanted",
			want:   spec.LogsLogGroup{KMSKeyID: aws.String("")},
			differ: spec.LogsLogGroup{KMSKeyID: aws.String("arn:k1")},
			calls:  []string{"logs:AssociateKmsKey"}, paths: []string{"kmsKeyId"},
		},
		{
			name:   "deletion protection",
			want:   spec.LogsLogGroup{DeletionProtectionEnabled: aws.Bool(true)},
			live:   func(g *Live) { g.Is.DeletionProtectionEnabled = aws.Bool(true) },
			differ: spec.LogsLogGroup{DeletionProtectionEnabled: aws.Bool(false)},
			calls:  []string{"logs:PutLogGroupDeletionProtection"}, paths: []string{"deletionProtectionEnabled"},
		},
		{
			name:   "no protection is what a group has that was never protected",
			want:   spec.LogsLogGroup{DeletionProtectionEnabled: aws.Bool(false)},
			differ: spec.LogsLogGroup{DeletionProtectionEnabled: aws.Bool(true)},
			calls:  []string{"logs:PutLogGroupDeletionProtection"}, paths: []string{"deletionProtectionEnabled"},
		},
		{
			name:   "the class",
			want:   spec.LogsLogGroup{LogGroupClass: "STANDARD"},
			differ: spec.LogsLogGroup{LogGroupClass: "STANDARD", RetentionInDays: aws.Int32(1)},
			calls:  []string{"logs:PutRetentionPolicy"}, paths: []string{"retentionInDays"},
		},
		{
			name:   "a class that is not answered",
			want:   spec.LogsLogGroup{LogGroupClass: "INFREQUENT_ACCESS"},
			live:   func(g *Live) { g.Is.LogGroupClass = "" },
			differ: spec.LogsLogGroup{LogGroupClass: "INFREQUENT_ACCESS", RetentionInDays: aws.Int32(1)},
			calls:  []string{"logs:PutRetentionPolicy"}, paths: []string{"retentionInDays"},
		},
		{
			name:   "tags",
			want:   spec.LogsLogGroup{Meta: spec.Meta{Tags: map[string]string{"a": "1"}}},
			live:   func(g *Live) { g.Is.Tags["a"], g.Is.Tags["aws:x"] = "1", "1" },
			differ: spec.LogsLogGroup{Meta: spec.Meta{Tags: map[string]string{"b": "1"}}},
			calls:  []string{"logs:TagResource", "logs:UntagResource"}, paths: []string{"tags.b", "tags.a"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			live := there()
			if tt.live != nil {
				tt.live(&live)
			}
			steps, err := between(nil, live, tt.want)
			if err != nil {
				t.Fatal(err)
			}
			if len(steps) > 0 {
				t.Errorf("a difference where there is none: %v", steps[0].Diffs)
			}
			steps, err = between(nil, live, tt.differ)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.calls, calls(steps)); d != "" {
				t.Errorf("calls, want (-), got (+):\n%s", d)
			}
			if d := cmp.Diff(tt.paths, paths(steps)); d != "" {
				t.Errorf("paths, want (-), got (+):\n%s", d)
			}
		})
	}
}

func TestLogGroupCreated(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		want  spec.LogsLogGroup
		calls []string
		diffs []reconcile.Diff
	}{
		{
			"all of it",
			spec.LogsLogGroup{LogGroupClass: "INFREQUENT_ACCESS", KMSKeyID: aws.String("arn:k"), RetentionInDays: aws.Int32(7)},
			[]string{"logs:CreateLogGroup", "logs:PutRetentionPolicy"},
			[]reconcile.Diff{
				{Path: "name", After: "/ecs/churn"},
				{Path: "logGroupClass", After: "INFREQUENT_ACCESS"},
				{Path: "kmsKeyId", After: "arn:k"},
				{Path: "tags." + reconcile.Mark, After: "churn/dev"},
				{Path: "retentionInDays", After: int64(7)},
			},
		},
		{
			"without a key and without end",
			spec.LogsLogGroup{KMSKeyID: aws.String(""), RetentionInDays: aws.Int32(0)},
			[]string{"logs:CreateLogGroup"},
			[]reconcile.Diff{{Path: "name", After: "/ecs/churn"}, {Path: "tags." + reconcile.Mark, After: "churn/dev"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			steps, err := between(nil, Live{}, tt.want)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.calls, calls(steps)); d != "" {
				t.Errorf("calls, want (-), got (+):\n%s", d)
			}
			var diffs []reconcile.Diff
			for _, s := range steps {
				diffs = append(diffs, s.Diffs...)
			}
			if d := cmp.Diff(tt.diffs, diffs); d != "" {
				t.Errorf("diffs, want (-), got (+):\n%s", d)
			}
		})
	}
}

func TestLogGroupRefused(t *testing.T) {
	t.Parallel()
	_, err := between(nil, there(), spec.LogsLogGroup{LogGroupClass: "INFREQUENT_ACCESS"})
	if err == nil || !strings.HasPrefix(err.Error(), "logGroupClass is STANDARD and cannot change to INFREQUENT_ACCESS") {
		t.Errorf("another class: %v", err)
	}
	live := there()
	live.Is.Tags[reconcile.Mark] = "churn/prod"
	_, err = between(nil, live, spec.LogsLogGroup{})
	if _, ok := errors.AsType[*reconcile.OwnedError](err); !ok {
		t.Errorf("another stack's group: got %v, want an OwnedError", err)
	}
}

// A request is one call and what it carried.
type request struct {
	operation string
	in        map[string]any
}

// serve is a CloudWatch Logs that answers each operation's calls in order, the
// last answer again and again.
func serve(t *testing.T, answers map[string][]string) (*cloudwatchlogs.Client, func() []request) {
	t.Helper()
	var mu sync.Mutex
	var requests []request
	counts := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		body, _ := io.ReadAll(r.Body)
		var in map[string]any
		if err := json.Unmarshal(body, &in); err != nil {
			t.Error(err)
		}
		mu.Lock()
		requests = append(requests, request{operation, in})
		text := "{}"
		if list := answers[operation]; len(list) > 0 {
			text = list[min(counts[operation], len(list)-1)]
		}
		counts[operation]++
		mu.Unlock()
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if strings.Contains(text, "__type") {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(srv.Close)
	return cloudwatchlogs.New(cloudwatchlogs.Options{
			Region: "eu-north-1", BaseEndpoint: &srv.URL, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		}), func() []request {
			mu.Lock()
			defer mu.Unlock()
			return requests
		}
}

func TestDescribeLogGroup(t *testing.T) {
	t.Parallel()
	const (
		gone   = `{"__type": "ResourceNotFoundException", "message": "x"}`
		denied = `{"__type": "AccessDeniedException", "message": "x"}`
		theirs = `{"tags": {"churn-reconcile:stack": "churn/prod"}}`
	)
	tests := []struct {
		name   string
		groups []string
		tags   string
		exists bool
		live   map[string]string
		code   string
	}{
		{
			name: "there, before its siblings", exists: true, live: map[string]string{"a": "1"}, tags: `{"tags": {"a": "1"}}`,
			groups: []string{`{"logGroups": [{"logGroupName": "/ecs/churn"}, {"logGroupName": "/ecs/churn-prod"}]}`},
		},
		{name: "siblings alone", groups: []string{`{"logGroups": [{"logGroupName": "/ecs/churn-prod"}]}`}, tags: gone},
		{name: "nothing of that name", groups: []string{`{"logGroups": []}`}, tags: gone},
		{
			name: "on the second page", exists: true, tags: `{}`,
			groups: []string{`{"logGroups": [], "nextToken": "t"}`, `{"logGroups": [{"logGroupName": "/ecs/churn"}]}`},
		},
		{name: "deleted a moment ago, its tags still answered", groups: []string{`{"logGroups": []}`}, tags: theirs},
		{name: "denied is not absence", groups: []string{denied}, tags: gone, code: "AccessDeniedException"},
		{name: "denied tags are not no tags", groups: []string{`{"logGroups": [{"logGroupName": "/ecs/churn"}]}`}, tags: denied, code: "AccessDeniedException"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api, requests := serve(t, map[string][]string{"DescribeLogGroups": tt.groups, "ListTagsForResource": {tt.tags}})
			live, err := LogGroups{api, environment()}.Describe(t.Context(), spec.LogsLogGroup{Name: "/ecs/churn"}, false)
			if got := awsx.Code(err); got != tt.code || (err != nil) != (tt.code != "") {
				t.Fatalf("error %v, want the code %q", err, tt.code)
			}
			if got := live.Exists; got != tt.exists {
				t.Errorf("exists %t, want %t", got, tt.exists)
			}
			if d := cmp.Diff(tt.live, live.Is.Tags); d != "" {
				t.Errorf("tags, want (-), got (+):\n%s", d)
			}
			for _, r := range requests() {
				// DescribeLogGroups answers an ARN that the tag calls refuse.
				if arn, ok := r.in["resourceArn"]; ok && arn != "arn:aws:logs:eu-north-1:123456789012:log-group:/ecs/churn" {
					t.Errorf("tags were asked for %v", arn)
				}
			}
		})
	}
}

func TestLogGroupWrites(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:logs:eu-north-1:123456789012:log-group:/ecs/churn"
	tests := []struct {
		name string
		want spec.LogsLogGroup
		live Live
		sent []request
	}{
		{
			"created with its tags",
			spec.LogsLogGroup{Meta: spec.Meta{Tags: map[string]string{"a": "1"}}, KMSKeyID: aws.String(""), RetentionInDays: aws.Int32(7)},
			Live{},
			[]request{
				{"CreateLogGroup", map[string]any{"logGroupName": "/ecs/churn", "tags": map[string]any{"a": "1", reconcile.Mark: "churn/dev"}}},
				{"PutRetentionPolicy", map[string]any{"logGroupName": "/ecs/churn", "retentionInDays": 7.0}},
			},
		},
		{
			"mended",
			spec.LogsLogGroup{Meta: spec.Meta{Tags: map[string]string{"a": "1"}}, KMSKeyID: aws.String("arn:k"), RetentionInDays: aws.Int32(0)},
			Live{Exists: true, Is: spec.LogsLogGroup{RetentionInDays: aws.Int32(7), Meta: spec.Meta{Tags: map[string]string{"b": "2"}}}},
			[]request{
				{"AssociateKmsKey", map[string]any{"logGroupName": "/ecs/churn", "kmsKeyId": "arn:k"}},
				{"DeleteRetentionPolicy", map[string]any{"logGroupName": "/ecs/churn"}},
				{"TagResource", map[string]any{"resourceArn": arn, "tags": map[string]any{"a": "1", reconcile.Mark: "churn/dev"}}},
				{"UntagResource", map[string]any{"resourceArn": arn, "tagKeys": []any{"b"}}},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api, requests := serve(t, nil)
			steps, err := between(api, tt.live, tt.want)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range steps {
				if err := s.Do(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for _, r := range requests() {
				if tags, ok := r.in["tags"].(map[string]any); ok {
					delete(tags, reconcile.Applied)
				}
			}
			if d := cmp.Diff(tt.sent, requests(), cmp.AllowUnexported(request{})); d != "" {
				t.Errorf("want (-), got (+):\n%s", d)
			}
		})
	}
}

// A group deleted a moment ago keeps its name for a while.
func TestLogGroupPatience(t *testing.T) {
	t.Parallel()
	const busy = `{"__type": "OperationAbortedException", "message": "A conflicting operation is currently in progress"}`
	for _, tt := range []struct {
		answers []string
		calls   int
		err     bool
	}{
		{[]string{busy, busy, "{}"}, 3, false},
		{[]string{`{"__type": "LimitExceededException", "message": "x"}`, "{}"}, 1, true},
	} {
		api, requests := serve(t, map[string][]string{"CreateLogGroup": tt.answers})
		steps, err := between(api, Live{}, spec.LogsLogGroup{})
		if err != nil {
			t.Fatal(err)
		}
		if err := steps[0].Do(t.Context()); (err != nil) != tt.err || len(requests()) != tt.calls {
			t.Errorf("%d calls, want %d (%v)", len(requests()), tt.calls, err)
		}
	}
}
