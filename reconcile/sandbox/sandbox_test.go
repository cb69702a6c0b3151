package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox/sandboxtest"
)

const testRegion = "eu-north-1"

// An endpoint is a sandbox behind real HTTP.
type endpoint struct {
	*Server
	url string
}

func serve(t *testing.T, o Options) endpoint {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return start }
	}
	var record sandboxtest.Record
	if next := o.Intercept; next != nil {
		o.Intercept = func(c Call, p Phase) Fault {
			fault := next(c, p)
			if fault != None && fault.onlyAnswer() {
				record.Spoil(c.RequestID)
			}
			return fault
		}
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(record.Of(t, s, false))
	// net/http tells of handlers that were aborted; here that is the point.
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	t.Cleanup(srv.Close)
	t.Cleanup(func() { _ = s.Close() })
	return endpoint{s, srv.URL}
}

// A plainBody sends requests whose bodies can only be read. The SDK closes a
// request's body as soon as the answer begins, and smithy-go's WriteTo of a
// closed body gives io.EOF as an error. Where a server on loopback is faster
// than net/http's last look for surplus bytes, that error closes the
// connection in the middle of the answer.
type plainBody struct{ http.RoundTripper }

func (p plainBody) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.Clone(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.RoundTripper.RoundTrip(r)
}

func (e endpoint) config(keyID string) aws.Config {
	return aws.Config{
		HTTPClient:       &http.Client{Transport: plainBody{http.DefaultTransport}},
		Region:           testRegion,
		BaseEndpoint:     aws.String(e.url),
		Credentials:      credentials.NewStaticCredentialsProvider(keyID, "secret", ""),
		RetryMaxAttempts: 1,
	}
}

func (e endpoint) iam() *iam.Client { return iam.NewFromConfig(e.config("test")) }
func (e endpoint) sts() *sts.Client { return sts.NewFromConfig(e.config("test")) }
func (e endpoint) ecr() *ecr.Client { return ecr.NewFromConfig(e.config("test")) }

func (e endpoint) s3(region string) *s3.Client {
	return s3.NewFromConfig(e.config("test"), func(o *s3.Options) { o.Region, o.UsePathStyle = region, true })
}

// errorCode is the code of AWS's error, or "connection" for an error that is
// none of AWS's.
func errorCode(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return "connection"
}

// on gives a fault for one operation in one phase.
func on(operation string, phase Phase, f Fault) func(Call, Phase) Fault {
	return func(c Call, p Phase) Fault {
		if c.Operation == operation && p == phase {
			return f
		}
		return None
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		fault  Fault
		phase  Phase
		code   string
		effect bool
	}{
		{None, Before, "", true},
		{Throttle, Before, "Throttling", false},
		{Throttle, After, "Throttling", true},
		{InternalError, Before, "ServiceFailure", false},
		{InternalError, After, "ServiceFailure", true},
		{Denied, Before, "AccessDenied", false},
		{Cut, Before, "connection", false},
		{Cut, After, "connection", true},
		{HalfAnswer, Before, "connection", true},
		{HalfAnswer, After, "connection", true},
		{Garbage, Before, "connection", true},
		{Garbage, After, "connection", true},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s/%d", tt.fault, tt.phase), func(t *testing.T) {
			e := serve(t, Options{Intercept: on("CreateUser", tt.phase, tt.fault)})
			_, err := e.iam().CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String("u")})
			if got := errorCode(err); got != tt.code {
				t.Errorf("code %q, want %q (%v)", got, tt.code, err)
			}
			_, err = e.iam().GetUser(t.Context(), &iam.GetUserInput{UserName: aws.String("u")})
			if got := err == nil; got != tt.effect {
				t.Errorf("the user exists: %t, want %t (%v)", got, tt.effect, err)
			}
		})
	}
}

