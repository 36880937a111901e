package flock_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/flock"
)

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	lock := func(how flock.How, free bool) func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if free {
			ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		}
		defer cancel()
		held, err := flock.Directory(ctx, dir, how)
		if !free && !errors.Is(err, context.DeadlineExceeded) || free && err != nil {
			t.Fatalf("%v: %v", how, err)
		}
		if err != nil {
			return func() {}
		}
		return held.Release
	}
	one, two := lock(flock.Shared, true), lock(flock.Shared, true)
	lock(flock.Exclusive, false)
	one()
	two()
	three := lock(flock.Exclusive, true)
	lock(flock.Shared, false)
	three()
	lock(flock.Shared, true)()
	if _, err := flock.Directory(t.Context(), filepath.Join(dir, "none"), flock.Shared); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
}

// A lock whose holders remove its file is still one at a time.
func TestFileIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var inside, times atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 5 {
				held, err := flock.File(t.Context(), path)
				if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two have it")
				}
				times.Add(1)
				if other, err := flock.TryFile(path); other != nil || err != nil {
					t.Errorf("taken by another: %v", err)
				}
				inside.Add(-1)
				if i%2 == 0 {
					held.Release()
				} else if err := held.Remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if times.Load() != 40 {
		t.Errorf("taken %d times", times.Load())
	}
}
