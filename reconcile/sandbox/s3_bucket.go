package sandbox

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
)

const ownerEnforced = "BucketOwnerEnforced"

var ownerships = []string{ownerEnforced, "BucketOwnerPreferred", "ObjectWriter"}

// bucketHandlers lists the operations on parts of a bucket's configuration.
func bucketHandlers() map[string]handler {
	h := map[string]handler{
		"GetBucketTagging":                   onBucket(getBucketTagging),
		"PutBucketTagging":                   onBucket(putBucketTagging),
		"DeleteBucketTagging":                onBucket(deleteBucketTagging),
		"GetBucketAbac":                      onBucket(getBucketAbac),
		"PutBucketAbac":                      onBucket(putBucketAbac),
		"TagResource":                        onBucket(s3TagResource),
		"UntagResource":                      onBucket(s3UntagResource),
		"ListTagsForResource":                onBucket(s3ListTagsForResource),
		"GetBucketVersioning":                onBucket(getBucketVersioning),
		"PutBucketVersioning":                onBucket(putBucketVersioning),
		"GetBucketEncryption":                onBucket(getBucketEncryption),
		"PutBucketEncryption":                onBucket(putBucketEncryption),
		"DeleteBucketEncryption":             onBucket(drop(func(b *s3Bucket) { b.Encryption = defaultEncryption() })),
		"GetPublicAccessBlock":               onBucket(getPublicAccessBlock),
		"PutPublicAccessBlock":               onBucket(putPublicAccessBlock),
		"DeletePublicAccessBlock":            onBucket(drop(func(b *s3Bucket) { b.Access = nil })),
		"GetBucketOwnershipControls":         onBucket(getOwnershipControls),
		"PutBucketOwnershipControls":         onBucket(putOwnershipControls),
		"DeleteBucketOwnershipControls":      onBucket(drop(func(b *s3Bucket) { b.Ownership = "" })),
		"GetBucketLifecycleConfiguration":    onBucket(getLifecycle),
		"PutBucketLifecycleConfiguration":    onBucket(putLifecycle),
		"DeleteBucketLifecycle":              onBucket(drop(func(b *s3Bucket) { b.Lifecycle = nil })),
		"GetBucketPolicy":                    onBucket(getBucketPolicy),
		"PutBucketPolicy":                    putBucketPolicy,
		"DeleteBucketPolicy":                 onBucket(drop(func(b *s3Bucket) { b.Policy = "" })),
		"GetBucketPolicyStatus":              onBucket(getBucketPolicyStatus),
		"GetBucketAcl":                       onBucket(getBucketACL),
		"PutBucketAcl":                       onBucket(putBucketACL),
		"GetBucketRequestPayment":            onBucket(constant(document{"RequestPaymentConfiguration", struct{ Payer string }{"BucketOwner"}})),
		"GetBucketReplication":               onBucket(absent("ReplicationConfigurationNotFoundError", "The replication configuration was not found")),
		"GetObjectLockConfiguration":         onBucket(getObjectLockConfiguration),
		"PutObjectLockConfiguration":         onBucket(putObjectLockConfiguration),
		"GetBucketNotificationConfiguration": onBucket(constant(document{"NotificationConfiguration", struct{}{}})),
	}
	for _, p := range [...]struct{ operation, root, code, message string }{
		{"BucketCors", "CORSConfiguration", "NoSuchCORSConfiguration", "The CORS configuration does not exist"},
		{"BucketWebsite", "WebsiteConfiguration", "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"},
		{"BucketLogging", "BucketLoggingStatus", "", ""},
		{"BucketAccelerateConfiguration", "AccelerateConfiguration", "", ""},
	} {
		h["Get"+p.operation] = onBucket(getPart(p.root, p.code, p.message))
		h["Put"+p.operation] = onBucket(putPart(p.root))
		h["Delete"+p.operation] = onBucket(drop(func(b *s3Bucket) { delete(b.Parts, p.root) }))
	}
	return h
}

// drop answers a DELETE, which succeeds whether or not there was something.
func drop(do func(*s3Bucket)) bucketHandler {
	return func(b *s3Bucket, r *request) (any, error) {
		do(b)
		r.status = http.StatusNoContent
		return nil, nil
	}
}

func constant(d document) bucketHandler {
	return func(*s3Bucket, *request) (any, error) { return d, nil }
}

