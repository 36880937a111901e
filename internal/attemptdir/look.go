package attemptdir

import (
	"errors"
	"io/fs"
	"os"

	"github.com/runnerml/runner/internal/supervise"
)

// Looking asks what is there of an attempt.
type Looking struct {
	// Sup is its supervisor's directory, and Record its record's file.
	Sup    string `json:"sup"`
	Record string `json:"record"`
	// List is a directory whose entries are wanted; empty: none.
	List string `json:"list,omitempty"`
}

// Looked is what was found.
type Looked struct {
	Status supervise.Status `json:"status"`
	// Record is what its record says; nil: there is none.
	Record []byte `json:"record"`
	// Entries of the directory; none when it is not there.
	Entries []Entry `json:"entries,omitempty"`
}

// Entry is one thing in a directory.
type Entry struct {
	Name []byte      `json:"name"`
	Mode fs.FileMode `json:"mode"`
	Size int64       `json:"size"` // in bytes
}

// Look says what is there of an attempt.
func Look(l Looking) (found Looked, err error) {
	found.Status = supervise.StatusOf(l.Sup)
	if found.Record, err = os.ReadFile(l.Record); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return Looked{Status: found.Status}, err
	}
	if l.List == "" {
		return found, nil
	}
	entries, err := os.ReadDir(l.List)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			return found, err
		}
		found.Entries = append(found.Entries, Entry{Name: []byte(e.Name()), Mode: info.Mode(), Size: info.Size()})
	}
	return found, nil
}
