package sink

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/nacl/box"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
)

// GitHub is access to GitHub's REST API.
type GitHub struct {
	URL    string // the API's address; "": https://api.github.com
	Token  string
	Client *http.Client
	Pause  awsx.Pause

	// LeftAlone says why GitHub is neither read nor written; "": it is not
	// left alone.
	LeftAlone string
}

// Check says whether a token may be sent to the API's address. One that is sent
// in the clear is everybody's.
func (g *GitHub) Check() error {
	u, err := url.Parse(g.URL)
	switch {
	case g.URL == "" || g.LeftAlone != "":
		return nil
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("GITHUB_API_URL is no URL of an API, as in https://github.example.com/api/v3")
	case u.Scheme == "http" && !loopback(u):
		return fmt.Errorf("GITHUB_API_URL is %s, and http would send the token in the clear: https is wanted", u.Redacted())
	}
	return nil
}

// Loopback says that the API's address is on this machine, and so not GitHub.
func (g *GitHub) Loopback() bool {
	u, err := url.Parse(g.URL)
	return err == nil && loopback(u)
}

func loopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// Status is the HTTP status of an error that GitHub has answered, or 0.
func Status(err error) int {
	if answer, ok := errors.AsType[*githubError](err); ok {
		return answer.status
	}
	return 0
}

// GitHubSecrets says which secrets of GitHub Actions a pair goes to: those of
// a repository, of one of its environments, or of an organization.
type GitHubSecrets struct {
	Repository      string // owner/name
	Environment     string // of the repository
	Organization    string // in place of a repository
	KeyIDSecret     string
	SecretKeySecret string
}

// Sink is a pair of secrets of GitHub Actions. GitHub never shows a secret,
// but it shows when one was written, which has to be after the key was made.
func (g *GitHub) Sink(to GitHubSecrets) Sink {
	s := &githubSink{api: g, to: to}
	if g.LeftAlone != "" {
		return leftAlone{fmt.Sprintf("%s (left alone: %s)", s, g.LeftAlone)}
	}
	return s
}

// leftAlone stands for a place that this run has nothing to do with.
type leftAlone struct{ name string }

func (s leftAlone) String() string                                       { return s.name }
func (leftAlone) Shared() bool                                           { return false }
func (leftAlone) Tells() bool                                            { return false }
func (leftAlone) Check(context.Context, []string) error                  { return nil }
func (leftAlone) Holds(context.Context, string, time.Time) (bool, error) { return true, nil }
func (leftAlone) Deliver(context.Context, Key) error                     { return nil }
func (leftAlone) Forget(context.Context, string) error                   { return nil }

type githubSink struct {
	api *GitHub
	to  GitHubSecrets
}

func (s *githubSink) String() string {
	switch {
	case s.to.Organization != "":
		return "the GitHub organization " + s.to.Organization
	case s.to.Environment != "":
		return fmt.Sprintf("GitHub %s (environment %s)", s.to.Repository, s.to.Environment)
	}
	return "GitHub " + s.to.Repository
}

func (*githubSink) Shared() bool { return true }

func (*githubSink) Tells() bool { return false }

// probe is the secret that Check writes and takes away. Of an empty value
// there is nothing to learn, should it stay behind.
const probe = "CHURN_RECONCILE_WRITE_CHECK"

// Check writes a secret without a value and takes it away again: of a token
// GitHub tells what it may do only when it does it.
func (s *githubSink) Check(ctx context.Context, _ []string) error {
	if err := s.put(ctx, map[string]string{probe: ""}); err != nil {
		return err
	}
	return s.remove(ctx, probe)
}

// remove takes a secret away; one that is not there is as good as removed.
func (s *githubSink) remove(ctx context.Context, name string) error {
	err := s.api.Call(ctx, http.MethodDelete, s.path(name), nil, nil)
	if status, ok := errors.AsType[*githubError](err); ok && status.status == http.StatusNotFound {
		return nil
	}
	return err
}

// clocks is how far GitHub's clock may lie behind IAM's before a pair that was
// delivered the moment it was made looks older than it is.
const clocks = 10 * time.Second

func (s *githubSink) Holds(ctx context.Context, _ string, made time.Time) (bool, error) {
	for _, name := range []string{s.to.KeyIDSecret, s.to.SecretKeySecret} {
		secret, err := s.get(ctx, name)
		if err != nil {
			return false, err
		}
		if secret == nil || secret.UpdatedAt.Before(made.Add(-clocks)) {
			return false, nil
		}
	}
	return true, nil
}