func absent(code, message string) bucketHandler {
	return func(*s3Bucket, *request) (any, error) {
		return nil, s3Error(http.StatusNotFound, code, "%s", message)
	}
}

// A part is XML that is kept as it came.
type part struct {
	XMLName xml.Name
	Inner   string `xml:",innerxml"`
}

// getPart answers what was put; an empty document where nothing was and the
// absence has no code.
func getPart(root, code, message string) bucketHandler {
	return func(b *s3Bucket, _ *request) (any, error) {
		inner, ok := b.Parts[root]
		if !ok && code != "" {
			return nil, s3Error(http.StatusNotFound, code, "%s", message)
		}
		return document{root, struct {
			Inner string `xml:",innerxml"`
		}{inner}}, nil
	}
}

func putPart(root string) bucketHandler {
	return func(b *s3Bucket, r *request) (any, error) {
		var in part
		if err := decodeXML(r, &in); err != nil {
			return nil, err
		}
		if in.XMLName.Local != root {
			return nil, malformedXML()
		}
		if b.Parts == nil {
			b.Parts = map[string]string{}
		}
		b.Parts[root] = in.Inner
		return nil, nil
	}
}

func getBucketTagging(b *s3Bucket, _ *request) (any, error) {
	if len(b.Tags) == 0 {
		return nil, s3Error(http.StatusNotFound, "NoSuchTagSet", "The TagSet does not exist")
	}
	var t tagSet
	t.TagSet.Tag = b.Tags
	return document{"Tagging", t}, nil
}

// taggedByResource refuses the calls that a bucket with ABAC turned on does not
// take. What AWS's own error says is not documented.
func (b *s3Bucket) taggedByResource() error {
	if b.ABAC {
		return invalidRequest("This operation is not supported on a bucket with ABAC enabled. Use TagResource and UntagResource.")
	}
	return nil
}

func deleteBucketTagging(b *s3Bucket, r *request) (any, error) {
	if err := b.taggedByResource(); err != nil {
		return nil, err
	}
	return drop(func(b *s3Bucket) { b.Tags = b.Tags[:0] })(b, r)
}

type abacStatus struct{ Status string }

func getBucketAbac(b *s3Bucket, _ *request) (any, error) {
	if b.ABAC {
		return document{"AbacStatus", abacStatus{"Enabled"}}, nil
	}
	return document{"AbacStatus", abacStatus{"Disabled"}}, nil
}

func putBucketAbac(b *s3Bucket, r *request) (any, error) {
	var in abacStatus
	if err := decodeXML(r, &in); err != nil {
		return nil, err
	}
	if in.Status != "Enabled" && in.Status != "Disabled" {
		return nil, malformedXML()
	}
	b.ABAC = in.Status == "Enabled"
	return nil, nil
}

// The tagging of S3 Control takes and gives single tags, with ABAC or without.

type s3Tags struct {
	Tags struct{ Tag []tag }
}

func s3TagResource(b *s3Bucket, r *request) (any, error) {
	var in s3Tags
	if err := decodeXML(r, &in); err != nil {
		return nil, err
	}
	merged := slices.Clone(b.Tags)
	for _, t := range in.Tags.Tag {
		merged = append(slices.DeleteFunc(merged, func(old tag) bool { return old.Key == t.Key }), t)
	}
	if err := checkTags(merged); err != nil {
		return nil, err
	}
	b.Tags = merged
	r.status = http.StatusNoContent
	return nil, nil
}

func s3UntagResource(b *s3Bucket, r *request) (any, error) {
	keys := r.http.URL.Query()["tagKeys"]
	b.Tags = slices.DeleteFunc(slices.Clone(b.Tags), func(t tag) bool { return slices.Contains(keys, t.Key) })
	r.status = http.StatusNoContent
	return nil, nil
}

func s3ListTagsForResource(b *s3Bucket, _ *request) (any, error) {
	var out s3Tags
	out.Tags.Tag = b.Tags
	return document{"ListTagsForResourceResult", out}, nil
}

// putBucketTagging replaces the whole set.
func putBucketTagging(b *s3Bucket, r *request) (any, error) {
	if err := b.taggedByResource(); err != nil {
		return nil, err
	}
	var in tagSet
	if err := decodeXML(r, &in); err != nil {
		return nil, err
	}
	if err := checkTags(in.TagSet.Tag); err != nil {
		return nil, err
	}
	b.Tags = in.TagSet.Tag
	r.status = http.StatusNoContent
	return nil, nil
}

