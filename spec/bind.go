package spec

import (
	"reflect"
	"slices"
)

// An Identity is where a run takes place. Account and Region left empty take
// what the spec gives; Partition left empty follows from the region.
type Identity struct {
	Account   string
	Partition string
	Region    string
}

// Bind resolves every reference and checks everything. It does no I/O and
// does not change the File, so it may be called again, for another identity
// too. The error is Problems.
func (f *File) Bind(id Identity) (*Spec, error) { return f.bind(id, f.kept) }

// bind goes from the files to the spec in passes, each one a function of what
// those before it give. A pass tells what it finds wrong and goes on, so that
// everything is told in one go.
func (f *File) bind(id Identity, read fileReader) (*Spec, error) {
	found := &findings{problems: slices.Clone(f.read)}
	names := newDecoder(newScope(f, id, read, found)) // no resource is known yet
	root := merge(f.layers, names)
	s := readTop(root, id, names)
	s.File = f.path
	declared := declare(root, s.identity(), names)

	d := names.seeing(declared)
	d.checkVariables(root, f)
	tags := d.stackTags(root)
	s.S3.Buckets = collect(d, tags, Bucket, checker.checkBucket)
	s.Logs.LogGroups = collect(d, tags, LogGroup, checker.checkLogGroup)
	s.ECR.Repositories = collect(d, tags, Repository, checker.checkRepository)
	s.IAM.OIDCProviders = collect(d, tags, OIDCProvider, checker.checkOIDCProvider)
	s.IAM.Policies = collect(d, tags, Policy, checker.checkPolicy)
	s.IAM.Roles = collect(d, tags, Role, checker.checkRole)
	s.IAM.Groups = collect(d, tags, Group, checker.checkGroup)
	s.IAM.Users = collect(d, tags, User, checker.checkUser)
	s.ECS.Clusters = collect(d, tags, Cluster, checker.checkCluster)
	s.ECS.TaskDefinitions = collect(d, tags, TaskDefinition, checker.checkTaskDefinition)
	checkSinks(declared, found)
	s.Access, s.Assertions = d.access(root)
	s.Outputs = d.outputs(root)

	s.resources = connect(declared, found)
	if err := found.problems.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// identity is where the spec's resources are.
func (s *Spec) identity() Identity {
	return Identity{Account: s.Account, Partition: s.Partition, Region: s.Region}
}

// A checker holds one resource to AWS's rules, puts ARNs in the place of names
// and fills in what a field that is left out means.
type checker struct {
	*findings
	*index
	needs needs // of that resource
}

// collect decodes and checks the resources of a kind.
func collect[T any, P interface {
	*T
	resource
}](d decoder, stack stackTags, kind Kind, check func(checker, *node, P),
) []T {
	entries := d.index.of(kind)
	if len(entries) == 0 {
		return nil
	}
	list := make([]T, len(entries))
	for i, e := range entries {
		r := P(&list[i])
		d.needs = e.needs
		d.decode(e.node, reflect.ValueOf(r).Elem(), string(kind), nil)
		c := checker{d.findings, d.index, e.needs}
		r.meta().Tags = c.tags(e, r.meta().Tags, stack)
		check(c, e.node, r)
		e.resource = r
	}
	return list
}
