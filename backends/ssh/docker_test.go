package ssh_test

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/testenv"
)

// Containers on the machine, through its engine's socket over the connection.
func TestDocker(t *testing.T) {
	t.Parallel()
	engine := testenv.Docker(t)
	m := newMachine(t, testenv.SSHOptions{}, testenv.SSHUser{})
	m.Socket = engine.For(t, m.account)
	testenv.Leaks(t, engine, container.LabelHome+"="+m.Home.Installation())
	d := m.target(t)
	d.Environment = &environment.Resolved{
		Kind: environment.Image, Digest: "sha256:" + strings.Repeat("d", 64), Interpreter: "python3", Docker: &environment.Docker{Image: engine.Base},
	}
	name := func(ref backends.Ref) string { return container.Mark{Run: ref.Run, Attempt: ref.Number}.Name() }
	docker := func(t testing.TB, args ...string) string {
		t.Helper()
		// Also in a cleanup, where the test's context has ended.
		out, err := engine.Command(context.WithoutCancel(t.Context()), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("docker %q: %v: %s", args, err, out)
		}
		return string(out)
	}
	d.Traces = func(t testing.TB, ref backends.Ref) []string {
		list := docker(t, "ps", "-a", "--filter", "name=^/"+name(ref)+"$", "--format", "{{.Names}} {{.Status}}")
		return append(m.traces(t, ref), strings.Fields(list)...)
	}
	d.Inspect = func(t testing.TB, ref backends.Ref) string {
		return docker(t, "inspect", name(ref)) + docker(t, "logs", name(ref))
	}
	d.Vanish = func(t testing.TB, ref backends.Ref) { docker(t, "rm", "-f", name(ref)) }
	d.Many = 6
	if whole() {
		backendtest.Run(t, d, nil)
		return
	}
	for _, subject := range []string{"end", "logs", "outputs", "observe", "secrets", "stop", "lost"} {
		backendtest.RunSubject(t, d, subject)
	}
}

// What runs pulled there is pruned there.
func TestPulledImagesArePruned(t *testing.T) {
	t.Parallel()
	engine, registry := testenv.Docker(t), testenv.Registry(t, false)
	reference := registry.Push(engine.Small, "pulled/"+strings.ToLower(rand.Text())+":1")
	has := func() bool { return engine.Command(t.Context(), "image", "inspect", reference).Run() == nil }
	m := newMachine(t, testenv.SSHOptions{}, testenv.SSHUser{})
	m.Socket = engine.For(t, m.account)
	b := m.open(t)
	r := &environment.Resolved{Kind: environment.Image, Digest: "sha256:" + strings.Repeat("e", 64), Docker: &environment.Docker{Image: reference}}
	if err := b.EnsureEnvironment(t.Context(), r, "", nil, nil); err != nil || !has() {
		t.Fatal(err)
	}
	notes := filepath.Join(string(m.Root), "images")
	if found, err := os.ReadDir(notes); err != nil || len(found) != 1 {
		t.Errorf("notes %v, %v", found, err)
	}
	ask := backends.Pruning{Kinds: []backends.PruneKind{backends.PruneImages}, Environments: []string{r.Digest}}
	if freed, err := b.Prune(t.Context(), ask); err != nil || len(freed) > 0 || !has() {
		t.Errorf("a run wants it: freed %+v, %v", freed, err)
	}
	ask.Environments = nil
	freed, err := b.Prune(t.Context(), ask)
	if err != nil || len(freed) != 1 || freed[0].Kind != backends.PrunePulled || freed[0].Names[0] != reference || has() {
		t.Errorf("freed %+v, %v", freed, err)
	}
	if found, err := os.ReadDir(notes); err != nil || len(found) > 0 {
		t.Errorf("notes %v, %v", found, err)
	}
}
