package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// inlineWidth is up to how many characters a list or map stands on one line.
const inlineWidth = 60

// Printable makes text from outside safe to print, line by line.
func Printable(s string) string {
	lines := printableLines(s)
	for i, line := range lines {
		lines[i] = plainStart(line)
	}
	return strings.Join(lines, "\n")
}

// printable escapes what a terminal might act on rather than show, and what a
// reader would not see: control characters, escape sequences, changes of
// writing direction, invalid UTF-8. It escapes what the logs of GitHub Actions
// and Azure Pipelines take for a command wherever it stands in a line too.
func printable(s string) string {
	return commands.Replace(escape(s, func(b *strings.Builder, r rune) {
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}))
}

var (
	commands     = strings.NewReplacer("##[", `#\x23[`, "##vso[", `#\x23vso[`)
	commandsJSON = strings.NewReplacer("##[", `#\u0023[`, "##vso[", `#\u0023vso[`)
)

// plainStart escapes the two colons at which the log of GitHub Actions takes a
// line for a command, white space before them included.
func plainStart(line string) string {
	text := strings.TrimLeft(line, " ")
	if rest, ok := strings.CutPrefix(text, "::"); ok {
		return line[:len(line)-len(text)] + `\x3a:` + rest
	}
	return line
}

// printableLines splits a text into lines that are printable.
func printableLines(s string) []string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return lines
}

// PrintableJSON does for JSON text what Printable does, in JSON's own escapes.
// It leaves line breaks alone: JSON has them only between values.
func PrintableJSON(s string) string {
	lines := strings.Split(commandsJSON.Replace(s), "\n")
	for i, line := range lines {
		lines[i] = escape(line, func(b *strings.Builder, r rune) {
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(b, `\u%04x`, unit)
			}
		})
	}
	return strings.Join(lines, "\n")
}

func escape(s string, write func(*strings.Builder, rune)) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			write(&b, r)
		}
		i += size
	}
	return b.String()
}

// render returns the lines that show a value: one for what is short, several
// for policy documents and text of several lines.
func render(v any) []string {
	s, ok := v.(string)
	if !ok {
		return renderTree(v)
	}
	if trimmed := strings.TrimSpace(s); strings.HasPrefix(trimmed, "{") && json.Valid([]byte(trimmed)) {
		var b bytes.Buffer
		if err := json.Indent(&b, []byte(trimmed), "", "  "); err == nil {
			return strings.Split(PrintableJSON(b.String()), "\n")
		}
	}
	if strings.Contains(s, "\n") {
		return printableLines(s)
	}
	// Quote escapes whatever is not printable.
	return []string{commands.Replace(strconv.Quote(s))}
}

func renderTree(v any) []string {
	compact, err := encode(v, "")
	if err != nil {
		return []string{printable(fmt.Sprint(v))}
	}
	if utf8.RuneCountInString(compact) <= inlineWidth {
		return []string{compact}
	}
	indented, err := encode(v, "  ")
	if err != nil {
		return []string{compact}
	}
	return strings.Split(indented, "\n")
}

// encode returns v as JSON that is safe to print, without a line break at the
// end.
func encode(v any, indent string) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return PrintableJSON(strings.TrimSuffix(b.String(), "\n")), nil
}
