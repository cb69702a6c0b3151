package spec

import "strings"

// SplitPath splits a path into a resource into its names. It takes the form in
// which it is typed, containerDefinitions.web.image, and the one that reports
// show, containerDefinitions[web].image; a name in brackets may have dots.
func SplitPath(path string) []string {
	var names []string
	for more := true; more; {
		var name string
		if rest, ok := strings.CutPrefix(path, "["); ok {
			name, path, _ = strings.Cut(rest, "]")
			more = path != ""
			path = strings.TrimPrefix(path, ".")
		} else if end := strings.IndexAny(path, ".["); end >= 0 {
			name, path = path[:end], strings.TrimPrefix(path[end:], ".")
		} else {
			name, more = path, false
		}
		names = append(names, name)
	}
	return names
}
