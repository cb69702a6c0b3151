package view

import (
	"cmp"
	"io"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// formatVersion is the version of the JSON report. A new key does not change
// it; a key that goes or changes its meaning does.
const formatVersion = "1.0"

type jsonReport struct {
	FormatVersion string                `json:"format_version"`
	Spec          string                `json:"spec"`
	Project       string                `json:"project"`
	Environment   string                `json:"environment"`
	Account       string                `json:"account"`
	Region        string                `json:"region"`
	DryRun        bool                  `json:"dry_run"`
	InSync        bool                  `json:"in_sync"`
	Digest        string                `json:"digest"`
	Resources     []jsonResource        `json:"resources"`
	Orphans       *[]string             `json:"orphans,omitempty"` // none where nobody has looked for any
	Summary       jsonSummary           `json:"summary"`
	Outputs       map[string]jsonOutput `json:"outputs"`
	DurationMS    int64                 `json:"duration_ms"`
	APICalls      int                   `json:"api_calls"`
}

type jsonResource struct {
	Address string           `json:"address"`
	Action  reconcile.Action `json:"action"`
	Status  reconcile.Status `json:"status"`
	Diff    []jsonDiff       `json:"diff"`
	Calls   []string         `json:"calls"`
	Access  []string         `json:"access"`
	Who     []jsonEvent      `json:"who"`
	Notes   []string         `json:"notes,omitempty"`
	Error   *string          `json:"error"`
}

type jsonDiff struct {
	Path   string           `json:"path"`
	Before any              `json:"before"`
	After  any              `json:"after"`
	Cause  *reconcile.Cause `json:"cause"` // null: not known
}

type jsonSummary struct {
	Create      int `json:"create"`
	Update      int `json:"update"`
	Delete      int `json:"delete"`
	Unchanged   int `json:"unchanged"`
	Unconfirmed int `json:"unconfirmed"`
	Failed      int `json:"failed"`
	Skipped     int `json:"skipped"`
	Held        int `json:"held"`
}

type jsonOutput struct {
	Value     *string `json:"value"`
	Sensitive bool    `json:"sensitive"`
}

// A jsonEvent is a change by somebody, who may be "unknown"; nothing else is
// known of it then.
type jsonEvent struct {
	Principal string  `json:"principal"`
	Call      *string `json:"call"`
	Time      *string `json:"time"`
	Source    *string `json:"source"`
}

func events(who []reconcile.Event) []jsonEvent {
	all := make([]jsonEvent, 0, len(who))
	for _, e := range who {
		j := jsonEvent{Principal: unknown}
		if e.Principal != "" {
			at := e.Time.Format(time.RFC3339)
			j = jsonEvent{e.Principal, &e.Call, &at, textOrNull(e.Source)}
		}
		all = append(all, j)
	}
	return all
}

func diffLine(d reconcile.Diff) jsonDiff {
	line := jsonDiff{Path: d.Path, Before: d.Before, After: d.After}
	if d.Cause != "" {
		line.Cause = &d.Cause
	}
	return line
}

// JSON writes the report as one JSON document, for programs.
func JSON(w io.Writer, r *reconcile.Report) error {
	text, err := encode(jsonOf(r), "  ")
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text+"\n")
	return err
}

func jsonOf(r *reconcile.Report) jsonReport {
	report := jsonReport{
		FormatVersion: formatVersion,
		Spec:          r.Spec,
		Project:       r.Project,
		Environment:   r.Environment,
		Account:       r.Account,
		Region:        r.Region,
		DryRun:        r.DryRun,
		InSync:        r.InSync(),
		Digest:        r.Digest,
		Resources:     make([]jsonResource, 0, len(r.Results)),
		Summary:       jsonSummary(r.Summary()),
		Outputs:       make(map[string]jsonOutput, len(r.Outputs)),
		DurationMS:    r.Duration.Milliseconds(),
		APICalls:      r.APICalls,
	}
	if r.Orphans != nil {
		orphans := addresses(r.Orphans)
		report.Orphans = &orphans
	}
	for _, res := range r.Results {
		resource := jsonResource{
			Address: res.ID.String(),
			Action:  cmp.Or(res.Action, reconcile.None),
			Status:  res.Status,
			Diff:    make([]jsonDiff, 0, len(res.Diffs)),
			Calls:   append([]string{}, res.Calls...),
			Access:  append([]string{}, res.Access...),
			Who:     events(res.Who),
			Notes:   res.Notes,
		}
		for _, d := range res.Diffs {
			resource.Diff = append(resource.Diff, diffLine(d))
		}
		if res.Err != nil {
			text := res.Err.Error()
			resource.Error = &text
		}
		report.Resources = append(report.Resources, resource)
	}
	for _, o := range r.Outputs {
		report.Outputs[o.Name] = jsonOutput{o.Value, o.Sensitive}
	}
	return report
}

func addresses(ids []spec.ID) []string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	return texts
}
