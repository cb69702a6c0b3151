package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Limits on what one file may hold. They are far above any real spec and keep
// a hostile one from eating the machine.
const (
	maxFileSize = 10 << 20
	maxNodes    = 1 << 20 // after aliases are followed
	maxDepth    = 100
)

// A source is a file's text, kept to find the place of a token within it and to
// show the line of a finding.
type source struct {
	name  string
	text  string
	lines []string

	// guessed are the lines with a mistake of YAML in them: what they mean is a
	// guess, about which nothing else is said.
	guessed map[int]bool
}

func newSource(name, text string) *source {
	return &source{name: name, text: text, lines: strings.Split(text, "\n")}
}

// line is a line of the text without its end, counted from 1.
func (s *source) line(n int) string {
	if n < 1 || n > len(s.lines) {
		return ""
	}
	return strings.TrimRight(s.lines[n-1], "\r")
}

func (s *source) problem(line, column int, format string, args ...any) Problem {
	return Problem{File: s.name, Line: line, Column: column, Message: fmt.Sprintf(format, args...), Source: s.line(line)}
}

type nodeKind int

const (
	scalar nodeKind = iota
	mapping
	sequence
)

// A node is a piece of a spec, whether it came from YAML or from JSON, with
// aliases followed and merge keys applied.
type node struct {
	kind   nodeKind
	src    *source
	line   int
	column int
	where  func() (line, column int) // of JSON, worked out when asked: it costs a walk through the text

	// Of scalars. text is what was written until references are resolved,
	// what they resolve to afterwards.
	tag      string // !!str, !!int, !!float, !!bool, !!null, !!timestamp
	style    yaml.Style
	text     string
	expanded bool // references are resolved
	referred bool // there were some
	fromFile bool // some of it is the text of another file
	bad      bool // resolving failed, and has been reported

	fields []field // of mappings, in the file's order
	items  []*node // of sequences
}

type field struct{ key, value *node }

// clone copies the tree, so that resolving references leaves the original as
// the file has it.
func (n *node) clone() *node {
	if n == nil {
		return nil
	}
	c := *n
	c.fields = slices.Clone(n.fields)
	for i, f := range c.fields {
		c.fields[i] = field{f.key.clone(), f.value.clone()}
	}
	c.items = slices.Clone(n.items)
	for i, item := range c.items {
		c.items[i] = item.clone()
	}
	return &c
}

// get follows field names and stops at the last one that is there, so that a
// finding about something missing points at what it is missing from.
func (n *node) get(path ...string) *node {
	for _, name := range path {
		v := n.field(name)
		if v == nil {
			return n
		}
		n = v
	}
	return n
}

// field is the value of a mapping's key, nil where there is none.
func (n *node) field(name string) *node {
	if n == nil || n.kind != mapping {
		return nil
	}
	for _, f := range n.fields {
		if f.key.text == name {
			return f.value
		}
	}
	return nil
}

// has says that one of the fields is given, be it wrong.
func (n *node) has(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		v := n.field(name)
		return v != nil && !v.isNull()
	})
}

// key is the key of a mapping's field, the mapping itself where there is none.
func (n *node) key(name string) *node {
	for _, f := range n.fields {
		if f.key.text == name {
			return f.key
		}
	}
	return n
}

