package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// A Scope says which requests are compared.
type Scope struct {
	// Principal is whose policies they are; the zero value is every
	// principal, for the policy of a resource.
	Principal Principal
	// Account owns the resources.
	Account string
	// Resource is the one resource that requests are about, the role of a
	// trust policy; "" is every resource.
	Resource string
	// Actions are names that exist, for examples that read well. The
	// comparison does not rest on them.
	Actions []string
}

// A Direction is which way access changes.
type Direction uint8

const (
	Gains Direction = iota
	Loses
	// Unclear is what cannot be decided; Change.Why says what is missing.
	Unclear
)

// A Change is access that one set of policies gives and another does not.
type Change struct {
	Direction Direction
	// Action and Resource say which requests, in the words of the policies:
	// patterns, where they overlap several with "and", less what stands after
	// "except". Principal is "" where Scope.Principal says whose they are.
	Action, Resource, Principal string
	// Condition is "" where the change is in all such requests whatever
	// their context, else an example of a context in which it is.
	Condition string
	// Witness is one such request: Evaluate allows it by one set and not by
	// the other. Of what is unclear, it is the request that was looked at.
	Witness Request
	Why     string
}

func (c Change) String() string {
	var b strings.Builder
	switch c.Direction {
	case Gains:
		b.WriteString("gains ")
	case Loses:
		b.WriteString("loses ")
	default:
		b.WriteString("unknown: ")
	}
	b.WriteString(c.Action)
	if c.Resource != "" {
		b.WriteString(" on " + c.Resource)
	}
	if c.Principal != "" {
		b.WriteString(" for " + c.Principal)
	}
	if c.Condition != "" {
		b.WriteString(" in some requests, such as with " + c.Condition)
	}
	if c.Why != "" {
		b.WriteString(": " + c.Why)
	}
	return b.String()
}

// Access lists what after allows and before does not, and the other way round.
//
// It is about all requests and not a sample of them. Actions, resources,
// principals and the values of each condition key fall into finitely many
// classes that no policy of the two sets tells apart, and the sets are
// compared on one request of each. What has too many classes, or rests on
// what is not known, is a change that is Unclear.
func Access(scope Scope, before, after Set) []Change {
	s := newSpace(scope, before, after, nil, nil)
	var changes []Change
	for _, why := range s.unclear {
		changes = append(changes, Change{Direction: Unclear, Action: "*", Resource: "*", Why: why})
	}
	if len(s.unclear) == 0 {
		changes = s.changes()
	}
	if s.left < 0 {
		changes = []Change{{Direction: Unclear, Action: "*", Resource: "*", Why: tooMuch}}
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Direction, b.Direction), strings.Compare(a.Principal, b.Principal),
			strings.Compare(a.Resource, b.Resource), strings.Compare(a.Action, b.Action), strings.Compare(a.String(), b.String()))
	})
	return slices.CompactFunc(changes, func(a, b Change) bool { return a.String() == b.String() })
}

// A Grant is what a set allows of the requests that two patterns describe.
type Grant struct {
	// Allowed is a request that is allowed; nil where there is none.
	Allowed *Request
	By      Decision // on Allowed
	// Denied is a request that is not allowed in whatever context; nil where
	// there is none.
	Denied *Request
	// Why is what could not be decided; "" where everything was.
	Why string
}

// Grants says what a set allows of the actions and resources of two patterns.
// What is asked for can be done where Denied is nil and Why is "", and cannot
// where Allowed is nil and Why is "".
func Grants(scope Scope, set Set, action, resource string) Grant {
	if scope.Actions == nil {
		scope.Actions = examples
	}
	a := compile(action, syntax{wildcards: true, fold: true})
	r := compileARN(resource, syntax{wildcards: true})
	set = set.about(a, r)
	s := newSpace(scope, set, set, a, r)
	var g Grant
	if len(s.unclear) > 0 {
		g.Why = s.unclear[0]
		return g
	}
	for c := range s.cells() {
		if !matches(a.tokens, s.actions.points[c.action].value) || !matches(r.tokens, s.resources.points[c.resource].value) {
			continue
		}
		settings, why := s.settings(c)
		some := false
		for _, l := range settings {
			switch {
			case l.verdicts[0].Verdict == Undecided:
				why = l.verdicts[0].Why
			case l.verdicts[0].Verdict == Allow && !s.impossible(c, l):
				req, ok := s.witness(c, l)
				if !ok {
					why = "it depends on " + strings.Join(l.variables(), " and ")
				} else if g.Allowed == nil {
					g.Allowed, g.By = &req, Evaluate(req, set)
				}
				some = some || ok
			}
		}
		switch {
		case why != "" && !some:
			g.Why = cmp.Or(g.Why, why)
		case !some && g.Denied == nil:
			req := s.request(c, nil)
			req.Resource = s.plausible(c)
			g.Denied = &req
		}
	}
	return g
}

// about leaves out the statements that no request of two patterns is about.
func (s Set) about(action, resource *pattern) Set {
	reaches := func(patterns []*pattern, not bool, other *pattern) bool {
		return not || patterns == nil || slices.ContainsFunc(patterns, func(p *pattern) bool {
			return overlap(p.widest().tokens, other.tokens)
		})
	}
	less := func(p *Policy) *Policy {
		if p == nil {
			return nil
		}
		kept := &Policy{Name: p.Name}
		for _, r := range p.statements {
			if reaches(r.actions, r.notAction, action) && reaches(r.resources, r.notResource, resource) {
				kept.statements = append(kept.statements, r)
			}
		}
		return kept
	}
	all := func(policies []*Policy) []*Policy {
		if policies == nil {
			return nil
		}
		kept := make([]*Policy, len(policies))
		for i, p := range policies {
			kept[i] = less(p)
		}
		return kept
	}
	s.Identity, s.Session = all(s.Identity), all(s.Session)
	s.Boundary, s.Resource, s.Trust = less(s.Boundary), less(s.Resource), less(s.Trust)
	return s
}

