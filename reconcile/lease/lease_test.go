package lease_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/lease"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
)

var seed = flag.Uint64("seed", 0, "of the contests; 0: a fresh one")

const ttl = 2 * time.Minute

// A line is a way to the sandbox that can fail: before a call has its effect, or
// with its answer lost.
type line struct {
	server http.Handler
	fails  func() (before, after bool)
}

func (l line) Do(r *http.Request) (*http.Response, error) {
	before, after := false, false
	if l.fails != nil {
		before, after = l.fails()
	}
	if before {
		return nil, errors.New("no route to host")
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), bytes.NewReader(body))
	in.Header = r.Header.Clone()
	w := httptest.NewRecorder()
	l.server.ServeHTTP(w, in)
	if after {
		return nil, io.ErrUnexpectedEOF
	}
	res := w.Result()
	res.Request = r
	return res, nil
}

func TestMain(m *testing.M) {
	// The SDK wants to put a bundle of roots into a client that is none of the
	// network.
	_ = os.Unsetenv("AWS_CA_BUNDLE")
	flag.Parse()
	os.Exit(m.Run())
}

// object is the lease over a line. All machines have the same object.
func object(t *testing.T, l line) lease.Object {
	t.Helper()
	o := awsx.Options{
		Region: "us-east-1", EndpointURL: "http://127.0.0.1:4566", HTTPClient: l,
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	}
	cfg, err := awsx.Config(t.Context(), o, awsx.NewGate(o, nil))
	if err != nil {
		t.Fatal(err)
	}
	api := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	return lease.Object{API: api, Bucket: "leases", Key: "churn/dev.json"}
}

func newServer(t *testing.T) http.Handler {
	t.Helper()
	server, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	api := object(t, line{server: server}).API.(*s3.Client)
	if _, err := api.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("leases")}); err != nil {
		t.Fatal(err)
	}
	return server
}

func claim(run string) lease.Claim {
	return lease.Claim{Stack: "churn/dev", Run: run, Holder: "somebody at " + run, TTL: ttl, Now: time.Now}
}

// Many runs on lines that fail: never do two of them write at once, and each
// gets its turn.
func TestOneAtATime(t *testing.T) {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	for n := range uint64(40) {
		t.Run(fmt.Sprintf("seed %d", s+n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { contest(t, s+n) })
		})
	}
}

func contest(t *testing.T, seed uint64) {
	server := newServer(t)
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	chance := func(n int) bool {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n) == 0
	}
	between := func(d time.Duration) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(random.Int64N(int64(d)))
	}
	var writing atomic.Int32
	var wg sync.WaitGroup
	for i := range 4 {
		name := fmt.Sprint("run", i)
		dead := atomic.Bool{}
		o := object(t, line{server: server, fails: func() (bool, bool) {
			time.Sleep(between(time.Second))
			return dead.Load() || chance(12), chance(12)
		}})
		wg.Go(func() {
			time.Sleep(between(time.Minute))
			var ctx context.Context
			var held *lease.Held
			for tries := 0; ; tries++ {
				var err error
				if ctx, held, err = o.Take(t.Context(), claim(name), time.Hour, awsx.Wait, nil); err == nil {
					break
				}
				if tries == 20 {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
			if n := writing.Add(1); n != 1 {
				t.Errorf("%d runs write at once", n)
			}
			// A machine may be cut off for good.
			if chance(3) {
				dead.Store(true)
			}
			select {
			case <-time.After(between(10 * time.Minute)):
			case <-ctx.Done():
				if !errors.Is(context.Cause(ctx), lease.ErrLost) || !dead.Load() {
					t.Errorf("%s has lost its lease: %v", name, context.Cause(ctx))
				}
			}
			writing.Add(-1)
			if err := held.Release(t.Context()); err != nil && !dead.Load() && !strings.Contains(err.Error(), "let go of") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
}

// A holder that died is outlived after the lease's time, and not before.
func TestOutlived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		var dead atomic.Bool
		first := object(t, line{server: server, fails: func() (bool, bool) { return dead.Load(), false }})
		ctx, held, err := first.Take(t.Context(), claim("first"), time.Hour, awsx.Wait, nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute) // it is renewed
		if ctx.Err() != nil {
			t.Fatalf("lost while the holder is well: %v", context.Cause(ctx))
		}
		dead.Store(true)
		died := time.Now()
		var told []string
		_, next, err := object(t, line{server: server}).Take(t.Context(), claim("second"), time.Hour, awsx.Wait, func(by lease.State) {
			told = append(told, by.Holder)
		})
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(context.Cause(ctx), lease.ErrLost) {
			t.Error("the first holder may still write")
		}
		if waited := time.Since(died); waited < ttl || waited > 2*ttl {
			t.Errorf("waited %s of a lease of %s", waited, ttl)
		}
		if len(told) != 1 || told[0] != "somebody at first" {
			t.Errorf("told of %q", told)
		}
		if err := next.Release(t.Context()); err != nil {
			t.Error(err)
		}
		dead.Store(false)
		if err := held.Release(t.Context()); err != nil {
			t.Errorf("release what is lost: %v", err)
		}
	})
}

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := object(t, line{server: newServer(t)})
		_, held, err := o.Take(t.Context(), claim("first"), 0, awsx.Wait, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = o.Take(t.Context(), claim("second"), 5*time.Minute, awsx.Wait, nil)
		other, ok := errors.AsType[*lease.HeldError](err)
		if !ok || other.By.Run != "first" || other.Waited != 5*time.Minute || !strings.Contains(err.Error(), "held by somebody at first since 2000-01-01T00:00:00Z; waited 5m0s") {
			t.Errorf("the second is answered: %v", err)
		}
		if err := held.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		// What was let go of needs no waiting.
		_, held, err = o.Take(t.Context(), claim("third"), 0, awsx.Wait, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = held.Release(t.Context())
	})
}

// Who breaks a lease takes it from its holder, and cannot where the holder has
// renewed it meanwhile.
func TestBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := object(t, line{server: newServer(t)})
		ctx, held, err := o.Take(t.Context(), claim("first"), 0, awsx.Wait, nil)
		if err != nil {
			t.Fatal(err)
		}
		old, err := o.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(ttl)
		if err := o.Break(t.Context(), *old); err == nil || !strings.Contains(err.Error(), "its holder is alive: somebody at first") {
			t.Errorf("a renewed lease is broken: %v", err)
		}
		now, err := o.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Break(t.Context(), *now); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		if err := context.Cause(ctx); !errors.Is(err, lease.ErrLost) || !strings.Contains(err.Error(), "broken") {
			t.Errorf("the holder is told: %v", err)
		}
		if err := held.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := object(t, line{server: newServer(t)})
		if s, err := o.Read(t.Context()); s != nil || err != nil {
			t.Errorf("read of none: %v, %v", s, err)
		}
		put := &s3.PutObjectInput{Bucket: &o.Bucket, Key: &o.Key, Body: bytes.NewReader([]byte("a,b\n"))}
		if _, err := o.API.PutObject(t.Context(), put); err != nil {
			t.Fatal(err)
		}
		_, _, err := o.Take(t.Context(), claim("first"), 0, awsx.Wait, nil)
		if err == nil || !strings.Contains(err.Error(), "s3://leases/churn/dev.json is no lease of this program") {
			t.Errorf("an object of somebody else is taken: %v", err)
		}
		o.Bucket = "none-of-that-name"
		if _, _, err := o.Take(t.Context(), claim("first"), 0, awsx.Wait, nil); !errors.Is(err, lease.ErrNoBucket) {
			t.Errorf("without a bucket: %v", err)
		}
	})
}
