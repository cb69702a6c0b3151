package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
)

func resources(n int) string {
	if n == 1 {
		return "1 resource"
	}
	return fmt.Sprintf("%d resources", n)
}

func newValidate(env Env) *cobra.Command {
	var f specFlags
	cmd := &cobra.Command{
		Use:     "validate -f FILE",
		Short:   "Check the spec without a network",
		Example: "  churn-reconcile validate -f dev.yaml",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			file, err := f.load(env)
			if err != nil {
				return err
			}
			s, err := file.Preview()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(env.Stdout, "%s is valid: %s.\n", view.Printable(s.File), resources(len(s.IDs())))
			return err
		},
	}
	f.register(cmd)
	return cmd
}
