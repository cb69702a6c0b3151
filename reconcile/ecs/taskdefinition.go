package ecs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// TaskDefinitionAPI is what a task definition needs of ECS.
type TaskDefinitionAPI interface {
	DescribeTaskDefinition(context.Context, *ecs.DescribeTaskDefinitionInput, ...func(*ecs.Options)) (*ecs.DescribeTaskDefinitionOutput, error)
	ListTaskDefinitions(context.Context, *ecs.ListTaskDefinitionsInput, ...func(*ecs.Options)) (*ecs.ListTaskDefinitionsOutput, error)
	RegisterTaskDefinition(context.Context, *ecs.RegisterTaskDefinitionInput, ...func(*ecs.Options)) (*ecs.RegisterTaskDefinitionOutput, error)
	DeregisterTaskDefinition(context.Context, *ecs.DeregisterTaskDefinitionInput, ...func(*ecs.Options)) (*ecs.DeregisterTaskDefinitionOutput, error)
	DeleteTaskDefinitions(context.Context, *ecs.DeleteTaskDefinitionsInput, ...func(*ecs.Options)) (*ecs.DeleteTaskDefinitionsOutput, error)
	TagResource(context.Context, *ecs.TagResourceInput, ...func(*ecs.Options)) (*ecs.TagResourceOutput, error)
	UntagResource(context.Context, *ecs.UntagResourceInput, ...func(*ecs.Options)) (*ecs.UntagResourceOutput, error)
}

var _ TaskDefinitionAPI = (*ecs.Client)(nil)

type liveTaskDefinition = reconcile.Live[spec.ECSTaskDefinition, Revision]

// Revision is what a spec has no word for in a task definition, but for what
// ECS says about it by itself. It is carried into the next revision.
type Revision struct {
	ARN                   string
	IPCMode               types.IpcMode
	InferenceAccelerators []types.InferenceAccelerator

	// Active and Inactive are the ARNs of the revisions that carry the stack's
	// mark, in the order of their numbers. Only [Families] reads them.
	Active, Inactive []string
}

// TaskDefinitions keeps the latest active revision of families.
type TaskDefinitions struct {
	API TaskDefinitionAPI
	Env reconcile.Env
}

var _ reconcile.Kind[spec.ECSTaskDefinition, Revision] = TaskDefinitions{}

// Describe reads the latest active revision. One call answers with all of it.
func (t TaskDefinitions) Describe(ctx context.Context, want spec.ECSTaskDefinition, _ bool) (liveTaskDefinition, error) {
	out, err := t.API.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{
		TaskDefinition: &want.Family,
		Include:        []types.TaskDefinitionField{types.TaskDefinitionFieldTags},
	})
	if unknown(err) {
		return liveTaskDefinition{}, nil
	}
	if err != nil {
		return liveTaskDefinition{}, err
	}
	if out.TaskDefinition == nil {
		return liveTaskDefinition{}, awsx.Hollow("ecs:DescribeTaskDefinition", "taskDefinition", out.ResultMetadata)
	}
	if out.TaskDefinition.Status != types.TaskDefinitionStatusActive {
		return liveTaskDefinition{}, nil
	}
	live := t.live(*out.TaskDefinition)
	live.Is.Tags = tags(out.Tags)
	return live, nil
}

// unknown says that ECS does not know a family or a revision, for which it has
// no code of its own.
func unknown(err error) bool {
	return awsx.Code(err) == "ClientException" && awsx.Mentions(err, "unable to describe task definition")
}

// live is a revision as a spec would declare it.
func (t TaskDefinitions) live(r types.TaskDefinition) liveTaskDefinition {
	role := func(name *string) *string {
		if name != nil && !arn.IsARN(*name) { // it may have been registered by its name
			return aws.String(fmt.Sprintf("arn:%s:iam::%s:role/%s", t.Env.Partition, t.Env.Account, *name))
		}
		return name
	}
	return liveTaskDefinition{
		Exists: true,
		Is: spec.ECSTaskDefinition{
			Family: aws.ToString(r.Family), NetworkMode: string(r.NetworkMode), PIDMode: string(r.PidMode),
			RequiresCompatibilities: r.RequiresCompatibilities,
			CPU:                     aws.ToString(r.Cpu), Memory: aws.ToString(r.Memory),
			ExecutionRole: role(r.ExecutionRoleArn), TaskRole: role(r.TaskRoleArn),
			RuntimePlatform: r.RuntimePlatform, EphemeralStorage: r.EphemeralStorage,
			EnableFaultInjection: r.EnableFaultInjection, ProxyConfiguration: r.ProxyConfiguration,
			PlacementConstraints: r.PlacementConstraints, Volumes: r.Volumes, ContainerDefinitions: r.ContainerDefinitions,
		},
		//lint:ignore SA1019 deprecated, and still what an old revision may have
		Facts: Revision{ARN: aws.ToString(r.TaskDefinitionArn), IPCMode: r.IpcMode, InferenceAccelerators: r.InferenceAccelerators},
		Attrs: map[string]string{"arn": aws.ToString(r.TaskDefinitionArn), "revision": strconv.Itoa(int(r.Revision))},
	}
}

