package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
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

	leaseTimeout time.Duration
	shard        string
	prune        bool

	failOnNewAccess bool
	who             bool
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
			return run(cmd.Context(), env, f, []string{"churn-reconcile"}, stack.Look{Target: f.targets, Prune: f.prune})
		},
	}
	f.register(cmd, env)
	cmd.Flags().StringArrayVar(&f.targets, "target", nil, "only addresses that match `GLOB`, and what they need; repeatable")
	cmd.Flags().BoolVar(&f.prune, "prune", false, "also delete what carries the stack's mark and is not in the spec")
	cmd.Flags().BoolVar(&f.failOnNewAccess, "fail-on-new-access", false, "write nothing where a policy would allow more than the live one")
	cmd.Flags().BoolVar(&f.who, "who", false, "ask CloudTrail who changed what has drifted")
	cmd.Flags().StringVar(&f.shard, "shard", "", "only every Nth of several specs, from the Kth on, as `K/N`; N alone takes K from JOB_COMPLETION_INDEX")
	cmd.Flags().BoolVar(&version, "version", false, "print the version")
	_ = cmd.RegisterFlagCompletionFunc("target", f.spec.complete(env, addresses))
	return cmd
}

func (f *runFlags) register(cmd *cobra.Command, env Env) {
	f.spec.register(cmd)
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "report, write nothing")
	cmd.Flags().BoolVar(&f.detailed, "detailed-exitcode", false, "exit with 2 where there were differences")
	cmd.Flags().StringArrayVarP(&f.outputs, "output", "o", nil, "report as text, json, markdown or github (`FORMAT[=PATH]`; a PATH writes a file beside); repeatable")
	completeFlag(cmd, "output", "text", "json", "markdown", "github")
	registerLease(cmd, &f.leaseTimeout)
	f.permit.register(cmd)
	f.aws.register(cmd, env)
	f.log.register(cmd)
}

// run looks, does what is to do unless it is a dry run, and reports. command is
// how it was called, without its flags.
func run(ctx context.Context, env Env, f runFlags, command []string, which stack.Look) error {
	if err := errors.Join(f.aws.check(), f.log.check()); err != nil {
		return err
	}
	paths, err := f.spec.paths(f.shard)
	if err != nil {
		return err
	}
	approval, err := f.permit.approval()
	if err != nil {
		return err
	}
	sinks, err := parseReportSinks(env, f.outputs)
	if err != nil {
		return err
	}
	if f.spec.several(f.shard) {
		if approval != nil {
			return errors.New("--approved is about the plan of one stack: run one -f at a time with it")
		}
		return runAll(ctx, env, f, command, which, paths, sinks)
	}
	file, err := f.spec.read(env, paths[0])
	if err != nil {
		return errors.Join(err, annotate(env, sinks, err))
	}
	if err := protect(sinks, paths[0], file, f.aws.sandbox); err != nil {
		return err
	}
	f.aws.warn(env.Stderr, file)

	progress := newProgress(env, f.log)
	defer progress.Stop()
	process, err := start(ctx, env, f.aws, f.log.logger(progress), file.Account(), progress)
	if err != nil {
		return err
	}
	defer process.end()
	r := f.runner(env, process, progress, which)
	r.command = again(command, f.permit.given)
	report, refused := r.reconcile(process.ctx, file, f.dryRun, approval, progress)
	if report == nil {
		return refused
	}
	progress.Stop()
	err = errors.Join(
		writeReports(env, f.log, sinks, report),
		tellGitHub(process.ctx, env, sinks, []view.Stack{{Spec: report.Spec, Report: report}}),
	)
	if err != nil {
		return err
	}
	if refused != nil && !report.Interrupted {
		return refused
	}
	return status(report, f.detailed)
}

// runner makes the flags' runs in a process.
func (f *runFlags) runner(env Env, process *process, progress *view.Progress, which stack.Look) *runner {
	return &runner{
		env: env, process: process, progress: progress, told: progress, permit: f.permit, which: which,
		leaseTimeout: f.leaseTimeout, failOnNewAccess: f.failOnNewAccess, who: f.who, ask: f.aws.sandbox == "",
	}
}

