//go:build linux

package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/internal/testenv"
)

// TestFullDisk fills the disk with runs until one does not fit: that call
// fails with *FullError, what was stored is whole, and once there is room the
// same store goes on.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	testenv.SmallDisk(t, dir, "size=1024k")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 200<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "runner.db")
	s := openAt(t, path)
	stored, err := fillUp(t, s)
	var full *store.FullError
	if !errors.As(err, &full) || full.Path != path {
		t.Fatalf("after %d runs: %v", stored, err)
	}
	if stored == 0 {
		t.Fatal("the disk was too small for one run")
	}
	checkStored(t, s, stored)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	create(t, s, newRun("iris-9999999999"))
	checkStored(t, s, stored+1)
	raw := openAt(t, path) // and for one that opens it
	checkStored(t, raw, stored+1)
}

func fillUp(t *testing.T, s *store.Store) (stored int, err error) {
	t.Helper()
	for i := range 10_000 {
		r := newRun(fmt.Sprintf("iris-%010d", i))
		r.Config.Arguments = []string{strings.Repeat("x", 3000)}
		if _, _, err := s.CreateRun(t.Context(), r, "", map[string][]byte{"S": make([]byte, 100)}); err != nil {
			return i, err
		}
	}
	return 0, errors.New("the disk did not fill up")
}

func checkStored(t *testing.T, s *store.Store, want int) {
	t.Helper()
	runs, err := s.List(t.Context(), store.Filter{Specs: true})
	if err != nil || len(runs) != want {
		t.Fatalf("%d runs, want %d, %v", len(runs), want, err)
	}
	for _, r := range runs {
		events, err := s.Events(t.Context(), r.ID, 0)
		if err != nil || len(events) != 1 || r.Config == nil || r.State != run.Queued {
			t.Fatalf("%+v, %v, %v", r, events, err)
		}
	}
}

// TestFullDiskForMany: when a transaction that many share does not fit, each of
// them is told, and what was said to be stored is there, and nothing else.
func TestFullDiskForMany(t *testing.T) {
	dir := t.TempDir()
	testenv.SmallDisk(t, dir, "size=1536k")
	s := openAt(t, filepath.Join(dir, "runner.db"))
	var mu sync.Mutex
	stored := map[string]bool{}
	var wg sync.WaitGroup
	for w := range 20 {
		wg.Go(func() {
			for i := range 1000 {
				r := newRun(fmt.Sprintf("iris-%03d%07d", w, i))
				r.Config.Arguments = []string{strings.Repeat("x", 3000)}
				_, _, err := s.CreateRun(t.Context(), r, "", nil)
				var full *store.FullError
				switch {
				case errors.As(err, &full):
					return
				case err != nil:
					t.Error(err)
					return
				}
				mu.Lock()
				stored[r.ID] = true
				mu.Unlock()
			}
			t.Error("the disk did not fill up")
		})
	}
	wg.Wait()
	checkStored(t, s, len(stored))
	runs, err := s.List(t.Context(), store.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		if !stored[r.ID] {
			t.Errorf("%s is there although its call failed", r.ID)
		}
	}
}

func TestNoRoomToBegin(t *testing.T) {
	dir := t.TempDir()
	testenv.SmallDisk(t, dir, "size=64k")
	path := filepath.Join(dir, "runner.db")
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 40<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), path)
	if err == nil {
		_ = s.Close()
	}
	var full *store.FullError
	if !errors.As(err, &full) {
		t.Errorf("%v", err)
	}
}
