package monitor_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/monitor"
	"github.com/churn-reconcile/churn-reconcile/cmd/internal/notify"
	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/watch"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

var now = time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)

const hostile = `<img src=x onerror="document.title='owned'"> "quoted" \back` + "\nnext line\u202e\x1b[31m"

// stack is one of several stacks in different states, by its number.
func stack(i int) watch.State {
	s := watch.State{
		Source: fmt.Sprintf("stacks/team-%03d.yaml", i), Name: fmt.Sprintf("team-%03d/prod", i), Mode: watch.Correct,
		Next: now.Add(10 * time.Minute), LastSuccess: now.Add(-5 * time.Minute), Rounds: map[watch.Outcome]int{watch.InSync: 40 + i},
		Resources: map[string]watch.Resource{},
	}
	report := &reconcile.Report{Account: "123456789012", Region: "eu-north-1"}
	add := func(kind spec.Kind, name string, r watch.Resource) {
		r.Result.ID = spec.ID{Kind: kind, Name: name}
		s.Resources[r.Result.ID.String()] = r
		report.Results = append(report.Results, r.Result)
	}
	for n := range 48 {
		past := watch.Past{Began: now.Add(time.Duration(n-48) * 15 * time.Minute), Took: 1200 * time.Millisecond, Outcome: watch.InSync, APICalls: 22}
		if (n+i)%11 == 0 {
			past.Outcome, past.Changed = watch.Corrected, 1
		}
		s.History = append(s.History, past)
	}
	well := reconcile.Result{Action: reconcile.None, Status: reconcile.InSync}
	corrected := reconcile.Result{Action: reconcile.Update, Status: reconcile.Done, Diffs: []reconcile.Diff{{Path: "retentionInDays", Before: json.Number("30"), After: json.Number("7")}}}
	add(spec.LogGroup, "/ecs/churn", watch.Resource{Condition: watch.Well, Corrections: 2, Corrected: now.Add(-3 * time.Hour), Correction: corrected, Result: well})
	add(spec.Bucket, "data", watch.Resource{Condition: watch.Well, Result: well})
	switch i % 10 {
	case 1: // drifted, and outside of the window
		s.Mode, s.LooksOnly = watch.Look, "outside of the window, which opens Mon 2026-01-05 08:00 CET"
		add(spec.Role, "task", watch.Resource{Condition: watch.Drift, Since: now.Add(-26 * time.Hour), Result: reconcile.Result{
			Action: reconcile.Update, Status: reconcile.Planned, Calls: []string{"iam:DetachRolePolicy"},
			Diffs: []reconcile.Diff{
				{Path: "policies[arn:aws:iam::aws:policy/AdministratorAccess-with-a-name-that-is-rather-long-for-a-telephone]", Before: "arn:aws:iam::aws:policy/AdministratorAccess", After: nil},
				{Path: "maxSessionDuration", Before: json.Number("43200"), After: json.Number("3600")},
				{Path: "tags.Team", Before: nil, After: "churn"},
			},
			Access: []string{"loses * on *"},
		}})
		for n := 40; n < 48; n++ {
			s.History[n].Outcome, s.History[n].Drifted = watch.Drifted, 1
		}
	case 2: // what cannot be corrected
		add(spec.Policy, "ecs", watch.Resource{Condition: watch.Stuck, Since: now.Add(-40 * time.Minute), Result: reconcile.Result{
			Action: reconcile.Update, Status: reconcile.Failed, Diffs: []reconcile.Diff{{Path: "document.Statement[0].Action", Before: hostile, After: "ecs:RunTask"}},
			Err: errors.New("create version of iam.policy/ecs: AccessDenied: " + hostile),
		}})
		s.Failures, s.LastSuccess = 3, now.Add(-46*time.Minute)
		for n := 45; n < 48; n++ {
			s.History[n].Outcome, s.History[n].Drifted = watch.Failed, 1
		}
	case 3:
		s.SpecErr = errors.New("stacks/team.yaml:12:5: unknown field \"bukets\"; did you mean \"buckets\"?")
	case 4: // nothing yet
		s.History, s.Resources, report, s.LastSuccess, s.Rounds = nil, map[string]watch.Resource{}, nil, time.Time{}, map[watch.Outcome]int{}
	case 5:
		add(spec.Bucket, "held", watch.Resource{Condition: watch.Stuck, Since: now.Add(-time.Minute), Result: reconcile.Result{
			Action: reconcile.Create, Status: reconcile.Held, Err: errors.New("over the limit, so nothing was written"),
		}})
		s.Err, s.Running = errors.New("over the limit, so nothing was written: 21 to change, and the limit is 20"), true
	}
	s.Report = report
	if n := len(s.History); n > 0 {
		s.Last = s.History[n-1]
	}
	return s
}

