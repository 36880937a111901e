package slurm_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
	"github.com/runnerml/runner/runconfig"
)

// withFamily is the begin of a script each of whose processes has children, some
// of which mind nobody, and left its group. What follows it begins when all
// have them.
const withFamily = `sleep 600 & setsid sh -c 'trap "" TERM; sleep 600; sleep 600' & sh -c 'trap "" TERM; sleep 600; sleep 600' &
trap 'echo told; sleep 2; echo saved; exit 9' TERM
: >"$RUNNER_CHECKPOINT_DIR/begun-$RANK"
while [ $(ls "$RUNNER_CHECKPOINT_DIR" | wc -l) -lt $WORLD_SIZE ]; do sleep 0.1; done
echo begun
`

// gone checks that nothing of what the scripts started is left at the moment at
// which the attempt has ended, on any node: here all are on one machine.
func (c *trial) gone(ref backends.Ref) {
	c.Helper()
	for _, pid := range backendtest.Marked(ref) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && bytes.Contains(line, []byte("sleep\x00")) {
			c.Errorf("process %d is left: %q", pid, line)
		}
	}
}

func (c *trial) said(log, line string, ranks ...int) {
	c.Helper()
	for _, rank := range ranks {
		if n := strings.Count(log, fmt.Sprintf("[rank %d] %s\n", rank, line)); n != 1 {
			c.Errorf("%q of rank %d is %d times in %q", line, rank, n, log)
		}
	}
	if n := strings.Count(log, "] "+line+"\n"); n != len(ranks) {
		c.Errorf("%q is %d times in %q", line, n, log)
	}
}

// When one rank fails, or a run is stopped, the processes of all nodes have their
// grace, and nothing of them is left on any node, however Slurm tracks processes.
func TestEndOfRanks(t *testing.T) {
	t.Parallel()
	l := newLab(t, testenv.SlurmOptions{}) // whose proctrack/linuxproc loses orphans
	onAll := func(framework string) func(*runconfig.ScriptRunConfig) {
		return func(c *runconfig.ScriptRunConfig) {
			onFour(framework, 1)(c)
			c.Grace = runconfig.Duration(8 * time.Second)
		}
	}
	t.Run("one fails", func(t *testing.T) {
		c := l.trial(t, withFamily+`case $RANK in
2) sleep 0.5; echo "cannot go on" >&2; exit 3;;
3) trap '' TERM;;
esac
sleep 600 & wait; while :; do sleep 1; done`, onAll("pytorch"))
		ref := c.begin()
		o := c.ended(ref)
		c.gone(ref)
		c.expect(o, run.OutcomeScriptFailed, "rank 2 on n3 ended with exit code 3: begun\ncannot go on")
		if o.ExitCode == nil || *o.ExitCode != 3 {
			t.Errorf("exit code %v", o.ExitCode)
		}
		log := c.log(ref)
		c.said(log, "begun", 0, 1, 2, 3)
		c.said(log, "told", 0, 1) // 3 does not listen, and is killed
		c.said(log, "saved", 0, 1)
	})
	t.Run("stopped, and not all end well or at once", func(t *testing.T) {
		c := l.trial(t, withFamily+`[ $RANK = 1 ] && trap 'echo told; exit 7' TERM
sleep 600 & wait; while :; do sleep 1; done`, onAll("pytorch"))
		ref := c.begin()
		c.seen(ref, "all have begun", func(backends.Observation) bool { return strings.Count(c.log(ref), "begun") == 4 })
		c.ok(c.b.Stop(t.Context(), ref, 8*time.Second))
		o := c.ended(ref)
		c.gone(ref)
		c.expect(o, run.OutcomeCanceled, "")
		log := c.log(ref)
		c.said(log, "told", 0, 1, 2, 3)
		c.said(log, "saved", 0, 2, 3)
	})
	t.Run("one ends well and leaves what it started", func(t *testing.T) {
		c := l.trial(t, withFamily, onAll("pytorch"))
		ref := c.begin()
		o := c.ended(ref)
		c.gone(ref)
		c.expect(o, run.OutcomeCompleted, "")
	})
	t.Run("one of MPI's fails", func(t *testing.T) {
		c := l.trial(t, withFamily+`[ $RANK = 2 ] && exit 3
sleep 600 & wait; while :; do sleep 1; done`, onAll("mpi"))
		ref := c.begin()
		o := c.ended(ref)
		c.gone(ref)
		c.expect(o, run.OutcomeScriptFailed, "rank 2 on n3 ended with exit code 3")
		log := c.log(ref) // Open MPI gives them a second or so: on a busy machine too little to say anything
		for rank := range 4 {
			if n := strings.Count(log, fmt.Sprintf("[rank %d] told\n", rank)); n > 1 {
				t.Errorf("rank %d was told %d times: %q", rank, n, log)
			}
		}
	})
}
