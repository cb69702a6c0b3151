package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"
)

// serveS3 is an account with a bucket in eu-north-1.
func serveS3(t *testing.T) (*s3.Client, *string) {
	t.Helper()
	c := serve(t, Options{}).s3(testRegion)
	name := aws.String("bucket")
	if err := createIn(t.Context(), c, *name, testRegion); err != nil {
		t.Fatal(err)
	}
	return c, name
}

func createIn(ctx context.Context, c *s3.Client, name, constraint string, tags ...s3types.Tag) error {
	in := &s3.CreateBucketInput{Bucket: &name}
	if constraint != "" || tags != nil {
		in.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(constraint), Tags: tags}
	}
	return erase(c.CreateBucket(ctx, in))
}

func s3Tag(k, v string) s3types.Tag { return s3types.Tag{Key: &k, Value: &v} }

func TestCreateBucket(t *testing.T) {
	e := serve(t, Options{})
	north, east := e.s3(testRegion), e.s3("us-east-1")
	in := func(c *s3.Client, name, constraint string, tags ...s3types.Tag) func(context.Context) error {
		return func(ctx context.Context) error { return createIn(ctx, c, name, constraint, tags...) }
	}
	var tooMany []s3types.Tag
	for i := range maxTags + 1 {
		tooMany = append(tooMany, s3Tag(fmt.Sprint("k", i), "v"))
	}
	runRefusals(t, []refusal{
		{"without a constraint", in(north, "bucket-1", ""), "IllegalLocationConstraintException"},
		{"with another region's", in(north, "bucket-1", "eu-west-1"), "IllegalLocationConstraintException"},
		{"with its own", in(north, "bucket-1", testRegion), ""},
		{"again", in(north, "bucket-1", testRegion), "BucketAlreadyOwnedByYou"},
		{"again from us-east-1", in(east, "bucket-1", ""), "BucketAlreadyOwnedByYou"},
		{"us-east-1", in(east, "bucket-2", ""), ""},
		{"us-east-1 again", in(east, "bucket-2", ""), ""},
		{"us-east-1 by name", in(east, "bucket-3", "us-east-1"), "InvalidLocationConstraint"},
		{"of a namespace that is not said", in(north, "bucket-123456789012-eu-north-1-an", testRegion), "InvalidBucketName"},
		{"another region from us-east-1", in(east, "bucket-3", "eu-west-1"), ""},
		{"capitals", in(east, "Bucket", ""), "InvalidBucketName"},
		{"short", in(east, "ab", ""), "InvalidBucketName"},
		{"63 characters", in(east, strings.Repeat("b", 63), ""), ""},
		{"64 characters", in(east, strings.Repeat("b", 64), ""), "InvalidBucketName"},
		{"two dots", in(east, "a..b", ""), "InvalidBucketName"},
		{"an address", in(east, "192.168.5.4", ""), "InvalidBucketName"},
		{"a dash at the end", in(east, "bucket-", ""), "InvalidBucketName"},
		{"a reserved suffix", in(east, "bucket-s3alias", ""), "InvalidBucketName"},
		{"tags", in(east, "tagged", "", s3Tag("k", "v"), s3Tag("empty", "")), ""},
		{"a tag twice", in(east, "bucket-4", "", s3Tag("k", "v"), s3Tag("k", "w")), "InvalidTag"},
		{"51 tags", in(east, "bucket-4", "", tooMany...), "BadRequest"},
		{"AWS's tag", in(east, "bucket-4", "", s3Tag("aws:x", "v")), "InvalidTag"},
		{"a public ACL", func(ctx context.Context) error {
			return erase(east.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("bucket-4"), ACL: s3types.BucketCannedACLPublicRead}))
		}, "InvalidBucketAclWithObjectOwnership"},
	})
	ctx := t.Context()
	got := must[*s3.GetBucketTaggingOutput](t)(east.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: aws.String("tagged")})).TagSet
	if d := diff([]s3types.Tag{s3Tag("k", "v"), s3Tag("empty", "")}, got); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	for bucket, want := range map[string]s3types.BucketLocationConstraint{"bucket-1": testRegion, "bucket-2": "", "bucket-3": "eu-west-1"} {
		out := must[*s3.GetBucketLocationOutput](t)(east.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: &bucket}))
		if out.LocationConstraint != want {
			t.Errorf("%s lies in %q, want %q", bucket, out.LocationConstraint, want)
		}
	}
	var names []string
	for _, b := range must[*s3.ListBucketsOutput](t)(north.ListBuckets(ctx, &s3.ListBucketsInput{})).Buckets {
		names = append(names, *b.Name+" "+*b.BucketRegion)
	}
	want := []string{strings.Repeat("b", 63) + " us-east-1", "bucket-1 eu-north-1", "bucket-2 us-east-1", "bucket-3 eu-west-1", "tagged us-east-1"}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("buckets (-want +got):\n%s", d)
	}
}

