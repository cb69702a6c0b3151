package sandbox

import "fmt"

// A Call is one API call as it arrived.
type Call struct {
	Service   string // as its signature names it: s3, iam, ecr, ...
	Operation string // CreateRole
	Region    string // of the signature; IAM's calls are its home region's
	Mutates   bool   // by the operation's name: everything that is no read
	N         int    // from 1, over all services
	RequestID string
}

// A Phase is a point in a call's life.
type Phase int

// The phases.
const (
	Before Phase = iota // before the effect
	After               // after the effect, before the answer
)

// A Fault is what goes wrong with a call. Except for HalfAnswer, Garbage and
// Hollow, which only spoil the answer, a fault Before leaves the state as it is. After,
// the effect has happened and the client is told otherwise.
type Fault int

// The faults.
const (
	None          Fault = iota
	Throttle            // the service's own throttling error
	InternalError       // 500 in the service's own form
	Denied              // the service's own access-denied error
	Cut                 // the connection is closed without an answer
	Hang                // no answer until the client goes
	HalfAnswer          // Content-Length whole, half the body, then the connection is closed
	Garbage             // 200 with a body that is neither XML nor JSON
	Hollow              // 200 with a well-formed answer that has nothing in it
)

func (f Fault) String() string {
	names := [...]string{"", "throttle", "internal-error", "denied", "cut", "hang", "half-answer", "garbage", "hollow"}
	if f < 0 || int(f) >= len(names) {
		return fmt.Sprintf("fault(%d)", int(f))
	}
	return names[f]
}

// onlyAnswer says that the call is carried out and at most its answer spoiled.
func (f Fault) onlyAnswer() bool { return f == None || f == HalfAnswer || f == Garbage || f == Hollow }

// fault is the error that the service would answer; nil where the fault is
// none that is answered, or one whose answer depends on the call.
func (s service) fault(f Fault) *apiError {
	switch f {
	case Throttle:
		return &s.throttled
	case InternalError:
		return &s.failed
	default:
		return nil
	}
}
