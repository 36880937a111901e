package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/run"
)

// Filter picks runs; its zero value picks all.
type Filter struct {
	Experiment, Target string
	// States to pick; none: all.
	States []run.State
	// Tags that a run must have, with these values.
	Tags map[string]string
	// ActiveOnly picks runs that have not ended.
	ActiveOnly bool
	// EndedBefore picks runs that ended before it; zero: no matter.
	EndedBefore time.Time
	// Before is the id of a run: only older ones, for the next page.
	Before string
	// Limit of runs to return; zero: no limit.
	Limit int
	// Specs fills in Config and ResolvedEnvironment, which are heavy.
	Specs bool
	// Lines fills in Script, Command and Arguments instead.
	Lines bool
}

// List returns the runs that f picks with their attempts, newest first. An
// unknown f.Before gives a *NotFoundError.
func (s *Store) List(ctx context.Context, f Filter) ([]run.Run, error) {
	runs, err := s.list(ctx, f, "DESC")
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return runs, nil
}

// Active returns all runs that have not ended with their attempts but without
// Config and ResolvedEnvironment, in the order of submission.
func (s *Store) Active(ctx context.Context) ([]run.Run, error) {
	runs, err := s.list(ctx, Filter{ActiveOnly: true}, "ASC")
	if err != nil {
		return nil, fmt.Errorf("list active runs: %w", err)
	}
	return runs, nil
}

func (s *Store) list(ctx context.Context, f Filter, order string) ([]run.Run, error) {
	found := []*row{}
	err := s.read(ctx, func(q querier) error {
		where, args, err := f.where(ctx, q)
		if err != nil {
			return err
		}
		err = each(ctx, q, func(rows *sql.Rows) error {
			x, err := scanRun(rows)
			found = append(found, x)
			return err
		}, "SELECT "+runColumns+" FROM runs"+where+" ORDER BY n "+order+" LIMIT ?", append(args, f.limit())...)
		if err != nil || len(found) == 0 {
			return err
		}
		if err := fill(ctx, q, found, f.Specs); err != nil || f.Specs || !f.Lines {
			return err
		}
		return fillLines(ctx, q, found)
	})
	if err != nil {
		return nil, err
	}
	runs := make([]run.Run, len(found))
	for i, x := range found {
		runs[i] = x.run
	}
	return runs, nil
}

func (f Filter) limit() int {
	if f.Limit <= 0 {
		return -1
	}
	return f.Limit
}

// where builds the condition from fixed texts, so that there are few
// statements to keep.
func (f Filter) where(ctx context.Context, q querier) (string, []any, error) {
	var terms []string
	var args []any
	add := func(term string, values ...any) {
		terms = append(terms, term)
		args = append(args, values...)
	}
	if f.Experiment != "" {
		add("experiment = ?", f.Experiment)
	}
	if f.Target != "" {
		add("target = ?", f.Target)
	}
	if f.ActiveOnly {
		add(notEnded)
	}
	if len(f.States) > 0 {
		states, err := json.Marshal(f.States)
		if err != nil {
			return "", nil, err
		}
		add("state IN (SELECT value FROM json_each(?))", string(states))
	}
	for _, key := range slices.Sorted(maps.Keys(f.Tags)) {
		add("EXISTS (SELECT 1 FROM json_each(runs.tags) AS t WHERE t.key = ? AND t.value = ?)", key, f.Tags[key])
	}
	if !f.EndedBefore.IsZero() {
		add("ended_at < ?", f.EndedBefore.UnixNano())
	}
	if f.Before != "" {
		n, err := number(ctx, q, f.Before)
		if err != nil {
			return "", nil, err
		}
		add("n < ?", n)
	}
	if len(terms) == 0 {
		return "", nil, nil
	}
	return " WHERE " + strings.Join(terms, " AND "), args, nil
}

// fill loads the attempts of many runs, and their specs when asked.
func fill(ctx context.Context, q querier, found []*row, specs bool) error {
	byN := make(map[int64]*row, len(found))
	ns := make([]int64, 0, len(found))
	for _, x := range found {
		byN[x.n] = x
		ns = append(ns, x.n)
	}
	list, err := json.Marshal(ns)
	if err != nil {
		return err
	}
	err = each(ctx, q, func(rows *sql.Rows) error {
		n, a, err := scanAttempt(rows)
		if err == nil {
			byN[n].run.Attempts = append(byN[n].run.Attempts, a)
		}
		return err
	}, "SELECT run, "+attemptColumns+" FROM attempts WHERE run IN (SELECT value FROM json_each(?)) ORDER BY run, number",
		string(list))
	if err != nil || !specs {
		return err
	}
	return each(ctx, q, func(rows *sql.Rows) error {
		var n int64
		var config, resolved *string
		if err := rows.Scan(&n, &config, &resolved); err != nil {
			return err
		}
		return decodeSpec(&byN[n].run, config, resolved)
	}, "SELECT run, config, resolved FROM specs WHERE run IN (SELECT value FROM json_each(?))", string(list))
}

// fillLines loads what many runs start.
func fillLines(ctx context.Context, q querier, found []*row) error {
	byN := make(map[int64]*row, len(found))
	for _, x := range found {
		byN[x.n] = x
	}
	list, err := json.Marshal(slices.Collect(maps.Keys(byN)))
	if err != nil {
		return err
	}
	return each(ctx, q, func(rows *sql.Rows) error {
		var n int64
		var script, command, arguments *string
		if err := rows.Scan(&n, &script, &command, &arguments); err != nil {
			return err
		}
		r := &byN[n].run
		if script != nil {
			r.Script = *script
		}
		if command != nil {
			r.Command = *command
		}
		if arguments == nil {
			return nil
		}
		return json.Unmarshal([]byte(*arguments), &r.Arguments)
	}, "SELECT run, config ->> '$.script', config ->> '$.command', config -> '$.arguments' FROM specs WHERE run IN (SELECT value FROM json_each(?))",
		string(list))
}

// Count is how many runs there are of a state and outcome.
type Count struct {
	Target  string
	State   run.State
	Outcome run.Outcome // empty: none yet
	Runs    int
}

// Counts returns the numbers of runs by target, state and outcome.
func (s *Store) Counts(ctx context.Context) ([]Count, error) {
	var all []Count
	err := s.read(ctx, func(q querier) error {
		return each(ctx, q, func(rows *sql.Rows) error {
			var c Count
			err := rows.Scan(&c.Target, &c.State, &c.Outcome, &c.Runs)
			all = append(all, c)
			return err
		}, "SELECT target, state, coalesce(outcome, ''), count(*) FROM runs GROUP BY 1, 2, 3 ORDER BY 1, 2, 3")
	})
	if err != nil {
		return nil, fmt.Errorf("count runs: %w", err)
	}
	return all, nil
}
