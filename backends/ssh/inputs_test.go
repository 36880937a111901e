package ssh_test

import (
	"context"
	"fmt"
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
	t.Parallel()
	dir := t.TempDir()
	c := newCutter(t, "find . -type f | wc -l", nil)
	const dirs, each = 100, 200
	for d := range dirs {
		sub := filepath.Join(dir, fmt.Sprint("d", d))
		c.ok(os.Mkdir(sub, 0o755))
		for i := range each {
			c.ok(os.WriteFile(filepath.Join(sub, fmt.Sprint("a file of some name ", i)), random(16), 0o644))
		}
	}
	c.a.Snapshot = c.Home.Snapshot(t, dir)
	c.ok(c.b.Prepare(t.Context(), c.a, nil))
	c.ok(c.b.Release(t.Context(), c.a.Ref()))
	const size, slack = 100 << 10, 32 << 10
	c.ok(os.WriteFile(filepath.Join(dir, "d7", "new"), random(size), 0o644))
	c.a.Snapshot, c.a.Number = c.Home.Snapshot(t, dir), 2
	before := c.line.Passed()
	c.ok(c.b.Prepare(t.Context(), c.a, nil))
	sent := c.line.Passed() - before
	t.Logf("%d bytes went over the line for %d of one file among %d", sent, size, dirs*each)
	if sent > size+slack {
		t.Error("that is too much")
	}
	ref := c.begin()
	c.ended(ref)
	if got := c.log(ref, false); strings.TrimSpace(got) != fmt.Sprint(dirs*each+1) {
		t.Errorf("it saw %q files", got)
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
