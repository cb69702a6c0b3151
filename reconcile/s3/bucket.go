// Package s3 keeps buckets.
package s3

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/s3control"
	controltypes "github.com/aws/aws-sdk-go-v2/service/s3control/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// API is what a bucket needs of S3.
type API interface {
	CreateBucket(context.Context, *s3.CreateBucketInput, ...func(*s3.Options)) (*s3.CreateBucketOutput, error)
	DeleteBucket(context.Context, *s3.DeleteBucketInput, ...func(*s3.Options)) (*s3.DeleteBucketOutput, error)
	ObjectsAPI

	GetBucketAbac(context.Context, *s3.GetBucketAbacInput, ...func(*s3.Options)) (*s3.GetBucketAbacOutput, error)

	GetBucketTagging(context.Context, *s3.GetBucketTaggingInput, ...func(*s3.Options)) (*s3.GetBucketTaggingOutput, error)
	PutBucketTagging(context.Context, *s3.PutBucketTaggingInput, ...func(*s3.Options)) (*s3.PutBucketTaggingOutput, error)

	GetBucketVersioning(context.Context, *s3.GetBucketVersioningInput, ...func(*s3.Options)) (*s3.GetBucketVersioningOutput, error)
	PutBucketVersioning(context.Context, *s3.PutBucketVersioningInput, ...func(*s3.Options)) (*s3.PutBucketVersioningOutput, error)

	GetBucketEncryption(context.Context, *s3.GetBucketEncryptionInput, ...func(*s3.Options)) (*s3.GetBucketEncryptionOutput, error)
	PutBucketEncryption(context.Context, *s3.PutBucketEncryptionInput, ...func(*s3.Options)) (*s3.PutBucketEncryptionOutput, error)

	GetPublicAccessBlock(context.Context, *s3.GetPublicAccessBlockInput, ...func(*s3.Options)) (*s3.GetPublicAccessBlockOutput, error)
	PutPublicAccessBlock(context.Context, *s3.PutPublicAccessBlockInput, ...func(*s3.Options)) (*s3.PutPublicAccessBlockOutput, error)

	GetBucketOwnershipControls(context.Context, *s3.GetBucketOwnershipControlsInput, ...func(*s3.Options)) (*s3.GetBucketOwnershipControlsOutput, error)
	PutBucketOwnershipControls(context.Context, *s3.PutBucketOwnershipControlsInput, ...func(*s3.Options)) (*s3.PutBucketOwnershipControlsOutput, error)

	GetBucketLifecycleConfiguration(context.Context, *s3.GetBucketLifecycleConfigurationInput, ...func(*s3.Options)) (*s3.GetBucketLifecycleConfigurationOutput, error)
	PutBucketLifecycleConfiguration(context.Context, *s3.PutBucketLifecycleConfigurationInput, ...func(*s3.Options)) (*s3.PutBucketLifecycleConfigurationOutput, error)
	DeleteBucketLifecycle(context.Context, *s3.DeleteBucketLifecycleInput, ...func(*s3.Options)) (*s3.DeleteBucketLifecycleOutput, error)

	GetBucketPolicy(context.Context, *s3.GetBucketPolicyInput, ...func(*s3.Options)) (*s3.GetBucketPolicyOutput, error)
	PutBucketPolicy(context.Context, *s3.PutBucketPolicyInput, ...func(*s3.Options)) (*s3.PutBucketPolicyOutput, error)
	DeleteBucketPolicy(context.Context, *s3.DeleteBucketPolicyInput, ...func(*s3.Options)) (*s3.DeleteBucketPolicyOutput, error)
}

var _ API = (*s3.Client)(nil)

// ControlAPI is what a bucket needs of S3 Control.
type ControlAPI interface {
	TagResource(context.Context, *s3control.TagResourceInput, ...func(*s3control.Options)) (*s3control.TagResourceOutput, error)
	UntagResource(context.Context, *s3control.UntagResourceInput, ...func(*s3control.Options)) (*s3control.UntagResourceOutput, error)
}

var _ ControlAPI = (*s3control.Client)(nil)

// Live is what S3 has of a bucket.
type Live = reconcile.Live[spec.S3Bucket, Facts]

