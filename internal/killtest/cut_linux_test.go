package killtest

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// downTime is how long a line stays down: two minutes, or RUNNER_CUT_SECONDS.
func downTime() time.Duration {
	if n, err := strconv.Atoi(os.Getenv("RUNNER_CUT_SECONDS")); err == nil {
		return time.Duration(n) * time.Second
	}
	return 2 * time.Minute
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
			b := newBox(t)
			stop := b.watchFootprint("starts") // which the script makes
			p.in(t, b, harm{ways[p.name], func(b *box, id string, p phase) { b.cut(id, p, b.net.Up) }})
			stop()
		}
	}
	maps.Copy(tests, behindBastion())
	together(t, len(tests), tests)
}

// noticed is how long after the cut a person is told, at most: 40 s, and as much for a busy machine.
const noticed = 80 * time.Second

// cut leaves the line down for a while, sees what a person is told meanwhile, and how soon the run goes on when it is back.
func (b *box) cut(id string, p phase, up func()) {
	b.Helper()
	b.away(id, p, func() { b.told(id, p) })
	if p.name == "running" {
		if why := b.startsAre("start\nend\n"); why != "" {
			b.Errorf("the script did not go on and end while nobody could reach it: %s", why)
		}
	}
	up()
	back := time.Now()
	b.eventually("the target to be reached again", func() bool {
		r, err := b.look(id)
		return err == nil && !strings.HasPrefix(r.Message, "target unreachable since ")
	})
	b.Logf("%s: reached again %s after the line was back", p.name, time.Since(back).Round(100*time.Millisecond))
}

// told sees, while the line is down, that a person is told so, and soon, and that the run stays what it is.
func (b *box) told(id string, p phase) {
	b.Helper()
	began := time.Now()
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
		time.Sleep(2 * time.Second)
	}
	if told == 0 || told > noticed {
		b.Errorf("a person was told of it after %s, at most %s are right (0: never)", told, noticed)
	}
	b.Logf("%s: told after %s: %q", p.name, told.Round(time.Second), words)
}

func doHarm(t *testing.T) {
	harms := map[string]harm{
		"reset": {
			func(b *box) {
				if b.net.Reset() == 0 {
					b.Error("there was no connection to reset")
				}
			},
			func(b *box, _ string, _ phase) {
				for range 4 {
					time.Sleep(300 * time.Millisecond)
					b.net.Reset()
				}
			},
		},
		"sshd is started again": {
			func(b *box) { b.server.Stop() },
			func(b *box, id string, p phase) {
				b.away(id, p, func() { time.Sleep(3 * time.Second) })
				b.server.Start()
			},
		},
		"the agent is killed": {
			func(b *box) { b.killAgent() },
			func(b *box, id string, _ phase) { b.show(id) },
		},
		"the agent is killed while the line is down": {
			func(b *box) { b.net.Down() },
			func(b *box, id string, p phase) {
				b.away(id, p, func() {
					time.Sleep(3 * time.Second)
					b.killAgent()
					b.eventually("the new agent to say that the machine is away", func() bool {
						r := b.show(id)
						if r.State != p.state {
							b.Fatalf("the state is %s, it was %s", r.State, p.state)
						}
						return strings.HasPrefix(r.Message, "target unreachable since ")
					})
				})
				b.net.Up()
			},
		},
	}
	const most = 4
	tests := map[string]func(*testing.T){}
	for _, p := range phases(30 * time.Second) {
		for name, harm := range harms {
			tests[fmt.Sprintf("%s, %s", name, p.name)] = func(t *testing.T) { p.in(t, newBox(t), harm) }
		}
	}
	together(t, most, tests)
}
