package sandbox

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const s3Namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// s3Protocol is S3's REST-XML. A handler returns nil for no body, []byte for a
// body as it is, and a document otherwise.
type s3Protocol struct{}

// A document is XML under S3's namespace with a root element of this name.
type document struct {
	root  string
	value any
}

func (s3Protocol) answer(r *request, v any) (answer, error) {
	a := answer{status: r.status, header: r.header}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	s3Header(a.header, r)
	switch v := v.(type) {
	case nil:
	case []byte:
		a.body = v
	case document:
		var b bytes.Buffer
		b.WriteString(xml.Header)
		enc := xml.NewEncoder(&b)
		err := enc.EncodeElement(v.value, xml.StartElement{
			Name: xml.Name{Local: v.root},
			Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: s3Namespace}},
		})
		if err != nil {
			return answer{}, err
		}
		a.body = b.Bytes()
		a.header.Set("Content-Type", "application/xml")
	default:
		return answer{}, fmt.Errorf("%s answers a %T", r.operation, v)
	}
	return a, nil
}

func (s3Protocol) fail(r *request, e *apiError) answer {
	h := http.Header{"Content-Type": {"application/xml"}}
	// Where a bucket is follows from the answer, whatever else went wrong.
	for _, name := range [...]string{"X-Amz-Bucket-Region", "X-Amz-Delete-Marker", "X-Amz-Version-Id"} {
		if v := r.header.Values(name); len(v) > 0 {
			h[name] = v
		}
	}
	s3Header(h, r)
	a := answer{status: e.status, code: e.code, header: h}
	if r.http.Method == http.MethodHead || e.status == http.StatusNotModified {
		return a
	}
	doc := struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		Bucket    string `xml:"BucketName,omitempty"`
		Key       string `xml:",omitempty"`
		RequestID string `xml:"RequestId"`
		HostID    string `xml:"HostId"`
	}{Code: e.code, Message: e.message, Bucket: r.bucket, Key: r.key, RequestID: r.id, HostID: hostID(r)}
	// Strings always marshal.
	body, _ := xml.Marshal(doc)
	a.body = append([]byte(xml.Header), body...)
	return a
}

func s3Header(h http.Header, r *request) {
	h.Set("X-Amz-Request-Id", r.id)
	h.Set("X-Amz-Id-2", hostID(r))
}

func hostID(r *request) string { return "sandbox/" + r.id }

// s3Parts are the operations on a part of a bucket, told by a parameter of the
// query.
var s3Parts = []struct {
	param string
	name  string // Get, Put or Delete in front of it is the operation
}{
	{"tagging", "BucketTagging"},
	{"abac", "BucketAbac"},
	{"versioning", "BucketVersioning"},
	{"encryption", "BucketEncryption"},
	{"publicAccessBlock", "PublicAccessBlock"},
	{"ownershipControls", "BucketOwnershipControls"},
	{"lifecycle", "BucketLifecycleConfiguration"},
	{"policyStatus", "BucketPolicyStatus"},
	{"policy", "BucketPolicy"},
	{"acl", "BucketAcl"},
	{"cors", "BucketCors"},
	{"website", "BucketWebsite"},
	{"logging", "BucketLogging"},
	{"accelerate", "BucketAccelerateConfiguration"},
	{"requestPayment", "BucketRequestPayment"},
	{"replication", "BucketReplication"},
	{"object-lock", "ObjectLockConfiguration"},
	{"notification", "BucketNotificationConfiguration"},
	{"location", "BucketLocation"},
	{"intelligent-tiering", "BucketIntelligentTieringConfiguration"},
	{"analytics", "BucketAnalyticsConfiguration"},
	{"inventory", "BucketInventoryConfiguration"},
	{"metrics", "BucketMetricsConfiguration"},
}

// decodeS3 finds bucket, key and operation.
func decodeS3(r *request) {
	if decodeS3Control(r) {
		return
	}
	path := strings.TrimPrefix(r.http.URL.Path, "/")
	if r.bucket = bucketOfHost(r.http.Host); r.bucket != "" {
		r.key = path
	} else {
		r.bucket, r.key, _ = strings.Cut(path, "/")
	}
	if strings.HasPrefix(r.http.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		r.body = unchunk(r.body)
	}
	r.operation = s3Operation(r)
}