func getBucketVersioning(b *s3Bucket, _ *request) (any, error) {
	return document{"VersioningConfiguration", struct {
		Status string `xml:",omitempty"`
	}{b.Versioning}}, nil
}

func putBucketVersioning(b *s3Bucket, r *request) (any, error) {
	var in struct{ Status string }
	if err := decodeXML(r, &in); err != nil {
		return nil, err
	}
	// There is no way back to never having been set.
	if in.Status != "Enabled" && in.Status != "Suspended" {
		return nil, malformedXML()
	}
	if b.ObjectLock != nil && in.Status == "Suspended" {
		return nil, s3Error(http.StatusConflict, "InvalidBucketState", "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.")
	}
	b.Versioning = in.Status
	return nil, nil
}

type encryptionRule struct {
	Apply struct {
		SSEAlgorithm   string
		KMSMasterKeyID string `xml:",omitempty" json:",omitempty"`
	} `xml:"ApplyServerSideEncryptionByDefault"`
	BucketKeyEnabled bool
	Blocked          []string `xml:"BlockedEncryptionTypes>EncryptionType"`
}

// defaultEncryption is what S3 gives every new bucket: its own keys, and since
// April 2026 no objects under keys that the customer brings along.
func defaultEncryption() *encryptionRule {
	e := &encryptionRule{Blocked: []string{"SSE-C"}}
	e.Apply.SSEAlgorithm = "AES256"
	return e
}

func getBucketEncryption(b *s3Bucket, _ *request) (any, error) {
	return document{"ServerSideEncryptionConfiguration", struct{ Rule *encryptionRule }{b.Encryption}}, nil
}

func putBucketEncryption(b *s3Bucket, r *request) (any, error) {
	var in struct{ Rule []encryptionRule }
	if err := decodeXML(r, &in); err != nil {
		return nil, err
	}
	if len(in.Rule) != 1 {
		return nil, malformedXML()
	}
	e := in.Rule[0]
	kms := e.Apply.SSEAlgorithm == "aws:kms" || e.Apply.SSEAlgorithm == "aws:kms:dsse"
	switch {
	case e.Apply.SSEAlgorithm != "AES256" && !kms:
		return nil, malformedXML()
	case e.Apply.KMSMasterKeyID != "" && !kms:
		return nil, invalidArgument("a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse")
	}
	for _, t := range e.Blocked {
		if t != "SSE-C" && t != "NONE" || t == "NONE" && len(e.Blocked) > 1 {
			return nil, malformedXML()
		}
	}
	if e.Blocked == nil {
		e.Blocked = b.Encryption.Blocked // left out means keep
	}
	b.Encryption = &e
	return nil, nil
}

type publicAccessBlock struct {
	BlockPublicAcls       bool
	IgnorePublicAcls      bool
	BlockPublicPolicy     bool
	RestrictPublicBuckets bool
}

func getPublicAccessBlock(b *s3Bucket, _ *request) (any, error) {
	if b.Access == nil {
		return nil, s3Error(http.StatusNotFound, "NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")
	}
	return document{"PublicAccessBlockConfiguration", b.Access}, nil
}

func putPublicAccessBlock(b *s3Bucket, r *request) (any, error) {
	var in publicAccessBlock // each switch that is left out is false
	if err := decodeXML(r, &in); err != nil {
		return nil, err
	}
	b.Access = &in
	return nil, nil
}

type ownershipControls struct {
	Rule []struct{ ObjectOwnership string }
}

func getOwnershipControls(b *s3Bucket, _ *request) (any, error) {
	if b.Ownership == "" {
		return nil, s3Error(http.StatusNotFound, "OwnershipControlsNotFoundError", "The bucket ownership controls were not found")
	}
	return document{"OwnershipControls", ownershipControls{[]struct{ ObjectOwnership string }{{b.Ownership}}}}, nil
}

func putOwnershipControls(b *s3Bucket, r *request) (any, error) {
	var in ownershipControls
	if err := decodeXML(r, &in); err != nil {
		return nil, err
	}
	if len(in.Rule) != 1 || !slices.Contains(ownerships, in.Rule[0].ObjectOwnership) {
		return nil, malformedXML()
	}
	b.Ownership = in.Rule[0].ObjectOwnership
	return nil, nil
}

