package stack

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/ecr"
	"github.com/churn-reconcile/churn-reconcile/reconcile/ecs"
	"github.com/churn-reconcile/churn-reconcile/reconcile/iam"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// An inventory finds what carries a tag, such as the stack's mark. Whether
// something does is what its own service says of it. The tagging API only points:
// it lags, and it knows neither users nor roles. IAM is listed.
type inventory struct {
	at     *place
	env    reconcile.Env
	census *iam.Census
	tag    tag
}

// A tag is what is looked for.
type tag struct{ key, value string }

func (t tag) String() string {
	if t.key == reconcile.Mark {
		return "the mark of " + t.value
	}
	return "the tag " + t.key + "=" + t.value
}

// on says that a resource's tags are with it.
func (t tag) on(tags map[string]string) bool {
	value, has := tags[t.key]
	return has && value == t.value
}

// fewPolicies is how many policies are asked for their tags one by one, of which
// IAM's pages do not tell. In an account with more the tagging API points.
const fewPolicies = 100

// orphans lists what carries the tag and is not in the spec.
func (v *inventory) orphans(ctx context.Context, s *spec.Spec) ([]iam.Entity, error) {
	return v.tagged(ctx, func(id spec.ID) bool {
		return slices.ContainsFunc(s.Resources(), func(r spec.Resource) bool {
			return r.ID().Kind == id.Kind && id.Kind.SameName(r.ID().Name, id.Name)
		})
	})
}

// tagged lists what carries the tag, but for what is left out.
func (v *inventory) tagged(ctx context.Context, leaves func(spec.ID) bool) ([]iam.Entity, error) {
	var entities []iam.Entity
	var pointed, listed []spec.ID
	var reads awsx.Reads
	reads.Go(func() (err error) {
		entities, err = v.census.Entities(ctx)
		return v.failed(err)
	})
	reads.Go(func() (err error) {
		if pointed, err = v.pointed(ctx, v.env.Region); err != nil && v.mayBeBlind() {
			err = nil
		}
		return err
	})
	if err := reads.Wait(); err != nil {
		return nil, err
	}
	if v.mayBeBlind() {
		var err error
		if listed, err = v.listed(ctx, pointed); err != nil {
			return nil, v.failed(err)
		}
	}
	for _, id := range slices.Concat(pointed, listed) {
		entities = append(entities, iam.Entity{ID: id})
	}
	entities = slices.DeleteFunc(entities, func(e iam.Entity) bool {
		return leaves(e.ID) || e.Tags != nil && !v.tag.on(e.Tags)
	})
	if err := v.pickPolicies(ctx, &entities); err != nil {
		return nil, err
	}
	return v.owned(ctx, entities)
}

func (v *inventory) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("find what carries %s: %w", v.tag, awsx.Clean(err))
}

// mayBeBlind says that the endpoint is not AWS's: some that stand in for it have
// no tagging API, or one that does not know every service.
func (v *inventory) mayBeBlind() bool { return !atAWS(v.at.cfg) }

