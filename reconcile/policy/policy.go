// Package policy reads IAM policy documents, identity-based, resource-based and
// trust policies, for what they mean rather than for how they are written.
//
// Equal and Diff compare documents. Evaluate decides about a request as AWS
// does. Access compares what two sets of policies allow, over all requests,
// and Grants says what one allows of some.
package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// defaultVersion is what IAM takes a document without a Version for, and not
// the newer 2012-10-17: policy variables are literal text in it.
const defaultVersion = "2008-10-17"

// Canonical parses a document as AWS answers it, raw JSON or URL-encoded, into
// the tree that every document of the same meaning shares: maps, lists and
// strings. Sets are sorted lists without duplicates, statements a sorted list.
//
// The same are: a scalar and the list of it alone; a boolean or number and its
// text; lists in any order, with or without repetitions; Effect, action names
// and condition keys in any case; an account's ID and the ARN of its root as a
// principal; the Principals "*" and {"AWS": "*"}; no Version and 2008-10-17; no
// Sid, Id or Condition and an empty one; a list of one document and the
// document. Nothing else is: neither condition values and resources in another
// case, nor the unique ID (AIDA..., AROA...) that AWS puts in the place of a
// principal that was deleted.
func Canonical(doc []byte) (any, error) {
	d, err := read(doc)
	if err != nil {
		return nil, err
	}
	return d.tree(), nil
}

// Equal says whether two documents mean the same, as Canonical defines it.
func Equal(a, b []byte) (bool, error) {
	x, err := read(a)
	if err != nil {
		return false, err
	}
	y, err := read(b)
	if err != nil {
		return false, err
	}
	return text(x.tree()) == text(y.tree()), nil
}

// A document is a policy document in canonical form that remembers how it was
// written.
type document struct {
	rest       node // everything but the statements
	statements []statement
}

type statement struct {
	node
	sid      string // "" where another statement of the document has it too
	position int    // in the document as written
	text     string // of its tree
}

// A node is a part of a document. Which of its fields count depends on kind.
type node struct {
	kind     kind
	name     string          // as written, for a reader
	value    any             // as written, but for Effect
	children map[string]node // an object's and a set's, by canonical name
}

type kind int

const (
	leaf kind = iota
	branch
	set
)

func (n node) tree() any {
	switch n.kind {
	case branch:
		tree := make(map[string]any, len(n.children))
		for name, child := range n.children {
			tree[name] = child.tree()
		}
		return tree
	case set:
		tree := make([]any, 0, len(n.children))
		for _, name := range slices.Sorted(maps.Keys(n.children)) {
			tree = append(tree, name)
		}
		return tree
	}
	return n.value
}

func (d document) tree() any {
	tree := make(map[string]any)
	for name, child := range d.rest.children {
		tree[name] = child.tree()
	}
	statements := make([]any, 0, len(d.statements))
	sorted := slices.SortedFunc(slices.Values(d.statements), func(a, b statement) int {
		return strings.Compare(a.text, b.text)
	})
	for _, s := range sorted {
		statements = append(statements, s.tree())
	}
	tree["Statement"] = statements
	return tree
}

// text is the JSON text of a tree. Marshal sorts keys and cannot fail on maps,
// lists and strings.
func text(tree any) string {
	b, _ := json.Marshal(tree)
	return string(b)
}

func read(doc []byte) (document, error) {
	tree, err := parse(doc)
	if err != nil {
		return document{}, err
	}
	d, err := canonical(tree)
	if err != nil {
		return document{}, fmt.Errorf("policy document: %w", err)
	}
	return d, nil
}

func canonical(tree any) (document, error) {
	// Some tools write a trust policy as a list of one document.
	if list, ok := tree.([]any); ok && len(list) == 1 {
		tree = list[0]
	}
	root, ok := tree.(map[string]any)
	if !ok {
		return document{}, errors.New("one object is wanted")
	}
	d := document{rest: node{kind: branch, value: root, children: map[string]node{}}}
	for name, value := range root {
		if name != "Statement" && (name != "Id" || value != "") {
			d.rest.children[name] = node{name: name, value: value}
		}
	}
	if _, ok := root["Version"]; !ok {
		d.rest.children["Version"] = node{name: "Version", value: defaultVersion}
	}

	seen := make(map[string]bool)
	sids := make(map[string]int)
	for i, value := range elements(root["Statement"]) {
		path := fmt.Sprintf("statement %d", i)
		body, ok := value.(map[string]any)
		if !ok {
			return document{}, fmt.Errorf("%s: an object is wanted", path)
		}
		n, err := canonicalStatement(path, body)
		if err != nil {
			return document{}, err
		}
		s := statement{node: n, position: i, text: text(n.tree())}
		if seen[s.text] { // saying a thing twice does not change its meaning
			continue
		}
		seen[s.text] = true
		s.sid, _ = body["Sid"].(string)
		sids[s.sid]++
		d.statements = append(d.statements, s)
	}
	for i := range d.statements {
		if s := &d.statements[i]; sids[s.sid] > 1 {
			s.sid = ""
		}
	}
	return d, nil
}

