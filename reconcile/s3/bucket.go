// Package s3 keeps buckets.
package s3

import (
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

// Bucket keeps one bucket.
type Bucket struct {
	api     API
	control ControlAPI
	env     reconcile.Env
	want    spec.S3Bucket
}

// NewBucket prepares a bucket of the spec.
func NewBucket(api API, control ControlAPI, env reconcile.Env, want spec.S3Bucket) *Bucket {
	return &Bucket{api: api, control: control, env: env, want: want}
}

// ID is the bucket's address.
func (b *Bucket) ID() spec.ID { return spec.ID{Kind: spec.Bucket, Name: b.want.Name} }

// Needs lists what the spec's bucket refers to.
func (b *Bucket) Needs() []spec.ID { return b.want.Needs }

// Plan reads the bucket and says what is to do.
func (b *Bucket) Plan(ctx context.Context) (reconcile.Plan, error) {
	live, err := b.describe(ctx)
	if err != nil {
		return reconcile.Plan{}, err
	}
	// Only a bucket about to be tagged needs to know by which call.
	if _, _, tags, err := b.env.Tags(b.want.Tags).Diff(live.tags); err == nil && live.exists && len(tags) > 0 {
		if live.abac, err = b.abac(ctx); err != nil {
			return reconcile.Plan{}, err
		}
	}
	steps, err := b.diff(live)
	return reconcile.Plan{Exists: live.exists, Steps: steps}, err
}

// bucket is what S3 has. Only what the spec manages is read; the rest stays
// zero.
type bucket struct {
	exists            bool
	tags              map[string]string
	abac              bool                         // access goes by tags, which then have calls of their own
	versioning        types.BucketVersioningStatus // "": never set
	encryption        *types.ServerSideEncryptionRule
	publicAccessBlock *types.PublicAccessBlockConfiguration
	objectOwnership   types.ObjectOwnership
	lifecycle         lifecycle
	policy            []byte
}

func (b *Bucket) describe(ctx context.Context) (bucket, error) {
	live := bucket{exists: true}
	name, owner := &b.want.Name, &b.env.Account
	var reads awsx.Reads
	// Each property is a call of its own, and HeadBucket would be one more:
	// an absent bucket shows as NoSuchBucket in any of them.
	read := func(managed bool, absent string, get func() error) {
		if !managed {
			return
		}
		reads.Go(func() error {
			err := get()
			if err == nil || absent != "" && awsx.Code(err) == absent {
				return nil
			}
			switch awsx.Code(err) {
			case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
				return fmt.Errorf("the bucket is in another region than %s, and a bucket cannot move: %w", b.env.Region, awsx.Clean(err))
			case "AccessDenied":
				// Names are shared by all accounts, and S3 does not tell a
				// stranger's bucket from one that may not be read.
				return fmt.Errorf("the bucket is not account %s's, or the permission is missing: %w", b.env.Account, awsx.Clean(err))
			}
			return err
		})
	}
	read(true, "NoSuchTagSet", func() error {
		out, err := b.api.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: name, ExpectedBucketOwner: owner})
		if err == nil {
			if out.TagSet == nil {
				return awsx.Hollow("s3:GetBucketTagging", "TagSet", out.ResultMetadata)
			}
			live.tags = make(map[string]string, len(out.TagSet))
			for _, t := range out.TagSet {
				live.tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
			}
		}
		return err
	})
	read(b.want.Versioning != "", "", func() error {
		out, err := b.api.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: name, ExpectedBucketOwner: owner})
		if err == nil {
			live.versioning = out.Status
		}
		return err
	})
	read(b.want.Encryption != nil, "ServerSideEncryptionConfigurationNotFoundError", func() error {
		out, err := b.api.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: name, ExpectedBucketOwner: owner})
		if err == nil {
			if out.ServerSideEncryptionConfiguration == nil || len(out.ServerSideEncryptionConfiguration.Rules) == 0 {
				return awsx.Hollow("s3:GetBucketEncryption", "Rule", out.ResultMetadata)
			}
			live.encryption = &out.ServerSideEncryptionConfiguration.Rules[0]
		}
		return err
	})
	read(b.want.PublicAccessBlock != nil, "NoSuchPublicAccessBlockConfiguration", func() error {
		out, err := b.api.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: name, ExpectedBucketOwner: owner})
		if err == nil {
			// S3 answers all four, whatever was put.
			if is := out.PublicAccessBlockConfiguration; is == nil || *is == (types.PublicAccessBlockConfiguration{}) {
				return awsx.Hollow("s3:GetPublicAccessBlock", "PublicAccessBlockConfiguration", out.ResultMetadata)
			}
			live.publicAccessBlock = out.PublicAccessBlockConfiguration
		}
		return err
	})
	read(b.want.ObjectOwnership != "", "OwnershipControlsNotFoundError", func() error {
		out, err := b.api.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: name, ExpectedBucketOwner: owner})
		if err == nil {
			if out.OwnershipControls == nil || len(out.OwnershipControls.Rules) == 0 {
				return awsx.Hollow("s3:GetBucketOwnershipControls", "Rule", out.ResultMetadata)
			}
			live.objectOwnership = out.OwnershipControls.Rules[0].ObjectOwnership
		}
		return err
	})
	read(b.want.LifecycleRules != nil, "NoSuchLifecycleConfiguration", func() error {
		out, err := b.api.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: name, ExpectedBucketOwner: owner})
		if err == nil {
			if out.Rules == nil {
				return awsx.Hollow("s3:GetBucketLifecycleConfiguration", "Rule", out.ResultMetadata)
			}
			live.lifecycle = lifecycle{rules: out.Rules, minimumSize: out.TransitionDefaultMinimumObjectSize}
		}
		return err
	})
	read(b.want.Policy.Given(), "NoSuchBucketPolicy", func() error {
		out, err := b.api.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: name, ExpectedBucketOwner: owner})
		if err == nil {
			if aws.ToString(out.Policy) == "" {
				return awsx.Hollow("s3:GetBucketPolicy", "policy", out.ResultMetadata)
			}
			live.policy = []byte(*out.Policy)
		}
		return err
	})
	if err := reads.Wait(); err != nil {
		if awsx.Code(err) == "NoSuchBucket" {
			return bucket{}, nil
		}
		return bucket{}, err
	}
	return live, nil
}

