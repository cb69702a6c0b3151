// Command schemagen writes the JSON Schema of a spec, from the Go types that
// the spec is loaded into and their comments.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	out := flag.String("o", "schema.json", "where to write the schema")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "schemagen:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	text, err := generate()
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}