// Facts are what a spec has no word for.
type Facts struct {
	// MinimumSize is the size below which lifecycle rules move no object.
	MinimumSize types.TransitionDefaultMinimumObjectSize

	// ABAC says that access goes by tags, which then have calls of their own.
	// Only a bucket about to be tagged needs to know.
	ABAC bool
}

// Buckets keeps the buckets of an account.
type Buckets struct {
	API     API
	Control ControlAPI
	Env     reconcile.Env
}

var (
	_ reconcile.Kind[spec.S3Bucket, Facts]    = Buckets{}
	_ reconcile.Granter[spec.S3Bucket, Facts] = Buckets{}
)

// Describe reads a bucket.
func (b Buckets) Describe(ctx context.Context, want spec.S3Bucket, all bool) (Live, error) {
	live := Live{Exists: true, Is: spec.S3Bucket{Name: want.Name}}
	name, owner, is := &want.Name, &b.Env.Account, &live.Is
	var reads awsx.Reads
	// Each property is a call of its own, and HeadBucket would be one more:
	// an absent bucket shows as NoSuchBucket in any of them.
	read := func(managed bool, absent string, get func() error) {
		if !managed && !all {
			return
		}
		reads.Go(func() error {
			err := get()
			if err == nil || absent != "" && awsx.Code(err) == absent {
				return nil
			}
			switch awsx.Code(err) {
			case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
				return fmt.Errorf("the bucket is in another region than %s, and a bucket cannot move: %w", b.Env.Region, awsx.Clean(err))
			case "AccessDenied":
				// Names are shared by all accounts, and S3 does not tell a
				// stranger's bucket from one that may not be read.
				return fmt.Errorf("the bucket is not account %s's, or the permission is missing: %w", b.Env.Account, awsx.Clean(err))
			}
			return err
		})
	}
	read(true, "NoSuchTagSet", func() error {
		out, err := b.API.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: name, ExpectedBucketOwner: owner})
		if err == nil {
			if out.TagSet == nil {
				return awsx.Hollow("s3:GetBucketTagging", "TagSet", out.ResultMetadata)
			}
			is.Tags = tagMap(out.TagSet)
		}
		return err
	})
	read(want.Versioning != "", "", func() error {
		out, err := b.API.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: name, ExpectedBucketOwner: owner})
		if err == nil {
			is.Versioning = string(out.Status)
		}
		return err
	})
	read(want.Encryption != nil, "ServerSideEncryptionConfigurationNotFoundError", func() error {
		out, err := b.API.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: name, ExpectedBucketOwner: owner})
		if err == nil {
			if out.ServerSideEncryptionConfiguration == nil || len(out.ServerSideEncryptionConfiguration.Rules) == 0 {
				return awsx.Hollow("s3:GetBucketEncryption", "Rule", out.ResultMetadata)
			}
			is.Encryption = encryption(out.ServerSideEncryptionConfiguration.Rules[0])
		}
		return err
	})
	read(want.PublicAccessBlock != nil, "NoSuchPublicAccessBlockConfiguration", func() error {
		out, err := b.API.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: name, ExpectedBucketOwner: owner})
		is.PublicAccessBlock = &spec.S3PublicAccessBlock{} // no configuration: nothing is blocked
		if err == nil {
			// S3 answers all four, whatever was put.
			if c := out.PublicAccessBlockConfiguration; c == nil || *c == (types.PublicAccessBlockConfiguration{}) {
				return awsx.Hollow("s3:GetPublicAccessBlock", "PublicAccessBlockConfiguration", out.ResultMetadata)
			}
			is.PublicAccessBlock = accessBlock(*out.PublicAccessBlockConfiguration)
		}
		return err
	})
	read(want.ObjectOwnership != "", "OwnershipControlsNotFoundError", func() error {
		out, err := b.API.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: name, ExpectedBucketOwner: owner})
		if err == nil {
			if out.OwnershipControls == nil || len(out.OwnershipControls.Rules) == 0 {
				return awsx.Hollow("s3:GetBucketOwnershipControls", "Rule", out.ResultMetadata)
			}
			is.ObjectOwnership = string(out.OwnershipControls.Rules[0].ObjectOwnership)
		}
		return err
	})
	read(want.LifecycleRules != nil, "NoSuchLifecycleConfiguration", func() error {
		out, err := b.API.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: name, ExpectedBucketOwner: owner})
		if err == nil {
			if out.Rules == nil {
				return awsx.Hollow("s3:GetBucketLifecycleConfiguration", "Rule", out.ResultMetadata)
			}
			is.LifecycleRules, live.Facts.MinimumSize = out.Rules, out.TransitionDefaultMinimumObjectSize
		}
		return err
	})
	read(want.Policy.Given(), "NoSuchBucketPolicy", func() error {
		out, err := b.API.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: name, ExpectedBucketOwner: owner})
		if err == nil {
			if aws.ToString(out.Policy) == "" {
				return awsx.Hollow("s3:GetBucketPolicy", "policy", out.ResultMetadata)
			}
			is.Policy = spec.Document(*out.Policy)
		}
		return err
	})
	if err := reads.Wait(); err != nil {
		if awsx.Code(err) == "NoSuchBucket" {
			return Live{}, nil
		}
		return Live{}, err
	}
	// Of what cannot be compared the plan tells.
	steps, err := reconcile.Between(b, b.Env, live, want)
	if err == nil && slices.ContainsFunc(steps, func(s reconcile.Step) bool { return s.Call == "s3:PutBucketTagging" }) {
		live.Facts.ABAC, err = b.abac(ctx, want.Name)
		return live, err
	}
	return live, nil
}

