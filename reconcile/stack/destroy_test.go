package stack_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
)

func destroying(_ *stack.Options, which *stack.Look, _ *reconcile.Options) { which.Destroy = true }

func pruning(_ *stack.Options, which *stack.Look, _ *reconcile.Options) { which.Prune = true }

// destroyCalls is what a destroy of the reference stack makes at most, reading
// back included. Terraform makes 73.
const destroyCalls = 65

func TestDestroyReference(t *testing.T) {
	alone(t)
	a := newAccount(t)
	path := a.bare(t)
	a.mustApply(t, path)

	plan := a.look(path, destroying)
	if err := plan.failure(); err != nil {
		t.Fatal(err)
	}
	if w := plan.writes(); len(w) > 0 {
		t.Errorf("a dry run writes: %v", w)
	}
	o := a.mustApply(t, path, destroying)
	for _, r := range o.results {
		if r.Action != reconcile.Delete || r.Status != reconcile.Done {
			t.Errorf("%s: %s %s", r.ID, r.Action, r.Status)
		}
	}
	// Others are asked for what they lack, and again, and by listing.
	if n := len(o.calls); a.sandbox != nil && n > destroyCalls {
		t.Errorf("a destroy makes %d calls, the budget is %d: %v", n, destroyCalls, counted(o.calls))
	}
	// What needs goes before what is needed.
	order := func(first, then string) {
		if i, j := slices.Index(o.calls, first), slices.Index(o.calls, then); i < 0 || j < 0 || i > j {
			t.Errorf("%s is call %d, %s call %d", first, i, then, j)
		}
	}
	order("iam:DeleteAccessKey", "iam:DeleteUser")
	order("ecs:DeregisterTaskDefinition", "iam:DeleteRole")
	a.mustBeInSync(t, path, destroying)
	if created := a.mustApply(t, path); len(created.writes()) == 0 {
		t.Error("nothing was left to create again")
	}
}

func counted(calls []string) map[string]int {
	n := map[string]int{}
	for _, c := range calls {
		n[c]++
	}
	return n
}

const twoPolicies = `iam:
  policies:
    - {name: kept, document: ` + otherDocument + `}
    - {name: leaves, document: ` + otherDocument + `}
  roles:
    - {name: role, assumeRolePolicy: ` + trustECSTasks + `, policies: [kept, leaves]}
`

const onePolicy = `iam:
  policies:
    - {name: kept, document: ` + otherDocument + `}
  roles:
    - {name: role, assumeRolePolicy: ` + trustECSTasks + `, policies: [kept]}
`

// What has left the spec goes once what needed it has let go of it.
func TestPrune(t *testing.T) {
	alone(t)
	a := newAccount(t)
	a.mustApply(t, a.stack(t, twoPolicies))
	path := a.stack(t, onePolicy)
	if got := headings(a.look(path).changes()); !slices.Equal(got, []string{"iam.role/role: update"}) {
		t.Errorf("without prune: %v", got)
	}
	o := a.mustApply(t, path, pruning)
	if got, want := headings(o.changes()), []string{"iam.policy/leaves: delete", "iam.role/role: update"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	a.mustBeInSync(t, path, pruning)
}

// What is protected stays, and with it all else, also once it has left the spec.
func TestProtect(t *testing.T) {
	alone(t)
	a := newAccount(t)
	protected := strings.Replace(twoPolicies, "{name: leaves,", "{name: leaves, protect: true,", 1)
	a.mustApply(t, a.stack(t, protected))
	a.mustBeInSync(t, a.stack(t, protected))
	a.mustBeInSync(t, a.stack(t, twoPolicies)) // left out: not managed

	o := a.apply(a.stack(t, twoPolicies), destroying)
	if o.err == nil || !strings.Contains(o.err.Error(), "iam.policy/leaves: it is protected") {
		t.Errorf("destroy: %v", o.err)
	}
	if w := o.writes(); len(w) > 0 {
		t.Errorf("destroy writes %v", w)
	}
	o = a.apply(a.stack(t, onePolicy), pruning)
	if o.err == nil || slices.Contains(o.calls, "iam:DeletePolicy") {
		t.Errorf("prune: %v, %v", o.err, o.writes())
	}
	a.mustApply(t, a.stack(t, strings.Replace(protected, "protect: true", "protect: false", 1)))
	a.mustApply(t, a.stack(t, onePolicy), destroying)
	a.mustBeInSync(t, a.stack(t, onePolicy), destroying)
}

// What is somebody else's keeps the whole stack, and is found before the first
// deletion.
func TestDestroyKeepsWhatOthersNeed(t *testing.T) {
	alone(t)
	a := newAccount(t)
	path := a.stack(t, twoPolicies+"  users:\n    - {name: user, policies: [kept]}\n")
	a.mustApply(t, path)
	done(t)(a.iam.CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String("stranger")}))
	done(t)(a.iam.AttachUserPolicy(t.Context(), &iam.AttachUserPolicyInput{
		UserName: aws.String("stranger"), PolicyArn: aws.String("arn:aws:iam::" + accountID + ":policy/leaves"),
	}))
	done(t)(a.iam.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: aws.String("user")}))
	o := a.apply(path, destroying)
	for _, want := range []string{"iam.policy/leaves: it is attached to iam.user/stranger", "iam.user/user: it has the access key AKIA"} {
		if o.err == nil || !strings.Contains(o.err.Error(), want) {
			t.Errorf("%v, want %q in it", o.err, want)
		}
	}
	if w := o.writes(); len(w) > 0 {
		t.Errorf("it writes %v", w)
	}
}

