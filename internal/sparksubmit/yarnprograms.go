package sparksubmit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// programs asks by the cluster's own command line, "yarn application", or by the
// same class of Hadoop's out of Spark's jars where there is no yarn.
type programs struct {
	submit string
	// conf is the directory of the cluster's configuration.
	conf string
}

// environ tells the programs where the cluster is.
func (p programs) environ() []string {
	return append(os.Environ(), "HADOOP_CONF_DIR="+p.conf, "YARN_CONF_DIR="+p.conf)
}

func (p programs) run(ctx context.Context, tool string, args ...string) (string, error) {
	cmd := p.command(ctx, tool, args...)
	cmd.Env = p.environ()
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w", filepath.Base(cmd.Path), strings.Join(args, " "), explain(err))
	}
	return string(out), nil
}

// command of one of YARN's tools.
func (p programs) command(ctx context.Context, tool string, args ...string) *exec.Cmd {
	if yarn, err := exec.LookPath("yarn"); err == nil {
		return exec.CommandContext(ctx, yarn, append([]string{tool}, args...)...)
	}
	class := map[string]string{"application": "ApplicationCLI", "logs": "LogsCLI"}[tool]
	line := []string{"org.apache.hadoop.yarn.client.cli." + class}
	if tool == "application" {
		line = append(line, tool)
	}
	return exec.CommandContext(ctx, filepath.Join(filepath.Dir(p.submit), "spark-class"), append(line, args...)...)
}

// explain adds the last line that a failed program wrote.
func explain(err error) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
	return fmt.Errorf("%w: %s", err, lines[len(lines)-1])
}

var idInList = regexp.MustCompile(`(?m)^\s*(application_[0-9]+_[0-9]+)\s`)

func (p programs) find(ctx context.Context, tag string) ([]application, error) {
	out, err := p.run(ctx, "application", "-list", "-appStates", "ALL", "-appTags", tag)
	if err != nil {
		return nil, err
	}
	var found []application
	for _, m := range idInList.FindAllStringSubmatch(out, -1) {
		a, err := p.status(ctx, m[1])
		if err != nil {
			return nil, err
		}
		found = append(found, *a)
	}
	return found, nil
}

func (p programs) status(ctx context.Context, id string) (*application, error) {
	out, err := p.run(ctx, "application", "-status", id)
	if err != nil && strings.Contains(err.Error()+out, "doesn't exist in RM") {
		return nil, errForgotten
	}
	if err != nil {
		return nil, err
	}
	return parseStatus(out), nil
}

// parseStatus reads what "yarn application -status" prints: lines "Name : value".
func parseStatus(out string) *application {
	a := &application{}
	for line := range strings.SplitSeq(out, "\n") {
		name, value, found := strings.Cut(line, " : ")
		if !found {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "Application-Id":
			a.ID = value
		case "User":
			a.User = value
		case "Queue":
			a.Queue = value
		case "State":
			a.State = value
		case "Final-State":
			a.Final = value
		case "Tracking-URL":
			a.URL = value
		case "Diagnostics":
			a.Diagnostics = value
		case "Progress":
			a.Progress, _ = strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
		}
	}
	return a
}

func (p programs) kill(ctx context.Context, id string) error {
	_, err := p.run(ctx, "application", "-kill", id)
	return err
}
