package sandbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

const (
	ecsARN  = "arn:aws:ecs:eu-north-1:123456789012:"
	ecsRole = "arn:aws:iam::123456789012:role/exec"
)

func createCluster(t *testing.T, e *jsonEndpoint, in *ecs.CreateClusterInput) types.Cluster {
	t.Helper()
	return *must[*ecs.CreateClusterOutput](t)(e.ecs.CreateCluster(t.Context(), in)).Cluster
}

func describeCluster(t *testing.T, e *jsonEndpoint, name string, include ...types.ClusterField) types.Cluster {
	t.Helper()
	out := must[*ecs.DescribeClustersOutput](t)(e.ecs.DescribeClusters(t.Context(), &ecs.DescribeClustersInput{Clusters: []string{name}, Include: include}))
	if len(out.Clusters) != 1 || len(out.Failures) != 0 {
		t.Fatalf("%d clusters, failures %v, want 1 and none", len(out.Clusters), out.Failures)
	}
	return out.Clusters[0]
}

func insights(value string) []types.ClusterSetting {
	return []types.ClusterSetting{{Name: types.ClusterSettingNameContainerInsights, Value: &value}}
}

func ecsTagsIn(pairs ...string) []types.Tag {
	var tags []types.Tag
	for i := 0; i < len(pairs); i += 2 {
		tags = append(tags, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	return tags
}

func TestECSCreateCluster(t *testing.T) {
	t.Parallel()
	exec := &types.ClusterConfiguration{ExecuteCommandConfiguration: &types.ExecuteCommandConfiguration{
		Logging:          types.ExecuteCommandLoggingOverride,
		LogConfiguration: &types.ExecuteCommandLogConfiguration{CloudWatchLogGroupName: aws.String("/g"), S3EncryptionEnabled: true},
	}}
	strategy := []types.CapacityProviderStrategyItem{{CapacityProvider: aws.String("FARGATE_SPOT"), Weight: 1, Base: 2}}
	tests := []struct {
		name string
		in   ecs.CreateClusterInput
		want types.Cluster
	}{
		{"defaults", ecs.CreateClusterInput{}, types.Cluster{Settings: insights("disabled")}},
		{
			"everything given",
			ecs.CreateClusterInput{
				Settings: insights("enhanced"), Configuration: exec, Tags: ecsTagsIn("b", "2", "a", "1"),
				CapacityProviders: []string{"FARGATE", "FARGATE_SPOT"}, DefaultCapacityProviderStrategy: strategy,
			},
			types.Cluster{
				Settings: insights("enhanced"), Configuration: exec, Tags: ecsTagsIn("a", "1", "b", "2"),
				CapacityProviders: []string{"FARGATE", "FARGATE_SPOT"}, DefaultCapacityProviderStrategy: strategy,
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := serveJSON(t, "eu-north-1", "")
			in, want := tt.in, tt.want
			in.ClusterName, want.ClusterName = aws.String("c"), aws.String("c")
			want.ClusterArn = aws.String(ecsARN + "cluster/c")
			want.Status = aws.String("ACTIVE")
			if d := diff(want, createCluster(t, e, &in)); d != "" {
				t.Errorf("created (-want +got):\n%s", d)
			}
			all := describeCluster(t, e, "c", types.ClusterFieldTags, types.ClusterFieldSettings, types.ClusterFieldConfigurations)
			if d := diff(want, all); d != "" {
				t.Errorf("described with everything (-want +got):\n%s", d)
			}
			want.Tags, want.Settings, want.Configuration = nil, nil, nil
			if d := diff(want, describeCluster(t, e, ecsARN+"cluster/c")); d != "" {
				t.Errorf("described with nothing included (-want +got):\n%s", d)
			}
		})
	}
}

// CreateCluster of a name that is there answers what is there and changes
// nothing; of a deleted one it makes a new cluster.
func TestECSCreateClusterAgain(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	ctx, name := t.Context(), aws.String("c")
	first := createCluster(t, e, &ecs.CreateClusterInput{ClusterName: name, Tags: ecsTagsIn("a", "1"), Settings: insights("enabled")})
	again := createCluster(t, e, &ecs.CreateClusterInput{ClusterName: name, Tags: ecsTagsIn("a", "2"), Settings: insights("disabled")})
	if d := diff(first, again); d != "" {
		t.Errorf("changed (-first +again):\n%s", d)
	}

	must[*ecs.DeleteClusterOutput](t)(e.ecs.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: name}))
	if got := aws.ToString(describeCluster(t, e, "c").Status); got != "INACTIVE" {
		t.Errorf("deleted cluster is %s", got)
	}
	if list := must[*ecs.ListClustersOutput](t)(e.ecs.ListClusters(ctx, &ecs.ListClustersInput{})); len(list.ClusterArns) != 0 {
		t.Errorf("listed: %v", list.ClusterArns)
	}
	third := createCluster(t, e, &ecs.CreateClusterInput{ClusterName: name})
	if aws.ToString(third.Status) != "ACTIVE" || len(third.Tags) != 0 || aws.ToString(third.Settings[0].Value) != "disabled" {
		t.Errorf("not a new cluster: %+v", third)
	}
	if list := must[*ecs.ListClustersOutput](t)(e.ecs.ListClusters(ctx, &ecs.ListClustersInput{})); len(list.ClusterArns) != 1 {
		t.Errorf("listed: %v", list.ClusterArns)
	}
}

func TestECSDescribeClusters(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	createCluster(t, e, &ecs.CreateClusterInput{})
	createCluster(t, e, &ecs.CreateClusterInput{ClusterName: aws.String("c")})
	elsewhere := "arn:aws:ecs:us-east-1:123456789012:cluster/c"
	tests := []struct {
		name    string
		ask     []string
		found   []string
		missing []string
	}{
		{"none named", nil, []string{"default"}, nil},
		{"names and ARNs", []string{"c", ecsARN + "cluster/default"}, []string{"c", "default"}, nil},
		{"some missing", []string{"x", "c", elsewhere}, []string{"c"}, []string{ecsARN + "cluster/x", elsewhere}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := must[*ecs.DescribeClustersOutput](t)(e.ecs.DescribeClusters(t.Context(), &ecs.DescribeClustersInput{Clusters: tt.ask}))
			var found []string
			for _, c := range out.Clusters {
				found = append(found, *c.ClusterName)
			}
			if d := diff(tt.found, found); d != "" {
				t.Errorf("clusters (-want +got):\n%s", d)
			}
			var missing []types.Failure
			for _, arn := range tt.missing {
				missing = append(missing, types.Failure{Arn: aws.String(arn), Reason: aws.String("MISSING")})
			}
			if d := diff(missing, out.Failures); d != "" {
				t.Errorf("failures (-want +got):\n%s", d)
			}
		})
	}
	if got := len(describeCluster(t, e, "c", types.ClusterFieldStatistics).Statistics); got == 0 {
		t.Error("no statistics")
	}
}

