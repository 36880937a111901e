package supervise_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/internal/testenv"
)

func userSpec(uid int) string { return strconv.Itoa(uid) + ":" + strconv.Itoa(uid) }

// hog takes 200 MiB and holds them.
const hog = "echo on; x=$(head -c 209715200 /dev/zero | tr '\\0' x); echo survived; sleep 1000"

func TestMemoryLimit(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory is limited on Linux only")
	}
	for _, c := range []struct {
		name    string
		sampled bool
		script  string
		memory  int64
		cause   supervise.Cause
	}{
		{name: "over it", script: hog, memory: 100 << 20, cause: supervise.OutOfMemory},
		{name: "over it, sampled", sampled: true, script: hog, memory: 100 << 20, cause: supervise.OutOfMemory},
		{name: "a child over it", script: "sh -c '" + strings.ReplaceAll(hog, "'", `'\''`) + "'; exit 3", memory: 100 << 20, cause: supervise.OutOfMemory},
		{name: "a child over it that is forgiven", script: "sh -c '" + strings.ReplaceAll(hog, "'", `'\''`) + "'; exit 0", memory: 100 << 20, cause: supervise.Exited},
		{name: "below it", script: "echo on; exit 2", memory: 100 << 20, cause: supervise.Exited},
		{name: "below it, sampled", sampled: true, script: "echo on; sleep 0.5; exit 2", memory: 100 << 20, cause: supervise.Exited},
	} {
		t.Run(c.name, func(t *testing.T) {
			testenv.Root(t, "control groups, and somebody who may not make any")
			b := newBench(t)
			if c.sampled {
				b.asNobody()
			}
			l := b.sh(c.script)
			l.Memory = c.memory
			b.start(l)
			b.said("on")
			s := b.wait()
			if s.Cause != c.cause {
				t.Errorf("%+v", s)
			}
			if c.cause == supervise.OutOfMemory && strings.Contains(s.Message, "it used ") != c.sampled {
				t.Errorf("the reason is %q", s.Message)
			}
			if strings.Contains(b.log(), "survived") {
				t.Error("it got the memory")
			}
			b.noGroups()
		})
	}
}

// asNobody makes that the supervisor runs as a user who may make no groups.
func (b *bench) asNobody() {
	b.t.Helper()
	b.t.Setenv(asNobody, "1")
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	root := filepath.Dir(b.dir)
	for _, p := range []string{filepath.Dir(root), root} {
		if err := os.Chmod(p, 0o755); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := os.Chown(b.dir, 65534, 65534); err != nil {
		b.t.Fatal(err)
	}
}

// noGroups looks for control groups that the lock file names and that are left.
func (b *bench) noGroups() {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, "lock"))
	if err != nil {
		b.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "cgroup "); ok {
			if _, err := os.Stat(path); err == nil {
				b.t.Errorf("%s is left", path)
			}
		}
	}
}

func TestCPULimit(t *testing.T) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("only root on Linux may make control groups everywhere")
	}
	b := newBench(t)
	l := b.sh("cat /proc/self/cgroup; exec 3</proc/self/stat; i=0; while test $i -lt 200000; do i=$((i+1)); done; echo done")
	l.CPUs = 0.2
	if s := b.start(l); s.Message != "" {
		t.Skip(s.Message)
	}
	s := b.wait()
	if s.ExitCode != 0 || !strings.Contains(b.log(), "runner-") {
		t.Errorf("%+v: %s", s, b.log())
	}
	b.noGroups()
}

// TestCleanRemovesGroups: those of a supervisor that was killed.
func TestCleanRemovesGroups(t *testing.T) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("only root on Linux may make control groups everywhere")
	}
	b := newBench(t)
	l := b.sh("env -i setsid sh -c 'echo $$ > stray; exec sleep 1000' & sleep 1000")
	l.Memory = 1 << 30
	b.start(l)
	stray := b.pidIn("stray")
	if err := b.Clean(t.Context(), b.dir); err != nil {
		t.Fatal(err)
	}
	if s := supervise.StatusOf(b.dir); s.Phase != supervise.Lost {
		t.Errorf("%+v", s)
	}
	if !gone(stray) {
		t.Error("a stray without the mark lives: only its group tells whose it is")
	}
	b.noGroups()
}

