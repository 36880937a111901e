package slurm_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
	"github.com/runnerml/runner/runconfig"
)

// patience is how long a test waits for what must happen: a node counts as lost
// only after Slurm has called it for a while.
const patience = 3 * time.Minute

// trial is one attempt on a lab.
type trial struct {
	*testing.T
	l *lab
	b *backend
	a backends.Attempt
}

func (l *lab) trial(t *testing.T, command string, change func(*runconfig.ScriptRunConfig)) *trial {
	t.Helper()
	c := &trial{T: t, l: l, b: l.open(t)}
	c.a = backends.Attempt{
		Run: "trial-" + strings.ToLower(rand.Text()[:8]), Number: 1, Experiment: "trial", Environment: backendtest.Existing("python3"), Snapshot: l.Home.Snapshot(t, t.TempDir()),
		Config: &runconfig.ScriptRunConfig{
			Command: command, Resources: runconfig.Resources{Nodes: 1, CPUs: 1}, Grace: runconfig.Duration(5 * time.Second), Slurm: &runconfig.Slurm{},
		},
	}
	if change != nil {
		change(c.a.Config)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := c.b.Release(ctx, c.a.Ref()); err != nil {
			t.Error(err)
		}
		left := l.traces(t, c.a.Ref())
		for len(left) > 0 && ctx.Err() == nil { // a process that was killed takes a moment to go
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			left = l.traces(t, c.a.Ref())
		}
		if len(left) > 0 {
			t.Errorf("left after release: %q", left)
		}
	})
	return c
}

func (c *trial) ok(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *trial) begin() backends.Ref {
	c.Helper()
	c.ok(c.b.Prepare(c.Context(), c.a, nil))
	handle, err := c.b.Start(c.Context(), c.a)
	c.ok(err)
	ref := c.a.Ref()
	ref.Handle = handle
	return ref
}

func (c *trial) seen(ref backends.Ref, what string, fits func(backends.Observation) bool) backends.Observation {
	c.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last backends.Observation
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		seen, err := c.b.Observe(c.Context(), []backends.Ref{ref})
		c.ok(err)
		if last = seen[0]; fits(last) {
			return last
		}
	}
	c.Fatalf("waited in vain until %s; last: %+v", what, last)
	return last
}

// begun waits until the script has written its first line.
func (c *trial) begun(ref backends.Ref) {
	c.Helper()
	c.seen(ref, "it has begun", func(o backends.Observation) bool {
		return o.Phase == backends.Running && strings.Contains(c.log(ref), "begun")
	})
}

func (c *trial) ended(ref backends.Ref) backends.Observation {
	c.Helper()
	return c.seen(ref, "it ended", func(o backends.Observation) bool { return o.Phase == backends.Ended })
}

func (c *trial) log(ref backends.Ref) string {
	c.Helper()
	r, err := c.b.Logs(c.Context(), ref, backends.Source{}, 0)
	c.ok(err)
	data, err := io.ReadAll(r)
	c.ok(err)
	c.ok(r.Close())
	return string(data)
}

func (c *trial) id(ref backends.Ref) string { return strings.TrimPrefix(string(ref.Handle), "job:") }

// expect checks an end and what is said of it.
func (c *trial) expect(o backends.Observation, outcome run.Outcome, reason string) {
	c.Helper()
	if o.Phase != backends.Ended || o.Outcome != outcome || !strings.Contains(o.Reason, reason) {
		c.Errorf("seen %+v\nwant %s: %s", o, outcome, reason)
	}
}

// script goes on until it is told to end, and says so, also when what it waits for
// was told before.
const script = `trap 'echo told; kill $!; exit 9' TERM; echo begun; while :; do sleep 600 & wait $!; done`

// stubborn does not end when it is told to.
const stubborn = `trap '' TERM; echo begun; while :; do sleep 1; done`

func onNode(node string) func(*runconfig.ScriptRunConfig) {
	return func(c *runconfig.ScriptRunConfig) { c.Slurm.Arguments = []string{"--nodelist=" + node} }
}

// event is what befalls a job that runs.
type event struct {
	name   string
	script string
	change func(*runconfig.ScriptRunConfig)
	// befall does it.
	befall  func(c *trial, ref backends.Ref)
	outcome run.Outcome
	reason  string
}

// happen has it happen, and sees that it is named right.
func (e event) happen(t *testing.T, l *lab) {
	t.Helper()
	trial := l.trial(t, e.script, e.change)
	ref := trial.begin()
	trial.begun(ref)
	e.befall(trial, ref)
	trial.expect(trial.ended(ref), e.outcome, e.reason)
	if said := trial.log(ref); e.script == script && e.reason != "NODE_FAIL" && !strings.Contains(said, "told") {
		t.Errorf("the script was not told to end: %q", said)
	}
	if again, err := trial.b.Start(t.Context(), trial.a); err != nil || again != ref.Handle {
		t.Errorf("started again: %s, %v", again, err)
	}
}

