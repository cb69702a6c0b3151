package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A dimension is one part of requests, divided into classes.
type dimension struct {
	patterns []*pattern // with their texts as written, to name classes by
	widest   []*pattern
	points   []point
}

type point struct {
	value string
	in    []bool // by pattern
}

func newDimension(patterns []*pattern) dimension {
	slices.SortFunc(patterns, func(a, b *pattern) int { return strings.Compare(a.text, b.text) })
	patterns = slices.CompactFunc(patterns, func(a, b *pattern) bool {
		return a.text == b.text && len(a.tokens) == len(b.tokens) && a.vars == b.vars
	})
	d := dimension{patterns: patterns}
	for _, p := range patterns {
		d.widest = append(d.widest, p.widest())
	}
	return d
}

func (d *dimension) divide(shapes ...*pattern) error {
	found, err := classes(shapes, d.widest)
	for _, c := range found {
		d.points = append(d.points, point{c.example, c.in})
	}
	return err
}

func (d *dimension) add(value string) {
	d.points = append(d.points, point{value, membership(d.widest, value)})
}

// space is all requests, as far as two sets of policies tell them apart.
type space struct {
	scope      Scope
	sets       [2]Set
	rules      [2][]placed
	actions    dimension
	resources  dimension
	principals []Principal
	ownOnly    bool                 // no set has a resource's policy
	invented   map[Principal]string // by example of those that no policy names: who they are
	keys       map[string]domain
	written    map[string]string // keys as the policies spell them
	unclear    []string

	cache map[string]outcome
	left  int // of maxWork
}

// maxWork bounds a comparison, in statements that are held against a context:
// some seconds. It counts work and not time, so that the same policies have the
// same answer everywhere.
const maxWork = 1 << 22

const tooMuch = "the conditions are too many to compare them all"

// The shapes of actions and ARNs; that of an account's users and roles.
var (
	actionShape   = shape("?*:?*")
	resourceShape = compileARN("arn:?*:?*:*:*:?*", syntax{wildcards: true})
	userShape     = shape("arn:aws:iam::############:user/?*")
	roleShape     = shape("arn:aws:iam::############:role/?*")
)

// shape is a pattern whose wildcards end at colons, and # is a digit.
func shape(text string) *pattern {
	p := compile(text, syntax{wildcards: true})
	for i, t := range p.tokens {
		p.tokens[i].within = t.kind != literal
		if t.kind == literal && t.r == '#' {
			p.tokens[i].kind = digit
		}
	}
	return p
}

func newSpace(scope Scope, before, after Set, action, resource *pattern) *space {
	s := &space{scope: scope, sets: [2]Set{before, after}, keys: make(map[string]domain), invented: make(map[Principal]string), left: maxWork, cache: make(map[string]outcome), written: make(map[string]string)}
	s.ownOnly = true
	for _, set := range s.sets {
		s.ownOnly = s.ownOnly && set.Resource == nil && set.Trust == nil && !set.AnyCaller
	}
	var actions, resources []*pattern
	if action != nil {
		actions, resources = append(actions, action), append(resources, resource)
	}
	named := make(map[string][]string) // principals by type
	users := []*pattern{}              // patterns of the ARNs of users and roles
	byKey := make(map[string][]*condition)
	for i, set := range s.sets {
		s.rules[i] = set.placed()
		for _, r := range s.rules[i] {
			actions = append(actions, r.actions...)
			resources = append(resources, r.resources...)
			for _, p := range r.resources {
				s.spellVariables(p)
			}
			for kind, ids := range r.principals {
				named[kind] = append(named[kind], ids...)
			}
			for j := range r.conditions {
				c := &r.conditions[j]
				byKey[c.key] = append(byKey[c.key], c)
				s.spell(c.key, c.name)
				for _, v := range c.values {
					s.spellVariables(v.pattern)
				}
			}
		}
	}

	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		for _, c := range byKey[key] {
			for _, v := range c.values {
				switch key {
				case "aws:principalarn":
					users = append(users, v.pattern)
				case "aws:principalaccount":
					named["AWS"] = append(named["AWS"], v.pattern.text)
				}
			}
		}
	}
	if scope.Principal != (Principal{}) {
		s.principals = []Principal{scope.Principal}
	} else {
		s.callers(named, users)
	}

	s.actions = newDimension(actions)
	s.try("actions", s.actions.divide(actionShape))
	s.resources = newDimension(s.said(resources))
	if scope.Resource != "" {
		s.resources.add(scope.Resource)
	} else {
		s.try("resources", s.resources.divide(resourceShape))
		s.resources.add("*")
	}
	s.preferKnown()
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		var patterns []*pattern
		for _, c := range byKey[key] {
			for _, v := range c.values {
				if !v.bad && (c.kind == words || c.kind == arn) {
					patterns = append(patterns, v.pattern)
				}
			}
		}
		d, err := newDomain(byKey[key], s.said(patterns))
		s.try(byKey[key][0].name, err)
		s.keys[key] = d
	}
	return s
}

