package sandbox

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

const logsKey = "arn:aws:kms:eu-north-1:123456789012:key/k"

func createLogGroup(t *testing.T, e *jsonEndpoint, in *cloudwatchlogs.CreateLogGroupInput) {
	t.Helper()
	must[*cloudwatchlogs.CreateLogGroupOutput](t)(e.logs.CreateLogGroup(t.Context(), in))
}

func describeLogGroups(t *testing.T, e *jsonEndpoint, in *cloudwatchlogs.DescribeLogGroupsInput) []types.LogGroup {
	t.Helper()
	return must[*cloudwatchlogs.DescribeLogGroupsOutput](t)(e.logs.DescribeLogGroups(t.Context(), in)).LogGroups
}

// defaultLogGroup is a group of which nothing but the name was given.
func defaultLogGroup(name string) types.LogGroup {
	arn := "arn:aws:logs:eu-north-1:123456789012:log-group:" + name
	return types.LogGroup{
		LogGroupName:              &name,
		Arn:                       aws.String(arn + ":*"),
		LogGroupArn:               &arn,
		CreationTime:              aws.Int64(start.UnixMilli()),
		LogGroupClass:             types.LogGroupClassStandard,
		MetricFilterCount:         aws.Int32(0),
		StoredBytes:               aws.Int64(0),
		DeletionProtectionEnabled: aws.Bool(false),
	}
}