// TestBucketElsewhere: another region, another owner, no such bucket.
func TestBucketElsewhere(t *testing.T) {
	e := serve(t, Options{})
	ctx := t.Context()
	name := aws.String("bucket")
	if err := createIn(ctx, e.s3(testRegion), *name, testRegion); err != nil {
		t.Fatal(err)
	}
	head := func(c *s3.Client, bucket, owner string) func(context.Context) error {
		return func(ctx context.Context) error {
			in := &s3.HeadBucketInput{Bucket: &bucket}
			if owner != "" {
				in.ExpectedBucketOwner = &owner
			}
			return erase(c.HeadBucket(ctx, in))
		}
	}
	get := func(c *s3.Client, owner string) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(c.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: name, ExpectedBucketOwner: &owner}))
		}
	}
	const me, other = "123456789012", "999999999999"
	runRefusals(t, []refusal{
		{"head", head(e.s3(testRegion), "bucket", ""), ""},
		{"head of none", head(e.s3(testRegion), "none", ""), "NotFound"},
		{"head of another's", head(e.s3(testRegion), "bucket", other), "Forbidden"},
		{"head from another region", head(e.s3("eu-west-1"), "bucket", me), "MovedPermanently"},
		{"get", get(e.s3(testRegion), me), ""},
		{"get of another's", get(e.s3(testRegion), other), "AccessDenied"},
		{"get from another region", get(e.s3("eu-west-1"), me), "PermanentRedirect"},
	})
	_, err := e.s3("eu-west-1").HeadBucket(ctx, &s3.HeadBucketInput{Bucket: name})
	resp, ok := errors.AsType[interface {
		error
		HTTPResponse() *smithyhttp.Response
	}](err)
	if !ok {
		t.Fatalf("no answer in %v", err)
	}
	if got := resp.HTTPResponse().Header.Get("X-Amz-Bucket-Region"); got != testRegion {
		t.Errorf("sent to region %q, want %q", got, testRegion)
	}
}

// TestVirtualHost reaches a bucket by the host's name.
func TestVirtualHost(t *testing.T) {
	e := serve(t, Options{})
	for _, host := range []string{"bucket.localhost:4566", "bucket.s3.us-east-1.amazonaws.com", "bucket.s3.amazonaws.com"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, e.url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Location") != "/bucket" {
			t.Errorf("%s: %s, made at %q", host, resp.Status, resp.Header.Get("Location"))
		}
	}
}

// TestNewBucket: what AWS gives a bucket that asked for nothing.
func TestNewBucket(t *testing.T) {
	c, name := serveS3(t)
	ctx := t.Context()
	rule := must[*s3.GetBucketEncryptionOutput](t)(c.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: name})).ServerSideEncryptionConfiguration.Rules
	if d := diff([]s3types.ServerSideEncryptionRule{{
		ApplyServerSideEncryptionByDefault: &s3types.ServerSideEncryptionByDefault{SSEAlgorithm: "AES256"},
		BucketKeyEnabled:                   aws.Bool(false),
		BlockedEncryptionTypes:             &s3types.BlockedEncryptionTypes{EncryptionType: []s3types.EncryptionType{"SSE-C"}},
	}}, rule); d != "" {
		t.Errorf("encryption (-want +got):\n%s", d)
	}
	block := must[*s3.GetPublicAccessBlockOutput](t)(c.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: name})).PublicAccessBlockConfiguration
	yes := aws.Bool(true)
	if d := diff(&s3types.PublicAccessBlockConfiguration{BlockPublicAcls: yes, IgnorePublicAcls: yes, BlockPublicPolicy: yes, RestrictPublicBuckets: yes}, block); d != "" {
		t.Errorf("public access block (-want +got):\n%s", d)
	}
	ownership := must[*s3.GetBucketOwnershipControlsOutput](t)(c.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: name})).OwnershipControls.Rules
	if d := diff([]s3types.OwnershipControlsRule{{ObjectOwnership: "BucketOwnerEnforced"}}, ownership); d != "" {
		t.Errorf("ownership (-want +got):\n%s", d)
	}
	if got := must[*s3.GetBucketVersioningOutput](t)(c.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: name})).Status; got != "" {
		t.Errorf("versioning %q", got)
	}
	acl := must[*s3.GetBucketAclOutput](t)(c.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: name}))
	if len(acl.Grants) != 1 || acl.Grants[0].Permission != "FULL_CONTROL" || acl.Grants[0].Grantee.Type != "CanonicalUser" {
		t.Errorf("ACL %+v", acl.Grants)
	}
	runRefusals(t, []refusal{
		{"tagging", func(ctx context.Context) error {
			return erase(c.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: name}))
		}, "NoSuchTagSet"},
		{"lifecycle", func(ctx context.Context) error {
			return erase(c.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: name}))
		}, "NoSuchLifecycleConfiguration"},
		{"policy", func(ctx context.Context) error {
			return erase(c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: name}))
		}, "NoSuchBucketPolicy"},
		{"policy status", func(ctx context.Context) error {
			return erase(c.GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: name}))
		}, "NoSuchBucketPolicy"},
		{"CORS", func(ctx context.Context) error {
			return erase(c.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: name}))
		}, "NoSuchCORSConfiguration"},
		{"website", func(ctx context.Context) error {
			return erase(c.GetBucketWebsite(ctx, &s3.GetBucketWebsiteInput{Bucket: name}))
		}, "NoSuchWebsiteConfiguration"},
		{"replication", func(ctx context.Context) error {
			return erase(c.GetBucketReplication(ctx, &s3.GetBucketReplicationInput{Bucket: name}))
		}, "ReplicationConfigurationNotFoundError"},
		{"object lock", func(ctx context.Context) error {
			return erase(c.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: name}))
		}, "ObjectLockConfigurationNotFoundError"},
		{"logging", func(ctx context.Context) error {
			return erase(c.GetBucketLogging(ctx, &s3.GetBucketLoggingInput{Bucket: name}))
		}, ""},
		{"after deleting the block", func(ctx context.Context) error {
			if _, err := c.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: name}); err != nil {
				return err
			}
			return erase(c.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: name}))
		}, "NoSuchPublicAccessBlockConfiguration"},
		{"after deleting the ownership", func(ctx context.Context) error {
			if _, err := c.DeleteBucketOwnershipControls(ctx, &s3.DeleteBucketOwnershipControlsInput{Bucket: name}); err != nil {
				return err
			}
			return erase(c.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: name}))
		}, "OwnershipControlsNotFoundError"},
	})
}