func TestECSChangeCluster(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	ctx, name := t.Context(), aws.String("c")
	want := createCluster(t, e, &ecs.CreateClusterInput{
		ClusterName: name, CapacityProviders: []string{"FARGATE"}, Tags: ecsTagsIn("a", "1", "b", "1"),
		DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{{CapacityProvider: aws.String("FARGATE"), Weight: 1}},
	})
	check := func(change string) {
		t.Helper()
		got := describeCluster(t, e, "c", types.ClusterFieldTags, types.ClusterFieldSettings, types.ClusterFieldConfigurations)
		if d := diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", change, d)
		}
	}
	check("nothing")

	must[*ecs.UpdateClusterSettingsOutput](t)(e.ecs.UpdateClusterSettings(ctx, &ecs.UpdateClusterSettingsInput{Cluster: name, Settings: insights("enabled")}))
	want.Settings = insights("enabled")
	check("settings")

	configuration := &types.ClusterConfiguration{ExecuteCommandConfiguration: &types.ExecuteCommandConfiguration{Logging: types.ExecuteCommandLoggingNone}}
	must[*ecs.UpdateClusterOutput](t)(e.ecs.UpdateCluster(ctx, &ecs.UpdateClusterInput{Cluster: name, Configuration: configuration}))
	want.Configuration = configuration
	check("configuration")

	must[*ecs.PutClusterCapacityProvidersOutput](t)(e.ecs.PutClusterCapacityProviders(ctx, &ecs.PutClusterCapacityProvidersInput{
		Cluster: name, CapacityProviders: []string{"FARGATE_SPOT"}, DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{},
	}))
	want.CapacityProviders, want.DefaultCapacityProviderStrategy = []string{"FARGATE_SPOT"}, nil
	check("capacity providers")

	arn := want.ClusterArn
	must[*ecs.TagResourceOutput](t)(e.ecs.TagResource(ctx, &ecs.TagResourceInput{ResourceArn: arn, Tags: ecsTagsIn("a", "2")}))
	must[*ecs.UntagResourceOutput](t)(e.ecs.UntagResource(ctx, &ecs.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"b"}}))
	want.Tags = ecsTagsIn("a", "2")
	check("tags")
	tags := must[*ecs.ListTagsForResourceOutput](t)(e.ecs.ListTagsForResource(ctx, &ecs.ListTagsForResourceInput{ResourceArn: arn}))
	if d := diff(want.Tags, tags.Tags); d != "" {
		t.Errorf("listed tags (-want +got):\n%s", d)
	}
}

// The account's setting is what a new cluster has that says nothing itself.
func TestECSAccountSettings(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	ctx := t.Context()
	list := func(in ecs.ListAccountSettingsInput) map[string]string {
		got := map[string]string{}
		for _, s := range must[*ecs.ListAccountSettingsOutput](t)(e.ecs.ListAccountSettings(ctx, &in)).Settings {
			got[string(s.Name)] = *s.Value
		}
		return got
	}
	if got := list(ecs.ListAccountSettingsInput{}); len(got) != 0 {
		t.Errorf("settings that nobody put: %v", got)
	}
	must[*ecs.PutAccountSettingOutput](t)(e.ecs.PutAccountSetting(ctx, &ecs.PutAccountSettingInput{Name: types.SettingNameContainerInsights, Value: aws.String("enhanced")}))
	if d := diff(map[string]string{"containerInsights": "enhanced"}, list(ecs.ListAccountSettingsInput{})); d != "" {
		t.Errorf("put (-want +got):\n%s", d)
	}
	effective := list(ecs.ListAccountSettingsInput{EffectiveSettings: true})
	if effective["containerInsights"] != "enhanced" || effective["taskLongArnFormat"] != "enabled" {
		t.Errorf("effective: %v", effective)
	}
	if got := createCluster(t, e, &ecs.CreateClusterInput{}); aws.ToString(got.Settings[0].Value) != "enhanced" {
		t.Errorf("new cluster: %v", aws.ToString(got.Settings[0].Value))
	}
}

func TestECSDescribeCapacityProviders(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	out := must[*ecs.DescribeCapacityProvidersOutput](t)(e.ecs.DescribeCapacityProviders(t.Context(), &ecs.DescribeCapacityProvidersInput{CapacityProviders: []string{"FARGATE_SPOT", "other"}}))
	if len(out.CapacityProviders) != 1 || aws.ToString(out.CapacityProviders[0].Name) != "FARGATE_SPOT" || len(out.Failures) != 1 {
		t.Errorf("%+v", out)
	}
}

