package spec

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/churn-reconcile/churn-reconcile/spec/internal/shape"
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
func (f *File) Bind(id Identity) (*Spec, error) { return f.bind(id) }

func (f *File) bind(id Identity) (*Spec, error) {
	b := newBinder(f, id)
	s := b.spec(b.merge())
	if err := b.problems.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// A binder turns a File into a Spec, once.
type binder struct {
	file *File
	id   Identity

	account, region, partition string

	settings  map[string]*setting
	asking    []string // the settings being worked out, for naming a circle
	varsWrong bool     // vars is no mapping
	naming    bool     // names are being worked out, so nothing is declared yet

	resources  []*resource // in the order of the file
	declared   map[ID]*resource
	taken      map[ID]*resource // like declared, IAM's names in lower case
	incomplete map[Kind]bool    // one has no usable name
	current    *resource        // what is being decoded
	stackTags  stackTags

	fields    map[reflect.Type][]shape.Field
	problems  Problems
	spent     int // bytes that references have made
	overspent bool
}

// A resource is a declared one.
type resource struct {
	id    ID // without a name where the file gives no usable one
	node  *node
	path  string       // IAM's
	needs map[ID]*node // with the token that makes the need
	meta  *Meta
}

func newBinder(f *File, id Identity) *binder {
	b := &binder{
		file:       f,
		id:         id,
		settings:   make(map[string]*setting),
		declared:   make(map[ID]*resource),
		taken:      make(map[ID]*resource),
		incomplete: make(map[Kind]bool),
		fields:     make(map[reflect.Type][]shape.Field),
		problems:   slices.Clone(f.read),
	}
	b.readSettings(f.layers)
	return b
}

// maxProblems is more than anybody mends in one go.
const maxProblems = 1000

func (b *binder) problem(p Problem) {
	if len(b.problems) < maxProblems {
		b.problems = append(b.problems, p)
	}
}

// errorf reports a finding at a node.
func (b *binder) errorf(n *node, format string, args ...any) {
	line, column := n.place()
	if n.bad || n.kind == scalar && n.src.guessed[line] {
		return // what is wrong there has been told
	}
	if n.fromFile {
		args = withoutText(args, n.text)
	}
	b.problem(n.src.problem(line, column, format, args...))
}

// fileContent stands in a message where the text of a file would, which is not
// the spec's to show.
const fileContent = "(the content of a file)"

// withoutText takes what is some of a text out of a message's words.
func withoutText(args []any, text string) []any {
	args = slices.Clone(args)
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			if part := strings.TrimSuffix(arg, "..."); part != "" && strings.Contains(text, part) {
				args[i] = fileContent
			}
		case ID:
			if strings.Contains(text, arg.Name) {
				args[i] = ID{arg.Kind, fileContent}
			}
		}
	}
	return args
}

// need records that what is being decoded refers to a resource.
func (b *binder) need(id ID, at *node) {
	if b.current != nil && b.current.needs[id] == nil {
		b.current.needs[id] = at
	}
}

// spec does the work, in the order in which one thing needs another.
func (b *binder) spec(root *node) *Spec {
	s := &Spec{File: b.file.path}
	b.topLevel(root, s)
	b.declare(root)
	b.checkVariables(root)
	b.readStackTags(root)

	s.S3.Buckets = collect(b, s, Bucket, b.checkBucket)
	s.Logs.LogGroups = collect(b, s, LogGroup, b.checkLogGroup)
	s.ECR.Repositories = collect(b, s, Repository, b.checkRepository)
	s.IAM.OIDCProviders = collect(b, s, OIDCProvider, b.checkOIDCProvider)
	s.IAM.Policies = collect(b, s, Policy, b.checkPolicy)
	s.IAM.Roles = collect(b, s, Role, b.checkRole)
	s.IAM.Users = collect(b, s, User, b.checkUser)
	s.ECS.Clusters = collect(b, s, Cluster, b.checkCluster)
	s.ECS.TaskDefinitions = collect(b, s, TaskDefinition, b.checkTaskDefinition)
	b.checkSinks(s.IAM.Users)

	s.Outputs = b.outputs(root)
	b.connect()
	return s
}

// collect decodes and checks the resources of a kind.
func collect[T any, P interface {
	*T
	Resource
	meta() *Meta
}](b *binder, s *Spec, kind Kind, check func(*node, P),
) []T {
	var of []*resource
	for _, r := range b.resources {
		if r.id.Kind == kind {
			of = append(of, r)
		}
	}
	if len(of) == 0 {
		return nil
	}
	list := make([]T, len(of))
	for i, r := range of {
		b.current = r
		b.decode(r.node, reflect.ValueOf(&list[i]).Elem(), string(kind), nil)
		r.meta = P(&list[i]).meta()
		r.meta.Tags = b.tags(r, r.meta.Tags)
		check(r.node, &list[i])
		s.resources = append(s.resources, P(&list[i]))
	}
	b.current = nil
	return list
}

// declare makes every resource known by its address.
func (b *binder) declare(root *node) {
	for _, k := range kinds {
		section := root.field(k.section)
		list := section.field(k.list)
		if section != nil && section.bad {
			b.incomplete[k.Kind] = true
		}
		if list == nil || list.isNull() {
			continue
		}
		if !b.want(list, sequence, k.section+"."+k.list) {
			b.incomplete[k.Kind] = true
			continue
		}
		for _, item := range list.items {
			if !b.want(item, mapping, k.section+"."+k.list) {
				b.incomplete[k.Kind] = true
				continue
			}
			b.declareOne(k, item)
		}
	}
}

