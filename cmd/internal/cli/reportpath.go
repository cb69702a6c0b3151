package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/churn-reconcile/churn-reconcile/reconcile/sink"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// checkReportPath finds out before anything is done whether a report could not
// be written after it.
func checkReportPath(path string, others []reportSink) error {
	if slices.ContainsFunc(others, func(s reportSink) bool { return s.path != "" && sameFile(s.path, path) }) {
		return errors.New("the same file is named twice")
	}
	if err := writable(path); err != nil {
		if p, ok := errors.AsType[*fs.PathError](err); ok {
			err = p.Err // the path is told already
		}
		return fmt.Errorf("the report could not be written: %w", err)
	}
	return nil
}

func writable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && os.IsPathSeparator(path[len(path)-1]):
		return errors.New("it names a folder")
	case errors.Is(err, fs.ErrNotExist):
		probe, err := os.CreateTemp(filepath.Dir(resolve(path)), ".churn-reconcile-*")
		if err != nil {
			return err
		}
		return errors.Join(probe.Close(), os.Remove(probe.Name()))
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("it is a folder")
	case !info.Mode().IsRegular():
		// A terminal, a pipe to another program: to open it now and close it
		// again would be its end.
		return nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return file.Close()
}

// writeReport writes a report over what was there. To open a pipe that nobody
// reads would wait for ever; with nonblock it is an error.
func writeReport(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|nonblock, 0o666)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// protect refuses a report that would take the place of something that the run
// reads or writes.
func protect(sinks []reportSink, path string, file *spec.File, state string) error {
	taken, err := filesOf(path, file, state)
	if err != nil {
		return err
	}
	for _, s := range sinks {
		if s.path == "" {
			continue
		}
		for _, t := range taken {
			if sameFile(s.path, t.path) {
				return fmt.Errorf("-o would write a report over %s", t.what)
			}
		}
	}
	return nil
}

// A takenFile is a file that no report may be written over.
type takenFile struct{ path, what string }

// filesOf are the files of a run: what the spec is read from, where keys are
// delivered to, and the sandbox's state, where there is one.
func filesOf(path string, file *spec.File, state string) ([]takenFile, error) {
	var all []takenFile
	for _, read := range file.Paths() {
		what := read + ", which the spec is read from"
		if read == path {
			what = "the spec " + path
		}
		all = append(all, takenFile{read, what})
	}
	preview, err := file.Preview()
	if err != nil {
		return nil, err
	}
	for _, user := range preview.IAM.Users {
		if user.AccessKey == nil {
			continue
		}
		for _, to := range user.AccessKey.Deliver {
			if to.File == nil {
				continue
			}
			// Of a sandbox's run both, since the real one is there as well.
			for _, files := range []sink.Files{{}, {Suffix: stack.SandboxSuffix}} {
				path := files.Path(to.File.Path)
				all = append(all, takenFile{path, path + ", where the key of iam.user/" + user.Name + " is delivered to"})
			}
		}
	}
	if state != "" {
		all = append(all, takenFile{state, state + ", the sandbox's state"})
	}
	return all, nil
}

// sameFile says whether two paths name one file, whatever they look like.
func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if errA == nil && errB == nil {
		return os.SameFile(infoA, infoB)
	}
	return resolve(a) == resolve(b)
}

// maxLinks is how many links lead to nothing before they are taken for a circle.
const maxLinks = 40

// resolve is where a file would come to be that is not there yet: the path
// without its links, the last one included.
func resolve(path string) string {
	path, err := filepath.Abs(path)
	for range maxLinks {
		if err != nil {
			break
		}
		var dir, to string
		if dir, err = filepath.EvalSymlinks(filepath.Dir(path)); err != nil {
			break
		}
		path = filepath.Join(dir, filepath.Base(path))
		if to, err = os.Readlink(path); err != nil {
			break // it is no link
		}
		if path = to; !filepath.IsAbs(to) {
			path = filepath.Join(dir, to)
		}
	}
	return path
}
