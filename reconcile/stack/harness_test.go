package stack_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox/sandboxtest"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

const (
	accountID = "123456789012"
	region    = "eu-north-1"
)

func TestMain(m *testing.M) {
	// No test may meet the credentials or the settings of whoever runs it.
	for _, name := range os.Environ() {
		name, _, _ = strings.Cut(name, "=")
		if strings.HasPrefix(name, "AWS_") {
			os.Unsetenv(name)
		}
	}
	os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	if path := os.Getenv(childVar); path != "" {
		os.Exit(child(path))
	}
	code := m.Run()
	if err := recordGranted(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code == 0 && (staleDifferences() || neverUsed()) {
		code = 1
	}
	os.Exit(code)
}

var noDelay = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })

// An account is an AWS account of a test's own.
type account struct {
	url     string
	handler http.Handler    // what answers there
	sandbox *sandbox.Server // nil where the endpoint is somebody else's
	dir     string          // where specs, and what they deliver, lie
	clock   *clock
	fault   atomic.Pointer[faulter]

	// permit says whether a run may do what it has found; nil: it may.
	permit func(*stack.Stack, *reconcile.Run) error

	s3   *s3.Client
	logs *cloudwatchlogs.Client
	ecr  *ecr.Client
	iam  *iam.Client
	ecs  *ecs.Client
}

type faulter = func(sandbox.Call, sandbox.Phase) sandbox.Fault

// newAccount is an empty account on the endpoint that the tests run against.
func newAccount(t testing.TB) *account {
	t.Helper()
	address := os.Getenv(endpointVar)
	if address == "" {
		return newSandbox(t, sandbox.Options{})
	}
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	differs(t, emptied(t, address))
	a := &account{url: address, handler: httputil.NewSingleHostReverseProxy(to), dir: t.TempDir(), clock: newClock()}
	// The emulators date what is made by the clock on the wall.
	a.clock.now = time.Now()
	a.connect()
	return a
}

// sandboxAccount is an empty account on a sandbox, for what no other endpoint
// can do.
func sandboxAccount(t testing.TB, o sandbox.Options) *account {
	t.Helper()
	if os.Getenv(endpointVar) != "" {
		t.Skip("needs the sandbox: faults, lag and the journal of calls are its own")
	}
	return newSandbox(t, o)
}

func newSandbox(t testing.TB, o sandbox.Options) *account {
	t.Helper()
	a := &account{dir: t.TempDir(), clock: newClock()}
	o.Now = a.clock.Now
	var record sandboxtest.Record
	o.Intercept = func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
		fault := sandbox.None
		if f := a.fault.Load(); f != nil {
			fault = (*f)(c, p)
		}
		switch fault {
		case sandbox.HalfAnswer, sandbox.Garbage, sandbox.Hollow:
			record.Spoil(c.RequestID)
		}
		return fault
	}
	server, err := sandbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	a.handler = record.Of(t, server, true)
	endpoint := httptest.NewServer(a.handler)
	t.Cleanup(endpoint.Close)
	a.sandbox, a.url = server, endpoint.URL
	a.connect()
	return a
}

// connect makes clients for what a test does by hand.
func (a *account) connect() {
	cfg := aws.Config{
		Region:       region,
		BaseEndpoint: &a.url,
		Credentials:  credentials.NewStaticCredentialsProvider("byhand", "byhand", ""),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.Backoff = noDelay })
		},
	}
	a.s3 = s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	a.logs = cloudwatchlogs.NewFromConfig(cfg)
	a.ecr = ecr.NewFromConfig(cfg)
	a.iam = iam.NewFromConfig(cfg)
	a.ecs = ecs.NewFromConfig(cfg)
}

// setFault makes f decide what goes wrong from now on; nil heals.
func (a *account) setFault(f faulter) {
	if f == nil {
		a.fault.Store(nil)
		return
	}
	a.fault.Store(&f)
}

// alone lets tests run side by side where each has an endpoint of its own.
func alone(t *testing.T) {
	if os.Getenv(endpointVar) == "" {
		t.Parallel()
	}
}

