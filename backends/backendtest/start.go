package backendtest

import (
	"context"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
)

func startCases() []Case {
	return []Case{
		{"start/life of an attempt", lifeOfAnAttempt},
		{"start/not started", notStarted},
		{"start/twice", startTwice},
		{"start/twice at once", startTwiceAtOnce},
		{"start/lost answer", lostAnswer},
		{"start/given up at any moment", startGivenUp},
		{"start/watch", watch},
	}
}

func lifeOfAnAttempt(w *world) {
	before := time.Now().Add(-time.Second)
	a := w.attempt("echo hello")
	ref, o := w.carryOut(a)
	w.expect(o, run.OutcomeCompleted, 0, "")
	if o.StartedAt.Before(before) || o.EndedAt.Before(o.StartedAt) || o.EndedAt.After(time.Now().Add(time.Second)) {
		w.Errorf("started %v, ended %v", o.StartedAt, o.EndedAt)
	}
	if o.Node == "" {
		w.Error("no node")
	}
	if got := w.log(ref); got != "hello\n" {
		w.Errorf("log %q", got)
	}
	home := w.collect(ref)
	if got := w.content(home, "logs/std_log.txt"); got != "hello\n" {
		w.Errorf("collected log %q", got)
	}
	w.must(w.backend.Release(w.context(), ref))
	if o := w.observe(a.Ref()); o.Phase != backends.Absent {
		w.Errorf("after release: %s", describe(o))
	}
	if got := w.content(home, "logs/std_log.txt"); got != "hello\n" {
		w.Errorf("log at home after release: %q", got)
	}
}

func notStarted(w *world) {
	a := w.attempt("true")
	check := func(when string) {
		w.Helper()
		if o := w.observe(a.Ref()); o.Phase != backends.Absent {
			w.Errorf("%s: %s", when, describe(o))
		}
		if got := w.log(a.Ref()); got != "" {
			w.Errorf("%s: log %q", when, got)
		}
	}
	check("before Prepare")
	w.must(w.backend.Prepare(w.context(), a, nil))
	check("before Start")
	w.must(w.backend.Stop(w.context(), a.Ref(), time.Second))
	w.must(w.backend.Collect(w.context(), a.Ref(), w.sink(w.home(a.Ref()))))
	w.must(w.backend.Release(w.context(), a.Ref()))
	w.must(w.backend.Release(w.context(), a.Ref()))
	check("after Release")
}

// countStarts is a command that leaves a mark for each time it was begun.
const countStarts = `echo x >>"$RUNNER_CHECKPOINT_DIR/starts"; wc -l <"$RUNNER_CHECKPOINT_DIR/starts"; `

func startTwice(w *world) {
	a := w.attempt(countStarts + "sleep 0.5")
	ref := w.begin(a)
	again := func(when string) {
		w.Helper()
		handle, err := w.backend.Start(w.context(), a)
		w.must(err)
		if handle != ref.Handle {
			w.Errorf("%s: handle %q, first %q", when, handle, ref.Handle)
		}
	}
	again("at once")
	w.running(ref)
	again("while it runs")
	w.expect(w.ended(ref), run.OutcomeCompleted, 0, "")
	again("after its end")
	w.expect(w.observe(ref), run.OutcomeCompleted, 0, "")
	if got := strings.TrimSpace(w.log(ref)); got != "1" {
		w.Errorf("begun more than once: %q", got)
	}
}

func startTwiceAtOnce(w *world) {
	a := w.attempt(countStarts + "sleep 0.5")
	w.must(w.backend.Prepare(w.context(), a, nil))
	ctx := w.context()
	handles := make([]backends.Handle, 6)
	var wg sync.WaitGroup
	for i := range handles {
		b := w.backend
		if i%2 == 1 {
			b = w.target.New(w)
		}
		wg.Go(func() {
			var err error
			if handles[i], err = b.Start(ctx, a); err != nil {
				w.Error(err)
			}
		})
	}
	wg.Wait()
	for _, h := range handles {
		if h != handles[0] || h == "" {
			w.Fatalf("handles %q", handles)
		}
	}
	ref := a.Ref()
	ref.Handle = handles[0]
	w.expect(w.ended(ref), run.OutcomeCompleted, 0, "")
	if got := strings.TrimSpace(w.log(ref)); got != "1" {
		w.Errorf("begun more than once: %q", got)
	}
}

