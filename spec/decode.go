package spec

import (
	"cmp"
	"fmt"
	"math"
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

// A decoder puts what references stand for in their place and the result into
// Go's types.
type decoder struct {
	*scope
	needs  needs                          // what the texts that it resolves refer to
	fields map[reflect.Type][]shape.Field // of each struct, for the length of a bind
}

func newDecoder(s *scope) decoder {
	return decoder{scope: s, needs: make(needs), fields: make(map[reflect.Type][]shape.Field)}
}

// seeing decodes what may refer to resources, too.
func (d decoder) seeing(x *index) decoder {
	d.scope, d.needs = d.scope.seeing(x), make(needs)
	return d
}

// text resolves a scalar in place and returns what it comes to. It returns
// false after reporting why it cannot.
func (d decoder) text(n *node) (string, bool) {
	if n.kind != scalar || n.bad {
		return "", false
	}
	if n.expanded {
		return n.text, true
	}
	n.expanded = true
	n.referred = strings.Contains(n.text, "${")
	v := d.expand(n)
	n.fromFile = v.fromFile
	text, plain := v.text()
	if v.ok && !plain {
		d.errorf(n, "only an output can refer to what is born in AWS: an access key, a task definition's arn or revision")
	}
	if !plain {
		n.bad = true
		return "", false
	}
	for _, id := range v.needs {
		d.needs.add(id, n)
	}
	n.text = text
	return text, true
}

// expandAll resolves a whole tree and finds keys that become equal by it.
func (d decoder) expandAll(n *node) {
	d.text(n)
	for _, item := range n.items {
		d.expandAll(item)
	}
	d.expandKeys(n)
	for _, f := range n.fields {
		d.expandAll(f.value)
	}
}

// expandKeys resolves the keys of a mapping.
func (d decoder) expandKeys(n *node) {
	seen := make(map[string]*node, len(n.fields))
	for _, f := range n.fields {
		key, ok := d.text(f.key)
		if !ok {
			continue
		}
		if first := seen[key]; first != nil {
			line, _ := first.place()
			d.errorf(f.key, "duplicate key %q, first on line %d", key, line)
			continue
		}
		seen[key] = f.key
	}
}

// decode stores a node in a Go value and reports what does not fit. name is
// the field's, for messages.
func (d decoder) decode(n *node, v reflect.Value, name string, enum []string) {
	if n.isNull() {
		return // left out
	}
	switch v.Addr().Interface().(type) {
	case *Document:
		if d.embedded(n, name, mapping) {
			d.expandAll(n)
			v.SetBytes(encode(n, policyScalar, d.findings))
		}
		return
	case *[]ecstypes.ContainerDefinition:
		if !d.embedded(n, name, sequence) {
			return
		}
	case **ecstypes.ProxyConfiguration:
		if n.kind == mapping && len(n.fields) == 0 { // asks for none
			v.Set(reflect.ValueOf(new(ecstypes.ProxyConfiguration)))
			return
		}
	case *map[string]Document:
		d.namedDocuments(n)
	case *time.Time:
		d.date(n, v, name)
		return
	case *time.Duration:
		d.duration(n, v, name)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if d.decode(n, v.Elem(), name, enum); n.bad {
			v.SetZero() // what it was meant to be is not known
		}
	case reflect.Struct:
		d.structure(n, v, name)
	case reflect.Slice:
		d.list(n, v, name, enum)
	case reflect.Map:
		d.table(n, v, name)
	default:
		d.scalar(n, v, name, enum)
	}
}

func (d decoder) structure(n *node, v reflect.Value, name string) {
	if !d.want(n, mapping, name) {
		return
	}
	d.expandKeys(n)
	fields := d.fieldsOf(v.Type())
	for _, f := range n.fields {
		i := slices.IndexFunc(fields, func(have shape.Field) bool { return have.Name == f.key.text })
		if i < 0 {
			if !f.key.bad {
				d.unknownField(f.key, name, fields)
			}
			continue
		}
		d.decode(f.value, v.FieldByIndex(fields[i].Index), fields[i].Name, fields[i].Enum)
	}
	for _, f := range fields {
		if !f.Required {
			continue
		}
		if have := n.field(f.Name); have == nil || have.isNull() {
			d.errorf(n.get(f.Name), "%s: %s is missing", name, f.Name)
		}
	}
}

func (d decoder) unknownField(key *node, of string, fields []shape.Field) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	hint := Suggest(key.text, names)
	if hint == "" {
		hint = "; allowed are " + oneOf(names)
	}
	d.errorf(key, "unknown field %q in %s%s", clip(key.text), of, hint)
}

