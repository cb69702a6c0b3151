package sink

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/google/go-cmp/cmp"
)

// mark is the line above a pair that is delivered as AKIANEW of the stack p/e.
const mark = "# churn-reconcile: AKIANEW of p/e"

func key(id, secret string) Key { return Key{ID: id, Secret: NewSecret(secret), User: "ml"} }

// sdkReads is what the SDK reads of a profile.
func sdkReads(t *testing.T, path, profile string) [2]string {
	t.Helper()
	shared, err := config.LoadSharedConfigProfile(t.Context(), profile, func(o *config.LoadSharedConfigOptions) {
		o.CredentialsFiles, o.ConfigFiles = []string{path}, []string{os.DevNull}
	})
	if err != nil {
		t.Fatal(err)
	}
	if shared.Credentials.SessionToken != "" {
		t.Errorf("profile %s has the session token of another pair", profile)
	}
	return [2]string{shared.Credentials.AccessKeyID, shared.Credentials.SecretAccessKey}
}

func TestCredentialsFormat(t *testing.T) {
	t.Parallel()
	const written = mark + "\naws_access_key_id = AKIANEW\naws_secret_access_key = new+/=secret\n"
	tests := []struct {
		name   string
		before string
		after  string
	}{
		{"a new file", "", "[ml]\n" + written},
		{
			"a new profile", "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key = B\n",
			"# mine\n[default]\naws_access_key_id = A\naws_secret_access_key = B\n\n[ml]\n" + written,
		},
		{"a last line without its end", "[default]\nregion = x", "[default]\nregion = x\n\n[ml]\n" + written},
		{"a header without its end", "[ml]", "[ml]\n" + written},
		{"an empty profile", "[ml]\n\n[other]\na = b\n", "[ml]\n" + written + "\n[other]\na = b\n"},
		{
			"the old pair, in its place",
			"[ml]\n# rotated monthly\nregion = eu-north-1\naws_access_key_id=OLD\naws_secret_access_key=OLD\noutput = json\n[other]\naws_access_key_id = A\n",
			"[ml]\n# rotated monthly\nregion = eu-north-1\n" + written + "output = json\n[other]\naws_access_key_id = A\n",
		},
		{
			"a temporary pair, whose token goes",
			"[ml]\nAWS_ACCESS_KEY_ID = OLD\naws_secret_access_key = OLD\naws_session_token = T\nregion = x\n",
			"[ml]\n" + written + "region = x\n",
		},
		{
			"lines that end as Windows has them",
			"[ml]\r\naws_access_key_id = OLD\r\nregion = x\r\n",
			"[ml]\r\n" + mark + "\r\naws_access_key_id = AKIANEW\r\naws_secret_access_key = new+/=secret\r\nregion = x\r\n",
		},
		{
			"an indented profile",
			"[ml]\n  aws_access_key_id = OLD\n  aws_secret_access_key = OLD\n  region = x\n",
			"[ml]\n" + mark + "\n  aws_access_key_id = AKIANEW\n  aws_secret_access_key = new+/=secret\n  region = x\n",
		},
		{
			"an indented profile without a pair", "[ml]\n  region = x\n",
			"[ml]\n" + mark + "\n  aws_access_key_id = AKIANEW\n  aws_secret_access_key = new+/=secret\n  region = x\n",
		},
		{"a value that goes on", "[ml]\naws_secret_access_key = OLD\n  more\nregion = x\n", "[ml]\n" + written + "region = x\n"},
		{"another value that goes on", "[ml]\nregion = x\n  more\n", "[ml]\n" + written + "region = x\n  more\n"},
		{"a profile that stands there twice", "[ml]\nregion = x\n[ml]\naws_access_key_id = OLD\n", "[ml]\nregion = x\n[ml]\n" + written},
		{"a header with a comment", "[ ml ] # the one\naws_access_key_id = OLD\n", "[ ml ] # the one\n" + written},
		{"a comment that looks like a pair", "[ml]\n# aws_access_key_id = OLD\n", "[ml]\n" + written + "# aws_access_key_id = OLD\n"},
		{"another profile whose name begins alike", "[ml2]\naws_access_key_id = A\n", "[ml2]\naws_access_key_id = A\n\n[ml]\n" + written},
		{"a colon", "[ml]\naws_access_key_id: OLD\n", "[ml]\n" + written},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "credentials")
			if err := os.WriteFile(path, []byte(tt.before), 0o600); err != nil {
				t.Fatal(err)
			}
			files := Files{Stack: "p/e"}
			k := key("AKIANEW", "new+/=secret")
			k.Ours = []string{"", "OLD"}
			if err := files.Credentials(path, "ml").Deliver(t.Context(), k); err != nil {
				t.Fatal(err)
			}
			after, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.after, string(after)); d != "" {
				t.Errorf("want (-), got (+):\n%s", d)
			}
			if got, want := sdkReads(t, path, "ml"), [2]string{"AKIANEW", "new+/=secret"}; got != want {
				t.Errorf("the SDK reads %q, want %q", got, want)
			}
		})
	}
}

