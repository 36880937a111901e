package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// SlurmOptions of a cluster.
type SlurmOptions struct {
	// Conf are more lines for slurm.conf.
	Conf string
	// Cgroups holds jobs to their memory by control groups.
	Cgroups bool
	// Cloud are nodes that the cluster starts when they are needed, and stops when they are not: see Cloud.
	Cloud int
	// ResumeTimeout is how many seconds such a node may take to come; zero: 90.
	ResumeTimeout int
}

// SlurmCluster is a real Slurm on this machine: munged, slurmctld and four slurmd, each of which says that it is
// another node with four CPUs, 2000 MB and two GPUs (which are no GPUs). Jobs run as whoever submits them.
//
// Its partitions: "normal" (the default), "high", which takes nodes from the two that are preemptible: "low", where
// Slurm would requeue a job, and "cheap", where it cancels it.
type SlurmCluster struct {
	// Bin has sbatch, squeue and the others as they speak to this cluster; each call is noted (see Calls).
	Bin string
	// Dir holds everything of the cluster; anybody may look, only root may write.
	Dir string
	// Nodes are the names of the nodes that are always there, Cloud of those that come and go: "cloud1" ...
	Nodes, Cloud []string
	// Conf is its slurm.conf.
	Conf string

	t testing.TB
}

// slurmClients are the commands that are put into Bin.
func slurmClients() []string {
	return []string{"sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacct", "srun", "sacctmgr"}
}

// Slurm starts a cluster that lasts until the test ends. Each is alone in the world: its own key, ports, files.
func Slurm(t testing.TB, o SlurmOptions) *SlurmCluster {
	t.Helper()
	return begin(t, "Slurm", func(ctx context.Context) (*SlurmCluster, error) {
		if os.Geteuid() != 0 {
			return nil, fmt.Errorf("slurmd %w", errNeedsRoot)
		}
		for _, program := range append(slurmClients(), "slurmctld", "slurmd", "munged") {
			if _, err := exec.LookPath(program); err != nil {
				return nil, fmt.Errorf("%w (Debian packages slurm-wlm and munge)", err)
			}
		}
		return startSlurm(ctx, t, o)
	})
}

// clusterTries is how often a cluster is tried: its ports may be taken by somebody else before it has them.
const clusterTries = 3

func startSlurm(ctx context.Context, t testing.TB, o SlurmOptions) (*SlurmCluster, error) {
	var problems []error
	for range clusterTries {
		c, err := newSlurm(t, o)
		if err == nil {
			err = c.start(ctx)
		}
		if err == nil {
			return c, nil
		}
		problems = append(problems, err)
	}
	return nil, errors.Join(problems...)
}

