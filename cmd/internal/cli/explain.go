package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

func newExplain(env Env) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [FIELD]",
		Short: "Say what a field of the spec means",
		Example: `  churn-reconcile explain                           the fields at the top
  churn-reconcile explain s3.buckets                the fields of a bucket
  churn-reconcile explain s3.buckets.versioning     what one may say there`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("%s: explain takes one FIELD, as in s3.buckets.versioning", strings.Join(args, " "))
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return completeField(begun), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		},
		RunE: func(_ *cobra.Command, args []string) error {
			fields, err := newFields()
			if err != nil {
				return err
			}
			text, err := fields.explain(strings.Join(args, ""))
			if err != nil {
				return err
			}
			_, err = io.WriteString(env.Stdout, text)
			return err
		},
	}
}

// A fieldSchema is as much of JSON Schema as the spec's own uses.
type fieldSchema struct {
	Ref         string                  `json:"$ref"`
	Description string                  `json:"description"`
	Type        any                     `json:"type"` // a name or a list of them
	Enum        []any                   `json:"enum"`
	Pattern     string                  `json:"pattern"`
	Properties  map[string]*fieldSchema `json:"properties"`
	Additional  json.RawMessage         `json:"additionalProperties"` // false or a schema
	Items       *fieldSchema            `json:"items"`
	Required    []string                `json:"required"`
	AnyOf       []*fieldSchema          `json:"anyOf"`
	OneOf       []*fieldSchema          `json:"oneOf"`
}

// fields is the spec's schema, to look up fields in.
type fields struct {
	fieldSchema
	Definitions map[string]*fieldSchema `json:"definitions"`
	Else        struct {
		Required []string `json:"required"`
	} `json:"else"`
}

func newFields() (*fields, error) {
	var f fields
	if err := json.Unmarshal(spec.Schema(), &f); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	f.Required = f.Else.Required
	return &f, nil
}

// forms are the ways in which a value may be written, references and null left
// out: they go everywhere.
func (f *fields) forms(s *fieldSchema) []*fieldSchema {
	switch several := slices.Concat(s.AnyOf, s.OneOf); {
	case s.Ref == "#/definitions/reference":
		return nil
	case s.Ref != "":
		return f.forms(f.Definitions[strings.TrimPrefix(s.Ref, "#/definitions/")])
	case len(several) > 0:
		var all []*fieldSchema
		for _, form := range several {
			all = append(all, f.forms(form)...)
		}
		return all
	case s.Type == "null":
		return nil
	}
	return []*fieldSchema{s}
}

// object is the mapping that has a value's own fields, be it an item of a list
// or under a name of the file's own; nil where there is none.
func (f *fields) object(s *fieldSchema) *fieldSchema {
	for _, form := range f.forms(s) {
		if form.Properties != nil {
			return form
		}
		if form.Items != nil {
			return f.object(form.Items)
		}
		var named fieldSchema
		if json.Unmarshal(form.Additional, &named) == nil && len(form.Additional) > 0 {
			return f.object(&named)
		}
	}
	return nil
}

// item is how reports and ignore name one of a list, which has the fields of
// them all.
var item = regexp.MustCompile(`\[[^]]*\]|\.(\*|[0-9]+)`)

// find follows the names of a path.
func (f *fields) find(path string) (s, parent *fieldSchema, name string, err error) {
	s = &f.fieldSchema
	at := ""
	for _, name = range strings.Split(item.ReplaceAllString(path, ""), ".") {
		in := f.object(s)
		if in == nil {
			return nil, nil, "", fmt.Errorf("%s has no fields of its own", at)
		}
		next := in.Properties[name]
		if next == nil {
			of := at
			if of == "" {
				of = "the spec"
			}
			names := slices.Sorted(maps.Keys(in.Properties))
			return nil, nil, "", fmt.Errorf("%s has no field %q%s", of, name, spec.Suggest(name, names))
		}
		s, parent = next, in
		at = strings.TrimPrefix(at+"."+name, ".")
	}
	return s, parent, name, nil
}

