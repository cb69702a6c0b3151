package sink

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A pair that this stack has not put there is not overwritten, whether that
// shows before the key is made or only when it is delivered.
func TestPairOfSomebody(t *testing.T) {
	t.Parallel()
	const mine = "AKIAMINEMINEMINE"
	tests := []struct {
		name, text string
		env        bool
		held       string // "": it may be overwritten
	}{
		{"no file", "", false, ""},
		{"another profile", "[default]\naws_access_key_id = AKIATHEIRSTHEIRS\naws_secret_access_key = S\n", false, ""},
		{"a profile without a pair", "[ml]\nregion = x\naws_access_key_id =\n", false, ""},
		{"this stack's", "[ml]\naws_access_key_id = " + mine + "\naws_secret_access_key = S\n", false, ""},
		{"somebody's", "[ml]\naws_access_key_id = AKIATHEIRSTHEIRS\naws_secret_access_key = S\n", false, "the key AKIATHEIRSTHEIRS"},
		{"half of somebody's", "[ml]\naws_secret_access_key = S\n", false, "a key"},
		{"a secret where the id should be", "[ml]\naws_access_key_id = wJalrXUtnFEMI/K7MDENG\n", false, "a key"},
		{
			"somebody's, before this stack's", "[ml]\naws_access_key_id = AKIATHEIRSTHEIRS\naws_secret_access_key = S\n" +
				"[ml]\naws_access_key_id = " + mine + "\naws_secret_access_key = S\n", false, "the key AKIATHEIRSTHEIRS",
		},
		{
			"somebody's, in one profile with this stack's", "[ml]\naws_access_key_id = AKIATHEIRSTHEIRS\naws_secret_access_key = S\n" +
				"aws_access_key_id = " + mine + "\naws_secret_access_key = S\n", false, "the key AKIATHEIRSTHEIRS",
		},
		{"this stack's, which AWS has forgotten", "[ml]\n# churn-reconcile: AKIAGONEGONEGONE of p/e\naws_access_key_id = AKIAGONEGONEGONE\naws_secret_access_key = S\n", false, ""},
		{"another stack's", "[ml]\n# churn-reconcile: AKIATHEIRSTHEIRS of p/other\naws_access_key_id = AKIATHEIRSTHEIRS\naws_secret_access_key = S\n", false, "the key AKIATHEIRSTHEIRS"},
		{"somebody's, in the place of this stack's", "[ml]\n# churn-reconcile: AKIAGONEGONEGONE of p/e\naws_access_key_id = AKIATHEIRSTHEIRS\naws_secret_access_key = S\n", false, "the key AKIATHEIRSTHEIRS"},
		{"this stack's forgotten variables", "# churn-reconcile: AKIAGONEGONEGONE of p/e\nAWS_ACCESS_KEY_ID=AKIAGONEGONEGONE\nAWS_SECRET_ACCESS_KEY=S\n", true, ""},
		{"this stack's variables", "AWS_ACCESS_KEY_ID=" + mine + "\nAWS_SECRET_ACCESS_KEY=S\n", true, ""},
		{"somebody's variables", "AWS_ACCESS_KEY_ID=AKIATHEIRSTHEIRS\nAWS_SECRET_ACCESS_KEY=S\n", true, "the key AKIATHEIRSTHEIRS"},
		{"other variables", "AWS_REGION=x\n", true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "file")
			if tt.text != "" {
				if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			files := Files{Stack: "p/e"}
			s := files.Credentials(path, "ml")
			if tt.env {
				s = files.Env(path)
			}
			k := key("AKIANEWNEWNEWNEW", "new")
			k.Ours = []string{mine}
			checked := s.Check(t.Context(), k.Ours)
			delivered := s.Deliver(t.Context(), k)
			if tt.held == "" {
				if err := errors.Join(checked, delivered); err != nil {
					t.Error(err)
				}
				after, err := os.ReadFile(path)
				if err != nil || strings.Contains(string(after), "GONE") || strings.Count(string(after), "# churn-reconcile: AKIANEWNEWNEWNEW of p/e\n") != 1 {
					t.Errorf("the file is %q now (%v)", after, err)
				}
				return
			}
			want := fmt.Sprintf("%s holds %s, which this stack has not put there", s, tt.held)
			for _, err := range []error{checked, delivered} {
				if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "wJalr") {
					t.Errorf("error %v, want %q", err, want)
				}
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != tt.text {
				t.Errorf("the file is %q now (%v)", after, err)
			}
		})
	}
}

