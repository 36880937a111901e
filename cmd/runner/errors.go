package main

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/runnerml/runner/internal/server"
)

// exit is the end of a command that has said everything already.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// finish says what went wrong, and gives the exit code. It is the only place
// that writes errors.
func (c *cli) finish(err error) int {
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[exit](err); ok {
		return int(code)
	}
	if isClosedPipe(err) {
		return 0 // whoever read our output has seen enough
	}
	p := server.ProblemOf(err)
	if p.Code == server.Interrupted {
		return p.Code.Exit() // whoever pressed Ctrl-C knows
	}
	for _, one := range p.All() {
		c.renderProblem(&one)
	}
	return p.Code.Exit()
}

// renderProblem writes "error: what: where" and "hint: what to do".
func (c *cli) renderProblem(p *server.Problem) {
	fmt.Fprintln(c.err, c.err.red("error:"), tidy(p.Error()))
	if p.Hint != "" {
		fmt.Fprintln(c.err, c.err.bold("hint:"), tidy(p.Hint))
	}
}

// tidy keeps control characters away from the terminal.
func tidy(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}

func isClosedPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
