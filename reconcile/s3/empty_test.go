package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// versionsVar is how many versions TestEmpty deletes.
const versionsVar = "CHURN_TEST_VERSIONS"

var epoch = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)

// A bucket is one called data on a sandbox.
type bucket struct {
	*s3.Client
	server *sandbox.Server
	fault  atomic.Pointer[func(sandbox.Call, sandbox.Phase) sandbox.Fault]
	kind   Buckets
}

func newBucket(t *testing.T, in s3.CreateBucketInput) *bucket {
	t.Helper()
	b := &bucket{}
	server, err := sandbox.New(sandbox.Options{
		Now: func() time.Time { return epoch },
		Intercept: func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
			if f := b.fault.Load(); f != nil {
				return (*f)(c, p)
			}
			return sandbox.None
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.server = server
	endpoint := httptest.NewServer(server)
	t.Cleanup(endpoint.Close)
	b.Client = s3.New(s3.Options{
		Region: "eu-north-1", BaseEndpoint: &endpoint.URL, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	})
	env := environment()
	env.AWSNow = func() time.Time { return epoch }
	b.kind = Buckets{b.Client, nil, env}
	in.Bucket = aws.String("data")
	in.CreateBucketConfiguration = &types.CreateBucketConfiguration{
		LocationConstraint: "eu-north-1", Tags: tagSet(map[string]string{reconcile.Mark: "churn/dev"}),
	}
	if _, err := b.CreateBucket(t.Context(), &in); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bucket) version(t *testing.T, status types.BucketVersioningStatus) {
	t.Helper()
	_, err := b.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: aws.String("data"), VersioningConfiguration: &types.VersioningConfiguration{Status: status},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bucket) put(t *testing.T, key string, in s3.PutObjectInput) {
	t.Helper()
	in.Bucket, in.Key, in.Body = aws.String("data"), &key, strings.NewReader("x")
	if _, err := b.PutObject(t.Context(), &in); err != nil {
		t.Fatal(err)
	}
}

// delete does the steps that delete the bucket.
func (b *bucket) delete(ctx context.Context, force bool) error {
	steps, err := b.kind.Delete(Live{Exists: true}, spec.S3Bucket{Name: "data", ForceDestroy: force})
	if err != nil {
		return err
	}
	for _, s := range steps {
		if err := s.Do(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bucket) exists(t *testing.T) bool {
	t.Helper()
	tags, err := b.kind.Tags(t.Context(), spec.S3Bucket{Name: "data"})
	if err != nil {
		t.Fatal(err)
	}
	return tags != nil
}

// All versions go, markers and unfinished uploads among them, a page of them in
// a call.
func TestEmpty(t *testing.T) {
	t.Parallel()
	many := 3000
	if v := os.Getenv(versionsVar); v != "" {
		var err error
		if many, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	b := newBucket(t, s3.CreateBucketInput{})
	b.put(t, "before versioning", s3.PutObjectInput{})
	b.version(t, types.BucketVersioningStatusEnabled)
	var puts errgroup.Group
	puts.SetLimit(8)
	for i := range many {
		puts.Go(func() error {
			// Three versions of each key, and a marker on some.
			key := fmt.Sprintf("dir/%d", i/3)
			if i%30 == 29 {
				_, err := b.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("data"), Key: &key})
				return err
			}
			_, err := b.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("data"), Key: &key, Body: strings.NewReader("x")})
			return err
		})
	}
	if err := puts.Wait(); err != nil {
		t.Fatal(err)
	}
	b.version(t, types.BucketVersioningStatusSuspended)
	b.put(t, "dir/0", s3.PutObjectInput{})
	for i := range 3 {
		_, err := b.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String("data"), Key: aws.String(fmt.Sprint("big", i))})
		if err != nil {
			t.Fatal(err)
		}
	}

	began := time.Now()
	if err := b.delete(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d versions deleted in %s", many+2, time.Since(began))
	if b.exists(t) {
		t.Error("the bucket is still there")
	}
	calls := map[string]int{}
	for _, c := range b.server.Calls() {
		calls[c.Operation]++
	}
	pages := (many + 2 + 999) / 1000
	if calls["DeleteObjects"] != pages || calls["ListObjectVersions"] != pages || calls["AbortMultipartUpload"] != 3 {
		t.Errorf("%d lists, %d deletes, %d aborts; want %d, %d and 3",
			calls["ListObjectVersions"], calls["DeleteObjects"], calls["AbortMultipartUpload"], pages, pages)
	}
	// Once more, as after a lost answer.
	if err := b.delete(t.Context(), true); err != nil {
		t.Errorf("deleted again: %v", err)
	}
}

