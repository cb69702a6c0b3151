package ecr

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
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
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
func between(api API, live Live, want spec.ECRRepository) ([]reconcile.Step, error) {
	want.Name = "repo"
	return reconcile.Between(NewRepositories(api, environment(), nil), environment(), live, want)
}

// there is a repository as AWS makes it, with the mark.
func there() Live {
	return Live{Exists: true, Is: spec.ECRRepository{
		Meta: spec.Meta{Tags: map[string]string{reconcile.Mark: "churn/dev"}}, Name: "repo",
		ImageTagMutability: "MUTABLE", ScanOnPush: aws.Bool(false), Encryption: encryption(nil),
	}}
}

func wildcards(filters ...string) []types.ImageTagMutabilityExclusionFilter {
	var all []types.ImageTagMutabilityExclusionFilter
	for _, f := range filters {
		all = append(all, types.ImageTagMutabilityExclusionFilter{Filter: &f, FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard})
	}
	return all
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

// In each case the spec and the repository agree, and differ's spec differs in
// the paths, which the calls mend.
func TestRepositoriesAreEquivalent(t *testing.T) {
	t.Parallel()
	const (
		pull     = `{"Version":"2012-10-17","Statement":[{"Sid":"p","Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"ecr:BatchGetImage"}]}`
		pullToo  = `{"Version":"2012-10-17","Statement":{"Sid":"p","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:root"]},"Action":["ecr:BatchGetImage"]}}`
		twoRules = `{"rules":[
			{"rulePriority":2,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":50},"action":{"type":"expire"}},
			{"rulePriority":1,"selection":{"tagStatus":"tagged","tagPatternList":["v*","b*"],"tagPrefixList":[],"countType":"imageCountMoreThan","countNumber":5},"action":{"type":"expire"}}]}`
		reordered = `{"rules":[
			{"action":{"type":"expire"},"rulePriority":1,"selection":{"tagStatus":"tagged","tagPatternList":["b*","v*"],"countType":"imageCountMoreThan","countNumber":5}},
			{"rulePriority":2,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":50.0},"action":{"type":"expire"}}]}`
		changed = `{"rules":[
			{"rulePriority":1,"selection":{"tagStatus":"tagged","tagPatternList":["v*","c*"],"countType":"imageCountMoreThan","countNumber":6},"action":{"type":"expire"}}]}`
	)
	tests := []struct {
		name   string
		want   spec.ECRRepository
		live   func(*Live)
		differ spec.ECRRepository
		calls  []string
		paths  []string
	}{
		{
			name: "what is not managed",
			live: func(r *Live) {
				r.Is.ImageTagMutability = "IMMUTABLE"
				r.Is.ScanOnPush = aws.Bool(true)
				r.Is.LifecyclePolicy, r.Is.Policy = spec.Document(twoRules), spec.Document(pull)
			},
			differ: spec.ECRRepository{ImageTagMutability: "MUTABLE", ScanOnPush: aws.Bool(false)},
			calls:  []string{"ecr:PutImageTagMutability", "ecr:PutImageScanningConfiguration"}, paths: []string{"imageTagMutability", "scanOnPush"},
		},
		{
			name: "mutability with exceptions is another one",
			live: func(r *Live) {
				r.Is.ImageTagMutability = "IMMUTABLE_WITH_EXCLUSION"
			},
			differ: spec.ECRRepository{ImageTagMutability: "IMMUTABLE"},
			calls:  []string{"ecr:PutImageTagMutability"}, paths: []string{"imageTagMutability"},
		},
		{
			name: "filters in another order",
			want: spec.ECRRepository{ImageTagMutability: "IMMUTABLE_WITH_EXCLUSION", ImageTagMutabilityExclusionFilters: wildcards("b*", "a*")},
			live: func(r *Live) {
				r.Is.ImageTagMutability, r.Is.ImageTagMutabilityExclusionFilters = "IMMUTABLE_WITH_EXCLUSION", wildcards("a*", "b*")
			},
			differ: spec.ECRRepository{ImageTagMutability: "IMMUTABLE_WITH_EXCLUSION", ImageTagMutabilityExclusionFilters: wildcards("a*")},
			calls:  []string{"ecr:PutImageTagMutability"}, paths: []string{"imageTagMutabilityExclusionFilters[b*]"},
		},
		{
			name: "filters go with the exclusion",
			want: spec.ECRRepository{ImageTagMutability: "IMMUTABLE_WITH_EXCLUSION"},
			live: func(r *Live) {
				r.Is.ImageTagMutability, r.Is.ImageTagMutabilityExclusionFilters = "IMMUTABLE_WITH_EXCLUSION", wildcards("a*")
			},
			differ: spec.ECRRepository{ImageTagMutability: "IMMUTABLE"},
			calls:  []string{"ecr:PutImageTagMutability"}, paths: []string{"imageTagMutability", "imageTagMutabilityExclusionFilters[a*]"},
		},
		{
			name:   "no scanning configuration is none on push",
			want:   spec.ECRRepository{ScanOnPush: aws.Bool(false)},
			live:   func(r *Live) { r.Is.ScanOnPush = aws.Bool(false) },
			differ: spec.ECRRepository{ScanOnPush: aws.Bool(true)},
			calls:  []string{"ecr:PutImageScanningConfiguration"}, paths: []string{"scanOnPush"},
		},
		{
			name:   "no encryption configuration is AES256",
			want:   spec.ECRRepository{Encryption: &spec.ECREncryption{EncryptionType: "AES256"}},
			live:   func(r *Live) { r.Is.Encryption = encryption(nil) },
			differ: spec.ECRRepository{ImageTagMutability: "IMMUTABLE"},
			calls:  []string{"ecr:PutImageTagMutability"}, paths: []string{"imageTagMutability"},
		},
		{
			name:   "a lifecycle policy by its meaning",
			want:   spec.ECRRepository{LifecyclePolicy: spec.Document(twoRules)},
			live:   func(r *Live) { r.Is.LifecyclePolicy = spec.Document(reordered) },
			differ: spec.ECRRepository{LifecyclePolicy: spec.Document(changed)},
			calls:  []string{"ecr:PutLifecyclePolicy"},
			paths: []string{
				"lifecyclePolicy.rules.1.selection.countNumber", "lifecyclePolicy.rules.1.selection.tagPatternList[0]",
				"lifecyclePolicy.rules.2.action.type", "lifecyclePolicy.rules.2.rulePriority", "lifecyclePolicy.rules.2.selection.countNumber",
				"lifecyclePolicy.rules.2.selection.countType", "lifecyclePolicy.rules.2.selection.tagStatus",
			},
		},
		{
			name:   "no lifecycle policy is wanted",
			want:   spec.ECRRepository{LifecyclePolicy: spec.Document("{}")},
			differ: spec.ECRRepository{LifecyclePolicy: spec.Document(`{"rules":[{"rulePriority":1}]}`)},
			calls:  []string{"ecr:PutLifecyclePolicy"}, paths: []string{"lifecyclePolicy.rules.1.rulePriority"},
		},
		{
			name:   "a lifecycle policy of null",
			want:   spec.ECRRepository{LifecyclePolicy: spec.Document("{}")},
			live:   func(r *Live) { r.Is.LifecyclePolicy = spec.Document("null") },
			differ: spec.ECRRepository{LifecyclePolicy: spec.Document(`{"rules":[{"rulePriority":1}]}`)},
			calls:  []string{"ecr:PutLifecyclePolicy"}, paths: []string{"lifecyclePolicy.rules.1.rulePriority"},
		},
		{
			name:   "a policy by its meaning",
			want:   spec.ECRRepository{Policy: spec.Document(pull)},
			live:   func(r *Live) { r.Is.Policy = spec.Document(pullToo) },
			differ: spec.ECRRepository{Policy: spec.Document("{}")},
			calls:  []string{"ecr:DeleteRepositoryPolicy"}, paths: []string{"policy"},
		},
		{
			name:   "no policy is wanted",
			want:   spec.ECRRepository{Policy: spec.Document("{}")},
			differ: spec.ECRRepository{Policy: spec.Document(pull)},
			calls:  []string{"ecr:SetRepositoryPolicy"}, paths: []string{"policy"},
		},
		{
			name:   "tags",
			want:   spec.ECRRepository{Meta: spec.Meta{Tags: map[string]string{"a": "1"}}},
			live:   func(r *Live) { r.Is.Tags["a"], r.Is.Tags["aws:x"] = "1", "1" },
			differ: spec.ECRRepository{Meta: spec.Meta{Tags: map[string]string{"b": "1"}}},
			calls:  []string{"ecr:TagResource", "ecr:UntagResource"}, paths: []string{"tags.b", "tags.a"},
		},
		{
			name:   "forceDelete is no property of AWS",
			want:   spec.ECRRepository{ForceDelete: true},
			differ: spec.ECRRepository{ForceDelete: true, ImageTagMutability: "IMMUTABLE"},
			calls:  []string{"ecr:PutImageTagMutability"}, paths: []string{"imageTagMutability"},
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

func TestRepositoryCreated(t *testing.T) {
	t.Parallel()
	steps, err := between(nil, Live{}, spec.ECRRepository{
		ImageTagMutability: "IMMUTABLE", ScanOnPush: aws.Bool(true), Encryption: &spec.ECREncryption{EncryptionType: "KMS", KMSKey: aws.String("arn:k")},
		LifecyclePolicy: spec.Document(`{"rules":[{"rulePriority":1}]}`), Policy: spec.Document("{}"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"ecr:CreateRepository", "ecr:PutLifecyclePolicy"}, calls(steps)); d != "" {
		t.Errorf("calls, want (-), got (+):\n%s", d)
	}
	want := []reconcile.Diff{
		{Path: "name", After: "repo"},
		{Path: "imageTagMutability", After: "IMMUTABLE"},
		{Path: "scanOnPush", After: true},
		{Path: "encryption.encryptionType", After: "KMS"},
		{Path: "encryption.kmsKey", After: "arn:k"},
		{Path: "tags." + reconcile.Mark, After: "churn/dev"},
	}
	if d := cmp.Diff(want, steps[0].Diffs); d != "" {
		t.Errorf("diffs, want (-), got (+):\n%s", d)
	}
}

func TestRepositoryRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		want spec.ECRRepository
		live func(*Live)
		err  string
	}{
		{
			"another encryption",
			spec.ECRRepository{Encryption: &spec.ECREncryption{EncryptionType: "KMS"}},
			func(*Live) {},
			"encryption.encryptionType is AES256 and cannot change to KMS: ",
		},
		{
			"another key",
			spec.ECRRepository{Encryption: &spec.ECREncryption{EncryptionType: "KMS", KMSKey: aws.String("arn:k2")}},
			func(r *Live) {
				r.Is.Encryption = &spec.ECREncryption{EncryptionType: "KMS", KMSKey: aws.String("arn:k1")}
			},
			"encryption.kmsKey is arn:k1 and cannot change to arn:k2: ",
		},
		{
			"another stack's",
			spec.ECRRepository{},
			func(r *Live) { r.Is.Tags[reconcile.Mark] = "churn/prod" },
			`belongs to the stack "churn/prod"`,
		},
		{
			"a lifecycle policy that cannot be read",
			spec.ECRRepository{LifecyclePolicy: spec.Document("{}")},
			func(r *Live) { r.Is.LifecyclePolicy = spec.Document("{") }, "in aws: lifecyclePolicy: ",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			live := there()
			tt.live(&live)
			steps, err := between(nil, live, tt.want)
			if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
				t.Errorf("error %v, want %q; steps %v", err, tt.err, calls(steps))
			}
		})
	}
	// The key that the spec leaves out is not managed.
	live := there()
	live.Is.Encryption = &spec.ECREncryption{EncryptionType: "KMS", KMSKey: aws.String("arn:k1")}
	steps, err := between(nil, live, spec.ECRRepository{Encryption: &spec.ECREncryption{EncryptionType: "KMS"}})
	if err != nil || len(steps) > 0 {
		t.Errorf("got %v, %v; want nothing", calls(steps), err)
	}
}

// serve is an ECR that answers by operation and names asked for, and counts
// the operations.
func serve(t *testing.T, answer func(operation string, names []string, n int) string) (*ecr.Client, func() map[string]int) {
	t.Helper()
	var mu sync.Mutex
	counts := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		body, _ := io.ReadAll(r.Body)
		var in struct{ RepositoryNames []string }
		if err := json.Unmarshal(body, &in); err != nil {
			t.Error(err)
		}
		mu.Lock()
		n := counts[operation]
		counts[operation]++
		mu.Unlock()
		text := answer(operation, in.RepositoryNames, n)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if strings.Contains(text, "__type") {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(srv.Close)
	return ecr.New(ecr.Options{
			Region: "eu-north-1", BaseEndpoint: &srv.URL, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		}), func() map[string]int {
			mu.Lock()
			defer mu.Unlock()
			return counts
		}
}

// One missing repository fails the call for all of them; each is then asked
// for by itself.
func TestRepositoriesAreReadTogether(t *testing.T) {
	t.Parallel()
	for name, missing := range map[string]string{"all there": "", "one missing": "b"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api, counts := serve(t, func(operation string, names []string, _ int) string {
				if operation != "DescribeRepositories" {
					return `{"tags": []}`
				}
				var found []string
				for _, n := range names {
					if n == missing {
						return `{"__type": "RepositoryNotFoundException", "message": "The repository with name 'b' does not exist"}`
					}
					found = append(found, `{"repositoryName": "`+n+`", "repositoryArn": "arn"}`)
				}
				return `{"repositories": [` + strings.Join(found, ",") + `]}`
			})
			wants := []spec.ECRRepository{{Name: "a"}, {Name: "b"}, {Name: "c"}}
			repositories := NewRepositories(api, environment(), wants)
			for _, w := range wants {
				live, err := repositories.Describe(t.Context(), w, false)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := live.Exists, w.Name != missing; got != want {
					t.Errorf("%s exists: %t, want %t", w.Name, got, want)
				}
			}
			want := 1
			if missing != "" {
				want = 4
			}
			if got := counts()["DescribeRepositories"]; got != want {
				t.Errorf("%d calls, want %d", got, want)
			}
		})
	}
}

