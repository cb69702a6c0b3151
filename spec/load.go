package spec

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Options are what a load takes from outside the file.
type Options struct {
	Vars  map[string]string           // by name; they win over CHURN_VAR_NAME, which wins over the file
	Env   func(string) (string, bool) // os.LookupEnv; nil: an empty environment
	Stdin io.Reader                   // what the path "-" reads
}

// A File is a spec as it was read: its references are not resolved yet, since
// some of them need to know the account.
type File struct {
	path    string
	layers  []*node  // what is extended first, the file itself last
	paths   []string // the paths of the layers, the file itself first
	vars    map[string]string
	env     func(string) (string, bool)
	files   map[string]fileText // by path, everything that references have named
	broken  bool                // a layer could not be read whole
	read    Problems            // what was found in reading
	checked error
}

type fileText struct {
	text []byte
	err  error
}

// maxLayers bounds a chain of extends that symbolic links keep from looking
// like the circle it is.
const maxLayers = 32

// Load reads a spec, what it extends and the files it names. It makes no call
// to any network. An error that is about the text is Problems; what is wrong
// with its meaning is for Check and Bind to say.
func Load(path string, o Options) (*File, error) {
	f := &File{
		path:  path,
		vars:  o.Vars,
		env:   o.Env,
		files: make(map[string]fileText),
	}
	if f.env == nil {
		f.env = func(string) (string, bool) { return "", false }
	}
	text, err := readSpec(path, o.Stdin)
	if err != nil {
		return nil, fmt.Errorf("read spec: %w", err)
	}
	f.layer(path, text, nil, &f.read)
	if f.broken {
		return nil, f.read.err()
	}
	slices.Reverse(f.layers)

	// Which files are named shows only once the spec is walked by its types,
	// so the first check is made here.
	_, f.checked = f.bind(f.placeholder(f.keep), f.keep)
	return f, nil
}

// layer adds a file and what it extends. chain holds the paths on the way.
func (f *File) layer(path string, text []byte, chain []string, problems *Problems) {
	if path != "-" {
		f.paths = append(f.paths, path)
	}
	root, whole := parse(path, text, problems)
	f.broken = f.broken || !whole
	if root == nil {
		return
	}
	if root.kind != mapping {
		f.broken = true
		line, column := root.place()
		*problems = append(*problems, root.src.problem(line, column, "a spec is a mapping of fields, this is %s", root.what()))
		return
	}
	f.layers = append(f.layers, root)
	base := root.field("extends")
	if base == nil || base.isNull() {
		return
	}
	report := func(format string, args ...any) {
		f.broken = true
		line, column := base.place()
		*problems = append(*problems, root.src.problem(line, column, "extends: %s", fmt.Sprintf(format, args...)))
	}
	switch {
	case base.kind != scalar || base.text == "":
		report("want the path of a file, have %s", base.what())
		return
	case strings.Contains(base.text, "${"):
		report("no references here: what they mean depends on the file that is named")
		return
	}
	next := beside(path, base.text)
	chain = append(chain, filepath.Clean(path))
	if i := slices.Index(chain, next); i >= 0 {
		report("a circle: %s", strings.Join(append(chain[i:], next), " -> "))
		return
	}
	if len(chain) >= maxLayers {
		report("more than %d files extend one another", maxLayers)
		return
	}
	baseText, err := readFile(next)
	if err != nil {
		report("%v", err)
		return
	}
	if !isSpec(next, baseText) {
		report("%s is no spec: it has none of a spec's fields", base.text)
		return
	}
	f.layer(next, baseText, chain, problems)
}

// Of a file that is not what a spec takes it for, nothing is told: a spec that
// came with a pull request could name a file of the runner's, and errors end in
// logs that its author reads.

var specField = regexp.MustCompile(`(?m)^(\{\s*)?["']?(project|environment|s3|logs|ecr|iam|ecs)["']?\s*:`)

// isSpec says whether a text can be taken for a spec.
func isSpec(path string, text []byte) bool {
	if specField.Match(text) {
		return true
	}
	root, _ := parse(path, text, new(Problems))
	return root != nil && root.kind == mapping && len(root.fields) > 0 && !slices.ContainsFunc(root.fields, func(f field) bool {
		return !slices.Contains([]string{"extends", "region", "account", "vars", "tags", "ignoreTags", "outputs"}, f.key.text)
	})
}

// isDocument says whether a text can be taken for a policy or, where a list is
// wanted, for containers.
func isDocument(text []byte, kind nodeKind) bool {
	words := []string{"Statement", "rulePriority"}
	if kind == sequence {
		words = []string{"image"}
	}
	return slices.Contains([]string{"", "{}", "[]"}, strings.TrimSpace(string(text))) ||
		slices.ContainsFunc(words, func(word string) bool { return strings.Contains(string(text), word) })
}

// beside is a path that a file names, as seen from the working directory.
func beside(file, path string) string {
	if filepath.IsAbs(path) || file == "-" {
		return filepath.Clean(path)
	}
	return filepath.Join(filepath.Dir(file), path)
}

func readSpec(path string, stdin io.Reader) ([]byte, error) {
	if path != "-" {
		return readFile(path)
	}
	if stdin == nil {
		return nil, errors.New("no standard input")
	}
	return readLimited("standard input", stdin)
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("is a directory")}
	}
	return readLimited(path, file)
}

func readLimited(name string, r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileSize {
		return nil, fmt.Errorf("%s is larger than %d MiB", name, maxFileSize>>20)
	}
	return text, nil
}

// A fileReader is the text of a file that the spec names.
type fileReader func(path string) ([]byte, error)

// keep reads a file and keeps it: a bind does no I/O.
func (f *File) keep(path string) ([]byte, error) {
	if _, ok := f.files[path]; !ok {
		text, err := readFile(path)
		f.files[path] = fileText{text, err}
	}
	return f.kept(path)
}

// kept is a file that Load met. One that it did not meet has a name that
// depends on who runs the spec.
func (f *File) kept(path string) ([]byte, error) {
	file, ok := f.files[path]
	if !ok {
		return nil, fmt.Errorf("%s: the name of a file cannot depend on the account, its partition or the region of the run", path)
	}
	return file.text, file.err
}

// Paths are the files that the spec was read from, itself first: what it
// extends, and what it names. Standard input is none.
func (f *File) Paths() []string {
	return append(slices.Clone(f.paths), slices.Sorted(maps.Keys(f.files))...)
}

// Account is the account that the spec names, or "".
func (f *File) Account() string { return f.setting("account", f.kept) }

// Region is the region that the spec names, or "".
func (f *File) Region() string { return f.setting("region", f.kept) }

// setting is the text of a top-level field, "" where it is left out or wrong;
// what is wrong with it is for Check to say.
func (f *File) setting(name string, read fileReader) string {
	text, _ := newScope(f, Identity{}, read, &findings{}).setting(name).text()
	return text
}

// placeholder is an identity for looking at a spec without credentials.
func (f *File) placeholder(read fileReader) Identity {
	return Identity{
		Account: cmp.Or(f.setting("account", read), "000000000000"),
		Region:  cmp.Or(f.setting("region", read), "us-east-1"),
	}
}

// Preview is the spec as it is without credentials: where the file names no
// account or region, placeholders stand in its ARNs. The error is Problems.
func (f *File) Preview() (*Spec, error) { return f.bind(f.placeholder(f.kept), f.kept) }

// Check says what is wrong with the spec without knowing the account that it
// will run in: nil or Problems.
func (f *File) Check() error { return f.checked }