// abac says whether access to the bucket goes by its tags. PutBucketTagging is
// then refused, and S3 Control's calls take its place.
func (b Buckets) abac(ctx context.Context, name string) (bool, error) {
	out, err := b.API.GetBucketAbac(ctx, &s3.GetBucketAbacInput{Bucket: &name, ExpectedBucketOwner: &b.Env.Account})
	switch awsx.Code(err) {
	// It is off unless somebody has turned it on. Permissions and endpoints
	// that are older than it know nothing of it, and PutBucketTagging will say
	// where that was a wrong guess.
	case "AccessDenied", "NotImplemented", "MethodNotAllowed":
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return out.AbacStatus != nil && out.AbacStatus.Status == types.BucketAbacStatusEnabled, nil
}

// Complete keeps what the spec leaves to S3 within an encryption, and takes a
// lifecycle rule without an ID, which S3 gives one of its own, for the live
// rule that says the same.
func (b Buckets) Complete(live Live, want spec.S3Bucket) (spec.S3Bucket, error) {
	if was, e := live.Is.Encryption, want.Encryption; was != nil && e != nil {
		complete := *e
		if e.KMSMasterKeyID == nil && e.SSEAlgorithm == was.SSEAlgorithm {
			complete.KMSMasterKeyID = was.KMSMasterKeyID
		}
		complete.BucketKeyEnabled = cmp.Or(e.BucketKeyEnabled, was.BucketKeyEnabled)
		if e.BlockedEncryptionTypes == nil {
			complete.BlockedEncryptionTypes = was.BlockedEncryptionTypes
		}
		want.Encryption = &complete
	}
	want.LifecycleRules = identified(live.Is.LifecycleRules, want.LifecycleRules)
	return want, nil
}

// Normal is a bucket in the form in which buckets are compared.
func (b Buckets) Normal(bucket spec.S3Bucket) (map[string]any, error) {
	tree := spec.Tree(bucket)
	delete(tree, "name")
	delete(tree, "forceDestroy")
	if e, ok := tree["encryption"].(map[string]any); ok {
		// S3 answers false where it was never set, and NONE where no type of
		// encryption is blocked.
		if bucket.Encryption.BucketKeyEnabled == nil {
			e["bucketKeyEnabled"] = false
		}
		delete(e, "blockedEncryptionTypes")
		if blocked := bucket.Encryption.BlockedEncryptionTypes; len(blocked) > 0 && !slices.Equal(blocked, []string{"NONE"}) {
			e["blockedEncryptionTypes"] = reconcile.Set(blocked)
		}
	}
	tree["lifecycleRules"] = rulesTree(bucket.LifecycleRules)
	return tree, policy.Normal(tree, "policy")
}

// Brief leaves out what a new bucket has: keys of S3's own, no public access and
// no ACLs. Which types of encryption a new bucket blocks has changed over time.
func (b Buckets) Brief(bucket spec.S3Bucket) spec.S3Bucket {
	if e := bucket.Encryption; e != nil {
		brief := *e
		if !aws.ToBool(e.BucketKeyEnabled) {
			brief.BucketKeyEnabled = nil
		}
		brief.BlockedEncryptionTypes = nil
		bucket.Encryption = &brief
		if e.SSEAlgorithm == string(types.ServerSideEncryptionAes256) && brief.BucketKeyEnabled == nil {
			bucket.Encryption = nil
		}
	}
	if p := bucket.PublicAccessBlock; p != nil && *p == (spec.S3PublicAccessBlock{
		BlockPublicAcls: true, IgnorePublicAcls: true, BlockPublicPolicy: true, RestrictPublicBuckets: true,
	}) {
		bucket.PublicAccessBlock = nil
	}
	if bucket.ObjectOwnership == string(types.ObjectOwnershipBucketOwnerEnforced) {
		bucket.ObjectOwnership = ""
	}
	return bucket
}

// Access is what the bucket's policy lets in by itself. Whether S3 blocks a
// public one is not looked at.
func (b Buckets) Access(live Live, want spec.S3Bucket) []string {
	return policy.ResourceLines(b.Env.Account, "", !live.Exists, live.Is.Policy, want.Policy)
}

// Diff lists the steps in the order that S3 wants them in: ownership controls,
// public access block and policy side by side answer OperationAborted.
func (b Buckets) Diff(live Live, want spec.S3Bucket, c reconcile.Changes) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	do := func(write func(context.Context, spec.S3Bucket) error) func(context.Context) error {
		return b.onceVisible(live.Exists, func(ctx context.Context) error { return write(ctx, want) })
	}

	if !live.Exists {
		steps.Add("s3:CreateBucket", "create",
			[]reconcile.Diff{{Path: "name", After: want.Name}, {Path: "region", After: b.Env.Region}},
			func(ctx context.Context) error { return b.create(ctx, want, c.Tags.Whole) })
		// A new bucket is tagged at birth, and once more: there are endpoints
		// that ignore the tags of CreateBucket, and the mark must not get lost.
		b.tag(&steps, live, want, c.Tags)
	}
	steps.Add("s3:PutBucketOwnershipControls", "set the object ownership of", c.Of("objectOwnership"), do(b.putOwnership))
	steps.Add("s3:PutPublicAccessBlock", "set the public access block of", c.Of("publicAccessBlock"), do(b.putPublicAccessBlock))
	// A new bucket has the block on.
	loosened := want.PublicAccessBlock != nil && !want.PublicAccessBlock.BlockPublicPolicy &&
		(!live.Exists || live.Is.PublicAccessBlock.BlockPublicPolicy)
	if want.Policy.Empty() {
		steps.Add("s3:DeleteBucketPolicy", "remove the policy of", c.Of("policy"), do(b.deletePolicy))
	} else {
		steps.Add("s3:PutBucketPolicy", "set the policy of", c.Of("policy"), do(
			func(ctx context.Context, want spec.S3Bucket) error { return b.putPolicy(ctx, want, loosened) }))
	}
	steps.Add("s3:PutBucketVersioning", "set the versioning of", c.Of("versioning"), do(b.putVersioning))
	steps.Add("s3:PutBucketEncryption", "set the encryption of", c.Of("encryption"), do(b.putEncryption))
	if len(want.LifecycleRules) == 0 {
		steps.Add("s3:DeleteBucketLifecycle", "remove the lifecycle rules of", c.Of("lifecycleRules"), do(b.deleteLifecycle))
	} else {
		steps.Add("s3:PutBucketLifecycleConfiguration", "set the lifecycle rules of", c.Of("lifecycleRules"), do(
			func(ctx context.Context, want spec.S3Bucket) error {
				return b.putLifecycle(ctx, want, live.Facts.MinimumSize)
			}))
	}
	if live.Exists {
		b.tag(&steps, live, want, c.Tags)
	}
	return steps.List, nil
}

