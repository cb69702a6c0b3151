package reconcile

import (
	"context"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// An Event is the last change that somebody has made to a resource, as far as
// AWS has told of it. The zero value is of nobody who is known.
type Event struct {
	Principal string // ARN
	Call      string // "iam:AttachRolePolicy"
	Time      time.Time
	Source    string // the address, or the AWS service, that the call came from
}

// A Trail knows who has changed what.
type Trail interface {
	// Last is the last change of a resource by somebody else; the zero Event
	// where nobody knows.
	Last(context.Context, spec.ID) (Event, error)
}

// Attribute asks who has changed what is no longer as it was applied, resource
// by resource. What the trail does not tell stays unknown, whatever the reason;
// the first failure is answered, for people to hear of.
func (r *Run) Attribute(ctx context.Context, trail Trail) error {
	stopped, done := UntilStopped(ctx, r.opts.Stop)
	defer done()
	var failed error
	for _, n := range r.nodes {
		if !n.result.Drifted() {
			continue
		}
		n.result.Who = []Event{{}}
		if failed != nil {
			continue // a trail that may not be read is not asked for each
		}
		failed = awsx.Guard(func() error {
			e, err := trail.Last(stopped, n.result.ID)
			n.result.Who[0] = e
			return err
		})
	}
	return awsx.Clean(failed)
}
