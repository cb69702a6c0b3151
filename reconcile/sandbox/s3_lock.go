package sandbox

import (
	"net/http"
	"time"
)

// An objectLock is what keeps one version from being deleted.
type objectLock struct {
	Mode      string    `json:",omitempty"` // GOVERNANCE, COMPLIANCE; "" is no retention
	Until     time.Time `json:",omitzero"`
	LegalHold string    `json:",omitempty"` // ON, OFF; "" was never set
}

// holds says that the version may not be deleted. Who bypasses governance says
// so in the call.
func (l objectLock) holds(r *request) bool {
	if l.LegalHold == "ON" {
		return true
	}
	bypassed := l.Mode == "GOVERNANCE" && r.http.Header.Get("X-Amz-Bypass-Governance-Retention") == "true"
	return l.Mode != "" && r.now.Before(l.Until) && !bypassed
}

// header tells the lock as the answers to HeadObject and GetObject do.
func (l objectLock) header(h http.Header) {
	if l.Mode != "" {
		h.Set("X-Amz-Object-Lock-Mode", l.Mode)
		h.Set("X-Amz-Object-Lock-Retain-Until-Date", l.Until.Format(time.RFC3339))
	}
	if l.LegalHold != "" {
		h.Set("X-Amz-Object-Lock-Legal-Hold", l.LegalHold)
	}
}

// An objectLockConfiguration is a bucket's, on which alone versions can be
// locked.
type objectLockConfiguration struct {
	Enabled string          `xml:"ObjectLockEnabled"`
	Rule    *objectLockRule `json:",omitempty"`
}

type objectLockRule struct {
	DefaultRetention struct {
		Mode  string
		Days  int `xml:",omitempty"`
		Years int `xml:",omitempty"`
	}
}

func getObjectLockConfiguration(b *s3Bucket, _ *request) (any, error) {
	if b.ObjectLock == nil {
		return nil, s3Error(http.StatusNotFound, "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket")
	}
	return document{"ObjectLockConfiguration", b.ObjectLock}, nil
}

// putObjectLockConfiguration turns the lock on, which nothing turns off again.
func putObjectLockConfiguration(b *s3Bucket, r *request) (any, error) {
	var in objectLockConfiguration
	if err := decodeXML(r, &in); err != nil {
		return nil, err
	}
	if in.Enabled != "Enabled" {
		return nil, malformedXML()
	}
	if b.Versioning != "Enabled" {
		return nil, s3Error(http.StatusConflict, "InvalidBucketState", "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration")
	}
	if rule := in.Rule; rule != nil {
		d := rule.DefaultRetention
		if !retentionMode(d.Mode) || (d.Days > 0) == (d.Years > 0) {
			return nil, malformedXML()
		}
	}
	b.ObjectLock = &in
	return nil, nil
}

func retentionMode(mode string) bool { return mode == "GOVERNANCE" || mode == "COMPLIANCE" }

// headerLock is the lock of a new version: what its call says, or else the
// bucket's default.
func (b *s3Bucket) headerLock(r *request) (objectLock, error) {
	h := r.http.Header
	lock := objectLock{Mode: h.Get("X-Amz-Object-Lock-Mode"), LegalHold: h.Get("X-Amz-Object-Lock-Legal-Hold")}
	until := h.Get("X-Amz-Object-Lock-Retain-Until-Date")
	if b.ObjectLock == nil {
		if lock.Mode != "" || lock.LegalHold != "" || until != "" {
			return objectLock{}, noObjectLock()
		}
		return objectLock{}, nil
	}
	if (lock.Mode == "") != (until == "") {
		return objectLock{}, invalidArgument("x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied")
	}
	if lock.Mode != "" {
		at, err := time.Parse(time.RFC3339, until)
		if err != nil || !retentionMode(lock.Mode) {
			return objectLock{}, invalidArgument("Unknown wormMode directive.")
		}
		if !at.After(r.now) {
			return objectLock{}, invalidArgument("The retain until date must be in the future!")
		}
		lock.Until = at.UTC()
		return lock, nil
	}
	if rule := b.ObjectLock.Rule; rule != nil {
		d := rule.DefaultRetention
		lock.Mode, lock.Until = d.Mode, r.now.AddDate(d.Years, 0, d.Days)
	}
	return lock, nil
}

func noObjectLock() error {
	return invalidRequest("Bucket is missing Object Lock Configuration")
}

// lockable finds the version that a call about its lock is for.
func (b *s3Bucket) lockable(r *request) (*objectVersion, error) {
	if b.ObjectLock == nil {
		return nil, noObjectLock()
	}
	return b.object(r)
}

type objectRetention struct {
	Mode            string    `xml:",omitempty"`
	RetainUntilDate time.Time `xml:",omitempty"`
}

func getObjectRetention(b *s3Bucket, r *request) (any, error) {
	v, err := b.lockable(r)
	if err != nil {
		return nil, err
	}
	if v.Lock.Mode == "" {
		return nil, noRetention()
	}
	return document{"Retention", objectRetention{v.Lock.Mode, v.Lock.Until}}, nil
}

func noRetention() error {
	return s3Error(http.StatusNotFound, "NoSuchObjectLockConfiguration", "The specified object does not have a ObjectLock configuration")
}

// putObjectRetention lets nobody shorten what is kept for compliance.
func putObjectRetention(b *s3Bucket, r *request) (any, error) {
	v, err := b.lockable(r)
	if err != nil {
		return nil, err
	}
	var in objectRetention
	if err := decodeXML(r, &in); err != nil {
		return nil, err
	}
	switch {
	case in.Mode != "" && !retentionMode(in.Mode):
		return nil, malformedXML()
	case in.Mode != "" && !in.RetainUntilDate.After(r.now):
		return nil, invalidArgument("The retain until date must be in the future!")
	}
	retained := objectLock{Mode: v.Lock.Mode, Until: v.Lock.Until}
	if retained.holds(r) && (in.Mode != v.Lock.Mode || in.RetainUntilDate.Before(v.Lock.Until)) {
		return nil, s3Error(http.StatusForbidden, "AccessDenied", "Access Denied because object protected by object lock.")
	}
	v.Lock.Mode, v.Lock.Until = in.Mode, in.RetainUntilDate.UTC()
	return nil, nil
}

type legalHold struct{ Status string }

func getObjectLegalHold(b *s3Bucket, r *request) (any, error) {
	v, err := b.lockable(r)
	if err != nil {
		return nil, err
	}
	if v.Lock.LegalHold == "" {
		return nil, noRetention()
	}
	return document{"LegalHold", legalHold{v.Lock.LegalHold}}, nil
}

func putObjectLegalHold(b *s3Bucket, r *request) (any, error) {
	v, err := b.lockable(r)
	if err != nil {
		return nil, err
	}
	var in legalHold
	if err := decodeXML(r, &in); err != nil {
		return nil, err
	}
	if in.Status != "ON" && in.Status != "OFF" {
		return nil, malformedXML()
	}
	v.Lock.LegalHold = in.Status
	return nil, nil
}
