package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile/watch"
)

// An Event is a change of a resource's state as receivers are told of it. Its
// JSON form is what plain receivers get.
type Event struct {
	// Key names the resource, or the stack as a whole. It is the same for each
	// of its events, from any process.
	Key     string           `json:"key"`
	State   watch.ChangeKind `json:"state"`
	Address string           `json:"address"` // "": the stack as a whole
	Action  string           `json:"action"`
	At      time.Time        `json:"at"`
	Since   *time.Time       `json:"since"` // since when it is, or was, not well; null: it was always
	First   bool             `json:"first"` // this process has only begun to look: it may have been told before
	Lines   []string         `json:"lines"` // of the difference
	Notes   []string         `json:"notes"`
	Error   string           `json:"error"`

	Stack   string `json:"-"`
	Spec    string `json:"-"`
	Account string `json:"-"`
	Region  string `json:"-"`
}

// What is told of one resource at most.
const (
	mostLines  = 20
	mostLine   = 200
	mostReason = 1000
)

func eventsOf(e watch.Ended) []Event {
	events := make([]Event, 0, len(e.Changes))
	for _, c := range e.Changes {
		event := Event{
			State: c.Kind, Address: c.Address, Action: string(c.Result.Action), At: c.At.UTC().Truncate(time.Second),
			First: c.First, Lines: []string{}, Notes: append([]string{}, c.Result.Notes...),
			Stack: e.State.Name, Spec: e.State.Source,
		}
		if !c.Since.IsZero() {
			since := c.Since.UTC().Truncate(time.Second)
			event.Since = &since
		}
		if r := e.State.Report; r != nil {
			event.Account, event.Region = r.Account, r.Region
		}
		// A stack whose spec cannot be read is known by its file only.
		event.Key = key(event.Spec)
		if c.Address != "" {
			event.Key = key(event.Stack, event.Account, event.Region, c.Address)
		}
		for i, d := range c.Result.Diffs {
			if i == mostLines {
				event.Lines = append(event.Lines, "…")
				break
			}
			event.Lines = append(event.Lines, clip(view.Line(d), mostLine))
		}
		if c.Err != nil {
			event.Error = clip(view.Printable(c.Err.Error()), mostReason)
		}
		events = append(events, event)
	}
	slices.SortStableFunc(events, compare)
	return events
}

func key(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return "churn-reconcile/" + hex.EncodeToString(sum[:16])
}

// clip cuts a text to so many characters.
func clip(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most-1]) + "…"
}

// what says in words what has become of a resource.
func (e *Event) what() string {
	name := e.Address
	if name == "" {
		name = "the stack as a whole"
	}
	text := name + " "
	switch e.State {
	case watch.HasDrifted:
		text += "has drifted"
	case watch.WasCorrected:
		text += "was corrected"
		if e.Action == "create" {
			text = name + " was created"
		}
	case watch.CannotBeMended:
		text += "cannot be corrected"
	case watch.IsWellAgain:
		text += "is well again"
	}
	if e.First && e.State != watch.IsWellAgain {
		text += " (seen at the start, and maybe told before)"
	}
	return text
}
