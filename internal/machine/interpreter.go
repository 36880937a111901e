package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/supervise"
)

const interpreterHint = "check environment.python.interpreter_path: it is used as it is found on the machine that carries the run out"

// checkInterpreter says before anything runs that the interpreter is not there
// which the environment says is. One without a slash is looked for as the
// supervisor will, when a script is to be run with it; on another machine that
// is left to the supervisor, who knows the PATH there.
func (m *Machine) checkInterpreter(ctx context.Context, a backends.Attempt, r *record) error {
	if r.Form != process || a.Environment == nil || a.Environment.Kind != environment.Existing {
		return nil
	}
	name := r.Interpreter
	if !filepath.IsAbs(name) {
		if !m.local || strings.Contains(name, "/") || a.Config.Script == "" {
			return nil
		}
		return m.lookFor(name, a)
	}
	info, err := m.host.Stat(ctx, name)
	switch {
	case err == nil && (info.IsDir() || info.Mode()&0o111 == 0):
		return interpreterFailure("the interpreter %s is not a program", name)
	case errors.Is(err, fs.ErrNotExist):
		return interpreterFailure("the interpreter %s is not there", name)
	case errors.Is(err, fs.ErrPermission):
		return interpreterFailure("the interpreter %s: %w", name, err)
	}
	return err
}

// needInterpreter makes the supervisor say what can be done when the program
// that a script is run with is in no directory of the PATH there.
func needInterpreter(l *supervise.Launch, r *record) {
	if r.Form == process && l.Argv[0] == r.Interpreter && !strings.Contains(r.Interpreter, "/") {
		l.Needs = append(l.Needs, supervise.Need{
			Program: r.Interpreter, Hint: "install Python 3 on the machine, or name the interpreter there: environment.python.interpreter_path",
		})
	}
}

// lookFor looks for a program in the PATH that the script will have.
func (m *Machine) lookFor(name string, a backends.Attempt) error {
	searched := ""
	environ := m.inherited(a)
	if m.config.Environ == nil {
		environ = os.Environ()
	}
	for _, v := range environ {
		if value, ok := strings.CutPrefix(v, "PATH="); ok {
			searched = value
		}
	}
	for _, variables := range []map[string]string{a.Environment.Variables, a.Config.EnvironmentVariables, a.Secrets} {
		if value, ok := variables["PATH"]; ok {
			searched = value
		}
	}
	if searched == "" {
		return nil // the supervisor has its own idea then
	}
	for _, dir := range filepath.SplitList(searched) {
		if !filepath.IsAbs(dir) {
			return nil // in the source: the supervisor will see
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return nil
		}
	}
	return interpreterFailure("the interpreter %s is in no directory of PATH (%s)", name, searched)
}

func interpreterFailure(format string, args ...any) error {
	return &backends.Failure{Outcome: run.OutcomeEnvironmentFailed, Hint: interpreterHint, Err: fmt.Errorf(format, args...)}
}
