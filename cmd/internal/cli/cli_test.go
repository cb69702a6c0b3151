package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/cli"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
)

var update = flag.Bool("update", false, "write what the scripts compare with anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		// The real program in a process of its own, save that it never waits.
		"churn-reconcile": func() {
			env := cli.OS()
			env.Pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
			env.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			os.Exit(cli.Main(os.Args[1:], env))
		},
	})
}

// Whatever answers in AWS's place, nothing of its words reaches a terminal or the
// log of a CI as a command.
func TestHostileAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "<ErrorResponse><Error><Type>Sender</Type><Code>##[add-mask]x</Code>"+
			"<Message>no\n::set-output name=a::b\n  ::add-mask::c \u009b2J\u202e</Message></Error></ErrorResponse>")
	}))
	defer server.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	for _, args := range [][]string{
		{"--dry-run"}, {"--dry-run", "-v"}, {"--dry-run", "-v", "--log-format", "json"}, {"outputs"}, {"rotate"},
	} {
		var out, err strings.Builder
		env := cli.OS()
		env.Stdout, env.Stderr = &out, &err
		args = append(args, "-f", filepath.Join("..", "..", "..", "examples", "dev.yaml"), "--endpoint-url", server.URL)
		if code := cli.Main(args, env); code != 1 {
			t.Errorf("%v: exit status %d", args, code)
		}
		text := out.String() + err.String()
		if !strings.Contains(text, "set-output") {
			t.Errorf("%v: the message is lost: %q", args, text)
		}
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##[") ||
				strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%v: %q", args, line)
			}
		}
	}
}

// Each script is a folder of its own with the examples in it, no AWS settings
// and no network but the loopback. Beside testscript's own commands there are:
//
//	exits CODE PROGRAM ARG...   run, and want this exit status
//	put BUCKET KEY FILE         an object in that endpoint
//	serve [OPERATION]           an AWS endpoint at $ENDPOINT, which holds back the calls of an operation
//	held                        wait until the endpoint holds a call back
//	release                     let held calls go on
//	calls [PATTERN]             write the endpoint's calls so far to the file "calls"
//	digest FILE                 put the digest of a JSON report into $DIGEST
//	start PROGRAM ARG...        run in the background
//	told PATTERN                wait until the program in the background has said this
//	interrupt                   send it SIGINT
//	terminate                   send it SIGTERM
//	ended CODE                  wait for its end, and write the files "out" and "err"
func TestScripts(t *testing.T) {
	examples, err := filepath.Abs(filepath.Join("..", "..", "..", "examples"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"dev.yaml", "prod.yaml"} {
				text, err := os.ReadFile(filepath.Join(examples, name))
				if err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), text, 0o600); err != nil {
					return err
				}
			}
			env.Setenv("AWS_CONFIG_FILE", os.DevNull)
			env.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
			env.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			// The race detector lets each process sleep for a second at its end.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			s := &script{env: env.Vars}
			env.Values[scriptKey{}] = s
			env.Defer(s.close)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":     exits,
			"serve":     serve,
			"held":      held,
			"release":   release,
			"calls":     calls,
			"put":       put,
			"digest":    digest,
			"start":     start,
			"told":      told,
			"interrupt": interrupt,
			"terminate": terminate,
			"ended":     ended,
		},
	})
}

type scriptKey struct{}

// A script is what a script's own commands have to remember.
type script struct {
	endpoint *httptest.Server
	server   *sandbox.Server
	held     chan struct{} // a token for each call that is held back
	released chan struct{}
	release  func()

	env     []string
	process *process
}

func of(ts *testscript.TestScript) *script { return ts.Value(scriptKey{}).(*script) }

func (s *script) close() {
	if s.process != nil {
		_ = s.process.cmd.Process.Kill() // it may have ended by itself
		<-s.process.done
		s.process = nil
	}
	if s.endpoint != nil {
		s.release()
		s.endpoint.Close()
		s.endpoint = nil
	}
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	if got := exitCode(ts, err); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func exitCode(ts *testscript.TestScript, err error) int {
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		ts.Fatalf("%v", err)
	}
	return exit.ExitCode()
}

