package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/cli"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sink/sinktest"
)

// The secret of a key stands in its sinks and nowhere else: whatever goes well
// or wrong, no output, log, report or error has it, nor the sandbox's log. The
// sandbox's state has what Secrets Manager has to give back.
func TestNoSecretLeaks(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }

	var spoil atomic.Pointer[func(sandbox.Call, sandbox.Phase) sandbox.Fault]
	var sandboxLog bytes.Buffer
	stateFile := filepath.Join(dir, "state.json")
	server, err := sandbox.New(sandbox.Options{
		State: stateFile, Now: clock,
		Log: slog.New(slog.NewJSONHandler(&sandboxLog, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Intercept: func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
			if f := spoil.Load(); f != nil {
				return (*f)(c, p)
			}
			return sandbox.None
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var pairs sinktest.Pairs
	endpoint := httptest.NewServer(pairs.Watch(server))
	defer endpoint.Close()
	github := sinktest.NewGitHub(t, clock, "repos/acme/churn")

	specFile, credentials := filepath.Join(dir, "spec.yaml"), filepath.Join(dir, "credentials")
	text := `
project: p
environment: e
region: eu-north-1
iam:
  users:
    - name: ci
      accessKey:
        deliver:
          - file: {path: "` + credentials + `"}
          - file: {path: "` + credentials + `.env", format: env}
          - github: {repository: acme/churn}
          - secretsManager: {name: ci/key}
outputs:
  id: ${iam.user/ci.accessKeyId}
  secret: ${iam.user/ci.secretAccessKey}
`
	if err := os.WriteFile(specFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "operator")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "operator")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)

	environ := map[string]string{"GITHUB_API_URL": github.URL, "GITHUB_TOKEN": github.Token}
	said := map[string]string{}
	// run keeps all that a command says, on the screen and in files.
	run := func(name string, want int, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		env := cli.Env{
			Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Now: clock,
			LookupEnv: func(name string) (string, bool) { v, ok := environ[name]; return v, ok },
			Pause:     func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
			Backoff:   retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil }),
		}
		args = append(args, "-f", specFile, "--endpoint-url", endpoint.URL)
		if got := cli.Main(args, env); got != want {
			t.Errorf("%s: exit status %d, want %d\n%s%s", name, got, want, &stdout, &stderr)
		}
		said[name+", standard output"], said[name+", standard error"] = stdout.String(), stderr.String()
	}
	report := func(name, format string) string {
		path := filepath.Join(dir, name+"."+format)
		return format + "=" + path
	}
	reconcile := func(name string, want int, args ...string) {
		t.Helper()
		run(name, want, append(args, "-v", "--log-format", "json", "-o", report(name, "json"), "-o", report(name, "markdown"))...)
		for _, format := range []string{"json", "markdown"} {
			text, err := os.ReadFile(filepath.Join(dir, name+"."+format))
			if err != nil {
				t.Error(err)
			}
			said[name+", "+format] = string(text)
		}
	}

	reconcile("first", 0)
	run("outputs", 0, "outputs")
	run("outputs json", 0, "outputs", "-o", "json")
	reconcile("rotation", 0, "rotate")
	reconcile("blocked rotation", 1, "rotate")
	// The key before has to go before the next one can come.
	retire := func(name string) {
		t.Helper()
		for range 2 {
			now = now.Add(24 * time.Hour)
			reconcile("retirement before "+name, 0)
		}
	}
	for _, fault := range []sandbox.Fault{sandbox.HalfAnswer, sandbox.Garbage, sandbox.Cut, sandbox.InternalError} {
		for _, op := range []string{"CreateAccessKey", "PutSecretValue"} {
			name := fmt.Sprintf("%s of %s", fault, op)
			retire(name)
			var met atomic.Bool
			f := func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
				if c.Operation != op || p != sandbox.After {
					return sandbox.None
				}
				met.Store(true)
				return fault
			}
			spoil.Store(&f)
			reconcile(name, 1, "rotate")
			spoil.Store(nil)
			reconcile("after "+name, 0)
			if !met.Load() {
				t.Errorf("no %s", name)
			}
		}
	}
	retire("refusal")
	github.SetFault(func(c sinktest.Call, _ sinktest.Phase) sinktest.Fault {
		if c.Method == http.MethodPut && strings.HasPrefix(c.Name, "AWS_") {
			return sinktest.Fault{Status: http.StatusUnprocessableEntity}
		}
		return sinktest.Fault{}
	})
	reconcile("refusal", 1, "rotate")
	github.SetFault(nil)
	reconcile("after refusal", 0)

	said["the sandbox's log"] = sandboxLog.String()
	said["what GitHub was sent"] = github.Heard()
	state, err := os.ReadFile(stateFile)
	if err != nil {
		t.Fatal(err)
	}
	said["the sandbox's state"] = inSecretsManager.ReplaceAllString(string(state), "")

	secrets := pairs.All()
	if len(secrets) < 3 {
		t.Fatalf("only %d keys were told of", len(secrets))
	}
	var ids int
	for where, text := range said {
		for id, secret := range secrets {
			if strings.Contains(text, id) {
				ids++
			}
			if strings.Contains(text, secret) {
				t.Errorf("%s has the secret of %s", where, id)
			}
		}
		if where != "what GitHub was sent" && strings.Contains(text, github.Token) {
			t.Errorf("%s has GitHub's token", where)
		}
	}
	// A canary that hears nothing proves nothing: the ids are in many places,
	// and the secret is where it should be.
	if ids < 10 {
		t.Errorf("the ids of keys are in %d places only", ids)
	}
	delivered, err := os.ReadFile(credentials)
	if err != nil {
		t.Fatal(err)
	}
	var found bool
	for _, secret := range secrets {
		found = found || strings.Contains(string(delivered), secret) && strings.Contains(string(state), secret)
	}
	if !found {
		t.Error("no secret is in the file and in Secrets Manager")
	}
}

// inSecretsManager is a value that the sandbox keeps for Secrets Manager.
var inSecretsManager = regexp.MustCompile(`"SecretString":\s*"(\\.|[^"\\])*"`)