// abac says whether access to the bucket goes by its tags. PutBucketTagging is
// then refused, and S3 Control's calls take its place.
func (b *Bucket) abac(ctx context.Context) (bool, error) {
	out, err := b.api.GetBucketAbac(ctx, &s3.GetBucketAbacInput{Bucket: &b.want.Name, ExpectedBucketOwner: &b.env.Account})
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

// diff lists the steps from live to want, in the order that S3 wants them in:
// ownership controls, public access block and policy side by side answer
// OperationAborted.
func (b *Bucket) diff(live bucket) ([]reconcile.Step, error) {
	var steps []reconcile.Step
	step := func(call, does string, diffs []reconcile.Diff, do func(context.Context) error) {
		if len(diffs) == 0 {
			return
		}
		if !live.exists && call != "s3:CreateBucket" {
			do = b.onceVisible(do)
		}
		steps = append(steps, reconcile.Step{
			Call: call, Does: does + " " + b.ID().String(), Diffs: diffs, Do: do,
		})
	}

	if !live.exists {
		step("s3:CreateBucket", "create",
			[]reconcile.Diff{{Path: "name", After: b.want.Name}, {Path: "region", After: b.env.Region}}, b.create)
	}

	tags := b.env.Tags(b.want.Tags)
	_, _, diffs, err := tags.Diff(live.tags)
	if err != nil {
		return nil, err
	}
	if live.abac {
		tagging, err := tags.Steps(b.ID(), live.tags, b.tagCalls())
		if err != nil {
			return nil, err
		}
		steps = append(steps, tagging...)
	} else {
		// A new bucket is tagged at birth, and once more: there are endpoints
		// that ignore the tags of CreateBucket, and the mark must not get lost.
		step("s3:PutBucketTagging", "tag", diffs, func(ctx context.Context) error {
			whole := tags.Whole(live.tags)
			// S3 alone wants AWS's own tags sent along, as CloudFormation's on a
			// bucket: "System tags cannot be removed by requester".
			for key, value := range live.tags {
				if strings.HasPrefix(key, "aws:") {
					whole[key] = value
				}
			}
			return b.putTags(ctx, whole)
		})
	}

	if b.want.ObjectOwnership != "" {
		step("s3:PutBucketOwnershipControls", "set the object ownership of",
			reconcile.Compare("objectOwnership", reconcile.OrNil(string(live.objectOwnership)), b.want.ObjectOwnership), b.putOwnership)
	}
	if want := b.want.PublicAccessBlock; want != nil {
		step("s3:PutPublicAccessBlock", "set the public access block of",
			reconcile.Compare("publicAccessBlock", accessBlock(live), map[string]any{
				"blockPublicAcls": want.BlockPublicAcls, "ignorePublicAcls": want.IgnorePublicAcls,
				"blockPublicPolicy": want.BlockPublicPolicy, "restrictPublicBuckets": want.RestrictPublicBuckets,
			}), b.putPublicAccessBlock)
	}
	loosened := false
	if want := b.want.PublicAccessBlock; want != nil && !want.BlockPublicPolicy {
		// A new bucket has the block on.
		loosened = !live.exists || live.publicAccessBlock != nil && aws.ToBool(live.publicAccessBlock.BlockPublicPolicy)
	}
	if b.want.Policy.Given() {
		diffs, err := policyDiff(live.policy, b.want.Policy)
		if err != nil {
			return nil, err
		}
		if b.want.Policy.Empty() {
			step("s3:DeleteBucketPolicy", "remove the policy of", diffs, b.deletePolicy)
		} else {
			step("s3:PutBucketPolicy", "set the policy of", diffs, func(ctx context.Context) error { return b.putPolicy(ctx, loosened) })
		}
	}
	if b.want.Versioning != "" {
		step("s3:PutBucketVersioning", "set the versioning of",
			reconcile.Compare("versioning", reconcile.OrNil(string(live.versioning)), b.want.Versioning), b.putVersioning)
	}
	if b.want.Encryption != nil {
		rule := encryptionRule(live.encryption, b.want.Encryption)
		step("s3:PutBucketEncryption", "set the encryption of",
			reconcile.Compare("encryption", encryptionTree(live.encryption), encryptionTree(&rule)),
			func(ctx context.Context) error { return b.putEncryption(ctx, rule) })
	}
	if b.want.LifecycleRules != nil {
		diffs := live.lifecycle.diff(b.want.LifecycleRules)
		if len(b.want.LifecycleRules) == 0 {
			step("s3:DeleteBucketLifecycle", "remove the lifecycle rules of", diffs, b.deleteLifecycle)
		} else {
			step("s3:PutBucketLifecycleConfiguration", "set the lifecycle rules of", diffs, func(ctx context.Context) error {
				return b.putLifecycle(ctx, live.lifecycle.minimumSize)
			})
		}
	}
	return steps, nil
}

// createBudget covers a bucket that was deleted a moment ago: until S3 has
// let go of the name everywhere, CreateBucket answers OperationAborted.
const createBudget = 5 * time.Minute

// visibleBudget covers the time until a bucket just created is known to all
// of S3.
const visibleBudget = 2 * time.Minute

func (b *Bucket) create(ctx context.Context) error {
	in := &s3.CreateBucketInput{
		Bucket: &b.want.Name,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{
			Tags: tagSet(b.env.Tags(b.want.Tags).Create()),
		},
	}
	// A name of the account's own namespace has to be said to be one.
	if strings.HasSuffix(b.want.Name, "-an") {
		in.BucketNamespace = types.BucketNamespaceAccountRegional
	}
	// us-east-1 is the one region that is not to be named.
	if b.env.Region != "us-east-1" {
		in.CreateBucketConfiguration.LocationConstraint = types.BucketLocationConstraint(b.env.Region)
	}
	passing := func(err error) bool { return awsx.Code(err) == "OperationAborted" }
	return awsx.Patiently(ctx, b.env.Pause, createBudget, passing, func(ctx context.Context) error {
		_, err := b.api.CreateBucket(ctx, in)
		return err
	})
}

func (b *Bucket) onceVisible(do func(context.Context) error) func(context.Context) error {
	passing := func(err error) bool { return awsx.Code(err) == "NoSuchBucket" }
	return func(ctx context.Context) error {
		return awsx.Patiently(ctx, b.env.Pause, visibleBudget, passing, do)
	}
}

// putTags writes the whole set, as S3 knows no other way.
func (b *Bucket) putTags(ctx context.Context, tags map[string]string) error {
	_, err := b.api.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{
		Bucket: &b.want.Name, ExpectedBucketOwner: &b.env.Account,
		Tagging: &types.Tagging{TagSet: tagSet(tags)},
	})
	return err
}

