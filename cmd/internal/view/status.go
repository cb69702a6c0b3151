package view

import (
	"cmp"
	_ "embed"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/watch"
)

// StatusPage is the page that shows what Status writes. It is one document
// without anything from outside.
//
//go:embed status.html
var StatusPage []byte

// A Watch is what a watch knows at a moment.
type Watch struct {
	Version string
	Started time.Time
	Now     time.Time
	Every   time.Duration
	Stacks  []watch.State
}

// statusVersion is the version of the status document, as formatVersion is of a
// report.
const statusVersion = "1.0"

type jsonStatus struct {
	FormatVersion string            `json:"format_version"`
	Version       string            `json:"version"`
	Started       string            `json:"started"`
	Now           string            `json:"now"`
	EverySeconds  float64           `json:"every_seconds"`
	Summary       map[string]int    `json:"summary"` // stacks by their state
	Stacks        []jsonStatusStack `json:"stacks"`  // sorted by name
}

type jsonStatusStack struct {
	Stack       string         `json:"stack"`
	Spec        string         `json:"spec"`
	Account     string         `json:"account"`
	Region      string         `json:"region"`
	State       string         `json:"state"` // waiting, in_sync, drifted or failed
	Mode        string         `json:"mode"`  // correct or look
	LooksOnly   *string        `json:"looks_only"`
	Running     bool           `json:"running"`
	NextRound   *string        `json:"next_round"`
	LastSuccess *string        `json:"last_success"`
	Failures    int            `json:"failures"` // in a row
	Error       *string        `json:"error"`
	SpecError   *string        `json:"spec_error"`
	WhatToDo    *string        `json:"what_to_do"`
	Counts      map[string]int `json:"counts"`    // resources by their condition
	Resources   []jsonWatched  `json:"resources"` // that are not well, or were corrected by this process
	History     []jsonRound    `json:"history"`   // the last rounds, the newest last
}

type jsonRound struct {
	Began      string `json:"began"`
	DurationMS int64  `json:"duration_ms"`
	Outcome    string `json:"outcome"`
	NotWell    int    `json:"not_well"`
	Written    int    `json:"written"`
	APICalls   int    `json:"api_calls"`
}

type jsonWatched struct {
	Address     string           `json:"address"`
	Condition   watch.Condition  `json:"condition"`
	Action      reconcile.Action `json:"action"`
	Status      reconcile.Status `json:"status"`
	Since       *string          `json:"since"`
	Corrections int              `json:"corrections"`
	Corrected   *string          `json:"corrected"`
	Diff        []jsonDiff       `json:"diff"`
	Access      []string         `json:"access"`
	Notes       []string         `json:"notes"`
	Who         []jsonEvent      `json:"who"`
	Error       *string          `json:"error"`
	WhatToDo    *string          `json:"what_to_do"`
}

// Status writes what a watch knows as one JSON document.
func Status(w io.Writer, watching Watch) error {
	doc := jsonStatus{
		FormatVersion: statusVersion, Version: watching.Version,
		Started: stamp(watching.Started), Now: stamp(watching.Now), EverySeconds: watching.Every.Seconds(),
		Summary: map[string]int{"waiting": 0, "in_sync": 0, "drifted": 0, "failed": 0},
		Stacks:  make([]jsonStatusStack, 0, len(watching.Stacks)),
	}
	for _, s := range watching.Stacks {
		doc.Stacks = append(doc.Stacks, stackStatus(s))
		doc.Summary[StackState(s)]++
	}
	slices.SortFunc(doc.Stacks, func(a, b jsonStatusStack) int {
		return cmp.Or(strings.Compare(a.Stack, b.Stack), strings.Compare(a.Spec, b.Spec))
	})
	text, err := encode(doc, "")
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text+"\n")
	return err
}

