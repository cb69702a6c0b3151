package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

const about = `churn-reconcile keeps the AWS side of an ML pipeline (S3, IAM, ECR, ECS,
CloudWatch Logs) as a YAML file says. It describes what AWS has, works out the
difference, and creates, updates or tags. There is no state file.`

const examples = `  churn-reconcile -f dev.yaml --dry-run      say what would be done
  churn-reconcile -f dev.yaml                do it
  churn-reconcile -f dev.yaml --sandbox      do it against an AWS endpoint in this process`

// runFlags are the flags of the main job.
type runFlags struct {
	spec     specFlags
	aws      awsFlags
	log      logFlags
	permit   permitFlags
	dryRun   bool
	detailed bool
	targets  []string
	outputs  []string

	failOnNewAccess bool
}

func newRun(env Env) *cobra.Command {
	var f runFlags
	var version bool
	cmd := &cobra.Command{
		Use:     "churn-reconcile -f FILE",
		Short:   "Keep AWS as a YAML file says",
		Long:    about,
		Example: examples,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case version:
				return printVersion(env)
			case cmd.Flags().NFlag() == 0 && !defaultSpecExists():
				return cmd.Help()
			}
			return run(cmd.Context(), env, f, []string{"churn-reconcile"}, stack.Look{Target: f.targets})
		},
	}
	f.register(cmd, env)
	cmd.Flags().StringArrayVar(&f.targets, "target", nil, "only addresses that match `GLOB`, and what they need; repeatable")
	cmd.Flags().BoolVar(&f.failOnNewAccess, "fail-on-new-access", false, "write nothing where a policy would allow more than the live one")
	cmd.Flags().BoolVar(&version, "version", false, "print the version")
	_ = cmd.RegisterFlagCompletionFunc("target", f.spec.complete(env, addresses))
	return cmd
}

func (f *runFlags) register(cmd *cobra.Command, env Env) {
	f.spec.register(cmd)
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "report, write nothing")
	cmd.Flags().BoolVar(&f.detailed, "detailed-exitcode", false, "exit with 2 where there were differences")
	cmd.Flags().StringArrayVarP(&f.outputs, "output", "o", nil, "report as text, json or markdown (`FORMAT[=PATH]`; a PATH writes a file beside); repeatable")
	completeFlag(cmd, "output", "text", "json", "markdown")
	f.permit.register(cmd)
	f.aws.register(cmd, env)
	f.log.register(cmd)
}

// run looks, does what is to do unless it is a dry run, and reports. command is
// how it was called, without its flags.
func run(ctx context.Context, env Env, f runFlags, command []string, which stack.Look) error {
	start := env.Now()
	if err := errors.Join(f.spec.resolve(), f.aws.check(), f.log.check()); err != nil {
		return err
	}
	approval, err := f.permit.approval()
	if err != nil {
		return err
	}
	sinks, err := parseReportSinks(f.outputs)
	if err != nil {
		return err
	}
	file, err := f.spec.load(env)
	if err != nil {
		return err
	}
	if err := protect(sinks, f.spec.file, file, f.aws.sandbox); err != nil {
		return err
	}

	progress := newProgress(env, f.log)
	defer progress.Stop()
	var calls atomic.Int64
	session, err := open(awsx.Counted(ctx, &calls), env, f.aws, f.log.logger(progress), file, which, progress)
	if err != nil {
		return err
	}
	defer session.close()
	if approval != nil {
		if err := approval.Covers(session.stack.Scope()); err != nil {
			return err
		}
	}

	look := reconcile.Look(session.ctx, session.stack.Resources, reconcile.Options{
		Stop: session.stop, Observer: progress, Pause: env.Pause,
	})
	if err := session.stack.Verify(); err != nil {
		return session.explain(err)
	}
	// After an interrupt nothing is begun, and the report says what was read.
	if err := session.stack.CheckAbsence(look); err != nil && !session.interrupted() {
		return err
	}
	s := session.stack.Spec
	digest := reconcile.Digest(session.stack.Scope(), reconcile.Pending(look.Results()))
	refused := f.permit.permit(look, approval, session.stack)
	if refused == nil && f.failOnNewAccess {
		refused = look.RefuseNewAccess()
	}
	if refused == nil && !f.dryRun {
		if !f.permit.yes && f.aws.sandbox == "" {
			if err := session.confirm(env, look, progress); err != nil {
				return err
			}
		}
		look.Apply(session.ctx)
	}
	progress.Stop()

	report := &reconcile.Report{
		Spec: s.File, Project: s.Project, Environment: s.Environment, Account: s.Account, Region: s.Region,
		DryRun: f.dryRun, Interrupted: session.interrupted(),
		Declared: len(s.IDs()), Results: look.Results(), Outputs: session.stack.Outputs(look),
		Digest: digest, Command: again(command, f.permit.given),
		Duration: env.Now().Sub(start), APICalls: int(calls.Load()),
	}
	if err := writeReports(env, f.log, sinks, report); err != nil {
		return err
	}
	if refused != nil && !report.Interrupted {
		return refused
	}
	return status(report, f.detailed)
}

