// Package lease lets one run of a stack at a time write. A lease is an object in
// S3 that is written conditionally
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html):
// If-None-Match makes it, If-Match renews it, takes it over and lets go of it.
// Of two writers with the same condition S3 lets one through.
//
// Clocks of two machines are never compared. Whoever waits watches whether the
// object changes, and by its own clock: one that stands still for the lease's
// time has lost its holder. The holder renews it well before that, and does not
// write any more where it could not.
package lease

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
)

// API is what a lease needs of S3.
type API interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

var _ API = (*s3.Client)(nil)

// An Object is where a lease is kept.
type Object struct {
	API    API
	Bucket string
	Key    string
}

func (o Object) String() string { return "s3://" + o.Bucket + "/" + o.Key }

// A Claim is who wants the lease, and how long it lasts without being renewed.
type Claim struct {
	Stack  string
	Run    string // the run's own id, which no other has
	Holder string // for people: who and where
	TTL    time.Duration
	Now    func() time.Time // for people, who read since when
}

// ErrLost is why a run that has lost its lease does not go on.
var ErrLost = errors.New("the lease is lost, so nothing more is written")

// ErrNoBucket says that the lease's bucket is not there.
var ErrNoBucket = errors.New("the lease's bucket does not exist: it has to be there before the first run")

// A HeldError says that somebody else holds the lease, and for longer than
// there was patience.
type HeldError struct {
	Object Object
	By     State
	Waited time.Duration
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("the lease %s of %s is held by %s since %s; waited %s for it (--lease-timeout)",
		e.Object, e.By.Stack, e.By.Holder, e.By.Since.UTC().Format(time.RFC3339), e.Waited)
}

// A State is what stands in a lease's object.
type State struct {
	Stack    string    `json:"stack"`
	Run      string    `json:"run"`
	Holder   string    `json:"holder"`
	Since    time.Time `json:"since"`       // by the holder's clock, for people
	TTL      float64   `json:"ttl_seconds"` // how long it lasts after the last change
	Renewals int       `json:"renewals"`    // what makes each renewal another object
	Released bool      `json:"released"`

	etag string // of the object that it was read from
}

func (s State) ttl() time.Duration { return time.Duration(s.TTL * float64(time.Second)) }

// A Held lease is renewed until it is let go of.
type Held struct {
	object Object
	state  State

	stop func()
	lost context.CancelCauseFunc
	done sync.WaitGroup
}

// Take waits until nobody else holds the lease, for as long as patience lasts,
// and takes it. The context ends with [ErrLost] when the lease is lost. waiting
// hears once who holds it; pause is asked for every wait.
func (o Object) Take(ctx context.Context, claim Claim, patience time.Duration, pause awsx.Pause, waiting func(State)) (context.Context, *Held, error) {
	mine := State{Stack: claim.Stack, Run: claim.Run, Holder: claim.Holder, Since: claim.Now(), TTL: claim.TTL.Seconds()}
	begun := time.Now()
	etag, err := o.put(ctx, mine, nil)
	var seen string
	var still, waited time.Duration
	for err != nil {
		if !open(err) {
			return nil, nil, o.explain("take", err)
		}
		there, readErr := o.Read(ctx)
		switch {
		case readErr != nil:
			return nil, nil, readErr
		case there == nil: // deleted meanwhile, or the write never came through
			begun = time.Now()
			etag, err = o.put(ctx, mine, nil)
		case there.Run == mine.Run: // the answer to its own write was lost
			etag, err = there.etag, nil
		case there.Released, there.etag == seen && still >= there.ttl():
			begun = time.Now()
			etag, err = o.put(ctx, mine, &there.etag)
		case waited >= patience:
			return nil, nil, &HeldError{Object: o, By: *there, Waited: waited}
		default:
			if seen == "" && waiting != nil {
				waiting(*there)
			}
			if there.etag != seen {
				seen, still = there.etag, 0
			}
			d := min(max(there.ttl()/8, 100*time.Millisecond), 5*time.Second, patience-waited)
			if err := pause(ctx, d); err != nil {
				return nil, nil, err
			}
			// Only what was waited counts. The reads between took time as
			// well, so that the lease has stood still for longer than that.
			still, waited = still+d, waited+d
		}
	}
	mine.etag = etag
	held := &Held{object: o, state: mine}
	run, lost := context.WithCancelCause(ctx)
	held.lost = lost
	renew, stop := context.WithCancel(context.WithoutCancel(ctx))
	held.stop = stop
	held.done.Go(func() { held.renew(renew, begun) })
	return run, held, nil
}

// open says that after an error it has to be read who holds the lease: somebody
// else was first, or it is not known.
func open(err error) bool {
	switch awsx.Code(err) {
	case "PreconditionFailed", // the condition did not hold
		"ConditionalRequestConflict", // another conditional write was under way
		"NoSuchKey":                  // If-Match without an object
		return true
	}
	return awsx.Unclear(err)
}

