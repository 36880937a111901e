package machine

import (
	"context"
	"encoding/json"

	"github.com/runnerml/runner/internal/attemptdir"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/workcopy"
)

// directories makes attempts' directories ready on the host.
type directories interface {
	OpenAttempt(ctx context.Context, o attemptdir.Opening) (attemptdir.Opened, error)
	WriteRecord(ctx context.Context, name string, data []byte, durable bool) error
	LookAtAttempt(ctx context.Context, l attemptdir.Looking) (attemptdir.Looked, error)
	CloseAttempt(ctx context.Context, c attemptdir.Closing) (attemptdir.Closed, error)
}

// directoriesHere are those of this computer.
type directoriesHere struct{ shelf *workcopy.Shelf }

func (directoriesHere) OpenAttempt(ctx context.Context, o attemptdir.Opening) (attemptdir.Opened, error) {
	return attemptdir.Open(ctx, o)
}

func (directoriesHere) WriteRecord(ctx context.Context, name string, data []byte, durable bool) error {
	return attemptdir.WriteRecord(ctx, name, data, durable)
}

func (directoriesHere) LookAtAttempt(_ context.Context, l attemptdir.Looking) (attemptdir.Looked, error) {
	return attemptdir.Look(l)
}

func (d directoriesHere) CloseAttempt(ctx context.Context, c attemptdir.Closing) (attemptdir.Closed, error) {
	return attemptdir.Close(ctx, c, func(ctx context.Context, p attemptdir.Parking) error {
		_, err := d.shelf.Park(ctx, workcopy.Place{Dir: p.Work, List: p.List, Unit: p.Unit})
		return err
	})
}

// copies makes working directories on the host.
type copies interface {
	// Fill makes a working directory that holds a snapshot of the store here.
	// What was left of one went when the attempt's directory was opened.
	Fill(ctx context.Context, id snapshot.ID, at workcopy.Place, f attemptdir.Finishing, progress func(snapshot.Progress)) (attemptdir.Finished, error)
}

var (
	_ copies      = (*onhost.Unpacker)(nil)
	_ directories = (*onhost.Host)(nil)
)

// copiesHere are those of this computer.
type copiesHere struct{ *workcopy.Shelf }

func (c copiesHere) Fill(ctx context.Context, id snapshot.ID, at workcopy.Place, f attemptdir.Finishing, progress func(snapshot.Progress)) (attemptdir.Finished, error) {
	if err := c.Shelf.Fill(ctx, id, at, progress); err != nil {
		return attemptdir.Finished{}, err
	}
	return attemptdir.Finish(at.Dir, f)
}

// openAttempt makes the attempt's directory and writes its record, unless it
// has one or was started. before is what the record said.
func (m *Machine) openAttempt(ctx context.Context, at place, r *record, replace bool) (found attemptdir.Opened, before *record, err error) {
	data, err := json.Marshal(r)
	if err != nil {
		return found, nil, err
	}
	found, err = m.directories.OpenAttempt(ctx, attemptdir.Opening{
		Owner: m.config.Installation,
		Dirs:  []string{string(at), m.layout.checkpoint(r.Run)}, Sup: at.sup(),
		Record: at.record(), Content: data, Stale: at.workNames(), Replace: replace, Durable: m.config.Jobs,
	})
	if err != nil || found.Before == nil {
		return found, nil, err
	}
	return found, recordOf(found.Before), nil
}

// look says what is there of an attempt: its record, or nil, and its supervisor's
// status; with list, what is at the top of its working directory.
func (m *Machine) look(ctx context.Context, at place, list bool) (*record, attemptdir.Looked, error) {
	l := attemptdir.Looking{Sup: at.sup(), Record: at.record()}
	if list {
		l.List = at.work()
	}
	found, err := m.directories.LookAtAttempt(ctx, l)
	if err != nil || found.Record == nil {
		return nil, found, err
	}
	return recordOf(found.Record), found, nil
}

func (m *Machine) writeRecord(ctx context.Context, at place, r *record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return m.directories.WriteRecord(ctx, at.record(), data, m.config.Jobs)
}
