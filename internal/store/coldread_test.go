package store

import (
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestColdReads has many readers at once ask a database that was just opened:
// none may wait for what another holds.
func TestColdReads(t *testing.T) {
	for round := range 30 {
		s, err := Open(t.Context(), filepath.Join(t.TempDir(), "runner.db"))
		if err != nil {
			t.Fatal(err)
		}
		var readers sync.WaitGroup
		for i := range 16 {
			readers.Go(func() {
				if i%2 == 0 {
					if _, err := s.List(t.Context(), Filter{}); err != nil {
						t.Error(err)
					}
					return
				}
				if _, err := s.Events(t.Context(), "none", 0); err == nil {
					t.Error("events of a run that is not there")
				}
			})
		}
		done := make(chan struct{})
		go func() { readers.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("round %d: readers wait for each other", round)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
