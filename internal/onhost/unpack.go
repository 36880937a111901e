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

	"github.com/runnerml/runner/internal/datacache"
	"github.com/runnerml/runner/internal/flock"
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

// unpacking is one unpack at work.
type unpacking struct {
	store *snapshot.Store
	dir   string // the store's
	id    snapshot.ID
	in    *listener
	out   *speaker
}

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
	store, err := snapshot.Open(dir)
	if err != nil {
		return err
	}
	u := &unpacking{store: store, dir: dir, id: id, in: in, out: out}
	if !*keep {
		if err := u.takeAndUnpack(ctx, dst, false); err != nil {
			return err
		}
		return out.frame(markDone, nil)
	}
	// Whoever wants the same waits, and finds it there.
	filled, err := datacache.Open(filepath.Dir(dst)).Fill(ctx, filepath.Base(dst), func(ctx context.Context, part string) error {
		if err := u.takeAndUnpack(ctx, part, true); err != nil {
			return err
		}
		return closeTree(part)
	})
	if err != nil {
		return err
	}
	if !filled {
		if err := out.value(markHello, hello{There: true}); err != nil {
			return err
		}
	}
	return out.frame(markDone, nil)
}

// takeAndUnpack takes what the store lacks of a snapshot, and unpacks it.
func (u *unpacking) takeAndUnpack(ctx context.Context, dst string, kept bool) error {
	if err := u.take(ctx); err != nil {
		return err
	}
	ctx, cancel := untilCut(ctx, u.in)
	defer cancel(nil)
	return u.unpack(ctx, dst, kept)
}

// take waits for those who take the same snapshot in, and then says what is
// still missing.
func (u *unpacking) take(ctx context.Context) (err error) {
	lock, err := flock.File(ctx, filepath.Join(u.dir, "taking-"+u.id.Hex()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Remove()) }()
	have, err := whole(ctx, u.store, u.id)
	if err != nil {
		return err
	}
	if err := u.out.value(markHello, hello{Have: have}); err != nil || have {
		return err
	}
	return receive(ctx, u.store, u.in, u.out)
}

// whole reports whether the store needs nothing to unpack the snapshot, and
// marks it as used. An attempt wants it, and says so in its record: whoever
// prunes from now on sees that.
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
	if err != nil || len(missing) > 0 {
		return false, err
	}
	err = store.Touch(ctx, id)
	if errors.Is(err, snapshot.ErrNotFound) {
		return false, nil // pruned this very moment
	}
	return err == nil, err
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
	receiving, err := store.Receive(ctx, &m)
	if err != nil {
		return err
	}
	defer receiving.Close()
	said := out.stream()
	if _, err := said.Write(encodeWants(receiving.Wants())); err != nil {
		return err
	}
	if err := said.Close(); err != nil {
		return err
	}
	stream := in.stream()
	if _, err := receiving.Import(ctx, stream); err != nil {
		return err
	}
	return stream.rest()
}

// unpack writes the snapshot to dst, in place of what an unpacking that was
// cut left there. Whoever was cut off may still be at it: what is kept has the
// cache's lock, else the lock is that of the directory above, and leaves no file.
func (u *unpacking) unpack(ctx context.Context, dst string, kept bool) error {
	const private = 0o700
	if err := os.MkdirAll(filepath.Dir(dst), private); err != nil {
		return err
	}
	if !kept {
		lock, err := flock.Directory(ctx, filepath.Dir(dst), flock.Exclusive)
		if err != nil {
			return err
		}
		defer lock.Release()
	}
	here := host.NewHere(filepath.Dir(dst))
	defer func() { _ = here.Close() }() // nothing was spawned
	if err := here.RemoveAll(ctx, dst); err != nil {
		return err
	}
	return u.store.Unpack(ctx, u.id, dst, func(p snapshot.Progress) {
		_ = u.out.value(markProgress, p) // whoever is gone needs none
	})
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
