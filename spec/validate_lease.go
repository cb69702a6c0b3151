package spec

import (
	"cmp"
	"reflect"
	"time"
)

// A lease shorter than this is lost whenever S3 is slow; one longer keeps a
// team waiting for a run that died.
const (
	minLease     = 15 * time.Second
	maxLease     = time.Hour
	defaultLease = 2 * time.Minute
)

// lease reads which object lets one run at a time write.
func (d decoder) lease(root *node, stack string) Lease {
	n := root.field("lease")
	if n == nil || n.isNull() || n.kind != mapping {
		return Lease{} // what it is instead was told with the other fields
	}
	var l Lease
	d.decode(n, reflect.ValueOf(&l).Elem(), "lease", nil)
	if at := n.field("bucket"); at != nil && at.kind == scalar && !at.bad && !bucketName.MatchString(l.Bucket) {
		d.errorf(at, "lease.bucket: %q is no name of a bucket", l.Bucket)
	}
	if at := n.field("ttl"); at != nil && l.TTL != 0 && (l.TTL < minLease || l.TTL > maxLease) {
		d.errorf(at, "lease.ttl: %s; from %s to %s is possible", durationOf(l.TTL), durationOf(minLease), durationOf(maxLease))
	}
	l.Key = cmp.Or(l.Key, "churn-reconcile/"+stack+".json")
	l.TTL = cmp.Or(l.TTL, defaultLease)
	return l
}
