package sandbox

import (
	"encoding/xml"
	"strings"
)

// s3Needs lists what S3's operations need. Many actions have another name than
// their operation.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
func s3Needs() map[string]needs {
	t := map[string]needs{
		"CreateBucket":  createBucketNeeds,
		"DeleteObjects": byHandler, // key by key
		"PutObject":     putObjectNeeds,
		"ListBuckets": func(*state, *request) []need {
			return []need{needed("s3:ListAllMyBuckets", "*")}
		},
	}
	for operation, action := range map[string]string{
		"HeadBucket":                          "ListBucket",
		"DeleteBucket":                        "DeleteBucket",
		"GetBucketLocation":                   "GetBucketLocation",
		"ListObjects":                         "ListBucket",
		"ListObjectsV2":                       "ListBucket",
		"ListObjectVersions":                  "ListBucketVersions",
		"ListMultipartUploads":                "ListBucketMultipartUploads",
		"GetBucketTagging":                    "GetBucketTagging",
		"PutBucketTagging":                    "PutBucketTagging",
		"DeleteBucketTagging":                 "PutBucketTagging",
		"GetBucketAbac":                       "GetBucketAbac",
		"PutBucketAbac":                       "PutBucketAbac",
		"TagResource":                         "TagResource",
		"UntagResource":                       "UntagResource",
		"ListTagsForResource":                 "ListTagsForResource",
		"GetBucketVersioning":                 "GetBucketVersioning",
		"PutBucketVersioning":                 "PutBucketVersioning",
		"GetBucketEncryption":                 "GetEncryptionConfiguration",
		"PutBucketEncryption":                 "PutEncryptionConfiguration",
		"DeleteBucketEncryption":              "PutEncryptionConfiguration",
		"GetPublicAccessBlock":                "GetBucketPublicAccessBlock",
		"PutPublicAccessBlock":                "PutBucketPublicAccessBlock",
		"DeletePublicAccessBlock":             "PutBucketPublicAccessBlock",
		"GetBucketOwnershipControls":          "GetBucketOwnershipControls",
		"PutBucketOwnershipControls":          "PutBucketOwnershipControls",
		"DeleteBucketOwnershipControls":       "PutBucketOwnershipControls",
		"GetBucketLifecycleConfiguration":     "GetLifecycleConfiguration",
		"PutBucketLifecycleConfiguration":     "PutLifecycleConfiguration",
		"DeleteBucketLifecycle":               "PutLifecycleConfiguration",
		"GetBucketPolicy":                     "GetBucketPolicy",
		"PutBucketPolicy":                     "PutBucketPolicy",
		"DeleteBucketPolicy":                  "DeleteBucketPolicy",
		"GetBucketPolicyStatus":               "GetBucketPolicyStatus",
		"GetBucketAcl":                        "GetBucketAcl",
		"PutBucketAcl":                        "PutBucketAcl",
		"GetBucketRequestPayment":             "GetBucketRequestPayment",
		"GetBucketReplication":                "GetReplicationConfiguration",
		"GetObjectLockConfiguration":          "GetBucketObjectLockConfiguration",
		"PutObjectLockConfiguration":          "PutBucketObjectLockConfiguration",
		"GetBucketNotificationConfiguration":  "GetBucketNotification",
		"GetBucketCors":                       "GetBucketCORS",
		"PutBucketCors":                       "PutBucketCORS",
		"DeleteBucketCors":                    "PutBucketCORS",
		"GetBucketWebsite":                    "GetBucketWebsite",
		"PutBucketWebsite":                    "PutBucketWebsite",
		"DeleteBucketWebsite":                 "DeleteBucketWebsite",
		"GetBucketLogging":                    "GetBucketLogging",
		"PutBucketLogging":                    "PutBucketLogging",
		"DeleteBucketLogging":                 "PutBucketLogging",
		"GetBucketAccelerateConfiguration":    "GetAccelerateConfiguration",
		"PutBucketAccelerateConfiguration":    "PutAccelerateConfiguration",
		"DeleteBucketAccelerateConfiguration": "PutAccelerateConfiguration",
	} {
		t[operation] = func(st *state, r *request) []need {
			return []need{st.S3.on(r, "s3:"+action, "")}
		}
	}
	for operation, action := range map[string][2]string{ // of an object, and of a version of it
		"GetObject":             {"GetObject", "GetObjectVersion"},
		"HeadObject":            {"GetObject", "GetObjectVersion"},
		"DeleteObject":          {"DeleteObject", "DeleteObjectVersion"},
		"GetObjectTagging":      {"GetObjectTagging", "GetObjectVersionTagging"},
		"PutObjectTagging":      {"PutObjectTagging", "PutObjectVersionTagging"},
		"DeleteObjectTagging":   {"DeleteObjectTagging", "DeleteObjectVersionTagging"},
		"GetObjectRetention":    {"GetObjectRetention", "GetObjectRetention"},
		"PutObjectRetention":    {"PutObjectRetention", "PutObjectRetention"},
		"GetObjectLegalHold":    {"GetObjectLegalHold", "GetObjectLegalHold"},
		"PutObjectLegalHold":    {"PutObjectLegalHold", "PutObjectLegalHold"},
		"CreateMultipartUpload": {"PutObject", "PutObject"},
		"AbortMultipartUpload":  {"AbortMultipartUpload", "AbortMultipartUpload"},
	} {
		t[operation] = func(st *state, r *request) []need {
			return st.S3.onVersion(r, action, r.key, r.http.URL.Query().Get("versionId"))
		}
	}
	return t
}

