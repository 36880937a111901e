package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnerml/runner/internal/testenv"
)

// A virtual environment that is active in the submitting shell counts, whoever
// started the agent.
func TestEndActiveVirtualEnvironment(t *testing.T) {
	t.Parallel()
	c := testenv.Runner(t)
	c.Run("agent", "start")
	dir := t.TempDir()
	venv := filepath.Join(dir, "venv")
	python, err := exec.LookPath("python3")
	testenv.Need(t, "python3", err)
	if out, err := exec.Command(python, "-m", "venv", "--without-pip", venv).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sites, err := filepath.Glob(filepath.Join(venv, "lib", "python3*", "site-packages"))
	if err != nil || len(sites) != 1 {
		t.Fatalf("%v, %v", sites, err)
	}
	write(t, filepath.Join(sites[0], "onlyhere.py"), "WORD = 'found in the venv'\n")
	write(t, filepath.Join(dir, "src", "main.py"), "import onlyhere\nprint(onlyhere.WORD)\n")
	active := []string{"PATH=" + filepath.Join(venv, "bin") + ":" + os.Getenv("PATH")}
	script := filepath.Join(dir, "src", "main.py")

	got := say(t, c, active, "submit", script)
	got.want(t, 0)
	if got.out != "found in the venv\n" {
		t.Errorf("it said %q", got.out)
	}
	say(t, c, nil, "submit", script).want(t, 1)
	// The same again is the same, from another shell too.
	first := strings.Fields(strings.Split(c.Run("ps"), "\n")[2])[0]
	again := say(t, c, nil, "rerun", first)
	again.want(t, 0)
	wantLines(t, c.Run("show", "@last"), `  command +python3 main\.py`)
}

// What the environment of the agent holds reaches no script.
func TestEndWhatScriptsInherit(t *testing.T) {
	t.Parallel()
	c := testenv.Runner(t, "OF_THE_FIRST=1", "GITHUB_TOKEN=t", "PYTHONPATH=/first", "LC_TIME=C", "http_proxy=http://127.0.0.1:1")
	s := say(t, c, []string{"OF_THE_SECOND=2"}, "submit", "-q", "--set", "experiment=inherit", "--set", "environment_variables={OWN: '3'}", "--set", "command=env")
	s.want(t, 0)
	for _, unwanted := range []string{"OF_THE_FIRST", "OF_THE_SECOND", "GITHUB_TOKEN", "PYTHONPATH", "RUNNER_HOME", "NO_COLOR"} {
		if strings.Contains(s.out, unwanted+"=") {
			t.Errorf("%s reaches the script", unwanted)
		}
	}
	wantLines(t, s.out, "OWN=3", "LC_TIME=C", "http_proxy=http://127.0.0.1:1", "HOME=.*", "PATH=.*")
}

func TestEndBadInput(t *testing.T) {
	t.Parallel()
	c := testenv.Runner(t)
	dir := t.TempDir()
	spec := write(t, filepath.Join(dir, "job.yaml"), "experimet: x\nscript: trian.py\nresources: {cpus: -1, memory: lots}\nrestart: {failed: no}\n")
	write(t, filepath.Join(dir, "train.py"), "print('hello')\n")
	s := say(t, c, nil, "submit", spec)
	s.want(t, 2,
		`error: unknown field "experimet": .*job\.yaml:1:1`, `hint: did you mean "experiment"\?`,
		`error: resources\.cpus must be more than 0 .*, not -1: .*job\.yaml:3:19`, `error: resources\.memory: "lots" is no size: .*: .*job\.yaml:3:31`,
		`error: restart\.failed.*: .*job\.yaml:4:19`)
	good := write(t, filepath.Join(dir, "good.yaml"), "experiment: x\nscript: trian.py\n")
	for _, dry := range [][]string{nil, {"--dry-run"}} {
		say(t, c, nil, append([]string{"submit", good}, dry...)...).want(t, 2,
			`error: the script trian\.py is not in the source directory .*: .*/good\.yaml:2:9`, `hint: did you mean "train\.py"\?`)
	}
	write(t, filepath.Join(dir, ".runnerignore"), "train.py\n")
	for _, dry := range [][]string{nil, {"--dry-run"}} {
		say(t, c, nil, append([]string{"submit", good, "--set", "script=train.py"}, dry...)...).want(t, 2,
			`error: the script is left out of the snapshot by an ignore file: .*/train\.py`, `hint: see \.runnerignore, \.amlignore or \.gitignore; .*`)
	}
	say(t, c, nil, "submit", filepath.Join(dir, "nothing.yaml")).want(t, 2, `error: file does not exist: .*nothing\.yaml`)
	say(t, c, nil, "show", "nobody").want(t, 2, `error: .*nobody.*`)
	if out := c.Run("ps", "--all"); strings.Contains(out, "\nx-") {
		t.Errorf("something half-done stays:\n%s", out)
	}
}

// A dry run leaves nothing behind, and says what would happen.
func TestEndDryRun(t *testing.T) {
	t.Parallel()
	c := testenv.Runner(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "with [odd] name.py"), "print('hello')\n")
	s := say(t, c, nil, "submit", "--dry-run", filepath.Join(dir, "with [odd] name.py"), "--", "a b")
	s.want(t, 0)
	wantLines(t, s.out, `target +local`, `source +sha256:[0-9a-f]{64}, 1 file, 15 B`, `command +python3 'with \[odd\] name\.py' 'a b'`)
	packs, err := filepath.Glob(filepath.Join(c.Home, "objects", "*", "*"))
	if err != nil || len(packs) > 0 {
		t.Errorf("stored: %v, %v", packs, err)
	}
}

// What was kept of a source is damaged on the disk: the run that wants it says
// so, others go on.
func TestEndDamagedSnapshot(t *testing.T) {
	t.Parallel()
	c := testenv.Runner(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.sh"), "echo ran\n"+strings.Repeat("# what is long enough to be damaged\n", 50))
	c.Run("submit", "-q", filepath.Join(dir, "main.sh"))
	first := strings.Fields(strings.Split(c.Run("ps"), "\n")[1])[0]
	damaged := 0
	err := filepath.WalkDir(filepath.Join(c.Home, "objects"), func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || !strings.Contains(path, "pack") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || len(data) < 40 {
			return err
		}
		for i := 16; i < 40; i++ {
			data[i] ^= 0xff
		}
		damaged++
		if err := os.Chmod(path, 0o600); err != nil {
			return err
		}
		return os.WriteFile(path, data, 0o600)
	})
	if err != nil || damaged == 0 {
		t.Fatalf("nothing was damaged: %v", err)
	}
	say(t, c, nil, "rerun", first).want(t, 5,
		`[0-9a-z-]+ failed after [0-9.]+s: internal error: .*main\.sh: snapshot store: corrupt .*`,
		`hint: submit from the source directory again: it is stored afresh`)
	say(t, c, nil, "submit", "-q", "--set", "experiment=other", "--set", "command=true").want(t, 0)
	if s := say(t, c, nil, "submit", "-q", filepath.Join(dir, "main.sh")); s.code != 0 || s.out != "ran\n" {
		t.Errorf("submitted again: %+v", s)
	}
	if got := c.Run("logs", first); got != "ran\n" {
		t.Errorf("what was kept of the first run: %q", got)
	}
}
