package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// start is when every test begins.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A jsonEndpoint is a sandbox behind real HTTP with the SDK's own clients.
type jsonEndpoint struct {
	ecr     *ecr.Client
	ecs     *ecs.Client
	logs    *cloudwatchlogs.Client
	secrets *secretsmanager.Client

	passed atomic.Int64 // how far time has gone on since start
}

func (e *jsonEndpoint) pass(d time.Duration) { e.passed.Add(int64(d)) }

func (e *jsonEndpoint) config(url, region string) aws.Config {
	return aws.Config{
		Region:           region,
		BaseEndpoint:     aws.String(url),
		Credentials:      credentials.NewStaticCredentialsProvider("AKIASANDBOXSANDBOX00", "secret", ""),
		RetryMaxAttempts: 1,
	}
}

func serveJSON(t *testing.T, region, file string) *jsonEndpoint {
	t.Helper()
	e := &jsonEndpoint{}
	s, err := New(Options{State: file, Now: func() time.Time { return start.Add(time.Duration(e.passed.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	cfg := e.config(srv.URL, region)
	e.ecr = ecr.NewFromConfig(cfg)
	e.ecs = ecs.NewFromConfig(cfg)
	e.logs = cloudwatchlogs.NewFromConfig(cfg)
	e.secrets = secretsmanager.NewFromConfig(cfg)
	return e
}

// must is for calls that have to work.
func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantCode checks the code of AWS's error; "" wants none.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	got := ""
	if err != nil {
		apiErr, ok := errors.AsType[smithy.APIError](err)
		if !ok {
			t.Fatalf("not an error of the API: %v", err)
		}
		got = apiErr.ErrorCode()
	}
	if got != code {
		t.Errorf("error code %q, want %q (%v)", got, code, err)
	}
}

// A refusal is a call and the code that it has to fail with; "" where it has
// to work.
type refusal struct {
	name string
	call func(context.Context) error
	code string
}

func runRefusals(t *testing.T, tests []refusal) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantCode(t, tt.call(t.Context()), tt.code) })
	}
}

// erase leaves the error of a call.
func erase[T any](_ T, err error) error { return err }

// diff compares what the SDK decoded.
func diff(want, got any) string {
	return cmp.Diff(want, got,
		cmpopts.EquateEmpty(),
		cmpopts.IgnoreTypes(middleware.Metadata{}),
		cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".noSmithyDocumentSerde" }, cmp.Ignore()))
}

func TestTagRules(t *testing.T) {
	t.Parallel()
	rules := tagRules{invalid: "Invalid", tooMany: "TooMany"}
	numbered := func(n int) []tag {
		var list []tag
		for i := range n {
			list = append(list, tag{fmt.Sprintf("k%02d", i), ""})
		}
		return list
	}
	tests := []struct {
		name string
		have map[string]string
		add  []tag
		code string
	}{
		{"letters of all kinds", nil, []tag{{"Größe 1_.:/=+-@", "ö"}}, ""},
		{"empty value", nil, []tag{{"k", ""}}, ""},
		{"longest", nil, []tag{{strings.Repeat("ä", 128), strings.Repeat("ä", 256)}}, ""},
		{"fifty", nil, numbered(50), ""},
		{"fifty, one of them there already", map[string]string{"k00": "old"}, numbered(50), ""},
		{"empty key", nil, []tag{{"", "v"}}, "Invalid"},
		{"key too long", nil, []tag{{strings.Repeat("k", 129), ""}}, "Invalid"},
		{"value too long", nil, []tag{{"k", strings.Repeat("v", 257)}}, "Invalid"},
		{"key with a star", nil, []tag{{"k*", ""}}, "Invalid"},
		{"value with a star", nil, []tag{{"k", "*"}}, "Invalid"},
		{"reserved", nil, []tag{{"AWS:k", ""}}, "Invalid"},
		{"twice", nil, []tag{{"k", "1"}, {"k", "2"}}, "Invalid"},
		{"fifty-one", nil, numbered(51), "TooMany"},
		{"fifty-one with those there", map[string]string{"other": ""}, numbered(50), "TooMany"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := rules.add(tt.have, tt.add)
			got := ""
			if e, ok := errors.AsType[*apiError](err); ok {
				got = e.code
			}
			if got != tt.code {
				t.Errorf("code %q, want %q", got, tt.code)
			}
		})
	}
}

func TestSlicePage(t *testing.T) {
	t.Parallel()
	all := []int{1, 2, 3, 4, 5}
	tests := []struct {
		name  string
		token string
		limit int
		want  []int
		next  string
		ok    bool
	}{
		{"standard", "", 0, []int{1, 2, 3}, "3", true},
		{"next", "3", 0, []int{4, 5}, "", true},
		{"to the end exactly", "", 5, all, "", true},
		{"beyond the end", "9", 0, []int{}, "", true},
		{"limit too large", "", 6, nil, "", false},
		{"limit negative", "", -1, nil, "", false},
		{"token of somebody else", "x", 0, nil, "", false},
		{"token negative", "-1", 0, nil, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, next, ok := slicePage(all, tt.token, tt.limit, 3, 5)
			if d := cmp.Diff(tt.want, got); d != "" || next != tt.next || ok != tt.ok {
				t.Errorf("next %q, ok %v, want %q, %v\n%s", next, ok, tt.next, tt.ok, d)
			}
		})
	}
}