func TestDescribeRepository(t *testing.T) {
	t.Parallel()
	const (
		gone   = `{"__type": "RepositoryNotFoundException", "message": "x"}`
		denied = `{"__type": "AccessDeniedException", "message": "x"}`
		exists = `{"repositories": [{"repositoryName": "repo"}]}`
	)
	all := spec.ECRRepository{LifecyclePolicy: spec.Document("{}"), Policy: spec.Document("{}")}
	tests := []struct {
		name    string
		want    spec.ECRRepository
		answers map[string]string
		live    spec.ECRRepository
		code    string
		calls   int
	}{
		{
			name: "absent", want: all, calls: 4,
			answers: map[string]string{
				"DescribeRepositories": gone, "ListTagsForResource": gone, "GetLifecyclePolicy": gone, "GetRepositoryPolicy": gone,
			},
		},
		{
			name: "deleted a moment ago, tags and policy still answered", want: all, calls: 4,
			answers: map[string]string{
				"DescribeRepositories": gone, "ListTagsForResource": `{"tags": [{"Key": "churn-reconcile:stack", "Value": "churn/prod"}]}`,
				"GetLifecyclePolicy": `{"lifecyclePolicyText": "{}"}`, "GetRepositoryPolicy": `{"policyText": "{}"}`,
			},
		},
		{
			name: "nothing set", want: all, calls: 4,
			answers: map[string]string{
				"DescribeRepositories": exists, "ListTagsForResource": `{"tags": [{"Key": "a", "Value": "1"}]}`,
				"GetLifecyclePolicy":  `{"__type": "LifecyclePolicyNotFoundException", "message": "x"}`,
				"GetRepositoryPolicy": `{"__type": "RepositoryPolicyNotFoundException", "message": "x"}`,
			},
			live: spec.ECRRepository{Meta: spec.Meta{Tags: map[string]string{"a": "1"}}, Name: "repo", ScanOnPush: aws.Bool(false), Encryption: encryption(nil)},
		},
		{
			name: "what is not managed is not read", calls: 2,
			answers: map[string]string{"DescribeRepositories": exists, "ListTagsForResource": `{}`},
			live:    spec.ECRRepository{Meta: spec.Meta{Tags: map[string]string{}}, Name: "repo", ScanOnPush: aws.Bool(false), Encryption: encryption(nil)},
		},
		{
			name: "denied is not absence", calls: 3, code: "AccessDeniedException",
			answers: map[string]string{"DescribeRepositories": denied, "ListTagsForResource": `{}`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api, counts := serve(t, func(operation string, _ []string, _ int) string { return tt.answers[operation] })
			tt.want.Name = "repo"
			live, err := NewRepositories(api, environment(), []spec.ECRRepository{tt.want}).Describe(t.Context(), tt.want, false)
			if got := awsx.Code(err); got != tt.code || (err != nil) != (tt.code != "") {
				t.Fatalf("error %v, want the code %q", err, tt.code)
			}
			if d := cmp.Diff(tt.live, live.Is); d != "" {
				t.Errorf("want (-), got (+):\n%s", d)
			}
			n := 0
			for _, c := range counts() {
				n += c
			}
			if n != tt.calls {
				t.Errorf("%d calls, want %d: %v", n, tt.calls, counts())
			}
		})
	}
}

