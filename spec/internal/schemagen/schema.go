package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strconv"
	"time"

	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/churn-reconcile/churn-reconcile/spec"
	"github.com/churn-reconcile/churn-reconcile/spec/internal/shape"
)

// A schema is one JSON Schema object; encoding/json sorts its keys.
type schema map[string]any

// generator collects a definition for each struct that it meets.
type generator struct {
	comments    comments
	definitions schema
}

// generate is the whole schema as text.
func generate() ([]byte, error) {
	comments, err := readComments(
		reflect.TypeFor[spec.Spec]().PkgPath(),
		reflect.TypeFor[ecstypes.ContainerDefinition]().PkgPath(),
		reflect.TypeFor[ecrtypes.ImageTagMutabilityExclusionFilter]().PkgPath(),
		reflect.TypeFor[s3types.LifecycleRule]().PkgPath(),
	)
	if err != nil {
		return nil, err
	}
	g := &generator{comments: comments, definitions: schema{
		"reference":      schema{"description": "a value with ${references} in it", "type": "string", "pattern": `\$\{`},
		"text":           text(),
		"file":           object(schema{"file": schema{"type": "string", "description": "path, relative to the spec that names it; JSON or YAML"}}, "file"),
		"policyDocument": policyDocument(),
		"imageLifecycle": imageLifecycle(),
	}}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(g.root()); err != nil {
		return nil, fmt.Errorf("encode schema: %w", err)
	}
	return buf.Bytes(), nil
}

func (g *generator) root() schema {
	root := reflect.TypeFor[spec.Spec]()
	properties := schema{}
	for _, f := range shape.Fields(root) {
		if f.Name == "outputs" {
			continue
		}
		properties[f.Name] = g.property(f)
	}
	properties["extends"] = schema{"type": "string", "description": "path of a spec that this one stands over, relative to this file; resources are matched by name, null takes a field away"}
	properties["vars"] = table("values to refer to as ${var.NAME}; --var and CHURN_VAR_NAME win; null: the value has to come from there")
	properties["tags"] = table("on every resource that can carry tags; a resource's own win")
	properties["outputs"] = table("named values for other programs to read")
	for name, property := range properties {
		properties[name] = orNull(property.(schema))
	}
	s := object(properties)
	s["$schema"] = "http://json-schema.org/draft-07/schema#"
	s["title"] = "churn-reconcile spec"
	// A file that extends another may leave out what that one gives.
	s["if"] = schema{"required": []string{"extends"}}
	s["then"] = schema{}
	s["else"] = schema{"required": []string{"project", "environment"}}
	s["definitions"] = g.definitions
	return s
}

// table is a mapping of the file's own names to texts.
func table(description string) schema {
	return schema{"type": "object", "description": description, "additionalProperties": orNull(ref("text"))}
}

func text() schema { return schema{"type": []string{"string", "number", "boolean"}} }

func ref(name string) schema { return schema{"$ref": "#/definitions/" + name} }