func TestBucketTagging(t *testing.T) {
	c, name := serveS3(t)
	ctx := t.Context()
	put := func(tags ...s3types.Tag) error {
		return erase(c.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: name, Tagging: &s3types.Tagging{TagSet: tags}}))
	}
	get := func() []s3types.Tag {
		t.Helper()
		return must[*s3.GetBucketTaggingOutput](t)(c.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: name})).TagSet
	}
	wantCode(t, put(s3Tag("a", "1"), s3Tag("b", "")), "")
	wantCode(t, put(s3Tag("a", "2"), s3Tag("a", "3")), "InvalidTag")
	if d := diff([]s3types.Tag{s3Tag("a", "1"), s3Tag("b", "")}, get()); d != "" {
		t.Errorf("a refused put changed something (-want +got):\n%s", d)
	}
	wantCode(t, put(s3Tag("A", "1"), s3Tag("a", "2")), "")
	if d := diff([]s3types.Tag{s3Tag("A", "1"), s3Tag("a", "2")}, get()); d != "" {
		t.Errorf("a put replaces the whole set (-want +got):\n%s", d)
	}
	must[*s3.DeleteBucketTaggingOutput](t)(c.DeleteBucketTagging(ctx, &s3.DeleteBucketTaggingInput{Bucket: name}))
	wantCode(t, erase(c.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: name})), "NoSuchTagSet")

	// Tags do not outlive their bucket.
	wantCode(t, put(s3Tag("a", "1")), "")
	must[*s3.DeleteBucketOutput](t)(c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: name}))
	if err := createIn(ctx, c, *name, testRegion); err != nil {
		t.Fatal(err)
	}
	wantCode(t, erase(c.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: name})), "NoSuchTagSet")
}

func TestBucketEncryption(t *testing.T) {
	c, name := serveS3(t)
	ctx := t.Context()
	put := func(algorithm s3types.ServerSideEncryption, key *string, bucketKey *bool, blocked *s3types.BlockedEncryptionTypes) error {
		return erase(c.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{Bucket: name, ServerSideEncryptionConfiguration: &s3types.ServerSideEncryptionConfiguration{
			Rules: []s3types.ServerSideEncryptionRule{{
				ApplyServerSideEncryptionByDefault: &s3types.ServerSideEncryptionByDefault{SSEAlgorithm: algorithm, KMSMasterKeyID: key},
				BucketKeyEnabled:                   bucketKey, BlockedEncryptionTypes: blocked,
			}},
		}}))
	}
	get := func() s3types.ServerSideEncryptionRule {
		t.Helper()
		return must[*s3.GetBucketEncryptionOutput](t)(c.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: name})).ServerSideEncryptionConfiguration.Rules[0]
	}
	key := aws.String("arn:aws:kms:eu-north-1:123456789012:key/k")
	blocks := func(v ...s3types.EncryptionType) *s3types.BlockedEncryptionTypes {
		return &s3types.BlockedEncryptionTypes{EncryptionType: v}
	}
	wantCode(t, put("rot13", nil, nil, nil), "MalformedXML")
	wantCode(t, put("AES256", key, nil, nil), "InvalidArgument")
	wantCode(t, put("AES256", nil, nil, blocks("SSE-KMS")), "MalformedXML")
	wantCode(t, put("AES256", nil, nil, blocks("NONE", "SSE-C")), "MalformedXML")
	wantCode(t, put("aws:kms", key, aws.Bool(true), nil), "")
	want := s3types.ServerSideEncryptionRule{
		ApplyServerSideEncryptionByDefault: &s3types.ServerSideEncryptionByDefault{SSEAlgorithm: "aws:kms", KMSMasterKeyID: key},
		BucketKeyEnabled:                   aws.Bool(true), BlockedEncryptionTypes: blocks("SSE-C"),
	}
	if d := diff(want, get()); d != "" {
		t.Errorf("what is left out is kept (-want +got):\n%s", d)
	}
	wantCode(t, put("aws:kms", key, nil, blocks("NONE")), "")
	want.BucketKeyEnabled, want.BlockedEncryptionTypes = aws.Bool(false), blocks("NONE")
	if d := diff(want, get()); d != "" {
		t.Errorf("encryption (-want +got):\n%s", d)
	}
	must[*s3.DeleteBucketEncryptionOutput](t)(c.DeleteBucketEncryption(ctx, &s3.DeleteBucketEncryptionInput{Bucket: name}))
	if got := get().ApplyServerSideEncryptionByDefault.SSEAlgorithm; got != "AES256" {
		t.Errorf("without a configuration it is %s", got)
	}
}

