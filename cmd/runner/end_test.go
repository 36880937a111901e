package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// The tests named TestEnd... go from end to end with the program as a user has
// it, real engines included.

// said is what one command left.
type said struct {
	out, err string
	code     int
}

const commandPatience = 2 * time.Minute

// say runs one command of the program, with env over the program's own.
func say(t *testing.T, c *testenv.CLI, env []string, args ...string) said {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Bin, args...)
	cmd.Env = append(c.Env[:len(c.Env):len(c.Env)], env...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok || ctx.Err() != nil {
		t.Fatalf("runner %s: %v\n%s", strings.Join(args, " "), errors.Join(err, ctx.Err()), stderr.String())
	}
	return said{out.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// want checks the exit code, and that each pattern is a whole line of what was
// said to standard error.
func (s said) want(t *testing.T, code int, lines ...string) {
	t.Helper()
	if s.code != code {
		t.Errorf("exit code %d, not %d\nstdout: %s\nstderr: %s", s.code, code, s.out, s.err)
	}
	wantLines(t, s.err, lines...)
	if strings.Contains(s.err, "goroutine ") || strings.Contains(s.err, "panic") {
		t.Errorf("a stack trace:\n%s", s.err)
	}
}

func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !regexp.MustCompile("(?m)^" + line + "$").MatchString(text) {
			t.Errorf("no line\n  %s\nin\n%s", line, text)
		}
	}
}

// detached submits and gives the run's id.
func detached(t *testing.T, c *testenv.CLI, args ...string) string {
	t.Helper()
	return strings.TrimSpace(c.Run(append([]string{"submit", "--detach"}, args...)...))
}

// show is a run as JSON tells it.
func show(t *testing.T, c *testenv.CLI, id string) *run.Run {
	t.Helper()
	var r run.Run
	if err := json.Unmarshal([]byte(c.Run("show", id, "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// soon polls until ok.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(what)
		}
	}
}

// inState waits until a run is in a state.
func inState(t *testing.T, c *testenv.CLI, id string, state run.State) *run.Run {
	t.Helper()
	var r *run.Run
	soon(t, id+" is "+string(state), func() bool { r = show(t, c, id); return r.State == state })
	return r
}

// write makes a file, with its directories.
func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o700); err != nil { //nolint:gosec // some are programs
		t.Fatal(err)
	}
	return name
}
