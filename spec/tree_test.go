package spec_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

func TestTree(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   any
		want map[string]any
	}{
		{"what is left out", spec.S3Bucket{Name: "b"}, map[string]any{"name": "b"}},
		{
			"what is given and empty",
			spec.IAMRole{Name: "r", Description: aws.String(""), Policies: []string{}, InlinePolicies: map[string]spec.Document{}, AssumeRolePolicy: spec.Document("{}")},
			map[string]any{"name": "r", "description": "", "policies": []any{}, "inlinePolicies": map[string]any{}, "assumeRolePolicy": spec.Document("{}")},
		},
		{
			"the switches of a part, on and off",
			spec.S3Bucket{PublicAccessBlock: &spec.S3PublicAccessBlock{BlockPublicAcls: true}},
			map[string]any{"publicAccessBlock": map[string]any{
				"blockPublicAcls": true, "ignorePublicAcls": false, "blockPublicPolicy": false, "restrictPublicBuckets": false,
			}},
		},
		{
			"tags, documents by name, and AWS's own shapes",
			spec.IAMUser{Meta: spec.Meta{Tags: map[string]string{"a": ""}}, InlinePolicies: map[string]spec.Document{"p": spec.Document(`{"Statement":[]}`)}},
			map[string]any{"tags": map[string]any{"a": ""}, "inlinePolicies": map[string]any{"p": spec.Document(`{"Statement":[]}`)}},
		},
		{
			"a number",
			spec.LogsLogGroup{RetentionInDays: aws.Int32(0)},
			map[string]any{"retentionInDays": int64(0)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(tt.want, spec.Tree(tt.in)); d != "" {
				t.Errorf("want (-), got (+):\n%s", d)
			}
		})
	}
}

func TestShapeTree(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   any
		want any
	}{
		{"nothing", (*types.TaskDefinition)(nil), nil},
		{"an empty struct", types.LinuxParameters{}, nil},
		{"an empty list", []types.KeyValuePair{}, nil},
		{"a bare zero is not given", types.ContainerDefinition{Cpu: 0}, nil},
		{"a pointer to zero is", types.PortMapping{HostPort: aws.Int32(0)}, map[string]any{"hostPort": int64(0)}},
		{"so is one to false", types.ContainerDefinition{Essential: aws.Bool(false)}, map[string]any{"essential": false}},
		{"and one to empty text", types.KeyValuePair{Value: aws.String("")}, map[string]any{"value": ""}},
		{"empty text in a map", map[string]string{"a": ""}, map[string]any{"a": ""}},
		{"an empty element keeps its place", []types.KeyValuePair{{}}, []any{map[string]any{}}},
		{"enums are text", []types.Compatibility{types.CompatibilityFargate}, []any{"FARGATE"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(tt.want, spec.ShapeTree(tt.in)); d != "" {
				t.Errorf("want (-), got (+):\n%s", d)
			}
		})
	}
}
