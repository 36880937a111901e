package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/runnerml/runner/internal/client"
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

// leftIn is where a run's last attempt left something on this computer:
// outputs/, or what holds logs/ when there are only logs; empty when it left
// nothing.
func leftIn(r *run.Run) string {
	h, err := home()
	if remote() != "" || err != nil || len(r.Attempts) == 0 {
		return ""
	}
	attempt := filepath.Join(string(h), "runs", r.ID, "attempts", fmt.Sprint(len(r.Attempts)))
	outputs := filepath.Join(attempt, "outputs")
	if holdsFiles(outputs) {
		return outputs
	}
	if logs := filepath.Join(attempt, "logs"); holdsFiles(logs) {
		return attempt
	}
	return ""
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
