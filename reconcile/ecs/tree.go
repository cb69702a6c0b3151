package ecs

import (
	"encoding/json"
	"reflect"
	"strings"
	"unicode"
)

// treeOf turns a value of the SDK's types into a tree under the API's own
// lowerCamelCase names. What is empty counts as absent, as it does for ECS.
// It walks the types by reflection because a list of fields written by hand
// would silently hide the ones that AWS adds.
func treeOf(v any) any { return reflectTree(reflect.ValueOf(v)) }

func reflectTree(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		if e := v.Elem(); e.Kind() != reflect.Struct {
			return scalar(e) // a pointer to zero was given; a bare zero was not
		}
		return reflectTree(v.Elem())
	case reflect.Struct:
		tree := map[string]any{}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				put(tree, lowerCamel(f.Name), reflectTree(v.Field(i)))
			}
		}
		return orNone(tree)
	case reflect.Map:
		tree := map[string]any{}
		for _, key := range v.MapKeys() {
			tree[key.String()] = reflectTree(v.MapIndex(key))
			if tree[key.String()] == nil { // an empty value is a value: FOO=""
				tree[key.String()] = scalar(v.MapIndex(key))
			}
		}
		return orNone(tree)
	case reflect.Slice:
		var list []any
		for i := range v.Len() {
			e := reflectTree(v.Index(i))
			if e == nil {
				e = scalar(v.Index(i))
			}
			list = append(list, e)
		}
		if list == nil {
			return nil
		}
		return list
	case reflect.Invalid:
		return nil
	}
	if v.IsZero() {
		return nil
	}
	return scalar(v)
}

func scalar(v reflect.Value) any {
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

func put(tree map[string]any, key string, value any) {
	if value != nil {
		tree[key] = value
	}
}

func orNone(tree map[string]any) any {
	if len(tree) == 0 {
		return nil
	}
	return tree
}

// lowerCamel is the API's name of a field: "EfsVolumeConfiguration" is
// efsVolumeConfiguration.
func lowerCamel(name string) string {
	head := strings.IndexFunc(name, unicode.IsLower)
	if head > 1 { // an initialism: lower all of it but the next word's first letter
		return strings.ToLower(name[:head-1]) + name[head-1:]
	}
	return strings.ToLower(name[:1]) + name[1:]
}

// fromTree is the way back, into a value of the SDK's types, whose fields
// encoding/json finds without regard to case.
func fromTree(tree, into any) error {
	text, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// clone copies a tree, so that a normal form can be made of it in place.
func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for key, value := range v {
			c[key] = clone(value)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, e := range v {
			c[i] = clone(e)
		}
		return c
	}
	return v
}
