package partfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	partSuffix    = ".part"
	journalSuffix = ".ranges"
	maxFileName   = 255
)

// Path is where a file is while it is on its way.
func Path(to string) string {
	dir, base := filepath.Split(to)
	if len(base)+len(partSuffix)+len(journalSuffix) > maxFileName {
		const enough = 150
		sum := sha256.Sum256([]byte(base))
		base = base[:enough] + "." + hex.EncodeToString(sum[:8])
	}
	return filepath.Join(dir, base+partSuffix)
}

// Is says whether a file's name is one that a file on its way has.
func Is(name string) bool {
	return filepath.Ext(name) == partSuffix || filepath.Ext(name) == journalSuffix && filepath.Ext(name[:len(name)-len(journalSuffix)]) == partSuffix
}

// Remove takes away what is on its way to a name.
func Remove(to string) error {
	var problems []error
	for _, name := range []string{Path(to), Path(to) + journalSuffix} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}