// A runner makes runs of one command.
type runner struct {
	env      Env
	process  *process
	progress *view.Progress // nil: none is shown, and nobody is asked
	told     io.Writer      // what is to be known at once
	permit   permitFlags
	which    stack.Look
	command  string // makes the same plan once more

	leaseTimeout    time.Duration
	failOnNewAccess bool
	who             bool
	ask             bool // before a first run, where somebody is there to be asked
	asking          sync.Mutex
}

// reconcile makes one run of one stack. An error beside a report is why nothing
// was written; without one, nothing can be said of the stack.
func (r *runner) reconcile(ctx context.Context, file *spec.File, dryRun bool, approval *reconcile.Approval, observer reconcile.Observer) (*reconcile.Report, error) {
	start := r.env.Now()
	var calls atomic.Int64
	ctx, end := context.WithCancel(awsx.Counted(ctx, &calls))
	defer end()
	st, err := r.process.open(ctx, file, r.which)
	if err != nil {
		return nil, err
	}
	if approval != nil {
		if err := approval.Covers(st.Scope()); err != nil {
			return nil, err
		}
	}
	if !dryRun && st.Lease.Bucket != "" {
		var release func()
		if ctx, release, err = r.lease(ctx, st); err != nil {
			return nil, err
		}
		defer release()
	}
	look := reconcile.Look(ctx, st.Resources, reconcile.Options{
		Stop: r.process.stop, Observer: observer, Pause: r.env.Pause,
	})
	if err := st.Verify(); err != nil {
		return nil, r.process.explain(err)
	}
	destroy := r.which.Destroy
	if !destroy { // what is gone is as it should be
		// After an interrupt nothing is begun, and the report says what was read.
		if err := st.CheckAbsence(look); err != nil && !r.process.interrupted() {
			return nil, err
		}
	}
	if r.which.Rotate == nil && !destroy {
		undecided, err := st.CheckAccess()
		if err != nil {
			return nil, r.process.explain(err)
		}
		for _, line := range undecided {
			fmt.Fprintln(r.told, view.Printable("Warning: "+line))
		}
	}
	if r.who {
		if err := look.Attribute(ctx, st.Trail); err != nil && !r.process.interrupted() {
			fmt.Fprintln(r.told, view.Printable(fmt.Sprintf("Warning: CloudTrail does not tell who has changed what: %v", err)))
		}
	}
	kept := look.CheckHolders()
	digest := reconcile.Digest(st.Scope(), reconcile.Pending(look.Results()))
	refused := r.permit.permit(look, approval, st)
	if refused == nil && r.failOnNewAccess {
		refused = look.RefuseNewAccess()
	}
	if refused == nil && destroy {
		refused = kept
	}
	if refused == nil && !dryRun {
		if r.ask && !r.permit.yes {
			confirm := r.confirm
			if destroy {
				confirm = r.confirmDestroy
			}
			if err := confirm(ctx, st, look); err != nil {
				return nil, err
			}
		}
		look.Apply(ctx)
	}
	if refused == nil {
		refused = kept
	}
	var outputs []reconcile.Output
	if !destroy {
		outputs = st.Outputs(look)
	}
	s := st.Spec
	return &reconcile.Report{
		Spec: s.File, Project: s.Project, Environment: s.Environment, Account: s.Account, Region: s.Region,
		DryRun: dryRun, Interrupted: r.process.interrupted(),
		Declared: len(s.IDs()), Results: look.Results(), Orphans: st.Orphans, Destroyed: destroy, Outputs: outputs,
		Digest: digest, Command: r.command,
		Duration: r.env.Now().Sub(start), APICalls: int(calls.Load()),
	}, refused
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

// A process is what a command has open as long as it runs: its way to AWS, its
// limits and its ear for interrupts.
type process struct {
	session *stack.Session
	ctx     context.Context
	stop    <-chan struct{} // closed by the first interrupt
	signal  os.Signal       // which that was; to be read once stop is closed
	ends    []func()
}

// start listens for interrupts and makes ready to ask AWS. The first interrupt
// closes stop, which lets calls in flight finish and starts no more; the second
// ends ctx, and so does f.timeout where it is not 0. account is what a sandbox's
// own is to be, "" where that is open.
func start(ctx context.Context, env Env, f awsFlags, log *slog.Logger, account string, progress *view.Progress) (*process, error) {
	stop := make(chan struct{})
	p := &process{stop: stop}
	if f.timeout > 0 {
		var cancelTimeout func()
		ctx, cancelTimeout = f.limit(ctx)
		p.ends = append(p.ends, cancelTimeout)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	p.ends = append(p.ends, func() { cancel(nil) })
	p.ctx = ctx

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	p.ends = append(p.ends, func() { signal.Stop(signals) })
	go func() {
		select {
		case p.signal = <-signals:
			close(stop)
			fmt.Fprintln(progress, "Interrupted: calls in flight are let finish, no more are started. Once more stops at once.")
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
	o.AWS.Slowed = progress.Slowed
	o.GitHubURL, o.GitHubToken = env.get("GITHUB_API_URL"), cmp.Or(env.get("GITHUB_TOKEN"), env.get("GH_TOKEN"))
	o.AllowGitHub = f.allowGitHub
	if f.sandbox != "" {
		o.Sandbox = true
		url, end, err := embed(f.sandbox, account)
		if err != nil {
			p.end()
			return nil, err
		}
		p.ends = append(p.ends, end)
		o.AWS.EndpointURL = url
		o.AWS.Credentials = credentials.NewStaticCredentialsProvider("sandbox", "sandbox", "")
		o.AWS.Profile = ""
	}
	p.session = stack.NewSession(o)
	return p, nil
}

// open makes ready one look at a stack. An interrupt cuts it short.
func (p *process) open(ctx context.Context, file *spec.File, which stack.Look) (*stack.Stack, error) {
	// Who is calling may be told after open is through.
	stopped, done := reconcile.UntilStopped(ctx, p.stop)
	context.AfterFunc(ctx, done)
	st, err := p.session.Open(stopped, file, which)
	if err != nil {
		return nil, p.explain(err)
	}
	return st, nil
}

// explain puts an interrupt in the place of the errors that it leads to before
// anything is written.
func (p *process) explain(err error) error {
	if p.interrupted() {
		return &exitStatus{exitInterrupted, fmt.Errorf("%w: nothing was written", reconcile.ErrInterrupted)}
	}
	return err
}

func (p *process) interrupted() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

func (p *process) end() {
	for _, end := range slices.Backward(p.ends) {
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

func parseReportSinks(env Env, values []string) ([]reportSink, error) {
	var sinks []reportSink
	toStdout := 0
	for _, v := range values {
		format, path, named := strings.Cut(v, "=")
		if err := oneOf("-o", format, "text", "json", "markdown", "github"); err != nil {
			return nil, err
		}
		if format == "github" {
			if named {
				return nil, fmt.Errorf("-o %s: it goes to where GitHub Actions says, and takes no path", v)
			}
			if err := checkActions(env); err != nil {
				return nil, err
			}
			sinks = append(sinks, reportSink{format: format})
			continue
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
	return writeEach(env, f, sinks, formats{
		"json":     func(w io.Writer, _ view.TextOptions) error { return view.JSON(w, r) },
		"markdown": func(w io.Writer, _ view.TextOptions) error { return view.Markdown(w, r) },
		"text":     func(w io.Writer, o view.TextOptions) error { return view.Text(w, r, o) },
	})
}

// formats write a result, by the name of the format.
type formats map[string]func(io.Writer, view.TextOptions) error

func writeEach(env Env, f logFlags, sinks []reportSink, formats formats) error {
	var errs []error
	for _, s := range sinks {
		if s.format == "github" {
			continue // it goes to several places
		}
		o := view.TextOptions{Color: s.path == "" && f.colorful(env), Verbose: f.verbose, Quiet: f.quiet}
		if s.path == "" {
			o.Width = columns(env.Stdout)
		}
		var b strings.Builder
		err := formats[s.format](&b, o)
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
