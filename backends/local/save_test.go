package local_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
)

// elsewhere is a folder that nothing can be moved into.
type elsewhere struct{ artifact.Folder }

func (c *computer) names(f artifact.Folder) []string {
	c.Helper()
	files, err := f.List(c.Context())
	c.ok(err)
	names := []string{}
	for _, file := range files {
		names = append(names, file.Path)
	}
	return names
}

func (c *computer) ok(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// What a running attempt has left goes to a store elsewhere, and another
// computer goes on from it; at home there is nothing to save.
func TestSave(t *testing.T) {
	c := newComputer(t, "")
	ref := c.begin(c.attempt(nil, `echo one >"$RUNNER_CHECKPOINT_DIR/w"; echo m >outputs/m; mkdir outputs/d; echo g >outputs/d/gone; echo begun
		while [ ! -e outputs/stop ]; do echo more >>outputs/growing; sleep 0.1; done; rm -r outputs/d`, nil))
	store := artifact.OpenHome(t.TempDir())
	attempt, checkpoint := elsewhere{store.Attempt(ref.Run, 1)}, elsewhere{store.Checkpoint(ref.Run)}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		c.ok(c.Save(t.Context(), ref, attempt, checkpoint))
		if saved := c.names(attempt); slices.Contains(saved, "outputs/m") && slices.Contains(saved, "outputs/d/gone") && slices.Contains(c.names(checkpoint), "checkpoint/w") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("what is quiet is not saved")
		}
	}
	if got := c.names(attempt); slices.Contains(got, "outputs/growing") || !slices.Contains(got, "logs/std_log.txt") {
		t.Errorf("while it runs: %q", got)
	}
	home := artifact.OpenHome(filepath.Join(c.home, "runs"))
	c.ok(c.Save(t.Context(), ref, home.Attempt(ref.Run, 1), home.Checkpoint(ref.Run)))
	c.ok(os.WriteFile(filepath.Join(c.home, "runs", ref.Run, "attempts", "1", "work", "outputs", "stop"), nil, 0o600))
	if o := c.ended(ref); o.Outcome != run.OutcomeCompleted {
		t.Errorf("seen %+v", o)
	}
	c.ok(c.Save(t.Context(), ref, attempt, checkpoint))
	c.ok(c.Collect(t.Context(), ref, attempt))
	want := []string{"logs/std_log.txt", "outputs/growing", "outputs/m", "outputs/stop"}
	if diff := cmp.Diff(want, c.names(attempt)); diff != "" {
		t.Errorf("in the end (-want +got):\n%s", diff)
	}

	other := newComputer(t, "")
	for range 2 {
		other.ok(other.Restore(t.Context(), ref.Run, checkpoint))
	}
	data, err := os.ReadFile(filepath.Join(other.home, "runs", ref.Run, "checkpoint", "w"))
	other.ok(err)
	if string(data) != "one\n" {
		t.Errorf("restored %q", data)
	}
	entries, err := os.ReadDir(filepath.Join(other.home, "runs", ref.Run))
	other.ok(err)
	if len(entries) != 1 {
		t.Errorf("left beside it: %v", entries)
	}
}