func watching(n int) view.Watch {
	w := view.Watch{Version: "v1.2.3", Started: now.Add(-48 * time.Hour), Now: now, Every: 15 * time.Minute}
	for i := range n {
		w.Stacks = append(w.Stacks, stack(i))
	}
	return w
}

func get(t *testing.T, h http.Handler, method, url string, header ...string) *http.Response {
	t.Helper()
	req := httptest.NewRequest(method, "http://127.0.0.1:9090"+url, nil)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w.Result()
}

func text(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func handler(w view.Watch) http.Handler {
	return monitor.New(func() view.Watch { return w }, nil).Handler("127.0.0.1:9090")
}

// Nobody writes, and no page of another site reads.
func TestGuard(t *testing.T) {
	m := monitor.New(func() view.Watch { return watching(3) }, nil)
	h := m.Handler("status.internal:9090")
	for _, path := range []string{"/", "/status.json", "/metrics", "/healthz", "/readyz", "/nothing"} {
		for host, code := range map[string]int{
			"127.0.0.1:9090": 200, "localhost:9090": 200, "LOCALHOST": 200, "[::1]:9090": 200, "10.1.2.3:9090": 200, "status.internal:9090": 200,
			"evil.example:9090": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example": 421, "": 421,
		} {
			req := httptest.NewRequest("GET", "http://x"+path, nil)
			req.Host = host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			want := code
			switch {
			case code == 200 && path == "/nothing":
				want = 404
			case code == 200 && path == "/readyz":
				want = w.Code // of which TestReady tells
			}
			if w.Code != want {
				t.Errorf("%s as %q: %d, want %d", path, host, w.Code, want)
			}
			for name := range w.Header() {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s has %s", path, name)
				}
			}
			if w.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("%s: %v", path, w.Header())
			}
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
			if r := get(t, h, method, path); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %s", method, path, r.Status)
			}
		}
	}
	if r := get(t, h, "HEAD", "/status.json"); r.StatusCode != 200 {
		t.Errorf("HEAD: %s", r.Status)
	}
	// Where it listens on no host, no name is its own.
	if r := get(t, m.Handler(":9090"), "GET", "/", "Host", "status.internal"); r.StatusCode != http.StatusMisdirectedRequest {
		t.Error(r.Status)
	}
}

func TestReady(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*watch.State)
		want   string // "": it is
	}{
		"a success a moment ago":     {func(*watch.State) {}, ""},
		"no round yet":               {func(s *watch.State) { s.Last, s.LastSuccess = watch.Past{}, time.Time{} }, "no round is over yet"},
		"no success yet":             {func(s *watch.State) { s.LastSuccess = time.Time{} }, "no round has succeeded yet"},
		"a success just long enough": {func(s *watch.State) { s.LastSuccess = now.Add(-45 * time.Minute) }, ""},
		"a success too long ago":     {func(s *watch.State) { s.LastSuccess = now.Add(-45*time.Minute - time.Second) }, "the last round that succeeded was at 2026-01-05T02:14:59Z"},
	} {
		w := watching(1)
		test.change(&w.Stacks[0])
		r := get(t, handler(w), "GET", "/readyz")
		body := text(t, r.Body)
		if test.want == "" && r.StatusCode != 200 || test.want != "" && (r.StatusCode != 503 || body != "team-000/prod: "+test.want+"\n") {
			t.Errorf("%s: %s %s", name, r.Status, body)
		}
		if r := get(t, handler(w), "GET", "/healthz"); r.StatusCode != 200 {
			t.Errorf("%s: not even healthy", name)
		}
	}
}

