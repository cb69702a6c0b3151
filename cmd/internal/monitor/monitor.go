// Package monitor serves how a watch is doing: a page for people, JSON, metrics
// and health. It takes no writes and shows no secret.
package monitor

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/notify"
	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
)

// A Monitor answers questions about a watch.
type Monitor struct {
	// Watch says how it is doing. It is asked for each request.
	Watch func() view.Watch
	// Notifications says what became of them.
	Notifications func() []notify.Counts

	counters
	page *page
}

// New makes a monitor.
func New(watching func() view.Watch, notifications func() []notify.Counts) *Monitor {
	return &Monitor{Watch: watching, Notifications: notifications, page: newPage(view.StatusPage), counters: newCounters()}
}

// Serve answers on an address until ctx ends. The address is bound when it
// returns; the error of what follows comes from wait.
func (m *Monitor) Serve(ctx context.Context, address string) (bound string, wait func() error, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", nil, fmt.Errorf("--listen %s: %w", address, err)
	}
	server := &http.Server{
		Handler:           m.Handler(address),
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	context.AfterFunc(ctx, func() { server.Close() })
	return listener.Addr().String(), func() error {
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}, nil
}

// Handler answers for a server that listens on an address.
func (m *Monitor) Handler(address string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", m.page.serve)
	mux.HandleFunc("GET /status.json", m.status)
	mux.HandleFunc("GET /metrics", m.metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { write(w, "text/plain; charset=utf-8", []byte("ok\n")) })
	mux.HandleFunc("GET /readyz", m.ready)
	name, _, _ := net.SplitHostPort(address)
	return guard(mux, name)
}

// guard lets nobody write, and nobody read from a page of another site. A site
// whose name resolves to this address, as in DNS rebinding, has that name in its
// requests, so only addresses, localhost and the name that is listened on are
// answered.
func guard(next http.Handler, name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = strings.Trim(host, "[]")
		switch {
		case net.ParseIP(host) == nil && !strings.EqualFold(host, "localhost") && (name == "" || !strings.EqualFold(host, name)):
			http.Error(w, "this is answered under an IP address, localhost, or the name that --listen gives", http.StatusMisdirectedRequest)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "nothing can be written here", http.StatusMethodNotAllowed)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (m *Monitor) status(w http.ResponseWriter, r *http.Request) {
	var b bytes.Buffer
	if err := view.Status(&b, m.Watch()); err != nil {
		http.Error(w, "the status cannot be written", http.StatusInternalServerError)
		return
	}
	body := b.Bytes()
	w.Header().Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		// Hundreds of stacks make some megabytes.
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(body) // to memory
		_ = z.Close()
		w.Header().Set("Content-Encoding", "gzip")
		body = packed.Bytes()
	}
	write(w, "application/json", body)
}

// staleRounds is after how many intervals without a success a stack is no
// longer taken for looked after.
const staleRounds = 3

// ready is red until each stack has had its first round, and where the last
// success of one is too long ago.
func (m *Monitor) ready(w http.ResponseWriter, _ *http.Request) {
	watching := m.Watch()
	var red []string
	for _, s := range watching.Stacks {
		switch {
		case s.Last.Began.IsZero():
			red = append(red, s.Name+": no round is over yet")
		case s.LastSuccess.IsZero():
			red = append(red, s.Name+": no round has succeeded yet")
		case watching.Now.Sub(s.LastSuccess) > staleRounds*watching.Every:
			red = append(red, s.Name+": the last round that succeeded was at "+s.LastSuccess.UTC().Format(time.RFC3339))
		}
	}
	if len(red) == 0 {
		write(w, "text/plain; charset=utf-8", []byte("ok\n"))
		return
	}
	slices.Sort(red)
	http.Error(w, strings.Join(red, "\n"), http.StatusServiceUnavailable)
}

func write(w http.ResponseWriter, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body) // whom could that be told?
}

// A page is a document whose policy lets nothing in but the script and the
// style that it holds.
type page struct {
	text   []byte
	policy string
}

func newPage(text []byte) *page {
	hash := func(tag string) string {
		_, rest, _ := bytes.Cut(text, []byte("<"+tag+">"))
		inner, _, _ := bytes.Cut(rest, []byte("</"+tag+">"))
		sum := sha256.Sum256(inner)
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return &page{text: text, policy: "default-src 'none'; script-src " + hash("script") + "; style-src " + hash("style") +
		"; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}
}

func (p *page) serve(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Security-Policy", p.policy)
	write(w, "text/html; charset=utf-8", p.text)
}
