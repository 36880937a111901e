package killtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// fate is how a run is meant to end.
type fate struct {
	last    string // the script's last command
	outcome run.Outcome
	code    int
}

var fates = []fate{
	{"exit 0", run.OutcomeCompleted, 0},
	{"exit 3", run.OutcomeScriptFailed, 3},
	{"exit 0", run.OutcomeCompleted, 0},
	{"kill -SEGV $$", run.OutcomeScriptFailed, 128 + int(syscall.SIGSEGV)},
}

const logLines = 40

// house is the world of one kill test.
type house struct {
	t      *testing.T
	cli    *testenv.CLI
	home   string
	starts string // a file per run; one line per start of its script
	// spec is what the spec of run i has besides its command.
	spec func(i int) string
	// left names what is left of our runs where they ran.
	left  func(ids map[string]bool) []string
	kills atomic.Int64
	ids   map[string]bool
}

// soakRuns is how many runs a kill test has.
func soakRuns() int {
	if n, err := strconv.Atoi(os.Getenv("RUNNER_SOAK_RUNS")); err == nil {
		return n
	}
	return 24
}

func TestKill(t *testing.T) {
	t.Parallel()
	engine := testenv.Docker(t)
	h := newHouse(t, testenv.Runner(t, "DOCKER_HOST="+engine.Host), t.TempDir())
	h.spec = func(i int) string {
		if i%2 == 0 {
			return ""
		}
		return fmt.Sprintf("environment: {docker: {image: %q, volumes: [%q]}}\n", engine.Base, h.starts+":"+h.starts)
	}
	h.left = func(ids map[string]bool) []string { return containersOf(t, engine, ids) }
	h.carryOut(soakRuns(), h.kill)
}

// carryOut submits runs and waits for their end while harm is done.
func (h *house) carryOut(runs int, harm func(context.Context)) {
	t := h.t
	killing, stop := context.WithCancel(t.Context())
	var killer sync.WaitGroup
	killer.Go(func() { harm(killing) })

	want := map[string]fate{}
	for i := range runs {
		f := fates[i%len(fates)]
		id := h.submit(i, f)
		want[id], h.ids[id] = f, true
	}
	h.waitAll(want)
	stop()
	killer.Wait()
	t.Logf("%d runs, harm was done %d times", runs, h.kills.Load())
	if h.kills.Load() < int64(runs)/8 {
		t.Errorf("harm was done only %d times: this test proved little", h.kills.Load())
	}
	for id, f := range want {
		h.check(id, f)
	}
	h.checkNothingIsLeft()
}

func newHouse(t *testing.T, cli *testenv.CLI, starts string) *house {
	return &house{t: t, cli: cli, home: cli.Home, starts: starts, ids: map[string]bool{}}
}

func (h *house) submit(i int, f fate) string {
	h.t.Helper()
	script := fmt.Sprintf(`echo start >> %[1]s/$RUNNER_RUN_ID
i=0; while [ $i -lt %[2]d ]; do i=$((i+1)); echo line $i; sleep 0.005; done
printf 'result of %[3]d' > outputs/result
%[4]s`, h.starts, logLines, i, f.last)
	src := h.t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "script.sh"), []byte(script), 0o600); err != nil {
		h.t.Fatal(err)
	}
	spec := fmt.Sprintf("experiment: kill\ndisplay_name: \"%d\"\ncommand: sh script.sh\nresources: {cpus: 0.5}\n", i) + h.spec(i)
	path := filepath.Join(src, "job.yaml")
	if err := os.WriteFile(path, []byte(spec), 0o600); err != nil {
		h.t.Fatal(err)
	}
	out, err := h.cli.Try("submit", "--detach", path)
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// kill kills the agent now and then, asks it to end every third time, and has the next command start another.
func (h *house) kill(ctx context.Context) {
	for {
		pause := time.Duration(rand.IntN(600)) * time.Millisecond
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		for _, pid := range h.agents() {
			signal := syscall.SIGKILL
			if h.kills.Load()%3 == 2 {
				signal = syscall.SIGTERM // it may put things in order, and must not put too much
			}
			if syscall.Kill(pid, signal) == nil {
				h.kills.Add(1)
			}
		}
		if _, err := h.cli.Try("ps", "--limit", "1", "-o", "json"); err != nil {
			h.t.Error(err)
			return
		}
	}
}

// agents are the processes that are this house's agent: one, or none.
func (h *house) agents() []int {
	return withoutChildren(h.processes(func(_ string, argv []string) bool {
		return len(argv) > 1 && argv[0] == h.cli.Bin && argv[1] == "agent"
	}))
}

