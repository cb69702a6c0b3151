package sink_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sink"
)

const vaultName = "ci/key"

// A vault is Secrets Manager on a sandbox.
type vault struct {
	api    *secretsmanager.Client
	server *sandbox.Server
	fault  func(sandbox.Call, sandbox.Phase) sandbox.Fault
}

func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{}
	server, err := sandbox.New(sandbox.Options{
		Now: func() time.Time { return epoch },
		Intercept: func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
			if v.fault == nil {
				return sandbox.None
			}
			return v.fault(c, p)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	v.server = server
	endpoint := httptest.NewServer(server)
	t.Cleanup(endpoint.Close)
	v.api = secretsmanager.New(secretsmanager.Options{
		Region: "eu-north-1", BaseEndpoint: &endpoint.URL,
		Credentials: credentials.NewStaticCredentialsProvider("operator", "operator", ""),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		}),
	})
	return v
}

func (v *vault) sink(change func(*sink.SecretsManager)) *sink.SecretsManager {
	s := &sink.SecretsManager{
		API: v.api, Name: vaultName,
		Tags:  reconcile.Tags{Want: map[string]string{"Team": "data"}, Stack: "churn/dev"},
		Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
	if change != nil {
		change(s)
	}
	return s
}

// create makes the secret by hand.
func (v *vault) create(t *testing.T, in secretsmanager.CreateSecretInput) {
	t.Helper()
	in.Name = aws.String(vaultName)
	if _, err := v.api.CreateSecret(t.Context(), &in); err != nil {
		t.Fatal(err)
	}
}

func (v *vault) describe(t *testing.T) *secretsmanager.DescribeSecretOutput {
	t.Helper()
	out, err := v.api.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String(vaultName)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (v *vault) value(t *testing.T) string {
	t.Helper()
	out, err := v.api.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String(vaultName)})
	if _, absent := errors.AsType[*types.ResourceNotFoundException](err); absent {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.SecretString)
}

func tags(list []types.Tag) map[string]string {
	m := map[string]string{}
	for _, t := range list {
		m[*t.Key] = *t.Value
	}
	return m
}

func mustHold(t *testing.T, s sink.Sink, id string, want bool) {
	t.Helper()
	if held, err := s.Holds(t.Context(), id, epoch); held != want || err != nil {
		t.Errorf("holds %s: %v, %v; want %v", id, held, err, want)
	}
}

