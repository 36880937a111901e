package environment_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/testenv"
)

// tools are all that a recipe uses of a machine besides Python, uv and conda.
var tools = []string{
	"sh", "awk", "basename", "cat", "chmod", "cut", "date", "df", "grep", "head", "mkdir", "mv", "rm", "sed", "sync", "tail", "tee", "tr",
}

// machine is a PATH with the tools of a recipe and nothing else, plus what is
// linked into it; its variables are not those of whoever runs the tests.
type machine struct {
	bin, home string
	variables []string
}

func newMachine(t *testing.T, links ...string) *machine {
	t.Helper()
	m := &machine{bin: filepath.Join(t.TempDir(), "bin"), home: t.TempDir()}
	if err := os.Mkdir(m.bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range tools {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		m.link(t, path, name)
	}
	for _, path := range links {
		m.link(t, path, filepath.Base(path))
	}
	m.set("PIP_RETRIES=0", "UV_HTTP_RETRIES=0", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PYTHONPATH=/nonexistent", "PIP_USER=1")
	return m
}

func (m *machine) link(t *testing.T, path, name string) {
	t.Helper()
	if err := os.Symlink(path, filepath.Join(m.bin, name)); err != nil {
		t.Fatal(err)
	}
}

// script puts an executable of our own into the PATH.
func (m *machine) script(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.bin, name), []byte("#!/bin/sh\n"+content), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) set(variables ...string) { m.variables = append(m.variables, variables...) }

func (m *machine) command(t *testing.T, recipe environment.Recipe) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), "/bin/sh", "-s")
	command.Stdin = strings.NewReader(recipe.Script)
	command.Env = append([]string{"PATH=" + m.bin, "HOME=" + m.home, "LC_ALL=C.UTF-8", "TMPDIR=" + t.TempDir()}, m.variables...)
	return command
}

type told struct {
	exit   int
	events []environment.Event
	output string
}

func (r told) failure() environment.Event {
	if n := len(r.events); n > 0 && r.events[n-1].Kind == environment.ErrorEvent {
		return r.events[n-1]
	}
	return environment.Event{}
}

func (m *machine) carryOut(t *testing.T, recipe environment.Recipe) told {
	t.Helper()
	command := m.command(t, recipe)
	out, err := command.CombinedOutput()
	if command.ProcessState == nil {
		t.Fatal(err)
	}
	result := told{exit: command.ProcessState.ExitCode(), output: string(out)}
	for line := range strings.Lines(result.output) {
		if event, ok := environment.ParseLine(line); ok {
			result.events = append(result.events, event)
		}
	}
	return result
}

const hardName = `an "odd" place, it's ünï $HOME`

func recipeOf(t *testing.T, python environment.Python, prefix string) (*environment.Resolved, environment.Recipe) {
	t.Helper()
	resolved, err := environment.Resolve(t.Context(), &environment.Spec{Python: &python}, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := resolved.Recipe(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return resolved, recipe
}

func systemPython(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"/usr/bin/python3", "/usr/local/bin/python3"} {
		if exec.Command(path, "-c", "import venv, ensurepip").Run() == nil {
			return path
		}
	}
	out, err := exec.Command("python3", "-c", "import venv, ensurepip, sys; print(sys.executable)").Output()
	testenv.Need(t, "python3 with venv", err)
	return strings.TrimSpace(string(out))
}

// python gives the environment's answer to a line of Python, run as a script
// would be.
func answer(t *testing.T, resolved *environment.Resolved, prefix, line string) string {
	t.Helper()
	active := resolved.Activate(prefix)
	command := exec.CommandContext(t.Context(), active.Interpreter, "-c", line)
	command.Env = []string{"PATH=" + strings.Join(active.PathPrepend, ":") + ":/usr/bin:/bin"}
	for name, value := range active.Env {
		command.Env = append(command.Env, name+"="+value)
	}
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return strings.TrimSpace(string(out))
}

func checkMade(t *testing.T, resolved *environment.Resolved, prefix, tool string, result told) environment.Ready {
	t.Helper()
	if result.exit != 0 {
		t.Fatalf("exit %d:\n%s", result.exit, result.output)
	}
	if n := len(result.events); n == 0 || result.events[n-1].Step != result.events[n-1].Steps {
		t.Errorf("steps %+v", result.events)
	}
	data, err := os.ReadFile(filepath.Join(prefix, environment.ReadyFile))
	if err != nil {
		t.Fatal(err)
	}
	ready, err := environment.ParseReady(data)
	if err != nil {
		t.Fatal(err)
	}
	if ready.Kind != resolved.Kind || ready.Digest != resolved.Digest || ready.Tool != tool || ready.ToolVersion == "" ||
		ready.PythonVersion != answer(t, resolved, prefix, `import platform; print(platform.python_version())`) ||
		time.Since(ready.MadeAt).Abs() > time.Hour {
		t.Errorf("ready %+v", ready)
	}
	if _, err := os.Stat(prefix + environment.MakingSuffix); err == nil {
		t.Error("the working directory is still there")
	}
	return ready
}

func nothingStays(t *testing.T, prefix string) {
	t.Helper()
	if left, err := filepath.Glob(filepath.Dir(prefix) + "/*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func lock(t *testing.T, prefix string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(prefix, environment.LockFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
