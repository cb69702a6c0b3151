package stack

import (
	"strings"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Outputs fills the spec's outputs with what a run has seen. A value that AWS
// has not given birth to, or that was not looked at, is nil.
func (s *Stack) Outputs(run *reconcile.Run) []reconcile.Output {
	outputs := make([]reconcile.Output, 0, len(s.Spec.Outputs))
	for _, o := range s.Spec.Outputs {
		outputs = append(outputs, reconcile.Output{Name: o.Name, Value: evaluate(o.Value, run), Sensitive: o.Sensitive})
	}
	return outputs
}

func evaluate(t spec.Template, run *reconcile.Run) *string {
	var b strings.Builder
	for _, part := range t {
		if part.ID == (spec.ID{}) {
			b.WriteString(part.Text)
			continue
		}
		if run == nil {
			return nil
		}
		value, ok := run.Attr(part.ID, part.Attr)
		if !ok {
			return nil
		}
		b.WriteString(value)
	}
	text := b.String()
	return &text
}