func TestSecretsManager(t *testing.T) {
	v := newVault(t)
	s := v.sink(func(s *sink.SecretsManager) { s.KMSKeyID = aws.String("arn:aws:kms:eu-north-1:123456789012:key/1") })
	if s.String() != "Secrets Manager ci/key" || !s.Shared() {
		t.Errorf("the sink is %q, shared: %v", s, s.Shared())
	}
	mustHold(t, s, pair.ID, false)

	if err := s.Check(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	made := v.describe(t)
	if diff := cmp.Diff(map[string]string{"Team": "data", "churn-reconcile:stack": "churn/dev"}, tags(made.Tags)); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if got := aws.ToString(made.KmsKeyId); got != *s.KMSKeyID {
		t.Errorf("the KMS key is %q", got)
	}
	mustHold(t, s, pair.ID, false)

	if err := s.Deliver(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(v.value(t)), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"aws_access_key_id": pair.ID, "aws_secret_access_key": pair.Secret.Reveal()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the secret (-want +got):\n%s", diff)
	}
	mustHold(t, s, pair.ID, true)
	mustHold(t, s, "AKIAI44QH8DHBEXAMPLE", false)

	// Another check is no other value for those who read it.
	if err := s.Check(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	mustHold(t, s, pair.ID, true)

	next := sink.Key{ID: "AKIAI44QH8DHBEXAMPLE", Secret: sink.NewSecret("je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY")}
	if err := s.Deliver(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	mustHold(t, s, next.ID, true)
	mustHold(t, s, pair.ID, false)
}

// What stands in the secret's place is taken over, or refused, before there is
// a key to lose.
func TestSecretsManagerExisting(t *testing.T) {
	value := aws.String("somebody's")
	mark := func(stack string) []types.Tag {
		return []types.Tag{{Key: aws.String("churn-reconcile:stack"), Value: &stack}, {Key: aws.String("Team"), Value: aws.String("ops")}}
	}
	for _, tt := range []struct {
		name    string
		make    func(t *testing.T, v *vault)
		change  func(*sink.SecretsManager)
		want    map[string]string // its tags then
		kms     string
		refused string
	}{
		{
			name: "without a mark", make: func(t *testing.T, v *vault) { v.create(t, secretsmanager.CreateSecretInput{SecretString: value}) },
			want: map[string]string{"Team": "data", "churn-reconcile:stack": "churn/dev"},
		},
		{
			name: "without a value", make: func(t *testing.T, v *vault) { v.create(t, secretsmanager.CreateSecretInput{}) },
			want: map[string]string{"Team": "data", "churn-reconcile:stack": "churn/dev"},
		},
		{
			name: "of the stack", make: func(t *testing.T, v *vault) {
				v.create(t, secretsmanager.CreateSecretInput{SecretString: value, Tags: mark("churn/dev")})
			},
			want: map[string]string{"Team": "data", "churn-reconcile:stack": "churn/dev"},
		},
		{
			name: "of another stack", make: func(t *testing.T, v *vault) {
				v.create(t, secretsmanager.CreateSecretInput{SecretString: value, Tags: mark("churn/prod")})
			},
			want:    map[string]string{"Team": "ops", "churn-reconcile:stack": "churn/prod"},
			refused: `belongs to the stack "churn/prod"`,
		},
		{
			name: "under another KMS key", make: func(t *testing.T, v *vault) {
				v.create(t, secretsmanager.CreateSecretInput{SecretString: value, KmsKeyId: aws.String("alias/old"), Tags: mark("churn/dev")})
			},
			change: func(s *sink.SecretsManager) { s.KMSKeyID = aws.String("alias/new") },
			want:   map[string]string{"Team": "data", "churn-reconcile:stack": "churn/dev"}, kms: "alias/new",
		},
		{
			name: "under a KMS key that the spec leaves out", make: func(t *testing.T, v *vault) {
				v.create(t, secretsmanager.CreateSecretInput{SecretString: value, KmsKeyId: aws.String("alias/old"), Tags: mark("churn/dev")})
			},
			want: map[string]string{"Team": "data", "churn-reconcile:stack": "churn/dev"}, kms: "alias/old",
		},
		{
			name: "scheduled for deletion", make: func(t *testing.T, v *vault) {
				v.create(t, secretsmanager.CreateSecretInput{SecretString: value, Tags: mark("churn/dev")})
				if _, err := v.api.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: aws.String(vaultName)}); err != nil {
					t.Fatal(err)
				}
			},
			want:    map[string]string{"Team": "ops", "churn-reconcile:stack": "churn/dev"},
			refused: "aws secretsmanager restore-secret --secret-id ci/key",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVault(t)
			tt.make(t, v)
			s := v.sink(tt.change)
			mustHold(t, s, pair.ID, false)
			err := s.Check(t.Context(), nil)
			if tt.refused == "" && err != nil || tt.refused != "" && (err == nil || !strings.Contains(err.Error(), tt.refused)) {
				t.Fatalf("the check: %v", err)
			}
			after := v.describe(t)
			if diff := cmp.Diff(tt.want, tags(after.Tags)); diff != "" {
				t.Errorf("tags (-want +got):\n%s", diff)
			}
			if got := aws.ToString(after.KmsKeyId); got != tt.kms {
				t.Errorf("the KMS key is %q, want %q", got, tt.kms)
			}
			if tt.refused != "" {
				return
			}
			if err := s.Deliver(t.Context(), pair); err != nil {
				t.Fatal(err)
			}
			mustHold(t, s, pair.ID, true)
		})
	}
}

// Only a pair that is whole is held.
func TestSecretsManagerHolds(t *testing.T) {
	for text, want := range map[string]bool{
		`{"aws_access_key_id": "` + pair.ID + `", "aws_secret_access_key": "x"}`:              true,
		`{"aws_access_key_id": "` + pair.ID + `", "aws_secret_access_key": "x", "more": "y"}`: true,
		`{"aws_access_key_id": "` + pair.ID + `"}`:                                            false,
		`{"aws_access_key_id": "", "aws_secret_access_key": "x"}`:                             false,
		`{"aws_access_key_id": 1}`:                                                            false,
		`{}`:                                                                                  false,
		`[]`:                                                                                  false,
		`null`:                                                                                false,
		pair.ID:                                                                               false,
	} {
		v := newVault(t)
		v.create(t, secretsmanager.CreateSecretInput{SecretString: &text})
		if held, err := v.sink(nil).Holds(t.Context(), pair.ID, epoch); held != want || err != nil {
			t.Errorf("%s: held %v, %v", text, held, err)
		}
	}
}

