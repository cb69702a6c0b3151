package sandbox

import (
	"cmp"
	"crypto/md5" // S3's ETag is an MD5 sum
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An objectVersion is one version of an object, or a delete marker.
type objectVersion struct {
	Key      string
	ID       string            // "null" where versioning was never set, or is suspended
	Marker   bool              `json:",omitempty"` // a delete marker
	Body     []byte            `json:",omitempty"`
	Type     string            `json:",omitempty"`
	ETag     string            `json:",omitempty"`
	Meta     map[string]string `json:",omitempty"`
	Tags     []tag             `json:",omitempty"`
	Modified time.Time
	Lock     objectLock `json:",omitzero"`
}

// versionsByKey are the versions of each key, the latest last. A key without
// any is not there.
type versionsByKey map[string][]objectVersion

// MarshalJSON lists the versions by key, each key's in the order of their
// writing.
func (o versionsByKey) MarshalJSON() ([]byte, error) {
	all := []objectVersion{}
	for _, key := range slices.Sorted(maps.Keys(o)) {
		all = append(all, o[key]...)
	}
	return json.Marshal(all)
}

func (o *versionsByKey) UnmarshalJSON(text []byte) error {
	var all []objectVersion
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	*o = versionsByKey{}
	for _, v := range all {
		(*o)[v.Key] = append((*o)[v.Key], v)
	}
	return nil
}

// An upload is a multipart upload that was begun.
type upload struct {
	Key       string
	ID        string
	Initiated time.Time
}

const nullVersion = "null"

func objectHandlers() map[string]handler {
	return map[string]handler{
		"PutObject":             onBucket(putObject),
		"GetObject":             onBucket(getObject),
		"HeadObject":            onBucket(getObject),
		"DeleteObject":          onBucket(deleteObject),
		"DeleteObjects":         deleteObjects,
		"ListObjects":           onBucket(listObjects),
		"ListObjectsV2":         onBucket(listObjects),
		"ListObjectVersions":    onBucket(listObjectVersions),
		"GetObjectTagging":      onBucket(getObjectTagging),
		"PutObjectTagging":      onBucket(putObjectTagging),
		"DeleteObjectTagging":   onBucket(deleteObjectTagging),
		"CreateMultipartUpload": onBucket(createMultipartUpload),
		"ListMultipartUploads":  onBucket(listMultipartUploads),
		"AbortMultipartUpload":  onBucket(abortMultipartUpload),
		"GetObjectRetention":    onBucket(getObjectRetention),
		"PutObjectRetention":    onBucket(putObjectRetention),
		"GetObjectLegalHold":    onBucket(getObjectLegalHold),
		"PutObjectLegalHold":    onBucket(putObjectLegalHold),
	}
}

// number gives a new ID, of versions or uploads.
func (b *s3Bucket) number() string {
	b.Next++
	return fmt.Sprintf("sandbox-%016d", b.Next)
}

// put writes a version. Without versioning, or while it is suspended, that is
// the null version in the place of the one before; others stay.
func (b *s3Bucket) put(v objectVersion) objectVersion {
	v.ID = nullVersion
	if b.Versioning == "Enabled" {
		v.ID = b.number()
	} else {
		b.forget(v.Key, nullVersion)
	}
	if b.Objects == nil {
		b.Objects = versionsByKey{}
	}
	b.Objects[v.Key] = append(b.Objects[v.Key], v)
	return v
}

// index finds a version of a key, which is most often among the last: -1 where
// there is none.
func (b *s3Bucket) index(key, id string) int {
	for i, v := range slices.Backward(b.Objects[key]) {
		if v.ID == id {
			return i
		}
	}
	return -1
}

// forget removes one version for good, and says what it was.
func (b *s3Bucket) forget(key, id string) (objectVersion, bool) {
	i := b.index(key, id)
	if i < 0 {
		return objectVersion{}, false
	}
	versions := b.Objects[key]
	v := versions[i]
	if b.Objects[key] = slices.Delete(versions, i, i+1); len(b.Objects[key]) == 0 {
		delete(b.Objects, key)
	}
	return v, true
}

// latest finds the present version of a key, or its delete marker.
func (b *s3Bucket) latest(key string) *objectVersion {
	versions := b.Objects[key]
	if len(versions) == 0 {
		return nil
	}
	return &versions[len(versions)-1]
}

func (b *s3Bucket) version(key, id string) *objectVersion {
	i := b.index(key, id)
	if i < 0 {
		return nil
	}
	return &b.Objects[key][i]
}

// present lists the keys that are there, sorted, each with its version.
func (b *s3Bucket) present() []objectVersion {
	var all []objectVersion
	for _, k := range slices.Sorted(maps.Keys(b.Objects)) {
		if v := b.latest(k); !v.Marker {
			all = append(all, *v)
		}
	}
	return all
}

func putObject(b *s3Bucket, r *request) (any, error) {
	if len(r.key) > 1024 {
		return nil, s3Error(http.StatusBadRequest, "KeyTooLongError", "Your key is too long")
	}
	if err := b.precondition(r); err != nil {
		return nil, err
	}
	tags, err := headerTags(r)
	if err != nil {
		return nil, err
	}
	sum := md5.Sum(r.body)
	lock, err := b.headerLock(r)
	if err != nil {
		return nil, err
	}
	v := objectVersion{
		Key: r.key, Lock: lock, Body: r.body, Type: cmp.Or(r.http.Header.Get("Content-Type"), "binary/octet-stream"),
		ETag: `"` + hex.EncodeToString(sum[:]) + `"`, Tags: tags, Modified: r.now,
	}
	for name := range r.http.Header {
		if meta, ok := strings.CutPrefix(name, "X-Amz-Meta-"); ok {
			if v.Meta == nil {
				v.Meta = map[string]string{}
			}
			v.Meta[meta] = r.http.Header.Get(name)
		}
	}
	v = b.put(v)
	r.header.Set("ETag", v.ETag)
	if b.Versioning != "" {
		r.header.Set("X-Amz-Version-Id", v.ID)
	}
	return nil, nil
}

// precondition holds a conditional write's rules: If-None-Match takes * only,
// and a write that expects an object fails otherwise where there is none
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).
func (b *s3Bucket) precondition(r *request) error {
	match, none := r.http.Header.Get("If-Match"), r.http.Header.Get("If-None-Match")
	there := b.latest(r.key)
	if there != nil && there.Marker {
		there = nil
	}
	failed := s3Error(http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	switch {
	case none != "" && none != "*" || none != "" && match != "":
		return s3Error(http.StatusNotImplemented, "NotImplemented", "A header you provided implies functionality that is not implemented")
	case none == "*" && there != nil:
		return failed
	case match != "" && there == nil:
		return s3Error(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
	case match != "" && match != "*" && strings.Trim(match, `"`) != strings.Trim(there.ETag, `"`):
		return failed
	}
	return nil
}

// headerTags reads the tags that a new object comes with.
func headerTags(r *request) ([]tag, error) {
	q, err := url.ParseQuery(r.http.Header.Get("X-Amz-Tagging"))
	if err != nil {
		return nil, invalidArgument("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
	}
	var tags []tag
	for _, k := range slices.Sorted(maps.Keys(q)) {
		tags = append(tags, tag{k, q.Get(k)})
	}
	return tags, checkObjectTags(tags)
}

// checkObjectTags holds S3's rules for the tags of objects: a bucket's rules,
// and ten at most.
func checkObjectTags(tags []tag) error {
	if len(tags) > 10 {
		return s3Error(http.StatusBadRequest, "BadRequest", "Object tags cannot be greater than 10")
	}
	return checkTags(tags)
}

// object finds the version that the request is about.
func (b *s3Bucket) object(r *request) (*objectVersion, error) {
	id := r.http.URL.Query().Get("versionId")
	v := b.latest(r.key)
	if id != "" {
		v = b.version(r.key, id)
	}
	switch {
	case v == nil && id != "":
		return nil, s3Error(http.StatusNotFound, "NoSuchVersion", "The specified version does not exist.")
	case v == nil:
		return nil, s3Error(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
	case v.Marker:
		r.header.Set("X-Amz-Delete-Marker", "true")
		r.header.Set("X-Amz-Version-Id", v.ID)
		if id != "" {
			return nil, s3Error(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
		}
		return nil, s3Error(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
	}
	return v, nil
}

func getObject(b *s3Bucket, r *request) (any, error) {
	v, err := b.object(r)
	if err != nil {
		return nil, err
	}
	h := r.header
	h.Set("ETag", v.ETag)
	h.Set("Content-Type", v.Type)
	h.Set("Last-Modified", v.Modified.Format(http.TimeFormat))
	h.Set("Content-Length", strconv.Itoa(len(v.Body)))
	if b.Versioning != "" {
		h.Set("X-Amz-Version-Id", v.ID)
	}
	if len(v.Tags) > 0 {
		h.Set("X-Amz-Tagging-Count", strconv.Itoa(len(v.Tags)))
	}
	for name, value := range v.Meta {
		h.Set("X-Amz-Meta-"+name, value)
	}
	v.Lock.header(h)
	return v.Body, nil
}

func getObjectTagging(b *s3Bucket, r *request) (any, error) {
	v, err := b.object(r)
	if err != nil {
		return nil, err
	}
	var t tagSet
	t.TagSet.Tag = v.Tags
	return document{"Tagging", t}, nil
}

func putObjectTagging(b *s3Bucket, r *request) (any, error) {
	v, err := b.object(r)
	if err != nil {
		return nil, err
	}
	var in tagSet
	if err := decodeXML(r, &in); err != nil {
		return nil, err
	}
	if err := checkObjectTags(in.TagSet.Tag); err != nil {
		return nil, err
	}
	v.Tags = in.TagSet.Tag
	return nil, nil
}

func deleteObjectTagging(b *s3Bucket, r *request) (any, error) {
	v, err := b.object(r)
	if err != nil {
		return nil, err
	}
	v.Tags = nil
	r.status = http.StatusNoContent
	return nil, nil
}

// remove deletes as S3 does: a named version for good, otherwise by a delete
// marker where the bucket is or was versioned. What is not there is no error.
func (b *s3Bucket) remove(r *request, key, id string) (v objectVersion, err error) {
	switch {
	case id != "":
		if v := b.version(key, id); v != nil && v.Lock.holds(r) {
			return objectVersion{}, s3Error(http.StatusForbidden, "AccessDenied", "Access Denied because object protected by object lock.")
		}
		v, _ = b.forget(key, id)
		v.ID = id
		return v, nil
	case b.Versioning == "":
		b.forget(key, nullVersion)
		return objectVersion{}, nil
	default:
		return b.put(objectVersion{Key: key, Marker: true, Modified: r.now}), nil
	}
}

func deleteObject(b *s3Bucket, r *request) (any, error) {
	v, err := b.remove(r, r.key, r.http.URL.Query().Get("versionId"))
	if err != nil {
		return nil, err
	}
	if v.Marker {
		r.header.Set("X-Amz-Delete-Marker", "true")
	}
	if v.ID != "" {
		r.header.Set("X-Amz-Version-Id", v.ID)
	}
	r.status = http.StatusNoContent
	return nil, nil
}

// deleteObjects answers 200 whatever becomes of each key: what could not be
// deleted, or what the caller may not delete, stands among the errors.
func deleteObjects(st *state, r *request) (any, error) {
	return onBucket(func(b *s3Bucket, r *request) (any, error) {
		var in struct {
			Object []struct {
				Key       string
				VersionID string `xml:"VersionId"`
			}
			Quiet bool
		}
		if err := decodeXML(r, &in); err != nil {
			return nil, err
		}
		if len(in.Object) == 0 || len(in.Object) > 1000 {
			return nil, malformedXML()
		}
		type deleted struct {
			Key                   string
			VersionID             string `xml:"VersionId,omitempty"`
			DeleteMarker          bool   `xml:",omitempty"`
			DeleteMarkerVersionID string `xml:"DeleteMarkerVersionId,omitempty"`
		}
		type failed struct {
			Key       string
			VersionID string `xml:"VersionId,omitempty"`
			Code      string
			Message   string
		}
		var answer struct {
			Deleted []deleted
			Error   []failed
		}
		for _, o := range in.Object {
			if e := r.denied(st, st.S3.onVersion(r, [2]string{"DeleteObject", "DeleteObjectVersion"}, o.Key, o.VersionID)...); e != nil {
				answer.Error = append(answer.Error, failed{o.Key, o.VersionID, e.code, e.message})
				continue
			}
			v, err := b.remove(r, o.Key, o.VersionID)
			if e, ok := errors.AsType[*apiError](err); ok {
				answer.Error = append(answer.Error, failed{o.Key, o.VersionID, e.code, e.message})
				continue
			}
			d := deleted{Key: o.Key, VersionID: o.VersionID, DeleteMarker: v.Marker}
			if v.Marker {
				d.DeleteMarkerVersionID = v.ID
			}
			if !in.Quiet {
				answer.Deleted = append(answer.Deleted, d)
			}
		}
		return document{"DeleteResult", answer}, nil
	})(st, r)
}

type wireObject struct {
	Key          string
	LastModified time.Time
	ETag         string
	Size         int
	StorageClass string
}

type commonPrefix struct{ Prefix string }

// maxKeys reads the page size of a list of objects.
func maxKeys(r *request) (int, error) { return pageSize(r.http.URL.Query(), "max-keys") }

// pageSize reads a list's page size.
func pageSize(q url.Values, param string) (int, error) {
	v := q.Get(param)
	if v == "" {
		return 1000, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n == 0 && param != "max-keys" {
		return 0, invalidArgument("Provided %s not an integer or within integer range", param)
	}
	return min(n, 1000), nil
}

// listObjects answers both versions of the listing.
func listObjects(b *s3Bucket, r *request) (any, error) {
	size, err := maxKeys(r)
	if err != nil {
		return nil, err
	}
	q := r.http.URL.Query()
	prefix, delimiter := q.Get("prefix"), q.Get("delimiter")
	after := cmp.Or(q.Get("continuation-token"), q.Get("start-after"), q.Get("marker"))
	answer := struct {
		Name                  string
		Prefix                string
		Delimiter             string `xml:",omitempty"`
		MaxKeys               int
		KeyCount              int
		IsTruncated           bool
		ContinuationToken     string `xml:",omitempty"`
		NextContinuationToken string `xml:",omitempty"`
		NextMarker            string `xml:",omitempty"`
		Contents              []wireObject
		CommonPrefixes        []commonPrefix
	}{Name: b.Name, Prefix: prefix, Delimiter: delimiter, MaxKeys: size, ContinuationToken: q.Get("continuation-token")}
	last := ""
	for _, v := range b.present() {
		rest, ok := strings.CutPrefix(v.Key, prefix)
		if !ok || v.Key <= after {
			continue
		}
		group := ""
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			group = prefix + rest[:i+len(delimiter)]
			n := len(answer.CommonPrefixes)
			if strings.HasPrefix(after, group) || n > 0 && answer.CommonPrefixes[n-1].Prefix == group {
				continue
			}
		}
		if answer.KeyCount == size {
			answer.IsTruncated = size > 0
			break
		}
		answer.KeyCount++
		if group != "" {
			answer.CommonPrefixes = append(answer.CommonPrefixes, commonPrefix{group})
			last = group
			continue
		}
		answer.Contents = append(answer.Contents, wireObject{v.Key, v.Modified, v.ETag, len(v.Body), "STANDARD"})
		last = v.Key
	}
	if answer.IsTruncated {
		if r.operation == "ListObjectsV2" {
			answer.NextContinuationToken = last
		} else {
			answer.NextMarker = last
		}
	}
	return document{"ListBucketResult", answer}, nil
}

type wireVersionEntry struct {
	Key          string
	VersionID    string `xml:"VersionId"`
	IsLatest     bool
	LastModified time.Time
	ETag         string `xml:",omitempty"`
	Size         *int
	StorageClass string `xml:",omitempty"`
	Owner        owner
}

func listObjectVersions(b *s3Bucket, r *request) (any, error) {
	size, err := maxKeys(r)
	if err != nil {
		return nil, err
	}
	q := r.http.URL.Query()
	answer := struct {
		Name                string
		Prefix              string
		KeyMarker           string
		VersionIDMarker     string `xml:"VersionIdMarker"`
		MaxKeys             int
		IsTruncated         bool
		NextKeyMarker       string `xml:",omitempty"`
		NextVersionIDMarker string `xml:"NextVersionIdMarker,omitempty"`
		Version             []wireVersionEntry
		DeleteMarker        []wireVersionEntry
	}{
		Name: b.Name, Prefix: q.Get("prefix"), KeyMarker: q.Get("key-marker"),
		VersionIDMarker: q.Get("version-id-marker"), MaxKeys: size,
	}
	// By key, the latest first.
	shown := 0
	for _, key := range slices.Sorted(maps.Keys(b.Objects)) {
		versions := b.Objects[key]
		from := len(versions)
		switch {
		case !strings.HasPrefix(key, answer.Prefix), key < answer.KeyMarker:
			continue
		case key == answer.KeyMarker && answer.VersionIDMarker == "" && key != "":
			continue
		case key == answer.KeyMarker && answer.VersionIDMarker != "":
			// What the marker names may be deleted by now. IDs that were given
			// later are greater.
			from = b.index(key, answer.VersionIDMarker)
			if from < 0 && answer.VersionIDMarker != nullVersion {
				from = slices.IndexFunc(versions, func(v objectVersion) bool { return v.ID != nullVersion && v.ID > answer.VersionIDMarker })
			}
			if from < 0 {
				from = len(versions)
			}
		}
		for i := from - 1; i >= 0 && !answer.IsTruncated; i-- {
			v := versions[i]
			if shown == size {
				answer.IsTruncated = size > 0
				break
			}
			shown++
			answer.NextKeyMarker, answer.NextVersionIDMarker = key, v.ID
			e := wireVersionEntry{Key: key, VersionID: v.ID, IsLatest: i == len(versions)-1, LastModified: v.Modified, Owner: owner{ID: canonicalID(r)}}
			if v.Marker {
				answer.DeleteMarker = append(answer.DeleteMarker, e)
				continue
			}
			n := len(v.Body)
			e.ETag, e.Size, e.StorageClass = v.ETag, &n, "STANDARD"
			answer.Version = append(answer.Version, e)
		}
		if answer.IsTruncated || size == 0 {
			break
		}
	}
	if !answer.IsTruncated {
		answer.NextKeyMarker, answer.NextVersionIDMarker = "", ""
	}
	return document{"ListVersionsResult", answer}, nil
}

func createMultipartUpload(b *s3Bucket, r *request) (any, error) {
	u := upload{r.key, b.number(), r.now}
	b.Uploads = append(b.Uploads, u)
	return document{"InitiateMultipartUploadResult", struct {
		Bucket   string
		Key      string
		UploadID string `xml:"UploadId"`
	}{b.Name, u.Key, u.ID}}, nil
}

func listMultipartUploads(b *s3Bucket, r *request) (any, error) {
	q := r.http.URL.Query()
	size, err := pageSize(q, "max-uploads")
	if err != nil {
		return nil, err
	}
	type entry struct {
		Key       string
		UploadID  string `xml:"UploadId"`
		Initiated time.Time
	}
	answer := struct {
		Bucket             string
		KeyMarker          string
		UploadIDMarker     string `xml:"UploadIdMarker"`
		NextKeyMarker      string `xml:",omitempty"`
		NextUploadIDMarker string `xml:"NextUploadIdMarker,omitempty"`
		Prefix             string `xml:",omitempty"`
		MaxUploads         int
		IsTruncated        bool
		Upload             []entry
	}{
		Bucket: b.Name, KeyMarker: q.Get("key-marker"), UploadIDMarker: q.Get("upload-id-marker"),
		Prefix: q.Get("prefix"), MaxUploads: size,
	}
	// By key, and by their beginning, which their IDs tell.
	uploads := slices.SortedFunc(slices.Values(b.Uploads), func(a, b upload) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.ID, b.ID))
	})
	for _, u := range uploads {
		after := cmp.Compare(u.Key, answer.KeyMarker)
		if after == 0 && answer.UploadIDMarker != "" {
			after = cmp.Compare(u.ID, answer.UploadIDMarker)
		}
		if after <= 0 || !strings.HasPrefix(u.Key, answer.Prefix) {
			continue
		}
		if len(answer.Upload) == size {
			last := answer.Upload[size-1]
			answer.IsTruncated, answer.NextKeyMarker, answer.NextUploadIDMarker = true, last.Key, last.UploadID
			break
		}
		answer.Upload = append(answer.Upload, entry{u.Key, u.ID, u.Initiated})
	}
	return document{"ListMultipartUploadsResult", answer}, nil
}

func abortMultipartUpload(b *s3Bucket, r *request) (any, error) {
	id := r.http.URL.Query().Get("uploadId")
	i := slices.IndexFunc(b.Uploads, func(u upload) bool { return u.Key == r.key && u.ID == id })
	if i < 0 {
		return nil, s3Error(http.StatusNotFound, "NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.")
	}
	b.Uploads = slices.Delete(b.Uploads, i, i+1)
	r.status = http.StatusNoContent
	return nil, nil
}
