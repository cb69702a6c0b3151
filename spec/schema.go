package spec

import (
	_ "embed"
	"slices"
)

//go:generate go run ./internal/schemagen -o schema.json

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema of a spec, for editors.
func Schema() []byte { return slices.Clone(schema) }
