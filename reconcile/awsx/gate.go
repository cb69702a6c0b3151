package awsx

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A Gate lets a number of attempts per service through at a time, at the pace
// that AWS asks for, counts and logs them. It sits below the SDK's retries, so
// that a call that waits after a fault holds no place.
//
// A throttled call stays in the gate until it is let through: AWS has refused
// it before it had any effect, so it may be made again whatever it is, and for
// as long as the run lasts. The SDK's adaptive mode does not serve for this.
// It gives a call up after its attempts, and takes ten calls that are refused
// at the same moment for ten reasons to slow down.
//
// What is configured for one account shares one gate, as its stacks share
// AWS's limits. Those are a region's each, but for IAM's, which has one place
// for them all.
type Gate struct {
	limit  int
	log    *slog.Logger
	clock  *Clock // nil: none
	slowed func(service string, perSecond float64)
	called func(service, operation string, err error)

	mu    sync.Mutex
	lanes map[laneOf]*lane
}

type laneOf struct{ service, region string }

// NewGate makes a gate as o says. Each answer that comes through it corrects
// the clock, where there is one.
func NewGate(o Options, clock *Clock) *Gate {
	g := &Gate{limit: o.Parallelism, log: o.Log, clock: clock, slowed: o.Slowed, called: o.Called, lanes: map[laneOf]*lane{}}
	if g.limit <= 0 {
		g.limit = 10
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.slowed == nil {
		g.slowed = func(string, float64) {}
	}
	if g.called == nil {
		g.called = func(string, string, error) {}
	}
	return g
}

// A lane is what the calls of one service have in common.
type lane struct {
	places chan struct{}
	pace   pace
}

func (g *Gate) lane(service, region string) *lane {
	if service == "IAM" {
		region = ""
	}
	of := laneOf{service, region}
	g.mu.Lock()
	defer g.mu.Unlock()
	l, ok := g.lanes[of]
	if !ok {
		l = &lane{places: make(chan struct{}, g.limit)}
		g.lanes[of] = l
	}
	return l
}

func (g *Gate) insert(stack *middleware.Stack) error {
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("ChurnGate", g.pass), "Retry", middleware.After)
}

func (g *Gate) pass(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	service := awsmiddleware.GetServiceID(ctx)
	l := g.lane(service, awsmiddleware.GetRegion(ctx))
	turns := turnsOf(ctx)
	select {
	case l.places <- struct{}{}:
		defer func() { <-l.places }()
	case <-turns.Done():
		return middleware.FinalizeOutput{}, middleware.Metadata{}, &aws.RequestCanceledError{Err: context.Cause(turns)}
	}

	var out middleware.FinalizeOutput
	var md middleware.Metadata
	var throttle error
	for attempts := 1; ; attempts++ {
		asked := time.Now()
		if err := Wait(turns, l.pace.turn(asked).Sub(asked)); err != nil {
			if throttle != nil {
				return out, md, &throttledError{Attempts: attempts - 1, Err: throttle}
			}
			return out, md, &aws.RequestCanceledError{Err: err}
		}
		// Signing changes the request, so that each attempt needs its own.
		attempt := in
		attempt.Request = smithyhttp.RequestCloner(in.Request)
		if req, ok := attempt.Request.(*smithyhttp.Request); ok && attempts > 1 {
			if err := req.RewindStream(); err != nil {
				return out, md, fmt.Errorf("send the request once more: %w", err)
			}
		}
		var err error
		out, md, err = g.attempt(ctx, attempt, next)
		if !Throttled(err) {
			l.pace.passed()
			return out, md, err
		}
		throttle = err
		if perSecond, slower := l.pace.throttled(asked, time.Now()); slower {
			g.slowed(serviceName(service), perSecond)
		}
	}
}

func (g *Gate) attempt(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	if calls, ok := ctx.Value(callsKey{}).(*atomic.Int64); ok {
		calls.Add(1)
	}
	start := time.Now()
	out, md, err := next.HandleFinalize(ctx, in)
	id, _ := awsmiddleware.GetRequestIDMetadata(md)
	attrs := []slog.Attr{
		slog.String("call", callName(awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx))),
		slog.Int64("duration_ms", time.Since(start).Milliseconds()),
	}
	if res, ok := awsmiddleware.GetRawResponse(md).(*smithyhttp.Response); ok && res != nil && res.Response != nil {
		attrs = append(attrs, slog.Int("status", res.StatusCode))
		if g.clock != nil {
			g.clock.correct(res.Header)
		}
	}
	attrs = append(attrs, slog.String("request_id", id))
	if err != nil {
		// The code only: an error's text may quote what was sent or answered.
		attrs = append(attrs, slog.String("error", describeCode(err)))
	}
	g.log.LogAttrs(ctx, slog.LevelDebug, "aws call", attrs...)
	g.called(serviceName(awsmiddleware.GetServiceID(ctx)), awsmiddleware.GetOperationName(ctx), err)
	return out, md, err
}

type callsKey struct{}

// Counted has every attempt of every call made with the context counted.
func Counted(ctx context.Context, calls *atomic.Int64) context.Context {
	return context.WithValue(ctx, callsKey{}, calls)
}

type turnsKey struct{}

// WhileTurns lets calls made with ctx wait for their turn, be it the first or
// the next after a throttle, only for as long as turns lasts. An attempt that
// is under way is not cut off.
func WhileTurns(ctx, turns context.Context) context.Context {
	return context.WithValue(ctx, turnsKey{}, turns)
}

func turnsOf(ctx context.Context) context.Context {
	if turns, ok := ctx.Value(turnsKey{}).(context.Context); ok {
		return turns
	}
	return ctx
}
