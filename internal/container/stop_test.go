package container

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// ready waits for a container's script to make the file "ready" in dir.
func ready(t *testing.T, dir string) {
	t.Helper()
	poll(t, "ready", func() bool {
		_, err := os.Stat(filepath.Join(dir, "ready"))
		return err == nil
	})
}

func TestStop(t *testing.T) {
	b := newBench(t)
	tests := []struct {
		name   string
		script string
		grace  time.Duration
		want   int
	}{
		{"obeys", `trap "exit 4" TERM; touch /work/ready; while true; do sleep 0.05; done`, 20 * time.Second, 4},
		{"ignores", `trap "" TERM; touch /work/ready; while true; do sleep 0.05; done`, 3 * time.Second, 137},
		{"no-grace", `trap "" TERM; touch /work/ready; while true; do sleep 0.05; done`, 0, 137},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := b.spec(test.name, test.script)
			s.Binds = []Bind{{Source: dir, Target: "/work"}}
			id := b.run(t, s)
			ready(t, dir)
			began := time.Now()
			for range 2 { // the second finds it stopping
				if err := b.Stop(t.Context(), id, test.grace); err != nil {
					t.Fatalf("stop: %v", err)
				}
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("the wish took %v", took)
			}
			if got := b.await(t, s.Mark, Exited); got.ExitCode != test.want {
				t.Errorf("exit code %d, want %d", got.ExitCode, test.want)
			}
			if took := time.Since(began); took > test.grace+10*time.Second {
				t.Errorf("it ended after %v", took)
			}
			if err := b.Stop(t.Context(), id, test.grace); err != nil {
				t.Errorf("stop of a stopped one: %v", err)
			}
		})
	}
}

func TestKillOfTheFirstProcess(t *testing.T) {
	b := newBench(t)
	s := b.spec("kill", "sleep 100 & wait")
	id := b.run(t, s)
	if err := b.Kill(t.Context(), id, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	got := b.await(t, s.Mark, Exited)
	if got.ExitCode != 137 || got.OOMKilled {
		t.Errorf("exit code %d, out of memory %v; want 137 and not", got.ExitCode, got.OOMKilled)
	}
	if err := b.Kill(t.Context(), id, "SIGKILL"); err != nil {
		t.Errorf("kill of a dead one: %v", err)
	}
}

func TestWhatIsNotThereIsFine(t *testing.T) {
	b := newBench(t)
	s := b.spec("gone", "sleep 100")
	id := b.run(t, s)
	if err := b.Remove(t.Context(), id); err != nil { // it runs
		t.Fatal(err)
	}
	if got, ok := b.observe(t, s.Mark); ok {
		t.Errorf("it is still there: %+v", got)
	}
	if err := b.Stop(t.Context(), id, time.Second); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := b.Kill(t.Context(), id, "SIGTERM"); err != nil {
		t.Errorf("kill: %v", err)
	}
	if err := b.Remove(t.Context(), id); err != nil {
		t.Errorf("remove: %v", err)
	}
	if out, err := b.Output(t.Context(), id, 5); err != nil || out != "" {
		t.Errorf("output: %q, %v", out, err)
	}
}

func TestOutputIsWhatTheFirstProcessSaid(t *testing.T) {
	b := newBench(t)
	s := b.spec("said", "echo first >&2; echo no such file >&2; exit 127")
	id := b.run(t, s)
	b.await(t, s.Mark, Exited)
	got, err := b.Output(t.Context(), id, 1)
	if err != nil || got != "no such file" {
		t.Errorf("output %q, %v; want its last line", got, err)
	}
}

func TestObserveTellsInstallationsApart(t *testing.T) {
	one, two := newBench(t), newBench(t)
	a, b := one.spec("a", "true"), one.spec("b", "sleep 100")
	one.run(t, a)
	one.run(t, b)
	two.run(t, two.spec("c", "sleep 100"))
	one.await(t, a.Mark, Exited)
	states, err := one.Observe(t.Context(), one.home)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Phase{}
	for _, s := range states {
		got[s.Mark.Run] = s.Phase
	}
	if len(got) != 2 || got[a.Mark.Run] != Exited || got[b.Mark.Run] != Running {
		t.Errorf("states %v, want a exited and b running", got)
	}
	if got, ok := one.observe(t, Mark{Run: two.mark("c").Run, Attempt: 1, Home: one.home}); ok {
		t.Errorf("found %+v, want nothing", got)
	}
}
