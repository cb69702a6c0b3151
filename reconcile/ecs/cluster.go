// Package ecs keeps clusters and task definitions.
package ecs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
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
	DeleteCluster(context.Context, *ecs.DeleteClusterInput, ...func(*ecs.Options)) (*ecs.DeleteClusterOutput, error)
	DescribeClusters(context.Context, *ecs.DescribeClustersInput, ...func(*ecs.Options)) (*ecs.DescribeClustersOutput, error)
	UpdateCluster(context.Context, *ecs.UpdateClusterInput, ...func(*ecs.Options)) (*ecs.UpdateClusterOutput, error)
	PutClusterCapacityProviders(context.Context, *ecs.PutClusterCapacityProvidersInput, ...func(*ecs.Options)) (*ecs.PutClusterCapacityProvidersOutput, error)
	TagResource(context.Context, *ecs.TagResourceInput, ...func(*ecs.Options)) (*ecs.TagResourceOutput, error)
	UntagResource(context.Context, *ecs.UntagResourceInput, ...func(*ecs.Options)) (*ecs.UntagResourceOutput, error)
}

var _ ClusterAPI = (*ecs.Client)(nil)

type liveCluster = reconcile.Live[spec.ECSCluster, Status]

// Status is where a cluster is in its life.
type Status string

// Clusters keeps the clusters of an account and region.
type Clusters struct {
	api  ClusterAPI
	env  reconcile.Env
	read *awsx.Shared[*types.Cluster]
}

var _ reconcile.Kind[spec.ECSCluster, Status] = (*Clusters)(nil)

// NewClusters keeps clusters, of which those that the spec wants are read
// together.
func NewClusters(api ClusterAPI, env reconcile.Env, wants []spec.ECSCluster) *Clusters {
	names := make([]string, len(wants))
	for i, w := range wants {
		names[i] = w.Name
	}
	return &Clusters{api, env, awsx.NewShared(names,
		func(ctx context.Context, names []string) (map[string]*types.Cluster, error) {
			return describeClusters(ctx, api, names)
		},
		func(ctx context.Context, name string) (*types.Cluster, error) {
			found, err := describeClusters(ctx, api, []string{name})
			return found[name], err
		},
	)}
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

// Describe reads a cluster. One call answers with all of it.
func (c *Clusters) Describe(ctx context.Context, want spec.ECSCluster, _ bool) (liveCluster, error) {
	cluster, err := c.read.Get(ctx, want.Name)
	if err != nil || cluster == nil {
		return liveCluster{}, err
	}
	return describedCluster(*cluster), nil
}

func describedCluster(cluster types.Cluster) liveCluster {
	return liveCluster{
		Exists: true,
		Is: spec.ECSCluster{
			Meta: spec.Meta{Tags: tags(cluster.Tags)}, Name: aws.ToString(cluster.ClusterName), Settings: cluster.Settings, Configuration: cluster.Configuration,
			CapacityProviders: cluster.CapacityProviders, DefaultCapacityProviderStrategy: cluster.DefaultCapacityProviderStrategy,
		},
		Facts: Status(aws.ToString(cluster.Status)),
	}
}

// Complete takes the live value of a setting that the spec does not name. A
// setting has no off-state that could be told from its default, which the
// account decides, so it is not managed.
func (c *Clusters) Complete(live liveCluster, want spec.ECSCluster) (spec.ECSCluster, error) {
	settings := slices.Clone(want.Settings)
	for _, is := range live.Is.Settings {
		named := func(s types.ClusterSetting) bool { return s.Name == is.Name }
		if !slices.ContainsFunc(want.Settings, named) {
			settings = append(settings, is)
		}
	}
	want.Settings = settings
	return want, nil
}

// Normal is a cluster in the form in which clusters are compared. The order of
// settings, of providers and of a strategy's items means nothing.
func (c *Clusters) Normal(cluster spec.ECSCluster) (map[string]any, error) {
	tree := spec.Tree(cluster)
	settings, providers, strategy := map[string]any{}, map[string]any{}, map[string]any{}
	for _, s := range cluster.Settings {
		settings[string(s.Name)] = aws.ToString(s.Value)
	}
	for _, p := range cluster.CapacityProviders {
		providers[p] = p
	}
	for _, i := range cluster.DefaultCapacityProviderStrategy {
		strategy[aws.ToString(i.CapacityProvider)] = map[string]any{"base": i.Base, "weight": i.Weight}
	}
	tree["settings"], tree["capacityProviders"], tree["defaultCapacityProviderStrategy"] = settings, providers, strategy
	if configuration, ok := tree["configuration"].(map[string]any); ok {
		if e, ok := configuration["executeCommandConfiguration"].(map[string]any); ok {
			fill(e, "logging", "DEFAULT")
		}
	}
	return tree, nil
}

// Brief leaves out what a new cluster has.
func (c *Clusters) Brief(cluster spec.ECSCluster) spec.ECSCluster {
	cluster.Settings = orAbsent(slices.DeleteFunc(slices.Clone(cluster.Settings), func(s types.ClusterSetting) bool {
		return s.Name == types.ClusterSettingNameContainerInsights && aws.ToString(s.Value) == "disabled"
	}))
	cluster.CapacityProviders = orAbsent(cluster.CapacityProviders)
	cluster.DefaultCapacityProviderStrategy = orAbsent(cluster.DefaultCapacityProviderStrategy)
	if spec.ShapeTree(cluster.Configuration) == nil {
		cluster.Configuration = nil
	}
	return cluster
}

// Diff lists the steps from live to want.
func (c *Clusters) Diff(live liveCluster, want spec.ECSCluster, changes reconcile.Changes) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	do := func(write func(context.Context, spec.ECSCluster) error) func(context.Context) error {
		return func(ctx context.Context) error { return write(ctx, want) }
	}
	capacity := changes.Of("capacityProviders", "defaultCapacityProviderStrategy")
	if !live.Exists {
		lines := append(changes.Of("name", "settings", "configuration"), capacity...)
		steps.Add("ecs:CreateCluster", "create", append(lines, changes.Tags.Lines...), func(ctx context.Context) error { return c.create(ctx, want, changes.Tags.Put) })
		return steps.List, nil
	}
	// PROVISIONING passes by itself and is not among them: a cluster just
	// created is in it until its capacity providers are there.
	switch live.Facts {
	case "DEPROVISIONING":
		return nil, errors.New("the cluster is being deleted; run again once it is gone")
	case "FAILED":
		return nil, errors.New("the cluster's status is FAILED: ECS could not create what its capacity providers need; its attachments in the AWS console say why")
	}
	// Only what differs is sent: somebody may be changing the rest.
	update := want
	if len(changes.Of("settings")) == 0 {
		update.Settings = nil
	}
	if len(changes.Of("configuration")) == 0 {
		update.Configuration = nil
	}
	steps.Add("ecs:UpdateCluster", "update", changes.Of("settings", "configuration"), func(ctx context.Context) error {
		return c.update(ctx, update)
	})
	steps.Add("ecs:PutClusterCapacityProviders", "set the capacity providers of", capacity, do(c.putCapacity))
	steps.Tag(changes.Tags,
		"ecs:TagResource", func(ctx context.Context) error {
			_, err := c.api.TagResource(ctx, &ecs.TagResourceInput{ResourceArn: c.env.ARN(want.ID(), ""), Tags: tagList(changes.Tags.Put)})
			return err
		},
		"ecs:UntagResource", func(ctx context.Context) error {
			_, err := c.api.UntagResource(ctx, &ecs.UntagResourceInput{ResourceArn: c.env.ARN(want.ID(), ""), TagKeys: changes.Tags.Remove})
			return err
		})
	return steps.List, nil
}

