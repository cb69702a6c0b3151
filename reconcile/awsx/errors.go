package awsx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// A CallError is a failed API call, told in one line: the call, AWS's code
// and message, and the request id that AWS's support asks for.
type CallError struct {
	Call      string // "iam:AttachRolePolicy"
	Code      string // "AccessDenied"; "" where AWS gave no answer that could be read
	Message   string
	RequestID string // "" where there was no answer
	Attempts  int    // more than 1 where it was tried again in vain
	Err       error  // the SDK's error
}

func (e *CallError) Error() string {
	var b strings.Builder
	b.WriteString(e.Call)
	if e.Code != "" {
		b.WriteString(": " + e.Code)
	}
	b.WriteString(": " + e.Message)
	switch {
	case e.RequestID != "" && e.Attempts > 1:
		fmt.Fprintf(&b, " (%d attempts, request id %s)", e.Attempts, e.RequestID)
	case e.RequestID != "":
		fmt.Fprintf(&b, " (request id %s)", e.RequestID)
	case e.Attempts > 1:
		fmt.Fprintf(&b, " (%d attempts)", e.Attempts)
	}
	return b.String()
}

func (e *CallError) Unwrap() error { return e.Err }

// A CredentialsError says that there are no credentials to sign a call with,
// and what to type.
type CredentialsError struct {
	Err error

	profile config.SharedConfig // what the shared files say; zero: nothing
}

func (e *CredentialsError) Error() string {
	why, way := e.explain()
	return "no usable aws credentials: " + why + "; " + way
}

func (e *CredentialsError) explain() (why, way string) {
	if _, ok := errors.AsType[*processcreds.ProviderError](e.Err); ok {
		return "credential_process of profile " + e.profile.Profile + " failed: " + oneLine(e.Err),
			"run its command by hand to see why; it stands in the shared aws configuration"
	}
	if assume, ok := errors.AsType[*AssumeError](e.Err); ok {
		return "the role " + assume.Role + " could not be assumed: " + oneLine(assume.Err), "check assumeRole in the spec, that the caller may do sts:AssumeRole, and that the role's trust policy lets it in"
	}
	if name, ok := signsOn(&e.profile); ok {
		why = "the sign-in to SSO has expired or is not valid"
		switch invalid, ok := errors.AsType[*ssocreds.InvalidTokenError](e.Err); {
		case errors.Is(e.Err, fs.ErrNotExist): // the file that keeps it
			why = "nobody has signed in to SSO here yet"
		case !ok || invalid.Err != nil:
			why += ": " + oneLine(e.Err)
		}
		return why, "type: aws sso login --profile " + name
	}
	why = oneLine(e.Err)
	// A chain that ends at the instance's role has found nothing before it.
	if strings.Contains(e.Err.Error(), "no EC2 IMDS role found") {
		why = "none were found in the environment, the shared files or this machine's role"
	}
	return why, "name a profile (--profile or AWS_PROFILE), sign in (aws sso login), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
}

// An AssumeError says that a role could not be taken on.
type AssumeError struct {
	Role string
	Err  error
}

func (e *AssumeError) Error() string { return "assume " + e.Role + ": " + e.Err.Error() }
func (e *AssumeError) Unwrap() error { return e.Err }

// signsOn names the profile that has to sign in to SSO: the one at hand, or
// one that it takes its credentials from.
func signsOn(p *config.SharedConfig) (profile string, ok bool) {
	for ; p != nil; p = p.Source {
		if p.SSOSessionName != "" || p.SSOStartURL != "" {
			return p.Profile, true
		}
	}
	return "", false
}

func (e *CredentialsError) Unwrap() error { return e.Err }

// A throttledError is AWS's refusal of a call that may be repeated no longer.
type throttledError struct {
	Attempts int
	Err      error
}

func (e *throttledError) Error() string { return e.Err.Error() }
func (e *throttledError) Unwrap() error { return e.Err }

// Clean puts a CallError in the place of the SDK's error. Errors of other
// origin come back as they are.
func Clean(err error) error {
	if _, ok := errors.AsType[*CallError](err); ok || err == nil {
		return err
	}
	op, ok := errors.AsType[*smithy.OperationError](err)
	if !ok {
		return err
	}
	e := &CallError{Call: callName(op.ServiceID, op.OperationName), Err: err, Attempts: 1}
	if m, ok := errors.AsType[*retry.MaxAttemptsError](err); ok {
		e.Attempts = m.Attempt
	}
	if t, ok := errors.AsType[*throttledError](err); ok {
		e.Attempts = t.Attempts
	}
	if r, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		e.RequestID = r.ServiceRequestID()
	}
	api, isAPI := errors.AsType[smithy.APIError](err)
	// The SDK looks for credentials by calls of its own, whose failure must
	// not be taken for this call's: this one was never made.
	unsigned, isUnsigned := errors.AsType[*CredentialsError](err)
	switch {
	case isUnsigned:
		e.RequestID, e.Attempts, e.Message = "", 1, unsigned.Error()
	case isAPI && api.ErrorCode() == stopgap:
		e.Message = answered(err) + " without an error code of AWS's; check --endpoint-url and AWS_ENDPOINT_URL"
	case isAPI:
		e.Code, e.Message = api.ErrorCode(), strings.TrimSpace(api.ErrorMessage())
		if e.Message == "" || e.Message == stopgap {
			e.Message = "aws gave no message"
		}
		switch e.Code {
		case "ExpiredToken", "ExpiredTokenException":
			e.Message += "; the credentials are of a session that is over: sign in again (aws sso login), " +
				"or set AWS_SESSION_TOKEN and its two keys anew"
		}
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		e.Message = "no answer within the timeout"
	case errors.Is(err, context.Canceled):
		e.Message = "canceled"
	case isUnreadable(err) && !isTooLarge(err):
		e.Message = answered(err) + ", and the answer cannot be read: " + oneLine(err)
	default:
		e.Message = oneLine(err)
	}
	return e
}

