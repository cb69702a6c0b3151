package stack_test

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
)

// The secret is in its sink, and in nothing else that the command or the
// sandbox writes, as loud as they can be.
func TestSecretStaysInItsSink(t *testing.T) {
	alone(t)
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("needs the go command, to build the product: ", err)
	}
	state := filepath.Join(t.TempDir(), "state.json")
	var sandboxLog lockedBuffer
	a := sandboxAccount(t, sandbox.Options{
		State: state,
		Log:   slog.New(slog.NewTextHandler(&sandboxLog, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	path := a.example(t, "dev.yaml")
	binary := filepath.Join(t.TempDir(), "churn-reconcile")
	if out, err := exec.CommandContext(t.Context(), goTool, "build", "-o", binary, "../../cmd/churn-reconcile").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	exits := func(code int, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=operator", "AWS_SECRET_ACCESS_KEY=operator")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	command := func(args ...string) string {
		t.Helper()
		return exits(0, args...)
	}
	json, markdown := filepath.Join(a.dir, "report.json"), filepath.Join(a.dir, "report.md")

	written := map[string]string{
		"the run": command("-f", path, "--endpoint-url", a.url, "-v", "--log-format", "json",
			"-o", "text", "-o", "json="+json, "-o", "markdown="+markdown),
		"the run after it":    command("-f", path, "--endpoint-url", a.url, "-v"),
		"the outputs":         command("outputs", "-f", path, "--endpoint-url", a.url),
		"the outputs as JSON": command("outputs", "-f", path, "--endpoint-url", a.url, "-o", "json"),
		"the output":          exits(1, "outputs", "-f", path, "--endpoint-url", a.url, "ml_engineer_secret_access_key"),
		"the sandbox's log":   sandboxLog.String(),
	}
	for name, file := range map[string]string{"the JSON report": json, "the Markdown report": markdown, "the sandbox's state": state} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		written[name] = string(text)
	}

	key := a.profile(t, user)
	if len(key.SecretAccessKey) < 40 {
		t.Fatalf("a secret of %d characters was delivered", len(key.SecretAccessKey))
	}
	forms := []string{
		key.SecretAccessKey, url.QueryEscape(key.SecretAccessKey), base64.StdEncoding.EncodeToString([]byte(key.SecretAccessKey)),
		key.SecretAccessKey[:20], key.SecretAccessKey[20:],
	}
	for name, text := range written {
		for _, form := range forms {
			if strings.Contains(text, form) {
				t.Errorf("%s shows the secret", name)
				break
			}
		}
	}
	// What may be shown is found, so the search would have found the rest.
	for _, name := range []string{"the outputs", "the sandbox's state", "the JSON report"} {
		if !strings.Contains(written[name], key.AccessKeyID) {
			t.Errorf("%s does not show the key's id", name)
		}
	}
}

// lockedBuffer is a buffer that several write to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
