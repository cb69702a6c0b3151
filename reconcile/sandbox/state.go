package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile/filelock"
)

// A state is everything that the sandbox knows. Its zero value is an account
// in which nothing was ever made.
type state struct {
	S3      s3State
	IAM     iamState
	ECR     ecrState
	ECS     ecsState
	Logs    logsState
	Secrets secretsState
	Trail   []event `json:",omitempty"` // oldest first
}

// clone copies the state by way of JSON, which is what it is kept as anyway.
func (st *state) clone() (*state, error) {
	raw, err := json.Marshal(st)
	if err != nil {
		return nil, fmt.Errorf("copy the state: %w", err)
	}
	c := &state{}
	if err := json.Unmarshal(raw, c); err != nil {
		return nil, fmt.Errorf("copy the state: %w", err)
	}
	return c, nil
}

const (
	stateFormat  = "churn-reconcile sandbox state"
	stateVersion = 1
)

// A stateFile is how the state lies on disk. Format tells it from any other
// JSON that somebody may name by mistake.
type stateFile struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Account string `json:"account"`
	State   *state `json:"state"`
}

// own takes the file for this sandbox alone. Each one writes its whole state as
// it knows it, so that two of them would undo what the other has done. To take
// it writes beside the file, which shows whether a state can be kept at all:
// found out at the first write, it would be one that took effect.
func (s *Server) own() error {
	name := s.file
	// The link is not what is written.
	if path, err := filepath.EvalSymlinks(name); err == nil {
		s.file = path
	}
	// To open a pipe would wait for its other end.
	if info, err := os.Stat(s.file); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("sandbox state: %s is not a regular file", name)
	}
	lock, err := filelock.Try(s.file)
	if held, ok := errors.AsType[*filelock.HeldError](err); ok {
		held.Path = name
		return fmt.Errorf("%w; a sandbox's state has one owner at a time: wait for it to end, or name another file", held)
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err // of the lock, whose name nobody has chosen
	}
	if err != nil {
		return fmt.Errorf("sandbox state: %s cannot be written: %w", name, err)
	}
	s.lock = lock
	return nil
}

func (s *Server) load() error {
	raw, err := os.ReadFile(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sandbox state: %w", err)
	}
	var f stateFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return fmt.Errorf("sandbox state %s: %w", s.file, err)
	}
	switch {
	case f.Format != stateFormat || f.State == nil:
		return fmt.Errorf("sandbox state %s: not a state of the sandbox", s.file)
	case f.Version != stateVersion:
		return fmt.Errorf("sandbox state %s: version %d is unknown, %d is wanted", s.file, f.Version, stateVersion)
	case s.account != "" && s.account != f.Account:
		return fmt.Errorf("sandbox state %s: belongs to account %s, not %s", s.file, f.Account, s.account)
	}
	s.account, s.state = f.Account, f.State
	return nil
}

// save writes the state whole, or leaves the file as it was.
func (s *Server) save() (err error) {
	if s.lock == nil {
		return errors.New("sandbox state: the sandbox is closed")
	}
	raw, err := json.Marshal(stateFile{stateFormat, stateVersion, s.account, s.state})
	if err != nil {
		return fmt.Errorf("sandbox state: %w", err)
	}
	// CreateTemp gives the file mode 0600.
	f, err := os.CreateTemp(filepath.Dir(s.file), "."+filepath.Base(s.file)+".*")
	if err != nil {
		return fmt.Errorf("sandbox state: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("sandbox state: %w", err), os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(raw); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.file)
}

// A lag answers reads from the past. AWS's control planes are eventually
// consistent: a write that was answered may be missing from the next reads.
type lag struct {
	reads   int           // how many reads a write stays hidden from
	span    time.Duration // or for how long it does
	pending []hiddenWrite
}

type hiddenWrite struct {
	service string
	left    int       // reads that still do not see it
	until   time.Time // from then on it shows; zero: reads are counted
	old     *state    // as it was before
}

// before is called ahead of a write, with the state that reads go on seeing.
func (l *lag) before(service string, st *state, now time.Time) error {
	if l.reads <= 0 && l.span <= 0 {
		return nil
	}
	for _, w := range l.pending {
		if l.reads > 0 && w.service == service && w.left == l.reads {
			return nil // not read since: both come into view at once
		}
	}
	old, err := st.clone()
	if err != nil {
		return err
	}
	w := hiddenWrite{service: service, left: l.reads, old: old}
	if l.span > 0 {
		w.until = now.Add(l.span)
	}
	l.pending = append(l.pending, w)
	return nil
}

// read gives the state that a read of the service sees; nil is the present.
func (l *lag) read(service string, now time.Time) *state {
	var seen *state
	left := l.pending[:0]
	for _, w := range l.pending {
		if !w.until.IsZero() {
			if !now.Before(w.until) {
				continue
			}
			left = append(left, w)
			if w.service == service && seen == nil {
				seen = w.old
			}
			continue
		}
		if w.service == service {
			if seen == nil {
				seen = w.old
			}
			w.left--
		}
		if w.left > 0 {
			left = append(left, w)
		}
	}
	l.pending = left
	return seen
}
