package reconcile

import (
	"context"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A Diff is one line of a difference: a path within a resource, what AWS has
// and what the spec wants. nil is "absent", which is not the same as empty.
// Before and After hold strings, bools, numbers, nil, or lists and maps of
// those.
type Diff struct {
	Path   string
	Before any
	After  any
	Cause  Cause // whose change it is
}

// A Step is a piece of the difference together with the one API call that
// mends it. A dry run prints steps, a run does them.
type Step struct {
	Call  string // the operation: "s3:PutBucketEncryption"
	Does  string // what errors say it does: "attach policy x to iam.role/y"
	Diffs []Diff
	Do    func(context.Context) error

	// Once marks a call that AWS carries out anew each time it is made. After
	// an unclear answer its effect is looked for with patience before it is
	// made again.
	Once bool

	// Follows marks a step that an interrupt must not keep apart from the one
	// before it.
	Follows bool
}

// A Plan is what one look at AWS says about a resource.
type Plan struct {
	Exists bool   // false: the first steps create it
	Marked bool   // it carries the stack's mark already
	Steps  []Step // in the order in which they have to be done; none: nothing to do

	Deletes bool     // the steps take the resource away
	Holders []Holder // what keeps it from that

	Access func() []string   // what access the steps bring and take, see [Granter]; nil: none. To compare policies takes long, so it is for whoever wants to know
	Notes  []string          // what a reader should know although nothing is to do about it
	Attrs  map[string]string // values born in AWS, for outputs: accessKeyId, revision
}

// A Resource is one thing that the spec declares.
type Resource interface {
	ID() spec.ID
	Needs() []spec.ID
	// Plan reads AWS and says what is to do. It never writes. Asking again
	// reads again.
	Plan(context.Context) (Plan, error)
	// Permissions are what IAM has to allow for its calls.
	Permissions() []Permission
}

// A Removal is a resource that is to go, before those that it needs.
type Removal interface {
	Resource
	Removes()
}
