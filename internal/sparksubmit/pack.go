package sparksubmit

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// packs reports whether the environment is sent to the cluster's nodes.
func (p *Plan) packs() bool { return p.Environment != "" && !p.isLocal() }

// prefix is the environment's own directory. Its archive is kept inside, so that
// it goes when the environment does.
func (p *Plan) prefix() string { return filepath.Dir(filepath.Dir(p.Interpreter)) }

// packedName of an environment's archive, inside its own directory.
const packedName = "runner-packed.tar.gz"

// pack makes the archive of the environment, once for all applications that use
// it. Others wait; a lock that ends with its process keeps them apart.
func (l *launcher) pack(ctx context.Context) (string, error) {
	prefix := l.plan.prefix()
	archive := filepath.Join(prefix, packedName)
	lock, err := os.OpenFile(archive+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("pack the environment: %w", err)
	}
	defer func() { _ = lock.Close() }() // which unlocks it
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("pack the environment: %w", err)
	}
	if _, err := os.Stat(archive); err == nil {
		return archive, nil
	}
	half := archive + ".half"
	if err := packTree(ctx, prefix, half); err != nil {
		return "", fmt.Errorf("pack the environment: %w", err)
	}
	return archive, os.Rename(half, archive)
}

// packTree writes a tree as a compressed archive, what is ours left out.
func packTree(ctx context.Context, dir, name string) (err error) {
	out, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	zipper, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	w := tar.NewWriter(zipper)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil || relative == "." || strings.HasPrefix(relative, packedName) {
			return err
		}
		return addToTar(w, path, filepath.ToSlash(relative), d)
	})
	if err != nil {
		return err
	}
	return errors.Join(w.Close(), zipper.Close())
}

func addToTar(w *tar.Writer, path, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	link := ""
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	case !info.Mode().IsRegular() && !info.IsDir():
		return nil // a socket or the like is no part of it
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.Uid, h.Gid, h.Uname, h.Gname = name, 0, 0, "", ""
	if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	_, err = io.Copy(w, f)
	return err
}
