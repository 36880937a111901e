package environment_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/testenv"
)

func TestVenvRecipe(t *testing.T) {
	index := testenv.PyIndex(t)
	for _, tool := range []string{"pip", "uv"} {
		t.Run(tool, func(t *testing.T) {
			m := newMachine(t, systemPython(t))
			if tool == "uv" {
				m.link(t, testenv.UV(t), "uv")
			}
			m.set("PIP_INDEX_URL=" + index.URL) // uv must heed it too
			prefix := filepath.Join(t.TempDir(), hardName, "env")
			resolved, recipe := recipeOf(t, environment.Python{Pip: []string{"runner-greet", "runner-alone==0.1"}}, prefix)
			checkMade(t, resolved, prefix, tool, m.carryOut(t, recipe))
			if got := answer(t, resolved, prefix, "import runner_alone; print(runner_alone.ANSWER)"); got != "42" {
				t.Errorf("answer %s", got)
			}
			got := lock(t, prefix)
			for _, want := range []string{"# python 3.", "runner-alone==0.1\n", "runner-greet==2.0\n", "runner-words==1.1\n"} {
				if !strings.Contains(strings.ReplaceAll(got, "_", "-"), want) {
					t.Errorf("the lock lacks %q:\n%s", want, got)
				}
			}
			// Again over what is there: everything anew, and fine.
			if err := os.WriteFile(filepath.Join(prefix, "stray"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			checkMade(t, resolved, prefix, tool, m.carryOut(t, recipe))
			if _, err := os.Stat(filepath.Join(prefix, "stray")); err == nil {
				t.Error("what was there before stayed")
			}
		})
	}
}

func TestVenvRecipeConstraints(t *testing.T) {
	index := testenv.PyIndex(t)
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "limits.txt"), []byte("runner-words<1.1\nrunner-alone==0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	resolved, err := environment.Resolve(t.Context(), &environment.Spec{Python: &environment.Python{Pip: []string{"runner-greet", "-c limits.txt"}}}, directory, nil)
	if err != nil {
		t.Fatal(err)
	}
	prefix := filepath.Join(t.TempDir(), "env")
	recipe, err := resolved.Recipe(prefix)
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, systemPython(t))
	m.set("PIP_INDEX_URL=" + index.URL)
	checkMade(t, resolved, prefix, "pip", m.carryOut(t, recipe))
	if got := lock(t, prefix); !strings.Contains(got, "runner-greet==1.0") || strings.Contains(got, "runner-alone") {
		t.Errorf("lock:\n%s", got)
	}
}

func TestVenvRecipeFails(t *testing.T) {
	index := testenv.PyIndex(t)
	tests := []struct {
		name          string
		python        environment.Python
		machine       func(*testing.T) *machine
		message, hint string
	}{
		{
			"no Python",
			environment.Python{Pip: []string{"runner-alone"}},
			func(t *testing.T) *machine { return newMachine(t) },
			"no python3 found", "install Python 3",
		},
		{
			"interpreter that is not there",
			environment.Python{Pip: []string{"runner-alone"}, InterpreterPath: "/nosuch/it's python"},
			func(t *testing.T) *machine { return newMachine(t, systemPython(t), testenv.UV(t)) },
			"the interpreter /nosuch/it's python is not there or does not run", "check interpreter_path",
		},
		{
			"version that is not there",
			environment.Python{Version: "3.4"},
			func(t *testing.T) *machine { return newMachine(t, systemPython(t)) },
			"Python 3.4 is wanted and not found", "there is: python3 is 3.",
		},
		{
			"version that uv cannot get",
			environment.Python{Version: "3.7"},
			func(t *testing.T) *machine {
				m := newMachine(t, systemPython(t), testenv.UV(t))
				m.set("UV_PYTHON_DOWNLOADS=never")
				return m
			},
			"making the virtual environment with Python 3.7 failed: No interpreter found for Python 3.7", "uv python list",
		},
		{
			"no venv module",
			environment.Python{Pip: []string{"runner-alone"}},
			func(t *testing.T) *machine {
				m := newMachine(t)
				python := systemPython(t)
				m.script(t, "python3", `case "$*" in *ensurepip*) echo "No module named ensurepip" >&2; exit 1;; esac
case "$*" in *sys.executable*) echo "$0"; exit;; esac
exec `+python+` "$@"
`)
				return m
			},
			"has no venv module", "apt install python3-venv",
		},
		{
			"no such package",
			environment.Python{Pip: []string{"runner-nosuch==9"}},
			func(t *testing.T) *machine { return newMachine(t, systemPython(t)) },
			"installing the packages failed: No matching distribution found for runner-nosuch==9", "check the names",
		},
		{
			"no such package, uv",
			environment.Python{Pip: []string{"runner-nosuch==9"}},
			func(t *testing.T) *machine { return newMachine(t, systemPython(t), testenv.UV(t)) },
			"installing the packages failed: Because runner-nosuch was not found in the package registry", "check the names",
		},
		{
			"index unreachable",
			environment.Python{Pip: []string{"runner-alone", "-i http://127.0.0.1:9/simple/"}},
			func(t *testing.T) *machine {
				m := newMachine(t, systemPython(t))
				m.set("PIP_RETRIES=1")
				return m
			},
			"the package index cannot be reached: ", "PIP_INDEX_URL",
		},
		{
			"index unreachable, uv",
			environment.Python{Pip: []string{"runner-alone", "-i http://127.0.0.1:9/simple/"}},
			func(t *testing.T) *machine { return newMachine(t, systemPython(t), testenv.UV(t)) },
			"the package index cannot be reached: ", "UV_DEFAULT_INDEX",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := test.machine(t)
			m.set("PIP_INDEX_URL=" + index.URL)
			prefix := filepath.Join(t.TempDir(), "env")
			_, recipe := recipeOf(t, test.python, prefix)
			result := m.carryOut(t, recipe)
			got := result.failure()
			if result.exit != environment.ExitFailed || !strings.Contains(got.Message, test.message) || !strings.Contains(got.Hint, test.hint) {
				t.Errorf("exit %d, %q, hint %q:\n%s", result.exit, got.Message, got.Hint, result.output)
			}
			nothingStays(t, prefix)
		})
	}
}