func getBucketACL(_ *s3Bucket, r *request) (any, error) {
	type grantee struct {
		XSI  string `xml:"xmlns:xsi,attr"`
		Type string `xml:"xsi:type,attr"`
		ID   string
	}
	type grant struct {
		Grantee    grantee
		Permission string
	}
	id := canonicalID(r)
	return document{"AccessControlPolicy", struct {
		Owner             owner
		AccessControlList struct{ Grant grant }
	}{
		owner{ID: id},
		struct{ Grant grant }{grant{grantee{"http://www.w3.org/2001/XMLSchema-instance", "CanonicalUser", id}, "FULL_CONTROL"}},
	}}, nil
}

// putBucketACL takes the one ACL that a bucket of today can have.
func putBucketACL(b *s3Bucket, r *request) (any, error) {
	if b.Ownership == ownerEnforced && r.http.Header.Get("X-Amz-Acl") != "private" {
		return nil, s3Error(http.StatusBadRequest, "AccessControlListNotSupported", "The bucket does not allow ACLs")
	}
	return nil, nil
}

func getBucketPolicy(b *s3Bucket, _ *request) (any, error) {
	if b.Policy == "" {
		return nil, noBucketPolicy()
	}
	return []byte(b.Policy), nil
}

func noBucketPolicy() error {
	return s3Error(http.StatusNotFound, "NoSuchBucketPolicy", "The bucket policy does not exist")
}

func putBucketPolicy(st *state, r *request) (any, error) {
	return onBucket(func(b *s3Bucket, r *request) (any, error) {
		public, err := st.IAM.bucketPolicy(b, r)
		if err != nil {
			return nil, err
		}
		if public && b.Access != nil && b.Access.BlockPublicPolicy {
			return nil, s3Error(http.StatusForbidden, "AccessDenied",
				"User: %s is not authorized to perform: s3:PutBucketPolicy on resource: \"arn:%s:s3:::%s\" because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
				r.caller.ARN, partition(r.region), b.Name)
		}
		b.Policy = string(r.body)
		r.status = http.StatusNoContent
		return nil, nil
	})(st, r)
}

const maxBucketPolicy = 20 << 10

// public says whether something is allowed to everybody, without a condition.
func (s statement) public() bool {
	_, anyone := s.Principal["*"]
	return s.Effect == "Allow" && len(s.Condition) == 0 && (anyone || slices.Contains(s.Principal["AWS"], "*"))
}

// bucketPolicy checks a bucket policy and says whether it is public.
func (st *iamState) bucketPolicy(b *s3Bucket, r *request) (public bool, err error) {
	bad := func(message string) error { return s3Error(http.StatusBadRequest, "MalformedPolicy", "%s", message) }
	if len(r.body) > maxBucketPolicy {
		return false, s3Error(http.StatusBadRequest, "PolicyTooLarge", "Your policy exceeds the maximum allowed document size.")
	}
	if !json.Valid(r.body) || r.body[0] != '{' {
		return false, bad("Policies must be valid JSON and the first byte must be '{'")
	}
	all, e := statements(string(r.body))
	if e != nil {
		return false, bad(e.message)
	}
	own := "arn:" + partition(r.region) + ":s3:::" + b.Name
	for _, s := range all {
		switch {
		case s.Principal == nil && s.NotPrincipal == nil:
			return false, bad("Missing required field Principal")
		case s.Resource == nil && s.NotResource == nil:
			return false, bad("Missing required field Resource")
		case st.unknownPrincipal(r, s.Principal) != "" || st.unknownPrincipal(r, s.NotPrincipal) != "":
			return false, bad("Invalid principal in policy")
		}
		for _, res := range slices.Concat(s.Resource, s.NotResource) {
			if res != own && !strings.HasPrefix(res, own+"/") && res != own+"*" {
				return false, bad("Policy has invalid resource")
			}
		}
		for _, a := range slices.Concat(s.Action, s.NotAction) {
			if a != "*" && !strings.HasPrefix(strings.ToLower(a), "s3:") {
				return false, bad("Policy has invalid action")
			}
		}
		public = public || s.public()
	}
	return public, nil
}

func getBucketPolicyStatus(b *s3Bucket, _ *request) (any, error) {
	if b.Policy == "" {
		return nil, noBucketPolicy()
	}
	all, _ := statements(b.Policy) // was checked when it was put
	public := slices.ContainsFunc(all, statement.public)
	return document{"PolicyStatus", struct{ IsPublic bool }{public}}, nil
}
