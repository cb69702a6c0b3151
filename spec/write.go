package spec

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// YAML writes the draft. Loaded again it is what the draft has; the same draft
// is written to the same bytes.
func (d Draft) YAML() []byte {
	w := &writer{draft: d, refer: newRefer(d), named: map[string]int{}, vars: map[string]string{}}
	w.liftTags()
	// Which names are worth a variable shows only once all of them are written.
	w.file()
	w.vars = variables(w.named)
	return []byte(w.file())
}

// A writer writes one draft.
type writer struct {
	draft Draft
	*refer
	lifted map[string]string // tags that every resource carries
	named  map[string]int    // how often each bucket's name is written
	vars   map[string]string // the variable that stands for a bucket's name
}

// variables are the names of the variables that stand for the buckets that are
// named more than once.
func variables(named map[string]int) map[string]string {
	var buckets []string
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if named[name] > 1 {
			buckets = append(buckets, name)
		}
	}
	vars := map[string]string{}
	for _, name := range buckets {
		if vars[name] = "bucket"; len(buckets) > 1 {
			vars[name] = name + "-bucket" // a bucket's name is a variable's too
		}
	}
	return vars
}

// liftTags finds the tags that every resource that can carry tags carries and
// the spec keeps. A resource whose tags the spec leaves alone would get them.
func (w *writer) liftTags() {
	var common map[string]string
	tagged := 0
	for _, res := range w.by {
		if res.ID().Kind.row().untagged {
			continue
		}
		tagged++
		own := ownTags(res)
		if tagged == 1 {
			common = maps.Clone(own)
		}
		maps.DeleteFunc(common, func(key, value string) bool {
			has, ok := own[key]
			return !ok || has != value
		})
	}
	if tagged > 1 {
		w.lifted = common
	}
}

// ownTags are the tags of a resource without those of AWS and the product.
func ownTags(res Resource) map[string]string {
	tags := maps.Clone(res.Common().Tags)
	maps.DeleteFunc(tags, func(key, _ string) bool {
		lower := strings.ToLower(key)
		return strings.HasPrefix(lower, "aws:") || strings.HasPrefix(key, OwnTagPrefix)
	})
	return tags
}

// file writes it all, part by part, with an empty line between them.
func (w *writer) file() string {
	var parts []string
	part := func(n *yaml.Node) {
		var sb strings.Builder
		emit(&sb, n, "")
		parts = append(parts, sb.String())
	}
	if head := comment(w.draft.Head); head != "" {
		parts = append(parts, head)
	}
	top := object()
	for _, f := range []struct{ key, value string }{
		{"project", w.draft.Project}, {"environment", w.draft.Environment}, {"region", w.draft.Region}, {"account", w.draft.Account},
	} {
		if f.value != "" {
			put(top, f.key, textNode(escape(f.value)))
		}
	}
	part(top)
	if len(w.vars) > 0 {
		vars := object()
		for _, name := range slices.Sorted(maps.Keys(w.vars)) {
			put(vars, w.vars[name], textNode(escape(name)))
		}
		part(under("vars", vars))
	}
	if len(w.lifted) > 0 {
		part(under("tags", w.tags(w.lifted)))
	}
	parts = append(parts, w.sections()...)
	if len(w.draft.Outputs) > 0 {
		outputs := object()
		for _, o := range slices.SortedFunc(slices.Values(w.draft.Outputs), func(a, b Output) int { return strings.Compare(a.Name, b.Name) }) {
			put(outputs, o.Name, textNode(w.template(o.Value)))
		}
		part(under("outputs", outputs))
	}
	if tail := comment(w.draft.Tail); tail != "" {
		parts = append(parts, tail)
	}
	return strings.Join(parts, "\n")
}

