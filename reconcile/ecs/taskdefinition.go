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
	RegisterTaskDefinition(context.Context, *ecs.RegisterTaskDefinitionInput, ...func(*ecs.Options)) (*ecs.RegisterTaskDefinitionOutput, error)
	TagResource(context.Context, *ecs.TagResourceInput, ...func(*ecs.Options)) (*ecs.TagResourceOutput, error)
	UntagResource(context.Context, *ecs.UntagResourceInput, ...func(*ecs.Options)) (*ecs.UntagResourceOutput, error)
}

var _ TaskDefinitionAPI = (*ecs.Client)(nil)

// TaskDefinition keeps the latest active revision of a family.
type TaskDefinition struct {
	api  TaskDefinitionAPI
	env  reconcile.Env
	want spec.ECSTaskDefinition
}

// NewTaskDefinition prepares a task definition of the spec.
func NewTaskDefinition(api TaskDefinitionAPI, env reconcile.Env, want spec.ECSTaskDefinition) *TaskDefinition {
	return &TaskDefinition{api: api, env: env, want: want}
}

// ID is the family's address.
func (t *TaskDefinition) ID() spec.ID {
	return spec.ID{Kind: spec.TaskDefinition, Name: t.want.Family}
}

// Needs lists what the spec's task definition refers to.
func (t *TaskDefinition) Needs() []spec.ID { return t.want.Needs }

// Plan reads the latest active revision and says what is to do.
func (t *TaskDefinition) Plan(ctx context.Context) (reconcile.Plan, error) {
	live, err := t.describe(ctx)
	if err != nil {
		return reconcile.Plan{}, err
	}
	steps, err := t.diff(live)
	if err != nil {
		return reconcile.Plan{}, err
	}
	plan := reconcile.Plan{Exists: live.revision != nil, Steps: steps}
	if live.revision != nil {
		plan.Attrs = map[string]string{
			"arn":      aws.ToString(live.revision.TaskDefinitionArn),
			"revision": strconv.Itoa(int(live.revision.Revision)),
		}
	}
	return plan, nil
}

type taskDefinition struct {
	revision *types.TaskDefinition // nil: no active one
	tags     map[string]string
}

func (t *TaskDefinition) describe(ctx context.Context) (taskDefinition, error) {
	out, err := t.api.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{
		TaskDefinition: &t.want.Family,
		Include:        []types.TaskDefinitionField{types.TaskDefinitionFieldTags},
	})
	// ECS has no code of its own for a family that it does not know.
	if awsx.Code(err) == "ClientException" && awsx.Mentions(err, "unable to describe task definition") {
		return taskDefinition{}, nil
	}
	if err != nil {
		return taskDefinition{}, err
	}
	if out.TaskDefinition == nil {
		return taskDefinition{}, awsx.Hollow("ecs:DescribeTaskDefinition", "taskDefinition", out.ResultMetadata)
	}
	if out.TaskDefinition.Status != types.TaskDefinitionStatusActive {
		return taskDefinition{}, nil
	}
	return taskDefinition{revision: out.TaskDefinition, tags: tags(out.Tags)}, nil
}

func (t *TaskDefinition) diff(live taskDefinition) ([]reconcile.Step, error) {
	wanted := t.env.Tags(t.want.Tags)
	_, _, tagLines, err := wanted.Diff(live.tags)
	if err != nil {
		return nil, err
	}

	before := t.content(live.revision)
	after := t.wish(before)
	var lines []reconcile.Diff
	if before != nil {
		lines = reconcile.Compare("", normal(before), normal(after))
	} else {
		// All of it is new, and what the spec leaves out is ECS's to decide.
		shown, _ := clone(after).(map[string]any)
		byName(shown)
		lines = reconcile.Compare("", nil, shown)
	}

	if len(lines) > 0 {
		// A revision's content never changes, so any difference is a new
		// revision, and takes its tags along from birth.
		in, err := input(after)
		if err != nil {
			return nil, fmt.Errorf("task definition: %w", err)
		}
		in.Tags = tagList(wanted.Whole(live.tags))
		return []reconcile.Step{{
			Call: "ecs:RegisterTaskDefinition", Does: "register a revision of " + t.ID().String(),
			Diffs: append(lines, tagLines...), Once: true,
			Do: func(ctx context.Context) error { return t.register(ctx, in) },
		}}, nil
	}

	if live.revision == nil {
		return nil, nil
	}
	return wanted.Steps(t.ID(), live.tags, tagCalls(t.api, live.revision.TaskDefinitionArn))
}

