package iam

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
)

// keyTag is the user's tag that holds all that the product has to remember of
// the user's access key, as words that IAM allows in a tag's value:
//
//	creating=2026-11-23T18:00:00Z run=0123456789abcdef standing=AKIA… lost=AKIA…
//	current=AKIA… since=2026-11-23T18:00:02Z
//	current=AKIA… since=… retiring=AKIA… superseded=… inactive=…
//
// One tag, so that each change of it is a single write.
const keyTag = reconcile.OwnPrefix + "access-key"

type record struct {
	current string    // the committed key
	since   time.Time // when it was committed

	// The mark: a key is being made, or was when its run was cut off.
	creating time.Time // when that was begun
	run      string    // the run that does; "": one of an older version
	standing []string  // the keys that stood then and are not lost
	lost     []string  // keys of marks before this one, whose secrets were lost

	retiring   string    // the key that current succeeded
	superseded time.Time // when it did
	inactive   time.Time // when the retiring key was made inactive
}

func (r record) String() string {
	var words []string
	word := func(key, value string) { words = append(words, key+"="+value) }
	at := func(key string, t time.Time) {
		if !t.IsZero() {
			word(key, t.UTC().Format(time.RFC3339))
		}
	}
	if r.current != "" {
		word("current", r.current)
	}
	at("since", r.since)
	at("creating", r.creating)
	if r.run != "" {
		word("run", r.run)
	}
	if len(r.standing) > 0 {
		word("standing", strings.Join(r.standing, "+"))
	}
	if len(r.lost) > 0 {
		word("lost", strings.Join(r.lost, "+"))
	}
	if r.retiring != "" {
		word("retiring", r.retiring)
	}
	at("superseded", r.superseded)
	at("inactive", r.inactive)
	return strings.Join(words, " ")
}

// unmarked is the record without its mark.
func (r record) unmarked() record {
	r.creating, r.run, r.standing, r.lost = time.Time{}, "", nil, nil
	return r
}

func parseRecord(text string) (record, error) {
	var r record
	for word := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch key {
		case "current":
			r.current = value
		case "since":
			r.since, err = time.Parse(time.RFC3339, value)
		case "creating":
			r.creating, err = time.Parse(time.RFC3339, value)
		case "run":
			r.run = value
		case "standing":
			r.standing = strings.Split(value, "+")
		case "lost":
			r.lost = strings.Split(value, "+")
		case "retiring":
			r.retiring = value
		case "superseded":
			r.superseded, err = time.Parse(time.RFC3339, value)
		case "inactive":
			r.inactive, err = time.Parse(time.RFC3339, value)
		default:
			err = fmt.Errorf("%q is no word of it", key)
		}
		if err != nil {
			return record{}, fmt.Errorf("the user's tag %s says %q, which cannot be read (%w); it records which key is the stack's, so restore it by hand", keyTag, text, err)
		}
	}
	return r, nil
}

// line is the record as a report shows it behind the one before. A time that is
// new is "now": a line says the state, so that the same state gives the same
// plan whenever it is looked at.
func (r record) line(before record) string {
	old := strings.Fields(before.String())
	words := strings.Fields(r.String())
	for i, word := range words {
		key, value, _ := strings.Cut(word, "=")
		if _, err := time.Parse(time.RFC3339, value); err == nil && !slices.Contains(old, word) {
			words[i] = key + "=now"
		}
	}
	return strings.Join(words, " ")
}
