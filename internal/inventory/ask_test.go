package inventory

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/host"
)

// stuck is a host whose commands do not even end by SIGKILL, until released.
type stuck struct {
	*box
	released chan struct{}
}

func (s stuck) Run(context.Context, host.Command) error {
	<-s.released
	return nil
}

// TestUnkillable: what sits in a driver's call is left behind.
func TestUnkillable(t *testing.T) {
	s := stuck{newBox(t, t.TempDir()), make(chan struct{})}
	defer close(s.released)
	began := time.Now()
	_, err := newAsker(s, 100*time.Millisecond).run(t.Context(), "nvidia-smi", "-q", "-x")
	if !errors.Is(err, errHung) {
		t.Errorf("got %v, want errHung", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestFind: the same executables here and over a shell, whatever their
// directories are called.
func TestFind(t *testing.T) {
	dir := fakeTools(t, map[string]string{"tool": "", "other": ""})
	want := []string{dir + "/tool", dir + "/other"}
	more := fakeTools(t, map[string]string{"tool": ""})
	want = append(want, more+"/tool")
	t.Setenv("PATH", "relative:"+dir+"::"+dir+":/usr/bin:/bin")
	for where, a := range map[string]*asker{
		"here":  newAsker(boxHere{newBox(t, t.TempDir())}, 0),
		"there": newAsker(newBox(t, t.TempDir()), 0),
	} {
		if got := a.find(t.Context(), []string{"tool", "other", "not there"}, []string{more}); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", where, got, want)
		}
	}
}
