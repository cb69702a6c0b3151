package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Kind is the first half of an address: a service and what it keeps.
type Kind string

// The kinds, in the order in which reports list them and in which writes go
// where no dependency decides.
const (
	Bucket         Kind = "s3.bucket"
	LogGroup       Kind = "logs.log-group"
	Repository     Kind = "ecr.repository"
	OIDCProvider   Kind = "iam.oidc-provider"
	Policy         Kind = "iam.policy"
	Role           Kind = "iam.role"
	User           Kind = "iam.user"
	AccessKey      Kind = "iam.access-key"
	Cluster        Kind = "ecs.cluster"
	TaskDefinition Kind = "ecs.task-definition"
)

// Kinds lists every kind in report order.
func Kinds() []Kind {
	return []Kind{
		Bucket, LogGroup, Repository,
		OIDCProvider, Policy, Role, User, AccessKey,
		Cluster, TaskDefinition,
	}
}

// An ID is the address of a resource, the same in the spec, in reports, in
// --target and in errors: "iam.role/ecsTaskExecutionRole".
type ID struct {
	Kind Kind
	Name string
}

func (id ID) String() string { return string(id.Kind) + "/" + id.Name }

// ParseID reads an address. Everything after the first slash is the name, so
// "logs.log-group//ecs/x" names the log group "/ecs/x".
func ParseID(s string) (ID, error) {
	kind, name, ok := strings.Cut(s, "/")
	if !ok || name == "" {
		return ID{}, fmt.Errorf("%q is not an address: KIND/NAME is wanted", s)
	}
	if !slices.Contains(Kinds(), Kind(kind)) {
		return ID{}, fmt.Errorf("%q names no kind of resource", kind)
	}
	return ID{Kind(kind), name}, nil
}

// Compare orders IDs as reports do: by kind, then by name.
func Compare(a, b ID) int {
	kinds := Kinds()
	return cmp.Or(
		cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)),
		cmp.Compare(a.Name, b.Name),
	)
}