// Permissions are what a bucket's calls need. IAM has names of its own for some
// of them.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
func (b Buckets) Permissions(want spec.S3Bucket) []reconcile.Permission {
	p := reconcile.Permissions{On: []string{*b.Env.ARN(want.ID(), "")}}
	p.Read("s3:GetBucketTagging", "s3:GetBucketAbac")
	p.Write("s3:CreateBucket", "s3:PutBucketTagging", "s3:TagResource", "s3:UntagResource")
	p.Also(reconcile.Writing, "s3:CreateBucket", "s3:TagResource")
	if want.Versioning != "" {
		p.Read("s3:GetBucketVersioning")
		p.Write("s3:PutBucketVersioning")
	}
	if want.Encryption != nil {
		p.Also(reconcile.Reading, "s3:GetBucketEncryption", "s3:GetEncryptionConfiguration")
		p.Also(reconcile.Writing, "s3:PutBucketEncryption", "s3:PutEncryptionConfiguration")
	}
	if want.PublicAccessBlock != nil {
		p.Also(reconcile.Reading, "s3:GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock")
		p.Also(reconcile.Writing, "s3:PutPublicAccessBlock", "s3:PutBucketPublicAccessBlock")
	}
	if want.ObjectOwnership != "" {
		p.Read("s3:GetBucketOwnershipControls")
		p.Write("s3:PutBucketOwnershipControls")
	}
	if want.LifecycleRules != nil {
		write := "s3:PutBucketLifecycleConfiguration"
		if len(want.LifecycleRules) == 0 {
			write = "s3:DeleteBucketLifecycle"
		}
		p.Also(reconcile.Reading, "s3:GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration")
		p.Also(reconcile.Writing, write, "s3:PutLifecycleConfiguration")
	}
	if want.Policy.Given() {
		p.Read("s3:GetBucketPolicy")
		if want.Policy.Empty() {
			p.Write("s3:DeleteBucketPolicy")
		} else {
			p.Write("s3:PutBucketPolicy")
		}
	}
	p.Delete("s3:DeleteBucket")
	p.Also(reconcile.Deleting, "s3:ListObjectVersions", "s3:ListBucketVersions")
	if !want.ForceDestroy {
		p.Also(reconcile.Deleting, "s3:ListMultipartUploads", "s3:ListBucketMultipartUploads")
		return p.List
	}
	p.Also(reconcile.Deleting, "s3:AbortMultipartUpload", "s3:ListBucketMultipartUploads")
	p.Also(reconcile.Deleting, "s3:GetObjectLockConfiguration", "s3:GetBucketObjectLockConfiguration")
	p.On = []string{*b.Env.ARN(want.ID(), "") + "/*"}
	p.Delete("s3:AbortMultipartUpload")
	for _, action := range []string{"s3:DeleteObject", "s3:DeleteObjectVersion"} {
		p.Also(reconcile.Deleting, "s3:DeleteObjects", action)
	}
	for _, action := range []string{"s3:GetObjectVersion", "s3:GetObjectRetention", "s3:GetObjectLegalHold"} {
		p.Also(reconcile.Deleting, "s3:HeadObject", action)
	}
	return p.List
}

