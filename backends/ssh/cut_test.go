package ssh_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
	"github.com/runnerml/runner/runconfig"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// cutter is a machine, our door to it, and one attempt.
type cutter struct {
	*testing.T
	*machine
	b *backend
	a backends.Attempt
}

func newCutter(t *testing.T, command string, source map[string][]byte) *cutter {
	t.Helper()
	c := &cutter{T: t, machine: newMachine(t, testenv.SSHOptions{}, testenv.SSHUser{})}
	c.b = c.open(t)
	dir := t.TempDir()
	for name, content := range source {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c.a = backends.Attempt{
		Run: "cut-" + strings.ToLower(rand.Text()[:8]), Number: 1, Experiment: "cut", Environment: backendtest.Existing("python3"), Snapshot: c.Home.Snapshot(t, dir),
		Config: &runconfig.ScriptRunConfig{Command: command, Resources: runconfig.Resources{Nodes: 1, CPUs: 1}},
	}
	t.Cleanup(func() {
		c.line.Heal()
		if err := c.b.Release(context.WithoutCancel(t.Context()), c.a.Ref()); err != nil {
			t.Error(err)
		}
		if left := c.traces(t, c.a.Ref()); len(left) > 0 {
			t.Errorf("left after release: %q", left)
		}
	})
	return c
}

func (c *cutter) ok(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *cutter) begin() backends.Ref {
	c.Helper()
	c.ok(c.b.Prepare(c.Context(), c.a, nil))
	handle, err := c.b.Start(c.Context(), c.a)
	c.ok(err)
	ref := c.a.Ref()
	ref.Handle = handle
	return ref
}

// held waits in a script until the test lets it go on.
const held = `while [ ! -e "$HOME/go" ]; do sleep 0.05; done`

// mustRun sees that the script runs, held, whatever we are told of it.
func (c *cutter) mustRun(ref backends.Ref, when string) {
	c.Helper()
	if len(backendtest.Marked(ref)) == 0 {
		c.Fatalf("%s nothing of the attempt runs", when)
	}
}

// letGo lets a held script go on.
func (c *cutter) letGo() {
	c.Helper()
	c.ok(os.WriteFile(filepath.Join(c.account.Home, "go"), nil, 0o644))
}

func (c *cutter) eventually(what string, ok func() bool) {
	c.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			c.Fatalf("waited %s in vain for %s", patience, what)
		}
	}
}

// ended waits for the end, and sees nothing on the way that a cut line must
// not make of a run.
func (c *cutter) ended(ref backends.Ref) backends.Observation {
	c.Helper()
	var last backends.Observation
	c.eventually("the end", func() bool {
		seen, err := c.b.Observe(c.Context(), []backends.Ref{ref})
		c.ok(err)
		last = seen[0]
		switch last.Phase {
		case backends.Running, backends.Unknown, backends.Ended:
		default:
			c.Fatalf("seen: %+v", last)
		}
		return last.Phase == backends.Ended
	})
	return last
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// What came before a cut stays and is not sent again.
func TestCutWhileUploading(t *testing.T) {
	source := map[string][]byte{}
	for i := range 64 {
		source[fmt.Sprintf("f%d", i)] = random(128 << 10)
	}
	c := newCutter(t, "cat f* | wc -c", source)
	before := c.line.Passed()
	c.line.ResetAfter(5 << 20)
	c.ok(c.b.Prepare(t.Context(), c.a, nil))
	if sent := c.line.Passed() - before; sent > 11<<20 {
		t.Errorf("%d bytes went over the line for 8 MiB", sent)
	}
	ref := c.begin()
	if o := c.ended(ref); o.Outcome != run.OutcomeCompleted {
		t.Errorf("seen %+v", o)
	}
	if got := strings.TrimSpace(c.log(ref, false)); got != fmt.Sprint(8<<20) {
		t.Errorf("log %q", got)
	}
}

// A cut in one large file loses little of it.
func TestCutInOneLargeFile(t *testing.T) {
	const size = 48 << 20
	c := newCutter(t, "sha256sum large", map[string][]byte{"large": random(size)})
	before := c.line.Passed()
	c.line.ResetAfter(44 << 20)
	c.ok(c.b.Prepare(t.Context(), c.a, nil))
	if sent := c.line.Passed() - before; sent > size+6<<20 {
		t.Errorf("%d MiB went over the line for %d", sent>>20, size>>20)
	}
	if o := c.ended(c.begin()); o.Outcome != run.OutcomeCompleted {
		t.Errorf("seen %+v", o)
	}
}

func (c *cutter) log(ref backends.Ref, follow bool) string {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	r, err := c.b.Logs(ctx, ref, backends.Source{Follow: follow}, 0)
	c.ok(err)
	data, err := io.ReadAll(r)
	c.ok(errors.Join(err, r.Close()))
	return string(data)
}

// No line twice, none lost.
func TestCutWhileFollowing(t *testing.T) {
	c := newCutter(t, "i=1; while [ $i -le 1500 ]; do echo line $i; [ $((i % 10)) != 0 ] || sleep 0.02; i=$((i+1)); done", nil)
	ref := c.begin()
	stop := make(chan struct{})
	cut := make(chan int)
	go func() {
		const most = 8 // a slow machine must get on between them
		times := 0
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if times++; times <= most {
					c.line.Reset()
				}
			case <-stop:
				cut <- times
				return
			}
		}
	}()
	got := c.log(ref, true)
	close(stop)
	if n := <-cut; n < 3 {
		t.Errorf("the line was cut only %d times", n)
	}
	var want strings.Builder
	for i := range 1500 {
		fmt.Fprintln(&want, "line", i+1)
	}
	if diff := cmp.Diff(want.String(), got); diff != "" {
		t.Error(diff)
	}
}

