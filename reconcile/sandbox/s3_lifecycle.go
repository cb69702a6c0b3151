package sandbox

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A lifecycle is a bucket's lifecycle configuration. MinimumSize travels in a
// header, both ways.
type lifecycle struct {
	Rules       []lifecycleRule `xml:"Rule"`
	MinimumSize string          `xml:"-"`
}

type lifecycleRule struct {
	ID                    string                 `xml:",omitempty"`
	Filter                *lifecycleFilter       `json:",omitempty"`
	Prefix                *string                `json:",omitempty"` // the old way to filter
	Status                string                 // Enabled, Disabled
	Expiration            *expiration            `json:",omitempty"`
	Transitions           []transition           `xml:"Transition" json:",omitempty"`
	NoncurrentExpiration  *noncurrentExpiration  `xml:"NoncurrentVersionExpiration" json:",omitempty"`
	NoncurrentTransitions []noncurrentTransition `xml:"NoncurrentVersionTransition" json:",omitempty"`
	Abort                 *abort                 `xml:"AbortIncompleteMultipartUpload" json:",omitempty"`
}

type lifecycleFilter struct {
	Prefix                *string       `json:",omitempty"`
	Tag                   *tag          `json:",omitempty"`
	ObjectSizeGreaterThan *int64        `json:",omitempty"`
	ObjectSizeLessThan    *int64        `json:",omitempty"`
	And                   *lifecycleAnd `json:",omitempty"`
}

type lifecycleAnd struct {
	Prefix                *string `json:",omitempty"`
	Tags                  []tag   `xml:"Tag" json:",omitempty"`
	ObjectSizeGreaterThan *int64  `json:",omitempty"`
	ObjectSizeLessThan    *int64  `json:",omitempty"`
}

type expiration struct {
	Date                      *time.Time `json:",omitempty"`
	Days                      *int       `json:",omitempty"`
	ExpiredObjectDeleteMarker *bool      `json:",omitempty"`
}

type transition struct {
	Date         *time.Time `json:",omitempty"`
	Days         *int       `json:",omitempty"`
	StorageClass string
}

type noncurrentExpiration struct {
	NoncurrentDays          *int `json:",omitempty"`
	NewerNoncurrentVersions *int `json:",omitempty"`
}

type noncurrentTransition struct {
	NoncurrentDays          *int `json:",omitempty"`
	NewerNoncurrentVersions *int `json:",omitempty"`
	StorageClass            string
}

type abort struct {
	DaysAfterInitiation *int `json:",omitempty"`
}

const (
	minimumSizeHeader = "X-Amz-Transition-Default-Minimum-Object-Size"
	minimumSize       = "all_storage_classes_128K"
)

func getLifecycle(b *s3Bucket, r *request) (any, error) {
	if b.Lifecycle == nil {
		return nil, s3Error(http.StatusNotFound, "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist")
	}
	r.header.Set(minimumSizeHeader, b.Lifecycle.MinimumSize)
	return document{"LifecycleConfiguration", b.Lifecycle}, nil
}

// putLifecycle replaces the whole configuration.
func putLifecycle(b *s3Bucket, r *request) (any, error) {
	in := lifecycle{MinimumSize: minimumSize}
	if err := decodeXML(r, &in); err != nil {
		return nil, err
	}
	if v := r.http.Header.Get(minimumSizeHeader); v != "" {
		if v != minimumSize && v != "varies_by_storage_class" {
			return nil, invalidRequest("Invalid value for %s: %s", strings.ToLower(minimumSizeHeader), v)
		}
		in.MinimumSize = v
	}
	if len(in.Rules) == 0 || len(in.Rules) > 1000 {
		return nil, malformedXML()
	}
	seen := map[string]bool{}
	for i := range in.Rules {
		rule := &in.Rules[i]
		if err := rule.check(); err != nil {
			return nil, err
		}
		if rule.ID == "" {
			rule.ID = rand.Text()
		}
		if seen[rule.ID] {
			return nil, invalidArgument("Rule ID must be unique. Found same ID for more than one rule")
		}
		seen[rule.ID] = true
	}
	b.Lifecycle = &in
	r.header.Set(minimumSizeHeader, in.MinimumSize)
	return nil, nil
}

var storageClasses = []string{"STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"}

// check holds S3's rules for one rule of a lifecycle.
func (l *lifecycleRule) check() error {
	switch {
	case l.Status != "Enabled" && l.Status != "Disabled":
		return malformedXML()
	case utf8.RuneCountInString(l.ID) > 255:
		return invalidArgument("ID length should not exceed allowed limit of 255")
	case (l.Filter == nil) == (l.Prefix == nil):
		return malformedXML()
	case l.Expiration == nil && l.Transitions == nil && l.NoncurrentExpiration == nil && l.NoncurrentTransitions == nil && l.Abort == nil:
		return invalidRequest("At least one action needs to be specified in a rule")
	}
	tagged, err := l.Filter.check()
	if err != nil {
		return err
	}
	if err := l.checkCurrent(tagged); err != nil {
		return err
	}
	if err := l.checkNoncurrent(); err != nil {
		return err
	}
	if l.Abort != nil {
		switch {
		case l.Abort.DaysAfterInitiation == nil:
			return malformedXML()
		case *l.Abort.DaysAfterInitiation < 1:
			return invalidArgument("'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer")
		case tagged:
			return invalidRequest("AbortIncompleteMultipartUpload cannot be specified with Tags.")
		}
	}
	return nil
}

