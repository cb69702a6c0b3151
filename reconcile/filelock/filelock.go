// Package filelock keeps a file for one writer at a time, across processes.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// A Lock is held until Release, or until the process ends, however it ends.
//
// It lies on a file beside the one that it is for. A lock on the file itself
// would be lost whenever a new version is renamed into its place.
type Lock struct{ file *flock.Flock }

// HeldError says that somebody else has the lock.
type HeldError struct {
	Path string // what the lock is for
	PID  int    // who has it; 0: not known
}

func (e *HeldError) Error() string {
	if e.PID == 0 {
		return e.Path + " is in use by another process"
	}
	return fmt.Sprintf("%s is in use by process %d", e.Path, e.PID)
}

// Beside is the path of the lock of path. Its folder is path's, and it is there
// only while somebody has the lock.
func Beside(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".churn-reconcile-lock")
}

// retry is how soon a lock that somebody has is tried again. It is held for as
// long as a small file takes to be written.
const retry = 5 * time.Millisecond

// Acquire waits for the lock of path until ctx ends, and then answers a
// *HeldError.
func Acquire(ctx context.Context, path string) (*Lock, error) {
	return acquire(path, func(f *flock.Flock) (bool, error) {
		ok, err := f.TryLockContext(ctx, retry)
		if ctx.Err() != nil {
			return ok, nil
		}
		return ok, err
	})
}

// Try takes the lock of path, or answers a *HeldError at once.
func Try(path string) (*Lock, error) {
	return acquire(path, (*flock.Flock).TryLock)
}

func acquire(path string, lock func(*flock.Flock) (bool, error)) (*Lock, error) {
	beside := Beside(path)
	for {
		// To open a pipe would wait for its other end.
		if info, err := os.Lstat(beside); err == nil && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", beside)
		}
		f := flock.New(beside)
		ok, err := lock(f)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if !ok {
			return nil, errors.Join(&HeldError{path, holder(beside)}, f.Close())
		}
		// Whoever had the lock has taken its file away, and this may be the
		// lock of a file that is gone.
		same, err := current(f)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if !same {
			if err := f.Close(); err != nil {
				return nil, err
			}
			continue
		}
		// Only for a message to others. Where locks are mandatory it cannot be
		// written, and nobody could read it either.
		_ = os.WriteFile(beside, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600)
		return &Lock{f}, nil
	}
}

func current(f *flock.Flock) (bool, error) {
	have, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Lstat(f.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(have, there), err
}

func holder(beside string) int {
	f, err := os.Open(beside)
	if err != nil {
		return 0
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

// Release lets others have the lock. Its file goes while the lock is still
// held, so that nobody's is taken away. Where an open file cannot be removed,
// as on Windows, it stays, and is locked again by whoever comes next.
func (l *Lock) Release() error {
	_ = os.Remove(l.file.Path())
	return l.file.Close()
}
