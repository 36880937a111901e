package ranks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/testenv"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == word {
		testenv.Exit(Main(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// launched is a launcher at work.
type launched struct {
	*testing.T
	cmd *exec.Cmd
	out bytes.Buffer
	err bytes.Buffer
	dir string
}

func start(t *testing.T, c Config, env ...string) *launched {
	t.Helper()
	return startWith(t, c, nil, env...)
}

// startWith starts a launcher with further flags.
func startWith(t *testing.T, c Config, flags []string, env ...string) *launched {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if c.Grace == 0 {
		c.Grace = time.Second
	}
	line := c.Command(self)
	line = append(append(line[:2:2], flags...), line[2:]...)
	l := &launched{T: t, cmd: exec.Command(line[0], line[1:]...), dir: t.TempDir()}
	l.cmd.Dir, l.cmd.Stdout, l.cmd.Stderr, l.cmd.Env = l.dir, &l.out, &l.err, append(os.Environ(), env...)
	l.cmd.WaitDelay = 10 * time.Second
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.cmd.Process.Kill() })
	return l
}

// wait gives the status that its supervisor would see.
func (l *launched) wait() syscall.WaitStatus {
	l.Helper()
	over := time.AfterFunc(time.Minute, func() { _ = l.cmd.Process.Kill() })
	defer over.Stop()
	var exit *exec.ExitError
	if err := l.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		l.Fatal(err)
	}
	return l.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// appears waits for files of the script.
func (l *launched) appears(names ...string) {
	l.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		missing := ""
		for _, name := range names {
			if _, err := os.Stat(filepath.Join(l.dir, name)); err != nil {
				missing = name
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			l.Fatalf("%s does not appear; %s%s", missing, l.out.String(), l.err.String())
		}
	}
}

func shell(script string) []string { return []string{"/bin/sh", "-c", script} }

func TestVariables(t *testing.T) {
	for _, framework := range []string{"pytorch", TensorFlow} {
		t.Run(framework, func(t *testing.T) {
			l := start(t, Config{Processes: 3, Framework: framework, Argv: shell(
				`printf '%s\n' "$MASTER_ADDR $WORLD_SIZE $RANK $LOCAL_RANK $LOCAL_WORLD_SIZE $NODE_RANK $CUDA_VISIBLE_DEVICES" "$MASTER_PORT" "$TF_CONFIG" >"$RANK"`,
			)}, "CUDA_VISIBLE_DEVICES=4,5,6", "RANK=7", "TF_CONFIG=")
			if s := l.wait(); s != 0 || l.out.Len() > 0 {
				t.Fatalf("status %v, %s%s", s, l.out.String(), l.err.String())
			}
			ports := map[string]bool{}
			var workers []string
			for rank := range 3 {
				data, err := os.ReadFile(filepath.Join(l.dir, fmt.Sprint(rank)))
				if err != nil {
					t.Fatal(err)
				}
				lines := strings.Split(string(data), "\n")
				if diff := cmp.Diff(fmt.Sprintf("127.0.0.1 3 %d %d 3 0 4,5,6", rank, rank), lines[0]); diff != "" {
					t.Error(diff)
				}
				ports[lines[1]] = true
				if framework != TensorFlow {
					continue
				}
				var c tfConfig
				if err := json.Unmarshal([]byte(lines[2]), &c); err != nil {
					t.Fatal(err)
				}
				if c.Task.Index != rank || c.Task.Type != "worker" || len(c.Cluster.Worker) != 3 {
					t.Errorf("TF_CONFIG %s", lines[2])
				}
				if workers != nil && !cmp.Equal(workers, c.Cluster.Worker) {
					t.Errorf("workers %q and %q", workers, c.Cluster.Worker)
				}
				workers = c.Cluster.Worker
			}
			if len(ports) != 1 || ports["29500"] {
				t.Errorf("master ports %v", ports)
			}
		})
	}
}

func TestPortsDiffer(t *testing.T) {
	ports, err := freePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range ports {
		if seen[p] || p == 0 {
			t.Errorf("port %d twice, or none", p)
		}
		seen[p] = true
	}
}

