package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
)

func newDestroy(env Env) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "destroy -f FILE",
		Short: "Take the stack down",
		Long: `Delete all that carries the stack's mark, be it in the spec or not, in the
reverse of the order in which it is created. What is protected, what is not empty
and what somebody else needs is found before the first deletion, and then nothing
is deleted. On a terminal the stack's name has to be typed.`,
		Example: `  churn-reconcile destroy -f dev.yaml --dry-run
  churn-reconcile destroy -f dev.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.spec.several(""):
				return errors.New("destroy takes one stack down: name one spec with -f")
			case !f.dryRun && !f.permit.yes && f.aws.sandbox == "" && !env.asks():
				return errors.New("destroy deletes the stack, and nobody is here to be asked: look with --dry-run, and give --yes to do it; nothing was written")
			}
			return run(cmd.Context(), env, f, []string{"churn-reconcile", "destroy"}, stack.Look{Target: f.targets, Destroy: true})
		},
	}
	f.register(cmd, env)
	cmd.Flags().StringArrayVar(&f.targets, "target", nil, "only addresses that match `GLOB`; repeatable")
	_ = cmd.RegisterFlagCompletionFunc("target", f.spec.complete(env, addresses))
	return cmd
}

// confirmDestroy wants the stack's name typed.
func (r *runner) confirmDestroy(ctx context.Context, st *stack.Stack, look *reconcile.Run) error {
	n := len(reconcile.Pending(look.Results()))
	if n == 0 || r.process.interrupted() {
		return nil
	}
	of := st.Spec
	word, err := r.question(ctx, fmt.Sprintf(`This deletes %d of the resources of %s, and what is in them is lost.

  account  %s
  region   %s

Type the name of the stack, %s, to go on: `, n, of.Stack(), of.Account, of.Region, of.Stack()))
	if err == nil && word != of.Stack() {
		err = errors.New("not confirmed: nothing was written")
	}
	return err
}

// question asks who sits at the terminal.
func (r *runner) question(ctx context.Context, text string) (string, error) {
	r.asking.Lock()
	defer r.asking.Unlock()
	r.progress.Hide()
	defer r.progress.Show()
	return r.process.question(ctx, r.env, text)
}

// question waits for a line, until an interrupt or ctx ends that.
func (p *process) question(ctx context.Context, env Env, text string) (string, error) {
	fmt.Fprint(env.Stderr, view.Printable(text))
	answer := make(chan string, 1)
	go func() {
		// An end of the input is an empty answer.
		line, _ := bufio.NewReader(env.Stdin).ReadString('\n')
		answer <- strings.TrimSpace(line)
	}()
	select {
	case word := <-answer:
		return word, nil
	case <-p.stop:
		return "", p.explain(reconcile.ErrInterrupted)
	case <-ctx.Done():
		return "", fmt.Errorf("not confirmed: nothing was written: %w", context.Cause(ctx))
	}
}
