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
	DeleteLogGroup(context.Context, *cloudwatchlogs.DeleteLogGroupInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DeleteLogGroupOutput, error)
	DescribeLogGroups(context.Context, *cloudwatchlogs.DescribeLogGroupsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DescribeLogGroupsOutput, error)
	PutRetentionPolicy(context.Context, *cloudwatchlogs.PutRetentionPolicyInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutRetentionPolicyOutput, error)
	PutLogGroupDeletionProtection(context.Context, *cloudwatchlogs.PutLogGroupDeletionProtectionInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutLogGroupDeletionProtectionOutput, error)
	DeleteRetentionPolicy(context.Context, *cloudwatchlogs.DeleteRetentionPolicyInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DeleteRetentionPolicyOutput, error)
	AssociateKmsKey(context.Context, *cloudwatchlogs.AssociateKmsKeyInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.AssociateKmsKeyOutput, error)
	DisassociateKmsKey(context.Context, *cloudwatchlogs.DisassociateKmsKeyInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DisassociateKmsKeyOutput, error)
	ListTagsForResource(context.Context, *cloudwatchlogs.ListTagsForResourceInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.ListTagsForResourceOutput, error)
	TagResource(context.Context, *cloudwatchlogs.TagResourceInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.TagResourceOutput, error)
	UntagResource(context.Context, *cloudwatchlogs.UntagResourceInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.UntagResourceOutput, error)
}

var _ API = (*cloudwatchlogs.Client)(nil)

// Live is what CloudWatch Logs has of a log group.
type Live = reconcile.Live[spec.LogsLogGroup, reconcile.NoFacts]

// LogGroups keeps the log groups of an account and region.
type LogGroups struct {
	API API
	Env reconcile.Env
}

var _ reconcile.Kind[spec.LogsLogGroup, reconcile.NoFacts] = LogGroups{}

// Describe reads a log group. One call answers with all that there is but the
// tags.
func (g LogGroups) Describe(ctx context.Context, want spec.LogsLogGroup, _ bool) (Live, error) {
	var live Live
	var tags map[string]string
	var reads awsx.Reads
	reads.Go(func() error {
		// The prefix answers siblings too, in order of name, so that the exact
		// name comes first.
		pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(g.API, &cloudwatchlogs.DescribeLogGroupsInput{
			LogGroupNamePrefix: &want.Name,
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
				if aws.ToString(group.LogGroupName) == want.Name {
					live.Exists, live.Is = true, logGroup(group)
					return nil
				}
			}
		}
		return nil
	})
	reads.Go(func() error {
		out, err := g.API.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: g.Env.ARN(want.ID(), "")})
		if awsx.Code(err) == "ResourceNotFoundException" {
			return nil
		}
		if err == nil {
			tags = out.Tags
		}
		return err
	})
	if err := reads.Wait(); err != nil {
		return Live{}, err
	}
	if live.Exists { // the tags of a group deleted a moment ago may still be there
		live.Is.Tags = tags
	}
	return live, nil
}

// logGroup is a group as a spec would declare it. AWS has no number for
// "never": the retention is there or it is not.
func logGroup(group types.LogGroup) spec.LogsLogGroup {
	return spec.LogsLogGroup{
		Name:                      aws.ToString(group.LogGroupName),
		RetentionInDays:           aws.Int32(aws.ToInt32(group.RetentionInDays)),
		KMSKeyID:                  aws.String(aws.ToString(group.KmsKeyId)),
		LogGroupClass:             string(group.LogGroupClass),
		DeletionProtectionEnabled: aws.Bool(aws.ToBool(group.DeletionProtectionEnabled)),
	}
}

// Complete has nothing to fill in.
func (g LogGroups) Complete(_ Live, want spec.LogsLogGroup) (spec.LogsLogGroup, error) {
	return want, nil
}

const delivery = string(types.LogGroupClassDelivery)

// Normal is a log group in the form in which log groups are compared. No
// retention and no protection are what a new group has.
func (g LogGroups) Normal(group spec.LogsLogGroup) (map[string]any, error) {
	tree := spec.Tree(group)
	switch {
	case group.LogGroupClass == delivery:
		// AWS fixes it, whatever the group answers.
		if days := group.RetentionInDays; days == nil || *days == 0 || *days == spec.DeliveryRetention {
			delete(tree, "retentionInDays")
		}
	case aws.ToInt32(group.RetentionInDays) == 0:
		delete(tree, "retentionInDays")
	}
	if !aws.ToBool(group.DeletionProtectionEnabled) {
		delete(tree, "deletionProtectionEnabled")
	}
	return tree, nil
}

