package ecs

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

func activeCluster() *types.Cluster {
	return &types.Cluster{
		ClusterName: aws.String("c"), Status: aws.String("ACTIVE"),
		Tags: []types.Tag{{Key: aws.String(reconcile.Mark), Value: aws.String("churn/dev")}},
	}
}

// clusterSteps lists the steps from a cluster, none where it is nil, to want.
func clusterSteps(live *types.Cluster, want spec.ECSCluster) ([]reconcile.Step, error) {
	want.Name = "c"
	var is liveCluster
	if live != nil {
		is = describedCluster(*live)
	}
	return reconcile.Between(newClusters(nil), environment(), is, want)
}

func newClusters(api ClusterAPI) *Clusters {
	return NewClusters(api, environment(), []spec.ECSCluster{{Name: "c"}})
}

// write does the first step from a cluster to want.
func write(t *testing.T, api ClusterAPI, live *types.Cluster, want spec.ECSCluster) error {
	t.Helper()
	want.Name = "c"
	var is liveCluster
	if live != nil {
		is = describedCluster(*live)
	}
	steps, err := reconcile.Between(newClusters(api), environment(), is, want)
	if err != nil || len(calls(steps)) != 1 {
		t.Fatalf("steps %v, want one (%v)", calls(steps), err)
	}
	return steps[0].Do(t.Context())
}

func insights(value string) []types.ClusterSetting {
	return []types.ClusterSetting{{Name: types.ClusterSettingNameContainerInsights, Value: &value}}
}

func share(provider string, base, weight int32) types.CapacityProviderStrategyItem {
	return types.CapacityProviderStrategyItem{CapacityProvider: &provider, Base: base, Weight: weight}
}

// In each case the spec and the cluster agree, and differ's spec differs in
// the paths, which the calls mend.
func TestClustersAreEquivalent(t *testing.T) {
	t.Parallel()
	exec := func(logging types.ExecuteCommandLogging, key *string) *types.ClusterConfiguration {
		return &types.ClusterConfiguration{ExecuteCommandConfiguration: &types.ExecuteCommandConfiguration{Logging: logging, KmsKeyId: key}}
	}
	tests := []struct {
		name   string
		want   spec.ECSCluster
		live   func(*types.Cluster)
		differ spec.ECSCluster
		calls  []string
		paths  []string
	}{
		{
			name:   "nothing is managed but the mark",
			live:   func(c *types.Cluster) { c.Settings, c.CapacityProviders = insights("enabled"), []string{"FARGATE"} },
			differ: spec.ECSCluster{Settings: insights("disabled")},
			calls:  []string{"ecs:UpdateCluster"}, paths: []string{"settings.containerInsights"},
		},
		{
			name:   "no settings and no providers",
			want:   spec.ECSCluster{Settings: []types.ClusterSetting{}, CapacityProviders: []string{}},
			differ: spec.ECSCluster{CapacityProviders: []string{"FARGATE"}},
			calls:  []string{"ecs:PutClusterCapacityProviders"}, paths: []string{"capacityProviders.FARGATE"},
		},
		{
			name: "the order of providers and of a strategy",
			want: spec.ECSCluster{
				CapacityProviders:               []string{"FARGATE", "FARGATE_SPOT"},
				DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{share("FARGATE", 1, 1), share("FARGATE_SPOT", 0, 3)},
			},
			live: func(c *types.Cluster) {
				c.CapacityProviders = []string{"FARGATE_SPOT", "FARGATE"}
				c.DefaultCapacityProviderStrategy = []types.CapacityProviderStrategyItem{share("FARGATE_SPOT", 0, 3), share("FARGATE", 1, 1)}
			},
			differ: spec.ECSCluster{
				CapacityProviders:               []string{"FARGATE"},
				DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{share("FARGATE", 1, 2)},
			},
			calls: []string{"ecs:PutClusterCapacityProviders"},
			paths: []string{
				"capacityProviders.FARGATE_SPOT", "defaultCapacityProviderStrategy.FARGATE.weight",
				"defaultCapacityProviderStrategy.FARGATE_SPOT.base", "defaultCapacityProviderStrategy.FARGATE_SPOT.weight",
			},
		},
		{
			name: "logging of ECS Exec is DEFAULT by default",
			want: spec.ECSCluster{Configuration: exec("", aws.String("arn:k"))},
			live: func(c *types.Cluster) {
				c.Configuration = exec(types.ExecuteCommandLoggingDefault, aws.String("arn:k"))
			},
			differ: spec.ECSCluster{Configuration: exec(types.ExecuteCommandLoggingNone, nil)},
			calls:  []string{"ecs:UpdateCluster"},
			paths:  []string{"configuration.executeCommandConfiguration.kmsKeyId", "configuration.executeCommandConfiguration.logging"},
		},
		{
			name:   "an empty configuration",
			want:   spec.ECSCluster{Configuration: &types.ClusterConfiguration{}},
			differ: spec.ECSCluster{Configuration: exec(types.ExecuteCommandLoggingNone, nil)},
			calls:  []string{"ecs:UpdateCluster"}, paths: []string{"configuration.executeCommandConfiguration.logging"},
		},
		{
			name:   "a cluster whose providers are still being attached",
			want:   spec.ECSCluster{CapacityProviders: []string{"mine"}},
			live:   func(c *types.Cluster) { c.Status, c.CapacityProviders = aws.String("PROVISIONING"), []string{"mine"} },
			differ: spec.ECSCluster{CapacityProviders: []string{}},
			calls:  []string{"ecs:PutClusterCapacityProviders"}, paths: []string{"capacityProviders.mine"},
		},
		{
			name: "tags",
			want: spec.ECSCluster{Meta: spec.Meta{Tags: map[string]string{"a": "1"}}},
			live: func(c *types.Cluster) {
				c.Tags = append(c.Tags, types.Tag{Key: aws.String("a"), Value: aws.String("1")}, types.Tag{Key: aws.String("aws:x"), Value: aws.String("1")})
			},
			differ: spec.ECSCluster{Meta: spec.Meta{Tags: map[string]string{"b": "1"}}},
			calls:  []string{"ecs:TagResource", "ecs:UntagResource"}, paths: []string{"tags.b", "tags.a"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			live := activeCluster()
			if tt.live != nil {
				tt.live(live)
			}
			steps, err := clusterSteps(live, tt.want)
			if err != nil {
				t.Fatal(err)
			}
			if len(steps) > 0 {
				t.Errorf("a difference where there is none: %v", steps[0].Diffs)
			}
			steps, err = clusterSteps(live, tt.differ)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.calls, calls(steps)); d != "" {
				t.Errorf("calls, want (-), got (+):\n%s", d)
			}
			if d := cmp.Diff(tt.paths, paths(steps)); d != "" {
				t.Errorf("paths, want (-), got (+):\n%s", d)
			}
		})
	}
}

