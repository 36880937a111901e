package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/runnerml/runner/backends"
)

// logStep is how often a log that is followed is looked at: a shared file
// system does not tell of what others write.
const logStep = 250 * time.Millisecond

// Logs reads the supervisor's file.
func (b *Backend) Logs(ctx context.Context, ref backends.Ref, src backends.Source, offset int64) (io.ReadCloser, error) {
	if !src.Follow {
		return b.files.Logs(ctx, ref, src, offset)
	}
	sups, err := b.files.Supervised(ctx, []backends.Ref{ref})
	if err != nil && !b.files.Unreachable(err) {
		return nil, fmt.Errorf("logs of %s: %w", markOf(ref).Name(), err)
	}
	if err == nil && !handed(sups[0]) {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	ctx, cancel := context.WithCancel(ctx)
	return &follower{b: b, ctx: ctx, cancel: cancel, ref: ref, src: backends.Source{Node: src.Node}, offset: offset}, nil
}

// follower reads a log that grows, until the attempt has ended and all is
// read.
type follower struct {
	b      *Backend
	ctx    context.Context //nolint:containedctx // an io.Reader cannot take one in Read
	cancel context.CancelFunc
	ref    backends.Ref
	src    backends.Source
	offset int64
	held   bytes.Buffer
	over   bool
}

// mostHeld is how much is read ahead at once.
const mostHeld = 1 << 20

// Read gives what is there, or waits.
func (f *follower) Read(p []byte) (int, error) {
	for f.held.Len() == 0 {
		if err := f.ctx.Err(); err != nil {
			return 0, context.Cause(f.ctx)
		}
		// Asked before the log is read: then what is read is all.
		over := f.over || f.ended()
		n, err := f.more()
		switch {
		case err != nil && f.ctx.Err() != nil:
			return 0, context.Cause(f.ctx)
		case err != nil && !f.b.files.Unreachable(err):
			return 0, err
		case err == nil && n == 0 && over:
			return 0, io.EOF
		case n == 0:
			f.rest()
		}
		f.over = over
	}
	return f.held.Read(p)
}

// more reads some of what is new.
func (f *follower) more() (int64, error) {
	r, err := f.b.files.Logs(f.ctx, f.ref, f.src, f.offset)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(&f.held, io.LimitReader(r, mostHeld))
	f.offset += n
	return n, errors.Join(err, r.Close())
}

// ended reports whether nothing more will be written.
func (f *follower) ended() bool {
	seen, err := f.b.Observe(f.ctx, []backends.Ref{f.ref})
	return err == nil && (seen[0].Phase == backends.Ended || seen[0].Phase == backends.Absent)
}

func (f *follower) rest() {
	t := time.NewTimer(logStep)
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.ctx.Done():
	}
}

// Close ends the following. A Read that waits returns.
func (f *follower) Close() error {
	f.cancel()
	return nil
}