// decodeS3Control finds what is S3 Control's: the tags of a bucket by its ARN.
// An object in a bucket of that name is asked for without an account.
func decodeS3Control(r *request) bool {
	arn, ok := strings.CutPrefix(r.http.URL.Path, "/v20180820/tags/")
	if !ok || r.http.Header.Get("X-Amz-Account-Id") == "" {
		return false
	}
	_, r.bucket, _ = strings.Cut(arn, ":::")
	switch r.http.Method {
	case http.MethodPost:
		r.operation = "TagResource"
	case http.MethodDelete:
		r.operation = "UntagResource"
	default:
		r.operation = "ListTagsForResource"
	}
	return true
}

func s3Operation(r *request) string {
	q, method := r.http.URL.Query(), r.http.Method
	switch {
	case r.bucket == "":
		return "ListBuckets"
	case r.key != "":
		return s3ObjectOperation(r)
	case method == http.MethodHead:
		return "HeadBucket"
	case method == http.MethodPost && q.Has("delete"):
		return "DeleteObjects"
	case method == http.MethodGet && q.Has("versions"):
		return "ListObjectVersions"
	case method == http.MethodGet && q.Has("uploads"):
		return "ListMultipartUploads"
	}
	verb := s3Verb(method)
	for _, p := range s3Parts {
		if !q.Has(p.param) {
			continue
		}
		if verb == "Delete" && p.param == "lifecycle" {
			return "DeleteBucketLifecycle"
		}
		return verb + p.name
	}
	switch method {
	case http.MethodPut:
		return "CreateBucket"
	case http.MethodDelete:
		return "DeleteBucket"
	case http.MethodGet:
		if q.Get("list-type") == "2" {
			return "ListObjectsV2"
		}
		return "ListObjects"
	default:
		return method
	}
}

func s3ObjectOperation(r *request) string {
	q, method := r.http.URL.Query(), r.http.Method
	switch {
	case method == http.MethodPost && q.Has("uploads"):
		return "CreateMultipartUpload"
	case method == http.MethodPost && q.Has("uploadId"):
		return "CompleteMultipartUpload"
	case method == http.MethodPut && q.Has("uploadId"):
		return "UploadPart"
	case method == http.MethodGet && q.Has("uploadId"):
		return "ListParts"
	case method == http.MethodDelete && q.Has("uploadId"):
		return "AbortMultipartUpload"
	case method == http.MethodPut && r.http.Header.Get("X-Amz-Copy-Source") != "":
		return "CopyObject"
	case q.Has("tagging"):
		return s3Verb(method) + "ObjectTagging"
	case q.Has("acl"):
		return s3Verb(method) + "ObjectAcl"
	case q.Has("retention"):
		return s3Verb(method) + "ObjectRetention"
	case q.Has("legal-hold"):
		return s3Verb(method) + "ObjectLegalHold"
	case method == http.MethodHead:
		return "HeadObject"
	default:
		return s3Verb(method) + "Object"
	}
}

func s3Verb(method string) string {
	switch method {
	case http.MethodGet:
		return "Get"
	case http.MethodPut:
		return "Put"
	case http.MethodDelete:
		return "Delete"
	default:
		return method
	}
}

// unchunk takes the aws-chunked coding off: size in hex, an optional signature,
// the data, until a chunk of size 0. What is no such coding stays as it is.
func unchunk(body []byte) []byte {
	in := bufio.NewReader(bytes.NewReader(body))
	var out bytes.Buffer
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return body
		}
		digits, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ";")
		size, err := strconv.ParseInt(digits, 16, 32)
		if err != nil || size < 0 {
			return body
		}
		if size == 0 {
			return out.Bytes()
		}
		if _, err := io.CopyN(&out, in, size); err != nil {
			return body
		}
		if _, err := in.Discard(len("\r\n")); err != nil {
			return body
		}
	}
}
