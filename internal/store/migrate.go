package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// applicationID marks the file as ours ("RUNR"), see PRAGMA application_id.
const applicationID = 0x52554e52

var errForeign = errors.New("it holds tables of something else")

// migration brings the schema from version-1 to version.
type migration struct {
	version int
	text    string
}

// migrations returns the embedded ones in order: 0001_*.sql, 0002_*.sql ...
func migrations() ([]migration, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql") // sorted by name
	if err != nil {
		return nil, err
	}
	all := make([]migration, 0, len(names))
	for i, name := range names {
		number, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: want number %d", name, i+1)
		}
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, migration{version, string(text)})
	}
	return all, nil
}

// migrate brings the database up to date, each step in a transaction. A
// database that is newer, or not ours, is not written to.
func (s *Store) migrate(ctx context.Context, conn *sql.Conn) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	version, err := s.checkVersion(ctx, conn, len(steps))
	if err != nil {
		return err
	}
	// Only now may anything be written: the journal's mode is in the file.
	var mode string
	if err := conn.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return fmt.Errorf("switch to WAL: %w", err)
	}
	if mode != "wal" {
		return fmt.Errorf("switch to WAL: the file system of %s gives %q only", s.path, mode)
	}
	if version == len(steps) {
		return nil
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	err = s.migrateSteps(ctx, conn, steps)
	if err == nil {
		_, err = conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		// The context may be what ended it, and SQLite may have undone it already.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// migrateSteps runs inside the transaction: another process may have migrated
// since the version was read.
func (s *Store) migrateSteps(ctx context.Context, conn *sql.Conn, steps []migration) error {
	version, err := s.checkVersion(ctx, conn, len(steps))
	if err != nil {
		return err
	}
	for _, m := range steps[version:] {
		if _, err := conn.ExecContext(ctx, m.text); err != nil {
			return fmt.Errorf("to schema %d: %w", m.version, err)
		}
	}
	pragmas := fmt.Sprintf("PRAGMA user_version = %d; PRAGMA application_id = %d", len(steps), applicationID)
	_, err = conn.ExecContext(ctx, pragmas)
	return err
}

// checkVersion returns the schema's version, 0 for a new database.
func (s *Store) checkVersion(ctx context.Context, conn *sql.Conn, known int) (int, error) {
	var version, app, tables int
	err := conn.QueryRowContext(ctx, "SELECT (SELECT user_version FROM pragma_user_version),"+
		" (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)").
		Scan(&version, &app, &tables)
	switch {
	case err != nil:
		return 0, fmt.Errorf("read the schema's version: %w", err)
	case tables > 0 && app != applicationID, tables == 0 && version > 0:
		return 0, &CorruptError{Path: s.path, Err: errForeign}
	case version > known:
		return 0, &NewerError{Path: s.path, Schema: version, Knows: known}
	}
	return version, nil
}
