package iam

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

const (
	ours  = "arn:aws:iam::123456789012:policy/ours"
	other = "arn:aws:iam::123456789012:policy/other"
	admin = "arn:aws:iam::aws:policy/AdministratorAccess"
)

func document(statements string) spec.Document {
	return spec.Document(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)
}

func statement(effect, action, resource string) string {
	return fmt.Sprintf(`{"Effect":%q,"Action":%q,"Resource":%q}`, effect, action, resource)
}

func accessEnv() reconcile.Env {
	return reconcile.Env{Account: "123456789012", Region: "eu-north-1", Partition: "aws", Stack: "churn/test"}
}

// Whoever is granted more or less gains and loses that, and nobody anything
// where the meaning stays.
func TestUserAccess(t *testing.T) {
	t.Parallel()
	users := Users{env: accessEnv(), known: known{documents: map[string]spec.Document{
		ours:  document(statement("Allow", "s3:GetObject", "arn:aws:s3:::b")),
		other: document(statement("Deny", "s3:GetObject", "arn:aws:s3:::b")),
	}, groups: map[string]grants{
		"readers": {attached: []string{ours}, inline: map[string]spec.Document{}},
		"partly":  {attached: []string{ours}},
		"admins":  {attached: []string{admin}, inline: map[string]spec.Document{}},
	}}}
	get := document(statement("Allow", "s3:GetObject", "arn:aws:s3:::b"))
	inline := func(d spec.Document) map[string]spec.Document { return map[string]spec.Document{"x": d} }
	for name, tt := range map[string]struct {
		isNew      bool
		live, want spec.IAMUser
		lines      []string
	}{
		"attached": {
			live: spec.IAMUser{Policies: []string{}}, want: spec.IAMUser{Policies: []string{ours}},
			lines: []string{"gains s3:GetObject on arn:aws:s3:::b"},
		},
		"detached": {
			live: spec.IAMUser{Policies: []string{ours}}, want: spec.IAMUser{Policies: []string{}},
			lines: []string{"loses s3:GetObject on arn:aws:s3:::b"},
		},
		"attached before": {
			live: spec.IAMUser{Policies: []string{ours}}, want: spec.IAMUser{Policies: []string{ours}},
		},
		"new": {
			isNew: true, want: spec.IAMUser{Policies: []string{ours}},
			lines: []string{"gains s3:GetObject on arn:aws:s3:::b"},
		},
		"new, denied it": {
			isNew: true, want: spec.IAMUser{Policies: []string{ours, other}},
		},
		"joins a group": {
			live: spec.IAMUser{Groups: []string{}}, want: spec.IAMUser{Groups: []string{"readers"}},
			lines: []string{"gains s3:GetObject on arn:aws:s3:::b"},
		},
		"leaves a group": {
			live: spec.IAMUser{Groups: []string{"readers"}}, want: spec.IAMUser{Groups: []string{}},
			lines: []string{"loses s3:GetObject on arn:aws:s3:::b"},
		},
		"stays in a group": {
			live: spec.IAMUser{Groups: []string{"readers"}}, want: spec.IAMUser{Groups: []string{"readers"}},
		},
		"joins a group that gives what it had": {
			live: spec.IAMUser{Policies: []string{ours}, Groups: []string{}}, want: spec.IAMUser{Policies: []string{ours}, Groups: []string{"readers"}},
		},
		"joins a group of somebody else": {
			live: spec.IAMUser{Groups: []string{}}, want: spec.IAMUser{Groups: []string{"strangers"}},
			lines: []string{"unknown: what comes with group strangers: it is not in the spec"},
		},
		"joins a group that the spec manages in part": {
			live: spec.IAMUser{Groups: []string{}}, want: spec.IAMUser{Groups: []string{"partly"}},
			lines: []string{"gains s3:GetObject on arn:aws:s3:::b", "unknown: what comes with group partly: its inlinePolicies are not in the spec"},
		},
		"joins a group with a policy of AWS": {
			live: spec.IAMUser{Groups: []string{}}, want: spec.IAMUser{Groups: []string{"admins"}},
			lines: []string{"unknown: what comes with group admins: policy " + admin + ": its document is not in the spec"},
		},
		"attached, of AWS": {
			live: spec.IAMUser{Policies: []string{}}, want: spec.IAMUser{Policies: []string{admin, ours}},
			lines: []string{
				"gains s3:GetObject on arn:aws:s3:::b",
				"unknown: what comes with policy " + admin + ": its document is not in the spec",
			},
		},
		"detached, of AWS": {
			live: spec.IAMUser{Policies: []string{admin, ours}}, want: spec.IAMUser{Policies: []string{ours}},
			lines: []string{"unknown: what goes with policy " + admin + ": its document is not in the spec"},
		},
		"beside one of AWS": {
			live: spec.IAMUser{Policies: []string{admin}}, want: spec.IAMUser{Policies: []string{admin, ours}},
			lines: []string{"gains s3:GetObject on arn:aws:s3:::b"},
		},
		"given already, in another way": {
			live: spec.IAMUser{Policies: []string{ours}, InlinePolicies: inline(get)}, want: spec.IAMUser{Policies: []string{ours}, InlinePolicies: map[string]spec.Document{}},
		},
		"inline, written otherwise": {
			live: spec.IAMUser{InlinePolicies: inline(get)}, want: spec.IAMUser{InlinePolicies: inline(document(`{"Resource":["arn:aws:s3:::b"],"Action":["S3:getobject"],"Effect":"Allow"}`))},
		},
		"inline, widened": {
			live: spec.IAMUser{InlinePolicies: inline(get)}, want: spec.IAMUser{InlinePolicies: inline(document(statement("Allow", "s3:*", "arn:aws:s3:::b")))},
			lines: []string{"gains s3:* except s3:GetObject on arn:aws:s3:::b; for example s3:DeleteObject on arn:aws:s3:::b"},
		},
		"a denial goes": {
			live: spec.IAMUser{Policies: []string{other}}, want: spec.IAMUser{Policies: []string{}},
			lines: []string{"gains s3:GetObject on arn:aws:s3:::b, where another policy allows it"},
		},
		"a denial comes": {
			live: spec.IAMUser{Policies: []string{ours}}, want: spec.IAMUser{Policies: []string{ours, other}},
			lines: []string{"loses s3:GetObject on arn:aws:s3:::b"},
		},
		"a boundary comes": {
			live: spec.IAMUser{Policies: []string{ours}}, want: spec.IAMUser{Policies: []string{ours}, PermissionsBoundary: aws.String(admin)},
			lines: []string{"loses what permissions boundary " + admin + " does not allow: its document is not in the spec"},
		},
		"a boundary goes": {
			live: spec.IAMUser{Policies: []string{ours}, PermissionsBoundary: aws.String(admin)}, want: spec.IAMUser{Policies: []string{ours}, PermissionsBoundary: aws.String("")},
			lines: []string{"unknown: what permissions boundary " + admin + " no longer keeps out: its document is not in the spec"},
		},
		"cannot be read": {
			live: spec.IAMUser{InlinePolicies: map[string]spec.Document{}}, want: spec.IAMUser{InlinePolicies: inline(document(`{"Effect":"Perhaps","Action":"*","Resource":"*"}`))},
			lines: []string{"unknown: what comes with inline policy x: policy document: statement 0: effect Perhaps is neither Allow nor Deny"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.live.Name, tt.want.Name = "ml", "ml"
			got := users.Access(liveUser{Exists: !tt.isNew, Is: tt.live}, tt.want)
			if diff := cmp.Diff(tt.lines, append([]string(nil), got...)); diff != "" {
				t.Errorf("access (-want +got):\n%s", diff)
			}
		})
	}
}