// Every call of the sink may be refused, or have its answer lost: the first is
// an error that names it, the second no fault.
func TestSecretsManagerFaults(t *testing.T) {
	for _, stands := range []bool{false, true} {
		do := func(v *vault) error {
			s := v.sink(func(s *sink.SecretsManager) { s.KMSKeyID = aws.String("alias/new") })
			return errors.Join(s.Check(t.Context(), nil), s.Deliver(t.Context(), pair))
		}
		prepare := func() *vault {
			v := newVault(t)
			if stands {
				v.create(t, secretsmanager.CreateSecretInput{SecretString: aws.String("somebody's")})
			}
			return v
		}
		clean := prepare()
		before := len(clean.server.Calls())
		if err := do(clean); err != nil {
			t.Fatal(err)
		}
		operations := map[string]bool{}
		for _, c := range clean.server.Calls()[before:] {
			operations[c.Operation] = true
		}
		if len(operations) < 3 {
			t.Fatalf("the sink makes only the calls %v", operations)
		}
		for op := range operations {
			v := prepare()
			v.fault = func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
				if c.Operation == op && p == sandbox.Before {
					return sandbox.Denied
				}
				return sandbox.None
			}
			if err := do(v); err == nil || !strings.Contains(err.Error(), "secretsmanager:"+op+": AccessDeniedException") || strings.Contains(err.Error(), pair.Secret.Reveal()) {
				t.Errorf("%s denied: %v", op, err)
			}

			v = prepare()
			var lost atomic.Bool // a call that was cut off leaves its handler running
			v.fault = func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
				if c.Operation == op && p == sandbox.After && lost.CompareAndSwap(false, true) {
					return sandbox.Cut
				}
				return sandbox.None
			}
			if err := do(v); err != nil || !lost.Load() {
				t.Errorf("the answer of %s lost (%v): %v", op, lost.Load(), err)
			}
			mustHold(t, v.sink(nil), pair.ID, true)
		}
	}
}

func TestSecretsManagerForget(t *testing.T) {
	deliver := func(t *testing.T, s *sink.SecretsManager) {
		t.Helper()
		if err := errors.Join(s.Check(t.Context(), nil), s.Deliver(t.Context(), pair)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name    string
		before  func(*testing.T, *vault)
		id      string
		deleted bool
	}{
		{"the stack's, with the pair", func(t *testing.T, v *vault) { deliver(t, v.sink(nil)) }, pair.ID, true},
		{"the stack's, with another pair", func(t *testing.T, v *vault) { deliver(t, v.sink(nil)) }, "AKIAOTHER", false},
		{"another stack's", func(t *testing.T, v *vault) {
			deliver(t, v.sink(func(s *sink.SecretsManager) { s.Tags.Stack = "churn/prod" }))
		}, pair.ID, false},
		{"somebody's", func(t *testing.T, v *vault) {
			v.create(t, secretsmanager.CreateSecretInput{SecretString: aws.String(`{"aws_access_key_id":"` + pair.ID + `","aws_secret_access_key":"s"}`)})
		}, pair.ID, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVault(t)
			tt.before(t, v)
			// An answer that is lost is asked for again.
			var lost atomic.Bool
			v.fault = func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
				if c.Operation == "DeleteSecret" && p == sandbox.After && lost.CompareAndSwap(false, true) {
					return sandbox.Cut
				}
				return sandbox.None
			}
			for range 2 {
				if err := v.sink(nil).Forget(t.Context(), tt.id); err != nil {
					t.Fatal(err)
				}
				is := v.describe(t)
				if got := is.DeletedDate != nil; got != tt.deleted {
					t.Errorf("deleted: %v, want %v", got, tt.deleted)
				}
				if days := 30 * 24 * time.Hour; tt.deleted && !is.DeletedDate.Equal(epoch.Add(days)) {
					t.Errorf("it is gone for good on %s, want after 30 days", is.DeletedDate)
				}
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		if err := newVault(t).sink(nil).Forget(t.Context(), pair.ID); err != nil {
			t.Error(err)
		}
	})
}
