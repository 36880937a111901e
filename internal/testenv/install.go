package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// needed are the Debian packages that the tests use, each known by a file or command that it brings, so that
// the same thing installed in another way counts too.
var needed = []struct{ file, debian string }{
	{"/bin/busybox", "busybox-static"},
	{"containerd", "containerd"},
	{"debootstrap", "debootstrap"},
	{"docker", "docker.io"},
	{"dockerd", "docker.io"},
	{"docker-init", "tini"},
	{"docker-registry", "docker-registry"},
	{"fish", "fish"},
	{"git", "git"},
	{"ip", "iproute2"},
	{"iptables", "iptables"},
	{"java", "openjdk-17-jre-headless"},
	{"javac", "openjdk-17-jdk-headless"},
	{"mvn", "maven"},
	{"node", "nodejs"},
	{"npm", "npm"},
	{"nsenter", "util-linux"},
	{"tc", "iproute2"},
	{"podman", "podman"},
	{"promtool", "prometheus"},
	{"/usr/bin/python3", "python3"},
	{"/usr/share/python-wheels", "python3-venv"},
	{"munged", "munge"},
	{"rsync", "rsync"},
	{"slurmctld", "slurm-wlm"},
	{"ssh-agent", "openssh-client"},
	{"/usr/sbin/sshd", "openssh-server"},
	{"mpirun", "openmpi-bin"},
	{"tcsh", "tcsh"},
	{"zstd", "zstd"},
}

// missing are the packages whose files are not there.
func missing() []string {
	var packages []string
	for _, need := range needed {
		var err error
		if filepath.IsAbs(need.file) {
			_, err = os.Stat(need.file)
		} else {
			_, err = exec.LookPath(need.file)
		}
		if err != nil && !slices.Contains(packages, need.debian) {
			packages = append(packages, need.debian)
		}
	}
	return packages
}

// Install installs what the tests need and this machine lacks, Debian packages and Azurite, and says on progress
// what it does. It starts no system services. With everything there it does nothing, for any user.
func Install(ctx context.Context, progress io.Writer) error {
	if err := installDebian(ctx, progress); err != nil {
		return err
	}
	_, err := azuriteMain(ctx)
	return err
}

func installDebian(ctx context.Context, progress io.Writer) error {
	packages := missing()
	if len(packages) == 0 {
		return nil
	}
	names := strings.Join(packages, " ")
	if os.Geteuid() != 0 {
		return fmt.Errorf("install %s: %w", names, errNeedsRoot)
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("install %s: %w (install them by this system's own means)", names, err)
	}
	allowServices, err := refuseServices()
	if err != nil {
		return fmt.Errorf("install %s: %w", names, err)
	}
	defer allowServices()
	_, _ = fmt.Fprintf(progress, "testenv: installing %s\n", names)
	steps := [][]string{
		{"update", "--quiet=2"},
		append([]string{"install", "--quiet=2", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"}, packages...),
	}
	for _, step := range steps {
		if err := aptGet(ctx, progress, step); err != nil {
			return fmt.Errorf("install %s: %w", names, err)
		}
	}
	if still := missing(); len(still) > 0 {
		return fmt.Errorf("install: apt-get succeeded, but what these should bring is not there: %s", strings.Join(still, " "))
	}
	return nil
}

// aptGet runs one step, again after a pause when it fails: mirrors have bad moments.
func aptGet(ctx context.Context, progress io.Writer, args []string) error {
	var err error
	for _, wait := range []time.Duration{0, 2 * time.Second, 10 * time.Second, 30 * time.Second} {
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(wait):
		}
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l")
		var text string
		if text, err = output(cmd); err == nil {
			return nil
		}
		_, _ = fmt.Fprintf(progress, "testenv: %v\n%s\n", err, text)
	}
	return err
}

// refuseServices keeps packages from starting their services while they are installed (Debian's policy-rc.d),
// unless the machine has a policy of its own.
func refuseServices() (restore func(), err error) {
	const policy = "/usr/sbin/policy-rc.d"
	f, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, os.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString("#!/bin/sh\nexit 101\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(policy))
	}
	return func() { _ = os.Remove(policy) }, nil
}
