package sandbox

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecode(t *testing.T) {
	signed := func(service, region string) string {
		return "AWS4-HMAC-SHA256 Credential=AKIATEST/20260102/" + region + "/" + service + "/aws4_request, SignedHeaders=host, Signature=00"
	}
	type want struct{ Service, Operation, Region, AccessKey, Bucket, Key string }
	tests := []struct {
		name   string
		method string
		target string
		auth   string
		header [2]string
		body   string
		want   want
	}{
		{
			"iam", "POST", "/", signed("iam", "us-east-1"),
			[2]string{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"},
			"Action=GetUser&Version=2010-05-08",
			want{"iam", "GetUser", "us-east-1", "AKIATEST", "", ""},
		},
		{
			// Clients with an endpoint of their own may sign for their region.
			"iam from elsewhere", "POST", "/", signed("iam", "eu-north-1"),
			[2]string{"Content-Type", "application/x-www-form-urlencoded"},
			"Action=GetUser&Version=2010-05-08",
			want{"iam", "GetUser", "us-east-1", "AKIATEST", "", ""},
		},
		{
			"iam in China", "POST", "/", signed("iam", "cn-northwest-1"),
			[2]string{"Content-Type", "application/x-www-form-urlencoded"},
			"Action=GetUser&Version=2010-05-08",
			want{"iam", "GetUser", "cn-north-1", "AKIATEST", "", ""},
		},
		{
			"sts", "POST", "/", signed("sts", "eu-north-1"),
			[2]string{"Content-Type", "application/x-www-form-urlencoded"},
			"Action=GetCallerIdentity&Version=2011-06-15",
			want{"sts", "GetCallerIdentity", "eu-north-1", "AKIATEST", "", ""},
		},
		{
			"sts unsigned", "POST", "/", "",
			[2]string{"Content-Type", "application/x-www-form-urlencoded"},
			"Action=GetCallerIdentity&Version=2011-06-15",
			want{"sts", "GetCallerIdentity", "us-east-1", "", "", ""},
		},
		{
			"ecr", "POST", "/", signed("ecr", "eu-north-1"),
			[2]string{"X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921.CreateRepository"},
			"{}",
			want{"ecr", "CreateRepository", "eu-north-1", "AKIATEST", "", ""},
		},
		{
			"tagging", "POST", "/", signed("tagging", "us-east-1"),
			[2]string{"X-Amz-Target", "ResourceGroupsTaggingAPI_20170126.GetResources"},
			"{}",
			want{"tagging", "GetResources", "us-east-1", "AKIATEST", "", ""},
		},
		{
			"a form put into a bucket", "PUT", "/bucket/key", signed("s3", "eu-north-1"),
			[2]string{"Content-Type", "application/x-www-form-urlencoded"},
			"Action=GetUser",
			want{"s3", "PutObject", "eu-north-1", "AKIATEST", "bucket", "key"},
		},
		{
			"a presigned URL", "GET", "/bucket/a/b%2Fc?X-Amz-Credential=AKIATEST%2F20260102%2Feu-north-1%2Fs3%2Faws4_request", "",
			[2]string{},
			"",
			want{"s3", "GetObject", "eu-north-1", "AKIATEST", "bucket", "a/b/c"},
		},
		{
			"a service that is not there", "POST", "/", signed("dynamodb", "eu-north-1"),
			[2]string{"X-Amz-Target", "DynamoDB_20120810.ListTables"},
			"{}",
			want{"dynamodb", "ListTables", "eu-north-1", "AKIATEST", "", ""},
		},
		{
			"a query of a service that is not there", "POST", "/", signed("ec2", "eu-north-1"),
			[2]string{"Content-Type", "application/x-www-form-urlencoded"},
			"Action=DescribeVpcs&Version=2016-11-15",
			want{"ec2", "DescribeVpcs", "eu-north-1", "AKIATEST", "", ""},
		},
		{
			"a path of a service that is not there", "GET", "/2015-03-31/functions", signed("lambda", "eu-north-1"),
			[2]string{},
			"",
			want{"lambda", "GET /2015-03-31/functions", "eu-north-1", "AKIATEST", "", ""},
		},
		{"s3 unsigned", "GET", "/", "", [2]string{}, "", want{"s3", "ListBuckets", "us-east-1", "", "", ""}},
		{"a bucket's part", "DELETE", "/bucket?lifecycle", "", [2]string{}, "", want{"s3", "DeleteBucketLifecycle", "us-east-1", "", "bucket", ""}},
		{"a broken signature", "GET", "/bucket/", "AWS4-HMAC-SHA256 Credential=AKIATEST/x, y", [2]string{}, "", want{"s3", "ListObjects", "us-east-1", "", "bucket", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hr := httptest.NewRequest(tt.method, "http://127.0.0.1"+tt.target, nil)
			if tt.auth != "" {
				hr.Header.Set("Authorization", tt.auth)
			}
			if tt.header[0] != "" {
				hr.Header.Set(tt.header[0], tt.header[1])
			}
			r := decode(hr, []byte(tt.body))
			if d := cmp.Diff(tt.want, want{r.service, r.operation, r.region, r.accessKey, r.bucket, r.key}); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestBucketOfHost(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1:4566":                           "",
		"[::1]:4566":                               "",
		"localhost:4566":                           "",
		"sandbox:4566":                             "",
		"s3.amazonaws.com":                         "",
		"s3.eu-north-1.amazonaws.com":              "",
		"s3.localhost":                             "",
		"bucket.localhost:4566":                    "bucket",
		"my.bucket.localhost":                      "my.bucket",
		"bucket.s3.amazonaws.com":                  "bucket",
		"my.s3.bucket.s3.eu-north-1.amazonaws.com": "my.s3.bucket",
		"bucket.s3-eu-west-1.amazonaws.com":        "bucket",
	} {
		if got := bucketOfHost(host); got != want {
			t.Errorf("%s: bucket %q, want %q", host, got, want)
		}
	}
}

func TestUnchunk(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"with signatures": {"5;chunk-signature=aa\r\nhello\r\n1;chunk-signature=bb\r\n!\r\n0;chunk-signature=cc\r\n\r\n", "hello!"},
		"with a trailer":  {"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", "hello"},
		"in hex":          {"a\r\n0123456789\r\n0\r\n\r\n", "0123456789"},
		"empty":           {"0\r\n\r\n", ""},
		"none":            {"hello", "hello"},
		"cut short":       {"5\r\nhel", "5\r\nhel"},
		"negative":        {"-5\r\nhello\r\n", "-5\r\nhello\r\n"},
	} {
		if got := string(unchunk([]byte(tt.in))); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestMutates(t *testing.T) {
	for op, want := range map[string]bool{
		"GetUser": false, "ListBuckets": false, "DescribeClusters": false, "HeadBucket": false, "BatchGetImage": false,
		"BatchCheckLayerAvailability": false, "GetSecretValue": false,
		"CreateUser": true, "PutBucketTagging": true, "DeleteRole": true, "TagUser": true, "BatchDeleteImage": true,
		"RegisterTaskDefinition": true, "AttachUserPolicy": true, "RunTask": true, "SetDefaultPolicyVersion": true,
	} {
		if got := mutates(op); got != want {
			t.Errorf("%s: %t, want %t", op, got, want)
		}
	}
}

// TestErrorForms holds the bytes of errors: SDKs read them, and so do others.
func TestErrorForms(t *testing.T) {
	e := &apiError{http.StatusNotFound, "NoSuchThing", "<none>"}
	r := &request{id: "id-1", bucket: "b", key: "k", header: http.Header{}, http: httptest.NewRequest(http.MethodGet, "/b/k", nil)}
	for name, tt := range map[string]struct {
		protocol protocol
		want     string
	}{
		"query": {
			queryProtocol{"https://iam.amazonaws.com/doc/2010-05-08/"},
			`<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>NoSuchThing</Code><Message>&lt;none&gt;</Message></Error><RequestId>id-1</RequestId></ErrorResponse>`,
		},
		"json": {jsonProtocol{}, `{"__type":"NoSuchThing","message":"\u003cnone\u003e"}`},
		"s3": {
			s3Protocol{},
			`<Error><Code>NoSuchThing</Code><Message>&lt;none&gt;</Message><BucketName>b</BucketName><Key>k</Key><RequestId>id-1</RequestId><HostId>sandbox/id-1</HostId></Error>`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := tt.protocol.fail(r, e)
			_, body, found := strings.Cut(string(a.body), "?>\n")
			if !found {
				body = string(a.body)
			}
			if body != tt.want {
				t.Errorf("got  %s\nwant %s", body, tt.want)
			}
			if a.status != http.StatusNotFound || a.code != "NoSuchThing" {
				t.Errorf("status %d, code %s", a.status, a.code)
			}
			id := a.header.Get("X-Amzn-Requestid") + a.header.Get("X-Amz-Request-Id")
			if id != "id-1" {
				t.Errorf("request ID %q", id)
			}
		})
	}
}