// StackState says in one word how a stack is: failed where somebody has to look,
// drifted where AWS is not as the spec says, waiting before its first round.
func StackState(s watch.State) string {
	switch {
	case s.SpecErr != nil || s.Err != nil || s.Count(watch.Stuck) > 0:
		return "failed"
	case s.Count(watch.Drift) > 0:
		return "drifted"
	case s.Report == nil:
		return "waiting"
	}
	return "in_sync"
}

func stackStatus(s watch.State) jsonStatusStack {
	j := jsonStatusStack{
		Stack: s.Name, Spec: s.Source, State: StackState(s), Mode: "correct", Running: s.Running,
		NextRound: stampOrNull(s.Next), LastSuccess: stampOrNull(s.LastSuccess), Failures: s.Failures,
		LooksOnly: textOrNull(s.LooksOnly), Error: errorOrNull(s.Err), SpecError: errorOrNull(s.SpecErr),
		Counts:    map[string]int{},
		Resources: []jsonWatched{}, History: make([]jsonRound, 0, len(s.History)),
	}
	if s.Mode == watch.Look {
		j.Mode = "look"
	}
	if s.Report != nil {
		j.Account, j.Region = s.Report.Account, s.Report.Region
	}
	switch {
	case s.SpecErr != nil:
		j.WhatToDo = textOrNull(fmt.Sprintf("Mend the spec: churn-reconcile validate -f %s says where. Until then the last good one is in force.", s.Source))
	case s.Err != nil:
		j.WhatToDo = textOrNull(fmt.Sprintf("See what a dry run says: churn-reconcile -f %s --dry-run -v. The next round tries again by itself.", s.Source))
	}
	for _, c := range []watch.Condition{watch.Well, watch.Drift, watch.Stuck} {
		j.Counts[string(c)] = s.Count(c)
	}
	for _, address := range slices.Sorted(maps.Keys(s.Resources)) {
		if r := s.Resources[address]; r.Condition != watch.Well || r.Corrections > 0 {
			j.Resources = append(j.Resources, watchedStatus(s, address, r))
		}
	}
	for _, h := range s.History {
		j.History = append(j.History, jsonRound{stamp(h.Began), h.Took.Milliseconds(), string(h.Outcome), h.Drifted, h.Changed, h.APICalls})
	}
	return j
}

func watchedStatus(s watch.State, address string, r watch.Resource) jsonWatched {
	// What is well shows what was last corrected of it.
	shown := r.Result
	if r.Condition == watch.Well {
		shown = r.Correction
	}
	j := jsonWatched{
		Address: address, Condition: r.Condition, Action: shown.Action, Status: shown.Status,
		Since: stampOrNull(r.Since), Corrections: r.Corrections, Corrected: stampOrNull(r.Corrected),
		Diff:   make([]jsonDiff, 0, len(shown.Diffs)),
		Access: append([]string{}, shown.Access...), Notes: append([]string{}, shown.Notes...),
		Who: events(shown.Who), Error: errorOrNull(shown.Err),
	}
	for _, d := range shown.Diffs {
		j.Diff = append(j.Diff, diffLine(d))
	}
	todo := ""
	switch {
	case r.Condition == watch.Well:
	case r.Result.Status == reconcile.Held:
		todo = fmt.Sprintf("Nothing is written until somebody says so: look at churn-reconcile -f %s --dry-run, and then run it once, with the limit that it needs.", s.Source)
	case r.Condition == watch.Stuck:
		todo = "The error says what is in the way. The next round tries again by itself."
	case s.LooksOnly != "":
		todo = fmt.Sprintf("It stays as it is: %s. To correct it now: churn-reconcile -f %s.", s.LooksOnly, s.Source)
	default:
		todo = "The next round corrects it."
	}
	j.WhatToDo = textOrNull(todo)
	return j
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func stampOrNull(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := stamp(t)
	return &text
}

func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func errorOrNull(err error) *string {
	if err == nil {
		return nil
	}
	text := err.Error()
	return &text
}