// A recipe killed in the middle leaves nothing that counts, and the next one
// starts from nothing.
func TestVenvRecipeKilled(t *testing.T) {
	asked := make(chan struct{}, 100)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(hanging.Close)
	m := newMachine(t, systemPython(t))
	prefix := filepath.Join(t.TempDir(), "env")
	resolved, recipe := recipeOf(t, environment.Python{Pip: []string{"runner-alone"}}, prefix)

	command := m.command(t, recipe)
	command.Env = append(command.Env, "PIP_INDEX_URL="+hanging.URL)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	command.Stdout = &out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-asked:
	case <-time.After(time.Minute):
		t.Error("pip never asked the index")
	}
	if err := syscall.Kill(-command.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	hanging.CloseClientConnections()
	if _, err := os.Stat(filepath.Join(prefix, "bin")); err != nil {
		t.Fatalf("it was not half made: %v\n%s", err, out.String())
	}
	if _, err := os.Stat(filepath.Join(prefix, environment.ReadyFile)); err == nil {
		t.Fatal("a ready file for what is half made")
	}

	m.set("PIP_INDEX_URL=" + testenv.PyIndex(t).URL)
	checkMade(t, resolved, prefix, "pip", m.carryOut(t, recipe))
}

// A recipe that is asked to end cleans up before it does.
func TestVenvRecipeTerminated(t *testing.T) {
	m := newMachine(t)
	m.link(t, "/bin/sleep", "sleep")
	at := filepath.Join(t.TempDir(), "asked")
	m.script(t, "python3", `case "$*" in
*version_info*) echo 3.11.2 ;;
*sys.executable*) echo "$0" ;;
*"-m venv"*) mkdir -p "$3/bin"; : >'`+at+`'; sleep 1000 ;;
esac
`)
	prefix := filepath.Join(t.TempDir(), "env")
	_, recipe := recipeOf(t, environment.Python{Pip: []string{"runner-alone"}}, prefix)
	command := m.command(t, recipe)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		if _, err := os.Stat(at); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the venv was never begun")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := syscall.Kill(-command.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	if got := command.ProcessState.ExitCode(); got != 143 {
		t.Errorf("exit %d", got)
	}
	nothingStays(t, prefix)
}

