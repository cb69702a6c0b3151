package reconcile

import (
	"slices"
	"strings"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A Granter is a kind whose resources have policies. Access says, in a line
// each, what want lets in that live does not, and the other way round: "gains
// …", "loses …", or "unknown: …" where it cannot be told. Like Diff it asks
// nobody.
type Granter[S spec.Resource, F any] interface {
	Access(live Live[S, F], want S) []string
}

// access lists, when it is asked, what access comes and goes from what AWS has to
// what the spec wants; nil where the kind has no policies.
func access[S spec.Resource, F any](kind Kind[S, F], live Live[S, F], want S) func() []string {
	granter, ok := kind.(Granter[S, F])
	if !ok {
		return nil
	}
	return func() []string {
		complete, err := kind.Complete(live, spec.Overlay(live.Is, want))
		if err != nil {
			return []string{"unknown: " + err.Error()}
		}
		return granter.Access(live, complete)
	}
}

// access is what the plan's steps bring and take.
func (p Plan) access() []string {
	if p.Access == nil {
		return nil
	}
	return p.Access()
}

// A NewAccessError says that a run would let in more than AWS does now.
type NewAccessError struct {
	Lines []string // each with its address, in the order of the results
}

func (e *NewAccessError) Error() string {
	return "new access, so nothing was written (--fail-on-new-access):\n  " + strings.Join(e.Lines, "\n  ")
}

// gained are those lines of access that let in more, or may.
func gained(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.HasPrefix(line, "loses ") })
}

// RefuseNewAccess holds everything where there is access to gain, and the error
// is a *NewAccessError. What is unknown may be that. Plans that are made once
// writing has begun are held to it as well.
func (r *Run) RefuseNewAccess() error {
	var gains []string
	for _, n := range r.nodes {
		n.gated = true
		for _, line := range gained(n.result.Access) {
			gains = append(gains, n.result.ID.String()+" "+line)
		}
	}
	if len(gains) == 0 {
		return nil
	}
	r.hold(errNewAccess)
	return &NewAccessError{gains}
}