// check says whether the filter goes by tags, too. It takes a nil filter.
func (f *lifecycleFilter) check() (tagged bool, err error) {
	if f == nil {
		return false, nil
	}
	alone := 0
	for _, set := range [...]bool{f.Prefix != nil, f.Tag != nil, f.ObjectSizeGreaterThan != nil, f.ObjectSizeLessThan != nil, f.And != nil} {
		if set {
			alone++
		}
	}
	if alone > 1 {
		return false, malformedXML()
	}
	over, under := f.ObjectSizeGreaterThan, f.ObjectSizeLessThan
	tags := []tag{}
	if f.Tag != nil {
		tags = append(tags, *f.Tag)
	}
	if f.And != nil {
		over, under, tags = f.And.ObjectSizeGreaterThan, f.And.ObjectSizeLessThan, f.And.Tags
		together := len(tags)
		for _, set := range [...]bool{f.And.Prefix != nil, over != nil, under != nil} {
			if set {
				together++
			}
		}
		if together < 2 {
			return false, malformedXML()
		}
	}
	switch {
	case over != nil && *over < 0:
		return false, invalidRequest("'ObjectSizeGreaterThan' should be greater than or equal to 0")
	case under != nil && *under < 1:
		return false, invalidRequest("'ObjectSizeLessThan' should be greater than 0")
	case over != nil && under != nil && *over >= *under:
		return false, invalidRequest("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.")
	}
	return len(tags) > 0, checkTags(tags)
}

func (l *lifecycleRule) checkCurrent(tagged bool) error {
	if e := l.Expiration; e != nil {
		given := 0
		for _, set := range [...]bool{e.Date != nil, e.Days != nil, e.ExpiredObjectDeleteMarker != nil} {
			if set {
				given++
			}
		}
		switch {
		case given != 1:
			return malformedXML()
		case e.Days != nil && *e.Days < 1:
			return invalidArgument("'Days' for Expiration action must be a positive integer")
		case e.Date != nil && !midnight(*e.Date):
			return invalidArgument("'Date' must be at midnight GMT")
		case e.ExpiredObjectDeleteMarker != nil && tagged:
			return invalidRequest("ExpiredObjectDeleteMarker cannot be specified with Tags.")
		}
	}
	classes := map[string]bool{}
	for _, t := range l.Transitions {
		switch {
		case (t.Date == nil) == (t.Days == nil) || !slices.Contains(storageClasses, t.StorageClass):
			return malformedXML()
		case classes[t.StorageClass]:
			return invalidRequest("'StorageClass' must be different for 'Transition' actions in same 'Rule'")
		case t.Date != nil && !midnight(*t.Date):
			return invalidArgument("'Date' must be at midnight GMT")
		case t.Days != nil && *t.Days < leastDays(t.StorageClass):
			return invalidArgument("'Days' in Transition action must be greater than or equal to %d for storageClass '%s'", leastDays(t.StorageClass), t.StorageClass)
		case t.Days != nil && l.Expiration != nil && l.Expiration.Days != nil && *l.Expiration.Days <= *t.Days:
			return invalidArgument("'Days' in the Expiration action must be greater than 'Days' in the Transition action")
		case l.Expiration != nil && (t.Date == nil) != (l.Expiration.Date == nil) && l.Expiration.ExpiredObjectDeleteMarker == nil:
			return invalidRequest("Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule")
		}
		classes[t.StorageClass] = true
	}
	return nil
}

func (l *lifecycleRule) checkNoncurrent() error {
	kept := func(n *int) error {
		switch {
		case n == nil:
			return nil
		case *n < 1 || *n > 100:
			return invalidArgument("'NewerNoncurrentVersions' must be a positive integer up to 100")
		case l.Filter == nil:
			// Only the new form of a rule knows NewerNoncurrentVersions.
			return invalidRequest("'NewerNoncurrentVersions' requires a Filter element in the rule")
		}
		return nil
	}
	if e := l.NoncurrentExpiration; e != nil {
		switch {
		case e.NoncurrentDays == nil:
			return malformedXML()
		case *e.NoncurrentDays < 1:
			return invalidArgument("'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer")
		}
		if err := kept(e.NewerNoncurrentVersions); err != nil {
			return err
		}
	}
	for _, t := range l.NoncurrentTransitions {
		switch {
		case t.NoncurrentDays == nil || !slices.Contains(storageClasses, t.StorageClass):
			return malformedXML()
		case *t.NoncurrentDays < leastDays(t.StorageClass):
			return invalidArgument("'NoncurrentDays' in NoncurrentVersionTransition action must be greater than or equal to %d for storageClass '%s'", leastDays(t.StorageClass), t.StorageClass)
		case l.NoncurrentExpiration != nil && *l.NoncurrentExpiration.NoncurrentDays <= *t.NoncurrentDays:
			return invalidArgument("'NoncurrentDays' in the NoncurrentVersionExpiration action must be greater than 'NoncurrentDays' in the NoncurrentVersionTransition action")
		}
		if err := kept(t.NewerNoncurrentVersions); err != nil {
			return err
		}
	}
	return nil
}

// leastDays is how long an object stays in S3 Standard at least.
func leastDays(class string) int {
	if class == "STANDARD_IA" || class == "ONEZONE_IA" {
		return 30
	}
	return 0
}

func midnight(t time.Time) bool { return t.UTC().Truncate(24 * time.Hour).Equal(t) }
