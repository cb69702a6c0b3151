package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

func newGraph(env Env) *cobra.Command {
	var f specFlags
	var format string
	cmd := &cobra.Command{
		Use:   "graph -f FILE",
		Short: "Print what depends on what",
		Example: `  churn-reconcile graph -f dev.yaml
  churn-reconcile graph -f dev.yaml -o dot | dot -Tsvg >stack.svg`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := oneOf("-o", format, "text", "mermaid", "dot"); err != nil {
				return err
			}
			file, err := f.load(env)
			if err != nil {
				return err
			}
			s, err := file.Preview()
			if err != nil {
				return err
			}
			_, err = io.WriteString(env.Stdout, view.Printable(drawGraph(s.Needs(), format)))
			return err
		},
	}
	f.register(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", "text", "`FORMAT`: text, mermaid or dot")
	completeFlag(cmd, "output", "text", "mermaid", "dot")
	return cmd
}

// drawGraph draws an arrow from each resource to what it needs.
func drawGraph(needs map[spec.ID][]spec.ID, format string) string {
	var ids []spec.ID
	for id := range needs {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, spec.Compare)
	var b strings.Builder
	switch format {
	case "mermaid":
		b.WriteString("graph LR\n")
		for i, id := range ids {
			fmt.Fprintf(&b, "  n%d[%q]\n", i, id)
		}
		for i, id := range ids {
			for _, need := range needs[id] {
				fmt.Fprintf(&b, "  n%d --> n%d\n", i, slices.Index(ids, need))
			}
		}
	case "dot":
		b.WriteString("digraph stack {\n  rankdir=LR;\n")
		for _, id := range ids {
			fmt.Fprintf(&b, "  %q;\n", id)
		}
		for _, id := range ids {
			for _, need := range needs[id] {
				fmt.Fprintf(&b, "  %q -> %q;\n", id, need)
			}
		}
		b.WriteString("}\n")
	default:
		for _, id := range ids {
			fmt.Fprintln(&b, id)
			for _, need := range needs[id] {
				fmt.Fprintf(&b, "  needs %s\n", need)
			}
		}
	}
	return b.String()
}