// on is an action on a bucket, or on an object in it where there is a key.
func (st *s3State) on(r *request, action, key string) need {
	arn := "arn:" + partition(r.region) + ":s3:::" + r.bucket
	if key != "" {
		arn += "/" + key
	}
	n := needed(action, arn)
	n.says = `"` + arn + `"`
	q := r.http.URL.Query()
	for _, name := range []string{"prefix", "delimiter", "max-keys"} {
		// An empty prefix is one that was given.
		if q.Has(name) {
			n.keys["s3:"+name] = []string{q.Get(name)}
		}
	}
	n = n.with("s3:VersionId", q.Get("versionId")).
		with("s3:x-amz-acl", r.http.Header.Get("X-Amz-Acl")).
		with("s3:x-amz-server-side-encryption", r.http.Header.Get("X-Amz-Server-Side-Encryption")).
		with("s3:ResourceAccount", r.account)
	if r.operation == "TagResource" {
		var in s3Tags
		_ = xml.Unmarshal(r.body, &in) // what is malformed is for the operation to refuse
		n = n.tagging(in.Tags.Tag)
	}
	if r.operation == "UntagResource" {
		n = n.with("aws:TagKeys", q["tagKeys"]...)
	}
	b := st.Buckets[r.bucket]
	if b == nil {
		return n
	}
	n.policy = b.Policy
	if r.caller.kind == "" && b.Access != nil && b.Access.RestrictPublicBuckets {
		n.policy = "" // what lets anybody in is public, and shut off
	}
	if b.ABAC {
		n = n.tagged(b.Tags, "s3:BucketTag/")
	}
	return n
}

// onVersion is an action on an object, or the other one on a version of it.
func (st *s3State) onVersion(r *request, actions [2]string, key, version string) []need {
	action := actions[0]
	if version != "" {
		action = actions[1]
	}
	all := []need{st.on(r, "s3:"+action, key).with("s3:VersionId", version)}
	if r.http.Header.Get("X-Amz-Bypass-Governance-Retention") == "true" {
		all = append(all, st.on(r, "s3:BypassGovernanceRetention", key))
	}
	return all
}

func createBucketNeeds(st *state, r *request) []need {
	var in struct {
		LocationConstraint string
		Tags               struct{ Tag []tag }
	}
	_ = xml.Unmarshal(r.body, &in) // what is malformed is for the operation to refuse
	n := st.S3.on(r, "s3:CreateBucket", "").with("s3:locationconstraint", in.LocationConstraint)
	all := n.alsoTagging("s3:TagResource", in.Tags.Tag)
	if r.http.Header.Get("X-Amz-Object-Ownership") != "" {
		all = append(all, st.S3.on(r, "s3:PutBucketOwnershipControls", ""))
	}
	if strings.EqualFold(r.http.Header.Get("X-Amz-Bucket-Object-Lock-Enabled"), "true") {
		all = append(all, st.S3.on(r, "s3:PutBucketObjectLockConfiguration", ""), st.S3.on(r, "s3:PutBucketVersioning", ""))
	}
	if acl := r.http.Header.Get("X-Amz-Acl"); acl != "" && acl != "private" {
		all = append(all, st.S3.on(r, "s3:PutBucketAcl", ""))
	}
	return all
}

func putObjectNeeds(st *state, r *request) []need {
	all := []need{st.S3.on(r, "s3:PutObject", r.key)}
	if tags := r.http.Header.Get("X-Amz-Tagging"); tags != "" {
		all = append(all, st.S3.on(r, "s3:PutObjectTagging", r.key))
	}
	if r.http.Header.Get("X-Amz-Acl") != "" {
		all = append(all, st.S3.on(r, "s3:PutObjectAcl", r.key))
	}
	return all
}

// hidden answers for an object that does not exist. Who may not list the bucket
// is not told so: "If you don't have the s3:ListBucket permission, Amazon S3
// returns an HTTP status code 403 (Forbidden) error."
func hidden(st *state, r *request, absent *apiError) *apiError {
	if r.service != "s3" || absent.code != "NoSuchKey" {
		return absent
	}
	if e := r.denied(st, st.S3.on(r, "s3:ListBucket", "")); e != nil {
		return e
	}
	return absent
}