// withoutChildren leaves out children of other ones: what an agent has forked looks like it until it is another program,
// and an agent that is not killed with it takes its end for that program's.
func withoutChildren(pids []int) []int {
	return slices.DeleteFunc(slices.Clone(pids), func(pid int) bool { return slices.Contains(pids, testenv.ParentOf(pid)) })
}

// processes are those of this house that match.
func (h *house) processes(match func(environ string, argv []string) bool) []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var pids []int
	for _, dir := range dirs {
		environ, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil || !strings.Contains(string(environ), h.home) && !strings.Contains(string(environ), h.starts) {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(cmdline) == 0 { // a zombie has none
			continue
		}
		argv := strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil && match(string(environ), argv) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (h *house) waitAll(want map[string]fate) {
	h.t.Helper()
	deadline := time.Now().Add(time.Duration(60+5*len(want)) * time.Second)
	for {
		out, err := h.cli.Try("ps", "--all", "-o", "json")
		if err != nil {
			h.t.Fatal(err)
		}
		var runs []run.Run
		if err := json.Unmarshal([]byte(out), &runs); err != nil {
			h.t.Fatalf("ps -o json: %v\n%s", err, out)
		}
		if len(runs) != len(want) {
			h.t.Fatalf("%d runs were submitted, there are %d", len(want), len(runs))
		}
		open := 0
		for _, r := range runs {
			if !r.State.Ended() {
				open++
			}
		}
		if open == 0 {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%d of %d runs have not ended:\n%s", open, len(runs), out)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// check looks at one ended run.
func (h *house) check(id string, f fate) {
	h.t.Helper()
	out, err := h.cli.Try("show", id, "-o", "json")
	if err != nil {
		h.t.Error(err)
		return
	}
	var r run.Run
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		h.t.Errorf("show %s: %v", id, err)
		return
	}
	if r.Outcome == nil || *r.Outcome != f.outcome || r.ExitCode == nil || *r.ExitCode != f.code || len(r.Attempts) != 1 {
		h.t.Errorf("%s (%s) should have ended %s with %d in one attempt:\n%s", id, r.DisplayName, f.outcome, f.code, out)
	}
	if starts, _ := os.ReadFile(filepath.Join(h.starts, id)); string(starts) != "start\n" {
		h.t.Errorf("%s was started %d times", id, strings.Count(string(starts), "start"))
	}
	var want strings.Builder
	for i := range logLines {
		fmt.Fprintf(&want, "line %d\n", i+1)
	}
	if log, err := h.cli.Try("logs", id); err != nil || !strings.HasPrefix(log, want.String()) {
		h.t.Errorf("log of %s is not complete (%v):\n%s", id, err, log)
	}
	result := filepath.Join(h.home, "runs", id, "attempts", "1", "outputs", "result")
	if data, err := os.ReadFile(result); err != nil || string(data) != "result of "+r.DisplayName {
		h.t.Errorf("output of %s: %q, %v", id, data, err)
	}
}

// checkNothingIsLeft looks for processes, containers, temporary directories
// and locks that no run needs any more.
func (h *house) checkNothingIsLeft() {
	h.t.Helper()
	var left []string
	deadline := time.Now().Add(15 * time.Second)
	for {
		if left = h.leftovers(); len(left) == 0 || time.Now().After(deadline) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, l := range left {
		h.t.Errorf("left behind: %s", l)
	}
}

func (h *house) leftovers() []string {
	var left []string
	for _, pid := range h.processes(func(_ string, argv []string) bool {
		return len(argv) < 2 || argv[0] != h.cli.Bin || argv[1] != "agent"
	}) {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		left = append(left, fmt.Sprintf("process %d %q", pid, cmdline))
	}
	left = append(left, h.left(h.ids)...)
	err := filepath.WalkDir(h.home, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := e.Name()
		inAttempt := strings.Contains(path, string(filepath.Separator)+"attempts"+string(filepath.Separator))
		switch {
		case strings.Contains(name, ".tmp"), inAttempt && (name == "work" || name == "sup" || name == "lock"):
			left = append(left, path)
		}
		return nil
	})
	if err != nil {
		left = append(left, err.Error())
	}
	return left
}

// containersOf runs that are there.
func containersOf(t *testing.T, engine testenv.Engine, ids map[string]bool) []string {
	var left []string
	out, err := engine.Command(t.Context(), "ps", "-a", "--filter", "label=dev.runner.run", "--format", `{{.Label "dev.runner.run"}}`).Output()
	if err != nil {
		left = append(left, err.Error())
	}
	for _, id := range strings.Fields(string(out)) {
		if ids[id] {
			left = append(left, "container of "+id)
		}
	}
	return left
}