// status is the exit code that a report deserves.
func status(r *reconcile.Report, detailed bool) error {
	sum := r.Summary()
	switch {
	case r.Interrupted:
		return &exitStatus{code: exitInterrupted}
	case sum.Failed+sum.Skipped+sum.Unconfirmed+sum.Held > 0:
		return &exitStatus{code: exitError}
	case detailed && sum.Create+sum.Update+sum.Delete > 0:
		return &exitStatus{code: exitDifferences}
	}
	return nil
}

// A session is a stack that is open: with its endpoint, its limits and its
// ear for interrupts.
type session struct {
	stack *stack.Stack
	ctx   context.Context
	stop  chan struct{} // closed by the first interrupt
	ends  []func()
}

// open loads the AWS configuration and the stack. The first interrupt closes
// stop, which lets calls in flight finish and starts no more; the second ends
// ctx.
func open(ctx context.Context, env Env, f awsFlags, log *slog.Logger, file *spec.File, which stack.Look, told *view.Progress) (*session, error) {
	f.warn(env.Stderr, file)
	s := &session{stop: make(chan struct{})}
	ctx, cancelTimeout := context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("the run's limit of %s (--timeout) is over", f.timeout))
	s.ends = append(s.ends, cancelTimeout)
	ctx, cancel := context.WithCancelCause(ctx)
	s.ends = append(s.ends, func() { cancel(nil) })
	s.ctx = ctx

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	s.ends = append(s.ends, func() { signal.Stop(signals) })
	go func() {
		select {
		case <-signals:
			close(s.stop)
			fmt.Fprintln(told, "Interrupted: calls in flight are let finish, no more are started. Once more stops at once.")
		case <-ctx.Done():
			return
		}
		select {
		case <-signals:
			cancel(reconcile.ErrInterrupted)
		case <-ctx.Done():
		}
	}()

	o := stack.Options{AWS: f.options(env, log), Pause: env.Pause, Now: env.Now}
	o.AWS.Slowed = told.Slowed
	o.GitHubURL, _ = env.LookupEnv("GITHUB_API_URL")
	if o.GitHubToken, _ = env.LookupEnv("GITHUB_TOKEN"); o.GitHubToken == "" {
		o.GitHubToken, _ = env.LookupEnv("GH_TOKEN")
	}
	o.AllowGitHub = f.allowGitHub
	if f.sandbox != "" {
		o.Sandbox = true
		url, end, err := embed(f.sandbox, file.Account())
		if err != nil {
			s.close()
			return nil, err
		}
		s.ends = append(s.ends, end)
		o.AWS.EndpointURL = url
		o.AWS.Credentials = credentials.NewStaticCredentialsProvider("sandbox", "sandbox", "")
		o.AWS.Profile = ""
	}
	stopped, done := reconcile.UntilStopped(ctx, s.stop)
	s.ends = append(s.ends, done)
	var err error
	if s.stack, err = stack.NewSession(o).Open(stopped, file, which); err != nil {
		s.close()
		return nil, s.explain(err)
	}
	return s, nil
}

