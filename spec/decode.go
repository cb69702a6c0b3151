package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"gopkg.in/yaml.v3"

	"github.com/churn-reconcile/churn-reconcile/spec/internal/shape"
)

// never is what a field of days says for "no end"; it is 0 once loaded.
const never = "never"

// text resolves a scalar in place and returns what it comes to. It returns
// false after reporting why it cannot.
func (b *binder) text(n *node) (string, bool) {
	if n.kind != scalar || n.bad {
		return "", false
	}
	if n.expanded {
		return n.text, true
	}
	n.expanded = true
	n.referred = strings.Contains(n.text, "${")
	v := b.expand(n)
	n.fromFile = v.fromFile
	text, plain := v.text()
	if v.ok && !plain {
		b.errorf(n, "only an output can refer to what is born in AWS: an access key, a task definition's arn or revision")
	}
	if !plain {
		n.bad = true
		return "", false
	}
	for _, id := range v.needs {
		b.need(id, n)
	}
	n.text = text
	return text, true
}

// expandAll resolves a whole tree and finds keys that become equal by it.
func (b *binder) expandAll(n *node) {
	b.text(n)
	for _, item := range n.items {
		b.expandAll(item)
	}
	b.expandKeys(n)
	for _, f := range n.fields {
		b.expandAll(f.value)
	}
}

// expandKeys resolves the keys of a mapping.
func (b *binder) expandKeys(n *node) {
	seen := make(map[string]*node, len(n.fields))
	for _, f := range n.fields {
		key, ok := b.text(f.key)
		if !ok {
			continue
		}
		if first := seen[key]; first != nil {
			line, _ := first.place()
			b.errorf(f.key, "duplicate key %q, first on line %d", key, line)
			continue
		}
		seen[key] = f.key
	}
}

// decode stores a node in a Go value and reports what does not fit. name is
// the field's, for messages.
func (b *binder) decode(n *node, v reflect.Value, name string, enum []string) {
	if n.isNull() {
		return // left out
	}
	switch v.Addr().Interface().(type) {
	case *Document:
		if b.embedded(n, name, mapping) {
			b.expandAll(n)
			v.SetBytes(b.encode(n, policyScalar))
		}
		return
	case *[]ecstypes.ContainerDefinition:
		if !b.embedded(n, name, sequence) {
			return
		}
	case *map[string]Document:
		b.namedDocuments(n)
	case *time.Time:
		b.date(n, v, name)
		return
	case *time.Duration:
		b.duration(n, v, name)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if b.decode(n, v.Elem(), name, enum); n.bad {
			v.SetZero() // what it was meant to be is not known
		}
	case reflect.Struct:
		b.structure(n, v, name)
	case reflect.Slice:
		b.list(n, v, name, enum)
	case reflect.Map:
		b.table(n, v, name)
	default:
		b.scalar(n, v, name, enum)
	}
}

func (b *binder) structure(n *node, v reflect.Value, name string) {
	if !b.want(n, mapping, name) {
		return
	}
	b.expandKeys(n)
	fields := b.fieldsOf(v.Type())
	for _, f := range n.fields {
		i := slices.IndexFunc(fields, func(have shape.Field) bool { return have.Name == f.key.text })
		if i < 0 {
			if !f.key.bad {
				b.unknownField(f.key, name, fields)
			}
			continue
		}
		b.decode(f.value, v.FieldByIndex(fields[i].Index), fields[i].Name, fields[i].Enum)
	}
	for _, f := range fields {
		if !f.Required {
			continue
		}
		if have := n.field(f.Name); have == nil || have.isNull() {
			b.errorf(n.get(f.Name), "%s: %s is missing", name, f.Name)
		}
	}
}

func (b *binder) unknownField(key *node, of string, fields []shape.Field) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	hint := Suggest(key.text, names)
	if hint == "" {
		hint = "; allowed are " + oneOf(names)
	}
	b.errorf(key, "unknown field %q in %s%s", clip(key.text), of, hint)
}

// fieldsOf remembers the fields of each struct for the length of a bind.
func (b *binder) fieldsOf(t reflect.Type) []shape.Field {
	if _, ok := b.fields[t]; !ok {
		b.fields[t] = shape.Fields(t)
	}
	return b.fields[t]
}

func (b *binder) list(n *node, v reflect.Value, name string, enum []string) {
	if !b.want(n, sequence, name) {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		if item.isNull() {
			b.errorf(item, "%s: an empty item", name)
			continue
		}
		b.decode(item, v.Index(i), name, enum)
	}
}

// table decodes a mapping whose keys are the file's own.
func (b *binder) table(n *node, v reflect.Value, name string) {
	if !b.want(n, mapping, name) {
		return
	}
	b.expandKeys(n)
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.fields)))
	for _, f := range n.fields {
		if f.key.bad {
			continue
		}
		if f.value.isNull() {
			b.errorf(f.value, "%s: %q has no value; write \"\" for an empty one", name, f.key.text)
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		b.decode(f.value, value, name+"."+f.key.text, nil)
		v.SetMapIndex(reflect.ValueOf(f.key.text), value)
	}
}

