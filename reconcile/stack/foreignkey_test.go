package stack_test

import (
	"fmt"
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
