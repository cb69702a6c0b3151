package sandbox

import (
	"cmp"
	"crypto/md5" // S3's ETag is an MD5 sum
	"encoding/hex"
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
		"DeleteObjects":         onBucket(deleteObjects),
		"ListObjects":           onBucket(listObjects),
		"ListObjectsV2":         onBucket(listObjects),
		"ListObjectVersions":    onBucket(listObjectVersions),
		"GetObjectTagging":      onBucket(getObjectTagging),
		"PutObjectTagging":      onBucket(putObjectTagging),
		"DeleteObjectTagging":   onBucket(deleteObjectTagging),
		"CreateMultipartUpload": onBucket(createMultipartUpload),
		"ListMultipartUploads":  onBucket(listMultipartUploads),
		"AbortMultipartUpload":  onBucket(abortMultipartUpload),
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
	b.Objects = append(b.Objects, v)
	return v
}

// forget removes one version for good, and says what it was.
func (b *s3Bucket) forget(key, id string) (objectVersion, bool) {
	i := slices.IndexFunc(b.Objects, func(v objectVersion) bool { return v.Key == key && v.ID == id })
	if i < 0 {
		return objectVersion{}, false
	}
	v := b.Objects[i]
	b.Objects = slices.Delete(b.Objects, i, i+1)
	return v, true
}

// latest finds the present version of a key, or its delete marker.
func (b *s3Bucket) latest(key string) *objectVersion {
	for i := len(b.Objects) - 1; i >= 0; i-- {
		if b.Objects[i].Key == key {
			return &b.Objects[i]
		}
	}
	return nil
}

func (b *s3Bucket) version(key, id string) *objectVersion {
	i := slices.IndexFunc(b.Objects, func(v objectVersion) bool { return v.Key == key && v.ID == id })
	if i < 0 {
		return nil
	}
	return &b.Objects[i]
}

// present lists the keys that are there, sorted, each with its version.
func (b *s3Bucket) present() []objectVersion {
	last := map[string]objectVersion{}
	for _, v := range b.Objects {
		last[v.Key] = v
	}
	var all []objectVersion
	for _, k := range slices.Sorted(maps.Keys(last)) {
		if !last[k].Marker {
			all = append(all, last[k])
		}
	}
	return all
}

func putObject(b *s3Bucket, r *request) (any, error) {
	if len(r.key) > 1024 {
		return nil, s3Error(http.StatusBadRequest, "KeyTooLongError", "Your key is too long")
	}
	tags, err := headerTags(r)
	if err != nil {
		return nil, err
	}
	sum := md5.Sum(r.body)
	v := objectVersion{
		Key: r.key, Body: r.body, Type: cmp.Or(r.http.Header.Get("Content-Type"), "binary/octet-stream"),
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
func (b *s3Bucket) remove(now time.Time, key, id string) (v objectVersion) {
	switch {
	case id != "":
		v, _ = b.forget(key, id)
		v.ID = id
		return v
	case b.Versioning == "":
		b.forget(key, nullVersion)
		return objectVersion{}
	default:
		return b.put(objectVersion{Key: key, Marker: true, Modified: now})
	}
}

func deleteObject(b *s3Bucket, r *request) (any, error) {
	v := b.remove(r.now, r.key, r.http.URL.Query().Get("versionId"))
	if v.Marker {
		r.header.Set("X-Amz-Delete-Marker", "true")
	}
	if v.ID != "" {
		r.header.Set("X-Amz-Version-Id", v.ID)
	}
	r.status = http.StatusNoContent
	return nil, nil
}

func deleteObjects(b *s3Bucket, r *request) (any, error) {
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
	var answer struct{ Deleted []deleted }
	for _, o := range in.Object {
		v := b.remove(r.now, o.Key, o.VersionID)
		d := deleted{Key: o.Key, VersionID: o.VersionID, DeleteMarker: v.Marker}
		if v.Marker {
			d.DeleteMarkerVersionID = v.ID
		}
		if !in.Quiet {
			answer.Deleted = append(answer.Deleted, d)
		}
	}
	return document{"DeleteResult", answer}, nil
}

type wireObject struct {
	Key          string
	LastModified time.Time
	ETag         string
	Size         int
	StorageClass string
}

type commonPrefix struct{ Prefix string }

// maxKeys reads a list's page size.
func maxKeys(r *request) (int, error) {
	v := r.http.URL.Query().Get("max-keys")
	if v == "" {
		return 1000, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, invalidArgument("Provided max-keys not an integer or within integer range")
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
	all := slices.Clone(b.Objects)
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b objectVersion) int { return cmp.Compare(a.Key, b.Key) })
	started := answer.VersionIDMarker == ""
	shown := 0
	for i, v := range all {
		latest := i == 0 || all[i-1].Key != v.Key
		switch {
		case v.Key < answer.KeyMarker, v.Key == answer.KeyMarker && answer.KeyMarker != "" && answer.VersionIDMarker == "":
			continue
		case v.Key == answer.KeyMarker && !started:
			started = v.ID == answer.VersionIDMarker
			continue
		case !strings.HasPrefix(v.Key, answer.Prefix):
			continue
		}
		if shown == size {
			answer.IsTruncated = size > 0
			break
		}
		shown++
		answer.NextKeyMarker, answer.NextVersionIDMarker = v.Key, v.ID
		e := wireVersionEntry{Key: v.Key, VersionID: v.ID, IsLatest: latest, LastModified: v.Modified, Owner: owner{ID: canonicalID(r)}}
		if v.Marker {
			answer.DeleteMarker = append(answer.DeleteMarker, e)
			continue
		}
		n := len(v.Body)
		e.ETag, e.Size, e.StorageClass = v.ETag, &n, "STANDARD"
		answer.Version = append(answer.Version, e)
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
	type entry struct {
		Key       string
		UploadID  string `xml:"UploadId"`
		Initiated time.Time
	}
	answer := struct {
		Bucket      string
		MaxUploads  int
		IsTruncated bool
		Upload      []entry
	}{Bucket: b.Name, MaxUploads: 1000}
	for _, u := range b.Uploads {
		if strings.HasPrefix(u.Key, r.http.URL.Query().Get("prefix")) {
			answer.Upload = append(answer.Upload, entry{u.Key, u.ID, u.Initiated})
		}
	}
	slices.SortStableFunc(answer.Upload, func(a, b entry) int { return cmp.Compare(a.Key, b.Key) })
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
