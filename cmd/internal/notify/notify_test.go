package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/notify"
	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/watch"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

const secret = "S3CR3T"

// A receiver is a server that fails in the ways it is told to, one request
// after the other, and then takes everything.
type receiver struct {
	*httptest.Server
	t     *testing.T
	mu    sync.Mutex
	fails []func(http.ResponseWriter, *http.Request)
	took  [][]byte
	tries int
	got   chan struct{} // one for each request that it took
}

func newReceiver(t *testing.T, fails ...func(http.ResponseWriter, *http.Request)) *receiver {
	r := &receiver{t: t, fails: fails, got: make(chan struct{}, 1000)}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil || req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" {
		r.t.Errorf("%s %s: %v", req.Method, req.Header.Get("Content-Type"), err)
	}
	r.mu.Lock()
	r.tries++
	var fail func(http.ResponseWriter, *http.Request)
	if len(r.fails) > 0 {
		fail, r.fails = r.fails[0], r.fails[1:]
	}
	if fail == nil {
		r.took = append(r.took, body)
	}
	r.mu.Unlock()
	if fail != nil {
		fail(w, req)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	r.got <- struct{}{}
}

func (r *receiver) host() string { return strings.TrimPrefix(r.URL, "http://") }

func (r *receiver) bodies() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, b := range r.took {
		all = append(all, string(b))
	}
	return all
}

func answer(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func cutOff(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}

func round(minute int, changes ...watch.Change) watch.Ended {
	now := time.Date(2026, 1, 5, 3, minute, 0, 0, time.UTC)
	for i := range changes {
		changes[i].At = now
	}
	return watch.Ended{
		Began: now, Changes: changes,
		State: watch.State{Source: "dev.yaml", Name: "p/dev", Report: &reconcile.Report{Account: "123456789012", Region: "eu-north-1"}},
	}
}

var (
	bucket = spec.ID{Kind: spec.Bucket, Name: "data"}
	role   = spec.ID{Kind: spec.Role, Name: "task"}
)

func drifted(id spec.ID) watch.Change {
	return watch.Change{
		Kind: watch.HasDrifted, Address: id.String(), Since: time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC),
		Result: reconcile.Result{ID: id, Action: reconcile.Update, Diffs: []reconcile.Diff{
			{Path: "versioning", Before: "Suspended", After: "Enabled"},
			{Path: "tags.a<b", Before: "<!channel> `x`", After: nil},
		}},
	}
}

func change(kind watch.ChangeKind, id spec.ID, err error) watch.Change {
	return watch.Change{Kind: kind, Address: id.String(), Err: err, Result: reconcile.Result{ID: id, Action: reconcile.Update}}
}

type harness struct {
	*notify.Notifier
	log    *bytes.Buffer
	pauses []time.Duration
	end    func()
}

