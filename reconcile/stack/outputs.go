package stack

import (
	"slices"
	"strings"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Outputs fills the spec's outputs with what a run has seen.
func (s *Stack) Outputs(run *reconcile.Run) []reconcile.Output {
	outputs := make([]reconcile.Output, 0, len(s.Spec.Outputs))
	for _, o := range s.Spec.Outputs {
		value, gap := evaluate(o.Value, run)
		outputs = append(outputs, reconcile.Output{
			Name: o.Name, Value: value, Gap: gap, Sensitive: o.Sensitive,
			Secret: slices.ContainsFunc(o.Value, func(p spec.Part) bool { return p.Attr == "secretAccessKey" }),
		})
	}
	return outputs
}

func evaluate(t spec.Template, run *reconcile.Run) (*string, reconcile.Gap) {
	var b strings.Builder
	for _, part := range t {
		if part.ID == (spec.ID{}) {
			b.WriteString(part.Text)
			continue
		}
		value, gap := run.Attr(part.ID, part.Attr)
		if gap != "" {
			return nil, gap
		}
		b.WriteString(value)
	}
	text := b.String()
	return &text, ""
}