func TestCondaRecipe(t *testing.T) {
	conda, index := testenv.Conda(t), testenv.PyIndex(t)
	m := newMachine(t, filepath.Join(conda.BinDir, "micromamba"))
	m.set("PIP_INDEX_URL=" + index.URL)
	prefix := filepath.Join(t.TempDir(), hardName, "env")
	resolved, recipe := recipeOf(t, environment.Python{Conda: &environment.Conda{
		Channels: []string{conda.Channel, "nodefaults"}, Dependencies: []string{"python >=3", "runner-lib <2"}, Pip: []string{"runner-alone"},
	}}, prefix)
	ready := checkMade(t, resolved, prefix, "micromamba", m.carryOut(t, recipe))
	if ready.PythonVersion != conda.PythonVersion {
		t.Errorf("Python %s, want the channel's %s", ready.PythonVersion, conda.PythonVersion)
	}
	if got := answer(t, resolved, prefix, "import runner_alone; print(runner_alone.ANSWER)"); got != "42" {
		t.Errorf("answer %s", got)
	}
	got := lock(t, prefix)
	for _, want := range []string{"@EXPLICIT\n", conda.Channel + "/noarch/runner-lib-1.0-", "runner-tool-1.0-", "# pip\n", "runner-alone==0.1"} {
		if !strings.Contains(strings.ReplaceAll(got, "runner_", "runner-"), want) {
			t.Errorf("the lock lacks %q:\n%s", want, got)
		}
	}
}

func TestCondaRecipeFails(t *testing.T) {
	conda := testenv.Conda(t)
	tests := []struct {
		name    string
		conda   environment.Conda
		links   []string
		message string
	}{
		{"no tool", environment.Conda{Dependencies: []string{"python"}}, nil, "no conda tool found: micromamba, mamba and conda are not there"},
		{"no such package", environment.Conda{Channels: []string{conda.Channel}, Dependencies: []string{"runner-nosuch"}}, []string{filepath.Join(conda.BinDir, "micromamba")}, "runner-nosuch"},
		{"no such channel", environment.Conda{Channels: []string{"http://127.0.0.1:9/none"}, Dependencies: []string{"python"}}, []string{filepath.Join(conda.BinDir, "micromamba")}, "the package index cannot be reached: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t, append([]string{systemPython(t)}, test.links...)...)
			prefix := filepath.Join(t.TempDir(), "env")
			_, recipe := recipeOf(t, environment.Python{Conda: &test.conda}, prefix)
			result := m.carryOut(t, recipe)
			if got := result.failure(); result.exit != environment.ExitFailed || !strings.Contains(got.Message, test.message) || got.Hint == "" {
				t.Errorf("exit %d, %+v:\n%s", result.exit, got, result.output)
			}
			nothingStays(t, prefix)
		})
	}
}

// A tool that is not in the PATH is found where it usually lies.
func TestCondaRecipeFindsTool(t *testing.T) {
	conda := testenv.Conda(t)
	m := newMachine(t)
	at := filepath.Join(m.home, "miniforge3", "bin")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(conda.BinDir, "micromamba"), filepath.Join(at, "mamba")); err != nil {
		t.Fatal(err)
	}
	prefix := filepath.Join(t.TempDir(), "env")
	resolved, recipe := recipeOf(t, environment.Python{Conda: &environment.Conda{Channels: []string{conda.Channel}, Dependencies: []string{"python"}}}, prefix)
	checkMade(t, resolved, prefix, "mamba", m.carryOut(t, recipe))
}

func TestRecipeWithoutAPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, recipe := recipeOf(t, environment.Python{Version: "3"}, filepath.Join(file, "env"))
	result := newMachine(t).carryOut(t, recipe)
	if got := result.failure(); result.exit != environment.ExitFailed || !strings.Contains(got.Message, "cannot make a directory for the environment: mkdir: ") {
		t.Errorf("exit %d, %+v:\n%s", result.exit, got, result.output)
	}
}

func TestRecipeRefuses(t *testing.T) {
	resolved, _ := recipeOf(t, environment.Python{Version: "3"}, "/x")
	for _, prefix := range []string{"", "relative", "/", "/a/..", "/a\nb", "/a\x00"} {
		if _, err := resolved.Recipe(prefix); err == nil {
			t.Errorf("prefix %q is taken", prefix)
		}
	}
	for _, kind := range []environment.Kind{environment.Existing, environment.Image, environment.ImageBuild, environment.Dockerfile, "x"} {
		if _, err := (&environment.Resolved{Kind: kind}).Recipe("/x"); err == nil {
			t.Errorf("kind %s is taken", kind)
		}
	}
}