func (b *binder) declareOne(k kind, item *node) {
	r := &resource{id: ID{Kind: k.Kind}, node: item, path: "/", needs: make(map[ID]*node)}
	b.resources = append(b.resources, r)
	b.naming = true
	defer func() { b.naming = false }()
	if n := item.field("path"); n != nil && !n.isNull() && strings.Contains(k.arn, "{path}") {
		if path, ok := b.text(n); ok {
			r.path = path
		}
	}
	name, ok := b.nameOf(k, item)
	if !ok {
		b.incomplete[k.Kind] = true
		return
	}
	r.id.Name = name
	taken := r.id
	if k.foldsName {
		taken.Name = strings.ToLower(name)
	}
	if other := b.taken[taken]; other != nil {
		line, _ := other.node.get(k.name).place()
		if other.id == r.id {
			b.errorf(item.get(k.name), "a second %s; the first is at %s:%d", r.id, other.node.src.name, line)
		} else {
			b.errorf(item.get(k.name), "%s and %s at %s:%d differ in case only; IAM takes them for the same", r.id, other.id, other.node.src.name, line)
		}
		return
	}
	b.taken[taken] = r
	b.declared[r.id] = r
	if key := item.field("accessKey"); k.Kind == User && key != nil && !key.isNull() {
		id := ID{AccessKey, name}
		b.declared[id] = &resource{id: id, node: item}
	}
}

// attributeOf is an attribute of a declared resource; not ok where a user has
// no access key to speak of.
func (b *binder) attributeOf(r *resource, attr string) value {
	id := r.id
	v := value{needs: []ID{id}, ok: true}
	switch {
	case attr == "accessKeyId", attr == "secretAccessKey":
		key := ID{AccessKey, id.Name}
		v.ok = b.declared[key] != nil
		v.parts = Template{{ID: key, Attr: attr}}
	case id.Kind == TaskDefinition && (attr == "arn" || attr == "revision"):
		v.parts = Template{{ID: id, Attr: attr}}
	case attr == "arn":
		v.parts = Template{{Text: b.arn(r)}}
	case attr == "uri":
		v.parts = Template{{Text: fmt.Sprintf("%s.dkr.ecr.%s.%s/%s", b.account, b.region, dnsSuffix(b.partition), id.Name)}}
	case attr == "url":
		v.parts = Template{{Text: "https://" + id.Name}}
	default: // name, family
		v.parts = Template{{Text: id.Name}}
	}
	return v
}

// arn is a resource's ARN, "" where only AWS knows it or there is none.
func (b *binder) arn(r *resource) string {
	return r.id.Kind.ARN(r.id.Name, r.path, Identity{Account: b.account, Partition: b.partition, Region: b.region})
}

// connect turns what was recorded into sorted needs and refuses circles.
func (b *binder) connect() {
	byARN := make(map[string]ID)
	for _, r := range b.resources {
		delete(r.needs, r.id) // as a bucket's policy names its own bucket
		if arn := b.arn(r); arn != "" && b.declared[r.id] == r {
			byARN[arn] = r.id
		}
	}
	if b.findCircles() {
		return
	}
	// An ARN that is written out and happens to be a declared resource's says
	// something of the order too, but unlike a reference it is no demand:
	// where it would close a circle it is what keeps two resources that name
	// each other apart.
	for _, r := range b.resources {
		r.node.walk(func(n *node) {
			id, ok := byARN[n.text]
			if ok && id != r.id && r.needs[id] == nil && !b.reaches(id, r.id, make(map[ID]bool)) {
				r.needs[id] = n
			}
		})
	}
	for _, r := range b.resources {
		if r.meta != nil && len(r.needs) > 0 {
			r.meta.Needs = slices.SortedFunc(maps.Keys(r.needs), Compare)
		}
	}
}

// walk visits the scalar values of a tree.
func (n *node) walk(visit func(*node)) {
	if n.kind == scalar {
		visit(n)
	}
	for _, f := range n.fields {
		f.value.walk(visit)
	}
	for _, item := range n.items {
		item.walk(visit)
	}
}

// reaches says whether from needs to, directly or not.
func (b *binder) reaches(from, to ID, seen map[ID]bool) bool {
	if from == to {
		return true
	}
	if r := b.declared[from]; r != nil && !seen[from] {
		seen[from] = true
		for id := range r.needs {
			if b.reaches(id, to, seen) {
				return true
			}
		}
	}
	return false
}

// findCircles reports each circle at the reference that closes it.
func (b *binder) findCircles() bool {
	found := false
	done := make(map[ID]bool)
	var path []ID
	var visit func(r *resource)
	visit = func(r *resource) {
		if done[r.id] {
			return
		}
		path = append(path, r.id)
		for _, id := range slices.SortedFunc(maps.Keys(r.needs), Compare) {
			if i := slices.Index(path, id); i >= 0 {
				found = true
				var names []string
				for _, id := range append(slices.Clone(path[i:]), id) {
					names = append(names, id.String())
				}
				b.errorf(r.needs[id], "a circle: %s; write out the ARN in one of these places to break it", strings.Join(names, " -> "))
			} else if next := b.declared[id]; next != nil {
				visit(next)
			}
		}
		path = path[:len(path)-1]
		done[r.id] = true
	}
	for _, r := range b.resources {
		if b.declared[r.id] == r {
			visit(r)
		}
	}
	return found
}
