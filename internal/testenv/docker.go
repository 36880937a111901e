package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Images that every Docker engine of this package holds. They are shared by all tests: do not remove or retag them.
const (
	// BaseImage is a Debian with python3, venv and pip, about 200 MB.
	BaseImage = "runner-test/base:1"
	// SmallImage is busybox alone, about 2 MB: a shell and the usual tools, no Python.
	SmallImage = "runner-test/small:1"
)

// Engine is a running Docker engine, shared with other test processes on this machine.
type Engine struct {
	Host    string // where its API listens: unix:///path/docker.sock
	Base    string // BaseImage
	Small   string // SmallImage
	Gateway string // the IP address at which a container on the default network reaches this machine

	dir string
}

// Docker gives the shared Docker engine, starting it when it is not up. Containers on its default network reach this
// machine at Gateway and the outside through it; images may be pushed to and pulled from registries on 127.0.0.0/8.
func Docker(t testing.TB) Engine {
	t.Helper()
	return begin(t, "Docker engine", StartDocker)
}

// StartDocker is [Docker] for a caller that is not a test.
func StartDocker(ctx context.Context) (Engine, error) {
	dir, err := stateSubdir("docker")
	if err != nil {
		return Engine{}, err
	}
	e := engineIn(dir)
	const longestSocket = 104 // sun_path of the stricter systems
	if deepest := filepath.Join(dir, "exec/containerd/containerd-debug.sock"); len(deepest) > longestSocket {
		return Engine{}, fmt.Errorf("state directory is too deep for a socket: %s (set RUNNER_TESTENV to a shorter one)", deepest)
	}
	network, up := e.runningNetwork(ctx)
	if !up {
		if os.Geteuid() != 0 {
			return Engine{}, fmt.Errorf("start dockerd: %w", errNeedsRoot)
		}
		release, err := lock(ctx, filepath.Join(dir, "lock"))
		if err != nil {
			return Engine{}, err
		}
		defer release()
		if network, err = e.start(ctx); err != nil {
			return Engine{}, fmt.Errorf("start dockerd: %w", err)
		}
	}
	e.Gateway = network
	if err := errors.Join(e.ensureBase(ctx), e.ensureSmall(ctx), e.sweep(ctx, time.Now().Add(-leftBehind))); err != nil {
		return Engine{}, err
	}
	return e, nil
}

func engineIn(dir string) Engine {
	return Engine{Host: "unix://" + filepath.Join(dir, "docker.sock"), Base: BaseImage, Small: SmallImage, dir: dir}
}

// runningNetwork says whether the engine is up and, when it is, its gateway.
func (e Engine) runningNetwork(ctx context.Context) (gateway string, up bool) {
	raw, err := os.ReadFile(filepath.Join(e.dir, "gateway"))
	if err != nil || e.pid() == 0 || e.ping(ctx) != nil {
		return "", false
	}
	return string(raw), true
}

// start brings dockerd up. The caller holds the lock.
func (e Engine) start(ctx context.Context) (gateway string, err error) {
	if gateway, up := e.runningNetwork(ctx); up { // another process was faster
		return gateway, nil
	}
	if pid := e.pid(); pid != 0 {
		// Ours, and it does not answer. Others may be using it on a busy machine: it gets time before it is ended.
		patience, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		for patience.Err() == nil {
			if gateway, up := e.runningNetwork(patience); up {
				return gateway, nil
			}
			_ = pause(patience)
		}
		if err := end(ctx, pid, 10*time.Second); err != nil {
			return "", err
		}
	}
	bridge, err := ensureBridge(ctx, e.dir)
	if err != nil {
		return "", err
	}
	if err := writeWhole(filepath.Join(e.dir, "gateway"), []byte(bridge.gateway), 0o600); err != nil {
		return "", err
	}
	// dockerd gives its containerd 15 s to come up, which a busy machine may not have for it: what that one did
	// until then makes the next try shorter.
	const tries = 3
	for try := 1; ; try++ {
		if err := e.removeStalePIDs(); err != nil {
			return "", err
		}
		if err = e.serve(ctx, bridge); err == nil || try == tries || !errors.Is(err, errEnded) {
			return bridge.gateway, err
		}
	}
}

// serve starts dockerd on a bridge, and waits until it answers.
func (e Engine) serve(ctx context.Context, bridge bridge) error {
	readyCtx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// With --iptables=false dockerd leaves the chains of the user's own engine alone; the bridge has rules of its own.
	cmd := exec.Command("dockerd",
		"--data-root", filepath.Join(e.dir, "data"),
		"--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", e.pidFile(),
		"--host", e.Host,
		"--config-file", filepath.Join(e.dir, "no-daemon.json"),
		"--containerd-namespace", bridge.name,
		"--containerd-plugins-namespace", bridge.name+"-plugins",
		"--bridge", bridge.name,
		"--mtu", strconv.Itoa(bridgeMTU),
		"--iptables=false",
		"--insecure-registry", "127.0.0.0/8",
	)
	// An empty configuration keeps the machine's /etc/docker/daemon.json out of it.
	if err := os.WriteFile(filepath.Join(e.dir, "no-daemon.json"), []byte("{}\n"), 0o600); err != nil {
		return err
	}
	_, err := daemon(readyCtx, cmd, filepath.Join(e.dir, "dockerd.log"), func(ctx context.Context) bool {
		return e.ping(ctx) == nil
	})
	return err
}

// removeStalePIDs removes the pid files that a killed dockerd left. Their ids may belong to other processes by now,
// or to zombies, and dockerd would take those for the living.
func (e Engine) removeStalePIDs() error {
	stale := []string{e.pidFile()}
	exec := filepath.Join(e.dir, "exec")
	if len(running(exec, "containerd")) == 0 {
		stale = append(stale, filepath.Join(exec, "containerd/containerd.pid"))
	}
	for _, path := range stale {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (e Engine) pidFile() string { return filepath.Join(e.dir, "dockerd.pid") }

// pid is the process id of this engine's dockerd, zero when it is not running.
func (e Engine) pid() int {
	raw, err := os.ReadFile(e.pidFile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return 0
	}
	args := commandLine(pid)
	for i := range args {
		if args[i] == "--pidfile" && i+1 < len(args) && args[i+1] == e.pidFile() {
			return pid
		}
	}
	return 0
}

// StopDocker ends the shared Docker engine with its containers and network; its images stay for the next start.
func StopDocker(ctx context.Context) error {
	dir, err := stateSubdir("docker")
	if err != nil {
		return err
	}
	e := engineIn(dir)
	release, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	defer release()
	var problems []error
	programs := []string{"containerd", "containerd-shim", "containerd-shim-runc-v2"}
	if e.pid() == 0 && len(running(dir, programs...)) > 0 {
		// Killed, with containers left behind: a fresh dockerd takes them down as it starts.
		_, err := e.start(ctx)
		problems = append(problems, err)
	}
	if pid := e.pid(); pid != 0 {
		problems = append(problems, end(ctx, pid, 20*time.Second))
	}
	for _, pid := range running(dir, programs...) {
		problems = append(problems, end(ctx, pid, 5*time.Second))
	}
	return errors.Join(append(problems, unmountBelow(dir), removeBridge(ctx, dir))...)
}

// Command is a docker command line against this engine, with a configuration directory of its own in place of the
// user's.
func (e Engine) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host, "DOCKER_CONFIG="+filepath.Join(e.dir, "cli"), "DOCKER_CONTEXT=", "DOCKER_TLS_VERIFY=")
	return cmd
}