// TestRebooted: the machine was started anew while a process ran.
func TestRebooted(t *testing.T) {
	b := newBench(t)
	b.start(b.sh("exec sleep 1000"))
	if err := b.Clean(t.Context(), b.dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(b.dir, "started.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(data), supervise.StatusOf(b.dir).BootID, "another-boot", 1)
	if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := supervise.StatusOf(b.dir); s.Phase != supervise.Lost || !s.Rebooted {
		t.Errorf("%+v", s)
	}
}

// TestWords: nothing on the way changes a byte.
func TestWords(t *testing.T) {
	words := []string{"", " ", "a b", "'", `"`, `\`, "$HOME", "`id`", "*", "a\nb", "é", "日本語", "🙂", "\xff\xfe\x80", "--", "-n", "\u2028<>&", "%s", "\r\n"}
	b := newBench(t)
	dir := filepath.Join(filepath.Dir(b.dir), "a b\n'\"\xff é")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.dir = filepath.Join(dir, "attempt")
	l := b.launch(append([]string{"/bin/sh", "-c", `printf '%s\0' "$@" "$ODD" "$PWD" "$RUNNER_MARK" "$PATH"`, "sh"}, words...)...)
	l.Mark = "odd.1"
	l.Inherit = false
	l.Env = []string{"ODD=x\xff\n'=", "PATH=/bin"}
	l.PathPrepend = []string{"/p q", "/é\xff"}
	l.Dir = dir
	b.start(l)
	if s := b.wait(); s.ExitCode != 0 {
		t.Errorf("%+v", s)
	}
	want := append(append([]string(nil), words...), "x\xff\n'=", dir, "odd.1", "/p q:/é\xff:/bin", "")
	if diff := cmp.Diff(want, strings.Split(b.log(), "\x00")); diff != "" {
		t.Error(diff)
	}
	far, err := b.remote().Status(t.Context(), []string{b.dir})
	if err != nil || far[0].Phase != supervise.Ended {
		t.Errorf("%+v %v", far, err)
	}
}

func TestBadLaunches(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		name   string
		change func(*supervise.Launch)
		want   string
	}{
		{"no program", func(l *supervise.Launch) { l.Argv = nil }, "no program"},
		{"NUL in an argument", func(l *supervise.Launch) { l.Argv = []string{"a", "b\x00"} }, "argument 1 contains a NUL byte"},
		{"NUL in a value", func(l *supervise.Launch) { l.Env = []string{"A=\x00"} }, "the value of A contains a NUL byte"},
		{"a variable without a name", func(l *supervise.Launch) { l.Env = []string{"=x"} }, "not NAME=value"},
		{"a relative directory", func(l *supervise.Launch) { l.Dir = "x" }, "not an absolute directory"},
		{"no mark", func(l *supervise.Launch) { l.Mark = "" }, "not a mark"},
		{"a negative limit", func(l *supervise.Launch) { l.Memory = -1 }, "a limit is negative"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := b.sh("true")
			c.change(&l)
			_, err := b.Start(t.Context(), b.dir, l)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v", err)
			}
			if s := supervise.StatusOf(b.dir); s.Phase != supervise.Absent {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestWatch(t *testing.T) {
	b := newBench(t)
	w, err := supervise.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	changed := make(chan string, 1000)
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx, func(dir string) { changed <- dir }) }()
	until := func(what string, ok func(supervise.Status) bool) {
		t.Helper()
		over := time.After(patience)
		for {
			select {
			case dir := <-changed:
				if !strings.HasPrefix(b.dir, dir) || dir == "" {
					t.Errorf("told of %q", dir)
				}
				if ok(supervise.StatusOf(b.dir)) {
					return
				}
			case <-over:
				t.Fatal("not told of", what)
			}
		}
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := w.Add(b.dir); err != nil {
		t.Fatal(err)
	}
	b.start(b.sh("while ! test -e go; do echo noise; sleep 0.01; done"))
	until("the start", func(s supervise.Status) bool { return s.Phase == supervise.Running && s.PID != 0 })
	if err := os.WriteFile(filepath.Join(filepath.Dir(b.dir), "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	until("the end", func(s supervise.Status) bool { return s.Phase == supervise.Ended })
	b.dir += "2"
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := w.Add(b.dir); err != nil {
		t.Fatal(err)
	}
	b.start(b.sh("exec sleep 1000"))
	until("the second start", func(s supervise.Status) bool { return s.Phase == supervise.Running && s.PID != 0 })
	if err := b.Clean(t.Context(), b.dir); err != nil {
		t.Fatal(err)
	}
	until("the death of its supervisor", func(s supervise.Status) bool { return s.Phase == supervise.Lost })
	w.Remove(b.dir)
	w.Remove("/not/watched")
	cancel()
	if err := <-done; err == nil {
		t.Error("Run ended without an error")
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
