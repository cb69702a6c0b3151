// Package sandbox is an AWS endpoint in a process: S3, IAM, STS, ECR, ECS,
// CloudWatch Logs, Secrets Manager, the tagging API and what CloudTrail knows of
// their calls, over the protocols
// that AWS speaks, so that the SDK, the AWS CLI and Terraform can be pointed
// at it. It keeps AWS's rules (limits, conflicts, absent codes, defaults) and
// runs nothing: no container starts. Policies are enforced where
// Options.EnforceIAM asks for it.
//
// Signatures are read, not checked: the sandbox never keeps a secret to check
// them with. What keeps a web page from asking it for a key is that it refuses
// a Host that is not its own, and every call that a browser says a page made.
package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile/filelock"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
)

const (
	defaultAccount = "123456789012"

	// maxBody bounds what one request may send. S3 itself takes 5 GiB in one
	// PUT, but objects live in memory here.
	maxBody = 64 << 20

	// drain is how long Serve waits for calls in flight once it has to stop.
	drain = 5 * time.Second

	// journal is how many calls Calls remembers.
	journal = 10_000
)

var accountID = &pattern{expr: `^\d{12}$`}

// Options say how a sandbox behaves. The zero value is a sandbox in memory.
type Options struct {
	Account string           // twelve digits; default 123456789012, or what State says
	State   string           // a file that keeps the state between runs; "" keeps none
	Now     func() time.Time // default time.Now
	Log     *slog.Logger     // a line per call, never a secret; nil discards
	Host    string           // a name that callers may use besides localhost and addresses; "" is none

	// EnforceIAM refuses calls that the caller's policies do not allow. An
	// access key that was made here and a session of a role that was assumed
	// here act with their policies; any other key is the account's root.
	// Without it everybody may do everything.
	EnforceIAM bool

	// KeyDelay is the number of calls for which a new access key is still
	// unknown, as AWS takes some seconds to make one usable everywhere.
	KeyDelay int

	// TrailDelay is how long an event takes to reach CloudTrail. AWS says that
	// it may be a quarter of an hour.
	TrailDelay time.Duration

	// Intercept, for tests, is asked for each call and in each phase what goes
	// wrong. It runs without any lock held and may be called concurrently.
	Intercept func(Call, Phase) Fault
}

// A Server is the endpoint. It may be used by many goroutines.
type Server struct {
	account   string
	file      string
	lock      *filelock.Lock // of the file, until Close
	host      string
	now       func() time.Time
	log       *slog.Logger
	enforce   bool
	keyDelay  int
	delay     time.Duration
	intercept func(Call, Phase) Fault
	services  map[string]service

	mu    sync.Mutex
	state *state
	count int    // calls so far
	calls []Call // the last of them
	lag   lag
}

// New makes a sandbox, with the state of Options.State where that file exists.
// A file that is broken, that is no state of a sandbox, or that another sandbox
// keeps its state in, is an error that names it. Whoever has named a file ends
// with Close.
func New(o Options) (*Server, error) {
	if o.Account != "" && !accountID.MatchString(o.Account) {
		return nil, fmt.Errorf("account %q: twelve digits are wanted", o.Account)
	}
	s := &Server{
		account:   o.Account,
		file:      o.State,
		host:      o.Host,
		now:       o.Now,
		log:       o.Log,
		enforce:   o.EnforceIAM,
		keyDelay:  o.KeyDelay,
		delay:     o.TrailDelay,
		intercept: o.Intercept,
		services:  services(),
		state:     &state{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.intercept == nil {
		s.intercept = func(Call, Phase) Fault { return None }
	}
	if s.file != "" {
		if err := s.own(); err != nil {
			return nil, err
		}
		if err := s.load(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	if s.account == "" {
		s.account = defaultAccount
	}
	return s, nil
}

// Close lets others have the state's file. Calls that come later are not kept.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil
	}
	lock := s.lock
	s.lock = nil
	if err := lock.Release(); err != nil {
		return fmt.Errorf("sandbox state: %w", err)
	}
	return nil
}

// Calls lists the last 10,000 calls, in order of arrival.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls[max(0, len(s.calls)-journal):])
}

// State is all that the sandbox knows, as JSON.
func (s *Server) State() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return json.Marshal(s.state)
}

