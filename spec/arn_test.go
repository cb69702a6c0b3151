package spec

import "testing"

func TestLocated(t *testing.T) {
	in := Identity{Account: "123456789012", Partition: "aws", Region: "eu-north-1"}
	for _, tt := range []struct {
		arn, id, path string
	}{
		{"arn:aws:s3:::data", "s3.bucket/data", ""},
		{"arn:aws:logs:eu-north-1:123456789012:log-group:/ecs/churn", "logs.log-group//ecs/churn", ""},
		{"arn:aws:logs:eu-north-1:123456789012:log-group:/ecs/churn:*", "logs.log-group//ecs/churn", ""},
		{"arn:aws:ecr:eu-north-1:123456789012:repository/a/b", "ecr.repository/a/b", ""},
		{"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com", "iam.oidc-provider/token.actions.githubusercontent.com", ""},
		{"arn:aws:iam::123456789012:policy/p", "iam.policy/p", "/"},
		{"arn:aws:iam::123456789012:policy/team/ml/p", "iam.policy/p", "/team/ml/"},
		{"arn:aws:iam::123456789012:role/r", "iam.role/r", "/"},
		{"arn:aws:ecs:eu-north-1:123456789012:cluster/c", "ecs.cluster/c", ""},
		{"arn:aws:ecs:eu-north-1:123456789012:task-definition/f:12", "ecs.task-definition/f", ""},
		{"arn:aws:ecs:eu-west-1:123456789012:cluster/elsewhere", "", ""},
		{"arn:aws:iam::aws:policy/ReadOnlyAccess", "", ""},
		{"arn:aws:secretsmanager:eu-north-1:123456789012:secret:s-AbCdEf", "", ""},
		{"", "", ""},
	} {
		id, path, ok := Located(tt.arn, in)
		text := ""
		if ok {
			text = id.String()
		}
		if text != tt.id || path != tt.path {
			t.Errorf("%s: %s %s, want %s %s", tt.arn, text, path, tt.id, tt.path)
		}
	}
}