// tagCalls write the tags of a bucket that has ABAC turned on.
func (b *Bucket) tagCalls() reconcile.TagCalls {
	arn := aws.String(fmt.Sprintf("arn:%s:s3:::%s", b.env.Partition, b.want.Name))
	return reconcile.TagCalls{
		Tag: "s3:TagResource", Put: func(ctx context.Context, tags map[string]string) error {
			var list []controltypes.Tag
			for _, t := range tagSet(tags) {
				list = append(list, controltypes.Tag{Key: t.Key, Value: t.Value})
			}
			_, err := b.control.TagResource(ctx, &s3control.TagResourceInput{AccountId: &b.env.Account, ResourceArn: arn, Tags: list})
			return err
		},
		Untag: "s3:UntagResource", Remove: func(ctx context.Context, keys []string) error {
			_, err := b.control.UntagResource(ctx, &s3control.UntagResourceInput{AccountId: &b.env.Account, ResourceArn: arn, TagKeys: keys})
			return err
		},
	}
}

func (b *Bucket) putOwnership(ctx context.Context) error {
	_, err := b.api.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{
		Bucket: &b.want.Name, ExpectedBucketOwner: &b.env.Account,
		OwnershipControls: &types.OwnershipControls{
			Rules: []types.OwnershipControlsRule{{ObjectOwnership: types.ObjectOwnership(b.want.ObjectOwnership)}},
		},
	})
	return err
}