// Lag hides each write from now on from the next n reads of the same service:
// they are answered from the state as it was before the write. Writes always
// see the present state. 0 ends it at once.
func (s *Server) Lag(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = lag{reads: n}
}

// LagFor hides each write from now on from the reads of the same service until
// d has passed. 0 ends it at once.
func (s *Server) LagFor(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = lag{span: d}
}

// Serve answers on l until ctx ends, then lets calls in flight finish and
// returns nil. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		drained, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		if err := srv.Shutdown(drained); err != nil {
			stopped <- srv.Close()
			return
		}
		stopped <- nil
	})
	err := srv.Serve(l)
	if stop() {
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	}
	return <-stopped
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, hr.Body, maxBody))
	if err != nil {
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			http.Error(w, tooLarge.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		// The client went away while it was still sending.
		panic(http.ErrAbortHandler)
	}
	began := s.now()
	r := decode(hr, body)
	r.account = s.account
	r.now = began.UTC().Truncate(time.Second)
	svc, ok := s.services[r.service]
	if !ok {
		svc = unserved(r)
	}

	call := s.arrive(r)
	r.id = call.RequestID
	var a answer
	var fault Fault
	if e := s.foreign(hr); e != nil {
		a = svc.protocol.fail(r, e)
	} else {
		a, fault = s.answer(hr.Context(), svc, r, call)
	}
	s.log.LogAttrs(hr.Context(), slog.LevelInfo, "call",
		slog.Int("n", call.N),
		slog.String("service", call.Service),
		slog.String("operation", call.Operation),
		slog.String("region", call.Region),
		slog.Int("status", a.status),
		slog.String("code", a.code),
		slog.String("fault", fault.String()),
		slog.Int64("duration_ms", s.now().Sub(began).Milliseconds()),
		slog.String("request_id", call.RequestID),
	)
	// Clients correct their clocks by it.
	w.Header().Set("Date", began.UTC().Format(http.TimeFormat))
	send(w, hr, a, fault)
}

// foreign refuses what a web page asks for. A page can make a browser call a
// port of this machine: from its own origin, which the browser tells in Origin,
// or under a name of its own that it lets resolve to 127.0.0.1, which stands in
// Host. No SDK sends an Origin.
func (s *Server) foreign(hr *http.Request) *apiError {
	if origin := hr.Header.Get("Origin"); origin != "" {
		return &apiError{http.StatusForbidden, "AccessDenied", fmt.Sprintf("The sandbox answers no web page: the request has the Origin %q.", origin)}
	}
	if !ownHost(hr.Host, s.host) {
		return &apiError{http.StatusForbidden, "AccessDenied", fmt.Sprintf(
			"The sandbox answers to localhost, to names under it and to IP addresses, not to the Host %q. Where that is its name, it has to listen on that name.", hr.Host)}
	}
	return nil
}

// arrive puts the call into the journal and gives it its number.
func (s *Server) arrive(r *request) Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	n := s.count
	c := Call{
		Service:   r.service,
		Operation: r.operation,
		Region:    r.region,
		Mutates:   mutates(r.operation),
		N:         n,
		// The number of the call in the form of an ID, so that the same run
		// gives the same errors.
		RequestID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n),
	}
	if len(s.calls) == 2*journal {
		s.calls = slices.Delete(s.calls, 0, journal)
	}
	s.calls = append(s.calls, c)
	return c
}

// answer runs a call through its faults and its handler. The fault that it
// returns is for the answer on its way back.
func (s *Server) answer(ctx context.Context, svc service, r *request, call Call) (answer, Fault) {
	fault := s.intercept(call, Before)
	if !fault.onlyAnswer() {
		return s.broken(ctx, svc, r, fault)
	}
	a := s.handle(svc, r, call)
	if fault == None {
		fault = s.intercept(call, After)
	}
	if !fault.onlyAnswer() {
		return s.broken(ctx, svc, r, fault)
	}
	if fault == Hollow {
		return hollow(svc, r), None
	}
	return a, fault
}

