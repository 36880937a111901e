package backendtest

import (
	"github.com/runnerml/runner/backends"
)

func releaseCases() []Case {
	return []Case{
		{"release/while it runs", releaseWhileRunning},
		{"release/prepared only", releasePrepared},
		{"release/by another agent", releaseByAnother},
	}
}

// everything that an attempt can leave running.
const everything = `sleep 300 & setsid sleep 300 & (trap '' TERM HUP; setsid sh -c 'trap "" TERM HUP; sleep 300; :' &); echo ready; sleep 300`

// gone checks that nothing is left of the attempt.
func (w *world) gone(ref backends.Ref) {
	w.Helper()
	if w.target.Traces != nil {
		if left := w.target.Traces(w, ref); len(left) > 0 {
			w.Errorf("left: %q", left)
		}
	}
	if o := w.observe(backends.Ref{Run: ref.Run, Number: ref.Number}); o.Phase != backends.Absent {
		w.Errorf("seen: %s", describe(o))
	}
}

func releaseWhileRunning(w *world) {
	ref := w.begin(w.attempt(everything))
	w.beganWith(ref, "ready")
	w.must(w.backend.Release(w.context(), ref))
	w.gone(ref)
	w.must(w.backend.Release(w.context(), ref))
}

func releasePrepared(w *world) {
	a := w.attempt("true")
	w.must(w.backend.Prepare(w.context(), a, nil))
	w.must(w.backend.Release(w.context(), a.Ref()))
	w.gone(a.Ref())
}

// releaseByAnother knows nothing but run and number.
func releaseByAnother(w *world) {
	ref := w.begin(w.attempt(everything))
	w.beganWith(ref, "ready")
	w.backend = w.target.New(w)
	bare := backends.Ref{Run: ref.Run, Number: ref.Number}
	w.must(w.backend.Release(w.context(), bare))
	w.gone(ref)
}