func (b *Bucket) putPublicAccessBlock(ctx context.Context) error {
	want := b.want.PublicAccessBlock
	_, err := b.api.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
		Bucket: &b.want.Name, ExpectedBucketOwner: &b.env.Account,
		PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
			BlockPublicAcls: &want.BlockPublicAcls, IgnorePublicAcls: &want.IgnorePublicAcls,
			BlockPublicPolicy: &want.BlockPublicPolicy, RestrictPublicBuckets: &want.RestrictPublicBuckets,
		},
	})
	return err
}

// loosenedBudget covers an access block that was loosened a moment ago: for
// some seconds S3 goes on refusing a public policy with AccessDenied. A missing
// permission looks the same, so it is short.
const loosenedBudget = 30 * time.Second

func (b *Bucket) putPolicy(ctx context.Context, loosened bool) error {
	// A principal of this spec that was created just before is unknown to S3
	// for a while. For any other, a refusal is a refusal.
	young := slices.ContainsFunc(b.want.Needs, func(id spec.ID) bool { return id.Kind == spec.Role || id.Kind == spec.User })
	passing := func(err error) bool {
		return young && awsx.Code(err) == "MalformedPolicy" && awsx.Mentions(err, "invalid principal")
	}
	blocked := func(err error) bool { return loosened && awsx.Code(err) == "AccessDenied" }
	return awsx.Patiently(ctx, b.env.Pause, visibleBudget, passing, func(ctx context.Context) error {
		return awsx.Patiently(ctx, b.env.Pause, loosenedBudget, blocked, func(ctx context.Context) error {
			_, err := b.api.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{
				Bucket: &b.want.Name, ExpectedBucketOwner: &b.env.Account, Policy: aws.String(string(b.want.Policy)),
			})
			return err
		})
	})
}

