// Package servertest has a Service without an engine, for the tests of
// whatever talks to one. It carries runs out as plain child processes of the
// test, keeps everything in memory and forgets it all at the end.
package servertest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
)

// Service is a server.Service in memory. Its methods are those of the
// controller.
type Service struct {
	FakeTargets
	FakeSecrets
	dir string
	// Submitted counts calls of Submit, those with a known request id too.
	Submitted int

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at every change
	runs     map[string]*run.Run
	order    []string
	events   map[string][]run.Event
	progress map[string]controller.Progress
	requests map[string]string
	cancels  map[string]context.CancelFunc
	work     sync.WaitGroup
}

// New makes a Service that keeps its files in a directory of the test.
func New(t testing.TB) *Service {
	s := NewIn(t.TempDir())
	t.Cleanup(s.Close)
	return s
}

// NewIn makes a Service that keeps its files in dir.
func NewIn(dir string) *Service {
	return &Service{
		dir: dir, changed: make(chan struct{}),
		runs: map[string]*run.Run{}, events: map[string][]run.Event{}, progress: map[string]controller.Progress{},
		requests: map[string]string{}, cancels: map[string]context.CancelFunc{},
	}
}

// Close ends all runs.
func (s *Service) Close() {
	s.mu.Lock()
	for _, cancel := range s.cancels {
		cancel()
	}
	s.mu.Unlock()
	s.work.Wait()
}

// Submit begins a run at once.
func (s *Service) Submit(_ context.Context, sub controller.Submission) (*run.Run, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Submitted++
	if id, ok := s.requests[sub.RequestID]; ok {
		return s.copyOf(id), false, nil
	}
	r := &run.Run{
		ID:         fmt.Sprintf("%s-%010d", sub.Config.Experiment, len(s.order)+1),
		Experiment: sub.Config.Experiment, DisplayName: sub.Config.DisplayName, Target: sub.Config.ComputeTarget,
		State: run.Queued, CreatedAt: time.Now().UTC(), Tags: sub.Config.Tags, Snapshot: sub.Snapshot,
		Priority: sub.Config.Priority, RerunOf: sub.RerunOf, Config: sub.Config, ResolvedEnvironment: sub.Environment,
		Attempts: []run.Attempt{},
	}
	if sub.Environment != nil {
		r.Environment = sub.Environment.Digest
	}
	s.requests[sub.RequestID] = r.ID
	s.runs[r.ID] = r
	s.order = append(s.order, r.ID)
	s.note(r, 0, run.Queued, run.Queued, "submitted")
	ctx, cancel := context.WithCancel(context.Background())
	s.cancels[r.ID] = cancel
	s.work.Go(func() { s.carryOut(ctx, r.ID, sub) })
	return s.copyOf(r.ID), true, nil
}

// SubmitArray begins all runs at once.
func (s *Service) SubmitArray(ctx context.Context, sub controller.ArraySubmission) ([]run.Run, bool, error) {
	var runs []run.Run
	created := false
	for i, arguments := range sub.Arguments {
		one := sub.Submission
		one.RequestID = fmt.Sprintf("%s/%d", sub.RequestID, i)
		one.Config = sub.Config.Member(i, arguments)
		r, isNew, err := s.Submit(ctx, one)
		if err != nil {
			return nil, false, err
		}
		runs, created = append(runs, *r), created || isNew
	}
	return runs, created, nil
}

// note adds an event and tells everybody; the lock is held.
func (s *Service) note(r *run.Run, attempt int, from, to run.State, why string) {
	s.events[r.ID] = append(s.events[r.ID], run.Event{
		Seq: len(s.events[r.ID]) + 1, Time: time.Now().UTC(), Attempt: attempt, From: from, To: to, Why: why,
	})
	s.tell()
}

func (s *Service) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Service) copyOf(id string) *run.Run {
	r := *s.runs[id]
	r.Attempts = slices.Clone(r.Attempts)
	return &r
}

// find resolves an id, prefix or "@last"; the lock is held.
func (s *Service) find(id string) (string, error) {
	if id == "@last" && len(s.order) > 0 {
		return s.order[len(s.order)-1], nil
	}
	if _, ok := s.runs[id]; ok {
		return id, nil
	}
	var fits []string
	for _, known := range s.order {
		if strings.HasPrefix(known, id) {
			fits = append(fits, known)
		}
	}
	switch len(fits) {
	case 0:
		return "", &store.NotFoundError{Kind: "run", Name: id}
	case 1:
		return fits[0], nil
	}
	return "", &store.AmbiguousError{Prefix: id, IDs: fits}
}

// Run finds a run.
func (s *Service) Run(_ context.Context, id string) (*run.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := s.find(id)
	if err != nil {
		return nil, err
	}
	return s.copyOf(id), nil
}

