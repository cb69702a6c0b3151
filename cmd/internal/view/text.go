// Package view shows what a run says: as text, as JSON, as Markdown, and while
// it goes on.
package view

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
)

// TextOptions says how much a text report tells.
type TextOptions struct {
	Color   bool // false: not one escape sequence
	Verbose bool // unchanged resources too
	Quiet   bool // failures and the last line only
	Width   int  // columns to wrap lines at; 0: as long as they are
}

// Text writes the report for a reader at a terminal.
func Text(w io.Writer, r *reconcile.Report, o TextOptions) error {
	// A bufio.Writer keeps its first error, which Flush then returns.
	t := textWriter{w: bufio.NewWriter(w), color: o.Color, width: o.Width}
	if o.Quiet {
		for _, res := range r.Results {
			if res.Status == reconcile.Failed || res.Status == reconcile.Unconfirmed {
				t.resource(reconcile.Result{ID: res.ID, Status: res.Status, Err: res.Err})
			}
		}
	} else {
		t.line("", header(r))
		t.line("", "")
		listed := false
		for _, res := range r.Results {
			// A note is there to be read, whatever else is or is not to do.
			if res.Status == reconcile.InSync && !o.Verbose && len(res.Notes) == 0 {
				continue
			}
			t.resource(res)
			listed = true
		}
		if listed {
			t.line("", "")
		}
		if text := orphans(r); text != "" {
			t.line("", text)
			t.line("", "")
		}
		t.outputs(r.Outputs)
	}
	color := ""
	if r.Interrupted {
		color = yellow
	}
	t.line(color, headline(r))
	return t.w.Flush()
}

// SGR parameters of the colours.
const (
	red     = "31"
	green   = "32"
	yellow  = "33"
	boldRed = "1;31"
	dim     = "2"
)

type textWriter struct {
	w     *bufio.Writer
	color bool
	width int
}

// line writes text, which must be printable already, in a colour.
func (t textWriter) line(color, text string) {
	for _, line := range wrap(text, t.width) {
		line = plainStart(line)
		if t.color && color != "" {
			line = "\x1b[" + color + "m" + line + "\x1b[0m"
		}
		fmt.Fprintln(t.w, line)
	}
}

func (t textWriter) resource(res reconcile.Result) {
	s := signOf(res)
	t.line(signColor(s), "  "+s+" "+printable(res.ID.String()))
	const indent = "      "
	if res.Status == reconcile.Skipped {
		t.line(yellow, indent+oneLine(reason("skipped", res.Err)))
		return
	}
	for _, d := range res.Diffs {
		t.diff(indent, d)
	}
	for _, line := range res.Access {
		t.line("", indent+"access: "+printable(line))
	}
	for _, e := range res.Who {
		t.line("", indent+"who: "+who(e))
	}
	if len(res.Calls) > 0 {
		t.line(dim, indent+"calls: "+calls(res.Calls))
	}
	for _, note := range res.Notes {
		t.line("", indent+"note: "+printable(note))
	}
	switch res.Status {
	case reconcile.Failed:
		t.reason(boldRed, indent, reason("error", res.Err))
	case reconcile.Unconfirmed:
		t.reason(yellow, indent, reason("unconfirmed", res.Err))
	case reconcile.Held:
		t.reason(yellow, indent, reason("held", res.Err))
	}
}

func (t textWriter) reason(color, indent, text string) {
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			line = "  " + line
		}
		t.line(color, indent+line)
	}
}