// Permissions are what a cluster's calls need.
func (c *Clusters) Permissions(want spec.ECSCluster) []reconcile.Permission {
	p := reconcile.Permissions{On: []string{*c.env.ARN(want.ID(), "")}}
	p.Read("ecs:DescribeClusters")
	p.Write("ecs:CreateCluster", "ecs:TagResource", "ecs:UntagResource")
	p.Delete("ecs:DeleteCluster")
	p.Also(reconcile.Writing, "ecs:CreateCluster", "ecs:TagResource")
	if want.Settings != nil || want.Configuration != nil {
		p.Write("ecs:UpdateCluster")
	}
	if want.CapacityProviders != nil || want.DefaultCapacityProviderStrategy != nil {
		p.Write("ecs:PutClusterCapacityProviders")
	}
	// The first cluster of an account makes a role, with the caller's rights.
	// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-service-linked-roles.html
	p.On = []string{fmt.Sprintf("arn:%s:iam::%s:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS*", c.env.Partition, c.env.Account)}
	p.Also(reconcile.Writing, "ecs:CreateCluster", "iam:CreateServiceLinkedRole").If = reconcile.Condition{
		Operator: "StringEquals", Key: "iam:AWSServiceName", Values: []string{"ecs.amazonaws.com"},
	}
	return p.List
}

// linkedRoleBudget covers the first cluster of an account: ECS makes its
// service-linked role then, and cannot assume it at once.
const linkedRoleBudget = 2 * time.Minute

