package awsx_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
)

func TestShared(t *testing.T) {
	t.Parallel()
	denied, gone := errors.New("denied"), errors.New("gone")
	tests := []struct {
		name string
		all  error
		one  error
		asks []string // in order
		got  []string
		err  error
		want []string // the calls that were made
	}{
		{"one call for all", nil, gone, []string{"a", "b"}, []string{"all a", "all b"}, nil, []string{"all a b c"}},
		{"a key that is not there", nil, gone, []string{"c"}, []string{""}, nil, []string{"all a b c"}},
		{"asked again", nil, nil, []string{"a", "a", "b"}, []string{"all a", "one a", "all b"}, nil, []string{"all a b c", "one a"}},
		{"a key that was not prepared for", nil, nil, []string{"d", "a"}, []string{"one d", "all a"}, nil, []string{"one d", "all a b c"}},
		{"the common call fails", denied, nil, []string{"a", "b"}, []string{"one a", "one b"}, nil, []string{"all a b c", "one a", "one b"}},
		{"each meets its own error", denied, gone, []string{"a"}, []string{""}, gone, []string{"all a b c", "one a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var calls []string
			shared := awsx.NewShared([]string{"a", "b", "c"},
				func(_ context.Context, keys []string) (map[string]string, error) {
					call := "all"
					for _, k := range keys {
						call += " " + k
					}
					calls = append(calls, call)
					return map[string]string{"a": "all a", "b": "all b"}, tt.all
				},
				func(_ context.Context, key string) (string, error) {
					calls = append(calls, "one "+key)
					if tt.one != nil {
						return "", tt.one
					}
					return "one " + key, nil
				},
			)
			var got []string
			for _, key := range tt.asks {
				v, err := shared.Get(t.Context(), key)
				if !errors.Is(err, tt.err) {
					t.Errorf("error %v, want %v", err, tt.err)
				}
				got = append(got, v)
			}
			if d := cmp.Diff(tt.got, got); d != "" {
				t.Errorf("answers, want (-), got (+):\n%s", d)
			}
			if d := cmp.Diff(tt.want, calls); d != "" {
				t.Errorf("calls, want (-), got (+):\n%s", d)
			}
		})
	}
}

// A key that stands twice has two askers, and is asked for once.
func TestSharedByTwo(t *testing.T) {
	t.Parallel()
	var calls int
	read := func(context.Context, []string) (map[string]string, error) {
		calls++
		return map[string]string{"a": "all a"}, nil
	}
	one := func(context.Context, string) (string, error) { return "one a", nil }
	shared := awsx.NewShared([]string{"a", "a"}, read, one)
	var got []string
	for range 3 {
		v, err := shared.Get(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	if d := cmp.Diff([]string{"all a", "all a", "one a"}, got); d != "" || calls != 1 {
		t.Errorf("%d calls; want (-), got (+):\n%s", calls, d)
	}
}

func TestPoll(t *testing.T) {
	t.Parallel()
	var pauses []time.Duration
	poll := awsx.Poll{Budget: 20 * time.Second, Pause: func(_ context.Context, d time.Duration) error {
		pauses = append(pauses, d)
		return nil
	}}
	for poll.Again(t.Context()) {
	}
	const ms = time.Millisecond
	want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms, 5000 * ms, 5000 * ms}
	if d := cmp.Diff(want, pauses); d != "" {
		t.Errorf("want (-), got (+):\n%s", d)
	}
	if poll.Again(t.Context()) {
		t.Error("went on after its budget was spent")
	}
}

func TestPatiently(t *testing.T) {
	t.Parallel()
	passing, lasting := errors.New("passing"), errors.New("lasting")
	tests := []struct {
		name  string
		errs  []error // of each try; the last one again and again
		pause error
		tries int
		want  error
	}{
		{"at once", []error{nil}, nil, 1, nil},
		{"after a while", []error{passing, passing, nil}, nil, 3, nil},
		{"a lasting error", []error{lasting}, nil, 1, lasting},
		{"a passing error that lasts", []error{passing}, nil, 5, passing}, // at 0, 100, 300, 700, 1500 ms
		{"interrupted", []error{passing}, context.Canceled, 1, passing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tries := 0
			err := awsx.Patiently(t.Context(), func(context.Context, time.Duration) error { return tt.pause }, time.Second,
				func(err error) bool { return errors.Is(err, passing) },
				func(context.Context) error {
					tries++
					return tt.errs[min(tries, len(tt.errs))-1]
				})
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || tries != tt.tries {
				t.Errorf("%v after %d tries, want %v after %d", err, tries, tt.want, tt.tries)
			}
		})
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	if err := awsx.Wait(t.Context(), time.Nanosecond); err != nil {
		t.Error(err)
	}
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := awsx.Wait(ctx, time.Hour); !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
}
