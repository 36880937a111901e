package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/internal/supervise"
)

// LogName is where an attempt's own log is among its artifacts: Azure ML's
// name for it.
const LogName = "logs/std_log.txt"

// logIndexName says when each part of the log was written.
const logIndexName = "logs/std_log.idx"

// environmentLogName is what the tools said that made an attempt's environment.
const environmentLogName = "logs/environment_log.txt"

// NoAttemptError is an attempt that a run does not have.
type NoAttemptError struct {
	Run             string
	Attempt, Newest int
}

func (e *NoAttemptError) Error() string {
	if e.Newest == 0 {
		return fmt.Sprintf("%s has not begun an attempt yet", e.Run)
	}
	return fmt.Sprintf("%s has no attempt %d: the newest is %d", e.Run, e.Attempt, e.Newest)
}

// Logs reads what a run's script wrote, byte for byte. It reads from the
// target while the attempt runs and from its artifacts after that; with
// q.Follow no byte is lost or told twice in between. A run without an attempt
// has an empty log.
func (c *Controller) Logs(ctx context.Context, id string, q LogQuery) (io.ReadCloser, error) {
	id, err := c.store.Resolve(ctx, id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	l := &logReader{c: c, ctx: ctx, cancel: cancel, id: id, q: q, attempt: q.Attempt, offset: q.Offset}
	l.changes, l.unsubscribe = c.store.Subscribe(id)
	r, err := c.store.Run(ctx, id)
	if err != nil {
		l.Close()
		return nil, err
	}
	if err := checkNode(id, r.Config, q.Node); err != nil {
		l.Close()
		return nil, err
	}
	switch newest := len(r.Attempts); {
	case q.Attempt > newest:
		l.Close()
		return nil, &NoAttemptError{Run: id, Attempt: q.Attempt, Newest: newest}
	case q.Attempt == 0:
		l.attempt = max(newest, 1)
	}
	if err := l.begin(r); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// logReader walks through the places where an attempt's log is, one after the
// other, and on to later attempts.
type logReader struct {
	c           *Controller
	ctx         context.Context //nolint:containedctx // a reader has no other way to end
	cancel      context.CancelFunc
	id          string
	q           LogQuery
	changes     <-chan store.Change
	unsubscribe func()

	attempt int
	offset  int64
	current io.ReadCloser
	home    bool // current is the artifact: complete
}

// Position is the attempt whose log this is, and the offset in it of the next
// byte, so that a reader that was cut off can go on at the right place.
func (l *logReader) Position() (attempt int, offset int64) { return l.attempt, l.offset }

// begin finds the offset that Tail and Since ask for.
func (l *logReader) begin(r *run.Run) error {
	if l.q.Tail < 0 && l.q.Since.IsZero() || l.q.Offset > 0 || l.attempt > len(r.Attempts) {
		return nil
	}
	var err error
	if f, _ := l.openArtifact(r); f != nil {
		l.offset, err = supervise.TailOffset(f, l.q.Tail)
		if err == nil && !l.q.Since.IsZero() {
			var at int64
			at, err = l.offsetSince(r, f.File().Size)
			l.offset = max(l.offset, at)
		}
		f.Close()
	} else if t, terr := l.c.target(r.Target); terr == nil {
		if f, ok := t.backend.(backends.LogFinder); ok {
			at := backends.Ref{Run: l.id, Number: l.attempt, Handle: backends.Handle(r.Attempts[l.attempt-1].Handle)}
			ctx := l.ctx
			if !l.q.Follow {
				var done context.CancelFunc
				ctx, done = t.whileThere(ctx)
				defer done()
			}
			l.offset, err = f.LogOffset(ctx, at, l.q.Node, l.q.Tail, l.q.Since)
			if cause := context.Cause(ctx); err != nil && cause != nil {
				return cause
			}
		}
	}
	if err != nil {
		return fmt.Errorf("find a place in the log: %w", err)
	}
	return nil
}

func (l *logReader) Read(p []byte) (int, error) {
	for {
		if l.current == nil {
			if more, err := l.open(); err != nil || !more {
				return 0, eofOr(err)
			}
			continue
		}
		n, err := l.current.Read(p)
		l.offset += int64(n)
		if n > 0 {
			return n, nil
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) && l.ctx.Err() != nil {
			return 0, l.ctx.Err()
		}
		l.current.Close()
		l.current = nil
		if !errors.Is(err, io.EOF) && !l.q.Follow {
			return 0, err
		}
		if more, err := l.after(); err != nil || !more {
			return 0, eofOr(err)
		}
	}
}

func eofOr(err error) error {
	if err != nil {
		return err
	}
	return io.EOF
}

// open opens the log where it is now. When there is nothing yet it waits, or
// reports that there is no more.
func (l *logReader) open() (bool, error) {
	for {
		r, err := l.c.store.Run(l.ctx, l.id)
		if err != nil {
			return false, fmt.Errorf("read run: %w", err)
		}
		if f, err := l.openArtifact(r); err != nil {
			return false, err
		} else if f != nil {
			l.current, l.home = f, true
			return true, nil
		}
		if l.attempt <= len(r.Attempts) {
			a := r.Attempts[l.attempt-1]
			if isHome(a) {
				l.home = true
				if f := l.openEnvironmentLog(r); f != nil {
					l.current = f
					return true, nil
				}
				return l.after()
			}
			if a.Handle != "" {
				return l.openLive(r, a)
			}
		}
		if r.State.Ended() || !l.q.Follow {
			return false, nil
		}
		if err := l.wait(); err != nil {
			return false, err
		}
	}
}

func (l *logReader) openLive(r *run.Run, a run.Attempt) (bool, error) {
	t, err := l.c.target(r.Target)
	if err != nil {
		return false, err
	}
	at := backends.Ref{Run: l.id, Number: a.Number, Handle: backends.Handle(a.Handle)}
	ctx := l.ctx
	if !l.q.Follow {
		var done context.CancelFunc
		ctx, done = t.whileThere(ctx)
		context.AfterFunc(l.ctx, done)
	}
	f, err := t.backend.Logs(ctx, at, backends.Source{Node: l.q.Node, Follow: l.q.Follow}, l.offset)
	if err == nil {
		l.current, l.home = f, false
		return true, nil
	}
	if !l.q.Follow {
		return false, fmt.Errorf("read the log on the target: %w", err)
	}
	return true, l.pause()
}

// after says what follows the end of what was read: the rest of the attempt's
// log at its next place, the next attempt, or nothing.
func (l *logReader) after() (bool, error) {
	if !l.q.Follow {
		return false, nil
	}
	for {
		r, err := l.c.store.Run(l.ctx, l.id)
		if err != nil {
			return false, fmt.Errorf("read run: %w", err)
		}
		if !l.home {
			if l.attempt <= len(r.Attempts) && isHome(r.Attempts[l.attempt-1]) {
				return true, nil // open reads on there, from the same offset
			}
			if r.State == run.Running { // the target gave no more for now
				return true, l.pause()
			}
		} else {
			if l.q.Attempt == 0 && l.attempt < len(r.Attempts) {
				l.attempt, l.offset, l.home = l.attempt+1, 0, false
				return true, nil
			}
			if l.q.Attempt != 0 || r.State.Ended() {
				return false, nil
			}
		}
		if err := l.wait(); err != nil {
			return false, err
		}
	}
}

// wait blocks until the run changes.
func (l *logReader) wait() error {
	select {
	case <-l.ctx.Done():
		return l.ctx.Err()
	case <-l.c.ctx.Done():
		return io.ErrUnexpectedEOF
	case _, ok := <-l.changes:
		if !ok {
			return io.ErrUnexpectedEOF
		}
		return nil
	}
}

// pause gives the target a moment before it is asked again, or until the run
// changes.
func (l *logReader) pause() error {
	moment := time.NewTimer(100 * time.Millisecond)
	defer moment.Stop()
	select {
	case <-moment.C:
		return nil
	case <-l.ctx.Done():
		return l.ctx.Err()
	case <-l.c.ctx.Done():
		return io.ErrUnexpectedEOF
	case _, ok := <-l.changes:
		if !ok {
			return io.ErrUnexpectedEOF
		}
		return nil
	}
}

// isHome says that no more comes of what an attempt left.
func isHome(a run.Attempt) bool { return a.Collected || a.State.Ended() }

// openArtifact opens the log at home, once it is whole; nil: it is not there.
func (l *logReader) openArtifact(r *run.Run) (artifact.Readable, error) {
	if l.attempt > len(r.Attempts) || !isHome(r.Attempts[l.attempt-1]) {
		return nil, nil
	}
	folder, err := l.c.attemptFolder(r.Config, l.id, l.attempt)
	if err != nil {
		return nil, err
	}
	f, err := folder.Open(l.ctx, LogName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	if _, err := f.Seek(l.offset, io.SeekStart); err != nil {
		f.Close()
		return nil, fmt.Errorf("open the log at %d: %w", l.offset, err)
	}
	return f, nil
}

// offsetSince is where in the log at home, of that size, begins what Since asks for.
func (l *logReader) offsetSince(r *run.Run, size int64) (int64, error) {
	folder, err := l.c.attemptFolder(r.Config, l.id, l.attempt)
	if err != nil {
		return 0, err
	}
	f, err := folder.Open(l.ctx, logIndexName)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open the log's index: %w", err)
	}
	defer f.Close()
	index, err := io.ReadAll(f)
	if err != nil {
		return 0, fmt.Errorf("read the log's index: %w", err)
	}
	return supervise.OffsetIn(index, size, l.q.Since), nil
}

// openEnvironmentLog opens what stands for the log of an attempt whose script
// never began: what the tools said. Whoever follows a run wants only what the
// script writes.
func (l *logReader) openEnvironmentLog(r *run.Run) io.ReadCloser {
	if l.q.Follow || l.offset > 0 {
		return nil
	}
	folder, err := l.c.attemptFolder(r.Config, l.id, l.attempt)
	if err != nil {
		return nil
	}
	f, err := folder.Open(l.ctx, environmentLogName)
	if err != nil {
		return nil
	}
	return f
}

// Close ends the reading.
func (l *logReader) Close() error {
	l.cancel()
	l.unsubscribe()
	if l.current != nil {
		return l.current.Close()
	}
	return nil
}