func object(properties schema, required ...string) schema {
	s := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// orNull allows null, which is the same as leaving a field out. The
// description stays outside, where editors look for it.
func orNull(s schema) schema {
	null := schema{"type": "null"}
	if types, ok := s["type"].([]string); ok {
		s["type"] = append(slices.Clone(types), "null")
		return s
	}
	for _, several := range []string{"anyOf", "oneOf"} {
		if forms, ok := s[several].([]any); ok {
			s[several] = append(slices.Clone(forms), null)
			return s
		}
	}
	outer := schema{"anyOf": []any{s, null}}
	if d, ok := s["description"]; ok {
		delete(s, "description")
		outer["description"] = d
	}
	return outer
}

// property is the schema of a field.
func (g *generator) property(f shape.Field) schema {
	s := g.of(f.Type, f.Enum)
	if f.Struct == reflect.TypeFor[spec.ECRRepository]() && f.Name == "lifecyclePolicy" {
		s = document("imageLifecycle")
	}
	if d := g.comments.of(f.Struct, f.GoName); d != "" {
		s["description"] = d
	}
	return s
}

func (g *generator) of(t reflect.Type, enum []string) schema {
	switch t {
	case reflect.TypeFor[spec.Document]():
		return document("policyDocument")
	case reflect.TypeFor[[]ecstypes.ContainerDefinition]():
		return schema{"oneOf": []any{
			schema{"type": "array", "items": g.of(t.Elem(), nil)},
			schema{"type": "string", "description": "the list as JSON text"},
			ref("file"),
		}}
	case reflect.TypeFor[map[string]spec.Document]():
		return schema{"oneOf": []any{
			schema{"type": "object", "additionalProperties": document("policyDocument")},
			schema{"type": "array", "items": object(schema{"name": ref("text"), "document": document("policyDocument")}, "name", "document")},
		}}
	case reflect.TypeFor[*ecstypes.ProxyConfiguration]():
		return schema{"anyOf": []any{g.of(t.Elem(), nil), schema{"type": "object", "maxProperties": 0}}}
	case reflect.TypeFor[time.Time]():
		return schema{"type": "string"}
	case reflect.TypeFor[time.Duration]():
		return schema{"anyOf": []any{schema{"type": "string", "pattern": "^([0-9]+[dhms])+$"}, ref("reference")}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.of(t.Elem(), enum)
	case reflect.Struct:
		g.define(t)
		return ref(name(t))
	case reflect.Slice:
		return schema{"type": "array", "items": g.of(t.Elem(), enum)}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": g.of(t.Elem(), nil)}
	case reflect.Bool:
		return schema{"anyOf": []any{schema{"type": "boolean"}, ref("reference")}}
	case reflect.Int32, reflect.Int64:
		if len(enum) > 0 {
			return oneOf(numbers(enum))
		}
		return schema{"anyOf": []any{schema{"type": "integer"}, ref("reference")}}
	}
	if len(enum) == 0 {
		enum = shape.Enum(t)
	}
	if len(enum) > 0 {
		return oneOf(enum)
	}
	return text()
}

func oneOf(values any) schema {
	return schema{"anyOf": []any{schema{"enum": values}, ref("reference")}}
}

// numbers turns what are numbers in a file into numbers.
func numbers(enum []string) []any {
	var out []any
	for _, v := range enum {
		if i, err := strconv.Atoi(v); err == nil {
			out = append(out, i)
		} else {
			out = append(out, v)
		}
	}
	return out
}

// document is the three forms of a policy document.
func document(definition string) schema {
	return schema{"oneOf": []any{
		ref(definition),
		schema{"type": "string", "description": "the document as JSON text"},
		ref("file"),
	}}
}

// define adds a struct's definition. It is entered before its fields are
// looked at, so that a struct may contain itself.
func (g *generator) define(t reflect.Type) {
	if _, ok := g.definitions[name(t)]; ok {
		return
	}
	def := schema{}
	g.definitions[name(t)] = def
	_, resource := t.FieldByName("Meta")
	properties := schema{}
	var required []string
	for _, f := range shape.Fields(t) {
		s := g.property(f)
		// In a file that extends another a resource needs only its name; the
		// loader looks at what results.
		demanded := f.Required && (!resource || f.Name == "name" || f.Name == "family" || f.Name == "url")
		if demanded {
			required = append(required, f.Name)
		} else {
			s = orNull(s)
		}
		properties[f.Name] = s
	}
	for k, v := range object(properties, required...) {
		def[k] = v
	}
	if d := g.comments.of(t, ""); d != "" {
		def["description"] = d
	}
}

// name tells the SDK's types, which live in packages of one name, from ours.
func name(t reflect.Type) string {
	if t.PkgPath() == reflect.TypeFor[spec.Spec]().PkgPath() {
		return t.Name()
	}
	return path.Base(path.Dir(t.PkgPath())) + "." + t.Name()
}

// policyDocument is the grammar of policies as far as a schema can hold it.
func policyDocument() schema {
	texts := schema{"anyOf": []any{ref("text"), schema{"type": "array", "items": ref("text")}}}
	principal := schema{"anyOf": []any{
		schema{"type": "string"},
		object(schema{"AWS": texts, "Service": texts, "Federated": texts, "CanonicalUser": texts}),
	}}
	statement := object(schema{
		"Sid":          ref("text"),
		"Effect":       oneOf([]string{"Allow", "Deny"}),
		"Principal":    principal,
		"NotPrincipal": principal,
		"Action":       texts,
		"NotAction":    texts,
		"Resource":     texts,
		"NotResource":  texts,
		"Condition":    schema{"type": "object", "additionalProperties": schema{"type": "object", "additionalProperties": texts}},
	}, "Effect")
	return object(schema{
		"Version":   oneOf([]string{"2012-10-17", "2008-10-17"}),
		"Id":        ref("text"),
		"Statement": schema{"anyOf": []any{statement, schema{"type": "array", "items": statement, "minItems": 1}}},
	})
}

// imageLifecycle is a lifecycle policy of ECR.
func imageLifecycle() schema {
	number := schema{"anyOf": []any{schema{"type": "integer", "minimum": 1}, ref("reference")}}
	rule := schema{
		"type":     "object",
		"required": []string{"rulePriority", "selection", "action"},
		"properties": schema{
			"rulePriority": number,
			"description":  ref("text"),
			"selection":    schema{"type": "object", "properties": schema{"countNumber": number}},
			"action":       schema{"type": "object"},
		},
	}
	return object(schema{"rules": schema{"type": "array", "items": rule, "minItems": 1}})
}