func TestBucketSwitches(t *testing.T) {
	c, name := serveS3(t)
	ctx := t.Context()
	versioning := func(s s3types.BucketVersioningStatus) error {
		return erase(c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: name, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s}}))
	}
	wantCode(t, versioning("On"), "MalformedXML")
	wantCode(t, versioning(""), "MalformedXML")
	for _, s := range []s3types.BucketVersioningStatus{"Enabled", "Suspended"} {
		wantCode(t, versioning(s), "")
		if got := must[*s3.GetBucketVersioningOutput](t)(c.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: name})).Status; got != s {
			t.Errorf("versioning %s, want %s", got, s)
		}
	}
	must[*s3.PutPublicAccessBlockOutput](t)(c.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: name, PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{IgnorePublicAcls: aws.Bool(true)}}))
	no := aws.Bool(false)
	got := must[*s3.GetPublicAccessBlockOutput](t)(c.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: name})).PublicAccessBlockConfiguration
	if d := diff(&s3types.PublicAccessBlockConfiguration{BlockPublicAcls: no, IgnorePublicAcls: aws.Bool(true), BlockPublicPolicy: no, RestrictPublicBuckets: no}, got); d != "" {
		t.Errorf("what is left out is false (-want +got):\n%s", d)
	}
	ownership := func(o s3types.ObjectOwnership) error {
		return erase(c.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{Bucket: name, OwnershipControls: &s3types.OwnershipControls{Rules: []s3types.OwnershipControlsRule{{ObjectOwnership: o}}}}))
	}
	wantCode(t, ownership("Nobody"), "MalformedXML")
	wantCode(t, ownership("ObjectWriter"), "")
	if got := must[*s3.GetBucketOwnershipControlsOutput](t)(c.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: name})).OwnershipControls.Rules[0].ObjectOwnership; got != "ObjectWriter" {
		t.Errorf("ownership %s", got)
	}
}

func TestBucketPolicy(t *testing.T) {
	c, name := serveS3(t)
	statement := func(principal, resource string) string {
		return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":%s,"Action":"s3:GetObject","Resource":%q}]}`, principal, resource)
	}
	const account = `{"AWS":"arn:aws:iam::123456789012:root"}`
	put := func(doc string) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(c.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: name, Policy: &doc}))
		}
	}
	good := statement(account, "arn:aws:s3:::bucket/*")
	runRefusals(t, []refusal{
		{"good", put(good), ""},
		{"no JSON", put("{"), "MalformedPolicy"},
		{"another bucket", put(statement(account, "arn:aws:s3:::other/*")), "MalformedPolicy"},
		{"a longer name", put(statement(account, "arn:aws:s3:::bucket2")), "MalformedPolicy"},
		{"no principal", put(`{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket"}]}`), "MalformedPolicy"},
		{"a user that is not", put(statement(`{"AWS":"arn:aws:iam::123456789012:user/none"}`, "arn:aws:s3:::bucket")), "MalformedPolicy"},
		{"public", put(statement(`"*"`, "arn:aws:s3:::bucket/*")), "AccessDenied"},
		{"public, as a list", put(statement(`{"AWS":["*"]}`, "arn:aws:s3:::bucket/*")), "AccessDenied"},
		{"too large", put(good + strings.Repeat(" ", maxBucketPolicy)), "PolicyTooLarge"},
	})
	ctx := t.Context()
	if got := must[*s3.GetBucketPolicyOutput](t)(c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: name})).Policy; *got != good {
		t.Errorf("policy %s, want %s", *got, good)
	}
	public := func() bool {
		t.Helper()
		return *must[*s3.GetBucketPolicyStatusOutput](t)(c.GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: name})).PolicyStatus.IsPublic
	}
	if public() {
		t.Error("the account's own policy is public")
	}
	must[*s3.DeletePublicAccessBlockOutput](t)(c.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: name}))
	wantCode(t, put(statement(`"*"`, "arn:aws:s3:::bucket/*"))(ctx), "")
	if !public() {
		t.Error("a policy for everybody is not public")
	}
	must[*s3.DeleteBucketPolicyOutput](t)(c.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: name}))
	wantCode(t, erase(c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: name})), "NoSuchBucketPolicy")
}