// What carries no mark, or another stack's, is not touched.
func TestDestroyLeavesWhatIsNotMarked(t *testing.T) {
	alone(t)
	a := newAccount(t)
	path := a.stack(t, onePolicy)
	a.mustApply(t, path)
	done(t)(a.iam.UntagRole(t.Context(), &iam.UntagRoleInput{RoleName: aws.String("role"), TagKeys: []string{reconcile.Mark}}))
	done(t)(a.iam.DetachRolePolicy(t.Context(), &iam.DetachRolePolicyInput{
		RoleName: aws.String("role"), PolicyArn: aws.String("arn:aws:iam::" + accountID + ":policy/kept"),
	}))
	done(t)(a.iam.CreateRole(t.Context(), &iam.CreateRoleInput{
		RoleName: aws.String("theirs"), AssumeRolePolicyDocument: aws.String(trustECSTasks),
		Tags: []types.Tag{{Key: aws.String(reconcile.Mark), Value: aws.String("other/test")}},
	}))
	o := a.mustApply(t, path, destroying)
	if got, want := headings(o.changes()), []string{"iam.policy/kept: delete"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, name := range []string{"role", "theirs"} {
		done(t)(a.iam.GetRole(t.Context(), &iam.GetRoleInput{RoleName: &name}))
	}
}

// A destroy that is cut off before any of its calls is finished by the next.
func TestDestroyKilledAnywhere(t *testing.T) {
	alone(t)
	for cut := 1; ; cut++ {
		a := sandboxAccount(t, sandbox.Options{})
		path := a.stack(t, onePolicy+"  users:\n    - {name: user, policies: [kept], accessKey: {deliver: [{file: {path: SINK}}]}}\n")
		a.mustApply(t, path)
		var writes atomic.Int64
		a.setFault(func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
			n := writes.Load()
			if c.Mutates && p == sandbox.Before {
				n = writes.Add(1)
			}
			// The answer to this one is lost, and none follows.
			if n == int64(cut) && p == sandbox.After || n > int64(cut) {
				return sandbox.Cut
			}
			return sandbox.None
		})
		a.apply(path, destroying)
		a.setFault(nil)
		if writes.Load() < int64(cut) {
			break
		}
		a.mustApply(t, path, destroying)
		a.mustBeInSync(t, path, destroying)
	}
}

// What cannot be read is kept.
func TestDestroyDenied(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{})
	path := a.stack(t, onePolicy)
	a.mustApply(t, path)
	for _, denied := range []string{"GetPolicy", "GetAccountAuthorizationDetails", "ListOpenIDConnectProviders"} {
		a.setFault(func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
			if p == sandbox.Before && c.Operation == denied {
				return sandbox.Denied
			}
			return sandbox.None
		})
		o := a.apply(path, destroying)
		if w := o.writes(); len(w) > 0 {
			t.Errorf("%s denied: it writes %v", denied, w)
		}
		if o.failure() == nil {
			t.Errorf("%s denied: no error", denied)
		}
		a.setFault(nil)
	}
}
