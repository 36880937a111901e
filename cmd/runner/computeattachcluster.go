package main

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/runconfig"
	"github.com/spf13/cobra"
)

// clusterFlags are those of runner compute attach cluster, besides those of
// ssh.
type clusterFlags struct {
	cluster   compute.ClusterConfig
	sharedDir string
	timeLimit time.Duration
}

func newAttachCluster(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster NAME",
		Short: "A batch cluster, through its own service",
		Long: `Attach speaks to the cluster's engine on a login node over SSH (--address), or
on this computer without it, sees that what is named is there, and keeps the
cluster as a target under NAME. The cluster queues and places; nothing is
installed there but what lies in the shared directory, and nothing needs root.

The shared directory must be the same under the same path on the compute nodes.
User, port, keys and jump hosts of ~/.ssh/config count.`,
		Example: `  runner compute attach cluster hpc --engine slurm --address me@login.example.org
  runner compute attach cluster hpc --engine slurm --address hpc --partition gpu --account ml \
      --lowpriority-partition preemptible --shared-dir /scratch/me/runner`,
	}
	var f attachFlags
	var g clusterFlags
	cmd.Args = f.attachArgs
	f.logins(cmd)
	flags := cmd.Flags()
	flags.StringVar(&g.cluster.Engine, "engine", compute.EngineSlurm, "the cluster's engine: `slurm`")
	flags.StringVar(&g.sharedDir, "shared-dir", "", "`DIR` for our things, which compute nodes see too (default ~/.runner there)")
	flags.StringVar(&g.cluster.Bin, "slurm-bin", "", "`DIR` of sbatch and the others, when they are not in PATH")
	flags.StringVar(&g.cluster.Slurm.Partition, "partition", "", "`PARTITION` for runs that name none")
	flags.StringVar(&g.cluster.LowPriority.Partition, "lowpriority-partition", "", "`PARTITION` for runs with vm_priority: lowpriority, a preemptible one")
	flags.StringVar(&g.cluster.LowPriority.QOS, "lowpriority-qos", "", "`QOS` for runs with vm_priority: lowpriority, a preemptible one")
	flags.StringVar(&g.cluster.Slurm.Account, "account", "", "`ACCOUNT` that is charged")
	flags.StringVar(&g.cluster.Slurm.QOS, "qos", "", "quality of service")
	flags.StringVar(&g.cluster.Slurm.Constraint, "constraint", "", "`FEATURES` that nodes must have")
	flags.StringVar(&g.cluster.Slurm.Reservation, "reservation", "", "`RESERVATION` to run in")
	flags.StringVar(&g.cluster.Slurm.Setup, "setup", "", "`LINES` of shell before each script, for example \"module load cuda\"")
	flags.DurationVar(&g.timeLimit, "time-limit", 0, "that Slurm keeps for runs which say nothing (default: the partition's)")
	flags.StringArrayVar(&g.cluster.Slurm.Arguments, "sbatch", nil, "further `OPTION` of sbatch as one word: --sbatch=--nice=100 (repeatable)")
	flags.IntVar(&g.cluster.MaxInFlight, "max-in-flight", compute.DefaultMaxInFlight, "how many runs are with the cluster at most, waiting or running")
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		f.remoteDir = g.sharedDir
		a, err := f.attachment(cmd, f.name)
		if err != nil {
			return err
		}
		if err := g.check(cmd); err != nil {
			return err
		}
		a.Kind, a.Config.Cluster = compute.Cluster, &g.cluster
		if f.address == "" {
			a.Config.Address, a.Config.AgentSocket = "", ""
		}
		if f.password == askFor {
			if err := c.tellPassword(cmd, a); err != nil {
				return err
			}
		}
		return c.onTarget(cmd, f.name, func(ctx context.Context, client *client.Client, _ string) error {
			t, err := c.attach(ctx, client, a)
			if err != nil {
				return err
			}
			if as.json() {
				return c.printJSON(t)
			}
			return c.print(c.targetPage(t, t.Facts))
		})
	}
	return cmd
}

// check says what is wrong with the flags.
func (g *clusterFlags) check(cmd *cobra.Command) error {
	g.cluster.Slurm.TimeLimit = runconfig.Duration(g.timeLimit)
	if g.cluster.Engine != compute.EngineSlurm {
		return server.Wrong("--engine: no engine is named "+g.cluster.Engine, cmd.CommandPath(), "the engine that is known is slurm")
	}
	for flag, dir := range map[string]string{"shared-dir": g.sharedDir, "slurm-bin": g.cluster.Bin} {
		if dir != "" && !filepath.IsAbs(dir) {
			return server.Wrong("--"+flag+": not a whole path: "+dir, cmd.CommandPath(), "")
		}
	}
	for _, s := range []runconfig.Slurm{g.cluster.Slurm, g.cluster.LowPriority} {
		if where, what, hint := s.Problem(); what != "" {
			return server.Wrong(what+" ("+strings.ReplaceAll(where, "_", "-")+")", cmd.CommandPath(), hint)
		}
	}
	if g.cluster.MaxInFlight < 1 {
		return server.Wrong("--max-in-flight must be at least 1", cmd.CommandPath(), "")
	}
	return nil
}
