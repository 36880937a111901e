package machine_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/machine"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/runconfig"
)

// counted is this computer as one that is reached from elsewhere. It counts the
// questions that our process on it is asked: each costs a way there and back.
type counted struct {
	host.Host
	asked atomic.Int64
}

func (c *counted) Run(ctx context.Context, cmd host.Command) error {
	if len(cmd.Argv) > 2 && cmd.Argv[2] == "serve" {
		said, feed := io.Pipe()
		go c.count(said)
		defer feed.Close()
		cmd.Stdin = io.TeeReader(cmd.Stdin, feed)
	}
	return c.Host.Run(ctx, cmd)
}

// count reads what goes to the process: yamux's frames, of which one with SYN
// opens a stream.
func (c *counted) count(said io.Reader) {
	r := bufio.NewReader(said)
	defer func() { _, _ = io.Copy(io.Discard, r) }()
	for {
		var head [12]byte // version, type, flags, stream, length
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		const data, syn = 0, 1
		if kind, flags := head[1], binary.BigEndian.Uint16(head[2:]); flags&syn != 0 && kind <= 1 {
			c.asked.Add(1)
		}
		if head[1] == data {
			if _, err := r.Discard(int(binary.BigEndian.Uint32(head[8:]))); err != nil {
				return
			}
		}
	}
}

// The way from a submission to the script's first line is a few questions,
// however many steps it has: over a slow line it is they that are waited for.
func TestFewQuestions(t *testing.T) {
	ctx := t.Context()
	here := host.NewHere(t.TempDir())
	t.Cleanup(func() { _ = here.Close() })
	h := &counted{Host: here}
	store, err := snapshot.Open(filepath.Join(t.TempDir(), "objects"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := machine.New(ctx, machine.Config{Host: h, Installation: "here", Store: store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	source := t.TempDir()
	submit := func(run, says string) int64 {
		t.Helper()
		script := "#!/bin/sh\necho " + says + "\n"
		if err := os.WriteFile(filepath.Join(source, "train.sh"), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		taken, err := store.Take(ctx, source, snapshot.Options{})
		if err != nil {
			t.Fatal(err)
		}
		a := backends.Attempt{Run: run, Number: 1, Snapshot: string(taken.ID), Config: &runconfig.ScriptRunConfig{Script: "train.sh"}}
		before := h.asked.Load()
		if err := m.Prepare(ctx, a, nil); err != nil {
			t.Fatal(err)
		}
		ref := a.Ref()
		if ref.Handle, err = m.Start(ctx, a); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Observe(ctx, []backends.Ref{ref}); err != nil {
			t.Fatal(err)
		}
		log, err := m.Logs(ctx, ref, backends.Source{Follow: true}, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		ended := time.AfterFunc(time.Minute, func() { _ = log.Close() })
		defer ended.Stop()
		line, err := bufio.NewReader(log).ReadString('\n')
		if err != nil || strings.TrimSpace(line) != says {
			t.Fatalf("first line %q, %v", line, err)
		}
		asked := h.asked.Load() - before
		if err := m.Release(ctx, ref); err != nil {
			t.Fatal(err)
		}
		return asked
	}
	submit("first", "one")
	// The directory, the source, the record; the start; how it is; the log.
	const most = 6
	if asked := submit("second", "two"); asked > most || asked == 0 {
		t.Errorf("%d questions, want at most %d", asked, most)
	} else {
		t.Logf("%d questions", asked)
	}
}
