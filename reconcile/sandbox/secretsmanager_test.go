package sandbox

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

const (
	token1 = "11111111-1111-4111-8111-111111111111"
	token2 = "22222222-2222-4222-8222-222222222222"
	token3 = "33333333-3333-4333-8333-333333333333"
)

func createSecret(t *testing.T, e *jsonEndpoint, in *secretsmanager.CreateSecretInput) *secretsmanager.CreateSecretOutput {
	t.Helper()
	return must[*secretsmanager.CreateSecretOutput](t)(e.secrets.CreateSecret(t.Context(), in))
}

func describeSecret(t *testing.T, e *jsonEndpoint, id string) *secretsmanager.DescribeSecretOutput {
	t.Helper()
	return must[*secretsmanager.DescribeSecretOutput](t)(e.secrets.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: &id}))
}

func secretValueOf(t *testing.T, e *jsonEndpoint, in secretsmanager.GetSecretValueInput) string {
	t.Helper()
	in.SecretId = aws.String("s")
	return aws.ToString(must[*secretsmanager.GetSecretValueOutput](t)(e.secrets.GetSecretValue(t.Context(), &in)).SecretString)
}

func TestSecretsCreate(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	created := createSecret(t, e, &secretsmanager.CreateSecretInput{
		Name: aws.String("team/s"), ClientRequestToken: aws.String(token1), SecretString: aws.String("one"),
		Description: aws.String("d"), KmsKeyId: aws.String("k"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}},
	})
	arn := aws.ToString(created.ARN)
	if prefix := "arn:aws:secretsmanager:eu-north-1:123456789012:secret:team/s-"; !strings.HasPrefix(arn, prefix) || len(arn) != len(prefix)+6 {
		t.Errorf("ARN %s", arn)
	}
	want := &secretsmanager.DescribeSecretOutput{
		ARN: &arn, Name: aws.String("team/s"), Description: aws.String("d"), KmsKeyId: aws.String("k"),
		CreatedDate: aws.Time(start), LastChangedDate: aws.Time(start),
		Tags:               []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}},
		VersionIdsToStages: map[string][]string{token1: {"AWSCURRENT"}},
	}
	for _, id := range []string{"team/s", arn, strings.TrimSuffix(arn, arn[len(arn)-7:])} {
		if d := diff(want, describeSecret(t, e, id)); d != "" {
			t.Errorf("%s (-want +got):\n%s", id, d)
		}
	}
	got := must[*secretsmanager.GetSecretValueOutput](t)(e.secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &arn}))
	value := &secretsmanager.GetSecretValueOutput{
		ARN: &arn, Name: aws.String("team/s"), SecretString: aws.String("one"), VersionId: aws.String(token1),
		VersionStages: []string{"AWSCURRENT"}, CreatedDate: aws.Time(start),
	}
	if d := diff(value, got); d != "" {
		t.Errorf("value (-want +got):\n%s", d)
	}

	// The same call again is the same secret; the same token with another
	// value, or another token, is not.
	again := secretsmanager.CreateSecretInput{Name: aws.String("team/s"), ClientRequestToken: aws.String(token1), SecretString: aws.String("one")}
	if got := createSecret(t, e, &again); aws.ToString(got.VersionId) != token1 {
		t.Errorf("again: %+v", got)
	}
	other := again
	other.SecretString = aws.String("two")
	wantCode(t, erase(e.secrets.CreateSecret(t.Context(), &other)), "ResourceExistsException")
	other = again
	other.ClientRequestToken = aws.String(token2)
	wantCode(t, erase(e.secrets.CreateSecret(t.Context(), &other)), "ResourceExistsException")
}

func TestSecretsWithoutValue(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	if got := createSecret(t, e, &secretsmanager.CreateSecretInput{Name: aws.String("s")}); got.VersionId != nil {
		t.Errorf("version %s of nothing", *got.VersionId)
	}
	wantCode(t, erase(e.secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("s")})), "ResourceNotFoundException")
	binary := []byte{0, 1, 255}
	must[*secretsmanager.PutSecretValueOutput](t)(e.secrets.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String("s"), SecretBinary: binary, VersionStages: []string{"MINE"}}))
	got := must[*secretsmanager.GetSecretValueOutput](t)(e.secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("s")}))
	if !bytes.Equal(got.SecretBinary, binary) || got.SecretString != nil {
		t.Errorf("value %+v", got)
	}
	if d := diff([]string{"AWSCURRENT", "MINE"}, got.VersionStages); d != "" {
		t.Errorf("the first version is the current one in any case (-want +got):\n%s", d)
	}
}