func TestLifecycle(t *testing.T) {
	c, name := serveS3(t)
	ctx := t.Context()
	date := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	rules := []s3types.LifecycleRule{
		{
			ID: aws.String("all of it"), Status: "Enabled",
			Filter: &s3types.LifecycleRuleFilter{And: &s3types.LifecycleRuleAndOperator{
				Prefix: aws.String("logs/"), Tags: []s3types.Tag{s3Tag("a", "1"), s3Tag("b", "2")},
				ObjectSizeGreaterThan: aws.Int64(500), ObjectSizeLessThan: aws.Int64(64000),
			}},
			Transitions: []s3types.Transition{{Days: aws.Int32(30), StorageClass: "STANDARD_IA"}, {Days: aws.Int32(60), StorageClass: "GLACIER"}},
			Expiration:  &s3types.LifecycleExpiration{Days: aws.Int32(90)},
			NoncurrentVersionExpiration: &s3types.NoncurrentVersionExpiration{
				NoncurrentDays: aws.Int32(60), NewerNoncurrentVersions: aws.Int32(3),
			},
			NoncurrentVersionTransitions: []s3types.NoncurrentVersionTransition{{
				NoncurrentDays: aws.Int32(30), NewerNoncurrentVersions: aws.Int32(3), StorageClass: "STANDARD_IA",
			}},
		},
		{ID: aws.String("empty filter"), Status: "Disabled", Filter: &s3types.LifecycleRuleFilter{}, AbortIncompleteMultipartUpload: &s3types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(7)}},
		{ID: aws.String("empty prefix"), Status: "Enabled", Filter: &s3types.LifecycleRuleFilter{Prefix: aws.String("")}, Expiration: &s3types.LifecycleExpiration{ExpiredObjectDeleteMarker: aws.Bool(true)}},
		{ID: aws.String("old form"), Status: "Enabled", Prefix: aws.String("x/"), Expiration: &s3types.LifecycleExpiration{Date: &date}},
	}
	put := func(rules ...s3types.LifecycleRule) error {
		return erase(c.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{Bucket: name, LifecycleConfiguration: &s3types.BucketLifecycleConfiguration{Rules: rules}}))
	}
	get := func() *s3.GetBucketLifecycleConfigurationOutput {
		t.Helper()
		return must[*s3.GetBucketLifecycleConfigurationOutput](t)(c.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: name}))
	}
	wantCode(t, put(rules...), "")
	got := get()
	if d := diff(rules, got.Rules); d != "" {
		t.Errorf("rules (-want +got):\n%s", d)
	}
	if got.TransitionDefaultMinimumObjectSize != "all_storage_classes_128K" {
		t.Errorf("minimum size %q", got.TransitionDefaultMinimumObjectSize)
	}

	rule := func(change func(*s3types.LifecycleRule)) s3types.LifecycleRule {
		r := s3types.LifecycleRule{Status: "Enabled", Filter: &s3types.LifecycleRuleFilter{Prefix: aws.String("")}, Expiration: &s3types.LifecycleExpiration{Days: aws.Int32(1)}}
		change(&r)
		return r
	}
	type edit = func(*s3types.LifecycleRule)
	for _, tt := range []struct {
		name string
		edit edit
		code string
	}{
		{"nothing changed", func(*s3types.LifecycleRule) {}, ""},
		{"status", func(r *s3types.LifecycleRule) { r.Status = "On" }, "MalformedXML"},
		{"no action", func(r *s3types.LifecycleRule) { r.Expiration = nil }, "InvalidRequest"},
		{"no filter", func(r *s3types.LifecycleRule) { r.Filter = nil }, "MalformedXML"},
		{"long ID", func(r *s3types.LifecycleRule) { r.ID = aws.String(strings.Repeat("i", 256)) }, "InvalidArgument"},
		{"expiry in no days", func(r *s3types.LifecycleRule) { r.Expiration.Days = aws.Int32(0) }, "InvalidArgument"},
		{"expiry by day and date", func(r *s3types.LifecycleRule) { r.Expiration.Date = &date }, "MalformedXML"},
		{"expiry at noon", func(r *s3types.LifecycleRule) {
			r.Expiration = &s3types.LifecycleExpiration{Date: aws.Time(date.Add(12 * time.Hour))}
		}, "InvalidArgument"},
		{"transition too soon", func(r *s3types.LifecycleRule) {
			r.Expiration.Days = aws.Int32(90)
			r.Transitions = []s3types.Transition{{Days: aws.Int32(29), StorageClass: "STANDARD_IA"}}
		}, "InvalidArgument"},
		{"transition at once", func(r *s3types.LifecycleRule) {
			r.Transitions = []s3types.Transition{{Days: aws.Int32(0), StorageClass: "GLACIER"}}
		}, ""},
		{"transition after the end", func(r *s3types.LifecycleRule) {
			r.Transitions = []s3types.Transition{{Days: aws.Int32(1), StorageClass: "GLACIER"}}
		}, "InvalidArgument"},
		{"transition to nowhere", func(r *s3types.LifecycleRule) {
			r.Transitions = []s3types.Transition{{Days: aws.Int32(0), StorageClass: "ATTIC"}}
		}, "MalformedXML"},
		{"101 versions kept", func(r *s3types.LifecycleRule) {
			r.NoncurrentVersionExpiration = &s3types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(1), NewerNoncurrentVersions: aws.Int32(101)}
		}, "InvalidArgument"},
		{"versions without days", func(r *s3types.LifecycleRule) {
			r.NoncurrentVersionExpiration = &s3types.NoncurrentVersionExpiration{NewerNoncurrentVersions: aws.Int32(1)}
		}, "MalformedXML"},
		{"sizes the wrong way round", func(r *s3types.LifecycleRule) {
			r.Filter = &s3types.LifecycleRuleFilter{And: &s3types.LifecycleRuleAndOperator{ObjectSizeGreaterThan: aws.Int64(5), ObjectSizeLessThan: aws.Int64(5)}}
		}, "InvalidRequest"},
		{"and of one", func(r *s3types.LifecycleRule) {
			r.Filter = &s3types.LifecycleRuleFilter{And: &s3types.LifecycleRuleAndOperator{Prefix: aws.String("x")}}
		}, "MalformedXML"},
		{"two without and", func(r *s3types.LifecycleRule) { r.Filter.ObjectSizeLessThan = aws.Int64(5) }, "MalformedXML"},
		{"abort with tags", func(r *s3types.LifecycleRule) {
			tag := s3Tag("a", "b")
			r.Filter = &s3types.LifecycleRuleFilter{Tag: &tag}
			r.AbortIncompleteMultipartUpload = &s3types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(1)}
		}, "InvalidRequest"},
	} {
		t.Run(tt.name, func(t *testing.T) { wantCode(t, put(rule(tt.edit)), tt.code) })
	}
	same := rule(func(r *s3types.LifecycleRule) { r.ID = aws.String("same") })
	wantCode(t, put(same, same), "InvalidArgument")
	wantCode(t, put([]s3types.LifecycleRule{}...), "MalformedXML")

	// Rules without IDs get some.
	wantCode(t, put(rule(func(*s3types.LifecycleRule) {}), rule(func(*s3types.LifecycleRule) {})), "")
	if r := get().Rules; len(r) != 2 || aws.ToString(r[0].ID) == "" || aws.ToString(r[0].ID) == aws.ToString(r[1].ID) {
		t.Errorf("rules %+v", r)
	}
	must[*s3.PutBucketLifecycleConfigurationOutput](t)(c.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
		Bucket: name, TransitionDefaultMinimumObjectSize: "varies_by_storage_class",
		LifecycleConfiguration: &s3types.BucketLifecycleConfiguration{Rules: []s3types.LifecycleRule{same}},
	}))
	if got := get().TransitionDefaultMinimumObjectSize; got != "varies_by_storage_class" {
		t.Errorf("minimum size %q", got)
	}
	must[*s3.DeleteBucketLifecycleOutput](t)(c.DeleteBucketLifecycle(ctx, &s3.DeleteBucketLifecycleInput{Bucket: name}))
	wantCode(t, erase(c.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: name})), "NoSuchLifecycleConfiguration")
}