func TestECSClusterRefusals(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	createCluster(t, e, &ecs.CreateClusterInput{ClusterName: aws.String("c")})
	createCluster(t, e, &ecs.CreateClusterInput{ClusterName: aws.String("gone")})
	must[*ecs.DeleteClusterOutput](t)(e.ecs.DeleteCluster(t.Context(), &ecs.DeleteClusterInput{Cluster: aws.String("gone")}))
	create := func(in ecs.CreateClusterInput) func(context.Context) error {
		return func(ctx context.Context) error { return erase(e.ecs.CreateCluster(ctx, &in)) }
	}
	exec := func(logging types.ExecuteCommandLogging, log *types.ExecuteCommandLogConfiguration) func(context.Context) error {
		return create(ecs.CreateClusterInput{Configuration: &types.ClusterConfiguration{
			ExecuteCommandConfiguration: &types.ExecuteCommandConfiguration{Logging: logging, LogConfiguration: log},
		}})
	}
	type items = []types.CapacityProviderStrategyItem
	item := func(name string, weight, base int32) types.CapacityProviderStrategyItem {
		return types.CapacityProviderStrategyItem{CapacityProvider: &name, Weight: weight, Base: base}
	}
	put := func(cluster string, providers []string, strategy items) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(e.ecs.PutClusterCapacityProviders(ctx, &ecs.PutClusterCapacityProvidersInput{
				Cluster: &cluster, CapacityProviders: providers, DefaultCapacityProviderStrategy: strategy,
			}))
		}
	}
	both := []string{"FARGATE", "FARGATE_SPOT"}
	tagging := func(arn string, tags []types.Tag) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(e.ecs.TagResource(ctx, &ecs.TagResourceInput{ResourceArn: &arn, Tags: tags}))
		}
	}
	change := func(in ecs.UpdateClusterInput) func(context.Context) error {
		in.Cluster = aws.String("c")
		return func(ctx context.Context) error { return erase(e.ecs.UpdateCluster(ctx, &in)) }
	}
	update := func(cluster string) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(e.ecs.UpdateCluster(ctx, &ecs.UpdateClusterInput{Cluster: &cluster, Settings: insights("enabled")}))
		}
	}
	remove := func(cluster string) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(e.ecs.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: &cluster}))
		}
	}
	runRefusals(t, []refusal{
		{"name with a dot", create(ecs.CreateClusterInput{ClusterName: aws.String("a.b")}), "InvalidParameterException"},
		{"name too long", create(ecs.CreateClusterInput{ClusterName: aws.String(strings.Repeat("c", 256))}), "InvalidParameterException"},
		{"tags empty", create(ecs.CreateClusterInput{Tags: []types.Tag{}}), "InvalidParameterException"},
		{"tag reserved", create(ecs.CreateClusterInput{Tags: ecsTagsIn("aws:x", "")}), "InvalidParameterException"},
		{"setting unknown", create(ecs.CreateClusterInput{Settings: []types.ClusterSetting{{Name: "colour", Value: aws.String("red")}}}), "InvalidParameterException"},
		{"setting's value unknown", create(ecs.CreateClusterInput{Settings: insights("on")}), "InvalidParameterException"},
		{"provider unknown", create(ecs.CreateClusterInput{CapacityProviders: []string{"mine"}}), "InvalidParameterException"},
		{"override without a log", exec(types.ExecuteCommandLoggingOverride, nil), "InvalidParameterException"},
		{"log without override", exec(types.ExecuteCommandLoggingDefault, &types.ExecuteCommandLogConfiguration{}), "InvalidParameterException"},
		{"logging unknown", exec("LOUD", nil), "InvalidParameterException"},

		{"provider twice", put("c", []string{"FARGATE", "FARGATE"}, items{}), "InvalidParameterException"},
		{"strategy beyond the providers", put("c", []string{"FARGATE"}, items{item("FARGATE_SPOT", 1, 0)}), "InvalidParameterException"},
		{"strategy twice", put("c", both, items{item("FARGATE", 1, 0), item("FARGATE", 1, 0)}), "InvalidParameterException"},
		{"two bases", put("c", both, items{item("FARGATE", 1, 1), item("FARGATE_SPOT", 1, 1)}), "InvalidParameterException"},
		{"no weight", put("c", both, items{item("FARGATE", 0, 1), item("FARGATE_SPOT", 0, 0)}), "InvalidParameterException"},
		{"weight too large", put("c", both, items{item("FARGATE", 1001, 0)}), "InvalidParameterException"},
		{"providers of absent", put("x", both, items{}), "ClusterNotFoundException"},
		{"providers", put("c", both, items{item("FARGATE", 1, 1), item("FARGATE_SPOT", 0, 0)}), ""},

		{"update to an unknown setting", change(ecs.UpdateClusterInput{Settings: insights("on")}), "InvalidParameterException"},
		{"update to unknown logging", change(ecs.UpdateClusterInput{Configuration: &types.ClusterConfiguration{
			ExecuteCommandConfiguration: &types.ExecuteCommandConfiguration{Logging: "LOUD"},
		}}), "InvalidParameterException"},
		{"tag with a reserved key", tagging(ecsARN+"cluster/c", ecsTagsIn("aws:x", "")), "InvalidParameterException"},
		{"account's insights unknown", func(ctx context.Context) error {
			return erase(e.ecs.PutAccountSetting(ctx, &ecs.PutAccountSettingInput{Name: types.SettingNameContainerInsights, Value: aws.String("on")}))
		}, "InvalidParameterException"},
		{"update absent", update("x"), "ClusterNotFoundException"},
		{"update deleted", update("gone"), "ClusterNotFoundException"},
		{"tag absent", tagging(ecsARN+"cluster/x", ecsTagsIn("a", "b")), "ClusterNotFoundException"},
		{"tag deleted", tagging(ecsARN+"cluster/gone", ecsTagsIn("a", "b")), "InvalidParameterException"},
		{"tag nothing", tagging(ecsARN+"cluster/c", []types.Tag{}), "InvalidParameterException"},
		{"tag a service", tagging(ecsARN+"service/c/s", ecsTagsIn("a", "b")), "InvalidParameterException"},
		{"tag elsewhere", tagging("arn:aws:ecs:us-east-1:123456789012:cluster/c", ecsTagsIn("a", "b")), "InvalidParameterException"},
		{"101 clusters", func(ctx context.Context) error {
			return erase(e.ecs.DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: make([]string, 101)}))
		}, "InvalidParameterException"},
		{"100 clusters", func(ctx context.Context) error {
			return erase(e.ecs.DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: make([]string, 100)}))
		}, ""},
		{"include unknown", func(ctx context.Context) error {
			return erase(e.ecs.DescribeClusters(ctx, &ecs.DescribeClustersInput{Include: []types.ClusterField{"ALL"}}))
		}, "InvalidParameterException"},
		{"setting of the account unknown", func(ctx context.Context) error {
			return erase(e.ecs.PutAccountSetting(ctx, &ecs.PutAccountSettingInput{Name: "colour", Value: aws.String("red")}))
		}, "InvalidParameterException"},
		{"delete absent", remove("x"), "ClusterNotFoundException"},
		{"delete", remove("c"), ""},
		{"delete again", remove("c"), "ClusterNotFoundException"},
	})
}

// fargate is a task definition that Fargate can run; change makes it another.
func fargate(change func(*ecs.RegisterTaskDefinitionInput)) *ecs.RegisterTaskDefinitionInput {
	in := &ecs.RegisterTaskDefinitionInput{
		Family:                  aws.String("f"),
		NetworkMode:             types.NetworkModeAwsvpc,
		RequiresCompatibilities: []types.Compatibility{types.CompatibilityFargate},
		Cpu:                     aws.String("512"),
		Memory:                  aws.String("1024"),
		ContainerDefinitions:    []types.ContainerDefinition{{Name: aws.String("c"), Image: aws.String("nginx")}},
	}
	if change != nil {
		change(in)
	}
	return in
}

func register(t *testing.T, e *jsonEndpoint, in *ecs.RegisterTaskDefinitionInput) types.TaskDefinition {
	t.Helper()
	return *must[*ecs.RegisterTaskDefinitionOutput](t)(e.ecs.RegisterTaskDefinition(t.Context(), in)).TaskDefinition
}

