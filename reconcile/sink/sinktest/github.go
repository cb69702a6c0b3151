// Package sinktest holds stand-ins for the places that keys are delivered to.
// It is for tests alone.
package sinktest

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/nacl/box"
)

// A Phase is a point in a call's life.
type Phase int

// The phases.
const (
	Before Phase = iota // before the effect
	After               // after the effect, before the answer
)

// A Call is one call of GitHub's API as it arrived.
type Call struct {
	Method string
	Scope  string // "repos/owner/name", "repos/owner/name/environments/production", "orgs/name"
	Name   string // of the secret, or public-key
	N      int    // from 1
}

func (c Call) String() string { return c.Method + " " + c.Scope + " " + c.Name }

// A Fault is what goes wrong with a call. The zero value is nothing.
type Fault struct {
	Status  int         // answer this
	Header  http.Header // and these
	Cut     bool        // close the connection without an answer
	Garbage bool        // answer 200 with what is no JSON
}

func (f Fault) none() bool { return f.Status == 0 && !f.Cut && !f.Garbage }

// A Secret is a secret of GitHub Actions, opened.
type Secret struct {
	Value      string
	Created    time.Time
	Updated    time.Time
	Visibility string  // of an organization's: all, private, selected
	Selected   []int64 // the repositories that may see it
}

// GitHub is GitHub's REST API for the secrets of Actions, as far as repository,
// environment and organization secrets go. It may be used by many goroutines.
type GitHub struct {
	URL   string
	Token string // what it lets in

	now     func() time.Time
	public  *[32]byte
	private *[32]byte
	keyID   string

	mu     sync.Mutex
	scopes map[string]map[string]Secret
	calls  []Call
	bodies []string
	fault  func(Call, Phase) Fault
}

// NewGitHub serves until the test ends. The scopes are the repositories,
// environments and organizations that there are; dates of secrets are now's.
func NewGitHub(t testing.TB, now func() time.Time, scopes ...string) *GitHub {
	t.Helper()
	public, private, err := box.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	g := &GitHub{
		Token: "github_pat_for_tests", now: now,
		public: public, private: private, keyID: "568250167242549743",
		scopes: map[string]map[string]Secret{},
	}
	for _, s := range scopes {
		g.scopes[s] = map[string]Secret{}
	}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	g.URL = server.URL
	return g
}

// SetFault makes f decide what goes wrong from now on; nil heals. f runs
// without any lock held.
func (g *GitHub) SetFault(f func(Call, Phase) Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = f
}

// Secret is what a scope has under a name.
func (g *GitHub) Secret(scope, name string) (Secret, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, ok := g.scopes[scope][name]
	return s, ok
}

// Names lists the secrets of a scope.
func (g *GitHub) Names(scope string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := []string{}
	for name := range g.scopes[scope] {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Set puts a secret there by hand.
func (g *GitHub) Set(scope, name string, s Secret) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.scopes[scope][name] = s
}

// Remove takes a secret away by hand.
func (g *GitHub) Remove(scope, name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.scopes[scope], name)
}

// Calls lists the calls so far, in order of arrival.
func (g *GitHub) Calls() []Call {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.calls)
}

// Heard is all that was ever sent to it: paths, headers and bodies.
func (g *GitHub) Heard() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.bodies, "\n")
}

// ServeHTTP answers one call.
func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	call, fault := g.arrive(r, body)
	w.Header().Set("X-GitHub-Request-Id", fmt.Sprintf("C0DE:%04d", call.N))
	if broken(w, fault(call, Before)) {
		return
	}
	status, answer := g.answer(r, call, body)
	if broken(w, fault(call, After)) {
		return
	}
	w.WriteHeader(status)
	if answer != nil {
		_ = json.NewEncoder(w).Encode(answer) // a client that went away is no error of the server
	}
}

// broken answers a fault in the place of the API.
func broken(w http.ResponseWriter, f Fault) bool {
	if f.none() {
		return false
	}
	if f.Cut {
		panic(http.ErrAbortHandler)
	}
	for name, values := range f.Header {
		w.Header()[name] = values
	}
	if f.Garbage {
		_, _ = io.WriteString(w, "<html>garbage")
		return true
	}
	w.WriteHeader(f.Status)
	_ = json.NewEncoder(w).Encode(message{http.StatusText(f.Status)})
	return true
}

