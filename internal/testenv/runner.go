package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// CLI is the program under test, as a user has it, with a RUNNER_HOME of its own.
type CLI struct {
	t testing.TB
	// Bin is the program, Home its RUNNER_HOME.
	Bin, Home string
	// Env is what commands run in.
	Env []string
}

// Runner builds the program (once in a process) and gives it a home of its own, whose agent is
// ended with the test. env is added to the environment, "NAME=value".
func Runner(t testing.TB, env ...string) *CLI {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "runner") // its own: whoever builds another meanwhile replaces the built one
	begin(t, "the program itself", func(ctx context.Context) (string, error) { return bin, copyRunner(ctx, bin) })
	c := &CLI{t: t, Bin: bin, Home: t.TempDir()}
	c.Env = append(os.Environ(), "RUNNER_HOME="+c.Home, "RUNNER_SERVER=", "NO_COLOR=1", "RUNNER_AGENT_IDLE=30s")
	c.Env = append(c.Env, env...)
	t.Cleanup(func() {
		if out, err := c.Try("agent", "stop"); err != nil {
			t.Logf("agent stop: %v\n%s", err, out)
		}
		if !t.Failed() {
			return
		}
		if log, err := os.ReadFile(filepath.Join(c.Home, "agent.log")); err == nil {
			t.Logf("agent.log, its end:\n%s", log[max(0, len(log)-8000):])
		}
	})
	return c
}

// built is the program, open for reading: built once in a process, as even Go's cache takes seconds on a busy machine.
var built = sync.OnceValues(func() (*os.File, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	dir, err := stateSubdir("bin")
	if err != nil {
		return nil, err
	}
	release, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	defer release()
	bin := filepath.Join(dir, "runner")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "github.com/runnerml/runner/cmd/runner")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build: %w\n%s", err, out)
	}
	return os.Open(bin) // stays what it is when another process builds anew: that is another file then
})

// copyRunner copies the program to where it is wanted.
func copyRunner(ctx context.Context, to string) error {
	program, err := built()
	if err != nil {
		return err
	}
	// Another process writes it: one of ours that is just being started would have it open for writing, and nobody can
	// run it then.
	cp := exec.CommandContext(ctx, "cp", "--", "/dev/fd/3", to)
	cp.ExtraFiles = []*os.File{program}
	if out, err := cp.CombinedOutput(); err != nil {
		return fmt.Errorf("copy the program: %w\n%s", err, out)
	}
	return os.Chmod(to, 0o755)
}

// commandTimeout bounds one command of the program.
const commandTimeout = 5 * time.Minute

// Try runs one command; the error holds what it wrote to stderr.
func (c *CLI) Try(args ...string) (stdout string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Bin, args...)
	cmd.Env = c.Env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("runner %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), err
}

// Run runs one command that has to work.
func (c *CLI) Run(args ...string) (stdout string) {
	c.t.Helper()
	out, err := c.Try(args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}
