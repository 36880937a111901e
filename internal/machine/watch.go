package machine

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/supervise"
)

// watcher is what watches supervised directories, here or on another machine.
type watcher interface {
	Add(dir string) error
	Remove(dir string)
	Run(ctx context.Context, changed func(dir string)) error
}

// watchHost makes a watcher of the host's directories; done frees it.
func (m *Machine) watchHost() (w watcher, done func(), err error) {
	if m.remote == nil {
		here, err := supervise.NewWatcher()
		if err != nil {
			return nil, nil, err
		}
		return here, func() { _ = here.Close() }, nil // closed twice when ctx ended
	}
	return m.remote.client.NewWatcher(m.layout.runs()), func() {}, nil
}

// Watch says when a supervisor's files or a container changed.
func (m *Machine) Watch(ctx context.Context, changed func(backends.Ref)) error {
	w, done, err := m.watchHost()
	if err != nil {
		return err
	}
	defer done()
	m.watching.enter(w)
	defer m.watching.leave(w)
	usesEngine := false
	err = m.eachRecord(ctx, func(r *record) {
		// What cannot be watched (it was released meanwhile) is still observed.
		_ = w.Add(m.layout.attempt(backends.Ref{Run: r.Run, Number: r.Number}).sup())
		usesEngine = usesEngine || r.Form == inContainer
	})
	if err != nil {
		return fmt.Errorf("watch attempts: %w", err)
	}
	changed(backends.Ref{}) // anything may have happened before
	var engine sync.WaitGroup
	defer engine.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.watching.onEngine(w, usesEngine, func() {
		engine.Go(func() { m.watchEngine(ctx, changed) })
	})
	return w.Run(ctx, func(dir string) { changed(m.layout.refOf(dir)) })
}

// watchEngine tells of containers. The supervisors' files tell of all but what
// befalls a container from outside, so that it ends early is no harm.
func (m *Machine) watchEngine(ctx context.Context, changed func(backends.Ref)) {
	engine, err := m.engines.get(ctx)
	if err != nil {
		return
	}
	_ = engine.Watch(ctx, m.config.Installation, func(c container.Mark) {
		changed(backends.Ref{Run: c.Run, Number: c.Attempt})
	})
}

// refOf a supervised directory; empty: any.
func (l layout) refOf(sup string) backends.Ref {
	at := path.Dir(sup)
	number, err := strconv.Atoi(path.Base(at))
	run, isOurs := strings.CutPrefix(path.Dir(path.Dir(at)), l.runs()+"/")
	if err != nil || !isOurs {
		return backends.Ref{}
	}
	return backends.Ref{Run: unescape(run), Number: number}
}

// watchers are the Watches that go on, so that what is started is watched too.
type watchers struct {
	mu  sync.Mutex
	all map[watcher]*engineWatch
}

// engineWatch begins the watching of an engine once, when it is first used.
type engineWatch struct {
	wanted bool
	begin  func()
}

func (w *watchers) enter(one watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[watcher]*engineWatch{}
	}
	w.all[one] = &engineWatch{}
}

func (w *watchers) leave(one watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, one)
}

// onEngine says how to begin to watch the engine, and whether to begin now.
func (w *watchers) onEngine(one watcher, now bool, begin func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.all[one]
	e.wanted = e.wanted || now
	if e.wanted {
		begin()
		return
	}
	e.begin = begin
}

// add watches a supervised directory that has just come to be.
func (w *watchers) add(sup string, f form) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for one, e := range w.all {
		_ = one.Add(sup) // gone again: then there is nothing to see
		if f != inContainer || e.wanted {
			continue
		}
		e.wanted = true
		if e.begin != nil {
			e.begin()
		}
	}
}

func (w *watchers) remove(sup string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.all {
		one.Remove(sup)
	}
}
