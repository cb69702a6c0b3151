package view

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"net/url"
	"strings"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
)

// GitHub takes at most 65,536 characters of a comment. Bytes are counted here:
// there are never fewer of them, in whatever unit a limit is meant.
const (
	markdownLimit = 65536
	// markdownReserve is kept for the notes that something was left out. A
	// block that is cut uses up the rest, so that there is only one.
	markdownReserve = 512
)

// Markdown writes the report for a pull request's comment or a step summary of
// GitHub. It is at most 65,536 bytes long: what does not fit is left out, with
// a note.
func Markdown(w io.Writer, r *reconcile.Report) error { return markdownAfter(w, "", r) }

// CommentMark is a line that a comment about a stack begins with. Nobody sees
// it, and a later run finds the comment by it.
func CommentMark(stack string) string {
	return "<!-- churn-reconcile " + url.PathEscape(stack) + " -->"
}

// Comment writes the report for the one comment that a pull request has of a
// stack.
func Comment(w io.Writer, r *reconcile.Report) error {
	return markdownAfter(w, CommentMark(r.Project+"/"+r.Environment)+"\n", r)
}

func markdownAfter(w io.Writer, first string, r *reconcile.Report) error {
	var m markdown
	m.add(first)
	m.add("### " + inert(headline(r)) + "\n\n" + code(header(r)) + "\n\n")
	if text := orphans(r); text != "" {
		m.add(inert(text) + "\n\n")
	}
	m.approval(r)

	var changed, unchanged []reconcile.Result
	for _, res := range r.Results {
		if res.Status == reconcile.InSync {
			unchanged = append(unchanged, res)
		} else {
			changed = append(changed, res)
		}
	}
	m.table(markdownLimit/2, resourceHead, len(changed), func(i int) string { return row(changed[i]) })
	m.table(markdownLimit/2, "| Output | Value |\n|---|---|\n", len(r.Outputs), func(i int) string {
		o := r.Outputs[i]
		return "| " + code(o.Name) + " | " + code(outputValue(o)) + " |\n"
	})
	// Of the details what went wrong comes first, so that it is cut last.
	for _, failures := range []bool{true, false} {
		for _, res := range r.Results {
			if (res.Status == reconcile.Failed || res.Status == reconcile.Unconfirmed) == failures {
				m.details(res)
			}
		}
	}
	if len(unchanged) > 0 && m.add(fmt.Sprintf("<details><summary>%d unchanged</summary>\n\n", len(unchanged))) {
		m.table(markdownLimit, resourceHead, len(unchanged), func(i int) string { return row(unchanged[i]) })
		m.b.WriteString("</details>\n\n")
	}
	if m.cut {
		m.b.WriteString("> This report was cut to fit GitHub's limit of 65,536 characters. The text and JSON reports have all of it.\n")
	}
	_, err := io.WriteString(w, strings.TrimRight(m.b.String(), "\n")+"\n")
	return err
}

// approval tells how exactly this plan is run. One that is held cannot be.
func (m *markdown) approval(r *reconcile.Report) {
	switch s := r.Summary(); {
	case !r.DryRun || r.Digest == "" || s.Create+s.Update+s.Delete+s.Held == 0:
	case s.Held > 0 || r.Command == "":
		m.add("The digest of this plan: " + code(r.Digest) + "\n\n")
	default:
		m.add("To run exactly this plan: " + code(r.Command+" --approved "+r.Digest) + "\n\n")
	}
}

const resourceHead = "| | Resource | Action | Status |\n|---|---|---|---|\n"

// A markdown is a text that does not outgrow the limit.
type markdown struct {
	b   strings.Builder
	cut bool // something had no room
}

// add appends a piece unless that leaves no room for the reserve.
func (m *markdown) add(piece string) bool {
	if m.b.Len()+len(piece) > markdownLimit-markdownReserve {
		m.cut = true
		return false
	}
	m.b.WriteString(piece)
	return true
}

// table appends a table of n rows, or as many of them as keep the report below
// limit, so that a long table leaves room for what follows.
func (m *markdown) table(limit int, head string, n int, row func(int) string) {
	if n == 0 || !m.add(head) {
		return
	}
	for i := range n {
		if m.b.Len() > limit || !m.add(row(i)) {
			m.cut = true
			break
		}
	}
	m.b.WriteString("\n")
}

