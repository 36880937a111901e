package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/runnerml/runner/internal/bench/sourcetree"
	"github.com/runnerml/runner/internal/snapshot"
)

// benchSnapshot: pictures of a large source tree, in the page cache for both
// sides.
func benchSnapshot(ctx context.Context, l *lab) (rows []row, err error) {
	dir, err := os.MkdirTemp(l.dir, "snapshot-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	src, files := filepath.Join(dir, "src"), l.count(sourcetree.Files, sourcetree.Files/10)
	if err := sourcetree.Make(src, files); err != nil {
		return nil, err
	}
	first, err := compareFirst(ctx, l, dir, src, files)
	if err != nil {
		return nil, err
	}
	second, err := compareUnchanged(ctx, l, dir, src, files)
	if err != nil {
		return first, err
	}
	return append(first, second...), nil
}

// compareFirst: a picture into an empty store, next to tar | zstd -1.
func compareFirst(ctx context.Context, l *lab, dir, src string, files int) ([]row, error) {
	objects, archive := filepath.Join(dir, "first"), filepath.Join(dir, "archive")
	ours, bare, err := interleave(l.count(7, 1),
		func() (float64, error) {
			defer os.RemoveAll(objects)
			syscall.Sync() // nobody writes back what another one wrote
			_, took, err := picture(ctx, objects, src)
			return took, err
		},
		func() (float64, error) {
			defer os.Remove(archive)
			syscall.Sync()
			return tarZstd(ctx, src, archive)
		})
	if err != nil {
		return nil, err
	}
	const maxRatio = 1.5
	return []row{newRow(fmt.Sprintf("first picture of %d files (bare: tar | zstd -1)", files),
		seconds, ratio, ours, bare, atMost(maxRatio))}, nil
}

// compareUnchanged: a picture of a tree that the store has, next to rsync
// finding nothing to do.
func compareUnchanged(ctx context.Context, l *lab, dir, src string, files int) ([]row, error) {
	objects, copied := filepath.Join(dir, "second"), filepath.Join(dir, "copy")
	rsync := func() *exec.Cmd { return exec.CommandContext(ctx, "rsync", "-a", src+"/", copied+"/") }
	if err := quietly(rsync()); err != nil {
		return nil, err
	}
	if err := settle(ctx, objects, src, files); err != nil {
		return nil, err
	}
	ours, bare, err := interleave(l.count(11, 1),
		func() (float64, error) {
			snap, took, err := picture(ctx, objects, src)
			if err == nil && snap.Reused != snap.Files {
				err = fmt.Errorf("only %d of %d files were reused", snap.Reused, snap.Files)
			}
			return took, err
		},
		func() (float64, error) {
			took, err := wallTime(rsync())
			return took.Seconds(), err
		})
	if err != nil {
		return nil, err
	}
	const maxRatio = 0.5
	return []row{newRow("second, unchanged (bare: rsync -a)", seconds, ratio, ours, bare, atMost(maxRatio))}, nil
}

// picture takes one with a store that was just opened, as each submit does, and
// says in seconds how long both took.
func picture(ctx context.Context, objects, src string) (snapshot.Snapshot, float64, error) {
	began := time.Now()
	store, err := snapshot.Open(objects)
	if err != nil {
		return snapshot.Snapshot{}, 0, err
	}
	snap, err := store.Take(ctx, src, snapshot.Options{})
	return snap, time.Since(began).Seconds(), err
}

// settle takes pictures until the files are old enough for their times to be
// trusted.
func settle(ctx context.Context, objects, src string, files int) error {
	ctx, cancel := context.WithTimeout(ctx, cleanupTimeout)
	defer cancel()
	for {
		snap, _, err := picture(ctx, objects, src)
		if err != nil || snap.Reused == files {
			return err
		}
	}
}

// tarZstd runs tar | zstd and gives seconds.
func tarZstd(ctx context.Context, src, archive string) (float64, error) {
	out, err := os.Create(archive)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	tar := exec.CommandContext(ctx, "tar", "-C", src, "-c", ".")
	zstd := exec.CommandContext(ctx, "zstd", "-q", "-1")
	read, write, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer read.Close()
	tar.Stdout, zstd.Stdin, zstd.Stdout = write, read, out
	began := time.Now()
	err = errors.Join(tar.Start(), write.Close())
	if err != nil {
		return 0, err
	}
	err = errors.Join(zstd.Run(), tar.Wait())
	return time.Since(began).Seconds(), err
}
