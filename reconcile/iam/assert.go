package iam

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Assertions are the access: of a spec, to be decided by all policies of it.
type Assertions struct {
	spec      *spec.Spec
	env       reconcile.Env
	known     known
	resources map[string]*policy.Policy // of buckets and repositories, by ARN
}

// NewAssertions prepares the policies of a spec. AWS is not asked.
func NewAssertions(s *spec.Spec) (*Assertions, error) {
	env := reconcile.Env{Account: s.Account, Region: s.Region, Partition: s.Partition}
	a := &Assertions{s, env, knownOf(env, s.IAM), make(map[string]*policy.Policy)}
	var errs []error
	add := func(id spec.ID, document spec.Document) {
		if !document.Given() || document.Empty() {
			return
		}
		p, err := policy.Compile(id.String(), document)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: policy: %w", id, err))
			return
		}
		a.resources[*env.ARN(id, "")] = p
	}
	for _, b := range s.S3.Buckets {
		add(b.ID(), b.Policy)
	}
	for _, r := range s.ECR.Repositories {
		add(r.ID(), r.Policy)
	}
	for name, text := range managed {
		a.known.documents["arn:"+s.Partition+":iam::aws:policy/"+name] = spec.Document(text)
	}
	return a, errors.Join(errs...)
}

// managed are those of AWS's own policies that a stack of this kind attaches
// and that have not changed for years. A run reads them as they are.
// https://docs.aws.amazon.com/aws-managed-policy/latest/reference/
var managed = map[string]string{
	// v1 of 2015-02-06
	"AdministratorAccess": `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}`,
	// v2 of 2021-09-27
	"AmazonS3FullAccess": `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*", "s3-object-lambda:*"], "Resource": "*"}]}`,
	// v1 of 2017-11-16
	"service-role/AmazonECSTaskExecutionRolePolicy": `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": [
		"ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage",
		"logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"}]}`,
}

// attached are the managed policies that assertions are about, sorted.
func (a *Assertions) attached() []string {
	arns := make(map[string]bool)
	for _, g := range a.principals() {
		for _, of := range append(slices.Clone(g.groups), "") {
			for _, arn := range append(slices.Clone(g.attached), a.known.groups[of].attached...) {
				arns[arn] = true
			}
		}
		if boundary := aws.ToString(g.boundary); boundary != "" {
			arns[boundary] = true
		}
	}
	return slices.Sorted(maps.Keys(arns))
}

// principals are those that assertions are about, with what they are granted.
func (a *Assertions) principals() map[spec.ID]grants {
	asked := make(map[spec.ID]bool)
	for _, s := range a.spec.Assertions {
		asked[s.Principal] = true
	}
	found := make(map[spec.ID]grants)
	for _, u := range a.spec.IAM.Users {
		if asked[u.ID()] {
			found[u.ID()] = userGrants(u)
		}
	}
	for _, r := range a.spec.IAM.Roles {
		if asked[r.ID()] {
			found[r.ID()] = roleGrants(r)
		}
	}
	return found
}

// foreign are the policies that assertions are about and that are not the
// spec's own.
func (a *Assertions) foreign() []string {
	own := knownOf(a.env, a.spec.IAM).documents
	return slices.DeleteFunc(a.attached(), func(arn string) bool { return own[arn].Given() })
}

// Permissions are what Read needs.
func (a *Assertions) Permissions() []reconcile.Permission {
	p := reconcile.Permissions{On: a.foreign()}
	if len(p.On) > 0 {
		p.Read("iam:GetPolicy", "iam:GetPolicyVersion")
	}
	return p.List
}

// Read reads those policies that are not the spec's own. One that cannot be
// read stays as it was.
func (a *Assertions) Read(ctx context.Context, api PolicyAPI, pause awsx.Pause) error {
	arns := a.foreign()
	read := make([]livePolicy, len(arns))
	var reads awsx.Reads
	for i, arn := range arns {
		reads.Go(func() (err error) {
			if read[i], err = describePolicy(ctx, api, pause, arn); awsx.Code(err) == "AccessDenied" {
				return nil
			}
			return err
		})
	}
	err := reads.Wait()
	for i, arn := range arns {
		if read[i].Exists {
			a.known.documents[arn] = read[i].Is.Document
		}
	}
	return err
}

var _ PolicyAPI = (*iam.Client)(nil)

// Decide says which assertions are broken, and which of them cannot be decided,
// in a line each.
func (a *Assertions) Decide() (broken spec.Problems, undecided []string) {
	principals := a.principals()
	sets := make(map[spec.ID]policy.Set, len(principals))
	for id, g := range principals {
		sets[id] = a.set(g)
	}
	for _, s := range a.spec.Assertions {
		path := ""
		for _, r := range a.spec.IAM.Roles {
			if r.ID() == s.Principal {
				path = r.Path
			}
		}
		for _, u := range a.spec.IAM.Users {
			if u.ID() == s.Principal {
				path = u.Path
			}
		}
		scope := policy.Scope{Account: a.spec.Account, Principal: policy.Principal{Type: "AWS", ID: *a.env.ARN(s.Principal, path)}}
		set := sets[s.Principal]
		grant := policy.Grants(scope, set, s.Action, s.On)
		switch {
		case s.Can && grant.Denied != nil:
			broken = append(broken, s.Broken(because(s, *grant.Denied, policy.Evaluate(*grant.Denied, set))))
		case !s.Can && grant.Allowed != nil:
			broken = append(broken, s.Broken(because(s, *grant.Allowed, grant.By)))
		case grant.Why != "":
			undecided = append(undecided, s.Broken("unknown: "+grant.Why).Error())
		}
	}
	return broken, undecided
}

// because names the request that an assertion fails on, where the assertion is
// about several, and what decides about it.
func because(s spec.Assertion, r policy.Request, d policy.Decision) string {
	if r.Action == s.Action && r.Resource == s.On {
		return d.String()
	}
	return fmt.Sprintf("%s on %s: %s", r.Action, r.Resource, d)
}

// set is all that decides about what a principal of the spec asks for.
func (a *Assertions) set(g grants) policy.Set {
	var set policy.Set
	add := func(name string, p *policy.Policy, err error) {
		if err != nil {
			p = policy.Unknown(name, err.Error())
		}
		set.Identity = append(set.Identity, p)
	}
	for _, arn := range slices.Sorted(slices.Values(g.attached)) {
		p, err := a.known.managed(arn)
		add(arn, p, err)
	}
	for _, name := range slices.Sorted(maps.Keys(g.inline)) {
		p, err := policy.Compile(name, g.inline[name])
		add("inline policy "+name, p, err)
	}
	for _, name := range slices.Sorted(slices.Values(g.groups)) {
		policies, err := a.known.group(name)
		set.Identity = append(set.Identity, policies...)
		if err != nil {
			add("group "+name, nil, err)
		}
	}
	if boundary := aws.ToString(g.boundary); boundary != "" {
		p, err := a.known.boundary(boundary)
		if err != nil {
			p = policy.Unknown("permissions boundary "+boundary, err.Error())
		}
		set.Boundary = p
	}
	if len(a.resources) > 0 {
		set.Resource = policy.Join(a.resources)
	}
	return set
}
