package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

var (
	errNoID      = errors.New("it has no id")
	errNoTime    = errors.New("it has no time of submission")
	errNotQueued = errors.New("it does not begin as Queued without attempts")
)

// CreateRun stores a new run, its spec and its sealed secrets, and writes
// event number 1. It returns what is stored and whether this call made it: a
// requestID that was used before returns the first run, whatever r is, so that
// a submit whose answer was lost makes no second one. An empty requestID is
// always new.
//
// When the id is taken by another run the next free one is given, in the run
// returned and in r.ID.
func (s *Store) CreateRun(ctx context.Context, r *run.Run, requestID string, secrets map[string][]byte) (*run.Run, bool, error) {
	stored, created, err := s.createRun(ctx, r, requestID, secrets)
	if err != nil {
		return nil, false, fmt.Errorf("store run %s: %w", r.ID, err)
	}
	return stored, created, nil
}

func (s *Store) createRun(ctx context.Context, r *run.Run, requestID string, secrets map[string][]byte) (*run.Run, bool, error) {
	mine, n, err := newRun(r, requestID)
	if err != nil {
		return nil, false, err
	}
	var first *row
	err = s.w.do(ctx, func(t *writeTx) (err error) {
		if first, err = findRequest(ctx, t, requestID); err != nil || first != nil {
			return err
		}
		if mine.ID, err = freeID(ctx, t, r.ID); err != nil {
			return err
		}
		return n.insert(ctx, t, mine.ID, secrets)
	})
	if err != nil {
		return nil, false, err
	}
	if first != nil {
		return &first.run, false, nil
	}
	r.ID = mine.ID
	return mine, true, nil
}

// newRun is a run as it will be stored, and its row.
func newRun(r *run.Run, requestID string) (*run.Run, *fresh, error) {
	switch {
	case r.ID == "":
		return nil, nil, errNoID
	case r.CreatedAt.IsZero():
		return nil, nil, errNoTime
	case r.State != run.Queued || len(r.Attempts) > 0:
		return nil, nil, errNotQueued
	}
	n, err := newRow(r, requestID)
	if err != nil {
		return nil, nil, err
	}
	mine := *r
	mine.CreatedAt = time.Unix(0, r.CreatedAt.UnixNano()).UTC()
	mine.Attempts = []run.Attempt{}
	if mine.Tags == nil {
		mine.Tags = map[string]string{}
	}
	return &mine, n, nil
}

func findRequest(ctx context.Context, q querier, requestID string) (*row, error) {
	if requestID == "" {
		return nil, nil
	}
	var id string
	err := each(ctx, q, func(rows *sql.Rows) error { return rows.Scan(&id) },
		"SELECT id FROM runs WHERE request_id = ?", requestID)
	if err != nil || id == "" {
		return nil, err
	}
	x, err := loadRun(ctx, q, id)
	if err != nil {
		return nil, err
	}
	return x, loadSpec(ctx, q, x)
}

// freeID returns id or, when it is in use, the next one that is not.
func freeID(ctx context.Context, q querier, id string) (string, error) {
	for {
		taken := false
		err := each(ctx, q, func(*sql.Rows) error { taken = true; return nil }, "SELECT 1 FROM runs WHERE id = ?", id)
		if err != nil || !taken {
			return id, err
		}
		if id, err = run.NextID(id); err != nil {
			return "", err
		}
	}
}

// fresh is a run ready to be inserted: the encoding is done before the writer
// takes it.
type fresh struct {
	run              *run.Run
	requestID        any
	tags             any
	resources        string
	vmPriority       string
	config, resolved any
}

func newRow(r *run.Run, requestID string) (*fresh, error) {
	f := &fresh{run: r}
	if requestID != "" {
		f.requestID = requestID
	}
	var demand Demand
	if r.Config != nil {
		demand = Demand{Resources: r.Config.Resources, VMPriority: r.Config.VMPriority}
	}
	resources, err := json.Marshal(demand.Resources)
	if err != nil {
		return nil, err
	}
	f.resources, f.vmPriority = string(resources), string(demand.VMPriority)
	if f.tags, err = jsonOrNil(r.Tags, len(r.Tags) == 0); err != nil {
		return nil, err
	}
	if f.config, err = jsonOrNil(r.Config, r.Config == nil); err != nil {
		return nil, err
	}
	f.resolved, err = jsonOrNil(r.ResolvedEnvironment, r.ResolvedEnvironment == nil)
	return f, err
}

func (f *fresh) insert(ctx context.Context, t *writeTx, id string, secrets map[string][]byte) error {
	r := f.run
	var n int64
	err := each(ctx, t, func(rows *sql.Rows) error { return rows.Scan(&n) }, `INSERT INTO runs
 (id, request_id, experiment, display_name, target, state, outcome, exit_code, signal, message, created_at,
  started_at, ended_at, tags, snapshot, environment, priority, cancel_requested_at, rerun_of, resources, vm_priority,
  last_seq) VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, '', ?, ?, NULL, NULL, ?, ?, ?, ?, ?, ?, ?, ?, 1) RETURNING n`,
		id, f.requestID, r.Experiment, r.DisplayName, r.Target, string(r.State), r.Message, r.CreatedAt.UnixNano(),
		f.tags, r.Snapshot, r.Environment, int64(r.Priority), nanos(r.CancelRequestedAt), r.RerunOf, f.resources,
		f.vmPriority)
	if err != nil {
		return err
	}
	if err := t.exec("INSERT INTO specs (run, config, resolved) VALUES (?, ?, ?)", n, f.config, f.resolved); err != nil {
		return err
	}
	for name, sealed := range secrets {
		if sealed == nil {
			sealed = []byte{}
		}
		if err := t.exec("INSERT INTO secrets (run, name, sealed) VALUES (?, ?, ?)", n, name, sealed); err != nil {
			return err
		}
	}
	e := run.Event{Seq: 1, Time: r.CreatedAt, To: run.Queued, Why: "submitted"}
	if err := insertEvent(t, n, e); err != nil {
		return err
	}
	t.news = append(t.news, Change{RunID: id, Seq: 1, State: run.Queued})
	return nil
}

// Demand is what the queue asks of a run's spec.
type Demand struct {
	Resources  runconfig.Resources
	VMPriority runconfig.VMPriority
}

// Demands returns what every run that has not ended asks for, by id.
func (s *Store) Demands(ctx context.Context) (map[string]Demand, error) {
	all := map[string]Demand{}
	err := s.read(ctx, func(q querier) error {
		return each(ctx, q, func(rows *sql.Rows) error {
			var id, resources string
			var d Demand
			if err := rows.Scan(&id, &resources, &d.VMPriority); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(resources), &d.Resources); err != nil {
				return fmt.Errorf("resources of run %s: %w", id, err)
			}
			all[id] = d
			return nil
		}, "SELECT id, resources, vm_priority FROM runs WHERE "+notEnded)
	})
	if err != nil {
		return nil, fmt.Errorf("read what runs ask for: %w", err)
	}
	return all, nil
}
