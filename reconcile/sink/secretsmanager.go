package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
)

// SecretsManagerAPI is what the sink needs of AWS Secrets Manager.
type SecretsManagerAPI interface {
	CreateSecret(context.Context, *secretsmanager.CreateSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.CreateSecretOutput, error)
	DescribeSecret(context.Context, *secretsmanager.DescribeSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error)
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
	PutSecretValue(context.Context, *secretsmanager.PutSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.PutSecretValueOutput, error)
	UpdateSecret(context.Context, *secretsmanager.UpdateSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.UpdateSecretOutput, error)
	TagResource(context.Context, *secretsmanager.TagResourceInput, ...func(*secretsmanager.Options)) (*secretsmanager.TagResourceOutput, error)
	DeleteSecret(context.Context, *secretsmanager.DeleteSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.DeleteSecretOutput, error)
}

var _ SecretsManagerAPI = (*secretsmanager.Client)(nil)

// SecretsManager is a secret of AWS Secrets Manager that holds a pair as JSON.
type SecretsManager struct {
	API      SecretsManagerAPI
	Name     string
	KMSKeyID *string // nil: the AWS-managed key for a new secret, and whatever an existing one has
	Tags     reconcile.Tags
	Pause    awsx.Pause
}

// pair is the secret's text.
type pair struct {
	ID     string `json:"aws_access_key_id"`
	Secret string `json:"aws_secret_access_key"`
}

// Permissions are what the secret's calls need. AWS puts six characters of its
// own behind a secret's name in its ARN.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_iam-permissions.html
func (s *SecretsManager) Permissions(env reconcile.Env) []reconcile.Permission {
	p := reconcile.Permissions{On: []string{fmt.Sprintf("arn:%s:secretsmanager:%s:%s:secret:%s-??????", env.Partition, env.Region, env.Account, s.Name)}}
	p.Read("secretsmanager:GetSecretValue")
	p.Write("secretsmanager:DescribeSecret", "secretsmanager:CreateSecret", "secretsmanager:TagResource", "secretsmanager:PutSecretValue")
	p.Also(reconcile.Writing, "secretsmanager:CreateSecret", "secretsmanager:TagResource")
	p.Delete("secretsmanager:DescribeSecret", "secretsmanager:DeleteSecret")
	if s.KMSKeyID != nil {
		p.Write("secretsmanager:UpdateSecret")
		p.On = []string{*s.KMSKeyID}
		for _, action := range []string{"kms:GenerateDataKey", "kms:Decrypt"} {
			p.Also(reconcile.Writing, "secretsmanager:PutSecretValue", action)
		}
		p.Also(reconcile.Reading, "secretsmanager:GetSecretValue", "kms:Decrypt")
	}
	return p.List
}

func (s *SecretsManager) String() string { return "Secrets Manager " + s.Name }

// Shared is true: there is one secret of a name in an account and region.
func (*SecretsManager) Shared() bool { return true }

// Tells is true.
func (*SecretsManager) Tells() bool { return true }

// Check makes the secret, without a value, or puts the stack's tags on it. A
// secret that exists takes a value under a label that nobody reads, which
// shows that it can be written, its KMS key included.
func (s *SecretsManager) Check(ctx context.Context, _ []string) error {
	out, err := s.API.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &s.Name})
	if awsx.Code(err) == "ResourceNotFoundException" {
		_, err := s.API.CreateSecret(ctx, &secretsmanager.CreateSecretInput{
			Name: &s.Name, KmsKeyId: s.KMSKeyID, Tags: tagList(s.Tags.Create()),
			Description: aws.String("An access key, kept by churn-reconcile"),
		})
		// A lost answer, and the create was made again.
		if awsx.Code(err) == "ResourceExistsException" {
			err = nil
		}
		return awsx.Clean(err)
	}
	if err != nil {
		return awsx.Clean(err)
	}
	if out.DeletedDate != nil {
		return fmt.Errorf("the secret is scheduled for deletion; restore it (aws secretsmanager restore-secret --secret-id %s), or name another", s.Name)
	}
	live := make(map[string]string, len(out.Tags))
	for _, t := range out.Tags {
		live[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	tags, err := s.Tags.Changes(live)
	if err != nil {
		return err
	}
	if len(tags.Put) > 0 {
		if _, err := s.API.TagResource(ctx, &secretsmanager.TagResourceInput{SecretId: &s.Name, Tags: tagList(tags.Put)}); err != nil {
			return awsx.Clean(err)
		}
	}
	if s.KMSKeyID != nil && *s.KMSKeyID != aws.ToString(out.KmsKeyId) {
		if _, err := s.API.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: &s.Name, KmsKeyId: s.KMSKeyID}); err != nil {
			return awsx.Clean(err)
		}
	}
	_, err = s.API.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: &s.Name, SecretString: aws.String("{}"), VersionStages: []string{"CHURN_RECONCILE_WRITE_CHECK"},
	})
	return awsx.Clean(err)
}