// hollow is the shell of an answer in the service's protocol.
func hollow(svc service, r *request) answer {
	var v any = struct{}{}
	switch {
	case r.operation == "GetBucketPolicy":
		v = nil // the policy is the body
	case r.service == "s3":
		v = document{"Hollow", v}
	}
	a, err := svc.protocol.answer(r, v)
	if err != nil {
		return svc.protocol.fail(r, svc.internal(err))
	}
	return a
}

// broken answers a fault that takes the place of the service's own answer.
func (s *Server) broken(ctx context.Context, svc service, r *request, fault Fault) (answer, Fault) {
	e := svc.fault(fault)
	if fault == Denied {
		e = s.refused(svc, r)
	}
	if e != nil {
		return svc.protocol.fail(r, e), None
	}
	if fault == Hang {
		<-ctx.Done()
	}
	return answer{}, Cut
}

// handle runs the call's handler with the state to itself.
func (s *Server) handle(svc service, r *request, call Call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()

	r.enforced, r.trailDelay = s.enforce, s.delay
	caller, known := s.state.IAM.principal(r)
	r.caller = caller
	if e := s.state.IAM.signIn(svc, r, s.keyDelay); e != nil {
		return svc.protocol.fail(r, e)
	}
	do, ok := svc.handlers[r.operation]
	if !ok {
		return svc.protocol.fail(r, svc.unknown(r))
	}
	if e := svc.authorize(s.state, r); e != nil {
		return svc.protocol.fail(r, e)
	}

	st := s.state
	if call.Mutates {
		if err := s.lag.before(call.Service, s.state, s.now()); err != nil {
			return svc.protocol.fail(r, svc.internal(err))
		}
	} else if old := s.lag.read(call.Service, s.now()); old != nil {
		st = old
	}
	v, err := do(st, r)
	if call.Mutates {
		var code string
		if refused, ok := errors.AsType[*apiError](err); ok {
			code = refused.code
		}
		s.state.record(r, call.RequestID, code)
	}

	// A known key has left a trace of its use even where the call only read.
	if s.file != "" && (call.Mutates || known) {
		if err := s.save(); err != nil {
			return svc.protocol.fail(r, svc.internal(err))
		}
	}
	if err != nil {
		e, ok := errors.AsType[*apiError](err)
		if !ok {
			e = svc.internal(err)
		}
		return svc.protocol.fail(r, hidden(s.state, r, e))
	}
	a, err := svc.protocol.answer(r, v)
	if err != nil {
		return svc.protocol.fail(r, svc.internal(err))
	}
	return a
}

// refused is what a call is answered whose caller may not make it, whatever
// its policies say.
func (s *Server) refused(svc service, r *request) *apiError {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.caller, _ = s.state.IAM.principal(r)
	n := needed(r.action(), "*")
	if list, ok := svc.needs[r.operation]; ok {
		n = append(list(s.state, r), n)[0]
	}
	return accessDenied(r, r.caller, n, policy.Decision{})
}

// internal puts an error of the sandbox's own into the service's words.
func (s service) internal(err error) *apiError {
	return &apiError{s.failed.status, s.failed.code, err.Error()}
}

// send writes the answer, or what the fault leaves of it.
func send(w http.ResponseWriter, hr *http.Request, a answer, fault Fault) {
	if fault == Cut {
		// net/http's own way to drop a connection without an answer.
		panic(http.ErrAbortHandler)
	}
	body := a.body
	if fault == Garbage {
		a.status, body = http.StatusOK, []byte("\x00\xff<{garbage")
	}
	head := hr.Method == http.MethodHead
	if fault == HalfAnswer && (head || len(body) == 0) {
		panic(http.ErrAbortHandler) // there is no half of nothing
	}
	maps.Copy(w.Header(), a.header)
	// The answer to a HEAD tells the length of what a GET would bring.
	if !head || w.Header().Get("Content-Length") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(a.status)
	if head {
		return
	}
	if fault == HalfAnswer {
		body = body[:len(body)/2]
	}
	_, _ = w.Write(body) // a client that went away is no error of the sandbox
	if fault == HalfAnswer {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}
