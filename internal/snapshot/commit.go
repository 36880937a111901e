package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// commit makes a snapshot part of the store: first its blobs, then, when those
// are safely on disk, its manifest. It gives the name of the new pack, "" when
// there was nothing new.
func (s *Store) commit(ctx context.Context, w *packWriter, id ID, data []byte) (string, error) {
	type staged struct {
		tmp string
		err error
	}
	manifest := make(chan staged, 1)
	go func() { // both wait for the disk: let them wait together
		tmp, err := s.stageManifest(id, data)
		manifest <- staged{tmp, err}
	}()
	pack, err := w.commit(ctx)
	if err == nil && pack != "" {
		err = syncDir(s.dirs.packs())
	}
	m := <-manifest
	if err = errors.Join(err, m.err); err != nil {
		if m.tmp != "" {
			_ = os.Remove(m.tmp) // else the next Open sweeps it away
		}
		return "", fmt.Errorf("store snapshot: %w", err)
	}
	if m.tmp == "" {
		return pack, s.touch(id)
	}
	if err := os.Rename(m.tmp, s.dirs.manifest(id)); err != nil {
		_ = os.Remove(m.tmp) // else the next Open sweeps it away
		return "", fmt.Errorf("store snapshot: %w", err)
	}
	if err := syncDir(s.dirs.manifests()); err != nil {
		return "", fmt.Errorf("store snapshot: %w", err)
	}
	return pack, nil
}

// stageManifest writes a manifest to a temporary file, durably, and names it;
// "" when the store has the manifest already, undamaged.
func (s *Store) stageManifest(id ID, data []byte) (string, error) {
	if have, err := s.manifestBytes(id); err == nil && bytes.Equal(have, data) {
		return "", nil
	}
	// As it is: half of it are digests, and whoever submits waits.
	return s.stage("manifest-", data, true)
}

// valid says whether the manifest is there and undamaged.
func (s *Store) valid(id ID) bool {
	_, err := s.manifestBytes(id)
	return err == nil
}

// touch notes that a snapshot is in use.
func (s *Store) touch(id ID) error {
	if err := s.restamp(id); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("store snapshot: %w", err)
	}
	return nil
}

// restamp gives a manifest's file the present time, and keeps what was read of
// it.
func (s *Store) restamp(id ID) error {
	name, now := s.dirs.manifest(id), time.Now()
	before, err := os.Stat(name)
	if err != nil {
		return err
	}
	if err := os.Chtimes(name, now, now); err != nil {
		return err
	}
	if after, err := os.Stat(name); err == nil {
		s.recent.restamped(id, before, after)
	}
	return nil
}
