package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ignoreNames are the ignore files, the first one found at the root decides.
func ignoreNames() []string { return []string{".runnerignore", ".amlignore", ".gitignore"} }

// maxIgnoreFile bounds an ignore file; git's own limit is of this size.
const maxIgnoreFile = 100 << 20

// neverTaken says which names are left out whatever the ignore file says:
// version control, what Python makes by itself, and what Runner keeps.
func neverTaken(name string) bool {
	switch name {
	case ".git", "__pycache__", ".venv", ".runner":
		return true
	}
	return false
}

// ignoreKind finds out which kind of ignore file counts in this source
// directory. With none at the root it is git's, which may still be further
// down.
func ignoreKind(root string) (string, error) {
	names := ignoreNames()
	for _, name := range names {
		switch _, err := os.Stat(filepath.Join(root, name)); {
		case err == nil:
			return name, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("look for ignore file: %w", err)
		}
	}
	return names[len(names)-1], nil
}

// ignoreRules are the patterns that count in one directory: those of its own
// ignore file and, further out, those of its parents.
type ignoreRules struct {
	parent   *ignoreRules
	base     int // how many bytes of a path lead to the ignore file's directory, slash included
	patterns []pattern
}

// read gives the rules for directory dir, whose path relative to the root is
// rel, after its ignore file was read.
func (r *ignoreRules) read(dir, rel, name string) (*ignoreRules, error) {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil // a link to nowhere, or gone since its name was read
	}
	if err != nil {
		return nil, fmt.Errorf("read ignore file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return r, nil
	}
	if info.Size() > maxIgnoreFile {
		return nil, fmt.Errorf("ignore file %s is larger than %s", path, mebibytes(maxIgnoreFile))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read ignore file: %w", err)
	}
	base := 0
	if rel != "" {
		base = len(rel) + 1
	}
	return &ignoreRules{parent: r, base: base, patterns: parsePatterns(data)}, nil
}

// excluded says whether path is left out. The innermost file that has a
// pattern for it decides, and in one file the last such pattern. Directories
// above path are known to be taken: nobody looks into one that is not.
func (r *ignoreRules) excluded(path, name string, dir bool) bool {
	for ; r != nil; r = r.parent {
		for i := len(r.patterns) - 1; i >= 0; i-- {
			if p := &r.patterns[i]; p.matches(path[r.base:], name, dir) {
				return !p.include
			}
		}
	}
	return false
}
