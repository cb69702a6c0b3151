package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Files writes key pairs into files. Several users' keys may go into one file,
// so one Files serves them all and lets one write at a time.
type Files struct{ mu sync.Mutex }

// Credentials is a profile of a file in the AWS shared-credentials format.
// Other profiles, other settings of this one, and comments stay as they are.
func (f *Files) Credentials(path, profile string) Sink {
	return &fileSink{files: f, path: path, name: fmt.Sprintf("%s (profile %s)", path, profile), format: credentialsFormat{profile}}
}

// Env is a file of environment variables, NAME=VALUE on each line, as docker
// and systemd read it. Other variables and comments stay as they are.
func (f *Files) Env(path string) Sink {
	return &fileSink{files: f, path: path, name: path, format: envFormat{}}
}

type fileSink struct {
	files  *Files
	path   string
	name   string
	format format
}

// A format puts a pair into a file's text, and finds it there.
type format interface {
	get(text []byte) (id, secret string)
	set(text []byte, key Key) []byte
}

func (s *fileSink) String() string { return s.name }

// Check makes an empty file beside the one to be written and takes it away
// again: permissions, read-only mounts and missing folders all show.
func (s *fileSink) Check(context.Context) error {
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	path, err := s.target()
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", path)
	}
	text, err := read(path)
	if err != nil {
		return err
	}
	trial := Key{ID: "id", Secret: NewSecret("secret")}
	if id, secret := s.format.get(s.format.set(text, trial)); id != trial.ID || secret != trial.Secret.Reveal() {
		return fmt.Errorf("%s: a profile of this name could not be read back", s)
	}
	probe, err := os.CreateTemp(filepath.Dir(path), temporary(path))
	if err != nil {
		return refused(path, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func (*fileSink) Shared() bool { return false }

func (*fileSink) Tells() bool { return true }

func (s *fileSink) Holds(_ context.Context, id string, _ time.Time) (bool, error) {
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	path, err := s.target()
	if err != nil {
		return false, err
	}
	text, err := read(path)
	if err != nil {
		return false, err
	}
	gotID, secret := s.format.get(text)
	return gotID == id && secret != "", nil
}

func (s *fileSink) Deliver(_ context.Context, key Key) error {
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	path, err := s.target()
	if err != nil {
		return err
	}
	text, err := read(path)
	if err != nil {
		return err
	}
	if err := replace(path, s.format.set(text, key)); err != nil {
		return err
	}
	text, err = read(path)
	if err != nil {
		return err
	}
	if id, secret := s.format.get(text); id != key.ID || secret != key.Secret.Reveal() {
		return fmt.Errorf("%s does not read back as written", path)
	}
	return nil
}

// target follows a link to the file that it names, so that the link itself is
// not replaced.
func (s *fileSink) target() (string, error) {
	path, err := filepath.EvalSymlinks(s.path)
	if !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	if _, err := os.Lstat(s.path); err == nil {
		return "", fmt.Errorf("%s is a link to nothing", s.path)
	}
	return s.path, nil
}

func read(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// replace writes the file whole or not at all, readable by its owner alone
// from the first byte on.
func replace(path string, text []byte) error {
	dir := filepath.Dir(path)
	// A run that was killed half-way has left its secret in one of these.
	left, err := fs.Glob(os.DirFS(dir), temporary(path))
	if err != nil {
		return err
	}
	for _, name := range left {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// CreateTemp makes the file with mode 0600.
	tmp, err := os.CreateTemp(dir, temporary(path))
	if err != nil {
		return refused(path, err)
	}
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	// The rename lasts only once the folder is on disk as well.
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// refused tells why no file can be made beside path, without the name that
// the file would have had: it is another one each time.
func refused(path string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return fmt.Errorf("write in %s: %w", filepath.Dir(path), err)
}

// temporary is the pattern of the files that stand in for path while it is
// written.
func temporary(path string) string {
	name := strings.NewReplacer("*", "_", "?", "_", "[", "_", "\\", "_").Replace(filepath.Base(path))
	return "." + name + ".churn-reconcile-*"
}

const (
	idSetting     = "aws_access_key_id"
	secretSetting = "aws_secret_access_key"
)

type credentialsFormat struct{ profile string }

func (f credentialsFormat) get(text []byte) (id, secret string) {
	var here bool
	for line := range strings.Lines(string(text)) {
		if name, ok := section(line); ok {
			here = name == f.profile
			continue
		}
		if key, value := setting(line); here && key == idSetting {
			id = value
		} else if here && key == secretSetting {
			secret = value
		}
	}
	return id, secret
}

// set puts the pair at the place of the old one, or else below the profile's
// header. A session token that stood there belonged to the old pair, so it
// goes.
func (f credentialsFormat) set(text []byte, key Key) []byte {
	var lines []string
	at, end := -1, "\n"
	if bytes.Contains(text, []byte("\r\n")) {
		end = "\r\n"
	}
	// Readers take a line for the rest of the one above where it is indented
	// more, so the pair is indented as its neighbours are.
	var indent string
	var here, found, options, dropping bool
	for line := range strings.Lines(string(text)) {
		if name, ok := section(line); ok {
			here, dropping = name == f.profile, false
			if here && at < 0 {
				at = len(lines) + 1
			}
		}
		name, _ := setting(line)
		switch {
		case !here:
		case name == "":
			if dropping && continues(line) {
				continue
			}
		default:
			if !options {
				indent, options = indentation(line), true
			}
			if dropping = pairs(name); dropping {
				if !found {
					at, found = len(lines), true
				}
				continue
			}
		}
		if !strings.HasSuffix(line, "\n") {
			line += end
		}
		lines = append(lines, line)
	}
	pair := []string{
		indent + idSetting + " = " + key.ID + end,
		indent + secretSetting + " = " + key.Secret.Reveal() + end,
	}
	if at < 0 {
		if len(lines) > 0 {
			lines = append(lines, end)
		}
		lines = append(lines, "["+f.profile+"]"+end)
		at = len(lines)
	}
	return []byte(strings.Join(slices.Insert(lines, at, pair...), ""))
}

// continues says that a line is the rest of the value above it.
func continues(line string) bool {
	rest := strings.TrimSpace(line)
	return indentation(line) != "" && rest != "" && rest[0] != '#' && rest[0] != ';'
}

// pairs says that a setting belongs to a key pair.
func pairs(name string) bool {
	return name == idSetting || name == secretSetting || name == "aws_session_token"
}

// newline ends a last line that lacks its end.
func newline(out *bytes.Buffer) {
	if b := out.Bytes(); len(b) > 0 && b[len(b)-1] != '\n' {
		out.WriteByte('\n')
	}
}

func section(line string) (name string, ok bool) {
	if i := strings.IndexAny(line, "#;"); i >= 0 {
		line = line[:i]
	}
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "[") || !strings.HasSuffix(line, "]") {
		return "", false
	}
	return strings.TrimSpace(line[1 : len(line)-1]), true
}

// setting splits a line; the name is empty where it is a comment, or goes on
// with the value above. The SDK takes ":" for "=", and an indented setting for
// one like any other.
func setting(line string) (name, value string) {
	line = strings.TrimSpace(line)
	i := strings.IndexAny(line, "=:")
	if i < 0 || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") || strings.HasPrefix(line, "[") {
		return "", ""
	}
	return strings.ToLower(strings.TrimSpace(line[:i])), strings.TrimSpace(line[i+1:])
}

func indentation(line string) string {
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}

const (
	idVariable     = "AWS_ACCESS_KEY_ID"
	secretVariable = "AWS_SECRET_ACCESS_KEY"
)

type envFormat struct{}

func (envFormat) get(text []byte) (id, secret string) {
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case idVariable:
			id = value
		case secretVariable:
			secret = value
		}
	}
	return id, secret
}

func (envFormat) set(text []byte, key Key) []byte {
	var out bytes.Buffer
	for line := range strings.Lines(string(text)) {
		switch name, _, _ := strings.Cut(strings.TrimSpace(line), "="); name {
		case idVariable, secretVariable, "AWS_SESSION_TOKEN":
		default:
			out.WriteString(line)
		}
	}
	newline(&out)
	fmt.Fprintf(&out, "%s=%s\n%s=%s\n", idVariable, key.ID, secretVariable, key.Secret.Reveal())
	return out.Bytes()
}
