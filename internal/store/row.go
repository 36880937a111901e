package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/runnerml/runner/internal/run"
)

// row is a run as it lies in the table.
type row struct {
	n       int64
	lastSeq int
	run     run.Run
}

const runColumns = `n, last_seq, id, experiment, display_name, target, state, outcome, exit_code, signal, message,
 created_at, started_at, ended_at, tags, snapshot, environment, priority, cancel_requested_at, rerun_of`

func scanRun(rows *sql.Rows) (*row, error) {
	var (
		x                        row
		r                        = &x.run
		outcome, tags            *string
		created                  int64
		started, ended, canceled *int64
	)
	err := rows.Scan(&x.n, &x.lastSeq, &r.ID, &r.Experiment, &r.DisplayName, &r.Target, &r.State, &outcome,
		&r.ExitCode, &r.Signal, &r.Message, &created, &started, &ended, &tags, &r.Snapshot, &r.Environment,
		&r.Priority, &canceled, &r.RerunOf)
	if err != nil {
		return nil, err
	}
	r.Tags, r.Attempts = map[string]string{}, []run.Attempt{}
	if tags != nil {
		if err := json.Unmarshal([]byte(*tags), &r.Tags); err != nil {
			return nil, fmt.Errorf("tags of run %s: %w", r.ID, err)
		}
	}
	r.Outcome = (*run.Outcome)(outcome)
	r.CreatedAt = time.Unix(0, created).UTC()
	r.StartedAt, r.EndedAt, r.CancelRequestedAt = moment(started), moment(ended), moment(canceled)
	return &x, nil
}

// runSet are the columns that Update may write, in the order of runValues.
const runSet = `display_name = ?, target = ?, state = ?, outcome = ?, exit_code = ?, signal = ?, message = ?,
 started_at = ?, ended_at = ?, tags = ?, snapshot = ?, environment = ?, priority = ?, cancel_requested_at = ?`

// runValues are plain values, so that two of them can be compared with ==.
func runValues(r *run.Run) ([]any, error) {
	tags, err := jsonOrNil(r.Tags, len(r.Tags) == 0)
	if err != nil {
		return nil, err
	}
	return []any{
		r.DisplayName, r.Target, string(r.State), outcomeOrNil(r.Outcome), intOrNil(r.ExitCode), r.Signal, r.Message,
		nanos(r.StartedAt), nanos(r.EndedAt), tags, r.Snapshot, r.Environment, int64(r.Priority),
		nanos(r.CancelRequestedAt),
	}, nil
}

const attemptColumns = `number, state, outcome, exit_code, signal, message, node, handle, started_at, ended_at,
 granted_at, allocation, stop_requested_at, stop_for, collected`

func scanAttempt(rows *sql.Rows) (n int64, a run.Attempt, err error) {
	var (
		outcome                       *string
		started, ended, granted, stop *int64
		allocation                    string
	)
	err = rows.Scan(&n, &a.Number, &a.State, &outcome, &a.ExitCode, &a.Signal, &a.Message, &a.Node, &a.Handle,
		&started, &ended, &granted, &allocation, &stop, &a.StopFor, &a.Collected)
	if err != nil {
		return 0, a, err
	}
	if err := json.Unmarshal([]byte(allocation), &a.Allocation); err != nil {
		return 0, a, fmt.Errorf("allocation of attempt %d: %w", a.Number, err)
	}
	a.Outcome = (*run.Outcome)(outcome)
	a.StartedAt, a.EndedAt, a.GrantedAt, a.StopRequestedAt = moment(started), moment(ended), moment(granted), moment(stop)
	return n, a, nil
}

// attemptValues are plain values in the order of attemptColumns.
func attemptValues(a *run.Attempt) ([]any, error) {
	allocation, err := json.Marshal(a.Allocation)
	if err != nil {
		return nil, fmt.Errorf("allocation of attempt %d: %w", a.Number, err)
	}
	return []any{
		int64(a.Number), string(a.State), outcomeOrNil(a.Outcome), intOrNil(a.ExitCode), a.Signal, a.Message, a.Node,
		a.Handle, nanos(a.StartedAt), nanos(a.EndedAt), nanos(a.GrantedAt), string(allocation),
		nanos(a.StopRequestedAt), string(a.StopFor), a.Collected,
	}, nil
}

// loadRun returns the run without its spec, or a *NotFoundError.
func loadRun(ctx context.Context, q querier, id string) (*row, error) {
	var x *row
	err := each(ctx, q, func(rows *sql.Rows) (err error) {
		x, err = scanRun(rows)
		return err
	}, "SELECT "+runColumns+" FROM runs WHERE id = ?", id)
	if err != nil {
		return nil, err
	}
	if x == nil {
		return nil, &NotFoundError{Kind: kindRun, Name: id}
	}
	err = each(ctx, q, func(rows *sql.Rows) error {
		_, a, err := scanAttempt(rows)
		x.run.Attempts = append(x.run.Attempts, a)
		return err
	}, "SELECT run, "+attemptColumns+" FROM attempts WHERE run = ? ORDER BY number", x.n)
	return x, err
}

// loadSpec fills in the heavy part.
func loadSpec(ctx context.Context, q querier, x *row) error {
	return each(ctx, q, func(rows *sql.Rows) error {
		var config, resolved *string
		if err := rows.Scan(&config, &resolved); err != nil {
			return err
		}
		return decodeSpec(&x.run, config, resolved)
	}, "SELECT config, resolved FROM specs WHERE run = ?", x.n)
}

func decodeSpec(r *run.Run, config, resolved *string) error {
	if config != nil {
		if err := json.Unmarshal([]byte(*config), &r.Config); err != nil {
			return fmt.Errorf("spec of run %s: %w", r.ID, err)
		}
	}
	if resolved != nil {
		if err := json.Unmarshal([]byte(*resolved), &r.ResolvedEnvironment); err != nil {
			return fmt.Errorf("environment of run %s: %w", r.ID, err)
		}
	}
	return nil
}

func nanos(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UnixNano()
}

func moment(n *int64) *time.Time {
	if n == nil {
		return nil
	}
	t := time.Unix(0, *n).UTC()
	return &t
}

func outcomeOrNil(o *run.Outcome) any {
	if o == nil {
		return nil
	}
	return string(*o)
}

func intOrNil(i *int) any {
	if i == nil {
		return nil
	}
	return int64(*i)
}

func jsonOrNil(v any, isNil bool) (any, error) {
	if isNil {
		return nil, nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}
