package controller

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
)

// While one machine is attached and does not get on, all else goes on; but that
// machine, its name and its secrets are taken.
func TestAttachHangs(t *testing.T) {
	t.Parallel()
	h, w := newWorldHouse(t)
	if err := h.c.SetSecret(t.Context(), "PW", "hunter2"); err != nil {
		t.Fatal(err)
	}
	m := w.add("stuck", "stuck", "SHA256:stuck")
	hangs, goes := make(chan struct{}), make(chan struct{})
	var once sync.Once
	m.opening = func(ctx context.Context, _ backends.Progress) error {
		once.Do(func() { close(hangs) })
		select {
		case <-goes:
		case <-ctx.Done():
		}
		return context.Cause(ctx)
	}
	ask := box("stuck", "stuck")
	ask.Config.Password = "secret:PW"
	attached := make(chan error, 1)
	go func() {
		_, err := h.c.Attach(t.Context(), ask, nil)
		attached <- err
	}()
	<-hangs

	if _, missing := errors.AsType[*store.NotFoundError](h.c.Detach(t.Context(), "nosuch", Detachment{})); !missing {
		t.Error("a target that is not there is not missed")
	}
	w.add("other", "other", "SHA256:other").target.endAtOnce = true
	h.attach(box("other", "other"))
	h.until(h.submitTo("other").ID, run.Completed)
	h.eventually("the other target to go", func() bool { return h.c.Detach(t.Context(), "other", Detachment{}) == nil })

	_, err := h.c.Attach(t.Context(), box("again", "stuck"), nil)
	if same, ok := errors.AsType[*compute.SameMachineError](err); !ok || same.Name != "stuck" {
		t.Errorf("the same machine under another name: %v", err)
	}
	beside := box("beside", "stuck")
	beside.AllowSameMachine = true
	_, err = h.c.Attach(t.Context(), beside, nil)
	if claimed, ok := errors.AsType[*compute.ClaimedError](err); !ok || claimed.Claim.Target != "stuck" {
		t.Errorf("the same directory under another name: %v", err)
	}
	err = h.c.DeleteSecret(t.Context(), "PW")
	if used, ok := errors.AsType[*SecretInUseError](err); !ok || cmp.Diff([]string{"stuck"}, used.Targets) != "" {
		t.Errorf("a secret that it needs: %v", err)
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.c.Attach(impatient, box("stuck", "other"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("the same name: %v", err)
	}
	if err := h.c.Detach(impatient, "stuck", Detachment{Forget: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("given up while it comes: %v", err)
	}

	close(goes)
	if err := <-attached; err != nil {
		t.Fatal(err)
	}
	if err := h.c.Detach(t.Context(), "stuck", Detachment{}); err != nil {
		t.Error(err)
	}
	if err := h.c.DeleteSecret(t.Context(), "PW"); err != nil {
		t.Error(err)
	}
}
