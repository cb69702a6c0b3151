package stack_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// A user of another stack has that stack's key: it is not even rotated.
func TestKeyOfAnotherStack(t *testing.T) {
	alone(t)
	a := newAccount(t)
	const user = `
iam:
  users:
    - name: ci
      accessKey: {deliver: [{file: {path: %q}}]}
`
	a.mustApply(t, a.stack(t, fmt.Sprintf(user, a.sink())))

	other := a.write(t, "project: test\nenvironment: other\nregion: "+region+"\n"+fmt.Sprintf(user, a.sink()+".other"))
	for name, opts := range map[string][]option{
		"a run":  nil,
		"rotate": {rotateNow},
	} {
		o := a.apply(other, opts...)
		if err := o.result(t, "iam.access-key/ci").Err; err == nil || !strings.Contains(err.Error(), `belongs to the stack "test/test"`) {
			t.Errorf("%s: the key's error is %v, want one that names its stack", name, err)
		}
		if w := o.writes(); len(w) > 0 {
			t.Errorf("%s has written: %v", name, w)
		}
	}
}

// A pair in the file that this stack has not put there may be the only copy of
// its secret: no key is made to take its place, first or as a successor.
func TestPairOfSomebodyInTheFile(t *testing.T) {
	alone(t)
	theirs := "[ci]\naws_access_key_id = AKIATHEIRSTHEIRS\naws_secret_access_key = theirs\n"
	a := newAccount(t)
	path := a.stack(t, `
iam:
  users:
    - name: ci
      accessKey: {deliver: [{file: {path: SINK}}]}
`)
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(a.sink(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(opts ...option) {
		t.Helper()
		put(theirs)
		o := a.apply(path, opts...)
		err := o.result(t, "iam.access-key/ci").Err
		if err == nil || !strings.Contains(err.Error(), a.sink()+" (profile ci) holds the key AKIATHEIRSTHEIRS, which this stack has not put there") ||
			!strings.Contains(err.Error(), "take it out of the file, or deliver to another path or profile") {
			t.Errorf("the key's error is %v, want one that names the file and the way out", err)
		}
		if slices.Contains(o.calls, "iam:CreateAccessKey") {
			t.Errorf("a key was made: %v", o.calls)
		}
		if text, err := os.ReadFile(a.sink()); err != nil || string(text) != theirs {
			t.Errorf("the file is %q now (%v)", text, err)
		}
	}
	refused()
	// Nor is a real pair of a stack of the same name and account.
	const real = "[ci]\n# churn-reconcile: AKIATHEIRSTHEIRS of test/test, account " + accountID + "\n"
	theirs = strings.Replace(theirs, "[ci]\n", real, 1)
	refused()
	put("[default]\nregion = x\n")
	a.mustApply(t, path)
	own, err := os.ReadFile(a.sink())
	if err != nil {
		t.Fatal(err)
	}
	refused(rotateNow)
	// The twin: what the stack itself has put there is replaced.
	if want := " of test/test, account " + accountID + ", not at AWS\n"; !strings.Contains(string(own), want) {
		t.Errorf("the file does not say whose the pair is, %q:\n%s", want, own)
	}
	put(string(own))
	a.mustApply(t, path, rotateNow)
	if now, err := os.ReadFile(a.sink()); err != nil || string(now) == string(own) {
		t.Errorf("the file still has the former pair (%v)", err)
	}
}
