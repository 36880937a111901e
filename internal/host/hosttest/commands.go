package hosttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/host"
)

func testPlatform(t *testing.T, f *fixture) {
	p, err := f.Platform(f.ctx())
	f.ok(err)
	if p.OS == "" || p.Arch == "" || p.Hostname == "" || p.Home == "" || p.UID < 0 || p.GID < 0 {
		t.Errorf("incomplete: %+v", p)
	}
	again, err := f.Platform(f.ctx())
	f.ok(err)
	if diff := cmp.Diff(p, again); diff != "" {
		t.Error(diff)
	}
}

func testRun(t *testing.T, f *fixture) {
	for _, c := range []struct {
		name        string
		command     host.Command
		stdin       io.Reader
		out, stderr string
		want        *host.ExitError
	}{
		{name: "well", command: host.Command{Argv: []string{"echo", "hello"}}, out: "hello\n"},
		{name: "stdin", command: host.Command{Argv: []string{"cat"}}, stdin: strings.NewReader("through"), out: "through"},
		{name: "no stdin is an empty one", command: host.Command{Argv: []string{"cat"}}},
		{name: "environment", command: host.Command{Argv: []string{"sh", "-c", `printf %s "$GREETING" "${PATH:+has a path}"`}, Env: []string{"GREETING=hi there "}}, out: "hi there has a path"},
		{name: "directory is Root", command: host.Command{Argv: []string{"pwd"}}, out: f.Root() + "\n"},
		{name: "directory", command: host.Command{Argv: []string{"pwd"}, Dir: "/"}, out: "/\n"},
		{
			name: "code", command: host.Command{Argv: []string{"sh", "-c", "echo no good >&2; exit 42"}},
			want: &host.ExitError{Code: 42, Stderr: "no good\n"},
		},
		{
			name: "signal", command: host.Command{Argv: []string{"sh", "-c", "kill -KILL $$"}},
			want: &host.ExitError{Code: 137, Signal: "SIGKILL"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			c.command.Stdin, c.command.Stdout = c.stdin, &out
			err := f.Run(f.ctx(), c.command)
			var failed *host.ExitError
			switch {
			case c.want == nil && err != nil:
				t.Fatal(err)
			case c.want != nil && !errors.As(err, &failed):
				t.Fatalf("error %v, want an ExitError", err)
			case c.want != nil:
				c.want.Argv = c.command.Argv
				if diff := cmp.Diff(c.want, failed); diff != "" {
					t.Error(diff)
				}
			}
			if diff := cmp.Diff(c.out, out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("stderr apart", func(t *testing.T) {
		var out, said bytes.Buffer
		err := f.Run(f.ctx(), host.Command{Argv: []string{"sh", "-c", "echo 1; echo 2 >&2; exit 3"}, Stdout: &out, Stderr: &said})
		var failed *host.ExitError
		if !errors.As(err, &failed) || failed.Code != 3 || failed.Stderr != "" {
			t.Errorf("error %#v", err)
		}
		if out.String() != "1\n" || said.String() != "2\n" {
			t.Errorf("stdout %q, stderr %q", &out, &said)
		}
	})
	t.Run("no such program", func(t *testing.T) {
		if err := f.Run(f.ctx(), host.Command{Argv: []string{"no-such-program-here"}}); err == nil {
			t.Error("no error")
		}
	})
	t.Run("nothing to run", func(t *testing.T) {
		if err := f.Run(f.ctx(), host.Command{}); err == nil {
			t.Error("no error")
		}
	})
}

func testRunCutOff(t *testing.T, f *fixture) {
	for _, c := range []struct{ name, script string }{
		{"one that obeys", "echo $$ > pid; exec sleep 1000"},
		{"one that does not, with a child", "trap '' TERM; echo $$ > pid; while :; do sleep 1; done"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.ok(f.RemoveAll(f.ctx(), f.path("pid")))
			ctx, cancel := context.WithCancel(f.ctx())
			ended := make(chan error, 1)
			go func() { ended <- f.Run(ctx, host.Command{Argv: []string{"sh", "-c", c.script}}) }()
			pid := f.pid("pid")
			cancel()
			select {
			case err := <-ended:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
			case <-time.After(patience):
				t.Fatal("it does not come back")
			}
			f.eventually("its end", func() bool { return !f.lives(pid) })
		})
	}
}

// pid waits for a process to write its number into a file under Root.
func (f *fixture) pid(name string) string {
	f.t.Helper()
	pid := ""
	f.eventually(name, func() bool {
		file, err := f.Open(f.ctx(), f.path(name))
		if err != nil {
			return false
		}
		data, err := io.ReadAll(file)
		f.ok(errors.Join(err, file.Close()))
		pid = strings.TrimSpace(string(data))
		return strings.HasSuffix(string(data), "\n")
	})
	return pid
}

func (f *fixture) lives(pid string) bool {
	return f.Run(f.ctx(), host.Command{Argv: []string{"kill", "-0", pid}}) == nil
}

func testRunGrandchild(t *testing.T, f *fixture) {
	var out bytes.Buffer
	began := time.Now()
	f.ok(f.Run(f.ctx(), host.Command{Argv: []string{"sh", "-c", "sleep 1000 & echo $! > pid; echo done"}, Stdout: &out}))
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %s", took)
	}
	if out.String() != "done\n" {
		t.Errorf("output %q", &out)
	}
	f.ok(f.Run(f.ctx(), host.Command{Argv: []string{"kill", f.pid("pid")}}))
}

func testRunLarge(t *testing.T, f *fixture) {
	const size = 32 << 20
	var n counter
	f.ok(f.Run(f.ctx(), host.Command{Argv: []string{"head", "-c", "33554432", "/dev/zero"}, Stdout: &n}))
	if n != size {
		t.Errorf("%d bytes, want %d", n, size)
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// words that a shell somewhere on the way would spoil.
func words() []string {
	return []string{
		"", " ", "a b", "  two  ", "'", `"`, `\`, `\\`, "$HOME", "${HOME}", "`id`", "$(id)", "*", "?", "[a-z]", "~", "a\nb", "\n", "\t",
		"-n", "--", "!", "!!", "#", ";", "&", "|", "<", ">", "(", ")", "{a,b}", "é", "日本語", "🙂", "\xff\xfe", "a=b", "%s", "\r\n", "'\\''",
	}
}

func testWords(t *testing.T, f *fixture) {
	var out bytes.Buffer
	f.ok(f.Run(f.ctx(), host.Command{Argv: append([]string{"printf", `%s\0`}, words()...), Stdout: &out}))
	if diff := cmp.Diff(words(), strings.Split(strings.TrimSuffix(out.String(), "\x00"), "\x00")); diff != "" {
		t.Error("arguments:", diff)
	}
	for _, w := range words() {
		out.Reset()
		f.ok(f.Run(f.ctx(), host.Command{Argv: []string{"sh", "-c", `printf %s "$WORD"`}, Env: []string{"WORD=" + w}, Stdout: &out}))
		if diff := cmp.Diff(w, out.String()); diff != "" {
			t.Error("environment:", diff)
		}
		// The same through a shell line that Quote made.
		out.Reset()
		f.ok(f.Run(f.ctx(), host.Command{Argv: []string{"sh", "-c", host.Quote("printf", "%s", w)}, Stdout: &out}))
		if diff := cmp.Diff(w, out.String()); diff != "" {
			t.Error("quoted:", diff)
		}
	}
}

func testSpawn(t *testing.T, f *fixture) {
	t.Run("answers", func(t *testing.T) {
		answer, err := f.Spawn(f.ctx(), host.Command{
			Argv: []string{"sh", "-c", `read -r line; echo "got $line $WORD"; echo more`}, Env: []string{"WORD=x y"}, Stdin: strings.NewReader("a line\n"),
		})
		f.ok(err)
		if answer != "got a line x y" {
			t.Errorf("answer %q", answer)
		}
	})
	t.Run("all of stdin arrives", func(t *testing.T) {
		answer, err := f.Spawn(f.ctx(), host.Command{Argv: []string{"sh", "-c", "wc -c"}, Stdin: bytes.NewReader(make([]byte, 1<<20))})
		f.ok(err)
		if strings.TrimSpace(answer) != "1048576" {
			t.Errorf("answer %q", answer)
		}
	})
	t.Run("ends without an answer", func(t *testing.T) {
		_, err := f.Spawn(f.ctx(), host.Command{Argv: []string{"sh", "-c", "echo the disk is full >&2; exit 9"}})
		var failed *host.ExitError
		if !errors.As(err, &failed) || failed.Code != 9 || !strings.Contains(failed.Stderr, "the disk is full") {
			t.Errorf("error %#v", err)
		}
	})
	t.Run("ends well without an answer", func(t *testing.T) {
		if _, err := f.Spawn(f.ctx(), host.Command{Argv: []string{"true"}}); err == nil {
			t.Error("no error")
		}
	})
	t.Run("does not read its stdin", func(t *testing.T) {
		_, err := f.Spawn(f.ctx(), host.Command{Argv: []string{"sh", "-c", "exit 9"}, Stdin: bytes.NewReader(make([]byte, 1<<20))})
		var failed *host.ExitError
		if !errors.As(err, &failed) || failed.Code != 9 {
			t.Errorf("error %#v", err)
		}
	})
	t.Run("no such program", func(t *testing.T) {
		if _, err := f.Spawn(f.ctx(), host.Command{Argv: []string{"no-such-program-here"}}); err == nil {
			t.Error("no error")
		}
	})
}

func testSpawnOutlives(t *testing.T, f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx())
	answer, err := f.Spawn(ctx, host.Command{Argv: []string{"sh", "-c", "trap '' PIPE; echo $$; echo noise; echo noise >&2; sleep 0.2; echo noise >&2; echo on > after; exec sleep 1000"}})
	f.ok(err)
	cancel()
	f.eventually("it to go on", func() bool {
		_, err := f.Stat(f.ctx(), f.path("after"))
		return err == nil
	})
	if !f.lives(answer) {
		t.Error("it does not live")
	}
	f.ok(f.Run(f.ctx(), host.Command{Argv: []string{"kill", "-9", answer}}))
	f.eventually("no zombie of it", func() bool { return !f.lives(answer) })
}

func testSpawnCutOff(t *testing.T, f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx())
	ended := make(chan error, 1)
	go func() {
		_, err := f.Spawn(ctx, host.Command{Argv: []string{"sh", "-c", "echo $$ > pid; exec sleep 1000"}})
		ended <- err
	}()
	pid := f.pid("pid")
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it does not come back")
	}
	f.ok(f.Run(f.ctx(), host.Command{Argv: []string{"kill", "-9", pid}}))
}
