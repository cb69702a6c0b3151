package policy

import (
	"cmp"
	"slices"
	"strings"
)

// A party is principals by one name, and one of them.
type party struct {
	name    string
	example int
}

// parties says who principals are. Where those that no policy names are among
// them, it is anyone, less the others.
func (s *space) parties(who []int) []party {
	if s.scope.Principal != (Principal{}) {
		return []party{{"", who[0]}}
	}
	anonymous := slices.IndexFunc(who, func(p int) bool { return s.principals[p].Type == "" })
	if anonymous < 0 {
		return s.listed(who)
	}
	var others []int
	for p := range s.principals {
		if !slices.Contains(who, p) {
			others = append(others, p)
		}
	}
	var names []string
	for _, p := range s.listed(others) {
		names = append(names, p.name)
	}
	anyone := party{"anyone", who[anonymous]}
	if len(names) > 0 {
		anyone.name += " except " + strings.Join(names, ", ")
	}
	return []party{anyone}
}

// listed names principals one by one. Where all that stand for the rest of an
// account are among them, it is the account, less those of it that are not.
func (s *space) listed(who []int) []party {
	var parties []party
	whole := make(map[string]bool)
	for _, p := range who {
		of := describe(s.principals[p]).account
		if of == "" || whole[of] || s.invented[s.principals[p]] == "" {
			continue
		}
		account := party{"account " + of, p}
		var except []string
		all := !strings.HasSuffix(s.invented[s.principals[p]], " of other accounts")
		for q, id := range s.principals {
			if describe(id).account == of && !slices.Contains(who, q) {
				all = all && s.invented[id] == ""
				except = append(except, id.String())
			}
		}
		if whole[of] = all; !all {
			continue
		}
		if len(except) > 0 {
			account.name += " except " + strings.Join(except, " and ")
		}
		parties = append(parties, account)
	}
	for _, p := range who {
		if id := s.principals[p]; !whole[describe(id).account] || id.Type != "AWS" {
			parties = append(parties, party{cmp.Or(s.invented[id], id.String()), p})
		}
	}
	return parties
}

// A grid says of which classes of actions and resources something is true.
type grid [][]bool

func newGrid(rows, columns int) grid {
	g := make(grid, rows)
	for i := range g {
		g[i] = make([]bool, columns)
	}
	return g
}

func (g grid) String() string {
	var b strings.Builder
	for _, row := range g {
		b.WriteString(bits(row) + "\n")
	}
	return b.String()
}

// A part is a rectangle of a grid with its name, and one cell of it.
type part struct {
	actions, resources string
	action, resource   int
}

// A label names some of the points of a dimension.
type label struct {
	text   string
	points []bool
}

// labels are the patterns, and everything.
func (d dimension) labels() []label {
	all := label{"*", make([]bool, len(d.points))}
	for i := range all.points {
		all.points[i] = true
	}
	labels := []label{all}
	for i, p := range d.patterns {
		l := label{p.text, make([]bool, len(d.points))}
		for j := range d.points {
			l.points[j] = d.points[j].in[i]
		}
		if slices.Contains(l.points, true) {
			labels = append(labels, l)
		}
	}
	return labels
}

// precise names one point: the patterns it is in, less those it is not in.
// Patterns that say nothing beyond others are left out.
func (d dimension) precise(at int) label {
	var in, out []label
	for _, l := range d.labels() {
		if l.points[at] {
			in = append(in, l)
		} else {
			out = append(out, l)
		}
	}
	in = tightest(in, func(a, b []bool) bool { return subset(a, b) })
	inside := make([]bool, len(d.points))
	for i := range inside {
		inside[i] = !slices.ContainsFunc(in, func(l label) bool { return !l.points[i] })
	}
	var cut []label
	for _, l := range out {
		part := slices.Clone(l.points)
		for i := range part {
			part[i] = part[i] && inside[i]
		}
		if slices.Contains(part, true) {
			cut = append(cut, label{l.text, part})
		}
	}
	cut = tightest(cut, func(a, b []bool) bool { return subset(b, a) })

	texts := func(labels []label) []string {
		var texts []string
		for _, l := range labels {
			texts = append(texts, l.text)
		}
		return texts
	}
	name := label{strings.Join(texts(in), " and "), make([]bool, len(d.points))}
	if len(cut) > 0 {
		name.text += " except " + strings.Join(texts(cut), ", ")
	}
	if d.points[at].value == "*" {
		name.text = "requests without a resource"
	}
	name.points[at] = true
	return name
}

// tightest keeps of labels those that no other one makes needless.
func tightest(labels []label, tighter func(a, b []bool) bool) []label {
	var kept []label
	for i, l := range labels {
		needless := false
		for j, other := range labels {
			if i != j && tighter(other.points, l.points) && (!tighter(l.points, other.points) || j < i) {
				needless = true
			}
		}
		if !needless {
			kept = append(kept, l)
		}
	}
	return kept
}

func subset(a, b []bool) bool {
	for i := range a {
		if a[i] && !b[i] {
			return false
		}
	}
	return true
}

// describe covers a grid with rectangles: as large as patterns of the policies
// make them, and what is left point by point.
func (s *space) describe(g grid) []part {
	actions, resources := s.actions.labels(), s.resources.labels()
	if s.scope.Resource != "" {
		resources = []label{{"", []bool{true}}}
	}
	left := newGrid(len(s.actions.points), len(s.resources.points))
	remain := 0
	for a := range g {
		for r := range g[a] {
			if left[a][r] = g[a][r]; g[a][r] {
				remain++
			}
		}
	}
	var parts []part
	take := func(a, r label) {
		p := part{a.text, r.text, -1, -1}
		for i := range g {
			for j := range g[i] {
				if a.points[i] && r.points[j] {
					if p.action < 0 {
						p.action, p.resource = i, j
					}
					if left[i][j] {
						left[i][j] = false
						remain--
					}
				}
			}
		}
		parts = append(parts, p)
	}
	for remain > 0 {
		best, bestA, bestR := 0, label{}, label{}
		for _, a := range actions {
			for _, r := range resources {
				if n := covers(g, left, a.points, r.points); n > best {
					best, bestA, bestR = n, a, r
				}
			}
		}
		if best > 0 {
			take(bestA, bestR)
			continue
		}
		for i := range left {
			for j := range left[i] {
				if left[i][j] {
					s.takePoint(g, i, j, actions, resources, take)
				}
			}
		}
	}
	return parts
}

// takePoint covers one cell that no rectangle of patterns covers: by an exact
// name on one side and a pattern on the other, if that will do.
func (s *space) takePoint(g grid, i, j int, actions, resources []label, take func(a, r label)) {
	a, r := s.actions.precise(i), s.resources.precise(j)
	if s.scope.Resource != "" {
		r.text = ""
	}
	widest := func(labels []label, best label, fits func(label) bool) label {
		for _, l := range labels {
			if subset(best.points, l.points) && fits(l) {
				best = l
			}
		}
		return best
	}
	r = widest(resources, r, func(l label) bool { return covers(g, g, a.points, l.points) > 0 })
	a = widest(actions, a, func(l label) bool { return covers(g, g, l.points, r.points) > 0 })
	take(a, r)
}

// covers counts the cells of a rectangle that are left; 0 where it reaches
// beyond the grid.
func covers(g, left grid, actions, resources []bool) int {
	n := 0
	for i := range g {
		if !actions[i] {
			continue
		}
		for j := range g[i] {
			if !resources[j] {
				continue
			}
			if !g[i][j] {
				return 0
			}
			if left[i][j] {
				n++
			}
		}
	}
	return n
}