func TestClusterCreated(t *testing.T) {
	t.Parallel()
	steps, err := clusterSteps(nil, spec.ECSCluster{
		Meta: spec.Meta{Tags: map[string]string{"a": "1"}}, Settings: insights("enabled"), CapacityProviders: []string{"FARGATE"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"ecs:CreateCluster"}, calls(steps)); d != "" {
		t.Errorf("calls, want (-), got (+):\n%s", d)
	}
	want := []reconcile.Diff{
		{Path: "name", After: "c"},
		{Path: "settings.containerInsights", After: "enabled"},
		{Path: "capacityProviders.FARGATE", After: "FARGATE"},
		{Path: "tags.a", After: "1"},
		{Path: "tags." + reconcile.Mark, After: "churn/dev"},
	}
	if d := cmp.Diff(want, steps[0].Diffs); d != "" {
		t.Errorf("diffs, want (-), got (+):\n%s", d)
	}
}

func TestClusterRefused(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"DEPROVISIONING", "FAILED"} {
		live := activeCluster()
		live.Status = &status
		if steps, err := clusterSteps(live, spec.ECSCluster{}); err == nil {
			t.Errorf("%s: no error, steps %v", status, calls(steps))
		}
	}
	live := activeCluster()
	live.Tags[0].Value = aws.String("churn/prod")
	_, err := clusterSteps(live, spec.ECSCluster{})
	if _, ok := errors.AsType[*reconcile.OwnedError](err); !ok {
		t.Errorf("another stack's cluster: got %v, want an OwnedError", err)
	}
}

// ECS refuses empty lists where it takes absent ones, and requires both of
// PutClusterCapacityProviders.
func TestClusterOnTheWire(t *testing.T) {
	t.Parallel()
	empty := spec.ECSCluster{
		Settings: []types.ClusterSetting{}, CapacityProviders: []string{}, DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{},
		Configuration: &types.ClusterConfiguration{},
	}
	live, configured := activeCluster(), activeCluster()
	configured.Settings = insights("enabled")
	configured.Configuration = &types.ClusterConfiguration{ExecuteCommandConfiguration: &types.ExecuteCommandConfiguration{Logging: types.ExecuteCommandLoggingNone}}
	live.CapacityProviders = []string{"FARGATE"}
	live.DefaultCapacityProviderStrategy = []types.CapacityProviderStrategyItem{share("FARGATE", 0, 1)}
	tests := []struct {
		name string
		call func(*ecs.Client) error
		want map[string]any
	}{
		{
			"create", func(api *ecs.Client) error { return write(t, api, nil, empty) },
			map[string]any{
				"clusterName": "c", "configuration": map[string]any{},
				"tags": []any{map[string]any{"key": reconcile.Mark, "value": "churn/dev"}},
			},
		},
		{
			"update", func(api *ecs.Client) error { return write(t, api, configured, empty) },
			map[string]any{"cluster": "c", "configuration": map[string]any{}},
		},
		{
			"no provider is wanted, the strategy is not managed",
			func(api *ecs.Client) error {
				without := activeCluster()
				without.CapacityProviders = []string{"FARGATE"}
				return write(t, api, without, spec.ECSCluster{CapacityProviders: []string{}})
			},
			map[string]any{"cluster": "c", "capacityProviders": []any{}, "defaultCapacityProviderStrategy": []any{}},
		},
		{
			"the strategy is wanted, the providers are not managed",
			func(api *ecs.Client) error {
				return write(t, api, live, spec.ECSCluster{DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{}})
			},
			map[string]any{"cluster": "c", "capacityProviders": []any{"FARGATE"}, "defaultCapacityProviderStrategy": []any{}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := sent(t, tt.call)
			if tags, ok := got["tags"].([]any); ok {
				got["tags"] = slices.DeleteFunc(tags, func(tag any) bool { return tag.(map[string]any)["key"] == reconcile.Applied })
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("want (-), got (+):\n%s", d)
			}
		})
	}
}