// preemptible is a run that has a whole node that can be taken from it.
func preemptible(node string) func(*runconfig.ScriptRunConfig) {
	return func(c *runconfig.ScriptRunConfig) {
		c.VMPriority, c.Resources.CPUs, c.Slurm.Arguments = runconfig.LowPriority, 4, []string{"--nodelist=" + node}
	}
}

// What befalls jobs is named right: all at once on one cluster, the last node
// for those that need no other.
func TestEvents(t *testing.T) {
	t.Parallel()
	l := newLab(t, testenv.SlurmOptions{})
	nothing := func(*trial, backends.Ref) {}
	for _, e := range []event{
		{"preempted where Slurm would requeue", script, preemptible("n1"), preempt("n1"), run.OutcomePreempted, "PREEMPTED"},
		{"preempted where Slurm would requeue, and does not care", stubborn, preemptible("n2"), preempt("n2"), run.OutcomePreempted, "PREEMPTED"},
		{
			"preempted where Slurm cancels", script, func(c *runconfig.ScriptRunConfig) {
				c.Resources.CPUs, c.Slurm.Partition, c.Slurm.Arguments = 4, "cheap", []string{"--nodelist=n3"}
			},
			preempt("n3"), run.OutcomePreempted, "PREEMPTED",
		},
		{"canceled by somebody else", script, onNode("n4"), scancel(), run.OutcomeCanceled, "CANCELLED"},
		{"canceled by somebody else, and does not care", stubborn, onNode("n4"), scancel(), run.OutcomeCanceled, "CANCELLED"},
		{
			"told by somebody else to end", script, onNode("n4"), scancel("--batch", "--signal=TERM"),
			run.OutcomeNodeLost, "somebody ended what ran there",
		},
		{
			"out of its own time", script, func(c *runconfig.ScriptRunConfig) {
				onNode("n4")(c)
				c.MaxRunDuration = runconfig.Duration(3 * time.Second)
			},
			nothing, run.OutcomeTimedOut, "its time is over: 3s",
		},
		{"out of Slurm's time", script, forAMinute, nothing, run.OutcomeTimedOut, "its job's time was over: 1m0s"},
		{"out of Slurm's time, and does not care", stubborn, forAMinute, nothing, run.OutcomeTimedOut, "TIMEOUT"},
	} {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			e.happen(t, l)
		})
	}
}

func forAMinute(c *runconfig.ScriptRunConfig) {
	onNode("n4")(c)
	c.Slurm.TimeLimit = runconfig.Duration(time.Minute)
}

// scancel is somebody else's.
func scancel(how ...string) func(*trial, backends.Ref) {
	return func(c *trial, ref backends.Ref) { c.l.slurm.Run("scancel", append(how, c.id(ref))...) }
}

// What befalls the cluster is named right, and jobs outlive what they can.
func TestClusterEvents(t *testing.T) {
	t.Parallel()
	l := newLab(t, testenv.SlurmOptions{})
	for _, e := range []event{
		{
			"its node fails", script, onNode("n3"),
			func(c *trial, _ backends.Ref) {
				c.l.slurm.KillNode("n3")
				c.Cleanup(func() { c.l.slurm.StartNode("n3") })
			},
			run.OutcomeNodeLost, "NODE_FAIL",
		},
		{
			"the controller is away for a while", "echo begun; sleep 5; exit 7", nil,
			func(c *trial, ref backends.Ref) {
				c.l.slurm.StopController()
				c.seen(ref, "nobody can tell", func(o backends.Observation) bool {
					return o.Phase == backends.Unknown && strings.Contains(o.Reason, "the Slurm controller does not answer") || o.Phase == backends.Ended
				})
				c.l.slurm.StartController()
			},
			run.OutcomeScriptFailed, "",
		},
		{
			"its node is drained: it goes on", "echo begun; sleep 3", onNode("n4"),
			func(c *trial, _ backends.Ref) {
				c.l.slurm.Run("scontrol", "update", "nodename=n4", "state=drain", "reason=test")
				c.Cleanup(func() { c.l.slurm.Run("scontrol", "update", "nodename=n4", "state=resume") })
			},
			run.OutcomeCompleted, "",
		},
	} {
		t.Run(e.name, func(t *testing.T) { e.happen(t, l) })
	}
}

// preempt has another job take a whole node.
func preempt(node string) func(*trial, backends.Ref) {
	return func(c *trial, _ backends.Ref) {
		id := c.l.slurm.Run("sbatch", "--parsable", "--partition=high", "--nodelist="+node, "--exclusive", "--output=/dev/null", "--wrap=sleep 600")
		c.Cleanup(func() { c.l.slurm.Run("scancel", id) })
	}
}

