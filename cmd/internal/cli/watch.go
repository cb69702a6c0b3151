package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/monitor"
	"github.com/churn-reconcile/churn-reconcile/cmd/internal/notify"
	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/reconcile/watch"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// watchFlags are the flags of watch.
type watchFlags struct {
	spec    specFlags
	aws     awsFlags
	log     logFlags
	permit  permitFlags
	every   time.Duration
	windows []string
	notify  []string
	listen  string
	dryRun  bool
	shard   string

	leaseTimeout    time.Duration
	prune           bool
	who             bool
	failOnNewAccess bool
}

func newWatch(env Env) *cobra.Command {
	var f watchFlags
	cmd := &cobra.Command{
		Use:   "watch -f FILE",
		Short: "Reconcile again and again",
		Long: `Look at the stack again and again, and mend what has drifted. The spec is read
anew before each round; where it is no good, that is told and the last good one
is kept. After a failed round the pause doubles, up to eight times, until a round
succeeds or the spec changes. With windows, nothing is written outside of them.
SIGTERM ends it after the calls in flight.`,
		Example: `  churn-reconcile watch -f prod.yaml --every 15m
  churn-reconcile watch -f prod.yaml --window 'Mon-Fri 08:00-18:00 Europe/Stockholm'
  churn-reconcile watch -f stacks/ --dry-run --notify slack+https://hooks.slack.com/services/T…/B…/…`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runWatch(cmd.Context(), env, f) },
	}
	f.spec.register(cmd)
	flags := cmd.Flags()
	flags.DurationVar(&f.every, "every", 15*time.Minute, "`TIME` from one round to the next, give or take a tenth")
	flags.StringArrayVar(&f.windows, "window", nil, "write only in this `WINDOW`, as in 'Mon-Fri 08:00-18:00 Europe/Stockholm', and look always; repeatable")
	flags.StringArrayVar(&f.notify, "notify", nil, "tell this `URL` what has drifted, was corrected, cannot be and is well again: https://, slack+https:// or pagerduty+https://; repeatable")
	flags.StringVar(&f.listen, "listen", "", "serve a status page, /status.json, /metrics, /healthz and /readyz on this `ADDRESS`, as in 127.0.0.1:9090; without a host, as in :9090, on loopback only")
	flags.BoolVar(&f.dryRun, "dry-run", false, "look, write nothing")
	flags.BoolVar(&f.prune, "prune", false, "also delete what carries the stack's mark and is not in the spec")
	flags.BoolVar(&f.who, "who", false, "ask CloudTrail who changed what has drifted")
	flags.BoolVar(&f.failOnNewAccess, "fail-on-new-access", false, "write nothing where a policy would allow more than the live one")
	flags.StringVar(&f.shard, "shard", "", "only every Nth of several specs, from the Kth on, as `K/N`; N alone takes K from JOB_COMPLETION_INDEX")
	registerLease(cmd, &f.leaseTimeout)
	f.permit.registerLimits(cmd)
	f.aws.register(cmd, env)
	f.log.register(cmd)
	return cmd
}

// options reads what is asked of the watch.
func (f *watchFlags) options() (watch.Options, []notify.Receiver, error) {
	o := watch.Options{Every: f.every, DryRun: f.dryRun, Seed: rand.Uint64()}
	var receivers []notify.Receiver
	var errs []error
	if f.every < time.Second {
		errs = append(errs, fmt.Errorf("--every %s: at least 1s is wanted", f.every))
	}
	if f.listen != "" {
		host, port, err := net.SplitHostPort(f.listen)
		if err != nil || port == "" {
			errs = append(errs, fmt.Errorf("--listen %s: a host and a port are wanted, as in 127.0.0.1:9090", f.listen))
		} else if host == "" {
			f.listen = net.JoinHostPort("127.0.0.1", port)
		}
	}
	for _, text := range f.windows {
		w, err := watch.ParseWindow(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("--%w", err))
		}
		o.Windows = append(o.Windows, w)
	}
	for _, text := range f.notify {
		r, err := notify.Parse(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("--notify: %w", err))
		}
		receivers = append(receivers, r)
	}
	return o, receivers, errors.Join(append(errs, f.aws.check(), f.log.check(), f.permit.checkLimits())...)
}

