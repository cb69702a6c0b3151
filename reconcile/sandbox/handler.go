package sandbox

import (
	"net/http"
	"net/url"
	"time"
)

// A request is one API call after its wire protocol has been taken off.
type request struct {
	id        string // the request ID that the answer carries
	service   string // s3, iam, sts, ecr, ecs, logs, secretsmanager, tagging
	operation string // CreateRole
	region    string // from the signature's scope
	account   string
	accessKey string    // from the signature; "" where unsigned
	caller    principal // whose access key that is
	enforced  bool      // what the caller may not do is refused
	now       time.Time // UTC, whole seconds

	trailDelay time.Duration

	form   url.Values    // iam, sts: the query protocol's parameters
	body   []byte        // JSON services and s3: the payload
	http   *http.Request // s3 reads method, headers and query from it
	bucket string        // s3
	key    string        // s3: the object's key, "" for the bucket itself
	header http.Header   // s3: headers of the answer
	status int           // s3: the answer's status; 0 is 200
}

// A handler answers one operation from the state and may change it. It runs
// with the state to itself, and does no I/O. What it returns is marshalled by
// the protocol of its service; the error is an *apiError, and leaves the state
// as it was.
type handler func(*state, *request) (any, error)

// An apiError is an error as AWS puts it on the wire.
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }
