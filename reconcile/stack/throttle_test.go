package stack_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A meter lets a number of calls a second of each service through, after as
// many at once, as AWS does.
type meter struct {
	perSecond float64

	mu      sync.Mutex
	buckets map[string]*tokens
	refused int
}

type tokens struct {
	left   float64
	filled time.Time
	passed int
}

func (m *meter) intercept(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
	if p != sandbox.Before {
		return sandbox.None
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	b, ok := m.buckets[c.Service]
	if !ok {
		b = &tokens{left: m.perSecond, filled: now}
		m.buckets[c.Service] = b
	}
	b.left = min(m.perSecond, b.left+m.perSecond*now.Sub(b.filled).Seconds())
	b.filled = now
	if b.left < 1 {
		m.refused++
		return sandbox.Throttle
	}
	b.left--
	b.passed++
	return sandbox.None
}

// ideal is how long the calls that were let through take at AWS's pace.
func (m *meter) ideal() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	var most int
	for _, b := range m.buckets {
		most = max(most, b.passed)
	}
	return time.Duration(float64(most) / m.perSecond * float64(time.Second))
}

// A nearby endpoint answers without a network, so that time can be virtual.
type nearby struct{ handler http.Handler }

func (n nearby) Do(r *http.Request) (*http.Response, error) {
	time.Sleep(50 * time.Millisecond)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), bytes.NewReader(body))
	in.Header = r.Header.Clone()
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, in)
	res := w.Result()
	res.Request = r
	return res, nil
}

// A spec of 710 resources comes to its end in one run where AWS lets 20 calls
// a second of each service through, and in little more than the time that takes.
func TestThrottledLargeSpec(t *testing.T) {
	alone(t)
	if endpoint := newAccount(t); endpoint.sandbox == nil {
		t.Skip("needs the sandbox, which can be told to throttle in virtual time")
	}
	var text strings.Builder
	text.WriteString("project: test\nenvironment: test\nregion: " + region + "\n" + many(300))
	text.WriteString("logs:\n  logGroups:\n")
	for i := range 55 {
		fmt.Fprintf(&text, "    - {name: /test/%02d, retentionInDays: 7}\n", i)
	}
	text.WriteString("ecr:\n  repositories:\n")
	for i := range 55 {
		fmt.Fprintf(&text, "    - {name: repository-%02d, imageTagMutability: IMMUTABLE}\n", i)
	}
	path := (&account{dir: t.TempDir()}).write(t, text.String())

	synctest.Test(t, func(t *testing.T) {
		const perSecond = 20
		m := &meter{perSecond: perSecond, buckets: map[string]*tokens{}}
		server, err := sandbox.New(sandbox.Options{Intercept: m.intercept})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		slowed := map[string]float64{}
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
		defer cancel()
		file, err := spec.Load(path, spec.Options{})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var calls atomic.Int64
		ctx = awsx.Counted(ctx, &calls)
		session := stack.NewSession(stack.Options{AWS: awsx.Options{
			EndpointURL: "http://127.0.0.1:4566",
			HTTPClient:  nearby{server},
			Credentials: credentials.NewStaticCredentialsProvider("operator", "operator", ""),
			Slowed: func(service string, perSecond float64) {
				mu.Lock()
				defer mu.Unlock()
				slowed[service] = perSecond
			},
		}})
		s, err := session.Open(ctx, file, stack.Look{})
		if err != nil {
			t.Fatal(err)
		}
		run := reconcile.Look(ctx, s.Resources, reconcile.Options{})
		if err := s.Verify(); err != nil {
			t.Fatal(err)
		}
		run.Apply(ctx)
		took := time.Since(start)

		results := run.Results()
		if len(results) != 710 {
			t.Errorf("%d resources", len(results))
		}
		for _, r := range results {
			if r.Status != reconcile.Done {
				t.Fatalf("%s is %s: %v", r.ID, r.Status, r.Err)
			}
		}
		t.Logf("%s of an ideal %s (%.2f), %d calls, %d refused", took, m.ideal(), took.Seconds()/m.ideal().Seconds(), calls.Load(), m.refused)
		if took > m.ideal()*3/2 {
			t.Errorf("the run took %s, more than 1.5 times %s", took, m.ideal())
		}
		mu.Lock()
		defer mu.Unlock()
		if slowed["iam"] == 0 || slowed["iam"] > 2*perSecond {
			t.Errorf("nobody was told that IAM is slow: %v", slowed)
		}
	})
}