func row(res reconcile.Result) string {
	sign := ""
	if s := signOf(res); s != " " {
		sign = code(s)
	}
	status := strings.ReplaceAll(string(res.Status), "_", " ")
	if (res.Status == reconcile.Skipped || res.Status == reconcile.Held) && res.Err != nil {
		status += ": " + code(res.Err.Error())
	}
	return fmt.Sprintf("| %s | %s | %s | %s |\n", sign, code(res.ID.String()), cmp.Or(res.Action, reconcile.None), status)
}

// moreLines ends a block that was cut.
const moreLines = "# and more\n"

// details appends what there is to say of a resource, or its beginning. It is
// open where something went wrong.
func (m *markdown) details(res reconcile.Result) {
	if res.Status == reconcile.Skipped {
		return // the table says why
	}
	var lines []string
	open := ""
	what := map[reconcile.Status]string{reconcile.Failed: "error", reconcile.Unconfirmed: "unconfirmed"}[res.Status]
	if what != "" {
		open = " open"
		for line := range strings.SplitSeq(reason(what, res.Err), "\n") {
			lines = append(lines, "! "+line)
		}
	}
	for _, d := range res.Diffs {
		lines = append(lines, diffLines(d)...)
	}
	for _, line := range res.Access {
		lines = append(lines, "# access: "+printable(line))
	}
	for _, e := range res.Who {
		lines = append(lines, "# who: "+who(e))
	}
	if len(res.Calls) > 0 {
		lines = append(lines, "# calls: "+calls(res.Calls))
	}
	for _, note := range res.Notes {
		lines = append(lines, "# note: "+printable(note))
	}
	if len(lines) == 0 {
		return
	}

	fence := fenceFor(lines)
	head := fmt.Sprintf("<details%s><summary>%s<code>%s</code></summary>\n\n%sdiff\n", open,
		strings.TrimLeft(signOf(res)+" ", " "), html.EscapeString(printable(res.ID.String())), fence)
	tail := fence + "\n\n</details>\n\n"
	// What closes the block has its room before the first line is written.
	room := markdownLimit - markdownReserve - m.b.Len() - len(head) - len(tail)
	if room < 0 {
		m.cut = true
		return
	}
	m.b.WriteString(head)
	for _, line := range lines {
		if len(line) >= room {
			m.cut = true
			m.b.WriteString(strings.ToValidUTF8(line[:max(0, room-1)], "") + "\n" + moreLines)
			break
		}
		m.b.WriteString(line + "\n")
		room -= len(line) + 1
	}
	m.b.WriteString(tail)
}

// diffLines shows a difference in a diff block, where GitHub colours lines that
// begin with "+", "-" and "!".
func diffLines(d reconcile.Diff) []string {
	path := printable(d.Path) + ":"
	var before, after []string
	if d.Before != nil {
		before = render(d.Before)
	}
	if d.After != nil {
		after = render(d.After)
	}
	switch {
	case len(before) == 1 && len(after) == 1:
		return []string{"! " + path + " " + before[0] + " -> " + after[0] + cause(d)}
	case len(before) == 1 && after == nil:
		return []string{"- " + path + " " + before[0] + cause(d)}
	case before == nil && len(after) == 1:
		return []string{"+ " + path + " " + after[0] + cause(d)}
	}
	sign := diffSign(d)
	if sign == "~" {
		sign = "!"
	}
	lines := []string{sign + " " + path + cause(d)}
	for _, line := range before {
		lines = append(lines, "-   "+line)
	}
	for _, line := range after {
		lines = append(lines, "+   "+line)
	}
	return lines
}

// fenceFor returns a code fence longer than any run of backticks in the lines.
func fenceFor(lines []string) string {
	longest := 2
	for _, line := range lines {
		run := 0
		for _, r := range line {
			if r != '`' {
				run = 0
				continue
			}
			run++
			longest = max(longest, run)
		}
	}
	return strings.Repeat("`", longest+1)
}

// code shows text as code, within a table too. A code span shows everything as
// it is except backticks and, within a table, vertical bars.
func code(s string) string {
	s = printable(s)
	if strings.TrimSpace(s) == "" || strings.ContainsAny(s, "`|") {
		return "<code>" + inert(s) + "</code>"
	}
	return "`" + s + "`"
}

// inert makes text that Markdown and HTML show as it is: what might mean
// something to one of them becomes a character reference.
func inert(s string) string {
	var b strings.Builder
	for _, r := range printable(s) {
		if strings.ContainsRune("&<>`|*[]\\~#!$@", r) {
			fmt.Fprintf(&b, "&#%d;", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
