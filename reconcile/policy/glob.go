package policy

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A pattern is a text of a policy with its wildcards and variables. As a
// language it is what the automaton in automaton.go reads, too.
type pattern struct {
	text   string
	tokens []token
	vars   bool // it has variables, whose values a request gives
}

// A token stands for one character, for any number of them, or for the value
// of a variable.
type token struct {
	kind tokenKind
	r    rune // literal

	// within is what a wildcard of an ARN's first five fields has: it ends
	// at the next colon.
	within bool
	fold   bool // a literal in either case

	name     string // variable: the condition key as written
	key      string // and in lower case
	fallback string // variable: the default, where hasFallback
	has      bool
}

type tokenKind uint8

const (
	literal  tokenKind = iota
	one                // ?
	many               // *
	digit              // one digit: no policy has it, shapes of requests do
	variable           // ${key} or ${key, 'default'}
)

// A syntax is what a text's characters mean where it stands.
type syntax struct {
	wildcards bool
	variables bool // Version 2012-10-17
	fold      bool
}

func compile(text string, s syntax) *pattern {
	p := &pattern{text: text}
	for rest := text; rest != ""; {
		if s.variables && strings.HasPrefix(rest, "${") {
			if t, after, ok := readVariable(rest); ok {
				t.fold = s.fold
				p.tokens = append(p.tokens, t)
				p.vars = p.vars || t.kind == variable
				rest = after
				continue
			}
		}
		r, size := utf8.DecodeRuneInString(rest)
		p.tokens = append(p.tokens, readRune(r, s))
		rest = rest[size:]
	}
	return p
}

func readRune(r rune, s syntax) token {
	switch {
	case s.wildcards && r == '*':
		return token{kind: many}
	case s.wildcards && r == '?':
		return token{kind: one}
	}
	return token{kind: literal, r: r, fold: s.fold}
}

// readVariable reads ${...}. The three that have no key are characters that
// would mean something else bare.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
func readVariable(text string) (token, string, bool) {
	body, after, ok := strings.Cut(text[len("${"):], "}")
	if !ok || body == "" {
		return token{}, "", false
	}
	switch body {
	case "*", "?", "$":
		return token{kind: literal, r: rune(body[0])}, after, true
	}
	key, fallback, has := strings.Cut(body, ",")
	key = strings.TrimSpace(key)
	t := token{kind: variable, name: key, key: strings.ToLower(key)}
	if has {
		fallback = strings.TrimSpace(fallback)
		if len(fallback) < 2 || fallback[0] != '\'' || fallback[len(fallback)-1] != '\'' {
			return token{}, "", false
		}
		t.has, t.fallback = true, fallback[1:len(fallback)-1]
	}
	return t, after, true
}

// compileARN reads an ARN that may have wildcards. Those of the first five
// fields end at the next colon, that of the sixth does not. An ARN with fewer
// fields is completed with wildcards.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
func compileARN(text string, s syntax) *pattern {
	p := compile(text, s)
	if strings.Trim(text, "*") == "" && text != "" {
		return p // every resource, "*" among them
	}
	fields := 1
	for i := range p.tokens {
		t := &p.tokens[i]
		if t.kind == literal && t.r == ':' {
			fields++
		}
		t.within = fields < 6 && (t.kind == one || t.kind == many)
	}
	for ; fields < 6; fields++ {
		p.tokens = append(p.tokens, token{kind: literal, r: ':'}, token{kind: many, within: fields < 5})
	}
	return p
}

func (t token) accepts(r rune) bool {
	switch t.kind {
	case literal:
		return t.r == r || t.fold && unicode.ToLower(t.r) == unicode.ToLower(r)
	case one, many:
		return !t.within || r != ':'
	case digit:
		return '0' <= r && r <= '9'
	}
	return false
}

// matches says whether tokens without variables match the whole of s. It tries
// the last wildcard longer and longer, which is enough: a wildcard before it
// could only do what it can do as well. One that ends at a colon cannot, but
// then the fields on both sides of the colon are matched each by itself.
func matches(tokens []token, s string) bool {
	t, at := 0, 0
	star, resume := -1, 0
	for at < len(s) {
		r, size := utf8.DecodeRuneInString(s[at:])
		switch {
		case t < len(tokens) && tokens[t].kind == many:
			star, resume = t, at
			t++
			continue
		case t < len(tokens) && tokens[t].accepts(r):
			t++
			at += size
			continue
		case star < 0:
			return false
		}
		r, size = utf8.DecodeRuneInString(s[resume:])
		if !tokens[star].accepts(r) {
			return false
		}
		resume += size
		at, t = resume, star+1
	}
	for t < len(tokens) && tokens[t].kind == many {
		t++
	}
	return t == len(tokens)
}

