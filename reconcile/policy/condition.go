package policy

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// truth is the answer to a question that may have none.
type truth uint8

const (
	no truth = iota
	maybe
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

func (t truth) not() truth { return yes - t }

// A condition is one key of one operator of a condition block.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
type condition struct {
	written    string // the operator
	name       string // the key as written
	key        string // in lower case: keys have no case
	kind       comparison
	order      func(order int) bool // for numbers and dates: whether request to policy suits
	negated    bool
	quantifier quantifier
	ifExists   bool
	values     []operand
}

type comparison uint8

const (
	words comparison = iota // String*, Binary
	arn
	number
	date
	boolean
	address
	null
)

type quantifier uint8

const (
	single quantifier = iota
	forAny
	forAll
)

// An operand is one of a condition's values, parsed as its operator reads it.
type operand struct {
	pattern *pattern
	number  float64
	prefix  netip.Prefix
	bad     bool // not of the operator's type: it matches nothing
}

type operator struct {
	kind      comparison
	negated   bool
	wildcards bool
	fold      bool
	order     func(int) bool
}

var (
	equal     = func(order int) bool { return order == 0 }
	less      = func(order int) bool { return order < 0 }
	lessEq    = func(order int) bool { return order <= 0 }
	greater   = func(order int) bool { return order > 0 }
	greaterEq = func(order int) bool { return order >= 0 }
)

// operators are by name in lower case.
var operators = map[string]operator{
	"stringequals":              {kind: words},
	"stringnotequals":           {kind: words, negated: true},
	"stringequalsignorecase":    {kind: words, fold: true},
	"stringnotequalsignorecase": {kind: words, fold: true, negated: true},
	"stringlike":                {kind: words, wildcards: true},
	"stringnotlike":             {kind: words, wildcards: true, negated: true},
	"numericequals":             {kind: number, order: equal},
	"numericnotequals":          {kind: number, order: equal, negated: true},
	"numericlessthan":           {kind: number, order: less},
	"numericlessthanequals":     {kind: number, order: lessEq},
	"numericgreaterthan":        {kind: number, order: greater},
	"numericgreaterthanequals":  {kind: number, order: greaterEq},
	"dateequals":                {kind: date, order: equal},
	"datenotequals":             {kind: date, order: equal, negated: true},
	"datelessthan":              {kind: date, order: less},
	"datelessthanequals":        {kind: date, order: lessEq},
	"dategreaterthan":           {kind: date, order: greater},
	"dategreaterthanequals":     {kind: date, order: greaterEq},
	"bool":                      {kind: boolean},
	"binaryequals":              {kind: words},
	"ipaddress":                 {kind: address},
	"notipaddress":              {kind: address, negated: true},
	// "ArnEquals and ArnLike behave identically."
	"arnequals":    {kind: arn},
	"arnlike":      {kind: arn},
	"arnnotequals": {kind: arn, negated: true},
	"arnnotlike":   {kind: arn, negated: true},
	"null":         {kind: null},
}

// compileConditions reads a condition block in its canonical form. An operator
// that is not known is no error: AWS may know it, so that what the statement
// says cannot be decided, and why says so.
func compileConditions(block node, variables bool) (conditions []condition, why string) {
	for _, written := range slices.Sorted(maps.Keys(block.children)) {
		rest := strings.ToLower(written)
		var c condition
		for prefix, q := range map[string]quantifier{"foranyvalue:": forAny, "forallvalues:": forAll} {
			if after, ok := strings.CutPrefix(rest, prefix); ok {
				rest, c.quantifier = after, q
			}
		}
		rest, c.ifExists = strings.CutSuffix(rest, "ifexists")
		op, known := operators[rest]
		if !known || op.kind == null && (c.ifExists || c.quantifier != single) {
			return nil, fmt.Sprintf("the condition operator %s is not known", written)
		}
		c.written, c.kind, c.negated, c.order = written, op.kind, op.negated, op.order
		keys := block.children[written].children
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			c.key, c.name, c.values = key, keys[key].name, nil
			for _, text := range slices.Sorted(maps.Keys(keys[key].children)) {
				c.values = append(c.values, op.operand(text, syntax{
					wildcards: op.wildcards,
					fold:      op.fold,
					// Variables are for strings and ARNs only.
					variables: variables && rest != "binaryequals",
				}))
			}
			conditions = append(conditions, c)
		}
	}
	return conditions, ""
}

