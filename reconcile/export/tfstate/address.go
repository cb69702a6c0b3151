package tfstate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An Address is where a resource instance stands in a Terraform configuration.
type Address struct {
	Module string // module.a["k"].module.b; "": the root
	Type   string
	Name   string
	Key    string // [0] or ["k"], of count and for_each; "": neither
}

// newAddress checks what a state says, so that an address is on one line and
// means what it says wherever it is put.
func newAddress(module, kind, name string, key json.RawMessage) (Address, error) {
	if !isIdentifier(kind) || !isIdentifier(name) {
		return Address{}, errorf("a resource has a type or a name that Terraform does not take")
	}
	a := Address{Type: kind, Name: name}
	for rest := module; rest != ""; {
		step, after, ok := cutModule(rest)
		if !ok {
			return Address{}, errorf("the module of a %s is not as Terraform writes it", kind)
		}
		if a.Module != "" {
			a.Module += "."
		}
		a.Module += step
		rest = after
	}
	key = bytes.TrimSpace(key)
	switch {
	case len(key) == 0 || string(key) == "null":
	case key[0] == '"':
		var text string
		if err := json.Unmarshal(key, &text); err != nil {
			return Address{}, err
		}
		a.Key = "[" + quoteHCL(text) + "]"
	default:
		var index uint32
		if err := json.Unmarshal(key, &index); err != nil {
			return Address{}, errorf("the index of a %s is neither a number nor text", kind)
		}
		a.Key = fmt.Sprintf("[%d]", index)
	}
	return a, nil
}

// Resource is the address without the key: what a configuration declares.
func (a Address) Resource() string {
	text := a.Type + "." + a.Name
	if a.Module != "" {
		text = a.Module + "." + text
	}
	return text
}

func (a Address) String() string { return a.Resource() + a.Key }

// declaration is the address without any key, as a removed block wants it.
func (a Address) declaration() string {
	var steps []string
	for rest := a.Module; rest != ""; {
		step, after, _ := cutModule(rest)
		if i := strings.IndexByte(step, '['); i >= 0 {
			step = step[:i]
		}
		steps = append(steps, step)
		rest = after
	}
	return strings.Join(append(steps, a.Type, a.Name), ".")
}

// cutModule cuts module.NAME or module.NAME[KEY] off, and the dot behind it.
func cutModule(text string) (step, rest string, ok bool) {
	name, ok := strings.CutPrefix(text, "module.")
	if !ok {
		return "", "", false
	}
	end := strings.IndexAny(name, ".[")
	if end < 0 {
		end = len(name)
	}
	if !isIdentifier(name[:end]) {
		return "", "", false
	}
	at := len("module.") + end
	if at < len(text) && text[at] == '[' {
		length := keyLength(text[at:])
		if length == 0 {
			return "", "", false
		}
		at += length
	}
	step, rest = text[:at], text[at:]
	if rest == "" {
		return step, "", true
	}
	after, ok := strings.CutPrefix(rest, ".")
	return step, after, ok && after != ""
}

// keyLength is how long the key is that a text begins with; 0 where it begins
// with none.
func keyLength(text string) int {
	if text[1:] == "" {
		return 0
	}
	if text[1] != '"' {
		digits := len(text) - len(strings.TrimLeft(text[1:], "0123456789")) - 1
		if digits == 0 || 1+digits >= len(text) || text[1+digits] != ']' {
			return 0
		}
		return digits + 2
	}
	for i := 2; i < len(text); i++ {
		switch c, size := utf8.DecodeRuneInString(text[i:]); {
		case c == '\\':
			i++
		case c == '"':
			if i+1 < len(text) && text[i+1] == ']' {
				return i + 2
			}
			return 0
		case !unicode.IsPrint(c) || c == utf8.RuneError:
			return 0 // Terraform escapes it
		default:
			i += size - 1
		}
	}
	return 0
}

// isIdentifier is Terraform's rule of names.
func isIdentifier(s string) bool {
	for i, c := range s {
		if unicode.IsLetter(c) || c == '_' || i > 0 && (unicode.IsDigit(c) || c == '-' || unicode.Is(unicode.Mn, c)) {
			continue
		}
		return false
	}
	return s != ""
}

// quoteHCL writes a key as Terraform itself does in an address.
func quoteHCL(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, c := range s {
		switch {
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '"', c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '$', c == '%':
			b.WriteRune(c)
			if strings.HasPrefix(s[i+1:], "{") {
				b.WriteRune(c) // a template would begin here
			}
		case unicode.IsPrint(c):
			b.WriteRune(c)
		case c < 1<<16:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			fmt.Fprintf(&b, `\U%08x`, c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// quoteShell writes a word as POSIX shells read it.
func quoteShell(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