// A job that waits says why, and is removed when nobody wants it any more.
func TestPending(t *testing.T) {
	t.Parallel()
	l := newLab(t, testenv.SlurmOptions{})
	l.slurm.Run("scontrol", "update", "nodename=n4", "state=drain", "reason=test")
	for _, c := range []struct {
		name, argument, reason string
	}{
		{"held", "--nice=1", "held by its user: scontrol release lets it go (JobHeldUser)"},
		{"its node is drained", "--nodelist=n4", "nodes that it needs are down, drained or reserved (ReqNodeNotAvail"},
		{"waits for a time", "--begin=now+1hour", "waits for its begin time (BeginTime)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			trial := l.trial(t, "echo", func(s *runconfig.ScriptRunConfig) { s.Slurm.Arguments = []string{c.argument} })
			if c.name == "held" {
				l.slurm.Run("scontrol", "update", "partitionname=normal", "state=down")
				defer l.slurm.Run("scontrol", "update", "partitionname=normal", "state=up")
			}
			ref := trial.begin()
			if c.name == "held" {
				l.slurm.Run("scontrol", "uhold", trial.id(ref))
			}
			trial.seen(ref, "it says why it waits", func(o backends.Observation) bool {
				return o.Phase == backends.Pending && strings.HasPrefix(o.Reason, c.reason)
			})
			trial.ok(trial.b.Stop(t.Context(), ref, 5*time.Second))
			o := trial.ended(ref)
			trial.expect(o, run.OutcomeCanceled, "")
			if o.ExitCode != nil {
				t.Errorf("it never ran and has the exit code %d", *o.ExitCode)
			}
		})
	}
}

// What Slurm refuses is the run's end, in its words; nothing waits there.
func TestRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t, testenv.SlurmOptions{})
	for _, c := range []struct {
		name   string
		change func(*runconfig.ScriptRunConfig)
		want   string
	}{
		{"no such partition", func(c *runconfig.ScriptRunConfig) { c.Slurm.Partition = "nope" }, "Invalid partition name"},
		{"no such feature", func(c *runconfig.ScriptRunConfig) { c.Slurm.Constraint = "fast" }, "Invalid feature"},
		{"more memory than any node has", func(c *runconfig.ScriptRunConfig) { c.Resources.Memory = 1 << 40 }, "Memory specification can not be satisfied"},
		{"an option that is none", func(c *runconfig.ScriptRunConfig) { c.Slurm.Arguments = []string{"--nope"} }, "unrecognized option"},
	} {
		t.Run(c.name, func(t *testing.T) {
			trial := l.trial(t, "echo", c.change)
			trial.ok(trial.b.Prepare(t.Context(), trial.a, nil))
			_, err := trial.b.Start(t.Context(), trial.a)
			if backends.OutcomeOf(err) != run.OutcomeEnvironmentFailed || backends.IsTemporary(err) || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("%v (%s)", err, backends.OutcomeOf(err))
			}
			if seen, err := trial.b.Observe(t.Context(), []backends.Ref{trial.a.Ref()}); err != nil || seen[0].Phase != backends.Absent {
				t.Errorf("seen %+v, %v", seen, err)
			}
		})
	}
	t.Run("the controller is away", func(t *testing.T) {
		trial := l.trial(t, "echo", nil)
		trial.ok(trial.b.Prepare(t.Context(), trial.a, nil))
		l.slurm.StopController()
		_, err := trial.b.Start(t.Context(), trial.a)
		l.slurm.StartController()
		if backends.OutcomeOf(err) != run.OutcomeTargetUnreachable || !backends.IsTemporary(err) {
			t.Errorf("%v (%s)", err, backends.OutcomeOf(err))
		}
		ref := trial.begin()
		trial.expect(trial.ended(ref), run.OutcomeCompleted, "")
	})
}