// pointed asks the tagging API.
func (v *inventory) pointed(ctx context.Context, region string) ([]spec.ID, error) {
	arns, err := tagged(ctx, v.at.cfg, v.tag, region)
	var ids []spec.ID
	for _, arn := range arns {
		id, _, ok := spec.Located(arn, spec.Identity{Account: v.env.Account, Partition: v.env.Partition, Region: v.env.Region})
		if ok && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// pickPolicies leaves out policies that the tagging API does not point to, where
// there are many.
func (v *inventory) pickPolicies(ctx context.Context, entities *[]iam.Entity) error {
	isPolicy := func(e iam.Entity) bool { return e.ID.Kind == spec.Policy }
	n := 0
	for _, e := range *entities {
		if isPolicy(e) {
			n++
		}
	}
	if n <= fewPolicies || v.mayBeBlind() {
		return nil
	}
	ids, err := v.pointed(ctx, iam.GlobalRegion(v.env.Partition))
	*entities = slices.DeleteFunc(*entities, func(e iam.Entity) bool { return isPolicy(e) && !slices.Contains(ids, e.ID) })
	return err
}

// owned asks of each what its own service says of its mark.
func (v *inventory) owned(ctx context.Context, entities []iam.Entity) ([]iam.Entity, error) {
	slices.SortFunc(entities, func(a, b iam.Entity) int { return spec.Compare(a.ID, b.ID) })
	entities = slices.CompactFunc(entities, func(a, b iam.Entity) bool { return a.ID == b.ID })
	var reads awsx.Reads
	for i, e := range entities {
		if e.Tags != nil {
			continue
		}
		reads.Go(func() (err error) {
			if entities[i].Tags, err = v.tags(ctx, e); err != nil {
				return fmt.Errorf("look whether %s carries %s: %w", e.ID, v.tag, awsx.Clean(err))
			}
			return nil
		})
	}
	err := reads.Wait()
	return slices.DeleteFunc(entities, func(e iam.Entity) bool { return !v.tag.on(e.Tags) }), err
}

func (v *inventory) tags(ctx context.Context, e iam.Entity) (map[string]string, error) {
	name := e.ID.Name
	switch e.ID.Kind {
	case spec.Bucket:
		return v.at.buckets(v.env).Tags(ctx, spec.S3Bucket{Name: name})
	case spec.LogGroup:
		return v.at.logGroups(v.env).Tags(ctx, spec.LogsLogGroup{Name: name})
	case spec.Repository:
		return ecr.NewRepositories(v.at.ecr, v.env, nil).Tags(ctx, spec.ECRRepository{Name: name})
	case spec.Cluster:
		return ecs.NewClusters(v.at.ecs, v.env, nil).Tags(ctx, spec.ECSCluster{Name: name})
	case spec.TaskDefinition:
		if v.tag.key != reconcile.Mark {
			return v.at.taskDefinitions(v.env).Tags(ctx, spec.ECSTaskDefinition{Family: name})
		}
		return v.at.families(v.env).Tags(ctx, spec.ECSTaskDefinition{Family: name})
	case spec.OIDCProvider:
		return iam.NewKinds(v.at.iam, v.env).OIDCProviders.Tags(ctx, spec.IAMOIDCProvider{URL: name})
	case spec.Policy:
		return iam.NewKinds(v.at.iam, v.env).Policies.Tags(ctx, spec.IAMPolicy{Name: name, Path: e.Path})
	}
	return e.Tags, nil
}

// A lister lists the names of what there is of a kind.
type lister func(ctx context.Context, found func(name *string)) error

// listed is what there is of those kinds of which the tagging API pointed to
// nothing.
func (v *inventory) listed(ctx context.Context, pointed []spec.ID) ([]spec.ID, error) {
	listers := map[spec.Kind]lister{
		spec.Bucket: v.buckets, spec.LogGroup: v.logGroups, spec.Repository: v.repositories,
		spec.Cluster: v.clusters, spec.TaskDefinition: v.families,
	}
	var found []spec.ID
	var reads awsx.Reads
	lists := make([][]spec.ID, len(spec.Kinds()))
	for i, kind := range spec.Kinds() {
		list := listers[kind]
		if list == nil || slices.ContainsFunc(pointed, func(id spec.ID) bool { return id.Kind == kind }) {
			continue
		}
		reads.Go(func() error {
			return list(ctx, func(name *string) { lists[i] = append(lists[i], spec.ID{Kind: kind, Name: aws.ToString(name)}) })
		})
	}
	err := reads.Wait()
	for _, list := range lists {
		found = append(found, list...)
	}
	return found, err
}

func (v *inventory) buckets(ctx context.Context, found func(*string)) error {
	pages := awss3.NewListBucketsPaginator(v.at.s3, &awss3.ListBucketsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, b := range page.Buckets {
			found(b.Name)
		}
	}
	return nil
}

func (v *inventory) logGroups(ctx context.Context, found func(*string)) error {
	pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(v.at.logs, &cloudwatchlogs.DescribeLogGroupsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, g := range page.LogGroups {
			found(g.LogGroupName)
		}
	}
	return nil
}

func (v *inventory) repositories(ctx context.Context, found func(*string)) error {
	pages := awsecr.NewDescribeRepositoriesPaginator(v.at.ecr, &awsecr.DescribeRepositoriesInput{RegistryId: &v.env.Account})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, r := range page.Repositories {
			found(r.RepositoryName)
		}
	}
	return nil
}

func (v *inventory) clusters(ctx context.Context, found func(*string)) error {
	pages := awsecs.NewListClustersPaginator(v.at.ecs, &awsecs.ListClustersInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, arn := range page.ClusterArns {
			id, _, ok := spec.Located(arn, spec.Identity{Account: v.env.Account, Partition: v.env.Partition, Region: v.env.Region})
			if ok {
				found(&id.Name)
			}
		}
	}
	return nil
}

func (v *inventory) families(ctx context.Context, found func(*string)) error {
	pages := awsecs.NewListTaskDefinitionFamiliesPaginator(v.at.ecs, &awsecs.ListTaskDefinitionFamiliesInput{
		Status: ecstypes.TaskDefinitionFamilyStatusAll, // a deletion that was cut off leaves inactive revisions
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, family := range page.Families {
			found(&family)
		}
	}
	return nil
}
