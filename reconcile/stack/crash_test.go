package stack_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
)

// The test binary runs itself as a process that can be killed. The variables
// tell it which spec to bring about, where, at what time, and whether it may
// write files.
const (
	childVar     = "CHURN_TEST_CHILD_SPEC"
	childURLVar  = "CHURN_TEST_CHILD_URL"
	childTimeVar = "CHURN_TEST_CHILD_TIME"
	childDiskVar = "CHURN_TEST_CHILD_DISK_FULL"
)

func child(path string) int {
	if os.Getenv(childDiskVar) != "" {
		// The first byte of a file ends the process, in the midst of a write.
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	now, err := time.Parse(time.RFC3339, os.Getenv(childTimeVar))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	a := &account{url: os.Getenv(childURLVar), clock: &clock{now: now}}
	if os.Getenv(childWatchVar) != "" {
		return a.watchAsChild(path)
	}
	if err := a.apply(path, githubOf(os.Getenv(githubURLVar), os.Getenv(githubTokenVar))).failure(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A process is a run in a process of its own.
type process struct {
	cmd  *exec.Cmd
	dead chan struct{} // closed when it has ended
	out  bytes.Buffer  // what it wrote, to be read once it has ended
}

func (a *account) start(t *testing.T, path string, env ...string) *process {
	t.Helper()
	p := &process{dead: make(chan struct{})}
	p.cmd = exec.CommandContext(t.Context(), os.Args[0])
	p.cmd.Env = append(os.Environ(),
		childVar+"="+path, childURLVar+"="+a.url, childTimeVar+"="+a.clock.Now().Format(time.RFC3339))
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is for ProcessState to say
		close(p.dead)
	}()
	return p
}

func (p *process) killed() bool {
	<-p.dead
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// killAt runs the product in a process of its own and kills it at the call
// that is named as a counter does, before or after the call's effect.
func (a *account) killAt(t *testing.T, path, id string, phase sandbox.Phase) {
	t.Helper()
	count := newCounter()
	var p *process
	started := make(chan struct{})
	a.setFault(func(c sandbox.Call, ph sandbox.Phase) sandbox.Fault {
		if count.id(c) != id || ph != phase {
			return sandbox.None
		}
		<-started
		_ = p.cmd.Process.Kill() // killed tells whether it worked
		<-p.dead
		return sandbox.Cut
	})
	p = a.start(t, path)
	close(started)
	if !p.killed() {
		t.Fatalf("the run has not met the call %s: %s", id, &p.out)
	}
	a.setFault(nil)
}

var phases = map[sandbox.Phase]string{sandbox.Before: "before its effect", sandbox.After: "after its effect"}

// A first run is killed at every write, and the next one makes up for it: the
// state is that of a run that was never killed.
func TestKilled(t *testing.T) {
	alone(t)
	clean := recordFirstRun(t)
	points := slices.Clone(clean.writes)
	for _, id := range clean.calls {
		// Reads that come after a key is made and before it is delivered.
		if strings.HasPrefix(id, "sts:") && !strings.HasSuffix(id, "#1") {
			points = append(points, id)
		}
	}
	for _, id := range points {
		for phase, name := range phases {
			t.Run(id+" "+name, func(t *testing.T) {
				alone(t)
				a, state := savedAccount(t)
				path := a.example(t, "dev.yaml")
				a.killAt(t, path, id, phase)
				a.mustApply(t, path)
				if diff := cmp.Diff(clean.state, state()); diff != "" {
					t.Errorf("healed, the state is another than without the kill (-without +with):\n%s", diff)
				}
				a.mustHaveDelivered(t, user)
				a.mustBeInSync(t, path)
			})
		}
	}
}

// A key that is not the stack's stands beside the one that a killed run was
// making, and is there afterwards.
func TestKilledBesideForeignKey(t *testing.T) {
	alone(t)
	for _, id := range []string{"iam:TagUser#1", "iam:CreateAccessKey#1", "iam:TagUser#2"} {
		for phase, name := range phases {
			t.Run(id+" "+name, func(t *testing.T) {
				alone(t)
				a := sandboxAccount(t, sandbox.Options{})
				path := a.example(t, "dev.yaml")
				a.mustApply(t, path)
				own := a.onlyKey(t, user)
				foreign := a.createKey(t, user)
				a.deleteKey(t, user, own)
				a.clock.advance(time.Hour)

				a.killAt(t, path, id, phase)
				a.mustApply(t, path)
				keys := a.keys(t, user)
				delivered := a.profile(t, user).AccessKeyID
				want := []string{foreign, delivered}
				slices.Sort(want)
				if diff := cmp.Diff(want, keys); diff != "" || delivered == own || delivered == foreign {
					t.Errorf("the keys, of which %s is delivered (-want +got):\n%s", delivered, diff)
				}
				a.mustBeInSync(t, path)
			})
		}
	}
}

func (a *account) createKey(t testing.TB, user string) string {
	t.Helper()
	out, err := a.iam.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: &user})
	if err != nil {
		t.Fatal(err)
	}
	return *out.AccessKey.AccessKeyId
}

func (a *account) deleteKey(t testing.TB, user, id string) {
	t.Helper()
	done(t)(a.iam.DeleteAccessKey(t.Context(), &iam.DeleteAccessKeyInput{UserName: &user, AccessKeyId: &id}))
}

// A run that dies in the midst of writing the secret leaves nothing that
// anybody else could read.
func TestKilledWhileDelivering(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{})
	path := a.example(t, "dev.yaml")
	p := a.start(t, path, childDiskVar+"=1")
	<-p.dead
	if p.cmd.ProcessState.Success() {
		t.Fatal("the run has written its files")
	}
	err := filepath.WalkDir(a.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	a.mustApply(t, path)
	a.mustHaveDelivered(t, user)
	a.mustBeInSync(t, path)
}

// Where the lost key cannot be told from somebody's, no key is touched, and
// the error says which commands settle it. Both of them do.
func TestLostKeyInDoubt(t *testing.T) {
	alone(t)
	for _, tt := range []struct {
		name  string
		doubt string
		hand  func(t *testing.T, a *account, lost string)
	}{
		{
			name:  "two keys that could be it, one of them used",
			doubt: "has been used",
			hand: func(t *testing.T, a *account, _ string) {
				as := func(o *iam.Options) {
					o.Credentials = credentials.NewStaticCredentialsProvider(a.createKey(t, user), "secret", "")
				}
				done(t)(a.iam.GetUser(t.Context(), &iam.GetUserInput{UserName: aws.String(user)}, as))
			},
		},
		{
			name:  "made too long after the mark",
			doubt: "too far from that",
			hand: func(t *testing.T, a *account, lost string) {
				a.deleteKey(t, user, lost)
				a.clock.advance(time.Hour)
				a.createKey(t, user)
			},
		},
		{
			name:  "used for more than the proof that it works",
			doubt: "has been used",
			hand: func(t *testing.T, a *account, lost string) {
				as := func(o *iam.Options) { o.Credentials = credentials.NewStaticCredentialsProvider(lost, "secret", "") }
				done(t)(a.iam.GetUser(t.Context(), &iam.GetUserInput{UserName: aws.String(user)}, as))
			},
		},
	} {
		for _, way := range []string{"delete-access-key", "untag-user"} {
			t.Run(tt.name+", "+way, func(t *testing.T) {
				alone(t)
				a := sandboxAccount(t, sandbox.Options{})
				path := a.example(t, "dev.yaml")
				a.killAt(t, path, "iam:CreateAccessKey#1", sandbox.After)
				tt.hand(t, a, a.onlyKey(t, user))
				keys := a.keys(t, user)

				o := a.apply(path)
				r := o.result(t, "iam.access-key/"+user)
				if r.Status != reconcile.Failed {
					t.Fatalf("the key is %s: %v", r.Status, r.Err)
				}
				for _, want := range []string{tt.doubt, "aws iam " + way + " --user-name " + user} {
					if !strings.Contains(r.Err.Error(), want) {
						t.Errorf("the error does not say %q: %v", want, r.Err)
					}
				}
				if diff := cmp.Diff(keys, a.keys(t, user)); diff != "" {
					t.Errorf("keys in doubt were touched (-before +after):\n%s", diff)
				}
				for _, other := range o.results {
					if other.ID != r.ID && other.Err != nil {
						t.Errorf("%s is %s: %v", other.ID, other.Status, other.Err)
					}
				}

				if way == "untag-user" {
					done(t)(a.iam.UntagUser(t.Context(), &iam.UntagUserInput{UserName: aws.String(user), TagKeys: []string{"churn-reconcile:access-key"}}))
					a.mustApply(t, path)
					if diff := cmp.Diff(keys, a.keys(t, user)); diff != "" {
						t.Errorf("keys without the mark were touched (-before +after):\n%s", diff)
					}
					return
				}
				for _, id := range keys {
					a.deleteKey(t, user, id)
				}
				a.mustApply(t, path)
				a.mustHaveDelivered(t, user)
				a.mustBeInSync(t, path)
			})
		}
	}
}

// Two keys that were made after a mark, and never used, are both of runs that
// were cut off.
func TestTwoLostKeys(t *testing.T) {
	alone(t)
	for _, later := range []time.Duration{0, time.Hour} {
		a := sandboxAccount(t, sandbox.Options{})
		path := a.example(t, "dev.yaml")
		a.killAt(t, path, "iam:CreateAccessKey#1", sandbox.After)
		a.createKey(t, user)
		a.clock.advance(later)
		a.mustApply(t, path)
		a.mustHaveDelivered(t, user)
		a.mustBeInSync(t, path)
	}
}

// A mark that is written anew keeps what the one before it knew: a run that is
// killed between that and the deletion of the lost key loses nothing.
func TestKilledTwiceOverALostKey(t *testing.T) {
	alone(t)
	for _, id := range []string{"iam:TagUser#1", "iam:DeleteAccessKey#1", "iam:CreateAccessKey#1"} {
		a := sandboxAccount(t, sandbox.Options{})
		path := a.example(t, "dev.yaml")
		a.killAt(t, path, "iam:CreateAccessKey#1", sandbox.After)
		a.clock.advance(time.Hour)
		a.killAt(t, path, id, sandbox.After)
		a.clock.advance(time.Hour)
		a.mustApply(t, path)
		a.mustHaveDelivered(t, user)
		a.mustBeInSync(t, path)
	}
}

// A machine whose clock is off tells the lost key all the same: the record has
// AWS's time.
func TestLostKeyWithAWrongClock(t *testing.T) {
	alone(t)
	for _, off := range []time.Duration{-time.Hour, 10 * time.Minute, 300 * 24 * time.Hour} {
		a := sandboxAccount(t, sandbox.Options{})
		path := a.example(t, "dev.yaml")
		server := a.clock
		a.clock = &clock{now: server.Now().Add(off)}
		a.killAt(t, path, "iam:CreateAccessKey#1", sandbox.After)
		a.mustApply(t, path)
		a.clock = server
		a.mustHaveDelivered(t, user)
		a.mustBeInSync(t, path)
	}
}

// A new process that meets a list of keys without the one that was committed a
// moment ago waits for it.
func TestCommittedKeyNotListed(t *testing.T) {
	alone(t)
	a := sandboxAccount(t, sandbox.Options{})
	path := a.example(t, "dev.yaml")
	a.mustApply(t, path)
	key := a.onlyKey(t, user)

	const empty = `<ListAccessKeysResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ListAccessKeysResult>` +
		`<AccessKeyMetadata/><IsTruncated>false</IsTruncated></ListAccessKeysResult></ListAccessKeysResponse>`
	var lists atomic.Int64
	late := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		// As many as are asked for in a minute.
		if strings.Contains(string(body), "Action=ListAccessKeys&") && lists.Add(1) <= 15 {
			w.Header().Set("Date", a.clock.Now().Format(http.TimeFormat))
			_, _ = io.WriteString(w, empty)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		a.sandbox.ServeHTTP(w, r)
	}))
	defer late.Close()
	url := a.url
	a.url = late.URL
	a.mustBeInSync(t, path)
	a.url = url
	if n := lists.Load(); n <= 15 {
		t.Errorf("the list was asked for %d times, so nothing was late", n)
	}
	if got := a.onlyKey(t, user); got != key {
		t.Errorf("%s has taken the place of %s", got, key)
	}
}

