package sink

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile/filelock"
)

// Files writes key pairs into files.
type Files struct {
	// Suffix is put behind each path. A sandbox's pairs go beside the real
	// ones, never over them.
	Suffix string

	// Stack says whose pairs they are: a stack's name, and its account's. It is
	// written beside each pair, since the record that AWS has goes with the
	// user.
	Stack string
}

// Credentials is a profile of a file in the AWS shared-credentials format.
// Other profiles, other settings of this one, and comments stay as they are.
func (f Files) Credentials(path, profile string) Sink {
	path = f.Path(path)
	return &fileSink{path: path, name: fmt.Sprintf("%s (profile %s)", path, profile), stack: f.Stack, format: credentialsFormat{profile}}
}

// Env is a file of environment variables, NAME=VALUE on each line, as docker
// and systemd read it. Other variables and comments stay as they are.
func (f Files) Env(path string) Sink {
	path = f.Path(path)
	return &fileSink{path: path, name: path, stack: f.Stack, format: envFormat{}}
}

// Path is the file that a path of the spec stands for. The kernel would look
// for each folder on the way of a/../x, so that such a path could be read and
// not be written.
func (f Files) Path(path string) string { return filepath.Clean(path) + f.Suffix }

type fileSink struct {
	path   string
	name   string
	stack  string
	format format
}

// A format puts a pair into a file's text, and finds it there.
type format interface {
	// pairs are all pairs, or halves of one, that set would take away.
	pairs(text []byte) []pair
	// set puts the pair there, with a comment above.
	set(text []byte, key Key, comment string) []byte
	// unset takes away what set would replace, and the place where it stood if
	// nothing else is there.
	unset(text []byte) []byte
}

// get is the pair that readers of the file find.
func get(f format, text []byte) pair {
	var last pair
	for _, p := range f.pairs(text) {
		last.ID, last.Secret = cmp.Or(p.ID, last.ID), cmp.Or(p.Secret, last.Secret)
	}
	return last
}

func (s *fileSink) String() string { return s.name }

// Check does all that Deliver does, save that the file is not put in its place:
// permissions, read-only mounts, missing folders and locks all show.
func (s *fileSink) Check(ctx context.Context, ours []string) error {
	return s.locked(ctx, func(path string, text []byte) error {
		if err := s.mayReplace(text, ours); err != nil {
			return err
		}
		trial := Key{ID: "id", Secret: NewSecret("secret")}
		if get(s.format, s.with(text, trial)) != (pair{trial.ID, trial.Secret.Reveal()}) {
			return fmt.Errorf("%s: a profile of this name could not be read back", s)
		}
		tmp, err := createTemporary(path)
		if err != nil {
			return err
		}
		return errors.Join(tmp.Close(), os.Remove(tmp.Name()))
	})
}

func (*fileSink) Shared() bool { return false }

func (*fileSink) Tells() bool { return true }

// Holds takes no lock, since the file is there whole at any time.
func (s *fileSink) Holds(_ context.Context, id string, _ time.Time) (bool, error) {
	path, err := s.target()
	if err != nil {
		return false, err
	}
	text, err := read(path)
	if err != nil {
		return false, err
	}
	held := get(s.format, text)
	return held.ID == id && held.Secret != "", nil
}

func (s *fileSink) Deliver(ctx context.Context, key Key) error {
	return s.locked(ctx, func(path string, text []byte) error {
		if err := s.mayReplace(text, append(slices.Clone(key.Ours), key.ID)); err != nil {
			return err
		}
		if err := replace(path, s.with(text, key)); err != nil {
			return err
		}
		text, err := read(path)
		if err != nil {
			return err
		}
		if get(s.format, text) != (pair{key.ID, key.Secret.Reveal()}) {
			return fmt.Errorf("%s does not read back as written", path)
		}
		return nil
	})
}

// Forget takes the file away as well where nothing else stands in it.
func (s *fileSink) Forget(ctx context.Context, id string) error {
	held := func(text []byte) bool {
		return slices.ContainsFunc(s.format.pairs(text), func(p pair) bool { return p.ID == id })
	}
	// A lock takes a folder to lie in, which may have gone with the file.
	path, err := s.target()
	if err != nil {
		return err
	}
	if text, err := read(path); err != nil || !held(text) {
		return err
	}
	return s.locked(ctx, func(path string, text []byte) error {
		switch {
		case !held(text):
			return nil
		case slices.ContainsFunc(s.format.pairs(text), func(p pair) bool { return p.ID != id }):
			return fmt.Errorf("%s holds the key %s and another pair beside it, which may have no other copy; take %s out by hand", s, id, id)
		}
		rest := s.format.unset(without(text, s.mark(id)))
		if len(bytes.TrimSpace(rest)) > 0 || path != s.path {
			return replace(path, rest)
		}
		return os.Remove(path)
	})
}