// TestVersions follows one key through versioning's three states.
func TestVersions(t *testing.T) {
	c, name := serveS3(t)
	ctx := t.Context()
	key := aws.String("dir/key")
	put := func(body string) string {
		t.Helper()
		return aws.ToString(must[*s3.PutObjectOutput](t)(c.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: key, Body: strings.NewReader(body)})).VersionId)
	}
	get := func(version *string) string {
		t.Helper()
		out := must[*s3.GetObjectOutput](t)(c.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: key, VersionId: version}))
		return string(must[[]byte](t)(io.ReadAll(out.Body)))
	}
	versioning := func(s s3types.BucketVersioningStatus) {
		t.Helper()
		must[*s3.PutBucketVersioningOutput](t)(c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: name, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s}}))
	}
	versions := func() []string {
		t.Helper()
		out := must[*s3.ListObjectVersionsOutput](t)(c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: name}))
		var all []string
		for _, v := range out.Versions {
			all = append(all, fmt.Sprintf("%s %t", *v.VersionId, *v.IsLatest))
		}
		for _, m := range out.DeleteMarkers {
			all = append(all, fmt.Sprintf("marker %s %t", *m.VersionId, *m.IsLatest))
		}
		return all
	}
	check := func(want ...string) {
		t.Helper()
		if d := cmp.Diff(want, versions()); d != "" {
			t.Errorf("versions (-want +got):\n%s", d)
		}
	}

	if id := put("one"); id != "" {
		t.Errorf("version %q of an unversioned bucket", id)
	}
	put("two")
	check("null true")
	versioning("Enabled")
	three := put("three")
	check(three+" true", "null false")
	if a, b := get(nil), get(aws.String("null")); a != "three" || b != "two" {
		t.Errorf("read %q and %q", a, b)
	}
	versioning("Suspended")
	put("four")
	check("null true", three+" false")
	marker := must[*s3.DeleteObjectOutput](t)(c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: name, Key: key}))
	if !*marker.DeleteMarker || *marker.VersionId != "null" {
		t.Errorf("deleted as marker %t of version %s", *marker.DeleteMarker, *marker.VersionId)
	}
	check(three+" false", "marker null true")
	wantCode(t, erase(c.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: key})), "NoSuchKey")
	wantCode(t, erase(c.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: key, VersionId: aws.String("null")})), "MethodNotAllowed")
	wantCode(t, erase(c.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: key, VersionId: aws.String("none")})), "NoSuchVersion")
	wantCode(t, erase(c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: name, Key: key})), "NotFound")
	if n := len(must[*s3.ListObjectsV2Output](t)(c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: name})).Contents); n != 0 {
		t.Errorf("%d objects behind a delete marker", n)
	}
	wantCode(t, erase(c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: name})), "BucketNotEmpty")

	out := must[*s3.DeleteObjectsOutput](t)(c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: name, Delete: &s3types.Delete{Objects: []s3types.ObjectIdentifier{
		{Key: key, VersionId: aws.String("null")}, {Key: key, VersionId: &three}, {Key: aws.String("never there"), VersionId: aws.String("null")},
	}}}))
	if len(out.Deleted) != 3 || len(out.Errors) != 0 {
		t.Errorf("deleted %d, %d errors", len(out.Deleted), len(out.Errors))
	}
	check()
	wantCode(t, erase(c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: name})), "")
}