func serve(ts *testscript.TestScript, _ bool, args []string) {
	s := of(ts)
	s.close()
	s.held, s.released = make(chan struct{}, 100), make(chan struct{})
	s.release = sync.OnceFunc(func() { close(s.released) })
	server, err := sandbox.New(sandbox.Options{Intercept: func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
		if p == sandbox.Before && len(args) > 0 && c.Operation == args[0] {
			s.held <- struct{}{}
			<-s.released
		}
		return sandbox.None
	}})
	ts.Check(err)
	s.server, s.endpoint = server, httptest.NewServer(server)
	ts.Setenv("ENDPOINT", s.endpoint.URL)
	ts.Setenv("AWS_ACCESS_KEY_ID", "test")
	ts.Setenv("AWS_SECRET_ACCESS_KEY", "test")
}

func held(ts *testscript.TestScript, _ bool, _ []string)    { <-of(ts).held }
func release(ts *testscript.TestScript, _ bool, _ []string) { of(ts).release() }

func calls(ts *testscript.TestScript, _ bool, _ []string) {
	var b strings.Builder
	for _, c := range of(ts).server.Calls() {
		b.WriteString(c.Service + ":" + c.Operation)
		if c.Mutates {
			b.WriteString(" (writes)")
		}
		b.WriteString("\n")
	}
	ts.Check(os.WriteFile(ts.MkAbs("calls"), []byte(b.String()), 0o600))
}

// put writes a file into a bucket, as a key.
func put(ts *testscript.TestScript, _ bool, args []string) {
	api := s3.New(s3.Options{
		Region: "eu-north-1", BaseEndpoint: &of(ts).endpoint.URL, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("byhand", "byhand", ""),
	})
	_, err := api.PutObject(context.Background(), &s3.PutObjectInput{Bucket: &args[0], Key: &args[1], Body: strings.NewReader(ts.ReadFile(args[2]))})
	ts.Check(err)
}

func digest(ts *testscript.TestScript, _ bool, args []string) {
	var report struct{ Digest string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &report))
	ts.Setenv("DIGEST", report.Digest)
}

func start(ts *testscript.TestScript, _ bool, args []string) {
	p := &process{cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{})}
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Env = append(of(ts).env, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test")
	p.out.changed.L, p.err.changed.L = &p.out.mu, &p.err.mu
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	ts.Check(p.cmd.Start())
	go func() {
		defer close(p.done)
		p.end = p.cmd.Wait()
		p.out.close()
		p.err.close()
	}()
	of(ts).process = p
}

func told(ts *testscript.TestScript, _ bool, args []string) {
	p := of(ts).process
	text := &p.out
	if args[0] == "-stderr" {
		text, args = &p.err, args[1:]
	}
	line, ok := text.await(args[0])
	if !ok {
		ts.Fatalf("the program ended without a word of %q\n%s", args[0], p)
	}
	if _, url, ok := strings.Cut(line, "http://"); ok {
		ts.Setenv("ENDPOINT", "http://"+url)
	}
}

func interrupt(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(of(ts).process.cmd.Process.Signal(os.Interrupt))
}

func terminate(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(of(ts).process.cmd.Process.Signal(syscall.SIGTERM))
}

func ended(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	p := of(ts).process
	<-p.done
	ts.Check(os.WriteFile(ts.MkAbs("out"), []byte(p.out.String()), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("err"), []byte(p.err.String()), 0o600))
	if got := exitCode(ts, p.end); got != want {
		ts.Fatalf("exit status %d, want %d\n%s", got, want, p)
	}
}

// A process is a program in the background.
type process struct {
	cmd      *exec.Cmd
	out, err output
	done     chan struct{} // closed once it has ended
	end      error         // its exit status, once done
}

func (p *process) String() string {
	return fmt.Sprintf("[stdout]\n%s[stderr]\n%s", p.out.String(), p.err.String())
}

// An output is what a program has written so far.
type output struct {
	mu      sync.Mutex
	changed sync.Cond
	text    strings.Builder
	closed  bool
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.changed.Broadcast()
	return o.text.Write(b)
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.changed.Broadcast()
	o.closed = true
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits for a line with the words in it; there is none where the program
// ended without it.
func (o *output) await(words string) (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for line := range strings.Lines(o.text.String()) {
			if strings.Contains(line, words) && strings.HasSuffix(line, "\n") {
				return strings.TrimSuffix(line, "\n"), true
			}
		}
		if o.closed {
			return "", false
		}
		o.changed.Wait()
	}
}
