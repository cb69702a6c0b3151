package reconcile

// Glob says whether s matches pattern as a whole. In a pattern "*" stands for
// any run of characters, ":" and "/" and none at all included, and "?" for
// exactly one; everything else stands for itself, and nothing escapes.
//
// The time it takes is at most the product of the two lengths, whatever the
// number of stars.
func Glob(pattern, s string) bool {
	p, t := []rune(pattern), []rune(s)
	i, j := 0, 0
	// A later star can do whatever an earlier one could, so it is enough to
	// come back to the last one and let it take one character more.
	star, taken := -1, 0
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, taken = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == t[j]):
			i++
			j++
		case star >= 0:
			taken++
			i, j = star+1, taken
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