// A boundary of the spec is weighed with what it limits.
func TestBoundaryAccess(t *testing.T) {
	t.Parallel()
	users := Users{env: accessEnv(), known: known{documents: map[string]spec.Document{ours: document(statement("Allow", "s3:GetObject", "*"))}}}
	all := map[string]spec.Document{"x": document(statement("Allow", "s3:*", "arn:aws:s3:::b"))}
	got := users.Access(
		liveUser{Exists: true, Is: spec.IAMUser{Name: "ml", InlinePolicies: map[string]spec.Document{}, PermissionsBoundary: aws.String(ours)}},
		spec.IAMUser{Name: "ml", InlinePolicies: all, PermissionsBoundary: aws.String(ours)})
	if diff := cmp.Diff([]string{"gains s3:GetObject on arn:aws:s3:::b"}, got); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}
}

func TestRoleAccess(t *testing.T) {
	t.Parallel()
	roles := Roles{env: accessEnv()}
	trust := func(principal string) spec.Document {
		return document(`{"Effect":"Allow","Action":"sts:AssumeRole","Principal":` + principal + `}`)
	}
	tasks, both := trust(`{"Service":"ecs-tasks.amazonaws.com"}`), trust(`{"Service":"ecs-tasks.amazonaws.com","AWS":"999999999999"}`)
	for name, tt := range map[string]struct {
		live, want spec.Document
		lines      []string
	}{
		"new":               {nil, tasks, []string{"gains sts:AssumeRole for ecs-tasks.amazonaws.com"}},
		"same":              {tasks, tasks, nil},
		"written otherwise": {both, trust(`{"AWS":["arn:aws:iam::999999999999:root"],"Service":["ecs-tasks.amazonaws.com"]}`), nil},
		"narrowed":          {both, tasks, []string{"loses sts:AssumeRole for account 999999999999; for example sts:AssumeRole by arn:aws:iam::999999999999:role/x"}},
		"widened":           {tasks, both, []string{"gains sts:AssumeRole for account 999999999999; for example sts:AssumeRole by arn:aws:iam::999999999999:role/x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := roles.Access(liveRole{Exists: tt.live != nil, Is: spec.IAMRole{Name: "r", AssumeRolePolicy: tt.live}}, spec.IAMRole{Name: "r", AssumeRolePolicy: tt.want})
			if diff := cmp.Diff(tt.lines, append([]string(nil), got...)); diff != "" {
				t.Errorf("access (-want +got):\n%s", diff)
			}
		})
	}
}

