package container

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHowContainersEnd(t *testing.T) {
	b := newBench(t)
	tests := []struct {
		name   string
		script string
		memory int64
		want   State
	}{
		{name: "success", script: "exit 0", want: State{ExitCode: 0}},
		{name: "failure", script: "exit 3", want: State{ExitCode: 3}},
		{name: "out-of-memory", script: "x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done", memory: 16 << 20, want: State{ExitCode: 137, OOMKilled: true}},
		{name: "a-child-out-of-memory", script: "sh -c 'x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done'; exit 7", memory: 16 << 20, want: State{ExitCode: 7, OOMKilled: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := b.spec(test.name, test.script)
			s.Memory = test.memory
			before := time.Now()
			id := b.run(t, s)
			got := b.await(t, s.Mark, Exited)
			if got.StartedAt.Before(before.Add(-time.Second)) || got.FinishedAt.Before(got.StartedAt) {
				t.Errorf("started %v, finished %v", got.StartedAt, got.FinishedAt)
			}
			got.StartedAt, got.FinishedAt = time.Time{}, time.Time{}
			test.want.ID, test.want.Mark, test.want.Phase = id, s.Mark, Exited
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunTwiceFindsTheFirst(t *testing.T) {
	b := newBench(t)
	t.Run("running", func(t *testing.T) {
		s := b.spec("running", "while true; do sleep 1; done")
		if first, second := b.run(t, s), b.run(t, s); first != second {
			t.Errorf("two containers: %s, %s", first, second)
		}
	})
	t.Run("created and not started", func(t *testing.T) {
		s := b.spec("created", "exit 5")
		first, err := b.Create(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := b.observe(t, s.Mark); got.Phase != Created {
			t.Fatalf("phase %q, want created", got.Phase)
		}
		if second := b.run(t, s); first != second {
			t.Errorf("two containers: %s, %s", first, second)
		}
		if got := b.await(t, s.Mark, Exited); got.ExitCode != 5 {
			t.Errorf("exit code %d, want 5", got.ExitCode)
		}
	})
	t.Run("ended", func(t *testing.T) {
		s := b.spec("ended", "echo once >>/work/ran")
		s.Binds = []Bind{{Source: b.dir, Target: "/work"}}
		first := b.run(t, s)
		b.await(t, s.Mark, Exited)
		if second := b.run(t, s); first != second {
			t.Errorf("two containers: %s, %s", first, second)
		}
		if got, err := os.ReadFile(filepath.Join(b.dir, "ran")); string(got) != "once\n" {
			t.Errorf("it ran %q, %v; want once", got, err)
		}
	})
	t.Run("at the same moment", func(t *testing.T) {
		s := b.spec("moment", "sleep 100")
		ids := make(chan string)
		for range 4 {
			go func() {
				id, err := b.Run(t.Context(), s)
				if err != nil {
					t.Errorf("run: %v", err)
				}
				ids <- id
			}()
		}
		first := <-ids
		for range 3 {
			if id := <-ids; id != first {
				t.Errorf("two containers: %s, %s", first, id)
			}
		}
	})
	t.Run("other attempts are others", func(t *testing.T) {
		s := b.spec("others", "exit 0")
		first := b.run(t, s)
		s.Mark.Attempt = 2
		if second := b.run(t, s); first == second {
			t.Error("attempt 2 has attempt 1's container")
		}
	})
}

func TestRunRefuses(t *testing.T) {
	b := newBench(t)
	taken := b.spec("taken", "true")
	if out, err := b.docker.Command(t.Context(), "create", "--name", taken.Mark.Name(), b.docker.Small, "true").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = b.docker.Command(context.WithoutCancel(t.Context()), "rm", taken.Mark.Name()).Run() })
	with := func(run string, change func(*Spec)) Spec {
		s := b.spec(run, "true")
		change(&s)
		return s
	}
	tests := []struct {
		name string
		spec Spec
		want Kind
		says string
	}{
		{"a name that somebody has", taken, NameTaken, "not this installation's"},
		{"no such image", with("image", func(s *Spec) { s.Image = "runner-test/none:1" }), ImageNotFound, "runner-test/none:1"},
		{"no such program", with("program", func(s *Spec) { s.Command = []string{"no-such-program"} }), StartFailed, "no-such-program"},
		{"bind of nothing", with("bind", func(s *Spec) { s.Binds = []Bind{{Source: b.dir + "/none", Target: "/x"}} }), InvalidSpec, "does not exist"},
		{"relative bind", with("relative", func(s *Spec) { s.Binds = []Bind{{Source: "none", Target: "/x"}} }), InvalidSpec, "absolute"},
		{"no run", with("", func(*Spec) {}), InvalidSpec, "name"},
		{"no command", with("command", func(s *Spec) { s.Command = nil }), InvalidSpec, "no command"},
		{"GPU that nobody has", with("gpu", func(s *Spec) { s.GPUs = []GPU{{ID: "GPU-1"}} }), NoGPUSupport, "nvidia"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := b.Run(t.Context(), test.spec)
			if KindOf(err) != test.want || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("error %v of kind %q, want kind %q and %q in it", err, KindOf(err), test.want, test.says)
			}
			if e, ok := errors.AsType[*Error](err); !ok || e.Temporary() {
				t.Errorf("%v counts as temporary", err)
			}
			if s, ok := b.observe(t, test.spec.Mark); ok {
				t.Errorf("a container is left: %+v", s)
			}
		})
	}
}

func TestFilesBelongToTheUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root to give a directory to another user")
	}
	b := newBench(t)
	const uid, gid = 12345, 23456
	work := filepath.Join(b.dir, "work")
	if err := errors.Join(os.Mkdir(work, 0o700), os.Chown(work, uid, gid)); err != nil {
		t.Fatal(err)
	}
	s := b.spec("user", `touch /work/file "$HOME/also" && echo "$USER" >/work/name`)
	s.UID, s.GID, s.Binds = uid, gid, []Bind{{Source: work, Target: "/work"}}
	b.run(t, s)
	if got := b.await(t, s.Mark, Exited); got.ExitCode != 0 {
		out, _ := b.Output(t.Context(), got.ID, 10)
		t.Fatalf("exit code %d: %s", got.ExitCode, out)
	}
	info, err := os.Stat(filepath.Join(work, "file"))
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != uid || st.Gid != gid {
		t.Errorf("the file belongs to %d:%d, want %d:%d", st.Uid, st.Gid, uid, gid)
	}
	if got, err := os.ReadFile(filepath.Join(work, "name")); string(got) != "runner\n" {
		t.Errorf("USER is %q, %v; want runner", got, err)
	}
}

func TestBytesArriveAsTheyAre(t *testing.T) {
	b := newBench(t)
	odd := "a 'b' \"c\" $HOME `d` \\ \n\té 漢 * ; & # %s:"
	dir := filepath.Join(b.dir, "with: colon, comma and 漢")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := b.spec("odd", `printf %s "$1" >/odd/argument; printf %s "$ODD" >/odd/variable; pwd >/odd/dir`)
	s.Command = append(s.Command, "sh", odd)
	s.Env, s.Dir = []string{"ODD=" + odd}, "/odd"
	s.Binds = []Bind{{Source: dir, Target: "/odd"}}
	b.run(t, s)
	if got := b.await(t, s.Mark, Exited); got.ExitCode != 0 {
		t.Fatalf("exit code %d", got.ExitCode)
	}
	for file, want := range map[string]string{"argument": odd, "variable": odd, "dir": "/odd\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, file)); string(got) != want {
			t.Errorf("%s is %q, %v; want %q", file, got, err, want)
		}
	}
}

// owner is the user that a file belongs to; -1 when there is none.
func owner(file string) int {
	info, err := os.Lstat(file)
	if err != nil {
		return -1
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}