// Complete leaves the paths that the spec ignores as they are live.
func (t TaskDefinitions) Complete(live liveTaskDefinition, want spec.ECSTaskDefinition) (spec.ECSTaskDefinition, error) {
	if !live.Exists || len(want.Ignore) == 0 {
		return want, nil
	}
	return keep(want, live.Is, want.Ignore)
}

// Normal is a task definition in the form in which task definitions are
// compared: what ECS makes of it.
func (t TaskDefinitions) Normal(definition spec.ECSTaskDefinition) (map[string]any, error) {
	tree := content(definition)
	defaults(tree)
	byName(tree)
	return tree, nil
}

// Brief leaves out what ECS answers where nothing is given. Which container is
// essential is said, since not every one has to be.
func (t TaskDefinitions) Brief(definition spec.ECSTaskDefinition) spec.ECSTaskDefinition {
	none(&definition.EnableFaultInjection, false)
	if p := definition.RuntimePlatform; p != nil && p.OperatingSystemFamily == types.OSFamilyLinux && p.CpuArchitecture == types.CPUArchitectureX8664 {
		definition.RuntimePlatform = nil
	}
	definition.RequiresCompatibilities = orAbsent(definition.RequiresCompatibilities)
	definition.PlacementConstraints = orAbsent(definition.PlacementConstraints)
	definition.Volumes = orAbsent(definition.Volumes)
	definition.ContainerDefinitions = slices.Clone(definition.ContainerDefinitions)
	for i := range definition.ContainerDefinitions {
		briefContainer(&definition.ContainerDefinitions[i], definition.NetworkMode)
	}
	return definition
}

// briefContainer is the opposite of what defaults fills in.
func briefContainer(c *types.ContainerDefinition, networkMode string) {
	for _, flag := range []**bool{&c.DisableNetworking, &c.Interactive, &c.Privileged, &c.PseudoTerminal, &c.ReadonlyRootFilesystem} {
		none(flag, false)
	}
	if c.VersionConsistency == types.VersionConsistencyEnabled {
		c.VersionConsistency = ""
	}
	if c.HealthCheck != nil {
		h := *c.HealthCheck
		none(&h.Interval, 30)
		none(&h.Timeout, 5)
		none(&h.Retries, 3)
		none(&h.StartPeriod, 0)
		c.HealthCheck = &h
	}
	c.PortMappings = slices.Clone(c.PortMappings)
	for i := range c.PortMappings {
		p := &c.PortMappings[i]
		if p.Protocol == types.TransportProtocolTcp {
			p.Protocol = ""
		}
		none(&p.HostPort, 0)
		if networkMode == string(types.NetworkModeAwsvpc) || networkMode == string(types.NetworkModeHost) {
			none(&p.HostPort, aws.ToInt32(p.ContainerPort))
		}
	}
	c.MountPoints = slices.Clone(c.MountPoints)
	for i := range c.MountPoints {
		none(&c.MountPoints[i].ReadOnly, false)
	}
	c.VolumesFrom = slices.Clone(c.VolumesFrom)
	for i := range c.VolumesFrom {
		none(&c.VolumesFrom[i].ReadOnly, false)
	}
}

// none takes a value away that is the default.
func none[T comparable](value **T, byDefault T) {
	if *value != nil && **value == byDefault {
		*value = nil
	}
}

// content is what ECS keeps of a task definition, under the API's names.
func content(definition spec.ECSTaskDefinition) map[string]any {
	tree := spec.Tree(definition)
	for _, key := range []string{"tags", "ignore"} {
		delete(tree, key)
	}
	for _, role := range []string{"executionRole", "taskRole"} {
		if arn, ok := tree[role]; ok {
			delete(tree, role)
			tree[role+"Arn"] = arn
		}
	}
	return tree
}

