package spec

import (
	"slices"
	"strings"
)

// merge lays copies of the files over one another, the base undermost.
func (b *binder) merge() *node {
	root := b.file.layers[0].clone()
	for _, upper := range b.file.layers[1:] {
		b.overlay(root, upper.clone())
	}
	return root
}

// readSettings collects the variables and the fields that references can name,
// those of an upper file over those of its base.
func (b *binder) readSettings(layers []*node) {
	for _, layer := range layers {
		for _, name := range []string{"project", "environment", "region", "account"} {
			if n := layer.field(name); n != nil && n.isNull() {
				delete(b.settings, name)
			} else if n != nil {
				b.settings[name] = &setting{node: n}
			}
		}
		vars := layer.field("vars")
		if vars == nil || vars.kind != mapping {
			b.varsWrong = b.varsWrong || vars != nil && !vars.isNull()
			continue
		}
		for _, f := range vars.fields {
			// A variable that is null stays declared: its value has to come
			// from outside.
			b.settings["var."+f.key.text] = &setting{node: f.value}
		}
	}
	for name, s := range b.settings {
		v, isVar := strings.CutPrefix(name, "var.")
		if !isVar {
			continue
		}
		if text, ok := b.file.vars[v]; ok {
			s.given = &text
		} else if text, ok := b.file.env("CHURN_VAR_" + v); ok {
			s.given = &text
		}
	}
	if b.id.Account != "" {
		b.settings["account"] = &setting{given: &b.id.Account}
	}
	if b.id.Region != "" {
		b.settings["region"] = &setting{given: &b.id.Region}
	}
}

// overlay merges an upper file into root.
func (b *binder) overlay(root, upper *node) {
	for _, f := range upper.fields {
		base := root.field(f.key.text)
		switch {
		case f.key.text == "extends":
		case base == nil:
			root.set(f)
		case f.value.isNull():
			root.drop(f.key.text)
		case base.kind != mapping || f.value.kind != mapping:
			root.set(f)
		case slices.Contains([]string{"vars", "tags", "outputs"}, f.key.text):
			b.overlayMap(base, f.value, f.key.text != "vars")
		default:
			b.overlaySection(f.key.text, base, f.value)
		}
	}
}

// overlayMap merges by key, after references in keys are resolved.
func (b *binder) overlayMap(base, upper *node, resolve bool) {
	if resolve {
		b.naming = true
		defer func() { b.naming = false }()
		for _, f := range slices.Concat(base.fields, upper.fields) {
			b.text(f.key)
		}
	}
	for _, f := range upper.fields {
		if f.value.isNull() && base.field(f.key.text) != nil && resolve {
			base.drop(f.key.text)
			continue
		}
		base.set(f)
	}
}

// overlaySection merges the lists of a section, resources by their names.
func (b *binder) overlaySection(section string, base, upper *node) {
	for _, f := range upper.fields {
		below := base.field(f.key.text)
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.section == section && k.list == f.key.text })
		switch {
		case below == nil:
			base.set(f)
		case f.value.isNull():
			base.drop(f.key.text)
		case i < 0 || below.kind != sequence || f.value.kind != sequence:
			base.set(f)
		default:
			b.overlayList(kinds[i], below, f.value)
		}
	}
}

func (b *binder) overlayList(k kind, base, upper *node) {
	byName := make(map[string]int)
	for i, item := range base.items {
		if name, ok := b.nameOf(k, item); ok {
			if _, twice := byName[name]; !twice {
				byName[name] = i
			}
		}
	}
	for _, item := range upper.items {
		name, ok := b.nameOf(k, item)
		i, below := byName[name]
		if !ok || !below {
			base.items = append(base.items, item)
			continue
		}
		// A second one of this name is left for the check for duplicates.
		delete(byName, name)
		base.items[i] = overlayResource(base.items[i], item)
	}
}

// overlayResource replaces whole fields; null takes one away. What results
// stands where the upper one stands.
func overlayResource(base, upper *node) *node {
	merged := *upper
	merged.fields = slices.Clone(base.fields)
	for _, f := range upper.fields {
		if f.value.isNull() {
			merged.drop(f.key.text)
			continue
		}
		merged.set(f)
	}
	return &merged
}

// nameOf is the name of a resource, false where it has none that is usable.
func (b *binder) nameOf(k kind, item *node) (string, bool) {
	n := item.field(k.name)
	if n == nil || n.kind != scalar || n.isNull() {
		return "", false
	}
	b.naming = true
	defer func() { b.naming = false }()
	name, ok := b.text(n)
	if k.spelled != nil {
		name = k.spelled(name)
	}
	return name, ok
}
