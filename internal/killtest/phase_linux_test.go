package killtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/run"
)

// phase of a run's life, and how a test gets into it.
type phase struct {
	name  string
	work  work
	state run.State // that it has meanwhile
	// into waits until the run is in the phase; what it returns is done a moment after the harm has begun.
	into func(b *box, id string) (later func())
	// over says what shows that the phase is over, or has not begun; empty while the run is in the middle of it. It asks no
	// agent, so that it tells also of the moment after the agent was killed.
	over func(b *box, id string) string
	// came is how much has come over the line, where something comes.
	came func(b *box, id string) int64
}

const (
	// slowly is what a slow line carries in a second, and large what is sent over it, in bytes.
	slowly = 2 << 20
	large  = 16 << 20
	// begun is how much of it shows that it is on its way.
	begun = 2 << 20
)

// phases: lines of the script last so long that its end falls after the cut, when the script is what is cut off.
func phases(cut time.Duration) []phase {
	lines := int(cut.Seconds()*5) + 150
	sent := func(b *box, _ string) int64 { return size(b.ours("objects")) }
	home := func(b *box, id string) int64 { return size(filepath.Join(b.cli.Home, "runs", id)) }
	followed := func(b *box, _ string) int64 { return int64(len(b.follower.out.String())) }
	half := func(came func(*box, string) int64, least, whole int64) func(*box, string) string {
		return func(b *box, id string) string {
			if n := came(b, id); n < least || n >= whole {
				return fmt.Sprintf("%d bytes of %d have come", n, whole)
			}
			return ""
		}
	}
	return []phase{
		{
			name: "upload", work: work{lines: 20, pause: "0.05", bytes: large}, state: run.Preparing,
			into: func(b *box, id string) func() {
				b.eventually("the source to be on its way", func() bool { return sent(b, id) > begun })
				return nil
			},
			over: half(sent, begun, large), came: sent,
		},
		{
			name: "environment", work: work{lines: 20, pause: "0.05", python: true}, state: run.Preparing,
			into: func(b *box, _ string) func() {
				release := b.hold()
				b.eventually("the index to be asked", func() bool { return b.asked.Load() > 0 })
				return release
			},
			over: func(b *box, _ string) string {
				making, err := filepath.Glob(b.ours("environments/*.make"))
				if err != nil || len(making) != 1 {
					return fmt.Sprintf("environments that are being made: %q, %v", making, err)
				}
				return b.startsAre("")
			},
		},
		{
			name: "running", work: work{lines: 50, pause: "0.2", bytes: 1 << 20, code: 3}, state: run.Running,
			into: func(b *box, id string) func() {
				b.eventually("the script to run", func() bool { return b.show(id).State == run.Running && b.startsAre("start\n") == "" })
				return nil
			},
			over: func(b *box, _ string) string { return b.startsAre("start\n") },
		},
		{
			name: "logs", work: work{lines: lines, pause: "0.2"}, state: run.Running,
			into: func(b *box, id string) func() {
				b.eventually("the log to be followed", func() bool { return strings.Contains(b.follower.out.String(), "line 3\n") })
				return nil
			},
			over: func(b *box, _ string) string { return b.startsAre("start\n") }, came: followed,
		},
		{
			name: "collect", work: work{lines: 20, pause: "0.05", bytes: large}, state: run.Finalizing,
			into: func(b *box, id string) func() {
				b.eventually("the outputs to be on their way", func() bool { return home(b, id) > begun })
				return nil
			},
			over: half(home, begun, large), came: home,
		},
	}
}

// startsAre says what else the script wrote outside.
func (b *box) startsAre(want string) string {
	got, err := os.ReadFile(filepath.Join(b.user.Home, "starts"))
	if err != nil && !os.IsNotExist(err) {
		return err.Error()
	}
	if string(got) != want {
		return fmt.Sprintf("the script wrote %q outside, not %q", got, want)
	}
	return ""
}

// harm is what is done to a run in a phase.
type harm struct {
	// blow is the first of it, and rest what follows.
	blow func(b *box)
	rest func(b *box, id string, p phase)
}

// in brings a run into a phase on a box of its own, does it harm, and sees that nothing came of it.
func (p phase) in(t *testing.T, b *box, h harm) {
	t.Helper()
	b.attach()
	spec := b.source(p.work)
	if p.work.bytes >= large {
		b.slow(slowly)
	}
	id := b.submit(spec)
	if p.name == "logs" {
		b.follower = b.follow(id)
	}
	later := p.into(b, id)
	if r := b.show(id); r.State != p.state {
		t.Fatalf("before the harm the state is %s, not %s", r.State, p.state)
	}
	h.blow(b)
	if why := p.over(b, id); why != "" {
		t.Fatalf("the harm was not done while the run was in the middle of it: %s", why)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if later != nil {
			time.Sleep(5 * time.Second) // so that it goes on while it is cut off
			later()
		}
	}()
	h.rest(b, id, p)
	<-done
	mended := time.Now()
	b.ended(id, p.work, spec)
	t.Logf("%s: ended, whole, %s after all was well again", p.name, time.Since(mended).Round(100*time.Millisecond))
	if b.follower != nil {
		b.follower.whole(b, p.work)
	}
}

// away does what is done while the line is down, and sees that nothing comes over it meanwhile.
func (b *box) away(id string, p phase, do func()) {
	b.Helper()
	if p.came == nil {
		do()
		return
	}
	came, quiet := p.came(b, id), time.Now()
	b.eventually("the line to be quiet", func() bool { // what was through when it was cut is still written
		if now := p.came(b, id); now != came {
			came, quiet = now, time.Now()
		}
		return time.Since(quiet) > 5*time.Second
	})
	do()
	const little = 2 << 20 // what had come, and is written down only when the connection ends: a chunk
	if now := p.came(b, id); now > came+little {
		b.Errorf("%d bytes came over a line that was cut", now-came)
	}
	if why := p.over(b, id); why != "" && p.state != run.Running { // what runs goes on
		b.Errorf("the cut line did not stop it: %s", why)
	}
}
