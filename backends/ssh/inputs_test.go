package ssh_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// Data is here; it goes there once, whole, and stays for the next run.
func TestInputsAreSentOnce(t *testing.T) {
	c := newCutter(t, `cd "$RUNNER_INPUT_DATA" && find . -type f | sort && { echo x >>big; } 2>/dev/null; cat "$RUNNER_INPUT_ONE"; touch "$RUNNER_INPUT_OWN/new" && echo mine`, nil)
	data := t.TempDir()
	for name, content := range map[string]string{
		"big": string(random(6 << 20)), ".gitignore": "*.csv\n", "table.csv": "1", "__pycache__/x.pyc": "2", ".git/HEAD": "3", ".venv/bin/python": "4", "a b/é'": "5",
	} {
		name = filepath.Join(data, name)
		c.ok(os.MkdirAll(filepath.Dir(name), 0o755))
		c.ok(os.WriteFile(name, []byte(content), 0o644))
	}
	one := filepath.Join(t.TempDir(), "one.csv")
	c.ok(os.WriteFile(one, []byte("a file\n"), 0o644))
	c.a.Config.Inputs = map[string]runconfig.Input{
		"data": {Path: data, Mode: "mount"}, "own": {Path: data, Mode: "copy"}, "one": {Path: one, Mode: "mount"},
	}
	ref := c.begin()
	if o := c.ended(ref); o.Outcome != run.OutcomeCompleted {
		t.Errorf("seen %+v", o)
	}
	want := "./.git/HEAD\n./.gitignore\n./.venv/bin/python\n./__pycache__/x.pyc\n./a b/é'\n./big\n./table.csv\na file\nmine\n"
	if diff := cmp.Diff(want, c.log(ref, false)); diff != "" {
		t.Error(diff)
	}
	c.ok(c.b.Release(t.Context(), ref))
	before := c.line.Passed()
	c.a.Number = 2
	ref = c.begin()
	c.ended(ref)
	if diff := cmp.Diff(want, c.log(ref, false)); diff != "" {
		t.Errorf("the second time: %s", diff)
	}
	if sent := c.line.Passed() - before; sent > 1<<20 {
		t.Errorf("%d bytes went over the line for what is there", sent)
	}
	prune := func(older time.Duration) map[backends.PruneKind]int {
		t.Helper()
		freed, err := c.b.Prune(t.Context(), backends.Pruning{Kinds: backends.PruneKinds(), OlderThan: older})
		c.ok(err)
		counts := map[backends.PruneKind]int{}
		for _, f := range freed {
			counts[f.Kind] = f.Count
		}
		return counts
	}
	if freed := prune(0); freed[backends.PruneInputs] != 0 {
		t.Errorf("pruned while in use: %v", freed)
	}
	c.ok(c.b.Release(t.Context(), ref))
	if freed := prune(time.Hour); len(freed) != 0 {
		t.Errorf("pruned what was used lately: %v", freed)
	}
	for _, want := range []int{2, 0} {
		if freed := prune(0); freed[backends.PruneInputs] != want {
			t.Errorf("pruned %v", freed)
		}
	}
}

// Ten runs that want the same at once: it goes there once.
func TestManyWantTheSameInput(t *testing.T) {
	const size = 12 << 20
	c := newCutter(t, `wc -c <"$RUNNER_INPUT_DATA"`, map[string][]byte{"source": random(4 << 20)})
	data := filepath.Join(t.TempDir(), "data.bin")
	c.ok(os.WriteFile(data, random(size), 0o644))
	c.a.Config.Inputs = map[string]runconfig.Input{"data": {Path: data, Mode: "mount"}}
	before := c.line.Passed()
	var all sync.WaitGroup
	for i := range 10 {
		a := c.a
		a.Number = i + 1
		all.Go(func() {
			if err := c.b.Prepare(t.Context(), a, nil); err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(func() { c.ok(c.b.Release(context.WithoutCancel(t.Context()), a.Ref())) })
	}
	all.Wait()
	if sent := c.line.Passed() - before; sent > size+4<<20+2<<20 {
		t.Errorf("%d MiB went over the line for 12 + 4", sent>>20)
	}
}

// A second submit with one change moves that and little more.
func TestResubmitMovesWhatChanged(t *testing.T) {
	source := map[string][]byte{}
	for i := range 2000 {
		source["f"+strings.Repeat("x", i%7)+time.Duration(i).String()] = random(2 << 10)
	}
	c := newCutter(t, "cat * | wc -c", source)
	c.ok(c.b.Prepare(t.Context(), c.a, nil))
	c.ok(c.b.Release(t.Context(), c.a.Ref()))
	dir := t.TempDir()
	source["new"] = random(100 << 10)
	for name, content := range source {
		c.ok(os.WriteFile(filepath.Join(dir, name), content, 0o644))
	}
	c.a.Snapshot, c.a.Number = c.Home.Snapshot(t, dir), 2
	before := c.line.Passed()
	c.ok(c.b.Prepare(t.Context(), c.a, nil))
	// The list of all files goes, too: a digest each.
	if sent := c.line.Passed() - before; sent > 100<<10+2000*100 {
		t.Errorf("%d bytes went over the line for 100 KiB", sent)
	}
}

// More follow than commands may stay open: all see all.
func TestManyFollow(t *testing.T) {
	c := newCutter(t, "for i in $(seq 100); do echo line $i; [ $((i % 10)) != 0 ] || sleep 0.1; done", nil)
	ref := c.begin()
	var all sync.WaitGroup
	logs := make([]string, 7)
	for i := range logs {
		all.Go(func() {
			r, err := c.b.Logs(t.Context(), ref, backends.Source{Follow: true}, 0)
			if err != nil {
				t.Error(err)
				return
			}
			data, err := io.ReadAll(r)
			if err != nil {
				t.Error(err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			logs[i] = string(data)
		})
	}
	all.Wait()
	for i, got := range logs {
		if n := strings.Count(got, "\n"); n != 100 || !strings.HasSuffix(got, "line 100\n") {
			t.Errorf("follower %d: %d lines", i, n)
		}
	}
}
