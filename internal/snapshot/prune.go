package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// PruneStats says what a Prune freed, or would free.
type PruneStats struct {
	Snapshots int   // removed
	Blobs     int   // contents that no snapshot needs any more
	Bytes     int64 // of disk, packs only
	Packs     int   // removed, and with their living blobs rewritten if they had any
}

// Remove takes one snapshot away; ErrNotFound when it is not there. Its blobs
// stay until the next Prune.
func (s *Store) Remove(ctx context.Context, id ID) error {
	if _, err := ParseID(string(id)); err != nil {
		return err
	}
	lock, err := acquire(ctx, s.dirs, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer lock.release()
	err = os.Remove(s.dirs.manifest(id))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove snapshot: %w: %s", ErrNotFound, id)
	}
	if err == nil {
		err = syncDir(s.dirs.manifests())
	}
	if err != nil {
		return fmt.Errorf("remove snapshot: %w", err)
	}
	return nil
}

// Policy says which snapshots a Prune keeps.
type Policy struct {
	// InUse tells the snapshots that must stay. It is asked when nobody else is
	// at work in the store.
	InUse func() (map[ID]bool, error)
	// Before: what was used last before then goes. Somebody may have taken a
	// snapshot a moment ago and not yet written down that it is needed: leave
	// them the time for that.
	Before time.Time
	// MaxBytes is how much all blobs may take; the longest unused goes first.
	// Zero: no limit.
	MaxBytes int64
	// DryRun: nothing is changed.
	DryRun bool
}

// Prune removes the snapshots that the policy does not keep and every blob that
// only they had. It waits until no Take, Unpack, Export or Import is at work,
// and they wait for it. A kept manifest that cannot be read protects no blobs.
//
// Killed at any point, it leaves every kept snapshot whole: manifests go first,
// then living blobs are written anew, and only then the old packs go.
func (s *Store) Prune(ctx context.Context, policy Policy) (PruneStats, error) {
	v, err := s.look(ctx, unix.LOCK_EX)
	if err != nil {
		return PruneStats{}, err
	}
	defer v.close()
	p := &pruning{s: s, view: v, policy: policy, dry: policy.DryRun, live: make(map[Digest]bool)}
	if err := p.run(ctx); err != nil {
		return p.stats, fmt.Errorf("prune snapshots: %w", err)
	}
	return p.stats, nil
}

// Touch marks a snapshot as used now; ErrNotFound when it is not there. A Prune
// that is at work is waited for.
func (s *Store) Touch(ctx context.Context, id ID) error {
	if _, err := ParseID(string(id)); err != nil {
		return err
	}
	lock, err := acquire(ctx, s.dirs, unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer lock.release()
	err = s.restamp(id)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

// Used says when a snapshot was last taken, imported or touched.
func (s *Store) Used(id ID) (time.Time, error) {
	if _, err := ParseID(string(id)); err != nil {
		return time.Time{}, err
	}
	info, err := os.Stat(s.dirs.manifest(id))
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("snapshot: %w", err)
	}
	return info.ModTime(), nil
}

// pruning is one Prune at work.
type pruning struct {
	s      *Store
	view   *view
	policy Policy
	dry    bool
	live   map[Digest]bool
	kept   int64 // stored bytes of live
	stats  PruneStats
}

func (p *pruning) run(ctx context.Context) error {
	if err := p.dropManifests(ctx); err != nil {
		return err
	}
	if !p.dry {
		if err := p.s.clearTemporary(); err != nil {
			return err
		}
		if err := p.dropCaches(); err != nil {
			return err
		}
	}
	if err := p.dropParts(ctx); err != nil {
		return err
	}
	return p.dropPacks(ctx)
}

func (p *pruning) dropManifests(ctx context.Context) error {
	list, err := p.s.List()
	if err != nil {
		return err
	}
	used, err := p.policy.InUse()
	if err != nil {
		return err
	}
	// Those in use first, as they take the room of others; then the newest.
	slices.SortFunc(list, func(a, b Info) int {
		if used[a.ID] != used[b.ID] {
			return map[bool]int{true: -1, false: 1}[used[a.ID]]
		}
		return cmp.Or(b.Used.Compare(a.Used), cmp.Compare(a.ID, b.ID))
	})
	for _, info := range list {
		keep := used[info.ID]
		if !keep && !info.Used.Before(p.policy.Before) {
			if keep, err = p.fits(ctx, info.ID); err != nil {
				return err
			}
		}
		if !keep {
			p.stats.Snapshots++
			if !p.dry {
				if err := os.Remove(p.s.dirs.manifest(info.ID)); err != nil {
					return err
				}
			}
			continue
		}
		m, err := p.s.Manifest(ctx, info.ID)
		if isCorrupt(err) {
			continue
		}
		if err != nil {
			return err
		}
		p.kept += p.news(m)
		for d := range m.blobs() {
			p.live[d] = true
		}
	}
	if p.dry || p.stats.Snapshots == 0 {
		return nil
	}
	return syncDir(p.s.dirs.manifests())
}

// fits says whether there is room for one more snapshot.
func (p *pruning) fits(ctx context.Context, id ID) (bool, error) {
	if p.policy.MaxBytes == 0 {
		return true, nil
	}
	m, err := p.s.Manifest(ctx, id)
	if isCorrupt(err) {
		return true, nil // it takes none
	}
	if err != nil {
		return false, err
	}
	return p.kept+p.news(m) <= p.policy.MaxBytes, nil
}

// news is how many bytes the blobs take that only this snapshot has yet.
func (p *pruning) news(m *Manifest) (total int64) {
	if p.policy.MaxBytes == 0 {
		return 0 // nobody asks
	}
	for d := range m.blobs() {
		at, ok := p.view.find(d)
		if p.live[d] || !ok {
			continue
		}
		for j := range at.count {
			total += int64(at.pack.idx.chunk(at.first + j).stored)
		}
	}
	return total
}

// dropCaches removes what was remembered of directories that are gone.
func (p *pruning) dropCaches() error {
	entries, err := os.ReadDir(p.s.dirs.caches())
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(p.s.dirs.caches(), e.Name())
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if c, err := decodeCache(data); err == nil {
			if _, err := os.Stat(c.root); err == nil || !errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}
