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
	needs map[ID]*node // each resource that carries the tags needs these
}

func (b *binder) readStackTags(root *node) {
	n := root.field("tags")
	if n == nil {
		return
	}
	r := &resource{needs: make(map[ID]*node)}
	b.current = r
	b.decode(n, reflect.ValueOf(&b.stackTags.tags).Elem(), "tags", nil)
	b.current = nil
	b.stackTags.needs = r.needs
	b.checkTags(n)
}

// tags lays a resource's own tags over the stack's; nil where neither gives
// any.
func (b *binder) tags(r *resource, own map[string]string) map[string]string {
	n := r.node.field("tags")
	if n != nil {
		b.checkTags(n)
	} else {
		n = r.node
	}
	if own == nil && b.stackTags.tags == nil {
		return nil
	}
	for id, at := range b.stackTags.needs {
		if r.needs[id] == nil {
			r.needs[id] = at
		}
	}
	all := make(map[string]string, len(b.stackTags.tags)+len(own))
	maps.Copy(all, b.stackTags.tags)
	maps.Copy(all, own)
	if len(all) > maxTags-1 {
		b.errorf(n, "%d tags; AWS allows %d, and one of them is the ownership mark", len(all), maxTags)
	}
	if r.id.Kind == Role || r.id.Kind == User {
		b.checkTagCase(n, all)
	}
	return all
}

func (b *binder) checkTags(n *node) {
	if n.kind != mapping {
		return // reported by decoding
	}
	for _, f := range n.fields {
		key, value := f.key.text, f.value.text
		if !f.key.bad {
			switch {
			case key == "" || utf8.RuneCountInString(key) > maxTagKey:
				b.errorf(f.key, "tags: a key has 1 to %d characters, this one has %d", maxTagKey, utf8.RuneCountInString(key))
			case strings.HasPrefix(strings.ToLower(key), "aws:"):
				b.errorf(f.key, "tags: %q is reserved: keys that begin with aws: are AWS's own", key)
			case strings.HasPrefix(key, OwnTagPrefix):
				b.errorf(f.key, "tags: %q is reserved: keys that begin with %s mark what a stack owns", key, OwnTagPrefix)
			case !tagText.MatchString(key):
				b.errorf(f.key, "tags: %q: allowed are letters, digits, spaces and _ . : / = + - @", clip(key))
			}
		}
		if f.value.kind != scalar || f.value.bad || f.value.isNull() {
			continue
		}
		switch size := utf8.RuneCountInString(value); {
		case size > maxTagValue:
			b.errorf(f.value, "tags: %s: a value has at most %d characters, this one has %d", key, maxTagValue, size)
		case !tagText.MatchString(value):
			b.errorf(f.value, "tags: %s: %q: allowed are letters, digits, spaces and _ . : / = + - @", key, clip(value))
		}
	}
}

// checkTagCase: for users and roles, and for nothing else, IAM takes keys that
// differ in case only for the same and refuses both.
func (b *binder) checkTagCase(n *node, tags map[string]string) {
	seen := make(map[string]string, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		lower := strings.ToLower(key)
		if first, ok := seen[lower]; ok {
			b.errorf(n.key(key), "tags: %q and %q differ in case only, which IAM refuses on users and roles", first, key)
		}
		seen[lower] = key
	}
}
