package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
)

// A Stack is one of several in a run.
type Stack struct {
	Spec   string
	Report *reconcile.Report // nil: nothing can be said of it, and Err says why
	Err    error             // beside a report: why nothing was written
}

// jsonStack is a stack's report. Where nothing can be said of the stack, only
// spec and error are there.
type jsonStack struct {
	*jsonReport
	Spec  string  `json:"spec"`
	Error *string `json:"error"`
}

type jsonStacks struct {
	FormatVersion string      `json:"format_version"`
	Stacks        []jsonStack `json:"stacks"`
	Summary       jsonSummary `json:"summary"`
}

// StacksJSON writes the reports of several stacks as one JSON document.
func StacksJSON(w io.Writer, stacks []Stack) error {
	all := jsonStacks{FormatVersion: formatVersion, Stacks: make([]jsonStack, 0, len(stacks)), Summary: jsonSummary(together(stacks).Summary())}
	for _, s := range stacks {
		one := jsonStack{Spec: s.Spec}
		if s.Report != nil {
			report := jsonOf(s.Report)
			one.jsonReport = &report
		}
		if s.Err != nil {
			text := s.Err.Error()
			one.Error = &text
		}
		all.Stacks = append(all.Stacks, one)
	}
	text, err := encode(all, "  ")
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text+"\n")
	return err
}

// StacksText writes the reports of several stacks for a reader at a terminal.
// Where there is nothing to tell, a stack is one line.
func StacksText(w io.Writer, stacks []Stack, o TextOptions) error {
	var b strings.Builder
	block := false
	for _, s := range stacks {
		var text strings.Builder
		if r := s.Report; r != nil {
			if err := Text(&text, r, o); err != nil {
				return err
			}
			if quietly(r) && !o.Verbose {
				text.Reset()
				if !o.Quiet {
					text.WriteString(headline(r) + "\n")
				}
			}
		}
		if s.Err != nil {
			text.WriteString(plainStart(printable(s.Spec)+": ") + reason("error", s.Err) + "\n")
		}
		several := strings.Count(text.String(), "\n") > 1
		if b.Len() > 0 && (several || block) {
			b.WriteString("\n")
		}
		block = several
		b.WriteString(text.String())
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	b.WriteString(stacksLine(stacks) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// StacksMarkdown writes the reports of several stacks for a comment or a step
// summary of GitHub, within the limit that one has.
func StacksMarkdown(w io.Writer, stacks []Stack) error {
	var m markdown
	m.add("### " + inert(stacksLine(stacks)) + "\n\n")
	m.table(markdownLimit/2, "| Spec | |\n|---|---|\n", len(stacks), func(i int) string {
		says := ""
		if stacks[i].Report != nil {
			says = inert(headline(stacks[i].Report))
		}
		if stacks[i].Err != nil {
			says = strings.TrimSpace(says + " " + code(oneLine(stacks[i].Err.Error())))
		}
		return fmt.Sprintf("| %s | %s |\n", code(stacks[i].Spec), says)
	})
	for _, s := range stacks {
		if s.Report == nil || quietly(s.Report) {
			continue
		}
		var one strings.Builder
		if err := Markdown(&one, s.Report); err != nil {
			return err
		}
		m.add(one.String() + "\n")
	}
	if m.cut {
		m.b.WriteString("> This report was cut to fit GitHub's limit of 65,536 characters. The text and JSON reports have all of it.\n")
	}
	_, err := io.WriteString(w, strings.TrimRight(m.b.String(), "\n")+"\n")
	return err
}

// quietly says that a report has nothing to tell but that all is well.
func quietly(r *reconcile.Report) bool {
	for _, res := range r.Results {
		if res.Status != reconcile.InSync || len(res.Notes) > 0 {
			return false
		}
	}
	return !r.Interrupted
}

// stacksLine sums several stacks up.
func stacksLine(stacks []Stack) string {
	failed, changed := 0, 0
	for _, s := range stacks {
		if s.Report == nil {
			failed++
		} else if !quietly(s.Report) {
			changed++
		}
	}
	text := fmt.Sprintf("%d stacks: ", len(stacks))
	switch len(stacks) {
	case 0:
		return "No stacks: this shard has none."
	case 1:
		text = "1 stack: "
	}
	switch {
	case failed+changed == 0:
		text += "no changes."
	case failed < len(stacks):
		text += strings.TrimPrefix(headline(together(stacks)), "Done: ")
	}
	if failed > 0 {
		text = strings.TrimSuffix(text, " ") + fmt.Sprintf(" %d of them failed as a whole.", failed)
	}
	return text
}

// together is what several stacks' reports come to.
func together(stacks []Stack) *reconcile.Report {
	all := &reconcile.Report{Spec: "every spec"}
	for _, s := range stacks {
		if s.Report == nil {
			continue
		}
		all.DryRun = all.DryRun || s.Report.DryRun
		all.Interrupted = all.Interrupted || s.Report.Interrupted
		all.Declared += s.Report.Declared
		all.Results = append(all.Results, s.Report.Results...)
	}
	return all
}
