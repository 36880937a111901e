package supervise_test

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/supervise"
)

// A run may end and be cleared away between the opening of its log and the
// first look: whoever follows hears the end.
func TestFollowWhatIsClearedAway(t *testing.T) {
	for name, reading := range map[string]bool{"before it is read": false, "while it is read": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r, err := supervise.OpenLog(t.Context(), dir, 0, true)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			read := make(chan error, 1)
			begin := func() {
				go func() { _, err := io.Copy(io.Discard, r); read <- err }()
			}
			if reading {
				begin()
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if !reading {
				begin()
			}
			select {
			case err := <-read:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Error("it waits for ever")
			}
		})
	}
}
