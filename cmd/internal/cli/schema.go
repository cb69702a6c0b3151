package cli

import (
	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

func newSchema(env Env) *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the spec's JSON Schema, for editors",
		Example: "  churn-reconcile schema >churn-reconcile.schema.json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := env.Stdout.Write(spec.Schema())
			return err
		},
	}
}