func TestEnvFormat(t *testing.T) {
	t.Parallel()
	const written = mark + "\nAWS_ACCESS_KEY_ID=AKIANEW\nAWS_SECRET_ACCESS_KEY=new+/=secret\n"
	tests := []struct{ name, before, after string }{
		{"a new file", "", written},
		{"other variables", "# mine\nA=1", "# mine\nA=1\n" + written},
		{"the old pair", "AWS_ACCESS_KEY_ID=OLD\nAWS_SECRET_ACCESS_KEY=OLD\nAWS_SESSION_TOKEN=T\nA=1\n", "A=1\n" + written},
		{"a name that begins alike", "AWS_ACCESS_KEY_ID_OLD=1\n", "AWS_ACCESS_KEY_ID_OLD=1\n" + written},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			after := envFormat{}.set([]byte(tt.before), key("AKIANEW", "new+/=secret"), mark)
			if d := cmp.Diff(tt.after, string(after)); d != "" {
				t.Errorf("want (-), got (+):\n%s", d)
			}
			if held := get(envFormat{}, after); held != (pair{"AKIANEW", "new+/=secret"}) {
				t.Errorf("reads back as %q", held)
			}
		})
	}
}

func TestHolds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       bool
	}{
		{"no file", "", false},
		{"the pair", "[ml]\naws_access_key_id = AKIA\naws_secret_access_key = S\n", true},
		{"half of it", "[ml]\naws_access_key_id = AKIA\n", false},
		{"an empty secret", "[ml]\naws_access_key_id = AKIA\naws_secret_access_key =\n", false},
		{"another pair", "[ml]\naws_access_key_id = OTHER\naws_secret_access_key = S\n", false},
		{"another profile", "[default]\naws_access_key_id = AKIA\naws_secret_access_key = S\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "credentials")
			if tt.text != "" {
				if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var files Files
			got, err := files.Credentials(path, "ml").Holds(t.Context(), "AKIA", time.Time{})
			if err != nil || got != tt.want {
				t.Errorf("got %t, want %t (%v)", got, tt.want, err)
			}
		})
	}
}

