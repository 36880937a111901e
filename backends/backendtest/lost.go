package backendtest

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
)

func lostCases() []Case {
	return []Case{
		{"lost/agent restarted", agentRestarted},
		{"lost/agent killed", agentKilled},
		{"lost/agent killed while starting", agentKilledWhileStarting},
		{"lost/agent killed while preparing", agentKilledWhilePreparing},
		{"lost/vanished", vanished},
		{"lost/cut off", cutOff},
	}
}

func agentRestarted(w *world) {
	a := w.attempt(`echo one; sleep 0.7; echo two; echo result >outputs/result`)
	ref := w.begin(a)
	w.running(ref)
	w.backend = w.target.New(w)
	w.running(ref)
	w.expect(w.ended(ref), run.OutcomeCompleted, 0, "")
	w.backend = w.target.New(w)
	w.expect(w.observe(ref), run.OutcomeCompleted, 0, "")
	if got := w.log(ref); got != "one\ntwo\n" {
		w.Errorf("log %q", got)
	}
	if got := w.content(w.collect(ref), "outputs/result"); got != "result\n" {
		w.Errorf("result %q", got)
	}
}

// childVariable tells the copy of the test binary what to do; its standard
// input holds the attempt.
const childVariable = "RUNNER_BACKENDTEST_CHILD"

// RunChild is to be called first in TestMain of a backend's tests. In a copy of
// the test binary that the suite started it opens the backend, prepares and
// starts the attempt, says its handle and waits to be killed: it does not
// return then.
func RunChild(open func() (backends.Backend, error)) {
	if os.Getenv(childVariable) == "" {
		return
	}
	if err := child(open); err != nil {
		_, _ = os.Stderr.WriteString("child: " + err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(0)
}

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
	_, _ = in.Token() // until we are killed, or whoever started us has gone
	return nil
}

// agent is a process of its own that prepares and starts an attempt.
type agent struct {
	w   *world
	cmd *exec.Cmd
	out *bufio.Reader
}

func (w *world) agent(a backends.Attempt) *agent {
	w.Helper()
	if w.target.Child == nil {
		w.Skip("this target cannot be opened from a process of its own")
	}
	self, err := os.Executable()
	w.must(err)
	cmd := exec.Command(self, "-test.run=^$")
	cmd.Env = append(append(os.Environ(), w.target.Child...), childVariable+"=1")
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

func agentKilled(w *world) {
	a := w.attempt(`echo one; sleep 1; echo two; exit 5`)
	g := w.agent(a)
	g.line()
	ref := a.Ref()
	w.must(json.Unmarshal([]byte(g.line()), &ref.Handle))
	g.kill()
	w.running(ref)
	w.expect(w.ended(ref), run.OutcomeScriptFailed, 5, "")
	if got := w.log(ref); got != "one\ntwo\n" {
		w.Errorf("log %q", got)
	}
}

// agentKilledWhileStarting: killed at several moments after Prepare, the agent
// leaves either nothing or one attempt, and Start by the next agent gives one.
func agentKilledWhileStarting(w *world) {
	for _, spins := range []int{0, 200, 2_000, 20_000, 100_000} {
		a := w.attempt(countStarts + `echo begun`)
		g := w.agent(a)
		g.line()
		for range spins { // a pause of no fixed length
			_ = os.Getppid()
		}
		g.kill()
		handle, err := w.backend.Start(w.context(), a)
		w.must(err)
		ref := a.Ref()
		ref.Handle = handle
		w.expect(w.ended(ref), run.OutcomeCompleted, 0, "")
		if got := w.log(ref); strings.TrimSpace(got) != "1\nbegun" {
			w.Errorf("after %d spins: log %q", spins, got)
		}
	}
}

// agentKilledWhilePreparing: what it left half-done is not trusted.
func agentKilledWhilePreparing(w *world) {
	source := files{}
	for i := range 400 {
		source["d"+strconv.Itoa(i%7)+"/f"+strconv.Itoa(i)] = strings.Repeat("content ", 1000)
	}
	snapshot := w.snapshot(source)
	for _, spins := range []int{0, 20_000, 200_000, 1_000_000} {
		a := w.attempt(`find . -type f -name 'f*' | wc -l; cat d*/f* | wc -c`, func(a *backends.Attempt) { a.Snapshot = snapshot })
		g := w.agent(a)
		for range spins { // a pause of no fixed length
			_ = os.Getppid()
		}
		g.kill()
		ref, o := w.carryOut(a)
		w.expect(o, run.OutcomeCompleted, 0, "")
		if got := strings.Fields(w.log(ref)); len(got) != 2 || got[0] != "400" || got[1] != "3200000" {
			w.Errorf("after %d spins: %q", spins, got)
		}
	}
}

// vanished: what the target lost did not complete, and says so.
func vanished(w *world) {
	if w.target.Vanish == nil {
		w.Skip("this target cannot be made to lose an attempt")
	}
	ref := w.begin(w.attempt("echo one; sleep 300"))
	w.beganWith(ref, "one")
	w.target.Vanish(w, ref)
	o := w.seen(ref, "ended or absent", func(o backends.Observation) bool {
		return o.Phase == backends.Ended || o.Phase == backends.Absent
	})
	if o.Phase == backends.Ended && (o.Outcome == run.OutcomeCompleted || o.Outcome == run.OutcomeCanceled) {
		w.Errorf("seen: %s", describe(o))
	}
	if o.Phase == backends.Ended && o.Reason == "" {
		w.Error("ended without a reason")
	}
	w.must(w.backend.Collect(w.context(), ref, w.sink(w.home(ref))))
}

// cutOff: a target that cannot answer says neither ended nor absent, unless it
// knows; and what it says in the end is right.
func cutOff(w *world) {
	if w.target.CutOff == nil {
		w.Skip("this target cannot be cut off")
	}
	ref := w.begin(w.attempt("sleep 1; exit 3"))
	w.running(ref)
	restore := w.target.CutOff(w)
	deadline := time.Now().Add(3 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		<-tick.C
		seen, err := w.backend.Observe(w.context(), []backends.Ref{ref})
		if err != nil {
			continue
		}
		switch o := seen[0]; o.Phase {
		case backends.Running, backends.Unknown:
		case backends.Ended:
			w.expect(o, run.OutcomeScriptFailed, 3, "")
		default:
			w.Errorf("cut off: %s", describe(o))
		}
	}
	restore()
	w.expect(w.ended(ref), run.OutcomeScriptFailed, 3, "")
}
