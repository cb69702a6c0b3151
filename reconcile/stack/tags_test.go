package stack_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
)

// The details of an account have no policy's tags. A large spec asks the
// tagging API for them, and IAM where that says that something is wrong.
func TestPolicyTagsOfALargeSpec(t *testing.T) {
	const n = 60
	lose := func(t *testing.T, a *account) {
		done(t)(a.iam.UntagPolicy(context.Background(), &iam.UntagPolicyInput{
			PolicyArn: aws.String(policyARN + "policy-0042"), TagKeys: []string{"churn-reconcile:stack"},
		}))
	}
	const mended = `
iam.policy/policy-0042: update
  iam:TagPolicy
  tags.churn-reconcile:stack: <nil> -> test/test`
	asked := func(o outcome) (n int) {
		for _, call := range o.calls {
			if call == "iam:GetPolicy" {
				n++
			}
		}
		return n
	}

	t.Run("listed", func(t *testing.T) {
		a := newSandbox(t, sandbox.Options{})
		a.makeMany(t, n)
		lose(t, a)
		o := a.mustApply(t, a.stack(t, many(n)))
		wantChanges(t, mended, o.changes())
		if got := asked(o); got > 3 {
			t.Errorf("IAM was asked for %d policies, although the tagging API knows all but one", got)
		}
	})

	t.Run("denied", func(t *testing.T) {
		a := newSandbox(t, sandbox.Options{})
		a.makeMany(t, n)
		lose(t, a)
		a.setFault(func(call sandbox.Call, phase sandbox.Phase) sandbox.Fault {
			if call.Operation == "GetResources" && phase == sandbox.Before {
				return sandbox.Denied
			}
			return sandbox.None
		})
		o := a.mustApply(t, a.stack(t, many(n)))
		wantChanges(t, mended, o.changes())
		if got := asked(o); got < n {
			t.Errorf("IAM was asked for %d policies of %d, although the tagging API is denied", got, n)
		}
	})

	t.Run("lists no policies", func(t *testing.T) {
		a := newSandbox(t, sandbox.Options{})
		a.makeMany(t, n)
		next := a.handler
		blind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetResources") {
				w.Header().Set("Content-Type", "application/x-amz-json-1.1")
				_, _ = w.Write([]byte(`{"PaginationToken":"","ResourceTagMappingList":[]}`))
				return
			}
			next.ServeHTTP(w, r)
		}))
		t.Cleanup(blind.Close)
		a.url = blind.URL
		path := a.stack(t, many(n))

		o := a.mustApply(t, path)
		wantChanges(t, "", o.changes())
		if got := asked(o); got > 10 {
			t.Errorf("IAM was asked for %d policies, where a sample shows that the tagging API lists none", got)
		}
		var notes []string
		for _, res := range o.results {
			notes = append(notes, res.Notes...)
		}
		want := "the tags of 50 policies were not compared: the tagging API does not list them (yet)"
		if !slices.Equal(notes, []string{want}) {
			t.Errorf("notes: %q, want one: %q", notes, want)
		}

		// A policy about to be written is asked for all the same: it may have
		// become another stack's.
		arn := aws.String(policyARN + "policy-0042")
		done(t)(a.iam.TagPolicy(context.Background(), &iam.TagPolicyInput{
			PolicyArn: arn, Tags: []iamtypes.Tag{{Key: aws.String("churn-reconcile:stack"), Value: aws.String("other/stack")}},
		}))
		done(t)(a.iam.CreatePolicyVersion(context.Background(), &iam.CreatePolicyVersionInput{
			PolicyArn: arn, SetAsDefault: true,
			PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`),
		}))
		o = a.apply(path)
		if err := o.failure(); err == nil || !strings.Contains(err.Error(), `belongs to the stack "other/stack"`) {
			t.Errorf("error: %v, want one that names the other stack", err)
		}
		if w := o.writes(); len(w) > 0 {
			t.Errorf("another stack's policy was touched: %v", w)
		}

		// And where the sample shows that tags are really missing, all are
		// asked for.
		for _, name := range []string{"policy-0000", "policy-0030"} {
			done(t)(a.iam.UntagPolicy(context.Background(), &iam.UntagPolicyInput{
				PolicyArn: aws.String(policyARN + name), TagKeys: []string{"churn-reconcile:stack"},
			}))
		}
		changed := headings(a.look(path).changes())
		for _, name := range []string{"policy-0000", "policy-0030"} {
			if !slices.ContainsFunc(changed, func(line string) bool { return strings.Contains(line, name) }) {
				t.Errorf("%s has lost its mark, but only this is to be done: %q", name, changed)
			}
		}
	})
}
