package ecs

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
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
	case reflect.Interface:
		// A union of the API: an object with one field, named after the
		// variant. In Go it is a pointer to UNIONMemberVARIANT.
		if v.IsNil() {
			return nil
		}
		variant := v.Elem().Elem()
		_, name, _ := strings.Cut(variant.Type().Name(), "Member")
		value := reflectTree(variant.FieldByName("Value"))
		if value == nil {
			value = map[string]any{}
		}
		return map[string]any{lowerCamel(name): value}
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

// lowerCamel is the API's name of a field.
func lowerCamel(name string) string { return strings.ToLower(name[:1]) + name[1:] }

// input is the way back. encoding/json finds the SDK's fields without regard
// to case, but cannot fill its unions, of which there is one.
func input(tree map[string]any) (*ecs.RegisterTaskDefinitionInput, error) {
	tree, _ = clone(tree).(map[string]any)
	type place struct{ container, requirement int }
	strategies := map[place]any{}
	for i, c := range objects(tree["containerDefinitions"]) {
		for j, r := range objects(c["resourceRequirements"]) {
			if s, ok := r["sharingStrategy"]; ok {
				strategies[place{i, j}] = s
				delete(r, "sharingStrategy")
			}
		}
	}
	in := &ecs.RegisterTaskDefinitionInput{}
	if err := fromTree(tree, in); err != nil {
		return nil, err
	}
	for at, s := range strategies {
		var strategy struct{ NvidiaMps *types.NvidiaMpsAllocation }
		if err := fromTree(s, &strategy); err != nil {
			return nil, err
		}
		if strategy.NvidiaMps == nil {
			return nil, fmt.Errorf("sharingStrategy %v is not known to this version", s)
		}
		in.ContainerDefinitions[at.container].ResourceRequirements[at.requirement].SharingStrategy = &types.SharingStrategyMemberNvidiaMps{
			Value: *strategy.NvidiaMps,
		}
	}
	return in, nil
}

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
