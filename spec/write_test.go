package spec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDraftText: what generates JSON sorts a policy's elements, and people do
// not; a tag that one resource lacks is not given to it by the stack; and a
// variable that stands for a bucket's name stands for no other kind's.
func TestDraftText(t *testing.T) {
	const document = `{"Statement":[{"Action":"s3:GetObject","Condition":{"Bool":{"b":"true","a":"true"}},"Effect":"Allow","Other":1,"Resource":"arn:aws:s3:::data/*","Sid":"x"}],"Version":"2012-10-17"}`
	draft := Draft{
		Project: "p", Environment: "e", Region: "eu-north-1", Account: "123456789012",
		Resources: []Resource{
			S3Bucket{Name: "data", Meta: Meta{Tags: map[string]string{"Team": "ml"}}},
			IAMPolicy{Name: "read", Document: Document(document), Meta: Meta{Tags: map[string]string{"Team": "ml"}}},
			ECSCluster{Name: "data", Meta: Meta{Tags: map[string]string{"churn-reconcile:stack": "p/e", "churn-reconcile:protect": "true"}}},
		},
	}
	const want = `project: p
environment: e
region: eu-north-1
account: "123456789012"

vars:
  bucket: data

s3:
  buckets:
    - name: ${var.bucket}
      tags:
        Team: ml

iam:
  policies:
    - name: read
      document:
        Version: "2012-10-17"
        Statement:
          - Sid: x
            Effect: Allow
            Action: s3:GetObject
            Resource: ${s3.bucket/${var.bucket}.arn}/*
            Condition:
              Bool:
                b: "true"
                a: "true"
            Other: 1
      tags:
        Team: ml

ecs:
  clusters:
    - name: data
      protect: true
`
	// The resources are in a map, whose order differs each time.
	for range 50 {
		if diff := cmp.Diff(want, string(draft.YAML())); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}
