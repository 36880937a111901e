package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/supervise"
)

// errOneNode is a node that a single machine does not have.
var errOneNode = errors.New("this target carries an attempt out on one node")

// Logs reads the supervisor's file.
func (m *Machine) Logs(ctx context.Context, ref backends.Ref, src backends.Source, offset int64) (io.ReadCloser, error) {
	if src.Node != 0 {
		return nil, fmt.Errorf("logs of %s, node %d: %w", mark(ref), src.Node, errOneNode)
	}
	sup := m.layout.attempt(ref).sup()
	if src.Follow && ref.Handle == "" {
		// To follow is to watch the directory, which the start makes.
		if _, err := m.host.Stat(ctx, sup); errors.Is(err, fs.ErrNotExist) {
			return io.NopCloser(bytes.NewReader(nil)), nil
		}
	}
	r, err := m.openLog(ctx, sup, offset, src.Follow)
	if err != nil {
		return nil, fmt.Errorf("logs of %s: %w", mark(ref), err)
	}
	return r, nil
}

// LogOffset finds where the last tail lines, or what was written since, begin.
func (m *Machine) LogOffset(ctx context.Context, ref backends.Ref, node, tail int, since time.Time) (int64, error) {
	if node != 0 {
		return 0, fmt.Errorf("log of %s, node %d: %w", mark(ref), node, errOneNode)
	}
	sup := m.layout.attempt(ref).sup()
	var from int64
	var err error
	if !since.IsZero() {
		if from, err = m.keeper.OffsetSince(ctx, sup, since); err != nil {
			return 0, fmt.Errorf("log of %s: %w", mark(ref), err)
		}
	}
	if tail < 0 {
		return from, nil
	}
	at, err := m.tailOffset(ctx, path.Join(sup, supervise.LogFile), tail)
	if err != nil {
		return 0, fmt.Errorf("log of %s: %w", mark(ref), err)
	}
	return max(from, at), nil
}

// tailOffset is where the last lines of a file begin.
func (m *Machine) tailOffset(ctx context.Context, name string, lines int) (int64, error) {
	f, err := m.host.Open(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // only read
	return supervise.TailOffset(f, lines)
}