func TestECSRegisterTaskDefinition(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	out := must[*ecs.RegisterTaskDefinitionOutput](t)(e.ecs.RegisterTaskDefinition(t.Context(), fargate(func(in *ecs.RegisterTaskDefinitionInput) {
		in.Cpu, in.Memory = aws.String("1 vCPU"), aws.String("2GB")
		in.TaskRoleArn, in.ExecutionRoleArn = aws.String("task"), aws.String(ecsRole)
		in.Tags = ecsTagsIn("a", "1")
		in.Volumes = []types.Volume{{Name: aws.String("scratch")}, {Name: aws.String("later"), ConfiguredAtLaunch: aws.Bool(true)}}
		in.EphemeralStorage = &types.EphemeralStorage{SizeInGiB: 30}
		in.ContainerDefinitions = []types.ContainerDefinition{
			{
				Name:  aws.String("c"),
				Image: aws.String("123456789012.dkr.ecr.eu-north-1.amazonaws.com/repo:latest"),
				PortMappings: []types.PortMapping{
					{ContainerPort: aws.Int32(80)},
					{ContainerPort: aws.Int32(53), HostPort: aws.Int32(53), Protocol: types.TransportProtocolUdp},
					{ContainerPortRange: aws.String("1000-1010")},
				},
				HealthCheck: &types.HealthCheck{Command: []string{"CMD-SHELL", "true"}, Retries: aws.Int32(5)},
				LogConfiguration: &types.LogConfiguration{
					LogDriver: types.LogDriverAwslogs,
					Options:   map[string]string{"awslogs-group": "/g", "awslogs-region": "eu-north-1", "awslogs-stream-prefix": "ecs"},
				},
				Secrets: []types.Secret{{Name: aws.String("S"), ValueFrom: aws.String("arn:aws:secretsmanager:eu-north-1:123456789012:secret:s-123456")}},
				// Fields that the sandbox has no rule for.
				User:        aws.String("1000"),
				StopTimeout: aws.Int32(30),
			},
			{Name: aws.String("side"), Image: aws.String("nginx"), Essential: aws.Bool(false), Cpu: 10, Environment: []types.KeyValuePair{{Name: aws.String("A"), Value: aws.String("")}}},
		}
	})))

	want := types.TaskDefinition{
		TaskDefinitionArn:       aws.String(ecsARN + "task-definition/f:1"),
		Family:                  aws.String("f"),
		Revision:                1,
		Status:                  types.TaskDefinitionStatusActive,
		NetworkMode:             types.NetworkModeAwsvpc,
		RequiresCompatibilities: []types.Compatibility{types.CompatibilityFargate},
		Compatibilities:         []types.Compatibility{types.CompatibilityEc2, types.CompatibilityFargate, types.CompatibilityManagedInstances},
		Cpu:                     aws.String("1024"),
		Memory:                  aws.String("2048"),
		TaskRoleArn:             aws.String("arn:aws:iam::123456789012:role/task"),
		ExecutionRoleArn:        aws.String(ecsRole),
		EphemeralStorage:        &types.EphemeralStorage{SizeInGiB: 30},
		EnableFaultInjection:    aws.Bool(false),
		RegisteredAt:            aws.Time(start),
		RegisteredBy:            out.TaskDefinition.RegisteredBy,
		Volumes: []types.Volume{
			{Name: aws.String("scratch"), Host: &types.HostVolumeProperties{}},
			{Name: aws.String("later"), ConfiguredAtLaunch: aws.Bool(true)},
		},
		ContainerDefinitions: []types.ContainerDefinition{
			{
				Name:      aws.String("c"),
				Image:     aws.String("123456789012.dkr.ecr.eu-north-1.amazonaws.com/repo:latest"),
				Essential: aws.Bool(true),
				PortMappings: []types.PortMapping{
					{ContainerPort: aws.Int32(80), HostPort: aws.Int32(80), Protocol: types.TransportProtocolTcp},
					{ContainerPort: aws.Int32(53), HostPort: aws.Int32(53), Protocol: types.TransportProtocolUdp},
					{ContainerPortRange: aws.String("1000-1010"), Protocol: types.TransportProtocolTcp},
				},
				HealthCheck: &types.HealthCheck{Command: []string{"CMD-SHELL", "true"}, Interval: aws.Int32(30), Timeout: aws.Int32(5), Retries: aws.Int32(5)},
				LogConfiguration: &types.LogConfiguration{
					LogDriver: types.LogDriverAwslogs,
					Options:   map[string]string{"awslogs-group": "/g", "awslogs-region": "eu-north-1", "awslogs-stream-prefix": "ecs"},
				},
				Secrets:     []types.Secret{{Name: aws.String("S"), ValueFrom: aws.String("arn:aws:secretsmanager:eu-north-1:123456789012:secret:s-123456")}},
				User:        aws.String("1000"),
				StopTimeout: aws.Int32(30),
			},
			{Name: aws.String("side"), Image: aws.String("nginx"), Essential: aws.Bool(false), Cpu: 10, Environment: []types.KeyValuePair{{Name: aws.String("A"), Value: aws.String("")}}},
		},
	}
	for _, name := range []string{
		"com.amazonaws.ecs.capability.docker-remote-api.1.18",
		"com.amazonaws.ecs.capability.docker-remote-api.1.19",
		"com.amazonaws.ecs.capability.docker-remote-api.1.29",
		"com.amazonaws.ecs.capability.ecr-auth",
		"com.amazonaws.ecs.capability.logging-driver.awslogs",
		"com.amazonaws.ecs.capability.task-iam-role",
		"ecs.capability.container-health-check",
		"ecs.capability.execution-role-awslogs",
		"ecs.capability.execution-role-ecr-pull",
		"ecs.capability.secrets.asm.environment-variables",
		"ecs.capability.task-eni",
	} {
		want.RequiresAttributes = append(want.RequiresAttributes, types.Attribute{Name: aws.String(name)})
	}
	if d := diff(want, *out.TaskDefinition); d != "" {
		t.Errorf("registered (-want +got):\n%s", d)
	}
	if d := diff(ecsTagsIn("a", "1"), out.Tags); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	if !strings.HasPrefix(aws.ToString(want.RegisteredBy), "arn:aws:iam::123456789012:") {
		t.Errorf("registered by %q", aws.ToString(want.RegisteredBy))
	}

	described := must[*ecs.DescribeTaskDefinitionOutput](t)(e.ecs.DescribeTaskDefinition(t.Context(), &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String("f")}))
	if d := diff(want, *described.TaskDefinition); d != "" {
		t.Errorf("described (-want +got):\n%s", d)
	}
	if len(described.Tags) != 0 {
		t.Errorf("tags that were not asked for: %v", described.Tags)
	}
	described = must[*ecs.DescribeTaskDefinitionOutput](t)(e.ecs.DescribeTaskDefinition(t.Context(), &ecs.DescribeTaskDefinitionInput{
		TaskDefinition: aws.String("f"), Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags},
	}))
	if d := diff(ecsTagsIn("a", "1"), described.Tags); d != "" {
		t.Errorf("described tags (-want +got):\n%s", d)
	}
}

