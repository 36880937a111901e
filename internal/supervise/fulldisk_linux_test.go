package supervise_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/internal/testenv"
)

// TestFullDisk: the script goes on, its end is known, and the log says what is
// missing once there is room.
func TestFullDisk(t *testing.T) {
	b := newBench(t)
	disk := filepath.Join(filepath.Dir(b.dir), "disk")
	testenv.SmallDisk(t, disk, "size=1m")
	b.dir = filepath.Join(disk, "attempt")
	if err := os.WriteFile(filepath.Join(disk, "ballast"), make([]byte, 200<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Dir(disk)
	b.start(b.sh("head -c 3000000 /dev/zero; echo > " + outside + "/full; while ! test -e " + outside + "/room; do sleep 0.01; done; sleep 0.3; echo after; exit 6"))
	eventually(t, "the script to go on", func() bool { _, err := os.Stat(filepath.Join(outside, "full")); return err == nil })
	if err := os.Remove(filepath.Join(disk, "ballast")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "room"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := b.wait()
	if s.Cause != supervise.Exited || s.ExitCode != 6 || s.LogDropped == 0 {
		t.Errorf("%+v", s)
	}
	want := fmt.Sprintf("[runner] %d bytes of output are missing here: no space left on device\nafter\n", s.LogDropped)
	log := b.log()
	if !strings.HasSuffix(log, "\n"+want) {
		t.Errorf("the log ends in %q", log[max(0, len(log)-200):])
	}
	if kept := len(log) - len(want) - 1 + int(s.LogDropped); kept != 3000000 {
		t.Errorf("kept and dropped are %d bytes together", kept)
	}
}

// TestFullDiskToTheEnd: no room ever comes back, and still the end is known.
func TestFullDiskToTheEnd(t *testing.T) {
	b := newBench(t)
	disk := filepath.Join(filepath.Dir(b.dir), "disk")
	testenv.SmallDisk(t, disk, "size=128k")
	b.dir = filepath.Join(disk, "attempt")
	b.start(b.sh("head -c 1000000 /dev/zero; exit 6"))
	if s := b.wait(); s.Cause != supervise.Exited || s.ExitCode != 6 || s.LogBytes+s.LogDropped != 1000000 {
		t.Errorf("%+v", s)
	}
}
