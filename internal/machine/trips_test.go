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

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/machine"
	runs "github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/runconfig"
)

// counted is this computer as one that is reached from elsewhere. It counts the
// questions that our process on it is asked, and other processes that are started
// for us: each costs a way there and back.
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
	} else {
		c.asked.Add(1)
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

// asked are questions, by what they are for.
type asked struct {
	// FirstLine is what leads from a submission to the script's first line: the
	// directory, the source, the record; the start; how it is; the log.
	FirstLine int64
	// End: how it is.
	End int64
	// Collect: what is there; what comes home.
	Collect int64
	// Release: what is there; away with it.
	Release int64
}

// A run is a few questions, however many steps it has: over a slow line it is
// they that are waited for.
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
	home := artifact.OpenHome(t.TempDir())
	carryOut := func(run, says string) (n asked) {
		t.Helper()
		script := "#!/bin/sh\necho " + says + " | tee outputs/model; echo x >new\n"
		if err := os.WriteFile(filepath.Join(source, "train.sh"), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		taken, err := store.Take(ctx, source, snapshot.Options{})
		if err != nil {
			t.Fatal(err)
		}
		a := backends.Attempt{Run: run, Number: 1, Snapshot: string(taken.ID), Config: &runconfig.ScriptRunConfig{Script: "train.sh"}}
		before := h.asked.Load()
		since := func() int64 {
			now := h.asked.Load()
			defer func() { before = now }()
			return now - before
		}
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
		lines := bufio.NewReader(log)
		line, err := lines.ReadString('\n')
		if err != nil || strings.TrimSpace(line) != says {
			t.Fatalf("first line %q, %v", line, err)
		}
		n.FirstLine = since()
		if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
			t.Fatalf("then %q, %v", rest, err)
		}
		if seen, err := m.Observe(ctx, []backends.Ref{ref}); err != nil || seen[0].Outcome != runs.OutcomeCompleted {
			t.Fatal(seen, err)
		}
		n.End = since()
		if err := m.Collect(ctx, ref, home.Attempt(run, 1)); err != nil {
			t.Fatal(err)
		}
		n.Collect = since()
		if err := m.Release(ctx, ref); err != nil {
			t.Fatal(err)
		}
		n.Release = since()
		if left, err := os.ReadDir(filepath.Join(here.Root(), "runs", run)); err != nil || len(left) != 1 || left[0].Name() != "checkpoint" {
			t.Errorf("left: %v, %v", left, err)
		}
		return n
	}
	carryOut("first", "one")
	got := carryOut("second", "two")
	t.Logf("%+v", got)
	if d := cmp.Diff(asked{FirstLine: 6, End: 1, Collect: 2, Release: 2}, got); d != "" {
		t.Error("questions (-want +got):", d)
	}
}