func (c *Clusters) create(ctx context.Context, want spec.ECSCluster, tags map[string]string) error {
	passing := func(err error) bool {
		_, invalid := errors.AsType[*types.InvalidParameterException](err)
		return invalid && awsx.Mentions(err, "service linked role")
	}
	return awsx.Patiently(ctx, c.env.Pause, linkedRoleBudget, passing, func(ctx context.Context) error {
		_, err := c.api.CreateCluster(ctx, &ecs.CreateClusterInput{
			ClusterName:                     &want.Name,
			Settings:                        orAbsent(want.Settings),
			Configuration:                   want.Configuration,
			CapacityProviders:               orAbsent(want.CapacityProviders),
			DefaultCapacityProviderStrategy: orAbsent(want.DefaultCapacityProviderStrategy),
			Tags:                            tagList(tags),
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

func (c *Clusters) update(ctx context.Context, want spec.ECSCluster) error {
	return c.onceActive(ctx, func(ctx context.Context) error {
		_, err := c.api.UpdateCluster(ctx, &ecs.UpdateClusterInput{
			Cluster: &want.Name, Settings: orAbsent(want.Settings), Configuration: want.Configuration,
		})
		return err
	})
}

// attachBudget covers capacity providers that are being attached or detached,
// during which ECS takes no other change of them.
const attachBudget = 5 * time.Minute

// onceActive waits for a cluster that ECS is still at work on, and that takes
// no change for so long.
func (c *Clusters) onceActive(ctx context.Context, do func(context.Context) error) error {
	passing := func(err error) bool {
		switch awsx.Code(err) {
		case "UpdateInProgressException", "ResourceInUseException":
			return true
		}
		return awsx.Mentions(err, "cluster was not active") || awsx.Mentions(err, "not in an active state")
	}
	return awsx.Patiently(ctx, c.env.Pause, attachBudget, passing, do)
}

// putCapacity writes both lists, since the call replaces both.
func (c *Clusters) putCapacity(ctx context.Context, want spec.ECSCluster) error {
	in := &ecs.PutClusterCapacityProvidersInput{
		Cluster: &want.Name,
		// Both are required on the wire, empty or not.
		CapacityProviders:               append([]string{}, want.CapacityProviders...),
		DefaultCapacityProviderStrategy: append([]types.CapacityProviderStrategyItem{}, want.DefaultCapacityProviderStrategy...),
	}
	return c.onceActive(ctx, func(ctx context.Context) error {
		_, err := c.api.PutClusterCapacityProviders(ctx, in)
		return err
	})
}

func tags(list []types.Tag) map[string]string {
	m := make(map[string]string, len(list))
	for _, t := range list {
		m[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return m
}

func tagList(tags map[string]string) []types.Tag {
	list := make([]types.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return list
}

// Tags reads the tags that a cluster has now.
func (c *Clusters) Tags(ctx context.Context, want spec.ECSCluster) (map[string]string, error) {
	live, err := c.Describe(ctx, want, false)
	if err != nil || !live.Exists {
		return nil, err
	}
	return live.Is.Tags, nil
}

// Holders tells of services, tasks and container instances. ECS counts them
// itself: a service that is being drained only in the statistics.
func (c *Clusters) Holders(ctx context.Context, live liveCluster, want spec.ECSCluster) ([]reconcile.Holder, error) {
	if live.Facts == "DEPROVISIONING" {
		return nil, nil
	}
	out, err := c.api.DescribeClusters(ctx, &ecs.DescribeClustersInput{
		Clusters: []string{want.Name}, Include: []types.ClusterField{types.ClusterFieldStatistics},
	})
	if err != nil {
		return nil, err
	}
	if len(out.Clusters)+len(out.Failures) == 0 {
		return nil, awsx.Hollow("ecs:DescribeClusters", "word on the cluster", out.ResultMetadata)
	}
	var what []string
	for _, cluster := range out.Clusters {
		var draining int32
		for _, s := range cluster.Statistics {
			switch aws.ToString(s.Name) {
			case "drainingEC2ServiceCount", "drainingFargateServiceCount":
				n, err := strconv.ParseInt(aws.ToString(s.Value), 10, 32)
				if err != nil {
					return nil, fmt.Errorf("%s is %q: %w", *s.Name, aws.ToString(s.Value), err)
				}
				draining += int32(n)
			}
		}
		for _, held := range []struct {
			n     int32
			thing string
		}{
			{cluster.ActiveServicesCount, "service"},
			{draining, "draining service"},
			{cluster.RunningTasksCount, "running task"},
			{cluster.PendingTasksCount, "pending task"},
			{cluster.RegisteredContainerInstancesCount, "container instance"},
		} {
			switch held.n {
			case 0:
			case 1:
				what = append(what, "1 "+held.thing)
			default:
				what = append(what, fmt.Sprintf("%d %ss", held.n, held.thing))
			}
		}
	}
	if len(what) == 0 {
		return nil, nil
	}
	return []reconcile.Holder{{What: strings.Join(what, ", "), Do: "delete the services, stop the tasks and deregister the instances first"}}, nil
}

// Delete lists the step that takes a cluster away.
func (c *Clusters) Delete(_ liveCluster, want spec.ECSCluster) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	steps.Add("ecs:DeleteCluster", "delete", []reconcile.Diff{{Path: "name", Before: want.Name}}, func(ctx context.Context) error {
		return c.onceActive(ctx, func(ctx context.Context) error {
			_, err := c.api.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: &want.Name})
			if awsx.Code(err) == "ClusterNotFoundException" { // the answer was lost, and the call made again
				return nil
			}
			return err
		})
	})
	return steps.List, nil
}
