package ssh_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
)

func (c *cutter) listed(f artifact.Folder) []string {
	c.Helper()
	files, err := f.List(c.Context())
	c.ok(err)
	names := []string{}
	for _, file := range files {
		names = append(names, file.Path)
	}
	return names
}

// What a running attempt has left so far is kept elsewhere, what did not change
// is not sent again, and another machine goes on from it.
func TestSaveAndRestore(t *testing.T) {
	c := newCutter(t, `cd "$RUNNER_CHECKPOINT_DIR"; mkdir epoch-1; echo one >epoch-1/w; ln -s epoch-1 latest; cd - >/dev/null
		head -c 8388608 /dev/urandom >outputs/model; mkdir outputs/d; echo g >outputs/d/gone; echo begun
		while [ ! -e outputs/stop ]; do echo more >>outputs/growing; sleep 0.1; done; rm -r outputs/d`, nil)
	ref := c.begin()
	store := artifact.OpenHome(t.TempDir())
	attempt, checkpoint := store.Attempt(ref.Run, 1), store.Checkpoint(ref.Run)
	save := func() { c.ok(c.b.Save(t.Context(), ref, attempt, checkpoint)) }
	c.eventually("what is quiet", func() bool {
		save()
		return slices.Contains(c.listed(attempt), "outputs/model") && slices.Contains(c.listed(attempt), "outputs/d/gone") && slices.Contains(c.listed(checkpoint), "checkpoint/epoch-1/w")
	})
	if diff := cmp.Diff([]string{"logs/std_log.txt", "outputs/d/gone", "outputs/model"}, c.listed(attempt)); diff != "" {
		t.Errorf("while it runs (-want +got):\n%s", diff)
	}
	before := c.line.Passed()
	save()
	if sent := c.line.Passed() - before; sent > 1<<20 {
		t.Errorf("%d bytes went over the line for what was kept", sent)
	}
	there := filepath.Join(string(c.Root), "runs", ref.Run, "checkpoint")
	c.ok(os.Mkdir(filepath.Join(there, "epoch-2"), 0o777))
	c.ok(os.WriteFile(filepath.Join(there, "epoch-2", "w"), []byte("two\n"), 0o666))
	c.ok(os.RemoveAll(filepath.Join(there, "epoch-1")))
	c.ok(os.WriteFile(filepath.Join(c.Root.Attempt(ref), "work", "outputs", "stop"), nil, 0o666))
	if o := c.ended(ref); o.Outcome != run.OutcomeCompleted {
		t.Errorf("seen %+v", o)
	}
	save() // at once: nobody writes any more
	if diff := cmp.Diff([]string{"checkpoint/epoch-2/w", "checkpoint/latest"}, c.listed(checkpoint)); diff != "" {
		t.Errorf("the checkpoint directory (-want +got):\n%s", diff)
	}
	c.ok(c.b.Collect(t.Context(), ref, attempt))
	if diff := cmp.Diff([]string{"logs/std_log.txt", "outputs/growing", "outputs/model", "outputs/stop"}, c.listed(attempt)); diff != "" {
		t.Errorf("in the end (-want +got):\n%s", diff)
	}

	next := newCutter(t, `cat "$RUNNER_CHECKPOINT_DIR/epoch-2/w"; echo three >>"$RUNNER_CHECKPOINT_DIR/epoch-2/w"`, nil)
	next.a.Run, next.a.Number = ref.Run, 2
	for range 2 { // the second finds it there
		next.ok(next.b.Restore(t.Context(), ref.Run, checkpoint))
	}
	again := next.begin()
	if o := next.ended(again); o.Outcome != run.OutcomeCompleted {
		t.Errorf("seen %+v", o)
	}
	if got := next.log(again, false); got != "two\n" {
		t.Errorf("the next attempt found %q", got)
	}
	next.ok(next.b.Restore(t.Context(), ref.Run, checkpoint))
	data, err := os.ReadFile(filepath.Join(string(next.Root), "runs", ref.Run, "checkpoint", "epoch-2", "w"))
	next.ok(err)
	if strings.Count(string(data), "\n") != 2 {
		t.Errorf("what the attempt wrote was replaced: %q", data)
	}
}
