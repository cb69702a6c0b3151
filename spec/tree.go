package spec

import (
	"cmp"
	"reflect"
	"strings"
	"time"

	"github.com/churn-reconcile/churn-reconcile/spec/internal/shape"
)

// Tree is a resource as a file would hold it: its fields under the spec's
// names, each one a tree of map[string]any, []any, string, bool, int64 and
// float64, and a [Document] where it holds one. A field that is left out is not
// in it. One that is given but empty is: an empty list, map, text or Document.
//
// Within AWS's own shapes what is empty counts as left out, as it does for AWS.
// They are walked by reflection because a list of fields written by hand would
// silently hide the ones that AWS adds.
func Tree(resource any) map[string]any {
	tree := map[string]any{}
	own(tree, reflect.ValueOf(resource), false)
	return tree
}

// own adds the fields of one of the spec's own structs. Within a part, such as
// a bucket's publicAccessBlock, a switch is written whether it is on or off.
func own(tree map[string]any, v reflect.Value, part bool) {
	for i := range v.NumField() {
		f, field := v.Type().Field(i), v.Field(i)
		tag := f.Tag.Get("yaml")
		off := part && f.Type.Kind() == reflect.Bool
		switch {
		case tag == "-", field.IsZero() && !off:
		case tag == ",inline":
			own(tree, field, part)
		default:
			tree[tag] = given(field)
		}
	}
}

// given is the tree of a field that is not left out.
func given(v reflect.Value) any {
	switch v := v.Interface().(type) {
	case Document:
		return v
	case time.Duration:
		return durationOf(v)
	case map[string]Document:
		tree := make(map[string]any, len(v))
		for name, document := range v {
			tree[name] = document
		}
		return tree
	}
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		if _, ours := v.Elem().Type().Field(0).Tag.Lookup("yaml"); ours {
			tree := map[string]any{}
			own(tree, v.Elem(), true)
			return tree
		}
	}
	if tree := shapeTree(v); tree != nil {
		return tree
	}
	// Given, and empty.
	switch v.Kind() {
	case reflect.Slice:
		return []any{}
	case reflect.Map, reflect.Pointer:
		return map[string]any{}
	}
	return leaf(v)
}

// ShapeTree is a value of one of AWS's shapes as a tree; nil where it is empty.
func ShapeTree(v any) any { return shapeTree(reflect.ValueOf(v)) }

func shapeTree(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Invalid:
		return nil
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		if e := v.Elem(); e.Kind() != reflect.Struct {
			return leaf(e) // a pointer to zero was given; a bare zero was not
		}
		return shapeTree(v.Elem())
	case reflect.Interface:
		// A union of the API: an object with one field, named after the
		// variant. In Go it is a pointer to UNIONMemberVARIANT.
		if v.IsNil() {
			return nil
		}
		variant := v.Elem().Elem()
		_, name, _ := strings.Cut(variant.Type().Name(), "Member")
		value := shapeTree(variant.FieldByName("Value"))
		if value == nil {
			value = map[string]any{}
		}
		return map[string]any{shape.Name(name): value}
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			return dateOf(t)
		}
		tree := map[string]any{}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			if value := shapeTree(v.Field(i)); value != nil {
				tree[cmp.Or(f.Tag.Get("yaml"), shape.Name(f.Name))] = value
			}
		}
		return orNone(tree)
	case reflect.Map:
		tree := map[string]any{}
		for _, key := range v.MapKeys() {
			tree[key.String()] = element(v.MapIndex(key)) // an empty value is a value: FOO=""
		}
		return orNone(tree)
	case reflect.Slice:
		var list []any
		for i := range v.Len() {
			list = append(list, element(v.Index(i)))
		}
		if list == nil {
			return nil
		}
		return list
	}
	if v.IsZero() {
		return nil
	}
	return leaf(v)
}

// element is a member of a list or map, which is there even if it is empty.
func element(v reflect.Value) any {
	if tree := shapeTree(v); tree != nil {
		return tree
	}
	return leaf(v)
}

func leaf(v reflect.Value) any {
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Int, reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Float32, reflect.Float64:
		return v.Float()
	case reflect.Struct:
		return map[string]any{}
	}
	return nil
}

func orNone(tree map[string]any) any {
	if len(tree) == 0 {
		return nil
	}
	return tree
}

// Overlay lays what upper gives over base: a field that upper leaves out is
// base's. Tags are upper's, since [reconcile.Tags] knows what is kept of them.
func Overlay[S any](base, upper S) S {
	merged := upper
	from, to := reflect.ValueOf(base), reflect.ValueOf(&merged).Elem()
	for i := range to.NumField() {
		if to.Field(i).IsZero() && to.Type().Field(i).Type != reflect.TypeFor[Meta]() {
			to.Field(i).Set(from.Field(i))
		}
	}
	return merged
}
