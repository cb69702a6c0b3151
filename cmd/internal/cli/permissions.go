package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// jobs are what a policy can be for, with what is done to AWS.
var jobs = map[string][]reconcile.Purpose{
	"dry-run": {reconcile.Reading},
	"run":     {reconcile.Reading, reconcile.Writing},
	"watch":   {reconcile.Reading, reconcile.Writing},
	"prune":   {reconcile.Reading, reconcile.Writing, reconcile.Deleting},
	"destroy": {reconcile.Reading, reconcile.Deleting},
}

func newPermissions(env Env) *cobra.Command {
	var (
		f      specFlags
		aws    awsFlags
		log    logFlags
		job    string
		format string
	)
	cmd := &cobra.Command{
		Use:   "permissions -f FILE",
		Short: "Print the IAM policy that exactly this spec needs",
		Long: `permissions prints the IAM policy that exactly this spec needs, for whoever runs
it. Where one policy of IAM's size does not hold it, a list of policies is
printed, all of which have to be attached.

For prune and destroy it covers what has left the spec too, by the stack's mark.
A bucket is the exception, since IAM does not know its tags: add it by its name.

Where the spec names no account, AWS is asked whose the credentials are.`,
		Example: `  churn-reconcile permissions -f dev.yaml >policy.json
  churn-reconcile permissions -f dev.yaml --for dry-run
  churn-reconcile permissions -f dev.yaml --for destroy`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := errors.Join(aws.check(), log.check(), oneOf("-o", format, "json"),
				oneOf("--for", job, slices.Sorted(maps.Keys(jobs))...))
			if err != nil {
				return err
			}
			file, err := f.load(env)
			if err != nil {
				return err
			}
			s, err := bound(cmd.Context(), env, aws, log, file)
			if err != nil {
				return err
			}
			return printPolicies(env, policy.Documents(stack.Permissions(s, jobs[job]...)))
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&job, "for", "run", "`JOB` that the policy is for: "+strings.Join(slices.Sorted(maps.Keys(jobs)), ", "))
	cmd.Flags().StringVarP(&format, "output", "o", "json", "`FORMAT`: json")
	completeFlag(cmd, "for", slices.Sorted(maps.Keys(jobs))...)
	completeFlag(cmd, "output", "json")
	aws.register(cmd, env)
	log.register(cmd)
	return cmd
}

// bound is the spec in its account. AWS is asked only for what the spec does
// not say.
func bound(ctx context.Context, env Env, f awsFlags, log logFlags, file *spec.File) (*spec.Spec, error) {
	region := f.region
	if region == "" {
		region = file.Region()
	}
	f.warn(env.Stderr, file)
	if file.Account() != "" && region != "" {
		return file.Bind(spec.Identity{Region: region})
	}
	process, err := start(ctx, env, f, log.logger(env.Stderr), file.Account(), view.NewProgress(env.Stderr, view.ProgressOptions{}))
	if err != nil {
		return nil, err
	}
	defer process.end()
	st, err := process.open(process.ctx, file, stack.Look{})
	if err != nil {
		return nil, fmt.Errorf("%w; with account: and region: in the spec nobody is asked", err)
	}
	return st.Spec, nil
}

// maxAttached is how many managed policies IAM attaches to a user or a role of
// an account that has not asked for more.
const maxAttached = 10

func printPolicies(env Env, documents []spec.Document) error {
	if len(documents) == 1 {
		return printJSON(env, json.RawMessage(documents[0]))
	}
	list := make([]json.RawMessage, len(documents))
	for i, d := range documents {
		list[i] = json.RawMessage(d)
	}
	note := fmt.Sprintf("Note: IAM's size of a policy does not hold it all, so this is a list of %d; all of them are needed.", len(documents))
	if len(documents) > maxAttached {
		note += fmt.Sprintf(" IAM attaches %d to a user or a role, and more on request.", maxAttached)
	}
	fmt.Fprintln(env.Stderr, view.Printable(note))
	return printJSON(env, list)
}