// said puts into patterns what principals say of themselves, such as their
// names. Other variables stay, and where a principal is an example of others,
// so do theirs.
func (s *space) said(patterns []*pattern) []*pattern {
	var all []*pattern
	for _, p := range patterns {
		stays := !slices.ContainsFunc(p.keys(), said)
		for _, principal := range s.principals {
			if stays {
				break
			}
			if s.invented[principal] != "" {
				stays = true
				if slices.ContainsFunc(p.keys(), func(key string) bool { return said(key) && key != "aws:username" }) {
					s.unclear = append(s.unclear, fmt.Sprintf("%s depends on who asks", p.text))
				}
			}
		}
		if stays {
			all = append(all, p)
		}
		for _, principal := range s.principals {
			if s.invented[principal] != "" || !slices.ContainsFunc(p.keys(), said) {
				continue
			}
			if q, ok := p.partly(newEnv(Request{Principal: principal}).single, said); ok {
				all = append(all, q)
			}
		}
	}
	// A default is the value where the request has none.
	for i := 0; i < len(all); i++ {
		for _, t := range all[i].tokens {
			if t.kind == variable && t.has {
				none := func(string) (string, bool) { return "", false }
				if q, ok := all[i].partly(none, func(key string) bool { return key == t.key }); ok {
					all = append(all, q)
				}
			}
		}
	}
	return all
}

// said are the keys whose values the principal decides.
func said(key string) bool {
	switch key {
	case "aws:principalarn", "aws:principalaccount", "aws:principaltype", "aws:username":
		return true
	}
	return false
}

// fixed says whether a key's value is the same in all requests of a cell.
func (s *space) fixed(c cell, key string) bool {
	return said(key) && !(key == "aws:username" && s.invented[s.principals[c.principal]] != "" && describe(s.principals[c.principal]).user != "")
}

// spell keeps one spelling of a key: the first of them all, so that it does
// not depend on order.
func (s *space) spell(key, name string) {
	if other, ok := s.written[key]; !ok || name < other {
		s.written[key] = name
	}
}

func (s *space) spellVariables(p *pattern) {
	for _, t := range p.tokens {
		if t.kind == variable {
			s.spell(t.key, t.name)
		}
	}
}

func (s *space) try(what string, err error) {
	if err != nil {
		s.unclear = append(s.unclear, fmt.Sprintf("%s: %v", what, err))
	}
}

// preferKnown puts actions that exist in the place of invented ones.
func (s *space) preferKnown() {
	byClass := make(map[string]string)
	for _, action := range slices.Sorted(slices.Values(s.scope.Actions)) {
		class := bits(membership(s.actions.widest, strings.ToLower(action)))
		if _, ok := byClass[class]; !ok {
			byClass[class] = action
		}
	}
	for i, p := range s.actions.points {
		if known, ok := byClass[bits(p.in)]; ok {
			s.actions.points[i].value = known
			continue
		}
		for j, q := range s.actions.patterns { // a name as a policy spells it
			if p.in[j] && strings.EqualFold(q.text, p.value) {
				s.actions.points[i].value = q.text
			}
		}
	}
}

