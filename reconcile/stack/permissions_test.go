package stack_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// granted gathers what the runs of all tests had permission for, and what of it
// they made use of.
var granted struct {
	sync.Mutex
	calls       map[string]bool // true: made
	permissions map[string]bool // as JSON
}

// within says which of a run's calls the permissions of its spec do not allow.
func within(s *spec.Spec, calls []string, purposes ...reconcile.Purpose) error {
	granted.Lock()
	defer granted.Unlock()
	if granted.calls == nil {
		granted.calls, granted.permissions = make(map[string]bool), make(map[string]bool)
	}
	allowed := map[string]bool{
		"sts:GetCallerIdentity": true, // "No permissions are required to perform this operation"
		// Made at endpoints alone that are not AWS's.
		"s3:ListBuckets": true, "ecs:ListClusters": true, "ecs:ListTaskDefinitionFamilies": true,
	}
	for _, p := range stack.Permissions(s, purposes...) {
		allowed[p.Call] = true
		if !granted.calls[p.Call] {
			granted.calls[p.Call] = false
		}
	}
	if recordGrants {
		for _, p := range stack.Permissions(s, reconcile.Reading, reconcile.Writing, reconcile.Deleting) {
			line, err := json.Marshal(p)
			if err != nil {
				return err
			}
			granted.permissions[string(line)] = true
		}
	}
	beyond := make(map[string]bool)
	for _, call := range calls {
		if !allowed[call] {
			beyond[call] = true
			continue
		}
		granted.calls[call] = true
	}
	if len(beyond) > 0 {
		return fmt.Errorf("calls that no permission is declared for: %v", slices.Sorted(maps.Keys(beyond)))
	}
	return nil
}

var recordGrants = os.Getenv("CHURN_TEST_RECORD") != ""

// recordGranted writes down what permissions there were, a line of JSON each,
// for .ci/check_permissions.py to hold against AWS's own table.
func recordGranted() error {
	if !recordGrants {
		return nil
	}
	lines := slices.Sorted(maps.Keys(granted.permissions))
	return os.WriteFile(filepath.Join(os.Getenv("CHURN_TEST_RECORD"), "permissions.jsonl"), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// neverUsed tells on standard error of permissions that no test has made use
// of, where all tests have run.
func neverUsed() (any bool) {
	if flag.Lookup("test.run").Value.String() != "" || flag.Lookup("test.skip").Value.String() != "" || testing.Short() || os.Getenv(endpointVar) != "" {
		return false
	}
	for _, call := range slices.Sorted(maps.Keys(granted.calls)) {
		if call != "sts:GetCallerIdentity" && !granted.calls[call] {
			any = true
			fmt.Fprintf(os.Stderr, "a permission is declared for %s, which no test calls\n", call)
		}
	}
	return any
}

// The permissions of a spec of many resources go into documents that IAM takes,
// and nothing is lost or gained on the way.
func TestPermissionsFitIAM(t *testing.T) {
	a := newAccount(t)
	file, err := spec.Load(a.example(t, "prod.yaml"), spec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := file.Bind(spec.Identity{Account: accountID, Region: region})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		r := spec.IAMRole{Name: fmt.Sprintf("role-%03d-with-a-name-that-is-long", i), Policies: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}}
		s.IAM.Roles = append(s.IAM.Roles, r)
	}
	permissions := stack.Permissions(s, reconcile.Reading, reconcile.Writing)
	documents := policy.Documents(permissions)
	if len(documents) < 2 {
		t.Errorf("%d documents, several wanted", len(documents))
	}
	var set policy.Set
	for i, d := range documents {
		if n := policy.Size(d); n > 6144 {
			t.Errorf("document %d has %d characters, at most 6144 wanted", i, n)
		}
		p, err := policy.Compile(fmt.Sprint(i), d)
		if err != nil {
			t.Fatal(err)
		}
		set.Identity = append(set.Identity, p)
	}
	for _, p := range permissions {
		for _, on := range p.On {
			r := policy.Request{Principal: policy.Principal{Type: "AWS", ID: "arn:aws:iam::" + accountID + ":user/operator"}, Account: accountID, Action: p.Action, Resource: on}
			if p.If.Key != "" {
				if got := policy.Evaluate(r, set).Verdict; got == policy.Allow && p.Action != "iam:PassRole" {
					t.Errorf("%s on %s is allowed without %s", p.Action, on, p.If.Key)
				}
				r.Context = map[string][]string{p.If.Key: p.If.Values[:1]}
			}
			if got := policy.Evaluate(r, set); got.Verdict != policy.Allow {
				t.Errorf("%s on %s for %s: %v", p.Action, on, p.Call, got)
			}
		}
	}
}