func TestObjects(t *testing.T) {
	c, name := serveS3(t)
	ctx := t.Context()
	for _, k := range []string{"a/1", "a/2", "b", "c/1", "c/2", "d"} {
		must[*s3.PutObjectOutput](t)(c.PutObject(ctx, &s3.PutObjectInput{
			Bucket: name, Key: &k, Body: strings.NewReader("body of " + k), ContentType: aws.String("text/plain"),
			Metadata: map[string]string{"made-by": "test"}, Tagging: aws.String("x=1&y=2"),
		}))
	}
	head := must[*s3.HeadObjectOutput](t)(c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: name, Key: aws.String("a/1")}))
	if *head.ContentLength != int64(len("body of a/1")) || *head.ContentType != "text/plain" || head.Metadata["made-by"] != "test" || head.VersionId != nil {
		t.Errorf("head %d %s %v", *head.ContentLength, *head.ContentType, head.Metadata)
	}
	tags := must[*s3.GetObjectTaggingOutput](t)(c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: name, Key: aws.String("b")})).TagSet
	if d := diff([]s3types.Tag{s3Tag("x", "1"), s3Tag("y", "2")}, tags); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	list := func(in *s3.ListObjectsV2Input) (keys []string) {
		t.Helper()
		in.Bucket = name
		pages := s3.NewListObjectsV2Paginator(c, in)
		for pages.HasMorePages() {
			out := must[*s3.ListObjectsV2Output](t)(pages.NextPage(ctx))
			for _, o := range out.Contents {
				keys = append(keys, *o.Key)
			}
			for _, p := range out.CommonPrefixes {
				keys = append(keys, "prefix "+*p.Prefix)
			}
		}
		return keys
	}
	for _, tt := range []struct {
		name string
		in   *s3.ListObjectsV2Input
		want []string
	}{
		{"all", &s3.ListObjectsV2Input{}, []string{"a/1", "a/2", "b", "c/1", "c/2", "d"}},
		{"in pages", &s3.ListObjectsV2Input{MaxKeys: aws.Int32(2)}, []string{"a/1", "a/2", "b", "c/1", "c/2", "d"}},
		{"prefix", &s3.ListObjectsV2Input{Prefix: aws.String("c/")}, []string{"c/1", "c/2"}},
		{"folders", &s3.ListObjectsV2Input{Delimiter: aws.String("/")}, []string{"b", "d", "prefix a/", "prefix c/"}},
		{"folders in pages", &s3.ListObjectsV2Input{Delimiter: aws.String("/"), MaxKeys: aws.Int32(1)}, []string{"prefix a/", "b", "prefix c/", "d"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, list(tt.in)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	var seen []string
	in := &s3.ListObjectVersionsInput{Bucket: name, MaxKeys: aws.Int32(4)}
	for range 3 {
		out := must[*s3.ListObjectVersionsOutput](t)(c.ListObjectVersions(ctx, in))
		for _, v := range out.Versions {
			seen = append(seen, *v.Key)
		}
		if !*out.IsTruncated {
			break
		}
		in.KeyMarker, in.VersionIdMarker = out.NextKeyMarker, out.NextVersionIdMarker
	}
	if d := cmp.Diff([]string{"a/1", "a/2", "b", "c/1", "c/2", "d"}, seen); d != "" {
		t.Errorf("versions in pages (-want +got):\n%s", d)
	}
	wantCode(t, erase(c.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: aws.String("none")})), "NoSuchKey")
}

