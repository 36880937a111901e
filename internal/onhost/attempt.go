package onhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/runnerml/runner/internal/attemptdir"
	"github.com/runnerml/runner/internal/flock"
	"github.com/runnerml/runner/internal/workcopy"
)

// OpenAttempt makes an attempt's directory on the host and writes its record,
// unless it was started, or has one: in one question.
func (h *Host) OpenAttempt(ctx context.Context, o attemptdir.Opening) (found attemptdir.Opened, err error) {
	err = h.ofAttempt(ctx, opOpenAttempt, o.Record, o, &found)
	return found, err
}

// WriteRecord writes an attempt's record on the host.
func (h *Host) WriteRecord(ctx context.Context, name string, data []byte, durable bool) error {
	return h.ofAttempt(ctx, opWriteRecord, name, attemptdir.Opening{Record: name, Content: data, Durable: durable}, nil)
}

// LookAtAttempt says what is there of an attempt: in one question.
func (h *Host) LookAtAttempt(ctx context.Context, l attemptdir.Looking) (found attemptdir.Looked, err error) {
	err = h.ofAttempt(ctx, opLookAtAttempt, l.Record, l, &found)
	return found, err
}

// CloseAttempt removes an attempt's directory on the host: in one question.
func (h *Host) CloseAttempt(ctx context.Context, c attemptdir.Closing) (done attemptdir.Closed, err error) {
	err = h.ofAttempt(ctx, opCloseAttempt, c.Dir, c, &done)
	return done, err
}

func (h *Host) ofAttempt(ctx context.Context, op, name string, asked, answer any) error {
	said, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	return h.value(ctx, op, name, request{Said: said}, answer)
}

// attempt answers what is asked about an attempt's directory.
func (s *served) attempt(ctx context.Context, r *request) (any, error) {
	switch r.Op {
	case opLookAtAttempt:
		l, err := saidOf[attemptdir.Looking](r)
		if err != nil {
			return nil, err
		}
		return attemptdir.Look(l)
	case opCloseAttempt:
		c, err := saidOf[attemptdir.Closing](r)
		if err != nil {
			return nil, err
		}
		return s.closeAttempt(ctx, c)
	}
	o, err := saidOf[attemptdir.Opening](r)
	if err != nil {
		return nil, err
	}
	if r.Op == opWriteRecord {
		return nil, attemptdir.WriteRecord(ctx, o.Record, o.Content, o.Durable)
	}
	// The connection may be older than a claim of somebody else's.
	if err := checkOwner(s.here.Root(), o.Owner); err != nil {
		return nil, err
	}
	return attemptdir.Open(ctx, o)
}

func saidOf[T any](r *request) (said T, err error) {
	err = json.Unmarshal(r.Said, &said)
	return said, err
}

// closeAttempt has the directory alone meanwhile: another serve, whose line was
// cut, may still be at it. The lock leaves no file.
func (s *served) closeAttempt(ctx context.Context, c attemptdir.Closing) (done attemptdir.Closed, err error) {
	if err := absolute(c.Dir); err != nil {
		return done, err
	}
	ctx, cancel := untilCut(ctx, s.in)
	defer cancel(nil)
	lock, err := flock.Directory(ctx, c.Dir, flock.Exclusive)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // then what is above it may be left
		return done, err
	}
	if lock != nil {
		defer lock.Release()
	}
	return attemptdir.Close(ctx, c, s.park)
}

// park takes a working directory back that nobody uses any more.
func (s *served) park(ctx context.Context, p attemptdir.Parking) error {
	store, err := s.own.open(filepath.Join(s.here.Root(), ObjectsDir))
	if err != nil {
		return err
	}
	shelf := filepath.Join(s.here.Root(), workcopy.Dir)
	boot, err := bootID(ctx, shelf)
	if err != nil {
		return err
	}
	if _, err := workcopy.Open(shelf, store, boot).Park(ctx, workcopy.Place{Dir: p.Work, List: p.List, Unit: p.Unit}); err != nil {
		return fmt.Errorf("keep the working directory: %w", err)
	}
	return nil
}