// An outcome is how a cell changes.
type outcome struct {
	found     [Unclear + 1]bool
	example   [Unclear]setting
	condition [Unclear]string
	why       string
}

func (s *space) outcome(c cell) outcome {
	if o, ok := s.cache[c.id]; ok {
		return o
	}
	var o outcome
	defer func() { s.cache[c.id] = o }()
	if s.same(c) {
		return o
	}
	settings, why := s.settings(c)
	if why != "" {
		o.found[Unclear], o.why = true, why
	}
	for _, direction := range []Direction{Gains, Loses} {
		is := make([]bool, len(settings))
		example, witness := -1, Request{}
		for i, l := range settings {
			a, b := l.verdicts[0].Verdict, l.verdicts[1].Verdict
			if direction == Loses {
				a, b = b, a
			}
			if a == Undecided || b == Undecided {
				o.found[Unclear], o.why = true, cmp.Or(o.why, l.verdicts[0].Why, l.verdicts[1].Why)
				continue
			}
			if a == Allow || b != Allow {
				continue
			}
			if s.impossible(c, l) {
				continue
			}
			if len(l.assumed) == 0 && example >= 0 && len(l.context) >= len(settings[example].context) {
				is[i] = true
				continue
			}
			req, ok := s.witness(c, l)
			if !ok {
				o.found[Unclear], o.why = true, cmp.Or(o.why, "it depends on "+strings.Join(l.variables(), " and "))
				continue
			}
			is[i] = true
			if example < 0 || len(l.context) < len(settings[example].context) {
				example, witness = i, req
			}
		}
		if example >= 0 {
			o.found[direction], o.example[direction] = true, settings[example]
			o.condition[direction] = s.describeContext(settings, is, example, witness)
		}
	}
	return o
}

// describeContext names those keys of a setting's context that the change hangs
// on.
func (s *space) describeContext(settings []setting, is []bool, example int, witness Request) string {
	if !slices.Contains(is, false) {
		return ""
	}
	keys := make(map[string]bool)
	for _, l := range settings {
		for key := range l.context {
			keys[key] = true
		}
	}
	kept := slices.Sorted(maps.Keys(keys))
	agrees := func(l setting, keys []string) bool {
		return !slices.ContainsFunc(keys, func(key string) bool {
			return !slices.Equal(l.context[key], settings[example].context[key])
		})
	}
	// What a pattern with a variable matches is for that variable to say.
	variables := make(map[string]bool)
	for _, l := range settings {
		for b := range l.assumed {
			for _, key := range compile(b.pattern, syntax{variables: true}).keys() {
				variables[key] = true
			}
		}
	}
	for i := 0; i < len(kept); {
		without := slices.Delete(slices.Clone(kept), i, i+1)
		needed := variables[kept[i]]
		for j, l := range settings {
			needed = needed || !is[j] && agrees(l, without) && !agrees(l, kept)
		}
		if needed {
			i++
		} else {
			kept = without
		}
	}
	e := newEnv(witness)
	var parts []string
	for _, key := range kept {
		if values, _ := e.values(key); values == nil {
			parts = append(parts, "no "+s.written[key])
		} else {
			parts = append(parts, s.written[key]+"="+strings.Join(values, ","))
		}
	}
	return strings.Join(parts, " and ")
}

// changes compares cell by cell, and then says it in as few lines as the
// policies' own words allow.
func (s *space) changes() []Change {
	type kind struct {
		direction      Direction
		condition, why string
	}
	// By kind of change: where in actions × resources, by principal.
	found := make(map[kind]map[int]grid)
	cells := make(map[kind]map[[3]int]cell)
	for c := range s.cells() {
		if s.left < 0 {
			return nil
		}
		o := s.outcome(c)
		for direction := range Unclear + 1 {
			if !o.found[direction] {
				continue
			}
			k := kind{direction: direction}
			if direction == Unclear {
				k.why = o.why
			} else {
				k.condition = o.condition[direction]
			}
			if found[k] == nil {
				found[k], cells[k] = make(map[int]grid), make(map[[3]int]cell)
			}
			if found[k][c.principal] == nil {
				found[k][c.principal] = newGrid(len(s.actions.points), len(s.resources.points))
			}
			found[k][c.principal][c.action][c.resource] = true
			cells[k][[3]int{c.action, c.resource, c.principal}] = c
		}
	}

	var changes []Change
	for k, byPrincipal := range found {
		// Principals of whom the same is true share their lines.
		alike := make(map[string][]int)
		for p, g := range byPrincipal {
			alike[g.String()] = append(alike[g.String()], p)
		}
		for _, who := range alike {
			slices.Sort(who)
			for _, part := range s.describe(byPrincipal[who[0]]) {
				for _, party := range s.parties(who) {
					c := cells[k][[3]int{part.action, part.resource, party.example}]
					change := Change{Direction: k.direction, Action: part.actions, Resource: part.resources, Principal: party.name, Condition: k.condition, Why: k.why}
					if k.direction == Unclear {
						change.Witness = s.request(c, nil)
					} else {
						change.Witness, _ = s.witness(c, s.outcome(c).example[k.direction])
					}
					changes = append(changes, change)
				}
			}
		}
	}
	return changes
}
