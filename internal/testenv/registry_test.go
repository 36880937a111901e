package testenv

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestRegistryLogins(t *testing.T) {
	e := Docker(t)
	closed := Registry(t, true)
	locked := closed.Push(e.Small, "team/small:1")
	open := Registry(t, false)
	free := open.Push(e.Small, "small:1")
	tests := []struct {
		name           string
		user, password string // no login without a user
		reference      string
		refused        string // part of the error; empty when the pull works
	}{
		{"right password", closed.User, closed.Password, locked, ""},
		{"wrong password", closed.User, "wrong", locked, "unauthorized"},
		{"wrong user", "somebody", closed.Password, locked, "unauthorized"},
		{"no login", "", "", locked, "no basic auth credentials"},
		{"an image that is not there", closed.User, closed.Password, closed.Addr + "/team/none:1", "not found"},
		{"a registry that wants no login", "", "", free, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config := t.TempDir()
			docker := func(args ...string) *exec.Cmd {
				return e.Command(t.Context(), append([]string{"--config", config}, args...)...)
			}
			var err error
			if test.user != "" {
				login := docker("login", "--username", test.user, "--password-stdin", closed.Addr)
				login.Stdin = strings.NewReader(test.password)
				_, err = output(login)
			}
			if err == nil {
				_, err = output(docker("pull", test.reference))
			}
			switch {
			case test.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.refused != "" && (err == nil || !strings.Contains(strings.ToLower(err.Error()), test.refused)):
				t.Errorf("error %v, want one with %q", err, test.refused)
			}
		})
	}
}

func TestPushedImageRunsAfterAPull(t *testing.T) {
	e := Docker(t)
	reference := Registry(t, false).Push(e.Small, "small:1")
	if _, err := e.image(t.Context(), reference); err == nil {
		t.Fatalf("the engine still has %s: a pull would prove nothing", reference)
	}
	if got, err := output(e.Command(t.Context(), "run", "--rm", reference, "echo", "pulled")); err != nil || got != "pulled\n" {
		t.Errorf("got %q, %v; want pulled", got, err)
	}
}

func TestOwnedProcessEndsWithItsTestOrAfterIt(t *testing.T) {
	t.Setenv("RUNNER_TESTENV", t.TempDir())
	ledger, err := stateSubdir("owned")
	Need(t, "state directory", err)
	start := func(t *testing.T) (entry string) {
		log := filepath.Join(t.TempDir(), "log")
		err := owned(t, exec.Command("sleep", "600"), log, func(context.Context) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		entries, err := filepath.Glob(filepath.Join(ledger, "*"))
		if err != nil || len(entries) != 1 {
			t.Fatalf("ledger: %v, %v; want one entry", entries, err)
		}
		return entries[0]
	}
	alive := func(line string) bool {
		fields := strings.Fields(line)
		pid, err := strconv.Atoi(fields[0])
		return err == nil && startTicks(pid) == fields[1]
	}

	var line []byte
	t.Run("with its test", func(t *testing.T) {
		line, err = os.ReadFile(start(t))
		if err != nil || !alive(string(line)) {
			t.Fatalf("%s does not name a running process (%v)", line, err)
		}
	})
	if alive(string(line)) {
		t.Error("the process outlived its test")
	}

	t.Run("after a killed test", func(t *testing.T) {
		entry := start(t)
		line, err := os.ReadFile(entry)
		if err != nil {
			t.Fatal(err)
		}
		if err := endOrphans(t.Context(), ledger, false); err != nil || !alive(string(line)) {
			t.Fatalf("a process whose owner lives was ended (%v)", err)
		}
		fields := strings.Fields(string(line))
		killed := strings.Join([]string{fields[0], fields[1], fields[2], "1"}, " ") // an owner of that id, but another one
		if err := os.WriteFile(entry, []byte(killed), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := endOrphans(t.Context(), ledger, false); err != nil || alive(string(line)) {
			t.Errorf("the process of a dead owner lives (%v)", err)
		}
	})
}

func TestEndKillsWhatIgnoresTerm(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	cmd := exec.Command("sh", "-c", `trap "" TERM; : > "$1"; while true; do sleep 0.05; done`, "sh", ready)
	pid, err := daemon(t.Context(), cmd, filepath.Join(t.TempDir(), "log"), func(context.Context) bool {
		_, err := os.Stat(ready)
		return err == nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := end(t.Context(), pid, 100*time.Millisecond); err != nil || startTicks(pid) != "" {
		t.Errorf("the process lives: %v", err)
	}
}
