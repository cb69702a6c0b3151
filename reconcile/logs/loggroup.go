// Package logs keeps CloudWatch log groups.
package logs

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// API is what a log group needs of CloudWatch Logs.
type API interface {
	CreateLogGroup(context.Context, *cloudwatchlogs.CreateLogGroupInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.CreateLogGroupOutput, error)
	DescribeLogGroups(context.Context, *cloudwatchlogs.DescribeLogGroupsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DescribeLogGroupsOutput, error)
	PutRetentionPolicy(context.Context, *cloudwatchlogs.PutRetentionPolicyInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutRetentionPolicyOutput, error)
	DeleteRetentionPolicy(context.Context, *cloudwatchlogs.DeleteRetentionPolicyInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DeleteRetentionPolicyOutput, error)
	AssociateKmsKey(context.Context, *cloudwatchlogs.AssociateKmsKeyInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.AssociateKmsKeyOutput, error)
	DisassociateKmsKey(context.Context, *cloudwatchlogs.DisassociateKmsKeyInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DisassociateKmsKeyOutput, error)
	ListTagsForResource(context.Context, *cloudwatchlogs.ListTagsForResourceInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.ListTagsForResourceOutput, error)
	TagResource(context.Context, *cloudwatchlogs.TagResourceInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.TagResourceOutput, error)
	UntagResource(context.Context, *cloudwatchlogs.UntagResourceInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.UntagResourceOutput, error)
}

var _ API = (*cloudwatchlogs.Client)(nil)

// LogGroup keeps one log group.
type LogGroup struct {
	api  API
	env  reconcile.Env
	want spec.LogsLogGroup
}

// NewLogGroup prepares a log group of the spec.
func NewLogGroup(api API, env reconcile.Env, want spec.LogsLogGroup) *LogGroup {
	return &LogGroup{api: api, env: env, want: want}
}

// ID is the log group's address.
func (g *LogGroup) ID() spec.ID { return spec.ID{Kind: spec.LogGroup, Name: g.want.Name} }

// Needs lists what the spec's log group refers to.
func (g *LogGroup) Needs() []spec.ID { return g.want.Needs }

// Plan reads the log group and says what is to do.
func (g *LogGroup) Plan(ctx context.Context) (reconcile.Plan, error) {
	live, err := g.describe(ctx)
	if err != nil {
		return reconcile.Plan{}, err
	}
	steps, err := g.diff(live)
	return reconcile.Plan{Exists: live.group != nil, Steps: steps}, err
}

type logGroup struct {
	group *types.LogGroup // nil: absent
	tags  map[string]string
}

// arn is what the tag calls want: DescribeLogGroups' own Arn ends in ":*",
// which they refuse.
func (g *LogGroup) arn() *string {
	return aws.String(fmt.Sprintf("arn:%s:logs:%s:%s:log-group:%s", g.env.Partition, g.env.Region, g.env.Account, g.want.Name))
}

func (g *LogGroup) describe(ctx context.Context) (logGroup, error) {
	var live logGroup
	var reads awsx.Reads
	reads.Go(func() error {
		// The prefix answers siblings too, in order of name, so that the exact
		// name comes first.
		pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(g.api, &cloudwatchlogs.DescribeLogGroupsInput{
			LogGroupNamePrefix: &g.want.Name,
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			// The list is there, empty or not.
			if page.LogGroups == nil {
				return awsx.Hollow("logs:DescribeLogGroups", "logGroups", page.ResultMetadata)
			}
			for _, group := range page.LogGroups {
				if aws.ToString(group.LogGroupName) == g.want.Name {
					live.group = &group
					return nil
				}
			}
		}
		return nil
	})
	reads.Go(func() error {
		out, err := g.api.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: g.arn()})
		if awsx.Code(err) == "ResourceNotFoundException" {
			return nil
		}
		if err == nil {
			live.tags = out.Tags
		}
		return err
	})
	if err := reads.Wait(); err != nil {
		return logGroup{}, err
	}
	if live.group == nil {
		return logGroup{}, nil // the tags of a group deleted a moment ago may still be there
	}
	return live, nil
}

