package container

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/runnerml/runner/internal/testenv"
)

// ownDocker is a Docker engine of this test alone, which it may end and kill.
type ownDocker struct {
	dir    string
	socket string
	daemon *exec.Cmd
}

// disk, when it is not empty, is the size of a disk of its own, for example "32m".
func newOwnDocker(t *testing.T, disk string) *ownDocker {
	t.Helper()
	testenv.Root(t, "a Docker engine of its own")
	dir, err := os.MkdirTemp("", "od") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	d := &ownDocker{dir: dir, socket: filepath.Join(dir, "d.sock")}
	t.Cleanup(func() {
		if said, err := os.ReadFile(filepath.Join(dir, "log")); t.Failed() && err == nil {
			const last = 4000
			t.Logf("the engine's log ends with:\n%s", said[max(0, len(said)-last):])
		}
		d.end(t, syscall.SIGTERM)
		d.sweep(t)
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove engine: %v", err)
		}
	})
	if disk != "" {
		data := filepath.Join(dir, "data")
		if err := errors.Join(os.Mkdir(data, 0o700), syscall.Mount("tmpfs", data, "tmpfs", 0, "size="+disk)); err != nil {
			t.Fatal(err)
		}
	}
	d.start(t)
	return d
}

// start brings dockerd up and waits until its socket answers.
func (d *ownDocker) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	if err := os.WriteFile(filepath.Join(d.dir, "config.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.daemon = exec.Command("dockerd",
		"--config-file", filepath.Join(d.dir, "config.json"), "--data-root", filepath.Join(d.dir, "data"), "--exec-root", filepath.Join(d.dir, "exec"),
		"--pidfile", filepath.Join(d.dir, "pid"), "--host", "unix://"+d.socket, "--bridge", "none", "--iptables=false",
		"--containerd-namespace", filepath.Base(d.dir), "--containerd-plugins-namespace", filepath.Base(d.dir)+"-plugins")
	d.daemon.Stdout, d.daemon.Stderr = log, log
	d.daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.daemon.Start(); err != nil {
		testenv.Need(t, "Docker engine of its own", err)
	}
	poll(t, "up", func() bool { return d.docker("version").Run() == nil })
}

// end ends dockerd with a signal; killed, it leaves its containers behind.
func (d *ownDocker) end(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if d.daemon == nil {
		return
	}
	if err := d.daemon.Process.Signal(signal); err != nil {
		t.Errorf("end engine: %v", err)
	}
	_ = d.daemon.Wait() // how it ends is no concern
	d.daemon = nil
	if signal == syscall.SIGKILL {
		// Its containerd dies with it. Where nobody reaps it, its id would look alive.
		_ = os.Remove(filepath.Join(d.dir, "pid"))
		_ = os.Remove(filepath.Join(d.dir, "exec/containerd/containerd.pid"))
	}
}

// sweep kills what a killed engine left: processes that name its directory.
func (d *ownDocker) sweep(t *testing.T) {
	t.Helper()
	poll(t, "rid of the engine's processes", func() bool {
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		gone := true
		for _, file := range lines {
			line, err := os.ReadFile(file)
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err == nil && pid != os.Getpid() && bytes.Contains(line, []byte(d.dir+"/")) {
				gone = false
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		return gone
	})
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], d.dir+"/") {
			_ = syscall.Unmount(fields[1], syscall.MNT_DETACH)
		}
	}
}

func (d *ownDocker) docker(args ...string) *exec.Cmd {
	return exec.Command("docker", append([]string{"--host", "unix://" + d.socket}, args...)...)
}

// load copies the small image from the shared engine.
func (d *ownDocker) load(t *testing.T, from testenv.Engine) {
	t.Helper()
	saved, err := from.Command(t.Context(), "save", from.Small).Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := d.docker("load")
	cmd.Stdin = bytes.NewReader(saved)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestEngineGoesAway ends and kills the engine under a running container.
func TestEngineGoesAway(t *testing.T) {
	shared := testenv.Docker(t)
	d := newOwnDocker(t, "")
	d.load(t, shared)
	b := bench{Engine: openAt(t, d.socket, t.TempDir()), docker: shared, home: "restart"}
	changes := watch(t, b.Engine, b.home)
	expect(t, changes, Mark{Home: b.home})
	for _, test := range []struct {
		name   string
		signal syscall.Signal
	}{{"ended", syscall.SIGTERM}, {"killed", syscall.SIGKILL}} {
		t.Run(test.name, func(t *testing.T) {
			s := b.spec(test.name, `trap "exit 9" TERM; while true; do sleep 0.05; done`)
			s.Extra.Network = "none"
			id := b.run(t, s)
			expect(t, changes, s.Mark)
			d.end(t, test.signal)

			for what, ask := range map[string]func() error{
				"observe": func() error { _, err := b.Observe(t.Context(), b.home); return err },
				"run":     func() error { _, err := b.Run(t.Context(), s); return err },
				"stop":    func() error { return b.Stop(t.Context(), id, 0) },
				"kill":    func() error { return b.Kill(t.Context(), id, "SIGTERM") },
				"remove":  func() error { return b.Remove(t.Context(), id) },
				"output":  func() error { _, err := b.Output(t.Context(), id, 1); return err },
				"info":    func() error { _, err := b.Info(t.Context()); return err },
				"image":   func() error { _, err := b.Inspect(t.Context(), shared.Small); return err },
				"pull":    func() error { _, err := b.Pull(t.Context(), "127.0.0.1:1/x", nil, nil); return err },
				"build": func() error {
					_, err := b.Build(t.Context(), BuildRequest{Tag: "x", Dockerfile: []byte("FROM scratch")}, nil, nil)
					return err
				},
			} {
				err := ask()
				if e, ok := errors.AsType[*Error](err); !ok || e.Kind != Unreachable || !e.Temporary() {
					t.Errorf("%s while the engine is away: %v of kind %q, want %q", what, err, KindOf(err), Unreachable)
				}
			}
			d.start(t)
			expect(t, changes, Mark{Home: b.home}) // anything may have changed
			got := b.await(t, s.Mark, Exited)
			t.Logf("after the engine's return: %+v", got)
			if got.ID != id || got.ExitCode == 0 {
				t.Errorf("state %+v, want the same container with another code than 0", got)
			}
			if err := b.Remove(t.Context(), id); err != nil {
				t.Errorf("remove: %v", err)
			}
		})
	}
}

func TestPullOntoAFullDisk(t *testing.T) {
	b := newBench(t)
	r := testenv.Registry(t, false)
	ref := b.pushed(t, r, "team/large:1", 40<<20)
	d := newOwnDocker(t, "32m")
	e := openAt(t, d.socket, t.TempDir())
	_, err := e.Pull(t.Context(), ref, nil, nil)
	if KindOf(err) != NoSpace {
		t.Errorf("error %v of kind %q, want %q", err, KindOf(err), NoSpace)
	}
	if _, err := e.Inspect(t.Context(), ref); KindOf(err) != ImageNotFound {
		t.Errorf("half an image is left: %v", err)
	}
}
