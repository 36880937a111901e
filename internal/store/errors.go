package store

import (
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrClosed is returned by every call after Close.
var ErrClosed = errors.New("the store is closed")

// NotFoundError says that there is no such run, environment, target or secret.
type NotFoundError struct {
	// Kind is "run", "environment", "compute target" or "secret".
	Kind string
	// Name is what was asked for: an id, a prefix, a name.
	Name string
}

func (e *NotFoundError) Error() string {
	if e.Kind == kindRun && e.Name == LastRun {
		return "there are no runs yet"
	}
	return fmt.Sprintf("there is no %s %q", e.Kind, e.Name)
}

const (
	kindRun         = "run"
	kindEnvironment = "environment"
	kindTarget      = "compute target"
	kindSecret      = "secret"
)

// AmbiguousError says that a prefix fits more than one run.
type AmbiguousError struct {
	Prefix string
	// IDs that fit, newest first, at most 5.
	IDs []string
	// More tells that others fit, too.
	More bool
}

func (e *AmbiguousError) Error() string {
	more := ""
	if e.More {
		more = ", ..."
	}
	return fmt.Sprintf("%q fits several runs: %s%s", e.Prefix, strings.Join(e.IDs, ", "), more)
}

// NotEndedError says that a run that goes on cannot be deleted.
type NotEndedError struct{ ID string }

func (e *NotEndedError) Error() string {
	return fmt.Sprintf("run %s has not ended", e.ID)
}

// NewerError says that the database was made by a newer version of Runner.
// Nothing was changed in it.
type NewerError struct {
	Path          string
	Schema, Knows int
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("the database was made by a newer runner (schema %d, this one knows %d): %s", e.Schema, e.Knows, e.Path)
}

// Hint says what a person can do.
func (e *NewerError) Hint() string { return "use that version; nothing was changed" }

// CorruptError says that the file is damaged or no database of Runner. It is
// left as it is.
type CorruptError struct {
	Path string
	Err  error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("the database is damaged or not one of runner: %s: %v", e.Path, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// Hint says what a person can do.
func (e *CorruptError) Hint() string {
	return "nothing was changed or deleted; move the file away to begin anew, or put a copy of it back"
}

// FullError says that a write found no room on the disk; nothing of it was
// kept.
type FullError struct {
	Path string
	Err  error
}

func (e *FullError) Error() string {
	return fmt.Sprintf("no room left on the disk to write the database: %s: %v", e.Path, e.Err)
}

func (e *FullError) Unwrap() error { return e.Err }

// Hint says what a person can do.
func (e *FullError) Hint() string { return "free some space, for example with runner prune" }

// ChangeError says that a change of a run is against the rules; nothing was
// changed.
type ChangeError struct {
	ID  string
	Err error
}

func (e *ChangeError) Error() string { return fmt.Sprintf("change run %s: %v", e.ID, e.Err) }

func (e *ChangeError) Unwrap() error { return e.Err }

// code returns the primary SQLite result code in err, or 0.
func code(err error) int {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return 0
	}
	if se.Code() == sqlite3.SQLITE_IOERR_SHMSIZE {
		// The shared memory's file could not grow: SQLite's word for a full
		// disk when it has nothing open yet.
		return sqlite3.SQLITE_FULL
	}
	return se.Code() & 0xff
}

// fatal tells errors after which the whole transaction must go: SQLite may
// have rolled it back already.
func fatal(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_BUSY,
		sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN,
		sqlite3.SQLITE_READONLY:
		return true
	}
	return false
}

// explain gives an error of SQLite its meaning.
func (s *Store) explain(err error) error {
	switch code(err) {
	case sqlite3.SQLITE_FULL:
		return &FullError{Path: s.path, Err: err}
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return &CorruptError{Path: s.path, Err: err}
	}
	return err
}