func runWatch(ctx context.Context, env Env, f watchFlags) error {
	o, receivers, err := f.options()
	if err != nil {
		return err
	}
	paths, err := f.spec.paths(f.shard)
	if err != nil {
		return err
	}
	if slices.Contains(paths, "-") {
		return errors.New("-f -: watch reads the spec anew before each round, which standard input cannot be")
	}

	progress := view.NewProgress(env.Stderr, view.ProgressOptions{})
	defer progress.Stop()
	log := f.log.logger(env.Stderr)
	w := &watcher{env: env, f: f, log: log, names: map[string]string{}}
	account, err := w.first(paths)
	if err != nil {
		return err
	}
	var watching *watch.Watcher
	began := env.Now()
	notifier := notify.New(receivers, notify.Options{Pause: env.Pause, Log: log})
	monitor := monitor.New(func() view.Watch {
		return view.Watch{Version: version(), Started: began, Now: env.Now(), Every: f.every, Stacks: watching.States()}
	}, notifier.Counts)
	limitless := f.aws
	limitless.called = monitor.Called
	limitless.timeout = 0 // which is a round's
	process, err := start(ctx, env, limitless, log, account, progress)
	if err != nil {
		return err
	}
	defer process.end()
	w.process = process

	var stacks []watch.Stack
	for _, path := range paths {
		stacks = append(stacks, watch.Stack{Source: path, Load: func() (watch.Spec, error) { return w.load(path) }})
	}
	o.Observe = func(e watch.Ended) {
		monitor.Ended(e)
		w.tell(e)
		notifier.Tell(e)
	}
	watching = watch.New(stacks, o)
	if f.listen != "" {
		bound, wait, err := monitor.Serve(process.ctx, f.listen)
		if err != nil {
			return err
		}
		log.Info("listening", "url", "http://"+bound+"/")
		go func() {
			if err := wait(); err != nil {
				log.Error("the status page has gone", "error", err)
			}
		}()
	}
	telling, stopTelling := context.WithCancel(process.ctx)
	var told sync.WaitGroup
	told.Go(func() { notifier.Run(telling) })

	log.Info("watching", "stacks", len(stacks), "every", f.every)
	watching.Run(process.ctx, process.stop)
	stopTelling()
	told.Wait()
	last, cancel := context.WithTimeout(process.ctx, 5*time.Second)
	defer cancel()
	notifier.Flush(last)
	log.Info("ended")
	// SIGTERM is how a watch is meant to end.
	if process.signal == syscall.SIGTERM && process.ctx.Err() == nil {
		return nil
	}
	return &exitStatus{code: exitInterrupted}
}

// A watcher is the watch of one command.
type watcher struct {
	env     Env
	f       watchFlags
	log     *slog.Logger
	process *process

	mu    sync.Mutex
	names map[string]string // path by stack
	print sync.Mutex        // one report at a time
}

// first reads each spec once, before anything begins: whoever starts a watch of
// nothing but mistakes wants to be told so at once. It answers with the account
// of the first spec that names one.
func (w *watcher) first(paths []string) (account string, err error) {
	var errs []error
	for _, path := range paths {
		file, err := w.f.spec.read(w.env, path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		w.f.aws.warn(w.env.Stderr, file)
		if account == "" {
			account = file.Account()
		}
	}
	if len(errs) == len(paths) {
		return "", errors.Join(errs...)
	}
	return account, nil
}

// load reads a spec for its next round.
func (w *watcher) load(path string) (watch.Spec, error) {
	file, err := w.f.spec.read(w.env, path)
	if err != nil {
		return watch.Spec{}, err
	}
	s, err := file.Preview()
	if err != nil {
		return watch.Spec{}, err
	}
	if err := w.claim(s.Stack(), path); err != nil {
		return watch.Spec{}, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return watch.Spec{}, fmt.Errorf("%s: %w", path, err)
	}
	sum := sha256.Sum256(text)
	return watch.Spec{
		Name: s.Stack(), Digest: hex.EncodeToString(sum[:]), Suspend: s.Suspend,
		Round: func(ctx context.Context, mode watch.Mode, stop <-chan struct{}) (*reconcile.Report, error) {
			return w.round(ctx, file, mode, stop)
		},
	}, nil
}

// claim gives a stack to a spec: two specs of one stack would undo each other's
// work.
func (w *watcher) claim(name, path string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if other, ok := w.names[name]; ok && other != path {
		return fmt.Errorf("%s and %s are both the stack %s: one of them is left alone", other, path, name)
	}
	for of, by := range w.names {
		if by == path {
			delete(w.names, of)
		}
	}
	w.names[name] = path
	return nil
}

func (w *watcher) round(ctx context.Context, file *spec.File, mode watch.Mode, stop <-chan struct{}) (*reconcile.Report, error) {
	ctx, cancel := w.f.aws.limit(ctx)
	defer cancel()
	r := &runner{
		env: w.env, told: w.env.Stderr, which: stack.Look{Prune: w.f.prune}, who: w.f.who, permit: w.f.permit, leaseTimeout: w.f.leaseTimeout, failOnNewAccess: w.f.failOnNewAccess,
		process: &process{session: w.process.session, ctx: ctx, stop: stop},
	}
	return r.reconcile(ctx, file, mode == watch.Look, nil, nil)
}

// tell says what a round has come to: a line each time, and a report when there
// is news.
func (w *watcher) tell(e watch.Ended) {
	log := w.log.With("stack", e.State.Name)
	if err := e.State.SpecErr; err != nil {
		log.Error("the spec is no good, and the last good one is kept", "error", err)
	}
	news := false
	for _, c := range e.Changes {
		if c.First && c.Kind == watch.IsWellAgain {
			continue
		}
		news = news || c.Address != ""
	}
	if news && e.Report != nil {
		w.print.Lock()
		// Whom could an error be told?
		_ = writeReports(w.env, w.f.log, []reportSink{{format: "text"}}, e.Report)
		w.print.Unlock()
	}
	args := []any{"outcome", string(e.Outcome), "took", e.Took.Round(time.Millisecond)}
	if e.Report != nil {
		args = append(args, "resources", len(e.Report.Results), "calls", e.Report.APICalls)
	}
	if n := e.State.Count(watch.Drift) + e.State.Count(watch.Stuck); n > 0 {
		args = append(args, "not_well", n)
	}
	if e.State.LooksOnly != "" {
		args = append(args, "looks_only", e.State.LooksOnly)
	}
	args = append(args, "next", e.State.Next.Format(time.RFC3339))
	if e.Err != nil {
		args = append(args, "error", e.Err)
	}
	if e.Outcome == watch.Failed {
		log.Error("round", args...)
		return
	}
	log.Info("round", args...)
}
