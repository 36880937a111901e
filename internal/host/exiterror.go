package host

import (
	"fmt"
	"strings"
)

// ExitError is a command that was run and ended with another code than 0.
type ExitError struct {
	// Argv of the command.
	Argv []string
	// Code it ended with; 128 + number for a signal.
	Code int
	// Signal that ended it, for example "SIGKILL"; empty when it exited.
	Signal string
	// Stderr is the last of what it wrote there (at most 4 KiB), when the
	// caller did not take standard error itself.
	Stderr string
}

// Error names the program, how it ended and the last it said.
func (e *ExitError) Error() string {
	name := "command"
	if len(e.Argv) > 0 {
		name = e.Argv[0]
	}
	how := fmt.Sprintf("ended with exit code %d", e.Code)
	if e.Signal != "" {
		how = "was ended by " + e.Signal
	}
	if said := strings.TrimSpace(e.Stderr); said != "" {
		return fmt.Sprintf("%s %s: %s", name, how, said)
	}
	return name + " " + how
}
