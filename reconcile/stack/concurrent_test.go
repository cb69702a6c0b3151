package stack_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// concurrentVar asks for runs beside each other on the endpoint of endpointVar,
// in time that passes. It takes minutes.
const concurrentVar = "CHURN_TEST_CONCURRENT"

// A contest is a number of runs of one spec beside each other.
type contest struct {
	runs    int
	stagger time.Duration // from one run's start to the next's
	latency time.Duration // of a call
	lag     time.Duration // until reads show a write
	from    string        // nothing, user, key
}

func (c contest) String() string {
	return fmt.Sprintf("%d runs from %s, %s apart, %s a call, lag %s", c.runs, c.from, c.stagger, c.latency, c.lag)
}

func contests(staggers []time.Duration) []contest {
	var all []contest
	for _, from := range []string{"nothing", "user", "key"} {
		for _, runs := range []int{2, 8} {
			for _, latency := range []time.Duration{0, 60 * time.Millisecond} {
				for _, stagger := range staggers {
					// All of them begin within a second.
					all = append(all, contest{runs: runs, stagger: stagger / time.Duration(runs-1), latency: latency, from: from})
				}
			}
		}
	}
	return all
}

// Runs beside each other leave one key, which is delivered, and the run after
// them writes nothing. The time in which they wait is a bubble's.
func TestConcurrentRuns(t *testing.T) {
	if os.Getenv(endpointVar) != "" {
		t.Skip("TestConcurrentRunsInTime is for other endpoints")
	}
	var staggers []time.Duration
	for d := time.Duration(0); d <= time.Second; d += 200 * time.Millisecond {
		staggers = append(staggers, d)
	}
	for i, c := range contests(staggers) {
		c.lag = []time.Duration{0, 700 * time.Millisecond, 4 * time.Second}[i%3]
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				server, err := sandbox.New(sandbox.Options{})
				if err != nil {
					t.Fatal(err)
				}
				pipes := newPipes()
				endpoint := &http.Server{Handler: delayed(server, c.latency)}
				go func() { _ = endpoint.Serve(pipes) }()
				defer endpoint.Close()
				begin := time.Now()
				c.hold(t, &arena{url: "http://localhost", dial: pipes.dial, dir: dir, user: "ci", lag: server.LagFor})
				// The longest of patience, twice.
				if took := time.Since(begin); took > 5*time.Minute {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// The same in time that passes, for an endpoint of somebody else's.
func TestConcurrentRunsInTime(t *testing.T) {
	url := os.Getenv(endpointVar)
	if url == "" || os.Getenv(concurrentVar) == "" {
		t.Skip("takes minutes, and an endpoint: set " + endpointVar + " and " + concurrentVar)
	}
	newAccount(t)
	for i, c := range contests([]time.Duration{0, 300 * time.Millisecond, time.Second}) {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			dial := func(ctx context.Context, network, address string) (net.Conn, error) {
				// moto ends a connection with each answer.
				time.Sleep(c.latency)
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}
			c.hold(t, &arena{url: url, dial: dial, dir: t.TempDir(), user: fmt.Sprintf("ci-%d", i), lag: func(time.Duration) {}})
		})
	}
}

// An arena is where a contest is held.
type arena struct {
	url  string
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	dir  string
	user string
	lag  func(time.Duration)
}

func (a *arena) options() awsx.Options {
	return awsx.Options{
		Region: region, EndpointURL: a.url, HTTPClient: a.client(), Credentials: credentials.NewStaticCredentialsProvider("operator", "operator", ""),
	}
}

// client is a run's own, as each process has one.
func (a *arena) client() aws.HTTPClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.DialContext = a.dial })
}

func (c contest) hold(t *testing.T, a *arena) {
	t.Helper()
	sink := filepath.Join(a.dir, "credentials")
	path := filepath.Join(a.dir, "spec.yaml")
	text := "project: test\nenvironment: " + a.user + "\nregion: " + region +
		"\niam: {users: [{name: " + a.user + ", tags: {Team: data}, accessKey: {deliver: [{file: {path: \"" + sink + "\"}}]}}]}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := awsx.Config(t.Context(), a.options(), awsx.NewGate(awsx.Options{}, nil))
	if err != nil {
		t.Fatal(err)
	}
	api := iam.NewFromConfig(cfg)
	keys := func() []string {
		t.Helper()
		out, err := api.ListAccessKeys(t.Context(), &iam.ListAccessKeysInput{UserName: &a.user})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, key := range out.AccessKeyMetadata {
			ids = append(ids, *key.AccessKeyId)
		}
		return ids
	}

	want, former := 1, ""
	rotate := func(*stack.Look) {}
	switch c.from {
	case "user":
		done(t)(api.CreateUser(t.Context(), &iam.CreateUserInput{UserName: &a.user}))
	case "key":
		if _, err := a.run(t, path, rotate); err != nil {
			t.Fatal(err)
		}
		want, former = 2, keys()[0]
		rotate = func(o *stack.Look) { o.Rotate = func(string) bool { return true } }
	}
	a.lag(c.lag)
	var wg sync.WaitGroup
	for i := range c.runs {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * c.stagger)
			if _, err := a.run(t, path, rotate); err != nil {
				t.Errorf("run %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	time.Sleep(c.lag)
	a.lag(0)

	ids := keys()
	if len(ids) != want {
		t.Errorf("there are %d keys, want %d", len(ids), want)
	}
	profile, err := config.LoadSharedConfigProfile(t.Context(), a.user, func(o *config.LoadSharedConfigOptions) {
		o.CredentialsFiles, o.ConfigFiles = []string{sink}, []string{}
	})
	if err != nil {
		t.Fatal(err)
	}
	id := profile.Credentials.AccessKeyID
	if !strings.Contains(strings.Join(ids, " "), id) || id == former || profile.Credentials.SecretAccessKey == "" {
		t.Errorf("the file has %s, of the keys %v, %q among them before", id, ids, former)
	}
	tags, err := api.ListUserTags(t.Context(), &iam.ListUserTagsInput{UserName: &a.user})
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range tags.Tags {
		if *tag.Key == keyRecord && !strings.HasPrefix(aws.ToString(tag.Value), "current="+id+" ") {
			t.Errorf("the record is %q, the file has %s", *tag.Value, id)
		}
	}
	writes, err := a.run(t, path, func(*stack.Look) {})
	if err != nil || len(writes) > 0 {
		t.Errorf("the run after them: %v, writes %v", err, writes)
	}
}

// run is a run as a process makes it, with the time and the pauses of its own.
func (a *arena) run(t *testing.T, path string, with func(*stack.Look)) (writes []string, err error) {
	file, err := spec.Load(path, spec.Options{})
	if err != nil {
		return nil, err
	}
	journal := &journal{}
	o := stack.Options{AWS: a.options()}
	o.AWS.Log = slog.New(journal)
	var which stack.Look
	with(&which)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	s, err := stack.NewSession(o).Open(ctx, file, which)
	if err != nil {
		return nil, err
	}
	run := reconcile.Look(ctx, s.Resources, reconcile.Options{})
	run.Apply(ctx)
	out := outcome{results: run.Results(), calls: journal.all()}
	return out.writes(), out.failure()
}

// delayed answers each call after a while.
func delayed(h http.Handler, d time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(d)
		h.ServeHTTP(w, r)
	})
}

// pipes are a network in memory, which a bubble's clock can wait for.
type pipes struct {
	conns chan net.Conn
	close sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.close.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
