package cli

import (
	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
)

func newRotate(env Env) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "rotate -f FILE [USER]",
		Short: "Give access keys a successor now",
		Long: `Give the stack's access keys, or that of one user, a successor now: it is made,
proven to work and delivered to every sink before the old key is touched, which
retires as the spec's retireAfter says.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd.Context(), env, f, stack.Options{Rotate: func(user string) bool {
				return len(args) == 0 || args[0] == user
			}})
		},
	}
	f.register(cmd)
	return cmd
}