// createBudget covers a bucket that was deleted a moment ago: until S3 has
// let go of the name everywhere, CreateBucket answers OperationAborted.
const createBudget = 5 * time.Minute

// visibleBudget covers the time until a bucket just created is known to all
// of S3.
const visibleBudget = 2 * time.Minute

func (b Buckets) create(ctx context.Context, want spec.S3Bucket, tags map[string]string) error {
	in := &s3.CreateBucketInput{
		Bucket: &want.Name,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{
			Tags: tagSet(tags),
		},
	}
	// A name of the account's own namespace has to be said to be one.
	if strings.HasSuffix(want.Name, "-an") {
		in.BucketNamespace = types.BucketNamespaceAccountRegional
	}
	// us-east-1 is the one region that is not to be named.
	if b.Env.Region != "us-east-1" {
		in.CreateBucketConfiguration.LocationConstraint = types.BucketLocationConstraint(b.Env.Region)
	}
	passing := func(err error) bool { return awsx.Code(err) == "OperationAborted" }
	return awsx.Patiently(ctx, b.Env.Pause, createBudget, passing, func(ctx context.Context) error {
		_, err := b.API.CreateBucket(ctx, in)
		return err
	})
}

// onceVisible waits for a bucket just created, which is not known to all of S3
// at once.
func (b Buckets) onceVisible(exists bool, do func(context.Context) error) func(context.Context) error {
	if exists {
		return do
	}
	passing := func(err error) bool { return awsx.Code(err) == "NoSuchBucket" }
	return func(ctx context.Context) error { return awsx.Patiently(ctx, b.Env.Pause, visibleBudget, passing, do) }
}