func TestDescribeClusters(t *testing.T) {
	t.Parallel()
	const missing = `{"clusters": [], "failures": [{"arn": "arn:c", "reason": "MISSING"}]}`
	tests := []struct {
		name   string
		answer string
		exists bool
		err    string
	}{
		{"active", `{"clusters": [{"clusterName": "c", "status": "ACTIVE"}]}`, true, ""},
		{"deleted", `{"clusters": [{"clusterName": "c", "status": "INACTIVE"}]}`, false, ""},
		{"missing", missing, false, ""},
		{
			"another failure", `{"clusters": [], "failures": [{"arn": "arn:c", "reason": "ACCESS", "detail": "no"}]}`, false,
			"aws does not describe arn:c: ACCESS no",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api, _ := answers(t, tt.answer)
			live, err := newClusters(api).Describe(t.Context(), spec.ECSCluster{Name: "c"}, false)
			var got string
			if err != nil {
				got = err.Error()
			}
			if got != tt.err {
				t.Errorf("error %q, want %q", got, tt.err)
			}
			if live.Exists != tt.exists {
				t.Errorf("exists %t, want %t", live.Exists, tt.exists)
			}
		})
	}
}

// Clusters are described in one call, a cluster that is asked for again in one
// of its own.
func TestClustersAreReadTogether(t *testing.T) {
	t.Parallel()
	api, n := answers(t, `{"clusters": [{"clusterName": "a", "status": "ACTIVE"}, {"clusterName": "b", "status": "ACTIVE"}]}`)
	wants := []spec.ECSCluster{{Name: "a"}, {Name: "b"}}
	all := NewClusters(api, environment(), wants)
	exists := map[string]bool{}
	for _, w := range wants {
		live, err := all.Describe(t.Context(), w, false)
		if err != nil {
			t.Fatal(err)
		}
		exists[w.Name] = live.Exists
	}
	if want := map[string]bool{"a": true, "b": true}; !maps.Equal(exists, want) || *n != 1 {
		t.Errorf("exists %v in %d calls, want %v in 1", exists, *n, want)
	}
	if _, err := all.Describe(t.Context(), wants[0], false); err != nil || *n != 2 {
		t.Errorf("asked again: %d calls, want 2 (%v)", *n, err)
	}
}

func TestClusterPatience(t *testing.T) {
	t.Parallel()
	const done = `{}`
	tests := []struct {
		name    string
		answers []string
		calls   int
		code    string
	}{
		{"an update in progress", []string{`{"__type": "UpdateInProgressException", "message": "x"}`, done}, 2, ""},
		{"a provider in use", []string{`{"__type": "ResourceInUseException", "message": "x"}`, done}, 2, ""},
		{"a cluster not yet active", []string{`{"__type": "ClientException", "message": "Cluster was not ACTIVE."}`, done}, 2, ""},
		{"an unknown provider", []string{`{"__type": "InvalidParameterException", "message": "x"}`, done}, 1, "InvalidParameterException"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			live := activeCluster()
			live.Settings = insights("enabled")
			for _, want := range []spec.ECSCluster{{CapacityProviders: []string{"FARGATE"}}, {Settings: insights("disabled")}} {
				api, n := answers(t, tt.answers...)
				err := write(t, api, live, want)
				if got := awsx.Code(err); got != tt.code || (err != nil) != (tt.code != "") {
					t.Errorf("error %v, want the code %q", err, tt.code)
				}
				if *n != tt.calls {
					t.Errorf("%d calls, want %d", *n, tt.calls)
				}
			}
		})
	}
}

func TestCreateClusterPatience(t *testing.T) {
	t.Parallel()
	const young = `{"__type": "InvalidParameterException", "message": "Unable to assume the service linked role. Please verify that the ECS service linked role exists."}`
	api, n := answers(t, young, young, `{}`)
	if err := write(t, api, nil, spec.ECSCluster{}); err != nil || *n != 3 {
		t.Errorf("%d calls, want 3 (%v)", *n, err)
	}
	api, n = answers(t, `{"__type": "InvalidParameterException", "message": "Another."}`, `{}`)
	if err := write(t, api, nil, spec.ECSCluster{}); err == nil || *n != 1 {
		t.Errorf("%d calls, want 1 and an error (%v)", *n, err)
	}
}