// item is the sequence's item, or the node itself where there is none.
func (n *node) item(i int) *node {
	if i < len(n.items) {
		return n.items[i]
	}
	return n
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

// set replaces the value of a key or adds the key.
func (n *node) set(f field) {
	for i := range n.fields {
		if n.fields[i].key.text == f.key.text {
			n.fields[i] = f
			return
		}
	}
	n.fields = append(n.fields, f)
}

func (n *node) drop(name string) {
	n.fields = slices.DeleteFunc(n.fields, func(f field) bool { return f.key.text == name })
}

func (n *node) isNull() bool {
	return n.kind == scalar && n.tag == "!!null" && !n.referred
}

// readable says that a field is there and is text whose references resolved.
func (n *node) readable() bool {
	return n != nil && n.kind == scalar && !n.bad && !n.isNull()
}

// what says what a node is, for "want X, have Y".
func (n *node) what() string {
	switch {
	case n.kind == mapping:
		return "a mapping"
	case n.kind == sequence:
		return "a list"
	case n.isNull():
		return "nothing"
	case n.fromFile:
		return fileContent
	}
	return fmt.Sprintf("%q", clip(n.text))
}

// clip keeps a message readable where a value is long.
func clip(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "..."
}

// place is where the node stands in its file.
func (n *node) place() (line, column int) {
	if n.where != nil {
		return n.where()
	}
	return n.line, n.column
}

// at is the place of a byte of the scalar's written text. Where escapes or
// folded lines hide it, that is the place where the scalar starts.
func (n *node) at(raw string, offset int) (line, column int) {
	if n.where != nil {
		return n.where()
	}
	if n.style&yaml.LiteralStyle != 0 {
		before := raw[:offset]
		line := n.line + 1 + strings.Count(before, "\n")
		start := strings.LastIndexByte(before, '\n') + 1
		want, _, _ := strings.Cut(raw[start:], "\n")
		have := n.src.line(line)
		if indent, ok := strings.CutSuffix(have, want); ok && strings.Trim(indent, " ") == "" {
			return line, len(indent) + utf8.RuneCountInString(raw[start:offset]) + 1
		}
		return n.line, n.column
	}
	have := n.src.line(n.line)
	for range n.column - 1 {
		_, size := utf8.DecodeRuneInString(have)
		have = have[size:]
	}
	column = n.column
	if n.style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 && have != "" {
		have = have[1:]
		column++
	}
	if strings.HasPrefix(have, raw[:min(offset+2, len(raw))]) {
		return n.line, column + utf8.RuneCountInString(raw[:offset])
	}
	return n.line, n.column
}

// A reader turns a file's text into nodes and notes what is wrong with it.
type reader struct {
	src      *source
	problems *Problems
	broken   bool // something of the text is missing
	nodes    int
	full     bool
	anchors  map[*yaml.Node]bool // being followed
	mended   []mending           // where what is read is not what the file has
}

func (r *reader) report(line, column int, format string, args ...any) {
	r.broken = true
	*r.problems = append(*r.problems, r.src.problem(line, column, format, args...))
}

func (r *reader) reportAt(n *node, format string, args ...any) {
	line, column := n.place()
	r.report(line, column, format, args...)
}

// duplicate reports a key that comes twice. The first one stands, so that what
// else is wrong can be told in one go.
func (r *reader) duplicate(key *node, first int) {
	line, column := key.place()
	*r.problems = append(*r.problems, r.src.problem(line, column, "duplicate key %q, first on line %d", key.text, first))
}

// parse reads text as JSON where the file's name ends in .json, otherwise as
// YAML. It returns nil after reporting what makes the text unreadable; whole
// says that nothing of the text is missing, duplicate keys aside.
func parse(name string, text []byte, problems *Problems) (root *node, whole bool) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	r := &reader{src: newSource(name, string(text)), problems: problems, anchors: make(map[*yaml.Node]bool)}
	if !r.isText() {
		return nil, false
	}
	if strings.HasSuffix(strings.ToLower(name), ".json") {
		root = r.json(r.src.text, func(offset int) (int, int) { return r.place(r.src.text, offset) })
		return root, !r.broken
	}
	root = r.yaml()
	return root, !r.broken
}

// place is the line and column of a byte of a text.
func (r *reader) place(text string, offset int) (line, column int) {
	before := text[:min(offset, len(text))]
	start := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1
}

// isText refuses what no text editor meant as UTF-8.
func (r *reader) isText() bool {
	text := r.src.text
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		r.report(1, 1, "the file is UTF-16; save it as UTF-8")
		return false
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		line, column := r.place(text, i)
		r.report(line, column, "a NUL byte: this is not a text file")
		return false
	}
	if !utf8.ValidString(text) {
		for i := 0; i < len(text); {
			c, size := utf8.DecodeRuneInString(text[i:])
			if c == utf8.RuneError && size == 1 {
				line, column := r.place(text, i)
				r.report(line, column, "byte 0x%02x is not UTF-8; save the file as UTF-8", text[i])
				return false
			}
			i += size
		}
	}
	return true
}

// yaml reads the text as YAML. A mistake that can be explained is, and what it
// was probably meant to be is read in its place, so that one mistake does not
// hide the others.
func (r *reader) yaml() *node {
	const (
		patience = 20      // mistakes
		readable = 1 << 20 // bytes: each mistake is a walk through the text or two
	)
	text := r.src.text
	for range patience {
		root, err := r.document(text)
		if err == nil {
			return root
		}
		var m *mistake
		if len(text) <= readable {
			m = findMistake(text)
		}
		if m == nil {
			if len(r.mended) == 0 {
				r.syntax(err)
			}
			return r.giveUp()
		}
		line, column := r.place(text, m.offset)
		line, column = r.original(line, column)
		*r.problems = append(*r.problems, r.src.problem(line, column, "%s", m.message))
		if r.src.guessed == nil {
			r.src.guessed = make(map[int]bool)
		}
		r.src.guessed[line] = true
		fix := bestFix(text, m.fixes)
		if fix == nil {
			return r.giveUp()
		}
		for _, e := range fix {
			line, column := r.place(text, e.from)
			r.mended = append(r.mended, mending{line, column, utf8.RuneCountInString(e.text) - (e.to - e.from)})
		}
		text = apply(text, fix)
	}
	return r.giveUp()
}

