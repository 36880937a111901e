package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
)

// fakeTarget is a target in memory that outlives the backends that speak to
// it, as a real one outlives agents.
type fakeTarget struct {
	mu       sync.Mutex
	size     backends.Size
	attempts map[backends.Ref]*fakeAttempt
	starts   map[backends.Ref]int
	down     error         // Observe's answer while the target cannot be asked
	prepare  func() error  // what Prepare answers
	block    chan struct{} // Prepare waits for it, when set
	changed  func(backends.Ref)
	released []backends.Ref
	// collect is what Collect answers, when set.
	collect func() error
	// saves counts what Save was asked; restored is what Restore found.
	saves    int
	restored []string
	// endAtOnce: scripts end as they start.
	endAtOnce bool
	// resumes are those that Resume was asked for; it fails the first time.
	resumes []backends.Ref
}

type fakeAttempt struct {
	attempt backends.Attempt
	o       backends.Observation
	log     string
}

func newFakeTarget(cpus float64, gpus ...string) *fakeTarget {
	t := &fakeTarget{
		size: backends.Size{CPUs: cpus, Memory: 8 << 30}, attempts: map[backends.Ref]*fakeAttempt{},
		starts: map[backends.Ref]int{},
	}
	for _, g := range gpus {
		t.size.GPUs = append(t.size.GPUs, backends.GPU{ID: g})
	}
	return t
}

// end ends an attempt as if its script had.
func (t *fakeTarget) end(ref backends.Ref, outcome run.Outcome, code int, log string) {
	t.mu.Lock()
	ref.Handle = ""
	a := t.attempts[ref]
	a.log += log
	a.o.Phase, a.o.Outcome, a.o.ExitCode, a.o.EndedAt = backends.Ended, outcome, &code, time.Now()
	changed := t.changed
	t.mu.Unlock()
	if changed != nil {
		changed(ref)
	}
}

func (t *fakeTarget) running(ref backends.Ref) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.attempts[ref]
	return a != nil && a.o.Phase == backends.Running
}

// fakeBackend is one agent's door to a fakeTarget.
type fakeBackend struct{ t *fakeTarget }

func (b fakeBackend) Size(context.Context) (backends.Size, error) { return b.t.size, nil }

func (b fakeBackend) Watch(ctx context.Context, changed func(backends.Ref)) error {
	b.t.mu.Lock()
	b.t.changed = changed
	b.t.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (b fakeBackend) Prepare(ctx context.Context, _ backends.Attempt, p backends.Progress) error {
	p.Report(backends.Step{Name: "environment", Detail: "installing"})
	b.t.mu.Lock()
	block, prepare := b.t.block, b.t.prepare
	b.t.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if prepare != nil {
		return prepare()
	}
	return nil
}

func (b fakeBackend) Start(_ context.Context, a backends.Attempt) (backends.Handle, error) {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	ref := a.Ref()
	if b.t.attempts[ref] == nil {
		b.t.starts[ref]++
		b.t.attempts[ref] = &fakeAttempt{attempt: a, o: backends.Observation{
			Phase: backends.Running, Handle: "h", Node: "here", StartedAt: time.Now(),
		}}
		if b.t.endAtOnce {
			code := 0
			o := &b.t.attempts[ref].o
			o.Phase, o.Outcome, o.ExitCode, o.EndedAt = backends.Ended, run.OutcomeCompleted, &code, time.Now()
		}
	}
	return "h", nil
}

func (b fakeBackend) Resume(_ context.Context, a backends.Attempt) error {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	b.t.resumes = append(b.t.resumes, a.Ref())
	if len(b.t.resumes) == 1 {
		return errors.New("the machine is busy")
	}
	b.t.attempts[a.Ref()].o.Adrift = false
	return nil
}

func (b fakeBackend) Observe(_ context.Context, refs []backends.Ref) ([]backends.Observation, error) {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	if b.t.down != nil {
		return nil, b.t.down
	}
	out := make([]backends.Observation, len(refs))
	for i, ref := range refs {
		out[i] = backends.Observation{Phase: backends.Absent}
		if a := b.t.attempts[backends.Ref{Run: ref.Run, Number: ref.Number}]; a != nil {
			out[i] = a.o
		}
	}
	return out, nil
}

func (b fakeBackend) Logs(_ context.Context, ref backends.Ref, _ backends.Source, offset int64) (io.ReadCloser, error) {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	a := b.t.attempts[backends.Ref{Run: ref.Run, Number: ref.Number}]
	if a == nil || int(offset) > len(a.log) {
		return io.NopCloser(strings.NewReader("")), nil
	}
	return io.NopCloser(strings.NewReader(a.log[offset:])), nil
}

func (b fakeBackend) Stop(_ context.Context, ref backends.Ref, _ time.Duration) error {
	b.t.mu.Lock()
	a := b.t.attempts[backends.Ref{Run: ref.Run, Number: ref.Number}]
	ended := a == nil || a.o.Phase == backends.Ended
	b.t.mu.Unlock()
	if !ended {
		b.t.end(ref, run.OutcomeCanceled, 143, "")
	}
	return nil
}

func (b fakeBackend) Collect(ctx context.Context, ref backends.Ref, sink artifact.Sink) error {
	b.t.mu.Lock()
	a, collect := b.t.attempts[backends.Ref{Run: ref.Run, Number: ref.Number}], b.t.collect
	b.t.mu.Unlock()
	if collect != nil {
		if err := collect(); err != nil {
			return err
		}
	}
	if a == nil {
		return nil
	}
	return errors.Join(
		sink.Put(ctx, artifact.File{Path: LogName, Mode: 0o600, Size: int64(len(a.log))}, strings.NewReader(a.log)),
		sink.Put(ctx, artifact.File{Path: "outputs/model.txt", Mode: 0o600, Size: -1}, strings.NewReader("model")),
		sink.Settle(ctx),
	)
}

func (b fakeBackend) Release(_ context.Context, ref backends.Ref) error {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	ref.Handle = ""
	b.t.released = append(b.t.released, ref)
	return nil
}

func (b fakeBackend) Save(ctx context.Context, ref backends.Ref, attempt, checkpoint artifact.Folder) error {
	b.t.mu.Lock()
	b.t.saves++
	step := fmt.Sprint(b.t.saves)
	b.t.mu.Unlock()
	return errors.Join(
		attempt.Put(ctx, artifact.File{Path: "outputs/so-far.txt", Mode: 0o600, Size: -1}, strings.NewReader(step)),
		checkpoint.Put(ctx, artifact.File{Path: "checkpoint/step", Mode: 0o600, Size: -1}, strings.NewReader(step)),
	)
}

func (b fakeBackend) Restore(ctx context.Context, _ string, checkpoint artifact.Folder) error {
	files, err := checkpoint.List(ctx)
	if err != nil {
		return err
	}
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	for _, f := range files {
		b.t.restored = append(b.t.restored, f.Path)
	}
	return nil
}