// sections writes the resources: kinds in the order of the table, each kind's
// by name.
func (w *writer) sections() []string {
	var parts []string
	ids := slices.SortedFunc(maps.Keys(w.by), Compare)
	for i, k := range kinds {
		if k.list == "" || slices.ContainsFunc(kinds[:i], func(before kind) bool { return before.section == k.section }) {
			continue
		}
		var lists []string
		for _, l := range kinds {
			if l.section != k.section || l.list == "" {
				continue
			}
			var items []string
			for _, id := range ids {
				if id.Kind != l.Kind {
					continue
				}
				items = append(items, w.item(id))
			}
			if len(items) > 0 {
				// One line each wants no lines between them.
				between := "\n"
				if !slices.ContainsFunc(items, func(item string) bool { return strings.Count(item, "\n") > 1 }) {
					between = ""
				}
				lists = append(lists, "  "+l.list+":\n"+indent(strings.Join(items, between), "    "))
			}
		}
		if len(lists) > 0 {
			parts = append(parts, k.section+":\n"+strings.Join(lists, "\n"))
		}
	}
	return parts
}

// item writes a resource as an item of a list, its comments above it.
func (w *writer) item(id ID) string {
	var sb strings.Builder
	sb.WriteString(comment(w.draft.Comments[id]))
	emit(&sb, &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{w.resource(w.by[id])}}, "")
	return sb.String()
}

func indent(text, by string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		if strings.TrimSpace(line) != "" {
			lines[i] = by + line
		}
	}
	return strings.Join(lines, "")
}

// comment is lines as a comment. What they quote of AWS cannot end it.
func comment(lines []string) string {
	var sb strings.Builder
	for _, line := range lines {
		line = strings.TrimRight(strings.Map(func(c rune) rune {
			if !unicode.IsPrint(c) {
				return ' '
			}
			return c
		}, line), " ")
		if line != "" {
			line = " " + line
		}
		sb.WriteString("#" + line + "\n")
	}
	return sb.String()
}

// resource writes the fields of a resource: its name, the others in the order
// of its type, and its tags last.
func (w *writer) resource(res Resource) *yaml.Node {
	id, tree := res.ID(), Tree(res)
	if _, short := tree["trust"]; short {
		delete(tree, "assumeRolePolicy") // which says the same
	}
	if key, ok := tree["accessKey"].(map[string]any); ok && key["retireAfter"] == durationOf(defaultRetireAfter) {
		delete(key, "retireAfter")
	}
	n := object()
	v := reflect.ValueOf(res)
	name := id.Kind.row().name
	var fields []string
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag.Get("yaml"); tag != "-" && tag != ",inline" && tag != name {
			fields = append(fields, tag)
		}
	}
	called := escape(id.Name)
	if id.Kind == Bucket {
		called = w.bucketName(id.Name)
	}
	put(n, name, textNode(called))
	for _, field := range fields {
		if value, given := tree[field]; given {
			put(n, field, w.field(res, field, value))
		}
	}
	w.tagField(n, res)
	if protect, given := tree["protect"]; given {
		put(n, "protect", w.value(id, "protect", protect))
	} else if res.Common().Tags[protectTag] == "true" {
		put(n, "protect", w.value(id, "protect", true))
	}
	if user, ok := res.(IAMUser); ok && user.AccessKey != nil {
		for i := 0; i < len(n.Content); i += 2 {
			if n.Content[i].Value == "accessKey" {
				n.Content[i].HeadComment = comment(w.draft.Comments[ID{AccessKey, user.Name}])
			}
		}
	}
	return n
}

// protectTag is the tag that the field protect is in AWS.
const protectTag = OwnTagPrefix + "protect"

// tagField writes the tags that the stack does not give already.
func (w *writer) tagField(n *yaml.Node, res Resource) {
	own := ownTags(res)
	maps.DeleteFunc(own, func(key, _ string) bool { _, lifted := w.lifted[key]; return lifted })
	if len(own) > 0 && !res.ID().Kind.row().untagged {
		put(n, "tags", w.tags(own))
	}
}

