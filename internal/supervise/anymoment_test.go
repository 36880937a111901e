package supervise_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/supervise"
)

// TestKilledAtAnyMoment: wherever a supervisor dies, its directory tells
// something true, Clean leaves nothing running, and a further start either
// finds the first or is the first.
func TestKilledAtAnyMoment(t *testing.T) {
	b := newBench(t)
	bin, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Dir(b.dir)
	phases := map[supervise.Phase]int{}
	for i := range 40 {
		b.dir = filepath.Join(root, strconv.Itoa(i))
		if err := os.Mkdir(b.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		l := b.sh("echo $$ >> ran" + strconv.Itoa(i) + "; exec sleep 1000")
		l.Mark += "-" + strconv.Itoa(i)
		data, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(bin, "supervise", b.dir)
		cmd.Stdin = bytes.NewReader(data)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(i) * 500 * time.Microsecond) // the moment, not a wait for something
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		// A child between fork and exec may still hold the lock for a moment.
		if err := b.Clean(t.Context(), b.dir); err != nil {
			t.Fatal(err)
		}
		first := supervise.StatusOf(b.dir)
		phases[first.Phase]++
		if left := withMark(t, l.Mark); len(left) > 0 {
			t.Errorf("%d: left running: %v", i, left)
		}
		second := b.start(l)
		switch {
		case first.Phase == supervise.Lost && second.Phase == supervise.Lost:
		case first.Phase == supervise.Absent && second.Phase == supervise.Running:
		default:
			t.Errorf("%d: first %+v, then %+v", i, first, second)
		}
		if err := b.Clean(t.Context(), b.dir); err != nil {
			t.Fatal(err)
		}
		if left := withMark(t, l.Mark); len(left) > 0 {
			t.Errorf("%d: left running in the end: %v", i, left)
		}
		ran, err := os.ReadFile(filepath.Join(root, "ran"+strconv.Itoa(i)))
		if err == nil && strings.Count(string(ran), "\n") > 1 {
			t.Errorf("%d: it ran twice", i)
		}
	}
	t.Log(phases)
}

// withMark are the processes that carry a mark.
func withMark(t *testing.T, mark string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(data), "RUNNER_MARK="+mark+"\x00") {
			out = append(out, f)
		}
	}
	return out
}
