package spec

import (
	"fmt"
	"slices"
	"strings"
)

// Limits on what references make of a text.
const (
	maxText      = 1 << 20  // one value
	maxExpansion = 64 << 20 // all of them together
	maxNesting   = 16       // ${..${..}..}
)

// A value is what a text with references comes to. ok is false where that
// could not be worked out; the reason has been reported then, once.
type value struct {
	parts Template
	needs []ID
	ok    bool

	fromFile bool // some of it is the text of another file
}

func textValue(s string) value { return value{parts: Template{{Text: s}}, ok: true} }

// text is the value as plain text, false where it is not plain.
func (v value) text() (string, bool) {
	if !v.ok {
		return "", false
	}
	var sb strings.Builder
	for _, p := range v.parts {
		if p.ID != (ID{}) {
			return "", false
		}
		sb.WriteString(p.Text)
	}
	return sb.String(), true
}

// A setting is a variable or a top-level field that references can name.
type setting struct {
	node  *node   // what the file says
	given *string // what stands over the file: --var, the run's region; taken as it is
}

// A scope is what references can name. Two of them see one spec: while names
// are worked out there are no resources yet.
type scope struct {
	*findings
	id        Identity
	env       func(string) (string, bool)
	read      fileReader
	settings  map[string]setting // "var.x", "project"
	varsWrong bool               // vars is no mapping
	index     *index             // nil while names are worked out
	spent     *spending

	values map[string]value // of the settings, each worked out when first asked for, so that their order in the file is free
	asking []string         // the settings being worked out, to name a circle
}

// spending is what references have made, in both scopes together.
type spending struct {
	bytes int
	over  bool // and it has been told
}

// newScope collects the variables and the fields that references can name,
// those of an upper file over those of its base.
func newScope(f *File, id Identity, read fileReader, found *findings) *scope {
	s := &scope{findings: found, id: id, env: f.env, read: read, settings: make(map[string]setting), spent: new(spending), values: make(map[string]value)}
	for _, layer := range f.layers {
		for _, name := range []string{"project", "environment", "region", "account"} {
			if n := layer.field(name); n != nil && n.isNull() {
				delete(s.settings, name)
			} else if n != nil {
				s.settings[name] = setting{node: n}
			}
		}
		vars := layer.field("vars")
		if vars == nil || vars.kind != mapping {
			s.varsWrong = s.varsWrong || vars != nil && !vars.isNull()
			continue
		}
		for _, v := range vars.fields {
			// A variable that is null stays declared: its value has to come
			// from outside.
			s.settings["var."+v.key.text] = setting{node: v.value}
		}
	}
	for _, name := range s.variables() {
		text, ok := f.vars[name]
		if !ok {
			text, ok = f.env("CHURN_VAR_" + name)
		}
		if ok {
			s.settings["var."+name] = setting{given: &text}
		}
	}
	if id.Account != "" {
		s.settings["account"] = setting{given: &id.Account}
	}
	if id.Region != "" {
		s.settings["region"] = setting{given: &id.Region}
	}
	return s
}

// seeing is a scope that knows resources, too.
func (s *scope) seeing(x *index) *scope {
	wider := *s
	wider.index, wider.values = x, make(map[string]value)
	return &wider
}

// setting is the value of a variable ("var.x") or of a field ("project").
func (s *scope) setting(name string) value {
	v, known := s.values[name]
	of, declared := s.settings[name]
	switch {
	case known:
		return v
	case !declared || slices.Contains(s.asking, name):
		return value{}
	case of.given != nil:
		return textValue(*of.given)
	case of.node.kind != scalar || of.node.isNull():
		return value{}
	}
	s.asking = append(s.asking, name)
	v = s.expand(of.node)
	s.asking = s.asking[:len(s.asking)-1]
	s.values[name] = v
	return v
}

func (s *scope) has(name string) bool {
	_, ok := s.settings[name]
	return ok
}

// variables lists the declared ones.
func (s *scope) variables() []string {
	var names []string
	for name := range s.settings {
		if v, ok := strings.CutPrefix(name, "var."); ok {
			names = append(names, v)
		}
	}
	return names
}

// An expander walks one text.
type expander struct {
	*scope
	node *node
	raw  string
	pos  int

	hidden bool // what is resolved was built from the text of a file
}

// expand resolves the references of a scalar as it was written.
func (s *scope) expand(n *node) value {
	if !strings.Contains(n.text, "${") {
		return textValue(n.text)
	}
	x := &expander{scope: s, node: n, raw: n.text}
	return x.run(0)
}

