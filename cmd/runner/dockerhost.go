package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/settings"
	"github.com/runnerml/runner/runconfig"
)

// dockerNamed is the Docker engine that somebody named to this process, in
// config.yaml or in the environment; empty: it is looked for in the usual
// places.
func dockerNamed(h server.Home) (string, error) {
	set, err := settings.Load(string(h))
	if err != nil {
		return "", err
	}
	return cmp.Or(set.DockerSocket, dockerOfShell()), nil
}

// dockerOfShell is the engine that docker itself would use here by name.
func dockerOfShell() string {
	if name := os.Getenv("DOCKER_HOST"); name != "" {
		return name
	}
	if name := os.Getenv("DOCKER_CONTEXT"); name != "" {
		return "context " + name
	}
	return ""
}

// noteOtherDocker says so when a container will run on another engine than
// docker itself would use in this shell: the agent keeps to the one that it was
// started with.
func (s *submitting) noteOtherDocker(ctx context.Context, c *client.Client, e *environment.Resolved) error {
	named := dockerOfShell()
	if named == "" || remote() != "" || s.config.ComputeTarget != runconfig.DefaultTarget || e == nil {
		return nil
	}
	switch e.Kind {
	case environment.Image, environment.ImageBuild, environment.Dockerfile:
	case environment.Existing, environment.Venv, environment.CondaEnv:
		return nil
	}
	h, err := home()
	if err != nil {
		return err
	}
	if set, err := settings.Load(string(h)); err != nil || set.DockerSocket != "" {
		return err // somebody decided it for good
	}
	info, err := c.Agent(ctx)
	if err != nil {
		return fmt.Errorf("ask the agent for its Docker engine: %w", err)
	}
	if info.Docker != named {
		s.sayf("note: the agent uses %s, not this shell's DOCKER_HOST (%s); docker_socket in config.yaml, or runner agent stop, changes that",
			dockerWords(info.Docker), named)
	}
	return nil
}

// dockerOfAgent is the engine that the agent uses, where one runs and was told
// of another than this shell; else configured. Empty: it is looked for.
func (c *cli) dockerOfAgent(ctx context.Context, configured string) (string, error) {
	if configured != "" || remote() != "" {
		return configured, nil
	}
	l, err := c.local()
	if err != nil {
		return "", err
	}
	info, err := l.Ask(ctx)
	if err != nil || info == nil || info.Docker == dockerOfShell() {
		return "", nil //nolint:nilerr // doctor works without an agent
	}
	if strings.HasPrefix(info.Docker, "unix://") {
		c.sayf("note: asked is the agent's engine, %s, not this shell's", info.Docker)
		return info.Docker, nil
	}
	c.sayf("note: asked is this shell's engine; the agent uses %s; docker_socket in config.yaml, or runner agent stop, changes that",
		dockerWords(info.Docker))
	return "", nil
}

func dockerWords(named string) string { return cmp.Or(named, "the Docker engine that it finds") }
