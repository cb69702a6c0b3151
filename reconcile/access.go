package reconcile

import (
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

// access lists what access comes and goes from what AWS has to what the spec
// wants; none where the kind has no policies.
func access[S spec.Resource, F any](kind Kind[S, F], live Live[S, F], want S) ([]string, error) {
	granter, ok := kind.(Granter[S, F])
	if !ok {
		return nil, nil
	}
	want, err := kind.Complete(live, spec.Overlay(live.Is, want))
	if err != nil {
		return nil, err
	}
	return granter.Access(live, want), nil
}

// A NewAccessError says that a run would let in more than AWS does now.
type NewAccessError struct {
	Lines []string // each with its address, in the order of the results
}

func (e *NewAccessError) Error() string {
	return "new access, so nothing was written (--fail-on-new-access):\n  " + strings.Join(e.Lines, "\n  ")
}

// RefuseNewAccess holds everything where there is access to gain, and the error
// is a *NewAccessError. What is unknown may be that.
func (r *Run) RefuseNewAccess() error {
	var gains []string
	for _, res := range r.Results() {
		for _, line := range res.Access {
			if !strings.HasPrefix(line, "loses ") {
				gains = append(gains, res.ID.String()+" "+line)
			}
		}
	}
	if len(gains) == 0 {
		return nil
	}
	r.hold(errNewAccess)
	return &NewAccessError{gains}
}
