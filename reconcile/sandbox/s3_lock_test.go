package sandbox

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
)

// A locked version stays, whichever call is to delete it, and others go.
func TestObjectLock(t *testing.T) {
	c := serve(t, Options{}).s3(testRegion)
	ctx := t.Context()
	name := aws.String("locked")
	must[*s3.CreateBucketOutput](t)(c.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: name, ObjectLockEnabledForBucket: aws.Bool(true),
		CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: testRegion},
	}))
	until := start.Add(24 * time.Hour)
	put := func(key string, in s3.PutObjectInput) *string {
		t.Helper()
		in.Bucket, in.Key, in.Body = name, &key, strings.NewReader(key)
		return must[*s3.PutObjectOutput](t)(c.PutObject(ctx, &in)).VersionId
	}
	governed := put("governed", s3.PutObjectInput{ObjectLockMode: s3types.ObjectLockModeGovernance, ObjectLockRetainUntilDate: &until})
	complied := put("complied", s3.PutObjectInput{ObjectLockMode: s3types.ObjectLockModeCompliance, ObjectLockRetainUntilDate: &until})
	held := put("held", s3.PutObjectInput{ObjectLockLegalHoldStatus: s3types.ObjectLockLegalHoldStatusOn})
	free := put("free", s3.PutObjectInput{})

	head := must[*s3.HeadObjectOutput](t)(c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: name, Key: aws.String("governed"), VersionId: governed}))
	if head.ObjectLockMode != s3types.ObjectLockModeGovernance || !head.ObjectLockRetainUntilDate.Equal(until) {
		t.Errorf("head tells the lock %s until %s, want GOVERNANCE until %s", head.ObjectLockMode, head.ObjectLockRetainUntilDate, until)
	}

	drop := func(key string, id *string, bypass bool) func(context.Context) error {
		return func(ctx context.Context) error {
			in := &s3.DeleteObjectInput{Bucket: name, Key: &key, VersionId: id}
			if bypass {
				in.BypassGovernanceRetention = &bypass
			}
			return erase(c.DeleteObject(ctx, in))
		}
	}
	hold := func(status s3types.ObjectLockLegalHoldStatus) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(c.PutObjectLegalHold(ctx, &s3.PutObjectLegalHoldInput{
				Bucket: name, Key: aws.String("held"), LegalHold: &s3types.ObjectLockLegalHold{Status: status},
			}))
		}
	}
	shorten := func(key string) func(context.Context) error {
		return func(ctx context.Context) error {
			soon := start.Add(time.Hour)
			return erase(c.PutObjectRetention(ctx, &s3.PutObjectRetentionInput{
				Bucket: name, Key: &key, Retention: &s3types.ObjectLockRetention{Mode: s3types.ObjectLockRetentionModeCompliance, RetainUntilDate: &soon},
			}))
		}
	}
	out := must[*s3.DeleteObjectsOutput](t)(c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: name, Delete: &s3types.Delete{Objects: []s3types.ObjectIdentifier{
		{Key: aws.String("governed"), VersionId: governed}, {Key: aws.String("free"), VersionId: free},
	}}}))
	if len(out.Errors) != 1 || aws.ToString(out.Errors[0].Key) != "governed" || aws.ToString(out.Errors[0].Code) != "AccessDenied" ||
		len(out.Deleted) != 1 || aws.ToString(out.Deleted[0].Key) != "free" {
		t.Errorf("deleted %v, errors %v, want free, and AccessDenied for governed", out.Deleted, out.Errors)
	}
	runRefusals(t, []refusal{
		{"suspend versioning", func(ctx context.Context) error {
			return erase(c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
				Bucket: name, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusSuspended},
			}))
		}, "InvalidBucketState"},
		{"under compliance", drop("complied", complied, true), "AccessDenied"},
		{"compliance shortened", shorten("complied"), "AccessDenied"},
		{"under governance", drop("governed", governed, false), "AccessDenied"},
		{"governance bypassed", drop("governed", governed, true), ""},
		{"a marker over a locked version", drop("complied", nil, false), ""},
		{"held", drop("held", held, false), "AccessDenied"},
		{"hold ended", hold("OFF"), ""},
		{"no longer held", drop("held", held, false), ""},
	})
}

// A bucket without a lock takes none.
func TestNoObjectLock(t *testing.T) {
	c, name := serveS3(t)
	until := start.Add(time.Hour)
	key := aws.String("key")
	runRefusals(t, []refusal{
		{"its configuration", func(ctx context.Context) error {
			return erase(c.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: name}))
		}, "ObjectLockConfigurationNotFoundError"},
		{"without versions", func(ctx context.Context) error {
			return erase(c.PutObjectLockConfiguration(ctx, &s3.PutObjectLockConfigurationInput{
				Bucket: name, ObjectLockConfiguration: &s3types.ObjectLockConfiguration{ObjectLockEnabled: s3types.ObjectLockEnabledEnabled},
			}))
		}, "InvalidBucketState"},
		{"put with one", func(ctx context.Context) error {
			return erase(c.PutObject(ctx, &s3.PutObjectInput{
				Bucket: name, Key: key, Body: strings.NewReader("x"),
				ObjectLockMode: s3types.ObjectLockModeGovernance, ObjectLockRetainUntilDate: &until,
			}))
		}, "InvalidRequest"},
	})
}

