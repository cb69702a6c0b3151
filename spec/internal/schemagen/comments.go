package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
)

// comments holds what the source says of types and fields, by
// "package.Type" and "package.Type.Field".
type comments map[string]string

// readComments parses the named packages' files that declare types.
func readComments(packages ...string) (comments, error) {
	c := make(comments)
	for _, path := range packages {
		name, err := typesFile(path)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch d := n.(type) {
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if t, ok := s.(*ast.TypeSpec); ok {
						if t.Doc == nil {
							t.Doc = d.Doc
						}
						c.add(path, t)
					}
				}
			case *ast.FuncDecl:
				return false
			}
			return true
		})
	}
	return c, nil
}

// typesFile is where a package declares its types, in the SDK as here.
func typesFile(path string) (string, error) {
	pkg, err := build.Import(path, ".", build.FindOnly)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", path, err)
	}
	return filepath.Join(pkg.Dir, "types.go"), nil
}

func (c comments) add(path string, t *ast.TypeSpec) {
	s, ok := t.Type.(*ast.StructType)
	if !ok {
		return
	}
	c[path+"."+t.Name.Name] = synopsis(t.Doc)
	for _, f := range s.Fields.List {
		text := synopsis(f.Comment)
		if text == "" {
			text = synopsis(f.Doc)
		}
		for _, name := range f.Names {
			c[path+"."+t.Name.Name+"."+name.Name] = text
		}
	}
}

// synopsis is a comment's first sentence: the SDK's comments are whole pages.
func synopsis(group *ast.CommentGroup) string {
	if group == nil {
		return ""
	}
	text := strings.ReplaceAll(new(doc.Package).Synopsis(group.Text()), "\n", " ")
	return strings.TrimSpace(text)
}

// of is the comment on a struct's field, on the struct where field is "".
func (c comments) of(t reflect.Type, field string) string {
	key := t.PkgPath() + "." + t.Name()
	if field != "" {
		key += "." + field
	}
	return c[key]
}
