package testenv

import (
	"strings"
	"testing"
	"time"
)

// What a killed test left goes once it is old, running or not; the rest stays.
func TestSweep(t *testing.T) {
	e := Docker(t)
	label := "dev.runner.sweep=" + t.TempDir()
	Leaks(t, e, label)
	create := func(label string, run ...string) string {
		t.Helper()
		out, err := output(e.Command(t.Context(), append(append(run, "--label", label), e.Small, "sleep", "300")...))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	create(label, "run", "-d")
	create(label, "create")
	others := create(strings.TrimPrefix(label, "dev.runner."), "create")
	t.Cleanup(func() {
		ctx, cancel := cleanupContext(t)
		defer cancel()
		if err := e.Command(ctx, "rm", "-f", others).Run(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []struct {
		name string
		then time.Time
		want int
	}{
		{"too young", time.Now().Add(-leftBehind), 2},
		{"old", time.Now().Add(time.Hour), 0},
		{"again", time.Now().Add(time.Hour), 0},
	} {
		if err := e.sweep(t.Context(), c.then, label); err != nil {
			t.Fatal(err)
		}
		left, err := e.runnerContainers(t.Context(), []string{label})
		if err != nil || len(left) != c.want {
			t.Errorf("%s: left %v, %v; want %d", c.name, left, err, c.want)
		}
	}
	if err := e.Command(t.Context(), "inspect", others).Run(); err != nil {
		t.Errorf("a container that is not Runner's: %v", err)
	}
}
