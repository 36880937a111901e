package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/runnerml/runner/internal/snapshot"
)

// meanwhile runs do again and again until the test's other half is done.
func meanwhile(t *testing.T, do func(round int) error) (stop func()) {
	t.Helper()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for round := 0; ; round++ {
			select {
			case <-done:
				return
			default:
			}
			if err := do(round); err != nil {
				t.Errorf("round %d: %v", round, err)
				return
			}
		}
	})
	return sync.OnceFunc(func() { close(done); wg.Wait() })
}

func TestFileThatKeepsChanging(t *testing.T) {
	src := t.TempDir()
	tree{"steady": "x"}.write(t, src)
	f, err := os.Create(filepath.Join(src, "growing"))
	must(t, err)
	defer f.Close()
	const start = 20 << 20
	must(t, f.Truncate(start))
	s := newStore(t)
	stop := meanwhile(t, func(round int) error { return f.Truncate(start + int64(round)) })
	defer stop()
	_, err = s.Take(t.Context(), src, snapshot.Options{})
	var changed *snapshot.ChangedError
	if !errors.As(err, &changed) || changed.Path != "growing" || changed.Vanished {
		t.Fatalf("error %v, want ChangedError of growing", err)
	}
	stop()
	snap := take(t, s, src)
	same(t, "unpacked", read(t, src), unpack(t, s, snap.ID))
}

// TestNamesThatComeAndGo: what is neither there at the beginning nor at the end
// must not make a picture fail otherwise than by saying so.
func TestNamesThatComeAndGo(t *testing.T) {
	src := t.TempDir()
	tr := tree{}
	for i := range 200 {
		tr["d"+strconv.Itoa(i%10)+"/f"+strconv.Itoa(i)] = strconv.Itoa(i)
	}
	tr.write(t, src)
	s := newStore(t)
	stop := meanwhile(t, func(round int) error {
		dir := filepath.Join(src, "d"+strconv.Itoa(round%10), "new")
		err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o600))
		return errors.Join(err, os.RemoveAll(dir))
	})
	defer stop()
	taken := 0
	for range 40 {
		snap, err := s.Take(t.Context(), src, snapshot.Options{})
		var changed *snapshot.ChangedError
		switch {
		case err == nil:
			taken++
			unpack(t, s, snap.ID)
		case !errors.As(err, &changed):
			t.Fatal(err)
		}
	}
	if taken == 0 {
		t.Error("not one picture could be taken")
	}
}
