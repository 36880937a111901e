package container

import (
	"fmt"
	"regexp"
	"strconv"
)

// The labels that every container of ours has.
const (
	LabelRun     = "dev.runner.run"
	LabelAttempt = "dev.runner.attempt"
	// LabelHome is the installation whose container (or image) it is.
	LabelHome = "dev.runner.home"
)

// Mark says whose container it is. A Run that is empty means any of Home's.
type Mark struct {
	Run     string
	Attempt int
	// Home identifies the installation, so that two of them may share an engine.
	Home string
}

// Name of the mark's container.
func (m Mark) Name() string { return fmt.Sprintf("runner-%s-%d", m.Run, m.Attempt) }

// runName is what an engine allows within a container's name.
var runName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

func (m Mark) check() error {
	switch {
	case !runName.MatchString(m.Run):
		return fmt.Errorf("run %q cannot be part of a container's name", m.Run)
	case m.Attempt < 1:
		return fmt.Errorf("attempt %d of run %s: attempts count from 1", m.Attempt, m.Run)
	case m.Home == "":
		return fmt.Errorf("run %s: the installation has no name", m.Run)
	}
	return nil
}

func (m Mark) labels() map[string]string {
	return map[string]string{LabelRun: m.Run, LabelAttempt: strconv.Itoa(m.Attempt), LabelHome: m.Home}
}

// markOf reads a mark back from labels; ok is false when they hold none.
func markOf(labels map[string]string) (m Mark, ok bool) {
	attempt, err := strconv.Atoi(labels[LabelAttempt])
	m = Mark{Run: labels[LabelRun], Attempt: attempt, Home: labels[LabelHome]}
	return m, err == nil && m.check() == nil
}