func TestHang(t *testing.T) {
	for _, tt := range []struct {
		phase  Phase
		effect bool
	}{{Before, false}, {After, true}} {
		t.Run(fmt.Sprint(tt.phase), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			fault := on("CreateUser", tt.phase, Hang)
			e := serve(t, Options{Intercept: func(c Call, p Phase) Fault {
				f := fault(c, p)
				if f == Hang {
					cancel() // the client goes
				}
				return f
			}})
			_, err := e.iam().CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("u")})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want %v", err, context.Canceled)
			}
			_, err = e.iam().GetUser(t.Context(), &iam.GetUserInput{UserName: aws.String("u")})
			if got := err == nil; got != tt.effect {
				t.Errorf("the user exists: %t, want %t", got, tt.effect)
			}
		})
	}
}

// TestHalfOfNothing: an answer without a body must not arrive whole.
func TestHalfOfNothing(t *testing.T) {
	e := serve(t, Options{Intercept: on("CreateBucket", After, HalfAnswer)})
	_, err := e.s3("us-east-1").CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("bucket")})
	if errorCode(err) != "connection" {
		t.Errorf("error %v, want one of the connection", err)
	}
	if _, err := e.s3("us-east-1").HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String("bucket")}); err != nil {
		t.Errorf("the bucket was not made: %v", err)
	}
}

// TestFaultForms: each service has its own words for the same trouble.
func TestFaultForms(t *testing.T) {
	ctx := t.Context()
	calls := map[string]func(endpoint) error{
		"iam": func(e endpoint) error {
			return erase(e.iam().GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("r")}))
		},
		"sts": func(e endpoint) error {
			return erase(e.sts().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))
		},
		"ecr": func(e endpoint) error {
			return erase(e.ecr().DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{}))
		},
		"s3": func(e endpoint) error {
			return erase(e.s3(testRegion).GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: aws.String("b-1")}))
		},
		"s3 head": func(e endpoint) error {
			return erase(e.s3(testRegion).HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("b-1")}))
		},
	}
	const me = "User: arn:aws:iam::123456789012:root is not authorized to perform: "
	tests := []struct {
		call    string
		fault   Fault
		status  int
		code    string
		message string // what it begins with
	}{
		{"iam", Throttle, 400, "Throttling", "Rate exceeded"},
		{"iam", InternalError, 500, "ServiceFailure", ""},
		{"iam", Denied, 403, "AccessDenied", me + "iam:GetRole on resource: role r because"},
		{"sts", Throttle, 400, "Throttling", "Rate exceeded"},
		{"sts", InternalError, 500, "InternalFailure", ""},
		{"sts", Denied, 403, "AccessDenied", me + "sts:GetCallerIdentity on resource: *"},
		{"ecr", Throttle, 400, "ThrottlingException", "Rate exceeded"},
		{"ecr", InternalError, 500, "ServerException", ""},
		{"ecr", Denied, 400, "AccessDeniedException", me + "ecr:DescribeRepositories on resource: arn:aws:ecr:eu-north-1:123456789012:repository/*"},
		{"s3", Throttle, 503, "SlowDown", "Please reduce"},
		{"s3", InternalError, 500, "InternalError", ""},
		{"s3", Denied, 403, "AccessDenied", me + `s3:GetEncryptionConfiguration on resource: "arn:aws:s3:::b-1" because`},
		{"s3 head", Denied, 403, "Forbidden", ""}, // a HEAD has no body to tell more
	}
	for _, tt := range tests {
		t.Run(tt.call+"/"+tt.fault.String(), func(t *testing.T) {
			e := serve(t, Options{Intercept: func(_ Call, p Phase) Fault {
				if p == Before {
					return tt.fault
				}
				return None
			}})
			err := calls[tt.call](e)
			api, ok := errors.AsType[smithy.APIError](err)
			if !ok {
				t.Fatalf("not an error of the API: %v", err)
			}
			if api.ErrorCode() != tt.code || !strings.HasPrefix(api.ErrorMessage(), tt.message) {
				t.Errorf("%s: %s, want %s: %s", api.ErrorCode(), api.ErrorMessage(), tt.code, tt.message)
			}
			resp, ok := errors.AsType[interface {
				error
				HTTPStatusCode() int
				ServiceRequestID() string
			}](err)
			if !ok {
				t.Fatalf("no answer in %v", err)
			}
			if resp.HTTPStatusCode() != tt.status {
				t.Errorf("status %d, want %d", resp.HTTPStatusCode(), tt.status)
			}
			if want := e.Calls()[0].RequestID; resp.ServiceRequestID() != want {
				t.Errorf("request ID %q, want %q", resp.ServiceRequestID(), want)
			}
		})
	}
}

