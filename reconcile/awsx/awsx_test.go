package awsx_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
)

// The machine that the tests run on may have a profile, credentials, an
// endpoint or a role of its own.
func TestMain(m *testing.M) {
	for _, name := range os.Environ() {
		if name, _, _ := strings.Cut(name, "="); strings.HasPrefix(name, "AWS_") {
			os.Unsetenv(name)
		}
	}
	os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	os.Exit(m.Run())
}

// An answer is what one attempt of a call gets.
type answer struct {
	status int
	body   string
	fault  fault
}

type fault int

const (
	none fault = iota
	cut        // the connection is closed without an answer
	half       // and here in the middle of one
)

const (
	requestID = "11111111-2222-3333-4444-555555555555"
	gotUser   = `<GetUserResponse><GetUserResult><User><UserName>u</UserName></User></GetUserResult></GetUserResponse>`
)

func iamError(status int, code, message string) answer {
	return answer{status, "<ErrorResponse><Error><Code>" + code + "</Code><Message>" + message + "</Message></Error><RequestId>" + requestID + "</RequestId></ErrorResponse>", none}
}

func ecsError(code, message string) answer {
	return answer{400, `{"__type": "` + code + `", "message": "` + message + `"}`, none}
}

// serve answers attempts in order, the last answer again and again.
func serve(t *testing.T, answers ...answer) string {
	t.Helper()
	var n atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		a := answers[min(int(n.Add(1)), len(answers))-1]
		if a.fault == cut {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Amzn-Requestid", requestID)
		if a.fault == half {
			w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
			a.body = a.body[:len(a.body)/2]
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
		if a.fault == half {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL
}

func options(url string) awsx.Options {
	return awsx.Options{
		Region: "eu-north-1", EndpointURL: url, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		Backoff: retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil }),
	}
}

func load(t *testing.T, o awsx.Options) (aws.Config, *atomic.Int64) {
	t.Helper()
	cfg, err := awsx.Config(t.Context(), o, awsx.NewGate(o, nil))
	if err != nil {
		t.Fatal(err)
	}
	calls := &atomic.Int64{}
	cfg.APIOptions = append(cfg.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("Counted", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			return next.HandleInitialize(awsx.Counted(ctx, calls), in)
		}), middleware.Before)
	})
	return cfg, calls
}

func getUser(ctx context.Context, cfg aws.Config) error {
	_, err := iam.NewFromConfig(cfg).GetUser(ctx, &iam.GetUserInput{UserName: aws.String("u")})
	return err
}

func createKeyOnce(ctx context.Context, cfg aws.Config) error {
	_, err := iam.NewFromConfig(cfg).GetUser(ctx, &iam.GetUserInput{UserName: aws.String("u")}, func(o *iam.Options) { o.Retryer = awsx.Once(o.Retryer) })
	return err
}

func describeClusters(ctx context.Context, cfg aws.Config) error {
	_, err := ecs.NewFromConfig(cfg).DescribeClusters(ctx, &ecs.DescribeClustersInput{})
	return err
}

