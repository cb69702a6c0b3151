package spec

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A mistake is why a text is not YAML, in words for who wrote it. The parser's
// own errors speak of its inner state, and often stand at a later line.
type mistake struct {
	offset  int // of the byte to point at
	message string
	fixes   [][]edit // how it may have been meant, so that the rest can be read; nil: not known
}

// An edit puts text in the place of some that is within one line.
type edit struct {
	from, to int
	text     string
}

// apply makes the edits, which are in the order of the text.
func apply(text string, edits []edit) string {
	for _, e := range slices.Backward(edits) {
		text = text[:e.from] + e.text + text[e.to:]
	}
	return text
}

// findMistake looks for the first place where a text that is not YAML goes
// wrong; nil where it cannot tell. It follows indentation, quotes and brackets
// and no more of YAML than people write into specs.
func findMistake(text string) *mistake {
	s := &scanner{text: text}
	for start := 0; start < len(text); {
		end := strings.IndexByte(text[start:], '\n') + 1
		if end == 0 {
			end = len(text) - start
		}
		s.lines = append(s.lines, start)
		start += end
	}
	for s.at < len(s.lines) && !s.lost {
		if m := s.line(); m != nil {
			return m
		}
	}
	return nil
}

// A scanner goes through a text by its lines. Places in it are offsets.
type scanner struct {
	text    string
	lines   []int // where each begins
	at      int   // the line to look at next
	stack   []block
	anchors map[string]bool // nil until asked for
	lost    bool            // the text does what this scanner does not follow
}

// A block is a mapping or a list that is laid out by indentation.
type block struct {
	indent int
	list   bool
	line   int  // the first of it
	open   bool // its last key or dash has no value yet, so that deeper lines may give it
}

func (s *scanner) top() *block {
	if len(s.stack) == 0 {
		return nil
	}
	return &s.stack[len(s.stack)-1]
}

func (s *scanner) push(indent int, list bool) {
	if top := s.top(); top != nil {
		top.open = false
	}
	s.stack = append(s.stack, block{indent: indent, list: list, line: s.at})
}

// end is where a line ends, its line break left out.
func (s *scanner) end(line int) int {
	end := len(s.text)
	if line+1 < len(s.lines) {
		end = s.lines[line+1]
	}
	return s.lines[line] + len(strings.TrimRight(s.text[s.lines[line]:end], "\r\n"))
}

// lineOf is the line that a byte stands in.
func (s *scanner) lineOf(offset int) int {
	i, found := slices.BinarySearch(s.lines, offset)
	if found {
		return i
	}
	return i - 1
}

func (s *scanner) content(line int) (text string, indent int) {
	text = s.text[s.lines[line]:s.end(line)]
	return text, len(text) - len(strings.TrimLeft(text, " "))
}

