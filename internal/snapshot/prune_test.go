package snapshot_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/snapshot"
)

func keepAll(snapshot.ID) bool  { return true }
func keepNone(snapshot.ID) bool { return false }

func only(ids ...snapshot.ID) func(snapshot.ID) bool {
	return func(id snapshot.ID) bool {
		for _, k := range ids {
			if k == id {
				return true
			}
		}
		return false
	}
}

// policy keeps what keep wants, whenever it was used.
func policy(s *snapshot.Store, keep func(snapshot.ID) bool, dry bool) snapshot.Policy {
	return snapshot.Policy{DryRun: dry, Before: time.Now().Add(time.Hour), InUse: func() (map[snapshot.ID]bool, error) {
		used := map[snapshot.ID]bool{}
		list, err := s.List()
		for _, i := range list {
			used[i.ID] = keep(i.ID)
		}
		return used, err
	}}
}

func prune(t testing.TB, s *snapshot.Store, keep func(snapshot.ID) bool, dry bool) snapshot.PruneStats {
	t.Helper()
	stats, err := s.Prune(t.Context(), policy(s, keep, dry))
	must(t, err)
	return stats
}

func TestPrune(t *testing.T) {
	src := t.TempDir()
	dir := filepath.Join(t.TempDir(), "objects")
	s := openStore(t, dir)
	tree{"shared": strings.Repeat("shared ", 1000), "old": noise(1, 200_000)}.write(t, src)
	old := take(t, s, src)
	must(t, os.Remove(filepath.Join(src, "old")))
	tree{"new": "new"}.write(t, src)
	kept := take(t, s, src)
	before := read(t, dir)

	dry := prune(t, s, only(kept.ID), true)
	same(t, "store after a dry run", before, read(t, dir))
	done := prune(t, s, only(kept.ID), false)
	same(t, "what the dry run foretold", dry, done)
	if done.Snapshots != 1 || done.Blobs != 1 || done.Packs != 1 || done.Bytes < 200_000 {
		t.Errorf("stats %+v, want the one old snapshot and its blob of 200 kB gone", done)
	}
	same(t, "old is there", false, s.Has(old.ID))
	same(t, "kept", read(t, src), unpack(t, s, kept.ID))
	same(t, "second prune", snapshot.PruneStats{}, prune(t, s, only(kept.ID), false))

	prune(t, s, keepNone, false)
	same(t, "packs after all is gone", 0, countFiles(t, filepath.Join(dir, "packs")))
	fresh := take(t, s, src)
	same(t, "taken again", read(t, src), unpack(t, s, fresh.ID))
}

func TestPruneForgetsSourcesThatAreGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "objects")
	s := openStore(t, dir)
	here, gone := t.TempDir(), filepath.Join(t.TempDir(), "gone")
	tree{"a": "1"}.write(t, here)
	tree{"a": "1"}.write(t, gone)
	take(t, s, here)
	take(t, s, gone)
	must(t, os.RemoveAll(gone))
	prune(t, s, keepAll, false)
	same(t, "remembered sources", 1, countFiles(t, filepath.Join(dir, "sources")))
}

func TestPruneJoinsSmallPacks(t *testing.T) {
	src := t.TempDir()
	dir := filepath.Join(t.TempDir(), "objects")
	s := openStore(t, dir)
	var last snapshot.Snapshot
	for i := range 20 {
		tree{fmt.Sprintf("f%d", i): fmt.Sprintf("content %d", i)}.write(t, src)
		last = take(t, s, src)
	}
	if packs := countFiles(t, filepath.Join(dir, "packs")); packs < 20 {
		t.Fatalf("only %d packs", packs)
	}
	prune(t, s, keepAll, false)
	same(t, "packs", 1, countFiles(t, filepath.Join(dir, "packs")))
	same(t, "last", read(t, src), unpack(t, s, last.ID))
	waitUntilReused(t, s, src, 20)
}