// Whatever the file's mode was, the owner alone can read it now; and a link
// goes on being one.
func TestDeliverModeAndLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "credentials"), filepath.Join(dir, "link")
	if err := os.WriteFile(path, []byte("[default]\n"), 0o644); err != nil { //nolint:gosec // the mode is the test
		t.Fatal(err)
	}
	if err := os.Symlink("credentials", link); err != nil {
		t.Fatal(err)
	}
	// What a run that was killed half-way has left.
	if err := os.WriteFile(filepath.Join(dir, ".credentials.churn-reconcile-tmp"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	var files Files
	s := files.Credentials(link, "ml")
	if err := s.Check(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Deliver(t.Context(), key("AKIA", "S")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, want 0600 (%v)", info.Mode(), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v now (%v)", info.Mode(), err)
	}
	var names []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if d := cmp.Diff([]string{"credentials", "link"}, names); d != "" {
		t.Errorf("files, want (-), got (+):\n%s", d)
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "closed"), 0o500); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "unreadable"), nil, 0o200); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path, profile, err string
		root                     bool // root is let in all the same
	}{
		{"a folder", dir, "ml", dir + " is not a regular file", false},
		{"a folder that is not there", filepath.Join(dir, "no", "file"), "ml", "write in " + filepath.Join(dir, "no") + ": no such file or directory", false},
		{"a link to nothing", filepath.Join(dir, "dangling"), "ml", filepath.Join(dir, "dangling") + " is a link to nothing", false},
		{"a closed folder", filepath.Join(dir, "closed", "file"), "ml", "write in " + filepath.Join(dir, "closed") + ": permission denied", true},
		{"an unreadable file", filepath.Join(dir, "unreadable"), "ml", "open " + filepath.Join(dir, "unreadable") + ": permission denied", true},
		{"a profile that ends its header", filepath.Join(dir, "f"), "a#b", filepath.Join(dir, "f") + " (profile a#b): a profile of this name could not be read back", false},
		{"a profile of two lines", filepath.Join(dir, "f"), "a\nb", filepath.Join(dir, "f") + " (profile a\nb): a profile of this name could not be read back", false},
		{"a folder with a bracket", filepath.Join(dir, "a[b", "file"), "ml", "write in " + filepath.Join(dir, "a[b") + ": no such file or directory", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.root && os.Geteuid() == 0 {
				t.Skip("root is let in")
			}
			var files Files
			err := files.Credentials(tt.path, tt.profile).Check(t.Context(), nil)
			if err == nil || err.Error() != tt.err {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestDeliverIntoAFolderWithPatternCharacters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a[b", "c*[d")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	var files Files
	if err := files.Credentials(path, "ml").Deliver(t.Context(), key("AKIA", "S")); err != nil {
		t.Fatal(err)
	}
	if got, want := sdkReads(t, path, "ml"), [2]string{"AKIA", "S"}; got != want {
		t.Errorf("the SDK reads %q, want %q", got, want)
	}
}

// Several users' keys may go into one file at once.
func TestDeliverConcurrently(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "credentials")
	var files Files
	var wg sync.WaitGroup
	const users = 20
	errs := make([]error, users)
	for i := range users {
		wg.Go(func() {
			errs[i] = files.Credentials(path, fmt.Sprintf("user-%d", i)).Deliver(context.WithoutCancel(t.Context()), key(fmt.Sprintf("AKIA%d", i), "S"))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for i := range users {
		if got, want := sdkReads(t, path, fmt.Sprintf("user-%d", i)), [2]string{fmt.Sprintf("AKIA%d", i), "S"}; got != want {
			t.Errorf("the SDK reads %q, want %q", got, want)
		}
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	t.Parallel()
	k := key("AKIA", "hush")
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range []any{k, &k, k.Secret, []Key{k}} {
			if text := fmt.Sprintf(format, v); strings.Contains(text, "hush") || strings.Contains(text, "68757368") {
				t.Errorf("%s of %T prints %s", format, v, text)
			}
		}
	}
}

// Whatever the file holds, the pair reads back, every other line of it stays
// in its place, and delivering again changes nothing more.
func FuzzCredentials(f *testing.F) {
	f.Add("[default]\naws_access_key_id = A\n[ml]\naws_access_key_id = B\n aws_session_token=c\n", "ml")
	f.Add("[ml\r\n]\n[ml] ; x\n\tregion = y\n   z", "ml")
	f.Add("", "default")
	f.Fuzz(func(t *testing.T, text, profile string) {
		if strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\r") {
			t.Skip("no line ends like that")
		}
		format := credentialsFormat{profile}
		k := key("AKIANEW", "secret")
		if get(format, format.set(nil, k, mark)) != (pair{k.ID, "secret"}) {
			t.Skip("no profile has that name")
		}
		s := &fileSink{format: format, stack: "p/e"}
		after := s.with([]byte(text), k)
		if held := get(format, after); held != (pair{k.ID, "secret"}) {
			t.Fatalf("reads back as %q:\n%q", held, after)
		}
		if again := s.with(after, k); string(again) != string(after) {
			t.Errorf("once %q, twice %q", after, again)
		}
		var here bool
		others := func(text string) (lines []string) {
			here = false
			for line := range strings.Lines(text) {
				if name, ok := section(line); ok {
					here = name == profile
				}
				if name, _ := setting(line); strings.TrimSpace(line) != "" && !here && name != "" {
					lines = append(lines, strings.TrimRight(line, "\r\n"))
				}
			}
			return lines
		}
		if d := cmp.Diff(others(text), others(string(after))); d != "" {
			t.Errorf("other profiles, before (-), after (+):\n%s", d)
		}
	})
}

// Only the pair that was asked for goes, and its profile where nothing else is
// in it. "" for after: the file is gone.
func TestForget(t *testing.T) {
	t.Parallel()
	const ours = "# churn-reconcile: AKIANEW of p/e\naws_access_key_id = AKIANEW\naws_secret_access_key = s\n"
	const variables = "# churn-reconcile: AKIANEW of p/e\nAWS_ACCESS_KEY_ID=AKIANEW\nAWS_SECRET_ACCESS_KEY=s\n"
	tests := []struct {
		name    string
		env     bool
		before  string
		after   string
		refused bool
	}{
		{name: "nothing else", before: "[ml]\n" + ours},
		{name: "a profile before", before: "[default]\nregion = x\n\n[ml]\n" + ours, after: "[default]\nregion = x\n"},
		{name: "a profile behind", before: "[ml]\n" + ours + "\n[other]\na = b\n", after: "[other]\na = b\n"},
		{name: "profiles around", before: "[default]\nregion = x\n\n[ml]\n" + ours + "\n[other]\na = b\n", after: "[default]\nregion = x\n\n[other]\na = b\n"},
		{name: "another setting", before: "[ml]\n" + ours + "region = x\n", after: "[ml]\nregion = x\n"},
		{name: "a comment", before: "[ml]\n# mine\n" + ours, after: "[ml]\n# mine\n"},
		{name: "a temporary pair's token", before: "[ml]\n" + ours + "aws_session_token = t\n"},
		{name: "another profile's pair", before: "[other]\n" + ours, after: "[other]\n" + ours},
		{
			name:   "another pair by now",
			before: "[ml]\naws_access_key_id = AKIATHEIRS\naws_secret_access_key = s\n", after: "[ml]\naws_access_key_id = AKIATHEIRS\naws_secret_access_key = s\n",
		},
		{
			name:   "two pairs",
			before: "[ml]\n" + ours + "[ml]\naws_access_key_id = AKIATHEIRS\naws_secret_access_key = s\n", refused: true,
			after: "[ml]\n" + ours + "[ml]\naws_access_key_id = AKIATHEIRS\naws_secret_access_key = s\n",
		},
		{name: "no file"},
		{name: "variables", env: true, before: variables},
		{name: "another variable", env: true, before: "A=b\n" + variables, after: "A=b\n"},
		{name: "other variables by now", env: true, before: "AWS_ACCESS_KEY_ID=AKIATHEIRS\n", after: "AWS_ACCESS_KEY_ID=AKIATHEIRS\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "keys")
			if tt.before != "" {
				if err := os.WriteFile(path, []byte(tt.before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := Files{Stack: "p/e"}.Credentials(path, "ml")
			if tt.env {
				s = Files{Stack: "p/e"}.Env(path)
			}
			for range 2 { // again does nothing more
				if err := s.Forget(t.Context(), "AKIANEW"); (err != nil) != tt.refused {
					t.Fatalf("error %v, want one: %v", err, tt.refused)
				}
				text, err := os.ReadFile(path)
				if tt.after == "" && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the file is there (%v), with %q", err, text)
				}
				if diff := cmp.Diff(tt.after, string(text)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

// What was delivered and is forgotten leaves the file as it was.
func TestForgetUndoesDeliver(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"", "[default]\naws_access_key_id = A\naws_secret_access_key = B\n", "# mine\n"} {
		for _, env := range []bool{false, true} {
			dir := t.TempDir()
			path := filepath.Join(dir, "keys")
			if before != "" {
				if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := Files{Stack: "p/e"}.Credentials(path, "ml")
			if env {
				s = Files{Stack: "p/e"}.Env(path)
			}
			if err := errors.Join(s.Deliver(t.Context(), key("AKIANEW", "s")), s.Forget(t.Context(), "AKIANEW")); err != nil {
				t.Fatal(err)
			}
			text, _ := os.ReadFile(path)
			if diff := cmp.Diff(before, string(text)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", s, diff)
			}
		}
	}
}

// A folder that is gone holds no pair.
func TestForgetWithoutAFolder(t *testing.T) {
	t.Parallel()
	if err := (Files{}).Env(filepath.Join(t.TempDir(), "gone", "keys")).Forget(t.Context(), "AKIANEW"); err != nil {
		t.Error(err)
	}
}

// A link stays, and what it names is emptied.
func TestForgetBehindALink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "keys"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Symlink("keys", link)); err != nil {
		t.Fatal(err)
	}
	s := Files{Stack: "p/e"}.Env(link)
	if err := errors.Join(s.Deliver(t.Context(), key("AKIANEW", "s")), s.Forget(t.Context(), "AKIANEW")); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(link); err != nil || len(text) > 0 {
		t.Errorf("the link gives %q, %v, want nothing", text, err)
	}
}