var (
	// A key, as far as a line that should have none can be taken for one.
	keyLike     = regexp.MustCompile(`^("[^"]*"|'[^']*'|[A-Za-z_<$][^\s:#"'\[\]{},]*)\s*:(\s|$)`)
	noSpace     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*:\S`)
	blockHeader = regexp.MustCompile(`^[|>][+-]?[1-9]?[+-]?\s*(\s#.*)?$`)
	anchorMark  = regexp.MustCompile(`&[A-Za-z0-9_-]+`)
	anchorName  = regexp.MustCompile(`^[*&][A-Za-z0-9_-]+`)
)

func isDash(rest string) bool { return rest == "-" || strings.HasPrefix(rest, "- ") }

// entryLike says that a line begins a field or an item of its own.
func entryLike(rest string) bool { return isDash(rest) || keyLike.MatchString(rest) }

// line looks at one line, or at all the lines that its value goes over.
func (s *scanner) line() *mistake {
	text, indent := s.content(s.at)
	rest := text[indent:]
	start := s.lines[s.at] + indent
	switch {
	case strings.TrimSpace(rest) == "" || rest[0] == '#':
		s.at++
		return nil
	case rest[0] == '\t':
		return &mistake{offset: start, message: "a tab in the indentation; YAML allows only spaces there"}
	case indent == 0 && (strings.HasPrefix(rest, "---") || strings.HasPrefix(rest, "...")):
		s.lost = len(strings.TrimSpace(rest)) > 3
		s.stack = nil
		s.at++
		return nil
	case strings.ContainsRune("]},", rune(rest[0])):
		opening := map[byte]string{']': "[", '}': "{", ',': "[ or {"}[rest[0]]
		return &mistake{
			offset: start, message: fmt.Sprintf("%q stands alone: no %s is open here", rest[:1], opening),
			fixes: [][]edit{{{start, start + 1, ""}}},
		}
	case strings.HasPrefix(rest, "? "):
		s.lost = true // a key of several lines
		return nil
	}
	if m := s.fit(indent, rest, start); m != nil || s.lost {
		return m
	}
	if s.at == len(s.lines) || s.lines[s.at] > start {
		return nil // went on with the text before it
	}
	return s.entry(start, indent)
}

// fit finds the block that a line belongs to.
func (s *scanner) fit(indent int, rest string, start int) *mistake {
	var left *block // the last one that this line ends
	for top := s.top(); top != nil && top.indent > indent; top = s.top() {
		b := *top
		left = &b
		s.stack = s.stack[:len(s.stack)-1]
	}
	top, dash := s.top(), isDash(rest)
	switch {
	case top == nil && left == nil:
		s.push(indent, dash)
	case top == nil:
		return s.misplaced(indent, left)
	case top.indent == indent && top.list && !dash:
		if len(s.stack) > 1 && s.stack[len(s.stack)-2].indent == indent {
			s.stack = s.stack[:len(s.stack)-1]
			return nil
		}
		inside := top.indent + len("- ")
		return &mistake{
			offset: start,
			message: fmt.Sprintf("this line stands among the items of the list of line %d; begin it with \"- \", or indent it by %d as a field of the item above it",
				top.line+1, inside),
			fixes: [][]edit{s.indented(indent, inside, false), s.indented(indent, inside, true)},
		}
	case top.indent == indent && !top.list && dash:
		if !top.open {
			for i := len(s.stack) - 1; i >= 0; i-- {
				if s.stack[i].list {
					return s.misplaced(indent, &s.stack[i])
				}
			}
			return &mistake{offset: start, message: "a list item among fields, of which none is without its value"}
		}
		s.push(indent, true)
	case top.indent == indent:
	case left != nil:
		return s.misplaced(indent, left, top)
	case top.open:
		s.push(indent, dash)
	case keyLike.MatchString(rest):
		return s.misplaced(indent, top)
	default:
		s.at++ // more of the text before it
	}
	return nil
}

// misplaced is about a line whose indentation is none of those that it could
// have.
func (s *scanner) misplaced(indent int, blocks ...*block) *mistake {
	slices.SortFunc(blocks, func(a, b *block) int { return a.indent - b.indent })
	var at []string
	for _, b := range blocks {
		what := "fields"
		if b.list {
			what = "list"
		}
		at = append(at, fmt.Sprintf("%d, as the %s of line %d", b.indent, what, b.line+1))
	}
	m := &mistake{
		offset:  s.lines[s.at] + indent,
		message: fmt.Sprintf("this line is indented by %s, which fits nothing above it; indent it by %s", spaces(indent), strings.Join(at, ", or by ")),
	}
	for _, b := range blocks {
		m.fixes = append(m.fixes, s.indented(indent, b.indent, false), s.indented(indent, b.indent, true))
	}
	return m
}

// indented moves the line, or it and what stands below it, to another
// indentation.
func (s *scanner) indented(from, to int, whole bool) []edit {
	var edits []edit
	for i := s.at; i < len(s.lines); i++ {
		text, indent := s.content(i)
		if strings.TrimSpace(text) == "" {
			continue
		}
		if i > s.at && (!whole || indent < from) {
			break
		}
		start := s.lines[i]
		edits = append(edits, edit{start, start + indent, strings.Repeat(" ", max(indent+to-from, 0))})
	}
	return edits
}

func spaces(n int) string {
	if n == 1 {
		return "1 space"
	}
	return fmt.Sprintf("%d spaces", n)
}

// entry looks at what a line says: dashes, a key, a value.
func (s *scanner) entry(start, indent int) *mistake {
	top, end := s.top(), s.end(s.at)
	rest := s.text[start:end]
	for top.list {
		after := strings.TrimLeft(rest[1:], " ")
		column := indent + len(rest) - len(after)
		start, rest = start+len(rest)-len(after), after
		if rest == "" || rest[0] == '#' {
			top.open = true
			s.at++
			return nil
		}
		top.open = false
		if !isDash(rest) && !s.hasKey(rest) {
			return s.value(start, top.indent)
		}
		indent = column
		s.push(indent, isDash(rest))
		top = s.top()
	}
	key := s.keyEnd(rest)
	if key < 0 {
		return s.noKey(start, rest)
	}
	if m := s.special(start, key, top.indent); m != nil {
		return m
	}
	value := rest[key+1:]
	start += key + 1 + len(value) - len(strings.TrimLeft(value, " \t"))
	top.open = false
	return s.value(start, top.indent)
}

func (s *scanner) hasKey(rest string) bool { return s.keyEnd(rest) >= 0 }

// keyEnd is where the colon of a line's key stands, -1 without one.
func (s *scanner) keyEnd(rest string) int {
	from := 0
	if rest[0] == '"' || rest[0] == '\'' {
		end := quoteEnd(rest, 0)
		if end < 0 {
			return -1
		}
		from = end
		if after := strings.TrimLeft(rest[from:], " "); !strings.HasPrefix(after, ":") {
			return -1
		}
	} else if rest[0] == '[' || rest[0] == '{' {
		return -1
	}
	for i := from; i < len(rest); i++ {
		switch {
		case rest[i] == ':' && (i+1 == len(rest) || rest[i+1] == ' ' || rest[i+1] == '\t'):
			return i
		case rest[i] == '#' && i > 0 && rest[i-1] == ' ':
			return -1
		}
	}
	return -1
}

// noKey is about a line that is no field, among fields or as the whole text.
func (s *scanner) noKey(start int, rest string) *mistake {
	top := s.top()
	if top.line == s.at && len(s.stack) == 1 || strings.ContainsRune("[{", rune(rest[0])) {
		return s.value(start, top.indent-1)
	}
	if rest[0] == '"' || rest[0] == '\'' {
		return s.value(start, top.indent)
	}
	if top.line == s.at {
		// The first line below a key: its value, on a line of its own.
		s.stack = s.stack[:len(s.stack)-1]
		return s.value(start, s.top().indent)
	}
	if noSpace.MatchString(rest) {
		colon := start + strings.IndexByte(rest, ':') + 1
		return &mistake{
			offset: colon, message: fmt.Sprintf("a space is missing after the colon; write %s: %s", rest[:colon-start-1], clip(rest[colon-start:])),
			fixes: [][]edit{{{colon, colon, " "}}},
		}
	}
	word, _, _ := strings.Cut(rest, " ")
	fixes := [][]edit{{{start + len(word), start + len(word), ":"}}}
	if strings.ContainsAny(word, `*&!@%|>`+"`") {
		fixes = nil
	}
	return &mistake{offset: start, message: "want a field and its value here, parted by a colon and a space: name: value", fixes: fixes}
}

// value looks at what stands after a key or a dash, and goes on behind it.
// indent is that of the block it is in.
func (s *scanner) value(start, indent int) *mistake {
	line := s.at
	for {
		rest := s.text[start:s.end(line)]
		if rest == "" || rest[0] == '#' {
			if top := s.top(); top != nil {
				top.open = true
			}
			s.at = line + 1
			return nil
		}
		// An anchor or a tag stands before the value itself.
		if name := anchorName.FindString(rest); (rest[0] != '&' || name == "") && (rest[0] != '!' || rest == "!") {
			break
		}
		_, after, _ := strings.Cut(rest, " ")
		start += len(rest) - len(strings.TrimLeft(after, " "))
	}
	rest := s.text[start:s.end(line)]
	switch rest[0] {
	case '"', '\'':
		return s.quoted(start)
	case '[', '{':
		return s.flow(start, indent)
	case '|', '>':
		if blockHeader.MatchString(rest) {
			return s.literal(indent)
		}
	case '-':
		if isDash(rest) {
			return &mistake{offset: start, message: "a list begins on a line of its own, below its field", fixes: [][]edit{{{start, start + len("- "), ""}}}}
		}
	}
	text := plain(rest)
	if m := s.special(start, len(text), indent); m != nil {
		return m
	}
	for i := range len(text) {
		if text[i] == ':' && (i+1 == len(text) || text[i+1] == ' ') {
			return &mistake{
				offset:  start + i,
				message: "a colon and a space within text, which YAML takes for the end of a key; put the text in quotes: " + quote(clip(text)),
				fixes:   [][]edit{{{start, start + len(text), quote(text)}}},
			}
		}
	}
	s.at = line + 1
	return nil
}

// plain is text without quotes up to a comment.
func plain(rest string) string {
	if i := strings.Index(rest, " #"); i >= 0 {
		rest = rest[:i]
	}
	return strings.TrimRight(rest, " \t")
}

// special refuses text that begins with a character that YAML keeps for
// itself.
func (s *scanner) special(start, size, indent int) *mistake {
	text := s.text[start : start+size]
	if text == "" {
		return nil
	}
	why := ""
	switch text[0] {
	case '*':
		name := anchorName.FindString(text)
		if name != "" && len(name) == len(strings.TrimRight(text, " ")) {
			if s.anchored(name[1:]) {
				return nil
			}
			why = fmt.Sprintf(", and there is no anchor &%s", name[1:])
		}
		why = "which YAML takes for an alias" + why
	case '&':
		if anchorName.MatchString(text) {
			return nil
		}
		why = "which YAML takes for an anchor"
	case '%':
		why = "which YAML takes for a directive"
	case '@', '`':
		why = "which YAML keeps for itself"
	case '|', '>':
		why = "which YAML takes for the head of a text of several lines"
	default:
		return nil
	}
	return &mistake{
		offset:  start,
		message: fmt.Sprintf("text that begins with %s, %s; put it in quotes: %s", text[:1], why, quote(clip(text))),
		fixes:   [][]edit{{{start, start + size, quote(text)}}},
	}
}

// anchored says that some value carries an anchor of that name.
func (s *scanner) anchored(name string) bool {
	if s.anchors == nil {
		s.anchors = make(map[string]bool)
		for _, a := range anchorMark.FindAllString(s.text, -1) {
			s.anchors[a[1:]] = true
		}
	}
	return s.anchors[name]
}

// quote writes text as YAML takes it for nothing else.
func quote(text string) string {
	if strings.ContainsAny(text, `"\`) {
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	return `"` + text + `"`
}

// literal skips the lines of a text of several lines.
func (s *scanner) literal(indent int) *mistake {
	head, content, first := s.at, -1, 0
	for s.at++; s.at < len(s.lines); s.at++ {
		text, have := s.content(s.at)
		switch {
		case strings.TrimSpace(text) == "":
		case have <= indent:
			return nil
		case content < 0:
			content, first = have, s.at
		case have < content:
			return &mistake{
				offset: s.lines[s.at] + have,
				message: fmt.Sprintf("this line is indented by %s, less than line %d, with which the text of line %d begins; indent it by %d at least",
					spaces(have), first+1, head+1, content),
				fixes: [][]edit{{{s.lines[s.at], s.lines[s.at] + have, strings.Repeat(" ", content)}}},
			}
		}
	}
	return nil
}

// quoteEnd is where a quoted text ends, behind its quote; -1 where it does not.
func quoteEnd(text string, start int) int {
	mark := text[start]
	for i := start + 1; i < len(text); i++ {
		switch {
		case mark == '"' && text[i] == '\\':
			i++
		case text[i] != mark:
		case mark == '\'' && i+1 < len(text) && text[i+1] == mark:
			i++
		default:
			return i + 1
		}
	}
	return -1
}

// inQuotes looks at a quoted text and says where it ends.
func (s *scanner) inQuotes(start int) (end int, m *mistake) {
	end = quoteEnd(s.text, start)
	line := s.lineOf(start)
	unclosed := end < 0
	if !unclosed {
		// A quote that is not closed ends at the next one of its kind, behind
		// lines that were meant to be fields.
		for i := line + 1; i < len(s.lines) && s.lines[i] < end && !unclosed; i++ {
			unclosed = entryLike(strings.TrimLeft(s.text[s.lines[i]:s.end(i)], " "))
		}
	}
	if unclosed {
		rest := plain(s.text[start:s.end(line)])
		return 0, &mistake{
			offset:  start,
			message: fmt.Sprintf("the quote %c that opens here is not closed", s.text[start]),
			fixes:   [][]edit{{{start + len(rest), start + len(rest), s.text[start : start+1]}}},
		}
	}
	if s.text[start] == '"' {
		if i := badEscape(s.text[start:end]); i > 0 {
			at := start + i
			return 0, &mistake{
				offset:  at,
				message: fmt.Sprintf("%s is no escape in double quotes; write %s, or the text in single quotes", s.text[at:at+2], `\`+s.text[at:at+2]),
				fixes:   [][]edit{{{at, at, `\`}}},
			}
		}
	}
	return end, nil
}

// badEscape is where a backslash stands that YAML knows no meaning of, 0
// without one.
func badEscape(quoted string) int {
	for i := 1; i+2 < len(quoted); i++ {
		if quoted[i] != '\\' {
			continue
		}
		if !strings.ContainsRune("0abt\tnvfre \"/\\N_LPxuU\r\n", rune(quoted[i+1])) {
			return i
		}
		i++
	}
	return 0
}

// quoted looks at a value in quotes.
func (s *scanner) quoted(start int) *mistake {
	end, m := s.inQuotes(start)
	if m != nil {
		return m
	}
	return s.behind(start, end, "quote")
}

// behind wants nothing behind a value that has its end.
func (s *scanner) behind(start, end int, what string) *mistake {
	line := s.lineOf(end - 1)
	rest := s.text[end:s.end(line)]
	after := strings.TrimLeft(rest, " \t")
	if after == "" || after[0] == '#' && len(after) < len(rest) {
		s.at = line + 1
		return nil
	}
	if after[0] == ':' && what == "bracket" {
		s.lost = true // a key of its own
		return nil
	}
	if after[0] == ']' || after[0] == '}' {
		return &mistake{
			offset:  end,
			message: fmt.Sprintf("%q is one too many: what it would close is closed already", after[:1]),
			fixes:   [][]edit{{{end, s.end(line), ""}}},
		}
	}
	m := &mistake{
		offset:  end + len(rest) - len(after),
		message: fmt.Sprintf("text behind the closing %s; what begins with %s ends there, so put all of it in quotes", what, s.text[start:start+1]),
	}
	if s.lineOf(start) == line {
		all := plain(s.text[start:s.end(line)])
		m.message += ": " + quote(clip(all))
		m.fixes = [][]edit{{{start, start + len(all), quote(all)}}}
	}
	return m
}

// A bracket is one that is open.
type bracket struct {
	mark   byte
	offset int
	keyed  bool // a key and its colon have come, and not yet the comma after the value
}

// flow looks at what stands in brackets, over however many lines.
func (s *scanner) flow(start, indent int) *mistake {
	var open []bracket
	closing := map[byte]byte{'[': ']', '{': '}'}
	unclosed := func(last int) *mistake {
		inner := open[len(open)-1]
		var rest strings.Builder
		for _, b := range slices.Backward(open) {
			rest.WriteByte(closing[b.mark])
		}
		line := max(s.lineOf(max(last-1, start)), s.lineOf(start))
		text := plain(s.text[s.lines[line]:s.end(line)])
		for line > s.lineOf(start) && strings.TrimSpace(text) == "" {
			line--
			text = plain(s.text[s.lines[line]:s.end(line)])
		}
		at := s.lines[line] + len(text)
		return &mistake{
			offset:  inner.offset,
			message: fmt.Sprintf("the bracket %c that opens here is not closed; a %c is missing", inner.mark, closing[inner.mark]),
			fixes:   [][]edit{{{at, at, rest.String()}}},
		}
	}
	ended := false // a value has just come to its end
	for i := start; i < len(s.text); {
		c := s.text[i]
		switch {
		case c == '\n':
			line := s.lineOf(i) + 1
			if line < len(s.lines) {
				text, have := s.content(line)
				if have <= indent && entryLike(text[have:]) {
					return unclosed(i)
				}
			}
			i++
			continue
		case c == ' ' || c == '\t' || c == '\r':
			i++
			continue
		case c == '#' && strings.ContainsRune(" \t\n", rune(s.text[i-1])):
			i = s.end(s.lineOf(i))
			continue
		case c == ']' || c == '}':
			inner := open[len(open)-1]
			if closing[inner.mark] != c {
				m := unclosed(i)
				m.message = fmt.Sprintf("the bracket %c that opens here is not closed before the %c on line %d", inner.mark, c, s.lineOf(i)+1)
				m.fixes = [][]edit{{{i, i, string(closing[inner.mark])}}}
				return m
			}
			open = open[:len(open)-1]
			ended = true
			if i++; len(open) == 0 {
				return s.behind(start, i, "bracket")
			}
			continue
		case c == ',':
			open[len(open)-1].keyed, ended = false, false
			i++
			continue
		case c == ':' && (ended || i+1 < len(s.text) && strings.ContainsRune(" \t\r\n,[]{}", rune(s.text[i+1]))):
			inner := &open[len(open)-1]
			if inner.keyed {
				return &mistake{offset: i, message: "a second colon in one entry: a comma is missing before it, or the text wants quotes"}
			}
			inner.keyed, ended = true, false
			i++
			continue
		}
		if ended {
			return &mistake{offset: i, message: "a comma is missing before this", fixes: [][]edit{{{i, i, ", "}}}}
		}
		switch c {
		case '[', '{':
			open = append(open, bracket{mark: c, offset: i})
			i++
		case '"', '\'':
			end, m := s.inQuotes(i)
			if m != nil {
				// What closes the brackets on this line closes them still.
				line := plain(s.text[i:s.end(s.lineOf(i))])
				if at := strings.IndexAny(line, ",]}"); at > 0 && m.fixes[0][0].text == string(c) {
					m.fixes = [][]edit{{{i + at, i + at, string(c)}}}
				}
				return m
			}
			if value := s.text[i:end]; strings.HasSuffix(value, ", "+value[:1]) && end < len(s.text) && !strings.ContainsRune(" \t\r\n,:]}", rune(s.text[end])) {
				at := end - len(", ") - 1
				return &mistake{
					offset:  i,
					message: fmt.Sprintf("the quote %c that opens here is not closed", c),
					fixes:   [][]edit{{{at, at, string(c)}}},
				}
			}
			i, ended = end, true
		default:
			end, m := s.inFlow(i, open[len(open)-1])
			if m != nil {
				return m
			}
			i, ended = end, true
		}
	}
	return unclosed(len(s.text))
}

// inFlow looks at text without quotes in brackets and says where it ends.
func (s *scanner) inFlow(start int, in bracket) (end int, m *mistake) {
	i := start
	for ; i < len(s.text); i++ {
		c := s.text[i]
		if c == '\n' || strings.IndexByte(",[]{}", c) >= 0 || c == '#' && s.text[i-1] == ' ' ||
			c == ':' && i+1 < len(s.text) && strings.IndexByte(" \t\r\n,[]{}", s.text[i+1]) >= 0 {
			break
		}
	}
	text := strings.TrimRight(s.text[start:i], " \t\r")
	if i < len(s.text) && (s.text[i] == '{' || s.text[i] == '[') {
		all := s.withBraces(start)
		message := "text with a bracket inside of brackets needs quotes: "
		if strings.HasSuffix(text, "$") {
			message = "inside of [ ] and { } a reference needs quotes: "
		}
		return 0, &mistake{
			offset: start, message: message + quote(clip(all)),
			fixes: [][]edit{{{start, start + len(all), quote(all)}}},
		}
	}
	if m := s.special(start, len(text), 0); m != nil {
		return 0, m
	}
	if i < len(s.text) && s.text[i] == ':' && in.keyed && strings.Contains(text, " ") {
		at := start + strings.LastIndexByte(text, ' ')
		return 0, &mistake{
			offset:  at + 1,
			message: fmt.Sprintf("a comma is missing before %s, or the text wants quotes", strconv.Quote(clip(s.text[at+1:start+len(text)]))),
			fixes:   [][]edit{{{at, at, ","}}},
		}
	}
	// Text goes on over lines, and a comma is often forgotten at the end of one.
	if i < len(s.text) && s.text[i] == '\n' && in.keyed {
		next := strings.TrimLeft(s.text[i:], " \r\n")
		if keyLike.MatchString(next) {
			at := len(s.text) - len(next)
			return 0, &mistake{
				offset:  at,
				message: "a comma is missing before this line",
				fixes:   [][]edit{{{start + len(text), start + len(text), ","}}},
			}
		}
	}
	if i < len(s.text) && (s.text[i] == '\n' || s.text[i] == ' ' || s.text[i] == '\r') {
		// The line that comes next may be more of this text.
		next := strings.TrimLeft(s.text[i:], " \r\n")
		if next == "" || strings.ContainsRune(",[]{}:#\"'", rune(next[0])) || s.text[i] == '\n' && entryLike(next) {
			return i, nil
		}
		return s.inFlow(len(s.text)-len(next), in)
	}
	return i, nil
}

// withBraces is text in brackets up to what ends it, brackets of its own
// included.
func (s *scanner) withBraces(start int) string {
	depth := 0
	for i := start; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '{' || c == '[':
			depth++
		case (c == '}' || c == ']') && depth > 0:
			depth--
		case c == '\n', depth == 0 && (c == '}' || c == ']' || c == ','):
			return strings.TrimRight(s.text[start:i], " \r")
		}
	}
	return s.text[start:]
}
