package sandbox

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// A web page must not get an answer, and nothing must come of its asking.
func TestForeign(t *testing.T) {
	for _, tt := range []struct {
		name, host, origin string
		status             int
	}{
		{"an address", "127.0.0.1:4566", "", http.StatusOK},
		{"an address of version 6", "[::1]:4566", "", http.StatusOK},
		{"localhost", "LocalHost:4566", "", http.StatusOK},
		{"a bucket's name", "bucket.localhost", "", http.StatusOK},
		{"a proxy's", "iam.amazonaws.com", "", http.StatusOK},
		{"its own name", "sandbox:4566", "", http.StatusOK},
		{"a name that was bound anew", "evil.example:4566", "", http.StatusForbidden},
		{"a name that looks like it", "localhost.evil.example", "", http.StatusForbidden},
		{"an end that looks like it", "notlocalhost", "", http.StatusForbidden},
		{"none", "", "", http.StatusForbidden},
		{"a page", "127.0.0.1:4566", "https://evil.example", http.StatusForbidden},
		{"a page of no origin", "127.0.0.1:4566", "null", http.StatusForbidden},
		{"a page on this machine", "localhost:4566", "http://localhost:3000", http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := serve(t, Options{Host: "sandbox"})
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url, strings.NewReader("Action=CreateUser&UserName=u&Version=2010-05-08"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			if r.Host = tt.host; r.Host == "" {
				r.Host = "?"
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status {
				t.Errorf("%s: %s", resp.Status, body)
			}
			users := must[*iam.ListUsersOutput](t)(e.iam().ListUsers(t.Context(), &iam.ListUsersInput{})).Users
			if made := len(users) == 1; made != (tt.status == http.StatusOK) {
				t.Errorf("a user was made: %t", made)
			}
		})
	}
}

// What the sandbox does not serve, it says so in the caller's protocol, to be
// retried by nobody.
func TestServiceThatIsNotThere(t *testing.T) {
	e := serve(t, Options{})
	for service, tt := range map[string]struct{ method, target, kind, body, want string }{
		"dynamodb": {"POST", "DynamoDB_20120810.ListTables", "application/x-amz-json-1.0", "{}", `"__type":"NotImplemented"`},
		"lambda":   {"GET", "", "", "", `"__type":"NotImplemented"`},
		"ec2":      {"POST", "", "application/x-www-form-urlencoded", "Action=DescribeVpcs&Version=2016-11-15", "<Response><Errors><Error><Code>NotImplemented</Code>"},
		"sns":      {"POST", "", "application/x-www-form-urlencoded", "Action=ListTopics&Version=2010-03-31", "<Error><Type>Receiver</Type><Code>NotImplemented</Code>"},
	} {
		t.Run(service, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), tt.method, e.url+"/", strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260102/eu-north-1/"+service+"/aws4_request, SignedHeaders=host, Signature=00")
			r.Header.Set("X-Amz-Target", tt.target)
			r.Header.Set("Content-Type", tt.kind)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{tt.want, "The sandbox serves S3, IAM", "and no " + service + "."} {
				if !strings.Contains(string(body), want) {
					t.Errorf("no %q in %s", want, body)
				}
			}
			if resp.StatusCode != http.StatusNotImplemented {
				t.Error(resp.Status)
			}
		})
	}
}

// The journal forgets the oldest calls and goes on counting.
func TestJournalEnds(t *testing.T) {
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 5*journal/2 + 7
	for range n {
		s.arrive(&request{service: "iam", operation: "GetUser"})
		if len(s.calls) > 2*journal {
			t.Fatalf("%d calls are kept", len(s.calls))
		}
	}
	calls := s.Calls()
	if len(calls) != journal || calls[0].N != n-journal+1 || calls[journal-1].N != n {
		t.Errorf("%d calls, %d to %d", len(calls), calls[0].N, calls[len(calls)-1].N)
	}
}

// The package is part of every command, so that it must cost nothing to those
// that make no sandbox.
func TestStartUp(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	m := regexp.MustCompile(`(?m)^init \S+/reconcile/sandbox @.* (\d+) bytes, `).FindSubmatch(out)
	if m == nil {
		return // the package initialises nothing at all
	}
	const most = 16 << 10
	if n, err := strconv.Atoi(string(m[1])); err != nil || n > most {
		t.Errorf("the package takes %s bytes at the start, at most %d are wanted", m[1], most)
	}
}
