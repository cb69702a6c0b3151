package awsx

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// maxAnswer bounds the body of an answer. The largest that the calls made here
// can get is a page of IAM's account details, of a few MiB.
const maxAnswer = 32 << 20

// An httpClient is between the SDK and the network, for what the SDK leaves to
// chance.
type httpClient struct{ aws.HTTPClient }

func (c httpClient) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		// It hides that the SDK's request bodies are io.WriterTo. The SDK closes
		// a body as soon as the answer begins, and smithy-go's WriteTo of a
		// closed body gives io.EOF as an error, for which net/http closes the
		// connection in the middle of the answer. A server that is near, as a
		// sandbox is, is fast enough for that.
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	res, err := c.HTTPClient.Do(r)
	if err != nil {
		return res, err
	}
	// net/http has decoded the body already, so that the bound is of what is
	// kept in memory.
	body := &answer{left: maxAnswer, url: r.URL, ReadCloser: res.Body}
	peeked := bufio.NewReaderSize(body, 64)
	res.Body = struct {
		io.Reader
		io.Closer
	}{peeked, body}
	if head, _ := peeked.Peek(64); isWebPage(head) {
		body.Close()
		return nil, &WebPageError{URL: address(r.URL), Status: res.Status}
	}
	return res, nil
}

// isWebPage goes by the body's first bytes: emulators send XML as text/html.
func isWebPage(head []byte) bool {
	head = bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n"))
	return bytes.HasPrefix(head, []byte("<!doctype html")) || bytes.HasPrefix(head, []byte("<html"))
}

// A WebPageError is an HTML page in the place of an answer. AWS's own load
// balancers send one too when the service behind them is away, so it may pass.
type WebPageError struct {
	URL    string
	Status string // "404 Not Found"
}

func (e *WebPageError) Error() string {
	return fmt.Sprintf("%s answered HTTP %s with a web page, so it does not speak AWS's API; "+
		"check --endpoint-url and AWS_ENDPOINT_URL, and whether a proxy or a sign-on page stands in between", e.URL, e.Status)
}

// An answer is a body that ends in an error once it is over its bound.
type answer struct {
	io.ReadCloser
	left int64
	url  *url.URL
}

func (a *answer) Read(b []byte) (int, error) {
	if a.left < 0 {
		return 0, &AnswerSizeError{URL: address(a.url)}
	}
	n, err := a.ReadCloser.Read(b[:min(int64(len(b)), a.left+1)])
	a.left -= int64(n)
	if a.left < 0 {
		return n - 1, &AnswerSizeError{URL: address(a.url)}
	}
	return n, err
}

// An AnswerSizeError is an answer that is larger than any of AWS's.
type AnswerSizeError struct{ URL string }

func (e *AnswerSizeError) Error() string {
	return fmt.Sprintf("the answer of %s is larger than %d MiB, which no answer of AWS's to this call is", e.URL, maxAnswer>>20)
}

// address is where a call was sent, without what was asked for.
func address(u *url.URL) string {
	return strings.TrimSuffix((&url.URL{Scheme: u.Scheme, Host: u.Host}).String(), "/")
}