// What awsvpc fills in, the other network modes do not.
func TestECSRegisterBridge(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	got := register(t, e, &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("f"),
		ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("c"), Image: aws.String("nginx"), Memory: aws.Int32(128),
			PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(80)}},
		}},
	})
	want := types.TaskDefinition{
		TaskDefinitionArn:    aws.String(ecsARN + "task-definition/f:1"),
		Family:               aws.String("f"),
		Revision:             1,
		Status:               types.TaskDefinitionStatusActive,
		Compatibilities:      []types.Compatibility{types.CompatibilityExternal, types.CompatibilityEc2},
		EnableFaultInjection: aws.Bool(false),
		RegisteredAt:         aws.Time(start),
		RegisteredBy:         got.RegisteredBy,
		ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("c"), Image: aws.String("nginx"), Memory: aws.Int32(128), Essential: aws.Bool(true),
			PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(80), HostPort: aws.Int32(0), Protocol: types.TransportProtocolTcp}},
		}},
	}
	if d := diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// The SDK knows the fields of its day only. What AWS adds later, or a client
// sends as null, goes over the wire all the same.
func TestECSRegisterKeepsUnknownFields(t *testing.T) {
	t.Parallel()
	st := &state{}
	r := &request{region: "eu-north-1", account: "123456789012", now: start, body: []byte(`{
		"family": "f", "colour": "red", "pidMode": null, "tags": [{"key": "a", "value": "1"}],
		"containerDefinitions": [{"name": "c", "image": "i", "memory": 4, "user": null, "mood": {"level": 3},
			"environment": [null, {}], "mountPoints": [{"containerPath": null}], "portMappings": [{}], "command": [""]}]}`)}
	must[any](t)(ecsHandlers()["RegisterTaskDefinition"](st, r))
	_, d := st.ECS.Families["eu-north-1"]["f"].active()
	want := map[string]any{
		"family": "f", "colour": "red", "volumes": []any{}, "placementConstraints": []any{}, "enableFaultInjection": false,
		"compatibilities": []string{"EXTERNAL", "EC2"}, "requiresAttributes": []map[string]string{},
		"containerDefinitions": []any{map[string]any{
			"name": "c", "image": "i", "memory": 4.0, "mood": map[string]any{"level": 3.0}, "command": []any{""},
			"cpu": 0, "essential": true, "environment": []any{}, "mountPoints": []any{}, "portMappings": []any{},
			"systemControls": []any{}, "volumesFrom": []any{},
		}},
	}
	if d := diff(want, d.Content); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestECSRegisterRefusals(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	type input = ecs.RegisterTaskDefinitionInput
	with := func(change func(*input)) func(context.Context) error {
		return func(ctx context.Context) error { return erase(e.ecs.RegisterTaskDefinition(ctx, fargate(change))) }
	}
	container := func(change func(*types.ContainerDefinition)) func(context.Context) error {
		return with(func(in *input) { change(&in.ContainerDefinitions[0]) })
	}
	onEC2 := func(change func(*input)) func(context.Context) error {
		return with(func(in *input) {
			in.RequiresCompatibilities = []types.Compatibility{types.CompatibilityEc2}
			change(in)
		})
	}
	awslogs := func(options ...string) *types.LogConfiguration {
		log := &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{}}
		for _, o := range options {
			log.Options["awslogs-"+o] = "x"
		}
		return log
	}
	secrets := []types.Secret{{Name: aws.String("S"), ValueFrom: aws.String("s")}}
	const refused = "ClientException"
	runRefusals(t, []refusal{
		{"fit for Fargate", with(nil), ""},
		{"family with a space", with(func(in *input) { in.Family = aws.String("a b") }), refused},
		{"family too long", with(func(in *input) { in.Family = aws.String(strings.Repeat("f", 256)) }), refused},
		{"no containers", with(func(in *input) { in.ContainerDefinitions = []types.ContainerDefinition{} }), refused},
		{"no image", container(func(c *types.ContainerDefinition) { c.Image = nil }), refused},
		{"no name", container(func(c *types.ContainerDefinition) { c.Name = nil }), refused},
		{"name with a dot", container(func(c *types.ContainerDefinition) { c.Name = aws.String("a.b") }), refused},
		{"names twice", with(func(in *input) { in.ContainerDefinitions = append(in.ContainerDefinitions, in.ContainerDefinitions[0]) }), refused},
		{"none essential", container(func(c *types.ContainerDefinition) { c.Essential = aws.Bool(false) }), refused},
		{"role that is none", with(func(in *input) { in.TaskRoleArn = aws.String("arn:aws:iam::123456789012:user/u") }), refused},
		{"network mode unknown", with(func(in *input) { in.NetworkMode = "wifi" }), refused},
		{"compatibility unknown", with(func(in *input) { in.RequiresCompatibilities = []types.Compatibility{"LAMBDA"} }), refused},
		{"cpu that is no number", with(func(in *input) { in.Cpu = aws.String("much") }), refused},
		{"cpu in vCPU", with(func(in *input) { in.Cpu = aws.String("0.5 vcpu") }), ""},
		{"cpu in GB", with(func(in *input) { in.Cpu = aws.String("1 GB") }), refused},
		{"memory in GB", with(func(in *input) { in.Memory = aws.String("1 GB") }), ""},
		{"memory that is no number", with(func(in *input) { in.Memory = aws.String("-1") }), refused},
		{"ports that differ", container(func(c *types.ContainerDefinition) {
			c.PortMappings = []types.PortMapping{{ContainerPort: aws.Int32(80), HostPort: aws.Int32(8080)}}
		}), refused},
		{"mount of no volume", container(func(c *types.ContainerDefinition) {
			c.MountPoints = []types.MountPoint{{SourceVolume: aws.String("v")}}
		}), refused},
		{"volume twice", with(func(in *input) {
			in.Volumes = []types.Volume{{Name: aws.String("v")}, {Name: aws.String("v")}}
		}), refused},
		{"waits for nobody", container(func(c *types.ContainerDefinition) {
			c.DependsOn = []types.ContainerDependency{{ContainerName: aws.String("x"), Condition: types.ContainerConditionStart}}
		}), refused},
		{"health check too often", container(func(c *types.ContainerDefinition) {
			c.HealthCheck = &types.HealthCheck{Command: []string{"CMD", "true"}, Interval: aws.Int32(4)}
		}), refused},
		{"reservation above memory", container(func(c *types.ContainerDefinition) {
			c.Memory, c.MemoryReservation = aws.Int32(128), aws.Int32(256)
		}), refused},
		{"tags empty", with(func(in *input) { in.Tags = []types.Tag{} }), "InvalidParameterException"},

		{"no cpu", with(func(in *input) { in.Cpu = nil }), refused},
		{"no memory", with(func(in *input) { in.Memory = nil }), refused},
		{"size unknown", with(func(in *input) { in.Memory = aws.String("512") }), refused},
		{"size unknown, elsewhere", onEC2(func(in *input) { in.Memory = aws.String("512") }), ""},
		{"bridge", with(func(in *input) { in.NetworkMode = types.NetworkModeBridge }), refused},
		{"bridge, elsewhere", onEC2(func(in *input) { in.NetworkMode = types.NetworkModeBridge }), ""},
		{"no memory anywhere, elsewhere", onEC2(func(in *input) { in.Memory = nil }), refused},
		{"external on awsvpc", with(func(in *input) { in.RequiresCompatibilities = []types.Compatibility{types.CompatibilityExternal} }), refused},
		{"placement", with(func(in *input) {
			in.PlacementConstraints = []types.TaskDefinitionPlacementConstraint{{Type: "memberOf", Expression: aws.String("x")}}
		}), refused},
		{"placement, elsewhere", onEC2(func(in *input) {
			in.PlacementConstraints = []types.TaskDefinitionPlacementConstraint{{Type: "memberOf", Expression: aws.String("x")}}
		}), ""},
		{"placement by nothing", onEC2(func(in *input) {
			in.PlacementConstraints = []types.TaskDefinitionPlacementConstraint{{Type: "memberOf"}}
		}), refused},
		{"placement eleven times", onEC2(func(in *input) {
			in.PlacementConstraints = slices.Repeat([]types.TaskDefinitionPlacementConstraint{{Type: "memberOf", Expression: aws.String("x")}}, 11)
		}), refused},
		{"processes of the host", with(func(in *input) { in.PidMode = types.PidModeHost }), refused},
		{"processes of the host, elsewhere", onEC2(func(in *input) { in.PidMode = types.PidModeHost }), ""},
		{"processes of the task", with(func(in *input) { in.PidMode = types.PidModeTask }), ""},
		{"processes of nobody", with(func(in *input) { in.PidMode = "none" }), refused},
		{"faults", with(func(in *input) { in.EnableFaultInjection = aws.Bool(true) }), ""},
		{"faults on a bridge", onEC2(func(in *input) {
			in.EnableFaultInjection, in.NetworkMode = aws.Bool(true), types.NetworkModeBridge
		}), refused},
		{"proxy", with(func(in *input) {
			in.ProxyConfiguration = &types.ProxyConfiguration{ContainerName: in.ContainerDefinitions[0].Name, Type: types.ProxyConfigurationTypeAppmesh}
		}), ""},
		{"proxy that is no container", with(func(in *input) { in.ProxyConfiguration = &types.ProxyConfiguration{ContainerName: aws.String("x")} }), refused},
		{"proxy of another mesh", with(func(in *input) {
			in.ProxyConfiguration = &types.ProxyConfiguration{ContainerName: in.ContainerDefinitions[0].Name, Type: "ISTIO"}
		}), refused},
		{"storage too small", with(func(in *input) { in.EphemeralStorage = &types.EphemeralStorage{SizeInGiB: 20} }), refused},
		{"path of the host", with(func(in *input) {
			in.Volumes = []types.Volume{{Name: aws.String("v"), Host: &types.HostVolumeProperties{SourcePath: aws.String("/")}}}
		}), refused},
		{"volume of Docker", with(func(in *input) {
			in.Volumes = []types.Volume{{Name: aws.String("v"), DockerVolumeConfiguration: &types.DockerVolumeConfiguration{}}}
		}), refused},
		{"links", container(func(c *types.ContainerDefinition) { c.Links = []string{"x"} }), refused},
		{"more reserved than the task has", container(func(c *types.ContainerDefinition) { c.MemoryReservation = aws.Int32(1025) }), refused},
		{"protocol unknown", container(func(c *types.ContainerDefinition) {
			c.PortMappings = []types.PortMapping{{ContainerPort: aws.Int32(80), Protocol: "icmp"}}
		}), refused},
		{"health check of nothing", container(func(c *types.ContainerDefinition) { c.HealthCheck = &types.HealthCheck{Command: []string{}} }), refused},
		{"eleven containers", with(func(in *input) {
			for i := range 10 {
				in.ContainerDefinitions = append(in.ContainerDefinitions, types.ContainerDefinition{Name: aws.String(fmt.Sprint("c", i)), Image: aws.String("i")})
			}
		}), refused},
		{"privileged", container(func(c *types.ContainerDefinition) { c.Privileged = aws.Bool(true) }), refused},
		{"more memory than the task", container(func(c *types.ContainerDefinition) { c.Memory = aws.Int32(2048) }), refused},
		{"more cpu than the task", container(func(c *types.ContainerDefinition) { c.Cpu = 513 }), refused},
		{"all cpu of the task", container(func(c *types.ContainerDefinition) { c.Cpu = 512 }), ""},
		{"log driver of a host", container(func(c *types.ContainerDefinition) {
			c.LogConfiguration = &types.LogConfiguration{LogDriver: types.LogDriverJsonFile}
		}), refused},
		{"awslogs without a role", container(func(c *types.ContainerDefinition) { c.LogConfiguration = awslogs("group", "region", "stream-prefix") }), refused},
		{"awslogs without a prefix", with(func(in *input) {
			in.ExecutionRoleArn = aws.String(ecsRole)
			in.ContainerDefinitions[0].LogConfiguration = awslogs("group", "region")
		}), refused},
		{"awslogs", with(func(in *input) {
			in.ExecutionRoleArn = aws.String(ecsRole)
			in.ContainerDefinitions[0].LogConfiguration = awslogs("group", "region", "stream-prefix")
		}), ""},
		{"ECR without a role", container(func(c *types.ContainerDefinition) {
			c.Image = aws.String("123456789012.dkr.ecr.eu-north-1.amazonaws.com/r")
		}), refused},
		{"secrets without a role", container(func(c *types.ContainerDefinition) { c.Secrets = secrets }), refused},
		{"secrets of a log without a role", onEC2(func(in *input) {
			in.ContainerDefinitions[0].LogConfiguration = &types.LogConfiguration{LogDriver: types.LogDriverSplunk, SecretOptions: secrets}
		}), refused},
	})
}

