package client_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server/servertest"
)

// The agent dies and comes back many times while a run writes and is followed:
// no byte and no event is told twice, and none is lost.
func TestFollowThroughRestarts(t *testing.T) {
	const lines = 1000
	a := servertest.Serve(t, servertest.New(t), nil)
	c := dialing(t, a.Home)
	command := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do echo "line $i"; i=$((i+1)); [ $((i %% 50)) -ne 0 ] || sleep 0.05; done`, lines)
	r, err := c.Submit(t.Context(), submission("one", command))
	if err != nil {
		t.Fatal(err)
	}
	ctx, over := context.WithCancel(t.Context())
	var restarts sync.WaitGroup
	restarted := 0
	restarts.Go(func() {
		for ctx.Err() == nil {
			timer := time.NewTimer(70 * time.Millisecond)
			select {
			case <-ctx.Done():
			case <-timer.C:
				a.End()
				a.Begin()
				restarted++
			}
			timer.Stop()
		}
	})
	var log bytes.Buffer
	var seqs []int
	ended, err := c.Follow(t.Context(), r.ID, controller.LogQuery{Tail: -1}, &log, func(n controller.Notice) error {
		if n.Event != nil {
			seqs = append(seqs, n.Event.Seq)
		}
		return nil
	})
	over()
	restarts.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if restarted < 3 {
		t.Errorf("only %d restarts", restarted)
	}
	var want strings.Builder
	for i := range lines {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	if diff := cmp.Diff(want.String(), log.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	for i, seq := range seqs {
		if seq != i+1 {
			t.Fatalf("events %v", seqs)
		}
	}
	if ended.State != run.Completed || len(seqs) != 6 {
		t.Errorf("%s after %d events", ended.State, len(seqs))
	}
}

func TestFollowOfAnEndedRun(t *testing.T) {
	c := dialing(t, servertest.Serve(t, servertest.New(t), nil).Home)
	r, err := c.Submit(t.Context(), submission("one", "echo done; exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // once as it goes, once when all is over
		var log bytes.Buffer
		ended, err := c.Follow(t.Context(), r.ID, controller.LogQuery{Tail: -1}, &log, nil)
		if err != nil {
			t.Fatal(err)
		}
		if log.String() != "done\n" || ended.State != run.Failed || *ended.ExitCode != 3 {
			t.Errorf("%q, %s, %d", &log, ended.State, *ended.ExitCode)
		}
	}
}

func TestFollowIsInterrupted(t *testing.T) {
	c := dialing(t, servertest.Serve(t, servertest.New(t), nil).Home)
	r, err := c.Submit(t.Context(), submission("one", "echo begun; sleep 60"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	_, err = c.Follow(ctx, r.ID, controller.LogQuery{Tail: -1}, writer(func(p []byte) (int, error) {
		interrupt()
		return len(p), nil
	}), nil)
	if ctx.Err() == nil || err == nil {
		t.Errorf("err %v", err)
	}
	if r, err := c.Run(t.Context(), r.ID); err != nil || r.State.Ended() {
		t.Errorf("the run did not go on: %v, %v", r.State, err)
	}
}

// A reader that goes away ends the follow with its own error, and is not taken
// for a broken line.
func TestFollowWhoseReaderIsGone(t *testing.T) {
	c := dialing(t, servertest.Serve(t, servertest.New(t), nil).Home)
	r, err := c.Submit(t.Context(), submission("one", "echo begun; sleep 60"))
	if err != nil {
		t.Fatal(err)
	}
	gone := fmt.Errorf("gone")
	_, err = c.Follow(t.Context(), r.ID, controller.LogQuery{Tail: -1}, writer(func([]byte) (int, error) { return 0, gone }), nil)
	if err != gone {
		t.Errorf("err %v", err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
