package spec

import (
	"fmt"
	"slices"
	"strings"
)

// Suggest is a hint, "; did you mean X?", for a name of a field that is not
// there; "" where none of the candidates is close or means the same elsewhere.
func Suggest(have string, candidates []string) string {
	if hint := translate(have, candidates); hint != "" {
		return hint
	}
	return suggest(have, candidates)
}

// suggest is "; did you mean X?" for the candidate closest to what was
// written, or nothing where none is close.
func suggest(have string, candidates []string) string {
	best := Nearest(have, candidates)
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// Nearest is the candidate closest to what was written, or "" where none is
// close.
func Nearest(have string, candidates []string) string {
	const longest = 128 // nothing that somebody typed
	if len(have) > longest {
		return ""
	}
	best, least := "", (len(have)+1)/3+1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := distance(strings.ToLower(have), strings.ToLower(c), least); d < least {
			best, least = c, d
		}
	}
	if best == have {
		return ""
	}
	return best
}

// distance is the number of single-letter changes, swaps of neighbours
// included, that turn a into b. Above limit its exact value does not matter.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			changed := 1
			if a[i-1] == b[j-1] {
				changed = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+changed)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			least = min(least, row[j])
		}
		if least > limit {
			return least
		}
		before, last = last, row
	}
	return last[len(b)]
}

// oneOf lists what is allowed, shortened where nobody would read it all.
func oneOf(allowed []string) string {
	const readable = 24
	if len(allowed) > readable {
		return strings.Join(allowed[:readable], ", ") + ", ..."
	}
	if len(allowed) < 2 {
		return strings.Join(allowed, "")
	}
	n := len(allowed) - 1
	return strings.Join(allowed[:n], ", ") + " or " + allowed[n]
}
