package machine

import (
	"fmt"
	"path"
	"strings"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/run"
)

// parseVolume reads "HOST:CONTAINER[:ro]".
func parseVolume(text string) (container.Bind, error) {
	parts := strings.Split(text, ":")
	b := container.Bind{}
	switch {
	case len(parts) == 2:
	case len(parts) == 3 && (parts[2] == "ro" || parts[2] == "rw"):
		b.ReadOnly = parts[2] == "ro"
	default:
		return b, fmt.Errorf("%q is not HOST:CONTAINER or HOST:CONTAINER:ro", text)
	}
	if !path.IsAbs(parts[0]) || !path.IsAbs(parts[1]) {
		return b, fmt.Errorf("%q: both paths must be absolute", text)
	}
	b.Source, b.Target = parts[0], parts[1]
	return b, nil
}

func specFailure(field string, err error) error {
	return &backends.Failure{Outcome: run.OutcomeEnvironmentFailed, Err: fmt.Errorf("environment.%s: %w", field, err)}
}
