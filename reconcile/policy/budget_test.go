package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
)

// What would take minutes to compare is unknown, and says so: a run waits for its
// lines of access. What is just small enough is told apart.
func TestAccessGivesUp(t *testing.T) {
	t.Parallel()
	scope := policy.Scope{Account: "123456789012", Principal: policy.Principal{Type: "AWS", ID: "arn:aws:iam::123456789012:user/u"}}
	compare := func(n int) []string {
		keys := []string{"aws:SourceVpc", "aws:RequestedRegion", "aws:userid"}
		var statements []string
		for i := range n {
			statements = append(statements, fmt.Sprintf(
				`{"Effect":"Allow","Action":"s3:*%d*","Resource":"arn:aws:s3:::b/*","Condition":{"StringEquals":{%q:"v%d"}}}`, i%7, keys[i%len(keys)], i))
		}
		set := func(more ...string) policy.Set {
			p, err := policy.Compile("p", []byte(`{"Version":"2012-10-17","Statement":[`+strings.Join(append(more, statements...), ",")+`]}`))
			if err != nil {
				t.Fatal(err)
			}
			return policy.Set{Identity: []*policy.Policy{p}}
		}
		deny := `{"Effect":"Deny","Action":"s3:*","Resource":"*"}`
		var lines []string
		for _, c := range policy.Access(scope, set(), set(deny)) {
			lines = append(lines, c.String())
		}
		return lines
	}
	if diff := cmp.Diff([]string{"unknown: * on *: the conditions are too many to compare them all"}, compare(48)); diff != "" {
		t.Errorf("48 statements (-want +got):\n%s", diff)
	}
	for _, line := range compare(6) {
		if !strings.HasPrefix(line, "loses ") {
			t.Errorf("6 statements: %s", line)
		}
	}
}