func (f *fields) explain(path string) (string, error) {
	var b strings.Builder
	s := &f.fieldSchema
	if path == "" {
		b.WriteString("The fields at the top of a spec:\n")
	} else {
		found, parent, name, err := f.find(path)
		if err != nil {
			return "", err
		}
		s = found
		fmt.Fprintf(&b, "%s: %s\n", path, f.kind(s))
		if s.Description != "" {
			fmt.Fprintf(&b, "\n  %s\n", s.Description)
		}
		if values := f.values(s); values != "" {
			fmt.Fprintf(&b, "\n  Allowed: %s\n", values)
		}
		fmt.Fprintf(&b, "\n  %s\n", leftOut(path, s, slices.Contains(parent.Required, name)))
		if f.object(s) != nil {
			b.WriteString("\nIts fields:\n")
		}
	}
	if in := f.object(s); in != nil {
		b.WriteString("\n")
		f.list(&b, in)
	}
	return b.String(), nil
}

// leftOut says what it means where a field does not stand in a spec.
func leftOut(path string, s *fieldSchema, required bool) string {
	top, _, deeper := strings.Cut(path, ".")
	switch {
	case required:
		return "It has to be given."
	case strings.Contains(s.Description, "left out"):
		return "What leaving it out means is said above."
	case !deeper && slices.Contains([]string{"extends", "vars", "outputs", "ignoreTags", "tags"}, top):
		return "Left out: there are none."
	case strings.HasPrefix(path, "s3.buckets.publicAccessBlock."), strings.HasSuffix(path, ".forceDestroy"), strings.HasSuffix(path, ".forceDelete"):
		return "Left out: false."
	case strings.HasPrefix(path, "ecs.taskDefinitions."):
		return "Left out: what ECS takes by itself. A task definition is compared as a whole."
	case strings.HasPrefix(path, "iam.users.accessKey"):
		return "Left out: the stack keeps no such thing."
	case strings.Contains(path, ".") && strings.Count(path, ".") == 1:
		return "Left out: the stack has none."
	case strings.Count(path, ".") > 2:
		return "Left out: what AWS takes by itself, since what it is a part of is given as a whole."
	}
	return "Left out: not managed, which is not read and not changed. There is no default."
}

func (f *fields) list(b *strings.Builder, in *fieldSchema) {
	names := slices.Sorted(maps.Keys(in.Properties))
	width := 0
	for _, name := range names {
		width = max(width, len(name))
	}
	for _, name := range names {
		s := in.Properties[name]
		text := f.kind(s)
		if slices.Contains(in.Required, name) {
			text += ", required"
		}
		if s.Description != "" {
			text += ": " + s.Description
		}
		fmt.Fprintf(b, "  %-*s  %s\n", width, name, text)
	}
}

// kind says in words what form a value has.
func (f *fields) kind(s *fieldSchema) string {
	var kinds []string
	for _, form := range f.forms(s) {
		kind := "text"
		names, _ := form.Type.([]any)
		switch {
		case len(form.Enum) > 0:
			kind = "one of some values"
		case form.Type == "array":
			kind = "list"
		case form.Type == "object" && form.Properties["file"] != nil && len(form.Properties) == 1:
			kind = "{file: PATH}"
		case form.Type == "object":
			kind = "mapping"
		case form.Type == "boolean":
			kind = "true or false"
		case form.Type == "integer":
			kind = "whole number"
		case form.Pattern != "":
			kind = "length of time, like 90d or 1d12h"
		case form.Description != "" && form != s:
			kind = "JSON text"
		case len(names) == 0 && form.Type == nil:
			continue
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return strings.Join(kinds, ", or ")
}

func (f *fields) values(s *fieldSchema) string {
	var values []string
	for _, form := range f.forms(s) {
		if form.Items != nil {
			return f.values(form.Items)
		}
		for _, v := range form.Enum {
			values = append(values, fmt.Sprint(v))
		}
	}
	return strings.Join(values, ", ")
}

// completeField lists the paths that go on from what is typed.
func completeField(begun string) []string {
	f, err := newFields()
	if err != nil {
		return nil
	}
	prefix, in := "", f.object(&f.fieldSchema)
	if i := strings.LastIndexByte(begun, '.'); i >= 0 {
		s, _, _, err := f.find(begun[:i])
		if err != nil {
			return nil
		}
		prefix, in = begun[:i+1], f.object(s)
	}
	if in == nil {
		return nil
	}
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(in.Properties)) {
		if strings.HasPrefix(prefix+name, begun) {
			paths = append(paths, prefix+name)
		}
	}
	return paths
}
