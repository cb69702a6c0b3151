package s3

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
)

// ObjectsAPI is what emptying a bucket needs of S3.
type ObjectsAPI interface {
	s3.ListObjectVersionsAPIClient
	s3.ListMultipartUploadsAPIClient
	GetObjectLockConfiguration(context.Context, *s3.GetObjectLockConfigurationInput, ...func(*s3.Options)) (*s3.GetObjectLockConfigurationOutput, error)
	HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
	DeleteObjects(context.Context, *s3.DeleteObjectsInput, ...func(*s3.Options)) (*s3.DeleteObjectsOutput, error)
	AbortMultipartUpload(context.Context, *s3.AbortMultipartUploadInput, ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error)
}

// atATime is how many batches are under way side by side. Each holds a page of
// the listing in memory, and nothing else is kept of it.
const atATime = 4

// content says what is in a bucket, and counts no further than a page.
func (b Buckets) content(ctx context.Context, name string) ([]string, error) {
	var objects, uploads string
	var reads awsx.Reads
	reads.Go(func() error {
		out, err := b.API.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: &name, ExpectedBucketOwner: &b.Env.Account})
		if err != nil {
			return err
		}
		if out.IsTruncated == nil {
			return awsx.Hollow("s3:ListObjectVersions", "IsTruncated", out.ResultMetadata)
		}
		latest := func(v types.ObjectVersion) bool { return aws.ToBool(v.IsLatest) }
		old := slices.ContainsFunc(out.Versions, func(v types.ObjectVersion) bool { return !latest(v) })
		if !old && len(out.DeleteMarkers) == 0 {
			objects = count(len(out.Versions), *out.IsTruncated, "object")
		} else {
			objects = count(len(out.Versions)+len(out.DeleteMarkers), *out.IsTruncated, "version") + " of objects, old ones and delete markers among them"
		}
		return nil
	})
	reads.Go(func() error {
		out, err := b.API.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &name, ExpectedBucketOwner: &b.Env.Account})
		if err != nil {
			return err
		}
		uploads = count(len(out.Uploads), aws.ToBool(out.IsTruncated), "unfinished upload")
		return nil
	})
	if err := reads.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc([]string{objects, uploads}, func(s string) bool { return s == "" }), nil
}

// count is a number of things for people, "" for none.
func count(n int, more bool, thing string) string {
	switch {
	case n == 0:
		return ""
	case n != 1:
		thing += "s"
	}
	if more {
		return fmt.Sprintf("more than %d %s", n, thing)
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// looked is how many versions are asked, one by one, whether they are locked:
// a call each, where a thousand are deleted in one.
const looked = 1000

// locked finds versions that S3 does not let go. Only a bucket that was made
// for it has them, and S3 lists versions without their locks: those of a large
// bucket show when they are to be deleted.
func (b Buckets) locked(ctx context.Context, name string) ([]string, error) {
	_, err := b.API.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &name, ExpectedBucketOwner: &b.Env.Account})
	switch awsx.Code(err) {
	// NotImplemented is an endpoint's that knows no locks.
	case "ObjectLockConfigurationNotFoundError", "NotImplemented":
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	page, err := b.API.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{
		Bucket: &name, ExpectedBucketOwner: &b.Env.Account, MaxKeys: aws.Int32(looked),
	})
	if err != nil {
		return nil, err
	}
	locks := make([]string, len(page.Versions))
	var heads errgroup.Group
	heads.SetLimit(4 * atATime)
	for i, v := range page.Versions {
		heads.Go(func() error {
			out, err := b.API.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &name, ExpectedBucketOwner: &b.Env.Account, Key: v.Key, VersionId: v.VersionId})
			if code := awsx.Code(err); code == "NotFound" || code == "NoSuchKey" || code == "NoSuchVersion" {
				return nil
			}
			if err != nil {
				return err
			}
			if out.ObjectLockLegalHoldStatus == types.ObjectLockLegalHoldStatusOn {
				locks[i] = fmt.Sprintf("%s is under a legal hold", *v.Key)
			} else if until := aws.ToTime(out.ObjectLockRetainUntilDate); out.ObjectLockMode != "" && until.After(b.Env.AWSNow()) {
				locks[i] = fmt.Sprintf("%s is retained until %s", *v.Key, until.UTC().Format(time.DateTime))
			}
			return nil
		})
	}
	if err := heads.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(locks, func(s string) bool { return s == "" }), nil
}

