package runconfig

import (
	"path"
	"strings"

	"al.essio.dev/pkg/shellescape"
)

// CommandLine is what is executed on the target, in the working directory: the
// program and its arguments, each exactly as it must arrive, with nothing for
// a shell to change. interpreter is the environment's Python; inputs are the
// paths of the inputs on the target, by name.
//
// A Python script runs under interpreter. A shell script (.sh) runs under
// /bin/sh, and any other file is executed as it is, by its own first line.
// A command is given to /bin/sh, with ${{inputs.NAME}} replaced by the path,
// quoted for the place where it stands; arguments are the shell's "$@", and are
// appended to a command that does not mention them itself.
func (c *ScriptRunConfig) CommandLine(interpreter string, inputs map[string]string) []string {
	if c.Command != "" {
		command := c.Command
		if len(c.Arguments) > 0 && !takesArguments(command) {
			command = strings.TrimRight(command, " \t\n") + ` "$@"`
		}
		return append([]string{"/bin/sh", "-c", substitute(command, inputs), "sh"}, c.Arguments...)
	}
	script := path.Clean(c.Script)
	if strings.HasPrefix(script, "-") {
		script = "./" + script // no program takes it for an option
	}
	var line []string
	switch strings.ToLower(path.Ext(script)) {
	case ".py", ".pyc", ".pyz", ".pyw":
		line = []string{interpreter, script}
	case ".sh":
		line = []string{"/bin/sh", script}
	default:
		if !strings.HasPrefix(script, "./") {
			script = "./" + script
		}
		// Through the shell, which also runs files without a first line.
		line = []string{"/bin/sh", "-c", `exec "$0" "$@"`, script}
	}
	return append(line, c.Arguments...)
}

// expression is one ${{...}} in a command.
type expression struct {
	start, end int    // in the command
	source     string // as it is written
	text       string // what is inside, without spaces around
	open       bool   // the end is missing
}

func expressions(command string) []expression {
	var found []expression
	for at := 0; ; {
		start := strings.Index(command[at:], "${{")
		if start < 0 {
			return found
		}
		start += at
		length := strings.Index(command[start:], "}}")
		if length < 0 {
			source, _, _ := strings.Cut(command[start:], "\n")
			return append(found, expression{start: start, end: len(command), source: source, open: true})
		}
		end := start + length + len("}}")
		found = append(found, expression{
			start: start, end: end, source: command[start:end],
			text: strings.TrimSpace(command[start+len("${{") : end-len("}}")]),
		})
		at = end
	}
}

// substitute puts the inputs' paths into a command. Expressions that name no
// input stay as they are; validation refuses them.
func substitute(command string, inputs map[string]string) string {
	var b strings.Builder
	var quotes quoting
	at := 0
	for _, e := range expressions(command) {
		b.WriteString(command[at:e.start])
		quotes.read(command[at:e.start])
		at = e.end
		name, isInput := strings.CutPrefix(e.text, "inputs.")
		value, known := inputs[name]
		if !isInput || !known {
			b.WriteString(e.source)
			continue
		}
		switch quotes.state() {
		case single:
			b.WriteString(strings.ReplaceAll(value, "'", `'\''`))
		case double:
			b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(value))
		default:
			b.WriteString(shellescape.Quote(value))
		}
	}
	b.WriteString(command[at:])
	return b.String()
}

type quoteState byte

const (
	bare   quoteState = 0
	single quoteState = '\''
	double quoteState = '"'
	subst  quoteState = '('
)

// quoting follows a shell command and knows which quotes are open.
type quoting struct {
	open    []quoteState
	escaped bool // the last character was a backslash
	dollar  bool // the last character was a dollar
	comment bool // inside a comment
	word    bool // inside a word, where # begins no comment
}

func (q *quoting) state() quoteState {
	if len(q.open) == 0 || q.open[len(q.open)-1] == subst {
		return bare
	}
	return q.open[len(q.open)-1]
}

func (q *quoting) read(text string) {
	for i := range len(text) {
		q.next(text[i])
	}
	q.dollar = false
	q.word = true // what is substituted is part of a word
}

func (q *quoting) next(c byte) {
	dollar := q.dollar
	q.dollar = false
	state := q.state()
	switch {
	case q.comment:
		q.comment = c != '\n'
	case q.escaped:
		q.escaped = false
	case state == single:
		if c == '\'' {
			q.pop()
		}
		return
	case c == '\\':
		q.escaped = true
	case c == '$':
		q.dollar = true
	case c == '"' && state == double:
		q.pop()
	case c == '"':
		q.open = append(q.open, double)
	case c == '(' && (dollar || state == bare):
		q.open = append(q.open, subst)
	case state == double:
	case c == '\'':
		q.open = append(q.open, single)
	case c == ')' && len(q.open) > 0:
		q.pop()
	case c == '#' && !q.word:
		q.comment = true
	}
	q.word = state != bare || strings.IndexByte(" \t\n;|&()", c) < 0
}

func (q *quoting) pop() { q.open = q.open[:len(q.open)-1] }

// takesArguments says whether a command uses its positional parameters itself.
func takesArguments(command string) bool {
	for at := 0; ; {
		next := strings.IndexByte(command[at:], '$')
		if next < 0 {
			return false
		}
		at += next + 1
		rest := strings.TrimPrefix(command[at:], "{")
		if rest != "" && strings.IndexByte("@*#123456789", rest[0]) >= 0 {
			return true
		}
	}
}

// endsSimply says whether arguments may be appended to a command: it is one
// line, and that line ends with a word.
func endsSimply(command string) bool {
	command = strings.TrimSpace(command)
	return command != "" && !strings.ContainsAny(command, "\n#") &&
		strings.IndexByte(`;&|(){}<>\`, command[len(command)-1]) < 0
}