// Deliver writes the secret half first: as long as the id is the old one, a
// workflow that starts in between fails, and does not go on with half a pair
// that could be anybody's.
func (s *githubSink) Deliver(ctx context.Context, key Key) error {
	if err := s.put(ctx, map[string]string{s.to.SecretKeySecret: key.Secret.Reveal()}); err != nil {
		return err
	}
	return s.put(ctx, map[string]string{s.to.KeyIDSecret: key.ID})
}

// Forget takes both secrets away, since GitHub does not tell whose pair they
// hold. The id goes first, as it comes last. A secret that is not there and one
// that the token may not see answer alike, which the public key tells apart.
func (s *githubSink) Forget(ctx context.Context, _ string) error {
	if err := s.api.Call(ctx, http.MethodGet, s.path("public-key"), nil, nil); err != nil {
		return err
	}
	if err := s.remove(ctx, s.to.KeyIDSecret); err != nil {
		return err
	}
	return s.remove(ctx, s.to.SecretKeySecret)
}

type githubSecret struct {
	UpdatedAt  time.Time `json:"updated_at"`
	Visibility string    `json:"visibility"` // of an organization's secret
}

// get answers nil for a secret that is not there.
func (s *githubSink) get(ctx context.Context, name string) (*githubSecret, error) {
	var secret githubSecret
	err := s.api.Call(ctx, http.MethodGet, s.path(name), nil, &secret)
	if status, ok := errors.AsType[*githubError](err); ok && status.status == http.StatusNotFound {
		return nil, nil
	}
	return &secret, err
}

// put seals values for GitHub, as libsodium's crypto_box_seal does, and writes
// them.
func (s *githubSink) put(ctx context.Context, values map[string]string) error {
	var key struct {
		ID  string `json:"key_id"`
		Key string `json:"key"`
	}
	if err := s.api.Call(ctx, http.MethodGet, s.path("public-key"), nil, &key); err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(key.Key)
	if err != nil || len(raw) != 32 {
		return fmt.Errorf("the public key of %s is none", s)
	}
	for name, value := range values {
		sealed, err := box.SealAnonymous(nil, []byte(value), (*[32]byte)(raw), rand.Reader)
		if err != nil {
			return err
		}
		body := map[string]any{"encrypted_value": base64.StdEncoding.EncodeToString(sealed), "key_id": key.ID}
		if s.to.Organization != "" {
			if err := s.visibility(ctx, name, body); err != nil {
				return err
			}
		}
		if err := s.api.Call(ctx, http.MethodPut, s.path(name), body, nil); err != nil {
			return err
		}
	}
	return nil
}

// visibility keeps who may see an organization's secret, which each write has
// to say anew. A new secret is for the private repositories.
func (s *githubSink) visibility(ctx context.Context, name string, body map[string]any) error {
	secret, err := s.get(ctx, name)
	if err != nil {
		return err
	}
	body["visibility"] = "private"
	if secret == nil || secret.Visibility == "" {
		return nil
	}
	body["visibility"] = secret.Visibility
	if secret.Visibility != "selected" {
		return nil
	}
	ids := []int64{}
	for page := 1; ; page++ {
		var list struct {
			TotalCount   int `json:"total_count"`
			Repositories []struct {
				ID int64 `json:"id"`
			} `json:"repositories"`
		}
		path := fmt.Sprintf("%s/repositories?per_page=100&page=%d", s.path(name), page)
		if err := s.api.Call(ctx, http.MethodGet, path, nil, &list); err != nil {
			return err
		}
		for _, r := range list.Repositories {
			ids = append(ids, r.ID)
		}
		if len(list.Repositories) == 0 || len(ids) >= list.TotalCount {
			break
		}
	}
	body["selected_repository_ids"] = ids
	return nil
}

func (s *githubSink) path(secret string) string {
	switch {
	case s.to.Organization != "":
		return "/orgs/" + url.PathEscape(s.to.Organization) + "/actions/secrets/" + secret
	case s.to.Environment != "":
		return "/repos/" + s.to.Repository + "/environments/" + url.PathEscape(s.to.Environment) + "/secrets/" + secret
	}
	return "/repos/" + s.to.Repository + "/actions/secrets/" + secret
}