// fieldsOf remembers the fields of each struct for the length of a bind.
func (d decoder) fieldsOf(t reflect.Type) []shape.Field {
	if _, ok := d.fields[t]; !ok {
		d.fields[t] = shape.Fields(t)
	}
	return d.fields[t]
}

func (d decoder) list(n *node, v reflect.Value, name string, enum []string) {
	if !d.want(n, sequence, name) {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		if item.isNull() {
			d.errorf(item, "%s: an empty item", name)
			continue
		}
		d.decode(item, v.Index(i), name, enum)
	}
}

// table decodes a mapping whose keys are the file's own.
func (d decoder) table(n *node, v reflect.Value, name string) {
	if !d.want(n, mapping, name) {
		return
	}
	d.expandKeys(n)
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.fields)))
	for _, f := range n.fields {
		if f.key.bad {
			continue
		}
		if f.value.isNull() {
			d.errorf(f.value, "%s: %q has no value; write \"\" for an empty one", name, f.key.text)
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(f.value, value, name+"."+f.key.text, nil)
		v.SetMapIndex(reflect.ValueOf(f.key.text), value)
	}
}

func (d decoder) scalar(n *node, v reflect.Value, name string, enum []string) {
	wanted := "text"
	switch v.Kind() {
	case reflect.Bool:
		wanted = "true or false"
	case reflect.Int32, reflect.Int64:
		wanted = "a whole number"
	}
	if n.kind != scalar {
		d.errorf(n, "%s: want %s, have %s", name, wanted, n.what())
		n.bad = true
		return
	}
	text, ok := d.text(n)
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
		d.errorf(n, "%s: %q is not allowed; allowed are %s%s", name, clip(text), oneOf(enum), hint)
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
			d.wrongType(n, name, wanted, quoted)
			return
		}
		v.SetBool(lower == "true")
	case reflect.Int32, reflect.Int64:
		if text == never && len(enum) > 0 {
			return // 0
		}
		i, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil || n.tag == "!!str" && !n.referred {
			d.wrongType(n, name, wanted, quoted)
			return
		}
		v.SetInt(i)
	default:
		d.errorf(n, "%s: not supported here", name)
	}
}

func (d decoder) wrongType(n *node, name, wanted string, quoted bool) {
	hint := ""
	if quoted {
		hint = " in quotes"
	}
	d.errorf(n, "%s: want %s, have %s%s", name, wanted, n.what(), hint)
	n.bad = true
}

func (d decoder) date(n *node, v reflect.Value, name string) {
	text, ok := d.text(n)
	if !ok {
		d.want(n, scalar, name)
		return
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			v.Set(reflect.ValueOf(t.UTC()))
			return
		}
	}
	d.errorf(n, "%s: want a date like 2030-01-31, have %s", name, n.what())
	n.bad = true
}

// dateOf is a date as a file has it.
func dateOf(t time.Time) string {
	if t = t.UTC(); t.Equal(t.Truncate(24 * time.Hour)) {
		return t.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339)
}

// duration reads a length of time; unlike time.ParseDuration it knows days,
// and nothing below a second.
func (d decoder) duration(n *node, v reflect.Value, name string) {
	text, ok := d.text(n)
	if !ok {
		d.want(n, scalar, name)
		return
	}
	length, ok := parseDuration(text)
	if !ok {
		d.errorf(n, "%s: want a time with its unit, d, h, m or s, like 90d or 1d12h, have %s", name, n.what())
		n.bad = true
		return
	}
	v.SetInt(int64(length))
}

// parseDuration reads numbers with units, the largest unit first.
func parseDuration(s string) (time.Duration, bool) {
	parts := durationText.FindStringSubmatch(s)
	if s == "" || parts == nil {
		return 0, false
	}
	var sum time.Duration
	for i, unit := range durationUnits {
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

// durationOf is a length of time as a file has it.
func durationOf(d time.Duration) string {
	var sb strings.Builder
	for i, unit := range durationUnits {
		if n := d / unit; n > 0 {
			fmt.Fprintf(&sb, "%d%c", n, "dhms"[i])
			d -= n * unit
		}
	}
	return cmp.Or(sb.String(), "0s")
}

var durationUnits = []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second}

var durationText = regexp.MustCompile(`^(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?$`)