// A managed policy that changes does so for whoever has it; nobody has a new
// one.
func TestPolicyAccess(t *testing.T) {
	t.Parallel()
	policies := Policies{env: accessEnv()}
	get, all := document(statement("Allow", "s3:GetObject", "arn:aws:s3:::b")), document(statement("Allow", "s3:*", "arn:aws:s3:::b"))
	denied := document(statement("Allow", "s3:GetObject", "arn:aws:s3:::b") + "," + statement("Deny", "s3:PutObject", "arn:aws:s3:::b"))
	bob := document(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b","Condition":{"StringEquals":{"aws:username":"bob"}}}`)
	for name, tt := range map[string]struct {
		live, want spec.Document
		lines      []string
	}{
		"new":           {nil, get, nil},
		"same":          {get, get, nil},
		"widened":       {get, all, []string{"gains s3:* except s3:GetObject on arn:aws:s3:::b; for example s3:DeleteObject on arn:aws:s3:::b"}},
		"narrowed":      {all, get, []string{"loses s3:* except s3:GetObject on arn:aws:s3:::b; for example s3:DeleteObject on arn:aws:s3:::b"}},
		"a denial goes": {denied, get, []string{"gains s3:PutObject on arn:aws:s3:::b, where another policy allows it"}},
		"for one": {document(statement("Deny", "x:y", "*")), bob, []string{
			"gains s3:GetObject on arn:aws:s3:::b for other users of account 123456789012 in some requests, such as with aws:username=bob; for example s3:GetObject on arn:aws:s3:::b by arn:aws:iam::123456789012:user/bob",
			"gains x:y on *, where another policy allows it; for example x:y on arn:aws:x:us-east-1:123456789012:example",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := policies.Access(livePolicy{Exists: tt.live != nil, Is: spec.IAMPolicy{Name: "p", Document: tt.live}}, spec.IAMPolicy{Name: "p", Document: tt.want})
			if diff := cmp.Diff(tt.lines, append([]string(nil), got...)); diff != "" {
				t.Errorf("access (-want +got):\n%s", diff)
			}
		})
	}
}

// Of each direction there are as many lines as somebody reads, and then how
// many more.
func TestAccessInManyWays(t *testing.T) {
	t.Parallel()
	var statements []string
	for i := range 50 {
		statements = append(statements, statement("Allow", "s3:GetObject", fmt.Sprintf("arn:aws:s3:::b%d", i)))
	}
	many, none := document(strings.Join(statements, ",")), document("")
	got := Policies{env: accessEnv()}.Access(livePolicy{Exists: true, Is: spec.IAMPolicy{Name: "p", Document: none}}, spec.IAMPolicy{Name: "p", Document: many})
	if want := "gains 10 times more, in ways that are not listed"; len(got) != 41 || got[40] != want {
		t.Errorf("access is %d lines, the last %q, want 41 and %q", len(got), got[len(got)-1], want)
	}
}

// A group that changes does so for whoever is in it; nobody is in a new one.
func TestGroupAccess(t *testing.T) {
	t.Parallel()
	groups := Groups{env: accessEnv(), known: known{documents: map[string]spec.Document{
		ours: document(statement("Allow", "s3:GetObject", "arn:aws:s3:::b")),
	}}}
	all := map[string]spec.Document{"x": document(statement("Allow", "s3:*", "arn:aws:s3:::b"))}
	for name, tt := range map[string]struct {
		isNew      bool
		live, want spec.IAMGroup
		lines      []string
	}{
		"new":      {isNew: true, want: spec.IAMGroup{Policies: []string{ours}}},
		"same":     {live: spec.IAMGroup{Policies: []string{ours}}, want: spec.IAMGroup{Policies: []string{ours}}},
		"attached": {live: spec.IAMGroup{Policies: []string{}}, want: spec.IAMGroup{Policies: []string{ours}}, lines: []string{"gains s3:GetObject on arn:aws:s3:::b"}},
		"detached": {live: spec.IAMGroup{Policies: []string{ours}}, want: spec.IAMGroup{Policies: []string{}}, lines: []string{"loses s3:GetObject on arn:aws:s3:::b"}},
		"widened": {
			live: spec.IAMGroup{Policies: []string{ours}, InlinePolicies: map[string]spec.Document{}}, want: spec.IAMGroup{Policies: []string{ours}, InlinePolicies: all},
			lines: []string{"gains s3:* except s3:GetObject on arn:aws:s3:::b; for example s3:DeleteObject on arn:aws:s3:::b"},
		},
		"attached, of AWS": {
			live: spec.IAMGroup{Policies: []string{}}, want: spec.IAMGroup{Policies: []string{admin}},
			lines: []string{"unknown: what comes with policy " + admin + ": its document is not in the spec"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.live.Name, tt.want.Name = "g", "g"
			got := groups.Access(liveGroup{Exists: !tt.isNew, Is: tt.live}, tt.want)
			if diff := cmp.Diff(tt.lines, append([]string(nil), got...)); diff != "" {
				t.Errorf("access (-want +got):\n%s", diff)
			}
		})
	}
}