// newSlurm writes all that a cluster needs.
func newSlurm(t testing.TB, o SlurmOptions) (*SlurmCluster, error) {
	// Not t.TempDir: other users must be able to pass, and it goes after the daemons have.
	dir, err := os.MkdirTemp("", "runner-slurm-")
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	c := &SlurmCluster{t: t, Dir: dir, Bin: filepath.Join(dir, "bin"), Conf: filepath.Join(dir, "slurm.conf")}
	for n := range clusterNodes {
		c.Nodes = append(c.Nodes, fmt.Sprintf("n%d", n+1))
	}
	for n := range o.Cloud {
		c.Cloud = append(c.Cloud, fmt.Sprintf("cloud%d", n+1))
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	for _, sub := range []string{"bin", "state", "spool", "log", "run", "power"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	return c, c.write(o)
}

// start starts the daemons and waits until all nodes are idle.
func (c *SlurmCluster) start(ctx context.Context) error {
	if err := c.startMunge(); err != nil {
		return err
	}
	if err := c.startController(); err != nil {
		return err
	}
	for _, node := range c.Nodes {
		if err := c.startNode(node); err != nil {
			return err
		}
	}
	c.t.Cleanup(c.stopCloud)
	c.t.Cleanup(c.clear) // runs before the daemons are ended
	for {
		said, err := output(exec.CommandContext(ctx, c.command("sinfo"), "--noheader", "--Node", "--format=%N %T"))
		if err == nil && strings.Count(said, " idle") >= len(c.Nodes) {
			return nil
		}
		if waitErr := pause(ctx); waitErr != nil {
			return fmt.Errorf("the nodes are not idle: %w: %s\n%s", errors.Join(err, waitErr), said, tail(filepath.Join(c.Dir, "log", "slurmctld.log")))
		}
	}
}

func (c *SlurmCluster) command(name string) string { return filepath.Join(c.Bin, name) }

func (c *SlurmCluster) startMunge() error {
	socket := filepath.Join(c.Dir, "run", "munge.socket")
	cmd := exec.Command("munged", "--foreground", "--socket="+socket, "--key-file="+filepath.Join(c.Dir, "munge.key"),
		"--pid-file="+filepath.Join(c.Dir, "run", "munged.pid"), "--seed-file="+filepath.Join(c.Dir, "munge.seed"), "--num-threads=2")
	return owned(c.t, cmd, filepath.Join(c.Dir, "log", "munged.log"), func(ctx context.Context) bool {
		return exec.CommandContext(ctx, "munge", "--socket="+socket, "--no-input").Run() == nil
	})
}

func (c *SlurmCluster) startController() error {
	cmd := exec.Command("slurmctld", "-D", "-f", c.Conf)
	return owned(c.t, cmd, filepath.Join(c.Dir, "log", "slurmctld.out"), func(ctx context.Context) bool {
		return exec.CommandContext(ctx, c.command("scontrol"), "ping").Run() == nil
	})
}

func (c *SlurmCluster) startNode(node string) error {
	cmd := exec.Command("slurmd", "-D", "-N", node, "-f", c.Conf)
	return owned(c.t, cmd, filepath.Join(c.Dir, "log", node+".out"), func(context.Context) bool {
		_, err := os.Stat(filepath.Join(c.Dir, "run", node+".pid"))
		return err == nil
	})
}

// Run runs one of Slurm's commands on the cluster and gives what it says.
func (c *SlurmCluster) Run(name string, args ...string) string {
	c.t.Helper()
	said, err := output(exec.CommandContext(c.t.Context(), c.command(name), args...))
	if err != nil {
		c.t.Fatalf("testenv: %v", err)
	}
	return strings.TrimSpace(said)
}

// Calls are the commands that were called, one a line with their arguments.
func (c *SlurmCluster) Calls() []string {
	c.t.Helper()
	data, err := os.ReadFile(c.calls())
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// StopController ends slurmctld. Jobs go on.
func (c *SlurmCluster) StopController() {
	c.t.Helper()
	c.stop("slurmctld", func([]string) bool { return true }, syscall.SIGTERM)
}

// StartController starts slurmctld again, with the state that it had.
func (c *SlurmCluster) StartController() {
	c.t.Helper()
	if err := c.startController(); err != nil {
		c.t.Fatal(err)
	}
}

// KillNode is a power failure of a node: its slurmd and all that runs on it is killed.
func (c *SlurmCluster) KillNode(node string) {
	c.t.Helper()
	c.stop("slurmd", func(args []string) bool { return strings.Join(args, " ") == "slurmd -D -N "+node+" -f "+c.Conf }, syscall.SIGKILL)
	c.killJobs(node)
	_ = os.Remove(filepath.Join(c.Dir, "run", node+".pid"))
}

// StartNode starts a killed node again.
func (c *SlurmCluster) StartNode(node string) {
	c.t.Helper()
	if err := c.startNode(node); err != nil {
		c.t.Fatal(err)
	}
}

// stop ends the daemons of this cluster that are meant, and waits for it.
func (c *SlurmCluster) stop(program string, meant func(args []string) bool, sig syscall.Signal) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	for _, pid := range running(c.Dir, program) {
		if !meant(commandLine(pid)) {
			continue
		}
		if sig == syscall.SIGKILL {
			_ = syscall.Kill(pid, sig)
		}
		if err := end(ctx, pid, 20*time.Second); err != nil {
			c.t.Fatal(err)
		}
	}
}
