package stack_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
)

// everyOperation is a spec whose runs make all of the product's calls but
// those for access keys. It has more policies than are read one by one where
// many is set.
func everyOperation(step int, many bool) string {
	pick := func(first, second string) string {
		if step == 0 {
			return first
		}
		return second
	}
	var more strings.Builder
	if many {
		for i := range 51 {
			fmt.Fprintf(&more, ", {name: q%02d, document: %s}", i, readS3)
		}
	}
	document := pick(readS3, `{Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:PutObject", Resource: "*"}]}`)
	return fmt.Sprintf(`
tags: {Name: x, %s: v}
s3:
  buckets:
    - name: data-of-test
      versioning: %s
      encryption: {sseAlgorithm: %s}
      objectOwnership: %s
      publicAccessBlock: {blockPublicAcls: %[5]s, ignorePublicAcls: true, blockPublicPolicy: true, restrictPublicBuckets: true}
      lifecycleRules: %s
      policy: %s
logs: {logGroups: [{name: /test, retentionInDays: %s}]}
ecr:
  repositories:
    - {name: images, imageTagMutability: %s, scanOnPush: %s, lifecyclePolicy: %s, policy: %s}
`,
		pick("Old", "New"), pick("Enabled", "Suspended"), pick("AES256", "aws:kms"), pick("BucketOwnerEnforced", "BucketOwnerPreferred"), pick("true", "false"),
		pick("[{status: Enabled, filter: {}, expiration: {days: 3}}]", "[]"),
		pick(`{Version: "2012-10-17", Statement: [{Effect: Deny, Principal: "*", Action: "s3:*", Resource: "arn:aws:s3:::data-of-test/x"}]}`, "{}"),
		pick("7", "never"),
		pick("MUTABLE", "IMMUTABLE"), pick("true", "false"),
		pick("{rules: [{rulePriority: 1, action: {type: expire}, selection: {tagStatus: any, countType: imageCountMoreThan, countNumber: 1}}]}", "{}"),
		pick(`{Version: "2012-10-17", Statement: [{Effect: Deny, Principal: "*", Action: "ecr:*"}]}`, "{}"),
	) + fmt.Sprintf(`
iam:
  policies: [{name: p, document: %s}, {name: edge, document: %s}%s]
  roles: [{name: r, assumeRolePolicy: %s, description: %s, maxSessionDuration: %s, policies: %s, inlinePolicies: {%s: %s}, permissionsBoundary: %s}]
  groups: [{name: g, policies: %[7]s, inlinePolicies: {%[8]s: %[9]s}}]
  users: [{name: u, policies: %[7]s, inlinePolicies: {%[8]s: %[9]s}, groups: %[16]s, permissionsBoundary: %[10]s}]
  oidcProviders: [{url: "https://token.actions.githubusercontent.com", clientIDList: [%s], thumbprintList: [%s]}]
ecs:
  clusters: [{name: c, settings: [{name: containerInsights, value: %s}], capacityProviders: [%s]}]
  taskDefinitions: [{family: f, networkMode: awsvpc, requiresCompatibilities: [FARGATE], cpu: "256", memory: "512", containerDefinitions: [{name: app, image: %s}]}]
`,
		document, readS3, more.String(),
		pick(trustECS, strings.ReplaceAll(trustECS, "ecs-tasks", "lambda")), pick("one", "two"), pick("3600", "7200"), pick("[p]", "[]"), pick("before", "after"), readS3, pick("edge", `""`),
		pick("one", "two"), pick("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"),
		pick("enabled", "disabled"), pick("FARGATE", "FARGATE_SPOT"), pick("busybox:1", "busybox:2"), pick("[g]", "[]"),
	)
}

// A well-formed answer with nothing in it, as a proxy or another service gives
// one, panics nowhere. Where AWS's answer would have something in it without
// fail, that nothing is there is an error that names the call, and no reason
// to make anything anew.
func TestHollowAnswers(t *testing.T) {
	alone(t)
	// What may be empty: absent, or none of them.
	mayBeEmpty := []string{
		"s3:GetBucketVersioning", "s3:GetBucketAbac",
		"logs:ListTagsForResource", "ecr:ListTagsForResource",
		"iam:ListAttachedRolePolicies", "iam:ListAttachedUserPolicies", "iam:ListRolePolicies", "iam:ListUserPolicies",
		"iam:ListAttachedGroupPolicies", "iam:ListGroupPolicies", "iam:ListGroupsForUser",
		"iam:ListPolicyVersions",
		"tagging:GetResources", // and what a large spec can do without
		"iam:GetAccountAuthorizationDetails", "iam:ListRoles",
	}
	hollow := func(a *account, spoilt func(op string) bool) {
		a.setFault(func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
			if p == sandbox.After && spoilt(operation(c)) {
				return sandbox.Hollow
			}
			return sandbox.None
		})
	}
	t.Run("every write", func(t *testing.T) {
		alone(t)
		a := sandboxAccount(t, sandbox.Options{})
		hollow(a, mutating)
		for step := range 2 {
			path := a.stack(t, everyOperation(step, false))
			a.mustApply(t, path)
			a.mustBeInSync(t, path)
		}
	})
	for _, many := range []bool{false, true} {
		clean := sandboxAccount(t, sandbox.Options{})
		for step := range 2 {
			clean.mustApply(t, clean.stack(t, everyOperation(step, many)))
		}
		var operations []string
		for _, c := range clean.sandbox.Calls() {
			operations = append(operations, operation(c))
		}
		slices.Sort(operations)
		operations = slices.Compact(operations)
		if n := len(operations); n < 60 {
			t.Errorf("only %d operations: %v", n, operations)
		}
		for _, op := range operations {
			if mutating(op) || many && !slices.Contains([]string{"iam:GetAccountAuthorizationDetails", "iam:ListRoles", "iam:GetPolicy", "tagging:GetResources"}, op) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%t", op, many), func(t *testing.T) {
				alone(t)
				a := sandboxAccount(t, sandbox.Options{})
				first, second := everyOperation(0, many), everyOperation(1, many)
				a.mustApply(t, a.stack(t, first))

				hollow(a, func(o string) bool { return o == op })
				o := a.look(a.stack(t, first))
				if slices.Contains(o.calls, op) && !slices.Contains(mayBeEmpty, op) {
					if err := o.failure(); err == nil || !strings.Contains(err.Error(), op) {
						t.Errorf("the error does not name %s: %v", op, err)
					}
				}
				for _, r := range o.results {
					if r.Action == reconcile.Create {
						t.Errorf("%s would be made anew", r.ID)
					}
				}
				a.apply(a.stack(t, second))
				a.setFault(nil)
				a.mustApply(t, a.stack(t, second))
			})
		}
	}
}
