package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/churn-reconcile/churn-reconcile/spec"
	"github.com/churn-reconcile/churn-reconcile/spec/internal/shape"
)

// TestFresh: the committed schema is the one that the types make.
func TestFresh(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, spec.Schema()) {
		t.Errorf("schema.json is stale, run go generate ./spec:\n%s", cmp.Diff(strings.Split(string(spec.Schema()), "\n"), strings.Split(string(want), "\n")))
	}
}

// visit calls see for each struct and each field that a spec can reach.
func visit(t reflect.Type, seen map[reflect.Type]bool, see func(shape.Field)) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() || seen[t] {
		return
	}
	seen[t] = true
	for _, f := range shape.Fields(t) {
		see(f)
		visit(f.Type, seen, see)
	}
}

// TestEnums: each enum of AWS within reach has its values, so that a new one
// cannot slip by unchecked.
func TestEnums(t *testing.T) {
	found := 0
	visit(reflect.TypeFor[spec.Spec](), make(map[reflect.Type]bool), func(f shape.Field) {
		e := f.Type
		for e.Kind() == reflect.Pointer || e.Kind() == reflect.Slice {
			e = e.Elem()
		}
		if e.Kind() != reflect.String || e == reflect.TypeFor[string]() || strings.HasSuffix(e.PkgPath(), "/spec") {
			return
		}
		found++
		if len(shape.Enum(e)) == 0 {
			t.Errorf("%s.%s: no values of %s", f.Struct, f.GoName, e)
		}
	})
	if found < 20 {
		t.Errorf("only %d enums were met", found)
	}
}

// TestRequired: what the SDK documents as required is required here.
func TestRequired(t *testing.T) {
	const mark = "This member is required."
	documented := 0
	sources := make(map[string]string)
	visit(reflect.TypeFor[spec.Spec](), make(map[reflect.Type]bool), func(f shape.Field) {
		pkg := f.Struct.PkgPath()
		if !strings.Contains(pkg, "aws-sdk-go-v2") {
			return
		}
		if sources[pkg] == "" {
			file, err := typesFile(pkg)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources[pkg] = string(text)
		}
		_, body, _ := strings.Cut(sources[pkg], "\ntype "+f.Struct.Name()+" struct {")
		body, _, _ = strings.Cut(body, "\n}")
		if strings.Contains(body, mark+"\n\t"+f.GoName+" ") {
			documented++
			if !f.Required {
				t.Errorf("%s.%s is required by AWS", f.Struct, f.GoName)
			}
		}
	})
	if documented < 20 {
		t.Errorf("only %d required fields were met", documented)
	}
}