// A run goes on while nobody can reach it; what it became is found.
func TestCutWhileRunning(t *testing.T) {
	c := newCutter(t, held+"; echo kept >outputs/kept; exit 3", nil)
	ref := c.begin()
	c.line.Refuse()
	c.mustRun(ref, "when the line was cut")
	seen, err := c.b.Observe(t.Context(), []backends.Ref{ref})
	c.ok(err)
	if seen[0].Phase != backends.Unknown || seen[0].Reason == "" {
		t.Errorf("cut off: %+v", seen[0])
	}
	c.letGo()
	c.eventually("the end of the process", func() bool { return len(backendtest.Marked(ref)) == 0 })
	c.line.Heal()
	if o := c.ended(ref); o.Outcome != run.OutcomeScriptFailed || o.ExitCode == nil || *o.ExitCode != 3 {
		t.Errorf("seen %+v", o)
	}
	c.ok(c.b.Collect(t.Context(), ref, c.Home.Home(t, ref)))
	if _, err := os.Stat(filepath.Join(c.Home.Home(t, ref).Path(), "outputs/kept")); err != nil {
		t.Error(err)
	}
}

// A machine that cannot be reached ends no run: each step can be tried again.
func TestOutOfReach(t *testing.T) {
	c := newCutter(t, "echo out >outputs/f", nil)
	away := func(step string, f func() error) {
		t.Helper()
		c.line.Refuse()
		err := f()
		if backends.OutcomeOf(err) != run.OutcomeTargetUnreachable || !backends.IsTemporary(err) {
			t.Errorf("%s: %v (%s)", step, err, backends.OutcomeOf(err))
		}
		c.line.Heal()
		c.eventually("the machine to be reached again", func() bool { // it is tried less and less often
			_, err := c.b.Marks(t.Context())
			return err == nil
		})
	}
	away("prepare", func() error { return c.b.Prepare(t.Context(), c.a, nil) })
	c.ok(c.b.Prepare(t.Context(), c.a, nil))
	away("start", func() error { _, err := c.b.Start(t.Context(), c.a); return err })
	ref := c.begin()
	if o := c.ended(ref); o.Outcome != run.OutcomeCompleted {
		t.Errorf("seen %+v", o)
	}
	away("collect", func() error { return c.b.Collect(t.Context(), ref, c.Home.Home(t, ref)) })
	c.ok(c.b.Collect(t.Context(), ref, c.Home.Home(t, ref)))
}

