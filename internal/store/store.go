package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	_ "modernc.org/sqlite" // the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	readConnections = 3
	// busyMillis is how long SQLite waits for a lock of another process.
	busyMillis = 10_000
	// cacheKiB a connection: the system's page cache does the rest.
	writeCacheKiB = 2048
	readCacheKiB  = 256
)

// Store is an open database. Its methods may be called at the same time.
type Store struct {
	path   string
	w      *writer
	writeD *sql.DB
	readD  *sql.DB
	feed   *feed

	reserve *reserve

	mu   sync.Mutex
	done bool
}

// Open opens the database at path, or makes it, and brings its schema up to
// date. Errors with a meaning: *NewerError, *CorruptError, *FullError.
func Open(ctx context.Context, path string) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	s := &Store{path: path, feed: newFeed(), reserve: newReserve(path)}
	err = s.open(ctx)
	if code(err) == sqlite3.SQLITE_FULL && s.reserve.spend() {
		err = s.open(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", s.explain(err))
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if err := private(s.path); err != nil {
		return err
	}
	if s.writeD, err = sql.Open("sqlite", dsn(s.path, writeCacheKiB, false)); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = s.writeD.Close() // the first error is the one to tell
		}
	}()
	s.writeD.SetMaxOpenConns(1)
	conn, err := s.writeD.Conn(ctx)
	if err != nil {
		return err
	}
	if err := s.migrate(ctx, conn); err != nil {
		return errors.Join(err, conn.Close())
	}
	if s.readD, err = sql.Open("sqlite", dsn(s.path, readCacheKiB, true)); err != nil {
		return errors.Join(err, conn.Close())
	}
	s.readD.SetMaxOpenConns(readConnections)
	s.readD.SetMaxIdleConns(readConnections)
	s.w = startWriter(s, conn)
	s.reserve.keep()
	return nil
}

// private makes the file, empty, readable by its owner only. SQLite gives its
// companions (-wal, -shm) the same mode.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

func dsn(path string, cacheKiB int, readOnly bool) string {
	q := url.Values{"_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyMillis),
		"foreign_keys(1)",
		"synchronous(FULL)",
		fmt.Sprintf("cache_size(-%d)", cacheKiB),
		"temp_store(MEMORY)",
		"journal_size_limit(16777216)",
	}}
	if readOnly {
		q["_pragma"] = append(q["_pragma"], "query_only(1)")
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// Close waits for the writes under way and closes the database. Writes that
// come later return ErrClosed. Subscriptions end.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.done {
		s.mu.Unlock()
		return nil
	}
	s.done = true
	s.mu.Unlock()

	errs := []error{s.w.stop()}
	s.feed.close()
	// The writer last: closing the last connection checkpoints the WAL.
	errs = append(errs, s.readD.Close(), s.writeD.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return nil
}

// read runs f in a read transaction: all it sees is of one moment.
func (s *Store) read(ctx context.Context, f func(querier) error) error {
	s.mu.Lock()
	done := s.done
	s.mu.Unlock()
	if done {
		return ErrClosed
	}
	tx, err := s.readD.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s.explain(err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written; a cut context has ended it already
	return s.explain(f(readTx{tx}))
}

// querier runs a statement that gives rows.
type querier interface {
	query(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

type readTx struct{ tx *sql.Tx }

// query prepares anew each time: a statement kept for the pool would have to be
// prepared on a connection of its own, which readers that hold one wait for.
func (t readTx) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(ctx, text, args...)
}

// each calls scan for every row of a query.
func each(ctx context.Context, q querier, scan func(*sql.Rows) error, text string, args ...any) (err error) {
	rows, err := q.query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// InstallationID is a random id of this database, made once: 16 hexadecimal
// characters.
func (s *Store) InstallationID(ctx context.Context) (string, error) {
	const key = "installation_id"
	var id string
	find := func(q querier) error {
		return each(ctx, q, func(r *sql.Rows) error { return r.Scan(&id) }, "SELECT value FROM meta WHERE key = ?", key)
	}
	if err := s.read(ctx, find); err != nil {
		return "", fmt.Errorf("read the installation's id: %w", err)
	}
	if id != "" {
		return id, nil
	}
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("make the installation's id: %w", err)
	}
	err := s.w.do(ctx, func(t *writeTx) error {
		err := t.exec("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING", key, hex.EncodeToString(b[:]))
		if err != nil {
			return err
		}
		return find(t)
	})
	if err != nil {
		return "", fmt.Errorf("make the installation's id: %w", err)
	}
	return id, nil
}