func (b *Bucket) deletePolicy(ctx context.Context) error {
	_, err := b.api.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{
		Bucket: &b.want.Name, ExpectedBucketOwner: &b.env.Account,
	})
	return err
}

func (b *Bucket) putVersioning(ctx context.Context) error {
	_, err := b.api.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: &b.want.Name, ExpectedBucketOwner: &b.env.Account,
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatus(b.want.Versioning)},
	})
	return err
}

func (b *Bucket) putEncryption(ctx context.Context, rule types.ServerSideEncryptionRule) error {
	_, err := b.api.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{
		Bucket: &b.want.Name, ExpectedBucketOwner: &b.env.Account,
		ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{
			Rules: []types.ServerSideEncryptionRule{rule},
		},
	})
	return err
}

func (b *Bucket) putLifecycle(ctx context.Context, minimumSize types.TransitionDefaultMinimumObjectSize) error {
	_, err := b.api.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
		Bucket: &b.want.Name, ExpectedBucketOwner: &b.env.Account,
		LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: b.want.LifecycleRules},
		// A put without it would fall back to the default, so what is there
		// goes along.
		TransitionDefaultMinimumObjectSize: minimumSize,
	})
	return err
}

func (b *Bucket) deleteLifecycle(ctx context.Context) error {
	_, err := b.api.DeleteBucketLifecycle(ctx, &s3.DeleteBucketLifecycleInput{
		Bucket: &b.want.Name, ExpectedBucketOwner: &b.env.Account,
	})
	return err
}

// encryptionRule lays the wish over what is there: what the spec leaves out,
// and what it cannot say, stays (BlockedEncryptionTypes, which S3 fills in by
// itself, and the key where the algorithm is the same).
func encryptionRule(live *types.ServerSideEncryptionRule, want *spec.S3Encryption) types.ServerSideEncryptionRule {
	var rule types.ServerSideEncryptionRule
	if live != nil {
		rule = *live
	}
	def := types.ServerSideEncryptionByDefault{
		SSEAlgorithm:   types.ServerSideEncryption(want.SSEAlgorithm),
		KMSMasterKeyID: want.KMSMasterKeyID,
	}
	if was := rule.ApplyServerSideEncryptionByDefault; was != nil && want.KMSMasterKeyID == nil && was.SSEAlgorithm == def.SSEAlgorithm {
		def.KMSMasterKeyID = was.KMSMasterKeyID
	}
	rule.ApplyServerSideEncryptionByDefault = &def
	if want.BucketKeyEnabled != nil {
		rule.BucketKeyEnabled = want.BucketKeyEnabled
	}
	return rule
}

func encryptionTree(rule *types.ServerSideEncryptionRule) any {
	if rule == nil {
		return nil
	}
	// S3 answers false where it was never set.
	tree := map[string]any{"bucketKeyEnabled": aws.ToBool(rule.BucketKeyEnabled)}
	if def := rule.ApplyServerSideEncryptionByDefault; def != nil {
		tree["sseAlgorithm"] = string(def.SSEAlgorithm)
		if def.KMSMasterKeyID != nil {
			tree["kmsMasterKeyID"] = *def.KMSMasterKeyID
		}
	}
	return tree
}

// accessBlock is nil for a bucket to be created, so that a plan shows all of
// it; for one that exists, no configuration means four times false.
func accessBlock(live bucket) any {
	if !live.exists {
		return nil
	}
	is := live.publicAccessBlock
	if is == nil {
		is = &types.PublicAccessBlockConfiguration{}
	}
	return map[string]any{
		"blockPublicAcls": aws.ToBool(is.BlockPublicAcls), "ignorePublicAcls": aws.ToBool(is.IgnorePublicAcls),
		"blockPublicPolicy": aws.ToBool(is.BlockPublicPolicy), "restrictPublicBuckets": aws.ToBool(is.RestrictPublicBuckets),
	}
}

func policyDiff(live []byte, want spec.Document) ([]reconcile.Diff, error) {
	if want.Empty() {
		want = nil
	}
	return policy.Diff("policy", live, want)
}

func tagSet(tags map[string]string) []types.Tag {
	set := make([]types.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		set = append(set, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return set
}
