package spec

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	maxBucketPolicy   = 20 << 10 // bytes
	maxLifecycleRules = 1000
	maxLifecycleID    = 255
)

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*[a-z0-9]$`)
	kmsKeyARN  = regexp.MustCompile(`^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$`)
)

// Beginnings and ends that AWS keeps for itself,
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
func reservedBucketPrefixes() []string { return []string{"xn--", "sthree-", "amzn-s3-demo-"} }

func reservedBucketSuffixes() []string {
	return []string{"-s3alias", "--ol-s3", "--ols-s3", ".mrap", "--x-s3", "--table-s3"}
}

func (c checker) checkBucket(n *node, bucket *S3Bucket) {
	c.checkBucketName(n.get("name"), bucket.Name)
	if e := bucket.Encryption; e != nil {
		at := n.get("encryption", "kmsMasterKeyID")
		c.checkKMSKey(at, "kmsMasterKeyID", e.KMSMasterKeyID)
		if e.KMSMasterKeyID != nil && e.SSEAlgorithm == string(s3types.ServerSideEncryptionAes256) {
			c.errorf(at, "encryption: AES256 takes no key; sseAlgorithm aws:kms does")
		}
		c.checkBlockedEncryption(n.get("encryption", "blockedEncryptionTypes"), e.BlockedEncryptionTypes)
	}
	c.checkLifecycle(n.get("lifecycleRules"), bucket.LifecycleRules)
	if bucket.Policy != nil {
		c.checkStatements(n.get("policy"), bucketPolicy)
		if len(bucket.Policy) > maxBucketPolicy {
			c.errorf(n.get("policy"), "policy: %d bytes; S3 allows %d", len(bucket.Policy), maxBucketPolicy)
		}
	}
}

func (c checker) checkBlockedEncryption(n *node, types []string) {
	if types != nil && len(types) == 0 {
		c.errorf(n, "blockedEncryptionTypes: the list is empty; [NONE] blocks none")
	}
	for i, t := range types {
		switch item := n.item(i); {
		case !item.readable():
		case slices.Contains(types[:i], t):
			c.errorf(item, "blockedEncryptionTypes: %s is listed twice", t)
		case t == string(s3types.EncryptionTypeNone) && len(types) > 1:
			c.errorf(item, "blockedEncryptionTypes: NONE stands alone")
		}
	}
}

// ownNamespace is how names end that are an account's own in a region,
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/gpbucketnamespaces.html
var ownNamespace = regexp.MustCompile(`.-[0-9]{12}-[a-z]{2,}(-[a-z]+)+-[0-9]+-an$`)

func (c checker) checkBucketName(n *node, name string) {
	if name == "" {
		c.emptyName(n, "name")
		return
	}
	_, notIP := netip.ParseAddr(name)
	switch {
	case len(name) < 3 || len(name) > 63:
		c.errorf(n, "bucket name: %s; S3 wants 3 to 63", characters(len(name)))
	case !bucketName.MatchString(name):
		c.errorf(n, "bucket name: %q: allowed are small letters, digits, dots and hyphens, a letter or digit first and last", clip(name))
	case strings.Contains(name, ".."):
		c.errorf(n, "bucket name: %q has two dots in a row", name)
	case notIP == nil:
		c.errorf(n, "bucket name: %q looks like an IP address", name)
	}
	if strings.HasSuffix(name, "-an") && !ownNamespace.MatchString(name) {
		c.errorf(n, "bucket name: %q: only names of an account's own namespace end in -an, as in data-123456789012-eu-north-1-an", clip(name))
	}
	for _, p := range reservedBucketPrefixes() {
		if strings.HasPrefix(name, p) {
			c.errorf(n, "bucket name: %q: the beginning %s is reserved by AWS", name, p)
		}
	}
	for _, s := range reservedBucketSuffixes() {
		if strings.HasSuffix(name, s) {
			c.errorf(n, "bucket name: %q: the end %s is reserved by AWS", name, s)
		}
	}
}

// emptyName reports a name that is given and empty; one that is not given is
// reported as missing already.
func (c checker) emptyName(n *node, field string) {
	if n.kind == scalar && !n.bad && !n.isNull() {
		c.errorf(n, "%s is empty", field)
	}
}

// checkKMSKey wants an ARN: it is the only form that AWS answers unchanged.
func (c checker) checkKMSKey(n *node, name string, key *string) {
	if key == nil || n.bad || kmsKeyARN.MatchString(*key) {
		return
	}
	c.errorf(n, "%s: %q is not the ARN of a KMS key; one looks like arn:aws:kms:eu-north-1:123456789012:key/...", name, clip(*key))
}

func (c checker) checkLifecycle(n *node, rules []s3types.LifecycleRule) {
	if len(rules) > maxLifecycleRules {
		c.errorf(n, "lifecycleRules: %d rules; S3 allows %d", len(rules), maxLifecycleRules)
	}
	ids := make(map[string]bool)
	for i, rule := range rules {
		at := n.item(i)
		if at.kind != mapping {
			continue
		}
		if id := rule.ID; id != nil {
			if len(*id) > maxLifecycleID {
				c.errorf(at.get("id"), "lifecycleRules: an id has at most %d characters", maxLifecycleID)
			}
			if ids[*id] {
				c.errorf(at.get("id"), "lifecycleRules: a second rule with the id %q", *id)
			}
			ids[*id] = true
		}
		c.checkLifecycleRule(at, rule)
	}
}

func (c checker) checkLifecycleRule(n *node, rule s3types.LifecycleRule) {
	if !n.has("expiration", "transitions", "noncurrentVersionExpiration", "noncurrentVersionTransitions", "abortIncompleteMultipartUpload") {
		c.errorf(n, "lifecycleRules: a rule without an action; there are expiration, transitions, noncurrentVersionExpiration, noncurrentVersionTransitions and abortIncompleteMultipartUpload")
	}
	// A prefix of the rule itself is deprecated and still accepted.
	prefix := n.field("prefix")
	switch {
	case !n.has("filter") && prefix == nil:
		c.errorf(n, "lifecycleRules: filter is missing; {} means every object")
	case rule.Filter != nil && prefix != nil:
		c.errorf(prefix, "lifecycleRules: prefix is the old form of filter; give one of them")
	}
	tagged := false
	if f := rule.Filter; f != nil {
		count := 0
		for _, given := range []bool{f.And != nil, f.ObjectSizeGreaterThan != nil, f.ObjectSizeLessThan != nil, f.Prefix != nil, f.Tag != nil} {
			if given {
				count++
			}
		}
		if count > 1 {
			c.errorf(n.get("filter"), "lifecycleRules: a filter has one condition; put several under and")
		}
		tagged = f.Tag != nil || f.And != nil && len(f.And.Tags) > 0
	}
	if a := rule.AbortIncompleteMultipartUpload; a != nil {
		at := n.get("abortIncompleteMultipartUpload")
		c.positive(at.get("daysAfterInitiation"), "daysAfterInitiation", a.DaysAfterInitiation)
		if tagged {
			c.errorf(at, "lifecycleRules: abortIncompleteMultipartUpload cannot be in a rule that filters by tags")
		}
	}
	c.checkExpiration(n, rule, tagged)
	c.checkTransitions(n, rule)
}

// positive reports a number of days that is not above 0.
func (c checker) positive(n *node, name string, days *int32) {
	if days != nil && *days < 1 {
		c.errorf(n, "lifecycleRules: %s: %d is too few; at least 1", name, *days)
	}
}

// midnight reports a date that S3 refuses: it acts by the day.
func (c checker) midnight(n *node, date *time.Time) {
	if date != nil && !date.Equal(date.UTC().Truncate(24*time.Hour)) {
		c.errorf(n, "lifecycleRules: date: %s is not midnight UTC, which S3 wants; write %s",
			date.Format(time.RFC3339), date.UTC().Format(time.DateOnly))
	}
}

func (c checker) checkExpiration(n *node, rule s3types.LifecycleRule, tagged bool) {
	if e := rule.Expiration; e != nil {
		at := n.get("expiration")
		count := 0
		for _, name := range []string{"days", "date", "expiredObjectDeleteMarker"} {
			if at.has(name) {
				count++
			}
		}
		if count != 1 && at.kind == mapping {
			c.errorf(at, "lifecycleRules: expiration wants one of days, date and expiredObjectDeleteMarker")
		}
		c.positive(at.get("days"), "days", e.Days)
		c.midnight(at.get("date"), e.Date)
		if e.ExpiredObjectDeleteMarker != nil && tagged {
			c.errorf(at, "lifecycleRules: expiredObjectDeleteMarker cannot be in a rule that filters by tags")
		}
	}
	if e := rule.NoncurrentVersionExpiration; e != nil {
		at := n.get("noncurrentVersionExpiration")
		c.positive(at.get("noncurrentDays"), "noncurrentDays", e.NoncurrentDays)
	}
}

func (c checker) checkTransitions(n *node, rule s3types.LifecycleRule) {
	for i, t := range rule.Transitions {
		at := n.get("transitions").item(i)
		if at.kind != mapping {
			continue
		}
		if at.has("days") == at.has("date") {
			c.errorf(at, "lifecycleRules: a transition wants one of days and date")
		}
		c.midnight(at.get("date"), t.Date)
		if t.Days == nil {
			continue
		}
		if *t.Days < 0 {
			c.errorf(at.get("days"), "lifecycleRules: days: %d is negative", *t.Days)
		}
		// S3 refuses less for these two classes alone.
		infrequent := t.StorageClass == s3types.TransitionStorageClassStandardIa || t.StorageClass == s3types.TransitionStorageClassOnezoneIa
		if infrequent && *t.Days < 30 {
			c.errorf(at.get("days"), "lifecycleRules: days: %d is too few; %s wants at least 30", *t.Days, t.StorageClass)
		}
		if e := rule.Expiration; e != nil && e.Days != nil && *e.Days <= *t.Days {
			c.errorf(n.get("expiration", "days"), "lifecycleRules: objects expire after %d days, before they move to %s after %d", *e.Days, t.StorageClass, *t.Days)
		}
	}
	for i, t := range rule.NoncurrentVersionTransitions {
		c.positive(n.get("noncurrentVersionTransitions").item(i).get("noncurrentDays"), "noncurrentDays", t.NoncurrentDays)
	}
}