// callers fills in the principals: all that a policy names, and of those that
// none names one of every sort.
func (s *space) callers(named map[string][]string, users []*pattern) {
	seen := make(map[Principal]bool)
	add := func(kind, id string) {
		if p := (Principal{kind, id}); !seen[p] {
			seen[p] = true
			s.principals = append(s.principals, p)
		}
	}
	add("", "")
	accounts := []string{s.scope.Account}
	for _, id := range slices.Sorted(slices.Values(named["AWS"])) {
		switch {
		case isAccountID(id):
			accounts = append(accounts, id)
			add("AWS", "arn:aws:iam::"+id+":root")
		case strings.HasPrefix(id, "arn:"):
			add("AWS", id)
			users = append(users, compile(id, syntax{}))
			if fields := strings.SplitN(id, ":", 6); len(fields) == 6 {
				accounts = append(accounts, fields[4])
			}
		}
	}
	var whole []string
	for _, account := range accounts {
		if isAccountID(account) {
			whole = append(whole, "arn:*:*::"+account+":*")
			users = append(users, compile(whole[len(whole)-1], syntax{wildcards: true}))
		}
	}
	d := newDimension(users)
	for plural, shape := range map[string]*pattern{"users": userShape, "roles": roleShape} {
		d.points = nil
		s.try("principals", d.divide(shape))
		for _, p := range d.points {
			id := Principal{"AWS", p.value}
			if seen[id] {
				continue
			}
			// A class is named by the patterns that policies have for it,
			// without those it has in common with its account.
			of := "other accounts"
			if n := describe(id).account; slices.Contains(accounts, n) {
				of = "account " + n
			}
			name := "other " + plural + " of " + of
			var texts []string
			for i, pattern := range d.patterns {
				if p.in[i] && !slices.Contains(whole, pattern.text) {
					texts = append(texts, pattern.text)
				}
			}
			if len(texts) > 0 {
				name = strings.Join(texts, " and ")
			}
			s.invented[id] = name
			add(id.Type, id.ID)
		}
	}
	for kind, unnamed := range map[string]string{"Service": "other.amazonaws.com", "Federated": "other.example.com", "CanonicalUser": ""} {
		for _, id := range append(named[kind], unnamed) {
			if id != "" && id != "*" {
				add(kind, id)
			}
		}
	}
	slices.SortFunc(s.principals, func(a, b Principal) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.ID, b.ID))
	})
}

// A cell is the requests of one class of actions, of resources and of
// principals.
type cell struct {
	action, resource, principal int
	relevant                    [2][]placed // statements that may apply, by set
	id                          string      // of what decides: cells of the same id are decided alike
}

// cells are those in which some statement may apply.
func (s *space) cells() func(yield func(cell) bool) {
	type about struct {
		actions    []bool
		resources  []truth
		principals []truth
	}
	var table [2][]about
	for i, rules := range s.rules {
		for _, r := range rules {
			var a about
			for _, p := range s.actions.points {
				a.actions = append(a.actions, r.matchesAction(strings.ToLower(p.value)))
			}
			for _, p := range s.resources.points {
				a.resources = append(a.resources, r.couldMatch(p.value))
			}
			for _, p := range s.principals {
				named := yes
				if r.kind == Resource || r.kind == Trust {
					_, named, _ = r.grade(newEnv(Request{Principal: p}), s.sets[i].Boundary != nil)
				}
				a.principals = append(a.principals, named)
			}
			table[i] = append(table[i], a)
		}
	}
	// A resource's account is what its ARN says, so that two resources can
	// differ in it alone.
	owners := make([]string, len(s.resources.points))
	for r := range s.resources.points {
		owners[r] = s.request(cell{resource: r}, nil).Account
	}
	return func(yield func(cell) bool) {
		for p := range s.principals {
			for a := range s.actions.points {
				for r := range s.resources.points {
					c := cell{action: a, resource: r, principal: p}
					id := fmt.Appendf(nil, "%d", p)
					for i, rules := range s.rules {
						for j, rule := range rules {
							about := table[i][j]
							if !about.actions[a] || about.resources[r] == no || about.principals[p] == no {
								continue
							}
							c.relevant[i] = append(c.relevant[i], rule)
							id = fmt.Appendf(id, ",%d.%d", i, j)
							if about.resources[r] == maybe {
								id = fmt.Appendf(id, "@%d", r)
							}
						}
					}
					c.id = string(fmt.Appendf(id, ";%s", owners[r]))
					if !yield(c) {
						return
					}
				}
			}
		}
	}
}

// couldMatch says whether a statement is about a resource, maybe where that is
// for a variable to say.
func (r *rule) couldMatch(resource string) truth {
	if r.resources == nil {
		return yes
	}
	t := no
	for _, p := range r.resources {
		if matches(p.widest().tokens, resource) {
			if !p.vars {
				t = yes
				break
			}
			t = maybe
		}
	}
	if r.notResource {
		return t.not()
	}
	return t
}

