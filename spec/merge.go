package spec

import (
	"slices"
)

// merge lays copies of the files over one another, the base undermost. It goes
// by names, and so resolves those and no more.
func merge(layers []*node, names decoder) *node {
	root := layers[0].clone()
	for _, upper := range layers[1:] {
		names.overlay(root, upper.clone())
	}
	return root
}

// overlay merges an upper file into root.
func (d decoder) overlay(root, upper *node) {
	for _, f := range upper.fields {
		base := root.field(f.key.text)
		switch {
		case f.key.text == "extends":
		case f.key.text == "assumeRole", f.key.text == "lease": // an external id belongs to its role, a key to its bucket
			root.set(f)
		case base == nil:
			root.set(f)
		case f.value.isNull():
			root.drop(f.key.text)
		case base.kind != mapping || f.value.kind != mapping:
			root.set(f)
		case slices.Contains([]string{"vars", "tags", "outputs"}, f.key.text):
			d.overlayMap(base, f.value, f.key.text != "vars")
		default:
			d.overlaySection(f.key.text, base, f.value)
		}
	}
}

// overlayMap merges by key, after references in keys are resolved.
func (d decoder) overlayMap(base, upper *node, resolve bool) {
	if resolve {
		for _, f := range slices.Concat(base.fields, upper.fields) {
			d.text(f.key)
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
func (d decoder) overlaySection(section string, base, upper *node) {
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
			d.overlayList(kinds[i], below, f.value)
		}
	}
}

func (d decoder) overlayList(k kind, base, upper *node) {
	byName := make(map[string]int)
	for i, item := range base.items {
		if name, ok := d.nameOf(k, item); ok {
			if _, twice := byName[name]; !twice {
				byName[name] = i
			}
		}
	}
	for _, item := range upper.items {
		name, ok := d.nameOf(k, item)
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