func TestStatus(t *testing.T) {
	w := watching(10)
	slices.Reverse(w.Stacks)
	r := get(t, handler(w), "GET", "/status.json", "Accept-Encoding", "gzip")
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	packed := text(t, z)
	plain := text(t, get(t, handler(w), "GET", "/status.json").Body)
	if packed != plain {
		t.Error("gzip says something else")
	}
	var doc struct {
		FormatVersion string `json:"format_version"`
		Every         int    `json:"every_seconds"`
		Summary       map[string]int
		Stacks        []struct {
			Stack, State, Mode string
			LooksOnly          *string `json:"looks_only"`
			WhatToDo           *string `json:"what_to_do"`
			Resources          []struct {
				Address, Condition string
				Since, Corrected   *string
				Diff               []map[string]any
				WhatToDo           *string `json:"what_to_do"`
			}
			History []map[string]any
		}
	}
	if err := json.Unmarshal([]byte(plain), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.FormatVersion != "1.0" || doc.Every != 900 || fmt.Sprint(doc.Summary) != "map[drifted:1 failed:3 in_sync:5 waiting:1]" {
		t.Errorf("%+v", doc)
	}
	var states []string
	for _, s := range doc.Stacks {
		states = append(states, s.State)
		for _, r := range s.Resources {
			if (r.Since != nil) != (r.Condition != "well") || (r.WhatToDo != nil) != (r.Condition != "well") || len(r.Diff) == 0 && r.Condition == "well" {
				t.Errorf("%s %+v", s.Stack, r)
			}
		}
	}
	if got := strings.Join(states, " "); got != "in_sync drifted failed failed waiting failed in_sync in_sync in_sync in_sync" {
		t.Error(got)
	}
}

var sampleLine = regexp.MustCompile(`^([a-z_]+)(\{[a-z]+="(?:[^"\\\n]|\\.)*"(?:,[a-z]+="(?:[^"\\\n]|\\.)*")*\})? (\S+)$`)

// The names are the contract's, each family has its help, and no line is there
// twice.
func TestMetrics(t *testing.T) {
	w := watching(20)
	w.Stacks[2].Name = hostile
	m := monitor.New(func() view.Watch { return w }, func() []notify.Counts {
		return []notify.Counts{{Receiver: "https://example.com", Sent: 3, Failed: 2, Lost: 1}}
	})
	m.Called("iam", "GetRole", nil)
	m.Called("iam", "GetRole", nil)
	m.Called("iam", "GetRole", errors.New("cut off"))
	for _, took := range []time.Duration{0, time.Second, 1001 * time.Millisecond, time.Hour} {
		m.Ended(watch.Ended{Took: took})
	}
	body := text(t, get(t, m.Handler(""), "GET", "/metrics").Body)
	seen := map[string]bool{}
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		match := sampleLine.FindStringSubmatch(line)
		if match == nil {
			t.Errorf("no sample: %q", line)
			continue
		}
		if id := match[1] + match[2]; seen[id] {
			t.Errorf("twice: %s", id)
		} else {
			seen[id] = true
		}
	}
	for _, want := range []string{
		`churn_reconcile_rounds_total{stack="team-001/prod",outcome="in_sync"} 41`,
		`churn_reconcile_round_duration_seconds_bucket{le="0.5"} 1`,
		`churn_reconcile_round_duration_seconds_bucket{le="1"} 2`,
		`churn_reconcile_round_duration_seconds_bucket{le="2.5"} 3`,
		`churn_reconcile_round_duration_seconds_bucket{le="+Inf"} 4`,
		`churn_reconcile_round_duration_seconds_count 4`,
		`churn_reconcile_last_success_timestamp_seconds{stack="team-001/prod"} 1767581700`,
		`churn_reconcile_last_success_timestamp_seconds{stack="team-004/prod"} 0`,
		`churn_reconcile_resources{stack="team-001/prod",status="planned"} 1`,
		`churn_reconcile_drifted{stack="team-001/prod"} 1`,
		`churn_reconcile_drift_seconds{stack="team-001/prod",address="iam.role/task"} 93600`,
		`churn_reconcile_corrections_total{stack="team-001/prod",address="logs.log-group//ecs/churn"} 2`,
		`churn_reconcile_api_calls_total{service="iam",call="GetRole",outcome="ok"} 2`,
		`churn_reconcile_api_calls_total{service="iam",call="GetRole",outcome="error"} 1`,
		`churn_reconcile_spec_valid{stack="team-003/prod"} 0`,
		`churn_reconcile_notifications_total{receiver="https://example.com",number="1",outcome="lost"} 1`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("there is no %s", want)
		}
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool")
	}
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// It answers where it says that it does, and not once it is told to end.
func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := monitor.New(func() view.Watch { return watching(1) }, nil)
	bound, wait, err := m.Serve(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + bound + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	if body := text(t, resp.Body); body != "ok\n" {
		t.Error(body)
	}
	resp.Body.Close()
	if _, _, err := m.Serve(ctx, bound); err == nil || !strings.HasPrefix(err.Error(), "--listen "+bound+": ") {
		t.Errorf("an address that is taken: %v", err)
	}
	cancel()
	if err := wait(); err != nil {
		t.Error(err)
	}
	if _, err := http.Get("http://" + bound + "/healthz"); err == nil {
		t.Error("it still answers")
	}
}