// List lists runs, newest first.
func (s *Service) List(_ context.Context, f controller.Filter) ([]run.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []run.Run
	for _, id := range slices.Backward(s.order) {
		r := s.copyOf(id)
		if f.Active && r.State.Ended() ||
			f.Experiment != "" && r.Experiment != f.Experiment ||
			f.Target != "" && r.Target != f.Target ||
			len(f.States) > 0 && !slices.Contains(f.States, r.State) {
			continue
		}
		if f.Limit > 0 && len(list) == f.Limit {
			break
		}
		list = append(list, *r)
	}
	return list, nil
}

// Events lists a run's events.
func (s *Service) Events(_ context.Context, id string, after int) ([]run.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := s.find(id)
	if err != nil {
		return nil, err
	}
	all := s.events[id]
	return slices.Clone(all[min(after, len(all)):]), nil
}

// Cancel kills a run's process.
func (s *Service) Cancel(_ context.Context, id string) (*run.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := s.find(id)
	if err != nil {
		return nil, err
	}
	if r := s.runs[id]; !r.State.Ended() && r.CancelRequestedAt == nil {
		now := time.Now().UTC()
		r.CancelRequestedAt = &now
		s.note(r, len(r.Attempts), r.State, r.State, "cancel was asked for")
		s.cancels[id]()
	}
	return s.copyOf(id), nil
}

// Plan makes up a plan.
func (s *Service) Plan(_ context.Context, sub controller.Submission) (*controller.Plan, error) {
	if sub.Environment == nil {
		return &controller.Plan{Target: sub.Config.ComputeTarget}, nil
	}
	return &controller.Plan{
		Target: sub.Config.ComputeTarget, Environment: sub.Environment.Digest,
		EnvironmentKind: string(sub.Environment.Kind), EnvironmentCached: true,
		Command: []string{"sh", "-c", sub.Config.Command},
	}, nil
}

// RunLock is a lock of one line.
func (s *Service) RunLock(context.Context, string) (string, error) { return "numpy==2.1.0\n", nil }

// Outputs lists the log.
func (s *Service) Outputs(_ context.Context, id string, _ int) ([]controller.OutputFile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := s.find(id)
	if err != nil {
		return nil, err
	}
	var files []controller.OutputFile
	root := s.path(id)
	err = filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files = append(files, controller.OutputFile{Path: name, Size: info.Size(), Mode: uint32(info.Mode().Perm())})
		return nil
	})
	return files, err
}

// OpenOutput opens one file.
func (s *Service) OpenOutput(ctx context.Context, id string, attempt int, path string) (*controller.Readable, error) {
	files, err := s.Outputs(ctx, id, attempt)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if file.Path == path {
			f, err := os.Open(filepath.Join(s.path(id), path))
			return &controller.Readable{OutputFile: file, ReadSeekCloser: f}, err
		}
	}
	return nil, &store.NotFoundError{Kind: "output", Name: path}
}

// CheckData reads nothing.
func (s *Service) CheckData(_ context.Context, path, target string) (*controller.DataCheck, error) {
	return &controller.DataCheck{Path: path, Target: target, Readings: []backends.DataReading{{Where: target, Files: 1, Bytes: 10, Read: 10, Seconds: 1}}}, nil
}

// Prune frees nothing.
func (s *Service) Prune(_ context.Context, o controller.PruneOptions) (*controller.PruneReport, error) {
	return &controller.PruneReport{Runs: []string{}, Environments: []string{}, DryRun: o.DryRun}, nil
}

// BuildEnvironment says that it builds.
func (s *Service) BuildEnvironment(_ context.Context, e *environment.Resolved, name, _ string, log io.Writer, progress func(controller.Progress)) (*controller.EnvironmentInfo, error) {
	progress(controller.Progress{Step: "environment", Detail: "pip: installing", Done: 1, Total: 2})
	if _, err := fmt.Fprintln(log, "collecting numpy"); err != nil {
		return nil, err
	}
	return &controller.EnvironmentInfo{Name: name, Digest: e.Digest, Kind: string(e.Kind), Made: true}, nil
}

// Environments lists one.
func (s *Service) Environments(context.Context) ([]controller.EnvironmentInfo, error) {
	return []controller.EnvironmentInfo{{Name: "sklearn", Digest: "sha256:ab", Kind: "venv", Made: true, Bytes: 1 << 20}}, nil
}

// Environment knows one.
func (s *Service) Environment(ctx context.Context, name string) (*controller.EnvironmentInfo, error) {
	all, err := s.Environments(ctx)
	if err == nil && all[0].Name != name {
		return nil, &store.NotFoundError{Kind: "environment", Name: name}
	}
	return &all[0], err
}

// EnvironmentLock is a lock of one line.
func (s *Service) EnvironmentLock(ctx context.Context, name string) (string, error) {
	if _, err := s.Environment(ctx, name); err != nil {
		return "", err
	}
	return "numpy==2.1.0\n", nil
}
