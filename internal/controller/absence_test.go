package controller

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/run"
)

// goneBox is a machine that went away while a run ran there.
type goneBox struct {
	*house
	w  *world
	m  *fakeMachine
	id string
	// since when it is away.
	since time.Time
}

func newGoneBox(t *testing.T) *goneBox {
	h, w := newWorldHouse(t)
	g := &goneBox{house: h, w: w, m: w.add("gpubox", "m1", "SHA256:k1")}
	h.attach(box("gpubox", "gpubox"))
	g.id = h.until(h.submitTo("gpubox").ID, run.Running).ID
	g.since = time.Now().Add(-time.Minute)
	w.set(g.m, func(m *fakeMachine) { m.trouble, m.since = errors.New("connection lost"), g.since })
	h.eventually("the store knows", func() bool { return g.unreached() != nil })
	return g
}

func (g *goneBox) unreached() *time.Time {
	g.t.Helper()
	stored, err := g.store.Target(g.t.Context(), "gpubox")
	if err != nil {
		g.t.Fatal(err)
	}
	return stored.UnreachedAt
}

// down is a machine to which nobody can connect.
func (g *goneBox) down() {
	g.w.set(g.m, func(m *fakeMachine) {
		m.down = &compute.ReachError{Name: "gpubox", Err: errors.New("no route to host"), Temporary: true}
	})
}

// up is one that answers again.
func (g *goneBox) up() {
	g.w.set(g.m, func(m *fakeMachine) { m.down, m.trouble, m.since = nil, nil, time.Time{} })
}

// later is another agent, which begins when so much time has passed in all.
func (g *goneBox) later(ahead time.Duration) {
	g.t.Helper()
	g.close()
	g.ahead.Store(int64(ahead))
	g.open()
}

func (g *goneBox) ready() bool {
	g.t.Helper()
	info, err := g.c.Target(g.t.Context(), "gpubox")
	if err != nil {
		g.t.Fatal(err)
	}
	return info.State == TargetReady
}

// triesInVain waits until the machine was tried a few times more.
func (g *goneBox) triesInVain() {
	g.t.Helper()
	tries := func() (n int) {
		g.w.set(g.m, func(m *fakeMachine) { n = m.tries })
		return n
	}
	before := tries()
	g.eventually("tries", func() bool {
		t, err := g.c.target("gpubox")
		if err != nil {
			g.t.Fatal(err)
		}
		t.absence.now()
		return tries() >= before+3
	})
}

// The time without contact goes on over restarts of the agent: what is gone for
// ever is given up however often agents come and go.
func TestTimeWithoutContactOutlivesTheAgent(t *testing.T) {
	t.Parallel()
	g := newGoneBox(t)
	g.down()
	told := func() string { return unreachableWords(g.since, g.c.now(), "no route to host") }
	for _, ahead := range []time.Duration{10 * time.Hour, 23 * time.Hour} {
		g.later(ahead)
		if m := g.message(g.id); m != told() && !strings.HasPrefix(told(), m+": ") { // not tried yet
			t.Errorf("%q, want %q", m, told())
		}
		g.triesInVain()
		if r := g.until(g.id, run.Running); r.Message != told() {
			t.Errorf("%q, want %q", r.Message, told())
		}
	}
	// An agent that has just begun, perhaps on a laptop that was closed, tries
	// itself for a while.
	g.later(25 * time.Hour)
	g.triesInVain()
	g.until(g.id, run.Running)
	g.ahead.Add(int64(firstTries))
	r := g.until(g.id, run.Failed)
	if *r.Outcome != run.OutcomeTargetUnreachable || r.Message != told() {
		t.Errorf("%s: %q, want %q", *r.Outcome, r.Message, told())
	}
}

// Contact in between begins it anew, also where only "compute check" made it.
func TestContactEndsTheTimeWithout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		meet func(*goneBox)
	}{
		{"the line is back", func(g *goneBox) { g.up() }},
		{"another agent reaches it", func(g *goneBox) {
			g.down()
			g.later(23 * time.Hour)
			g.triesInVain()
			g.up()
			g.eventually("it is reached", func() bool { return g.ready() })
		}},
		{"checked", func(g *goneBox) {
			g.down()
			g.later(23 * time.Hour)
			g.triesInVain()
			g.up()
			if _, err := g.c.CheckTarget(g.t.Context(), "gpubox"); err != nil {
				g.t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGoneBox(t)
			c.meet(g)
			g.eventually("the store knows", func() bool { return g.unreached() == nil })
			g.down()
			g.later(25 * time.Hour)
			g.triesInVain()
			g.ahead.Add(int64(firstTries))
			g.triesInVain()
			r := g.until(g.id, run.Running)
			if since := g.unreached(); since == nil || since.Before(g.since.Add(20*time.Hour)) {
				t.Errorf("unreached since %v: %s", since, r.Message)
			}
		})
	}
}