func (b *binder) scalar(n *node, v reflect.Value, name string, enum []string) {
	wanted := "text"
	switch v.Kind() {
	case reflect.Bool:
		wanted = "true or false"
	case reflect.Int32, reflect.Int64:
		wanted = "a whole number"
	}
	if n.kind != scalar {
		b.errorf(n, "%s: want %s, have %s", name, wanted, n.what())
		n.bad = true
		return
	}
	text, ok := b.text(n)
	if !ok {
		return
	}
	if len(enum) == 0 {
		enum = shape.Enum(v.Type())
	}
	if len(enum) > 0 && !slices.Contains(enum, text) {
		hint := ""
		if v.Kind() == reflect.String {
			hint = suggest(text, enum)
		}
		b.errorf(n, "%s: %q is not allowed; allowed are %s%s", name, clip(text), oneOf(enum), hint)
		n.bad = true
		return
	}
	quoted := n.style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 && !n.referred
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		lower := strings.ToLower(text)
		if lower != "true" && lower != "false" || n.tag == "!!str" && !n.referred {
			b.wrongType(n, name, wanted, quoted)
			return
		}
		v.SetBool(lower == "true")
	case reflect.Int32, reflect.Int64:
		if text == never && len(enum) > 0 {
			return // 0
		}
		i, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil || n.tag == "!!str" && !n.referred {
			b.wrongType(n, name, wanted, quoted)
			return
		}
		v.SetInt(i)
	default:
		b.errorf(n, "%s: not supported here", name)
	}
}

func (b *binder) wrongType(n *node, name, wanted string, quoted bool) {
	hint := ""
	if quoted {
		hint = " in quotes"
	}
	b.errorf(n, "%s: want %s, have %s%s", name, wanted, n.what(), hint)
	n.bad = true
}

func (b *binder) want(n *node, kind nodeKind, name string) bool {
	if n.kind == kind {
		return true
	}
	wanted := map[nodeKind]string{scalar: "text", mapping: "a mapping", sequence: "a list"}[kind]
	b.errorf(n, "%s: want %s, have %s%s", name, wanted, n.what(), reshape(n, kind, name))
	n.bad = true
	return false
}

func (b *binder) date(n *node, v reflect.Value, name string) {
	text, ok := b.text(n)
	if !ok {
		b.want(n, scalar, name)
		return
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			v.Set(reflect.ValueOf(t.UTC()))
			return
		}
	}
	b.errorf(n, "%s: want a date like 2030-01-31, have %s", name, n.what())
	n.bad = true
}

// duration reads a length of time; unlike time.ParseDuration it knows days,
// and nothing below a second.
func (b *binder) duration(n *node, v reflect.Value, name string) {
	text, ok := b.text(n)
	if !ok {
		b.want(n, scalar, name)
		return
	}
	d, ok := parseDuration(text)
	if !ok {
		b.errorf(n, "%s: want a time with its unit, d, h, m or s, like 90d or 1d12h, have %s", name, n.what())
		n.bad = true
		return
	}
	v.SetInt(int64(d))
}

// parseDuration reads numbers with units, the largest unit first.
func parseDuration(s string) (time.Duration, bool) {
	parts := durationText.FindStringSubmatch(s)
	if s == "" || parts == nil {
		return 0, false
	}
	var sum time.Duration
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if parts[i+1] == "" {
			continue
		}
		count, err := strconv.ParseInt(parts[i+1], 10, 64)
		if err != nil || count > int64((math.MaxInt64-sum)/unit) {
			return 0, false
		}
		sum += time.Duration(count) * unit
	}
	return sum, true
}

var durationText = regexp.MustCompile(`^(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?$`)

// embedded puts what a node holds as JSON text or as a file in its place. The
// JSON or YAML of such a file, and JSON written out in the spec, has its
// references resolved like the rest of the spec; JSON that came out of a
// reference is taken as it is.
func (b *binder) embedded(n *node, name string, kind nodeKind) bool {
	wanted := "a mapping, its JSON text or {file: path}"
	if kind == sequence {
		wanted = "a list, its JSON text or {file: path}"
	}
	if n.kind == mapping && len(n.fields) == 1 && n.fields[0].key.text == "file" {
		return b.embeddedFile(n, name, kind, wanted)
	}
	if n.kind == kind {
		return true
	}
	if n.kind != scalar {
		b.errorf(n, "%s: want %s, have %s", name, wanted, n.what())
		return false
	}
	raw, resolved := n.text, false
	if !strings.ContainsAny(firstLetter(raw), "{[") {
		text, ok := b.text(n)
		if !ok {
			return false
		}
		if !n.referred || !strings.ContainsAny(firstLetter(text), "{[") || n.fromFile && !isDocument([]byte(text), kind) {
			if strings.HasPrefix(text, "jsonencode(") {
				wanted += "; the document stands here as it is, without jsonencode(...)"
			}
			b.errorf(n, "%s: want %s, have %s", name, wanted, n.what())
			return false
		}
		raw, resolved = text, true
	}
	outer := *n
	place := func(offset int) (int, int) { return outer.at(raw, offset) }
	if resolved {
		place = func(int) (int, int) { return outer.place() }
	}
	r := &reader{src: n.src, problems: &b.problems}
	parsed := r.json(raw, place)
	if parsed == nil {
		return false
	}
	if resolved {
		parsed.settle()
	}
	*n = *parsed
	if n.kind != kind {
		b.errorf(n, "%s: want %s, have %s", name, wanted, n.what())
		return false
	}
	return true
}