// lostAnswer: Start took effect, and whoever called it died before it could
// store the handle.
func lostAnswer(w *world) {
	a := w.attempt(`echo started; trap 'echo stopped; exit 3' TERM; while :; do sleep 0.1; done 2>/dev/null`)
	ref := w.begin(a)
	w.running(ref)
	w.backend = w.target.New(w)
	bare := a.Ref()
	if o := w.observe(bare); o.Phase != backends.Running || o.Handle != ref.Handle {
		w.Errorf("found %s with handle %q, want %q", describe(o), o.Handle, ref.Handle)
	}
	handle, err := w.backend.Start(w.context(), a)
	w.must(err)
	if handle != ref.Handle {
		w.Errorf("started again: %q, first %q", handle, ref.Handle)
	}
	w.eventually("its first line", func() bool { return strings.Contains(w.log(bare), "started") })
	w.must(w.backend.Stop(w.context(), bare, 10*time.Second))
	w.expect(w.ended(bare), run.OutcomeCanceled, 3, "")
	if got := w.log(bare); got != "started\nstopped\n" {
		w.Errorf("log %q", got)
	}
	home := w.collect(bare)
	if got := w.content(home, "logs/std_log.txt"); got != "started\nstopped\n" {
		w.Errorf("collected log %q", got)
	}
}

// startGivenUp: the agent is told to end while it starts an attempt. Whatever
// that start came to, the next agent's finds it, and the attempt runs once.
func startGivenUp(w *world) {
	const times = 8
	first := w.attempt("true")
	w.must(w.backend.Prepare(w.context(), first, nil))
	before := time.Now()
	_, err := w.backend.Start(w.context(), first)
	w.must(err)
	took := time.Since(before)
	for i := range times {
		a := w.attempt(countStarts + "exit 6")
		w.must(w.backend.Prepare(w.context(), a, nil))
		ctx, giveUp := context.WithCancelCause(w.context())
		after := took * time.Duration(i) / times
		after += time.Duration(mathrand.Int64N(int64(took / times)))
		timer := time.AfterFunc(after, func() { giveUp(backends.ErrAgentEnds) })
		_, err := w.backend.Start(ctx, a)
		timer.Stop()
		giveUp(nil)
		if i%2 == 1 {
			<-time.After(2 * took) // the next agent comes when it comes
		}
		w.backend = w.target.New(w)
		handle, againErr := w.backend.Start(w.context(), a)
		if againErr != nil {
			w.Fatalf("given up after %s (%v): %v", after, err, againErr)
		}
		ref := a.Ref()
		ref.Handle = handle
		o := w.ended(ref)
		w.expect(o, run.OutcomeScriptFailed, 6, "")
		if got := strings.TrimSpace(w.log(ref)); got != "1" {
			w.Fatalf("given up after %s (%v): begun %q times: %s", after, err, got, describe(o))
		}
		w.must(w.backend.Release(w.context(), ref))
	}
}

// watch: whoever can say when something changed says it soon.
func watch(w *world) {
	watcher, ok := w.backend.(backends.Watcher)
	if !ok {
		w.Skip("this backend does not watch")
	}
	a := w.attempt("sleep 0.3")
	changed := make(chan backends.Ref, 1000)
	ctx := w.context()
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- watcher.Watch(ctx, func(ref backends.Ref) {
			select {
			case changed <- ref:
			default:
			}
		})
	}()
	ref := w.begin(a)
	for {
		select {
		case got := <-changed:
			if got.Run != "" && (got.Run != ref.Run || got.Number != ref.Number) {
				continue
			}
		case <-ctx.Done():
			w.Fatal("nobody said that the attempt ended")
		}
		if o := w.observe(ref); o.Phase == backends.Ended {
			if late := time.Since(o.EndedAt); late > 2*time.Second {
				w.Errorf("said %v after the end", late)
			}
			break
		}
	}
	stop()
	<-done
}
