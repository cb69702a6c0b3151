package awsx_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
)

// blanks are many bytes that cost little, and that XML takes anywhere.
type blanks struct{ left int64 }

var blank = bytes.Repeat([]byte{' '}, 32<<10)

func (z *blanks) Read(b []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(b)), int64(len(blank)), z.left)
	copy(b, blank[:n])
	z.left -= n
	return int(n), nil
}

// An answer has a bound, which counts what is left once it is decoded.
func TestAnswerSize(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, tt := range []struct {
		name   string
		status int
		gzip   bool
		pad    int64
		large  bool
	}{
		{"a large page", 200, false, 31 * mib, false},
		{"too much", 200, false, 100 * mib, true},
		{"a bomb", 200, true, 100 * mib, true},
		{"an error that is too much", 400, false, 100 * mib, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				out := io.Writer(w)
				if tt.gzip {
					w.Header().Set("Content-Encoding", "gzip")
					z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
					defer z.Close()
					out = z
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(out, "<GetUserResponse>")
				_, _ = io.Copy(out, &blanks{tt.pad})
				_, _ = io.WriteString(out, "<GetUserResult><User><UserName>u</UserName></User></GetUserResult></GetUserResponse>")
			}))
			t.Cleanup(srv.Close)
			cfg, calls := load(t, options(srv.URL))
			if tt.status == 200 {
				// Without the SDK, which takes its time over so much XML.
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				res, err := cfg.HTTPClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				n, err := io.Copy(io.Discard, res.Body)
				if _, large := errors.AsType[*awsx.AnswerSizeError](err); large != tt.large || n > 32*mib || !large && err != nil {
					t.Errorf("%d bytes and %v", n, err)
				}
				return
			}
			err := awsx.Clean(getUser(t.Context(), cfg))
			want := "iam:GetUser: the answer of " + srv.URL + " is larger than 32 MiB, which no answer of AWS's to this call is"
			if err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if calls.Load() != 1 {
				t.Errorf("%d attempts", calls.Load())
			}
			if !awsx.Unclear(err) {
				t.Error("a call that was taken is not unclear")
			}
		})
	}
}

// A web page in the place of an answer says so, whatever its status: a 404 is
// no proof that AWS lacks the thing.
func TestWebPage(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 302, 403, 404, 503} {
		for _, page := range []string{"<!DOCTYPE html><p>Sign in", "\n <HTML><body>"} {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, page)
			}))
			t.Cleanup(srv.Close)
			cfg, _ := load(t, options(srv.URL))
			err := getUser(t.Context(), cfg)
			want := "iam:GetUser: " + srv.URL + " answered HTTP " + strconv.Itoa(status) + " " + http.StatusText(status) + " with a web page, so it does not speak AWS's API; " +
				"check --endpoint-url and AWS_ENDPOINT_URL, and whether a proxy or a sign-on page stands in between (4 attempts)"
			if text := awsx.Clean(err).Error(); text != want {
				t.Errorf("got  %s\nwant %s", text, want)
			}
			if awsx.Code(err) != "" || !awsx.Unclear(err) {
				t.Errorf("%d %q is taken for AWS's answer %q", status, page, awsx.Code(err))
			}
		}
	}
}
