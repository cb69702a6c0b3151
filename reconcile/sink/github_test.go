package sink_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile/sink"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sink/sinktest"
)

const (
	repository   = "repos/acme/churn"
	environment  = "repos/acme/churn/environments/production"
	organization = "orgs/acme"
)

var (
	epoch = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)

	pair = sink.Key{ID: "AKIAIOSFODNN7EXAMPLE", User: "ci", Secret: sink.NewSecret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")}

	toRepository   = sink.GitHubSecrets{Repository: "acme/churn", KeyIDSecret: "AWS_ACCESS_KEY_ID", SecretKeySecret: "AWS_SECRET_ACCESS_KEY"}
	toEnvironment  = sink.GitHubSecrets{Repository: "acme/churn", Environment: "production", KeyIDSecret: "KEY", SecretKeySecret: "SECRET"}
	toOrganization = sink.GitHubSecrets{Organization: "acme", KeyIDSecret: "AWS_ACCESS_KEY_ID", SecretKeySecret: "AWS_SECRET_ACCESS_KEY"}
)

// A hub is a GitHub with a client of it that does not wait, but adds up what
// it would have waited.
type hub struct {
	*sinktest.GitHub
	api    *sink.GitHub
	paused time.Duration
}

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{GitHub: sinktest.NewGitHub(t, func() time.Time { return epoch }, repository, environment, organization)}
	h.api = &sink.GitHub{URL: h.URL, Token: h.Token, Client: http.DefaultClient, Pause: func(ctx context.Context, d time.Duration) error {
		h.paused += d
		return ctx.Err()
	}}
	return h
}

// made is the calls that were made, in order.
func (h *hub) made() []string {
	var calls []string
	for _, c := range h.Calls() {
		calls = append(calls, c.Method+" "+c.Name)
	}
	return calls
}

