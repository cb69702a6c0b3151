package stack

import (
	"slices"
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
	return slices.DeleteFunc(n.List, func(p reconcile.Permission) bool { return !slices.Contains(purposes, p.For) })
}