func (op operator) operand(text string, s syntax) operand {
	v := operand{pattern: &pattern{text: text}}
	var ok bool
	switch op.kind {
	case words:
		v.pattern, ok = compile(text, s), true
	case arn:
		s.wildcards = true
		v.pattern = compileARN(text, s)
		ok = strings.Count(text, ":") >= 5 || text == "*"
	case number:
		v.number, ok = parseNumber(text)
	case date:
		v.number, ok = parseDate(text)
	case address:
		v.prefix, ok = parsePrefix(text)
	case boolean, null:
		v.pattern.text = strings.ToLower(text)
		ok = v.pattern.text == "true" || v.pattern.text == "false"
	}
	v.bad = !ok
	return v
}

// holds says whether a request meets the condition, and why where it cannot be
// told.
func (c *condition) holds(e *env) (truth, string) {
	values, known := e.values(c.key)
	if !known {
		return maybe, "it depends on " + c.name
	}
	if c.kind == null {
		absent := len(values) == 0
		return truthOf(slices.ContainsFunc(c.values, func(v operand) bool {
			return v.pattern.text == strconv.FormatBool(absent)
		})), ""
	}
	if len(values) == 0 {
		switch {
		case c.ifExists, c.quantifier == forAll:
			return yes, ""
		case c.quantifier == forAny:
			return no, ""
		}
		return truthOf(c.negated), "" // the key has no value that is equal
	}
	switch c.quantifier {
	case forAny:
		for _, v := range values {
			if c.meets(e, v) {
				return yes, ""
			}
		}
		return no, ""
	case forAll:
		if len(values) == 1 && values[0] == "" {
			return yes, "" // "a null data set, such as an empty string"
		}
		for _, v := range values {
			if !c.meets(e, v) {
				return no, ""
			}
		}
		return yes, ""
	}
	if len(values) > 1 {
		return maybe, fmt.Sprintf("%s has several values, and %s is for one", c.name, c.written)
	}
	return truthOf(c.meets(e, values[0])), ""
}

// meets says whether one value of the request meets the condition. One that is
// not of the operator's type meets none, a negated one neither.
func (c *condition) meets(e *env, request string) bool {
	equal := false
	for i := range c.values {
		v := &c.values[i]
		if v.bad {
			if c.negated {
				return false
			}
			continue
		}
		is, ok := c.compare(e, v, request)
		if !ok {
			return false
		}
		equal = equal || is
	}
	return equal != c.negated
}

func (c *condition) compare(e *env, v *operand, request string) (is, ok bool) {
	switch c.kind {
	case words:
		return e.match(v.pattern, request), true
	case arn:
		return e.match(v.pattern, request), strings.HasPrefix(request, "arn:") && strings.Count(request, ":") >= 5
	case number, date:
		parse := parseNumber
		if c.kind == date {
			parse = parseDate
		}
		n, ok := parse(request)
		switch {
		case !ok:
			return false, false
		case n < v.number:
			return c.order(-1), true
		case n > v.number:
			return c.order(1), true
		}
		return c.order(0), true
	case boolean:
		request = strings.ToLower(request)
		return request == v.pattern.text, request == "true" || request == "false"
	case address:
		a, err := netip.ParseAddr(request)
		return err == nil && v.prefix.Contains(a.Unmap()), err == nil
	}
	return false, false
}

func parseNumber(s string) (float64, bool) {
	if strings.Trim(s, "+-.0123456789") != "" {
		return 0, false // neither hexadecimal numbers nor infinity
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

// dates are the forms of ISO 8601 that AWS takes: those of the W3C.
// https://www.w3.org/TR/NOTE-datetime
var dates = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01", "2006",
}

// parseDate gives the seconds since the epoch, which a date can also be
// written as. Whole numbers of more than four digits are.
func parseDate(s string) (float64, bool) {
	for _, layout := range dates {
		if t, err := time.Parse(layout, s); err == nil {
			return float64(t.Unix()) + float64(t.Nanosecond())/1e9, true
		}
	}
	n, ok := parseNumber(s)
	return n, ok && n == math.Trunc(n)
}

func parsePrefix(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), true
	}
	return netip.Prefix{}, false
}
