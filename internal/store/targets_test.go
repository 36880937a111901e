package store_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/store"
)

func gpubox() store.Target {
	return store.Target{
		Name: "gpubox", Kind: "ssh", Instance: true,
		Config: json.RawMessage(`{"address":"me@gpubox"}`), Facts: json.RawMessage(`{"hostname":"gpubox"}`),
		MachineID: "m1", HostKey: "SHA256:abc", AttachedAt: start,
		Sealed: map[string][]byte{"password": []byte("sealed")},
	}
}

func TestTargets(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "runner.db")
	s := openAt(t, path)
	other := store.Target{
		Name: "a", Kind: "ssh", Config: json.RawMessage("{}"), Facts: json.RawMessage("{}"), AttachedAt: start,
		Sealed: map[string][]byte{},
	}
	for _, one := range []store.Target{gpubox(), other} {
		if err := s.AddTarget(ctx, one); err != nil {
			t.Fatal(err)
		}
	}
	var exists *store.TargetExistsError
	if err := s.AddTarget(ctx, gpubox()); !errors.As(err, &exists) || exists.Name != "gpubox" {
		t.Errorf("the same name again: %v", err)
	}
	checked := start.Add(time.Hour)
	if err := s.TouchTarget(ctx, "gpubox", checked); err != nil {
		t.Error(err)
	}
	unreached := checked.Add(time.Minute)
	for _, since := range []time.Time{unreached, unreached.Add(time.Hour)} { // which is known already
		if err := s.MissTarget(ctx, "gpubox", since); err != nil {
			t.Error(err)
		}
	}
	if err := s.StopQueue(ctx, "gpubox", start); err != nil {
		t.Error(err)
	}
	if err := s.StopQueue(ctx, "gpubox", checked); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = openAt(t, path)
	want := gpubox()
	want.CheckedAt, want.UnreachedAt = &checked, &unreached
	got, err := s.Targets(ctx)
	if d := cmp.Diff([]store.Target{other, want}, got); d != "" || err != nil {
		t.Error(d, err)
	}
	reached := unreached.Add(2 * time.Hour)
	if err := s.TouchTarget(ctx, "gpubox", reached); err != nil {
		t.Error(err)
	}
	if got, err := s.Target(ctx, "gpubox"); err != nil || got.UnreachedAt != nil || !got.CheckedAt.Equal(reached) {
		t.Error("reached again:", got, err)
	}
	stopped, err := s.StoppedQueues(ctx)
	if d := cmp.Diff(map[string]time.Time{"gpubox": start}, stopped); d != "" || err != nil {
		t.Error(d, err)
	}
	if err := s.DeleteTarget(ctx, "gpubox"); err != nil {
		t.Error(err)
	}
	if stopped, err := s.StoppedQueues(ctx); len(stopped) != 0 || err != nil {
		t.Error(stopped, err)
	}
	var missing *store.NotFoundError
	for name, err := range map[string]error{
		"delete": s.DeleteTarget(ctx, "gpubox"), "touch": s.TouchTarget(ctx, "gpubox", start), "miss": s.MissTarget(ctx, "gpubox", start),
	} {
		if !errors.As(err, &missing) || missing.Name != "gpubox" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Target(ctx, "gpubox"); !errors.As(err, &missing) {
		t.Error(err)
	}
	// The name is free again, and nothing of the first is left.
	again := gpubox()
	again.Sealed = nil
	if err := s.AddTarget(ctx, again); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Target(ctx, "gpubox"); err != nil || len(got.Sealed) != 0 {
		t.Error(got, err)
	}
}

func TestQueueOfTheBuiltInTarget(t *testing.T) {
	ctx := t.Context()
	s := open(t)
	if err := s.StopQueue(ctx, "local", start); err != nil {
		t.Fatal(err)
	}
	if stopped, err := s.StoppedQueues(ctx); !stopped["local"].Equal(start) || err != nil {
		t.Error(stopped, err)
	}
	for range 2 {
		if err := s.StartQueue(ctx, "local"); err != nil {
			t.Error(err)
		}
	}
	if stopped, err := s.StoppedQueues(ctx); len(stopped) != 0 || err != nil {
		t.Error(stopped, err)
	}
}