// locked does work on the file as it is, with no other writer beside.
func (s *fileSink) locked(ctx context.Context, work func(path string, text []byte) error) (err error) {
	path, err := s.target()
	if err != nil {
		return err
	}
	lock, err := filelock.Acquire(ctx, path)
	if err != nil {
		return refused(path, err)
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	text, err := read(path)
	if err != nil {
		return err
	}
	return work(path, text)
}

// with is the text with the pair in it, and with the word on whose it is.
func (s *fileSink) with(text []byte, key Key) []byte {
	for _, p := range s.format.pairs(text) {
		text = without(text, s.mark(p.ID))
	}
	return s.format.set(text, key, s.mark(key.ID))
}

// mark is the line that says whose the pair with this id is. It names the id,
// so that it says nothing of a pair that somebody puts into its place.
func (s *fileSink) mark(id string) string {
	return fmt.Sprintf("# churn-reconcile: %s of %s", id, s.stack)
}

func without(text []byte, mark string) []byte {
	var rest []byte
	for line := range bytes.Lines(text) {
		if string(bytes.TrimSpace(line)) != mark {
			rest = append(rest, line...)
		}
	}
	return rest
}

// mayReplace refuses where the pair is somebody's: AWS tells a secret once, and
// this may be its only copy.
func (s *fileSink) mayReplace(text []byte, ours []string) error {
	for _, p := range s.format.pairs(text) {
		if slices.Contains(ours, p.ID) || len(without(text, s.mark(p.ID))) < len(text) {
			continue
		}
		held := "a key"
		if keyID.MatchString(p.ID) {
			held = "the key " + p.ID
		}
		return fmt.Errorf("%s holds %s, which this stack has not put there, and which may have no other copy; "+
			"keep it somewhere else and take it out of the file, or deliver to another path or profile", s, held)
	}
	return nil
}

// keyID is what an access key's id looks like. What does not may be a secret
// that somebody has put in its place.
var keyID = regexp.MustCompile(`^A[KS]IA[A-Z2-7]{12,28}$`)

// target follows a link to the file that it names, so that the link itself is
// not replaced. What it names has to lie in the same folder: nobody who reads
// the spec would look for the secret anywhere else.
func (s *fileSink) target() (string, error) {
	info, err := os.Lstat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.path, nil
	case err != nil:
		return "", err
	case info.Mode()&fs.ModeSymlink == 0:
		return s.path, nil
	}
	path, err := filepath.EvalSymlinks(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is a link to nothing", s.path)
	}
	if err != nil {
		return "", err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(s.path))
	if err != nil {
		return "", err
	}
	if filepath.Dir(path) != dir {
		return "", fmt.Errorf("%s is a link to %s, in another folder; name that file itself", s.path, path)
	}
	return path, nil
}

// maxFile bounds what is read of a file. One of credentials has some lines.
const maxFile = 1 << 20

// read answers nothing for a file that is not there. It looks before it opens:
// to open a pipe would wait for its other end, and a device may have no end.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d MiB", path, maxFile>>20)
	}
	return text, nil
}

// replace writes the file whole or not at all, readable by its owner alone
// from the first byte on.
func replace(path string, text []byte) error {
	tmp, err := createTemporary(path)
	if err != nil {
		return err
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
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// createTemporary makes the file that stands in for path while it is written.
// It has one name, and the lock is held: one that is there already is of a run
// that was killed, and has its secret.
func createTemporary(path string) (*os.File, error) {
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".churn-reconcile-tmp")
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, refused(path, err)
	}
	tmp, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, refused(path, err)
	}
	return tmp, nil
}

// refused tells why no file can be made beside path, without the name that
// the file would have had: it is none that anybody has chosen.
func refused(path string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("write in %s: %w", filepath.Dir(path), p.Err)
	}
	return err
}

const (
	idSetting     = "aws_access_key_id"
	secretSetting = "aws_secret_access_key"
)

type credentialsFormat struct{ profile string }

