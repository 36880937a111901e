package run

import "strings"

// hintMark begins the line of a message that says what a person can do.
const hintMark = "hint: "

// SplitMessage takes a message apart: what happened, in one line; what the
// tools said about it, further lines; and what a person can do, or nothing.
func SplitMessage(message string) (what, more, hint string) {
	what, more, _ = strings.Cut(message, "\n")
	lines := strings.Split(more, "\n")
	if last, ok := strings.CutPrefix(lines[len(lines)-1], hintMark); ok {
		return what, strings.Join(lines[:len(lines)-1], "\n"), last
	}
	return what, more, ""
}
