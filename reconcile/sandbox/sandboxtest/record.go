// Package sandboxtest records what tests and a sandbox say to each other, for
// .ci/check_models.py to hold against the models of AWS's APIs.
package sandboxtest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"
)

// recordVar names a folder that pairs are recorded in; unset, nothing is.
const recordVar = "CHURN_TEST_RECORD"

// A pair is a request and its answer. Bodies are base64.
type pair struct {
	Test   string  `json:"test"`
	Strict bool    `json:"strict"` // the request has to be right as well
	Req    message `json:"request"`
	Resp   message `json:"response"`
}

type message struct {
	Method string      `json:"method,omitempty"`
	URL    string      `json:"url,omitempty"`
	Status int         `json:"status,omitempty"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

// file is the process's record: tests of one package write to one file.
var file = sync.OnceValues(func() (*recording, error) {
	f, err := os.CreateTemp(os.Getenv(recordVar), "pairs-*.jsonl")
	return &recording{to: f}, err
})

type recording struct {
	mu sync.Mutex
	to io.Writer
}

// A Record is what is said to one sandbox and answered by it. Its zero value is
// ready for use.
type Record struct {
	spoilt sync.Map // IDs of requests
}

// Spoil leaves out the request of that ID, whose answer is none of AWS's but
// what a test made of it.
func (rec *Record) Spoil(requestID string) { rec.spoilt.Store(requestID, true) }

// Of gives h, which where CHURN_TEST_RECORD names a folder writes each request
// and its answer there. An answer that is cut off is left out. strict says that
// requests are to be held against the models too; a test of what the sandbox
// refuses sends others.
func (rec *Record) Of(t testing.TB, h http.Handler, strict bool) http.Handler {
	t.Helper()
	if os.Getenv(recordVar) == "" {
		return h
	}
	out, err := file()
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the client went away
		}
		p := pair{Test: t.Name(), Strict: strict, Req: message{Method: r.Method, URL: r.URL.String(), Header: r.Header.Clone(), Body: body}}
		p.Req.Header.Set("Host", r.Host)
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := &answer{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(answer, r)
		p.Resp = message{Status: answer.status, Header: w.Header().Clone(), Body: answer.body.Bytes()}
		id := cmp.Or(w.Header().Get("X-Amzn-Requestid"), w.Header().Get("X-Amz-Request-Id"))
		if _, ok := rec.spoilt.Load(id); ok {
			return
		}
		line, err := json.Marshal(p)
		if err != nil {
			t.Error(err)
			return
		}
		out.mu.Lock()
		defer out.mu.Unlock()
		if _, err := out.to.Write(append(line, '\n')); err != nil {
			t.Error(err)
		}
	})
}

// An answer is what goes to the client, and a copy of it.
type answer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.body.Write(p)
	return a.ResponseWriter.Write(p)
}

// Unwrap lets an http.ResponseController reach what is below.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