func TestCalls(t *testing.T) {
	e := serve(t, Options{})
	ctx := t.Context()
	must[*iam.CreateUserOutput](t)(e.iam().CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("u")}))
	must[*sts.GetCallerIdentityOutput](t)(e.sts().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))
	wantCode(t, erase(e.s3(testRegion).GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: aws.String("none")})), "NoSuchBucket")
	must[*ecr.DescribeRepositoriesOutput](t)(e.ecr().DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{}))
	id := func(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }
	want := []Call{
		{Service: "iam", Operation: "CreateUser", Region: "us-east-1", Mutates: true, N: 1, RequestID: id(1)},
		{Service: "sts", Operation: "GetCallerIdentity", Region: testRegion, N: 2, RequestID: id(2)},
		{Service: "s3", Operation: "GetBucketTagging", Region: testRegion, N: 3, RequestID: id(3)},
		{Service: "ecr", Operation: "DescribeRepositories", Region: testRegion, N: 4, RequestID: id(4)},
	}
	if d := cmp.Diff(want, e.Calls()); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
	e.Calls()[0].Service = "changed"
	if e.Calls()[0].Service != "iam" {
		t.Error("Calls gives its own memory away")
	}
}

// TestLag follows one write at a time through the reads that do not see it.
func TestLag(t *testing.T) {
	e := serve(t, Options{})
	ctx, c := t.Context(), e.iam()
	create := func(n string) {
		t.Helper()
		must[*iam.CreateUserOutput](t)(c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String(n)}))
	}
	users := func() string {
		t.Helper()
		out := must[*iam.ListUsersOutput](t)(c.ListUsers(ctx, &iam.ListUsersInput{}))
		var names []string
		for _, u := range out.Users {
			names = append(names, *u.UserName)
		}
		return strings.Join(names, " ")
	}
	want := func(want ...string) {
		t.Helper()
		for i, w := range want {
			if got := users(); got != w {
				t.Errorf("read %d: %q, want %q", i+1, got, w)
			}
		}
	}

	create("a")
	want("a")
	e.Lag(2)
	want("a") // nothing was written since
	create("b")
	want("a", "a", "a b")
	create("c")
	want("a b")
	create("d") // two writes under way, each with reads of its own to go
	want("a b", "a b c", "a b c d")
	create("e")
	create("f") // without a read between them both come into view at once
	want("a b c d", "a b c d", "a b c d e f")

	create("g")
	if _, err := c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("g")}); errorCode(err) != "EntityAlreadyExists" {
		t.Errorf("a write saw the past: %v", err)
	}
	e.Lag(0)
	want("a b c d e f g")
}

// TestLagOfOthers: what one service hides, another one's reads do not count.
func TestLagOfOthers(t *testing.T) {
	e := serve(t, Options{})
	ctx := t.Context()
	e.Lag(1)
	must[*iam.CreateUserOutput](t)(e.iam().CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("u")}))
	must[*s3.ListBucketsOutput](t)(e.s3(testRegion).ListBuckets(ctx, &s3.ListBucketsInput{}))
	get := func() error {
		return erase(e.iam().GetUser(ctx, &iam.GetUserInput{UserName: aws.String("u")}))
	}
	wantCode(t, get(), "NoSuchEntity")
	wantCode(t, get(), "")
}

