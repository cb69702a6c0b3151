package sandbox

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// s3State is the account's buckets by name. That a name may be another
// account's, somewhere in the world, is beyond the sandbox.
type s3State struct {
	Buckets map[string]*s3Bucket
}

// An s3Bucket is a bucket. What is nil was never set, or was deleted.
type s3Bucket struct {
	Name       string
	Region     string
	Created    time.Time
	Tags       []tag                    // nil: never had any
	ABAC       bool                     `json:",omitempty"` // access goes by tags
	Versioning string                   `json:",omitempty"` // Enabled, Suspended; "" was never set
	Encryption *encryptionRule          // never nil: S3 encrypts every bucket
	Access     *publicAccessBlock       `json:",omitempty"`
	Ownership  string                   `json:",omitempty"`
	Lifecycle  *lifecycle               `json:",omitempty"`
	Policy     string                   `json:",omitempty"`
	Parts      map[string]string        `json:",omitempty"` // the XML of what is kept as it came: cors, website, ...
	ObjectLock *objectLockConfiguration `json:",omitempty"` // nil: versions cannot be locked
	Objects    versionsByKey            `json:",omitempty"`
	Uploads    []upload                 `json:",omitempty"`
	Next       int                      // numbers versions and uploads
}

// s3Handlers lists S3's operations.
func s3Handlers() map[string]handler {
	h := map[string]handler{
		"CreateBucket":      createBucket,
		"ListBuckets":       listBuckets,
		"GetBucketLocation": anywhere(getBucketLocation),
		"HeadBucket":        onBucket(headBucket),
		"DeleteBucket":      deleteBucket,
	}
	for _, more := range []map[string]handler{bucketHandlers(), objectHandlers()} {
		maps.Copy(h, more)
	}
	return h
}

func s3Error(status int, code, format string, args ...any) *apiError {
	return &apiError{status, code, fmt.Sprintf(format, args...)}
}

func invalidArgument(format string, args ...any) *apiError {
	return s3Error(http.StatusBadRequest, "InvalidArgument", format, args...)
}

func invalidRequest(format string, args ...any) *apiError {
	return s3Error(http.StatusBadRequest, "InvalidRequest", format, args...)
}