func (w *writer) tags(tags map[string]string) *yaml.Node {
	n := object()
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		value := tags[key]
		switch {
		case value == "":
		case value == w.draft.Project:
			value = "${project}"
		case value == w.draft.Environment:
			value = "${environment}"
		default:
			value = w.bucketName(value)
		}
		put(n, escape(key), textNode(value))
	}
	return n
}

// field writes one field of a resource.
func (w *writer) field(res Resource, field string, value any) *yaml.Node {
	id := res.ID()
	switch {
	case field == "policies", field == "permissionsBoundary":
		return w.names(id, Policy, value)
	case field == "executionRole", field == "taskRole":
		return w.names(id, Role, value)
	case field == "retentionInDays" && value == int64(0):
		return textNode(never)
	case field == "path":
		return textNode(escape(fmt.Sprint(value)))
	}
	return w.value(id, field, value)
}

// names writes ARNs of the draft's own resources as their names.
func (w *writer) names(of ID, kind Kind, value any) *yaml.Node {
	switch v := value.(type) {
	case string:
		if to := w.nameOf(kind, v); w.refs[of][to] {
			return textNode(escape(to.Name))
		}
		return textNode(w.text(of, v))
	case []any:
		n := array()
		for _, item := range v {
			n.Content = append(n.Content, w.names(of, kind, item))
		}
		// Their order means nothing: those of others first, then the spec's own.
		slices.SortStableFunc(n.Content, func(a, b *yaml.Node) int {
			foreign := func(n *yaml.Node) int { return -min(strings.Count(n.Value, ":"), 1) }
			return cmp.Or(cmp.Compare(foreign(a), foreign(b)), strings.Compare(a.Value, b.Value))
		})
		return flowIfShort(n)
	}
	return w.value(of, "", value)
}

// first are the fields that a person begins an object of AWS's with; the others
// follow by name.
var first = []string{
	"id", "rulePriority", "sseAlgorithm", "encryptionType", "repository", "name", "description", "image", "status", "essential", "filter",
	"cpu", "memory", "memoryReservation", "entryPoint", "command",
}

func byRank(a, b string) int {
	rank := func(key string) int {
		if i := slices.Index(first, key); i >= 0 {
			return i
		}
		return len(first)
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
}

// value writes what a field holds.
func (w *writer) value(of ID, field string, value any) *yaml.Node {
	switch v := value.(type) {
	case Document:
		return w.document(of, v)
	case map[string]any:
		if v["status"] != nil && field == "lifecycleRules" && v["filter"] == nil && v["prefix"] == nil {
			v["filter"] = map[string]any{} // every object
		}
		n := object()
		for _, key := range slices.SortedFunc(maps.Keys(v), byRank) {
			put(n, escape(key), w.entry(of, field, key, v))
		}
		return flowIfEmpty(n)
	case []any:
		n := array()
		for _, item := range v {
			n.Content = append(n.Content, w.value(of, field, item))
		}
		if field != "containerDefinitions" {
			compactItems(n)
		}
		return flowIfShort(n)
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}
	case int64:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(v, 10)}
	}
	return textNode(w.text(of, fmt.Sprint(value)))
}

// entry writes the value under a key of an object. A container's log group and
// its region are what a person would refer to.
func (w *writer) entry(of ID, field, key string, in map[string]any) *yaml.Node {
	text, _ := in[key].(string)
	group := ID{LogGroup, text}
	switch {
	case of.Kind != TaskDefinition:
	case key == "awslogs-group" && w.refs[of][group]:
		return textNode("${" + group.String() + ".name}")
	case key == "awslogs-region" && text == w.in.Region, key == "value" && text == w.in.Region && field == "environment":
		return textNode("${region}")
	}
	if field != "lifecycleRules" {
		field = key
	}
	return w.value(of, field, in[key])
}