// A listing goes on behind what it has shown, whatever was deleted meanwhile.
func TestVersionsInPages(t *testing.T) {
	c, name := serveS3(t)
	ctx := t.Context()
	must[*s3.PutBucketVersioningOutput](t)(c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: name, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled},
	}))
	for _, key := range []string{"a", "b", "a", "b", "b"} {
		must[*s3.PutObjectOutput](t)(c.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: &key, Body: strings.NewReader(key)}))
	}
	must[*s3.DeleteObjectOutput](t)(c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: name, Key: aws.String("a")}))
	for _, deleting := range []bool{false, true} {
		var seen []string
		pages := s3.NewListObjectVersionsPaginator(c, &s3.ListObjectVersionsInput{Bucket: name, MaxKeys: aws.Int32(2)})
		for pages.HasMorePages() {
			page := must[*s3.ListObjectVersionsOutput](t)(pages.NextPage(ctx))
			var ids []s3types.ObjectIdentifier
			for _, m := range page.DeleteMarkers {
				seen, ids = append(seen, "marker "+*m.Key), append(ids, s3types.ObjectIdentifier{Key: m.Key, VersionId: m.VersionId})
			}
			for _, v := range page.Versions {
				text := *v.Key
				if *v.IsLatest {
					text += " latest"
				}
				seen, ids = append(seen, text), append(ids, s3types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
			}
			if deleting {
				must[*s3.DeleteObjectsOutput](t)(c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: name, Delete: &s3types.Delete{Objects: ids}}))
			}
		}
		// Where what came before on a page of its own is gone, the next is the
		// latest.
		want := []string{"marker a", "a", "a", "b latest", "b", "b"}
		if deleting {
			want[2], want[4] = "a latest", "b latest"
		}
		if d := cmp.Diff(want, seen); d != "" {
			t.Errorf("deleting %v (-want +got):\n%s", deleting, d)
		}
	}
	must[*s3.DeleteBucketOutput](t)(c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: name}))
}

func TestUploadsInPages(t *testing.T) {
	c, name := serveS3(t)
	ctx := t.Context()
	var want []string
	for i := range 5 {
		key := fmt.Sprint("k", i/2)
		must[*s3.CreateMultipartUploadOutput](t)(c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: name, Key: &key}))
		want = append(want, key)
	}
	var seen []string
	pages := s3.NewListMultipartUploadsPaginator(c, &s3.ListMultipartUploadsInput{Bucket: name, MaxUploads: aws.Int32(2)})
	for pages.HasMorePages() {
		for _, u := range must[*s3.ListMultipartUploadsOutput](t)(pages.NextPage(ctx)).Uploads {
			seen = append(seen, *u.Key)
		}
	}
	if d := cmp.Diff(want, seen); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// The state's file keeps versions, their order and their locks.
func TestVersionsAreKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	name, key := aws.String("kept"), aws.String("key")
	open := func(do func(context.Context, *s3.Client)) {
		t.Helper()
		e := serve(t, Options{State: file})
		do(t.Context(), e.s3(testRegion))
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	open(func(ctx context.Context, c *s3.Client) {
		must[*s3.CreateBucketOutput](t)(c.CreateBucket(ctx, &s3.CreateBucketInput{
			Bucket: name, ObjectLockEnabledForBucket: aws.Bool(true),
			CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: testRegion},
		}))
		for _, text := range []string{"old", "new"} {
			must[*s3.PutObjectOutput](t)(c.PutObject(ctx, &s3.PutObjectInput{
				Bucket: name, Key: key, Body: strings.NewReader(text), ObjectLockLegalHoldStatus: s3types.ObjectLockLegalHoldStatusOn,
			}))
		}
	})
	open(func(ctx context.Context, c *s3.Client) {
		out := must[*s3.GetObjectOutput](t)(c.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: key}))
		if *out.ContentLength != 3 || out.ObjectLockLegalHoldStatus != s3types.ObjectLockLegalHoldStatusOn {
			t.Errorf("%d bytes, legal hold %q, want 3 and ON", *out.ContentLength, out.ObjectLockLegalHoldStatus)
		}
		if n := len(must[*s3.ListObjectVersionsOutput](t)(c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: name})).Versions); n != 2 {
			t.Errorf("%d versions, want 2", n)
		}
	})
}
