package iam

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	recordTime = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)

	// What IAM allows in a tag's value, of which a record uses no more than
	// this, so that no other service's rules stand in its way either.
	tagValue = regexp.MustCompile(`^[A-Za-z0-9 _.:/=+@-]*$`)
)

const maxTagValue = 256

func TestRecord(t *testing.T) {
	const one, two, three = "AKIAIOSFODNN7EXAMPL1", "AKIAIOSFODNN7EXAMPL2", "AKIAIOSFODNN7EXAMPL3"
	for _, tt := range []struct {
		text string
		want record
	}{
		{"", record{}},
		{"creating=2026-11-23T18:00:00Z", record{creating: recordTime}},
		{
			"creating=2026-11-23T18:00:00Z standing=" + one + "+" + two,
			record{creating: recordTime, standing: []string{one, two}},
		},
		{
			"creating=2026-11-23T18:00:00Z run=0123456789abcdef standing=" + one + " lost=" + two,
			record{creating: recordTime, run: "0123456789abcdef", standing: []string{one}, lost: []string{two}},
		},
		{"current=" + one + " since=2026-11-23T18:00:00Z", record{current: one, since: recordTime}},
		{
			"current=" + one + " since=2026-11-23T18:00:00Z creating=2026-11-23T18:00:01Z run=0123456789abcdef standing=" + one + " lost=" + two +
				" retiring=" + three + " superseded=2026-11-23T18:00:02Z inactive=2026-11-23T18:00:03Z",
			record{
				current: one, since: recordTime, creating: recordTime.Add(time.Second), run: "0123456789abcdef", standing: []string{one}, lost: []string{two},
				retiring: three, superseded: recordTime.Add(2 * time.Second), inactive: recordTime.Add(3 * time.Second),
			},
		},
	} {
		got, err := parseRecord(tt.text)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(record{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.text, diff)
		}
		if got := tt.want.String(); got != tt.text {
			t.Errorf("written as %q, want %q", got, tt.text)
		}
		// Even the last, which holds more than can ever come together.
		if len(tt.text) > maxTagValue || !tagValue.MatchString(tt.text) {
			t.Errorf("%q, of %d characters, does not fit into a tag", tt.text, len(tt.text))
		}
	}
}

// A record that cannot be read is never taken for an empty one: that would
// make the stack's key a stranger.
func TestRecordUnreadable(t *testing.T) {
	for _, text := range []string{
		"AKIAIOSFODNN7EXAMPLE",
		"current=AKIAIOSFODNN7EXAMPLE since=yesterday",
		"creating=", "superseded=2026-11-23", "inactive=0",
		"current=AKIAIOSFODNN7EXAMPLE since=2026-11-23T18:00:00Z version=2",
	} {
		r, err := parseRecord(text)
		if err == nil {
			t.Errorf("%q is read as %q", text, r)
			continue
		}
		for _, want := range []string{keyTag, "restore it by hand"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: the error does not say %q: %v", text, want, err)
			}
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("")
	f.Add("current=AKIAIOSFODNN7EXAMPLE since=2026-11-23T18:00:00Z")
	f.Add("creating=2026-11-23T18:00:00+02:00 standing=AKIAIOSFODNN7EXAMPLE+AKIAI44QH8DHBEXAMPLE retiring=AKIAI44QH8DHBEXAMPLE")
	f.Add("creating=2026-11-23T18:00:00.5Z standing=++")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRecord(text)
		if err != nil {
			return
		}
		again, err := parseRecord(r.String())
		if err != nil {
			t.Fatalf("%q is written as %q, which cannot be read: %v", text, r, err)
		}
		if again.String() != r.String() {
			t.Errorf("%q, written as %q, comes back as %q", text, r, again)
		}
		if (again.current != "") != (r.current != "") || (again.retiring != "") != (r.retiring != "") || again.creating.IsZero() != r.creating.IsZero() {
			t.Errorf("%q loses a fact on its way: %+v, then %+v", text, r, again)
		}
	})
}
