package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
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

	close func() error // of the sandbox

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
	t.Cleanup(func() { _ = s.Close() })
	e.close = s.Close
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

// What one process was told, the next one knows: nothing of these services'
// state is lost on its way through JSON.
func TestJSONServicesSurviveARestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.json")
	e := serveJSON(t, "eu-north-1", file)
	createRepository(t, e, &ecr.CreateRepositoryInput{RepositoryName: aws.String("plain")})
	createRepository(t, e, &ecr.CreateRepositoryInput{RepositoryName: aws.String("repo"), Tags: []ecrtypes.Tag{{Key: aws.String("a"), Value: aws.String("1")}}})
	must[*ecr.PutImageOutput](t)(e.ecr.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: aws.String("repo"), ImageManifest: aws.String("one"), ImageTag: aws.String("v1")}))
	createCluster(t, e, &ecs.CreateClusterInput{})
	createCluster(t, e, &ecs.CreateClusterInput{ClusterName: aws.String("c"), Tags: ecsTagsIn("a", "1"), Configuration: &ecstypes.ClusterConfiguration{
		ManagedStorageConfiguration: &ecstypes.ManagedStorageConfiguration{KmsKeyId: aws.String("k")},
	}})
	register(t, e, fargate(nil))
	createLogGroup(t, e, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/g"), Tags: map[string]string{"a": "1"}})
	createSecret(t, e, &secretsmanager.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("v")})

	read := func(e *jsonEndpoint) []any {
		ctx := t.Context()
		return []any{
			must[*ecr.DescribeRepositoriesOutput](t)(e.ecr.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{})),
			must[*ecr.ListTagsForResourceOutput](t)(e.ecr.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: aws.String(ecrARN + "repo")})),
			must[*ecr.DescribeImagesOutput](t)(e.ecr.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: aws.String("repo")})),
			describeCluster(t, e, "default", "TAGS", "SETTINGS", "CONFIGURATIONS"),
			describeCluster(t, e, "c", "TAGS", "SETTINGS", "CONFIGURATIONS"),
			must[*ecs.DescribeTaskDefinitionOutput](t)(e.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String("f")})),
			describeLogGroups(t, e, &cloudwatchlogs.DescribeLogGroupsInput{}),
			must[*cloudwatchlogs.ListTagsForResourceOutput](t)(e.logs.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: defaultLogGroup("/g").LogGroupArn})),
			describeSecret(t, e, "s"),
			secretValueOf(t, e, secretsmanager.GetSecretValueInput{}),
		}
	}
	before := read(e)
	if err := e.close(); err != nil {
		t.Fatal(err)
	}
	next := serveJSON(t, "eu-north-1", file)
	if d := diff(before, read(next)); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
	// Counters go on where they were.
	if got := register(t, next, fargate(nil)).Revision; got != 2 {
		t.Errorf("revision %d after 1", got)
	}
}

// A region's resources are in no other region.
func TestJSONServicesAreRegional(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	ctx := t.Context()
	createRepository(t, e, &ecr.CreateRepositoryInput{RepositoryName: aws.String("repo")})
	createCluster(t, e, &ecs.CreateClusterInput{ClusterName: aws.String("c")})
	register(t, e, fargate(nil))
	createLogGroup(t, e, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/g")})
	createSecret(t, e, &secretsmanager.CreateSecretInput{Name: aws.String("s")})
	counts := func(region string) []int {
		return []int{
			len(must[*ecr.DescribeRepositoriesOutput](t)(e.ecr.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{}, func(o *ecr.Options) { o.Region = region })).Repositories),
			len(must[*ecs.ListClustersOutput](t)(e.ecs.ListClusters(ctx, &ecs.ListClustersInput{}, func(o *ecs.Options) { o.Region = region })).ClusterArns),
			len(must[*ecs.ListTaskDefinitionsOutput](t)(e.ecs.ListTaskDefinitions(ctx, &ecs.ListTaskDefinitionsInput{}, func(o *ecs.Options) { o.Region = region })).TaskDefinitionArns),
			len(must[*cloudwatchlogs.DescribeLogGroupsOutput](t)(e.logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{}, func(o *cloudwatchlogs.Options) { o.Region = region })).LogGroups),
			len(must[*secretsmanager.ListSecretsOutput](t)(e.secrets.ListSecrets(ctx, &secretsmanager.ListSecretsInput{}, func(o *secretsmanager.Options) { o.Region = region })).SecretList),
		}
	}
	if d := diff([]int{1, 1, 1, 1, 1}, counts("eu-north-1")); d != "" {
		t.Errorf("here (-want +got):\n%s", d)
	}
	if d := diff([]int{0, 0, 0, 0, 0}, counts("us-east-1")); d != "" {
		t.Errorf("elsewhere (-want +got):\n%s", d)
	}
}

// No input, however odd, makes a handler panic or fail in any other way than
// with an error of AWS's.
func FuzzJSONHandlers(f *testing.F) {
	f.Add(`null`)
	f.Add(`[]`)
	f.Add(`{"family":"f","memory":"1 GB","containerDefinitions":[null,{"name":"c","image":"i","portMappings":[null,{"hostPort":1}]}],"volumes":[null]}`)
	f.Add(`{"secretId":"","repositoryName":"repo","clusters":["arn:",""],"taskDefinition":":","resourceArn":"arn:aws:ecs:eu-north-1:123456789012:","logGroupName":"/g","tags":[],"imageIds":[{}]}`)
	f.Add(`{"name":"s","secretString":"v","clientRequestToken":"` + token1 + `","versionStages":[""],"nextToken":"9999999999999999999"}`)
	all := []map[string]handler{ecrHandlers(), ecsHandlers(), logsHandlers(), secretsmanagerHandlers()}
	f.Fuzz(func(t *testing.T, body string) {
		st := &state{}
		r := &request{region: "eu-north-1", account: "123456789012", now: start, body: []byte(body)}
		for _, handlers := range all {
			for _, name := range slices.Sorted(maps.Keys(handlers)) {
				v, err := handlers[name](st, r)
				if _, ok := errors.AsType[*apiError](err); err != nil && !ok {
					t.Errorf("%s: %v", name, err)
				}
				if _, err := json.Marshal(v); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if _, err := st.clone(); err != nil {
			t.Error(err)
		}
	})
}
