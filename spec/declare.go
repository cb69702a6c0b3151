package spec

import (
	"fmt"
	"strings"
)

// An index is what a spec declares and where that is in AWS: what references
// to addresses are answered from.
type index struct {
	in         Identity
	entries    []*entry // in report order, of one kind in the order of the file
	byID       map[ID]*entry
	incomplete map[Kind]bool // one has no usable name, so that nothing of the kind can be called undeclared
}

// An entry is a declared resource.
type entry struct {
	id       ID // without a name where the file gives no usable one
	node     *node
	path     string // IAM's
	needs    needs
	resource resource // nil until decoded
}

// needs are what something refers to, each with the token that makes the need.
type needs map[ID]*node

func (n needs) add(id ID, at *node) {
	if n[id] == nil {
		n[id] = at
	}
}

// of lists the entries of a kind.
func (x *index) of(kind Kind) []*entry {
	var of []*entry
	for _, e := range x.entries {
		if e.id.Kind == kind {
			of = append(of, e)
		}
	}
	return of
}

// arn is a resource's ARN, "" where only AWS knows it or there is none.
func (x *index) arn(e *entry) string { return e.id.Kind.ARN(e.id.Name, e.path, x.in) }

// attribute is an attribute of a declared resource; not ok where a user has no
// access key to speak of.
func (x *index) attribute(e *entry, attr string) value {
	id := e.id
	v := value{needs: []ID{id}, ok: true}
	switch {
	case attr == "accessKeyId", attr == "secretAccessKey":
		key := ID{AccessKey, id.Name}
		v.ok = x.byID[key] != nil
		v.parts = Template{{ID: key, Attr: attr}}
	case id.Kind == TaskDefinition && (attr == "arn" || attr == "revision"):
		v.parts = Template{{ID: id, Attr: attr}}
	case attr == "arn":
		v.parts = Template{{Text: x.arn(e)}}
	case attr == "uri":
		v.parts = Template{{Text: fmt.Sprintf("%s.dkr.ecr.%s.%s/%s", x.in.Account, x.in.Region, dnsSuffix(x.in.Partition), id.Name)}}
	case attr == "url":
		v.parts = Template{{Text: "https://" + id.Name}}
	default: // name, family
		v.parts = Template{{Text: id.Name}}
	}
	return v
}

// addresses lists what is declared.
func (x *index) addresses() []string {
	var list []string
	for id := range x.byID {
		list = append(list, id.String())
	}
	return list
}

// declare lists the resources of a merged spec by their addresses.
func declare(root *node, in Identity, names decoder) *index {
	x := &index{in: in, byID: make(map[ID]*entry), incomplete: make(map[Kind]bool)}
	taken := make(map[ID]*entry) // like byID, IAM's names in lower case
	for _, k := range kinds {
		if k.list == "" {
			continue // declared by a field of another kind
		}
		section := root.field(k.section)
		list := section.field(k.list)
		if section != nil && section.bad {
			x.incomplete[k.Kind] = true
		}
		if list == nil || list.isNull() {
			continue
		}
		if !names.want(list, sequence, k.section+"."+k.list) {
			x.incomplete[k.Kind] = true
			continue
		}
		for _, item := range list.items {
			if !names.want(item, mapping, k.section+"."+k.list) {
				x.incomplete[k.Kind] = true
				continue
			}
			x.add(k, item, taken, names)
		}
	}
	return x
}

func (x *index) add(k kind, item *node, taken map[ID]*entry, names decoder) {
	e := &entry{id: ID{Kind: k.Kind}, node: item, path: "/", needs: make(needs)}
	x.entries = append(x.entries, e)
	if n := item.field("path"); n != nil && !n.isNull() && strings.Contains(k.arn, "{path}") {
		if path, ok := names.text(n); ok {
			e.path = path
		}
	}
	name, ok := names.nameOf(k, item)
	if !ok {
		x.incomplete[k.Kind] = true
		return
	}
	e.id.Name = name
	folded := e.id
	if k.foldsName {
		folded.Name = strings.ToLower(name)
	}
	if other := taken[folded]; other != nil {
		line, _ := other.node.get(k.name).place()
		if other.id == e.id {
			names.errorf(item.get(k.name), "a second %s; the first is at %s:%d", e.id, other.node.src.name, line)
		} else {
			names.errorf(item.get(k.name), "%s and %s at %s:%d differ in case only; IAM takes them for the same", e.id, other.id, other.node.src.name, line)
		}
		return
	}
	taken[folded] = e
	x.byID[e.id] = e
	if k.Kind == User && item.has("accessKey") {
		id := ID{AccessKey, name}
		x.byID[id] = &entry{id: id, node: item}
	}
}

// nameOf is the name of a resource, false where it has none that is usable.
func (d decoder) nameOf(k kind, item *node) (string, bool) {
	n := item.field(k.name)
	if n == nil || n.kind != scalar || n.isNull() {
		return "", false
	}
	name, ok := d.text(n)
	if k.spelled != nil {
		name = k.spelled(name)
	}
	return name, ok
}
