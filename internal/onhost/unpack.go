package onhost

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/snapshot"
)

// hello is what unpack finds first.
type hello struct {
	// Have: the snapshot is whole in the machine's store.
	Have bool `json:"have"`
	// There: what was to be kept is there already.
	There bool `json:"there,omitempty"`
}

// maxManifest bounds the manifest that we are sent.
const maxManifest = 128 << 20

// mainUnpack takes what its store lacks of a snapshot, and unpacks it.
func mainUnpack(ctx context.Context, args []string, in *listener, out *speaker) error {
	flags := flag.NewFlagSet("unpack", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	keep := flags.Bool("keep", false, "")
	if err := flags.Parse(args); err != nil || flags.NArg() != 3 {
		return fmt.Errorf("%w: a store, a snapshot and a directory are needed", errUsage)
	}
	dir, dst := flags.Arg(0), flags.Arg(2)
	if err := absolute(dir, dst); err != nil {
		return err
	}
	id, err := snapshot.ParseID(flags.Arg(1))
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if *keep && touch(dst) == nil {
		return errors.Join(out.value(markHello, hello{There: true}), out.frame(markDone, nil))
	}
	store, err := snapshot.Open(dir)
	if err != nil {
		return err
	}
	have, err := whole(ctx, store, id)
	if err != nil {
		return err
	}
	if err := out.value(markHello, hello{Have: have}); err != nil {
		return err
	}
	if !have {
		if err := receive(ctx, store, in, out); err != nil {
			return err
		}
	}
	ctx, cancel := untilCut(ctx, in)
	defer cancel(nil)
	if err := unpack(ctx, store, id, dst, *keep, out); err != nil {
		return err
	}
	return out.frame(markDone, nil)
}

// touch marks what is kept as used now. It fails when it is not there.
func touch(dst string) error {
	now := time.Now()
	return os.Chtimes(dst, now, now)
}

// whole reports whether the store needs nothing to unpack the snapshot.
func whole(ctx context.Context, store *snapshot.Store, id snapshot.ID) (bool, error) {
	m, err := store.Manifest(ctx, id)
	var corrupt *snapshot.CorruptError
	if errors.Is(err, snapshot.ErrNotFound) || errors.As(err, &corrupt) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	missing, err := store.Missing(ctx, m)
	return err == nil && len(missing) == 0, err
}

// receive hears the manifest, says what is missing, and imports it.
func receive(ctx context.Context, store *snapshot.Store, in *listener, out *speaker) error {
	data, err := io.ReadAll(io.LimitReader(in.stream(), maxManifest+1))
	if err != nil {
		return err
	}
	var m snapshot.Manifest
	if err := m.UnmarshalBinary(data); err != nil {
		return err
	}
	missing, err := store.Missing(ctx, &m)
	if err != nil {
		return err
	}
	said := out.stream()
	for i := range missing {
		if _, err := said.Write(missing[i][:]); err != nil {
			return err
		}
	}
	if err := said.Close(); err != nil {
		return err
	}
	stream := in.stream()
	if _, err := store.Import(ctx, stream); err != nil {
		return err
	}
	return stream.rest()
}

// unpack writes the snapshot to dst. Whoever was cut off may still be at it:
// the lock is that of the directory above, and leaves no file.
func unpack(ctx context.Context, store *snapshot.Store, id snapshot.ID, dst string, keep bool, out *speaker) error {
	const private = 0o700
	if err := os.MkdirAll(filepath.Dir(dst), private); err != nil {
		return err
	}
	unlock, err := lockDirectory(ctx, filepath.Dir(dst))
	if err != nil {
		return err
	}
	defer unlock()
	at := dst
	if keep {
		if touch(dst) == nil {
			return nil // another brought it meanwhile
		}
		at = dst + ".half"
	}
	here := host.NewHere(filepath.Dir(dst))
	defer func() { _ = here.Close() }() // nothing was spawned
	if err := here.RemoveAll(ctx, at); err != nil {
		return err
	}
	err = store.Unpack(ctx, id, at, func(p snapshot.Progress) {
		_ = out.value(markProgress, p) // whoever is gone needs none
	})
	if err != nil || !keep {
		return err
	}
	if err := closeTree(at); err != nil {
		return err
	}
	return os.Rename(at, dst)
}

// closeTree takes the right to write from a tree that many will read.
func closeTree(root string) error {
	return filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink != 0 || name == root { // the root is renamed, and touched
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		const write, read = 0o222, 0o400
		return os.Chmod(name, info.Mode().Perm()&^write|read)
	})
}