func TestFargateSize(t *testing.T) {
	t.Parallel()
	// What AWS's documentation lists under "Task size", in GiB.
	sizes := map[int]struct{ low, high, step float64 }{
		256: {}, 512: {1, 4, 1}, 1024: {2, 8, 1}, 2048: {4, 16, 1}, 4096: {8, 30, 1}, 8192: {16, 60, 4}, 16384: {32, 120, 8},
	}
	want := map[string]bool{"256/512": true, "256/1024": true, "256/2048": true}
	for cpu, s := range sizes {
		for gib := s.low; s.step > 0 && gib <= s.high; gib += s.step {
			want[fmt.Sprintf("%d/%d", cpu, int(gib*1024))] = true
		}
	}
	for _, cpu := range []int{0, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768} {
		for memory := 0; memory <= 130*1024; memory += 256 {
			pair := fmt.Sprintf("%d/%d", cpu, memory)
			if got := fargateSize(cpu, memory); got != want[pair] {
				t.Errorf("%s: %v, want %v", pair, got, want[pair])
			}
		}
	}
}

func TestECSUnits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want int
		ok   bool
	}{
		{"256", 256, true},
		{"1 vCPU", 1024, true},
		{"1vcpu", 1024, true},
		{".25 vCPU", 256, true},
		{"0.5 VCPU", 512, true},
		{"1 GB", 0, false},
		{"", 0, false},
		{"0", 0, false},
		{"-256", -256, false},
		{"vCPU", 0, false},
		{". vCPU", 0, false},
	}
	for _, tt := range tests {
		if got, ok := ecsUnits(tt.in, ecsVCPU); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%q: %d, %v, want %d, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func TestECSRevisions(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	ctx := t.Context()
	family := func(name string) *ecs.RegisterTaskDefinitionInput {
		return fargate(func(in *ecs.RegisterTaskDefinitionInput) { in.Family = &name })
	}
	describe := func(ref string) (types.TaskDefinition, error) {
		out, err := e.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &ref})
		if err != nil {
			return types.TaskDefinition{}, err
		}
		return *out.TaskDefinition, nil
	}
	revision := func(ref string, want int32) {
		t.Helper()
		got, err := describe(ref)
		if err != nil || got.Revision != want {
			t.Errorf("%s: revision %d, %v, want %d", ref, got.Revision, err, want)
		}
	}
	list := func(in ecs.ListTaskDefinitionsInput) []string {
		var short []string
		for _, arn := range must[*ecs.ListTaskDefinitionsOutput](t)(e.ecs.ListTaskDefinitions(ctx, &in)).TaskDefinitionArns {
			short = append(short, strings.TrimPrefix(arn, ecsARN+"task-definition/"))
		}
		return short
	}
	families := func(status types.TaskDefinitionFamilyStatus) []string {
		return must[*ecs.ListTaskDefinitionFamiliesOutput](t)(e.ecs.ListTaskDefinitionFamilies(ctx, &ecs.ListTaskDefinitionFamiliesInput{FamilyPrefix: aws.String("f"), Status: status})).Families
	}
	deregister := func(ref string) error {
		return erase(e.ecs.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: &ref}))
	}

	for range 11 {
		register(t, e, family("f"))
	}
	register(t, e, family("f-sibling"))
	register(t, e, family("other"))

	revision("f", 11)
	revision("f:2", 2)
	revision(ecsARN+"task-definition/f:3", 3)
	revision(ecsARN+"task-definition/f", 11)
	for _, ref := range []string{"absent", "f:12", "f:0", "f:x", "f:1:1", "arn:aws:ecs:us-east-1:123456789012:task-definition/f:1"} {
		_, err := describe(ref)
		wantCode(t, err, "ClientException")
		if err == nil || !strings.Contains(err.Error(), "Unable to describe task definition.") {
			t.Errorf("%s: %v", ref, err)
		}
	}
	all := []string{"f:1", "f:2", "f:3", "f:4", "f:5", "f:6", "f:7", "f:8", "f:9", "f:10", "f:11"}
	if d := diff(all, list(ecs.ListTaskDefinitionsInput{FamilyPrefix: aws.String("f")})); d != "" {
		t.Errorf("revisions, in numeric order, siblings not among them (-want +got):\n%s", d)
	}
	if d := diff([]string{"f:11", "f:10"}, list(ecs.ListTaskDefinitionsInput{FamilyPrefix: aws.String("f"), Sort: types.SortOrderDesc, MaxResults: aws.Int32(2)})); d != "" {
		t.Errorf("the newest two (-want +got):\n%s", d)
	}
	var paged []string
	pages := ecs.NewListTaskDefinitionsPaginator(e.ecs, &ecs.ListTaskDefinitionsInput{FamilyPrefix: aws.String("f"), MaxResults: aws.Int32(4)})
	for pages.HasMorePages() {
		paged = append(paged, must[*ecs.ListTaskDefinitionsOutput](t)(pages.NextPage(ctx)).TaskDefinitionArns...)
	}
	if len(paged) != len(all) {
		t.Errorf("%d revisions in pages, want %d", len(paged), len(all))
	}
	if d := diff([]string{"f", "f-sibling"}, families("")); d != "" {
		t.Errorf("families (-want +got):\n%s", d)
	}

	// Deregistering uncovers the revision below, and is told from absence.
	e.pass(time.Hour)
	wantCode(t, deregister("f:11"), "")
	revision("f", 10)
	gone, err := describe("f:11")
	if err != nil || gone.Status != types.TaskDefinitionStatusInactive || !aws.ToTime(gone.DeregisteredAt).Equal(start.Add(time.Hour)) {
		t.Errorf("deregistered: %+v, %v", gone, err)
	}
	wantCode(t, deregister("f"), "ClientException")
	wantCode(t, deregister("f:99"), "ClientException")
	wantCode(t, erase(e.ecs.ListTaskDefinitions(ctx, &ecs.ListTaskDefinitionsInput{Status: "GONE"})), "InvalidParameterException")
	wantCode(t, erase(e.ecs.ListTaskDefinitions(ctx, &ecs.ListTaskDefinitionsInput{MaxResults: aws.Int32(101)})), "InvalidParameterException")
	if d := diff([]string{"f:11"}, list(ecs.ListTaskDefinitionsInput{Status: types.TaskDefinitionStatusInactive})); d != "" {
		t.Errorf("inactive (-want +got):\n%s", d)
	}

	deleted := must[*ecs.DeleteTaskDefinitionsOutput](t)(e.ecs.DeleteTaskDefinitions(ctx, &ecs.DeleteTaskDefinitionsInput{TaskDefinitions: []string{"f:11", "f:10", "f:99"}}))
	if len(deleted.TaskDefinitions) != 1 || deleted.TaskDefinitions[0].Status != types.TaskDefinitionStatusDeleteInProgress || len(deleted.Failures) != 2 {
		t.Errorf("deleted: %+v", deleted)
	}
	wantCode(t, erase(e.ecs.DeleteTaskDefinitions(ctx, &ecs.DeleteTaskDefinitionsInput{TaskDefinitions: all})), "InvalidParameterException")
	revision("f", 10)

	// Numbers go on, even after the last revision is gone.
	for _, ref := range all[:10] {
		wantCode(t, deregister(ref), "")
	}
	if _, err := describe("f"); err == nil {
		t.Error("a family of inactive revisions was described")
	}
	if d := diff([]string{"f"}, families(types.TaskDefinitionFamilyStatusInactive)); d != "" {
		t.Errorf("inactive families (-want +got):\n%s", d)
	}
	if got := register(t, e, family("f")).Revision; got != 12 {
		t.Errorf("revision %d after 11", got)
	}
}