// What is no file to keep a secret in is refused at each step, and nothing of
// it is read.
func TestNoFileForASecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	// mkfifo is not in package syscall everywhere.
	if out, err := exec.Command("mkfifo", in("pipe")).CombinedOutput(); err != nil {
		t.Skipf("%v: %s", err, out)
	}
	large, err := os.Create(in("large"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(large.Truncate(1<<40), large.Close()); err != nil {
		t.Skip(err)
	}
	if err := os.Mkdir(in("folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(in("folder"), "real"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"away": "folder/real", "circle": "circle", "device": "/dev/zero", "nowhere": "nothing"} {
		if err := os.Symlink(to, in(link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		in("pipe"):    "is not a regular file",
		"/dev/zero":   "is not a regular file",
		dir:           "is not a regular file",
		in("large"):   "is larger than 1 MiB",
		in("away"):    "is a link to " + filepath.Join(in("folder"), "real") + ", in another folder; name that file itself",
		in("device"):  "is a link to /dev/zero, in another folder; name that file itself",
		in("nowhere"): "is a link to nothing",
		in("circle"):  "too many links",
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			s := Files{}.Credentials(path, "ml")
			_, held := s.Holds(t.Context(), "AKIA", time.Time{})
			for step, err := range map[string]error{
				"Holds": held, "Check": s.Check(t.Context(), nil), "Deliver": s.Deliver(t.Context(), key("AKIA", "S")),
			} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: error %v, want %q", step, err, want)
				}
			}
		})
	}
}

// A check promises no more than a delivery keeps: both take a path for what it
// means without its detours, as the spec's checks do.
func TestPathWithDetours(t *testing.T) {
	t.Chdir(t.TempDir())
	s := Files{Suffix: ".sandbox"}.Credentials("missing/../keys", "ml")
	if s.String() != "keys.sandbox (profile ml)" {
		t.Errorf("the sink is %s", s)
	}
	if err := s.Check(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Deliver(t.Context(), key("AKIA", "S")); err != nil {
		t.Fatal(err)
	}
	if got, want := sdkReads(t, "keys.sandbox", "ml"), [2]string{"AKIA", "S"}; got != want {
		t.Errorf("the SDK reads %q, want %q", got, want)
	}
}

// A name that leaves no room for the one of the temporary file is found out by
// the check.
func TestNameTooLong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), strings.Repeat("x", 250))
	if err := (Files{}).Credentials(path, "ml").Check(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("error %v, want one of the name's length", err)
	}
}

// delivererEnv makes the test binary a process that delivers into the file that
// it names.
const delivererEnv = "CHURN_TEST_DELIVER"

// deliverMany delivers and checks in turn, each time as another user.
func deliverMany(ctx context.Context, path, name string) error {
	for i := range deliveries {
		s := Files{}.Credentials(path, fmt.Sprintf("%s-%d", name, i))
		if err := errors.Join(s.Check(ctx, nil), s.Deliver(ctx, key(fmt.Sprintf("%s%d", name, i), "S"))); err != nil {
			return err
		}
	}
	return nil
}

const deliveries = 10

// Stacks that deliver into one file lose nothing, in one process or in several.
func TestDeliverAcrossProcesses(t *testing.T) {
	if path := os.Getenv(delivererEnv); path != "" {
		if err := deliverMany(t.Context(), path, fmt.Sprint("P", os.Getpid())); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "credentials")
	var wg sync.WaitGroup
	errs := make([]error, 4)
	names := make([]string, 4)
	for i := range errs {
		wg.Go(func() {
			if i%2 == 0 {
				names[i] = fmt.Sprint("G", i)
				errs[i] = deliverMany(context.WithoutCancel(t.Context()), path, names[i])
				return
			}
			other := exec.Command(os.Args[0], "-test.run=^TestDeliverAcrossProcesses$")
			other.Env = append(os.Environ(), delivererEnv+"="+path)
			out, err := other.CombinedOutput()
			if err != nil {
				errs[i] = fmt.Errorf("%w: %s", err, out)
				return
			}
			names[i] = fmt.Sprint("P", other.Process.Pid)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		for i := range deliveries {
			want := [2]string{fmt.Sprintf("%s%d", name, i), "S"}
			if got := sdkReads(t, path, fmt.Sprintf("%s-%d", name, i)); got != want {
				t.Errorf("the SDK reads %q, want %q", got, want)
			}
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() != "credentials" }) {
		t.Errorf("the folder has %v", entries)
	}
}

// The comment above a pair says whose it is where IAM no longer does.
func TestPairIsMarked(t *testing.T) {
	t.Parallel()
	for _, format := range []func(f Files, path string) Sink{
		func(f Files, path string) Sink { return f.Credentials(path, "ml") },
		func(f Files, path string) Sink { return f.Env(path) },
	} {
		path := filepath.Join(t.TempDir(), "keys")
		ours, theirs := Files{Stack: "ml/dev"}, Files{Stack: "ml/prod"}
		if err := format(ours, path).Deliver(t.Context(), key("AKIAOURSOURSOURS", "s")); err != nil {
			t.Fatal(err)
		}
		if err := format(ours, path).Check(t.Context(), nil); err != nil {
			t.Errorf("the stack's own pair, which IAM has forgotten: %v", err)
		}
		if err := format(theirs, path).Check(t.Context(), nil); err == nil {
			t.Error("another stack's pair would be overwritten")
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// Somebody has put a pair of their own in its place, below the comment.
		changed := strings.ReplaceAll(string(text), " = AKIAOURSOURSOURS", " = AKIATHEIRSTHEIRS")
		changed = strings.ReplaceAll(changed, "=AKIAOURSOURSOURS", "=AKIATHEIRSTHEIRS")
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := format(ours, path).Check(t.Context(), nil); err == nil {
			t.Error("somebody's pair below the stack's comment would be overwritten")
		}
	}
}
