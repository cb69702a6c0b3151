// Package notify tells receivers what has become of resources: once for each
// change, and never in the way of a round.
//
// Nothing is remembered between processes. What is not well when a process
// begins to look is told again, marked as such and under the same key, and what
// is well is told to those that need to know in order to close what they have
// open. A receiver that keeps the last state of each key sees no difference.
package notify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/watch"
)

// Options are what notifying takes from outside. The zero value serves.
type Options struct {
	Transport http.RoundTripper
	Pause     awsx.Pause   // nil: awsx.Wait
	Log       *slog.Logger // nil: none
}

// A Notifier tells its receivers.
type Notifier struct {
	o      Options
	queues []*queue
}

// New prepares to tell receivers.
func New(receivers []Receiver, o Options) *Notifier {
	if o.Pause == nil {
		o.Pause = awsx.Wait
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	client := &http.Client{
		Transport: o.Transport,
		Timeout:   10 * time.Second,
		// The address is a secret, and so is what it leads to.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	n := &Notifier{o: o}
	for _, r := range receivers {
		n.queues = append(n.queues, &queue{receiver: r, client: client, pause: o.Pause, log: o.Log.With("receiver", r.Name()), wake: make(chan struct{}, 1)})
	}
	return n
}

// Tell takes note of what a round has changed. It waits for nobody.
func (n *Notifier) Tell(e watch.Ended) {
	events := eventsOf(e)
	for _, q := range n.queues {
		q.add(events)
	}
}

// Run delivers until ctx ends.
func (n *Notifier) Run(ctx context.Context) {
	n.each(func(q *queue) { q.run(ctx) })
}

// Flush makes one last attempt at what is left, until ctx ends. Run has to be
// over.
func (n *Notifier) Flush(ctx context.Context) {
	n.each(func(q *queue) { q.flush(ctx) })
}

func (n *Notifier) each(do func(*queue)) {
	var wg sync.WaitGroup
	for _, q := range n.queues {
		wg.Go(func() { do(q) })
	}
	wg.Wait()
}

// Counts is what became of the notifications of one receiver.
type Counts struct {
	Receiver           string
	Sent, Failed, Lost int // requests; Lost are those that the receiver refused for good
	Waiting            int // events
}

// Counts answers what became of all so far, in the order of the receivers.
func (n *Notifier) Counts() []Counts {
	counts := make([]Counts, len(n.queues))
	for i, q := range n.queues {
		q.mu.Lock()
		counts[i] = q.counts
		counts[i].Receiver, counts[i].Waiting = q.receiver.Name(), len(q.waiting)
		q.mu.Unlock()
	}
	return counts
}

// A queue is what a receiver has not been told yet: of each key the newest
// event, so that it is bounded by what is watched, and a receiver that was dead
// for a day hears how things are.
type queue struct {
	receiver Receiver
	client   *http.Client
	pause    awsx.Pause
	log      *slog.Logger
	wake     chan struct{} // holds one when there is something new

	mu      sync.Mutex
	waiting []*Event // in the order in which they are to be told
	counts  Counts
}

func (q *queue) add(events []Event) {
	q.mu.Lock()
	for i := range events {
		if !q.receiver.wants(events[i]) {
			continue
		}
		q.waiting = slices.DeleteFunc(q.waiting, func(old *Event) bool { return old.Key == events[i].Key })
		q.waiting = append(q.waiting, &events[i])
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next is what goes into the next request: events of one stack.
func (q *queue) next() []*Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	var batch []*Event
	for _, e := range q.waiting {
		if len(batch) < q.receiver.most() && (len(batch) == 0 || e.Stack == batch[0].Stack && e.Account == batch[0].Account) {
			batch = append(batch, e)
		}
	}
	return batch
}

// done takes a batch out of the queue, or puts it at the end of it. What has
// been overtaken by a newer event is not there any more.
func (q *queue) done(batch []*Event, again bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	of := func(e *Event) bool { return slices.Contains(batch, e) }
	var back []*Event
	if again {
		back = slices.DeleteFunc(slices.Clone(q.waiting), func(e *Event) bool { return !of(e) })
	}
	q.waiting = append(slices.DeleteFunc(q.waiting, of), back...)
}

func (q *queue) count(n *int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	*n++
}

// Between attempts after a failure.
const (
	firstPause = time.Second
	mostPause  = 5 * time.Minute
)

func (q *queue) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		batch := q.next()
		if len(batch) == 0 {
			select {
			case <-q.wake:
			case <-ctx.Done():
			}
			continue
		}
		retryAfter, err := q.deliver(ctx, batch)
		if err == nil {
			pause = firstPause
			continue
		}
		if q.pause(ctx, max(pause, min(retryAfter, mostPause))) != nil {
			return
		}
		pause = min(2*pause, mostPause)
	}
}

func (q *queue) flush(ctx context.Context) {
	for batch := q.next(); len(batch) > 0 && ctx.Err() == nil; batch = q.next() {
		if _, err := q.deliver(ctx, batch); err != nil {
			return
		}
	}
}

// deliver makes one attempt. The error is of what may be tried again.
func (q *queue) deliver(ctx context.Context, batch []*Event) (retryAfter time.Duration, err error) {
	retryAfter, err = q.post(ctx, batch)
	permanent, ok := errors.AsType[*refusedError](err)
	switch {
	case err == nil:
		q.count(&q.counts.Sent)
	case ctx.Err() != nil:
		// It was this process that gave up.
	case ok:
		q.count(&q.counts.Lost)
		q.log.Error("a notification is lost, since its receiver takes no such thing", "error", permanent, "events", len(batch))
		err = nil
	default:
		q.count(&q.counts.Failed)
		q.log.Warn("a notification is tried again", "error", err, "events", len(batch))
	}
	q.done(batch, err != nil)
	return retryAfter, err
}

// A refusedError is an answer that will be the same each time.
type refusedError struct{ status string }

func (e *refusedError) Error() string { return "the answer is " + e.status }

func (q *queue) post(ctx context.Context, batch []*Event) (retryAfter time.Duration, err error) {
	body, err := q.receiver.body(batch)
	if err != nil {
		return 0, &refusedError{err.Error()}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, q.receiver.address(), bytes.NewReader(body))
	if err != nil {
		return 0, &refusedError{"none: the address cannot be used"}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "churn-reconcile")
	resp, err := q.client.Do(req)
	if err != nil {
		// A *url.Error quotes the address, which is a secret.
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		if strings.Contains(err.Error(), "malformed HTTP") { // and a quotation, of whatever the receiver has sent
			err = errors.New("the answer is not HTTP")
		}
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	status := strconv.Itoa(resp.StatusCode)
	if text := http.StatusText(resp.StatusCode); text != "" {
		status += " " + text
	}
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return 0, nil
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code == http.StatusTooEarly, code >= 500:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return time.Duration(min(max(seconds, 0), 3600)) * time.Second, fmt.Errorf("the answer is %s", status)
	}
	return 0, &refusedError{status}
}

// compare orders the events of one round: what is bad first.
func compare(a, b Event) int {
	rank := map[watch.ChangeKind]int{watch.CannotBeMended: 0, watch.HasDrifted: 1, watch.WasCorrected: 2, watch.IsWellAgain: 3}
	return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), cmp.Compare(a.Address, b.Address))
}