func (g *GitHub) arrive(r *http.Request, body []byte) (Call, func(Call, Phase) Fault) {
	// GitHub Enterprise serves the API below /api/v3.
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/api/v3"), "/")
	scope, name, _ := strings.Cut(path, "/secrets/")
	call := Call{Method: r.Method, Scope: strings.TrimSuffix(scope, "/actions"), Name: name}

	g.mu.Lock()
	defer g.mu.Unlock()
	call.N = len(g.calls) + 1
	g.calls = append(g.calls, call)
	g.bodies = append(g.bodies, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header, " ", string(body)))
	if g.fault == nil {
		return call, func(Call, Phase) Fault { return Fault{} }
	}
	return call, g.fault
}

type message struct {
	Message string `json:"message"`
}

func (g *GitHub) answer(r *http.Request, call Call, body []byte) (int, any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+g.Token {
		return http.StatusUnauthorized, message{"Bad credentials"}
	}
	secrets, ok := g.scopes[call.Scope]
	if !ok {
		return http.StatusNotFound, message{"Not Found"}
	}
	name, sub, _ := strings.Cut(call.Name, "/")
	secret, there := secrets[name]
	switch {
	case call.Method == http.MethodGet && call.Name == "public-key":
		return http.StatusOK, map[string]string{"key_id": g.keyID, "key": base64.StdEncoding.EncodeToString(g.public[:])}
	case call.Method == http.MethodPut && sub == "":
		return g.put(call, body)
	case !there:
		return http.StatusNotFound, message{"Not Found"}
	case call.Method == http.MethodGet && sub == "":
		answer := map[string]any{
			"name": name, "created_at": secret.Created.UTC().Format(time.RFC3339), "updated_at": secret.Updated.UTC().Format(time.RFC3339),
		}
		if secret.Visibility != "" {
			answer["visibility"] = secret.Visibility
		}
		return http.StatusOK, answer
	case call.Method == http.MethodGet && sub == "repositories":
		return http.StatusOK, page(r, secret.Selected)
	case call.Method == http.MethodDelete && sub == "":
		delete(secrets, name)
		return http.StatusNoContent, nil
	}
	return http.StatusNotFound, message{"Not Found"}
}

func (g *GitHub) put(call Call, body []byte) (int, any) {
	var in struct {
		EncryptedValue string  `json:"encrypted_value"`
		KeyID          string  `json:"key_id"`
		Visibility     string  `json:"visibility"`
		Selected       []int64 `json:"selected_repository_ids"`
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return http.StatusUnprocessableEntity, message{"Problems parsing JSON"}
	}
	if in.KeyID != g.keyID {
		return http.StatusUnprocessableEntity, message{"Key ID does not match"}
	}
	if strings.HasPrefix(call.Name, "GITHUB_") {
		return http.StatusUnprocessableEntity, message{"Secret names must not start with GITHUB_"}
	}
	if organization := strings.HasPrefix(call.Scope, "orgs/"); organization != slices.Contains([]string{"all", "private", "selected"}, in.Visibility) {
		return http.StatusUnprocessableEntity, message{"Invalid visibility"}
	}
	sealed, err := base64.StdEncoding.DecodeString(in.EncryptedValue)
	if err != nil {
		return http.StatusUnprocessableEntity, message{"encrypted_value is not base64"}
	}
	value, ok := box.OpenAnonymous(nil, sealed, g.public, g.private)
	if !ok {
		return http.StatusUnprocessableEntity, message{"encrypted_value cannot be opened"}
	}
	old, there := g.scopes[call.Scope][call.Name]
	now := g.now().UTC().Truncate(time.Second)
	secret := Secret{Value: string(value), Created: now, Updated: now, Visibility: in.Visibility, Selected: in.Selected}
	status := http.StatusCreated
	if there {
		secret.Created, status = old.Created, http.StatusNoContent
	}
	g.scopes[call.Scope][call.Name] = secret
	if there {
		return status, nil
	}
	return status, map[string]any{}
}

func page(r *http.Request, ids []int64) any {
	type repository struct {
		ID int64 `json:"id"`
	}
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil {
			return n
		}
		return otherwise
	}
	size := min(number("per_page", 30), 100)
	from := min((number("page", 1)-1)*size, len(ids))
	list := []repository{}
	for _, id := range ids[from:min(from+size, len(ids))] {
		list = append(list, repository{id})
	}
	return map[string]any{"total_count": len(ids), "repositories": list}
}
