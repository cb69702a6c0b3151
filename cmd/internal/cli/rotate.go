package cli

import (
	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

func newRotate(env Env) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "rotate -f FILE [USER]",
		Short: "Give access keys a successor now",
		Long: `Give the stack's access keys, or that of one user, a successor now: it is made,
proven to work and delivered to every sink before the old key is touched, which
retires as the spec's retireAfter says.`,
		Example: `  churn-reconcile rotate -f dev.yaml --dry-run
  churn-reconcile rotate -f dev.yaml ml-engineer`,
		ValidArgsFunction: f.spec.complete(env, func(s *spec.Spec) []string {
			var users []string
			for _, id := range s.IDs() {
				if id.Kind == spec.AccessKey {
					users = append(users, id.Name)
				}
			}
			return users
		}),
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd.Context(), env, f, append([]string{"churn-reconcile", "rotate"}, args...), stack.Look{Rotate: func(user string) bool {
				return len(args) == 0 || args[0] == user
			}})
		},
	}
	f.register(cmd, env)
	return cmd
}