func TestState(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	ctx := t.Context()
	e := serve(t, Options{State: file, Account: "111122223333"})
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a state before the first write: %v", err)
	}
	must[*iam.CreateUserOutput](t)(e.iam().CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("u")}))
	must[*s3.CreateBucketOutput](t)(e.s3("us-east-1").CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("bucket")}))
	key := must[*iam.CreateAccessKeyOutput](t)(e.iam().CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("u")})).AccessKey

	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode %o, want 600", got)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte(*key.SecretAccessKey)) {
		t.Error("the state holds a secret access key")
	}
	if !bytes.Contains(raw, []byte(*key.AccessKeyId)) {
		t.Error("the state does not hold the access key's ID")
	}
	if _, err := New(Options{State: file}); err == nil || !strings.Contains(err.Error(), file+" is in use by process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("a second owner: error %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{State: link}); err == nil || !strings.Contains(err.Error(), link+" is in use") {
		t.Errorf("a second owner by another name: error %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = e.iam().CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("late")})
	wantCode(t, err, "ServiceFailure")
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	again := serve(t, Options{State: file})
	got := must[*iam.GetUserOutput](t)(again.iam().GetUser(ctx, &iam.GetUserInput{UserName: aws.String("u")})).User
	if *got.Arn != "arn:aws:iam::111122223333:user/u" || !got.CreateDate.Equal(start) {
		t.Errorf("user %s of %s", *got.Arn, got.CreateDate)
	}
	must[*s3.HeadBucketOutput](t)(again.s3("us-east-1").HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("bucket")}))
	who := must[*sts.GetCallerIdentityOutput](t)(sts.NewFromConfig(again.config(*key.AccessKeyId)).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))
	if *who.Arn != *got.Arn || *who.Account != "111122223333" {
		t.Errorf("the key acts as %s of %s", *who.Arn, *who.Account)
	}
}

func TestStateThatIsNone(t *testing.T) {
	const good = `{"format":"churn-reconcile sandbox state","version":1,"account":"123456789012","state":{}}`
	tests := []struct {
		name, content, account, want string
	}{
		{"good", good, "", ""},
		{"broken", good[:40], "", "unexpected end of JSON input"},
		{"empty", "", "", "unexpected end of JSON input"},
		{"foreign", `{"version":4,"terraform_version":"1.11.4"}`, "", "not a state of the sandbox"},
		{"without state", strings.Replace(good, `"state":{}`, `"state":null`, 1), "", "not a state of the sandbox"},
		{"newer", strings.Replace(good, `"version":1`, `"version":2`, 1), "", "version 2 is unknown"},
		{"other account", good, "999999999999", "belongs to account 123456789012, not 999999999999"},
		{"no account", good, "12", "twelve digits"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "state.json")
			if err := os.WriteFile(file, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := New(Options{State: file, Account: tt.account})
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q in it", err, tt.want)
			}
			if tt.name != "no account" && !strings.Contains(err.Error(), file) {
				t.Errorf("error %v does not name %s", err, file)
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(raw) != tt.content {
				t.Error("the file was changed")
			}
		})
	}
}

// A place where no state can be kept is found out before there is any, and one
// that goes later makes no success of a call whose effect is not kept.
func TestStateThatCannotBeKept(t *testing.T) {
	if _, err := New(Options{State: filepath.Join(t.TempDir(), "no", "such", "folder", "state.json")}); err == nil {
		t.Error("a state in a folder that does not exist is taken")
	}
	dir := filepath.Join(t.TempDir(), "goes")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	e := serve(t, Options{State: filepath.Join(dir, "state.json")})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	_, err := e.iam().CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String("u")})
	wantCode(t, err, "ServiceFailure")
}