// The page is one document, and its policy fits what is in it.
func TestPage(t *testing.T) {
	r := get(t, handler(watching(1)), "GET", "/")
	body := text(t, r.Body)
	policy := r.Header.Get("Content-Security-Policy")
	if strings.Contains(policy, "unsafe") || !strings.Contains(policy, "script-src 'sha256-") || !strings.Contains(policy, "connect-src 'self'") {
		t.Error(policy)
	}
	for _, outside := range []string{"http://", "https://", "//cdn", "<link rel=\"stylesheet", "src=", "innerHTML", "onclick", " style="} {
		body := strings.ReplaceAll(body, "http://www.w3.org/2000/svg", "")
		if strings.Contains(body, outside) {
			t.Errorf("the page has %s", outside)
		}
	}
}

var metricName = regexp.MustCompile(`churn_reconcile_[a-z_]+`)

// The alerts and the dashboard ask for nothing that is not served, and each
// alert has its section for who is woken by it.
func TestExamples(t *testing.T) {
	m := monitor.New(func() view.Watch { return watching(10) }, func() []notify.Counts { return []notify.Counts{{Receiver: "x"}} })
	m.Called("iam", "GetRole", nil)
	served := text(t, get(t, m.Handler(""), "GET", "/metrics").Body)
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join("..", "..", "..", "examples", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	alerts, dashboard, guide := read("prometheus-alerts.yml"), read("grafana-dashboard.json"), read("unattended.md")
	for _, name := range metricName.FindAllString(alerts+dashboard+guide, -1) {
		if !strings.Contains(served, "\n"+name+"{") && !strings.Contains(served, "\n"+name+" ") && !strings.Contains(served, "# TYPE "+name+" histogram") {
			t.Errorf("%s is not served", name)
		}
	}
	for _, family := range regexp.MustCompile(`# TYPE (\S+)`).FindAllStringSubmatch(served, -1) {
		if !strings.Contains(guide, "`"+family[1]) {
			t.Errorf("%s is not documented", family[1])
		}
	}
	names := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(alerts, -1)
	for _, alert := range names {
		if !strings.Contains(guide, "\n### "+alert[1]+"\n") || !strings.Contains(alerts, "unattended.md#"+strings.ToLower(alert[1])+"\n") {
			t.Errorf("%s does not say what to do", alert[1])
		}
	}
	if len(names) == 0 {
		t.Error("there are no alerts")
	}
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal([]byte(dashboard), &board); err != nil {
		t.Fatal(err)
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool")
	}
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for i, p := range board.Panels {
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$stack", ".*").Replace(target.Expr)
			fmt.Fprintf(&rules, "      - {record: panel_%d, expr: %q, labels: {expr: %q}}\n", i, expr, expr)
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{file, filepath.Join("..", "..", "..", "examples", "prometheus-alerts.yml")} {
		if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput(); err != nil {
			t.Errorf("promtool: %v\n%s", err, out)
		}
	}
}
