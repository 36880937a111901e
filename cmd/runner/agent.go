package main

import (
	"fmt"

	"github.com/runnerml/runner/internal/server"
	"github.com/spf13/cobra"
)

func newAgent(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "The process that carries runs out on this computer",
		Long: `The agent serves one RUNNER_HOME. Every command starts it when none is there,
and it ends by itself after ten minutes with nothing to do. Runs belong to
their targets: they go on when the agent ends, and the next one finds them.`,
	}
	cmd.AddCommand(newAgentStart(c), newAgentStop(c), newAgentStatus(c), newAgentRun(c))
	makeGroup(cmd)
	return cmd
}

// onlyLocal refuses what makes no sense with a team's server.
func onlyLocal() error {
	if remote() != "" {
		return server.Wrong("this command is for the agent of this computer", "RUNNER_SERVER="+remote(), "unset RUNNER_SERVER")
	}
	return nil
}

func newAgentStart(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "start", Short: "Start it, when it is not there", Args: wants(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := onlyLocal(); err != nil {
				return err
			}
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer client.Close()
			info, err := client.Agent(cmd.Context())
			if err != nil {
				return err
			}
			c.sayf("the agent runs as process %d", info.PID)
			return nil
		},
	}
}

func newAgentStop(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "stop", Short: "End it; runs go on", Args: wants(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := onlyLocal(); err != nil {
				return err
			}
			l, err := c.local()
			if err != nil {
				return err
			}
			info, err := l.Ask(cmd.Context())
			if err == nil && info == nil {
				// One that starts does not answer yet.
				if holder, err := l.Home.Holder(); err != nil || holder == 0 {
					c.sayf("no agent serves %s", l.Home)
					return err
				}
			}
			if err := l.Stop(cmd.Context()); err != nil {
				return err
			}
			c.sayf("the agent has ended")
			return nil
		},
	}
}

// agentStatus is the JSON of runner agent status.
type agentStatus struct {
	Running bool              `json:"running"`
	Home    string            `json:"home"`
	Socket  string            `json:"socket"`
	Log     string            `json:"log"`
	Agent   *server.AgentInfo `json:"agent"`
	// SameBuild tells that the agent is of this very executable.
	SameBuild bool `json:"same_build"`
}

func newAgentStatus(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "Say whether it is there", Args: wants(0, 0, "")}
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := onlyLocal(); err != nil {
			return err
		}
		l, err := c.local()
		if err != nil {
			return err
		}
		info, err := l.Ask(cmd.Context())
		if err != nil {
			return err
		}
		status := agentStatus{
			Running: info != nil, Home: string(l.Home), Socket: l.Home.Socket(), Log: l.Home.LogFile(),
			Agent: info, SameBuild: info != nil && info.Build == l.Build,
		}
		if as.json() {
			return c.printJSON(status)
		}
		return c.print(c.statusText(status))
	}
	return cmd
}

func (c *cli) statusText(s agentStatus) string {
	if !s.Running {
		return fmt.Sprintf("no agent serves %s; the next command starts one\n", s.Home)
	}
	text := fmt.Sprintf("the agent of %s runs\nprocess  %d, for %s\nversion  %s\nlog      %s\ndocker   %s\n",
		s.Home, s.Agent.PID, age(c.now().Sub(s.Agent.StartedAt)), s.Agent.Version, s.Log, dockerWords(s.Agent.Docker))
	if !s.SameBuild {
		text += "it is of another build than this command: the next command replaces it\n"
	}
	return text
}
