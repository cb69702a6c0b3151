package spec

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// AWS's limits on tags, the same for every service here.
const (
	maxTags     = 50 // one of them is the ownership mark
	maxTagKey   = 128
	maxTagValue = 256
)

// OwnTagPrefix begins the keys of the product's own tags.
const OwnTagPrefix = "churn-reconcile:"

var tagText = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// stackTags are the tags of the top level, resolved once for all resources.
type stackTags struct {
	tags  map[string]string
	needs needs // each resource that carries the tags needs these
}

func (d decoder) stackTags(root *node) stackTags {
	n := root.field("tags")
	if n == nil {
		return stackTags{}
	}
	stack := stackTags{needs: make(needs)}
	d.needs = stack.needs
	d.decode(n, reflect.ValueOf(&stack.tags).Elem(), "tags", nil)
	d.checkTags(n)
	return stack
}

// tags lays a resource's own tags over the stack's; nil where neither gives
// any, and for a kind that has none.
func (c checker) tags(e *entry, own map[string]string, stack stackTags) map[string]string {
	if e.id.Kind.row().untagged {
		return nil
	}
	n := e.node.field("tags")
	if n != nil {
		c.checkTags(n)
	} else {
		n = e.node
	}
	if own == nil && stack.tags == nil {
		return nil
	}
	for id, at := range stack.needs {
		c.needs.add(id, at)
	}
	all := make(map[string]string, len(stack.tags)+len(own))
	maps.Copy(all, stack.tags)
	maps.Copy(all, own)
	if len(all) > maxTags-1 {
		c.errorf(n, "%d tags; AWS allows %d, and one of them is the ownership mark", len(all), maxTags)
	}
	if e.id.Kind.FoldsTags() {
		c.checkTagCase(n, all)
	}
	return all
}

func (f *findings) checkTags(n *node) {
	if n.kind != mapping {
		return // reported by decoding
	}
	for _, tag := range n.fields {
		key, value := tag.key.text, tag.value.text
		if !tag.key.bad {
			switch {
			case key == "" || utf8.RuneCountInString(key) > maxTagKey:
				f.errorf(tag.key, "tags: a key has 1 to %d characters, this one has %d", maxTagKey, utf8.RuneCountInString(key))
			case strings.HasPrefix(strings.ToLower(key), "aws:"):
				f.errorf(tag.key, "tags: %q is reserved: keys that begin with aws: are AWS's own", key)
			case strings.HasPrefix(key, OwnTagPrefix):
				f.errorf(tag.key, "tags: %q is reserved: keys that begin with %s mark what a stack owns", key, OwnTagPrefix)
			case !tagText.MatchString(key):
				f.errorf(tag.key, "tags: %q: allowed are letters, digits, spaces and _ . : / = + - @", clip(key))
			}
		}
		if tag.value.kind != scalar || tag.value.bad || tag.value.isNull() {
			continue
		}
		switch size := utf8.RuneCountInString(value); {
		case size > maxTagValue:
			f.errorf(tag.value, "tags: %s: a value has at most %d characters, this one has %d", key, maxTagValue, size)
		case !tagText.MatchString(value):
			f.errorf(tag.value, "tags: %s: %q: allowed are letters, digits, spaces and _ . : / = + - @", key, clip(value))
		}
	}
}

// checkTagCase: for users and roles, and for nothing else, IAM takes keys that
// differ in case only for the same and refuses both.
func (f *findings) checkTagCase(n *node, tags map[string]string) {
	seen := make(map[string]string, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		lower := strings.ToLower(key)
		if first, ok := seen[lower]; ok {
			f.errorf(n.key(key), "tags: %q and %q differ in case only, which IAM refuses on users and roles", first, key)
		}
		seen[lower] = key
	}
}