// What is asked for reaches Slurm, word by word.
func TestAsked(t *testing.T) {
	t.Parallel()
	l := newLab(t, testenv.SlurmOptions{Conf: "Licenses=matlab:2"})
	l.Defaults = runconfig.Slurm{Partition: "normal", Setup: "export FROM_SETUP='a b'"}
	trial := l.trial(t, "echo begun; env; sleep 600", func(c *runconfig.ScriptRunConfig) {
		c.Resources = runconfig.Resources{Nodes: 1, CPUs: 1.5, Memory: 200 << 20, GPUs: 2}
		c.MaxRunDuration = runconfig.Duration(time.Hour)
		c.Slurm = &runconfig.Slurm{Licenses: "matlab:1", Exclusive: true, Arguments: []string{"--nice=7", "--nodelist=n2"}}
	})
	ref := trial.begin()
	trial.begun(ref)
	said := l.slurm.Run("scontrol", "show", "job", trial.id(ref))
	for _, want := range []string{
		"JobName=" + trial.a.Run + ".1", "Requeue=0", "CPUs/Task=2", "MinMemoryNode=200M", "gres:gpu:2", "Licenses=matlab:1", "Nice=7",
		"OverSubscribe=NO", "TimeLimit=01:03:00", "Partition=normal", "NodeList=n2", "BatchHost=n2",
		"Comment=runner:test-home ü:" + trial.a.Run + ".1",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("Slurm was not told %s:\n%s", want, said)
		}
	}
	if env := trial.log(ref); !strings.Contains(env, "CUDA_VISIBLE_DEVICES=0,1\n") || !strings.Contains(env, "FROM_SETUP=a b\n") {
		t.Errorf("the script has %s", env)
	}
}

// Used up memory is named, where Slurm has control groups.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	_, err := os.Stat("/sys/fs/cgroup/memory")
	if _, unified := os.Stat("/sys/fs/cgroup/cgroup.controllers"); unified == nil {
		err = nil
	}
	testenv.Need(t, "control groups", err)
	l := newLab(t, testenv.SlurmOptions{Cgroups: true})
	trial := l.trial(t, `python3 -c 'x = bytearray(600 << 20); print(len(x))'`, func(c *runconfig.ScriptRunConfig) { c.Resources.Memory = 100 << 20 })
	ref := trial.begin()
	trial.expect(trial.ended(ref), run.OutcomeOutOfMemory, "")
}

// However many jobs there are, and however often one looks, Slurm is asked once
// in a while.
func TestOneQuestion(t *testing.T) {
	t.Parallel()
	l := newLab(t, testenv.SlurmOptions{})
	b := l.open(t)
	var refs []backends.Ref
	const many = 20
	for range many {
		c := l.trial(t, "sleep 600", func(c *runconfig.ScriptRunConfig) { c.Slurm.Arguments = []string{"--begin=now+1hour"} })
		c.b = b
		refs = append(refs, c.begin())
	}
	questions := func() (n int) {
		for _, call := range l.slurm.Calls() {
			if strings.HasPrefix(call, "squeue") || strings.HasPrefix(call, "sacct") || strings.HasPrefix(call, "scontrol show") {
				n++
			}
		}
		return n
	}
	before, began := questions(), time.Now()
	for range 200 {
		seen, err := b.Observe(t.Context(), refs)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range seen {
			if o.Phase != backends.Pending {
				t.Fatalf("seen %+v", o)
			}
		}
	}
	most := int(time.Since(began)/(100*time.Millisecond)) + 2
	if n := questions() - before; n > most {
		t.Errorf("%d questions for 200 looks at %d jobs, %d are allowed", n, many, most)
	}
	if n := before; n > 1 {
		t.Errorf("submitting %d jobs took %d questions", many, n)
	}
}

// The checkpoint directory of a preempted attempt is the next one's.
func TestNextAttempt(t *testing.T) {
	t.Parallel()
	l := newLab(t, testenv.SlurmOptions{})
	trial := l.trial(t, `echo one >>"$RUNNER_CHECKPOINT_DIR/steps"; cat "$RUNNER_CHECKPOINT_DIR/steps"; echo begun; [ $RUNNER_ATTEMPT = 2 ] || sleep 600`,
		func(c *runconfig.ScriptRunConfig) {
			c.VMPriority, c.Resources.CPUs, c.Slurm.Arguments = runconfig.LowPriority, 4, []string{"--nodelist=n1"}
		})
	ref := trial.begin()
	trial.begun(ref)
	id := l.slurm.Run("sbatch", "--parsable", "--partition=high", "--nodelist=n1", "--exclusive", "--output=/dev/null", "--wrap=sleep 5")
	trial.expect(trial.ended(ref), run.OutcomePreempted, "PREEMPTED")
	trial.ok(trial.b.Collect(t.Context(), ref, l.Home.Home(t, ref)))
	trial.ok(trial.b.Release(t.Context(), ref))
	if _, err := os.Stat(filepath.Join(l.Home.Home(t, ref).Path(), "logs/std_log.txt")); err != nil {
		t.Error(err)
	}
	trial.a.Number = 2
	next := trial.begin()
	trial.expect(trial.ended(next), run.OutcomeCompleted, "")
	if got := trial.log(next); got != "one\none\nbegun\n" {
		t.Errorf("the second attempt said %q", got)
	}
	l.slurm.Eventually(func(said string) bool { return said == "COMPLETED" }, "squeue", "--noheader", "--states=all", "--jobs="+id, "--format=%T")
}