func malformedXML() *apiError {
	return s3Error(http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
}

// A bucketHandler answers about a bucket that exists, and that the caller may
// and knows how to reach.
type bucketHandler func(*s3Bucket, *request) (any, error)

// onBucket finds the bucket of a request: of the account that the caller
// expects, in the region that it signed for, if it signed.
func onBucket(do bucketHandler) handler {
	return anywhere(func(b *s3Bucket, r *request) (any, error) {
		if b.Region != r.region && r.accessKey != "" {
			return nil, s3Error(http.StatusMovedPermanently, "PermanentRedirect",
				"The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.")
		}
		return do(b, r)
	})
}

// anywhere is onBucket for what may be asked from any region.
func anywhere(do bucketHandler) handler {
	return func(st *state, r *request) (any, error) {
		b, err := st.S3.bucket(r)
		if err != nil {
			return nil, err
		}
		r.header.Set("X-Amz-Bucket-Region", b.Region)
		return do(b, r)
	}
}

func (st *s3State) bucket(r *request) (*s3Bucket, error) {
	b := st.Buckets[r.bucket]
	if b == nil {
		return nil, s3Error(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
	}
	if owner := r.http.Header.Get("X-Amz-Expected-Bucket-Owner"); owner != "" && owner != r.account {
		return nil, s3Error(http.StatusForbidden, "AccessDenied", "Access Denied")
	}
	return b, nil
}

// decodeXML reads a request's document; an empty one is malformed.
func decodeXML(r *request, v any) error {
	if err := xml.Unmarshal(r.body, v); err != nil {
		return malformedXML()
	}
	return nil
}

var bucketName = &pattern{expr: `^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`}

// checkBucketName holds S3's rules for general purpose buckets.
func checkBucketName(n string) error {
	bad := !bucketName.MatchString(n) || strings.Contains(n, "..") || net.ParseIP(n) != nil
	for _, p := range [...]string{"xn--", "sthree-", "amzn-s3-demo-"} {
		bad = bad || strings.HasPrefix(n, p)
	}
	for _, s := range [...]string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		bad = bad || strings.HasSuffix(n, s)
	}
	if bad {
		return s3Error(http.StatusBadRequest, "InvalidBucketName", "The specified bucket is not valid.")
	}
	return nil
}

// checkNamespace holds the rules for names of an account's own namespace,
// PREFIX-ACCOUNT-REGION-an.
func checkNamespace(r *request) error {
	namespace := r.http.Header.Get("X-Amz-Bucket-Namespace")
	if namespace != "" && namespace != "global" && namespace != "account-regional" {
		return invalidArgument("Invalid x-amz-bucket-namespace header: %s", namespace)
	}
	regional := namespace == "account-regional"
	own := strings.HasSuffix(r.bucket, "-"+r.account+"-"+r.region+"-an")
	if regional != strings.HasSuffix(r.bucket, "-an") || regional && !own {
		return s3Error(http.StatusBadRequest, "InvalidBucketName", "The specified bucket is not valid.")
	}
	return nil
}

type tagSet struct {
	TagSet struct {
		Tag []tag
	}
}

// checkTags holds S3's rules for bucket tags.
func checkTags(tags []tag) error {
	if len(tags) > maxTags {
		return s3Error(http.StatusBadRequest, "BadRequest", "Bucket tag count cannot be greater than %d", maxTags)
	}
	seen := map[string]bool{}
	for _, t := range tags {
		switch {
		case t.Key == "" || utf8.RuneCountInString(t.Key) > 128 || !tagText.MatchString(t.Key):
			return s3Error(http.StatusBadRequest, "InvalidTag", "The TagKey you have provided is invalid")
		case utf8.RuneCountInString(t.Value) > 256 || !tagText.MatchString(t.Value):
			return s3Error(http.StatusBadRequest, "InvalidTag", "The TagValue you have provided is invalid")
		case strings.HasPrefix(t.Key, "aws:"):
			return s3Error(http.StatusBadRequest, "InvalidTag", "System tags cannot be added/updated by requester")
		case seen[t.Key]:
			return s3Error(http.StatusBadRequest, "InvalidTag", "Cannot provide multiple Tags with the same key")
		}
		seen[t.Key] = true
	}
	return nil
}

func createBucket(st *state, r *request) (any, error) {
	if err := checkBucketName(r.bucket); err != nil {
		return nil, err
	}
	var in struct {
		LocationConstraint string
		Tags               struct {
			Tag []tag
		}
	}
	if len(r.body) > 0 {
		if err := decodeXML(r, &in); err != nil {
			return nil, err
		}
	}
	region, err := location(r.region, in.LocationConstraint)
	if err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags.Tag); err != nil {
		return nil, err
	}
	if err := checkNamespace(r); err != nil {
		return nil, err
	}
	ownership := r.http.Header.Get("X-Amz-Object-Ownership")
	if ownership == "" {
		ownership = ownerEnforced
	}
	if !slices.Contains(ownerships, ownership) {
		return nil, invalidArgument("Invalid x-amz-object-ownership header: %s", ownership)
	}
	if acl := r.http.Header.Get("X-Amz-Acl"); acl != "" && acl != "private" && ownership == ownerEnforced {
		return nil, s3Error(http.StatusBadRequest, "InvalidBucketAclWithObjectOwnership",
			"Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
	}
	r.header.Set("Location", "/"+r.bucket)
	if b := st.S3.Buckets[r.bucket]; b != nil {
		// For old times' sake us-east-1 takes a second create for a success.
		if r.region == "us-east-1" && b.Region == "us-east-1" {
			return nil, nil
		}
		return nil, s3Error(http.StatusConflict, "BucketAlreadyOwnedByYou",
			"Your previous request to create the named bucket succeeded and you already own it.")
	}
	if st.S3.Buckets == nil {
		st.S3.Buckets = map[string]*s3Bucket{}
	}
	b := &s3Bucket{
		Name: r.bucket, Region: region, Created: r.now, Tags: in.Tags.Tag,
		Encryption: defaultEncryption(),
		Access:     &publicAccessBlock{true, true, true, true},
		Ownership:  ownership,
	}
	if strings.EqualFold(r.http.Header.Get("X-Amz-Bucket-Object-Lock-Enabled"), "true") {
		b.Versioning, b.ObjectLock = "Enabled", &objectLockConfiguration{Enabled: "Enabled"}
	}
	st.S3.Buckets[r.bucket] = b
	return nil, nil
}

// location is the region of a new bucket, by the region of the endpoint and
// the constraint in the request.
func location(region, constraint string) (string, error) {
	if constraint == "EU" {
		constraint = "eu-west-1"
	}
	switch {
	case constraint == "" && region == "us-east-1":
		return region, nil
	case constraint == "us-east-1":
		return "", s3Error(http.StatusBadRequest, "InvalidLocationConstraint", "The specified location-constraint is not valid")
	case region == "us-east-1", constraint == region:
		return constraint, nil
	case constraint == "":
		constraint = "unspecified"
	}
	return "", s3Error(http.StatusBadRequest, "IllegalLocationConstraintException",
		"The %s location constraint is incompatible for the region specific endpoint this request was sent to.", constraint)
}

type owner struct {
	ID          string
	DisplayName string `xml:",omitempty"`
}

// canonicalID is the account's canonical user ID, a hash in AWS.
func canonicalID(r *request) string { return strings.Repeat("0", 64-len(r.account)) + r.account }

func listBuckets(st *state, r *request) (any, error) {
	type bucket struct {
		Name         string
		CreationDate time.Time
		BucketRegion string
	}
	var answer struct {
		Buckets struct {
			Bucket []bucket
		}
		Owner  owner
		Prefix string `xml:",omitempty"`
	}
	q := r.http.URL.Query()
	for _, n := range slices.Sorted(maps.Keys(st.S3.Buckets)) {
		b := st.S3.Buckets[n]
		if strings.HasPrefix(n, q.Get("prefix")) && (q.Get("bucket-region") == "" || q.Get("bucket-region") == b.Region) {
			answer.Buckets.Bucket = append(answer.Buckets.Bucket, bucket{n, b.Created, b.Region})
		}
	}
	answer.Owner.ID, answer.Prefix = canonicalID(r), q.Get("prefix")
	return document{"ListAllMyBucketsResult", answer}, nil
}

func getBucketLocation(b *s3Bucket, _ *request) (any, error) {
	region := b.Region
	if region == "us-east-1" {
		region = "" // the one region that goes without a name here
	}
	return document{"LocationConstraint", region}, nil
}

func headBucket(b *s3Bucket, r *request) (any, error) {
	r.header.Set("X-Amz-Access-Point-Alias", "false")
	r.header.Set("X-Amz-Bucket-Arn", "arn:"+partition(r.region)+":s3:::"+b.Name)
	return nil, nil
}

func deleteBucket(st *state, r *request) (any, error) {
	return onBucket(func(b *s3Bucket, r *request) (any, error) {
		if len(b.Objects) > 0 {
			if b.Versioning != "" {
				return nil, s3Error(http.StatusConflict, "BucketNotEmpty", "The bucket you tried to delete is not empty. You must delete all versions in the bucket.")
			}
			return nil, s3Error(http.StatusConflict, "BucketNotEmpty", "The bucket you tried to delete is not empty")
		}
		delete(st.S3.Buckets, b.Name)
		r.status = http.StatusNoContent
		return nil, nil
	})(st, r)
}
