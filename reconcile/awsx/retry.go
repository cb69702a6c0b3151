package awsx

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// attempts is one more than the SDK's three: the budget for a passing fault
// of a call that may be repeated without harm.
const attempts = 4

func newRetryer(backoff retry.BackoffDelayer) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.Backoff = backoff
		// The SDK's quota lets a client repeat about a hundred calls in its
		// life, after which the first fault of any call is its last. Here
		// attempts bound the repeats, and the gate their rate.
		o.RateLimiter = ratelimit.None
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(named)}, o.Retryables...)
	})
}

// named decides the errors that the SDK's standard rules get wrong.
func named(err error) aws.Ternary {
	switch Code(err) {
	case "LimitExceededException":
		// A quota of ECS, ECR and CloudWatch Logs, which the SDK takes for
		// throttling. Asking again does not raise it.
		return aws.FalseTernary
	case "ConcurrentModification", "ConcurrentModificationException":
		// IAM while another change of the same entity is under way.
		return aws.TrueTernary
	case "OperationAborted", "OperationAbortedException":
		// S3 and CloudWatch Logs: a conflicting operation is in progress.
		return aws.TrueTernary
	case "UpdateInProgressException":
		// ECS: the cluster's capacity providers are being changed.
		return aws.TrueTernary
	}
	if Throttled(err) {
		// The gate has repeated it for as long as it was let.
		return aws.FalseTernary
	}
	if isTooLarge(err) {
		return aws.FalseTernary
	}
	if isUnreadable(err) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// Once makes a retryer repeat no call. What AWS throttles is repeated all the
// same, by the gate: it had no effect. It is for calls that AWS makes anew each
// time and that have no idempotency token: CreateAccessKey,
// CreatePolicyVersion, RegisterTaskDefinition.
func Once(r aws.Retryer) aws.Retryer { return once{r} }

type once struct{ aws.Retryer }

func (once) IsErrorRetryable(error) bool { return false }

// A Pause waits for d or until ctx ends. Budgets add up what they asked to
// pause, not the time on the wall, so that a test can pass in no time.
type Pause func(ctx context.Context, d time.Duration) error

// Wait is the Pause of real runs.
func Wait(ctx context.Context, d time.Duration) error {
	if err := context.Cause(ctx); err != nil || d <= 0 {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A Poll hands out growing pauses until its budget is spent.
type Poll struct {
	Pause  Pause
	Budget time.Duration

	next, spent time.Duration
}

// Again pauses and says whether to try once more.
func (p *Poll) Again(ctx context.Context) bool {
	if p.spent >= p.Budget {
		return false
	}
	p.next = max(100*time.Millisecond, min(2*p.next, 5*time.Second))
	p.spent += p.next
	return p.Pause(ctx, p.next) == nil
}

// Patiently repeats do while it fails with an error that passes by itself, as
// told by passing, until the budget is spent.
func Patiently(ctx context.Context, pause Pause, budget time.Duration, passing func(error) bool, do func(context.Context) error) error {
	poll := Poll{Pause: pause, Budget: budget}
	for {
		err := do(ctx)
		if err == nil || !passing(err) || !poll.Again(ctx) {
			return err
		}
	}
}
