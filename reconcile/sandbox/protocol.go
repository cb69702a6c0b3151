package sandbox

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// An answer is what goes back over the wire.
type answer struct {
	status int
	code   string // the error's, for the log; "" is success
	header http.Header
	body   []byte
}

// A protocol puts a service's results and errors on the wire.
type protocol interface {
	answer(r *request, v any) (answer, error)
	fail(r *request, e *apiError) answer
}

// A service is one AWS service: its protocol, its operations, and the errors
// that any of its operations may answer.
type service struct {
	protocol protocol
	handlers map[string]handler
	needs    map[string]needs // what each of the operations has to be allowed
	json     bool

	throttled apiError
	failed    apiError
	absent    *apiError // what every call is answered where the sandbox lacks the service
}

const (
	rateExceeded = "Rate exceeded"
	broke        = "An internal error occurred"
)

// services lists what the sandbox serves, by the name of the service in a
// signature's scope.
func services() map[string]service {
	query := func(namespace, failed string, h map[string]handler, n map[string]needs) service {
		return service{
			protocol:  queryProtocol{namespace},
			handlers:  h,
			needs:     n,
			throttled: apiError{http.StatusBadRequest, "Throttling", rateExceeded},
			failed:    apiError{http.StatusInternalServerError, failed, broke},
		}
	}
	json := func(throttled, failed string, h map[string]handler, n map[string]needs) service {
		return service{
			protocol:  jsonProtocol{},
			handlers:  h,
			needs:     n,
			json:      true,
			throttled: apiError{http.StatusBadRequest, throttled, rateExceeded},
			failed:    apiError{http.StatusInternalServerError, failed, broke},
		}
	}
	return map[string]service{
		"s3": {
			protocol:  s3Protocol{},
			handlers:  s3Handlers(),
			needs:     s3Needs(),
			throttled: apiError{http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate."},
			failed:    apiError{http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again."},
		},
		"iam":            query("https://iam.amazonaws.com/doc/2010-05-08/", "ServiceFailure", iamHandlers(), iamNeeds()),
		"sts":            query("https://sts.amazonaws.com/doc/2011-06-15/", "InternalFailure", stsHandlers(), stsNeeds()),
		"ecr":            json("ThrottlingException", "ServerException", ecrHandlers(), ecrNeeds()),
		"ecs":            json("ThrottlingException", "ServerException", ecsHandlers(), ecsNeeds()),
		"logs":           json("ThrottlingException", "ServiceUnavailableException", logsHandlers(), logsNeeds()),
		"secretsmanager": json("ThrottlingException", "InternalServiceError", secretsmanagerHandlers(), secretsmanagerNeeds()),
		"tagging":        json("ThrottledException", "InternalServiceException", taggingHandlers(), taggingNeeds()),
		"cloudtrail":     json("ThrottlingException", "InternalServiceException", cloudtrailHandlers(), cloudtrailNeeds()),
	}
}

// untrusted gives an unknown access key the service's own words.
func (s service) untrusted(r *request) *apiError {
	const invalid = "The security token included in the request is invalid."
	switch {
	case r.service == "s3":
		return &apiError{http.StatusForbidden, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."}
	case s.json:
		return &apiError{http.StatusBadRequest, "UnrecognizedClientException", invalid}
	default:
		return &apiError{http.StatusForbidden, "InvalidClientTokenId", invalid}
	}
}

// unsigned is the answer to a call without a signature. Where AWS takes one, it
// is anonymous.
func (s service) unsigned() *apiError {
	if s.json {
		return &apiError{http.StatusBadRequest, "MissingAuthenticationTokenException", "Missing Authentication Token"}
	}
	return &apiError{http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token"}
}

// expired is the answer to credentials whose time is over.
func (s service) expired(r *request) *apiError {
	const over = "The security token included in the request is expired"
	switch {
	case r.service == "s3":
		return &apiError{http.StatusBadRequest, "ExpiredToken", "The provided token has expired."}
	case s.json:
		return &apiError{http.StatusBadRequest, "ExpiredTokenException", over}
	default:
		return &apiError{http.StatusForbidden, "ExpiredToken", over}
	}
}

// unknown is the answer to an operation that the sandbox does not have. No
// client retries its status.
func (s service) unknown(r *request) *apiError {
	switch {
	case s.absent != nil:
		return s.absent
	case r.service == "s3":
		return &apiError{http.StatusNotImplemented, "NotImplemented", "The sandbox does not implement " + r.operation + "."}
	case s.json:
		return &apiError{http.StatusBadRequest, "UnknownOperationException", "The sandbox does not implement " + r.operation + "."}
	default:
		return &apiError{http.StatusBadRequest, "InvalidAction", "Could not find operation " + r.operation + " for version " + r.form.Get("Version")}
	}
}

// jsonTargets are the prefixes of X-Amz-Target.
var jsonTargets = map[string]string{
	"AmazonEC2ContainerRegistry_V20150921": "ecr",
	"AmazonEC2ContainerServiceV20141113":   "ecs",
	"Logs_20140328":                        "logs",
	"secretsmanager":                       "secretsmanager",
	"ResourceGroupsTaggingAPI_20170126":    "tagging",
	"CloudTrail_20131101":                  "cloudtrail",
}

// served names the services for who asks for another.
const served = "S3, IAM, STS, ECR, ECS, CloudWatch Logs, Secrets Manager, the tagging API and CloudTrail's LookupEvents"

// unserved stands in for a service that the sandbox does not have. It answers
// in the protocol of the request, so that the client can say why. No client
// retries status 501.
func unserved(r *request) service {
	s := service{protocol: jsonProtocol{}, json: true} // REST-JSON reads its errors in the same way
	switch {
	case r.form != nil && r.service == "ec2":
		s = service{protocol: ec2Protocol{}}
	case r.form != nil:
		s = service{protocol: queryProtocol{}}
	}
	s.absent = &apiError{http.StatusNotImplemented, "NotImplemented", fmt.Sprintf("The sandbox serves %s, and no %s.", served, r.service)}
	s.throttled, s.failed = *s.absent, *s.absent
	return s
}

// decode takes the wire protocol off. It never fails: an unsigned request that
// names no service is a call to S3, whose protocol AWS's public URLs speak.
func decode(hr *http.Request, body []byte) *request {
	r := &request{http: hr, body: body, header: http.Header{}, region: "us-east-1"}
	var scope string
	r.accessKey, r.region, scope = credential(hr)

	target, operation, _ := strings.Cut(hr.Header.Get("X-Amz-Target"), ".")
	if name, ok := jsonTargets[target]; ok {
		r.service, r.operation = name, operation
		return r
	}
	if target != "" {
		r.service, r.operation = cmp.Or(scope, target), operation
		return r
	}
	if hr.Method == http.MethodPost && strings.HasPrefix(hr.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		if form, err := url.ParseQuery(string(body)); err == nil && form.Has("Action") {
			r.form, r.operation = form, form.Get("Action")
			r.service = "iam"
			switch {
			case scope == "sts" || form.Get("Version") == "2011-06-15":
				r.service = "sts"
			case scope != "":
				r.service = scope
			}
			if r.service == "iam" {
				r.region = homeRegion(r.region)
			}
			return r
		}
	}
	if scope != "" && scope != "s3" {
		r.service, r.operation = scope, hr.Method+" "+hr.URL.Path
		return r
	}
	r.service = "s3"
	decodeS3(r)
	return r
}

// credential reads the access key and the scope's region and service from a
// version 4 signature, in the header or in a presigned URL.
func credential(hr *http.Request) (key, region, service string) {
	c := hr.URL.Query().Get("X-Amz-Credential")
	if _, rest, ok := strings.Cut(hr.Header.Get("Authorization"), "Credential="); ok {
		c, _, _ = strings.Cut(rest, ",")
	}
	// KEY/DATE/REGION/SERVICE/aws4_request
	parts := strings.Split(strings.TrimSpace(c), "/")
	if len(parts) != 5 {
		return "", "us-east-1", ""
	}
	return parts[0], parts[2], parts[3]
}

// partition follows from the region, as in AWS's own endpoint rules.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	default:
		return "aws"
	}
}

// homeRegion is where the partition's IAM lives.
func homeRegion(region string) string {
	switch partition(region) {
	case "aws-cn":
		return "cn-north-1"
	case "aws-us-gov":
		return "us-gov-west-1"
	default:
		return "us-east-1"
	}
}

// mutates goes by the verb that AWS's operations begin with.
func mutates(operation string) bool {
	for _, verb := range [...]string{"Get", "List", "Lookup", "Describe", "Head", "BatchGet", "BatchCheck", "Filter", "Simulate", "Validate", "Test"} {
		if strings.HasPrefix(operation, verb) {
			return false
		}
	}
	return true
}

// ownHost says whether a request's Host is one that only this machine, its
// network or AWS can have given the sandbox: an address, localhost or a name
// under it, AWS's own names, which a proxy may keep, and the sandbox's name.
func ownHost(host, name string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	switch {
	case net.ParseIP(strings.Trim(host, "[]")) != nil, host == "localhost", host == strings.ToLower(name):
		return true
	}
	return slices.ContainsFunc([]string{".localhost", ".amazonaws.com", ".amazonaws.com.cn"}, func(domain string) bool {
		return strings.HasSuffix(host, domain)
	})
}

// bucketOfHost is the bucket of a virtual-host style request: what stands
// ahead of "s3" or "localhost" in the host's name. "" is path style.
func bucketOfHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if net.ParseIP(host) != nil || strings.HasPrefix(host, "s3.") || strings.HasPrefix(host, "s3-") {
		return ""
	}
	for _, mark := range [...]string{".s3.", ".s3-", ".localhost"} {
		if i := strings.LastIndex(host, mark); i > 0 {
			return host[:i]
		}
	}
	return ""
}