// A clock stands still until it is told otherwise.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// write puts a spec into the account's folder. SINK in it is the path of the
// file that keys are delivered to.
func (a *account) write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(a.dir, "spec.yaml")
	text = strings.ReplaceAll(text, "SINK", a.sink())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// write is a spec of project test, environment test.
func (a *account) stack(t testing.TB, resources string) string {
	t.Helper()
	return a.write(t, "project: test\nenvironment: test\nregion: "+region+"\n"+resources)
}

// sink is the file that keys are delivered to.
func (a *account) sink() string { return filepath.Join(a.dir, "credentials") }

// example copies the examples into the account's folder, with the sink there
// as well, and answers the path of the one that is named.
func (a *account) example(t testing.TB, name string) string {
	t.Helper()
	for _, file := range []string{"dev.yaml", "prod.yaml", "github-oidc.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "examples", file))
		if err != nil {
			t.Fatal(err)
		}
		const relative = "path: ${var.user}.credentials"
		if file == "dev.yaml" && !strings.Contains(string(text), relative) {
			t.Fatalf("%s has no %q", file, relative)
		}
		moved := strings.ReplaceAll(string(text), relative, "path: "+a.sink())
		if err := os.WriteFile(filepath.Join(a.dir, file), []byte(moved), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(a.dir, name)
}

// An option changes how a run is made.
type option func(*stack.Options, *stack.Look, *reconcile.Options)

func target(globs ...string) option {
	return func(_ *stack.Options, o *stack.Look, _ *reconcile.Options) { o.Target = globs }
}

// prune also deletes what has left the spec, destroy deletes all.
func prune(_ *stack.Options, o *stack.Look, _ *reconcile.Options) { o.Prune = true }

func destroy(_ *stack.Options, o *stack.Look, _ *reconcile.Options) { o.Destroy = true }

// An outcome is what a run has said and done.
type outcome struct {
	err     error // the run could not begin, or was refused before its first write
	results []reconcile.Result
	outputs []reconcile.Output
	calls   []string // every attempt, e.g. "iam:GetRole", in order of their ends
	paused  time.Duration
}

// look is a dry run, apply a real one.
func (a *account) look(path string, opts ...option) outcome  { return a.run(path, false, opts) }
func (a *account) apply(path string, opts ...option) outcome { return a.run(path, true, opts) }

func (a *account) run(path string, apply bool, opts []option) outcome {
	journal := &journal{}
	var paused atomic.Int64
	pause := func(ctx context.Context, d time.Duration) error {
		paused.Add(int64(d))
		return ctx.Err()
	}
	so := stack.Options{
		AWS: awsx.Options{
			EndpointURL: a.url,
			Credentials: credentials.NewStaticCredentialsProvider("operator", "operator", ""),
			Backoff:     noDelay,
			Log:         slog.New(journal),
		},
		Pause: pause,
		Now:   a.clock.Now,
	}
	var which stack.Look
	ro := reconcile.Options{Pause: pause}
	for _, opt := range opts {
		opt(&so, &which, &ro)
	}
	ctx := context.Background()
	var bound *spec.Spec
	o := func() outcome {
		file, err := spec.Load(path, spec.Options{})
		if err != nil {
			return outcome{err: err}
		}
		s, err := stack.NewSession(so).Open(ctx, file, which)
		if err != nil {
			return outcome{err: err}
		}
		bound = s.Spec
		run := reconcile.Look(ctx, s.Resources, ro)
		if err := s.Verify(); err != nil {
			return outcome{err: err, results: run.Results()}
		}
		if !which.Destroy {
			if err := s.CheckAbsence(run); err != nil {
				return outcome{err: err, results: run.Results()}
			}
			if _, err := s.CheckAccess(); err != nil {
				return outcome{err: err, results: run.Results()}
			}
		}
		kept := run.CheckHolders()
		if kept != nil && which.Destroy {
			return outcome{err: kept, results: run.Results()}
		}
		if a.permit != nil {
			if err := a.permit(s, run); err != nil {
				return outcome{err: err, results: run.Results()}
			}
		}
		if apply {
			run.Apply(ctx)
		}
		return outcome{err: kept, results: run.Results(), outputs: s.Outputs(run)}
	}()
	o.calls, o.paused = journal.all(), time.Duration(paused.Load())
	if bound != nil && !which.Prune && !which.Destroy {
		purposes := []reconcile.Purpose{reconcile.Reading}
		if apply {
			purposes = append(purposes, reconcile.Writing)
		}
		if err := within(bound, o.calls, purposes...); err != nil {
			o.err = errors.Join(o.err, err)
		}
	}
	return o
}

// failure joins what went wrong, whatever it was; nil is a success.
func (o outcome) failure() error {
	errs := []error{o.err}
	for _, r := range o.results {
		if r.Err != nil {
			errs = append(errs, fmt.Errorf("%s is %s: %w", r.ID, r.Status, r.Err))
		}
	}
	return errors.Join(errs...)
}

// result is what the run said of an address.
func (o outcome) result(t testing.TB, address string) reconcile.Result {
	t.Helper()
	for _, r := range o.results {
		if r.ID.String() == address {
			return r
		}
	}
	t.Fatalf("no result for %s", address)
	return reconcile.Result{}
}

// writes are the mutating calls that were made.
func (o outcome) writes() []string {
	return slices.DeleteFunc(slices.Clone(o.calls), func(call string) bool { return !mutating(call) })
}

var read = regexp.MustCompile(`^\w+:(Get|List|Describe|Head)`)

func mutating(call string) bool { return !read.MatchString(call) }

// changes is all that a run found to do, a line per call and per difference,
// without a word where it found nothing:
//
//	s3.bucket/data: update
//	  s3:PutBucketVersioning
//	  versioning: Suspended -> Enabled
func (o outcome) changes() []string {
	var lines []string
	for _, r := range o.results {
		if r.Action == reconcile.None && r.Err == nil {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s: %s", r.ID, r.Action))
		if r.Err != nil {
			lines = append(lines, "  error: "+r.Err.Error())
		}
		for _, call := range r.Calls {
			lines = append(lines, "  "+call)
		}
		for _, d := range r.Diffs {
			lines = append(lines, fmt.Sprintf("  %s: %v -> %v", d.Path, d.Before, d.After))
		}
	}
	return lines
}

// mustApply runs and wants every resource done or in sync.
func (a *account) mustApply(t testing.TB, path string, opts ...option) outcome {
	t.Helper()
	o := a.apply(path, opts...)
	if err := o.failure(); err != nil {
		t.Fatalf("run: %v", err)
	}
	return o
}

// mustBeInSync wants a fresh run to find nothing to do and to write nothing.
func (a *account) mustBeInSync(t testing.TB, path string, opts ...option) {
	t.Helper()
	o := a.apply(path, opts...)
	if err := o.failure(); err != nil {
		t.Fatalf("second run: %v", err)
	}
	if diff := cmp.Diff([]string(nil), o.changes()); diff != "" {
		t.Fatalf("second run is not empty (-want +got):\n%s", diff)
	}
	if w := o.writes(); len(w) > 0 {
		t.Fatalf("second run wrote: %v", w)
	}
}

// A journal is a log handler that keeps which calls were made.
type journal struct {
	mu    sync.Mutex
	calls []string
}

func (*journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler     { return j }
func (j *journal) WithGroup(string) slog.Handler          { return j }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "call" {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.calls = append(j.calls, a.Value.String())
		}
		return true
	})
	return nil
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.calls)
}

// done wants a call that a test makes by hand to succeed.
func done(t testing.TB) func(any, error) {
	return func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// headings are the lines of changes that name an address and its action.
func headings(changes []string) []string {
	return slices.DeleteFunc(slices.Clone(changes), func(line string) bool { return strings.HasPrefix(line, " ") })
}

// bornIDs are the ids that AWS makes up.
var bornIDs = regexp.MustCompile(`\bA(KIA|IDA|ROA|NPA)[A-Z2-7]{16,}`)

// wantChanges compares changes with a text in their form, in which AKIA stands
// for the id of an access key.
func wantChanges(t testing.TB, want string, got []string) {
	t.Helper()
	text := bornIDs.ReplaceAllString(strings.Join(got, "\n"), "A$1")
	if diff := cmp.Diff(strings.TrimSpace(want), text); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}
