package policy

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// maxDocument is IAM's limit of a managed policy, in characters that are no
// white space.
const maxDocument = 6144

// written is a document as it goes out, its fields in the order that people
// write them in.
type written struct {
	Version   string
	Statement []writtenStatement
}

type writtenStatement struct {
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string][]string `json:",omitempty"`
}

// Documents are the identity-based policies that allow what is listed and
// nothing else: one, or as many as the size of a managed policy makes
// necessary. The same permissions give the same text.
func Documents(permissions []reconcile.Permission) []spec.Document {
	// Actions by condition and resource, then resources by condition and
	// actions: what is done to alike resources is said once.
	type where struct{ condition, resource string }
	actions := make(map[where]map[string]bool)
	conditions := make(map[string]reconcile.Condition)
	for _, p := range permissions {
		p.If.Values = slices.Compact(slices.Sorted(slices.Values(p.If.Values)))
		condition := strings.Join(append([]string{p.If.Operator, p.If.Key}, p.If.Values...), "\n")
		conditions[condition] = p.If
		for _, resource := range p.On {
			at := where{condition, resource}
			if actions[at] == nil {
				actions[at] = make(map[string]bool)
			}
			actions[at][p.Action] = true
		}
	}
	type what struct{ condition, actions string }
	resources := make(map[what][]string)
	for at, set := range actions {
		w := what{at.condition, strings.Join(slices.Sorted(maps.Keys(set)), "\n")}
		resources[w] = append(resources[w], at.resource)
	}

	var statements []writtenStatement
	for w, on := range resources {
		s := writtenStatement{Effect: "Allow", Action: strings.Split(w.actions, "\n"), Resource: slices.Sorted(slices.Values(on))}
		if c := conditions[w.condition]; c.Operator != "" {
			s.Condition = map[string]map[string][]string{c.Operator: {c.Key: c.Values}}
		}
		statements = append(statements, s)
	}
	slices.SortFunc(statements, func(a, b writtenStatement) int {
		return strings.Compare(a.text(), b.text())
	})
	return pack(statements)
}

func (s writtenStatement) text() string {
	b, _ := json.Marshal(s) // lists and maps of strings
	return string(b)
}

// pack puts statements into documents, in their order. One that is too large
// for any goes into several, each with a part of its resources.
func pack(statements []writtenStatement) []spec.Document {
	var documents []spec.Document
	var open written
	flush := func() {
		if len(open.Statement) > 0 {
			documents = append(documents, open.document())
		}
		open = written{Version: "2012-10-17"}
	}
	flush()
	for len(statements) > 0 {
		next := statements[0]
		with := written{open.Version, append(slices.Clip(open.Statement), next)}
		switch {
		case Size(with.document()) <= maxDocument:
			open, statements = with, statements[1:]
		case len(open.Statement) > 0:
			flush()
		case len(next.Resource) > 1:
			first, second := next, next
			half := len(next.Resource) / 2
			first.Resource, second.Resource = next.Resource[:half], next.Resource[half:]
			statements = append([]writtenStatement{first, second}, statements[1:]...)
		default:
			open, statements = with, statements[1:] // no smaller one says it
		}
	}
	flush()
	return documents
}

func (w written) document() spec.Document {
	b, _ := json.Marshal(w)
	return b
}

// Size is how IAM counts a document: white space is free.
func Size(document spec.Document) int {
	n := 0
	for _, r := range string(document) {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}
