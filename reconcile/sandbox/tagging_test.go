package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-cmp/cmp"
)

type taggingAnswer struct {
	Type                   string `json:"__type"`
	PaginationToken        string
	ResourceTagMappingList []taggedResource
}

// resources calls GetResources as a client in a region would.
func (e endpoint) resources(t *testing.T, region, body string) taggingAnswer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "ResourceGroupsTaggingAPI_20170126.GetResources")
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260102/"+region+"/tagging/aws4_request, SignedHeaders=host, Signature=00")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var a taggingAnswer
	if err := json.Unmarshal(raw, &a); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return a
}

func TestGetResources(t *testing.T) {
	e := serve(t, Options{})
	ctx, c := t.Context(), e.iam()
	for i := range 3 {
		must[*iam.CreatePolicyOutput](t)(c.CreatePolicy(ctx, &iam.CreatePolicyInput{
			PolicyName: aws.String(fmt.Sprint("p", i)), PolicyDocument: aws.String(allowAll), Tags: iamTags("n", fmt.Sprint(i), "all", "yes"),
		}))
	}
	must[*iam.CreatePolicyOutput](t)(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("untagged"), PolicyDocument: aws.String(allowAll)}))
	must[*iam.CreateUserOutput](t)(c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("u"), Tags: iamTags("n", "1")}))
	if err := createIn(ctx, e.s3(testRegion), "bucket", testRegion, s3Tag("n", "1")); err != nil {
		t.Fatal(err)
	}
	must[*iam.UntagPolicyOutput](t)(c.UntagPolicy(ctx, &iam.UntagPolicyInput{PolicyArn: aws.String(ownPrefix + "policy/p2"), TagKeys: []string{"n", "all"}}))

	for _, at := range []string{testRegion, "eu-west-1"} {
		e.tagEach(t, at)
	}

	policy := func(n string, tags ...tag) taggedResource {
		if tags == nil {
			tags = []tag{} // once had some
		}
		return taggedResource{ownPrefix + "policy/" + n, tags}
	}
	p0, p1, p2 := policy("p0", tag{"n", "0"}, tag{"all", "yes"}), policy("p1", tag{"n", "1"}, tag{"all", "yes"}), policy("p2")
	bucket := taggedResource{"arn:aws:s3:::bucket", []tag{{"n", "1"}}}
	tests := []struct {
		name, region, body string
		want               []taggedResource
	}{
		{"policies", "us-east-1", `{"ResourceTypeFilters":["iam:policy"]}`, []taggedResource{p0, p1, p2}},
		{"all of IAM", "us-east-1", `{"ResourceTypeFilters":["iam"]}`, []taggedResource{p0, p1, p2}},
		{"policies from elsewhere", testRegion, `{"ResourceTypeFilters":["iam:policy"]}`, []taggedResource{}},
		{"everything there", testRegion, `{}`, slices.Insert(eachTagged(testRegion), 4, bucket)},
		{"another region", "eu-west-1", `{}`, eachTagged("eu-west-1")},
		{"repositories", testRegion, `{"ResourceTypeFilters":["ecr:repository"]}`, eachTagged(testRegion)[:1]},
		{"all of ECS", testRegion, `{"ResourceTypeFilters":["ecs"]}`, eachTagged(testRegion)[1:3]},
		{"task definitions", testRegion, `{"ResourceTypeFilters":["ecs:task-definition"]}`, eachTagged(testRegion)[2:3]},
		{"log groups", testRegion, `{"ResourceTypeFilters":["logs:log-group"]}`, eachTagged(testRegion)[3:4]},
		{"buckets", testRegion, `{"ResourceTypeFilters":["s3"]}`, []taggedResource{bucket}},
		{"a key", "us-east-1", `{"TagFilters":[{"Key":"all"}]}`, []taggedResource{p0, p1}},
		{"a value", "us-east-1", `{"TagFilters":[{"Key":"n","Values":["1","7"]},{"Key":"all"}]}`, []taggedResource{p1}},
		{"by ARN", "us-east-1", fmt.Sprintf(`{"ResourceARNList":[%q,"arn:aws:iam::1:policy/none"]}`, p1.ResourceARN), []taggedResource{p1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := e.resources(t, tt.region, tt.body)
			if d := cmp.Diff(taggingAnswer{ResourceTagMappingList: tt.want}, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}

	var got []taggedResource
	token := ""
	for range 5 {
		a := e.resources(t, "us-east-1", fmt.Sprintf(`{"ResourcesPerPage":2,"PaginationToken":%q}`, token))
		got = append(got, a.ResourceTagMappingList...)
		if token = a.PaginationToken; token == "" {
			break
		}
	}
	if d := cmp.Diff([]taggedResource{p0, p1, p2}, got); d != "" {
		t.Errorf("in pages (-want +got):\n%s", d)
	}
	for _, body := range []string{`{"ResourcesPerPage":101}`, `{"ResourceARNList":["a"],"TagFilters":[{"Key":"k"}]}`, `[]`} {
		if got := e.resources(t, "us-east-1", body).Type; got != "InvalidParameterException" {
			t.Errorf("%s: code %q", body, got)
		}
	}
}

// tagEach makes one tagged resource of each regional kind but buckets, and an
// untagged log group, which the tagging API does not list.
func (e endpoint) tagEach(t *testing.T, region string) {
	t.Helper()
	ctx := t.Context()
	for _, call := range [][3]string{
		{"ecr", "AmazonEC2ContainerRegistry_V20150921.CreateRepository", `{"repositoryName":"images","tags":[{"Key":"k","Value":"v"}]}`},
		{"ecs", "AmazonEC2ContainerServiceV20141113.CreateCluster", `{"clusterName":"c","tags":[{"key":"k","value":"v"}]}`},
		{"ecs", "AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition", `{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64}],"tags":[{"key":"k","value":"v"}]}`},
		{"logs", "Logs_20140328.CreateLogGroup", `{"logGroupName":"g","tags":{"k":"v"}}`},
		{"logs", "Logs_20140328.CreateLogGroup", `{"logGroupName":"untagged"}`},
		{"secretsmanager", "secretsmanager.CreateSecret", `{"Name":"s","SecretString":"x","ClientRequestToken":"00000000-0000-0000-0000-000000000001","Tags":[{"Key":"k","Value":"v"}]}`},
	} {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, strings.NewReader(call[2]))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Target", call[1])
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260102/"+region+"/"+call[0]+"/aws4_request, SignedHeaders=host, Signature=00")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", call[1], resp.Status)
		}
	}
}

// eachTagged is what tagEach has made, in the order of its ARNs.
func eachTagged(region string) []taggedResource {
	own := region + ":123456789012:"
	r := &request{region: region, account: "123456789012"}
	var all []taggedResource
	for _, arn := range []string{
		"arn:aws:ecr:" + own + "repository/images",
		"arn:aws:ecs:" + own + "cluster/c",
		"arn:aws:ecs:" + own + "task-definition/f:1",
		"arn:aws:logs:" + own + "log-group:g",
		secretARN(r, "s"),
	} {
		all = append(all, taggedResource{arn, []tag{{"k", "v"}}})
	}
	return all
}