func TestSetPolicyPatience(t *testing.T) {
	t.Parallel()
	const young = `{"__type": "InvalidParameterException", "message": "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Principal not found'"}`
	tests := []struct {
		name  string
		needs []spec.ID
		calls int
		err   bool
	}{
		{"a principal of this spec", []spec.ID{{Kind: spec.User, Name: "u"}}, 3, false},
		{"a principal that is nowhere", []spec.ID{{Kind: spec.Bucket, Name: "b"}}, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api, counts := serve(t, func(_ string, _ []string, n int) string {
				if n < 2 {
					return young
				}
				return `{}`
			})
			want := spec.ECRRepository{Meta: spec.Meta{Needs: tt.needs}, Policy: spec.Document(`{"Statement":[]}`)}
			if err := NewRepositories(api, environment(), nil).setPolicy(t.Context(), want); (err != nil) != tt.err {
				t.Errorf("error %v, want one: %t", err, tt.err)
			}
			if n := counts()["SetRepositoryPolicy"]; n != tt.calls {
				t.Errorf("%d calls, want %d", n, tt.calls)
			}
		})
	}
}

func FuzzLifecycleTree(f *testing.F) {
	f.Add([]byte(`{"rules":[{"rulePriority":1,"selection":{"tagPrefixList":["b","a"]}}]}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"rules":[null,1,{"selection":[]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		tree, err := lifecycleTree(text)
		if err != nil {
			return
		}
		if diffs := reconcile.Compare("", tree, tree); len(diffs) > 0 {
			t.Errorf("differs from itself: %v", diffs)
		}
	})
}

func TestOwnedRepository(t *testing.T) {
	t.Parallel()
	live := there()
	live.Is.Tags[reconcile.Mark] = "churn/prod"
	_, err := between(nil, live, spec.ECRRepository{})
	if owned, ok := errors.AsType[*reconcile.OwnedError](err); !ok || owned.Owner != "churn/prod" {
		t.Errorf("got %v, want an OwnedError", err)
	}
}

func TestRepositoryAccess(t *testing.T) {
	t.Parallel()
	pull := func(principal string) spec.Document {
		return spec.Document(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":` + principal + `,"Action":"ecr:BatchGetImage"}}`)
	}
	live := there()
	live.Is.Policy = pull(`{"Service":"lambda.amazonaws.com"}`)
	repositories := NewRepositories(nil, environment(), nil)
	for name, tt := range map[string]struct {
		want  spec.Document
		lines []string
	}{
		"same":     {pull(`{"Service":["lambda.amazonaws.com"]}`), nil},
		"widened":  {pull(`{"Service":"lambda.amazonaws.com","AWS":"arn:aws:iam::999999999999:user/u"}`), []string{"gains ecr:BatchGetImage for arn:aws:iam::999999999999:user/u"}},
		"narrowed": {spec.Document("{}"), []string{"loses ecr:BatchGetImage for lambda.amazonaws.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := repositories.Access(live, spec.ECRRepository{Name: "repo", Policy: tt.want})
			if diff := cmp.Diff(tt.lines, append([]string(nil), got...)); diff != "" {
				t.Errorf("access (-want +got):\n%s", diff)
			}
		})
	}
}