func TestLogsDescribeLogGroups(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	plain, sibling, other := defaultLogGroup("/ecs/churn"), defaultLogGroup("/ecs/churn-prediction"), defaultLogGroup("/other")
	createLogGroup(t, e, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: other.LogGroupName, KmsKeyId: aws.String(logsKey)})
	other.KmsKeyId = aws.String(logsKey)
	createLogGroup(t, e, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: sibling.LogGroupName, LogGroupClass: types.LogGroupClassInfrequentAccess})
	sibling.LogGroupClass = types.LogGroupClassInfrequentAccess
	createLogGroup(t, e, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: plain.LogGroupName})
	must[*cloudwatchlogs.PutRetentionPolicyOutput](t)(e.logs.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: sibling.LogGroupName, RetentionInDays: aws.Int32(7)}))
	sibling.RetentionInDays = aws.Int32(7)

	tests := []struct {
		name string
		in   cloudwatchlogs.DescribeLogGroupsInput
		want []types.LogGroup
	}{
		{"all, by name", cloudwatchlogs.DescribeLogGroupsInput{}, []types.LogGroup{plain, sibling, other}},
		{"prefix answers siblings", cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/ecs/churn")}, []types.LogGroup{plain, sibling}},
		{"prefix is no pattern", cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("ecs")}, nil},
		{"pattern", cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePattern: aws.String("pred")}, []types.LogGroup{sibling}},
		{"pattern with case", cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePattern: aws.String("Pred")}, nil},
		{"class", cloudwatchlogs.DescribeLogGroupsInput{LogGroupClass: types.LogGroupClassInfrequentAccess}, []types.LogGroup{sibling}},
		{"identifiers", cloudwatchlogs.DescribeLogGroupsInput{LogGroupIdentifiers: []string{"/other", *plain.LogGroupArn, "/absent"}}, []types.LogGroup{plain, other}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := diff(tt.want, describeLogGroups(t, e, &tt.in)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestLogsPages(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	var want []string
	for i := range 51 {
		name := fmt.Sprintf("/g/%02d", i)
		want = append(want, name)
		createLogGroup(t, e, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name})
	}
	if got := len(describeLogGroups(t, e, &cloudwatchlogs.DescribeLogGroupsInput{})); got != 50 {
		t.Errorf("%d groups in the first page, want 50", got)
	}
	var got []string
	pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(e.logs, &cloudwatchlogs.DescribeLogGroupsInput{})
	for pages.HasMorePages() {
		for _, g := range must[*cloudwatchlogs.DescribeLogGroupsOutput](t)(pages.NextPage(t.Context())).LogGroups {
			got = append(got, *g.LogGroupName)
		}
	}
	if d := diff(want, got); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
}

func TestLogsRefusals(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	createLogGroup(t, e, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/there")})
	createLogGroup(t, e, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/kept"), DeletionProtectionEnabled: aws.Bool(true)})
	createLogGroup(t, e, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/delivery"), LogGroupClass: types.LogGroupClassDelivery})
	create := func(in cloudwatchlogs.CreateLogGroupInput) func(context.Context) error {
		return func(ctx context.Context) error { return erase(e.logs.CreateLogGroup(ctx, &in)) }
	}
	named := func(name string) func(context.Context) error {
		return create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name})
	}
	retain := func(name string, days int32) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(e.logs.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &name, RetentionInDays: &days}))
		}
	}
	tagsOf := func(arn string) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(e.logs.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: &arn}))
		}
	}
	remove := func(name string) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(e.logs.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: &name}))
		}
	}
	runRefusals(t, []refusal{
		{"there already", named("/there"), "ResourceAlreadyExistsException"},
		{"name with a space", named("/a b"), "InvalidParameterException"},
		{"name too long", named(strings.Repeat("g", 513)), "InvalidParameterException"},
		{"name with all it may have", named("a.B-c_d/e#9"), ""},
		{"unknown class", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/new"), LogGroupClass: "GOLD"}), "InvalidParameterException"},
		{"key that is no ARN", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/new"), KmsKeyId: aws.String("alias/k")}), "InvalidParameterException"},
		{"reserved tag", create(cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/new"), Tags: map[string]string{"aws:x": ""}}), "InvalidParameterException"},
		{"retention that AWS has", retain("/there", 3653), ""},
		{"retention that it has not", retain("/there", 13), "InvalidParameterException"},
		{"retention zero", retain("/there", 0), "InvalidParameterException"},
		{"retention of absent", retain("/new", 7), "ResourceNotFoundException"},
		{"retention of a delivery group", retain("/delivery", 7), "InvalidParameterException"},
		{"tags by ARN", tagsOf("arn:aws:logs:eu-north-1:123456789012:log-group:/there"), ""},
		{"tags by the described arn", tagsOf("arn:aws:logs:eu-north-1:123456789012:log-group:/there:*"), "InvalidParameterException"},
		{"tags of absent", tagsOf("arn:aws:logs:eu-north-1:123456789012:log-group:/new"), "ResourceNotFoundException"},
		{"tags of another region", tagsOf("arn:aws:logs:us-east-1:123456789012:log-group:/there"), "ResourceNotFoundException"},
		{"tag absent", func(ctx context.Context) error {
			return erase(e.logs.TagResource(ctx, &cloudwatchlogs.TagResourceInput{
				ResourceArn: aws.String("arn:aws:logs:eu-north-1:123456789012:log-group:/new"), Tags: map[string]string{"a": "b"},
			}))
		}, "ResourceNotFoundException"},
		{"no tags at all", func(ctx context.Context) error {
			return erase(e.logs.TagResource(ctx, &cloudwatchlogs.TagResourceInput{
				ResourceArn: aws.String("arn:aws:logs:eu-north-1:123456789012:log-group:/there"), Tags: map[string]string{},
			}))
		}, "InvalidParameterException"},
		{"prefix and pattern", func(ctx context.Context) error {
			return erase(e.logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("a"), LogGroupNamePattern: aws.String("a")}))
		}, "InvalidParameterException"},
		{"limit too large", func(ctx context.Context) error {
			return erase(e.logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{Limit: aws.Int32(51)}))
		}, "InvalidParameterException"},
		{"delete absent", remove("/new"), "ResourceNotFoundException"},
		{"delete protected", remove("/kept"), "ValidationException"},
		{"delete", remove("/there"), ""},
		{"delete again", remove("/there"), "ResourceNotFoundException"},
	})
}

