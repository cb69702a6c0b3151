package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/lease"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
)

func registerLease(cmd *cobra.Command, timeout *time.Duration) {
	cmd.Flags().DurationVar(timeout, "lease-timeout", 5*time.Minute, "`TIME` to wait where another run holds the stack's lease")
}

// lease takes the stack's lease. The context ends where it is lost.
func (r *runner) lease(ctx context.Context, st *stack.Stack) (run context.Context, release func(), err error) {
	claim := st.Claim
	claim.Holder = holder(r.env)
	patient, done := reconcile.UntilStopped(ctx, r.process.stop)
	defer done()
	pause := func(_ context.Context, d time.Duration) error {
		return r.env.Pause(patient, d)
	}
	run, held, err := st.Lease.Take(ctx, claim, r.leaseTimeout, pause, func(by lease.State) {
		fmt.Fprintln(r.told, view.Printable(fmt.Sprintf("Waiting for the lease %s, which %s holds since %s.", st.Lease, by.Holder, by.Since.UTC().Format(time.RFC3339))))
	})
	if err != nil {
		return nil, nil, r.process.explain(fmt.Errorf("%w: nothing was written", err))
	}
	return run, func() {
		if err := held.Release(context.WithoutCancel(ctx)); err != nil {
			fmt.Fprintln(r.told, view.Printable(fmt.Sprintf("Warning: %s; the next run waits %s for it.", err, claim.TTL)))
		}
	}, nil
}

// holder is who holds a lease, as somebody who waits for it wants to know.
func holder(env Env) string {
	if run := env.get("GITHUB_RUN_ID"); run != "" {
		return env.get("GITHUB_SERVER_URL") + "/" + env.get("GITHUB_REPOSITORY") + "/actions/runs/" + run
	}
	who := env.get("USER")
	if host, err := os.Hostname(); err == nil {
		who = strings.TrimPrefix(who+"@"+host, "@")
	}
	return fmt.Sprintf("%s, process %d", who, os.Getpid())
}

func newUnlock(env Env) *cobra.Command {
	var (
		f   specFlags
		aws awsFlags
		log logFlags
		yes bool
	)
	cmd := &cobra.Command{
		Use:   "unlock -f FILE",
		Short: "Show a stack's lease, and break it",
		Long: `Show who holds the lease of a stack, and break it. A holder that died is
outlived after the lease's ttl by whoever waits, so that this is for those who
cannot wait. A holder that is alive writes no more once it has met this.`,
		Example: `  churn-reconcile unlock -f dev.yaml          show it, and ask on a terminal
  churn-reconcile unlock -f dev.yaml --yes    break it`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(aws.check(), log.check()); err != nil {
				return err
			}
			return unlock(cmd.Context(), env, f, aws, log, yes)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	aws.register(cmd, env)
	log.register(cmd)
	return cmd
}

func unlock(ctx context.Context, env Env, f specFlags, aws awsFlags, log logFlags, yes bool) error {
	file, err := f.load(env)
	if err != nil {
		return err
	}
	aws.warn(env.Stderr, file)
	process, err := start(ctx, env, aws, log.logger(env.Stderr), file.Account(), view.NewProgress(env.Stderr, view.ProgressOptions{}))
	if err != nil {
		return err
	}
	defer process.end()
	st, err := process.open(process.ctx, file, stack.Look{})
	if err != nil {
		return err
	}
	if st.Lease.Bucket == "" {
		return errors.New("the spec has no lease: nothing keeps two of its runs apart, and nothing is locked")
	}
	if err := st.Verify(); err != nil {
		return process.explain(err)
	}
	by, err := st.Lease.Read(process.ctx)
	if err != nil {
		return process.explain(err)
	}
	if by == nil || by.Released {
		fmt.Fprintln(env.Stdout, view.Printable(fmt.Sprintf("Nobody holds the lease %s.", st.Lease)))
		return nil
	}
	fmt.Fprint(env.Stdout, view.Printable(fmt.Sprintf(`The lease %s of %s is held.

  holder   %s
  since    %s
  renewed  %d times
  ttl      %s

`, st.Lease, by.Stack, by.Holder, by.Since.UTC().Format(time.RFC3339), by.Renewals, time.Duration(by.TTL*float64(time.Second)))))
	if !yes {
		if !env.asks() {
			return errors.New("the lease was not broken: --yes breaks it")
		}
		word, err := process.question(process.ctx, env, "Break it? [y/N] ")
		if err != nil {
			return err
		}
		if !isYes(word) {
			return errors.New("not confirmed: the lease was not broken")
		}
	}
	if err := st.Lease.Break(process.ctx, *by); err != nil {
		return process.explain(err)
	}
	fmt.Fprintln(env.Stdout, "The lease is broken. Its holder, where it is alive, writes no more.")
	return nil
}