func (x *expander) report(offset int, format string, args ...any) {
	line, column := x.node.at(x.raw, offset)
	if x.node.src.guessed[line] {
		return
	}
	if x.hidden {
		format, args = "a reference that is built from the content of a file comes to nothing", nil
	}
	x.add(x.node.src.problem(line, column, format, args...))
}

// run reads to the end of the text, or to the brace that ends a reference
// where depth is not 0.
func (x *expander) run(depth int) value {
	start := x.pos - len("${")
	out := value{ok: true}
	var text strings.Builder // not yet in out
	size := 0
	flush := func() {
		if text.Len() > 0 {
			out.parts = append(out.parts, Part{Text: text.String()})
			text.Reset()
		}
	}
	add := func(v value) {
		out.ok = out.ok && v.ok
		out.fromFile = out.fromFile || v.fromFile
		out.needs = append(out.needs, v.needs...)
		for _, p := range v.parts {
			if p.ID != (ID{}) {
				flush()
				out.parts = append(out.parts, p)
				continue
			}
			text.WriteString(p.Text)
			size += len(p.Text)
			x.spent.bytes += len(p.Text)
		}
	}
	for x.pos < len(x.raw) {
		rest := x.raw[x.pos:]
		switch {
		case strings.HasPrefix(rest, "$${"):
			add(textValue("${"))
			x.pos += len("$${")
		case strings.HasPrefix(rest, "${"):
			if depth == maxNesting {
				x.report(x.pos, "references nested more than %d deep", maxNesting)
				return x.giveUp()
			}
			at := x.pos
			x.pos += len("${")
			inner := x.run(depth + 1)
			if x.pos > len(x.raw) {
				return value{}
			}
			if inner.ok {
				inner = x.reference(at, inner)
			}
			add(inner)
		case depth > 0 && rest[0] == '}':
			x.pos++
			flush()
			return out
		default:
			end := strings.IndexAny(rest[1:], "$}") + 1
			if end == 0 {
				end = len(rest)
			}
			add(textValue(rest[:end]))
			x.pos += end
		}
		if size > maxText || x.spent.bytes > maxExpansion {
			if !x.spent.over {
				x.spent.over = true
				x.report(0, "too much text: references may make at most %d MiB of one value and %d MiB of them all", maxText>>20, maxExpansion>>20)
			}
			return x.giveUp()
		}
	}
	if depth > 0 {
		x.report(start, "a reference without its closing brace; write $${ for a literal ${")
		return x.giveUp()
	}
	flush()
	return out
}

// giveUp ends the walk at every depth.
func (x *expander) giveUp() value {
	x.pos = len(x.raw) + 1
	return value{}
}

// reference resolves what stands between the braces. at is where it starts.
func (x *expander) reference(at int, inner value) value {
	expr, ok := inner.text()
	if !ok {
		x.report(at, "a reference cannot be built from a value that only AWS knows")
		return value{}
	}
	expr = strings.TrimSpace(expr)
	hidden := x.hidden
	x.hidden = hidden || inner.fromFile
	found := x.resolve(at, expr)
	x.hidden = hidden
	found.fromFile = found.fromFile || inner.fromFile
	found.needs = append(slices.Clone(inner.needs), found.needs...)
	return found
}

func (x *expander) resolve(at int, expr string) value {
	prefix, rest, dotted := strings.Cut(expr, ".")
	switch {
	case dotted && prefix == "var":
		return x.variable(at, rest)
	case dotted && prefix == "env" && isCredential(rest):
		x.report(at, "${env.%s}: credentials of AWS and GitHub have no place in a spec, which others may have written and which ends in reports", rest)
		return value{}
	case dotted && prefix == "env":
		text, ok := x.env(rest)
		if !ok {
			x.report(at, "the environment variable %s is not set", rest)
			return value{}
		}
		return textValue(text)
	case dotted && prefix == "file":
		return x.fileText(at, rest)
	case strings.Contains(expr, "/"):
		return x.attribute(at, expr)
	case slices.Contains(fieldReferences(), expr):
		return x.fieldReference(at, expr)
	}
	if hint := foreignReference(expr); hint != "" {
		x.report(at, "${%s} is no reference of a spec%s", clip(expr), hint)
		return value{}
	}
	if strings.Contains(expr, ":") {
		x.report(at, "${%s} is no reference of a spec; for IAM to see its variable write $${%s}", clip(expr), clip(expr))
		return value{}
	}
	message := fmt.Sprintf("${%s} is no reference", clip(expr))
	known := fieldReferences()
	for _, name := range x.variables() {
		if name == expr {
			x.report(at, "%s; did you mean \"var.%s\"?", message, expr)
			return value{}
		}
		known = append(known, "var."+name)
	}
	if near := suggest(expr, known); near != "" {
		x.report(at, "%s%s", message, near)
		return value{}
	}
	if near := suggest("var."+expr, known); near != "" {
		x.report(at, "%s%s", message, near)
		return value{}
	}
	x.report(at, "%s; there are var.NAME, env.NAME, file.PATH, ADDRESS.attribute, %s; for a literal ${ write $${",
		message, strings.Join(fieldReferences(), ", "))
	return value{}
}

