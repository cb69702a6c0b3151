package spec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const defaultProvider = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"

// TestTrust: the short form of a trust policy, written out.
func TestTrust(t *testing.T) {
	open := func(provider string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/` + provider +
			`"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"` + provider + `:aud":"sts.amazonaws.com"`
	}
	const host = "token.actions.githubusercontent.com"
	equals := func(subject string) string { return open(host) + `,"` + host + `:sub":"` + subject + `"}}}]}` }
	like := func(subject string) string {
		return open(host) + `},"StringLike":{"` + host + `:sub":"` + subject + `"}}}]}`
	}
	tests := []struct{ name, github, want string }{
		{"the whole repository", `repository: octo/app`, like("repo:octo/app:*")},
		{"nothing but null", `repository: octo/app, branch: , tag: , environment: , provider: `, like("repo:octo/app:*")},
		{"branch", `repository: octo/app, branch: main`, equals("repo:octo/app:ref:refs/heads/main")},
		{"branch with a slash", `repository: octo/app, branch: release/1.0`, equals("repo:octo/app:ref:refs/heads/release/1.0")},
		{"branches", `repository: octo/app, branch: "release/*"`, like("repo:octo/app:ref:refs/heads/release/*")},
		{"branches by one letter", `repository: octo/app, branch: "v?"`, like("repo:octo/app:ref:refs/heads/v?")},
		{"tag", `repository: octo/app, tag: v1.2.3`, equals("repo:octo/app:ref:refs/tags/v1.2.3")},
		{"tags", `repository: octo/app, tag: "v*"`, like("repo:octo/app:ref:refs/tags/v*")},
		{"environment", `repository: octo/app, environment: production`, equals("repo:octo/app:environment:production")},
		{"environment with a colon", `repository: octo/app, environment: "Production:V1"`, equals("repo:octo/app:environment:Production%3AV1")},
		// Of an environment an asterisk is a letter like any other.
		{"environment with an asterisk", `repository: octo/app, environment: "prod*"`, equals("repo:octo/app:environment:prod*")},
		{"environment with spaces and signs", `repository: octo/app, environment: "a <b> & \"c\""`, equals(`repo:octo/app:environment:a <b> & \"c\"`)},
		{"numbers", `repository: octo@12/app@345, branch: main`, equals("repo:octo@12/app@345:ref:refs/heads/main")},
		{
			"another provider", `repository: octo/app, branch: main, provider: "https://token.actions.octo.ghe.com/"`,
			open("token.actions.octo.ghe.com") + `,"token.actions.octo.ghe.com:sub":"repo:octo/app:ref:refs/heads/main"}}}]}`,
		},
		{
			"a provider with a path", `repository: octo/app, provider: ghe.example.com/_services/token`,
			open("ghe.example.com/_services/token") + `},"StringLike":{"ghe.example.com/_services/token:sub":"repo:octo/app:*"}}}]}`,
		},
		{"references", `repository: "${var.owner}/app", environment: "${environment}"`, equals("repo:octo/app:environment:e")},
	}
	var sb strings.Builder
	sb.WriteString("vars: {owner: octo}\niam:\n  roles:\n")
	for _, tt := range tests {
		sb.WriteString("    - {name: " + strings.ReplaceAll(tt.name, " ", "_") + ", trust: {github: {" + tt.github + "}}}\n")
	}
	s := body(t, sb.String())
	for i, tt := range tests {
		if diff := cmp.Diff(tt.want, string(s.IAM.Roles[i].AssumeRolePolicy)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if needs := s.IAM.Roles[i].Needs; needs != nil {
			t.Errorf("%s needs %v, which is not of this spec", tt.name, needs)
		}
	}
}

// TestTrustPartition: ARNs are those of the run's partition and account.
func TestTrustPartition(t *testing.T) {
	f, err := Load("-", Options{Stdin: strings.NewReader(head + "iam: {roles: [{name: r, trust: {github: {repository: o/r}}}]}\n")})
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Bind(Identity{Account: "210987654321", Partition: "aws-us-gov", Region: "us-gov-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	want := `"Federated":"arn:aws-us-gov:iam::210987654321:oidc-provider/token.actions.githubusercontent.com"`
	if got := string(s.IAM.Roles[0].AssumeRolePolicy); !strings.Contains(got, want) {
		t.Errorf("trust policy: %s", got)
	}
}

// TestOIDCProviders: a provider's name is its URL without the scheme, in
// addresses, in ARNs and where files are laid over one another.
func TestOIDCProviders(t *testing.T) {
	const print = "0123456789ABCDEF0123456789ABCDEF01234567"
	s := bind(t, map[string]string{
		"base.yaml": head + `
tags: {a: b}
iam:
  oidcProviders:
    - {url: "https://token.actions.githubusercontent.com/", clientIDList: [sts.amazonaws.com], thumbprintList: ["` + print + `"]}
  roles:
    - {name: short, trust: {github: {repository: o/r}}}
    - {name: named, trust: {github: {repository: o/r, provider: "https://id.example.com/O"}}}
    - {name: elsewhere, trust: {github: {repository: o/r, provider: id.example.com}}}
    - {name: literal, assumeRolePolicy: {Statement: {Effect: Allow, Action: "sts:AssumeRoleWithWebIdentity", Principal: {Federated: "` + defaultProvider + `"}}}}
    - {name: reference, assumeRolePolicy: {Statement: {Effect: Allow, Action: "sts:AssumeRoleWithWebIdentity", Principal: {Federated: "${iam.oidc-provider/id.example.com/O.arn}"}}}}
outputs:
  arn: ${iam.oidc-provider/token.actions.githubusercontent.com.arn}
  name: ${iam.oidc-provider/id.example.com/O.name}
  url: ${iam.oidc-provider/id.example.com/O.url}
`,
		"dev.yaml": `
extends: base.yaml
iam:
  oidcProviders:
    - {url: token.actions.githubusercontent.com, clientIDList: [sts.amazonaws.com, other]}
    - {url: id.example.com/O, clientIDList: [sts.amazonaws.com]}
`,
	}, Options{})
	tags := map[string]string{"a": "b"}
	want := []IAMOIDCProvider{
		{Meta: Meta{Tags: tags}, URL: "token.actions.githubusercontent.com", ClientIDList: []string{"sts.amazonaws.com", "other"}, ThumbprintList: []string{strings.ToLower(print)}},
		{Meta: Meta{Tags: tags}, URL: "id.example.com/O", ClientIDList: []string{"sts.amazonaws.com"}},
	}
	if diff := cmp.Diff(want, s.IAM.OIDCProviders); diff != "" {
		t.Errorf("providers (-want +got):\n%s", diff)
	}
	github, other := []ID{{OIDCProvider, "token.actions.githubusercontent.com"}}, []ID{{OIDCProvider, "id.example.com/O"}}
	wantNeeds := map[ID][]ID{
		github[0]: nil, other[0]: nil,
		{Role, "short"}: github, {Role, "named"}: other, {Role, "elsewhere"}: nil, {Role, "literal"}: github, {Role, "reference"}: other,
	}
	if diff := cmp.Diff(wantNeeds, s.Needs()); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
	wantOutputs := []Output{
		{Name: "arn", Value: Template{{Text: defaultProvider}}},
		{Name: "name", Value: Template{{Text: "id.example.com/O"}}},
		{Name: "url", Value: Template{{Text: "https://id.example.com/O"}}},
	}
	if diff := cmp.Diff(wantOutputs, s.Outputs); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
}