func TestDeleteBucketWithoutForce(t *testing.T) {
	t.Parallel()
	b := newBucket(t, s3.CreateBucketInput{})
	b.put(t, "key", s3.PutObjectInput{})
	if err := b.delete(t.Context(), false); awsx.Code(err) != "BucketNotEmpty" {
		t.Errorf("error %v, want BucketNotEmpty", err)
	}
	if _, err := b.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("data"), Key: aws.String("key")}); err != nil {
		t.Errorf("the object: %v", err)
	}
}

// What is written while the bucket is emptied goes as well.
func TestDeleteBucketFilledAgain(t *testing.T) {
	t.Parallel()
	b := newBucket(t, s3.CreateBucketInput{})
	b.put(t, "key", s3.PutObjectInput{})
	late := false
	fault := func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
		if c.Operation == "DeleteBucket" && p == sandbox.Before && !late {
			late = true
			b.put(t, "late", s3.PutObjectInput{})
		}
		return sandbox.None
	}
	b.fault.Store(&fault)
	if err := b.delete(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if b.exists(t) {
		t.Error("the bucket is still there")
	}
}

func TestBucketHolders(t *testing.T) {
	t.Parallel()
	until := epoch.Add(24 * time.Hour)
	retained := s3.PutObjectInput{ObjectLockMode: types.ObjectLockModeCompliance, ObjectLockRetainUntilDate: &until}
	lockable := s3.CreateBucketInput{ObjectLockEnabledForBucket: aws.Bool(true)}
	for _, tt := range []struct {
		name   string
		in     s3.CreateBucketInput
		fill   func(*testing.T, *bucket)
		kept   string // without forceDestroy
		locked string // with it
	}{
		{name: "empty", fill: func(*testing.T, *bucket) {}},
		{name: "an object", fill: func(t *testing.T, b *bucket) { b.put(t, "key", s3.PutObjectInput{}) }, kept: "1 object"},
		{name: "two objects, and an upload", fill: func(t *testing.T, b *bucket) {
			b.put(t, "key", s3.PutObjectInput{})
			b.put(t, "other", s3.PutObjectInput{})
			if _, err := b.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String("data"), Key: aws.String("big")}); err != nil {
				t.Fatal(err)
			}
		}, kept: "2 objects, 1 unfinished upload"},
		{name: "a marker only", fill: func(t *testing.T, b *bucket) {
			b.version(t, types.BucketVersioningStatusEnabled)
			if _, err := b.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("data"), Key: aws.String("key")}); err != nil {
				t.Fatal(err)
			}
		}, kept: "1 version of objects, old ones and delete markers among them"},
		{name: "lockable, and not locked", in: lockable, fill: func(t *testing.T, b *bucket) { b.put(t, "key", s3.PutObjectInput{}) }, kept: "1 object"},
		{
			name: "locked", in: lockable,
			fill: func(t *testing.T, b *bucket) {
				b.put(t, "free", s3.PutObjectInput{})
				b.put(t, "held", s3.PutObjectInput{ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatusOn})
				b.put(t, "retained", retained)
			},
			kept:   "3 objects",
			locked: "held is under a legal hold, retained is retained until 2026-11-24 18:00:00",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(t, tt.in)
			tt.fill(t, b)
			for _, force := range []bool{true, false} {
				want := tt.kept
				if force {
					want = tt.locked
				}
				holders, err := b.kind.Holders(t.Context(), Live{Exists: true}, spec.S3Bucket{Name: "data", ForceDestroy: force})
				if err != nil {
					t.Fatal(err)
				}
				var got string
				for _, h := range holders {
					if got += h.What; h.Do == "" {
						t.Errorf("%q says nothing of what to do", h.What)
					}
				}
				if got != want {
					t.Errorf("forceDestroy %v: held by %q, want %q", force, got, want)
				}
			}
			// The bucket can be deleted where nothing holds it, and only there.
			if err := b.kind.delete(t.Context(), spec.S3Bucket{Name: "data"}); (err == nil) != (tt.kept == "") {
				t.Errorf("deleted: %v, though it is held by %q", err, tt.kept)
			}
		})
	}
	t.Run("gone", func(t *testing.T) {
		t.Parallel()
		b := newBucket(t, s3.CreateBucketInput{})
		if err := b.delete(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		for _, force := range []bool{false, true} {
			if holders, err := b.kind.Holders(t.Context(), Live{Exists: true}, spec.S3Bucket{Name: "data", ForceDestroy: force}); err != nil || len(holders) > 0 {
				t.Errorf("held by %v, %v, want nothing", holders, err)
			}
		}
	})
}