func run(t *testing.T, addresses ...string) *harness {
	t.Helper()
	var receivers []notify.Receiver
	for _, a := range addresses {
		r, err := notify.Parse(a)
		if err != nil {
			t.Fatal(err)
		}
		receivers = append(receivers, r)
	}
	h := &harness{log: &bytes.Buffer{}}
	var mu sync.Mutex
	h.Notifier = notify.New(receivers, notify.Options{
		Log: slog.New(slog.NewTextHandler(h.log, nil)),
		Pause: func(ctx context.Context, d time.Duration) error {
			mu.Lock()
			defer mu.Unlock()
			h.pauses = append(h.pauses, d)
			return ctx.Err()
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(ctx)
	}()
	var once sync.Once
	h.end = func() {
		once.Do(func() {
			cancel()
			<-done
			if strings.Contains(h.log.String(), secret) {
				t.Errorf("the log has the secret: %s", h.log)
			}
		})
	}
	t.Cleanup(h.end)
	return h
}

// await waits until the first receiver has taken or refused so many requests.
func (h *harness) await(n int) {
	for h.Counts()[0].Sent+h.Counts()[0].Lost < n {
		runtime.Gosched()
	}
}

func TestPlain(t *testing.T) {
	r := newReceiver(t)
	h := run(t, r.URL+"/hook/"+secret)
	h.Tell(round(1, drifted(bucket), change(watch.CannotBeMended, role, errors.New("attach policy: AccessDenied"))))
	<-r.got
	h.Tell(round(2, change(watch.WasCorrected, bucket, nil)))
	<-r.got
	h.end()
	got := r.bodies()
	type event struct {
		Key, State, Address, Action, Error string
		At, Since                          *time.Time
		First                              *bool
		Lines                              []string
	}
	var docs [2]struct {
		FormatVersion                string `json:"format_version"`
		Stack, Spec, Account, Region string
		Events                       []event
	}
	for i := range docs {
		dec := json.NewDecoder(strings.NewReader(got[i]))
		if err := dec.Decode(&docs[i]); err != nil {
			t.Fatal(err)
		}
		if d := docs[i]; d.FormatVersion != "1.0" || d.Stack != "p/dev" || d.Spec != "dev.yaml" || d.Account != "123456789012" || d.Region != "eu-north-1" {
			t.Errorf("%+v", d)
		}
	}
	first := docs[0].Events
	if len(first) != 2 || first[0].Address != "iam.role/task" || first[0].State != "cannot_be_corrected" || first[0].Error != "attach policy: AccessDenied" {
		t.Fatalf("%+v", first)
	}
	if e := first[1]; e.Address != "s3.bucket/data" || e.State != "drifted" || e.Since == nil || e.At == nil || e.First == nil ||
		strings.Join(e.Lines, "|") != "~ versioning: \"Suspended\" -> \"Enabled\"|- tags.a<b: \"<!channel> `x`\"" {
		t.Errorf("%+v", e)
	}
	// The key is the resource's, whatever becomes of it.
	if e := docs[1].Events[0]; e.State != "corrected" || e.Key != first[1].Key || e.Key == first[0].Key || len(e.Key) > 255 {
		t.Errorf("%+v", e)
	}
}

func TestSlack(t *testing.T) {
	r := newReceiver(t)
	h := run(t, "slack+"+r.URL+"/services/T/B/"+secret)
	well := change(watch.IsWellAgain, role, nil)
	well.First = true
	again := drifted(bucket)
	again.First = true
	h.Tell(round(1, again, well))
	<-r.got
	var many []watch.Change
	for i := range 50 {
		c := drifted(spec.ID{Kind: spec.Bucket, Name: fmt.Sprintf("data-%d", i)})
		c.Result.Diffs = append(c.Result.Diffs, c.Result.Diffs[0], c.Result.Diffs[0], c.Result.Diffs[0], c.Result.Diffs[0])
		c.Result.Diffs[0].After = strings.Repeat("x", 500)
		many = append(many, c)
	}
	h.Tell(round(2, many...))
	<-r.got
	h.end()
	var texts []string
	for _, b := range r.bodies() {
		var m map[string]string
		if err := json.Unmarshal([]byte(b), &m); err != nil || len(m) != 1 {
			t.Fatalf("%v in %s", err, b)
		}
		texts = append(texts, m["text"])
	}
	want := "*p/dev* (account 123456789012, eu-north-1)\n:warning: s3.bucket/data has drifted (seen at the start, and maybe told before)\n" +
		"> `~ versioning: \"Suspended\" -&gt; \"Enabled\"`\n> `- tags.a&lt;b: \"&lt;!channel&gt; 'x'\"`"
	if texts[0] != want {
		t.Errorf("got %s\nwant %s", texts[0], want)
	}
	if n := len(texts[1]); n > 4000 || !strings.Contains(texts[1], "more; `churn-reconcile --dry-run` shows them all") || strings.Count(texts[1], ":warning:") < 2 {
		t.Errorf("%d characters: %s", n, texts[1])
	}
}

// The payloads are held to what the Events API v2 documents.
func TestPagerDuty(t *testing.T) {
	for name, address := range map[string]string{"user": "pagerduty+http://" + secret + "@%s", "query": "pagerduty+http://%s/v2/enqueue?routing_key=" + secret} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			path := ""
			r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				path = req.URL.String()
				r.ServeHTTP(w, req)
			})
			h := run(t, fmt.Sprintf(address, r.host()))
			long := change(watch.CannotBeMended, role, errors.New("denied"))
			long.Address = "logs.log-group/" + strings.Repeat("x", 2000)
			h.Tell(round(1, drifted(bucket)))
			<-r.got
			h.Tell(round(2, long, change(watch.WasCorrected, bucket, nil)))
			<-r.got
			<-r.got
			h.end()
			if path != "/v2/enqueue" {
				t.Errorf("the path is %s", path)
			}
			var actions, keys []string
			for _, b := range r.bodies() {
				var e struct {
					RoutingKey string `json:"routing_key"`
					Action     string `json:"event_action"`
					Dedup      string `json:"dedup_key"`
					Client     string
					Payload    *struct {
						Summary, Source, Severity, Timestamp, Component, Group, Class string
						Details                                                       map[string]any `json:"custom_details"`
					}
				}
				dec := json.NewDecoder(strings.NewReader(b))
				dec.DisallowUnknownFields()
				if err := dec.Decode(&e); err != nil {
					t.Fatal(err)
				}
				if e.RoutingKey != secret || e.Dedup == "" || len(e.Dedup) > 255 {
					t.Errorf("%s", b)
				}
				if (e.Payload != nil) != (e.Action == "trigger") {
					t.Errorf("%s", b)
				}
				if p := e.Payload; p != nil {
					if _, err := time.Parse(time.RFC3339, p.Timestamp); err != nil || p.Summary == "" || len([]rune(p.Summary)) > 1024 || p.Source == "" ||
						!strings.Contains("critical error warning info", p.Severity) || p.Details["spec"] != "dev.yaml" {
						t.Errorf("%v: %s", err, b)
					}
				}
				actions, keys = append(actions, e.Action), append(keys, e.Dedup)
			}
			if got := strings.Join(actions, " "); got != "trigger trigger resolve" || keys[0] != keys[2] || keys[0] == keys[1] {
				t.Errorf("%s with keys %v", got, keys)
			}
		})
	}
}

