package view

import (
	"strings"
	"unicode/utf8"
)

// wrap breaks a line between words where it is wider than width, and begins
// what follows a step further in than the line itself. A word that is wider than
// the whole stays as it is, so that an ARN can be copied.
func wrap(line string, width int) []string {
	indent := len(line) - len(strings.TrimLeft(line, " "))
	return Wrap(line, width, min(indent+4, width/2))
}

// Wrap breaks a line between words where it is wider than width, and begins what
// follows at the column hang. Width 0 leaves it as it is.
func Wrap(line string, width, hang int) []string {
	if width <= 0 {
		return []string{line}
	}
	var lines []string
	for utf8.RuneCountInString(line) > width {
		end := breakAt(line, width)
		if end < 0 {
			break
		}
		lines = append(lines, strings.TrimRight(line[:end], " "))
		line = strings.Repeat(" ", hang) + strings.TrimLeft(line[end:], " ")
	}
	return append(lines, line)
}

// breakAt is the last space up to the width that is not the indent's, or the
// first one after it, or -1.
func breakAt(line string, width int) int {
	at, column := -1, 0
	indent := len(line) - len(strings.TrimLeft(line, " "))
	for i, r := range line {
		if r == ' ' && i > indent && strings.TrimLeft(line[i:], " ") != "" {
			if column > width && at >= 0 {
				break
			}
			at = i
			if column > width {
				break
			}
		}
		column++
	}
	return at
}
