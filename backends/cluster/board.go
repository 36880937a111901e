package cluster

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"
)

// board is what the engine said last of all our jobs. Whoever wants to know
// looks here; the engine is asked once for all, and not more often than every
// so often, however many look.
type board struct {
	engine Engine
	every  time.Duration

	asking sync.Mutex // one question at a time

	mu   sync.Mutex
	at   time.Time // of the last answer
	jobs map[Mark][]State
	// noted are jobs that came after the last question was put.
	noted map[Mark][]State
	// past are what is remembered of jobs that the engine tells of no more; an
	// empty list: nothing.
	past map[Mark][]State
}

func newBoard(e Engine, every time.Duration) *board {
	return &board{engine: e, every: every, jobs: map[Mark][]State{}, noted: map[Mark][]State{}, past: map[Mark][]State{}}
}

// look gives what is known of marks; the answer is not older than the board's
// pace allows.
func (b *board) look(ctx context.Context, marks []Mark) (map[Mark][]State, error) {
	return b.since(ctx, time.Now().Add(-b.every), marks)
}

// fresh gives what is known of marks by a question that is put now.
func (b *board) fresh(ctx context.Context, marks []Mark) (map[Mark][]State, error) {
	return b.since(ctx, time.Now(), marks)
}

// since gives what is known of marks by an answer to a question that was put
// after a moment.
func (b *board) since(ctx context.Context, moment time.Time, marks []Mark) (map[Mark][]State, error) {
	if err := b.ask(ctx, moment); err != nil {
		return nil, err
	}
	if err := b.remember(ctx, marks); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	known := make(map[Mark][]State, len(marks))
	for _, m := range marks {
		known[m] = b.known(m)
	}
	return known, nil
}

// known of a mark; b.mu is held.
func (b *board) known(m Mark) []State {
	for _, from := range []map[Mark][]State{b.jobs, b.noted, b.past} {
		if states := from[m]; len(states) > 0 {
			return states
		}
	}
	return nil
}

// ask puts the question unless somebody did after moment.
func (b *board) ask(ctx context.Context, moment time.Time) error {
	b.asking.Lock()
	defer b.asking.Unlock()
	b.mu.Lock()
	enough := b.at.After(moment)
	b.mu.Unlock()
	if enough {
		return nil
	}
	began := time.Now()
	b.mu.Lock()
	before := b.noted
	b.noted = map[Mark][]State{}
	b.mu.Unlock()
	all, err := b.engine.Jobs(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		for m, s := range before {
			if len(b.noted[m]) == 0 {
				b.noted[m] = s
			}
		}
		return err
	}
	b.at = began
	b.jobs = make(map[Mark][]State, len(all))
	for _, s := range all {
		b.jobs[s.Mark] = append(b.jobs[s.Mark], s)
		delete(b.past, s.Mark)
	}
	for _, states := range b.jobs {
		slices.SortFunc(states, older)
	}
	return nil
}

// older sorts jobs as they came: by number where ids are numbers.
func older(a, b State) int {
	x, errX := strconv.ParseUint(a.ID, 10, 64)
	y, errY := strconv.ParseUint(b.ID, 10, 64)
	switch {
	case errX == nil && errY == nil && x != y:
		if x < y {
			return -1
		}
		return 1
	case a.ID < b.ID:
		return -1
	case a.ID > b.ID:
		return 1
	}
	return 0
}

// remember asks once for what the engine tells of no more.
func (b *board) remember(ctx context.Context, marks []Mark) error {
	b.mu.Lock()
	var missing []Mark
	for _, m := range marks {
		if _, asked := b.past[m]; !asked && len(b.known(m)) == 0 {
			missing = append(missing, m)
		}
	}
	b.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	found, err := b.engine.Past(ctx, missing)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range missing {
		b.past[m] = nil
	}
	for _, s := range found {
		b.past[s.Mark] = append(b.past[s.Mark], s)
	}
	return nil
}

// note puts a job on the board that was submitted just now.
func (b *board) note(s State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noted[s.Mark] = append(b.noted[s.Mark], s)
	delete(b.past, s.Mark)
}

// forget is told that nobody will look for a mark any more.
func (b *board) forget(m Mark) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.past, m)
	delete(b.noted, m)
}

// live are the ids of jobs that have not ended.
func live(states []State) []string {
	var ids []string
	for _, s := range states {
		if s.Phase == Pending || s.Phase == Running {
			ids = append(ids, s.ID)
		}
	}
	return ids
}
