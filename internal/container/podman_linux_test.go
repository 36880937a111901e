package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/testenv"
)

// podman is podman's Docker-compatible service on a socket of this test's own.
type podman struct {
	dir, socket string
}

func newPodman(t *testing.T, registry string) podman {
	t.Helper()
	program, err := exec.LookPath("podman")
	if err == nil && os.Geteuid() != 0 {
		err = errors.New("needs root")
	}
	testenv.Need(t, "podman", err)
	dir, err := os.MkdirTemp("", "pm") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	p := podman{dir: dir, socket: filepath.Join(dir, "s")}
	registries := fmt.Appendf(nil, "[[registry]]\nlocation = %q\ninsecure = true\n", registry)
	if err := os.WriteFile(filepath.Join(dir, "registries.conf"), registries, 0o600); err != nil {
		t.Fatal(err)
	}
	service := p.command(program, "system", "service", "--time=0", "unix://"+p.socket)
	var said bytes.Buffer
	service.Stdout, service.Stderr = &said, &said
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.command(program, "rm", "--all", "--force", "--time=0").Run()
		_ = service.Process.Signal(syscall.SIGTERM)
		_ = service.Wait()
		_ = syscall.Unmount(filepath.Join(dir, "root/overlay"), syscall.MNT_DETACH) // its storage's own mount
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove podman's storage: %v", err)
		}
		if t.Failed() {
			t.Logf("podman said:\n%s", said.String())
		}
	})
	poll(t, "up", func() bool {
		_, err := os.Stat(p.socket)
		return err == nil
	})
	return p
}

func (p podman) command(program string, args ...string) *exec.Cmd {
	global := []string{
		"--root", filepath.Join(p.dir, "root"), "--runroot", filepath.Join(p.dir, "run"), "--tmpdir", filepath.Join(p.dir, "tmp"),
		"--cgroup-manager", "cgroupfs", "--events-backend", "file", "--storage-driver", "vfs", "--runtime", "runc",
	}
	cmd := exec.Command(program, append(global, args...)...)
	cmd.Env = append(os.Environ(), "CONTAINERS_REGISTRIES_CONF="+filepath.Join(p.dir, "registries.conf"))
	return cmd
}

// TestPodman goes through a container's life with podman in Docker's place.
func TestPodman(t *testing.T) {
	shared := testenv.Docker(t)
	r := testenv.Registry(t, true)
	p := newPodman(t, r.Addr)
	b := bench{Engine: openAt(t, p.socket, t.TempDir()), docker: shared, home: "podman", dir: t.TempDir()}
	info, err := b.Info(t.Context())
	if err != nil || !info.Podman || info.Version == "" {
		t.Fatalf("info %+v, %v; want podman", info, err)
	}
	changes := watch(t, b.Engine, b.home)
	expect(t, changes, Mark{Home: b.home})

	ref := r.Push(shared.Small, "team/small:1")
	b.docker.Small = ref
	for _, test := range []struct {
		name string
		ref  string
		auth *Auth
		want Kind
	}{
		{"no login", ref, nil, LoginRequired},
		{"wrong password", ref, &Auth{Username: r.User, Password: "wrong"}, LoginRefused},
		{"no such tag", r.Addr + "/team/small:2", &Auth{Username: r.User, Password: r.Password}, ImageNotFound},
		{"no registry", closedPort(t) + "/team/small:1", nil, RegistryUnreachable},
		{"right password", ref, &Auth{Username: r.User, Password: r.Password}, ""},
	} {
		t.Run("pull with "+test.name, func(t *testing.T) {
			image, err := b.Pull(t.Context(), test.ref, test.auth, nil)
			if KindOf(err) != test.want || err == nil && image.ID == "" {
				t.Errorf("error %v of kind %q, want %q", err, KindOf(err), test.want)
			}
		})
	}
	// A container has no network here, and no more files than this machine allows.
	plain, err := ParseArguments([]string{"--network=none", "--ulimit=nofile=1024", "--ulimit=nproc=1024"})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("run, end, remove", func(t *testing.T) {
		s := b.spec("ends", "echo said >&2; echo x >/work/file; exit 5")
		s.Extra = plain
		s.UID, s.GID, s.Binds = 12345, 12345, []Bind{{Source: b.dir, Target: "/work"}}
		if err := os.Chmod(b.dir, 0o777); err != nil {
			t.Fatal(err)
		}
		id := b.run(t, s)
		if again := b.run(t, s); again != id {
			t.Errorf("two containers: %s, %s", id, again)
		}
		expect(t, changes, s.Mark)
		got := b.await(t, s.Mark, Exited)
		if got.ExitCode != 5 || got.ID != id || got.StartedAt.IsZero() || got.FinishedAt.IsZero() {
			t.Errorf("state %+v, want exit code 5", got)
		}
		if said, err := b.Output(t.Context(), id, 1); err != nil || said != "said" {
			t.Errorf("output %q, %v", said, err)
		}
		if uid := owner(filepath.Join(b.dir, "file")); uid != 12345 {
			t.Errorf("the file belongs to %d", uid)
		}
		for range 2 {
			if err := b.Remove(t.Context(), id); err != nil {
				t.Errorf("remove: %v", err)
			}
		}
		if err := b.Stop(t.Context(), id, time.Second); err != nil {
			t.Errorf("stop of none: %v", err)
		}
		if err := b.Kill(t.Context(), id, "SIGTERM"); err != nil {
			t.Errorf("kill of none: %v", err)
		}
	})
	t.Run("stop and kill", func(t *testing.T) {
		s := b.spec("stops", `trap "" TERM; touch /work/ready; while true; do sleep 0.05; done`)
		s.Extra, s.Binds = plain, []Bind{{Source: b.dir, Target: "/work"}}
		id := b.run(t, s)
		ready(t, b.dir)
		if err := b.Stop(t.Context(), id, time.Second); err != nil {
			t.Fatal(err)
		}
		if got := b.await(t, s.Mark, Exited); got.ExitCode != 137 {
			t.Errorf("exit code %d, want 137", got.ExitCode)
		}
		if err := b.Kill(t.Context(), id, "SIGKILL"); err != nil {
			t.Errorf("kill of a dead one: %v", err)
		}
		if err := b.Remove(t.Context(), id); err != nil {
			t.Error(err)
		}
	})
	t.Run("refusals", func(t *testing.T) {
		none := b.spec("none", "true")
		none.Image = "localhost/runner-test/none:1"
		program := b.spec("program", "true")
		program.Extra, program.Command = plain, []string{"no-such-program"}
		for _, test := range []struct {
			spec Spec
			want Kind
		}{{none, ImageNotFound}, {program, StartFailed}} {
			if _, err := b.Run(t.Context(), test.spec); KindOf(err) != test.want {
				t.Errorf("error %v of kind %q, want %q", err, KindOf(err), test.want)
			}
			if s, ok := b.observe(t, test.spec.Mark); ok {
				t.Errorf("a container is left: %+v", s)
			}
		}
	})
	t.Run("created and not started", func(t *testing.T) {
		s := b.spec("created", "exit 6")
		s.Extra = plain
		id, err := b.Create(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := b.observe(t, s.Mark); got.Phase != Created {
			t.Errorf("phase %q, want created", got.Phase)
		}
		if again := b.run(t, s); again != id {
			t.Errorf("two containers: %s, %s", id, again)
		}
		if got := b.await(t, s.Mark, Exited); got.ExitCode != 6 {
			t.Errorf("exit code %d, want 6", got.ExitCode)
		}
	})
}