func TestECSTaskDefinitionTags(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, "eu-north-1", "")
	ctx := t.Context()
	register(t, e, fargate(func(in *ecs.RegisterTaskDefinitionInput) { in.Tags = ecsTagsIn("a", "1", "b", "1") }))
	register(t, e, fargate(func(in *ecs.RegisterTaskDefinitionInput) { in.Tags = ecsTagsIn("a", "other") }))
	first := aws.String(ecsARN + "task-definition/f:1")
	must[*ecs.TagResourceOutput](t)(e.ecs.TagResource(ctx, &ecs.TagResourceInput{ResourceArn: first, Tags: ecsTagsIn("c", "3")}))
	must[*ecs.UntagResourceOutput](t)(e.ecs.UntagResource(ctx, &ecs.UntagResourceInput{ResourceArn: first, TagKeys: []string{"b"}}))
	for arn, want := range map[string][]types.Tag{*first: ecsTagsIn("a", "1", "c", "3"), ecsARN + "task-definition/f:2": ecsTagsIn("a", "other")} {
		got := must[*ecs.ListTagsForResourceOutput](t)(e.ecs.ListTagsForResource(ctx, &ecs.ListTagsForResourceInput{ResourceArn: &arn}))
		if d := diff(want, got.Tags); d != "" {
			t.Errorf("%s (-want +got):\n%s", arn, d)
		}
	}
	must[*ecs.DeregisterTaskDefinitionOutput](t)(e.ecs.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: first}))
	for _, arn := range []string{*first, ecsARN + "task-definition/f:9", ecsARN + "task-definition/f"} {
		wantCode(t, erase(e.ecs.TagResource(ctx, &ecs.TagResourceInput{ResourceArn: &arn, Tags: ecsTagsIn("c", "3")})), "InvalidParameterException")
	}
}