func TestSecretsVersions(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	ctx, id := t.Context(), aws.String("s")
	createSecret(t, e, &secretsmanager.CreateSecretInput{Name: id, ClientRequestToken: aws.String(token1), SecretString: aws.String("one")})
	put := func(token, value string, stages ...string) error {
		return erase(e.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: id, ClientRequestToken: &token, SecretString: &value, VersionStages: stages}))
	}
	stages := func(what string, want map[string][]string) {
		t.Helper()
		if d := diff(want, describeSecret(t, e, "s").VersionIdsToStages); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}

	wantCode(t, put(token2, "two"), "")
	second := map[string][]string{token1: {"AWSPREVIOUS"}, token2: {"AWSCURRENT"}}
	stages("second", second)
	wantCode(t, put(token2, "two"), "")
	stages("second again", second)
	wantCode(t, put(token2, "three"), "ResourceExistsException")
	stages("second with another value", second)
	wantCode(t, put("short", "three"), "InvalidParameterException")

	e.pass(time.Hour)
	must[*secretsmanager.UpdateSecretOutput](t)(e.secrets.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{
		SecretId: id, ClientRequestToken: aws.String(token3), SecretString: aws.String("three"), Description: aws.String("d"),
	}))
	stages("third", map[string][]string{token2: {"AWSPREVIOUS"}, token3: {"AWSCURRENT"}})
	described := describeSecret(t, e, "s")
	if aws.ToString(described.Description) != "d" || !aws.ToTime(described.LastChangedDate).Equal(start.Add(time.Hour)) || !aws.ToTime(described.CreatedDate).Equal(start) {
		t.Errorf("described %+v", described)
	}

	for _, tt := range []struct {
		in   secretsmanager.GetSecretValueInput
		want string
	}{
		{secretsmanager.GetSecretValueInput{}, "three"},
		{secretsmanager.GetSecretValueInput{VersionStage: aws.String("AWSPREVIOUS")}, "two"},
		{secretsmanager.GetSecretValueInput{VersionId: aws.String(token1)}, "one"},
	} {
		if got := secretValueOf(t, e, tt.in); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
	wantCode(t, erase(e.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: id, VersionStage: aws.String("NONE")})), "ResourceNotFoundException")
	wantCode(t, erase(e.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: id, VersionId: aws.String(token2), VersionStage: aws.String("AWSCURRENT")})), "ResourceNotFoundException")
}