// Whatever a receiver does, what it was to be told reaches it as soon as it
// takes it, and the log says nothing of its secret.
func TestFailures(t *testing.T) {
	throttle := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "42")
		w.WriteHeader(http.StatusTooManyRequests)
	}
	garbage := func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			fmt.Fprint(conn, secret+"\r\n\r\n")
			conn.Close()
		}
	}
	r := newReceiver(t, answer(500), throttle, cutOff, answer(503), garbage, answer(408), answer(502))
	h := run(t, r.URL+"/"+secret)
	h.Tell(round(1, drifted(bucket)))
	h.await(1)
	h.end()
	want := []time.Duration{1, 42, 4, 8, 16, 32, 64}
	if len(h.pauses) != len(want) {
		t.Fatalf("pauses %v\n%s", h.pauses, h.log)
	}
	for i, d := range want {
		if h.pauses[i] != d*time.Second {
			t.Errorf("pause %d is %s, want %s", i+1, h.pauses[i], d*time.Second)
		}
	}
	if c := h.Counts()[0]; c.Sent != 1 || c.Failed != 7 || c.Lost != 0 || c.Waiting != 0 || c.Receiver != r.URL {
		t.Errorf("%+v", c)
	}
}

// What a receiver refuses for good is lost, and told of in the log; what comes
// after it is not.
func TestRefused(t *testing.T) {
	elsewhere := newReceiver(t)
	redirect := func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, elsewhere.URL+"/"+secret, http.StatusTemporaryRedirect)
	}
	r := newReceiver(t, answer(400), answer(410), redirect)
	h := run(t, "slack+"+r.URL+"/"+secret)
	for i := range 4 {
		h.Tell(round(i, drifted(bucket)))
		h.await(i + 1)
	}
	h.end()
	if c := h.Counts()[0]; c.Sent != 1 || c.Lost != 3 || elsewhere.tries != 0 {
		t.Errorf("%+v, %d at the address that it was sent to", c, elsewhere.tries)
	}
	if strings.Count(h.log.String(), "level=ERROR") != 3 || !strings.Contains(h.log.String(), "410 Gone") {
		t.Errorf("%s", h.log)
	}
}

