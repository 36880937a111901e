package sshhost

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/runnerml/runner/internal/host"
)

// bootstrap is the line that every login shell gets, whichever it is: nothing
// in it means different things to sh, bash, zsh, fish and tcsh. The sh that it
// starts reads one line, without touching what follows, and does what it says.
const bootstrap = `exec sh -c 'IFS= read -r l; eval "$(printf %b "$l")"'`

// header makes a script into the line that bootstrap reads.
func header(script string) string {
	var b strings.Builder
	for i := range len(script) {
		if c := script[i]; c == '\\' || c < ' ' || c > '~' {
			fmt.Fprintf(&b, `\0%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteByte('\n')
	return b.String()
}

var (
	errNoArgv  = errors.New("empty command line")
	errRelDir  = errors.New("not an absolute path")
	errNUL     = errors.New("a zero byte in a command")
	errEnvName = errors.New("not a name that a shell can set")
)

// prepare is the beginning of a command's script: directory, environment, and
// a check that the program is there.
func prepare(c host.Command, root string) (string, error) {
	if len(c.Argv) == 0 {
		return "", errNoArgv
	}
	dir := c.Dir
	if dir == "" {
		dir = root
	}
	if !path.IsAbs(dir) {
		return "", fmt.Errorf("directory %q: %w", dir, errRelDir)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "cd -- %s || exit %d\n", host.Quote(dir), codeNotStarted)
	for _, e := range c.Env {
		name, _, ok := strings.Cut(e, "=")
		if !ok || !isName(name) {
			return "", fmt.Errorf("environment variable %q: %w", name, errEnvName) // never its value
		}
		fmt.Fprintf(&b, "export %s\n", host.Quote(e))
	}
	program := host.Quote(c.Argv[0])
	fmt.Fprintf(&b, "command -v %s >/dev/null 2>&1 || { printf '%%s: no such program\\n' %s >&2; exit %d; }\n", program, program, codeNotFound)
	if strings.ContainsRune(b.String()+strings.Join(c.Argv, ""), 0) {
		return "", errNUL
	}
	return b.String(), nil
}

const (
	codeNotStarted = 125
	codeNotFound   = 127
)

func isName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// announce prints the mark on both outputs. It is cut in two, so that a shell
// that shows what it does prints no mark by that.
func announce(mark string) string {
	a, b := mark[:len(mark)/2], mark[len(mark)/2:]
	return fmt.Sprintf("printf '\\n%%s%%s:%%s\\n' %s %s $$; printf '\\n%%s%%s:\\n' %s %s >&2\n", a, b, a, b)
}