// An answer to CreateAccessKey that is lost while reads lag leaves one key, the
// delivered one, whether or not the user stood before.
func TestLostKeyBehindLag(t *testing.T) {
	alone(t)
	for n := 2; n <= 4; n++ {
		for _, standing := range []bool{false, true} {
			for _, tr := range []sandbox.Fault{sandbox.Cut, sandbox.InternalError} {
				t.Run(fmt.Sprintf("%d/%v/%s", n, standing, tr), func(t *testing.T) {
					alone(t)
					a := sandboxAccount(t, sandbox.Options{})
					path := a.example(t, "dev.yaml")
					if standing {
						a.mustApply(t, path)
						a.deleteKey(t, user, a.onlyKey(t, user))
						a.clock.advance(time.Hour)
					}
					a.sandbox.Lag(n)
					var once sync.Once
					a.setFault(func(c sandbox.Call, p sandbox.Phase) (f sandbox.Fault) {
						if operation(c) == "iam:CreateAccessKey" && p == sandbox.After {
							once.Do(func() { f = tr })
						}
						return f
					})
					a.mustApply(t, path)
					a.sandbox.Lag(0)
					a.mustHaveDelivered(t, user)
					a.mustBeInSync(t, path)
				})
			}
		}
	}
}

// A policy at its limit of versions loses one and gets one, also where the
// answer is lost and reads lag.
func TestLostPolicyVersionBehindLag(t *testing.T) {
	alone(t)
	for n := 2; n <= 4; n++ {
		a := sandboxAccount(t, sandbox.Options{})
		path := a.example(t, "dev.yaml")
		a.mustApply(t, path)
		arn := aws.String(policyARN + s3Policy)
		for i := range 4 {
			done(t)(a.iam.CreatePolicyVersion(t.Context(), &iam.CreatePolicyVersionInput{
				PolicyArn: arn, SetAsDefault: true,
				PolicyDocument: aws.String(strings.ReplaceAll(otherDocument, "Statement", "Id\":\"n"+strings.Repeat("n", i)+"\",\"Statement")),
			}))
		}
		out, err := a.iam.ListPolicyVersions(t.Context(), &iam.ListPolicyVersionsInput{PolicyArn: arn})
		if err != nil || len(out.Versions) != 5 {
			t.Fatalf("the policy has %d versions: %v", len(out.Versions), err)
		}
		// The oldest says what the spec says, which would be made default again.
		done(t)(a.iam.DeletePolicyVersion(t.Context(), &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")}))
		done(t)(a.iam.CreatePolicyVersion(t.Context(), &iam.CreatePolicyVersionInput{
			PolicyArn: arn, SetAsDefault: true, PolicyDocument: aws.String(strings.ReplaceAll(otherDocument, "Statement", "Id\":\"last\",\"Statement")),
		}))
		a.sandbox.Lag(n)
		var once sync.Once
		a.setFault(func(c sandbox.Call, p sandbox.Phase) (f sandbox.Fault) {
			if operation(c) == "iam:CreatePolicyVersion" && p == sandbox.After {
				once.Do(func() { f = sandbox.Cut })
			}
			return f
		})
		o := a.mustApply(t, path)
		a.sandbox.Lag(0)
		a.setFault(nil)
		var versions []string
		for _, call := range o.writes() {
			if strings.HasSuffix(call, "PolicyVersion") {
				versions = append(versions, call)
			}
		}
		if diff := cmp.Diff([]string{"iam:DeletePolicyVersion", "iam:CreatePolicyVersion"}, versions); diff != "" {
			t.Errorf("lag %d: the writes of versions (-want +got):\n%s", n, diff)
		}
		a.mustBeInSync(t, path)
	}
}

// A sink that cannot be written shows before there is a key to lose.
func TestUnwritableSink(t *testing.T) {
	alone(t)
	if os.Getuid() == 0 {
		t.Log("run by root, to whom every folder is writable")
	}
	for _, tt := range []struct {
		name string
		make func(t *testing.T, a *account) string // the sink's path
	}{
		{"a directory in its place", func(t *testing.T, a *account) string { return a.dir }},
		{"no such folder", func(t *testing.T, a *account) string { return filepath.Join(a.dir, "absent", "credentials") }},
		{"a file in the folder's place", func(t *testing.T, a *account) string {
			return filepath.Join(a.write(t, "text"), "credentials")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alone(t)
			a := sandboxAccount(t, sandbox.Options{})
			sink := tt.make(t, a)
			path := a.stack(t, `
iam:
  users:
    - name: ci
      accessKey: {deliver: [{file: {path: "`+sink+`"}}]}
`)
			r := a.apply(path).result(t, "iam.access-key/ci")
			if r.Status != reconcile.Failed || !strings.Contains(r.Err.Error(), sink) {
				t.Errorf("the key is %s: %v", r.Status, r.Err)
			}
			if keys := a.keys(t, "ci"); len(keys) > 0 {
				t.Errorf("keys were made: %v", keys)
			}
		})
	}
}

// Two users' keys go into one file, side by side, beside what stood there.
func TestTwoKeysInOneFile(t *testing.T) {
	alone(t)
	a := newAccount(t)
	const stood = "# by hand\n[default]\nregion = eu-north-1\n"
	if err := os.WriteFile(a.sink(), []byte(stood), 0o644); err != nil {
		t.Fatal(err)
	}
	path := a.stack(t, `
iam:
  users:
    - {name: one, accessKey: {deliver: [{file: {path: SINK}}]}}
    - {name: two, accessKey: {deliver: [{file: {path: SINK, profile: second}}]}}
`)
	a.mustApply(t, path)
	for user, profile := range map[string]string{"one": "one", "two": "second"} {
		if got, want := a.profile(t, profile).AccessKeyID, a.onlyKey(t, user); got != want {
			t.Errorf("profile %s holds %s, want %s", profile, got, want)
		}
	}
	text, err := os.ReadFile(a.sink())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), stood) {
		t.Errorf("what stood in the file has changed:\n%s", withoutSecrets(string(text)))
	}
	if info, err := os.Stat(a.sink()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v (%v)", info.Mode(), err)
	}
	a.mustBeInSync(t, path)
}

// withoutSecrets is for what a test prints.
func withoutSecrets(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "aws_secret_access_key") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
