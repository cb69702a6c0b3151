package filelock_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/churn-reconcile/churn-reconcile/reconcile/filelock"
)

// holdEnv makes the test binary a process that takes the lock of a file and
// holds it until its standard input ends.
const holdEnv = "CHURN_TEST_HOLD"

func TestMain(m *testing.M) {
	path := os.Getenv(holdEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	if _, err := filelock.Try(path); err != nil {
		panic(err)
	}
	os.Stdout.WriteString("held\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	var inside, most atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				lock, err := filelock.Acquire(context.WithoutCancel(t.Context()), path)
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n > most.Load() {
					most.Store(n)
				}
				inside.Add(-1)
				if err := lock.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if most.Load() != 1 {
		t.Errorf("%d had the lock at once", most.Load())
	}
	if _, err := os.Lstat(filelock.Beside(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock's file is left behind: %v", err)
	}
}

// A lock ends with its process, and until then tells whose it is.
func TestAnotherProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), holdEnv+"="+path)
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}

	_, err = filelock.Try(path)
	held, ok := errors.AsType[*filelock.HeldError](err)
	if !ok || held.PID != other.Process.Pid {
		t.Errorf("error %v, want one that names process %d", err, other.Process.Pid)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := filelock.Acquire(ended, path); err == nil || !strings.Contains(err.Error(), path+" is in use by process ") {
		t.Errorf("error %v, want one that says whose it is", err)
	}

	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // killed
	lock, err := filelock.Try(path)
	if err != nil {
		t.Fatalf("after the other process was killed: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
}
