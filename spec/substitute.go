package spec

import (
	"fmt"
	"maps"
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

// A setting is a variable or a top-level field that references can name. It
// is worked out when first asked for, so their order in the file is free.
type setting struct {
	node  *node   // what the file says, nil where it says nothing
	given *string // what stands over the file: --var, the run's region; taken as it is
	state settingState
	value value
}

type settingState int

const (
	unknown settingState = iota
	asked                // being worked out: meeting it again is a circle
	known
)

// setting is the value of a variable ("var.x") or of a field ("project").
func (b *binder) setting(name string) value {
	s := b.settings[name]
	switch {
	case s == nil:
		return value{}
	case s.state == known:
		return s.value
	case s.state == asked:
		return value{}
	case s.given != nil:
		s.state, s.value = known, textValue(*s.given)
		return s.value
	case s.node == nil || s.node.kind != scalar || s.node.isNull():
		return value{}
	}
	s.state = asked
	b.asking = append(b.asking, name)
	s.value = b.expand(s.node)
	b.asking = b.asking[:len(b.asking)-1]
	s.state = known
	return s.value
}

// An expander walks one text.
type expander struct {
	*binder
	node *node
	raw  string
	pos  int

	hidden bool // what is resolved was built from the text of a file
}

// expand resolves the references of a scalar as it was written.
func (b *binder) expand(n *node) value {
	if !strings.Contains(n.text, "${") {
		return textValue(n.text)
	}
	x := &expander{binder: b, node: n, raw: n.text}
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
	x.problem(x.node.src.problem(line, column, format, args...))
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
			x.spent += len(p.Text)
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
		if size > maxText || x.spent > maxExpansion {
			if !x.overspent {
				x.overspent = true
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
		text, ok := x.file.env(rest)
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
	s := x.settings["var."+name]
	if s == nil && x.varsWrong {
		return value{}
	}
	if s == nil {
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
		if x.settings["region"] == nil {
			x.report(at, "${partition} needs a region, and none is given")
		}
		return value{}
	}
	if x.settings[name] == nil {
		x.report(at, "${%s}: the spec gives no %s", name, name)
		return value{}
	}
	return x.ask(at, name)
}

// ask takes a setting and reports a circle where that is already being worked
// out.
func (x *expander) ask(at int, name string) value {
	if x.settings[name].state == asked {
		circle := append(slices.Clone(x.asking[slices.Index(x.asking, name):]), name)
		x.report(at, "a circle: %s", strings.Join(circle, " -> "))
		return value{}
	}
	return x.setting(name)
}

// variables lists the declared ones.
func (b *binder) variables() []string {
	var names []string
	for name := range maps.Keys(b.settings) {
		if v, ok := strings.CutPrefix(name, "var."); ok {
			names = append(names, v)
		}
	}
	return names
}

func (x *expander) fileText(at int, path string) value {
	text, err := x.file.named(beside(x.node.src.name, path))
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
	kind, _, _ := strings.Cut(address, "/")
	id, err := ParseID(address)
	if err != nil {
		x.report(at, "%v%s", err, suggest(kind, kindNames()))
		return value{}
	}
	if x.naming {
		x.report(at, "a name, a path or a key cannot refer to a resource; use a variable for what they share")
		return value{}
	}
	attrs := id.Kind.row().attributes
	if whole, err := ParseID(expr); err == nil && x.declared[whole] != nil && x.declared[id] == nil || attr == "" {
		x.report(at, "%s: an attribute is missing; there are %s", expr, oneOf(whole.Kind.row().attributes))
		return value{}
	}
	r := x.declared[id]
	if r == nil {
		if !x.incomplete[id.Kind] {
			x.report(at, "%s is not declared in this spec%s", id, suggest(id.String(), x.addresses()))
		}
		return value{}
	}
	if !slices.Contains(attrs, attr) {
		x.report(at, "%s has no attribute %q; there are %s%s", id.Kind, attr, oneOf(attrs), suggest(attr, attrs))
		return value{}
	}
	v := x.attributeOf(r, attr)
	if !v.ok {
		x.report(at, "iam.user/%s has no accessKey in this spec", id.Name)
	}
	return v
}

// addresses lists what is declared.
func (b *binder) addresses() []string {
	var list []string
	for id := range b.declared {
		list = append(list, id.String())
	}
	return list
}

func kindNames() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return names
}
