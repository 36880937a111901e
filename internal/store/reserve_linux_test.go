package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/internal/testenv"
)

// TestReserve: on a disk that something else filled, a new run is refused, but
// a cancel, an end and a removal are still written down; and one gets in.
func TestReserve(t *testing.T) {
	dir := t.TempDir()
	testenv.SmallDisk(t, dir, "size=32m")
	path := filepath.Join(dir, "runner.db")
	s := openAt(t, path)
	for _, id := range []string{"iris-0000000001", "iris-0000000002"} {
		create(t, s, newRun(id))
	}
	fillDisk(t, filepath.Join(dir, "ballast"))
	var full *store.FullError
	if _, err := fillUp(t, s); !errors.As(err, &full) {
		t.Fatalf("a new run on a full disk: %v", err)
	}
	if r, err := s.RequestCancel(t.Context(), "iris-0000000001", time.Now()); err != nil || r.CancelRequestedAt == nil {
		t.Fatalf("cancel on a full disk: %v", err)
	}
	end := func(r *run.Run) ([]run.Event, error) {
		now, outcome := time.Now(), run.OutcomeCanceled
		from := r.State
		r.State, r.Outcome, r.EndedAt = run.Canceled, &outcome, &now
		return []run.Event{{Time: now, From: from, To: run.Canceled, Why: "canceled"}}, nil
	}
	if _, err := s.Update(t.Context(), "iris-0000000002", end); err != nil {
		t.Fatalf("an end on a full disk: %v", err)
	}
	if err := s.DeleteRun(t.Context(), "iris-0000000002"); err != nil {
		t.Fatalf("a removal on a full disk: %v", err)
	}
}

// fillDisk writes until there is no room.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 1; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}
