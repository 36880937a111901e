package killtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/run"
)

// downTime is how long a line stays down: two minutes, or RUNNER_CUT_SECONDS.
func downTime() time.Duration {
	if n, err := strconv.Atoi(os.Getenv("RUNNER_CUT_SECONDS")); err == nil {
		return time.Duration(n) * time.Second
	}
	return 2 * time.Minute
}

// phase of a run's life, and how a test gets into it.
type phase struct {
	name  string
	work  work
	state run.State // that it has meanwhile
	// into waits until the run is in the phase; what it returns is done a moment after the harm has begun.
	into func(b *box, id string) (later func())
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
	lines := int(cut.Seconds()*5) + 100
	return []phase{
		{
			name: "upload", work: work{lines: 20, pause: "0.05", bytes: large}, state: run.Preparing,
			into: func(b *box, _ string) func() {
				b.eventually("the source to be on its way", func() bool { return size(b.ours("objects")) > begun })
				return nil
			},
		},
		{
			name: "environment", work: work{lines: 20, pause: "0.05", python: true}, state: run.Preparing,
			into: func(b *box, _ string) func() {
				release := b.hold()
				b.eventually("the index to be asked", func() bool { return b.asked.Load() > 0 })
				return release
			},
		},
		{
			name: "running", work: work{lines: 50, pause: "0.2", bytes: 1 << 20, code: 3}, state: run.Running,
			into: func(b *box, id string) func() {
				b.eventually("the script to run", func() bool { return b.show(id).State == run.Running })
				return nil
			},
		},
		{
			name: "logs", work: work{lines: lines, pause: "0.2"}, state: run.Running,
			into: func(b *box, id string) func() {
				b.eventually("the script to say something", func() bool { return strings.Contains(b.cli.Run("logs", id), "line 3\n") })
				return nil
			},
		},
		{
			name: "collect", work: work{lines: 20, pause: "0.05", bytes: large}, state: run.Finalizing,
			into: func(b *box, id string) func() {
				home := filepath.Join(b.cli.Home, "runs", id)
				b.eventually("the outputs to be on their way", func() bool {
					return b.show(id).State == run.Finalizing && size(home) > begun
				})
				return nil
			},
		},
	}
}

// together runs subtests at the same time, most at a time, whatever -parallel says: they mostly wait.
func together(t *testing.T, most int, tests map[string]func(*testing.T)) {
	t.Helper()
	var all sync.WaitGroup
	places := make(chan struct{}, most)
	for name, test := range tests {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			t.Run(name, test)
		})
	}
	all.Wait()
}

// in brings a run into a phase on a box of its own, does it harm, and sees that nothing came of it.
func (p phase) in(t *testing.T, harm func(b *box, id string, p phase)) {
	b := newBox(t)
	b.attach()
	spec := b.source(p.work)
	if p.work.bytes >= large {
		b.net.Slow(slowly)
	}
	id := b.submit(spec)
	var f *following
	if p.name == "logs" {
		f = b.follow(id)
	}
	later := p.into(b, id)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if later != nil {
			time.Sleep(5 * time.Second) // so that it goes on while it is cut off
			later()
		}
	}()
	harm(b, id, p)
	<-done
	mended := time.Now()
	b.ended(id, p.work, spec)
	t.Logf("%s: ended, whole, %s after all was well again", p.name, time.Since(mended).Round(100*time.Millisecond))
	if f != nil {
		f.whole(b, p.work)
	}
}

// TestCut takes the line away for two minutes in every phase of a run, and for ever in one; beside that it does other
// things to the line and to both its ends in every phase. Most of it waits, so it is done together.
func TestCut(t *testing.T) {
	t.Parallel() // it mostly waits
	var all sync.WaitGroup
	all.Go(func() { cutLines(t) })
	all.Go(func() { doHarm(t) })
	all.Wait()
}

func cutLines(t *testing.T) {
	ways := map[string]func(*box){
		"upload":      func(b *box) { b.net.Down() },
		"environment": func(b *box) { b.net.Drop(true, true) },
		"running":     func(b *box) { b.net.DownHere() },
		"logs":        func(b *box) { b.net.Down() },
		"collect":     func(b *box) { b.net.Drop(false, true) },
	}
	tests := map[string]func(*testing.T){"down for ever": cutForEver, "down, and commands": commandsWhileAway, "down, attaching": cutWhileAttaching}
	for _, p := range phases(downTime()) {
		tests["down, "+p.name] = func(t *testing.T) {
			p.in(t, func(b *box, id string, p phase) { b.cut(id, p, ways[p.name]) })
		}
	}
	together(t, len(tests), tests)
}

// noticed is how long after the cut a person is told, at most: 40 s, and as much for a busy machine.
const noticed = 80 * time.Second

// cut takes the line away, sees what a person is told meanwhile, and how soon the run goes on when it is back.
func (b *box) cut(id string, p phase, down func(*box)) {
	b.Helper()
	began := time.Now()
	down(b)
	told := time.Duration(0)
	words := ""
	for time.Since(began) < downTime() {
		r, err := b.look(id)
		if err != nil {
			b.Errorf("show: %v", err)
		}
		if r.State != p.state {
			b.Errorf("%s after the cut: the state is %s, it was %s", time.Since(began), r.State, p.state)
			break
		}
		if told == 0 && strings.HasPrefix(r.Message, "target unreachable since ") && strings.Contains(r.Message, ", still trying") {
			told, words = time.Since(began), r.Message
		} else if told != 0 && !strings.HasPrefix(r.Message, "target unreachable since ") {
			b.Errorf("%s after the cut, it says: %q", time.Since(began), r.Message)
			break
		}
		time.Sleep(time.Second)
	}
	if told == 0 || told > noticed {
		b.Errorf("a person was told of it after %s, at most %s are right (0: never)", told, noticed)
	}
	b.net.Up()
	up := time.Now()
	b.eventually("the target to be reached again", func() bool {
		r, err := b.look(id)
		return err == nil && !strings.HasPrefix(r.Message, "target unreachable since ")
	})
	b.Logf("%s: told after %s: %q; reached again %s after the line was back", p.name, told.Round(time.Second), words, time.Since(up).Round(100*time.Millisecond))
}

func doHarm(t *testing.T) {
	harms := map[string]func(b *box, id string, p phase){
		"reset": func(b *box, _ string, _ phase) {
			for range 5 {
				b.net.Reset()
				time.Sleep(300 * time.Millisecond)
			}
		},
		"sshd is started again": func(b *box, _ string, _ phase) {
			b.server.Stop()
			time.Sleep(3 * time.Second)
			b.server.Start()
		},
		"the agent is killed": func(b *box, id string, _ phase) {
			b.killAgent()
			b.show(id)
		},
		"the agent is killed while the line is down": func(b *box, id string, p phase) {
			b.net.Down()
			time.Sleep(5 * time.Second)
			b.killAgent()
			if r := b.show(id); r.State != p.state {
				b.Errorf("the state is %s, it was %s", r.State, p.state)
			}
			time.Sleep(15 * time.Second)
			b.net.Up()
		},
	}
	const most = 4
	tests := map[string]func(*testing.T){}
	for _, p := range phases(30 * time.Second) {
		for name, harm := range harms {
			tests[fmt.Sprintf("%s, %s", name, p.name)] = func(t *testing.T) { p.in(t, harm) }
		}
	}
	together(t, most, tests)
}
