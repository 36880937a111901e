package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// Prune removes the snapshots that keep does not want and every blob that only
// they had. It waits until no Take, Unpack, Export or Import is at work, and
// they wait for it. Somebody may have taken a snapshot a moment ago and not yet
// written down that it is needed: keep should also spare those that were used
// recently (Used). A kept manifest that cannot be read protects no blobs. With
// dryRun nothing is changed.
//
// Killed at any point, it leaves every kept snapshot whole: manifests go first,
// then living blobs are written anew, and only then the old packs go.
func (s *Store) Prune(ctx context.Context, keep func(ID) bool, dryRun bool) (PruneStats, error) {
	v, err := s.look(ctx, unix.LOCK_EX)
	if err != nil {
		return PruneStats{}, err
	}
	defer v.close()
	p := &pruning{s: s, view: v, dry: dryRun, live: make(map[Digest]bool)}
	if err := p.run(ctx, keep); err != nil {
		return p.stats, fmt.Errorf("prune snapshots: %w", err)
	}
	return p.stats, nil
}

// Used says when a snapshot was last taken or imported.
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
	s     *Store
	view  *view
	dry   bool
	live  map[Digest]bool
	stats PruneStats
}

func (p *pruning) run(ctx context.Context, keep func(ID) bool) error {
	if err := p.dropManifests(ctx, keep); err != nil {
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
	return p.dropPacks(ctx)
}

func (p *pruning) dropManifests(ctx context.Context, keep func(ID) bool) error {
	list, err := p.s.List()
	if err != nil {
		return err
	}
	for _, info := range list {
		if !keep(info.ID) {
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
		for d := range m.blobs() {
			p.live[d] = true
		}
	}
	if p.dry || p.stats.Snapshots == 0 {
		return nil
	}
	return syncDir(p.s.dirs.manifests())
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