func TestEnds(t *testing.T) {
	tests := []struct {
		name      string
		processes int
		script    string
		want      syscall.WaitStatus
		last      string
	}{
		{"all well", 3, "exit 0", 0, ""},
		{"one alone, byte for byte", 1, `printf 'a\r\n\0b'`, 0, "a\r\n\x00b"},
		{"one alone fails", 1, "exit 9", 9 << 8, "runner: rank 0 ended with exit code 9\n"},
		{"a code", 3, `[ $RANK = 1 ] && exit 3; exec sleep 100`, 3 << 8, "runner: rank 1 ended with exit code 3; the other 2 were ended\n"},
		{"a late rank fails", 2, `[ $RANK = 0 ] && exit 0; sleep 0.2; exit 4`, 4 << 8, "runner: rank 1 ended with exit code 4\n"},
		{"deaf to TERM", 2, `[ $RANK = 1 ] && { sleep 0.2; exit 3; }; trap '' TERM; while :; do sleep 0.1; done`, 3 << 8, "runner: rank 1 ended with exit code 3; the other one was ended\n"},
		{"with children", 2, `[ $RANK = 1 ] && exit 3; sleep 100 & wait`, 3 << 8, "runner: rank 1 ended with exit code 3; the other one was ended\n"},
		{"a signal", 2, `[ $RANK = 1 ] && kill -SEGV $$; exec sleep 100`, syscall.WaitStatus(unix.SIGSEGV), "runner: rank 1 was ended by SIGSEGV (exit code 139); the other one was ended\n"},
		{"killed", 2, `[ $RANK = 1 ] && kill -KILL $$; exec sleep 100`, syscall.WaitStatus(unix.SIGKILL), "runner: rank 1 was ended by SIGKILL (exit code 137); the other one was ended\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			l := start(t, Config{Processes: test.processes, Framework: "pytorch", Argv: shell(test.script)})
			if s := l.wait(); s != test.want {
				t.Errorf("status %#x, want %#x", s, test.want)
			}
			if diff := cmp.Diff(test.last, l.out.String()); diff != "" {
				t.Error(diff, l.err.String())
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestCannotStart(t *testing.T) {
	for program, want := range map[string]int{"no-such-program": codeNotFound, "/nowhere/program": codeNotFound, "/etc/passwd": codeNotExecutable} {
		l := start(t, Config{Processes: 2, Framework: "pytorch", Argv: []string{program}})
		if s := l.wait(); s.ExitStatus() != want || !strings.Contains(l.err.String(), program) {
			t.Errorf("%s: status %#x, %s", program, s, l.err.String())
		}
	}
}

// A signal to the launcher reaches each process, and only once.
func TestSignals(t *testing.T) {
	script := `trap 'echo T >>got.$RANK; [ $RANK = 0 ] && exit 0; exit 5' TERM; trap 'echo U >>got.$RANK' USR1; : >ready.$RANK; while :; do sleep 0.02; done`
	l := start(t, Config{Processes: 2, Framework: "pytorch", Argv: shell(script)})
	l.appears("ready.0", "ready.1")
	for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGTERM} {
		if err := l.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		l.appears("got.0", "got.1")
	}
	if s := l.wait(); s.ExitStatus() != 5 || strings.Contains(l.out.String(), "runner:") {
		t.Errorf("status %#x, %s", s, l.out.String())
	}
	for _, name := range []string{"got.0", "got.1"} {
		data, err := os.ReadFile(filepath.Join(l.dir, name))
		if err != nil || string(data) != "U\nT\n" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}

// Every line comes whole and with its rank.
func TestLinesComeWhole(t *testing.T) {
	const count = 2000
	l := start(t, Config{Processes: 3, Framework: "pytorch", Argv: shell(
		`i=0; while [ $i -lt 2000 ]; do printf '%s' "begin $i "; echo "of $RANK end"; i=$((i+1)); done >&2; printf 'no end'`)})
	if s := l.wait(); s != 0 {
		t.Fatal(s, l.err.String())
	}
	next := map[int]int{}
	for line := range strings.Lines(l.out.String()) {
		var rank, i, of int
		if n, _ := fmt.Sscanf(line, "[rank %d] begin %d of %d end\n", &rank, &i, &of); n == 3 && rank == of && i == next[rank] {
			next[rank]++
		} else if n, _ := fmt.Sscanf(line, "[rank %d] no end\n", &rank); n != 1 || next[rank] != count {
			t.Fatalf("line %q after %v", line, next)
		}
	}
	if diff := cmp.Diff(map[int]int{0: count, 1: count, 2: count}, next); diff != "" {
		t.Error(diff)
	}
}

// Somebody who holds the output open, or writes without end, keeps no one.
func TestWhoHoldsTheOutput(t *testing.T) {
	for name, script := range map[string]string{
		"silent": `sleep 100 & echo said`, "loud": `yes & echo said`,
	} {
		t.Run(name, func(t *testing.T) {
			l := start(t, Config{Processes: 2, Framework: "pytorch", Argv: shell(script + "; echo $! >pid.$RANK")})
			began := time.Now()
			s := l.wait()
			for _, rank := range []string{"0", "1"} {
				data, err := os.ReadFile(filepath.Join(l.dir, "pid."+rank))
				if err != nil {
					t.Fatal(err)
				}
				var pid int
				if _, err := fmt.Sscan(string(data), &pid); err == nil {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			if took := time.Since(began); s != 0 || !strings.Contains(l.out.String(), "said\n") || took > 10*time.Second {
				t.Errorf("status %v after %s", s, took)
			}
		})
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", longestLine)
	tests := []struct {
		name string
		in   []string
		want string
	}{
		{"one", []string{"a\n"}, "> a\n"},
		{"in pieces", []string{"a", "b\nc", "\n"}, "> ab\n> c\n"},
		{"no end", []string{"a"}, "> a\n"},
		{"empty lines", []string{"\n\n"}, "> \n> \n"},
		{"a progress bar", []string{"\r10%", "\r20%\n"}, "> \r> 10%\r> 20%\n"},
		{"Windows", []string{"a\r", "\nb\r\n"}, "> a\r\n> b\r\n"},
		{"too long", []string{long, long, "y\nz\n"}, "> " + long + "\n> " + long + "\n> y\n> z\n"},
		{"as long as can be", []string{long[1:], "\n"}, "> " + long[1:] + "\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			l := &lines{prefix: "> ", to: &together{out: &out}}
			for _, p := range test.in {
				l.write([]byte(p))
			}
			l.finish()
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Without prefixes, what has line ends is passed on as it is, in bounded memory.
func TestLinesKeepBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(rapid.SliceOf(rapid.SampledFrom([]byte("ab\r\n\x00")))).Draw(t, "pieces")
		var out bytes.Buffer
		l := &lines{to: &together{out: &out}}
		all := []byte{}
		for _, p := range pieces {
			l.write(p)
			all = append(all, p...)
		}
		l.write([]byte("\n"))
		l.finish()
		if got := out.Bytes(); !bytes.Equal(got, append(all, '\n')) {
			t.Fatalf("%q became %q", all, got)
		}
	})
	l := &lines{to: &together{out: io.Discard}}
	for range 1000 {
		l.write(bytes.Repeat([]byte("x"), readAtOnce))
	}
	if cap(l.held)+cap(l.cut) > 8*(longestLine+readAtOnce) {
		t.Errorf("%d and %d bytes are held", cap(l.held), cap(l.cut))
	}
}

// A secret of several lines would be in pieces after the prefixes.
func TestSecrets(t *testing.T) {
	l := start(t, Config{Processes: 2, Framework: "pytorch", Secrets: []string{"KEY", "NONE"}, Argv: shell(`printf 'my %s here\n' "$KEY"`)}, "KEY=first line\nsecond line\n")
	if s := l.wait(); s != 0 {
		t.Fatal(s)
	}
	for line := range strings.Lines(l.out.String()) {
		if !strings.HasSuffix(line, "] my ***\n") && !strings.HasSuffix(line, "]  here\n") {
			t.Errorf("line %q", line)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"--processes", "0", "--framework", "x", "--", "a"}, {"--processes", "1", "--framework", "x"}, {"--nonsense"}, {mpiWord}} {
		if code := Main(args); code != codeUsage {
			t.Errorf("%q: %d", args, code)
		}
	}
}