func TestGitHubDeliver(t *testing.T) {
	for _, tt := range []struct {
		to    sink.GitHubSecrets
		scope string
		name  string
	}{
		{toRepository, repository, "GitHub acme/churn"},
		{toEnvironment, environment, "GitHub acme/churn (environment production)"},
		{toOrganization, organization, "the GitHub organization acme"},
	} {
		t.Run(tt.scope, func(t *testing.T) {
			h := newHub(t)
			s := h.api.Sink(tt.to)
			if s.String() != tt.name || !s.Shared() {
				t.Errorf("the sink is %q, shared: %v", s, s.Shared())
			}
			if held, err := s.Holds(t.Context(), pair.ID, epoch); held || err != nil {
				t.Errorf("held before it was delivered: %v, %v", held, err)
			}
			if err := s.Deliver(t.Context(), pair); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, name := range h.Names(tt.scope) {
				secret, _ := h.Secret(tt.scope, name)
				got[name] = secret.Value
			}
			want := map[string]string{tt.to.KeyIDSecret: pair.ID, tt.to.SecretKeySecret: pair.Secret.Reveal()}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("secrets (-want +got):\n%s", diff)
			}
			if held, err := s.Holds(t.Context(), pair.ID, epoch); !held || err != nil {
				t.Errorf("held after it was delivered: %v, %v", held, err)
			}
			if strings.Contains(h.Heard(), pair.Secret.Reveal()) {
				t.Error("the secret was sent in the clear")
			}
			// As long as the id is the old one, half a pair opens nothing.
			var puts []string
			for _, c := range h.made() {
				if name, ok := strings.CutPrefix(c, "PUT "); ok {
					puts = append(puts, name)
				}
			}
			if diff := cmp.Diff([]string{tt.to.SecretKeySecret, tt.to.KeyIDSecret}, puts); diff != "" {
				t.Errorf("the order of the halves (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGitHubHolds(t *testing.T) {
	const id, secret = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
	for _, tt := range []struct {
		name    string
		secrets map[string]time.Time
		want    bool
	}{
		{"both, written when the key was made", map[string]time.Time{id: epoch, secret: epoch}, true},
		{"both, written later", map[string]time.Time{id: epoch.Add(time.Hour), secret: epoch.Add(time.Minute)}, true},
		{"both, by a clock that lags behind", map[string]time.Time{id: epoch.Add(-10 * time.Second), secret: epoch.Add(-10 * time.Second)}, true},
		{"the id before the key", map[string]time.Time{id: epoch.Add(-time.Minute), secret: epoch}, false},
		{"the secret before the key", map[string]time.Time{id: epoch, secret: epoch.Add(-time.Minute)}, false},
		{"no id", map[string]time.Time{secret: epoch}, false},
		{"no secret", map[string]time.Time{id: epoch}, false},
		{"neither", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub(t)
			for name, at := range tt.secrets {
				h.Set(repository, name, sinktest.Secret{Updated: at})
			}
			if held, err := h.api.Sink(toRepository).Holds(t.Context(), pair.ID, epoch); held != tt.want || err != nil {
				t.Errorf("held: %v, %v", held, err)
			}
			if slices.ContainsFunc(h.Calls(), func(c sinktest.Call) bool { return c.Method != http.MethodGet }) {
				t.Errorf("a look has written: %v", h.made())
			}
		})
	}
}

// The write check leaves nothing behind, and refuses where a delivery would be
// refused.
func TestGitHubCheck(t *testing.T) {
	for _, to := range []sink.GitHubSecrets{toRepository, toEnvironment, toOrganization} {
		h := newHub(t)
		if err := h.api.Sink(to).Check(t.Context(), nil); err != nil {
			t.Errorf("%+v: %v", to, err)
		}
		if names := slices.Concat(h.Names(repository), h.Names(environment), h.Names(organization)); len(names) > 0 {
			t.Errorf("%+v: the check has left %v", to, names)
		}
		if !slices.ContainsFunc(h.Calls(), func(c sinktest.Call) bool { return c.Method == http.MethodPut }) {
			t.Errorf("%+v: the check has not tried to write", to)
		}
		h.SetFault(func(c sinktest.Call, _ sinktest.Phase) sinktest.Fault {
			if c.Method == http.MethodPut {
				return sinktest.Fault{Status: http.StatusForbidden}
			}
			return sinktest.Fault{}
		})
		if err := h.api.Sink(to).Check(t.Context(), nil); err == nil {
			t.Errorf("%+v: the check passes where nothing can be written", to)
		}
	}
}

// Who may see an organization's secret is for others to decide, and stays.
func TestGitHubVisibility(t *testing.T) {
	many := make([]int64, 250) // more than two pages
	for i := range many {
		many[i] = int64(1000 + i)
	}
	for _, tt := range []struct {
		name string
		old  *sinktest.Secret
		want sinktest.Secret
	}{
		{"new", nil, sinktest.Secret{Visibility: "private"}},
		{"private", &sinktest.Secret{Visibility: "private"}, sinktest.Secret{Visibility: "private"}},
		{"all", &sinktest.Secret{Visibility: "all"}, sinktest.Secret{Visibility: "all"}},
		{"selected", &sinktest.Secret{Visibility: "selected", Selected: many}, sinktest.Secret{Visibility: "selected", Selected: many}},
		{"selected, but none", &sinktest.Secret{Visibility: "selected"}, sinktest.Secret{Visibility: "selected", Selected: []int64{}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub(t)
			if tt.old != nil {
				for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
					h.Set(organization, name, *tt.old)
				}
			}
			if err := h.api.Sink(toOrganization).Deliver(t.Context(), pair); err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": pair.ID, "AWS_SECRET_ACCESS_KEY": pair.Secret.Reveal()} {
				want := tt.want
				want.Value, want.Updated = value, epoch
				got, _ := h.Secret(organization, name)
				got.Created = time.Time{}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

// once lets something go wrong n times. A call that is cut off leaves its
// handler running beside the next one's.
func once(n int64, f sinktest.Fault) func(sinktest.Call, sinktest.Phase) sinktest.Fault {
	var made atomic.Int64
	return func(sinktest.Call, sinktest.Phase) sinktest.Fault {
		if made.Add(1) > n {
			return sinktest.Fault{}
		}
		return f
	}
}

func TestGitHubRetries(t *testing.T) {
	header := func(name, value string) http.Header { return http.Header{name: {value}} }
	for _, tt := range []struct {
		name   string
		fault  sinktest.Fault
		times  int64
		tries  int           // how often the call is made
		paused time.Duration // at least
		fails  bool
	}{
		{"500", sinktest.Fault{Status: 500}, 3, 4, time.Millisecond, false},
		{"502, for good", sinktest.Fault{Status: 502}, 100, 4, time.Millisecond, true},
		{"cut", sinktest.Fault{Cut: true}, 2, 3, time.Millisecond, false},
		{"cut, for good", sinktest.Fault{Cut: true}, 100, 4, time.Millisecond, true},
		{"garbage", sinktest.Fault{Garbage: true}, 1, 2, time.Millisecond, false},
		{"429", sinktest.Fault{Status: 429}, 1, 2, time.Millisecond, false},
		{"429 with Retry-After", sinktest.Fault{Status: 429, Header: header("Retry-After", "60")}, 1, 2, time.Minute, false},
		{"403 with Retry-After", sinktest.Fault{Status: 403, Header: header("Retry-After", "60")}, 2, 3, 2 * time.Minute, false},
		{"403 without calls left", sinktest.Fault{Status: 403, Header: header("X-Ratelimit-Remaining", "0")}, 1, 2, time.Millisecond, false},
		{"a Retry-After of an hour", sinktest.Fault{Status: 429, Header: header("Retry-After", "3600")}, 1, 1, 0, true},
		{"403", sinktest.Fault{Status: 403}, 1, 1, 0, true},
		{"401", sinktest.Fault{Status: 401}, 1, 1, 0, true},
		{"422", sinktest.Fault{Status: 422}, 1, 1, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub(t)
			h.SetFault(once(tt.times, tt.fault))
			_, err := h.api.Sink(toRepository).Holds(t.Context(), pair.ID, epoch)
			if (err != nil) != tt.fails {
				t.Errorf("error: %v", err)
			}
			if calls := h.made(); len(calls) != tt.tries {
				t.Errorf("%d calls, want %d: %v", len(calls), tt.tries, calls)
			}
			if h.paused < tt.paused || (tt.paused == 0) != (h.paused == 0) {
				t.Errorf("paused %s, want %s", h.paused, tt.paused)
			}
		})
	}
}

// An error says which call it was, what GitHub answered, how GitHub's support
// finds it, and what to do.
func TestGitHubErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(h *hub)
		to    sink.GitHubSecrets
		want  []string
	}{
		{
			name: "no token", spoil: func(h *hub) { h.api.Token = "" }, to: toRepository,
			want: []string{"no token for GitHub: set GITHUB_TOKEN or GH_TOKEN"},
		},
		{
			name: "another token", spoil: func(h *hub) { h.api.Token = "expired" }, to: toRepository,
			want: []string{"github GET /repos/acme/churn/actions/secrets/public-key: 401 Bad credentials (request id C0DE:0001)", "GH_TOKEN is not valid"},
		},
		{
			name: "denied", spoil: func(h *hub) { h.SetFault(once(1, sinktest.Fault{Status: 403})) }, to: toRepository,
			want: []string{"403 Forbidden (request id C0DE:0001)", `"Secrets: write"`, `"Environments: write"`, `"Organization secrets: write"`},
		},
		{
			name: "no such repository", spoil: func(*hub) {},
			to:   sink.GitHubSecrets{Repository: "acme/elsewhere", KeyIDSecret: "A", SecretKeySecret: "B"},
			want: []string{"github GET /repos/acme/elsewhere/actions/secrets/public-key: 404 Not Found", "where the token may not do it"},
		},
		{
			name: "no such environment", spoil: func(*hub) {},
			to:   sink.GitHubSecrets{Repository: "acme/churn", Environment: "a/b", KeyIDSecret: "A", SecretKeySecret: "B"},
			want: []string{"/repos/acme/churn/environments/a%2Fb/secrets/public-key: 404"},
		},
		{
			name: "out of calls", spoil: func(h *hub) {
				h.SetFault(once(1, sinktest.Fault{Status: 403, Header: http.Header{"Retry-After": {"3600"}}}))
			}, to: toRepository,
			want: []string{"403 Forbidden (request id C0DE:0001); its rate limit is used up for 1h0m0s"},
		},
		{
			name: "garbage", spoil: func(h *hub) { h.SetFault(once(100, sinktest.Fault{Garbage: true})) }, to: toRepository,
			want: []string{"github GET /repos/acme/churn/actions/secrets/public-key: the answer cannot be read"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub(t)
			tt.spoil(h)
			err := h.api.Sink(tt.to).Deliver(t.Context(), pair)
			if err == nil {
				t.Fatal("delivered")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			for _, secret := range []string{pair.Secret.Reveal(), h.GitHub.Token, "expired"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error tells a secret: %v", err)
				}
			}
		})
	}
}

// A public key that is none is met before anything is sealed with it.
func TestGitHubPublicKey(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		_, _ = w.Write([]byte(`{"key_id": "1", "key": "c2hvcnQ="}`))
	}))
	defer server.Close()
	api := &sink.GitHub{URL: server.URL, Token: "token", Client: server.Client(), Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	if err := api.Sink(toRepository).Deliver(t.Context(), pair); err == nil || !strings.Contains(err.Error(), "the public key of GitHub acme/churn is none") {
		t.Errorf("delivered: %v", err)
	}
}

// GitHub Enterprise serves its API below a path.
func TestGitHubEnterprise(t *testing.T) {
	for _, base := range []string{"/api/v3", "/api/v3/"} {
		h := newHub(t)
		h.api.URL += base
		if err := h.api.Sink(toRepository).Deliver(t.Context(), pair); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(h.Heard(), " /api/v3/repos/acme/churn/actions/secrets/AWS_ACCESS_KEY_ID ") {
			t.Errorf("the calls went elsewhere: %v", h.made())
		}
	}
}

// A token goes to the address that was named and to no other one, and never in
// the clear.
func TestGitHubToken(t *testing.T) {
	var heard atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
	defer elsewhere.Close()
	secure := httptest.NewTLSServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer secure.Close()
	for _, tt := range []struct{ name, url, err string }{
		{"another scheme and host", secure.URL, "it redirects to " + elsewhere.URL + ", where the token does not go"},
		{"http", "http://github.example.com/api/v3", "http would send the token in the clear: https is wanted"},
		{"http to a name that begins like loopback", "http://127.0.0.1.example.com", "http would send the token in the clear: https is wanted"},
		{"no URL", "github.example.com", "GITHUB_API_URL is no URL of an API"},
		{"another scheme", "file:///etc/passwd", "GITHUB_API_URL is no URL of an API"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := &sink.GitHub{URL: tt.url, Token: "token", Client: secure.Client(), Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
			_, err := api.Sink(toRepository).Holds(t.Context(), pair.ID, epoch)
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
	if heard.Load() > 0 {
		t.Error("the redirect was followed")
	}
	for _, url := range []string{"", "https://github.example.com/api/v3", "http://localhost:8080", "http://127.0.0.1:1", "http://[::1]:1"} {
		if err := (&sink.GitHub{URL: url}).Check(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// The redirect of a repository that was renamed is followed.
func TestGitHubRenamed(t *testing.T) {
	h := newHub(t)
	to, err := url.Parse(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	github := httputil.NewSingleHostReverseProxy(to)
	moved := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/repos/acme/former/"); ok {
			http.Redirect(w, r, "/repos/acme/churn/"+rest, http.StatusTemporaryRedirect)
			return
		}
		github.ServeHTTP(w, r)
	}))
	defer moved.Close()
	h.api.URL = moved.URL
	former := toRepository
	former.Repository = "acme/former"
	if err := h.api.Sink(former).Deliver(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	if secret, _ := h.Secret(repository, former.KeyIDSecret); secret.Value != pair.ID {
		t.Errorf("the secret is %q", secret.Value)
	}
}

func TestGitHubForget(t *testing.T) {
	for _, tt := range []struct {
		to    sink.GitHubSecrets
		scope string
	}{{toRepository, repository}, {toEnvironment, environment}, {toOrganization, organization}} {
		t.Run(tt.scope, func(t *testing.T) {
			h := newHub(t)
			s := h.api.Sink(tt.to)
			h.Set(tt.scope, "OTHER", sinktest.Secret{Value: "x"})
			if err := s.Deliver(t.Context(), pair); err != nil {
				t.Fatal(err)
			}
			// A lost answer, and once more with nothing left.
			var cut atomic.Bool
			h.SetFault(func(c sinktest.Call, p sinktest.Phase) sinktest.Fault {
				if c.Method == http.MethodDelete && p == sinktest.After && cut.CompareAndSwap(false, true) {
					return sinktest.Fault{Cut: true}
				}
				return sinktest.Fault{}
			})
			for range 2 {
				if err := s.Forget(t.Context(), pair.ID); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{"OTHER"}, h.Names(tt.scope)); diff != "" {
					t.Errorf("secrets (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// A place that the token does not see is not one without secrets.
func TestGitHubForgetUnseen(t *testing.T) {
	h := newHub(t)
	to := toRepository
	to.Repository = "acme/elsewhere"
	if err := h.api.Sink(to).Forget(t.Context(), pair.ID); err == nil {
		t.Error("forgotten where nothing could be read")
	}
}
