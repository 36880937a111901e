package killtest

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestKillSSH is the kill test on a machine over SSH: besides the agent, the connections, the server and the line are
// cut at random moments.
func TestKillSSH(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.attach()
	starts := filepath.Join(b.user.Home, "starts")
	if err := os.Mkdir(starts, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(starts, b.user.UID, -1); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, b.cli, starts)
	h.spec = func(int) string { return "compute_target: box\n" }
	h.left = func(map[string]bool) []string { return b.left() }
	h.carryOut(soakRuns(), func(ctx context.Context) { b.harmAtRandom(ctx, h) })
}

// harmAtRandom does one thing after the other to the way between us and the box, until ctx ends.
func (b *box) harmAtRandom(ctx context.Context, h *house) {
	const longest = 1500 // milliseconds
	for ctx.Err() == nil {
		b.restFor(ctx, rand.IntN(longest))
		switch rand.IntN(6) {
		case 0, 1:
			b.killAgents()
			if _, err := b.cli.Try("ps", "--limit", "1", "-o", "json"); err != nil {
				b.Error(err)
			}
		case 2:
			b.net.Reset()
		case 3:
			b.server.EndConnections()
		case 4:
			b.net.Drop(true, true)
			b.restFor(ctx, rand.IntN(longest))
			if rand.IntN(2) == 0 {
				b.killAgents()
			}
			b.net.Up()
		case 5:
			b.server.Stop()
			b.restFor(ctx, rand.IntN(longest/3))
			b.server.Start()
		}
		h.kills.Add(1)
	}
}

func (b *box) restFor(ctx context.Context, milliseconds int) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(milliseconds) * time.Millisecond):
	}
}

// killAgent kills the agent, which must be there; the next command starts another.
func (b *box) killAgent() {
	b.Helper()
	if b.killAgents() == 0 {
		b.Error("there was no agent to be killed")
	}
}

// killAgents kills the agent if there is one.
func (b *box) killAgents() (killed int) {
	var agents []int
	for _, p := range processesOf(os.Getuid()) {
		if len(p.argv) > 1 && p.argv[0] == b.cli.Bin && p.argv[1] == "agent" {
			agents = append(agents, p.pid)
		}
	}
	for _, pid := range withoutChildren(agents) {
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}