// elements returns the members of what may be a list or its only member.
func elements(value any) []any {
	switch v := value.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{value}
}

func canonicalStatement(path string, body map[string]any) (node, error) {
	s := node{kind: branch, value: body, children: make(map[string]node, len(body))}
	for name, value := range body {
		child := node{value: value}
		path := path + ": " + name
		var err error
		switch name {
		case "Sid":
			if value == "" {
				continue
			}
		case "Effect":
			child.value = effect(value)
		case "Action", "NotAction":
			child, err = newSet(path, value, strings.ToLower)
		case "Resource", "NotResource":
			child, err = newSet(path, value, same)
		case "Principal":
			// AWS says that these two mean the same for Principal, and says
			// nothing of the kind for NotPrincipal.
			if value == "*" {
				value = map[string]any{"AWS": "*"}
			}
			child, err = principals(path, value)
		case "NotPrincipal":
			child, err = principals(path, value)
		case "Condition":
			child, err = conditions(path, value)
			if err == nil && len(child.children) == 0 {
				continue
			}
		}
		if err != nil {
			return node{}, err
		}
		child.name = name
		s.children[name] = child
	}
	return s, nil
}

func effect(value any) any {
	written, _ := value.(string)
	for _, effect := range []string{"Allow", "Deny"} {
		if strings.EqualFold(written, effect) {
			return effect
		}
	}
	return value
}

func same(s string) string { return s }

// newSet reads a string or a list of strings; fold gives an element's
// canonical name.
func newSet(path string, value any, fold func(string) string) (node, error) {
	list := elements(value)
	n := node{kind: set, value: value, children: make(map[string]node, len(list))}
	for _, element := range list {
		written, ok := element.(string)
		if !ok {
			return node{}, fmt.Errorf("%s: a string or a list of strings is wanted", path)
		}
		name := fold(written)
		// Of several spellings the same one is shown, whatever their order.
		if other, twice := n.children[name]; !twice || written < other.name {
			n.children[name] = node{name: written, value: written}
		}
	}
	return n, nil
}

func principals(path string, value any) (node, error) {
	types, ok := value.(map[string]any)
	if !ok {
		return newSet(path, value, same)
	}
	n := node{kind: branch, value: value, children: make(map[string]node, len(types))}
	for name, value := range types {
		fold := same
		if name == "AWS" {
			fold = account
		}
		child, err := newSet(path+"."+name, value, fold)
		if err != nil {
			return node{}, err
		}
		child.name = name
		n.children[name] = child
	}
	return n, nil
}

// account turns arn:PARTITION:iam::ID:root into the bare ID, for which AWS
// takes it and which it answers as that ARN. The partition says nothing: a
// policy cannot name a principal of any partition but its own.
func account(principal string) string {
	arn := strings.Split(principal, ":")
	if len(arn) == 6 && arn[0] == "arn" && strings.HasPrefix(arn[1], "aws") &&
		arn[2] == "iam" && arn[3] == "" && isAccountID(arn[4]) && arn[5] == "root" {
		return arn[4]
	}
	return principal
}

func isAccountID(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}

// conditions reads a condition block: operator, key, values. AWS documents
// that the names of keys have no case, but not so of operators, so those are
// compared as they are written: AWS stores a document as it was sent, hence
// that can cost a write, but not one in every run.
func conditions(path string, value any) (node, error) {
	operators, ok := value.(map[string]any)
	if !ok {
		return node{}, fmt.Errorf("%s: an object is wanted", path)
	}
	n := node{kind: branch, value: value, children: make(map[string]node, len(operators))}
	for operator, value := range operators {
		path := path + "." + operator
		keys, ok := value.(map[string]any)
		if !ok {
			return node{}, fmt.Errorf("%s: an object is wanted", path)
		}
		child := node{kind: branch, name: operator, value: value, children: make(map[string]node, len(keys))}
		for key, value := range keys {
			values, err := newSet(path+"."+key, value, same)
			if err != nil {
				return node{}, err
			}
			name := strings.ToLower(key)
			if _, twice := child.children[name]; twice {
				return node{}, fmt.Errorf("%s: duplicate key %q", path, name)
			}
			values.name = key
			child.children[name] = values
		}
		n.children[operator] = child
	}
	return n, nil
}

// label is how paths name a statement.
func (s statement) label() string {
	if s.sid != "" {
		return s.sid
	}
	return strconv.Itoa(s.position)
}
