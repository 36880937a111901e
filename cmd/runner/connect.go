package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/machine"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server"
)

// home is $RUNNER_HOME, or ~/.runner.
func home() (server.Home, error) {
	dir := os.Getenv("RUNNER_HOME")
	if dir == "" {
		user, err := os.UserHomeDir()
		if err != nil {
			return "", server.Wrong("there is no home directory", "", "set RUNNER_HOME")
		}
		dir = filepath.Join(user, ".runner")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("RUNNER_HOME: %w", err)
	}
	return server.Home(abs), nil
}

// local is the agent of this computer and user.
func (c *cli) local() (*client.Local, error) {
	h, err := home()
	if err != nil {
		return nil, err
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find our own executable: %w", err)
	}
	build, err := c.build(executable)
	if err != nil {
		return nil, err
	}
	l := &client.Local{Home: h, Executable: executable, Build: build, Schema: c.schema, Environ: os.Environ()}
	if text := os.Getenv("RUNNER_AGENT_IDLE"); text != "" { // for tests
		if l.Idle, err = time.ParseDuration(text); err != nil {
			return nil, server.Wrong(err.Error(), "RUNNER_AGENT_IDLE", "")
		}
	}
	return l, nil
}

// remote is the team's server, empty for this computer.
func remote() string { return os.Getenv("RUNNER_SERVER") }

// connect gives a client of the team's server, or of the agent here.
func (c *cli) connect(ctx context.Context) (*client.Client, error) {
	address := remote()
	if address == "" {
		l, err := c.local()
		if err != nil {
			return nil, err
		}
		return l.Connect(ctx)
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, server.Wrong("not the address of a server", "RUNNER_SERVER="+address, "for example https://runner.example.org:8484")
	}
	return client.New(client.Options{Base: address, Token: os.Getenv("RUNNER_TOKEN"), Patience: remotePatience}), nil
}

// remotePatience is how long a server that does not answer is asked again.
const remotePatience = 3 * time.Second

// leftIn is the directory on this computer that holds what a run's last attempt
// left in outputs/; empty when it left nothing.
func leftIn(r *run.Run) string {
	if dir := keptIn(r); dir != "" && holdsFiles(filepath.Join(dir, "outputs")) {
		return filepath.Join(dir, "outputs")
	}
	return ""
}

// keptIn is where all that came home of a run's last attempt is on this
// computer; empty when it is elsewhere.
func keptIn(r *run.Run) string {
	h, err := home()
	if remote() != "" || err != nil || len(r.Attempts) == 0 {
		return ""
	}
	return filepath.Join(string(h), "runs", r.ID, "attempts", fmt.Sprint(len(r.Attempts)))
}

// leftOutsideWords name what the script left where nothing is kept.
func leftOutsideWords(r *run.Run) string {
	dir := keptIn(r)
	if dir == "" {
		return ""
	}
	file, err := os.Open(filepath.Join(dir, "logs", "not_collected.txt"))
	if err != nil {
		return "" // all came home
	}
	defer file.Close()
	names, more, err := machine.LeftOutside(file)
	if err != nil || len(names) == 0 {
		return ""
	}
	words := strings.Join(names, ", ")
	if more > 0 {
		words += fmt.Sprintf(" and %d more", more)
	}
	return "left outside outputs/ and not kept: " + tidyLine(words)
}

func holdsFiles(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	names, _ := f.Readdirnames(1) // an error is no name
	return len(names) > 0
}