// text is a text of a resource with references in it: to a resource whose ARN
// or URI it begins with, to a bucket's name that it is, and to the account and
// region of any other ARN.
func (w *writer) text(of ID, text string) string {
	if at := w.find(text); at != nil && (at.id == of || w.refs[of][at.id]) {
		rest := text[len(at.text):]
		return "${" + string(at.id.Kind) + "/" + w.bucketIn(at.id) + "." + at.attr + "}" + escape(rest)
	}
	if parts := strings.SplitN(text, ":", 6); len(parts) == 6 && parts[0] == "arn" {
		for i, own := range map[int]string{3: w.in.Region, 4: w.in.Account} {
			parts[i] = escape(parts[i])
			if parts[i] == own && own != "" {
				parts[i] = map[int]string{3: "${region}", 4: "${account}"}[i]
			}
		}
		for _, i := range []int{1, 2, 5} {
			parts[i] = escape(parts[i])
		}
		return strings.Join(parts, ":")
	}
	if rest, ok := strings.CutPrefix(text, "s3://"); ok {
		name, path, slash := strings.Cut(rest, "/")
		if slash {
			path = "/" + path
		}
		return "s3://" + w.bucketName(name) + escape(path)
	}
	return w.bucketName(text)
}

// bucketName is a text that may be the name of one of the buckets.
func (w *writer) bucketName(text string) string {
	if _, ours := w.by[ID{Bucket, text}]; !ours || !referable(text) {
		return escape(text)
	}
	return w.bucketIn(ID{Bucket, text})
}

// bucketIn is a resource's name within a reference. A name that is written is
// counted.
func (w *writer) bucketIn(id ID) string {
	if id.Kind != Bucket {
		return id.Name
	}
	w.named[id.Name]++
	if name := w.vars[id.Name]; name != "" {
		return "${var." + name + "}"
	}
	return id.Name
}

// template writes an output.
func (w *writer) template(t Template) string {
	var sb strings.Builder
	for i, p := range t {
		switch {
		case p.ID != (ID{}):
			id := p.ID
			if id.Kind == AccessKey {
				id.Kind = User // which says it in fewer words
			}
			sb.WriteString("${" + string(id.Kind) + "/" + w.bucketIn(id) + "." + p.Attr + "}")
		case i == 0:
			sb.WriteString(w.output(p.Text))
		default:
			sb.WriteString(escape(p.Text))
		}
	}
	return sb.String()
}

// output is the text of an output: an output needs nothing, so that it can
// refer to any resource.
func (w *writer) output(text string) string {
	if at := w.find(text); at != nil {
		return "${" + string(at.id.Kind) + "/" + w.bucketIn(at.id) + "." + at.attr + "}" + escape(text[len(at.text):])
	}
	return w.text(ID{}, text)
}

// escape keeps a text from being taken for references.
func escape(text string) string { return strings.ReplaceAll(text, "${", "$${") }

// elements are the keys of a policy's objects, and of a lifecycle policy's, in
// the order in which AWS's documentation has them and people write them. What
// generates JSON often sorts them.
var elements = []string{
	"Version", "Id", "Statement",
	"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition",
	"rulePriority", "description", "selection", "tagStatus", "tagPrefixList", "tagPatternList", "countType", "countUnit", "countNumber", "action",
}

func elementRank(key string) int {
	if i := slices.Index(elements, key); i >= 0 {
		return i
	}
	return len(elements)
}

// document writes a policy, its elements in their usual order and other keys in
// the order that it has them in. One that cannot stand as YAML stands as its
// JSON text.
func (w *writer) document(of ID, doc Document) *yaml.Node {
	var problems Problems
	root, whole := parse("-.json", doc, &problems)
	if root == nil || !whole || root.kind != mapping || len(root.fields) == 1 && root.fields[0].key.text == "file" {
		return textNode(escape(string(doc)))
	}
	return w.jsonNode(of, root)
}

func (w *writer) jsonNode(of ID, n *node) *yaml.Node {
	switch n.kind {
	case mapping:
		y := object()
		for _, f := range slices.SortedStableFunc(slices.Values(n.fields), func(a, b field) int {
			return cmp.Compare(elementRank(a.key.text), elementRank(b.key.text))
		}) {
			put(y, escape(f.key.text), w.jsonNode(of, f.value))
		}
		return flowIfEmpty(y)
	case sequence:
		y := array()
		for _, item := range n.items {
			y.Content = append(y.Content, w.jsonNode(of, item))
		}
		return flowIfShort(y)
	}
	if n.tag == "!!str" {
		return textNode(w.text(of, n.text))
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: n.tag, Value: cmp.Or(n.text, "null")}
}

