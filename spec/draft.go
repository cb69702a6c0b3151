package spec

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A Draft is a spec that is to be written: resources as AWS has them, where
// everything that refers to another resource is an ARN, a name or a URI yet.
// [Draft.YAML] writes it as a person would.
type Draft struct {
	Project, Environment       string
	Region, Account, Partition string

	// Resources are of the spec's own types, in any order. What they leave out,
	// the file leaves out, and what they give and is empty is written. Where
	// they carry no tags but AWS's and the product's, tags are left out.
	Resources []Resource

	// Outputs are values by name. A text that is a resource's name or ARN is
	// written as a reference to it.
	Outputs []Output

	Head     []string        // comments at the top, a line each
	Tail     []string        // comments at the bottom
	Comments map[ID][]string // above a resource; an access key's above its field
}

// Only is a resource with those of its fields that are named, as a file spells
// them, beside those that a spec has to have. A path that is left out would mean
// another one, and so it is kept. What is a permission to the product and no
// property of AWS, such as forceDelete, is given by being named.
func Only[S Resource](resource S, fields []string) S {
	only := resource
	keepFields(reflect.ValueOf(&only).Elem(), append([]string{"path", "assumeRolePolicy"}, fields...))
	return only
}

func keepFields(v reflect.Value, names []string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag := f.Tag.Get("yaml")
		switch named := slices.Contains(names, tag); {
		case tag == ",inline":
			keepFields(v.Field(i), names)
		case tag == "tags" && !named: // but for the product's, which are never written
			v.Field(i).Set(reflect.ValueOf(productTags(v.Field(i).Interface().(map[string]string))))
		case named && f.Type.Kind() == reflect.Bool:
			v.Field(i).SetBool(true)
		case tag == "path" && v.Field(i).String() == "/" && !slices.Contains(names[1:], "path"),
			tag != "-" && !named && f.Tag.Get("required") == "":
			v.Field(i).SetZero()
		}
	}
}

func productTags(tags map[string]string) map[string]string {
	tags = maps.Clone(tags)
	maps.DeleteFunc(tags, func(key, _ string) bool { return !strings.HasPrefix(key, OwnTagPrefix) })
	return tags
}

// A refer is what a draft's texts can refer to.
type refer struct {
	in   Identity
	by   map[ID]Resource
	arns []located          // the longest first, so that a part of one is not taken for it
	refs map[ID]map[ID]bool // what is written as a reference, and makes a need
}

// A located resource is found in texts by its ARN or, for a repository, its URI.
type located struct {
	text, attr string
	id         ID
}

func (d Draft) identity() Identity {
	return Identity{Account: d.Account, Partition: cmp.Or(d.Partition, partitionOf(d.Region).id), Region: d.Region}
}

func newRefer(d Draft) *refer {
	r := &refer{in: d.identity(), by: map[ID]Resource{}, refs: map[ID]map[ID]bool{}}
	x := &index{in: r.in}
	for _, res := range d.Resources {
		id := res.ID()
		r.by[id], r.refs[id] = indirect(res), map[ID]bool{}
		if !referable(id.Name) {
			continue
		}
		if arn := id.Kind.ARN(id.Name, pathOf(res), r.in); arn != "" {
			r.arns = append(r.arns, located{arn, "arn", id})
		}
		if id.Kind == Repository {
			uri, _ := x.attribute(&entry{id: id}, "uri").text()
			r.arns = append(r.arns, located{uri, "uri", id})
		}
	}
	slices.SortFunc(r.arns, func(a, b located) int {
		return cmp.Or(-cmp.Compare(len(a.text), len(b.text)), cmp.Compare(a.text, b.text))
	})
	r.connect()
	return r
}

// referable says that a name can stand in a reference as it is.
func referable(name string) bool {
	return name != "" && strings.IndexFunc(name, func(c rune) bool {
		return !strings.ContainsRune("_+=,.@-/:#", c) && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z')
	}) < 0
}

func pathOf(r Resource) string {
	if path := reflect.ValueOf(indirect(r)).FieldByName("Path"); path.IsValid() {
		return path.String()
	}
	return ""
}