// registerBudget covers a role that was created a moment ago and that ECS does
// not know yet, and registrations of the family by somebody else.
const registerBudget = 30 * time.Second

func (t *TaskDefinition) register(ctx context.Context, in *ecs.RegisterTaskDefinitionInput) error {
	// Only a role of this spec can be so young. For any other, a refusal is
	// a refusal.
	ours := slices.ContainsFunc(t.want.Needs, func(id spec.ID) bool { return id.Kind == spec.Role })
	passing := func(err error) bool {
		// ECS lets one registration of a family through at a time.
		return awsx.Mentions(err, "too many concurrent attempts") ||
			ours && (awsx.Mentions(err, "iam:PassRole") || awsx.Mentions(err, "unable to assume") ||
				awsx.Mentions(err, "role is not valid"))
	}
	return awsx.Patiently(ctx, t.env.Pause, registerBudget, passing, func(ctx context.Context) error {
		_, err := t.api.RegisterTaskDefinition(ctx, in, func(o *ecs.Options) { o.Retryer = awsx.Once(o.Retryer) })
		return err
	})
}

// content is what a revision says, without what ECS says about it; nil where
// there is no revision.
func (t *TaskDefinition) content(revision *types.TaskDefinition) map[string]any {
	tree, _ := treeOf(revision).(map[string]any)
	for _, key := range []string{
		"taskDefinitionArn", "revision", "status", "compatibilities", "requiresAttributes",
		"registeredAt", "registeredBy", "deregisteredAt", "deleteRequestedAt",
	} {
		delete(tree, key)
	}
	// A role may have been registered by its name.
	for _, key := range []string{"executionRoleArn", "taskRoleArn"} {
		if role, ok := tree[key].(string); ok && !arn.IsARN(role) {
			tree[key] = fmt.Sprintf("arn:%s:iam::%s:role/%s", t.env.Partition, t.env.Account, role)
		}
	}
	return tree
}

// wish lays what the spec gives over what is live. A field that the spec
// leaves out, and the paths that it says to ignore, stay as they are live.
func (t *TaskDefinition) wish(live map[string]any) map[string]any {
	tree, _ := clone(live).(map[string]any)
	if tree == nil {
		tree = map[string]any{}
	}
	give := func(key string, given bool, value any) {
		switch {
		case !given:
		case value == nil || value == "":
			delete(tree, key)
		default:
			tree[key] = value
		}
	}
	w := t.want
	give("family", true, w.Family)
	give("networkMode", w.NetworkMode != "", w.NetworkMode)
	give("requiresCompatibilities", w.RequiresCompatibilities != nil, treeOf(w.RequiresCompatibilities))
	give("cpu", w.CPU != "", w.CPU)
	give("memory", w.Memory != "", w.Memory)
	give("executionRoleArn", w.ExecutionRole != nil, aws.ToString(w.ExecutionRole))
	give("taskRoleArn", w.TaskRole != nil, aws.ToString(w.TaskRole))
	give("runtimePlatform", w.RuntimePlatform != nil, treeOf(w.RuntimePlatform))
	give("ephemeralStorage", w.EphemeralStorage != nil, treeOf(w.EphemeralStorage))
	give("volumes", w.Volumes != nil, treeOf(w.Volumes))
	give("containerDefinitions", w.ContainerDefinitions != nil, treeOf(w.ContainerDefinitions))
	if live != nil {
		for _, path := range w.Ignore {
			switch path {
			case "executionRole", "taskRole": // what the API calls by their ARNs
				path += "Arn"
			}
			leave(tree, live, spec.SplitPath(path))
		}
	}
	return tree
}