// stopgap is the SDK's code, and message, where an answer has none.
const stopgap = "UnknownError"

// answered says who has answered a call, and with which status.
func answered(err error) string {
	r, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || r.Response == nil || r.Response.Response == nil || r.Response.Request == nil {
		return "aws answered"
	}
	return address(r.Response.Request.URL) + " answered HTTP " + r.Response.Status
}

// Hollow is the error for an answer of AWS's that came well and lacks what it
// is for: a proxy, an emulator or a service gone wrong. What is not there must
// not be taken for absent.
func Hollow(call, lacks string, answer middleware.Metadata) error {
	id, _ := awsmiddleware.GetRequestIDMetadata(answer)
	return &CallError{Call: call, Message: "the answer has no " + lacks, RequestID: id, Attempts: 1}
}

// oneLine is what went wrong, without the SDK's many words around it.
func oneLine(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode() + ": " + strings.TrimSpace(api.ErrorMessage())
	}
	// It names the address, which its cause does not.
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Error()
	}
	return strings.ReplaceAll(root(err).Error(), "\n", "; ")
}

// Code is AWS's error code, or "" where err is no answer of AWS's.
func Code(err error) string {
	if _, ok := errors.AsType[*CredentialsError](err); ok {
		return ""
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// UnknownCall says that an endpoint does not know a call by its name.
func UnknownCall(err error) bool {
	switch Code(err) {
	case "UnknownOperation", "UnknownOperationException", "InvalidAction", "NotImplemented":
		return true
	}
	return false
}

// Lacks says that an endpoint which stands in for AWS does not have a call at
// all, so that there is nothing that it would tell of. AWS has every call that
// is made here, and a web page of its own is a fault that passes.
func Lacks(err error) bool {
	if UnknownCall(err) {
		return true
	}
	page, ok := errors.AsType[*WebPageError](err)
	return ok && !IsAWS(&page.URL)
}

// Mentions says that AWS's message has the words, in whatever case. AWS tells
// some conditions apart by their message only.
func Mentions(err error, words string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && strings.Contains(strings.ToLower(api.ErrorMessage()), strings.ToLower(words))
}

// Unclear says that a call may have taken effect although it failed: no
// answer, one that cannot be read, a fault of the service, or a create that
// finds its own work. Looking again tells.
func Unclear(err error) bool {
	if _, ok := errors.AsType[*CredentialsError](err); ok {
		return false // never made
	}
	if Throttled(err) {
		return false // S3 does it with a status of 503
	}
	if AlreadyExists(err) {
		return true
	}
	if r, ok := errors.AsType[*awshttp.ResponseError](err); ok && r.HTTPStatusCode() >= 500 {
		return true
	}
	if isUnreadable(err) || isTimeout(err) {
		return true
	}
	if c, ok := errors.AsType[interface {
		error
		ConnectionError() bool
	}](err); ok && c.ConnectionError() {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// AlreadyExists says that a create has found what it was to make, be it its
// own work or somebody's.
func AlreadyExists(err error) bool {
	switch Code(err) {
	case "EntityAlreadyExists", "BucketAlreadyOwnedByYou", "RepositoryAlreadyExistsException",
		"ResourceAlreadyExistsException", "ResourceExistsException":
		return true
	}
	return false
}

// Throttled says that AWS refused the call for its rate, which is certain to
// have had no effect.
func Throttled(err error) bool {
	switch Code(err) {
	case "", "LimitExceededException": // no answer of AWS's to this call; a quota
		return false
	}
	return retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

// isUnreadable says that AWS has taken the call and that its answer makes no
// sense: half of it, or a proxy's page in its place.
func isUnreadable(err error) bool {
	if Code(err) != "" {
		return false
	}
	if _, ok := errors.AsType[*smithy.DeserializationError](err); ok {
		return true
	}
	// S3's client has no type for it, but a failure with the status of a
	// success can be nothing else.
	r, ok := errors.AsType[*awshttp.ResponseError](err)
	return ok && r.HTTPStatusCode()/100 == 2
}

func isTooLarge(err error) bool {
	_, ok := errors.AsType[*AnswerSizeError](err)
	return ok
}

func root(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

func describeCode(err error) string {
	if _, ok := errors.AsType[*CredentialsError](err); ok {
		return "no credentials"
	}
	if code := Code(err); code != "" {
		return code
	}
	if _, ok := errors.AsType[*WebPageError](err); ok {
		return "web page"
	}
	switch {
	case isTimeout(err):
		return "timeout"
	case isUnreadable(err):
		return "unreadable answer"
	}
	return "no answer"
}

// callName is a call as IAM's actions name it, which is what a reader types
// into a policy when it is denied.
func callName(serviceID, operation string) string { return serviceName(serviceID) + ":" + operation }

func serviceName(serviceID string) string {
	switch serviceID {
	case "CloudWatch Logs":
		return "logs"
	case "S3 Control":
		return "s3"
	case "Secrets Manager":
		return "secretsmanager"
	case "Resource Groups Tagging API":
		return "tag"
	}
	return strings.ToLower(serviceID)
}
