package sandbox

import (
	"fmt"
	"net/http"
	"strings"
)

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
// none that is answered.
func (s service) fault(f Fault, r *request, p principal) *apiError {
	switch f {
	case Throttle:
		return &s.throttled
	case InternalError:
		return &s.failed
	case Denied:
		status, code := http.StatusForbidden, "AccessDenied"
		if s.json {
			status, code = http.StatusBadRequest, "AccessDeniedException"
		}
		action := r.service + ":" + r.operation
		if r.service == "s3" {
			action = s3Action(r)
		}
		on := ""
		if res := resource(r); res != "" {
			on = " on resource: " + res
		}
		return &apiError{status, code, fmt.Sprintf(
			"User: %s is not authorized to perform: %s%s because no identity-based policy allows the %s action",
			p.ARN, action, on, action)}
	default:
		return nil
	}
}

// resource names what the call is about, as AWS's access-denied messages do.
func resource(r *request) string {
	switch r.service {
	case "s3":
		if r.bucket == "" {
			return ""
		}
		return fmt.Sprintf("%q", strings.TrimSuffix("arn:"+partition(r.region)+":s3:::"+r.bucket+"/"+r.key, "/"))
	case "iam":
		switch f := r.form; {
		case f.Get("PolicyArn") != "" && !f.Has("RoleName") && !f.Has("UserName"):
			return "policy " + f.Get("PolicyArn")
		case f.Has("RoleName"):
			return "role " + f.Get("RoleName")
		case f.Has("UserName"):
			return "user " + f.Get("UserName")
		case f.Has("PolicyName"):
			return "policy " + f.Get("PolicyName")
		}
	}
	return "*"
}
