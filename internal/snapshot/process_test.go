package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"io"
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
		if _, err := openStore(t, dir).Prune(ctx, policy(s, keepNone, false)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("prune during a take: %v, want it to wait", err)
		}
	}})
	must(t, err)
	same(t, "was inside", true, inside)
}

// stuckWriter lets a first part through and then nothing until it is freed.
type stuckWriter struct {
	bytes.Buffer
	reached chan struct{}
	free    chan struct{}
}

func (w *stuckWriter) Write(p []byte) (int, error) {
	if w.Len() == 0 {
		close(w.reached)
		<-w.free
	}
	return w.Buffer.Write(p)
}

// TestPruneDuringSlowExport: who sends to a slow line keeps nobody waiting, and
// what it sends stays good although its packs are removed meanwhile.
func TestPruneDuringSlowExport(t *testing.T) {
	src := t.TempDir()
	transferTree().write(t, src)
	s, there := newStore(t), newStore(t)
	snap := take(t, s, src)
	m, err := s.Manifest(t.Context(), snap.ID)
	must(t, err)
	want, err := there.Missing(t.Context(), m)
	must(t, err)
	line := &stuckWriter{reached: make(chan struct{}), free: make(chan struct{})}
	sent := make(chan error, 1)
	go func() { sent <- s.Export(t.Context(), line, snap.ID, snapshot.Whole(want)) }()
	<-line.reached
	prune(t, s, keepNone, false)
	close(line.free)
	must(t, <-sent)
	id, err := there.Import(t.Context(), &line.Buffer)
	must(t, err)
	same(t, "unpacked there", read(t, src), unpack(t, there, id))
}

// TestTakeDuringSlowImport: a prune that waits for a slow import does not keep
// others from taking pictures for long.
func TestTakeDuringSlowImport(t *testing.T) {
	src := t.TempDir()
	tree{"a": "1"}.write(t, src)
	s := newStore(t)
	in, slow := io.Pipe()
	imported := make(chan error, 1)
	go func() { _, err := s.Import(t.Context(), in); imported <- err }()
	_, err := slow.Write([]byte("runner-")) // the import is under way
	must(t, err)
	pruned := make(chan error, 1)
	go func() { _, err := s.Prune(t.Context(), policy(s, keepAll, false)); pruned <- err }()
	pictures, longest := 0, time.Duration(0)
	for begun := time.Now(); time.Since(begun) < 1500*time.Millisecond; pictures++ { // beyond the gate's patience
		one := time.Now()
		take(t, s, src)
		longest = max(longest, time.Since(one))
	}
	if pictures < 2 || longest > 5*time.Second {
		t.Errorf("%d pictures, the slowest in %v", pictures, longest)
	}
	select {
	case err := <-pruned:
		t.Errorf("prune did not wait for the import: %v", err)
	default:
	}
	must(t, slow.Close())
	if err := <-imported; err == nil {
		t.Error("a cut import went well")
	}
	must(t, <-pruned)
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
