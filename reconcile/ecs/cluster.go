// Package ecs keeps clusters and task definitions.
package ecs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// ClusterAPI is what a cluster needs of ECS.
type ClusterAPI interface {
	CreateCluster(context.Context, *ecs.CreateClusterInput, ...func(*ecs.Options)) (*ecs.CreateClusterOutput, error)
	DescribeClusters(context.Context, *ecs.DescribeClustersInput, ...func(*ecs.Options)) (*ecs.DescribeClustersOutput, error)
	UpdateCluster(context.Context, *ecs.UpdateClusterInput, ...func(*ecs.Options)) (*ecs.UpdateClusterOutput, error)
	PutClusterCapacityProviders(context.Context, *ecs.PutClusterCapacityProvidersInput, ...func(*ecs.Options)) (*ecs.PutClusterCapacityProvidersOutput, error)
	TagResource(context.Context, *ecs.TagResourceInput, ...func(*ecs.Options)) (*ecs.TagResourceOutput, error)
	UntagResource(context.Context, *ecs.UntagResourceInput, ...func(*ecs.Options)) (*ecs.UntagResourceOutput, error)
}

var _ ClusterAPI = (*ecs.Client)(nil)

// Cluster keeps one cluster.
type Cluster struct {
	api  ClusterAPI
	env  reconcile.Env
	want spec.ECSCluster
	read awsx.Read[*types.Cluster] // nil: absent
}

// NewClusters prepares the clusters of the spec, which are read together.
func NewClusters(api ClusterAPI, env reconcile.Env, wants []spec.ECSCluster) []*Cluster {
	list := awsx.NewShared(
		func(ctx context.Context, names []string) (map[string]*types.Cluster, error) {
			return describeClusters(ctx, api, names)
		},
		func(ctx context.Context, name string) (*types.Cluster, error) {
			found, err := describeClusters(ctx, api, []string{name})
			return found[name], err
		},
	)
	var all []*Cluster
	for _, w := range wants {
		all = append(all, &Cluster{api: api, env: env, want: w, read: list.For(w.Name)})
	}
	return all
}

// ID is the cluster's address.
func (c *Cluster) ID() spec.ID { return spec.ID{Kind: spec.Cluster, Name: c.want.Name} }

// Needs lists what the spec's cluster refers to.
func (c *Cluster) Needs() []spec.ID { return c.want.Needs }

// Plan reads the cluster and says what is to do.
func (c *Cluster) Plan(ctx context.Context) (reconcile.Plan, error) {
	live, err := c.read(ctx)
	if err != nil {
		return reconcile.Plan{}, err
	}
	steps, err := c.diff(live)
	return reconcile.Plan{Exists: live != nil, Steps: steps}, err
}

func (c *Cluster) arn() *string {
	return aws.String(fmt.Sprintf("arn:%s:ecs:%s:%s:cluster/%s", c.env.Partition, c.env.Region, c.env.Account, c.want.Name))
}

// batch is the most that DescribeClusters takes.
const batch = 100

// describeClusters answers with the clusters that are alive. A deleted one
// goes on being described, as INACTIVE, for a while, and its name is free.
func describeClusters(ctx context.Context, api ClusterAPI, names []string) (map[string]*types.Cluster, error) {
	found := make(map[string]*types.Cluster, len(names))
	for chunk := range slices.Chunk(names, batch) {
		out, err := api.DescribeClusters(ctx, &ecs.DescribeClustersInput{
			Clusters: chunk,
			Include:  []types.ClusterField{types.ClusterFieldTags, types.ClusterFieldSettings, types.ClusterFieldConfigurations},
		})
		if err != nil {
			return nil, err
		}
		// Each name is answered: described, or among the failures.
		if len(out.Clusters)+len(out.Failures) < len(chunk) {
			return nil, awsx.Hollow("ecs:DescribeClusters", fmt.Sprintf("word on each of the %d clusters", len(chunk)), out.ResultMetadata)
		}
		for _, f := range out.Failures {
			if aws.ToString(f.Reason) != "MISSING" {
				return nil, fmt.Errorf("aws does not describe %s: %s %s", aws.ToString(f.Arn), aws.ToString(f.Reason), aws.ToString(f.Detail))
			}
		}
		for _, cluster := range out.Clusters {
			if aws.ToString(cluster.Status) != "INACTIVE" {
				found[aws.ToString(cluster.ClusterName)] = &cluster
			}
		}
	}
	return found, nil
}

