package spec

import "reflect"

// limits reads what a run may do at most.
func (d decoder) limits(n *node, limits *Limits) {
	for _, field := range []struct {
		name  string
		limit **int32
	}{{"changes", &limits.Changes}, {"removals", &limits.Removals}} {
		at := n.field(field.name)
		if at == nil {
			continue
		}
		d.decode(at, reflect.ValueOf(field.limit).Elem(), "limits."+field.name, nil)
		if limit := *field.limit; limit != nil && *limit < 0 {
			d.errorf(at, "limits.%s: %d is less than nothing; 0 is the least, and allows none", field.name, *limit)
		}
	}
}
