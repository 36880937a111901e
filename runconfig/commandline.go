package runconfig

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"
)

// CommandLine is what is executed on the target, in the working directory: the
// program and its arguments, each exactly as it must arrive, with nothing for
// a shell to change. interpreter is the environment's Python; inputs are the
// paths of the inputs on the target, by name, and those of the named outputs, by
// OutputKey.
//
// A Python script runs under interpreter, any other file by its own first line;
// CommandLineOf is for whoever has seen that.
// A command is given to /bin/sh, with ${{inputs.NAME}} and ${{outputs.NAME}}
// replaced by the path, quoted for the place where it stands; arguments are the shell's "$@", and are
// appended to a command that does not mention them itself.
func (c *ScriptRunConfig) CommandLine(interpreter string, inputs map[string]string) []string {
	if c.Command != "" {
		command := c.Command
		if len(c.Arguments) > 0 && !takesArguments(command) {
			command = strings.TrimRight(command, " \t\n") + ` "$@"`
		}
		return append([]string{"/bin/sh", "-c", substitute(command, inputs), "sh"}, c.Arguments...)
	}
	script := c.scriptPath()
	if c.IsPython() {
		return append([]string{interpreter, script}, c.Arguments...)
	}
	if !strings.HasPrefix(script, "./") {
		script = "./" + script
	}
	// Through the shell, which also runs files without a first line.
	return append([]string{"/bin/sh", "-c", `exec "$0" "$@"`, script}, c.Arguments...)
}

// CommandLineOf is CommandLine for a script whose file was seen, executable or
// not: firstLine is what FirstLine says of it. A shell script (.sh) without one
// runs under /bin/sh.
func (c *ScriptRunConfig) CommandLineOf(firstLine []string, interpreter string, inputs map[string]string) []string {
	line := firstLine
	switch {
	case c.Script == "" || c.IsPython():
		return c.CommandLine(interpreter, inputs)
	case len(firstLine) > 0:
	case c.isShell():
		line = []string{"/bin/sh"}
	default:
		return c.CommandLine(interpreter, inputs)
	}
	return append(append(slices.Clone(line), c.scriptPath()), c.Arguments...)
}

// scriptPath is the script as no program takes it for an option.
func (c *ScriptRunConfig) scriptPath() string {
	script := path.Clean(c.Script)
	if strings.HasPrefix(script, "-") {
		return "./" + script
	}
	return script
}

func (c *ScriptRunConfig) extension() string { return strings.ToLower(path.Ext(c.Script)) }

// IsPython reports whether the script runs under the environment's Python.
func (c *ScriptRunConfig) IsPython() bool {
	return c.Script != "" && slices.Contains([]string{".py", ".pyc", ".pyz", ".pyw"}, c.extension())
}

func (c *ScriptRunConfig) isShell() bool { return c.extension() == ".sh" }

// CheckScript says that nothing can run a script's file, with a hint, or
// nothing: of a Spark run spark-submit knows. firstLine is what FirstLine says of it.
func (c *ScriptRunConfig) CheckScript(firstLine []string, executable bool) (wrong, hint string) {
	switch {
	case c.Script == "", c.IsSpark(), c.IsPython(), c.isShell(), len(firstLine) > 0:
		return "", ""
	case c.extension() == ".ipynb":
		plain := strings.TrimSuffix(c.Script, path.Ext(c.Script)) + ".py"
		return fmt.Sprintf("the script %s is a notebook, not a program", c.Script),
			fmt.Sprintf("convert it with %s and run %s", shellescape.QuoteCommand([]string{"jupyter", "nbconvert", "--to", "script", c.Script}), plain)
	case executable:
		return "", ""
	default:
		return fmt.Sprintf("nothing says what runs the script %s: it is not executable and has no first line like #!/usr/bin/env bash", c.Script),
			"give it a first line, make it executable with chmod +x, or write command: PROGRAM " + shellescape.Quote(c.Script)
	}
}

// MaxFirstLine is how much of a file FirstLine looks at, in bytes.
const MaxFirstLine = 4096

// FirstLine is what a file's first line says runs it, from the beginning of the
// file: the program and, as the kernel has it, all that follows as one argument.
// Nil: it is not a line like #!/bin/sh. A carriage return at its end, as Windows
// writes it, does not count.
func FirstLine(head []byte) []string {
	text, ok := strings.CutPrefix(string(head[:min(len(head), MaxFirstLine)]), "#!")
	if !ok {
		return nil
	}
	text, _, _ = strings.Cut(text, "\n")
	text, _, _ = strings.Cut(text, "\x00")
	program, argument, _ := strings.Cut(strings.ReplaceAll(strings.Trim(text, " \t\r"), "\t", " "), " ")
	if program == "" {
		return nil
	}
	if argument = strings.Trim(argument, " "); argument != "" {
		return []string{program, argument}
	}
	return []string{program}
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

// substitute puts paths into a command. Expressions that name nothing stay as
// they are; validation refuses them.
func substitute(command string, paths map[string]string) string {
	var b strings.Builder
	var quotes quoting
	at := 0
	for _, e := range expressions(command) {
		b.WriteString(command[at:e.start])
		quotes.read(command[at:e.start])
		at = e.end
		name, isInput := strings.CutPrefix(e.text, "inputs.")
		value, known := paths[name]
		if !isInput { // an output's key is what the expression says
			value, known = paths[e.text]
		}
		if !known {
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