func TestRemove(t *testing.T) {
	src := t.TempDir()
	tree{"a": "1"}.write(t, src)
	s := newStore(t)
	snap := take(t, s, src)
	must(t, s.Remove(t.Context(), snap.ID))
	if err := s.Remove(t.Context(), snap.ID); !errors.Is(err, snapshot.ErrNotFound) {
		t.Errorf("second remove: %v", err)
	}
	if err := s.Unpack(t.Context(), snap.ID, filepath.Join(t.TempDir(), "x"), nil); !errors.Is(err, snapshot.ErrNotFound) {
		t.Errorf("unpack of a removed one: %v", err)
	}
	same(t, "same ID again", snap.ID, take(t, s, src).ID)
	same(t, "unpacked", read(t, src), unpack(t, s, snap.ID))
}

// TestManyPicturesStayFew: without anybody pruning, small changes do not leave
// ever more packs behind.
func TestManyPicturesStayFew(t *testing.T) {
	src := t.TempDir()
	dir := filepath.Join(t.TempDir(), "objects")
	s := openStore(t, dir)
	var ids []snapshot.ID
	for i := range 150 {
		tree{"f": fmt.Sprintf("content %d", i)}.write(t, src)
		ids = append(ids, take(t, s, src).ID)
	}
	if packs := countFiles(t, filepath.Join(dir, "packs")); packs > 70 {
		t.Errorf("%d packs after 150 pictures", packs)
	}
	for i, id := range ids {
		same(t, "unpacked", map[string]string{"f": fmt.Sprintf("-rw-r--r-- content %d", i)}, unpack(t, s, id))
	}
}

// TestPruneLeavesAloneWhatItCannotRead: a read that fails is no proof that
// there is nothing worth keeping.
func TestPruneLeavesAloneWhatItCannotRead(t *testing.T) {
	src := t.TempDir()
	dir := filepath.Join(t.TempDir(), "objects")
	s := openStore(t, dir)
	tree{"a": "1"}.write(t, src)
	snap := take(t, s, src)
	odd := filepath.Join(dir, "packs", "0000000000000001-000000000000.pack")
	must(t, os.Mkdir(odd, 0o700)) // opens, but cannot be read
	prune(t, s, keepAll, false)
	if _, err := os.Stat(odd); err != nil {
		t.Error(err)
	}
	same(t, "unpacked", read(t, src), unpack(t, s, snap.ID))
}

// By size the longest unused goes first, what it shares with others counts
// once, and what is in use stays however much it takes.
func TestPruneBySize(t *testing.T) {
	src := t.TempDir()
	dir := filepath.Join(t.TempDir(), "objects")
	s := openStore(t, dir)
	const each = 100_000
	tree{"shared": noise(0, each)}.write(t, src)
	var ids []snapshot.ID
	for i := range 3 {
		tree{"own": noise(byte(i+1), each)}.write(t, src)
		ids = append(ids, take(t, s, src).ID)
	}
	now := time.Now()
	for i, id := range ids { // each a moment after the one before
		at := now.Add(time.Duration(i) * time.Second)
		must(t, os.Chtimes(filepath.Join(dir, "manifests", id.Hex()), at, at))
	}
	for name, test := range map[string]struct {
		max  int64
		used []snapshot.ID
		want []bool // which stay
	}{
		"no limit":         {0, nil, []bool{true, true, true}},
		"room for all":     {4*each + 5000, nil, []bool{true, true, true}},
		"for two":          {3*each + 5000, nil, []bool{false, true, true}},
		"for one":          {2*each + 5000, nil, []bool{false, false, true}},
		"of which in use":  {2*each + 5000, ids[:1], []bool{true, false, false}},
		"for none":         {1, nil, []bool{false, false, false}},
		"but all are used": {1, ids, []bool{true, true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy(s, only(test.used...), true)
			p.MaxBytes, p.Before = test.max, now.Add(-time.Hour)
			stats, err := s.Prune(t.Context(), p)
			must(t, err)
			gone := 0
			for _, stays := range test.want {
				if !stays {
					gone++
				}
			}
			same(t, "snapshots that would go", gone, stats.Snapshots)
		})
	}
}
