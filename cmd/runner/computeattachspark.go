package main

import (
	"cmp"
	"context"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/sparksubmit"
	"github.com/runnerml/runner/runconfig"
	"github.com/spf13/cobra"
)

// sparkFlags are those of runner compute attach spark, besides those of ssh.
type sparkFlags struct {
	spark     compute.SparkConfig
	remoteDir string
}

func newAttachSpark(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "spark NAME",
		Short: "A Spark cluster, through spark-submit",
		Long: `Attach sees that spark-submit works, on a machine over SSH (--address; the head
node of an HDInsight cluster) or on this computer without it, that it knows where
the cluster is, and keeps it as a target under NAME. Nothing is installed there but
what lies in ~/.runner (or --remote-dir), and nothing needs root.`,
		Example: `  runner compute attach spark myhdi --master yarn --deploy-mode cluster \
      --address sshuser@mycluster-ssh.azurehdinsight.net
  runner compute attach spark standalone --master spark://10.0.0.4:7077
  runner compute attach spark here --master 'local[4]' --spark-submit ~/spark/bin/spark-submit`,
	}
	var f attachFlags
	var g sparkFlags
	cmd.Args = f.attachArgs
	f.logins(cmd)
	flags := cmd.Flags()
	flags.StringVar(&g.spark.Master, "master", "", "`MASTER`: yarn, spark://HOST:PORT, local or local[N]")
	flags.StringVar(&g.spark.DeployMode, "deploy-mode", runconfig.DeployClient, "`client` or cluster, for runs that do not say; cluster needs yarn")
	flags.StringVar(&g.spark.Submit, "spark-submit", "", "`PATH` of spark-submit (default: in SPARK_HOME, in PATH, or where HDInsight has it)")
	flags.StringVar(&g.spark.HadoopConf, "hadoop-conf", "", "`DIR` of the cluster's configuration (default: HADOOP_CONF_DIR, or /etc/hadoop/conf)")
	flags.IntVar(&g.spark.MaxInFlight, "max-in-flight", 0, "how many applications are submitted at once at most (default: 50, 8 in client mode, 2 for local)")
	flags.StringVar(&g.remoteDir, "remote-dir", "", "`DIR` on the machine for our things (default ~/.runner there)")
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		f.remoteDir = g.remoteDir
		a, err := f.attachment(cmd, f.name)
		if err != nil {
			return err
		}
		if err := g.check(cmd, f.address == ""); err != nil {
			return err
		}
		a.Kind, a.Config.Spark = compute.Spark, &g.spark
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

// check says what is wrong with the flags, and fills in what this shell knows of a
// Spark that is here.
func (g *sparkFlags) check(cmd *cobra.Command, here bool) error {
	s := &g.spark
	if s.Master == "" {
		return server.Wrong("--master is missing", cmd.CommandPath(), "yarn, spark://HOST:PORT, local or local[N]")
	}
	if wrong, hint := runconfig.CheckMaster(s.Master); wrong != "" {
		return server.Wrong("--master: "+wrong, cmd.CommandPath(), hint)
	}
	switch {
	case s.DeployMode != runconfig.DeployClient && s.DeployMode != runconfig.DeployCluster:
		return server.Wrong("--deploy-mode: there is no mode "+s.DeployMode, cmd.CommandPath(), "client or cluster")
	case s.DeployMode == runconfig.DeployCluster && s.Master != "yarn":
		return server.Wrong("--deploy-mode cluster needs --master yarn", cmd.CommandPath(), "--deploy-mode client")
	case s.MaxInFlight < 0:
		return server.Wrong("--max-in-flight must be at least 1", cmd.CommandPath(), "")
	}
	if here && remote() == "" {
		if err := g.fill(); err != nil {
			return server.WrongPath(err)
		}
	}
	for flag, file := range map[string]string{"spark-submit": s.Submit, "hadoop-conf": s.HadoopConf} {
		if file != "" && !path.IsAbs(file) {
			return server.Wrong("--"+flag+": not a whole path: "+file, cmd.CommandPath(), "")
		}
	}
	if s.MaxInFlight == 0 {
		switch {
		case strings.HasPrefix(s.Master, "local"):
			s.MaxInFlight = compute.DefaultSparkLocal
		case s.DeployMode == runconfig.DeployCluster:
			s.MaxInFlight = compute.DefaultSparkInCluster
		default:
			s.MaxInFlight = compute.DefaultSparkInClient
		}
	}
	return nil
}

// fill finds what this shell knows and the agent may not: its variables.
func (g *sparkFlags) fill() (err error) {
	s := &g.spark
	s.HadoopConf = cmp.Or(s.HadoopConf, os.Getenv("YARN_CONF_DIR"), os.Getenv("HADOOP_CONF_DIR"))
	if s.Submit == "" {
		if found, err := sparksubmit.Find("", os.Getenv("SPARK_HOME"), os.Getenv("PATH")); err == nil {
			s.Submit = found // what is not found, attaching says
		}
	}
	for _, file := range []*string{&s.Submit, &s.HadoopConf} {
		if *file == "" {
			continue
		}
		if *file, err = filepath.Abs(*file); err != nil {
			return err
		}
	}
	return nil
}