func firstLetter(s string) string {
	s = strings.TrimLeft(s, " \t\r\n")
	return s[:min(1, len(s))]
}

func (b *binder) embeddedFile(n *node, name string, kind nodeKind, wanted string) bool {
	at := n.fields[0].value
	path, ok := b.text(at)
	if !ok {
		b.want(at, scalar, name+".file")
		return false
	}
	path = beside(n.src.name, path)
	text, err := b.file.named(path)
	if err != nil {
		b.errorf(at, "%s: %v", name, err)
		return false
	}
	if !isDocument(text, kind) {
		b.errorf(at, "%s: want %s, and %s holds none", name, strings.TrimSuffix(wanted, " or {file: path}"), filepath.Base(path))
		return false
	}
	parsed, _ := parse(path, text, &b.problems)
	if parsed == nil {
		return false
	}
	*n = *parsed
	if n.kind != kind {
		b.errorf(n, "%s: %s: want %s, have %s", name, filepath.Base(path), strings.TrimSuffix(wanted, " or {file: path}"), n.what())
		return false
	}
	return true
}

// settle marks a tree as holding no references.
func (n *node) settle() {
	n.expanded = true
	for _, f := range n.fields {
		f.key.expanded = true
		f.value.settle()
	}
	for _, item := range n.items {
		item.settle()
	}
}

// namedDocuments turns a list of {name, document} into the mapping that it
// stands for.
func (b *binder) namedDocuments(n *node) {
	if n.kind != sequence {
		return
	}
	table := *n
	table.kind, table.items = mapping, nil
	type named struct {
		Name     string   `yaml:"name" required:"true"`
		Document Document `yaml:"document" required:"true"`
	}
	for _, item := range n.items {
		name := item.field("name")
		document := item.field("document")
		if name == nil || document == nil || name.kind != scalar || len(item.fields) != 2 {
			b.structure(item, reflect.ValueOf(new(named)).Elem(), "inlinePolicies")
			continue
		}
		table.fields = append(table.fields, field{name, document})
	}
	*n = table
}

// A scalarStyle says how a document writes a scalar under a key.
type scalarStyle func(key string, n *node) any

// policyScalar writes what is no boolean as text, so that an account keeps
// its leading zeros. IAM takes numbers as text everywhere.
func policyScalar(_ string, n *node) any {
	if n.tag == "!!bool" && !n.referred {
		return strings.EqualFold(n.text, "true")
	}
	return n.text
}

// lifecycleScalar writes numbers as numbers, as ECR wants them.
func lifecycleScalar(key string, n *node) any {
	if key == "rulePriority" || key == "countNumber" {
		if i, err := strconv.ParseInt(n.text, 10, 64); err == nil && (n.tag == "!!int" || n.referred) {
			return i
		}
	}
	return n.text
}

// encode writes a resolved tree as JSON in the order of the file.
func (b *binder) encode(n *node, style scalarStyle) Document {
	var buf bytes.Buffer
	b.encodeNode(&buf, "", n, style)
	return buf.Bytes()
}

func (b *binder) encodeNode(buf *bytes.Buffer, key string, n *node, style scalarStyle) {
	switch n.kind {
	case mapping:
		buf.WriteByte('{')
		for i, f := range n.fields {
			if i > 0 {
				buf.WriteByte(',')
			}
			encodeJSON(buf, f.key.text)
			buf.WriteByte(':')
			b.encodeNode(buf, f.key.text, f.value, style)
		}
		buf.WriteByte('}')
	case sequence:
		buf.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				buf.WriteByte(',')
			}
			b.encodeNode(buf, key, item, style)
		}
		buf.WriteByte(']')
	default:
		if n.isNull() {
			b.errorf(n, "%s: a document has no place for an empty value", key)
		}
		encodeJSON(buf, style(key, n))
	}
}

// encodeJSON writes text, a number or a boolean, leaving <, > and & as they
// are: IAM counts the characters.
func encodeJSON(buf *bytes.Buffer, v any) {
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		// Text, numbers and booleans cannot fail to encode.
		fmt.Fprintf(buf, "%q", fmt.Sprint(v))
		return
	}
	buf.Truncate(buf.Len() - len("\n"))
}
