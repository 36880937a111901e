package local_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/supervise"
)

// programs of ours in a home but for the one of now.
func programsIn(t *testing.T, home, now string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(home, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != now {
			names = append(names, e.Name())
		}
	}
	return names
}

// Programs of earlier versions go when an agent starts: those that nothing
// runs from, once they are a day old, while no attempt is there.
func TestOldPrograms(t *testing.T) {
	c := newComputer(t, "")
	now := programsIn(t, c.home, "")[0]
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	const old, young, used = "runner-00000000000a", "runner-00000000000b", "runner-00000000000c"
	for _, name := range []string{old, young, used} {
		path := filepath.Join(c.home, "bin", name)
		if err := os.WriteFile(path, sleep, 0o755); err != nil {
			t.Fatal(err)
		}
		made := time.Now()
		if name != young {
			made = made.Add(-25 * time.Hour)
		}
		if err := os.Chtimes(path, made, made); err != nil {
			t.Fatal(err)
		}
	}
	runs := exec.Command(filepath.Join(c.home, "bin", used), "1000")
	if err := runs.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = runs.Wait() }()
	defer func() { _ = runs.Process.Kill() }()
	next := func() {
		t.Helper()
		b, err := open(t.Context(), c.home, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}

	a := c.attempt(nil, "true", nil)
	if err := c.Prepare(t.Context(), a, nil); err != nil {
		t.Fatal(err)
	}
	next()
	if diff := cmp.Diff([]string{old, young, used}, programsIn(t, c.home, now)); diff != "" {
		t.Errorf("while an attempt is there: %s", diff)
	}
	if err := c.Release(t.Context(), a.Ref()); err != nil {
		t.Fatal(err)
	}
	next()
	if diff := cmp.Diff([]string{young, used}, programsIn(t, c.home, now)); diff != "" {
		t.Error(diff)
	}
}

// What runs of ours, in a container too, keeps its program.
func TestUsedProgramStays(t *testing.T) {
	for _, form := range []string{"process", "container"} {
		t.Run(form, func(t *testing.T) {
			c, env := newComputer(t, ""), (*environment.Resolved)(nil)
			if form == "container" {
				c, _, _, env = inDocker(t)
			}
			now := programsIn(t, c.home, "")
			ref := c.begin(c.attempt(env, "exec sleep 1000", nil))
			c.seen(ref, func(o backends.Observation) bool { return o.Phase == backends.Running })
			if err := supervise.PruneBins(t.Context(), host.NewHere(c.home)); err != nil {
				t.Fatal(err)
			}
			if got := programsIn(t, c.home, ""); !slices.Equal(got, now) {
				t.Errorf("left %q of %q", got, now)
			}
		})
	}
}