func (s *space) request(c cell, context map[string][]string) Request {
	r := Request{
		Principal: s.principals[c.principal],
		Action:    s.actions.points[c.action].value,
		Resource:  s.resources.points[c.resource].value,
		Account:   s.scope.Account,
		Context:   context,
	}
	if user := context["aws:username"]; len(user) == 1 {
		// A name is part of the ARN.
		r.Principal.ID = r.Principal.ID[:strings.LastIndex(r.Principal.ID, "/")+1] + user[0]
	}
	if s.ownOnly {
		// Another account's policies are not at hand. What is compared is
		// what the caller's let it ask for.
		r.Account = describe(r.Principal).account
		return r
	}
	if fields := strings.SplitN(r.Resource, ":", 6); len(fields) == 6 && isAccountID(fields[4]) {
		r.Account = fields[4]
	}
	return r
}

// same says whether the statements that may apply are the same by both sets,
// so that no request of the cell changes.
func (s *space) same(c cell) bool {
	var texts [2][]string
	for i, rules := range c.relevant {
		for _, r := range rules {
			texts[i] = append(texts[i], fmt.Sprint(r.kind, r.allow, r.text))
		}
		slices.Sort(texts[i])
		texts[i] = slices.Compact(texts[i])
	}
	a, b := s.sets[0], s.sets[1]
	return slices.Equal(texts[0], texts[1]) && (a.Boundary == nil) == (b.Boundary == nil) &&
		(a.Session == nil) == (b.Session == nil) && (a.Trust == nil) == (b.Trust == nil) && a.AnyCaller == b.AnyCaller
}

// A setting is one context of a cell's requests, with what is assumed of
// patterns with variables.
type setting struct {
	context  map[string][]string
	assumed  map[binding]bool
	verdicts [2]Decision
}

// A binding is a question whose answer is in the values of variables: whether
// a pattern matches a text.
type binding struct{ pattern, text string }

