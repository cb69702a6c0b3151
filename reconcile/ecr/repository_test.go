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

func newRepository(api API, want spec.ECRRepository) *Repository {
	want.Name = "repo"
	return NewRepositories(api, environment(), []spec.ECRRepository{want})[0]
}

// there is a repository as AWS makes it, with the mark.
func there() repository {
	return repository{
		repository: &types.Repository{
			RepositoryName: aws.String("repo"), ImageTagMutability: types.ImageTagMutabilityMutable,
			ImageScanningConfiguration: &types.ImageScanningConfiguration{},
			EncryptionConfiguration:    &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeAes256},
		},
		tags: map[string]string{reconcile.Mark: "churn/dev"},
	}
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

func calls(steps []reconcile.Step) []string {
	var all []string
	for _, s := range steps {
		all = append(all, s.Call)
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
		live   func(*repository)
		differ spec.ECRRepository
		calls  []string
		paths  []string
	}{
		{
			name: "what is not managed",
			live: func(r *repository) {
				r.repository.ImageTagMutability = types.ImageTagMutabilityImmutable
				r.repository.ImageScanningConfiguration.ScanOnPush = true
				r.lifecycle, r.policy = []byte(twoRules), []byte(pull)
			},
			differ: spec.ECRRepository{ImageTagMutability: "MUTABLE", ScanOnPush: aws.Bool(false)},
			calls:  []string{"ecr:PutImageTagMutability", "ecr:PutImageScanningConfiguration"}, paths: []string{"imageTagMutability", "scanOnPush"},
		},
		{
			name: "mutability with exceptions is another one",
			live: func(r *repository) {
				r.repository.ImageTagMutability = types.ImageTagMutabilityImmutableWithExclusion
			},
			differ: spec.ECRRepository{ImageTagMutability: "IMMUTABLE"},
			calls:  []string{"ecr:PutImageTagMutability"}, paths: []string{"imageTagMutability"},
		},
		{
			name:   "no scanning configuration is none on push",
			want:   spec.ECRRepository{ScanOnPush: aws.Bool(false)},
			live:   func(r *repository) { r.repository.ImageScanningConfiguration = nil },
			differ: spec.ECRRepository{ScanOnPush: aws.Bool(true)},
			calls:  []string{"ecr:PutImageScanningConfiguration"}, paths: []string{"scanOnPush"},
		},
		{
			name:   "no encryption configuration is AES256",
			want:   spec.ECRRepository{Encryption: &spec.ECREncryption{EncryptionType: "AES256"}},
			live:   func(r *repository) { r.repository.EncryptionConfiguration = nil },
			differ: spec.ECRRepository{ImageTagMutability: "IMMUTABLE"},
			calls:  []string{"ecr:PutImageTagMutability"}, paths: []string{"imageTagMutability"},
		},
		{
			name:   "a lifecycle policy by its meaning",
			want:   spec.ECRRepository{LifecyclePolicy: spec.Document(twoRules)},
			live:   func(r *repository) { r.lifecycle = []byte(reordered) },
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
			live:   func(r *repository) { r.lifecycle = []byte("null") },
			differ: spec.ECRRepository{LifecyclePolicy: spec.Document(`{"rules":[{"rulePriority":1}]}`)},
			calls:  []string{"ecr:PutLifecyclePolicy"}, paths: []string{"lifecyclePolicy.rules.1.rulePriority"},
		},
		{
			name:   "a policy by its meaning",
			want:   spec.ECRRepository{Policy: spec.Document(pull)},
			live:   func(r *repository) { r.policy = []byte(pullToo) },
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
			live:   func(r *repository) { r.tags["a"], r.tags["aws:x"] = "1", "1" },
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
			steps, err := newRepository(nil, tt.want).diff(live)
			if err != nil {
				t.Fatal(err)
			}
			if len(steps) > 0 {
				t.Errorf("a difference where there is none: %v", steps[0].Diffs)
			}
			steps, err = newRepository(nil, tt.differ).diff(live)
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
	steps, err := newRepository(nil, spec.ECRRepository{
		ImageTagMutability: "IMMUTABLE", ScanOnPush: aws.Bool(true), Encryption: &spec.ECREncryption{EncryptionType: "KMS", KMSKey: aws.String("arn:k")},
		LifecyclePolicy: spec.Document(`{"rules":[{"rulePriority":1}]}`), Policy: spec.Document("{}"),
	}).diff(repository{})
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
		live func(*repository)
		err  string
	}{
		{
			"another encryption",
			spec.ECRRepository{Encryption: &spec.ECREncryption{EncryptionType: "KMS"}},
			func(*repository) {},
			"encryption.encryptionType is AES256 and cannot change to KMS: ",
		},
		{
			"another key",
			spec.ECRRepository{Encryption: &spec.ECREncryption{EncryptionType: "KMS", KMSKey: aws.String("arn:k2")}},
			func(r *repository) {
				r.repository.EncryptionConfiguration = &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms, KmsKey: aws.String("arn:k1")}
			},
			"encryption.kmsKey is arn:k1 and cannot change to arn:k2: ",
		},
		{
			"another stack's",
			spec.ECRRepository{},
			func(r *repository) { r.tags[reconcile.Mark] = "churn/prod" },
			`belongs to the stack "churn/prod"`,
		},
		{
			"a lifecycle policy that cannot be read",
			spec.ECRRepository{LifecyclePolicy: spec.Document("{}")},
			func(r *repository) { r.lifecycle = []byte("{") }, "lifecycle policy in aws: ",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			live := there()
			tt.live(&live)
			steps, err := newRepository(nil, tt.want).diff(live)
			if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
				t.Errorf("error %v, want %q; steps %v", err, tt.err, calls(steps))
			}
		})
	}
	// The key that the spec leaves out is not managed.
	live := there()
	live.repository.EncryptionConfiguration = &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms, KmsKey: aws.String("arn:k1")}
	steps, err := newRepository(nil, spec.ECRRepository{Encryption: &spec.ECREncryption{EncryptionType: "KMS"}}).diff(live)
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
			for _, r := range NewRepositories(api, environment(), []spec.ECRRepository{{Name: "a"}, {Name: "b"}, {Name: "c"}}) {
				live, err := r.describe(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got, want := live.repository != nil, r.want.Name != missing; got != want {
					t.Errorf("%s exists: %t, want %t", r.want.Name, got, want)
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
		live    repository
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
			live: repository{repository: &types.Repository{RepositoryName: aws.String("repo")}, tags: map[string]string{"a": "1"}},
		},
		{
			name: "what is not managed is not read", calls: 2,
			answers: map[string]string{"DescribeRepositories": exists, "ListTagsForResource": `{}`},
			live:    repository{repository: &types.Repository{RepositoryName: aws.String("repo")}, tags: map[string]string{}},
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
			live, err := newRepository(api, tt.want).describe(t.Context())
			if got := awsx.Code(err); got != tt.code || (err != nil) != (tt.code != "") {
				t.Fatalf("error %v, want the code %q", err, tt.code)
			}
			if d := cmp.Diff(tt.live, live, cmp.AllowUnexported(repository{}), cmp.FilterPath(func(p cmp.Path) bool {
				return strings.HasSuffix(p.String(), "noSmithyDocumentSerde")
			}, cmp.Ignore())); d != "" {
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
			r := newRepository(api, spec.ECRRepository{Meta: spec.Meta{Needs: tt.needs}, Policy: spec.Document(`{"Statement":[]}`)})
			if err := r.setPolicy(t.Context()); (err != nil) != tt.err {
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
		diffs, err := lifecycleDiff(text, text)
		if err != nil {
			t.Fatal(err)
		}
		if len(diffs) > 0 && string(text) != "{}" {
			t.Errorf("differs from itself: %v", diffs)
		}
	})
}

func TestOwnedRepository(t *testing.T) {
	t.Parallel()
	live := there()
	live.tags[reconcile.Mark] = "churn/prod"
	_, err := newRepository(nil, spec.ECRRepository{}).diff(live)
	if owned, ok := errors.AsType[*reconcile.OwnedError](err); !ok || owned.Owner != "churn/prod" {
		t.Errorf("got %v, want an OwnedError", err)
	}
}