// A version that S3 does not let go is named, the bucket stays, and no more
// is begun.
func TestEmptyMeetsALock(t *testing.T) {
	t.Parallel()
	until := epoch.Add(time.Hour)
	b := newBucket(t, s3.CreateBucketInput{ObjectLockEnabledForBucket: aws.Bool(true)})
	b.put(t, "free", s3.PutObjectInput{})
	b.put(t, "retained", s3.PutObjectInput{ObjectLockMode: types.ObjectLockModeGovernance, ObjectLockRetainUntilDate: &until})
	err := b.delete(t.Context(), true)
	if err == nil || !strings.Contains(err.Error(), "s3 does not delete retained (version ") || !strings.Contains(err.Error(), "AccessDenied") ||
		!strings.Contains(err.Error(), "1 version deleted, others are left") {
		t.Errorf("error %v, want one that names the version", err)
	}
	if !b.exists(t) {
		t.Error("the bucket is gone")
	}
}

// Single keys that S3 is too busy for are asked for again, others are errors.
func TestBusyKeys(t *testing.T) {
	t.Parallel()
	key := func(name, code string) string {
		return "<Error><Key>" + name + "</Key><VersionId>1</VersionId><Code>" + code + "</Code><Message>the message</Message></Error>"
	}
	answer := func(errs ...string) string { return "<DeleteResult>" + strings.Join(errs, "") + "</DeleteResult>" }
	for _, tt := range []struct {
		name    string
		answers []string // the last one is repeated
		calls   int      // 0: until the budget is spent
		left    int
		error   string
	}{
		{"all gone", []string{answer()}, 1, 0, ""},
		{"gone already", []string{answer(key("a", "NoSuchVersion"))}, 1, 0, ""},
		{"busy once", []string{answer(key("a", "SlowDown"), key("b", "InternalError")), answer(key("b", "ServiceUnavailable")), answer()}, 3, 0, ""},
		{"busy for good", []string{answer(key("a", "SlowDown"))}, 0, 1, "s3 was too busy for a"},
		{"denied", []string{answer(key("a", "SlowDown"), key("b", "AccessDenied"))}, 1, 2, "s3 does not delete b (version 1): AccessDenied: the message"},
		{"all denied", []string{answer(slices.Repeat([]string{key("a", "AccessDenied")}, 5)...)}, 1, 5, "and 2 more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := serve(t, "eu-north-1", func(_ string, n int) (int, string) {
				return 200, tt.answers[min(n, len(tt.answers)-1)]
			})
			var ids []types.ObjectIdentifier
			for _, name := range []string{"a", "b", "c", "d", "e"} {
				ids = append(ids, types.ObjectIdentifier{Key: &name, VersionId: aws.String("1")})
			}
			left, err := Buckets{e, nil, environment()}.deleteVersions(t.Context(), "data", ids)
			if left != tt.left || (err != nil) != (tt.error != "") || err != nil && !strings.Contains(err.Error(), tt.error) {
				t.Errorf("%d left, error %v; want %d, %q", left, err, tt.left, tt.error)
			}
			calls := e.counts()["POST delete"]
			if tt.calls > 0 && calls != tt.calls || tt.calls == 0 && calls < 5 {
				t.Errorf("%d calls, want %d", calls, tt.calls)
			}
			if tt.name == "busy once" && strings.Contains(e.exchanges[2].body, "<Key>a</Key>") {
				t.Error("what was deleted is asked for again")
			}
		})
	}
}