func TestUploads(t *testing.T) {
	c, name := serveS3(t)
	ctx := t.Context()
	id := must[*s3.CreateMultipartUploadOutput](t)(c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: name, Key: aws.String("big")})).UploadId
	uploads := func() int {
		t.Helper()
		return len(must[*s3.ListMultipartUploadsOutput](t)(c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: name})).Uploads)
	}
	if n := uploads(); n != 1 {
		t.Errorf("%d uploads, want 1", n)
	}
	abort := func() error {
		return erase(c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: name, Key: aws.String("big"), UploadId: id}))
	}
	wantCode(t, abort(), "")
	wantCode(t, abort(), "NoSuchUpload")
	if n := uploads(); n != 0 {
		t.Errorf("%d uploads, want 0", n)
	}
}

func TestObjectTagging(t *testing.T) {
	c, name := serveS3(t)
	ctx := t.Context()
	key := aws.String("key")
	must[*s3.PutObjectOutput](t)(c.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: key, Body: strings.NewReader("x")}))
	put := func(n int) error {
		var tags []s3types.Tag
		for i := range n {
			tags = append(tags, s3Tag(fmt.Sprint("k", i), "v"))
		}
		return erase(c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: name, Key: key, Tagging: &s3types.Tagging{TagSet: tags}}))
	}
	count := func() int {
		t.Helper()
		return len(must[*s3.GetObjectTaggingOutput](t)(c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: name, Key: key})).TagSet)
	}
	wantCode(t, put(10), "")
	wantCode(t, put(11), "BadRequest")
	if n := count(); n != 10 {
		t.Errorf("%d tags, want 10", n)
	}
	must[*s3.DeleteObjectTaggingOutput](t)(c.DeleteObjectTagging(ctx, &s3.DeleteObjectTaggingInput{Bucket: name, Key: key}))
	if n := count(); n != 0 {
		t.Errorf("%d tags, want 0", n)
	}
	wantCode(t, erase(c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: name, Key: aws.String("none")})), "NoSuchKey")
}

// TestKeptParts: what the sandbox keeps as it came.
func TestKeptParts(t *testing.T) {
	c, name := serveS3(t)
	ctx := t.Context()
	rules := []s3types.CORSRule{{AllowedMethods: []string{"GET"}, AllowedOrigins: []string{"https://example.com"}}}
	must[*s3.PutBucketCorsOutput](t)(c.PutBucketCors(ctx, &s3.PutBucketCorsInput{Bucket: name, CORSConfiguration: &s3types.CORSConfiguration{CORSRules: rules}}))
	if d := diff(rules, must[*s3.GetBucketCorsOutput](t)(c.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: name})).CORSRules); d != "" {
		t.Errorf("CORS (-want +got):\n%s", d)
	}
	must[*s3.DeleteBucketCorsOutput](t)(c.DeleteBucketCors(ctx, &s3.DeleteBucketCorsInput{Bucket: name}))
	wantCode(t, erase(c.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: name})), "NoSuchCORSConfiguration")
	acl := func(a s3types.BucketCannedACL) error {
		return erase(c.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: name, ACL: a}))
	}
	wantCode(t, acl("private"), "")
	wantCode(t, acl("public-read"), "AccessControlListNotSupported")
}

// The names of an account's own namespace go with the word that they are.
func TestBucketNamespace(t *testing.T) {
	c := serve(t, Options{}).s3(testRegion)
	in := func(name string, namespace s3types.BucketNamespace) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(c.CreateBucket(ctx, &s3.CreateBucketInput{
				Bucket: &name, BucketNamespace: namespace,
				CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: testRegion},
			}))
		}
	}
	const own = s3types.BucketNamespaceAccountRegional
	runRefusals(t, []refusal{
		{"its own", in("data-123456789012-eu-north-1-an", own), ""},
		{"another account's", in("data-000000000000-eu-north-1-an", own), "InvalidBucketName"},
		{"another region's", in("data-123456789012-eu-west-1-an", own), "InvalidBucketName"},
		{"a name of all", in("data-of-all", own), "InvalidBucketName"},
		{"a name of all in the namespace of all", in("data-of-all", s3types.BucketNamespaceGlobal), ""},
	})
}

// With ABAC a bucket's tags go through S3 Control alone.
func TestBucketAbac(t *testing.T) {
	c, name := serveS3(t)
	turn := func(status s3types.BucketAbacStatus) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(c.PutBucketAbac(ctx, &s3.PutBucketAbacInput{Bucket: name, AbacStatus: &s3types.AbacStatus{Status: status}}))
		}
	}
	put := func(ctx context.Context) error {
		return erase(c.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: name, Tagging: &s3types.Tagging{TagSet: []s3types.Tag{s3Tag("a", "1")}}}))
	}
	drop := func(ctx context.Context) error {
		return erase(c.DeleteBucketTagging(ctx, &s3.DeleteBucketTaggingInput{Bucket: name}))
	}
	runRefusals(t, []refusal{
		{"tags without", put, ""},
		{"another status", turn("On"), "MalformedXML"},
		{"on", turn(s3types.BucketAbacStatusEnabled), ""},
		{"tags with", put, "InvalidRequest"},
		{"no tags with", drop, "InvalidRequest"},
		{"off", turn(s3types.BucketAbacStatusDisabled), ""},
		{"no tags without", drop, ""},
	})
}