// Brief leaves out what a new log group has.
func (g LogGroups) Brief(group spec.LogsLogGroup) spec.LogsLogGroup {
	if aws.ToInt32(group.RetentionInDays) == 0 || group.LogGroupClass == delivery {
		group.RetentionInDays = nil
	}
	if aws.ToString(group.KMSKeyID) == "" {
		group.KMSKeyID = nil
	}
	if group.LogGroupClass == string(types.LogGroupClassStandard) {
		group.LogGroupClass = ""
	}
	if !aws.ToBool(group.DeletionProtectionEnabled) {
		group.DeletionProtectionEnabled = nil
	}
	return group
}

// Diff lists the steps from live to want.
func (g LogGroups) Diff(live Live, want spec.LogsLogGroup, c reconcile.Changes) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	do := func(write func(context.Context, spec.LogsLogGroup) error) func(context.Context) error {
		return g.patiently(func(ctx context.Context) error { return write(ctx, want) })
	}
	if !live.Exists {
		steps.Add("logs:CreateLogGroup", "create",
			append(c.Of("name", "logGroupClass", "kmsKeyId", "deletionProtectionEnabled"), c.Tags.Lines...),
			g.patiently(func(ctx context.Context) error { return g.create(ctx, want, c.Tags.Put) }))
	} else {
		if class := live.Is.LogGroupClass; class != "" && len(c.Of("logGroupClass")) > 0 {
			return nil, fmt.Errorf("logGroupClass is %s and cannot change to %s: AWS has no call for it; name another group, or say %s in the spec",
				class, want.LogGroupClass, class)
		}
		if aws.ToString(want.KMSKeyID) == "" {
			steps.Add("logs:DisassociateKmsKey", "take the key off", c.Of("kmsKeyId"), do(g.disassociate))
		} else {
			steps.Add("logs:AssociateKmsKey", "set the key of", c.Of("kmsKeyId"), do(g.associate))
		}
		steps.Add("logs:PutLogGroupDeletionProtection", "set the deletion protection of", c.Of("deletionProtectionEnabled"), do(g.protect))
	}
	if live.Is.LogGroupClass == delivery && len(c.Of("retentionInDays")) > 0 {
		return nil, fmt.Errorf("retentionInDays is %d: a group of the class DELIVERY keeps its events for %d days, and AWS has no call to change that; say %d, or leave it out",
			aws.ToInt32(want.RetentionInDays), spec.DeliveryRetention, spec.DeliveryRetention)
	}
	if aws.ToInt32(want.RetentionInDays) == 0 {
		steps.Add("logs:DeleteRetentionPolicy", "remove the retention of", c.Of("retentionInDays"), do(g.deleteRetention))
	} else {
		steps.Add("logs:PutRetentionPolicy", "set the retention of", c.Of("retentionInDays"), do(g.putRetention))
	}
	if live.Exists {
		steps.Tag(c.Tags,
			"logs:TagResource", g.patiently(func(ctx context.Context) error {
				_, err := g.API.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: g.Env.ARN(want.ID(), ""), Tags: c.Tags.Put})
				return err
			}),
			"logs:UntagResource", g.patiently(func(ctx context.Context) error {
				_, err := g.API.UntagResource(ctx, &cloudwatchlogs.UntagResourceInput{ResourceArn: g.Env.ARN(want.ID(), ""), TagKeys: c.Tags.Remove})
				return err
			}))
	}
	return steps.List, nil
}

// Permissions are what a log group's calls need. IAM wants ":*" behind the
// group's ARN, except where tags are concerned.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
func (g LogGroups) Permissions(want spec.LogsLogGroup) []reconcile.Permission {
	group := *g.Env.ARN(want.ID(), "")
	p := reconcile.Permissions{On: []string{"*"}}
	p.Read("logs:DescribeLogGroups")

	p.On = []string{group}
	p.Read("logs:ListTagsForResource")
	p.Write("logs:TagResource", "logs:UntagResource")
	p.On = []string{group, group + ":*"} // which of the two a create is held to AWS does not say
	p.Also(reconcile.Writing, "logs:CreateLogGroup", "logs:TagResource")

	p.On = []string{group + ":*"}
	p.Write("logs:CreateLogGroup")
	p.Delete("logs:DeleteLogGroup")
	if days := want.RetentionInDays; days != nil {
		if *days == 0 {
			p.Write("logs:DeleteRetentionPolicy")
		} else {
			p.Write("logs:PutRetentionPolicy")
		}
	}
	if key := want.KMSKeyID; key != nil {
		if *key == "" {
			p.Write("logs:DisassociateKmsKey")
		} else {
			p.Write("logs:AssociateKmsKey")
		}
	}
	if want.DeletionProtectionEnabled != nil {
		p.Write("logs:PutLogGroupDeletionProtection")
	}
	return p.List
}