// A githubError is an answer that is no success.
type githubError struct {
	method, path string
	status       int
	message      string
	requestID    string
	limited      bool          // its rate limit was hit
	retryAfter   time.Duration // how long it asks to wait; 0: it does not say
}

func (e *githubError) Error() string {
	text := fmt.Sprintf("github %s %s: %d %s", e.method, e.path, e.status, e.message)
	if e.requestID != "" {
		text += " (request id " + e.requestID + ")"
	}
	switch {
	case e.limited && e.retryAfter > 0:
		text += fmt.Sprintf("; its rate limit is used up for %s", e.retryAfter)
	case e.limited:
		text += "; its rate limit is used up"
	case e.status == http.StatusUnauthorized:
		text += "; the token in GITHUB_TOKEN or GH_TOKEN is not valid"
	case e.status == http.StatusForbidden, e.status == http.StatusNotFound:
		text += "; GitHub says so as well where the token may not do it: writing secrets takes the repository permission " +
			"\"Secrets: write\" (for an environment \"Environments: write\", for an organization \"Organization secrets: write\"), which a workflow's own GITHUB_TOKEN cannot have"
	}
	return text
}

// githubTries bounds how often a call is made. Whoever calls has to take it that
// one is made twice.
const githubTries = 4

// githubPatience is the longest Retry-After that is waited for. GitHub asks for
// a minute where calls came too fast, and for up to an hour where their number
// is used up.
const githubPatience = 2 * time.Minute

// Call makes a call and reads the answer into out. A lost connection, a fault
// of the service (5xx) and its rate limits (429, or 403 with a Retry-After)
// are tried again.
func (g *GitHub) Call(ctx context.Context, method, path string, body, out any) error {
	if err := g.Check(); err != nil {
		return err
	}
	if g.Token == "" {
		return errors.New("no token for GitHub: set GITHUB_TOKEN or GH_TOKEN")
	}
	poll := awsx.Poll{Pause: g.Pause, Budget: 30 * time.Second}
	for try := 1; ; try++ {
		again, err := g.once(ctx, method, path, body, out)
		if err == nil || !again || try == githubTries {
			return err
		}
		if status, ok := errors.AsType[*githubError](err); ok && status.retryAfter > 0 {
			if status.retryAfter > githubPatience || g.Pause(ctx, status.retryAfter) != nil {
				return err
			}
			continue
		}
		if !poll.Again(ctx) {
			return err
		}
	}
}

// maxRedirects is net/http's own limit.
const maxRedirects = 10

// stay follows a redirect, as GitHub answers one for a repository that was
// renamed, on the same host and scheme only: net/http sends the token along to
// subdomains, and from https to http.
func stay(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if next.URL.Host != first.Host || next.URL.Scheme != first.Scheme {
		return fmt.Errorf("it redirects to %s://%s, where the token does not go", next.URL.Scheme, next.URL.Host)
	}
	if len(via) >= maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

func (g *GitHub) once(ctx context.Context, method, path string, body, out any) (again bool, err error) {
	base := g.URL
	if base == "" {
		base = "https://api.github.com"
	}
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return false, err
		}
		payload = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base, "/")+path, payload)
	if err != nil {
		return false, err
	}
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("Authorization", "Bearer "+g.Token)
	req.Header.Set("User-Agent", "churn-reconcile")
	req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	client := *g.Client
	client.CheckRedirect = stay
	res, err := client.Do(req)
	if err != nil {
		return true, fmt.Errorf("github %s %s: %w", method, path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return true, fmt.Errorf("github %s %s: read the answer: %w", method, path, err)
	}
	if res.StatusCode >= 300 {
		var said struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(text, &said) // a proxy's page says nothing worth repeating
		limited := res.StatusCode == http.StatusTooManyRequests ||
			res.StatusCode == http.StatusForbidden && (res.Header.Get("Retry-After") != "" || res.Header.Get("X-RateLimit-Remaining") == "0")
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After")) // a number, as GitHub documents it; 0 where it is none
		return limited || res.StatusCode >= 500, &githubError{
			method: method, path: path, status: res.StatusCode,
			message: said.Message, requestID: res.Header.Get("X-GitHub-Request-Id"),
			limited: limited, retryAfter: time.Duration(seconds) * time.Second,
		}
	}
	if out == nil {
		return false, nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return true, fmt.Errorf("github %s %s: the answer cannot be read: %w", method, path, err)
	}
	return false, nil
}