// A lockedBuffer is written by the server and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestLogHasNoSecret(t *testing.T) {
	var log lockedBuffer
	e := serve(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	ctx := t.Context()
	must[*iam.CreateUserOutput](t)(e.iam().CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("u")}))
	key := must[*iam.CreateAccessKeyOutput](t)(e.iam().CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("u")})).AccessKey
	if strings.Contains(log.String(), *key.SecretAccessKey) {
		t.Error("the log holds a secret access key")
	}
	for _, want := range []string{"operation=CreateAccessKey", "status=200", "request_id=00000000-0000-4000-8000-000000000002"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not hold %q:\n%s", want, log.String())
		}
	}
}

func TestServe(t *testing.T) {
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	e := endpoint{s, "http://" + l.Addr().String()}
	must[*sts.GetCallerIdentityOutput](t)(e.sts().GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}))
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve ended with %v", err)
	}
	if _, err := http.Get(e.url); err == nil {
		t.Error("it still answers")
	}
	// A listener that does not listen is an error.
	if err := s.Serve(t.Context(), l); err == nil {
		t.Error("Serve on a closed listener succeeded")
	}
}

// TestTogether: same-name races have one winner, and nothing is lost.
func TestTogether(t *testing.T) {
	e := serve(t, Options{State: filepath.Join(t.TempDir(), "state.json")})
	e.Lag(1)
	ctx := t.Context()
	var (
		mu  sync.Mutex
		won int
		wg  sync.WaitGroup
	)
	for i := range 16 {
		wg.Go(func() {
			_, err := e.iam().CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("same")})
			mu.Lock()
			defer mu.Unlock()
			switch errorCode(err) {
			case "":
				won++
			case "EntityAlreadyExists":
			default:
				t.Errorf("caller %d: %v", i, err)
			}
		})
		wg.Go(func() {
			if _, err := e.iam().ListUsers(ctx, &iam.ListUsersInput{}); err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
			e.Calls()
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d callers made the user, want 1", won)
	}
}

func TestUnknownOperation(t *testing.T) {
	e := serve(t, Options{})
	ctx := t.Context()
	wantCode(t, erase(e.iam().CreateSAMLProvider(ctx, &iam.CreateSAMLProviderInput{Name: aws.String("n"), SAMLMetadataDocument: aws.String("d")})), "InvalidAction")
	wantCode(t, erase(e.ecr().StartImageScan(ctx, &ecr.StartImageScanInput{RepositoryName: aws.String("n"), ImageId: &ecrtypes.ImageIdentifier{}})), "UnknownOperationException")
	wantCode(t, erase(e.s3("us-east-1").GetBucketInventoryConfiguration(ctx, &s3.GetBucketInventoryConfigurationInput{Bucket: aws.String("b-1"), Id: aws.String("i")})), "NotImplemented")
}

// FuzzAnyRequest: nothing that a client sends takes the sandbox down.
func FuzzAnyRequest(f *testing.F) {
	f.Add("GET", "/", "", "", "")
	f.Add("POST", "/", "application/x-www-form-urlencoded", "", "Action=CreateUser&UserName=u&Tags.member.1.Key=%00")
	f.Add("POST", "/", "application/x-www-form-urlencoded", "", "Action=GetAccountAuthorizationDetails&Marker=!&MaxItems=x")
	f.Add("POST", "/", "application/x-www-form-urlencoded", "", `Action=CreateRole&RoleName=r&AssumeRolePolicyDocument={"Statement":{"Effect":"Allow","Principal":{"AWS":[]},"Action":"sts:AssumeRole"}}`)
	f.Add("POST", "/", "", "ResourceGroupsTaggingAPI_20170126.GetResources", `{"ResourcesPerPage":-1}`)
	f.Add("PUT", "/bucket?lifecycle", "", "", `<L><Rule><Status>Enabled</Status><Filter/><NoncurrentVersionTransition/></Rule></L>`)
	f.Add("PUT", "/bucket?policy", "", "", ` {"Statement":[{"Effect":"Allow","Principal":"*","Action":[],"Resource":null}]}`)
	f.Add("PUT", "/bucket?encryption", "", "", `<S/>`)
	f.Add("POST", "/bucket?delete", "", "", `<D><Object/></D>`)
	f.Fuzz(func(t *testing.T, method, target, contentType, amzTarget, body string) {
		s, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		setUp := httptest.NewRequest(http.MethodPut, "/bucket", nil)
		s.ServeHTTP(httptest.NewRecorder(), setUp)

		r, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1"+target, strings.NewReader(body))
		if err != nil {
			t.Skip(err)
		}
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("X-Amz-Target", amzTarget)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError {
			answer, _ := io.ReadAll(w.Body)
			t.Errorf("%s %s: %s", method, target, answer)
		}
	})
}