func object() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode} }

func array() *yaml.Node { return &yaml.Node{Kind: yaml.SequenceNode} }

func put(n *yaml.Node, key string, value *yaml.Node) {
	n.Content = append(n.Content, textNode(key), value)
}

func under(key string, value *yaml.Node) *yaml.Node {
	n := object()
	put(n, key, value)
	return n
}

func flowIfEmpty(n *yaml.Node) *yaml.Node {
	if len(n.Content) == 0 {
		n.Style = yaml.FlowStyle
	}
	return n
}

// widest is how long a list or an object on one line may be, without its key.
const widest = 64

// word is a text that reads well in a list on one line.
var word = regexp.MustCompile(`^[A-Za-z0-9_./@+-][A-Za-z0-9_./@+:*-]*$`)

// flowIfShort puts a list of a few words on one line.
func flowIfShort(n *yaml.Node) *yaml.Node {
	length := 0
	for _, item := range n.Content {
		if item.Kind != yaml.ScalarNode || !word.MatchString(item.Value) || strings.HasSuffix(item.Value, ":") {
			return n
		}
		length += len(item.Value) + len(", ")
	}
	if length <= widest {
		n.Style = yaml.FlowStyle
	}
	return n
}

// compactItems puts each of a list's objects on one line where all of them are
// a few plain fields.
func compactItems(n *yaml.Node) {
	for _, item := range n.Content {
		if item.Kind != yaml.MappingNode || len(item.Content) == 0 {
			return
		}
		length := 0
		for _, f := range item.Content {
			if f.Kind != yaml.ScalarNode || f.Style == yaml.LiteralStyle {
				return
			}
			length += len(f.Value) + len(", ")
		}
		if length > widest {
			return
		}
	}
	for _, item := range n.Content {
		item.Style = yaml.FlowStyle
		for _, f := range item.Content {
			if strings.ContainsAny(f.Value, "{}[],?") && f.Style == 0 {
				f.Style = yaml.DoubleQuotedStyle
			}
		}
	}
}

