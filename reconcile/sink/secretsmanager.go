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
