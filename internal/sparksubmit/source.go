package sparksubmit

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// zipped writes the files below dir that want says yes to into a zip, and
// reports whether there were any. Symbolic links are followed within dir only:
// a zip of Python modules has none.
func zipped(dir, name string, want func(path string) bool) (some bool, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, err
	}
	defer func() { _ = root.Close() }() // only read
	const private = 0o600
	out, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, private)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := zip.NewWriter(out)
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && isLeftOut(path):
			return fs.SkipDir
		case d.IsDir() || !want(path):
			return nil
		}
		added, err := add(w, root, path)
		some = some || added
		return err
	})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return false, fmt.Errorf("pack the source: %w", err)
	}
	return some, nil
}

// isLeftOut tells what is the run's own and no part of the source.
func isLeftOut(path string) bool { return path == "outputs" || path == "logs" }

func add(w *zip.Writer, root *os.Root, path string) (bool, error) {
	f, err := root.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // a link to nowhere
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	h, err := zip.FileInfoHeader(info)
	if err != nil {
		return false, err
	}
	h.Name, h.Method = filepath.ToSlash(path), zip.Deflate
	to, err := w.CreateHeader(h)
	if err != nil {
		return false, err
	}
	_, err = io.Copy(to, f)
	return true, err
}

// isModule tells what Python can import out of a zip.
func isModule(path string) bool { return strings.HasSuffix(path, ".py") }

// sendSource packs what the cluster's nodes need of the source.
func (p *Plan) sendSource(dir string, s *sent) error {
	if p.isLocal() || p.isJar() && !p.InCluster() {
		return nil
	}
	pack := func(name string, want func(string) bool) (string, error) {
		path := filepath.Join(dir, name)
		some, err := zipped(p.Work, path, want)
		if err != nil || !some {
			return "", err
		}
		return path, nil
	}
	var err error
	if s.modules, err = pack("modules.zip", func(path string) bool { return isModule(path) && path != p.Script }); err != nil {
		return err
	}
	all := func(path string) bool { return true }
	if !p.InCluster() {
		all = func(path string) bool { return !isModule(path) } // the driver sits in the source itself
	}
	if s.source, err = pack("source.zip", all); err != nil {
		return err
	}
	return nil
}
