package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/runnerml/runner/environment"
)

// Environment is a registered environment.
type Environment struct {
	Name string
	// Digest names the content, "sha256:...".
	Digest string
	// Spec as the user wrote it; may be nil.
	Spec *environment.Spec
	// Resolved is what targets make it of; may be nil.
	Resolved  *environment.Resolved
	CreatedAt time.Time
	// UsedAt is when a run last used the digest; nil: never.
	UsedAt *time.Time
}

// PutEnvironment registers e under its name; one of the same name is replaced.
func (s *Store) PutEnvironment(ctx context.Context, e Environment) error {
	spec, err := jsonOrNil(e.Spec, e.Spec == nil)
	if err != nil {
		return fmt.Errorf("register environment %s: %w", e.Name, err)
	}
	resolved, err := jsonOrNil(e.Resolved, e.Resolved == nil)
	if err != nil {
		return fmt.Errorf("register environment %s: %w", e.Name, err)
	}
	err = s.w.do(ctx, func(t *writeTx) error {
		return t.exec(`INSERT OR REPLACE INTO environments (name, digest, spec, resolved, created_at, used_at)
 VALUES (?, ?, ?, ?, ?, ?)`, e.Name, e.Digest, spec, resolved, e.CreatedAt.UnixNano(), nanos(e.UsedAt))
	})
	if err != nil {
		return fmt.Errorf("register environment %s: %w", e.Name, err)
	}
	return nil
}

// EnvironmentByName returns a registered environment or a *NotFoundError.
func (s *Store) EnvironmentByName(ctx context.Context, name string) (*Environment, error) {
	found, err := s.environments(ctx, " WHERE name = ?", name)
	if err != nil {
		return nil, fmt.Errorf("read environment %s: %w", name, err)
	}
	if len(found) == 0 {
		return nil, &NotFoundError{Kind: kindEnvironment, Name: name}
	}
	return &found[0], nil
}

// ListEnvironments returns the registered environments by name.
func (s *Store) ListEnvironments(ctx context.Context) ([]Environment, error) {
	found, err := s.environments(ctx, " ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list environments: %w", err)
	}
	return found, nil
}

func (s *Store) environments(ctx context.Context, which string, args ...any) ([]Environment, error) {
	found := []Environment{}
	err := s.read(ctx, func(q querier) error {
		return each(ctx, q, func(rows *sql.Rows) error {
			var e Environment
			var spec, resolved *string
			var created int64
			var used *int64
			if err := rows.Scan(&e.Name, &e.Digest, &spec, &resolved, &created, &used); err != nil {
				return err
			}
			e.CreatedAt, e.UsedAt = time.Unix(0, created).UTC(), moment(used)
			if spec != nil {
				if err := json.Unmarshal([]byte(*spec), &e.Spec); err != nil {
					return fmt.Errorf("spec of %s: %w", e.Name, err)
				}
			}
			if resolved != nil {
				if err := json.Unmarshal([]byte(*resolved), &e.Resolved); err != nil {
					return fmt.Errorf("content of %s: %w", e.Name, err)
				}
			}
			found = append(found, e)
			return nil
		}, "SELECT name, digest, spec, resolved, created_at, used_at FROM environments"+which, args...)
	})
	return found, err
}

// TouchEnvironment records that a run used the digest at the time; an older
// time, or an unregistered digest, changes nothing.
func (s *Store) TouchEnvironment(ctx context.Context, digest string, at time.Time) error {
	err := s.w.do(ctx, func(t *writeTx) error {
		return t.exec("UPDATE environments SET used_at = max(coalesce(used_at, 0), ?) WHERE digest = ?", at.UnixNano(), digest)
	})
	if err != nil {
		return fmt.Errorf("record the use of environment %s: %w", digest, err)
	}
	return nil
}

// DeleteEnvironment takes a name away, or gives a *NotFoundError. What was
// made of it on the targets stays.
func (s *Store) DeleteEnvironment(ctx context.Context, name string) error {
	return s.w.do(ctx, func(t *writeTx) error {
		n, err := t.affected("DELETE FROM environments WHERE name = ?", name)
		if err == nil && n == 0 {
			return &NotFoundError{Kind: kindEnvironment, Name: name}
		}
		return err
	})
}

// PutLock keeps the exact versions that a run's environment had, or gives a
// *NotFoundError.
func (s *Store) PutLock(ctx context.Context, runID, text string) error {
	return s.w.do(ctx, func(t *writeTx) error {
		n, err := number(ctx, t, runID)
		if err != nil {
			return err
		}
		return t.exec("INSERT OR REPLACE INTO locks (run, text) VALUES (?, ?)", n, text)
	})
}

// Lock returns what PutLock kept; empty: nothing yet.
func (s *Store) Lock(ctx context.Context, runID string) (string, error) {
	var text string
	err := s.read(ctx, func(q querier) error {
		n, err := number(ctx, q, runID)
		if err != nil {
			return err
		}
		return each(ctx, q, func(rows *sql.Rows) error { return rows.Scan(&text) }, "SELECT text FROM locks WHERE run = ?", n)
	})
	if err != nil {
		return "", wrapRead(err, runID)
	}
	return text, nil
}