func (r *reader) giveUp() *node {
	r.broken = true
	return nil
}

// bestFix is the one after which the text is well for longest; nil without
// any.
func bestFix(text string, fixes [][]edit) []edit {
	if len(fixes) < 2 {
		return slices.Concat(fixes...)
	}
	var best []edit
	furthest := -1
	for _, fix := range fixes {
		next := findMistake(apply(text, fix))
		if next == nil {
			return fix
		}
		if next.offset > furthest {
			best, furthest = fix, next.offset
		}
	}
	return best
}

// A mending is a place on a line that has more characters, or fewer, than the
// file has there.
type mending struct{ line, column, grown int }

// original is the place in the file of a place in the text that is read.
func (r *reader) original(line, column int) (int, int) {
	for _, m := range slices.Backward(r.mended) {
		if m.line == line && column > m.column {
			column = max(m.column, column-m.grown)
		}
	}
	return line, column
}

// document reads the one document of a text. An error is the parser's; nil
// without an error follows a report.
func (r *reader) document(text string) (*node, error) {
	dec := yaml.NewDecoder(strings.NewReader(text))
	first, err := decodeYAML(dec)
	if errors.Is(err, io.EOF) {
		r.report(1, 1, "the file is empty")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	second, err := decodeYAML(dec)
	if err == nil {
		r.report(max(second.Line, 1), max(second.Column, 1), "a second YAML document; a file holds one")
		return nil, nil
	}
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(first.Content) != 1 || first.Content[0].ShortTag() == "!!null" {
		r.report(1, 1, "the file is empty")
		return nil, nil
	}
	return r.convert(first.Content[0], 0), nil
}

// decodeYAML reads one document. yaml.v3 reports bad input by panicking
// within itself and lets some of these panics out, so they are taken for the
// syntax errors that they are.
func decodeYAML(dec *yaml.Decoder) (doc *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: unreadable: %v", p)
		}
	}()
	doc = new(yaml.Node)
	return doc, dec.Decode(doc)
}

// syntax reports an error of yaml.v3, which has a line at best.
func (r *reader) syntax(err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	var n int
	if _, scanErr := fmt.Sscanf(message, "line %d:", &n); scanErr == nil {
		_, message, _ = strings.Cut(message, ": ")
		line = max(n, 1)
	}
	// yaml.v3 counts some of its errors' lines from 0, and calls a tab in the
	// indentation anything but that.
	for _, l := range []int{line, line + 1} {
		text := r.src.line(l)
		indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
		if i := strings.IndexByte(indent, '\t'); i >= 0 {
			r.report(l, i+1, "a tab in the indentation; YAML allows only spaces there")
			return
		}
	}
	r.report(line, 1, "not valid YAML: %s", message)
}

// convert turns a YAML node into ours.
func (r *reader) convert(y *yaml.Node, depth int) *node {
	r.nodes++
	if r.full {
		return nil
	}
	if r.nodes > maxNodes || depth > maxDepth {
		r.full = true
		r.report(y.Line, y.Column, "too much: at most %d values nested %d deep, aliases followed", maxNodes, maxDepth)
		return nil
	}
	line, column := r.original(y.Line, y.Column)
	n := &node{src: r.src, line: line, column: column, style: y.Style}
	switch y.Kind {
	case yaml.AliasNode:
		if r.anchors[y.Alias] {
			r.report(line, column, "the anchor %q contains itself", y.Value)
			return nil
		}
		r.anchors[y.Alias] = true
		defer delete(r.anchors, y.Alias)
		return r.convert(y.Alias, depth+1)
	case yaml.ScalarNode:
		n.kind, n.tag, n.text = scalar, y.ShortTag(), y.Value
		switch n.tag {
		case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!merge":
		default:
			r.report(line, column, "the tag %s is not known here; references are written ${...}", y.Tag)
			return nil
		}
	case yaml.SequenceNode:
		n.kind = sequence
		for _, c := range y.Content {
			if item := r.convert(c, depth+1); item != nil {
				n.items = append(n.items, item)
			}
		}
	case yaml.MappingNode:
		n.kind = mapping
		r.mapping(n, y, depth)
	}
	return n
}

