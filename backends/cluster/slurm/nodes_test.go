package slurm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
	"github.com/runnerml/runner/runconfig"
)

func onFour(framework string, processes int) func(*runconfig.ScriptRunConfig) {
	return func(c *runconfig.ScriptRunConfig) {
		c.Resources.Nodes = 4
		c.Distributed = &runconfig.Distributed{Framework: framework, ProcessesPerNode: processes}
	}
}

// meet is what the processes of a run over four nodes do: all tell the first,
// which answers with the sum of their ranks.
const meet = `python3 - <<'END'
import os, socket, time
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
at = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
print("node", os.environ["NODE_RANK"], "local", os.environ["LOCAL_RANK"], "of", os.environ["LOCAL_WORLD_SIZE"], flush=True)
if rank == 0:
    s = socket.create_server(("", at[1]))
    peers, total = [], 0
    while len(peers) < world - 1:
        c, _ = s.accept(); total += int(c.recv(100)); peers.append(c)
    for c in peers: c.sendall(str(total).encode())
else:
    for _ in range(600):
        try: c = socket.create_connection(at); break
        except OSError: time.sleep(0.05)
    c.sendall(str(rank).encode()); total = int(c.recv(100))
print("sum", total, "of", world, flush=True)
END
`

func TestFourNodes(t *testing.T) {
	t.Parallel()
	l := newLab(t, testenv.SlurmOptions{})
	t.Run("they meet", func(t *testing.T) {
		c := l.trial(t, meet, onFour("pytorch", 2))
		ref := c.begin()
		c.expect(c.ended(ref), run.OutcomeCompleted, "")
		lines := strings.Split(strings.TrimSpace(c.log(ref)), "\n")
		slices.Sort(lines)
		var want []string
		for rank := range 8 {
			want = append(want, fmt.Sprintf("[rank %d] node %d local %d of 2", rank, rank/2, rank%2), fmt.Sprintf("[rank %d] sum 28 of 8", rank))
		}
		if !slices.Equal(lines, want) {
			t.Errorf("the log has %q", lines)
		}
		c.ok(c.b.Collect(t.Context(), ref, l.Home.Home(t, ref)))
		data, err := os.ReadFile(filepath.Join(l.Home.Home(t, ref).Path(), "logs/node-2.txt"))
		if err != nil || !strings.Contains(string(data), "[rank 4] sum 28 of 8") || strings.Contains(string(data), "[rank 3]") {
			t.Errorf("the log of node 2 is %q, %v", data, err)
		}
	})
	t.Run("nothing is said of how", func(t *testing.T) {
		c := l.trial(t, "echo $RANK of $WORLD_SIZE on $SLURMD_NODENAME", func(c *runconfig.ScriptRunConfig) { c.Resources.Nodes = 4 })
		ref := c.begin()
		c.expect(c.ended(ref), run.OutcomeCompleted, "")
		if said := c.log(ref); !strings.Contains(said, "[rank 3] 3 of 4 on n4\n") {
			t.Errorf("the log has %q", said)
		}
	})
	t.Run("TensorFlow", func(t *testing.T) {
		c := l.trial(t, `echo "$TF_CONFIG"`, onFour("tensorflow", 1))
		ref := c.begin()
		c.expect(c.ended(ref), run.OutcomeCompleted, "")
		if said := c.log(ref); !strings.Contains(said, `"task":{"type":"worker","index":3}`) || !strings.Contains(said, `{"cluster":{"worker":["n1:`) {
			t.Errorf("the log has %q", said)
		}
	})
	t.Run("one fails", func(t *testing.T) {
		c := l.trial(t, `echo begun; if [ $RANK = 2 ]; then sleep 1; echo "cannot go on" >&2; exit 3; fi; sleep 600`, onFour("pytorch", 1))
		ref := c.begin()
		c.begun(ref)
		began := time.Now()
		o := c.ended(ref)
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("the others were ended after %s", took)
		}
		c.expect(o, run.OutcomeScriptFailed, "rank 2 on n3 ended with exit code 3: begun\ncannot go on")
		if o.ExitCode == nil || *o.ExitCode != 3 {
			t.Errorf("exit code %v", o.ExitCode)
		}
		if said := c.log(ref); !strings.Contains(said, "runner: rank 2 on n3 ended with exit code 3; the others were ended") {
			t.Errorf("the log has %q", said)
		}
	})
	t.Run("one is killed", func(t *testing.T) {
		c := l.trial(t, `echo begun; if [ $RANK = 0 ]; then kill -SEGV $$; fi; sleep 600`, onFour("pytorch", 1))
		o := c.ended(c.begin())
		c.expect(o, run.OutcomeScriptFailed, "rank 0 on n1 was ended by SIGSEGV")
		if o.Signal != "SIGSEGV" {
			t.Errorf("signal %q", o.Signal)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		c := l.trial(t, "trap 'echo told; exit 0' TERM; echo begun; sleep 600 & wait", onFour("pytorch", 1))
		ref := c.begin()
		c.seen(ref, "all have begun", func(backends.Observation) bool { return strings.Count(c.log(ref), "begun") == 4 })
		c.ok(c.b.Stop(t.Context(), ref, 20*time.Second))
		c.expect(c.ended(ref), run.OutcomeCanceled, "")
		said := c.log(ref)
		for rank := range 4 {
			if n := strings.Count(said, fmt.Sprintf("[rank %d] told\n", rank)); n != 1 {
				t.Errorf("the last words of rank %d are %d times in %q", rank, n, said)
			}
		}
	})
	t.Run("one of the nodes fails", func(t *testing.T) {
		c := l.trial(t, "echo begun; sleep 600", onFour("pytorch", 1))
		ref := c.begin()
		c.begun(ref)
		l.slurm.KillNode("n4")
		defer l.slurm.StartNode("n4")
		c.expect(c.ended(ref), run.OutcomeNodeLost, "")
	})
}

// Open MPI's own launcher starts the processes.
func TestMPI(t *testing.T) {
	t.Parallel()
	l := newLab(t, testenv.SlurmOptions{})
	t.Run("one fails", func(t *testing.T) {
		c := l.trial(t, `echo begun; [ $RANK != 5 ] || exit 3; sleep 600`, onFour("mpi", 2))
		o := c.ended(c.begin())
		c.expect(o, run.OutcomeScriptFailed, "rank 5 on n3 ended with exit code 3")
		if o.ExitCode == nil || *o.ExitCode != 3 {
			t.Errorf("exit code %v", o.ExitCode)
		}
	})
	c := l.trial(t, `echo "$OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE is $RANK, local $LOCAL_RANK on node $NODE_RANK"`, onFour("mpi", 2))
	ref := c.begin()
	o := c.ended(ref)
	c.expect(o, run.OutcomeCompleted, "")
	said := c.log(ref)
	for rank := range 8 {
		if want := fmt.Sprintf("[rank %d] %d of 8 is %d, local %d on node %d\n", rank, rank, rank, rank%2, rank/2); !strings.Contains(said, want) {
			t.Errorf("%q is missing in %q", want, said)
		}
	}
}