// tag appends the steps that write tags.
func (b Buckets) tag(steps *reconcile.Steps, live Live, want spec.S3Bucket, c reconcile.TagChanges) {
	if live.Facts.ABAC {
		b.tagByControl(steps, want, c)
		return
	}
	steps.Put(c, "s3:PutBucketTagging", c.Lines, b.onceVisible(live.Exists, func(ctx context.Context) error {
		return b.putTags(ctx, want, c.Whole, live.Is.Tags)
	}))
}

// putTags writes the whole set, as S3 knows no other way.
func (b Buckets) putTags(ctx context.Context, want spec.S3Bucket, tags, live map[string]string) error {
	whole := maps.Clone(tags)
	// S3 alone wants AWS's own tags sent along, as CloudFormation's on a
	// bucket: "System tags cannot be removed by requester".
	for key, value := range live {
		if strings.HasPrefix(key, "aws:") {
			whole[key] = value
		}
	}
	_, err := b.API.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{
		Bucket: &want.Name, ExpectedBucketOwner: &b.Env.Account,
		Tagging: &types.Tagging{TagSet: tagSet(whole)},
	})
	return err
}

// tagByControl appends the steps for the tags of a bucket that has ABAC turned
// on.
func (b Buckets) tagByControl(steps *reconcile.Steps, want spec.S3Bucket, c reconcile.TagChanges) {
	arn := b.Env.ARN(want.ID(), "")
	steps.Tag(c,
		"s3:TagResource", func(ctx context.Context) error {
			var list []controltypes.Tag
			for _, t := range tagSet(c.Put) {
				list = append(list, controltypes.Tag{Key: t.Key, Value: t.Value})
			}
			_, err := b.Control.TagResource(ctx, &s3control.TagResourceInput{AccountId: &b.Env.Account, ResourceArn: arn, Tags: list})
			return err
		},
		"s3:UntagResource", func(ctx context.Context) error {
			_, err := b.Control.UntagResource(ctx, &s3control.UntagResourceInput{AccountId: &b.Env.Account, ResourceArn: arn, TagKeys: c.Remove})
			return err
		})
}

func (b Buckets) putOwnership(ctx context.Context, want spec.S3Bucket) error {
	_, err := b.API.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{
		Bucket: &want.Name, ExpectedBucketOwner: &b.Env.Account,
		OwnershipControls: &types.OwnershipControls{
			Rules: []types.OwnershipControlsRule{{ObjectOwnership: types.ObjectOwnership(want.ObjectOwnership)}},
		},
	})
	return err
}

func (b Buckets) putPublicAccessBlock(ctx context.Context, want spec.S3Bucket) error {
	block := want.PublicAccessBlock
	_, err := b.API.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
		Bucket: &want.Name, ExpectedBucketOwner: &b.Env.Account,
		PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
			BlockPublicAcls: &block.BlockPublicAcls, IgnorePublicAcls: &block.IgnorePublicAcls,
			BlockPublicPolicy: &block.BlockPublicPolicy, RestrictPublicBuckets: &block.RestrictPublicBuckets,
		},
	})
	return err
}

// loosenedBudget covers an access block that was loosened a moment ago: for
// some seconds S3 goes on refusing a public policy with AccessDenied. A missing
// permission looks the same, so it is short.
const loosenedBudget = 30 * time.Second