func TestRetries(t *testing.T) {
	t.Parallel()
	user := answer{200, gotUser, none}
	page := answer{200, "<html>a proxy", none}
	tests := []struct {
		name     string
		call     func(context.Context, aws.Config) error
		answers  []answer
		attempts int64
		code     string // of the error; "-" where AWS gave none that could be read
		unclear  bool
	}{
		{"an answer", getUser, []answer{user}, 1, "", false},
		{"a throttle", getUser, []answer{iamError(400, "Throttling", "Rate exceeded"), user}, 2, "", false},
		{"more throttles than a fault gets attempts", getUser, append(slices.Repeat([]answer{iamError(400, "Throttling", "x")}, 5), user), 6, "", false},
		{"throttles do not use up the attempts", getUser, []answer{
			iamError(400, "Throttling", "x"), iamError(500, "ServiceFailure", "x"), iamError(503, "SlowDown", "x"),
			iamError(500, "ServiceFailure", "x"), iamError(400, "Throttling", "x"), iamError(500, "ServiceFailure", "x"), user,
		}, 7, "", false},
		{"a fault of the service", getUser, []answer{iamError(500, "ServiceFailure", "x"), user}, 2, "", false},
		{"a cut connection", getUser, []answer{{fault: cut}, user}, 2, "", false},
		{"half an answer", getUser, []answer{{200, gotUser, half}, user}, 2, "", false},
		{"a proxy's page", getUser, []answer{page, user}, 2, "", false},
		{"another change of the same entity", getUser, []answer{iamError(409, "ConcurrentModification", "x"), user}, 2, "", false},
		{"capacity providers being changed", describeClusters, []answer{ecsError("UpdateInProgressException", "x"), {200, "{}", none}}, 2, "", false},

		{"lasting fault", getUser, []answer{iamError(503, "ServiceUnavailable", "x")}, 4, "ServiceUnavailable", true},
		{"lasting cut", getUser, []answer{{fault: cut}}, 4, "-", true},
		{"lasting half", getUser, []answer{{200, gotUser, half}}, 4, "-", true},
		{"lasting page", getUser, []answer{page}, 4, "-", true},

		{"a denial", getUser, []answer{iamError(403, "AccessDenied", "x"), user}, 1, "AccessDenied", false},
		{"a quota is no throttle", describeClusters, []answer{ecsError("LimitExceededException", "x"), {200, "{}", none}}, 1, "LimitExceededException", false},
		{"IAM's quota", getUser, []answer{iamError(409, "LimitExceeded", "x"), user}, 1, "LimitExceeded", false},

		{"once: throttles", createKeyOnce, append(slices.Repeat([]answer{iamError(400, "Throttling", "x")}, 5), user), 6, "", false},
		{"once: a fault of the service", createKeyOnce, []answer{iamError(500, "ServiceFailure", "x"), user}, 1, "ServiceFailure", true},
		{"once: a cut connection", createKeyOnce, []answer{{fault: cut}, user}, 1, "-", true},
		{"once: half an answer", createKeyOnce, []answer{{200, gotUser, half}, user}, 1, "-", true},
		{"once: a proxy's page", createKeyOnce, []answer{page, user}, 1, "-", true},
		{"once: another change", createKeyOnce, []answer{iamError(409, "ConcurrentModification", "x"), user}, 1, "ConcurrentModification", false},
		{"a create that finds its own work", createKeyOnce, []answer{iamError(409, "EntityAlreadyExists", "x")}, 1, "EntityAlreadyExists", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, calls := load(t, options(serve(t, tt.answers...)))
			err := tt.call(t.Context(), cfg)
			code := awsx.Code(err)
			if err != nil && code == "" {
				code = "-"
			}
			if code != tt.code {
				t.Errorf("code %q, want %q (%v)", code, tt.code, err)
			}
			if got := calls.Load(); got != tt.attempts {
				t.Errorf("%d attempts, want %d (%v)", got, tt.attempts, err)
			}
			if err == nil {
				return
			}
			if got := awsx.Unclear(err); got != tt.unclear {
				t.Errorf("unclear %t, want %t (%v)", got, tt.unclear, err)
			}
			if got := awsx.Unclear(awsx.Clean(err)); got != tt.unclear {
				t.Errorf("cleaned: unclear %t, want %t (%v)", got, tt.unclear, err)
			}
		})
	}
}

func TestCallError(t *testing.T) {
	t.Parallel()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := nobody.Addr().String()
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		call func(context.Context, aws.Config) error
		url  string
		want string
	}{
		{
			"denied", getUser, serve(t, iamError(403, "AccessDenied", "User: x is not authorized")),
			"iam:GetUser: AccessDenied: User: x is not authorized (request id " + requestID + ")",
		},
		{
			"no message", getUser, serve(t, iamError(403, "AccessDenied", "")),
			"iam:GetUser: AccessDenied: aws gave no message (request id " + requestID + ")",
		},
		{
			"tried again in vain", getUser, serve(t, iamError(500, "ServiceFailure", "Try later")),
			"iam:GetUser: ServiceFailure: Try later (4 attempts, request id " + requestID + ")",
		},
		{
			"another protocol", describeClusters, serve(t, ecsError("ClusterNotFoundException", "Cluster not found.")),
			"ecs:DescribeClusters: ClusterNotFoundException: Cluster not found. (request id " + requestID + ")",
		},
		{
			"nobody listens", getUser, "http://" + addr,
			"iam:GetUser: dial tcp " + addr + ": connect: connection refused (4 attempts)",
		},
		{"a cut connection", getUser, serve(t, answer{fault: cut}), "iam:GetUser: EOF (4 attempts)"},
		{
			"an answer that cannot be read", describeClusters, serve(t, answer{200, "<what>", none}),
			"ecs:DescribeClusters: URL answered HTTP 200 OK, and the answer cannot be read: unexpected token at offset 0 (4 attempts, request id " + requestID + ")",
		},
		{
			"an answer of another API", describeClusters, serve(t, answer{404, "{}", none}),
			"ecs:DescribeClusters: URL answered HTTP 404 Not Found without an error code of AWS's; check --endpoint-url and AWS_ENDPOINT_URL (request id " + requestID + ")",
		},
		{
			"a session that is over", getUser, serve(t, iamError(403, "ExpiredToken", "The security token included in the request is expired")),
			"iam:GetUser: ExpiredToken: The security token included in the request is expired; the credentials are of a session that is over: " +
				"sign in again (aws sso login), or set AWS_SESSION_TOKEN and its two keys anew (request id " + requestID + ")",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, _ := load(t, options(tt.url))
			err := awsx.Clean(tt.call(t.Context(), cfg))
			if want := strings.ReplaceAll(tt.want, " URL ", " "+tt.url+" "); err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if again := awsx.Clean(err); again != err {
				t.Errorf("cleaned twice: %v", again)
			}
		})
	}
}

func TestCleanLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	err := errors.New("mine")
	if got := awsx.Clean(err); got != err {
		t.Errorf("got %v", got)
	}
	if got := awsx.Clean(nil); got != nil {
		t.Errorf("got %v", got)
	}
}

// hang is an endpoint that never answers.
func hang(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	o := options(hang(t))
	o.CallTimeout = 20 * time.Millisecond
	cfg, calls := load(t, o)
	err := getUser(t.Context(), cfg)
	if got, want := awsx.Clean(err).Error(), "iam:GetUser: no answer within the timeout (4 attempts)"; got != want {
		t.Errorf("one call's: got %q, want %q", got, want)
	}
	if calls.Load() != 4 || !awsx.Unclear(err) {
		t.Errorf("one call's: %d attempts, want 4; unclear %t, want true", calls.Load(), awsx.Unclear(err))
	}

	cfg, calls = load(t, options(hang(t)))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := awsx.Clean(getUser(ctx, cfg)); err.Error() != "iam:GetUser: no answer within the timeout" || calls.Load() != 1 {
		t.Errorf("the run's: got %q after %d attempts", err, calls.Load())
	}

	cfg, _ = load(t, options(hang(t)))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := awsx.Clean(getUser(ctx, cfg)); err.Error() != "iam:GetUser: canceled" {
		t.Errorf("interrupted: got %q", err)
	}
}

const advice = "; name a profile (--profile or AWS_PROFILE), sign in (aws sso login), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"

// A machine without credentials gets one line that says what to do, and no
// call is made.
func TestNoCredentials(t *testing.T) {
	t.Parallel()
	provide := func(err error) aws.CredentialsProvider {
		return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, err })
	}
	tests := []struct {
		name     string
		provider aws.CredentialsProvider // nil: the SDK's own chain
		want     string
	}{
		{"none at all", nil, "none were found in the environment, the shared files or this machine's role"},
		{"a reason", provide(errors.New("the token has expired")), "the token has expired"},
		{"two lines of reasons", provide(errors.Join(errors.New("a"), errors.New("b"))), "a; b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			o := options(serve(t, answer{200, gotUser, none}))
			o.Credentials = tt.provider
			o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			cfg, _ := load(t, o)
			err := awsx.Clean(getUser(t.Context(), cfg))
			want := "iam:GetUser: no usable aws credentials: " + tt.want + advice
			if err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if awsx.Unclear(err) {
				t.Error("a call that was never made is unclear")
			}
		})
	}
}

// What the shared files say decides what there is to type.
func TestCredentialsOfProfiles(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, "config")
	t.Setenv("HOME", home)
	t.Setenv("AWS_CONFIG_FILE", path)
	text := `
[profile session]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = admin
[sso-session corp]
sso_region = eu-north-1
sso_start_url = https://corp.awsapps.com/start
[profile legacy]
sso_region = eu-north-1
sso_start_url = https://old.awsapps.com/start
sso_account_id = 123456789012
sso_role_name = admin
[profile stale]
sso_region = eu-north-1
sso_start_url = https://stale.awsapps.com/start
sso_account_id = 123456789012
sso_role_name = admin
[profile assumed]
role_arn = arn:aws:iam::123456789012:role/x
source_profile = legacy
[profile process]
credential_process = exit 3
[profile babble]
credential_process = echo hush
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(home, ".aws", "sso", "cache")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	// The file's name is the SHA-1 of the start URL, as the AWS CLI has it.
	name := fmt.Sprintf("%x.json", sha1.Sum([]byte("https://stale.awsapps.com/start")))
	if err := os.WriteFile(filepath.Join(cache, name), []byte(`{"accessToken": "hush", "expiresAt": "2020-01-01T00:00:00Z"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for profile, want := range map[string]string{
		"session": "nobody has signed in to SSO here yet; type: aws sso login --profile session",
		"legacy":  "nobody has signed in to SSO here yet; type: aws sso login --profile legacy",
		"stale":   "the sign-in to SSO has expired or is not valid; type: aws sso login --profile stale",
		"assumed": "nobody has signed in to SSO here yet; type: aws sso login --profile legacy",
		"process": "credential_process of profile process failed: exit status 3; run its command by hand to see why; it stands in the shared aws configuration",
		"babble": "credential_process of profile babble failed: invalid character 'h' looking for beginning of value; " +
			"run its command by hand to see why; it stands in the shared aws configuration",
	} {
		o := options(serve(t, answer{200, gotUser, none}))
		o.Credentials, o.Profile = nil, profile
		cfg, _ := load(t, o)
		err := awsx.Clean(getUser(t.Context(), cfg))
		if want := "iam:GetUser: no usable aws credentials: " + want; err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", profile, err, want)
		}
	}
}