// widest is p with every variable as a wildcard: what it can match at all.
func (p *pattern) widest() *pattern {
	if !p.vars {
		return p
	}
	w := &pattern{text: p.text, tokens: slices.Clone(p.tokens)}
	for i, t := range w.tokens {
		if t.kind == variable {
			w.tokens[i] = token{kind: many}
		}
	}
	return w
}

// with puts values in the place of variables; false is one that has none.
// Values are text: a wildcard in them is a character like any other.
func (p *pattern) with(value func(key string) (string, bool)) ([]token, bool) {
	if !p.vars {
		return p.tokens, true
	}
	tokens := make([]token, 0, len(p.tokens)+16)
	for _, t := range p.tokens {
		if t.kind != variable {
			tokens = append(tokens, t)
			continue
		}
		text, ok := value(t.key)
		if !ok {
			if !t.has {
				return nil, false
			}
			text = t.fallback
		}
		for _, r := range text {
			tokens = append(tokens, token{kind: literal, r: r, fold: t.fold})
		}
	}
	return tokens, true
}

// partly puts values in the place of some variables only.
func (p *pattern) partly(value func(key string) (string, bool), some func(key string) bool) (*pattern, bool) {
	q := &pattern{}
	for i, t := range p.tokens {
		if t.kind != variable || !some(t.key) {
			q.tokens = append(q.tokens, t)
			q.vars = q.vars || t.kind == variable
			continue
		}
		whole := pattern{tokens: p.tokens[i : i+1], vars: true}
		tokens, ok := whole.with(value)
		if !ok {
			return nil, false
		}
		q.tokens = append(q.tokens, tokens...)
	}
	q.text = q.String()
	return q, true
}

func (p *pattern) String() string {
	var b strings.Builder
	for _, t := range p.tokens {
		switch t.kind {
		case many:
			b.WriteByte('*')
		case variable:
			b.WriteString("${" + t.name + "}")
		case literal:
			b.WriteRune(t.r)
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}

// keys are the condition keys of p's variables.
func (p *pattern) keys() []string {
	var keys []string
	for _, t := range p.tokens {
		if t.kind == variable {
			keys = append(keys, t.key)
		}
	}
	return keys
}

// captures finds values of the variables with which p matches s: the first
// way, variables as short as they can be. It gives up on texts that would
// need very many steps.
func (p *pattern) captures(s string) (map[string]string, bool) {
	found := make(map[string]string)
	steps := 10_000
	text := []rune(s)
	var try func(t, at int) bool
	try = func(t, at int) bool {
		if steps--; steps < 0 {
			return false
		}
		if t == len(p.tokens) {
			return at == len(text)
		}
		tok := p.tokens[t]
		switch tok.kind {
		case many:
			for end := at; ; end++ {
				if try(t+1, end) {
					return true
				}
				if end == len(text) || !tok.accepts(text[end]) {
					return false
				}
			}
		case variable:
			if bound, ok := found[tok.key]; ok {
				end := at + len([]rune(bound))
				return end <= len(text) && string(text[at:end]) == bound && try(t+1, end)
			}
			for end := at + 1; end <= len(text); end++ {
				found[tok.key] = string(text[at:end])
				if try(t+1, end) {
					return true
				}
			}
			delete(found, tok.key)
			return false
		}
		return at < len(text) && tok.accepts(text[at]) && try(t+1, at+1)
	}
	return found, try(0, 0)
}

// example is a text that tokens without variables match, with filler for each
// wildcard.
func example(tokens []token, filler rune) string {
	var b strings.Builder
	for _, t := range tokens {
		switch t.kind {
		case literal:
			b.WriteRune(t.r)
		case digit:
			b.WriteByte('1')
		default:
			b.WriteRune(filler)
		}
	}
	return b.String()
}

// weight ranks patterns: the more of it is written out, the more it says.
func (p *pattern) weight() int {
	n := 0
	for _, t := range p.tokens {
		if t.kind == literal {
			n += 2
		}
		if t.kind == one {
			n++
		}
	}
	return n
}