// connect decides which ARNs become references. A reference is a need, and
// needs must not go round: names first, which read best, then what policies are
// about, and last whom a bucket or a repository lets in.
func (r *refer) connect() {
	ids := slices.SortedFunc(maps.Keys(r.by), Compare)
	for _, id := range ids {
		named := func(_ string, kind Kind, text string) {
			if to := r.nameOf(kind, text); to != (ID{}) {
				r.join(id, to)
			}
		}
		walkNames(r.by[id], named)
		for _, to := range byName(r.by[id]) {
			if r.by[to] != nil && referable(to.Name) {
				r.join(id, to)
			}
		}
	}
	last := func(id ID) int {
		if id.Kind == Bucket || id.Kind == Repository {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(ids, func(a, b ID) int { return cmp.Compare(last(a), last(b)) })
	for _, id := range ids {
		walkTexts(Tree(r.by[id]), func(text string) {
			if at := r.find(text); at != nil {
				r.join(id, at.id)
			}
		})
	}
}

// join notes a need, unless it would close a circle.
func (r *refer) join(from, to ID) {
	if from == to || r.reaches(to, from) {
		return
	}
	r.refs[from][to] = true
}

func (r *refer) reaches(from, to ID) bool {
	seen := map[ID]bool{}
	var visit func(ID) bool
	visit = func(id ID) bool {
		if id == to {
			return true
		}
		if seen[id] {
			return false
		}
		seen[id] = true
		for next := range r.refs[id] {
			if visit(next) {
				return true
			}
		}
		return false
	}
	return visit(from)
}

// nameOf is the resource of a kind that an ARN in a field like policies is;
// zero where it is none of the draft's.
func (r *refer) nameOf(kind Kind, arn string) ID {
	for _, at := range r.arns {
		if at.text == arn && at.id.Kind == kind {
			return at.id
		}
	}
	return ID{}
}

// find is the resource that a text begins with, as an ARN or a URI that ends
// there or goes on with a path, a version or a tag.
func (r *refer) find(text string) *located {
	for i, at := range r.arns {
		rest, ok := strings.CutPrefix(text, at.text)
		if ok && (rest == "" || strings.ContainsRune("/:@", rune(rest[0]))) {
			return &r.arns[i]
		}
	}
	return nil
}

// walkNames visits the fields that take a resource's name in place of its ARN.
func walkNames(res Resource, visit func(field string, kind Kind, text string)) {
	one := func(field string, kind Kind, text *string) {
		if text != nil {
			visit(field, kind, *text)
		}
	}
	many := func(policies []string) {
		for _, p := range policies {
			visit("policies", Policy, p)
		}
	}
	switch r := res.(type) {
	case IAMRole:
		many(r.Policies)
		one("permissionsBoundary", Policy, r.PermissionsBoundary)
	case IAMGroup:
		many(r.Policies)
	case IAMUser:
		many(r.Policies)
		one("permissionsBoundary", Policy, r.PermissionsBoundary)
	case ECSTaskDefinition:
		one("executionRole", Role, r.ExecutionRole)
		one("taskRole", Role, r.TaskRole)
	}
}

// byName are what AWS itself names by its name: what a task definition's
// containers log to, and the groups that a user is in.
func byName(res Resource) []ID {
	var ids []ID
	switch r := res.(type) {
	case ECSTaskDefinition:
		for _, c := range r.ContainerDefinitions {
			if c.LogConfiguration != nil {
				ids = append(ids, ID{LogGroup, c.LogConfiguration.Options["awslogs-group"]})
			}
		}
	case IAMUser:
		for _, name := range r.Groups {
			ids = append(ids, ID{Group, name})
		}
	}
	return ids
}

// indirect is a resource as a value: a bound spec has pointers.
func indirect(r Resource) Resource {
	if v := reflect.ValueOf(r); v.Kind() == reflect.Pointer {
		return v.Elem().Interface().(Resource)
	}
	return r
}

func walkTexts(tree any, visit func(string)) {
	switch t := tree.(type) {
	case string:
		visit(t)
	case []any:
		for _, v := range t {
			walkTexts(v, visit)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(t)) {
			walkTexts(t[key], visit)
		}
	case Document:
		root, _ := parse("-.json", t, new(Problems))
		if root != nil {
			root.walk(func(n *node) { visit(n.text) })
		}
	}
}