func (c *Cluster) diff(live *types.Cluster) ([]reconcile.Step, error) {
	var steps []reconcile.Step
	step := func(call, does string, diffs []reconcile.Diff, do func(context.Context) error) {
		if len(diffs) > 0 {
			steps = append(steps, reconcile.Step{Call: call, Does: does + " " + c.ID().String(), Diffs: diffs, Do: do})
		}
	}

	_, _, tags, err := c.env.Tags(c.want.Tags).Diff(tagMap(live))
	if err != nil {
		return nil, err
	}
	if live == nil {
		diffs := []reconcile.Diff{{Path: "name", After: c.want.Name}}
		diffs = append(diffs, c.settingsDiff(nil)...)
		diffs = append(diffs, c.configurationDiff(nil)...)
		diffs = append(diffs, c.capacityDiff(nil)...)
		step("ecs:CreateCluster", "create", append(diffs, tags...), c.create)
		return steps, nil
	}

	// PROVISIONING passes by itself and is not among them: a cluster just
	// created is in it until its capacity providers are there.
	switch status := aws.ToString(live.Status); status {
	case "DEPROVISIONING":
		return nil, errors.New("the cluster is being deleted; run again once it is gone")
	case "FAILED":
		return nil, errors.New("the cluster's status is FAILED: ECS could not create what its capacity providers need; its attachments in the AWS console say why")
	}
	tagging, err := c.env.Tags(c.want.Tags).Steps(c.ID(), tagMap(live), tagCalls(c.api, c.arn()))
	if err != nil {
		return nil, err
	}
	steps = append(steps, tagging...)
	step("ecs:UpdateCluster", "update", append(c.settingsDiff(live), c.configurationDiff(live)...), c.update)
	step("ecs:PutClusterCapacityProviders", "set the capacity providers of", c.capacityDiff(live), func(ctx context.Context) error {
		return c.putCapacity(ctx, live)
	})
	return steps, nil
}

// settingsDiff compares the settings that the spec names. A setting has no
// off-state that could be told from its default, which the account decides,
// so one that the spec does not name is not managed.
func (c *Cluster) settingsDiff(live *types.Cluster) []reconcile.Diff {
	before, after := map[string]any{}, map[string]any{}
	for _, s := range c.want.Settings {
		after[string(s.Name)] = aws.ToString(s.Value)
	}
	if live != nil {
		for _, s := range live.Settings {
			if _, managed := after[string(s.Name)]; managed {
				before[string(s.Name)] = aws.ToString(s.Value)
			}
		}
	}
	return reconcile.Compare("settings", before, after)
}

func (c *Cluster) configurationDiff(live *types.Cluster) []reconcile.Diff {
	if c.want.Configuration == nil {
		return nil
	}
	var is any
	if live != nil {
		is = configuration(live.Configuration)
	}
	return reconcile.Compare("configuration", is, configuration(c.want.Configuration))
}

func configuration(c *types.ClusterConfiguration) any {
	tree, ok := treeOf(c).(map[string]any)
	if !ok {
		return nil
	}
	if e, ok := tree["executeCommandConfiguration"].(map[string]any); ok {
		fill(e, "logging", "DEFAULT")
	}
	return tree
}

func (c *Cluster) capacityDiff(live *types.Cluster) []reconcile.Diff {
	var diffs []reconcile.Diff
	if live == nil {
		live = &types.Cluster{}
	}
	if c.want.CapacityProviders != nil {
		diffs = reconcile.Compare("capacityProviders", set(live.CapacityProviders), set(c.want.CapacityProviders))
	}
	if c.want.DefaultCapacityProviderStrategy != nil {
		diffs = append(diffs, reconcile.Compare("defaultCapacityProviderStrategy",
			strategy(live.DefaultCapacityProviderStrategy), strategy(c.want.DefaultCapacityProviderStrategy))...)
	}
	return diffs
}

// The order of providers and of a strategy's items means nothing, so both are
// compared by name.
func set(names []string) any {
	tree := map[string]any{}
	for _, n := range names {
		tree[n] = n
	}
	return tree
}

func strategy(items []types.CapacityProviderStrategyItem) any {
	tree := map[string]any{}
	for _, i := range items {
		tree[aws.ToString(i.CapacityProvider)] = map[string]any{"base": i.Base, "weight": i.Weight}
	}
	return tree
}

// linkedRoleBudget covers the first cluster of an account: ECS makes its
// service-linked role then, and cannot assume it at once.
const linkedRoleBudget = 2 * time.Minute

