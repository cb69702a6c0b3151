package awsx_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
)

// A metered AWS lets a number of calls a second through, after as many at
// once, and throttles the rest. It answers after latency.
type metered struct {
	perSecond float64
	latency   time.Duration

	mu      sync.Mutex
	tokens  float64
	filled  time.Time
	refused int
}

func (m *metered) Do(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	a := answer{200, gotUser, none}
	if !m.take() {
		a = iamError(400, "Throttling", "Rate exceeded")
	}
	if err := awsx.Wait(r.Context(), m.latency); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: a.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func (m *metered) take() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.filled.IsZero() {
		m.tokens = m.perSecond
	} else {
		m.tokens = min(m.perSecond, m.tokens+m.perSecond*now.Sub(m.filled).Seconds())
	}
	m.filled = now
	if m.tokens < 1 {
		m.refused++
		return false
	}
	m.tokens--
	return true
}

// getMany makes calls side by side and says how long they took.
func getMany(t *testing.T, cfg aws.Config, n int) time.Duration {
	t.Helper()
	api := iam.NewFromConfig(cfg)
	start := time.Now()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { _, errs[i] = api.GetUser(t.Context(), &iam.GetUserInput{}) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

// Calls come to the rate that AWS lets through, whatever it is, and lose
// little of it to finding out.
func TestPace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		perSecond float64
		calls     int
		latency   time.Duration
		parallel  int
	}{
		{"20 a second", 20, 2000, 50 * time.Millisecond, 10},
		{"one after the other", 20, 1000, 10 * time.Millisecond, 1},
		{"many at a time", 20, 1000, 50 * time.Millisecond, 100},
		{"slow", 2, 300, 50 * time.Millisecond, 10},
		{"fast", 150, 4000, 20 * time.Millisecond, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &metered{perSecond: tt.perSecond, latency: tt.latency}
				o := options("http://aws.test")
				o.HTTPClient, o.Parallelism = m, tt.parallel
				cfg, _ := load(t, o)
				took := getMany(t, cfg, tt.calls)
				ideal := time.Duration(float64(tt.calls) / tt.perSecond * float64(time.Second))
				t.Logf("%s, %.2f of the ideal time, %d calls refused", took, float64(took)/float64(ideal), m.refused)
				if took > ideal*3/2 {
					t.Errorf("%d calls took %s, more than 1.5 times the %s that %v a second take", tt.calls, took, ideal, tt.perSecond)
				}
				if m.refused > tt.calls {
					t.Errorf("%d calls of %d were refused", m.refused, tt.calls)
				}
			})
		})
	}
}

// Where AWS lets more through again, the calls speed up again; other services'
// calls have never been slower.
func TestPaceRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &metered{perSecond: 5, latency: 10 * time.Millisecond}
		o := options("http://aws.test")
		o.HTTPClient = m
		var slowed []float64
		var mu sync.Mutex
		o.Slowed = func(service string, perSecond float64) {
			mu.Lock()
			defer mu.Unlock()
			if service != "iam" {
				t.Errorf("%s was slowed", service)
			}
			slowed = append(slowed, perSecond)
		}
		cfg, _ := load(t, o)
		getMany(t, cfg, 200)
		if len(slowed) == 0 || slowed[0] != 50 || slowed[1] > 40 || slowed[len(slowed)-1] > 10 {
			t.Errorf("slowed to %v", slowed)
		}
		m.mu.Lock()
		m.perSecond = 1e6
		m.mu.Unlock()
		getMany(t, cfg, 1000)
		if took := getMany(t, cfg, 1000); took > 12*time.Second {
			t.Errorf("1000 calls took %s although AWS has stopped asking", took)
		}
		start := time.Now()
		if err := describeClusters(t.Context(), cfg); err == nil || time.Since(start) != 4*10*time.Millisecond {
			t.Errorf("a call of another service took %s (%v)", time.Since(start), err)
		}
	})
}

// A lasting throttle is ridden out until the run's time is over, and then told
// as what it is. An interrupt ends the waiting, not an attempt.
func TestLastingThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := options("http://aws.test")
		o.HTTPClient = &metered{latency: 10 * time.Millisecond}
		cfg, calls := load(t, o)
		over := errors.New("time is over")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Minute, over)
		defer cancel()
		start := time.Now()
		err := awsx.Clean(createKeyOnce(ctx, cfg))
		if d := time.Since(start); d != 5*time.Minute {
			t.Errorf("gave up after %s", d)
		}
		failed, ok := errors.AsType[*awsx.CallError](err)
		if !ok || failed.Code != "Throttling" || int64(failed.Attempts) != calls.Load() || failed.Attempts < 100 || failed.Attempts > 250 {
			t.Errorf("after %d attempts: %v", calls.Load(), err)
		}
		if awsx.Unclear(err) {
			t.Error("a call that was refused is unclear")
		}

		turns, stop := context.WithCancelCause(t.Context())
		stopped := errors.New("stopped")
		time.AfterFunc(time.Minute, func() { stop(stopped) })
		start = time.Now()
		err = awsx.Clean(getUser(awsx.WhileTurns(t.Context(), turns), cfg))
		if d := time.Since(start); d.Round(time.Second) != time.Minute || awsx.Code(err) != "Throttling" {
			t.Errorf("after %s: %v", d, err)
		}
		if err := getUser(awsx.WhileTurns(t.Context(), turns), cfg); !errors.Is(err, stopped) {
			t.Errorf("a call that has not begun: %v", err)
		}
	})
}
