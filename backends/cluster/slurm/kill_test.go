package slurm_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// killers are what sbatch does to the agent that calls it.
func killers() []string {
	return []string{
		`kill -9 $PPID`,                                     // before it submits
		`"$real" "$@" >/dev/null; kill -9 $PPID`,            // before it answers
		`"$real" "$@"; sleep 0.0$(($$ % 5)); kill -9 $PPID`, // while its answer is read, or later
		// It submits after the agent has died.
		`f=$(mktemp); cat >"$f"; (setsid sh -c 'sleep 0.1; exec "$@" <"$0"' "$f" "$real" "$@" >/dev/null 2>&1 &); kill -9 $PPID`,
	}
}

// The agent is killed around sbatch, 100 times: no script runs twice, and none
// is lost.
func TestKilledAroundSubmit(t *testing.T) {
	t.Parallel()
	l := newLab(t, testenv.SlurmOptions{})
	times := 24
	if n, err := strconv.Atoi(os.Getenv("RUNNER_SOAK_RUNS")); err == nil { // make soak
		times = n
	}
	for i := range times {
		killer := killers()[i%len(killers())]
		c := l.trial(t, `echo ran >>"$RUNNER_CHECKPOINT_DIR/ran"`, nil)
		killAgent(t, l, c.a, killer)
		ref := c.begin() // the next agent
		c.expect(c.ended(ref), run.OutcomeCompleted, "")
		l.slurm.Eventually(func(said string) bool { return said == "" }, "squeue", "--noheader", "--name="+c.a.Run+".1")
		ran, err := os.ReadFile(filepath.Join(string(l.Root), "runs", url.PathEscape(c.a.Run), "checkpoint/ran"))
		if err != nil || string(ran) != "ran\n" {
			t.Errorf("%s: ran %q, %v", killer, ran, err)
		}
		c.ok(c.b.Release(t.Context(), ref))
	}
}

// killAgent has an agent of its own start an attempt, with an sbatch that kills
// it.
func killAgent(t *testing.T, l *lab, a backends.Attempt, killer string) {
	t.Helper()
	bin := t.TempDir()
	for _, name := range []string{"squeue", "scancel", "sacct", "scontrol", "sinfo"} {
		if err := os.Symlink(filepath.Join(l.Bin, name), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf("#!/bin/sh\nreal=%s/sbatch\n%s\n", l.Bin, killer)
	if err := os.WriteFile(filepath.Join(bin, "sbatch"), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	s := l.site
	s.Bin = bin
	attempt, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := backendtest.Agent(s)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	in, err := cmd.StdinPipe() // kept open: it would end when that does
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(attempt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the agent was not killed: %v: %s", err, said.String())
	}
}
