package testenv

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// cloudIdle is how many seconds a cloud node is idle before the cluster stops it; cloudGone is how many it counts as
// being stopped. cloudComes is how many it may take to come.
const cloudIdle, cloudGone, cloudComes = 3, 8, 90

// cloudConf has slurmctld start and stop cloud nodes.
func (c *SlurmCluster) cloudConf(o SlurmOptions) string {
	return strings.Join([]string{
		"ResumeProgram=" + filepath.Join(c.Dir, "bin", "resume"), "SuspendProgram=" + filepath.Join(c.Dir, "bin", "suspend"),
		fmt.Sprintf("ResumeTimeout=%d", cmp.Or(o.ResumeTimeout, cloudComes)), fmt.Sprintf("SuspendTimeout=%d", cloudGone),
		fmt.Sprintf("SuspendTime=%d", cloudIdle), "SuspendExcNodes=" + strings.Join(c.Nodes, ","),
	}, "\n")
}

// resumeProgram is what slurmctld calls to have nodes made, with their names as a list. While there is a file "hold"
// they are not made. Each is written down as this test process's (see owned). In it: the scontrol that speaks to the
// cluster, the directory for hold and pid files, slurmd, slurm.conf, the log directory, the ledger, the owner and its
// start.
const resumeProgram = `#!/bin/sh
for n in $(%[1]s show hostnames "$1"); do
	while [ -e '%[2]s/power/hold' ]; do sleep 0.1; done
	setsid '%[3]s' -D -N "$n" -f '%[2]s/slurm.conf' -b >>'%[2]s/log/'"$n".out 2>&1 &
	pid=$!
	echo $pid >'%[2]s/power/'"$n"
	ticks=$(sed 's/.*) //' /proc/$pid/stat | cut -d ' ' -f 20)
	echo "$pid $ticks %[5]d %[6]s" >'%[4]s/'$pid.part && mv '%[4]s/'$pid.part '%[4]s/'$pid
done
`

// suspendProgram ends nodes.
const suspendProgram = `#!/bin/sh
for n in $(%[1]s show hostnames "$1"); do
	kill $(cat '%[2]s/power/'"$n")
done
`

func (c *SlurmCluster) writePower() error {
	slurmd, err := exec.LookPath("slurmd")
	if err != nil {
		return err
	}
	ledger, err := stateSubdir("owned")
	if err != nil {
		return err
	}
	owner := os.Getpid()
	resume := fmt.Sprintf(resumeProgram, c.command("scontrol"), c.Dir, slurmd, ledger, owner, startTicks(owner))
	suspend := fmt.Sprintf(suspendProgram, c.command("scontrol"), c.Dir)
	return errors.Join(
		os.WriteFile(filepath.Join(c.Dir, "bin", "resume"), []byte(resume), 0o755),
		os.WriteFile(filepath.Join(c.Dir, "bin", "suspend"), []byte(suspend), 0o755))
}

// HoldCloud keeps cloud nodes that the cluster starts from coming, until the result is called.
func (c *SlurmCluster) HoldCloud() (release func()) {
	c.t.Helper()
	hold := filepath.Join(c.Dir, "power", "hold")
	if err := os.WriteFile(hold, nil, 0o644); err != nil {
		c.t.Fatal(err)
	}
	return func() { _ = os.Remove(hold) }
}

// stopCloud ends the cloud nodes that are there.
func (c *SlurmCluster) stopCloud() {
	ctx, cancel := cleanupContext(c.t)
	defer cancel()
	_ = os.Remove(filepath.Join(c.Dir, "power", "hold"))
	cloud := func(pid int) bool {
		line := strings.Join(commandLine(pid), " ")
		return strings.Contains(line, "-N cloud") || strings.Contains(line, filepath.Join(c.Dir, "bin", "resume"))
	}
	for _, pid := range running(c.Dir, "slurmd", "sh", "resume") {
		if cloud(pid) {
			if err := end(ctx, pid, 5*time.Second); err != nil {
				c.t.Errorf("testenv: %v", err)
			}
		}
	}
}