// Holds reads the secret: unlike GitHub, Secrets Manager tells.
func (s *SecretsManager) Holds(ctx context.Context, id string, _ time.Time) (bool, error) {
	out, err := s.API.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &s.Name})
	switch awsx.Code(err) {
	case "ResourceNotFoundException": // no such secret, or none with a value
		return false, nil
	case "InvalidRequestException": // scheduled for deletion
		return false, nil
	}
	if err != nil {
		return false, awsx.Clean(err)
	}
	var p pair
	if err := json.Unmarshal([]byte(aws.ToString(out.SecretString)), &p); err != nil {
		return false, nil // somebody's text, in the place of a pair
	}
	return p.ID == id && p.Secret != "", nil
}

// recoveryDays is the longest that Secrets Manager keeps what was deleted.
const recoveryDays = 30

// Forget deletes the secret, which can be restored for 30 days. One without
// the stack's mark is left alone, as is one that holds another pair by now.
func (s *SecretsManager) Forget(ctx context.Context, id string) error {
	out, err := s.API.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &s.Name})
	if awsx.Code(err) == "ResourceNotFoundException" {
		return nil
	}
	if err != nil {
		return awsx.Clean(err)
	}
	marked := slices.ContainsFunc(out.Tags, func(t types.Tag) bool {
		return aws.ToString(t.Key) == reconcile.Mark && aws.ToString(t.Value) == s.Tags.Stack
	})
	if out.DeletedDate != nil || !marked {
		return nil
	}
	if held, err := s.Holds(ctx, id, time.Time{}); err != nil || !held {
		return err
	}
	_, err = s.API.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &s.Name, RecoveryWindowInDays: aws.Int64(recoveryDays)})
	switch awsx.Code(err) {
	case "ResourceNotFoundException", "InvalidRequestException":
		// A lost answer, and the call was made again: the secret is marked for
		// deletion.
		if again, e := s.API.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &s.Name}); awsx.Code(e) == "ResourceNotFoundException" || e == nil && again.DeletedDate != nil {
			return nil
		}
	}
	return awsx.Clean(err)
}

// Deliver writes the pair as the secret's current value, and reads it back.
func (s *SecretsManager) Deliver(ctx context.Context, key Key) error {
	text, err := json.Marshal(pair{ID: key.ID, Secret: key.Secret.Reveal()})
	if err != nil {
		return err
	}
	// The SDK fills in a ClientRequestToken, so that its retries make one
	// version.
	if _, err := s.API.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &s.Name, SecretString: aws.String(string(text))}); err != nil {
		return awsx.Clean(err)
	}
	poll := awsx.Poll{Pause: s.Pause, Budget: readBackBudget}
	for {
		held, err := s.Holds(ctx, key.ID, time.Time{})
		switch {
		case held || err != nil:
			return err
		case !poll.Again(ctx):
			return fmt.Errorf("%s does not read back as written", s)
		}
	}
}

// readBackBudget is how long Secrets Manager gets to show what it has taken.
// Its documentation calls it eventually consistent and names no time.
const readBackBudget = 30 * time.Second

func tagList(tags map[string]string) []types.Tag {
	list := make([]types.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return list
}
