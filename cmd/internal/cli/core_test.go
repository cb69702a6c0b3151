//go:build unix

package cli_test

import (
	"io"
	"syscall"
	"testing"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/cli"
)

// A command leaves no core: it would have the secrets in it.
func TestNoCore(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil {
		t.Fatal(err)
	}
	// Another test may have run a command in this process already, after which
	// only root may raise the limit again.
	if limit.Cur == 0 {
		limit.Cur, limit.Max = 1024, max(limit.Max, 1024)
		if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &limit); err != nil {
			t.Skip(err)
		}
	}
	if code := cli.Main([]string{"version"}, cli.Env{Stdout: io.Discard, Stderr: io.Discard}); code != 0 {
		t.Fatalf("exit status %d", code)
	}
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		t.Errorf("the limit is %d, at most %d (%v)", limit.Cur, limit.Max, err)
	}
}
