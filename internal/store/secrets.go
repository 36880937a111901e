package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// StoredSecret is a secret that was stored by name.
type StoredSecret struct {
	Name string
	// SetAt is when its value was set the last time.
	SetAt time.Time
}

// SetSecret stores a sealed secret, in place of one of that name.
func (s *Store) SetSecret(ctx context.Context, name string, sealed []byte, at time.Time) error {
	err := s.w.do(ctx, func(t *writeTx) error {
		return t.exec(`INSERT INTO stored_secrets (name, sealed, set_at) VALUES (?, ?, ?)
 ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, set_at = excluded.set_at`, name, sealed, at.UnixNano())
	})
	if err != nil {
		return fmt.Errorf("store the secret %s: %w", name, err)
	}
	return nil
}

// Secrets lists the stored secrets by name, without their values.
func (s *Store) Secrets(ctx context.Context) ([]StoredSecret, error) {
	all := []StoredSecret{}
	err := s.read(ctx, func(q querier) error {
		return each(ctx, q, func(rows *sql.Rows) error {
			var one StoredSecret
			var at int64
			if err := rows.Scan(&one.Name, &at); err != nil {
				return err
			}
			one.SetAt = time.Unix(0, at).UTC()
			all = append(all, one)
			return nil
		}, "SELECT name, set_at FROM stored_secrets ORDER BY name")
	})
	if err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	return all, nil
}

// SealedSecret gives the sealed value of a stored secret, or a *NotFoundError.
func (s *Store) SealedSecret(ctx context.Context, name string) ([]byte, error) {
	var sealed []byte
	err := s.read(ctx, func(q querier) error {
		return each(ctx, q, func(rows *sql.Rows) error { return rows.Scan(&sealed) },
			"SELECT sealed FROM stored_secrets WHERE name = ?", name)
	})
	if err != nil {
		return nil, fmt.Errorf("read the secret %s: %w", name, err)
	}
	if sealed == nil {
		return nil, &NotFoundError{Kind: kindSecret, Name: name}
	}
	return sealed, nil
}

// DeleteSecret forgets a stored secret, or gives a *NotFoundError.
func (s *Store) DeleteSecret(ctx context.Context, name string) error {
	return s.w.do(ctx, func(t *writeTx) error {
		n, err := t.affected("DELETE FROM stored_secrets WHERE name = ?", name)
		if err == nil && n == 0 {
			return &NotFoundError{Kind: kindSecret, Name: name}
		}
		return err
	})
}
