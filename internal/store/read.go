package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/runnerml/runner/internal/run"
)

// LastRun names the newest run wherever a prefix is taken.
const LastRun = "@last"

// notEnded picks the runs that go on; the index on state serves it.
const notEnded = "state IN ('Queued', 'Preparing', 'Starting', 'Running', 'Finalizing')"

// Run returns a run with its attempts, spec and environment, or a
// *NotFoundError.
func (s *Store) Run(ctx context.Context, id string) (*run.Run, error) {
	var x *row
	err := s.read(ctx, func(q querier) (err error) {
		if x, err = loadRun(ctx, q, id); err != nil {
			return err
		}
		return loadSpec(ctx, q, x)
	})
	if err != nil {
		return nil, wrapRead(err, id)
	}
	return &x.run, nil
}

// wrapRead leaves errors that say it all as they are.
func wrapRead(err error, id string) error {
	if _, ok := err.(*NotFoundError); ok { //nolint:errorlint // only the bare one needs no more words
		return err
	}
	return fmt.Errorf("read run %s: %w", id, err)
}

// Resolve returns the id that name stands for: an id, the beginning of one id
// only, or "@last". Otherwise *NotFoundError or *AmbiguousError.
func (s *Store) Resolve(ctx context.Context, name string) (string, error) {
	const show = 5
	var ids []string
	collect := func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}
	err := s.read(ctx, func(q querier) error {
		if name == LastRun {
			return each(ctx, q, collect, "SELECT id FROM runs ORDER BY n DESC LIMIT 1")
		}
		if name == "" {
			return nil
		}
		err := each(ctx, q, collect, "SELECT id FROM runs WHERE id = ?", name)
		if err != nil || len(ids) == 1 {
			return err
		}
		// What follows the prefix are ASCII characters, all before "~".
		return each(ctx, q, collect, "SELECT id FROM runs WHERE id >= ? AND id < ? ORDER BY n DESC LIMIT ?",
			name, name+"~", show+1)
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("find run %q: %w", name, err)
	case len(ids) == 0:
		return "", &NotFoundError{Kind: kindRun, Name: name}
	case len(ids) > 1:
		return "", &AmbiguousError{Prefix: name, IDs: ids[:min(len(ids), show)], More: len(ids) > show}
	}
	return ids[0], nil
}

// Events returns the run's story after event number after (0: all of it), or
// a *NotFoundError.
func (s *Store) Events(ctx context.Context, id string, after int) ([]run.Event, error) {
	events := []run.Event{}
	err := s.read(ctx, func(q querier) error {
		n, err := number(ctx, q, id)
		if err != nil {
			return err
		}
		return each(ctx, q, func(rows *sql.Rows) error {
			var e run.Event
			var at int64
			err := rows.Scan(&e.Seq, &at, &e.Attempt, &e.From, &e.To, &e.Why)
			e.Time = time.Unix(0, at).UTC()
			events = append(events, e)
			return err
		}, "SELECT seq, time, attempt, from_state, to_state, why FROM events WHERE run = ? AND seq > ? ORDER BY seq", n, after)
	})
	if err != nil {
		return nil, wrapRead(err, id)
	}
	return events, nil
}

func insertEvent(t *writeTx, n int64, e run.Event) error {
	return t.exec(`INSERT INTO events (run, seq, time, attempt, from_state, to_state, why) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		n, e.Seq, e.Time.UnixNano(), e.Attempt, string(e.From), string(e.To), e.Why)
}

// number returns the row number of a run, or a *NotFoundError.
func number(ctx context.Context, q querier, id string) (int64, error) {
	var n int64
	err := each(ctx, q, func(rows *sql.Rows) error { return rows.Scan(&n) }, "SELECT n FROM runs WHERE id = ?", id)
	if err == nil && n == 0 {
		err = &NotFoundError{Kind: kindRun, Name: id}
	}
	return n, err
}

// Sealed returns the sealed secrets of a run by name; none are left once it
// ended.
func (s *Store) Sealed(ctx context.Context, id string) (map[string][]byte, error) {
	sealed := map[string][]byte{}
	err := s.read(ctx, func(q querier) error {
		n, err := number(ctx, q, id)
		if err != nil {
			return err
		}
		return each(ctx, q, func(rows *sql.Rows) error {
			var name string
			var value sql.RawBytes
			err := rows.Scan(&name, &value)
			sealed[name] = append([]byte{}, value...)
			return err
		}, "SELECT name, sealed FROM secrets WHERE run = ?", n)
	})
	if err != nil {
		return nil, wrapRead(err, id)
	}
	return sealed, nil
}

// DeleteSecrets takes the secrets of a run away; Update does so when it ends.
func (s *Store) DeleteSecrets(ctx context.Context, id string) error {
	err := s.w.doUrgent(ctx, func(t *writeTx) error {
		return t.exec("DELETE FROM secrets WHERE run = (SELECT n FROM runs WHERE id = ?)", id)
	})
	if err != nil {
		return fmt.Errorf("delete the secrets of run %s: %w", id, err)
	}
	return nil
}

// DeleteRun takes an ended run and all that belongs to it away. Otherwise
// *NotEndedError or *NotFoundError.
func (s *Store) DeleteRun(ctx context.Context, id string) error {
	return s.w.doUrgent(ctx, func(t *writeTx) error {
		x, err := loadRun(ctx, t, id)
		if err != nil {
			return err
		}
		if !x.run.State.Ended() {
			return &NotEndedError{ID: id}
		}
		t.news = append(t.news, Change{RunID: id, Seq: x.lastSeq, State: x.run.State, Deleted: true})
		return t.exec("DELETE FROM runs WHERE n = ?", x.n)
	})
}
