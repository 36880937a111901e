package attemptdir

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/runnerml/runner/internal/yamlpos"
)

// Finishing says what a directory that was filled becomes.
type Finishing struct {
	// Work is the working directory that it becomes.
	Work string
	// Script must be in it; empty: none.
	Script string
	// Head is how many bytes of the script's beginning are wanted.
	Head int
	// Make are directories in it that the script has.
	Make []string
}

// Finished is what was found. With a script that is not there, or something in
// the way, the directory is not made the working directory.
type Finished struct {
	// NoScript: it is not there, or, with IsDir, it is a directory. Near is the
	// file that was most likely meant; empty: none.
	NoScript bool   `json:"no_script,omitempty"`
	IsDir    bool   `json:"is_dir,omitempty"`
	Near     string `json:"near,omitempty"`
	// InTheWay is a file where the script's directory of that name must be.
	InTheWay string `json:"in_the_way,omitempty"`
	// Head of the script, and its file's mode.
	Head []byte      `json:"head,omitempty"`
	Mode fs.FileMode `json:"mode,omitempty"`
}

// OK says that the working directory is there.
func (f *Finished) OK() bool { return !f.NoScript && !f.IsDir && f.InTheWay == "" }

// Before looks whether the working directory is there already: then an earlier
// Finish made it, since an Open, whose answer was lost.
func Before(f Finishing) (found Finished, there bool, err error) {
	if _, err := os.Lstat(f.Work); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return found, false, err
	}
	if f.Script != "" {
		err = found.script(f.Work, f)
	}
	return found, true, err
}

// Finish makes half, which holds a source, the working directory.
func Finish(half string, f Finishing) (found Finished, err error) {
	if f.Script != "" {
		if err := found.script(half, f); err != nil || !found.OK() {
			return found, err
		}
	}
	for _, name := range f.Make {
		dir := filepath.Join(half, name)
		if info, err := os.Lstat(dir); err == nil && !info.IsDir() {
			found.InTheWay = name
			return found, nil
		}
		if err := os.MkdirAll(dir, private); err != nil {
			return found, err
		}
	}
	return found, os.Rename(half, f.Work)
}

// script looks at the script's file.
func (found *Finished) script(half string, f Finishing) error {
	name := filepath.Join(half, f.Script)
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		found.NoScript = true
		found.Near, err = nearest(half, f.Script)
		return err
	case err != nil:
		return err
	case info.IsDir():
		found.IsDir = true
		found.Near, err = nearest(half, f.Script)
		return err
	}
	found.Mode = info.Mode()
	if f.Head == 0 {
		return nil
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	found.Head, err = io.ReadAll(io.LimitReader(file, int64(f.Head)))
	return err
}

// manyFiles is how many names are looked at for one that is near.
const manyFiles = 5000

// nearest finds the file below dir that was most likely meant by script.
func nearest(dir, script string) (string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if len(names) > manyFiles {
			return fs.SkipAll
		}
		below, err := filepath.Rel(dir, name)
		names = append(names, below)
		return err
	})
	if err != nil {
		return "", err
	}
	// The same name elsewhere is nearer than another name here.
	if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(filepath.Base(n), filepath.Base(script)) }); i >= 0 {
		return names[i], nil
	}
	if near := yamlpos.Nearest(script, names); near != "" {
		return near, nil
	}
	bases := make([]string, len(names))
	for i, n := range names {
		bases[i] = filepath.Base(n)
	}
	if i := slices.Index(bases, yamlpos.Nearest(filepath.Base(script), bases)); i >= 0 {
		return names[i], nil
	}
	return "", nil
}