func TestLogsChanges(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	ctx, name := t.Context(), aws.String("/g")
	createLogGroup(t, e, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: name, Tags: map[string]string{"a": "1", "b": "1"}})
	check := func(change string, want func(*types.LogGroup)) {
		t.Helper()
		group := defaultLogGroup("/g")
		want(&group)
		if d := diff([]types.LogGroup{group}, describeLogGroups(t, e, &cloudwatchlogs.DescribeLogGroupsInput{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", change, d)
		}
	}

	must[*cloudwatchlogs.PutRetentionPolicyOutput](t)(e.logs.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: name, RetentionInDays: aws.Int32(7)}))
	check("retention", func(g *types.LogGroup) { g.RetentionInDays = aws.Int32(7) })
	must[*cloudwatchlogs.DeleteRetentionPolicyOutput](t)(e.logs.DeleteRetentionPolicy(ctx, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: name}))
	check("no retention", func(*types.LogGroup) {})
	must[*cloudwatchlogs.AssociateKmsKeyOutput](t)(e.logs.AssociateKmsKey(ctx, &cloudwatchlogs.AssociateKmsKeyInput{LogGroupName: name, KmsKeyId: aws.String(logsKey)}))
	check("key", func(g *types.LogGroup) { g.KmsKeyId = aws.String(logsKey) })
	wantCode(t, erase(e.logs.AssociateKmsKey(ctx, &cloudwatchlogs.AssociateKmsKeyInput{LogGroupName: name, KmsKeyId: aws.String("k")})), "InvalidParameterException")
	must[*cloudwatchlogs.DisassociateKmsKeyOutput](t)(e.logs.DisassociateKmsKey(ctx, &cloudwatchlogs.DisassociateKmsKeyInput{ResourceIdentifier: defaultLogGroup("/g").LogGroupArn}))
	check("no key", func(*types.LogGroup) {})

	arn := defaultLogGroup("/g").LogGroupArn
	must[*cloudwatchlogs.TagResourceOutput](t)(e.logs.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"a": "2", "c": ""}}))
	must[*cloudwatchlogs.UntagResourceOutput](t)(e.logs.UntagResource(ctx, &cloudwatchlogs.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"b"}}))
	tags := must[*cloudwatchlogs.ListTagsForResourceOutput](t)(e.logs.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: arn}))
	if d := diff(map[string]string{"a": "2", "c": ""}, tags.Tags); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}

	// Tags go with the group.
	must[*cloudwatchlogs.DeleteLogGroupOutput](t)(e.logs.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: name}))
	createLogGroup(t, e, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: name})
	tags = must[*cloudwatchlogs.ListTagsForResourceOutput](t)(e.logs.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: arn}))
	if len(tags.Tags) != 0 {
		t.Errorf("tags of the deleted group: %v", tags.Tags)
	}
}

