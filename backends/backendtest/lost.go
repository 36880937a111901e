package backendtest

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
)

func lostCases() []Case {
	return []Case{
		{"lost/agent restarted", agentRestarted},
		{"lost/agent killed", agentKilled},
		{"lost/agent killed while starting", agentKilledWhileStarting},
		{"lost/agent killed while preparing", agentKilledWhilePreparing},
		{"lost/agent killed while collecting", agentKilledWhileCollecting},
		{"lost/vanished", vanished},
		{"lost/cut off", cutOff},
	}
}

func agentRestarted(w *world) {
	a := w.attempt(`echo one; sleep 4; echo two; echo result >outputs/result`) // logging in takes its time
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

// agentKilledWhileCollecting: whatever it had reached, the next one brings
// everything home once and leaves nothing behind.
func agentKilledWhileCollecting(w *world) {
	if w.target.Home == nil {
		w.Skip("this target has no home that two agents share")
	}
	snapshot := w.snapshot(files{"f": "x"})
	for _, spins := range []int{0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 64_000, 1_000_000} {
		a := w.attempt(`for i in 1 2 3 4 5 6 7 8 9; do mkdir "outputs/d$i"; echo "$i" >"outputs/d$i/f"; done; ln -s /etc outputs/etc
			echo own >logs/std_log.txt; echo train >logs/train.log; echo said`, func(a *backends.Attempt) { a.Snapshot = snapshot })
		home := w.home(a.Ref())
		g := w.agent(a, homeVariable+"="+home.Path())
		for range 3 { // prepared, its handle, ended
			g.line()
		}
		for range spins { // a pause of no fixed length
			_ = os.Getppid()
		}
		g.kill()
		w.must(w.backend.Collect(w.context(), a.Ref(), home))
		w.must(w.backend.Release(w.context(), a.Ref()))
		w.gone(a.Ref())
		want := []string{"logs/not_collected.txt", "logs/std_log.script.txt", "logs/std_log.txt", "logs/train.log"}
		for i := 1; i <= 9; i++ {
			want = append(want, "outputs/d"+strconv.Itoa(i)+"/f")
		}
		if diff := cmp.Diff(want, w.listing(home)); diff != "" {
			w.Errorf("after %d spins: %s", spins, diff)
		}
		for name, content := range map[string]string{
			"logs/std_log.txt": "said\n", "logs/std_log.script.txt": "own\n", "logs/train.log": "train\n", "outputs/d9/f": "9\n",
		} {
			if got := w.content(home, name); got != content {
				w.Errorf("after %d spins: %s = %q", spins, name, got)
			}
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