func (b Buckets) putPolicy(ctx context.Context, want spec.S3Bucket, loosened bool) error {
	// A principal of this spec that was created just before is unknown to S3
	// for a while. For any other, a refusal is a refusal.
	young := slices.ContainsFunc(want.Needs, func(id spec.ID) bool { return id.Kind == spec.Role || id.Kind == spec.User })
	passing := func(err error) bool {
		return young && awsx.Code(err) == "MalformedPolicy" && awsx.Mentions(err, "invalid principal")
	}
	blocked := func(err error) bool { return loosened && awsx.Code(err) == "AccessDenied" }
	return awsx.Patiently(ctx, b.Env.Pause, visibleBudget, passing, func(ctx context.Context) error {
		return awsx.Patiently(ctx, b.Env.Pause, loosenedBudget, blocked, func(ctx context.Context) error {
			_, err := b.API.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{
				Bucket: &want.Name, ExpectedBucketOwner: &b.Env.Account, Policy: aws.String(string(want.Policy)),
			})
			return err
		})
	})
}

func (b Buckets) deletePolicy(ctx context.Context, want spec.S3Bucket) error {
	_, err := b.API.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{
		Bucket: &want.Name, ExpectedBucketOwner: &b.Env.Account,
	})
	return err
}

func (b Buckets) putVersioning(ctx context.Context, want spec.S3Bucket) error {
	_, err := b.API.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: &want.Name, ExpectedBucketOwner: &b.Env.Account,
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatus(want.Versioning)},
	})
	return err
}

func (b Buckets) putEncryption(ctx context.Context, want spec.S3Bucket) error {
	e := want.Encryption
	rule := types.ServerSideEncryptionRule{
		ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{
			SSEAlgorithm: types.ServerSideEncryption(e.SSEAlgorithm), KMSMasterKeyID: e.KMSMasterKeyID,
		},
		BucketKeyEnabled: e.BucketKeyEnabled,
	}
	if e.BlockedEncryptionTypes != nil {
		rule.BlockedEncryptionTypes = &types.BlockedEncryptionTypes{}
		for _, t := range e.BlockedEncryptionTypes {
			rule.BlockedEncryptionTypes.EncryptionType = append(rule.BlockedEncryptionTypes.EncryptionType, types.EncryptionType(t))
		}
	}
	_, err := b.API.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{
		Bucket: &want.Name, ExpectedBucketOwner: &b.Env.Account,
		ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{rule}},
	})
	return err
}

func (b Buckets) putLifecycle(ctx context.Context, want spec.S3Bucket, minimumSize types.TransitionDefaultMinimumObjectSize) error {
	_, err := b.API.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
		Bucket: &want.Name, ExpectedBucketOwner: &b.Env.Account,
		LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: want.LifecycleRules},
		// A put without it would fall back to the default, so what is there
		// goes along.
		TransitionDefaultMinimumObjectSize: minimumSize,
	})
	return err
}

func (b Buckets) deleteLifecycle(ctx context.Context, want spec.S3Bucket) error {
	_, err := b.API.DeleteBucketLifecycle(ctx, &s3.DeleteBucketLifecycleInput{
		Bucket: &want.Name, ExpectedBucketOwner: &b.Env.Account,
	})
	return err
}

func encryption(rule types.ServerSideEncryptionRule) *spec.S3Encryption {
	e := &spec.S3Encryption{BucketKeyEnabled: rule.BucketKeyEnabled}
	if def := rule.ApplyServerSideEncryptionByDefault; def != nil {
		e.SSEAlgorithm, e.KMSMasterKeyID = string(def.SSEAlgorithm), def.KMSMasterKeyID
	}
	if blocked := rule.BlockedEncryptionTypes; blocked != nil {
		for _, t := range blocked.EncryptionType {
			e.BlockedEncryptionTypes = append(e.BlockedEncryptionTypes, string(t))
		}
	}
	return e
}

