package ecs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"golang.org/x/sync/errgroup"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Families deletes task definitions. To a stack that keeps one, a family is its
// latest revision; to one that goes, it is every revision that carries the
// stack's mark: the active ones, and those that are inactive already, as a
// deletion that was cut off leaves them. Revisions of others stay.
type Families struct{ TaskDefinitions }

var _ reconcile.Kind[spec.ECSTaskDefinition, Revision] = Families{}

// Describe reads the revisions of a family that carry the mark, and answers
// with the newest of them. Without any there is nothing that could go.
func (f Families) Describe(ctx context.Context, want spec.ECSTaskDefinition, _ bool) (liveTaskDefinition, error) {
	var active, inactive []liveTaskDefinition
	var reads awsx.Reads
	reads.Go(func() (err error) {
		active, err = f.revisions(ctx, want.Family, types.TaskDefinitionStatusActive)
		return err
	})
	reads.Go(func() (err error) {
		inactive, err = f.revisions(ctx, want.Family, types.TaskDefinitionStatusInactive)
		return err
	})
	if err := reads.Wait(); err != nil {
		return liveTaskDefinition{}, err
	}
	if len(active)+len(inactive) == 0 {
		return liveTaskDefinition{}, nil
	}
	live := slices.Concat(inactive, active)[len(inactive)+len(active)-1]
	live.Facts.Active, live.Facts.Inactive = arns(active), arns(inactive)
	live.Is.Tags = maps.Clone(live.Is.Tags)
	// ECS changes no tag of what is inactive, so that a protection there could
	// never be taken away. One of any active revision holds for all.
	delete(live.Is.Tags, reconcile.Protect)
	for _, r := range active {
		if reconcile.Protected(r.Is.Tags) {
			live.Is.Tags[reconcile.Protect] = r.Is.Tags[reconcile.Protect]
		}
	}
	return live, nil
}

func arns(revisions []liveTaskDefinition) []string {
	var all []string
	for _, r := range revisions {
		all = append(all, r.Facts.ARN)
	}
	return all
}

// readAtATime is how many revisions are read side by side.
const readAtATime = 8

// revisions reads a family's revisions of one status that carry the mark, by
// number.
func (f Families) revisions(ctx context.Context, family string, status types.TaskDefinitionStatus) ([]liveTaskDefinition, error) {
	var names []string
	pages := ecs.NewListTaskDefinitionsPaginator(f.API, &ecs.ListTaskDefinitionsInput{FamilyPrefix: &family, Status: status})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		if page.TaskDefinitionArns == nil {
			return nil, awsx.Hollow("ecs:ListTaskDefinitions", "taskDefinitionArns", page.ResultMetadata)
		}
		for _, arn := range page.TaskDefinitionArns {
			// Despite its name the prefix is the whole family. Not everywhere.
			if name, _ := splitRevision(arn); name == family {
				names = append(names, arn)
			}
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		_, m := splitRevision(a)
		_, n := splitRevision(b)
		return cmp.Compare(m, n)
	})
	found := make([]*liveTaskDefinition, len(names))
	var reads errgroup.Group
	reads.SetLimit(readAtATime)
	for i, arn := range names {
		reads.Go(func() (err error) {
			found[i], err = f.revision(ctx, arn, status)
			return err
		})
	}
	if err := reads.Wait(); err != nil {
		return nil, err
	}
	var all []liveTaskDefinition
	for _, r := range found {
		if r != nil && f.Env.Owns(r.Is.Tags) {
			all = append(all, *r)
		}
	}
	return all, nil
}

// revision reads one, nil where it has another status by now.
func (f Families) revision(ctx context.Context, arn string, status types.TaskDefinitionStatus) (*liveTaskDefinition, error) {
	out, err := f.API.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{
		TaskDefinition: &arn, Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags},
	})
	if unknown(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if out.TaskDefinition == nil {
		return nil, awsx.Hollow("ecs:DescribeTaskDefinition", "taskDefinition", out.ResultMetadata)
	}
	if out.TaskDefinition.Status != status {
		return nil, nil
	}
	live := f.live(*out.TaskDefinition)
	live.Is.Tags = tags(out.Tags)
	return &live, nil
}

