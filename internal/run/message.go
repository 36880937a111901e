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

// SplitHints moves the hints of the run's messages, which are stored as one
// text, to where they are read.
func (r *Run) SplitHints() {
	r.Message, r.Hint = withoutHint(r.Message, r.Hint)
	for i := range r.Attempts {
		a := &r.Attempts[i]
		a.Message, a.Hint = withoutHint(a.Message, a.Hint)
	}
}

func withoutHint(message, before string) (text, hint string) {
	what, more, hint := SplitMessage(message)
	if hint == "" {
		return message, before
	}
	if more != "" {
		what += "\n" + more
	}
	return what, hint
}