func TestSecretsDelete(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	ctx, id := t.Context(), aws.String("s")
	create := secretsmanager.CreateSecretInput{Name: id, SecretString: aws.String("one")}
	createSecret(t, e, &create)
	remove := func(in secretsmanager.DeleteSecretInput) error {
		in.SecretId = id
		return erase(e.secrets.DeleteSecret(ctx, &in))
	}
	exists := func() error {
		return erase(e.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: id}))
	}
	wantCode(t, remove(secretsmanager.DeleteSecretInput{RecoveryWindowInDays: aws.Int64(6)}), "InvalidParameterException")
	wantCode(t, remove(secretsmanager.DeleteSecretInput{RecoveryWindowInDays: aws.Int64(7), ForceDeleteWithoutRecovery: aws.Bool(true)}), "InvalidParameterException")
	wantCode(t, remove(secretsmanager.DeleteSecretInput{RecoveryWindowInDays: aws.Int64(7)}), "")

	const marked = "InvalidRequestException"
	runRefusals(t, []refusal{
		{"describe", func(context.Context) error { return exists() }, ""},
		{"value", func(ctx context.Context) error {
			return erase(e.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: id}))
		}, marked},
		{"put", func(ctx context.Context) error {
			return erase(e.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: id, SecretString: aws.String("two")}))
		}, marked},
		{"update", func(ctx context.Context) error {
			return erase(e.secrets.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: id}))
		}, marked},
		{"tag", func(ctx context.Context) error {
			return erase(e.secrets.TagResource(ctx, &secretsmanager.TagResourceInput{SecretId: id, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("")}}}))
		}, marked},
		{"delete", func(context.Context) error { return remove(secretsmanager.DeleteSecretInput{}) }, marked},
		{"create", func(ctx context.Context) error { return erase(e.secrets.CreateSecret(ctx, &create)) }, marked},
	})
	if got := aws.ToTime(describeSecret(t, e, "s").DeletedDate); !got.Equal(start.AddDate(0, 0, 7)) {
		t.Errorf("deletion at %v", got)
	}
	list := func(deleted bool) int {
		return len(must[*secretsmanager.ListSecretsOutput](t)(e.secrets.ListSecrets(ctx, &secretsmanager.ListSecretsInput{IncludePlannedDeletion: &deleted})).SecretList)
	}
	if list(false) != 0 || list(true) != 1 {
		t.Errorf("listed %d, with deleted ones %d", list(false), list(true))
	}

	must[*secretsmanager.RestoreSecretOutput](t)(e.secrets.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: id}))
	if got := secretValueOf(t, e, secretsmanager.GetSecretValueInput{}); got != "one" {
		t.Errorf("restored: %q", got)
	}

	// Thirty days are what the window has unless told otherwise.
	wantCode(t, remove(secretsmanager.DeleteSecretInput{}), "")
	e.pass(30*24*time.Hour - time.Second)
	wantCode(t, exists(), "")
	e.pass(time.Second)
	wantCode(t, exists(), "ResourceNotFoundException")
	createSecret(t, e, &create)

	force := secretsmanager.DeleteSecretInput{ForceDeleteWithoutRecovery: aws.Bool(true)}
	wantCode(t, remove(force), "")
	wantCode(t, exists(), "ResourceNotFoundException")
	wantCode(t, remove(force), "") // a secret that is not there is as good as deleted
	wantCode(t, remove(secretsmanager.DeleteSecretInput{}), "ResourceNotFoundException")
}

