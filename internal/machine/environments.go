package machine

import (
	"context"
	"io"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/runconfig"
)

// EnsureEnvironment makes an environment unless it is there.
func (m *Machine) EnsureEnvironment(ctx context.Context, env *environment.Resolved, registryPassword string, p backends.Progress, log io.Writer) error {
	_, err := m.environments.Ensure(ctx, env, registryPassword, p, log)
	return err
}

// HasEnvironment reports whether it is there.
func (m *Machine) HasEnvironment(ctx context.Context, env *environment.Resolved) (bool, error) {
	return m.environments.Cached(ctx, env)
}

// EnvironmentLock is the text of exact versions.
func (m *Machine) EnvironmentLock(ctx context.Context, env *environment.Resolved) (string, error) {
	return m.environments.Lock(ctx, env)
}

// Environments lists what is there.
func (m *Machine) Environments(ctx context.Context) ([]backends.MadeEnvironment, error) {
	list, err := m.environments.List(ctx)
	made := make([]backends.MadeEnvironment, len(list))
	for i, e := range list {
		made[i] = backends.MadeEnvironment{Digest: e.Digest, Kind: e.Kind, Bytes: e.Bytes, MadeAt: e.MadeAt, UsedAt: e.UsedAt}
	}
	return made, err
}

// RemoveEnvironment takes it away unless an attempt has it (provision.ErrInUse).
func (m *Machine) RemoveEnvironment(ctx context.Context, digest string) error {
	return m.environments.Remove(ctx, digest)
}

// Plan says what Prepare and Start would do.
func (m *Machine) Plan(ctx context.Context, a backends.Attempt) (backends.Plan, error) {
	made, cached, err := m.environments.Plan(ctx, a.Environment)
	if err != nil {
		return backends.Plan{}, err
	}
	at := m.layout.attempt(a.Ref())
	paths := map[string]string{}
	for name, in := range a.Config.Inputs {
		p, err := m.placeOf(ctx, name, in, at, m.config.formOf(a.Environment))
		if err != nil {
			return backends.Plan{}, err
		}
		paths[name] = p.Path
	}
	for name := range a.Config.Outputs.Named {
		paths[runconfig.OutputKey(name)] = m.surroundings(a, at, formOf(a.Environment)).output(name)
	}
	command, err := plannedCommand(a.Config, made.Interpreter, paths)
	if err != nil {
		return backends.Plan{}, err
	}
	return backends.Plan{Command: command, Image: made.Image, Cached: cached}, nil
}