// reason says why. Its text is printable, in one line or several.
func reason(what string, err error) string {
	if err == nil {
		return what
	}
	return what + ": " + strings.Join(printableLines(err.Error()), "\n")
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", "; ") }

// calls lists API calls, a run of the same one as one with its number.
func calls(names []string) string {
	var b strings.Builder
	for i := 0; i < len(names); {
		n := 1
		for i+n < len(names) && names[i+n] == names[i] {
			n++
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(printable(names[i]))
		if n > 1 {
			fmt.Fprintf(&b, " (%d times)", n)
		}
		i += n
	}
	return b.String()
}

func (t textWriter) diff(indent string, d reconcile.Diff) {
	var before, after []string
	if d.Before != nil {
		before = render(d.Before)
	}
	if d.After != nil {
		after = render(d.After)
	}
	s := diffSign(d)
	head := indent + s + " " + printable(d.Path) + ":"
	if len(before) <= 1 && len(after) <= 1 {
		values := append(before, after...)
		head += " " + strings.Join(values, " -> ")
		before, after = nil, nil
	}
	head += cause(d)
	switch {
	case len(before)+len(after) == 0:
		t.line(signColor(s), head)
	case s != "~":
		t.line(signColor(s), head)
		for _, line := range append(before, after...) {
			t.line(signColor(s), indent+"    "+line)
		}
	default:
		t.line(signColor(s), head)
		for _, line := range before {
			t.line(red, indent+"    - "+line)
		}
		for _, line := range after {
			t.line(green, indent+"    + "+line)
		}
	}
}

// who says who has changed something, as far as anybody knows.
func who(e reconcile.Event) string {
	if e.Principal == "" {
		return unknown
	}
	text := e.Principal + " by " + e.Call + " at " + e.Time.Format(time.RFC3339)
	if e.Source != "" {
		text += " from " + e.Source
	}
	return printable(text)
}

// unknown is who has made a change of which CloudTrail does not tell.
const unknown = "unknown"

// cause says at the end of a line whose change it is, where that is known.
func cause(d reconcile.Diff) string {
	if d.Cause == "" {
		return ""
	}
	return "  # " + string(d.Cause)
}

func (t textWriter) outputs(outputs []reconcile.Output) {
	if len(outputs) == 0 {
		return
	}
	t.line("", "Outputs:")
	for _, o := range outputs {
		t.line("", "  "+printable(o.Name)+" = "+outputValue(o))
	}
	t.line("", "")
}

func outputValue(o reconcile.Output) string {
	switch {
	case o.Value != nil:
		return printable(*o.Value)
	case o.Gap == reconcile.NotBorn:
		return "(known after the run)"
	}
	return "(" + string(o.Gap) + ")"
}

// signOf marks a resource: as Terraform does where it has been dealt with,
// with "!" where it has not.
func signOf(res reconcile.Result) string {
	switch {
	case res.Status == reconcile.Failed, res.Status == reconcile.Skipped, res.Status == reconcile.Unconfirmed:
		return "!"
	case res.Action == reconcile.Create:
		return "+"
	case res.Action == reconcile.Update:
		return "~"
	case res.Action == reconcile.Delete:
		return "-"
	}
	return " "
}

func diffSign(d reconcile.Diff) string {
	switch {
	case d.Before == nil:
		return "+"
	case d.After == nil:
		return "-"
	}
	return "~"
}

func signColor(sign string) string {
	switch sign {
	case "+":
		return green
	case "~":
		return yellow
	case "-":
		return red
	case "!":
		return boldRed
	}
	return ""
}

// header says what was looked at. The account is not known where not even the
// question for it was answered.
func header(r *reconcile.Report) string {
	text := r.Project + "/" + r.Environment
	if r.Account != "" {
		text += ", account " + r.Account
	}
	if r.Region != "" {
		text += ", region " + r.Region
	}
	return printable(text)
}

// orphans tells of what an inventory has found.
func orphans(r *reconcile.Report) string {
	if len(r.Orphans) == 0 {
		return ""
	}
	return "Orphans, which carry the stack's mark and are not in the spec: " + printable(strings.Join(addresses(r.Orphans), ", "))
}

// headline is the last line of a text report and the first of a Markdown one.
func headline(r *reconcile.Report) string {
	s := r.Summary()
	if r.InSync() && s.Create+s.Update+s.Delete == 0 && !r.Interrupted {
		if len(r.Results) < r.Declared {
			return fmt.Sprintf("No changes in the %d of %d resources looked at.", len(r.Results), r.Declared)
		}
		if r.Destroyed {
			return "No changes. AWS has nothing that carries the mark of " + printable(r.Project+"/"+r.Environment) + "."
		}
		spec := r.Spec
		if spec == "-" {
			spec = "the spec"
		}
		return "No changes. AWS matches " + printable(cmp.Or(spec, "the spec")) + "."
	}
	var trouble string
	if s.Unconfirmed > 0 {
		trouble += fmt.Sprintf(", %d unconfirmed", s.Unconfirmed)
	}
	if s.Failed > 0 {
		trouble += fmt.Sprintf(", %d failed", s.Failed)
	}
	if s.Skipped > 0 {
		trouble += fmt.Sprintf(", %d skipped", s.Skipped)
	}
	if s.Held > 0 {
		trouble += fmt.Sprintf(", %d held", s.Held)
	}
	var toDelete, deleted string
	if s.Delete > 0 {
		toDelete, deleted = fmt.Sprintf(", %d to delete", s.Delete), fmt.Sprintf(", %d deleted", s.Delete)
	}
	var drifted string
	if n := r.Drifted(); n > 0 {
		drifted = fmt.Sprintf(" (%d drifted)", n)
	}
	planned := fmt.Sprintf("%d to create, %d to update%s%s%s. Nothing was changed (dry run).", s.Create, s.Update, drifted, toDelete, trouble)
	done := fmt.Sprintf("%d created, %d updated%s%s, %d unchanged%s.", s.Create, s.Update, drifted, deleted, s.Unchanged, trouble)
	switch {
	case r.Interrupted && r.DryRun:
		return "Interrupted: " + planned
	case r.Interrupted:
		return "Interrupted: " + done + " What was not begun is left as it was."
	case r.DryRun:
		return "Plan: " + planned
	}
	return "Done: " + done
}

// Line shows a line of a difference in one line.
func Line(d reconcile.Diff) string {
	show := func(v any) string { return strings.Join(render(v), " ") }
	s := diffSign(d)
	switch {
	case d.Before == nil:
		return s + " " + printable(d.Path) + ": " + show(d.After)
	case d.After == nil:
		return s + " " + printable(d.Path) + ": " + show(d.Before)
	}
	return s + " " + printable(d.Path) + ": " + show(d.Before) + " -> " + show(d.After)
}
