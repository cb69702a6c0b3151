package iam

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// What a spec states of access is held against all of its policies. Each row
// that fails has a twin beside it that holds.
func TestAssertions(t *testing.T) {
	t.Parallel()
	const readOnly = "arn:aws:iam::aws:policy/ReadOnlyAccess"
	for name, tt := range map[string]struct {
		body     string // of the user
		state    string // what is stated of it
		policy   string // of the bucket
		findings []string
	}{
		"can, and does":      {body: "inlinePolicies: {x: READ}", state: `can: [s3:GetObject], on: ["arn:aws:s3:::data/a"]`},
		"can, by a pattern":  {body: "inlinePolicies: {x: READ}", state: `can: [s3:Get*], on: ["arn:aws:s3:::data/*"]`, findings: []string{"can s3:Get* on arn:aws:s3:::data/*: s3:Getx on arn:aws:s3:::data/x: no identity-based policy allows it"}},
		"can, by a managed":  {body: "policies: [read]", state: `can: [s3:GetObject], on: ["arn:aws:s3:::data/*"]`},
		"can, by a group":    {body: "groups: [readers]", state: `can: [s3:GetObject], on: ["arn:aws:s3:::data/*"]`},
		"can, but on less":   {body: "policies: [read]", state: `can: [s3:GetObject]`, findings: []string{"can s3:GetObject on *: s3:GetObject on arn:aws:s3:::example: no identity-based policy allows it"}},
		"can, but does not":  {state: `can: [s3:GetObject], on: ["arn:aws:s3:::data/a"]`, findings: []string{"can s3:GetObject on arn:aws:s3:::data/a: no identity-based policy allows it"}},
		"can, by the bucket": {policy: bucketAllows, state: `can: [s3:GetObject], on: ["arn:aws:s3:::data/*"]`},
		"can, but the bucket denies it": {
			body: "policies: [read]", policy: bucketDenies, state: `can: [s3:GetObject], on: ["arn:aws:s3:::data/*"]`,
			findings: []string{"can s3:GetObject on arn:aws:s3:::data/*: s3:GetObject on arn:aws:s3:::data/secret/x: denied by statement No of the resource-based policy s3.bucket/data"},
		},
		"can, but a boundary keeps it out": {
			body: "policies: [read], permissionsBoundary: nothing", state: `can: [s3:GetObject], on: ["arn:aws:s3:::data/a"]`,
			findings: []string{"can s3:GetObject on arn:aws:s3:::data/a: denied by statement 0 of the permissions boundary arn:aws:iam::123456789012:policy/nothing"},
		},
		"can, only over TLS": {body: "policies: [read]", policy: bucketTLS, state: `can: [s3:GetObject], on: ["arn:aws:s3:::data/*"]`},

		"cannot, and does not":          {body: "policies: [read]", state: `cannot: ["iam:*", s3:PutObject]`},
		"cannot, but does":              {body: "policies: [read]", state: `cannot: [s3:GetObject], on: ["arn:aws:s3:::data/a"]`, findings: []string{"cannot s3:GetObject on arn:aws:s3:::data/a: allowed by statement 0 of the identity-based policy arn:aws:iam::123456789012:policy/read"}},
		"cannot, but does by a pattern": {body: "policies: [read]", state: `cannot: ["s3:*"]`, findings: []string{"cannot s3:* on *: s3:GetObject on arn:aws:s3:::data/x: allowed by statement 0 of the identity-based policy arn:aws:iam::123456789012:policy/read"}},
		"cannot, but does by a group":   {body: "groups: [readers]", state: `cannot: [s3:GetObject]`, findings: []string{"cannot s3:GetObject on *: s3:GetObject on arn:aws:s3:::data/x: allowed by statement 0 of the identity-based policy arn:aws:iam::123456789012:policy/read of group readers"}},
		"cannot, for the boundary":      {body: "policies: [read], permissionsBoundary: nothing", state: `cannot: ["s3:*"]`},
		"cannot, but may under a condition": {
			body: "inlinePolicies: {x: IFTLS}", state: `cannot: [s3:GetObject]`,
			findings: []string{"cannot s3:GetObject on *: s3:GetObject on arn:aws:s3:::data/x: allowed by statement 0 of the identity-based policy x"},
		},

		"a policy of AWS that is known":      {body: "policies: [arn:aws:iam::aws:policy/AdministratorAccess]", state: `can: [iam:CreateUser]`},
		"a policy of AWS that is not known":  {body: "policies: [" + readOnly + "]", state: `can: [s3:GetObject]`, findings: []string{"can s3:GetObject on *: unknown: " + readOnly + ": its document is not in the spec"}},
		"a policy of AWS, and it is decided": {body: "policies: [" + readOnly + "], permissionsBoundary: nothing", state: `cannot: [s3:GetObject]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.NewReplacer("BODY", tt.body, "STATE", tt.state).Replace(stated)
			text = strings.NewReplacer(
				"READ", `{Version: "2012-10-17", Statement: [{Effect: Allow, Action: s3:GetObject, Resource: "arn:aws:s3:::data/*"}]}`,
				"IFTLS", `{Version: "2012-10-17", Statement: [{Effect: Allow, Action: s3:GetObject, Resource: "arn:aws:s3:::data/*", Condition: {Bool: {"aws:SecureTransport": "true"}}}]}`,
			).Replace(text)
			if tt.policy != "" {
				text = strings.Replace(text, "name: data", "name: data, policy: "+tt.policy, 1)
			}
			path := filepath.Join(t.TempDir(), "dev.yaml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			file, err := spec.Load(path, spec.Options{})
			if err != nil {
				t.Fatal(err)
			}
			s, err := file.Bind(spec.Identity{Account: "123456789012"})
			if err != nil {
				t.Fatal(err)
			}
			assertions, err := NewAssertions(s)
			if err != nil {
				t.Fatal(err)
			}
			broken, undecided := assertions.Decide()
			var findings []string
			for _, p := range broken {
				findings = append(findings, p.Error())
			}
			findings = append(findings, undecided...)
			for i, f := range findings {
				_, f, ok := strings.Cut(f, "dev.yaml:5:")
				if !ok {
					t.Errorf("%q has another place", findings[i])
				}
				_, findings[i], _ = strings.Cut(f, "access: iam.user/u ")
			}
			if diff := cmp.Diff(tt.findings, findings); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

const (
	stated = `project: p
environment: e
region: eu-north-1
access:
  - {principal: iam.user/u, STATE}
s3: {buckets: [{name: data}]}
iam:
  policies:
    - {name: read, document: READ}
    - {name: nothing, document: {Version: "2012-10-17", Statement: [{Effect: Deny, Action: "*", Resource: "*"}, {Effect: Allow, Action: "x:y", Resource: "*"}]}}
  groups: [{name: readers, policies: [read], inlinePolicies: {}}]
  users: [{name: u, BODY}]
`
	bucketAllows = `{Version: "2012-10-17", Statement: [{Effect: Allow, Principal: {AWS: "arn:aws:iam::123456789012:user/u"}, Action: s3:GetObject, Resource: "arn:aws:s3:::data/*"}]}`
	bucketDenies = `{Version: "2012-10-17", Statement: [{Sid: "No", Effect: Deny, Principal: "*", Action: s3:GetObject, Resource: "arn:aws:s3:::data/secret/*"}]}`
	bucketTLS    = `{Version: "2012-10-17", Statement: [{Effect: Deny, Principal: "*", Action: "s3:*", Resource: "arn:aws:s3:::data/*", Condition: {Bool: {"aws:SecureTransport": "false"}}}]}`
)
