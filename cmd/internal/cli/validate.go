package cli

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

func newValidate(env Env) *cobra.Command {
	var f specFlags
	cmd := &cobra.Command{
		Use:   "validate -f FILE",
		Short: "Check the spec without a network",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			file, err := f.load(env)
			if err != nil {
				return err
			}
			s, err := file.Bind(spec.Identity{Account: cmp.Or(file.Account(), "000000000000"), Region: cmp.Or(file.Region(), "us-east-1")})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(env.Stdout, "%s is valid: %d resources.\n", s.File, len(s.IDs()))
			return err
		},
	}
	f.register(cmd)
	return cmd
}