// renew writes the lease anew until it is told to stop, from a third of its time
// on. Where no renewal has come through after two thirds, the lease is lost: a
// third is left in which calls under way can end before somebody else writes.
func (h *Held) renew(ctx context.Context, since time.Time) {
	ttl := h.state.ttl()
	for {
		if awsx.Wait(ctx, time.Until(since.Add(ttl/3))) != nil {
			return
		}
		for {
			begun := time.Now()
			left := time.Until(since.Add(ttl * 2 / 3))
			if left <= 0 {
				h.lost(fmt.Errorf("%w: it could not be renewed for %s", ErrLost, ttl*2/3))
				return
			}
			attempt, cancel := context.WithTimeout(ctx, left)
			gone, err := h.again(attempt)
			cancel()
			if gone != nil {
				h.lost(fmt.Errorf("%w: %w", ErrLost, gone))
				return
			}
			if err == nil {
				since = begun
				break
			}
			if awsx.Wait(ctx, min(ttl/30, left)) != nil {
				return
			}
		}
	}
}

// again renews once. gone says that somebody else has the lease.
func (h *Held) again(ctx context.Context) (gone, err error) {
	next := h.state
	next.Renewals++
	etag, err := h.object.put(ctx, next, &h.state.etag)
	if err == nil {
		next.etag = etag
		h.state = next
		return nil, nil
	}
	if !open(err) {
		return nil, err
	}
	there, readErr := h.object.Read(ctx)
	switch {
	case readErr != nil:
		return nil, readErr
	case there == nil:
		return errors.New("somebody has deleted it"), nil
	case there.Run != h.state.Run:
		return fmt.Errorf("%s has it", there.Holder), nil
	case there.Released:
		return errors.New("somebody has broken it"), nil
	}
	h.state = *there // the answer to a renewal was lost
	return nil, err
}

// Release lets go of the lease, so that nobody has to outlive it.
func (h *Held) Release(ctx context.Context) error {
	h.stop()
	h.done.Wait()
	h.lost(nil)
	free := h.state
	free.Released = true
	if _, err := h.object.put(ctx, free, &h.state.etag); err != nil && !open(err) {
		return h.object.explain("let go of", err)
	}
	return nil
}

// Read is what stands in the object, nil where there is none.
func (o Object) Read(ctx context.Context) (*State, error) {
	out, err := o.API.GetObject(ctx, &s3.GetObjectInput{Bucket: &o.Bucket, Key: &o.Key})
	if awsx.Code(err) == "NoSuchKey" {
		return nil, nil
	}
	if err != nil {
		return nil, o.explain("read", err)
	}
	defer out.Body.Close()
	text, err := io.ReadAll(io.LimitReader(out.Body, 64<<10))
	if err != nil {
		return nil, o.explain("read", err)
	}
	var s State
	if err := json.Unmarshal(text, &s); err != nil || s.Run == "" || s.TTL <= 0 {
		return nil, fmt.Errorf("%s is no lease of this program: choose another key, or take it away by hand", o)
	}
	s.etag = aws.ToString(out.ETag)
	return &s, nil
}

// Break lets go of a lease in its holder's place. It is an error where the
// lease has changed since it was read: its holder is alive.
func (o Object) Break(ctx context.Context, as State) error {
	free := as
	free.Released = true
	_, err := o.put(ctx, free, &as.etag)
	if awsx.Code(err) == "PreconditionFailed" {
		return fmt.Errorf("break the lease %s: it has been renewed meanwhile, so its holder is alive: %s", o, as.Holder)
	}
	if err != nil {
		return o.explain("break", err)
	}
	return nil
}

// put writes the object where it is as expected: with an ETag the one that has
// it, without one none.
func (o Object) put(ctx context.Context, s State, etag *string) (string, error) {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return "", err
	}
	in := &s3.PutObjectInput{
		Bucket: &o.Bucket, Key: &o.Key, Body: bytes.NewReader(append(text, '\n')), ContentType: aws.String("application/json"),
		IfMatch: etag,
	}
	if etag == nil {
		in.IfNoneMatch = aws.String("*")
	}
	out, err := o.API.PutObject(ctx, in)
	if err != nil {
		return "", err
	}
	if out.ETag == nil {
		return "", awsx.Hollow("s3:PutObject", "ETag", out.ResultMetadata)
	}
	return *out.ETag, nil
}

func (o Object) explain(does string, err error) error {
	if awsx.Code(err) == "NoSuchBucket" {
		return fmt.Errorf("%s the lease %s: %w", does, o, ErrNoBucket)
	}
	return fmt.Errorf("%s the lease %s: %w", does, o, awsx.Clean(err))
}