// What lies on a cluster keeps it: services, tasks and instances.
func TestECSDeleteBusyCluster(t *testing.T) {
	t.Parallel()
	e := serveJSON(t, testRegion, "")
	ctx := t.Context()
	cluster := aws.String("c")
	createCluster(t, e, &ecs.CreateClusterInput{ClusterName: cluster})
	must[*ecs.RegisterTaskDefinitionOutput](t)(e.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("f"), ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("c"), Image: aws.String("i"), Memory: aws.Int32(128)}},
	}))
	must[*ecs.CreateServiceOutput](t)(e.ecs.CreateService(ctx, &ecs.CreateServiceInput{
		Cluster: cluster, ServiceName: aws.String("s"), TaskDefinition: aws.String("f"), DesiredCount: aws.Int32(1),
	}))
	task := must[*ecs.RunTaskOutput](t)(e.ecs.RunTask(ctx, &ecs.RunTaskInput{Cluster: cluster, TaskDefinition: aws.String("f:1")})).Tasks[0]
	instance := must[*ecs.RegisterContainerInstanceOutput](t)(e.ecs.RegisterContainerInstance(ctx, &ecs.RegisterContainerInstanceInput{Cluster: cluster})).ContainerInstance
	is := describeCluster(t, e, "c")
	if is.ActiveServicesCount != 1 || is.PendingTasksCount != 1 || is.RegisteredContainerInstancesCount != 1 {
		t.Errorf("%d services, %d tasks, %d instances, want one of each", is.ActiveServicesCount, is.PendingTasksCount, is.RegisteredContainerInstancesCount)
	}
	if d := diff([]string{*task.TaskArn}, must[*ecs.ListTasksOutput](t)(e.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: cluster})).TaskArns); d != "" {
		t.Errorf("tasks (-want +got):\n%s", d)
	}
	if d := diff([]string{ecsARN + "service/c/s"}, must[*ecs.ListServicesOutput](t)(e.ecs.ListServices(ctx, &ecs.ListServicesInput{Cluster: cluster})).ServiceArns); d != "" {
		t.Errorf("services (-want +got):\n%s", d)
	}
	drop := func(ctx context.Context) error {
		return erase(e.ecs.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: cluster}))
	}
	service := func(force bool) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(e.ecs.DeleteService(ctx, &ecs.DeleteServiceInput{Cluster: cluster, Service: aws.String("s"), Force: &force}))
		}
	}
	runRefusals(t, []refusal{
		{"instances", drop, "ClusterContainsContainerInstancesException"},
		{"deregister", func(ctx context.Context) error {
			return erase(e.ecs.DeregisterContainerInstance(ctx, &ecs.DeregisterContainerInstanceInput{Cluster: cluster, ContainerInstance: instance.ContainerInstanceArn}))
		}, ""},
		{"services", drop, "ClusterContainsServicesException"},
		{"a service that is to have tasks", service(false), "InvalidParameterException"},
		{"by force", service(true), ""},
		{"no such service", service(true), "ServiceNotFoundException"},
		{"tasks", drop, "ClusterContainsTasksException"},
		{"stop", func(ctx context.Context) error {
			return erase(e.ecs.StopTask(ctx, &ecs.StopTaskInput{Cluster: cluster, Task: task.TaskArn}))
		}, ""},
		{"nothing", drop, ""},
		{"deleted", drop, "ClusterNotFoundException"},
	})
	must[*ecs.DeregisterTaskDefinitionOutput](t)(e.ecs.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String("f:1")}))
	createCluster(t, e, &ecs.CreateClusterInput{ClusterName: cluster})
	wantCode(t, erase(e.ecs.RunTask(ctx, &ecs.RunTaskInput{Cluster: cluster, TaskDefinition: aws.String("f:1")})), "ClientException")
}