// accepts is the part of JSON Schema that the generator uses.
func accepts(root, s map[string]any, v any) error {
	if ref, ok := s["$ref"].(string); ok {
		def, ok := root["definitions"].(map[string]any)[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
		if !ok {
			return fmt.Errorf("%s leads nowhere", ref)
		}
		return accepts(root, def, v)
	}
	if types, ok := s["type"]; ok {
		list, several := types.([]any)
		if !several {
			list = []any{types}
		}
		if !slices.ContainsFunc(list, func(name any) bool { return isType(name.(string), v) }) {
			return fmt.Errorf("%v is not of type %v", v, types)
		}
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		return fmt.Errorf("%v is none of %v", v, enum)
	}
	if pattern, ok := s["pattern"].(string); ok {
		if text, isText := v.(string); isText && !regexp.MustCompile(pattern).MatchString(text) {
			return fmt.Errorf("%q is not like %s", text, pattern)
		}
	}
	for _, several := range []string{"anyOf", "oneOf"} {
		forms, ok := s[several].([]any)
		if !ok {
			continue
		}
		fit, reasons := 0, ""
		for _, form := range forms {
			if err := accepts(root, form.(map[string]any), v); err == nil {
				fit++
			} else {
				reasons += "\n  " + err.Error()
			}
		}
		if fit == 0 || several == "oneOf" && fit > 1 {
			return fmt.Errorf("%v fits %d of %s:%s", v, fit, several, reasons)
		}
	}
	if list, ok := v.([]any); ok {
		if least, ok := s["minItems"].(float64); ok && len(list) < int(least) {
			return fmt.Errorf("%v is too short", v)
		}
		if items, ok := s["items"].(map[string]any); ok {
			for _, item := range list {
				if err := accepts(root, items, item); err != nil {
					return err
				}
			}
		}
	}
	if number, ok := v.(float64); ok {
		if least, ok := s["minimum"].(float64); ok && number < least {
			return fmt.Errorf("%v is below %v", v, least)
		}
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	if required, ok := s["required"].([]any); ok {
		for _, name := range required {
			if _, ok := object[name.(string)]; !ok {
				return fmt.Errorf("%v is missing", name)
			}
		}
	}
	properties, _ := s["properties"].(map[string]any)
	for name, value := range object {
		property, ok := properties[name].(map[string]any)
		if !ok {
			switch more := s["additionalProperties"].(type) {
			case bool:
				if !more {
					return fmt.Errorf("%s is unknown", name)
				}
				continue
			case map[string]any:
				property = more
			default:
				continue
			}
		}
		if err := accepts(root, property, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if condition, ok := s["if"].(map[string]any); ok {
		branch := "else"
		if accepts(root, condition, v) == nil {
			branch = "then"
		}
		return accepts(root, s[branch].(map[string]any), v)
	}
	return nil
}

func isType(name string, v any) bool {
	switch v := v.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case float64:
		return name == "number" || name == "integer" && v == float64(int64(v))
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}

// plain turns what yaml.v3 makes of a file into what a JSON reader would.
func plain(t *testing.T, text []byte) any {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal(text, &n); err != nil {
		t.Fatal(err)
	}
	timestampsAsText(&n)
	var v any
	if err := n.Decode(&v); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(stringKeys(v))
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func timestampsAsText(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!timestamp" {
		n.Tag = "!!str"
	}
	for _, c := range n.Content {
		timestampsAsText(c)
	}
}

func stringKeys(v any) any {
	switch v := v.(type) {
	case map[any]any:
		m := make(map[string]any)
		for k, value := range v {
			m[fmt.Sprint(k)] = stringKeys(value)
		}
		return m
	case map[string]any:
		for k, value := range v {
			v[k] = stringKeys(value)
		}
	case []any:
		for i, item := range v {
			v[i] = stringKeys(item)
		}
	}
	return v
}

func schemaValue(t *testing.T) map[string]any {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(spec.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestAccepts: an editor marks nothing in the examples, nor in the specs that
// the loader's tests hold for good.
func TestAccepts(t *testing.T) {
	root := schemaValue(t)
	examples, err := filepath.Glob("../../../examples/*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatal("no examples", err)
	}
	specs := 0
	for _, file := range examples {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// Other jobs' files lie beside the specs.
		if !strings.HasPrefix(string(text), "# yaml-language-server: $schema=../spec/schema.json\n") {
			continue
		}
		specs++
		if err := accepts(root, root, plain(t, text)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	if specs < 3 {
		t.Errorf("only %d specs among the examples", specs)
	}
	rules, err := filepath.Glob("../../testdata/rules/*.txt")
	if err != nil || len(rules) == 0 {
		t.Fatal("no rules", err)
	}
	for _, file := range rules {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for section := range strings.SplitSeq("\n"+string(text), "\n-- ") {
			body, ok := strings.CutPrefix(section, "good --\n")
			if !ok {
				continue
			}
			body = "project: p\nenvironment: e\n" + body
			if err := accepts(root, root, plain(t, []byte(body))); err != nil {
				t.Errorf("%s: %v\n%s", filepath.Base(file), err, body)
			}
		}
	}
}

// TestRefuses: what an editor should mark, it marks.
func TestRefuses(t *testing.T) {
	root := schemaValue(t)
	for name, body := range map[string]string{
		"no project":            "environment: e\n",
		"unknown field":         "project: p\nenvironment: e\noutput: {}\n",
		"unknown resource":      "project: p\nenvironment: e\ns3: {bucket: []}\n",
		"name missing":          "project: p\nenvironment: e\ns3: {buckets: [{versioning: Enabled}]}\n",
		"enum":                  "project: p\nenvironment: e\ns3: {buckets: [{name: x, versioning: enabled}]}\n",
		"retention":             "project: p\nenvironment: e\nlogs: {logGroups: [{name: x, retentionInDays: 8}]}\n",
		"number as text":        "project: p\nenvironment: e\niam: {roles: [{name: x, maxSessionDuration: long}]}\n",
		"boolean as text":       "project: p\nenvironment: e\ns3: {buckets: [{name: x, forceDestroy: 'yes'}]}\n",
		"list as text":          "project: p\nenvironment: e\niam: {users: [{name: x, policies: y}]}\n",
		"AWS's field":           "project: p\nenvironment: e\necs: {taskDefinitions: [{family: f, containerDefinitions: [{name: c, image: i, enviroment: []}]}]}\n",
		"AWS's required field":  "project: p\nenvironment: e\necs: {taskDefinitions: [{family: f, containerDefinitions: [{name: c}]}]}\n",
		"AWS's enum":            "project: p\nenvironment: e\necs: {taskDefinitions: [{family: f, requiresCompatibilities: [fargate]}]}\n",
		"statement":             "project: p\nenvironment: e\niam: {policies: [{name: p, document: {Statement: [{Effect: Allow, Actions: x}]}}]}\n",
		"effect":                "project: p\nenvironment: e\niam: {policies: [{name: p, document: {Statement: [{Effect: allow}]}}]}\n",
		"extends, yet a list":   "extends: [a]\n",
		"ECR rule":              "project: p\nenvironment: e\necr: {repositories: [{name: x, lifecyclePolicy: {rules: [{rulePriority: 0, selection: {}, action: {}}]}}]}\n",
		"sink":                  "project: p\nenvironment: e\niam: {users: [{name: x, accessKey: {deliver: [{flie: {path: y}}]}}]}\n",
		"sink's format":         "project: p\nenvironment: e\niam: {users: [{name: x, accessKey: {deliver: [{file: {path: y, format: ini}}]}}]}\n",
		"bare time":             "project: p\nenvironment: e\niam: {users: [{name: x, accessKey: {rotateAfter: 90, deliver: []}}]}\n",
		"time without a unit":   "project: p\nenvironment: e\niam: {users: [{name: x, accessKey: {rotateAfter: '90', deliver: []}}]}\n",
		"provider of no URL":    "project: p\nenvironment: e\niam: {oidcProviders: [{clientIDList: [x]}]}\n",
		"trust of nobody":       "project: p\nenvironment: e\niam: {roles: [{name: x, trust: {}}]}\n",
		"access key's no sinks": "project: p\nenvironment: e\niam: {users: [{name: x, accessKey: {}}]}\n",
	} {
		if accepts(root, root, plain(t, []byte(body))) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
