package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Target is an attached compute target.
type Target struct {
	Name string
	// Kind of the target, for example "ssh".
	Kind string
	// Instance: it is used as a compute instance.
	Instance bool
	// Config is how it is reached, and Facts what was found when it was
	// attached. Neither holds a secret value.
	Config, Facts json.RawMessage
	// MachineID of the machine, and HostKey its fingerprint; empty: unknown.
	MachineID, HostKey string
	AttachedAt         time.Time
	// CheckedAt is when it was last found in order; nil: not since.
	CheckedAt *time.Time
	// UnreachedAt is since when it is not reached; nil: it was, the last time.
	UnreachedAt *time.Time
	// Sealed secrets by name.
	Sealed map[string][]byte
}

// TargetExistsError says that a name is taken.
type TargetExistsError struct{ Name string }

func (e *TargetExistsError) Error() string {
	return fmt.Sprintf("a compute target named %q is attached already", e.Name)
}

var errSameTarget = errors.New("name taken")

// AddTarget stores t with its sealed secrets, or gives a *TargetExistsError.
func (s *Store) AddTarget(ctx context.Context, t Target) error {
	err := s.w.do(ctx, func(x *writeTx) error {
		n, err := x.affected(`INSERT INTO targets
 (name, kind, instance, config, facts, machine_id, host_key, attached_at, checked_at)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			t.Name, t.Kind, t.Instance, orObject(t.Config), orObject(t.Facts), t.MachineID, t.HostKey,
			t.AttachedAt.UnixNano(), nanos(t.CheckedAt))
		if err != nil {
			return err
		}
		if n == 0 {
			return errSameTarget
		}
		for name, sealed := range t.Sealed {
			err := x.exec("INSERT INTO target_secrets (target, name, sealed) VALUES (?, ?, ?)", t.Name, name, sealed)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errSameTarget) {
		return &TargetExistsError{Name: t.Name}
	}
	if err != nil {
		return fmt.Errorf("store target %s: %w", t.Name, err)
	}
	return nil
}

// Targets returns the attached targets by name, with their sealed secrets.
func (s *Store) Targets(ctx context.Context) ([]Target, error) {
	found := []Target{}
	err := s.read(ctx, func(q querier) error {
		at := map[string]int{}
		err := each(ctx, q, func(rows *sql.Rows) error {
			t := Target{Sealed: map[string][]byte{}}
			var config, facts string
			var attached int64
			var checked, unreached *int64
			err := rows.Scan(&t.Name, &t.Kind, &t.Instance, &config, &facts, &t.MachineID, &t.HostKey, &attached, &checked, &unreached)
			if err != nil {
				return err
			}
			t.Config, t.Facts = json.RawMessage(config), json.RawMessage(facts)
			t.AttachedAt, t.CheckedAt, t.UnreachedAt = time.Unix(0, attached).UTC(), moment(checked), moment(unreached)
			at[t.Name] = len(found)
			found = append(found, t)
			return nil
		}, `SELECT name, kind, instance, config, facts, machine_id, host_key, attached_at, checked_at, unreached_at
 FROM targets ORDER BY name`)
		if err != nil {
			return err
		}
		return each(ctx, q, func(rows *sql.Rows) error {
			var target, name string
			var sealed []byte
			if err := rows.Scan(&target, &name, &sealed); err != nil {
				return err
			}
			found[at[target]].Sealed[name] = sealed
			return nil
		}, "SELECT target, name, sealed FROM target_secrets")
	})
	if err != nil {
		return nil, fmt.Errorf("list targets: %w", err)
	}
	return found, nil
}

// Target returns an attached target or a *NotFoundError.
func (s *Store) Target(ctx context.Context, name string) (*Target, error) {
	all, err := s.Targets(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Name == name {
			return &all[i], nil
		}
	}
	return nil, &NotFoundError{Kind: kindTarget, Name: name}
}

// TouchTarget records that a target was reached and found in order, or gives a
// *NotFoundError.
func (s *Store) TouchTarget(ctx context.Context, name string, at time.Time) error {
	return s.changeTarget(ctx, name, "checked_at = ?, unreached_at = NULL", at.UnixNano())
}

// MissTarget records since when a target is not reached, or gives a
// *NotFoundError. One that was not reached before stays so since then.
func (s *Store) MissTarget(ctx context.Context, name string, since time.Time) error {
	return s.changeTarget(ctx, name, "unreached_at = coalesce(unreached_at, ?)", since.UnixNano())
}

func (s *Store) changeTarget(ctx context.Context, name, set string, value int64) error {
	return s.w.do(ctx, func(t *writeTx) error {
		n, err := t.affected("UPDATE targets SET "+set+" WHERE name = ?", value, name)
		if err == nil && n == 0 {
			return &NotFoundError{Kind: kindTarget, Name: name}
		}
		return err
	})
}

// DeleteTarget forgets a target with its secrets and the state of its queue,
// or gives a *NotFoundError.
func (s *Store) DeleteTarget(ctx context.Context, name string) error {
	return s.w.do(ctx, func(t *writeTx) error {
		n, err := t.affected("DELETE FROM targets WHERE name = ?", name)
		if err != nil {
			return err
		}
		if n == 0 {
			return &NotFoundError{Kind: kindTarget, Name: name}
		}
		return t.exec("DELETE FROM stopped_queues WHERE target = ?", name)
	})
}

// StopQueue keeps a target's queue from granting anything, over restarts. One
// that was stopped before stays so since then.
func (s *Store) StopQueue(ctx context.Context, target string, at time.Time) error {
	err := s.w.do(ctx, func(t *writeTx) error {
		return t.exec("INSERT INTO stopped_queues (target, since) VALUES (?, ?) ON CONFLICT DO NOTHING", target, at.UnixNano())
	})
	if err != nil {
		return fmt.Errorf("stop the queue of %s: %w", target, err)
	}
	return nil
}

// StartQueue undoes StopQueue. One that was not stopped is fine.
func (s *Store) StartQueue(ctx context.Context, target string) error {
	err := s.w.do(ctx, func(t *writeTx) error {
		return t.exec("DELETE FROM stopped_queues WHERE target = ?", target)
	})
	if err != nil {
		return fmt.Errorf("start the queue of %s: %w", target, err)
	}
	return nil
}

// StoppedQueues are the targets whose queues are stopped, and since when.
func (s *Store) StoppedQueues(ctx context.Context) (map[string]time.Time, error) {
	stopped := map[string]time.Time{}
	err := s.read(ctx, func(q querier) error {
		return each(ctx, q, func(rows *sql.Rows) error {
			var target string
			var since int64
			if err := rows.Scan(&target, &since); err != nil {
				return err
			}
			stopped[target] = time.Unix(0, since).UTC()
			return nil
		}, "SELECT target, since FROM stopped_queues")
	})
	if err != nil {
		return nil, fmt.Errorf("list stopped queues: %w", err)
	}
	return stopped, nil
}

// orObject is JSON text that is never empty.
func orObject(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "{}"
	}
	return string(raw)
}