// Trying again is nothing to write down.
func TestRetriesAreNotStored(t *testing.T) {
	t.Parallel()
	g := newGoneBox(t)
	g.down()
	g.later(time.Hour)
	g.triesInVain()
	log := func() []byte {
		data, err := os.ReadFile(filepath.Join(g.home, "runner.db-wal"))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	before, since := log(), g.unreached()
	g.triesInVain()
	if after := log(); !bytes.Equal(before, after) {
		t.Errorf("the store was written to: its log had %d bytes, and has %d", len(before), len(after))
	}
	if again := g.unreached(); !again.Equal(*since) || !again.Equal(time.Unix(0, g.since.UnixNano())) {
		t.Errorf("unreached since %s, then %s, not %s", since, again, g.since)
	}
}

// What was granted when its target was away already has waited since then only.
func TestAttemptOnATargetThatIsAwayLong(t *testing.T) {
	t.Parallel()
	h, w := newWorldHouse(t)
	m := w.add("gpubox", "m1", "SHA256:k1")
	h.attach(box("gpubox", "gpubox"))
	tries := 0
	count := func() int { m.target.mu.Lock(); defer m.target.mu.Unlock(); return tries }
	m.target.prepare = func() error {
		m.target.mu.Lock()
		defer m.target.mu.Unlock()
		tries++
		return unreachableError("no route to host")
	}
	w.set(m, func(m *fakeMachine) { m.trouble, m.since = errors.New("gone"), time.Now().Add(-25*time.Hour) })
	r := h.submitTo("gpubox")
	h.eventually("tries", func() bool { return count() > 2 })
	h.until(r.ID, run.Preparing)
	h.ahead.Store(int64(DefaultUnreachableLimit + time.Minute))
	if got := h.until(r.ID, run.Failed); *got.Outcome != run.OutcomeTargetUnreachable {
		t.Errorf("%s: %s", *got.Outcome, got.Message)
	}
}

// An attempt that had ended on a machine which is then given up is not told as
// if what it left had come home.
func TestOutputsOnAMachineThatIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		lose func(*testing.T, *goneBox)
		why  string
	}{
		{"not reached", func(t *testing.T, g *goneBox) {
			g.later(25 * time.Hour)
			g.triesInVain()
			g.ahead.Add(int64(firstTries))
		}, "target unreachable since "},
		{"forgotten", func(t *testing.T, g *goneBox) {
			g.later(time.Hour)
			if err := g.c.Detach(t.Context(), "gpubox", Detachment{Force: true, Forget: true}); err != nil {
				t.Fatal(err)
			}
		}, "its target was given up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGoneBox(t)
			g.m.target.mu.Lock()
			g.m.target.collect = func() error { return unreachableError("no route to host") }
			g.m.target.mu.Unlock()
			g.m.target.end(attempt(&run.Run{ID: g.id}, 1), run.OutcomeCompleted, 0, "")
			g.until(g.id, run.Finalizing)
			g.down()
			c.lose(t, g)
			g.eventually("the end", func() bool { r, err := g.c.Run(t.Context(), g.id); return err == nil && r.State.Ended() })
			events, err := g.store.Events(t.Context(), g.id, 0)
			if err != nil {
				t.Fatal(err)
			}
			want := "its outputs and logs could not be brought home: " + c.why
			if r := g.until(g.id, run.Failed); !strings.HasPrefix(r.Message, want) || !strings.HasSuffix(r.Message, "; it had ended: completed") {
				t.Errorf("%s: %s: %+v", r.State, r.Message, events)
			}
		})
	}
}

func TestClockWords(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 30, 0, 0, time.Local)
	for _, c := range []struct {
		name string
		at   time.Time
		want string
	}{
		{"today", now.Add(-9 * time.Hour), "00:30"},
		{"yesterday", now.Add(-10 * time.Hour), "2026-03-01 23:30"},
		{"at the same time of another day", now.Add(-48 * time.Hour), "2026-02-28 09:30"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := clockWords(c.at, now); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