// textNode is a text in the plainest style that is read back as that very text,
// also by other readers of YAML.
func textNode(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	switch {
	case isPlain(text):
	case isLiteral(text):
		n.Style = yaml.LiteralStyle
	case strings.ContainsAny(text, `"\`) && !strings.Contains(text, "'") && isPrintable(text):
		n.Style = yaml.SingleQuotedStyle
	default:
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// otherwise is what YAML 1.1 takes for something else than text, beside what
// 1.2 does: Norway's "no", and times of day in base 60.
var otherwise = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false|null|~|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|[-+.]?[0-9][0-9a-fox_.,:+-]*)$`)

// begins is what plain text may begin with.
var begins = regexp.MustCompile(`^[\p{L}/$(_0-9]`)

func isPlain(text string) bool {
	return begins.MatchString(text) && isPrintable(text) && !otherwise.MatchString(text) &&
		!strings.Contains(text, ": ") && !strings.Contains(text, " #") &&
		!strings.HasSuffix(text, ":") && !strings.HasSuffix(text, " ") &&
		(&yaml.Node{Kind: yaml.ScalarNode, Value: text}).ShortTag() == "!!str"
}

// isLiteral says that a text of several lines can stand as it is.
func isLiteral(text string) bool {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 2 {
		return false
	}
	for i, line := range lines {
		if line == "" && i > 0 && i < len(lines)-1 {
			continue
		}
		if line == "" || !isPrintable(line) || line[0] == ' ' || strings.HasSuffix(line, " ") {
			return false
		}
	}
	return true
}

func isPrintable(text string) bool {
	return strings.IndexFunc(text, func(c rune) bool {
		return c != ' ' && (!unicode.IsGraphic(c) || unicode.IsSpace(c)) || c == utf8.RuneError || c == '\ufeff'
	}) < 0
}

// emit writes a mapping or a list in the styles that its nodes have. yaml.v3's
// own encoder quotes what needs no quotes, every action of a policy among it.
// at is how far the text is indented; what it is put behind has done so for its
// first line.
func emit(sb *strings.Builder, n *yaml.Node, at string) {
	if n.Kind == yaml.SequenceNode {
		for i, item := range n.Content {
			if i > 0 {
				sb.WriteString(at)
			}
			sb.WriteString("- ")
			if isBlock(item) {
				emit(sb, item, at+"  ")
				continue
			}
			emitLine(sb, item, at)
		}
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if i > 0 {
			sb.WriteString(at)
		}
		if key.HeadComment != "" {
			sb.WriteString(strings.ReplaceAll(key.HeadComment, "\n", "\n"+at))
		}
		emitFlow(sb, key)
		sb.WriteString(":")
		if isBlock(value) {
			sb.WriteString("\n" + at + "  ")
			emit(sb, value, at+"  ")
			continue
		}
		sb.WriteString(" ")
		emitLine(sb, value, at)
	}
}

// isBlock says that a node takes lines of its own.
func isBlock(n *yaml.Node) bool { return n.Kind != yaml.ScalarNode && n.Style != yaml.FlowStyle }

// emitLine writes what begins on the line of its key and ends the line.
func emitLine(sb *strings.Builder, n *yaml.Node, at string) {
	if n.Style != yaml.LiteralStyle {
		emitFlow(sb, n)
		sb.WriteString("\n")
		return
	}
	text, ends := strings.CutSuffix(n.Value, "\n")
	sb.WriteString("|")
	if !ends {
		sb.WriteString("-")
	}
	sb.WriteString("\n")
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" {
			sb.WriteString(at + "  " + line)
		}
		sb.WriteString("\n")
	}
}

// emitFlow writes what stands on one line.
func emitFlow(sb *strings.Builder, n *yaml.Node) {
	switch n.Kind {
	case yaml.SequenceNode:
		sb.WriteString("[")
		for i, item := range n.Content {
			if i > 0 {
				sb.WriteString(", ")
			}
			emitFlow(sb, item)
		}
		sb.WriteString("]")
	case yaml.MappingNode:
		sb.WriteString("{")
		for i, f := range n.Content {
			switch {
			case i == 0:
			case i%2 == 1:
				sb.WriteString(": ")
			default:
				sb.WriteString(", ")
			}
			emitFlow(sb, f)
		}
		sb.WriteString("}")
	default:
		switch n.Style {
		case yaml.SingleQuotedStyle:
			sb.WriteString("'" + strings.ReplaceAll(n.Value, "'", "''") + "'")
		case yaml.DoubleQuotedStyle, yaml.LiteralStyle: // the latter is a key's
			emitQuoted(sb, n.Value)
		default:
			sb.WriteString(n.Value)
		}
	}
}

// emitQuoted writes a text in double quotes, as JSON does, but for the
// characters that YAML does not take as they are.
func emitQuoted(sb *strings.Builder, text string) {
	sb.WriteByte('"')
	for _, c := range text {
		switch {
		case c == '"', c == '\\':
			sb.WriteByte('\\')
			sb.WriteRune(c)
		case c == '\n':
			sb.WriteString(`\n`)
		case c == '\t':
			sb.WriteString(`\t`)
		case c == ' ' || unicode.IsGraphic(c) && !unicode.IsSpace(c) && c != '\ufeff':
			sb.WriteRune(c)
		case c <= 0xff:
			fmt.Fprintf(sb, `\x%02x`, c)
		case c <= 0xffff:
			fmt.Fprintf(sb, `\u%04x`, c)
		default:
			fmt.Fprintf(sb, `\U%08x`, c)
		}
	}
	sb.WriteByte('"')
}