// page is a listing of one version that has more behind it.
const page = "<ListVersionsResult><IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker><NextVersionIdMarker>1</NextVersionIdMarker>" +
	"<Version><Key>a</Key><VersionId>1</VersionId><IsLatest>true</IsLatest></Version></ListVersionsResult>"

// An interrupt ends a deletion between two calls. What it has deleted is said,
// so that nobody takes it for one that was not begun.
func TestEmptyInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	e := serve(t, "eu-north-1", func(call string, n int) (int, string) {
		if !strings.HasPrefix(call, "POST") {
			return 200, page
		}
		if n == 1 {
			cancel(reconcile.ErrInterrupted)
		}
		return 200, "<DeleteResult></DeleteResult>"
	})
	err := Buckets{e, nil, environment()}.empty(ctx, "data")
	if err == nil || !strings.Contains(err.Error(), "deleted, others are left") || errors.Is(err, reconcile.ErrInterrupted) {
		t.Errorf("error %v, want one that says what was deleted", err)
	}
}

func TestMoreThanAPage(t *testing.T) {
	t.Parallel()
	e := serve(t, "eu-north-1", func(call string, _ int) (int, string) {
		if strings.Contains(call, "uploads") {
			return 200, "<ListMultipartUploadsResult></ListMultipartUploadsResult>"
		}
		return 200, page
	})
	holders, err := Buckets{e, nil, environment()}.Holders(t.Context(), Live{Exists: true}, spec.S3Bucket{Name: "data"})
	if err != nil || len(holders) != 1 || holders[0].What != "more than 1 object" {
		t.Errorf("held by %v, %v; want more than 1 object", holders, err)
	}
}

// Deleting is a list of steps that nothing is asked for.
func TestDeleteBucketSteps(t *testing.T) {
	t.Parallel()
	for force, want := range map[bool][]string{
		false: {"s3:DeleteBucket"},
		true:  {"s3:AbortMultipartUpload", "s3:DeleteObjects", "s3:DeleteBucket"},
	} {
		steps, err := Buckets{Env: environment()}.Delete(there(), spec.S3Bucket{Name: "data", ForceDestroy: force})
		if diff := cmp.Diff(want, calls(steps)); diff != "" || err != nil {
			t.Errorf("forceDestroy %v: %v (-want +got):\n%s", force, err, diff)
		}
		for _, s := range steps {
			for _, d := range s.Diffs {
				if d.Before == nil || d.After != nil {
					t.Errorf("%s has the line %v, which takes nothing away", s.Call, d)
				}
			}
		}
	}
}

// A budget is spent on what passes, and on nothing else.
func TestDeleteBucketPatience(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		codes []string
		force bool
		calls int
		code  string
	}{
		{"another change is under way", []string{"OperationAborted", "OperationAborted", ""}, false, 3, ""},
		{"gone", []string{"NoSuchBucket"}, false, 1, ""},
		{"not empty", []string{"BucketNotEmpty"}, false, 1, "BucketNotEmpty"},
		{"filled again", []string{"BucketNotEmpty", ""}, true, 2, ""},
		{"denied", []string{"AccessDenied"}, true, 1, "AccessDenied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := serve(t, "eu-north-1", func(call string, n int) (int, string) {
				if call != "DELETE" {
					return 200, "<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>"
				}
				if code := tt.codes[min(n, len(tt.codes)-1)]; code != "" {
					return 409, failure(code)
				}
				return 204, ""
			})
			steps, err := Buckets{e, nil, environment()}.Delete(Live{}, spec.S3Bucket{Name: "data", ForceDestroy: tt.force})
			if err != nil {
				t.Fatal(err)
			}
			err = steps[len(steps)-1].Do(t.Context())
			if awsx.Code(err) != tt.code || (err != nil) != (tt.code != "") {
				t.Errorf("error %v, want %q", err, tt.code)
			}
			if n := e.counts()["DELETE"]; n != tt.calls {
				t.Errorf("%d calls, want %d", n, tt.calls)
			}
			for _, x := range e.exchanges {
				if x.owner != account {
					t.Errorf("%s goes to a bucket of anybody's", x.call)
				}
			}
		})
	}
}