func (l setting) variables() []string {
	var texts []string
	for b := range l.assumed {
		texts = append(texts, b.pattern)
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// maxSettings bounds the contexts of a cell.
const maxSettings = 1 << 13

// settings are all contexts of a cell that its statements tell apart; why is
// said where they are too many, or not all.
func (s *space) settings(c cell) (settings []setting, why string) {
	keys := make(map[string]bool)
	patterns := make(map[string]*pattern)
	note := func(p *pattern) {
		if p.vars {
			patterns[p.text] = p
			for _, key := range p.keys() {
				keys[key] = true
			}
		}
	}
	for _, rules := range c.relevant {
		for _, r := range rules {
			for _, p := range r.resources {
				note(p)
			}
			for i := range r.conditions {
				keys[r.conditions[i].key] = true
				for _, v := range r.conditions[i].values {
					note(v.pattern)
				}
			}
		}
	}
	maps.DeleteFunc(keys, func(key string, _ bool) bool { return s.fixed(c, key) })

	contexts := []map[string][]string{{}}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		d, ok := s.keys[key]
		if !ok {
			d = domain{values: [][]string{nil, {"x"}}}
		}
		if d.partial {
			why = fmt.Sprintf("%s can have values in too many combinations", key)
		}
		if len(contexts)*len(d.values) > maxSettings {
			return nil, "the conditions have too many combinations"
		}
		var more []map[string][]string
		for _, context := range contexts {
			for _, values := range d.values {
				if said(key) && (values == nil || values[0] == "") {
					continue // a user has a name
				}
				next := maps.Clone(context)
				if values != nil {
					next[key] = values
				}
				more = append(more, next)
			}
		}
		contexts = more
	}

	for _, context := range contexts {
		open := []map[binding]bool{{}}
		for len(open) > 0 {
			assumed := open[len(open)-1]
			open = open[:len(open)-1]
			var asked *binding
			e := newEnv(s.request(c, context))
			e.bound = func(p *pattern, text string) bool {
				symbolic := false
				for _, key := range p.keys() {
					values, _ := e.values(key)
					symbolic = symbolic || !s.fixed(c, key) && len(values) == 1
				}
				if !symbolic {
					tokens, ok := p.with(e.single)
					return ok && matches(tokens, text)
				}
				if !matches(p.widest().tokens, text) {
					return false
				}
				b := binding{p.text, text}
				is, ok := assumed[b]
				if !ok && asked == nil {
					asked = &b
				}
				return is
			}
			if s.left -= 1 + len(c.relevant[0]) + len(c.relevant[1]); s.left < 0 {
				return nil, tooMuch
			}
			l := setting{context: context, assumed: assumed}
			for i := range s.sets {
				l.verdicts[i] = s.sets[i].decide(e, c.relevant[i])
			}
			if asked == nil {
				settings = append(settings, l)
				continue
			}
			if len(settings)+len(open) > maxSettings {
				return nil, "the variables have too many combinations"
			}
			for _, is := range []bool{false, true} {
				next := maps.Clone(assumed)
				next[*asked] = is
				open = append(open, next)
			}
		}
	}
	return settings, why
}

// witness makes a request of a setting: values of the variables with which the
// patterns match as assumed. Both sets decide about it as they do in the setting.
func (s *space) witness(c cell, l setting) (Request, bool) {
	confirmed := func(req Request) bool {
		in := s.resources.points[c.resource].in
		if bits(membership(s.resources.widest, req.Resource)) != bits(in) {
			return false
		}
		for i, set := range s.sets {
			if got := Evaluate(req, set).Verdict; (got == Allow) != (l.verdicts[i].Verdict == Allow) {
				return false
			}
		}
		return true
	}
	context := maps.Clone(l.context)
	req := s.request(c, context)
	req.Resource = s.plausible(c)
	if confirmed(req) {
		return req, true
	}
	req.Resource = s.resources.points[c.resource].value
	if confirmed(req) {
		return req, true
	}

	var patterns []*pattern
	seen := make(map[string]bool)
	for _, rules := range c.relevant {
		for _, r := range rules {
			all := slices.Clone(r.resources)
			for _, cond := range r.conditions {
				for _, v := range cond.values {
					all = append(all, v.pattern)
				}
			}
			for _, p := range all {
				if p.vars && !seen[p.text] {
					seen[p.text] = true
					patterns = append(patterns, p)
				}
			}
		}
	}
	// First let the texts say what the variables are, then the variables
	// what the texts are. What is to match none of them is "other".
	bindings := slices.SortedFunc(maps.Keys(l.assumed), func(a, b binding) int {
		return cmp.Or(strings.Compare(a.pattern, b.pattern), strings.Compare(a.text, b.text))
	})
	bind := func(is bool, value func(p *pattern, b binding) map[string]string) {
		for _, b := range bindings {
			for _, p := range patterns {
				if l.assumed[b] != is || p.text != b.pattern {
					continue
				}
				for key, v := range value(p, b) {
					if _, present := context[key]; present {
						context[key] = []string{v}
					}
				}
			}
		}
	}
	captured := func(p *pattern, b binding) map[string]string {
		values, ok := p.captures(b.text)
		if !ok {
			return nil
		}
		return values
	}
	bind(true, captured)
	if req = s.request(c, context); confirmed(req) {
		return req, true
	}
	bind(false, func(p *pattern, _ binding) map[string]string {
		values := make(map[string]string)
		for _, key := range p.keys() {
			values[key] = "other"
		}
		return values
	})
	bind(true, captured)
	if req = s.request(c, context); confirmed(req) {
		return req, true
	}
	for _, p := range patterns {
		if tokens, ok := p.with(newEnv(s.request(c, l.context)).single); ok {
			req := s.request(c, l.context)
			req.Resource = example(tokens, 'x')
			if confirmed(req) {
				return req, true
			}
		}
	}
	return s.request(c, l.context), false
}

// impossible says that a setting asks for a user whose name another one has,
// or nobody can have: names are unique in an account, whatever their paths.
func (s *space) impossible(c cell, l setting) bool {
	principal := s.principals[c.principal]
	if s.invented[principal] == "" {
		return false
	}
	names := l.context["aws:username"]
	for b, is := range l.assumed {
		if is {
			if values, ok := compile(b.pattern, syntax{wildcards: true, variables: true}).captures(b.text); ok && values["aws:username"] != "" {
				names = append(slices.Clone(names), values["aws:username"])
			}
		}
	}
	return slices.ContainsFunc(names, func(name string) bool {
		return strings.ContainsAny(name, "/:") || slices.ContainsFunc(s.principals, func(p Principal) bool {
			known := describe(p)
			return s.invented[p] == "" && known.user == name && known.account == describe(principal).account
		})
	})
}

// plausible is a resource of the action's service, where the policies do not
// tell it from the invented one.
func (s *space) plausible(c cell) string {
	p := s.resources.points[c.resource]
	service, _, _ := strings.Cut(s.actions.points[c.action].value, ":")
	region, account := "us-east-1", s.scope.Account
	switch service {
	case "s3":
		region, account = "", ""
	case "iam", "sts":
		region = ""
	}
	likely := strings.Join([]string{"arn", "aws", service, region, account, "example"}, ":")
	if p.value != "*" && s.scope.Resource == "" && bits(membership(s.resources.widest, likely)) == bits(p.in) {
		return likely
	}
	return p.value
}
