package policy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
)

// TestAccessByZ3 asks z3 whether one policy allows what another does not:
// another method than ours, over all requests as well. CHURN_TEST_Z3 is a
// Python that has z3-solver; the policy-oracles script of the checks makes it.
func TestAccessByZ3(t *testing.T) {
	python := os.Getenv("CHURN_TEST_Z3")
	if python == "" {
		t.Skip("CHURN_TEST_Z3 names no Python that has z3-solver")
	}
	r := newRand(t)
	simple := []string{"StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "Bool", "Null"}
	var in bytes.Buffer
	var pairs [][2]json.RawMessage
	for len(pairs) < times(60) {
		a, b := modern(randomPolicy(r, false, false)), modern(randomPolicy(r, false, false))
		if r.IntN(2) == 0 { // most random pairs have nothing in common
			var one, two struct {
				Version   string
				Statement []json.RawMessage
			}
			if json.Unmarshal(a, &one) != nil || json.Unmarshal(b, &two) != nil {
				t.Fatal("not JSON")
			}
			two.Statement = append(one.Statement, two.Statement[0])
			b, _ = json.Marshal(two)
		}
		both := string(a) + string(b)
		var operators []string
		for _, name := range operatorNames {
			for _, name := range []string{name, negated[name]} {
				if name != "" && (strings.Contains(both, `"`+name+`"`) || strings.Contains(both, `"`+name+`IfExists"`)) {
					operators = append(operators, name)
				}
			}
		}
		if strings.Contains(both, "${") || strings.Contains(both, "TagKeys") || strings.Contains(both, "aws:username") || slices.ContainsFunc(operators, func(name string) bool { return !slices.Contains(simple, name) }) {
			continue
		}
		pairs = append(pairs, [2]json.RawMessage{a, b})
		fmt.Fprintf(&in, "[%s,%s]\n", a, b)
	}
	cmd := exec.Command(python, "testdata/z3compare.py")
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	counts := map[string]int{}
	scope := policy.Scope{Principal: somePrincipals[2], Account: account}
	for _, p := range pairs {
		var theirs [2]*bool
		if err := dec.Decode(&theirs); err != nil {
			t.Fatal(err)
		}
		set := func(doc json.RawMessage) policy.Set { return policy.Set{Identity: []*policy.Policy{compile(t, doc)}} }
		changes := policy.Access(scope, set(p[0]), set(p[1]))
		for direction, differs := range theirs {
			if differs == nil {
				counts["z3 gave up"]++
				continue
			}
			ours := slices.ContainsFunc(changes, func(c policy.Change) bool { return c.Direction == policy.Direction(direction) })
			counts[fmt.Sprint("differs: ", ours)]++
			if ours != *differs {
				t.Errorf("direction %d: ours %v, z3's %v\nbefore %s\nafter  %s\n%v", direction, ours, *differs, p[0], p[1], changes)
			}
		}
	}
	for _, name := range sortedKeys(counts) {
		t.Logf("%6d %s", counts[name], name)
	}
}
