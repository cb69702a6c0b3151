package tfstate

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// TestWithheld: a resource in which a secret of the state stands is in no spec,
// wherever it stands.
func TestWithheld(t *testing.T) {
	part := readPart(t, strings.NewReader(stateOf(
		one("aws_iam_user", "u", `{"name": "u", "arn": "arn:aws:iam::111111111111:user/u"}`),
		one("aws_iam_access_key", "k", `{"id": "AKIAX", "user": "u", "secret": "SECRET", "ses_smtp_password_v4": "SMTP"}`),
	)))
	for name, r := range map[string]spec.Resource{
		"a tag":            spec.LogsLogGroup{Name: "x", Meta: spec.Meta{Tags: map[string]string{"k": "a SECRET"}}},
		"a tag's key":      spec.LogsLogGroup{Name: "x", Meta: spec.Meta{Tags: map[string]string{"SMTP": ""}}},
		"a document":       spec.IAMPolicy{Name: "x", Document: spec.Document(`{"Id": "SECRET"}`)},
		"an inline policy": spec.IAMRole{Name: "x", InlinePolicies: map[string]spec.Document{"p": spec.Document(`{"Id": "SECRET"}`)}},
		"an environment": spec.ECSTaskDefinition{Family: "x", ContainerDefinitions: []ecstypes.ContainerDefinition{{
			Environment: []ecstypes.KeyValuePair{{Name: aws.String("KEY"), Value: aws.String("id:SECRET")}},
		}}},
		"a command": spec.ECSTaskDefinition{Family: "x", ContainerDefinitions: []ecstypes.ContainerDefinition{{Command: []string{"curl", "-u", "x:SMTP"}}}},
	} {
		draft := spec.Draft{Project: "p", Environment: "e", Resources: []spec.Resource{r, spec.ECSCluster{Name: "well"}}}
		withheld := part.Complete(&draft, false)
		if len(withheld) != 1 || withheld[0].ID != r.ID() {
			t.Errorf("%s: withheld is %v", name, withheld)
		}
		if text := string(draft.YAML()); part.Tells(text) || !strings.Contains(text, "name: well") {
			t.Errorf("%s: the spec is\n%s", name, text)
		}
	}
}

// TestTrim: what S3 fills in within an encryption is not written, unless
// Terraform looks after it or all that is live is wanted.
func TestTrim(t *testing.T) {
	part := readPart(t, strings.NewReader(stateOf(
		one("aws_s3_bucket", "old", `{"bucket": "old", "region": "eu-north-1"}`),
		one("aws_s3_bucket_server_side_encryption_configuration", "old", `{"bucket": "old", "rule": [{"bucket_key_enabled": false}]}`),
		one("aws_s3_bucket", "new", `{"bucket": "new", "region": "eu-north-1"}`),
		one("aws_s3_bucket_server_side_encryption_configuration", "new", `{"bucket": "new", "rule": [{"blocked_encryption_types": ["SSE-C"]}]}`),
		one("aws_s3_bucket", "whole", `{"bucket": "whole", "region": "eu-north-1"}`),
	)))
	for i, want := range part.Wants {
		if want.ID.Name == "whole" {
			part.Wants[i].Fields = nil
		}
	}
	live := func(name string, on bool) spec.S3Bucket {
		return spec.S3Bucket{Name: name, Encryption: &spec.S3Encryption{SSEAlgorithm: "AES256", BucketKeyEnabled: &on, BlockedEncryptionTypes: []string{"SSE-C"}}}
	}
	draft := spec.Draft{Resources: []spec.Resource{live("old", false), live("new", true), live("whole", false)}}
	part.Complete(&draft, false)
	yes, no := true, false
	want := []spec.Resource{
		spec.S3Bucket{Name: "old", Encryption: &spec.S3Encryption{SSEAlgorithm: "AES256"}},
		spec.S3Bucket{Name: "new", Encryption: &spec.S3Encryption{SSEAlgorithm: "AES256", BucketKeyEnabled: &yes, BlockedEncryptionTypes: []string{"SSE-C"}}},
		spec.S3Bucket{Name: "whole", Encryption: &spec.S3Encryption{SSEAlgorithm: "AES256", BucketKeyEnabled: &no, BlockedEncryptionTypes: []string{"SSE-C"}}},
	}
	if diff := cmp.Diff(want, draft.Resources); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