// busyBudget covers OperationAborted, which CloudWatch Logs answers while
// another change of the group, its deletion a moment ago among them, is under
// way.
const busyBudget = time.Minute

func (g LogGroups) patiently(do func(context.Context) error) func(context.Context) error {
	passing := func(err error) bool { return awsx.Code(err) == "OperationAbortedException" }
	return func(ctx context.Context) error {
		return awsx.Patiently(ctx, g.Env.Pause, busyBudget, passing, do)
	}
}

func (g LogGroups) create(ctx context.Context, want spec.LogsLogGroup, tags map[string]string) error {
	in := &cloudwatchlogs.CreateLogGroupInput{
		LogGroupName:              &want.Name,
		LogGroupClass:             types.LogGroupClass(want.LogGroupClass),
		DeletionProtectionEnabled: want.DeletionProtectionEnabled,
		Tags:                      tags,
	}
	if aws.ToString(want.KMSKeyID) != "" {
		in.KmsKeyId = want.KMSKeyID
	}
	_, err := g.API.CreateLogGroup(ctx, in)
	return err
}

func (g LogGroups) associate(ctx context.Context, want spec.LogsLogGroup) error {
	_, err := g.API.AssociateKmsKey(ctx, &cloudwatchlogs.AssociateKmsKeyInput{LogGroupName: &want.Name, KmsKeyId: want.KMSKeyID})
	return err
}

func (g LogGroups) disassociate(ctx context.Context, want spec.LogsLogGroup) error {
	_, err := g.API.DisassociateKmsKey(ctx, &cloudwatchlogs.DisassociateKmsKeyInput{LogGroupName: &want.Name})
	return err
}

func (g LogGroups) protect(ctx context.Context, want spec.LogsLogGroup) error {
	_, err := g.API.PutLogGroupDeletionProtection(ctx, &cloudwatchlogs.PutLogGroupDeletionProtectionInput{
		LogGroupIdentifier: &want.Name, DeletionProtectionEnabled: want.DeletionProtectionEnabled,
	})
	return err
}

func (g LogGroups) putRetention(ctx context.Context, want spec.LogsLogGroup) error {
	_, err := g.API.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{
		LogGroupName: &want.Name, RetentionInDays: want.RetentionInDays,
	})
	return err
}

func (g LogGroups) deleteRetention(ctx context.Context, want spec.LogsLogGroup) error {
	_, err := g.API.DeleteRetentionPolicy(ctx, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: &want.Name})
	return err
}

// Tags reads the tags that a log group has now.
func (g LogGroups) Tags(ctx context.Context, want spec.LogsLogGroup) (map[string]string, error) {
	out, err := g.API.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: g.Env.ARN(want.ID(), "")})
	switch {
	case awsx.Code(err) == "ResourceNotFoundException":
		return nil, nil
	case err != nil:
		return nil, err
	case out.Tags == nil:
		return map[string]string{}, nil
	}
	return out.Tags, nil
}

// Holders tells of the protection that AWS has for the group itself, unless the
// spec turns it off. Its events go with it, as Terraform's do.
func (g LogGroups) Holders(_ context.Context, live Live, want spec.LogsLogGroup) ([]reconcile.Holder, error) {
	if !aws.ToBool(live.Is.DeletionProtectionEnabled) || unprotected(want) {
		return nil, nil
	}
	return []reconcile.Holder{{
		What: "its deletionProtectionEnabled is true",
		Do:   "say deletionProtectionEnabled: false of it in the spec, or turn it off by hand",
	}}, nil
}

func unprotected(want spec.LogsLogGroup) bool {
	return want.DeletionProtectionEnabled != nil && !*want.DeletionProtectionEnabled
}

// Delete lists the steps that take a log group away.
func (g LogGroups) Delete(live Live, want spec.LogsLogGroup) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	gone := func(write func(context.Context, spec.LogsLogGroup) error) func(context.Context) error {
		return g.patiently(func(ctx context.Context) error {
			err := write(ctx, want)
			if awsx.Code(err) == "ResourceNotFoundException" { // the answer was lost, and the call made again
				return nil
			}
			return err
		})
	}
	if aws.ToBool(live.Is.DeletionProtectionEnabled) && unprotected(want) {
		steps.Add("logs:PutLogGroupDeletionProtection", "set the deletion protection of",
			[]reconcile.Diff{{Path: "deletionProtectionEnabled", Before: true, After: false}}, gone(g.protect))
	}
	steps.Add("logs:DeleteLogGroup", "delete", []reconcile.Diff{{Path: "name", Before: want.Name}}, gone(g.delete))
	return steps.List, nil
}

func (g LogGroups) delete(ctx context.Context, want spec.LogsLogGroup) error {
	_, err := g.API.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: &want.Name})
	return err
}