func (g *LogGroup) diff(live logGroup) ([]reconcile.Step, error) {
	var steps []reconcile.Step
	step := func(call, does string, diffs []reconcile.Diff, do func(context.Context) error) {
		if len(diffs) > 0 {
			steps = append(steps, reconcile.Step{
				Call: call, Does: does + " " + g.ID().String(), Diffs: diffs, Do: g.patiently(do),
			})
		}
	}

	_, _, tags, err := g.env.Tags(g.want.Tags).Diff(live.tags)
	if err != nil {
		return nil, err
	}
	was := live.group
	if was == nil {
		was = &types.LogGroup{}
		diffs := []reconcile.Diff{{Path: "name", After: g.want.Name}}
		if g.want.LogGroupClass != "" {
			diffs = append(diffs, reconcile.Diff{Path: "logGroupClass", After: g.want.LogGroupClass})
		}
		if key := aws.ToString(g.want.KMSKeyID); key != "" {
			diffs = append(diffs, reconcile.Diff{Path: "kmsKeyId", After: key})
		}
		step("logs:CreateLogGroup", "create", append(diffs, tags...), g.create)
	} else {
		if class := string(was.LogGroupClass); g.want.LogGroupClass != "" && class != "" && class != g.want.LogGroupClass {
			return nil, fmt.Errorf("logGroupClass is %s and cannot change to %s: AWS has no call for it; name another group, or say %s in the spec",
				class, g.want.LogGroupClass, class)
		}
		if g.want.KMSKeyID != nil {
			diffs := reconcile.Compare("kmsKeyId", reconcile.OrNil(aws.ToString(was.KmsKeyId)), reconcile.OrNil(*g.want.KMSKeyID))
			if *g.want.KMSKeyID == "" {
				step("logs:DisassociateKmsKey", "take the key off", diffs, g.disassociate)
			} else {
				step("logs:AssociateKmsKey", "set the key of", diffs, g.associate)
			}
		}
		tagging, err := g.env.Tags(g.want.Tags).Steps(g.ID(), live.tags, reconcile.TagCalls{
			Tag: "logs:TagResource", Put: func(ctx context.Context, tags map[string]string) error {
				_, err := g.api.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: g.arn(), Tags: tags})
				return err
			},
			Untag: "logs:UntagResource", Remove: func(ctx context.Context, keys []string) error {
				_, err := g.api.UntagResource(ctx, &cloudwatchlogs.UntagResourceInput{ResourceArn: g.arn(), TagKeys: keys})
				return err
			},
		})
		if err != nil {
			return nil, err
		}
		for _, s := range tagging {
			s.Do = g.patiently(s.Do)
			steps = append(steps, s)
		}
	}

	// AWS has no number for "never": the retention is there or it is not.
	delivery := g.want.LogGroupClass == string(types.LogGroupClassDelivery) || was.LogGroupClass == types.LogGroupClassDelivery
	if days := g.want.RetentionInDays; delivery && days != nil && *days != spec.DeliveryRetention {
		return nil, fmt.Errorf("retentionInDays is %d: a group of the class DELIVERY keeps its events for %d days, and AWS has no call to change that; say %d, or leave it out",
			*days, spec.DeliveryRetention, spec.DeliveryRetention)
	}
	if days := g.want.RetentionInDays; days != nil && !delivery {
		var before, after any
		if was.RetentionInDays != nil {
			before = *was.RetentionInDays
		}
		if *days != 0 {
			after = *days
		}
		diffs := reconcile.Compare("retentionInDays", before, after)
		if *days == 0 {
			step("logs:DeleteRetentionPolicy", "remove the retention of", diffs, g.deleteRetention)
		} else {
			step("logs:PutRetentionPolicy", "set the retention of", diffs, g.putRetention)
		}
	}
	return steps, nil
}

// busyBudget covers OperationAborted, which CloudWatch Logs answers while
// another change of the group, its deletion a moment ago among them, is under
// way.
const busyBudget = time.Minute

func (g *LogGroup) patiently(do func(context.Context) error) func(context.Context) error {
	passing := func(err error) bool { return awsx.Code(err) == "OperationAbortedException" }
	return func(ctx context.Context) error {
		return awsx.Patiently(ctx, g.env.Pause, busyBudget, passing, do)
	}
}

func (g *LogGroup) create(ctx context.Context) error {
	in := &cloudwatchlogs.CreateLogGroupInput{
		LogGroupName:  &g.want.Name,
		LogGroupClass: types.LogGroupClass(g.want.LogGroupClass),
		Tags:          g.env.Tags(g.want.Tags).Create(),
	}
	if aws.ToString(g.want.KMSKeyID) != "" {
		in.KmsKeyId = g.want.KMSKeyID
	}
	_, err := g.api.CreateLogGroup(ctx, in)
	return err
}

func (g *LogGroup) associate(ctx context.Context) error {
	_, err := g.api.AssociateKmsKey(ctx, &cloudwatchlogs.AssociateKmsKeyInput{LogGroupName: &g.want.Name, KmsKeyId: g.want.KMSKeyID})
	return err
}

func (g *LogGroup) disassociate(ctx context.Context) error {
	_, err := g.api.DisassociateKmsKey(ctx, &cloudwatchlogs.DisassociateKmsKeyInput{LogGroupName: &g.want.Name})
	return err
}

func (g *LogGroup) putRetention(ctx context.Context) error {
	_, err := g.api.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{
		LogGroupName: &g.want.Name, RetentionInDays: g.want.RetentionInDays,
	})
	return err
}

func (g *LogGroup) deleteRetention(ctx context.Context) error {
	_, err := g.api.DeleteRetentionPolicy(ctx, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: &g.want.Name})
	return err
}