func (f credentialsFormat) pairs(text []byte) []pair {
	var all pairList
	var here bool
	for line := range strings.Lines(string(text)) {
		if name, ok := section(line); ok {
			here = name == f.profile
			all.next()
			continue
		}
		if key, value := setting(line); here && key == idSetting {
			all.id(value)
		} else if here && key == secretSetting {
			all.secret(value)
		}
	}
	return all.pairs()
}

// set puts the pair at the place of the old one, or else below the profile's
// header. A session token that stood there belonged to the old pair, so it
// goes.
func (f credentialsFormat) set(text []byte, key Key, comment string) []byte {
	end := "\n"
	if bytes.Contains(text, []byte("\r\n")) {
		end = "\r\n"
	}
	lines, at, indent := f.others(text, end)
	if at < 0 {
		if len(lines) > 0 {
			lines = append(lines, end)
		}
		lines = append(lines, "["+f.profile+"]"+end)
		at = len(lines)
	}
	return []byte(strings.Join(slices.Insert(lines, at, comment+end,
		indent+idSetting+" = "+key.ID+end,
		indent+secretSetting+" = "+key.Secret.Reveal()+end,
	), ""))
}

// unset takes away the profile as well where only blank lines are left of it,
// and the blank line above.
func (f credentialsFormat) unset(text []byte) []byte {
	lines, _, _ := f.others(text, "\n")
	var rest []string
	for i := 0; i < len(lines); i++ {
		if name, ok := section(lines[i]); !ok || name != f.profile {
			rest = append(rest, lines[i])
			continue
		}
		next := i + 1
		for next < len(lines) && strings.TrimSpace(lines[next]) == "" {
			next++
		}
		if next < len(lines) {
			if _, ends := section(lines[next]); !ends {
				rest = append(rest, lines[i])
				continue
			}
		} else if n := len(rest); n > 0 && strings.TrimSpace(rest[n-1]) == "" {
			rest = rest[:n-1]
		}
		i = next - 1
	}
	return []byte(strings.Join(rest, ""))
}

// others are the lines that are none of the profile's pair. at is where the
// pair stood or would stand, below 0 where there is no such profile. Readers
// take a line for the rest of the one above where it is indented more, so the
// pair has to be indented as its neighbours are. end ends a last line that
// lacks its end.
func (f credentialsFormat) others(text []byte, end string) (lines []string, at int, indent string) {
	at = -1
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
			if dropping = ofPair(name); dropping {
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
	return lines, at, indent
}

// continues says that a line is the rest of the value above it.
func continues(line string) bool {
	rest := strings.TrimSpace(line)
	return indentation(line) != "" && rest != "" && rest[0] != '#' && rest[0] != ';'
}

// ofPair says that a setting belongs to a key pair.
func ofPair(name string) bool {
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

func (envFormat) pairs(text []byte) []pair {
	var all pairList
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case idVariable:
			all.id(value)
		case secretVariable:
			all.secret(value)
		}
	}
	return all.pairs()
}

func (f envFormat) set(text []byte, key Key, comment string) []byte {
	out := bytes.NewBuffer(f.unset(text))
	newline(out)
	fmt.Fprintf(out, "%s\n%s=%s\n%s=%s\n", comment, idVariable, key.ID, secretVariable, key.Secret.Reveal())
	return out.Bytes()
}

func (envFormat) unset(text []byte) []byte {
	var rest []byte
	for line := range bytes.Lines(text) {
		switch name, _, _ := strings.Cut(strings.TrimSpace(string(line)), "="); name {
		case idVariable, secretVariable, "AWS_SESSION_TOKEN":
		default:
			rest = append(rest, line...)
		}
	}
	return rest
}

// A pairList gathers the pairs of a file. What is told twice in one place
// belongs to two.
type pairList []pair

func (l *pairList) next() { *l = append(*l, pair{}) }

func (l *pairList) id(value string) {
	if len(*l) == 0 || (*l)[len(*l)-1].ID != "" {
		l.next()
	}
	(*l)[len(*l)-1].ID = value
}

func (l *pairList) secret(value string) {
	if len(*l) == 0 || (*l)[len(*l)-1].Secret != "" {
		l.next()
	}
	(*l)[len(*l)-1].Secret = value
}

func (l pairList) pairs() []pair {
	return slices.DeleteFunc(l, func(p pair) bool { return p == pair{} })
}
