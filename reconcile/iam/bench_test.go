package iam

import (
	"testing"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Deciding what an example states is a small part of a run.
func BenchmarkAssertions(b *testing.B) {
	file, err := spec.Load("../../examples/prod.yaml", spec.Options{})
	if err != nil {
		b.Fatal(err)
	}
	s, err := file.Bind(spec.Identity{Account: "123456789012"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		a, err := NewAssertions(s)
		if err != nil {
			b.Fatal(err)
		}
		if broken, undecided := a.Decide(); len(broken)+len(undecided) > 0 {
			b.Fatal(broken, undecided)
		}
	}
}
