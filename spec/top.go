package spec

import (
	"cmp"
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

// readTop reads the fields that say which stack this is and where. id is where
// the run takes place.
func readTop(root *node, id Identity, d decoder) *Spec {
	s := &Spec{}
	fields := append(nonResourceFields(), d.fieldsOf(reflect.TypeFor[Spec]())...)
	for _, f := range root.fields {
		i := slices.IndexFunc(fields, func(have shape.Field) bool { return have.Name == f.key.text })
		if i < 0 {
			d.unknownField(f.key, "the spec", fields)
			continue
		}
		if t := fields[i].Type; t != nil && t.Kind() == reflect.Struct && !f.value.isNull() && d.want(f.value, mapping, f.key.text) {
			d.section(f.key.text, f.value, d.fieldsOf(t))
		}
	}
	s.Project = d.stackName(root, "project")
	s.Environment = d.stackName(root, "environment")
	if n := utf8.RuneCountInString(s.Stack()); n > maxTagValue {
		d.errorf(root.get("project"), "project and environment make a mark of %d characters; AWS allows %d", n, maxTagValue)
	}
	s.AccountGiven = root.has("account")
	s.Account = d.account(root, id.Account)
	s.Region = d.region(root, id.Region)
	s.Partition = cmp.Or(id.Partition, partitionOf(s.Region).id)
	d.limits(root.field("limits"), &s.Limits)
	s.AssumeRole = d.assumeRole(root)
	s.Lease = d.lease(root, s.Stack())
	if n := root.field("suspend"); n != nil {
		d.decode(n, reflect.ValueOf(&s.Suspend).Elem(), "suspend", nil)
	}
	if n := root.field("ignoreTags"); n != nil {
		d.decode(n, reflect.ValueOf(&s.IgnoreTags).Elem(), "ignoreTags", nil)
		for i, glob := range s.IgnoreTags {
			if _, err := path.Match(glob, ""); err != nil || glob == "" {
				d.errorf(n.item(i), "ignoreTags: %q is no pattern; use * for any text", glob)
			}
		}
	}
	return s
}

// section checks the names of a section's lists.
func (d decoder) section(name string, n *node, fields []shape.Field) {
	for _, f := range n.fields {
		if !slices.ContainsFunc(fields, func(have shape.Field) bool { return have.Name == f.key.text }) {
			d.unknownField(f.key, name, fields)
		}
	}
}

// stackName is one half of the ownership mark.
func (d decoder) stackName(root *node, name string) string {
	n := root.field(name)
	if n == nil || n.isNull() {
		d.errorf(root.get(name), "%s is missing", name)
		return ""
	}
	var text string
	d.decode(n, reflect.ValueOf(&text).Elem(), name, nil)
	switch {
	case n.kind != scalar || n.bad:
	case text == "":
		d.errorf(n, "%s is empty", name)
	case strings.Contains(text, "/"):
		d.errorf(n, "%s: %q has a slash, which parts project and environment in the mark on each resource", name, text)
	case !tagText.MatchString(text):
		d.errorf(n, "%s: %q goes into a tag; allowed are letters, digits, spaces and _ . : = + - @", name, text)
	}
	return text
}

// account is the run's, or else what the spec gives.
func (d decoder) account(root *node, run string) string {
	n := root.field("account")
	if n == nil || n.isNull() {
		if run == "" {
			d.errorf(root, "no account is known: the spec gives none and there are no credentials")
		}
		return run
	}
	var text string
	d.decode(n, reflect.ValueOf(&text).Elem(), "account", nil)
	switch {
	case n.kind != scalar || n.bad:
	case !accountID.MatchString(text):
		d.errorf(n, "account: %q is no account; want 12 digits", clip(text))
	case run == "":
		return text
	case run != text:
		d.errorf(n, "account: the spec is for %s, the credentials are for %s", text, run)
	}
	return run
}

// region is the run's, or else what the spec gives.
func (d decoder) region(root *node, run string) string {
	region, at := run, root
	if n := root.field("region"); n != nil && !n.isNull() {
		at = n
		var text string
		d.decode(n, reflect.ValueOf(&text).Elem(), "region", nil)
		if n.kind == scalar && !n.bad {
			region = cmp.Or(region, text)
			d.plausibleRegion(n, text)
		}
	} else if run == "" {
		d.errorf(root, "no region is known: the spec gives none, and neither does the run")
	}
	if run != "" {
		d.plausibleRegion(at, run)
	}
	return region
}

// IsRegion says whether a text looks like the name of a region.
func IsRegion(text string) bool { return regionName.MatchString(text) }

func (d decoder) plausibleRegion(n *node, text string) {
	if !regionName.MatchString(text) {
		d.errorf(n, "region: %q is no region; one looks like eu-north-1", clip(text))
	}
}

// checkVariables works every variable out, used or not, and says which names
// from the command line mean nothing.
func (d decoder) checkVariables(root *node, f *File) {
	vars := root.field("vars")
	if vars != nil && !vars.isNull() && d.want(vars, mapping, "vars") {
		for _, v := range vars.fields {
			switch {
			case !variableName.MatchString(v.key.text):
				d.errorf(v.key, "vars: %q is no name; allowed are letters, digits, _, - and .", clip(v.key.text))
			case v.value.kind != scalar:
				d.errorf(v.value, "vars: %s: want text, have %s", v.key.text, v.value.what())
			default:
				d.setting("var." + v.key.text)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.vars)) {
		if !d.has("var." + name) {
			d.add(Problem{Message: fmt.Sprintf("--var %s: %s declares no such variable%s", name, f.path, suggest(name, d.variables()))})
		}
	}
}

// outputs reads the named values. They alone may refer to what AWS makes up.
func (d decoder) outputs(root *node) []Output {
	list := root.field("outputs")
	if list == nil || list.isNull() || !d.want(list, mapping, "outputs") {
		return nil
	}
	var outputs []Output
	d.expandKeys(list)
	for _, f := range list.fields {
		name, n := f.key.text, f.value
		if f.key.bad {
			continue
		}
		if !variableName.MatchString(name) {
			d.errorf(f.key, "outputs: %q is no name; allowed are letters, digits, _, - and .", clip(name))
		}
		if n.kind != scalar || n.isNull() {
			d.errorf(n, "outputs: %s: want text, have %s", name, n.what())
			continue
		}
		v := d.expand(n)
		if !v.ok {
			continue
		}
		out := Output{Name: name, Value: v.parts}
		for _, p := range v.parts {
			out.Sensitive = out.Sensitive || p.ID.Kind == AccessKey
			if p.Attr == "secretAccessKey" && len(v.parts) > 1 {
				d.errorf(n, "outputs: %s: a secret has to stand alone, since a report shows in its place where it was delivered", name)
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
