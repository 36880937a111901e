package testenv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clusterNodes is how many nodes a cluster has.
const clusterNodes = 4

// slurmConf is a cluster's configuration. In it: the controller's port, directory, host name, more lines, nodes.
const slurmConf = `ClusterName=testenv
SlurmctldHost=%[3]s(127.0.0.1)
SlurmctldPort=%[1]d
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=%[2]s/run/munge.socket
CredType=cred/munge
StateSaveLocation=%[2]s/state
SlurmdSpoolDir=%[2]s/spool/%%n
SlurmctldPidFile=%[2]s/run/slurmctld.pid
SlurmdPidFile=%[2]s/run/%%n.pid
SlurmctldLogFile=%[2]s/log/slurmctld.log
SlurmdLogFile=%[2]s/log/%%n.log
SlurmctldDebug=info
ProctrackType=proctrack/linuxproc
TaskPlugin=%[6]s
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=10
SlurmctldTimeout=10
MessageTimeout=10
KillWait=3
InactiveLimit=0
MinJobAge=300
MaxJobCount=20000
SlurmdParameters=config_overrides
%[4]s
%[5]s
PartitionName=normal Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=INFINITE State=UP PriorityTier=5 PreemptMode=OFF
PartitionName=high Nodes=ALL MaxTime=INFINITE DefaultTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=low Nodes=ALL MaxTime=INFINITE DefaultTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=cheap Nodes=ALL MaxTime=INFINITE DefaultTime=INFINITE State=UP PriorityTier=1 PreemptMode=CANCEL
`

// write makes the files of a cluster.
func (c *SlurmCluster) write(o SlurmOptions) error {
	ports, err := freePorts(1 + len(c.Nodes) + len(c.Cloud))
	if err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	name, _, _ = strings.Cut(name, ".")
	var nodes []string
	for i, node := range slices.Concat(c.Nodes, c.Cloud) {
		state := "UNKNOWN"
		if i >= len(c.Nodes) {
			state = "CLOUD"
		}
		nodes = append(nodes, fmt.Sprintf("NodeName=%s NodeHostname=%s NodeAddr=127.0.0.1 Port=%d CPUs=4 RealMemory=2000 Gres=gpu:2 State=%s",
			node, name, ports[i+1], state))
	}
	if len(c.Cloud) > 0 {
		nodes = append(nodes, c.cloudConf(o))
		if err := c.writePower(); err != nil {
			return err
		}
	}
	taskPlugin := "task/none"
	if o.Cgroups {
		taskPlugin = "task/cgroup"
	}
	conf := fmt.Sprintf(slurmConf, ports[0], c.Dir, name, o.Conf, strings.Join(nodes, "\n"), taskPlugin)
	key := make([]byte, 1024)
	_, _ = rand.Read(key) // never fails
	files := []struct {
		name    string
		content string
		mode    os.FileMode
	}{
		{"munge.key", string(key), 0o400},
		{"slurm.conf", conf, 0o644},
		// Devices that every machine has stand for GPUs: nobody opens them.
		{"gres.conf", "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n", 0o644},
		{"cgroup.conf", "CgroupAutomount=no\nConstrainRAMSpace=yes\nConstrainCores=no\nConstrainDevices=no\n", 0o644},
		{"calls", "", 0o666},
	}
	for _, client := range slurmClients() {
		program, err := exec.LookPath(client)
		if err != nil {
			return err
		}
		files = append(files, struct {
			name    string
			content string
			mode    os.FileMode
		}{"bin/" + client, fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n' \"%s $*\" >>%s\nSLURM_CONF=%s exec %s \"$@\"\n", client, c.calls(), c.Conf, program), 0o755})
	}
	for _, f := range files {
		path := filepath.Join(c.Dir, f.name)
		err := os.WriteFile(path, []byte(f.content), f.mode)
		if err := errors.Join(err, os.Chmod(path, f.mode)); err != nil {
			return err
		}
	}
	return nil
}

func (c *SlurmCluster) calls() string { return filepath.Join(c.Dir, "calls") }

// freePorts are ports that nobody listens on, each another.
func freePorts(count int) ([]int, error) {
	var ports []int
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // held until all are found
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// clear ends all jobs, and what is left of them.
func (c *SlurmCluster) clear() {
	ctx, cancel := cleanupContext(c.t)
	defer cancel()
	if len(running(c.Dir, "slurmctld")) > 0 { // one that was started again is gone already, and scancel would wait for it
		_ = exec.CommandContext(ctx, c.command("scancel"), "--signal=KILL", "--full", "--user=root").Run()
		_ = exec.CommandContext(ctx, c.command("scancel"), "--state=PENDING", "--user=root").Run()
	}
	for _, node := range slices.Concat(c.Nodes, c.Cloud) {
		c.killJobs(node)
	}
}

// killJobs kills everything that runs on a node: slurmstepd first, or it would tell the controller how its job
// ended, then the processes of jobs.
func (c *SlurmCluster) killJobs(node string) {
	for range 50 {
		pids := append(c.stepProcesses(node), c.jobProcesses(node)...)
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(pollInterval)
	}
}

// stepProcesses are the node's slurmstepd, known by its log, which they write to.
func (c *SlurmCluster) stepProcesses(node string) []int {
	log := filepath.Join(c.Dir, "log", node+".log")
	return processes(func(pid int) bool {
		if !strings.HasPrefix(strings.Join(commandLine(pid), " "), "slurmstepd:") {
			return false
		}
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		return slices.ContainsFunc(files, func(fd string) bool {
			name, err := os.Readlink(fd)
			return err == nil && name == log
		})
	})
}

// jobProcesses are what runs of jobs on a node, known by their environment.
func (c *SlurmCluster) jobProcesses(node string) []int {
	return processes(func(pid int) bool {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			return false
		}
		env := strings.Split(string(raw), "\x00")
		return slices.Contains(env, "SLURM_CONF="+c.Conf) && slices.Contains(env, "SLURMD_NODENAME="+node)
	})
}

// processes are all but ourselves that fit.
func processes(fits func(pid int) bool) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && pid != os.Getpid() && fits(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Eventually waits until what a command of Slurm's says fits.
func (c *SlurmCluster) Eventually(fits func(said string) bool, name string, args ...string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	for {
		said := c.Run(name, args...)
		if fits(said) {
			return said
		}
		if pause(ctx) != nil {
			c.t.Fatalf("testenv: %s %s says in the end: %s", name, strings.Join(args, " "), said)
		}
	}
}