// Diff lists the steps from live to want. A revision's content never changes,
// so any difference in it is a new revision, and takes its tags along from
// birth.
func (t TaskDefinitions) Diff(live liveTaskDefinition, want spec.ECSTaskDefinition, c reconcile.Changes) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	lines := c.All()
	if !live.Exists {
		// All of it is new, and what the spec leaves out is ECS's to decide.
		tree := reconcile.Given(content(want))
		byName(tree)
		lines = reconcile.Compare("", nil, tree)
	}
	if len(lines) > 0 {
		steps.Add("ecs:RegisterTaskDefinition", "register a revision of", append(lines, c.Tags.Lines...), func(ctx context.Context) error {
			return t.register(ctx, live, want, c.Tags.Whole)
		}).Once = true
		return steps.List, nil
	}
	steps.Tag(c.Tags,
		"ecs:TagResource", func(ctx context.Context) error {
			_, err := t.API.TagResource(ctx, &ecs.TagResourceInput{ResourceArn: &live.Facts.ARN, Tags: tagList(c.Tags.Put)})
			return err
		},
		"ecs:UntagResource", func(ctx context.Context) error {
			_, err := t.API.UntagResource(ctx, &ecs.UntagResourceInput{ResourceArn: &live.Facts.ARN, TagKeys: c.Tags.Remove})
			return err
		})
	return steps.List, nil
}

// Permissions are what a task definition's calls need: to register one is to
// hand its roles to ECS.
func (t TaskDefinitions) Permissions(want spec.ECSTaskDefinition) []reconcile.Permission {
	p := reconcile.Permissions{On: []string{"*"}}
	p.Read("ecs:DescribeTaskDefinition")
	p.Delete("ecs:ListTaskDefinitions", "ecs:DeregisterTaskDefinition")
	p.On = []string{fmt.Sprintf("arn:%s:ecs:%s:%s:task-definition/%s:*", t.Env.Partition, t.Env.Region, t.Env.Account, want.Family)}
	p.Write("ecs:RegisterTaskDefinition", "ecs:TagResource", "ecs:UntagResource")
	p.Delete("ecs:DeleteTaskDefinitions")
	p.Also(reconcile.Writing, "ecs:RegisterTaskDefinition", "ecs:TagResource")
	for _, role := range []*string{want.ExecutionRole, want.TaskRole} {
		if aws.ToString(role) == "" {
			continue
		}
		p.On = []string{*role}
		p.Also(reconcile.Writing, "ecs:RegisterTaskDefinition", "iam:PassRole").If = reconcile.Condition{
			Operator: "StringEquals", Key: "iam:PassedToService", Values: []string{"ecs-tasks.amazonaws.com"},
		}
	}
	return p.List
}

// registerBudget covers a role that was created a moment ago and that ECS does
// not know yet, and registrations of the family by somebody else.
const registerBudget = 30 * time.Second

func (t TaskDefinitions) register(ctx context.Context, live liveTaskDefinition, want spec.ECSTaskDefinition, tags map[string]string) error {
	in := &ecs.RegisterTaskDefinitionInput{
		Family: &want.Family, NetworkMode: types.NetworkMode(want.NetworkMode), PidMode: types.PidMode(want.PIDMode),
		RequiresCompatibilities: orAbsent(want.RequiresCompatibilities),
		Cpu:                     orNone(&want.CPU), Memory: orNone(&want.Memory),
		ExecutionRoleArn: orNone(want.ExecutionRole), TaskRoleArn: orNone(want.TaskRole),
		RuntimePlatform: want.RuntimePlatform, EphemeralStorage: want.EphemeralStorage,
		EnableFaultInjection: want.EnableFaultInjection, ProxyConfiguration: orDirect(want.ProxyConfiguration),
		PlacementConstraints: orAbsent(want.PlacementConstraints), Volumes: orAbsent(want.Volumes), ContainerDefinitions: want.ContainerDefinitions,
		IpcMode: live.Facts.IPCMode,
		//lint:ignore SA1019 deprecated, and still what an old revision may have
		InferenceAccelerators: live.Facts.InferenceAccelerators,
		Tags:                  tagList(tags),
	}
	// Only a role of this spec can be so young. For any other, a refusal is
	// a refusal.
	ours := slices.ContainsFunc(want.Needs, func(id spec.ID) bool { return id.Kind == spec.Role })
	passing := func(err error) bool {
		// ECS lets one registration of a family through at a time.
		return awsx.Mentions(err, "too many concurrent attempts") ||
			ours && (awsx.Mentions(err, "iam:PassRole") || awsx.Mentions(err, "unable to assume") ||
				awsx.Mentions(err, "role is not valid"))
	}
	return awsx.Patiently(ctx, t.Env.Pause, registerBudget, passing, func(ctx context.Context) error {
		_, err := t.API.RegisterTaskDefinition(ctx, in, func(o *ecs.Options) { o.Retryer = awsx.Once(o.Retryer) })
		return err
	})
}

// orDirect keeps an empty proxy configuration off the wire: it asks for none.
func orDirect(proxy *types.ProxyConfiguration) *types.ProxyConfiguration {
	if proxy == nil || proxy.ContainerName == nil {
		return nil
	}
	return proxy
}

// orNone keeps empty text off the wire: it asks for none.
func orNone(text *string) *string {
	if aws.ToString(text) == "" {
		return nil
	}
	return text
}