func TestSecretsList(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	for _, name := range []string{"b/one", "a/one", "a/two"} {
		createSecret(t, e, &secretsmanager.CreateSecretInput{
			Name: &name, Description: aws.String("about " + name), Tags: []types.Tag{{Key: aws.String("k" + name), Value: aws.String("v" + name)}},
		})
	}
	filter := func(key types.FilterNameStringType, value string) []types.Filter {
		return []types.Filter{{Key: key, Values: []string{value}}}
	}
	tests := []struct {
		name    string
		filters []types.Filter
		want    []string
	}{
		{"all, by name", nil, []string{"a/one", "a/two", "b/one"}},
		{"name", filter(types.FilterNameStringTypeName, "a/"), []string{"a/one", "a/two"}},
		{"name begins with it", filter(types.FilterNameStringTypeName, "one"), nil},
		{"description", filter(types.FilterNameStringTypeDescription, "about b"), []string{"b/one"}},
		{"tag key", filter(types.FilterNameStringTypeTagKey, "kb"), []string{"b/one"}},
		{"tag value", filter(types.FilterNameStringTypeTagValue, "va/t"), []string{"a/two"}},
		{"anywhere", filter(types.FilterNameStringTypeAll, "va/t"), []string{"a/two"}},
		{"both", append(filter(types.FilterNameStringTypeName, "a/"), filter(types.FilterNameStringTypeTagKey, "kb")...), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			pages := secretsmanager.NewListSecretsPaginator(e.secrets, &secretsmanager.ListSecretsInput{Filters: tt.filters, MaxResults: aws.Int32(2)})
			for pages.HasMorePages() {
				for _, s := range must[*secretsmanager.ListSecretsOutput](t)(pages.NextPage(t.Context())).SecretList {
					got = append(got, *s.Name)
				}
			}
			if d := diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestSecretsChanges(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	ctx, id := t.Context(), aws.String("s")
	createSecret(t, e, &secretsmanager.CreateSecretInput{Name: id, KmsKeyId: aws.String("k"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}}})
	must[*secretsmanager.TagResourceOutput](t)(e.secrets.TagResource(ctx, &secretsmanager.TagResourceInput{SecretId: id, Tags: []types.Tag{{Key: aws.String("b"), Value: aws.String("2")}}}))
	must[*secretsmanager.UntagResourceOutput](t)(e.secrets.UntagResource(ctx, &secretsmanager.UntagResourceInput{SecretId: id, TagKeys: []string{"a"}}))
	must[*secretsmanager.UpdateSecretOutput](t)(e.secrets.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: id, Description: aws.String("d")}))
	got := describeSecret(t, e, "s")
	if d := diff([]types.Tag{{Key: aws.String("b"), Value: aws.String("2")}}, got.Tags); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	if aws.ToString(got.Description) != "d" || aws.ToString(got.KmsKeyId) != "k" {
		t.Errorf("what was given is %q, what was not %q", aws.ToString(got.Description), aws.ToString(got.KmsKeyId))
	}

	const policy = `{"Version": "2012-10-17", "Statement": []}`
	read := func() string {
		return aws.ToString(must[*secretsmanager.GetResourcePolicyOutput](t)(e.secrets.GetResourcePolicy(ctx, &secretsmanager.GetResourcePolicyInput{SecretId: id})).ResourcePolicy)
	}
	if got := read(); got != "" {
		t.Errorf("policy %s", got)
	}
	wantCode(t, erase(e.secrets.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: id, ResourcePolicy: aws.String("{")})), "MalformedPolicyDocumentException")
	must[*secretsmanager.PutResourcePolicyOutput](t)(e.secrets.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: id, ResourcePolicy: aws.String(policy)}))
	if got := read(); got != policy {
		t.Errorf("policy %s", got)
	}
	must[*secretsmanager.DeleteResourcePolicyOutput](t)(e.secrets.DeleteResourcePolicy(ctx, &secretsmanager.DeleteResourcePolicyInput{SecretId: id}))
	if got := read(); got != "" {
		t.Errorf("policy after its deletion: %s", got)
	}

	for _, name := range []string{"with space", strings.Repeat("s", 513)} {
		wantCode(t, erase(e.secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name})), "InvalidParameterException")
	}
	wantCode(t, erase(e.secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("x"), SecretString: aws.String("v"), SecretBinary: []byte("v")})), "InvalidParameterException")
	wantCode(t, erase(e.secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("x"), SecretString: aws.String(strings.Repeat("v", 65537))})), "InvalidParameterException")
	wantCode(t, erase(e.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String("x")})), "ResourceNotFoundException")
	wantCode(t, erase(e.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: id})), "InvalidRequestException")
	wantCode(t, erase(e.secrets.TagResource(ctx, &secretsmanager.TagResourceInput{SecretId: id, Tags: []types.Tag{{Key: aws.String("aws:x"), Value: aws.String("")}}})), "InvalidParameterException")
	_, err := secretsmanagerHandlers()["CreateSecret"](&state{}, &request{body: []byte(`{"Name":"s","SecretString":"v"}`)})
	if e, ok := errors.AsType[*apiError](err); !ok || e.code != "InvalidParameterException" {
		t.Errorf("without a token, which every SDK sends: %v", err)
	}
}

// The value is in the state's file, which nobody else may read, and in neither
// log nor error.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	const value = "hush-hush"
	var log bytes.Buffer
	file := filepath.Join(t.TempDir(), "state.json")
	s, err := New(Options{State: file, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	defer srv.Close()
	client := secretsmanager.NewFromConfig((&jsonEndpoint{}).config(srv.URL, "eu-north-1"))
	ctx := t.Context()
	create := &secretsmanager.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String(value), ClientRequestToken: aws.String(token1)}
	must[*secretsmanager.CreateSecretOutput](t)(client.CreateSecret(ctx, create))
	create.SecretString = aws.String(value + "-2")
	conflict := erase(client.CreateSecret(ctx, create))
	wantCode(t, conflict, "ResourceExistsException")
	reused := erase(client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: aws.String("s"), SecretString: create.SecretString, ClientRequestToken: aws.String(token1)}))
	wantCode(t, reused, "ResourceExistsException")
	srv.Close()

	_, unreadable := secretsmanagerHandlers()["CreateSecret"](&state{}, &request{body: []byte(`{"Name":"s","SecretString":{"` + value + `":1}}`)})
	if e, ok := unreadable.(*apiError); !ok || e.code != "SerializationException" {
		t.Errorf("unreadable input: %v", unreadable)
	}
	for name, text := range map[string]string{"log": log.String(), "conflict": conflict.Error(), "reused token": reused.Error(), "unreadable input": unreadable.Error()} {
		if text == "" || strings.Contains(text, value) {
			t.Errorf("%s: %s", name, text)
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("state's file: %v, %v", info.Mode(), err)
	}
}
