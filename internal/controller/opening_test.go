package controller

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/run"
)

// How long a target takes to become ready does not matter while it is heard of.
func TestOpeningIsBoundBySilence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		steps int
		hangs bool
	}{{"slowly", 30, false}, {"it hangs at once", 0, true}, {"it hangs later", 30, true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.add("far", "far", "SHA256:far").opening = func(ctx context.Context, opening backends.Progress) error {
				for range c.steps {
					select {
					case <-ctx.Done():
						return context.Cause(ctx)
					case <-time.After(openSilence - time.Second):
					}
					opening.Report(backends.Step{Name: "program"})
				}
				if c.hangs {
					<-ctx.Done()
					return ctx.Err() // as somebody says who does not look at the cause
				}
				return nil
			}
			claim := filepath.Join(w.root(w.machines["far"]), "claim.json")
			if err := errors.Join(os.MkdirAll(filepath.Dir(claim), 0o700), os.WriteFile(claim, []byte(`{"installation":"one","target":"far"}`), 0o600)); err != nil {
				t.Fatal(err)
			}
			m := w.seenFrom("one")
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				door, err := (&Controller{machines: m}).openTarget(t.Context(), &compute.Target{Name: "far", Config: compute.Config{Address: "far"}}, nil, nil)
				if c.hangs != errors.Is(err, errNoSign) || (err != nil) != c.hangs {
					t.Error(err)
				}
				if err == nil {
					err = door.Close()
				}
				if took, least := time.Since(began), time.Duration(c.steps)*(openSilence-time.Second); took < least || took > least+openSilence {
					t.Errorf("it took %s: %v", took, err)
				}
			})
		})
	}
}

// Whoever attaches a target hears how far it is, and so do runs that wait for it.
func TestOpeningIsTold(t *testing.T) {
	t.Parallel()
	h, w := newWorldHouse(t)
	m := w.add("far", "far", "SHA256:far")
	step := backends.Step{Name: "program", Detail: "sending runner to the machine", Done: 3, Total: 7, Unit: "B"}
	m.opening = func(_ context.Context, opening backends.Progress) error {
		opening.Report(step)
		return nil
	}
	var told []Progress
	if _, err := h.c.Attach(t.Context(), box("far", "far"), func(p Progress) { told = append(told, p) }); err != nil {
		t.Fatal(err)
	}
	want := Progress{Step: "program", Detail: "sending runner to the machine", Done: 3, Total: 7, Unit: "B"}
	if d := cmp.Diff([]Progress{want}, told); d != "" {
		t.Error(d)
	}
	r := h.submitTo("far")
	h.until(r.ID, run.Running)
	arrived := make(chan struct{})
	w.set(m, func(m *fakeMachine) {
		m.opening = func(ctx context.Context, opening backends.Progress) error {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				opening.Report(step)
				select {
				case <-tick.C:
				case <-arrived:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		}
	})
	h.restart() // as by an upgrade
	h.eventually("the run to say what it waits for", func() bool {
		p, ok := h.c.live.progressOf(r.ID)
		return ok && p == want && h.c.live.remarkOf(r.ID) == "the target is being made ready: sending runner to the machine"
	})
	waits := h.submitTo("far")
	h.eventually("one that waits to say so, too", func() bool {
		return h.message(waits.ID) == "the target is being made ready: sending runner to the machine (42%)"
	})
	close(arrived)
	h.eventually("the target to be there", func() bool {
		_, ok := h.c.live.progressOf(r.ID)
		return !ok && h.c.live.remarkOf(r.ID) == ""
	})
}