// mapping fills a mapping. What it merges with "<<" comes after its own
// fields and yields to them.
func (r *reader) mapping(n *node, y *yaml.Node, depth int) {
	seen := make(map[string]*node)
	var merged []*node
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Tag == "!!merge" {
			merged = append(merged, r.merged(v, depth+1)...)
			continue
		}
		key := r.convert(k, depth+1)
		value := r.convert(v, depth+1)
		if key == nil || value == nil {
			continue
		}
		if key.kind != scalar {
			r.report(k.Line, k.Column, "a key has to be text, this is %s", key.what())
			continue
		}
		key.tag = "!!str"
		if first := seen[key.text]; first != nil {
			r.duplicate(key, first.line)
			continue
		}
		seen[key.text] = key
		n.fields = append(n.fields, field{key, value})
	}
	for _, m := range merged {
		for _, f := range m.fields {
			if seen[f.key.text] == nil {
				seen[f.key.text] = f.key
				n.fields = append(n.fields, f)
			}
		}
	}
}

// merged is what a merge key names: a mapping or a list of them.
func (r *reader) merged(y *yaml.Node, depth int) []*node {
	n := r.convert(y, depth)
	if n == nil {
		return nil
	}
	list := []*node{n}
	if n.kind == sequence {
		list = n.items
	}
	for _, m := range list {
		if m.kind != mapping {
			r.report(y.Line, y.Column, "\"<<\" merges mappings, this is %s", m.what())
			return nil
		}
	}
	return list
}

// json reads text as strict JSON. place says where a byte of it stands.
func (r *reader) json(text string, place func(offset int) (line, column int)) *node {
	var whole json.RawMessage
	if err := json.Unmarshal([]byte(text), &whole); err != nil {
		offset := 0
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			offset = max(int(syntax.Offset)-1, 0)
		}
		line, column := place(min(offset, len(text)))
		r.report(line, column, "not valid JSON: %v", err)
		return nil
	}
	j := &jsonReader{reader: r, dec: json.NewDecoder(strings.NewReader(text)), text: text, place: place}
	j.dec.UseNumber()
	return j.value(0)
}

// A jsonReader builds nodes from tokens, because encoding/json's own decoding
// neither keeps the order of keys nor minds duplicate ones.
type jsonReader struct {
	*reader
	dec   *json.Decoder
	text  string
	place func(offset int) (line, column int)
}

// next is the next token and a node at its place. The text is known to be
// valid, so there is always a next one.
func (j *jsonReader) next() (json.Token, *node) {
	start := int(j.dec.InputOffset())
	start += len(j.text[start:]) - len(strings.TrimLeft(j.text[start:], " \t\r\n,:"))
	n := &node{src: j.src, where: func() (int, int) { return j.place(start) }}
	token, err := j.dec.Token()
	if err != nil {
		j.reportAt(n, "not valid JSON: %v", err)
	}
	return token, n
}

func (j *jsonReader) value(depth int) *node {
	token, n := j.next()
	j.nodes++
	if j.nodes > maxNodes || depth > maxDepth {
		j.reportAt(n, "too much: at most %d values nested %d deep", maxNodes, maxDepth)
		return nil
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '[' {
			n.kind = sequence
			for j.dec.More() {
				item := j.value(depth + 1)
				if item == nil {
					return nil
				}
				n.items = append(n.items, item)
			}
		} else {
			n.kind = mapping
			if !j.object(n, depth) {
				return nil
			}
		}
		j.next()
	case string:
		n.tag, n.text = "!!str", t
	case json.Number:
		n.tag, n.text = "!!int", t.String()
		if strings.ContainsAny(n.text, ".eE") {
			n.tag = "!!float"
		}
	case bool:
		n.tag, n.text = "!!bool", fmt.Sprint(t)
	case nil:
		n.tag = "!!null"
	}
	return n
}

func (j *jsonReader) object(n *node, depth int) bool {
	seen := make(map[string]*node)
	for j.dec.More() {
		token, key := j.next()
		key.tag = "!!str"
		key.text, _ = token.(string)
		value := j.value(depth + 1)
		if value == nil {
			return false
		}
		if first := seen[key.text]; first != nil {
			line, _ := first.place()
			j.duplicate(key, line)
			continue
		}
		seen[key.text] = key
		n.fields = append(n.fields, field{key, value})
	}
	return true
}
