package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/run"
)

// fakeLine leads to a machine. A nil one never breaks.
type fakeLine struct {
	mu sync.Mutex
	// left is how many questions it carries before it is cut; zero: all.
	left int
	// late: the last question arrives, and only its answer is lost.
	late bool
	cut  bool
}

var errLineCut = &sshhost.UnreachableError{Address: "10.0.0.7:22", Err: errors.New("no route to host")}

// over asks something over the line.
func (l *fakeLine) over(ask func() error) error {
	if l == nil {
		return ask()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return errLineCut
	}
	if l.left--; l.left != 0 {
		return ask()
	}
	l.cut = true
	if l.late {
		_ = ask() // nobody hears how it went
	}
	return &sshhost.LostError{Address: "10.0.0.7:22", Begun: l.late, Err: errors.New("nothing came for 30s")}
}

func (l *fakeLine) isCut() bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// mend makes it carry so many questions, from now on.
func (l *fakeLine) mend(left int, late bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left, l.late, l.cut = left, late, false
}

func (c fakeConnection) Run(ctx context.Context, cmd host.Command) error {
	return c.line.over(func() error { return c.Here.Run(ctx, cmd) })
}

func (c fakeConnection) WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode) error {
	return c.line.over(func() error { return c.Here.WriteFile(ctx, path, data, mode) })
}

func (c fakeConnection) MkdirAll(ctx context.Context, path string, mode fs.FileMode) error {
	return c.line.over(func() error { return c.Here.MkdirAll(ctx, path, mode) })
}

func (c fakeConnection) RemoveAll(ctx context.Context, path string) error {
	return c.line.over(func() error { return c.Here.RemoveAll(ctx, path) })
}

func (c fakeConnection) ReadDir(ctx context.Context, path string) (entries []fs.DirEntry, err error) {
	err = c.line.over(func() (err error) { entries, err = c.Here.ReadDir(ctx, path); return err })
	return entries, err
}

// wantAway sees that an error is one line that says what is wrong, with a hint.
func wantAway(t *testing.T, err error, hint string) {
	t.Helper()
	hinted, ok := errors.AsType[interface {
		error
		Hint() string
	}](err)
	if !ok || !strings.Contains(hinted.Hint(), hint) || strings.Contains(hinted.Hint(), "\n") {
		t.Errorf("no hint %q: %v", hint, err)
	}
	if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, "10.0.0.7:22") {
		t.Errorf("said %q", text)
	}
}

// eachCut cuts a line at each question that f asks over it, before it arrives
// and after, until f asks no more.
func eachCut(t *testing.T, fewest int, f func(t *testing.T, at string, cut func(*fakeLine)) (wasCut bool)) {
	t.Helper()
	for _, late := range []bool{false, true} {
		n := 1
		for ; ; n++ {
			if n > 100 {
				t.Fatal("it never ends")
			}
			at := fmt.Sprintf("box-%d-%t", n, late)
			if !f(t, at, func(l *fakeLine) { l.mend(n, late) }) {
				break
			}
			if t.Failed() {
				t.Fatalf("cut at question %d, late: %v", n, late)
			}
		}
		if n <= fewest {
			t.Errorf("it asked %d questions only", n)
		}
	}
}

// A line that is cut while a machine is attached leaves nothing half done: no
// target here, and there nothing that would keep us from attaching it again,
// whatever it is called then.
func TestAttachIsCut(t *testing.T) {
	t.Parallel()
	h, w := newWorldHouse(t)
	eachCut(t, 8, func(t *testing.T, at string, cut func(*fakeLine)) bool {
		m := w.add(at, at, "SHA256:"+at)
		m.line = &fakeLine{}
		cut(m.line)
		_, err := h.c.Attach(t.Context(), box("first", at), nil)
		wasCut := m.line.isCut()
		m.line.mend(0, false)
		if wasCut {
			if err == nil {
				t.Fatal("it was attached over a line that is cut")
			}
			wantAway(t, err, "when it answers again, give the same command again")
			if d := cmp.Diff([]string{"local ready"}, names(t, h)); d != "" {
				t.Error("targets:", d)
			}
			h.attach(box("second", at))
			err = h.c.Detach(t.Context(), "second", Detachment{})
		} else if err == nil {
			err = h.c.Detach(t.Context(), "first", Detachment{})
		}
		if err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(w.root(m)); err == nil {
			t.Error("left on the machine:", left)
		}
		return wasCut
	})
}

// A line that is cut while a target is given up leaves a target that can be
// given up again, also by another agent, or used.
func TestDetachIsCut(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(*house){"the same agent": func(*house) {}, "another agent": (*house).restart} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, w := newWorldHouse(t)
			eachCut(t, 4, func(t *testing.T, at string, cut func(*fakeLine)) bool {
				m := w.add(at, at, "SHA256:"+at)
				m.line, m.images = &fakeLine{}, []string{"sha256:aa"}
				h.attach(box("gpubox", at))
				cut(m.line)
				err := h.c.Detach(t.Context(), "gpubox", Detachment{})
				wasCut := m.line.isCut()
				if wasCut {
					wantAway(t, err, "runner compute detach --forget gpubox")
					if _, err := h.c.Target(t.Context(), "gpubox"); err != nil {
						t.Error(err)
					}
					// It is idle, and cannot be reached.
					wantAway(t, h.c.Detach(t.Context(), "gpubox", Detachment{}), "runner compute detach --forget gpubox")
					m.line.mend(0, false)
					again(h)
					err = h.c.Detach(t.Context(), "gpubox", Detachment{})
				}
				if err != nil {
					t.Error(err)
				}
				if left, err := os.ReadDir(w.root(m)); err == nil || len(m.images) > 0 {
					t.Error("left on the machine:", left, m.images)
				}
				if d := cmp.Diff([]string{"local ready"}, names(t, h)); d != "" {
					t.Error("targets:", d)
				}
				return wasCut
			})
		})
	}
}

// What detaching had not come to an end with is still a target that works.
func TestTargetIsUsedAfterACutDetach(t *testing.T) {
	t.Parallel()
	h, w := newWorldHouse(t)
	m := w.add("gpubox", "m1", "SHA256:k1")
	m.line = &fakeLine{}
	m.target.endAtOnce = true
	h.attach(box("gpubox", "gpubox"))
	m.line.mend(2, false)
	wantAway(t, h.c.Detach(t.Context(), "gpubox", Detachment{}), "runner compute detach --forget gpubox")
	r := h.submitTo("gpubox") // waits
	m.line.mend(0, false)
	h.until(r.ID, run.Completed)
}
