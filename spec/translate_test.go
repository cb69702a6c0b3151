package spec

import (
	"strings"
	"testing"
)

// TestTranslate: who comes from elsewhere is told the word of a spec.
func TestTranslate(t *testing.T) {
	for body, want := range map[string]string{
		"s3: {buckets: [{bucket: x}]}":                                        `unknown field "bucket" in s3.bucket; did you mean "name"?`,
		"ecr: {repositories: [{name: xy, image_scanning_configuration: {}}]}": `unknown field "image_scanning_configuration" in ecr.repository; did you mean "scanOnPush"?`,
		"ecr: {repositories: [{name: xy, image_tag_mutability: MUTABLE}]}":    `did you mean "imageTagMutability"?`,
		"logs: {log_groups: []}":                                              `unknown field "log_groups" in logs; did you mean "logGroups"?`,
		"logs: {logGroups: [{name: x, retention_in_days: 7}]}":                `did you mean "retentionInDays"?`,
		"variables: {a: b}":                                                   `unknown field "variables" in the spec; did you mean "vars"?`,
		"aws_s3_bucket: {}":                                                   `did you mean "s3.buckets"?`,
		"iam: {roles: [{name: r, trustPolicy: {}}]}":                          `did you mean "assumeRolePolicy"?`,
		"ecs: {taskDefinitions: [{family: f, containers: []}]}":               `did you mean "containerDefinitions"?`,
		"iam: {policies: [{name: p, document: \"jsonencode({a = 1})\"}]}":     `without jsonencode(...)`,
		"iam: {policies: [{name: p, document: \"${jsonencode({a = 1})}\"}]}":  `which has no functions`,
		"tags: [{Key: a, Value: b}]":                                          `tags: want a mapping, have a list; write Key: value, a line for each`,
		"outputs: {a: \"${aws_s3_bucket.x.arn}\"}":                            `${s3.bucket/NAME.arn}`,
		"outputs: {a: \"${local.x}\"}":                                        `did you mean "var.x"?`,
		"outputs: {a: \"${AWS::AccountId}\"}":                                 `did you mean "account"?`,
		"outputs: {a: \"${data.aws_region.current.name}\"}":                   `did you mean "region"?`,
		"ecs: {taskDefinitions: [{family: f, containerDefinitions: [{name: c, image: i, environment: {A: b}}]}]}": `environment: want a list, have a mapping; write [{name: A, value: ...}]`,
	} {
		got := text(check(t, map[string]string{"dev.yaml": head + body + "\n"}, Options{}))
		if !strings.Contains(got, want) {
			t.Errorf("%s:\n%swants: %s", body, got, want)
		}
	}
}

// TestCredentialsOfTheRunner: a spec cannot take them.
func TestCredentialsOfTheRunner(t *testing.T) {
	const secret = "not-to-be-seen"
	for _, name := range []string{
		"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_RUNTIME_TOKEN",
	} {
		o := Options{Env: env(map[string]string{name: secret})}
		got := text(check(t, map[string]string{"dev.yaml": head + "tags: {A: \"${env." + name + "}\"}\n"}, o))
		if !strings.Contains(got, "dev.yaml:4:12: ${env."+name+"}: credentials") || strings.Contains(got, secret) {
			t.Errorf("%s: %s", name, got)
		}
	}
	o := Options{Env: env(map[string]string{"GITHUB_SHA": "abc", "AWS_REGION": "eu-north-1"})}
	if err := check(t, map[string]string{"dev.yaml": head + "tags: {A: \"${env.GITHUB_SHA} ${env.AWS_REGION}\"}\n"}, o); err != nil {
		t.Error(err)
	}
}
