package spec

import (
	"maps"
	"slices"
	"strings"
)

// connect turns what was recorded into each resource's sorted needs and
// refuses circles.
func connect(x *index, found *findings) []Resource {
	byARN := make(map[string]ID)
	for _, e := range x.entries {
		delete(e.needs, e.id) // as a bucket's policy names its own bucket
		if arn := x.arn(e); arn != "" && x.byID[e.id] == e {
			byARN[arn] = e.id
		}
	}
	if x.findCircles(found) {
		return nil
	}
	// An ARN that is written out and happens to be a declared resource's says
	// something of the order too, but unlike a reference it is no demand:
	// where it would close a circle it is what keeps two resources that name
	// each other apart.
	for _, e := range x.entries {
		e.node.walk(func(n *node) {
			id, ok := byARN[n.text]
			if ok && id != e.id && e.needs[id] == nil && !x.reaches(id, e.id, make(map[ID]bool)) {
				e.needs[id] = n
			}
		})
	}
	var resources []Resource
	for _, e := range x.entries {
		if len(e.needs) > 0 {
			e.resource.meta().Needs = slices.SortedFunc(maps.Keys(e.needs), Compare)
		}
		resources = append(resources, e.resource)
	}
	return resources
}

// reaches says whether from needs to, directly or not.
func (x *index) reaches(from, to ID, seen map[ID]bool) bool {
	if from == to {
		return true
	}
	if e := x.byID[from]; e != nil && !seen[from] {
		seen[from] = true
		for id := range e.needs {
			if x.reaches(id, to, seen) {
				return true
			}
		}
	}
	return false
}

// findCircles reports each circle at the reference that closes it.
func (x *index) findCircles(found *findings) bool {
	circles := false
	done := make(map[ID]bool)
	var path []ID
	var visit func(e *entry)
	visit = func(e *entry) {
		if done[e.id] {
			return
		}
		path = append(path, e.id)
		for _, id := range slices.SortedFunc(maps.Keys(e.needs), Compare) {
			if i := slices.Index(path, id); i >= 0 {
				circles = true
				var names []string
				for _, id := range append(slices.Clone(path[i:]), id) {
					names = append(names, id.String())
				}
				found.errorf(e.needs[id], "a circle: %s; write out the ARN in one of these places to break it", strings.Join(names, " -> "))
			} else if next := x.byID[id]; next != nil {
				visit(next)
			}
		}
		path = path[:len(path)-1]
		done[e.id] = true
	}
	for _, e := range x.entries {
		if x.byID[e.id] == e {
			visit(e)
		}
	}
	return circles
}
