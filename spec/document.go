package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// Given says that the spec has the document at all, be it empty.
func (d Document) Given() bool { return d != nil }

// Empty says that the spec asks for no document to be there.
func (d Document) Empty() bool { return string(d) == "{}" }

// embedded puts what a node holds as JSON text or as a file in its place. The
// JSON or YAML of such a file, and JSON written out in the spec, has its
// references resolved like the rest of the spec; JSON that came out of a
// reference is taken as it is.
func (d decoder) embedded(n *node, name string, kind nodeKind) bool {
	wanted := "a mapping, its JSON text or {file: path}"
	if kind == sequence {
		wanted = "a list, its JSON text or {file: path}"
	}
	if n.kind == mapping && len(n.fields) == 1 && n.fields[0].key.text == "file" {
		return d.embeddedFile(n, name, kind, wanted)
	}
	if n.kind == kind {
		return true
	}
	if n.kind != scalar {
		d.errorf(n, "%s: want %s, have %s", name, wanted, n.what())
		return false
	}
	raw, resolved := n.text, false
	if !strings.ContainsAny(firstLetter(raw), "{[") {
		text, ok := d.text(n)
		if !ok {
			return false
		}
		if !n.referred || !strings.ContainsAny(firstLetter(text), "{[") || n.fromFile && !isDocument([]byte(text), kind) {
			if strings.HasPrefix(text, "jsonencode(") {
				wanted += "; the document stands here as it is, without jsonencode(...)"
			}
			d.errorf(n, "%s: want %s, have %s", name, wanted, n.what())
			return false
		}
		raw, resolved = text, true
	}
	outer := *n
	place := func(offset int) (int, int) { return outer.at(raw, offset) }
	if resolved {
		place = func(int) (int, int) { return outer.place() }
	}
	r := &reader{src: n.src, problems: &d.problems}
	parsed := r.json(raw, place)
	if parsed == nil {
		return false
	}
	if resolved {
		parsed.literal()
	}
	*n = *parsed
	if n.kind != kind {
		d.errorf(n, "%s: want %s, have %s", name, wanted, n.what())
		return false
	}
	return true
}

func firstLetter(s string) string {
	s = strings.TrimLeft(s, " \t\r\n")
	return s[:min(1, len(s))]
}

func (d decoder) embeddedFile(n *node, name string, kind nodeKind, wanted string) bool {
	at := n.fields[0].value
	path, ok := d.text(at)
	if !ok {
		d.want(at, scalar, name+".file")
		return false
	}
	path = beside(n.src.name, path)
	text, err := d.read(path)
	if err != nil {
		d.errorf(at, "%s: %v", name, err)
		return false
	}
	if !isDocument(text, kind) {
		d.errorf(at, "%s: want %s, and %s holds none", name, strings.TrimSuffix(wanted, " or {file: path}"), filepath.Base(path))
		return false
	}
	parsed, _ := parse(path, text, &d.problems)
	if parsed == nil {
		return false
	}
	*n = *parsed
	if n.kind != kind {
		d.errorf(n, "%s: %s: want %s, have %s", name, filepath.Base(path), strings.TrimSuffix(wanted, " or {file: path}"), n.what())
		return false
	}
	return true
}

// literal marks a tree as holding no references.
func (n *node) literal() {
	n.expanded = true
	for _, f := range n.fields {
		f.key.expanded = true
		f.value.literal()
	}
	for _, item := range n.items {
		item.literal()
	}
}

// namedDocuments turns a list of {name, document} into the mapping that it
// stands for.
func (d decoder) namedDocuments(n *node) {
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
			d.structure(item, reflect.ValueOf(new(named)).Elem(), "inlinePolicies")
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
func encode(n *node, style scalarStyle, found *findings) Document {
	var buf bytes.Buffer
	encodeNode(&buf, "", n, style, found)
	return buf.Bytes()
}

func encodeNode(buf *bytes.Buffer, key string, n *node, style scalarStyle, found *findings) {
	switch n.kind {
	case mapping:
		buf.WriteByte('{')
		for i, f := range n.fields {
			if i > 0 {
				buf.WriteByte(',')
			}
			encodeJSON(buf, f.key.text)
			buf.WriteByte(':')
			encodeNode(buf, f.key.text, f.value, style, found)
		}
		buf.WriteByte('}')
	case sequence:
		buf.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				buf.WriteByte(',')
			}
			encodeNode(buf, key, item, style, found)
		}
		buf.WriteByte(']')
	default:
		if n.isNull() {
			found.errorf(n, "%s: a document has no place for an empty value", key)
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
