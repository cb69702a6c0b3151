package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

const account = "123456789012"

func environment() reconcile.Env {
	return reconcile.Env{
		Account: account, Region: "eu-north-1", Partition: "aws", Stack: "churn/dev",
		Pause: func(context.Context, time.Duration) error { return nil },
	}
}

// between lists the steps from live to want, which is named as live is.
func between(api API, live Live, want spec.S3Bucket) ([]reconcile.Step, error) {
	want.Name = "data"
	return reconcile.Between(Buckets{api, nil, environment()}, environment(), live, want)
}

// there is a bucket that nothing is set on but the mark.
func there() Live {
	return Live{Exists: true, Is: spec.S3Bucket{
		Meta: spec.Meta{Tags: map[string]string{reconcile.Mark: "churn/dev"}}, Name: "data",
		PublicAccessBlock: &spec.S3PublicAccessBlock{},
	}}
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

// In each case the spec and the bucket agree, and differ's spec differs in the
// paths, which the calls mend.
func TestBucketsAreEquivalent(t *testing.T) {
	t.Parallel()
	const (
		allow = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":["s3:GetObject"],"Resource":"arn:aws:s3:::data/*"}]}`
		same  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:root"]},"Action":"s3:getobject","Resource":["arn:aws:s3:::data/*"]}}`
		other = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:root"]},"Action":"s3:getobject","Resource":["arn:aws:s3:::data/a"]}}`
	)
	tests := []struct {
		name   string
		want   spec.S3Bucket
		live   func(*Live)
		differ spec.S3Bucket
		calls  []string
		paths  []string
	}{
		{
			name:   "versioning",
			want:   spec.S3Bucket{Versioning: "Enabled"},
			live:   func(b *Live) { b.Is.Versioning = "Enabled" },
			differ: spec.S3Bucket{Versioning: "Suspended"},
			calls:  []string{"s3:PutBucketVersioning"}, paths: []string{"versioning"},
		},
		{
			name:   "versioning that is not managed",
			live:   func(b *Live) { b.Is.Versioning = "Enabled" },
			differ: spec.S3Bucket{ObjectOwnership: "ObjectWriter"},
			calls:  []string{"s3:PutBucketOwnershipControls"}, paths: []string{"objectOwnership"},
		},
		{
			name: "the encryption that every bucket has",
			want: spec.S3Bucket{Encryption: &spec.S3Encryption{SSEAlgorithm: "AES256"}},
			live: func(b *Live) {
				b.Is.Encryption = &spec.S3Encryption{SSEAlgorithm: "AES256", BucketKeyEnabled: aws.Bool(false)}
			},
			differ: spec.S3Bucket{Encryption: &spec.S3Encryption{SSEAlgorithm: "aws:kms"}},
			calls:  []string{"s3:PutBucketEncryption"}, paths: []string{"encryption.sseAlgorithm"},
		},
		{
			name:   "bucketKeyEnabled is false by default",
			want:   spec.S3Bucket{Encryption: &spec.S3Encryption{SSEAlgorithm: "AES256", BucketKeyEnabled: aws.Bool(false)}},
			live:   func(b *Live) { b.Is.Encryption = &spec.S3Encryption{SSEAlgorithm: "AES256"} },
			differ: spec.S3Bucket{Encryption: &spec.S3Encryption{SSEAlgorithm: "AES256", BucketKeyEnabled: aws.Bool(true)}},
			calls:  []string{"s3:PutBucketEncryption"}, paths: []string{"encryption.bucketKeyEnabled"},
		},
		{
			name: "a key that is not managed",
			want: spec.S3Bucket{Encryption: &spec.S3Encryption{SSEAlgorithm: "aws:kms"}},
			live: func(b *Live) {
				b.Is.Encryption = &spec.S3Encryption{
					SSEAlgorithm: "aws:kms", KMSMasterKeyID: aws.String("arn:k1"), BucketKeyEnabled: aws.Bool(true), BlockedEncryptionTypes: []string{"SSE-C"},
				}
			},
			differ: spec.S3Bucket{Encryption: &spec.S3Encryption{SSEAlgorithm: "aws:kms", KMSMasterKeyID: aws.String("arn:k2")}},
			calls:  []string{"s3:PutBucketEncryption"}, paths: []string{"encryption.kmsMasterKeyID"},
		},
		{
			name:   "NONE is what no blocked type comes back as",
			want:   spec.S3Bucket{Encryption: &spec.S3Encryption{SSEAlgorithm: "AES256", BlockedEncryptionTypes: []string{"NONE"}}},
			live:   func(b *Live) { b.Is.Encryption = &spec.S3Encryption{SSEAlgorithm: "AES256"} },
			differ: spec.S3Bucket{Encryption: &spec.S3Encryption{SSEAlgorithm: "AES256", BlockedEncryptionTypes: []string{"SSE-C"}}},
			calls:  []string{"s3:PutBucketEncryption"}, paths: []string{"encryption.blockedEncryptionTypes[SSE-C]"},
		},
		{
			name: "a key goes with its algorithm",
			want: spec.S3Bucket{Encryption: &spec.S3Encryption{SSEAlgorithm: "aws:kms", KMSMasterKeyID: aws.String("arn:k1")}},
			live: func(b *Live) {
				b.Is.Encryption = &spec.S3Encryption{SSEAlgorithm: "aws:kms", KMSMasterKeyID: aws.String("arn:k1")}
			},
			differ: spec.S3Bucket{Encryption: &spec.S3Encryption{SSEAlgorithm: "AES256"}},
			calls:  []string{"s3:PutBucketEncryption"}, paths: []string{"encryption.kmsMasterKeyID", "encryption.sseAlgorithm"},
		},
		{
			name:   "no public access block is four times off",
			want:   spec.S3Bucket{PublicAccessBlock: &spec.S3PublicAccessBlock{}},
			differ: spec.S3Bucket{PublicAccessBlock: &spec.S3PublicAccessBlock{BlockPublicPolicy: true}},
			calls:  []string{"s3:PutPublicAccessBlock"}, paths: []string{"publicAccessBlock.blockPublicPolicy"},
		},
		{
			name: "the public access block",
			want: spec.S3Bucket{PublicAccessBlock: &spec.S3PublicAccessBlock{BlockPublicAcls: true, RestrictPublicBuckets: true}},
			live: func(b *Live) {
				b.Is.PublicAccessBlock = &spec.S3PublicAccessBlock{BlockPublicAcls: true, RestrictPublicBuckets: true}
			},
			differ: spec.S3Bucket{PublicAccessBlock: &spec.S3PublicAccessBlock{BlockPublicAcls: true, IgnorePublicAcls: true}},
			calls:  []string{"s3:PutPublicAccessBlock"}, paths: []string{"publicAccessBlock.ignorePublicAcls", "publicAccessBlock.restrictPublicBuckets"},
		},
		{
			name:   "object ownership",
			want:   spec.S3Bucket{ObjectOwnership: "BucketOwnerEnforced"},
			live:   func(b *Live) { b.Is.ObjectOwnership = "BucketOwnerEnforced" },
			differ: spec.S3Bucket{ObjectOwnership: "BucketOwnerPreferred"},
			calls:  []string{"s3:PutBucketOwnershipControls"}, paths: []string{"objectOwnership"},
		},
		{
			name:   "a policy by its meaning",
			want:   spec.S3Bucket{Policy: spec.Document(allow)},
			live:   func(b *Live) { b.Is.Policy = spec.Document(same) },
			differ: spec.S3Bucket{Policy: spec.Document(other)},
			calls:  []string{"s3:PutBucketPolicy"}, paths: []string{"policy.Statement[0].Resource[arn:aws:s3:::data/*]", "policy.Statement[0].Resource[arn:aws:s3:::data/a]"},
		},
		{
			name:   "no policy is wanted",
			want:   spec.S3Bucket{Policy: spec.Document("{}")},
			differ: spec.S3Bucket{Policy: spec.Document(same)},
			calls:  []string{"s3:PutBucketPolicy"}, paths: []string{"policy"},
		},
		{
			name:   "no lifecycle rules are wanted",
			want:   spec.S3Bucket{LifecycleRules: []types.LifecycleRule{}},
			differ: spec.S3Bucket{LifecycleRules: []types.LifecycleRule{{ID: aws.String("a"), Status: "Enabled"}}},
			calls:  []string{"s3:PutBucketLifecycleConfiguration"}, paths: []string{"lifecycleRules[a].id", "lifecycleRules[a].status"},
		},
		{
			name:   "lifecycle rules that are not managed",
			live:   func(b *Live) { b.Is.LifecycleRules = []types.LifecycleRule{{ID: aws.String("a"), Status: "Enabled"}} },
			differ: spec.S3Bucket{LifecycleRules: []types.LifecycleRule{}},
			calls:  []string{"s3:DeleteBucketLifecycle"}, paths: []string{"lifecycleRules[a].id", "lifecycleRules[a].status"},
		},
		{
			name:   "tags of others",
			want:   spec.S3Bucket{Meta: spec.Meta{Tags: map[string]string{}}},
			live:   func(b *Live) { b.Is.Tags["aws:x"] = "1" },
			differ: spec.S3Bucket{Meta: spec.Meta{Tags: map[string]string{"a": "1"}}},
			calls:  []string{"s3:PutBucketTagging"}, paths: []string{"tags.a"},
		},
		{
			name:   "forceDestroy is no property of AWS",
			want:   spec.S3Bucket{ForceDestroy: true},
			differ: spec.S3Bucket{ForceDestroy: true, Versioning: "Enabled"},
			calls:  []string{"s3:PutBucketVersioning"}, paths: []string{"versioning"},
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

// A policy is taken away where none is wanted.
func TestPolicyTakenAway(t *testing.T) {
	t.Parallel()
	live := there()
	live.Is.Policy = spec.Document(`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}]}`)
	steps, err := between(nil, live, spec.S3Bucket{Policy: spec.Document("{}")})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"s3:DeleteBucketPolicy"}, calls(steps)); d != "" {
		t.Errorf("calls, want (-), got (+):\n%s", d)
	}
}

// Ownership, public access block and policy come in this order: each may
// refuse what the one before has not made possible yet.
func TestBucketCreatedInOrder(t *testing.T) {
	t.Parallel()
	steps, err := between(nil, Live{}, spec.S3Bucket{
		Versioning: "Enabled", Encryption: &spec.S3Encryption{SSEAlgorithm: "AES256"}, PublicAccessBlock: &spec.S3PublicAccessBlock{},
		ObjectOwnership: "BucketOwnerEnforced", LifecycleRules: []types.LifecycleRule{{ID: aws.String("a"), Status: "Enabled"}},
		Policy: spec.Document(`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"s3:CreateBucket", "s3:PutBucketTagging", "s3:PutBucketOwnershipControls", "s3:PutPublicAccessBlock", "s3:PutBucketPolicy",
		"s3:PutBucketVersioning", "s3:PutBucketEncryption", "s3:PutBucketLifecycleConfiguration",
	}
	if d := cmp.Diff(want, calls(steps)); d != "" {
		t.Errorf("calls, want (-), got (+):\n%s", d)
	}
	// All four switches of a new bucket show, those that are off as well.
	if got := len(steps[3].Diffs); got != 4 {
		t.Errorf("%d lines for the public access block, want 4: %v", got, steps[3].Diffs)
	}
}

func TestBucketOfAnotherStack(t *testing.T) {
	t.Parallel()
	live := there()
	live.Is.Tags[reconcile.Mark] = "churn/prod"
	_, err := between(nil, live, spec.S3Bucket{})
	if _, ok := errors.AsType[*reconcile.OwnedError](err); !ok {
		t.Errorf("got %v, want an OwnedError", err)
	}
}

// An exchange is one request that a bucket made.
type exchange struct {
	call   string // method and subresource
	owner  string
	body   string
	header http.Header
}

// endpoint is an S3 that answers as it is told and remembers what it was
// asked.
type endpoint struct {
	*s3.Client
	mu        sync.Mutex
	exchanges []exchange
}

func serve(t *testing.T, region string, answer func(call string, n int) (status int, body string)) *endpoint {
	t.Helper()
	e := &endpoint{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var sub []string
		for _, key := range slices.Sorted(maps.Keys(r.URL.Query())) {
			if key != "x-id" {
				sub = append(sub, key)
			}
		}
		call := strings.TrimSpace(r.Method + " " + strings.Join(sub, " "))
		e.mu.Lock()
		n := 0
		for _, x := range e.exchanges {
			if x.call == call {
				n++
			}
		}
		e.exchanges = append(e.exchanges, exchange{call, r.Header.Get("X-Amz-Expected-Bucket-Owner"), string(body), r.Header})
		e.mu.Unlock()
		status, text := answer(call, n)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(srv.Close)
	e.Client = s3.New(s3.Options{
		Region: region, BaseEndpoint: &srv.URL, UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	})
	return e
}

func failure(code string) string {
	return "<Error><Code>" + code + "</Code><Message>the message: invalid principal in policy</Message></Error>"
}

func (e *endpoint) counts() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	counts := map[string]int{}
	for _, x := range e.exchanges {
		counts[x.call]++
	}
	return counts
}

// everything is a spec that manages all that there is.
func everything() spec.S3Bucket {
	return spec.S3Bucket{
		Versioning: "Enabled", Encryption: &spec.S3Encryption{SSEAlgorithm: "AES256"}, PublicAccessBlock: &spec.S3PublicAccessBlock{},
		ObjectOwnership: "BucketOwnerEnforced", LifecycleRules: []types.LifecycleRule{}, Policy: spec.Document("{}"),
	}
}

func TestDescribeBucket(t *testing.T) {
	t.Parallel()
	absent := map[string]string{
		"GET tagging": "NoSuchTagSet", "GET encryption": "ServerSideEncryptionConfigurationNotFoundError",
		"GET publicAccessBlock": "NoSuchPublicAccessBlockConfiguration", "GET ownershipControls": "OwnershipControlsNotFoundError",
		"GET lifecycle": "NoSuchLifecycleConfiguration", "GET policy": "NoSuchBucketPolicy",
	}
	tests := []struct {
		name   string
		want   spec.S3Bucket
		answer func(call string) (int, string)
		live   Live
		err    string
		calls  []string
	}{
		{
			name: "nothing set", want: everything(), live: Live{Exists: true, Is: spec.S3Bucket{Name: "data", PublicAccessBlock: &spec.S3PublicAccessBlock{}}},
			answer: func(call string) (int, string) {
				if code, ok := absent[call]; ok {
					return 404, failure(code)
				}
				return 200, `<Answer/>`
			},
			calls: []string{
				"GET abac", "GET encryption", "GET lifecycle", "GET ownershipControls", "GET policy", "GET publicAccessBlock", "GET tagging", "GET versioning",
			},
		},
		{
			name: "what is not managed is not read", want: spec.S3Bucket{},
			live: Live{Exists: true, Is: spec.S3Bucket{Name: "data", Meta: spec.Meta{Tags: map[string]string{reconcile.Mark: "churn/dev"}}}},
			answer: func(string) (int, string) {
				return 200, `<Tagging><TagSet><Tag><Key>` + reconcile.Mark + `</Key><Value>churn/dev</Value></Tag></TagSet></Tagging>`
			},
			calls: []string{"GET tagging"},
		},
		{
			name: "no bucket", want: everything(), live: Live{},
			answer: func(string) (int, string) { return 404, failure("NoSuchBucket") },
		},
		{
			name: "403 is not absence", want: spec.S3Bucket{},
			answer: func(string) (int, string) { return 403, failure("AccessDenied") },
			err:    "the bucket is not account 123456789012's, or the permission is missing: s3:GetBucketTagging: AccessDenied",
		},
		{
			name: "in another region", want: spec.S3Bucket{},
			answer: func(string) (int, string) { return 301, failure("PermanentRedirect") },
			err:    "the bucket is in another region than eu-north-1, and a bucket cannot move: s3:GetBucketTagging: PermanentRedirect",
		},
		{
			name: "in another region, which has to be opted in to", want: spec.S3Bucket{},
			answer: func(string) (int, string) { return 400, failure("IllegalLocationConstraintException") },
			err:    "the bucket is in another region than eu-north-1",
		},
		{
			name: "another property's absence", want: spec.S3Bucket{},
			answer: func(string) (int, string) { return 404, failure("NoSuchBucketPolicy") },
			err:    "NoSuchBucketPolicy",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := serve(t, "eu-north-1", func(call string, _ int) (int, string) { return tt.answer(call) })
			tt.want.Name = "data"
			live, err := Buckets{e, nil, environment()}.Describe(t.Context(), tt.want, false)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			// The run's own words have to leave those of the bucket alone.
			if err != nil && awsx.Clean(err).Error() != err.Error() && strings.Contains(tt.err, "bucket is") {
				t.Errorf("cleaned to %q, want %q", awsx.Clean(err), err)
			}
			if d := cmp.Diff(tt.live, live); tt.err == "" && d != "" {
				t.Errorf("want (-), got (+):\n%s", d)
			}
			if tt.calls != nil {
				if d := cmp.Diff(tt.calls, slices.Sorted(maps.Keys(e.counts()))); d != "" {
					t.Errorf("calls, want (-), got (+):\n%s", d)
				}
			}
			for _, x := range e.exchanges {
				if x.owner != account {
					t.Errorf("%s without the owner that is expected", x.call)
				}
			}
		})
	}
}

func TestCreateBucket(t *testing.T) {
	t.Parallel()
	for region, constraint := range map[string]string{"us-east-1": "", "eu-north-1": "eu-north-1"} {
		t.Run(region, func(t *testing.T) {
			t.Parallel()
			// The name was another bucket's a moment ago.
			e := serve(t, region, func(_ string, n int) (int, string) {
				if n < 2 {
					return 409, failure("OperationAborted")
				}
				return 200, ""
			})
			env := environment()
			env.Region = region
			want := spec.S3Bucket{Name: "data", Meta: spec.Meta{Tags: map[string]string{"a": "1"}}}
			if err := (Buckets{e, nil, env}).create(t.Context(), want, map[string]string{"a": "1", reconcile.Mark: "churn/dev"}); err != nil {
				t.Fatal(err)
			}
			if n := len(e.exchanges); n != 3 {
				t.Errorf("%d calls, want 3", n)
			}
			var got struct {
				LocationConstraint string
				Tags               []struct{ Key, Value string } `xml:"Tags>Tag"`
			}
			if err := xml.Unmarshal([]byte(e.exchanges[2].body), &got); err != nil {
				t.Fatal(err)
			}
			tags := map[string]string{}
			for _, tag := range got.Tags {
				tags[tag.Key] = tag.Value
			}
			if want := map[string]string{"a": "1", reconcile.Mark: "churn/dev"}; got.LocationConstraint != constraint || !maps.Equal(tags, want) {
				t.Errorf("sent %s, want the constraint %q and the tags %v", e.exchanges[2].body, constraint, want)
			}
		})
	}
}

func TestCreateBucketOfSomebodyElse(t *testing.T) {
	t.Parallel()
	e := serve(t, "eu-north-1", func(string, int) (int, string) { return 409, failure("BucketAlreadyExists") })
	if err := (Buckets{e, nil, environment()}).create(t.Context(), spec.S3Bucket{Name: "data"}, nil); awsx.Code(err) != "BucketAlreadyExists" || len(e.exchanges) != 1 {
		t.Errorf("%d calls, want 1 (%v)", len(e.exchanges), err)
	}
}

// S3 has no call for a single tag, and refuses a set without the tags of its
// own that are there.
func TestPutTags(t *testing.T) {
	t.Parallel()
	e := serve(t, "eu-north-1", func(string, int) (int, string) { return 204, "" })
	env := environment()
	env.IgnoreTags = []string{"org:*"}
	live := there()
	live.Is.Tags = map[string]string{
		"a": "1", "by": "hand", "org:team": "ml", "aws:cloudformation:stack-name": "s", "churn-reconcile:key": "k",
	}
	want := spec.S3Bucket{Name: "data", Meta: spec.Meta{Tags: map[string]string{"a": "2"}}}
	steps, err := reconcile.Between(Buckets{e, nil, env}, env, live, want)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"tags.a", "tags.by", "tags." + reconcile.Mark}, paths(steps)); d != "" {
		t.Fatalf("paths, want (-), got (+):\n%s", d)
	}
	if err := steps[0].Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Tags []struct{ Key, Value string } `xml:"TagSet>Tag"`
	}
	if err := xml.Unmarshal([]byte(e.exchanges[0].body), &got); err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{}
	for _, tag := range got.Tags {
		tags[tag.Key] = tag.Value
	}
	whole := map[string]string{
		"a": "2", "org:team": "ml", "aws:cloudformation:stack-name": "s", "churn-reconcile:key": "k", reconcile.Mark: "churn/dev",
	}
	delete(tags, reconcile.Applied)
	if d := cmp.Diff(whole, tags); d != "" {
		t.Errorf("want (-), got (+):\n%s", d)
	}
}

// What the spec leaves to S3 of a bucket's encryption stays as it is.
func TestPutEncryption(t *testing.T) {
	t.Parallel()
	e := serve(t, "eu-north-1", func(string, int) (int, string) { return 200, "" })
	live := there()
	live.Is.Encryption = &spec.S3Encryption{
		SSEAlgorithm: "aws:kms", KMSMasterKeyID: aws.String("arn:k1"), BucketKeyEnabled: aws.Bool(true), BlockedEncryptionTypes: []string{"SSE-C"},
	}
	steps, err := between(e, live, spec.S3Bucket{Encryption: &spec.S3Encryption{SSEAlgorithm: "aws:kms", KMSMasterKeyID: aws.String("arn:k2")}})
	if err != nil || len(calls(steps)) != 1 {
		t.Fatalf("steps %v, want one (%v)", calls(steps), err)
	}
	if err := steps[0].Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"<KMSMasterKeyID>arn:k2<", "<BucketKeyEnabled>true<", "<EncryptionType>SSE-C<"} {
		if !strings.Contains(e.exchanges[0].body, part) {
			t.Errorf("sent %s, want %s", e.exchanges[0].body, part)
		}
	}
	if got := aws.ToString(live.Is.Encryption.KMSMasterKeyID); got != "arn:k1" {
		t.Errorf("what is live was changed to %s", got)
	}
}

func TestBucketPatience(t *testing.T) {
	t.Parallel()
	statement := spec.Document(`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}]}`)
	tests := []struct {
		name  string
		want  spec.S3Bucket
		live  Live
		code  string
		calls int
		err   bool
	}{
		{"a new bucket that is not known everywhere", spec.S3Bucket{Policy: statement}, Live{}, "NoSuchBucket", 3, false},
		{"a bucket that is gone", spec.S3Bucket{Policy: statement}, there(), "NoSuchBucket", 1, true},
		{
			"a principal of this spec",
			spec.S3Bucket{Policy: statement, Meta: spec.Meta{Needs: []spec.ID{{Kind: spec.Role, Name: "r"}}}},
			there(), "MalformedPolicy", 3, false,
		},
		{"a principal that is nowhere", spec.S3Bucket{Policy: statement}, there(), "MalformedPolicy", 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := serve(t, "eu-north-1", func(_ string, n int) (int, string) {
				if n < 2 {
					return 400, failure(tt.code)
				}
				return 200, ""
			})
			steps, err := between(e, tt.live, tt.want)
			if err != nil {
				t.Fatal(err)
			}
			put := steps[slices.IndexFunc(steps, func(s reconcile.Step) bool { return s.Call == "s3:PutBucketPolicy" })]
			if err := put.Do(t.Context()); (err != nil) != tt.err {
				t.Errorf("error %v, want one: %t", err, tt.err)
			}
			if n := len(e.exchanges); n != tt.calls {
				t.Errorf("%d calls, want %d", n, tt.calls)
			}
		})
	}
}

// The size below which objects are not moved is a header, which a put without
// it sets back.
func TestMinimumSizeIsCarried(t *testing.T) {
	t.Parallel()
	const header = "X-Amz-Transition-Default-Minimum-Object-Size"
	for _, size := range []types.TransitionDefaultMinimumObjectSize{
		"", types.TransitionDefaultMinimumObjectSizeVariesByStorageClass,
	} {
		e := serve(t, "eu-north-1", func(string, int) (int, string) { return 200, "" })
		live := there()
		live.Facts.MinimumSize = size
		steps, err := between(e, live, spec.S3Bucket{LifecycleRules: []types.LifecycleRule{{
			ID: aws.String("a"), Status: "Enabled", Filter: &types.LifecycleRuleFilter{},
			Expiration: &types.LifecycleExpiration{Days: aws.Int32(1)},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := steps[0].Do(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := e.exchanges[0].header.Get(header); got != string(size) {
			t.Errorf("%s: %q, want %q", header, got, size)
		}
	}
}

// What a bucket's policy lets in, and what a denial in it kept out.
func TestBucketAccess(t *testing.T) {
	t.Parallel()
	policy := func(effect, principal, action string) spec.Document {
		return spec.Document(`{"Version":"2012-10-17","Statement":{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"` + action + `","Resource":"arn:aws:s3:::data/*"}}`)
	}
	public := policy("Allow", `"*"`, "s3:GetObject")
	deny := policy("Deny", `{"AWS":"arn:aws:iam::123456789012:user/u"}`, "s3:DeleteObject")
	for name, tt := range map[string]struct {
		isNew      bool
		live, want spec.Document
		lines      []string
	}{
		"public":            {false, nil, public, []string{"gains s3:GetObject on arn:aws:s3:::data/* for anyone; for example s3:GetObject on arn:aws:s3:::data/x"}},
		"public, new":       {true, nil, public, []string{"gains s3:GetObject on arn:aws:s3:::data/* for anyone; for example s3:GetObject on arn:aws:s3:::data/x"}},
		"public no more":    {false, public, spec.Document("{}"), []string{"loses s3:GetObject on arn:aws:s3:::data/* for anyone; for example s3:GetObject on arn:aws:s3:::data/x"}},
		"as it is":          {false, public, public, nil},
		"written otherwise": {false, public, policy("Allow", `{"AWS":["*"]}`, "S3:getobject"), nil},
		"a denial goes": {false, deny, spec.Document("{}"), []string{
			"gains s3:DeleteObject on arn:aws:s3:::data/* for arn:aws:iam::123456789012:user/u, where another policy allows it; for example s3:DeleteObject on arn:aws:s3:::data/x",
		}},
		"none": {false, nil, spec.Document("{}"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			live := there()
			live.Exists, live.Is.Policy = !tt.isNew, tt.live
			got := Buckets{nil, nil, environment()}.Access(live, spec.S3Bucket{Name: "data", Policy: tt.want})
			if diff := cmp.Diff(tt.lines, append([]string(nil), got...)); diff != "" {
				t.Errorf("access (-want +got):\n%s", diff)
			}
		})
	}
}
