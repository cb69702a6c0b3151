package stack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	tagging "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/iam"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// regions are where the tagging API lists what the spec declares: IAM's policies
// in one region only.
func regions(s *spec.Spec) []string {
	if home := iam.GlobalRegion(s.Partition); home != s.Region && len(s.IAM.Policies)+len(s.IAM.OIDCProviders) > 0 {
		return []string{s.Region, home}
	}
	return []string{s.Region}
}

// tagged asks the tagging API for the ARNs of what carries a tag. It knows
// neither users nor roles.
func tagged(ctx context.Context, cfg aws.Config, t tag, regions ...string) ([]string, error) {
	found := make([][]string, len(regions))
	var reads awsx.Reads
	for i, region := range regions {
		reads.Go(func() error {
			api := tagging.NewFromConfig(cfg, func(o *tagging.Options) { o.Region = region })
			pages := tagging.NewGetResourcesPaginator(api, &tagging.GetResourcesInput{
				TagFilters: []types.TagFilter{{Key: &t.key, Values: []string{t.value}}},
			})
			for pages.HasMorePages() {
				page, err := pages.NextPage(ctx)
				if err != nil {
					return fmt.Errorf("look in %s for what carries %s: %w", region, t, awsx.Clean(err))
				}
				for _, r := range page.ResourceTagMappingList {
					found[i] = append(found[i], aws.ToString(r.ResourceARN))
				}
			}
			return nil
		})
	}
	err := reads.Wait()
	return slices.Concat(found...), err
}

// CheckAbsence asks a second witness where all of a stack seems absent: an
// endpoint that has lost its account answers so too, and the run would make
// everything a second time. The tagging API is that witness. Where it says that
// some of it is there, or where it cannot be asked, there is an error
// and no plan. It is not asked where anything of the stack was found, so a run
// with nothing to do has no call for it.
func (s *Stack) CheckAbsence(look *reconcile.Run) error {
	absent := look.Absent()
	if len(absent) < 2 {
		return nil
	}
	arns, err := s.marked()
	switch {
	case hasNone(err):
		return nil
	case err != nil:
		return fmt.Errorf("nothing of %s was found, and that cannot be made sure of, so nothing was written: %w", s.Spec.Stack(), err)
	}
	missing := make(map[spec.ID]bool, len(absent))
	for _, id := range absent {
		missing[id] = true
	}
	listed := make(map[string]bool, len(arns))
	for _, arn := range arns {
		listed[arn] = true
	}
	var there []string
	for _, r := range s.Spec.Resources() {
		if arn := s.witnessed(r); missing[r.ID()] && listed[arn] {
			there = append(there, arn)
		}
	}
	if len(there) == 0 {
		return nil
	}
	slices.Sort(there)
	return fmt.Errorf("aws contradicts itself, so nothing was written: none of the %d resources was found, and yet tag:GetResources lists with the mark of %s: %s; "+
		"check that the endpoint and the credentials are those of the account. After a deletion the list lags for some minutes: then run again later",
		len(absent), s.Spec.Stack(), strings.Join(there, ", "))
}

// hasNone says that an endpoint has no tagging API, as some that stand in for
// AWS: it contradicts nobody.
func hasNone(err error) bool {
	if awsx.UnknownCall(err) {
		return true
	}
	r, ok := errors.AsType[*awshttp.ResponseError](err)
	return ok && (r.HTTPStatusCode() == http.StatusNotFound || r.HTTPStatusCode() == http.StatusNotImplemented)
}

// witnessed is the ARN under which the tagging API lists a resource for as long
// as it is there, or "". A cluster that was deleted stays discoverable as
// inactive (API_DeleteCluster).
func (s *Stack) witnessed(r spec.Resource) string {
	path := ""
	switch r := r.(type) {
	case *spec.ECSCluster:
		return ""
	case *spec.IAMPolicy:
		path = r.Path
	}
	return r.ID().Kind.ARN(r.ID().Name, path, spec.Identity{Account: s.Spec.Account, Partition: s.Spec.Partition, Region: s.Spec.Region})
}

// First says whether a run would be the stack's first in the account, as far
// as AWS tells: nothing that was looked at carries its mark, and neither does
// anything else.
func (s *Stack) First(look *reconcile.Run) bool {
	if look.Marked() {
		return false
	}
	arns, err := s.marked()
	return err != nil || len(arns) == 0
}
