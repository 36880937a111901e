package ranks

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// onSecond is a launcher on the second of two nodes, as a starter starts it.
func onSecond(t *testing.T, script string, grace time.Duration) (*launched, string) {
	t.Helper()
	shared := t.TempDir()
	c := Config{Processes: 2, Framework: "pytorch", Grace: grace, Argv: shell(script)}
	flags := []string{
		"--node-of", "2", "--number-in", "NUMBER", "--name-in", "NAME", "--first-in", "FIRST", "--job-in", "JOB", "--shared", shared, "--logs", shared,
		"--terminate-by", "/bin/sh", "--terminate-by", "-c", "--terminate-by", `echo "$0" >>"$SHARED/told"`,
	}
	l := startWith(t, c, flags, "NUMBER=1", "NAME=n2", "FIRST=127.0.0.1", "JOB=the job", "SHARED="+shared)
	return l, shared
}

func written(t *testing.T, dir, name string) (f Failed) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The first that fails is written down and the other nodes are told, while those
// on this one have their grace; then nothing is left, and the end is a good one.
func TestFailureOnANode(t *testing.T) {
	l, shared := onSecond(t, `setsid sleep 600 & echo $! >pid.$RANK; trap 'echo bye; exit 0' TERM
[ $RANK = 3 ] && { echo "no more"; exit 4; }
: >ready; sleep 600 & wait`, 20*time.Second)
	began := time.Now()
	if s := l.wait(); s != 0 {
		t.Errorf("status %#x: %s%s", s, l.out.String(), l.err.String())
	}
	if took := time.Since(began); took > tellPatience-time.Second {
		t.Errorf("took %s: as if it had waited for what had ended", took)
	}
	want := Failed{Rank: 3, Node: "n2", How: "ended with exit code 4", Code: 4, Lines: []string{"no more"}}
	if d := cmp.Diff(want, written(t, shared, FailedFile)); d != "" {
		t.Error(d)
	}
	if said, err := os.ReadFile(filepath.Join(shared, "told")); string(said) != "the job\n" {
		t.Errorf("the others are told %q, %v", said, err)
	}
	l.gone("pid.2", "pid.3")
}

// Who is told to end tells its processes once, however often and by whom it is
// told, kills them in the end, and writes down how the first ended.
func TestToldOnANode(t *testing.T) {
	l, shared := onSecond(t, `setsid sleep 600 & echo $! >pid.$RANK
if [ $RANK = 2 ]; then trap 'echo T >>got; sleep 0.5; exit 6' TERM; else trap '' TERM; fi
: >ready.$RANK; while :; do sleep 0.05; done`, 2*time.Second)
	l.appears("ready.2", "ready.3")
	for _, sig := range []syscall.Signal{TellSignal, syscall.SIGTERM, TellSignal} {
		if err := l.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		l.appears("got")
	}
	if s := l.wait(); s != 0 {
		t.Errorf("status %#x: %s%s", s, l.out.String(), l.err.String())
	}
	ended := written(t, shared, EndedFile)
	ended.Lines = nil // some shells say something
	if d := cmp.Diff(Failed{Rank: 2, Node: "n2", How: "ended with exit code 6", Code: 6}, ended); d != "" {
		t.Error(d)
	}
	if _, err := os.Stat(filepath.Join(shared, FailedFile)); err == nil {
		t.Error("it counts as failed")
	}
	if got, err := os.ReadFile(filepath.Join(l.dir, "got")); string(got) != "T\n" {
		t.Errorf("it got %q, %v", got, err)
	}
	l.gone("pid.2", "pid.3")
}

// An end that nobody could be told of is no good one: the starter then kills
// the others.
func TestFailureThatCannotBeTold(t *testing.T) {
	l, shared := onSecond(t, `while ! [ -e go ]; do sleep 0.05; done; exit 4`, time.Second)
	if err := os.RemoveAll(shared); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s := l.wait(); s.ExitStatus() != 4 {
		t.Errorf("status %#x", s)
	}
}

// gone checks that processes are, whose ids are in files.
func (l *launched) gone(names ...string) {
	l.Helper()
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(l.dir, name))
		var pid int
		if _, scanErr := fmt.Sscan(string(data), &pid); err != nil || scanErr != nil {
			l.Fatal(err, scanErr)
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.Contains(string(line), "sleep") {
			l.Errorf("process %d is left: %q", pid, line)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