// splitRevision takes a family and a number out of a revision's ARN.
func splitRevision(arn string) (family string, number int) {
	family, n, _ := strings.Cut(arn[strings.LastIndex(arn, "/")+1:], ":")
	number, _ = strconv.Atoi(n)
	return family, number
}

// Tags reads the tags that the family has now, as Describe would tell them. The
// latest active revision tells most often.
func (f Families) Tags(ctx context.Context, want spec.ECSTaskDefinition) (map[string]string, error) {
	if latest, err := f.TaskDefinitions.Tags(ctx, want); err != nil || f.Env.Owns(latest) {
		return latest, err
	}
	live, err := f.Describe(ctx, want, false)
	if err != nil || !live.Exists {
		return nil, err
	}
	return live.Is.Tags, nil
}

// Tags reads the tags of the latest active revision.
func (t TaskDefinitions) Tags(ctx context.Context, want spec.ECSTaskDefinition) (map[string]string, error) {
	live, err := t.Describe(ctx, want, false)
	if err != nil || !live.Exists {
		return nil, err
	}
	return live.Is.Tags, nil
}

// Holders finds none: tasks and services that were started from a revision go
// on without it, and its cluster is what they keep.
func (t TaskDefinitions) Holders(context.Context, liveTaskDefinition, spec.ECSTaskDefinition) ([]reconcile.Holder, error) {
	return nil, nil
}

// Delete lists the steps that take revisions away: ECS deletes only what is
// inactive.
func (t TaskDefinitions) Delete(live liveTaskDefinition, want spec.ECSTaskDefinition) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	all := slices.Concat(live.Facts.Inactive, live.Facts.Active)
	var revisions []reconcile.Diff
	for _, arn := range live.Facts.Active {
		_, n := splitRevision(arn)
		revisions = append(revisions, reconcile.Diff{Path: fmt.Sprintf("revisions[%d]", n), Before: "ACTIVE"})
	}
	steps.Add("ecs:DeregisterTaskDefinition", "deregister the revisions of", revisions, func(ctx context.Context) error {
		for _, arn := range live.Facts.Active {
			if err := t.deregister(ctx, arn); err != nil {
				return err
			}
		}
		return nil
	})
	steps.Add("ecs:DeleteTaskDefinitions", "delete", []reconcile.Diff{{Path: "family", Before: want.Family}}, func(ctx context.Context) error {
		for chunk := range slices.Chunk(all, deletedAtATime) {
			if err := t.delete(ctx, chunk); err != nil {
				return err
			}
		}
		return nil
	})
	return steps.List, nil
}

// deregister takes one that is not active any more for a success: the answer
// was lost, and the call made again.
func (t TaskDefinitions) deregister(ctx context.Context, arn string) error {
	_, err := t.API.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: &arn})
	if code := awsx.Code(err); code != "ClientException" && code != "InvalidParameterException" {
		return err
	}
	out, again := t.API.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &arn})
	if unknown(again) || again == nil && out.TaskDefinition != nil && out.TaskDefinition.Status != types.TaskDefinitionStatusActive {
		return nil
	}
	return err
}

// deletedAtATime is the most that DeleteTaskDefinitions takes.
const deletedAtATime = 10

// delete looks through the answer, which is a success whatever became of each.
func (t TaskDefinitions) delete(ctx context.Context, revisions []string) error {
	out, err := t.API.DeleteTaskDefinitions(ctx, &ecs.DeleteTaskDefinitionsInput{TaskDefinitions: revisions})
	if err != nil {
		return err
	}
	if len(out.TaskDefinitions)+len(out.Failures) < len(revisions) {
		return awsx.Hollow("ecs:DeleteTaskDefinitions", fmt.Sprintf("word on each of the %d revisions", len(revisions)), out.ResultMetadata)
	}
	var errs []error
	for _, failure := range out.Failures {
		reason := aws.ToString(failure.Reason)
		if strings.Contains(reason, "does not exist") {
			continue
		}
		errs = append(errs, fmt.Errorf("ecs does not delete %s: %s %s", aws.ToString(failure.Arn), reason, aws.ToString(failure.Detail)))
	}
	return errors.Join(errs...)
}