func (c *Cluster) create(ctx context.Context) error {
	passing := func(err error) bool {
		_, invalid := errors.AsType[*types.InvalidParameterException](err)
		return invalid && awsx.Mentions(err, "service linked role")
	}
	return awsx.Patiently(ctx, c.env.Pause, linkedRoleBudget, passing, func(ctx context.Context) error {
		_, err := c.api.CreateCluster(ctx, &ecs.CreateClusterInput{
			ClusterName:                     &c.want.Name,
			Settings:                        orAbsent(c.want.Settings),
			Configuration:                   c.want.Configuration,
			CapacityProviders:               orAbsent(c.want.CapacityProviders),
			DefaultCapacityProviderStrategy: orAbsent(c.want.DefaultCapacityProviderStrategy),
			Tags:                            tagList(c.env.Tags(c.want.Tags).Create()),
		})
		return err
	})
}

// orAbsent keeps an empty list off the wire, where ECS takes it for a mistake.
func orAbsent[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func (c *Cluster) update(ctx context.Context) error {
	return c.onceActive(ctx, func(ctx context.Context) error {
		_, err := c.api.UpdateCluster(ctx, &ecs.UpdateClusterInput{
			Cluster: &c.want.Name, Settings: orAbsent(c.want.Settings), Configuration: c.want.Configuration,
		})
		return err
	})
}

// attachBudget covers capacity providers that are being attached or detached,
// during which ECS takes no other change of them.
const attachBudget = 5 * time.Minute

// onceActive waits for a cluster that ECS is still at work on, and that takes
// no change for so long.
func (c *Cluster) onceActive(ctx context.Context, do func(context.Context) error) error {
	passing := func(err error) bool {
		switch awsx.Code(err) {
		case "UpdateInProgressException", "ResourceInUseException":
			return true
		}
		return awsx.Mentions(err, "cluster was not active") || awsx.Mentions(err, "not in an active state")
	}
	return awsx.Patiently(ctx, c.env.Pause, attachBudget, passing, do)
}

// putCapacity writes both lists, since the call replaces both: the one that
// the spec leaves out goes back as it is.
func (c *Cluster) putCapacity(ctx context.Context, live *types.Cluster) error {
	in := &ecs.PutClusterCapacityProvidersInput{
		Cluster:                         &c.want.Name,
		CapacityProviders:               live.CapacityProviders,
		DefaultCapacityProviderStrategy: live.DefaultCapacityProviderStrategy,
	}
	if c.want.CapacityProviders != nil {
		in.CapacityProviders = c.want.CapacityProviders
	}
	if c.want.DefaultCapacityProviderStrategy != nil {
		in.DefaultCapacityProviderStrategy = c.want.DefaultCapacityProviderStrategy
	}
	// Both are required on the wire, empty or not.
	if in.CapacityProviders == nil {
		in.CapacityProviders = []string{}
	}
	if in.DefaultCapacityProviderStrategy == nil {
		in.DefaultCapacityProviderStrategy = []types.CapacityProviderStrategyItem{}
	}
	return c.onceActive(ctx, func(ctx context.Context) error {
		_, err := c.api.PutClusterCapacityProviders(ctx, in)
		return err
	})
}

func tagMap(live *types.Cluster) map[string]string {
	if live == nil {
		return nil
	}
	return tags(live.Tags)
}

func tags(list []types.Tag) map[string]string {
	m := make(map[string]string, len(list))
	for _, t := range list {
		m[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return m
}

// tagCalls write the tags of a cluster or of a revision.
func tagCalls(api interface {
	TagResource(context.Context, *ecs.TagResourceInput, ...func(*ecs.Options)) (*ecs.TagResourceOutput, error)
	UntagResource(context.Context, *ecs.UntagResourceInput, ...func(*ecs.Options)) (*ecs.UntagResourceOutput, error)
}, arn *string,
) reconcile.TagCalls {
	return reconcile.TagCalls{
		Tag: "ecs:TagResource", Put: func(ctx context.Context, tags map[string]string) error {
			_, err := api.TagResource(ctx, &ecs.TagResourceInput{ResourceArn: arn, Tags: tagList(tags)})
			return err
		},
		Untag: "ecs:UntagResource", Remove: func(ctx context.Context, keys []string) error {
			_, err := api.UntagResource(ctx, &ecs.UntagResourceInput{ResourceArn: arn, TagKeys: keys})
			return err
		},
	}
}

func tagList(tags map[string]string) []types.Tag {
	list := make([]types.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return list
}
