package machine

import (
	"strings"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/container"
)

// Check refuses arguments of docker that we do not know or that conflict with
// fields of the spec.
func (m *Machine) Check(a backends.Attempt) *backends.Invalid {
	if a.Environment == nil || a.Environment.Docker == nil {
		return nil
	}
	if _, err := container.ParseArguments(a.Environment.Docker.Arguments); err != nil {
		return &backends.Invalid{What: strings.ReplaceAll(err.Error(), "\n", "; "), Where: "environment.docker.arguments"}
	}
	return nil
}