// A receiver that is dead holds up nobody, and is told how things are once it
// is back: of each resource the last that became of it.
func TestDead(t *testing.T) {
	held, release := make(chan struct{}), make(chan struct{})
	hang := func(http.ResponseWriter, *http.Request) {
		close(held)
		<-release
	}
	r := newReceiver(t, hang)
	well := newReceiver(t)
	h := run(t, r.URL+"/"+secret, well.URL+"/x")
	h.Tell(round(0, drifted(bucket)))
	<-held
	<-well.got
	for i := range 1000 {
		kind := watch.HasDrifted
		if i%2 == 1 {
			kind = watch.WasCorrected
		}
		h.Tell(round(i, change(kind, bucket, nil), change(watch.CannotBeMended, role, errors.New("denied"))))
	}
	if waiting := h.Counts()[0].Waiting; waiting != 2 {
		t.Errorf("%d events wait", waiting)
	}
	close(release) // an empty answer is 200
	<-r.got
	h.end()
	got := r.bodies()
	if len(got) != 1 || !strings.Contains(got[0], `"state":"corrected","address":"s3.bucket/data"`) || !strings.Contains(got[0], `"address":"iam.role/task"`) {
		t.Errorf("%s", got)
	}
}

// What is left at the end is tried once more.
func TestFlush(t *testing.T) {
	r := newReceiver(t)
	p, err := notify.Parse(r.URL + "/x")
	if err != nil {
		t.Fatal(err)
	}
	n := notify.New([]notify.Receiver{p}, notify.Options{})
	n.Tell(round(1, drifted(bucket)))
	n.Flush(t.Context())
	if len(r.bodies()) != 1 {
		t.Error("it was not told")
	}
}

// The same round in another process has the same keys.
func TestStableKey(t *testing.T) {
	var bodies [2]string
	for i := range bodies {
		r := newReceiver(t)
		h := run(t, r.URL+"/x")
		whole := watch.Change{Kind: watch.CannotBeMended, Err: errors.New("no credentials")}
		h.Tell(round(1, drifted(bucket), whole))
		<-r.got
		h.end()
		bodies[i] = r.bodies()[0]
	}
	if bodies[0] != bodies[1] || !strings.Contains(bodies[0], `"key":"churn-reconcile/`) {
		t.Errorf("%s\n%s", bodies[0], bodies[1])
	}
}

func TestParseMistakes(t *testing.T) {
	for address, want := range map[string]string{
		"":                                       "a URL is wanted",
		"hooks.slack.com/" + secret:              "a URL is wanted",
		"https://":                               "no host",
		"https:///" + secret:                     "no host",
		"https://%zz/" + secret:                  "no host",
		"http://example.com/" + secret:           "http is for loopback only",
		"slack+http://10.0.0.1/" + secret:        "http is for loopback only",
		"ftp://example.com/" + secret:            "no address to notify",
		"slack://hooks.slack.com/" + secret:      "no address to notify",
		"teams+https://example.com/" + secret:    "no form that is known",
		"slack+https://hooks.slack.com":          "has no path",
		"pagerduty+https://events.pagerduty.com": "has no integration key",
	} {
		_, err := notify.Parse(address)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
	for _, address := range []string{"http://localhost:1/x", "http://[::1]:1/x", "http://127.8.8.8/x", "https://example.com"} {
		if _, err := notify.Parse(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	r, err := notify.Parse("pagerduty+https://" + secret + "@events.pagerduty.com?routing_key=" + secret)
	if err != nil || r.Name() != "pagerduty+https://events.pagerduty.com" {
		t.Errorf("%v, %v", r, err)
	}
}

// Nobody listens: the log says so, and nothing more than the host.
func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	h := run(t, "pagerduty+http://"+secret+"@"+l.Addr().String())
	h.Tell(round(1, drifted(bucket)))
	for h.Counts()[0].Failed < 12 {
		runtime.Gosched()
	}
	h.end()
	if last := h.pauses[len(h.pauses)-1]; last != 5*time.Minute {
		t.Errorf("the pause grew to %s", last)
	}
	if !strings.Contains(h.log.String(), "connection refused") {
		t.Error(h.log)
	}
}
