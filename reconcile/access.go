package reconcile

import "github.com/churn-reconcile/churn-reconcile/spec"

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
