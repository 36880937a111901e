package backendtest

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/artifact"
)

// childVariable tells a copy of the test binary that it is an agent, and where
// its target is.
const childVariable = "RUNNER_BACKENDTEST_CHILD"

// homeVariable makes it go on to the end of the attempt: where to collect to.
const homeVariable = "RUNNER_BACKENDTEST_HOME"

// child prepares and starts the attempt that its standard input holds, says its
// handle and waits to be killed.
func child(open func() (backends.Backend, error)) error {
	var a backends.Attempt
	in := json.NewDecoder(os.Stdin)
	if err := in.Decode(&a); err != nil {
		return err
	}
	b, err := open()
	if err != nil {
		return err
	}
	ctx := context.Background() // it is killed from outside
	if err := b.Prepare(ctx, a, nil); err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString("prepared\n"); err != nil {
		return err
	}
	handle, err := b.Start(ctx, a)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(handle); err != nil {
		return err
	}
	if home := os.Getenv(homeVariable); home != "" {
		if err := finish(ctx, b, a.Ref(), home); err != nil {
			return err
		}
	}
	_, _ = in.Token() // until we are killed, or whoever started us has gone
	return nil
}

// finish waits for the attempt's end, brings it home and releases it.
func finish(ctx context.Context, b backends.Backend, ref backends.Ref, home string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		seen, err := b.Observe(ctx, []backends.Ref{ref})
		if err != nil {
			return err
		}
		if seen[0].Phase == backends.Ended {
			break
		}
		<-tick.C
	}
	if _, err := os.Stdout.WriteString("ended\n"); err != nil {
		return err
	}
	if err := b.Collect(ctx, ref, artifact.OpenDirectory(home)); err != nil {
		return err
	}
	return b.Release(ctx, ref)
}

// Agent is a copy of the test binary that opens the backend where Main is told,
// and prepares and starts the attempt that it reads as JSON. It ends when its
// standard input does.
func Agent(where any, environ ...string) (*exec.Cmd, error) {
	told, err := json.Marshal(where)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-test.run=^$")
	cmd.Env = slices.Concat(os.Environ(), environ, []string{childVariable + "=" + string(told)})
	return cmd, nil
}

// agent is a process of its own that prepares and starts an attempt.
type agent struct {
	w   *world
	cmd *exec.Cmd
	out *bufio.Reader
}

func (w *world) agent(a backends.Attempt, more ...string) *agent {
	w.Helper()
	if w.target.Child == nil {
		w.Skip("this target cannot be opened from a process of its own")
	}
	cmd, err := Agent(w.target.Child, more...)
	w.must(err)
	cmd.Stderr = testWriter{w}
	in, err := cmd.StdinPipe()
	w.must(err)
	out, err := cmd.StdoutPipe()
	w.must(err)
	w.must(cmd.Start())
	w.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	w.must(json.NewEncoder(in).Encode(a))
	return &agent{w: w, cmd: cmd, out: bufio.NewReader(out)}
}

func (g *agent) line() string {
	g.w.Helper()
	line, err := g.out.ReadString('\n')
	g.w.must(err)
	return strings.TrimSpace(line)
}

// kill ends it as kill -9 does, together with nothing else.
func (g *agent) kill() {
	g.w.Helper()
	g.w.must(g.cmd.Process.Kill())
	_ = g.cmd.Wait()
}

type testWriter struct{ t testing.TB }

func (t testWriter) Write(p []byte) (int, error) {
	t.t.Logf("%s", p)
	return len(p), nil
}