// isCredential says that an environment variable is one that AWS's tools or
// GitHub keep a credential in, or the way to one. A spec is not always its
// runner's friend: it may come with a pull request.
func isCredential(name string) bool {
	return slices.Contains([]string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN",
		"AWS_ACCESS_KEY", "AWS_SECRET_KEY", // what the SDK reads too
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_BEARER_TOKEN_BEDROCK",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"GITHUB_TOKEN", "GH_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_PAT",
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL",
		"ACTIONS_RUNTIME_TOKEN", "ACTIONS_RUNTIME_URL", "ACTIONS_CACHE_URL", "ACTIONS_RESULTS_URL",
	}, strings.ToUpper(name)) // Windows folds the case of names
}

// fieldReferences are the references that are a single word.
func fieldReferences() []string {
	return []string{"project", "environment", "region", "account", "partition"}
}

func (x *expander) variable(at int, name string) value {
	s, declared := x.settings["var."+name]
	if !declared && x.varsWrong {
		return value{}
	}
	if !declared {
		x.report(at, "the variable %q is not declared under vars%s", clip(name), suggest(name, x.variables()))
		return value{}
	}
	if s.given == nil && s.node.isNull() {
		x.report(at, "the variable %q has no value; set it with --var %s=... or CHURN_VAR_%s", name, name, name)
		return value{}
	}
	return x.ask(at, "var."+name)
}

func (x *expander) fieldReference(at int, name string) value {
	if name == "partition" {
		if x.id.Partition != "" {
			return textValue(x.id.Partition)
		}
		region := x.setting("region")
		if text, ok := region.text(); ok {
			return textValue(partitionOf(text).id)
		}
		if !x.has("region") {
			x.report(at, "${partition} needs a region, and none is given")
		}
		return value{}
	}
	if !x.has(name) {
		x.report(at, "${%s}: the spec gives no %s", name, name)
		return value{}
	}
	return x.ask(at, name)
}

// ask takes a setting and reports a circle where that is already being worked
// out.
func (x *expander) ask(at int, name string) value {
	if i := slices.Index(x.asking, name); i >= 0 {
		circle := append(slices.Clone(x.asking[i:]), name)
		x.report(at, "a circle: %s", strings.Join(circle, " -> "))
		return value{}
	}
	return x.setting(name)
}

func (x *expander) fileText(at int, path string) value {
	text, err := x.read(beside(x.node.src.name, path))
	if err != nil {
		x.report(at, "%v", err)
		return value{}
	}
	var problems Problems
	if r := (&reader{src: newSource(path, string(text)), problems: &problems}); !r.isText() {
		x.report(at, "%s: %s", path, problems[0].Message)
		return value{}
	}
	v := textValue(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"))
	v.fromFile = true
	return v
}

// attribute resolves ADDRESS.attr. The attribute is what follows the last
// dot, since names have dots too.
func (x *expander) attribute(at int, expr string) value {
	address, attr := expr, ""
	if i := strings.LastIndexByte(expr, '.'); i > strings.IndexByte(expr, '/') {
		address, attr = expr[:i], expr[i+1:]
	}
	id, err := ParseID(address)
	if err != nil {
		x.report(at, "%v", err)
		return value{}
	}
	if x.index == nil {
		x.report(at, "a name, a path or a key cannot refer to a resource; use a variable for what they share")
		return value{}
	}
	attrs := id.Kind.row().attributes
	if whole, err := ParseID(expr); err == nil && x.index.byID[whole] != nil && x.index.byID[id] == nil || attr == "" {
		x.report(at, "%s: an attribute is missing; there are %s", expr, oneOf(whole.Kind.row().attributes))
		return value{}
	}
	e := x.index.byID[id]
	if e == nil {
		if !x.index.incomplete[id.Kind] {
			x.report(at, "%s is not declared in this spec%s", id, suggest(id.String(), x.index.addresses()))
		}
		return value{}
	}
	if !slices.Contains(attrs, attr) {
		x.report(at, "%s has no attribute %q; there are %s%s", id.Kind, attr, oneOf(attrs), suggest(attr, attrs))
		return value{}
	}
	v := x.index.attribute(e, attr)
	if !v.ok {
		x.report(at, "iam.user/%s has no accessKey in this spec", id.Name)
	}
	return v
}

func kindNames() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return names
}