// explain puts an interrupt in the place of the errors that it leads to before
// anything is written.
func (s *session) explain(err error) error {
	if s.interrupted() {
		return &exitStatus{exitInterrupted, fmt.Errorf("%w: nothing was written", reconcile.ErrInterrupted)}
	}
	return err
}

func (s *session) interrupted() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

func (s *session) close() {
	for _, end := range slices.Backward(s.ends) {
		end()
	}
}

func newProgress(env Env, f logFlags) *view.Progress {
	if f.quiet {
		return view.NewProgress(io.Discard, view.ProgressOptions{})
	}
	if !isTerminal(env.Stderr) {
		return view.NewProgress(env.Stderr, view.ProgressOptions{})
	}
	tty := env.Stderr.(*os.File)
	tick := time.NewTicker(time.Second / 4)
	return view.NewProgress(tty, view.ProgressOptions{
		Terminal: true, Now: env.Now, Tick: tick.C,
		Width: func() int { return columns(tty) },
	})
}

func (f *logFlags) logger(w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	switch {
	case f.verbose:
		level = slog.LevelDebug
	case f.quiet:
		level = slog.LevelError
	}
	options := &slog.HandlerOptions{Level: level}
	if f.format == "json" {
		return slog.New(slog.NewJSONHandler(printer{w, view.PrintableJSON}, options))
	}
	return slog.New(slog.NewTextHandler(printer{w, view.Printable}, options))
}

// A printer makes whole lines safe to print.
type printer struct {
	w    io.Writer
	safe func(string) string
}

func (p printer) Write(b []byte) (int, error) {
	_, err := io.WriteString(p.w, p.safe(string(b)))
	return len(b), err
}

// A reportSink is a format and where it goes; no path is standard output.
type reportSink struct{ format, path string }

func parseReportSinks(values []string) ([]reportSink, error) {
	var sinks []reportSink
	toStdout := 0
	for _, v := range values {
		format, path, named := strings.Cut(v, "=")
		if err := oneOf("-o", format, "text", "json", "markdown"); err != nil {
			return nil, err
		}
		if named && path == "" {
			return nil, fmt.Errorf("-o %s: a path is wanted after the =", v)
		}
		if !named {
			toStdout++
		} else if err := checkReportPath(path, sinks); err != nil {
			return nil, fmt.Errorf("-o %s: %w", v, err)
		}
		sinks = append(sinks, reportSink{format, path})
	}
	switch {
	case toStdout > 1:
		return nil, errors.New("-o: standard output takes one format; give the others a file, as in -o json=report.json")
	case toStdout == 0:
		sinks = append(sinks, reportSink{format: "text"})
	}
	return sinks, nil
}

func writeReports(env Env, f logFlags, sinks []reportSink, r *reconcile.Report) error {
	var errs []error
	for _, s := range sinks {
		var b strings.Builder
		var err error
		width := 0
		if s.path == "" {
			width = columns(env.Stdout)
		}
		switch s.format {
		case "json":
			err = view.JSON(&b, r)
		case "markdown":
			err = view.Markdown(&b, r)
		default:
			err = view.Text(&b, r, view.TextOptions{
				Color: s.path == "" && f.colorful(env), Verbose: f.verbose, Quiet: f.quiet, Width: width,
			})
		}
		if err == nil && s.path == "" {
			_, err = io.WriteString(env.Stdout, b.String())
		} else if err == nil {
			err = writeReport(s.path, b.String())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("write the %s report: %w", s.format, err))
		}
	}
	return errors.Join(errs...)
}