// TestKey follows an access key through its life.
func TestKey(t *testing.T) {
	e := serve(t, Options{KeyDelay: 2})
	ctx, admin := t.Context(), e.iam()
	user := aws.String("u")
	must[*iam.CreateUserOutput](t)(admin.CreateUser(ctx, &iam.CreateUserInput{UserName: user}))
	key := must[*iam.CreateAccessKeyOutput](t)(admin.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: user})).AccessKey
	if id := *key.AccessKeyId; len(id) != 20 || !strings.HasPrefix(id, "AKIA") || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		t.Errorf("access key ID %q", id)
	}
	if n := len(*key.SecretAccessKey); n != 40 {
		t.Errorf("a secret of %d characters, want 40", n)
	}
	mine := sts.NewFromConfig(e.config(*key.AccessKeyId))
	who := func() (string, error) {
		out, err := mine.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			return "", err
		}
		return *out.Arn, nil
	}
	lastUsed := func() *iamtypes.AccessKeyLastUsed {
		t.Helper()
		return must[*iam.GetAccessKeyLastUsedOutput](t)(admin.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: key.AccessKeyId})).AccessKeyLastUsed
	}

	for range 2 {
		_, err := who()
		wantCode(t, err, "InvalidClientTokenId")
	}
	if d := diff(&iamtypes.AccessKeyLastUsed{ServiceName: aws.String("N/A"), Region: aws.String("N/A")}, lastUsed()); d != "" {
		t.Errorf("last used (-want +got):\n%s", d)
	}
	if got := must[string](t)(who()); got != "arn:aws:iam::123456789012:user/u" {
		t.Errorf("the key acts as %s", got)
	}
	want := &iamtypes.AccessKeyLastUsed{ServiceName: aws.String("sts"), Region: aws.String(testRegion), LastUsedDate: aws.Time(start)}
	if d := diff(want, lastUsed()); d != "" {
		t.Errorf("last used (-want +got):\n%s", d)
	}

	set := func(status iamtypes.StatusType) {
		t.Helper()
		must[*iam.UpdateAccessKeyOutput](t)(admin.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: user, AccessKeyId: key.AccessKeyId, Status: status}))
	}
	set(iamtypes.StatusTypeInactive)
	_, err := who()
	wantCode(t, err, "InvalidClientTokenId")
	_, err = s3.NewFromConfig(e.config(*key.AccessKeyId)).ListBuckets(ctx, &s3.ListBucketsInput{})
	wantCode(t, err, "InvalidAccessKeyId")
	_, err = ecr.NewFromConfig(e.config(*key.AccessKeyId)).DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{})
	wantCode(t, err, "UnrecognizedClientException")
	set(iamtypes.StatusTypeActive)
	must[string](t)(who())
	must[*iam.DeleteAccessKeyOutput](t)(admin.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: user, AccessKeyId: key.AccessKeyId}))
	_, err = who()
	wantCode(t, err, "InvalidClientTokenId")
}