// empty deletes every version and delete marker, a page of the listing in a
// call, and tells how far it is. After the first that S3 does not let go it
// begins no more.
func (b Buckets) empty(ctx context.Context, name string) error {
	var done tally
	var batches errgroup.Group
	batches.SetLimit(atATime)
	pages := s3.NewListObjectVersionsPaginator(b.API, &s3.ListObjectVersionsInput{Bucket: &name, ExpectedBucketOwner: &b.Env.Account})
	var listing error
	for pages.HasMorePages() && !done.failed() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			listing = err
			break
		}
		ids := make([]types.ObjectIdentifier, 0, len(page.Versions)+len(page.DeleteMarkers))
		for _, v := range page.Versions {
			ids = append(ids, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
		}
		for _, m := range page.DeleteMarkers {
			ids = append(ids, types.ObjectIdentifier{Key: m.Key, VersionId: m.VersionId})
		}
		if len(ids) == 0 {
			continue
		}
		batches.Go(func() error {
			left, err := b.deleteVersions(ctx, name, ids)
			done.add(ctx, len(ids)-left, err)
			return err
		})
	}
	return done.wrap(errors.Join(listing, batches.Wait()))
}

// A tally counts what is deleted by several at once.
type tally struct {
	mu      sync.Mutex
	deleted int
	err     error
}

func (t *tally) add(ctx context.Context, deleted int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deleted += deleted
	t.err = errors.Join(t.err, err)
	reconcile.Progress(ctx, count(t.deleted, false, "version")+" deleted")
}

func (t *tally) failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err != nil
}

// wrap says with the error that something was deleted, so that nobody takes an
// interrupt for one that came before.
func (t *tally) wrap(err error) error {
	if err == nil || t.deleted == 0 {
		return err
	}
	return fmt.Errorf("%s deleted, others are left: %s", count(t.deleted, false, "version"), awsx.Clean(err))
}

// keyBudget covers single keys of a call that S3 was too busy for. The call
// itself has succeeded then, and the SDK does not repeat it.
const keyBudget = 30 * time.Second

// deleteVersions deletes up to a thousand versions and says how many are left.
// The call answers success whatever becomes of them: those that stay are
// listed in it.
func (b Buckets) deleteVersions(ctx context.Context, name string, ids []types.ObjectIdentifier) (left int, err error) {
	poll := awsx.Poll{Pause: b.Env.Pause, Budget: keyBudget}
	for {
		out, err := b.API.DeleteObjects(ctx, &s3.DeleteObjectsInput{
			Bucket: &name, ExpectedBucketOwner: &b.Env.Account,
			Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)},
		})
		if err != nil {
			return len(ids), err
		}
		var busy []types.ObjectIdentifier
		var refused []string
		for _, e := range out.Errors {
			switch code := aws.ToString(e.Code); code {
			case "NoSuchKey", "NoSuchVersion": // gone already
			case "InternalError", "ServiceUnavailable", "SlowDown":
				busy = append(busy, types.ObjectIdentifier{Key: e.Key, VersionId: e.VersionId})
			default:
				refused = append(refused, fmt.Sprintf("%s (version %s): %s: %s", aws.ToString(e.Key), aws.ToString(e.VersionId), code, aws.ToString(e.Message)))
			}
		}
		switch {
		case len(refused) > 0:
			left := len(refused) + len(busy)
			const most = 3
			if len(refused) > most {
				refused = append(refused[:most:most], fmt.Sprintf("and %d more", len(refused)-most))
			}
			return left, fmt.Errorf("s3 does not delete %s", strings.Join(refused, "; "))
		case len(busy) == 0:
			return 0, nil
		}
		if ids = busy; !poll.Again(ctx) {
			return len(ids), fmt.Errorf("s3 was too busy for %s, and %d others", aws.ToString(busy[0].Key), len(busy)-1)
		}
	}
}

// abort ends every unfinished upload, a call each, as S3 has no other.
func (b Buckets) abort(ctx context.Context, name string) error {
	pages := s3.NewListMultipartUploadsPaginator(b.API, &s3.ListMultipartUploadsInput{Bucket: &name, ExpectedBucketOwner: &b.Env.Account})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		var aborts errgroup.Group
		aborts.SetLimit(4 * atATime)
		for _, u := range page.Uploads {
			aborts.Go(func() error {
				_, err := b.API.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
					Bucket: &name, ExpectedBucketOwner: &b.Env.Account, Key: u.Key, UploadId: u.UploadId,
				})
				if awsx.Code(err) == "NoSuchUpload" { // ended meanwhile
					return nil
				}
				return err
			})
		}
		if err := aborts.Wait(); err != nil {
			return err
		}
	}
	return nil
}