// Whole files that came before a cut do not come again.
func TestCutWhileCollecting(t *testing.T) {
	c := newCutter(t, "for i in $(seq 100); do head -c 65536 /dev/urandom >outputs/$i; done; head -c 9000000 /dev/urandom >outputs/zz; cd outputs; sha256sum *", nil)
	ref := c.begin()
	if o := c.ended(ref); o.Outcome != run.OutcomeCompleted {
		t.Fatalf("seen %+v", o)
	}
	before := c.line.Passed()
	c.line.ResetAfter(5 << 20)
	home := c.Home.Home(t, ref)
	c.ok(c.b.Collect(t.Context(), ref, home))
	if sent := c.line.Passed() - before; sent > 19<<20 {
		t.Errorf("%d bytes went over the line for 15 MiB", sent)
	}
	c.same(home.Path(), c.log(ref, false))
	// Another agent that knows nothing finds most of it at home.
	before = c.line.Passed()
	c.ok(c.open(t).Collect(t.Context(), ref, home))
	if sent := c.line.Passed() - before; sent > 1<<20 {
		t.Errorf("%d bytes went over the line for what was at home", sent)
	}
}

// Of one large file, too, only the rest comes: to the same agent, and to one
// that knows nothing after both were cut off.
func TestCutWhileCollectingOneFile(t *testing.T) {
	c := newCutter(t, "head -c 33554432 /dev/urandom >outputs/large; cd outputs; sha256sum *", nil)
	ref := c.begin()
	if o := c.ended(ref); o.Outcome != run.OutcomeCompleted {
		t.Fatalf("seen %+v", o)
	}
	sums := c.log(ref, false)
	home := c.Home.Home(t, ref)
	before := c.line.Passed()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer cancel()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil && c.line.Passed()-before < 16<<20 {
			<-tick.C
		}
	}()
	c.line.ResetAfter(8 << 20)
	if err := c.b.Collect(ctx, ref, home); err != nil {
		if list, err := home.List(t.Context()); err != nil || len(list) > 1 {
			t.Errorf("half of it is visible: %v, %v", list, err)
		}
	} else {
		t.Log("it came home before it could be cut off")
	}
	c.ok(c.open(t).Collect(t.Context(), ref, c.Home.Home(t, ref)))
	if sent := c.line.Passed() - before; sent > 43<<20 {
		t.Errorf("%d bytes went over the line for 32 MiB", sent)
	}
	c.same(home.Path(), sums)
}

// same compares what is at home with what sha256sum said there.
func (c *cutter) same(home, sums string) {
	c.Helper()
	for line := range strings.Lines(sums) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if got := sumOf(c, filepath.Join(home, "outputs", name)); got != want {
			c.Errorf("%s: digest %s, want %s", name, got, want)
		}
	}
}

// What runs outlives the server's restart.
func TestServerRestarted(t *testing.T) {
	c := newCutter(t, "echo begun; "+held+"; echo done", nil)
	ref := c.begin()
	c.server.Stop()
	c.mustRun(ref, "when the server was stopped")
	c.letGo()
	c.eventually("the end of the process", func() bool { return len(backendtest.Marked(ref)) == 0 })
	c.server.Start()
	if o := c.ended(ref); o.Outcome != run.OutcomeCompleted {
		t.Errorf("seen %+v", o)
	}
	if got := c.log(ref, true); got != "begun\ndone\n" {
		t.Errorf("log %q", got)
	}
}

// The end is told, not asked for, also after the line broke.
func TestWatchAfterCut(t *testing.T) {
	c := newCutter(t, held, nil)
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan backends.Ref, 1000)
	watched := make(chan error, 1)
	go func() { watched <- c.b.Watch(ctx, func(r backends.Ref) { told <- r }) }()
	defer func() { cancel(); <-watched }()
	anything := func() { // all may have changed: it watches
		t.Helper()
		for {
			select {
			case r := <-told:
				if r.Run == "" {
					return
				}
			case <-time.After(patience):
				t.Fatal("nothing is watched")
			}
		}
	}
	anything() // we watch
	anything() // the machine does
	ref := c.begin()
	c.line.Reset()
	anything()
	c.mustRun(ref, "when it was watched again")
	c.letGo()
	for {
		select {
		case r := <-told:
			if r.Run != ref.Run {
				continue
			}
			seen, err := c.b.Observe(t.Context(), []backends.Ref{ref})
			c.ok(err)
			if seen[0].Phase == backends.Ended {
				return
			}
		case <-time.After(patience):
			t.Fatal("the end was not told")
		}
	}
}
