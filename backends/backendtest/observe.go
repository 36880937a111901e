package backendtest

import (
	"slices"
	"testing"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
)

func observeCases() []Case {
	return []Case{
		{"observe/many in one question", observeMany},
		{"observe/none", observeNone},
		{"observe/marks", marks},
		{"observe/size", size},
	}
}

// observeMany: the answer has the length and the order of the question, with
// strangers and repeats among it.
func observeMany(w *world) {
	count := w.target.Many
	if count == 0 {
		count = 50
	}
	if testing.Short() {
		count = min(count, 10)
	}
	snapshot := w.snapshot(files{"f": "x"})
	var refs []backends.Ref
	for i := range count {
		a := w.attempt("exit "+[]string{"0", "3", "4"}[i%3], func(a *backends.Attempt) { a.Snapshot = snapshot })
		ref := w.begin(a)
		if i%2 == 0 {
			ref.Handle = ""
		}
		refs = append(refs, ref)
		if i%5 == 0 {
			refs = append(refs, backends.Ref{Run: "never-was", Number: i + 1})
		}
	}
	refs = append(refs, refs[0])
	var seen []backends.Observation
	w.eventually("all to end", func() bool {
		var err error
		seen, err = w.backend.Observe(w.context(), refs)
		w.must(err)
		return len(seen) == len(refs) && !slices.ContainsFunc(seen, func(o backends.Observation) bool {
			return o.Phase != backends.Ended && o.Phase != backends.Absent
		})
	})
	next := 0
	for i, ref := range refs {
		if ref.Run == "never-was" {
			if seen[i].Phase != backends.Absent {
				w.Errorf("%d, a stranger: %s", i, describe(seen[i]))
			}
			continue
		}
		code := []int{0, 3, 4}[next%3]
		if i == len(refs)-1 {
			code = 0
		}
		next++
		outcome := run.OutcomeScriptFailed
		if code == 0 {
			outcome = run.OutcomeCompleted
		}
		w.expect(seen[i], outcome, code, "")
	}
}

func observeNone(w *world) {
	seen, err := w.backend.Observe(w.context(), nil)
	w.must(err)
	if len(seen) != 0 {
		w.Errorf("Observe of none gave %d", len(seen))
	}
}

func marks(w *world) {
	sweeper, ok := w.backend.(backends.Sweeper)
	if !ok {
		w.Skip("this backend lists no marks")
	}
	has := func(ref backends.Ref) bool {
		all, err := sweeper.Marks(w.context())
		w.must(err)
		return slices.ContainsFunc(all, func(m backends.Ref) bool { return m.Run == ref.Run && m.Number == ref.Number })
	}
	a := w.attempt("true")
	if has(a.Ref()) {
		w.Error("marked before Prepare")
	}
	ref, _ := w.carryOut(a)
	if !has(ref) {
		w.Error("not marked though it is there")
	}
	w.must(w.backend.Release(w.context(), ref))
	if has(ref) {
		w.Error("marked after Release")
	}
}

func size(w *world) {
	sizer, ok := w.backend.(backends.Sizer)
	if !ok {
		w.Skip("this backend has no size of its own")
	}
	s, err := sizer.Size(w.context())
	w.must(err)
	if s.CPUs <= 0 || s.Memory <= 64<<20 {
		w.Errorf("size %+v", s)
	}
}
