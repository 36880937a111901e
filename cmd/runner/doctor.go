package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/inventory"
	"github.com/runnerml/runner/internal/settings"
	"github.com/runnerml/runner/runconfig"
	"github.com/spf13/cobra"
)

// diagnosis is the JSON of runner doctor.
type diagnosis struct {
	// Level is the worst of the findings.
	Level     inventory.Level      `json:"level"`
	Findings  []inventory.Finding  `json:"findings"`
	Inventory *inventory.Inventory `json:"inventory"`
}

func newDoctor(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [TARGET]",
		Short: "Check a machine, and say what each finding means",
		Long: `Doctor looks at Docker, GPUs and their driver, Python and its tools, disk and
limits, and says what it means for runs. It asks the machine itself, so it also
works when the agent does not. With the name of an attached target it has the
agent ask that machine.`,
		Args: wants(0, 1, ""), ValidArgsFunction: c.completeTargets,
	}
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ask := c.diagnose
		if len(args) > 0 && args[0] != runconfig.DefaultTarget {
			ask = func(ctx context.Context) (*diagnosis, error) { return c.diagnoseTarget(ctx, args[0]) }
		}
		found, err := ask(cmd.Context())
		if err != nil {
			return err
		}
		if as.json() {
			return c.printJSON(found)
		}
		return c.print(c.findings(found))
	}
	return cmd
}

// diagnose asks this computer.
func (c *cli) diagnose(ctx context.Context) (_ *diagnosis, err error) {
	h, err := home()
	if err != nil {
		return nil, err
	}
	set, err := settings.Load(string(h))
	if err != nil {
		return nil, err
	}
	socket, err := c.dockerOfAgent(ctx, set.DockerSocket)
	if err != nil {
		return nil, err
	}
	here := host.NewHere(string(h))
	defer closeWith(&err, here.Close)
	inv, err := inventory.Take(ctx, here, inventory.Options{
		Docker: func(ctx context.Context) (_ inventory.EngineInfo, err error) {
			engine, err := container.Open(ctx, here, container.Options{Socket: strings.TrimPrefix(socket, "unix://")})
			if err != nil {
				return inventory.EngineInfo{}, err
			}
			defer closeWith(&err, engine.Close)
			info, err := engine.Info(ctx)
			return inventory.EngineInfo{Socket: engine.Socket(), Info: info}, err
		},
	})
	if err != nil {
		return nil, err
	}
	findings := inventory.Diagnose(inv)
	return &diagnosis{Level: inventory.Worst(findings), Findings: findings, Inventory: inv}, nil
}

// diagnoseTarget has the agent ask an attached machine.
func (c *cli) diagnoseTarget(ctx context.Context, name string) (*diagnosis, error) {
	client, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	check, err := client.CheckTarget(ctx, name)
	if err != nil {
		return nil, err
	}
	findings := inventory.Diagnose(check.Facts)
	return &diagnosis{Level: inventory.Worst(findings), Findings: findings, Inventory: check.Facts}, nil
}

// findings are a line each, with what it means and what to do below.
func (c *cli) findings(d *diagnosis) string {
	var b strings.Builder
	paint := map[inventory.Level]func(string) string{
		inventory.OK: c.out.green, inventory.Note: c.out.blue, inventory.Warning: c.out.yellow, inventory.Problem: c.out.red,
	}
	for _, f := range d.Findings {
		level := fmt.Sprintf("%-8s", f.Level)
		fmt.Fprintf(&b, "%s %-8s %s\n", paint[f.Level](level), f.Subject, tidyLine(f.What))
		if f.Means != "" {
			fmt.Fprintf(&b, "%18s%s\n", "", tidyLine(f.Means))
		}
		if f.Hint != "" {
			fmt.Fprintf(&b, "%18s%s %s\n", "", c.out.bold("hint:"), tidyLine(f.Hint))
		}
	}
	return b.String()
}
