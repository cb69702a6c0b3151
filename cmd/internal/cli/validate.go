package cli

import (
	"fmt"

	"github.com/spf13/cobra"
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
			s, err := file.Preview()
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
