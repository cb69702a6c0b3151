package spec

import (
	"math"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for in, want := range map[string]time.Duration{
		"90d":      90 * day,
		"24h":      day,
		"1d12h":    36 * time.Hour,
		"1d2h3m4s": day + 2*time.Hour + 3*time.Minute + 4*time.Second,
		"90m":      90 * time.Minute,
		"0s":       0,
		"00d1s":    time.Second,
		"106751d":  106751 * day,
		// The longest that fits.
		"106751d23h47m16s": math.MaxInt64 / time.Second * time.Second,
	} {
		if got, ok := parseDuration(in); !ok || got != want {
			t.Errorf("%q: %v, %v", in, got, ok)
		}
	}
	for _, in := range []string{
		"", "1", "d", "1D", "1 d", " 1d", "1d ", "1.5h", "-1d", "+1d", "1h1d", "1d1d", "1ms", "1us", "1w",
		"106751d23h47m17s", "106752d", "106751d24h", "9223372036854775807s", "99999999999999999999d", "1d\n",
	} {
		if got, ok := parseDuration(in); ok {
			t.Errorf("%q: %v", in, got)
		}
	}
}

// TestAccessKeys: what is left out is filled in where a key needs it, and kept
// as left out where the one who delivers it decides.
func TestAccessKeys(t *testing.T) {
	s := body(t, `
vars: {after: 30d, owner: octo-org}
iam:
  users:
    - {name: plain, accessKey: {deliver: [{file: {path: x}}]}}
    - {name: rotated, accessKey: {rotateAfter: "${var.after}", retireAfter: 1d12h, deliver: [{file: {path: y, format: env}}]}}
    - {name: quick, accessKey: {rotateAfter: 1h, retireAfter: 29m59s, deliver: [{file: {path: x, format: credentials}}]}}
    - name: everywhere
      accessKey:
        rotateAfter: 90d
        deliver:
          - github: {repository: "${var.owner}/app"}
          - github: {repository: Octo-org/App, environment: "Pro:duction", keyIdSecret: id, secretKeySecret: secret_2}
          - github: {organization: octo-org}
          - secretsManager: {name: ci/everywhere}
          - secretsManager: {name: ci/again-AbCdEf, kmsKeyId: "arn:aws:kms:eu-north-1:123456789012:key/1-2"}
`)
	const day = 24 * time.Hour
	want := map[string]*IAMAccessKey{
		"plain":   {RetireAfter: day, Deliver: []Sink{{File: &FileSink{Path: "x"}}}},
		"rotated": {RotateAfter: 30 * day, RetireAfter: 36 * time.Hour, Deliver: []Sink{{File: &FileSink{Path: "y", Format: "env"}}}},
		"quick":   {RotateAfter: time.Hour, RetireAfter: 29*time.Minute + 59*time.Second, Deliver: []Sink{{File: &FileSink{Path: "x", Format: "credentials"}}}},
		"everywhere": {RotateAfter: 90 * day, RetireAfter: day, Deliver: []Sink{
			{GitHub: &GitHubSink{Repository: "octo-org/app", KeyIDSecret: "AWS_ACCESS_KEY_ID", SecretKeySecret: "AWS_SECRET_ACCESS_KEY"}},
			{GitHub: &GitHubSink{Repository: "Octo-org/App", Environment: "Pro:duction", KeyIDSecret: "ID", SecretKeySecret: "SECRET_2"}},
			{GitHub: &GitHubSink{Organization: "octo-org", KeyIDSecret: "AWS_ACCESS_KEY_ID", SecretKeySecret: "AWS_SECRET_ACCESS_KEY"}},
			{SecretsManager: &SecretsManagerSink{Name: "ci/everywhere"}},
			{SecretsManager: &SecretsManagerSink{Name: "ci/again-AbCdEf", KMSKeyID: aws.String("arn:aws:kms:eu-north-1:123456789012:key/1-2")}},
		}},
	}
	got := make(map[string]*IAMAccessKey)
	for _, u := range s.IAM.Users {
		got[u.Name] = u.AccessKey
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

// TestAccessKeyOverlay: an upper file says the access key anew, whole.
func TestAccessKeyOverlay(t *testing.T) {
	s := bind(t, map[string]string{
		"base.yaml": head + "iam: {users: [{name: u, accessKey: {rotateAfter: 90d, deliver: [{file: {path: x}}]}}]}\n",
		"dev.yaml":  "extends: base.yaml\niam: {users: [{name: u, accessKey: {deliver: [{secretsManager: {name: s}}]}}]}\n",
	}, Options{})
	want := &IAMAccessKey{RetireAfter: 24 * time.Hour, Deliver: []Sink{{SecretsManager: &SecretsManagerSink{Name: "s"}}}}
	if diff := cmp.Diff(want, s.IAM.Users[0].AccessKey); diff != "" {
		t.Errorf("key (-want +got):\n%s", diff)
	}
}
