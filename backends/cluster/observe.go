package cluster

import (
	"context"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/supervise"
)

// Observe reads what the supervisors wrote, and asks the engine once for what
// they do not tell.
func (b *Backend) Observe(ctx context.Context, refs []backends.Ref) ([]backends.Observation, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	seen, err := b.observe(ctx, refs)
	if err != nil && ctx.Err() == nil && (b.files.Unreachable(err) || backends.IsTemporary(err)) {
		seen = make([]backends.Observation, len(refs))
		for i, ref := range refs {
			seen[i] = backends.Observation{Phase: backends.Unknown, Handle: ref.Handle, Reason: err.Error()}
		}
		return seen, nil
	}
	return seen, err
}

func (b *Backend) observe(ctx context.Context, refs []backends.Ref) ([]backends.Observation, error) {
	sups, err := b.files.Supervised(ctx, refs)
	if err != nil {
		return nil, err
	}
	all := make([]evidence, len(refs))
	var asked []Mark
	needed := false // what the engine says, to know anything at all
	look := b.board.look
	for i, ref := range refs {
		all[i] = evidence{sup: sups[i], now: time.Now()}
		if handed(sups[i]) && !settled(sups[i]) {
			asked = append(asked, markOf(ref))
			needed = needed || !finished(sups[i])
		}
		if finished(sups[i]) {
			look = b.board.fresh // what the engine said before the end is no word of it
		}
	}
	known := map[Mark][]State{}
	var away error
	if len(asked) > 0 {
		if known, away = look(ctx, asked); away != nil && needed && !backends.IsTemporary(away) {
			return nil, away
		}
	}
	for i, ref := range refs {
		if states := known[markOf(ref)]; len(states) > 0 {
			one := chosen(states)
			all[i].job = &one
		}
	}
	if away == nil {
		if err := b.lookAgain(ctx, refs, all); err != nil {
			return nil, err
		}
	}
	seen := make([]backends.Observation, len(refs))
	for i, ref := range refs {
		e := &all[i]
		if away != nil && handed(e.sup) && !settled(e.sup) && !finished(e.sup) {
			seen[i] = backends.Observation{Phase: backends.Unknown, Handle: ref.Handle, Reason: away.Error()}
			continue
		}
		if err := b.explain(ctx, ref, e); err != nil {
			return nil, err
		}
		seen[i] = e.observation()
		if o := &seen[i]; o.Phase != backends.Absent && o.Handle == "" {
			o.Handle = ref.Handle
			if o.Handle == "" {
				o.Handle = handleOf(unknownJob)
			}
		}
	}
	return seen, nil
}

// lookAgain reads once more what supervisors wrote of jobs that the engine says
// are over: what was read before may be older than that.
func (b *Backend) lookAgain(ctx context.Context, refs []backends.Ref, all []evidence) error {
	var again []backends.Ref
	var at []int
	for i, e := range all {
		if handed(e.sup) && e.sup.Phase != supervise.Ended && (e.job == nil || e.job.Phase == Ended) {
			again, at = append(again, refs[i]), append(at, i)
		}
	}
	if len(again) == 0 {
		return nil
	}
	sups, err := b.files.Supervised(ctx, again)
	if err != nil {
		return err
	}
	for n, i := range at {
		all[i].sup = sups[n]
	}
	return nil
}

// handed tells an attempt that was made ready to be submitted, and is not
// released.
func handed(s supervise.Status) bool { return s.Phase != supervise.Absent || !s.NoDirectory }

// explain looks for what else there is, when the two words do not suffice.
func (b *Backend) explain(ctx context.Context, ref backends.Ref, e *evidence) (err error) {
	if !handed(e.sup) || settled(e.sup) || finished(e.sup) && !e.taken() || e.job != nil && e.job.Phase != Ended {
		return nil
	}
	if e.grace, err = b.files.Grace(ctx, ref); err != nil {
		return err
	}
	at, err := b.files.WishedAt(ctx, ref)
	if err != nil {
		return err
	}
	e.wished = !at.IsZero()
	if e.sup.Phase == supervise.Ended {
		e.failed, err = b.files.FailedRank(ctx, ref)
	} else {
		e.said, err = b.files.EngineLog(ctx, ref)
	}
	return err
}
