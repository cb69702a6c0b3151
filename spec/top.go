package spec

import (
	"fmt"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/churn-reconcile/churn-reconcile/spec/internal/shape"
)

// nonResourceFields are what a file may hold beside the fields of Spec: they
// are used up by loading.
func nonResourceFields() []shape.Field {
	return []shape.Field{{Name: "extends"}, {Name: "vars"}, {Name: "tags"}}
}

// topLevel checks the fields that are no resources.
func (b *binder) topLevel(root *node, s *Spec) {
	fields := append(nonResourceFields(), b.fieldsOf(reflect.TypeFor[Spec]())...)
	for _, f := range root.fields {
		i := slices.IndexFunc(fields, func(have shape.Field) bool { return have.Name == f.key.text })
		if i < 0 {
			b.unknownField(f.key, "the spec", fields)
			continue
		}
		if t := fields[i].Type; t != nil && t.Kind() == reflect.Struct && !f.value.isNull() && b.want(f.value, mapping, f.key.text) {
			b.section(f.key.text, f.value, b.fieldsOf(t))
		}
	}
	s.Project = b.stackName(root, "project")
	s.Environment = b.stackName(root, "environment")
	if n := utf8.RuneCountInString(s.Stack()); n > maxTagValue {
		b.errorf(root.get("project"), "project and environment make a mark of %d characters; AWS allows %d", n, maxTagValue)
	}
	s.AccountGiven = b.given(root, "account")
	b.checkAccount(root)
	b.checkRegion(root)
	s.Account, s.Region, s.Partition = b.account, b.region, b.partition
	if n := root.field("ignoreTags"); n != nil {
		b.decode(n, reflect.ValueOf(&s.IgnoreTags).Elem(), "ignoreTags", nil)
		for i, glob := range s.IgnoreTags {
			if _, err := path.Match(glob, ""); err != nil || glob == "" {
				b.errorf(n.item(i), "ignoreTags: %q is no pattern; use * for any text", glob)
			}
		}
	}
}

// section checks the names of a section's lists.
func (b *binder) section(name string, n *node, fields []shape.Field) {
	for _, f := range n.fields {
		if !slices.ContainsFunc(fields, func(have shape.Field) bool { return have.Name == f.key.text }) {
			b.unknownField(f.key, name, fields)
		}
	}
}

func (b *binder) given(root *node, name string) bool {
	n := root.field(name)
	return n != nil && !n.isNull()
}

// stackName is one half of the ownership mark.
func (b *binder) stackName(root *node, name string) string {
	n := root.field(name)
	if n == nil || n.isNull() {
		b.errorf(root.get(name), "%s is missing", name)
		return ""
	}
	var text string
	b.decode(n, reflect.ValueOf(&text).Elem(), name, nil)
	switch {
	case n.kind != scalar || n.bad:
	case text == "":
		b.errorf(n, "%s is empty", name)
	case strings.Contains(text, "/"):
		b.errorf(n, "%s: %q has a slash, which parts project and environment in the mark on each resource", name, text)
	case !tagText.MatchString(text):
		b.errorf(n, "%s: %q goes into a tag; allowed are letters, digits, spaces and _ . : = + - @", name, text)
	}
	return text
}

func (b *binder) checkAccount(root *node) {
	b.account = b.id.Account
	n := root.field("account")
	if n == nil || n.isNull() {
		if b.account == "" {
			b.errorf(root, "no account is known: the spec gives none and there are no credentials")
		}
		return
	}
	var text string
	b.decode(n, reflect.ValueOf(&text).Elem(), "account", nil)
	switch {
	case n.kind != scalar || n.bad:
	case !accountID.MatchString(text):
		b.errorf(n, "account: %q is no account; want 12 digits", clip(text))
	case b.account == "":
		b.account = text
	case b.account != text:
		b.errorf(n, "account: the spec is for %s, the credentials are for %s", text, b.account)
	}
}

func (b *binder) checkRegion(root *node) {
	b.region = b.id.Region
	at := root
	if n := root.field("region"); n != nil && !n.isNull() {
		at = n
		var text string
		b.decode(n, reflect.ValueOf(&text).Elem(), "region", nil)
		if n.kind == scalar && !n.bad && b.region == "" {
			b.region = text
		}
		b.plausibleRegion(n, text)
	} else if b.region == "" {
		b.errorf(root, "no region is known: the spec gives none, and neither does the run")
	}
	if b.id.Region != "" && !regionName.MatchString(b.id.Region) {
		b.errorf(at, "region: %q is no region; one looks like eu-north-1", clip(b.id.Region))
	}
	b.partition = b.id.Partition
	if b.partition == "" {
		b.partition = partitionOf(b.region).id
	}
}

// IsRegion says whether a text looks like the name of a region.
func IsRegion(text string) bool { return regionName.MatchString(text) }

func (b *binder) plausibleRegion(n *node, text string) {
	if n.kind == scalar && !n.bad && !regionName.MatchString(text) {
		b.errorf(n, "region: %q is no region; one looks like eu-north-1", clip(text))
	}
}

// checkVariables works every variable out, used or not, and says which names
// from the command line mean nothing.
func (b *binder) checkVariables(root *node) {
	vars := root.field("vars")
	if vars != nil && !vars.isNull() && b.want(vars, mapping, "vars") {
		for _, f := range vars.fields {
			switch {
			case !variableName.MatchString(f.key.text):
				b.errorf(f.key, "vars: %q is no name; allowed are letters, digits, _, - and .", clip(f.key.text))
			case f.value.kind != scalar:
				b.errorf(f.value, "vars: %s: want text, have %s", f.key.text, f.value.what())
			default:
				b.setting("var." + f.key.text)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.file.vars)) {
		if b.settings["var."+name] == nil {
			b.problem(Problem{Message: fmt.Sprintf("--var %s: %s declares no such variable%s", name, b.file.path, suggest(name, b.variables()))})
		}
	}
}

// outputs reads the named values. They alone may refer to what AWS makes up.
func (b *binder) outputs(root *node) []Output {
	list := root.field("outputs")
	if list == nil || list.isNull() || !b.want(list, mapping, "outputs") {
		return nil
	}
	var outputs []Output
	b.expandKeys(list)
	for _, f := range list.fields {
		name, n := f.key.text, f.value
		if f.key.bad {
			continue
		}
		if !variableName.MatchString(name) {
			b.errorf(f.key, "outputs: %q is no name; allowed are letters, digits, _, - and .", clip(name))
		}
		if n.kind != scalar || n.isNull() {
			b.errorf(n, "outputs: %s: want text, have %s", name, n.what())
			continue
		}
		v := b.expand(n)
		if !v.ok {
			continue
		}
		out := Output{Name: name, Value: v.parts}
		for _, p := range v.parts {
			out.Sensitive = out.Sensitive || p.ID.Kind == AccessKey
			if p.Attr == "secretAccessKey" && len(v.parts) > 1 {
				b.errorf(n, "outputs: %s: a secret has to stand alone, since a report shows in its place where it was delivered", name)
			}
		}
		outputs = append(outputs, out)
	}
	slices.SortFunc(outputs, func(a, b Output) int { return strings.Compare(a.Name, b.Name) })
	return outputs
}

var (
	accountID    = regexp.MustCompile(`^[0-9]{12}$`)
	regionName   = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$`)
	variableName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
)