// The failure of the SDK's own call for credentials is not taken for the
// call's.
func TestExpiredSignOn(t *testing.T) {
	t.Parallel()
	sts, _ := load(t, options(serve(t, iamError(403, "ExpiredToken", "sign in again"))))
	o := options(serve(t, answer{200, gotUser, none}))
	o.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) { return aws.Credentials{}, getUser(ctx, sts) })
	cfg, _ := load(t, o)
	err := getUser(t.Context(), cfg)
	if code := awsx.Code(err); code != "" {
		t.Errorf("code %s of a call that was never made", code)
	}
	want := "iam:GetUser: no usable aws credentials: ExpiredToken: sign in again" + advice
	if got := awsx.Clean(err).Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// held is an AWS that answers once it is released.
type held struct {
	flying  atomic.Int64
	release chan struct{}
}

func (h *held) Do(r *http.Request) (*http.Response, error) {
	h.flying.Add(1)
	<-h.release
	h.flying.Add(-1)
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(gotUser)), Request: r}, nil
}

// No more calls of one service are in flight than allowed.
func TestParallelism(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit, all = 3, 12
		o := options("http://aws.test")
		o.Parallelism = limit
		aws := &held{release: make(chan struct{})}
		o.HTTPClient = aws
		cfg, calls := load(t, o)
		errs := make([]error, all)
		var wg sync.WaitGroup
		for i := range all {
			wg.Go(func() { errs[i] = getUser(t.Context(), cfg) })
		}
		synctest.Wait()
		if got := aws.flying.Load(); got != limit {
			t.Errorf("%d in flight, want %d", got, limit)
		}
		close(aws.release)
		wg.Wait()
		if err := errors.Join(errs...); err != nil || calls.Load() != all {
			t.Errorf("%d calls, want %d (%v)", calls.Load(), all, err)
		}
	})
}

// Another service's calls do not wait for them.
func TestServicesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") != "" { // ECS
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			_, _ = io.WriteString(w, "{}")
			return
		}
		close(arrived)
		<-release
		_, _ = io.WriteString(w, gotUser)
	}))
	defer srv.Close()
	o := options(srv.URL)
	o.Parallelism = 1
	cfg, _ := load(t, o)
	done := make(chan error, 1)
	go func() { done <- getUser(t.Context(), cfg) }()
	<-arrived
	if err := describeClusters(t.Context(), cfg); err != nil {
		t.Error(err)
	}
	// A call of the same service waits, for as long as its context lets it.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := awsx.Clean(getUser(ctx, cfg)); err.Error() != "iam:GetUser: canceled" {
		t.Errorf("got %v", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Between its attempts a call holds no slot.
func TestBackoffHoldsNoSlot(t *testing.T) {
	t.Parallel()
	var cfg aws.Config
	var between error
	o := options(serve(t, iamError(500, "ServiceFailure", "x"), answer{200, gotUser, none}))
	o.Parallelism = 1
	o.CallTimeout = 5 * time.Second
	o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		between = getUser(ctx, cfg)
		return 0, nil
	})
	cfg, _ = load(t, o)
	if err := errors.Join(getUser(t.Context(), cfg), between); err != nil {
		t.Error(err)
	}
}

// The log has each attempt, and nothing of what was sent or answered.
func TestLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	o := options(serve(t, iamError(400, "Throttling", "hush"), answer{200, strings.ReplaceAll(gotUser, ">u<", ">hush<"), none}))
	o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "duration_ms" || a.Key == "time" {
				return slog.Attr{}
			}
			return a
		},
	}))
	cfg, _ := load(t, o)
	if err := getUser(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	want := `level=DEBUG msg="aws call" call=iam:GetUser status=400 request_id=` + requestID + ` error=Throttling
level=DEBUG msg="aws call" call=iam:GetUser status=200 request_id=` + requestID + "\n"
	if d := cmp.Diff(want, log.String()); d != "" {
		t.Errorf("want (-), got (+):\n%s", d)
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	_, err := awsx.Config(t.Context(), awsx.Options{Profile: "nope"}, awsx.NewGate(awsx.Options{}, nil))
	if want := "load aws configuration: failed to get shared config profile, nope"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