func accessBlock(c types.PublicAccessBlockConfiguration) *spec.S3PublicAccessBlock {
	return &spec.S3PublicAccessBlock{
		BlockPublicAcls: aws.ToBool(c.BlockPublicAcls), IgnorePublicAcls: aws.ToBool(c.IgnorePublicAcls),
		BlockPublicPolicy: aws.ToBool(c.BlockPublicPolicy), RestrictPublicBuckets: aws.ToBool(c.RestrictPublicBuckets),
	}
}

func tagSet(tags map[string]string) []types.Tag {
	set := make([]types.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		set = append(set, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return set
}

func tagMap(set []types.Tag) map[string]string {
	tags := make(map[string]string, len(set))
	for _, t := range set {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return tags
}

// Tags reads the tags that a bucket has now.
func (b Buckets) Tags(ctx context.Context, want spec.S3Bucket) (map[string]string, error) {
	out, err := b.API.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: &want.Name, ExpectedBucketOwner: &b.Env.Account})
	switch awsx.Code(err) {
	case "NoSuchBucket":
		return nil, nil
	case "NoSuchTagSet":
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	if out.TagSet == nil {
		return nil, awsx.Hollow("s3:GetBucketTagging", "TagSet", out.ResultMetadata)
	}
	return tagMap(out.TagSet), nil
}

// Holders tells what is in the bucket, unless the spec says that it may go, and
// then what S3 does not let go.
func (b Buckets) Holders(ctx context.Context, _ Live, want spec.S3Bucket) ([]reconcile.Holder, error) {
	find, do := b.content, "empty it, or say forceDestroy: true of it in the spec"
	if want.ForceDestroy {
		find, do = b.locked, "wait until then, or lift the lock where you may"
	}
	found, err := find(ctx, want.Name)
	if err != nil {
		if awsx.Code(err) == "NoSuchBucket" {
			return nil, nil
		}
		return nil, err
	}
	if len(found) == 0 {
		return nil, nil
	}
	const most = 3
	if len(found) > most {
		found = append(found[:most:most], fmt.Sprintf("and %d more", len(found)-most))
	}
	return []reconcile.Holder{{What: strings.Join(found, ", "), Do: do}}, nil
}

// Delete lists the steps that take a bucket away, and before it what is in it
// where the spec says that this may go as well.
func (b Buckets) Delete(_ Live, want spec.S3Bucket) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	if want.ForceDestroy {
		steps.Add("s3:AbortMultipartUpload", "end the uploads to", []reconcile.Diff{{Path: "uploads", Before: "whatever is unfinished"}},
			ignoring("NoSuchBucket", func(ctx context.Context) error { return b.abort(ctx, want.Name) }))
		steps.Add("s3:DeleteObjects", "empty", []reconcile.Diff{{Path: "objects", Before: "every version"}},
			ignoring("NoSuchBucket", func(ctx context.Context) error { return b.empty(ctx, want.Name) }))
	}
	steps.Add("s3:DeleteBucket", "delete", []reconcile.Diff{{Path: "name", Before: want.Name}},
		ignoring("NoSuchBucket", func(ctx context.Context) error { return b.delete(ctx, want) }))
	return steps.List, nil
}

// ignoring takes an error for a success: the answer was lost, and the call made
// again, or somebody else was faster.
func ignoring(code string, do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		err := do(ctx)
		if awsx.Code(err) == code {
			return nil
		}
		return err
	}
}

// deleteBudget covers what is written to a bucket while it is emptied, as by a
// log delivery that knows nothing of its end, and OperationAborted, which S3
// answers while another change of the bucket is under way.
const deleteBudget = 2 * time.Minute

func (b Buckets) delete(ctx context.Context, want spec.S3Bucket) error {
	passing := func(err error) bool {
		return awsx.Code(err) == "OperationAborted" || want.ForceDestroy && awsx.Code(err) == "BucketNotEmpty"
	}
	var filled bool
	return awsx.Patiently(ctx, b.Env.Pause, deleteBudget, passing, func(ctx context.Context) error {
		if filled {
			if err := b.empty(ctx, want.Name); err != nil {
				return err
			}
		}
		_, err := b.API.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &want.Name, ExpectedBucketOwner: &b.Env.Account})
		filled = awsx.Code(err) == "BucketNotEmpty"
		return err
	})
}
