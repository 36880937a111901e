package snapshot_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/snapshot"
)

// checkStore unpacks every snapshot and makes sure nothing unfinished is left.
func checkStore(t testing.TB, dir string) {
	t.Helper()
	s := openStore(t, dir)
	same(t, "temporary files", 0, countFiles(t, filepath.Join(dir, "tmp")))
	list, err := s.List()
	must(t, err)
	dst := filepath.Join(t.TempDir(), "out")
	for _, info := range list {
		must(t, s.Unpack(t.Context(), info.ID, dst, nil))
		must(t, os.RemoveAll(dst))
	}
}

// TestKilledAnywhere kills processes that take and prune at random moments.
func TestKilledAnywhere(t *testing.T) {
	rounds := 24
	if testing.Short() {
		rounds = 6
	}
	src, dir := t.TempDir(), filepath.Join(t.TempDir(), "objects")
	tree{"big": noise(1, 300_000), "d/l": "-> ../big"}.write(t, src)
	for round := range rounds {
		taker := startChild(t, "take", dir, src)
		last := taker.line()
		pruner := startChild(t, "prune", dir, src)
		pruner.line()
		timer := time.NewTimer(time.Duration(rand.IntN(20_000)) * time.Microsecond)
		<-timer.C
		victims := []*child{taker, pruner}
		rand.Shuffle(2, func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
		for _, v := range victims {
			for _, l := range v.kill() {
				if strings.HasPrefix(l, "error") {
					t.Fatalf("round %d: %s", round, l)
				}
			}
		}
		if last == "" {
			t.Fatal("no snapshot was taken")
		}
		checkStore(t, dir)
	}
	snap := take(t, openStore(t, dir), src)
	same(t, "unpacked", read(t, src), unpack(t, openStore(t, dir), snap.ID))
}

// TestManyProcesses lets processes take, unpack and tidy at once: nothing that
// was taken is lost.
func TestManyProcesses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "objects")
	one, two := t.TempDir(), t.TempDir()
	takers := []*child{startChild(t, "take", dir, one), startChild(t, "take", dir, two)}
	others := []*child{startChild(t, "tidy", dir, t.TempDir()), startChild(t, "unpack", dir, t.TempDir())}
	var ids []string
	for range 30 {
		for _, c := range takers {
			ids = append(ids, c.line())
		}
		for _, c := range others {
			c.line()
		}
	}
	for _, c := range append(takers, others...) {
		for _, l := range c.kill() {
			if strings.HasPrefix(l, "error") {
				t.Fatal(l)
			}
		}
	}
	s := openStore(t, dir)
	for _, id := range ids {
		if !s.Has(snapshot.ID(id)) {
			t.Errorf("%s is lost", id)
		}
	}
	checkStore(t, dir)
}

func TestPruneWaits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "objects")
	src := t.TempDir()
	tree{"a": "1"}.write(t, src)
	s := openStore(t, dir)
	take(t, s, src)
	inside := false
	_, err := s.Take(t.Context(), src, snapshot.Options{Progress: func(snapshot.Progress) {
		if inside {
			return
		}
		inside = true
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := openStore(t, dir).Prune(ctx, keepNone, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("prune during a take: %v, want it to wait", err)
		}
	}})
	must(t, err)
	same(t, "was inside", true, inside)
}

func TestUnreadableFile(t *testing.T) {
	if os.Geteuid() != 0 {
		src := t.TempDir()
		tree{"d/closed|000": "x"}.write(t, src)
		_, err := newStore(t).Take(t.Context(), src, snapshot.Options{})
		saysDenied(t, err.Error(), filepath.Join(src, "d/closed"))
		return
	}
	for _, spec := range []string{"d/closed|000", "d/closed/|000"} { // root reads everything: ask as nobody
		src, store := t.TempDir(), filepath.Join(t.TempDir(), "objects")
		tree{spec: "x"}.write(t, src)
		openStore(t, store)
		for dir := src; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
			must(t, os.Chmod(dir, 0o755))
		}
		for dir := filepath.Dir(store); len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
			must(t, os.Chmod(dir, 0o755))
		}
		out, err := exec.Command("chown", "-R", "65534:65534", store).CombinedOutput()
		if err != nil {
			t.Fatalf("chown: %v: %s", err, out)
		}
		c := startChild(t, "take once, as nobody", store, src)
		saysDenied(t, c.line(), filepath.Join(src, "d/closed"))
	}
}

func saysDenied(t *testing.T, text, path string) {
	t.Helper()
	if !strings.Contains(text, "permission denied") || !strings.Contains(text, path) {
		t.Errorf("error %q does not say that %s may not be read", text, path)
	}
}
