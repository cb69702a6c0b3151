package spec

import (
	"cmp"
	"fmt"
	"strings"
)

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
	if Kind(kind).rank() < 0 {
		return ID{}, fmt.Errorf("%q names no kind of resource%s", kind, suggest(kind, kindNames()))
	}
	return ID{Kind(kind), name}, nil
}

// Compare orders IDs as reports do: by kind, then by name.
func Compare(a, b ID) int {
	return cmp.Or(cmp.Compare(a.Kind.rank(), b.Kind.rank()), cmp.Compare(a.Name, b.Name))
}
