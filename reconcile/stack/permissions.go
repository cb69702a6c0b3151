package stack

import (
	"slices"
	"strings"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/iam"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sink"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Permissions are what IAM has to allow for a spec to be looked at, written and
// deleted. AWS is not asked.
func Permissions(s *spec.Spec, purposes ...reconcile.Purpose) []reconcile.Permission {
	env := reconcile.Env{Account: s.Account, Region: s.Region, Partition: s.Partition, Stack: s.Stack(), Now: time.Now}
	n := reconcile.Permissions{On: []string{"*"}}
	n.Read("tag:GetResources") // see CheckAbsence
	n.List = append(n.List, iam.Permissions(s.IAM)...)
	if a, err := iam.NewAssertions(s); err == nil { // what is wrong with a policy is told where it is compared
		n.List = append(n.List, a.Permissions()...)
	}
	for _, r := range resources(&place{}, env, s, iam.Keys{GitHub: &sink.GitHub{}}, nil) {
		n.List = append(n.List, r.Permissions()...)
	}
	if l := s.Lease; l.Bucket != "" {
		n.On = []string{"arn:" + s.Partition + ":s3:::" + l.Bucket + "/" + l.Key}
		n.Write("s3:GetObject", "s3:PutObject")
	}
	if slices.Contains(purposes, reconcile.Deleting) {
		n.List = append(n.List, orphaned(env)...)
	}
	return slices.DeleteFunc(n.List, func(p reconcile.Permission) bool { return !slices.Contains(purposes, p.For) })
}

// orphaned are what is needed to delete what has left the spec: of whatever
// name, if it carries the stack's mark. What looks for that, and whether it is
// gone, is about what carries none. Of buckets there is nothing, since IAM does
// not know their tags, and any bucket is too many.
func orphaned(env reconcile.Env) []reconcile.Permission {
	any := spec.Spec{
		Logs: spec.Logs{LogGroups: []spec.LogsLogGroup{{Name: "*"}}},
		ECR:  spec.ECR{Repositories: []spec.ECRRepository{{Name: "*"}}},
		IAM: spec.IAM{
			OIDCProviders: []spec.IAMOIDCProvider{{URL: "*"}}, Policies: []spec.IAMPolicy{{Name: "*"}}, Roles: []spec.IAMRole{{Name: "*"}},
			Users: []spec.IAMUser{{Name: "*", AccessKey: &spec.IAMAccessKey{}}},
		},
		ECS: spec.ECS{Clusters: []spec.ECSCluster{{Name: "*"}}, TaskDefinitions: []spec.ECSTaskDefinition{{Family: "*"}}},
	}
	// What looks for names beside what the kinds look for; see inventory.
	listing := reconcile.Permissions{On: []string{"*"}}
	listing.Also(reconcile.Deleting, "s3:ListBuckets", "s3:ListAllMyBuckets")
	listing.Delete("ecs:ListClusters", "ecs:ListTaskDefinitionFamilies")
	listing.On = []string{"arn:" + env.Partition + ":s3:::*"} // whose a bucket is, its tags say
	listing.Delete("s3:GetBucketTagging")
	all := listing.List
	for _, r := range resources(&place{}, env, &any, iam.Keys{}, nil) {
		for _, p := range r.Permissions() {
			// Groups have no tags; what IAM knows no resource of has none either.
			if on := p.On[0]; p.For == reconcile.Deleting && on != "*" && !strings.Contains(on, ":group/") {
				p.If = reconcile.Condition{Operator: "StringEquals", Key: "aws:ResourceTag/" + reconcile.Mark, Values: []string{env.Stack}}
			}
			if p.For != reconcile.Writing {
				all = append(all, p)
			}
		}
	}
	return all
}