func TestLogsStreams(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	ctx, group := t.Context(), aws.String("/g")
	createLogGroup(t, e, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: group})
	create := func(name string) error {
		return erase(e.logs.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: group, LogStreamName: &name}))
	}
	wantCode(t, create("s"), "")
	wantCode(t, create("s"), "ResourceAlreadyExistsException")
	wantCode(t, create("a:b"), "InvalidParameterException")

	put := func(stream string, at ...int64) error {
		var events []types.InputLogEvent
		for _, ms := range at {
			events = append(events, types.InputLogEvent{Timestamp: aws.Int64(ms), Message: aws.String("hello")})
		}
		return erase(e.logs.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: group, LogStreamName: &stream, LogEvents: events}))
	}
	wantCode(t, put("s", 10, 20), "")
	wantCode(t, put("s", 20, 10), "InvalidParameterException")
	wantCode(t, put("absent", 10), "ResourceNotFoundException")

	streams := must[*cloudwatchlogs.DescribeLogStreamsOutput](t)(e.logs.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: group}))
	want := []types.LogStream{{
		LogStreamName:       aws.String("s"),
		Arn:                 aws.String("arn:aws:logs:eu-north-1:123456789012:log-group:/g:log-stream:s"),
		CreationTime:        aws.Int64(start.UnixMilli()),
		FirstEventTimestamp: aws.Int64(10),
		LastEventTimestamp:  aws.Int64(20),
		LastIngestionTime:   aws.Int64(start.UnixMilli()),
	}}
	if d := diff(want, streams.LogStreams); d != "" {
		t.Errorf("streams (-want +got):\n%s", d)
	}

	var got []int64
	pages := cloudwatchlogs.NewGetLogEventsPaginator(e.logs, &cloudwatchlogs.GetLogEventsInput{LogGroupName: group, LogStreamName: aws.String("s"), StartTime: aws.Int64(11)},
		func(o *cloudwatchlogs.GetLogEventsPaginatorOptions) { o.StopOnDuplicateToken = true })
	for pages.HasMorePages() {
		for _, event := range must[*cloudwatchlogs.GetLogEventsOutput](t)(pages.NextPage(ctx)).Events {
			got = append(got, *event.Timestamp)
		}
	}
	if d := diff([]int64{20}, got); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}

	// What is stored is what the messages weigh.
	if got := aws.ToInt64(describeLogGroups(t, e, &cloudwatchlogs.DescribeLogGroupsInput{})[0].StoredBytes); got != int64(2*len("hello")) {
		t.Errorf("%d bytes stored", got)
	}

	wantCode(t, create("a"), "")
	wantCode(t, create("t"), "")
	wantCode(t, put("t", 5), "")
	order := func(in cloudwatchlogs.DescribeLogStreamsInput) string {
		in.LogGroupIdentifier = defaultLogGroup("/g").LogGroupArn
		var names []string
		for _, s := range must[*cloudwatchlogs.DescribeLogStreamsOutput](t)(e.logs.DescribeLogStreams(ctx, &in)).LogStreams {
			names = append(names, *s.LogStreamName)
		}
		return strings.Join(names, " ")
	}
	for _, tt := range []struct {
		in   cloudwatchlogs.DescribeLogStreamsInput
		want string
	}{
		{cloudwatchlogs.DescribeLogStreamsInput{}, "a s t"},
		{cloudwatchlogs.DescribeLogStreamsInput{Descending: aws.Bool(true)}, "t s a"},
		{cloudwatchlogs.DescribeLogStreamsInput{LogStreamNamePrefix: aws.String("s")}, "s"},
		{cloudwatchlogs.DescribeLogStreamsInput{OrderBy: types.OrderByLastEventTime, Descending: aws.Bool(true)}, "s t a"},
		{cloudwatchlogs.DescribeLogStreamsInput{Limit: aws.Int32(2)}, "a s"},
	} {
		if got := order(tt.in); got != tt.want {
			t.Errorf("streams %q, want %q", got, tt.want)
		}
	}
	wantCode(t, erase(e.logs.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: group, OrderBy: types.OrderByLastEventTime, LogStreamNamePrefix: aws.String("s")})), "InvalidParameterException")
	wantCode(t, erase(e.logs.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{})), "InvalidParameterException")
}

//lint:file-ignore SA1019 AWS deprecates the older tagging calls and still answers them.

// The older tagging calls go by name and share their tags with the newer ones.
func TestLogsOlderTagging(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	ctx, name := t.Context(), aws.String("/g")
	createLogGroup(t, e, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: name, Tags: map[string]string{"a": "1"}})
	must[*cloudwatchlogs.TagLogGroupOutput](t)(e.logs.TagLogGroup(ctx, &cloudwatchlogs.TagLogGroupInput{LogGroupName: name, Tags: map[string]string{"b": "2"}}))
	must[*cloudwatchlogs.UntagLogGroupOutput](t)(e.logs.UntagLogGroup(ctx, &cloudwatchlogs.UntagLogGroupInput{LogGroupName: name, Tags: []string{"a"}}))
	older := must[*cloudwatchlogs.ListTagsLogGroupOutput](t)(e.logs.ListTagsLogGroup(ctx, &cloudwatchlogs.ListTagsLogGroupInput{LogGroupName: name}))
	newer := must[*cloudwatchlogs.ListTagsForResourceOutput](t)(e.logs.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: defaultLogGroup("/g").LogGroupArn}))
	for _, got := range []map[string]string{older.Tags, newer.Tags} {
		if d := diff(map[string]string{"b": "2"}, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
	wantCode(t, erase(e.logs.ListTagsLogGroup(ctx, &cloudwatchlogs.ListTagsLogGroupInput{LogGroupName: aws.String("/absent")})), "ResourceNotFoundException")
}
