package machine

import (
	"context"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/runconfig"
)

// seen is what a script sees of its surroundings.
type seen struct {
	work, checkpoint string
}

// surroundings of a script of that form.
func (m *Machine) surroundings(a backends.Attempt, at place, f form) seen {
	if f == inContainer {
		return seen{work: insideWork, checkpoint: insideCheckpoint}
	}
	return seen{work: at.work(), checkpoint: m.layout.checkpoint(a.Run)}
}

// output is where the script fills a named output.
func (s seen) output(name string) string { return path.Join(s.work, runconfig.OutputDirectory(name)) }

// variables of the script beyond what it inherits: the environment's, those of
// its spec, the run's, the secrets and ours, each over the ones before.
func (m *Machine) variables(ctx context.Context, a backends.Attempt, r *record, at seen) (map[string]string, error) {
	env := map[string]string{"PYTHONUNBUFFERED": "1"} // its log comes line by line
	maps.Copy(env, r.Env)
	if a.Environment != nil {
		maps.Copy(env, a.Environment.Variables)
	}
	maps.Copy(env, a.Config.EnvironmentVariables)
	maps.Copy(env, a.Secrets)
	maps.Copy(env, map[string]string{
		"RUNNER_RUN_ID": a.Run, "AZUREML_RUN_ID": a.Run, "RUNNER_EXPERIMENT": a.Experiment, "RUNNER_ATTEMPT": strconv.Itoa(a.Number),
		"RUNNER_OUTPUTS_DIR": path.Join(at.work, "outputs"), "RUNNER_CHECKPOINT_DIR": at.checkpoint,
	})
	for _, in := range r.Inputs {
		env["RUNNER_INPUT_"+variableName(in.Name)] = in.Path
	}
	for name := range a.Config.Outputs.Named {
		env["RUNNER_OUTPUT_"+variableName(name)] = at.output(name)
	}
	if r.Form == process {
		devices, err := m.deviceVariables(ctx, a.Allocation.GPUs)
		if err != nil {
			return nil, err
		}
		maps.Copy(env, devices)
	}
	return env, nil
}

// variableName of an input: upper case, and an underscore for what no variable
// can have.
func variableName(input string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			return r
		}
		return '_'
	}, input)
}

// inherited is what a plain process takes over from Environ, and from the
// shell in which it was submitted.
func (m *Machine) inherited(a backends.Attempt) []string {
	if m.config.Environ == nil {
		return nil
	}
	env := withoutSecrets(m.config.Environ)
	if a.Config.Path != "" && m.local {
		env = append(env, "PATH="+a.Config.Path)
	}
	return env
}

// defaultGrace between SIGTERM and SIGKILL when the spec does not say.
const defaultGrace = 30 * time.Second

// launch of the attempt's process.
func (m *Machine) launch(ctx context.Context, a backends.Attempt, r *record, at place) (supervise.Launch, error) {
	surroundings := m.surroundings(a, at, r.Form)
	env, err := m.variables(ctx, a, r, surroundings)
	if err != nil {
		return supervise.Launch{}, err
	}
	paths := make(map[string]string, len(r.Inputs))
	for _, in := range r.Inputs {
		paths[in.Name] = in.Path
	}
	for name := range a.Config.Outputs.Named {
		paths[runconfig.OutputKey(name)] = surroundings.output(name)
	}
	l := supervise.Launch{
		Mark: mark(a.Ref()), Argv: a.Config.CommandLineOf(r.FirstLine, r.Interpreter, paths), Dir: surroundings.work,
		Inherit: r.Form != process || m.config.Environ == nil, PathPrepend: r.PathPrepend,
		MaxDuration: time.Duration(a.Config.MaxRunDuration), Grace: grace(a), MaxLog: m.config.MaxLog,
		Memory: int64(a.Config.Resources.Memory), CPUs: a.Config.Resources.CPUs,
	}
	if r.Form == process {
		l.Env = m.inherited(a)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		l.Env = append(l.Env, name+"="+env[name])
	}
	for _, name := range slices.Sorted(maps.Keys(a.Secrets)) {
		if a.Secrets[name] != "" {
			l.Redact = append(l.Redact, a.Secrets[name])
		}
	}
	needInterpreter(&l, r)
	d := a.Config.Distributed
	if d == nil && a.Config.Resources.Nodes > 1 {
		d = &runconfig.Distributed{Framework: "pytorch"} // one process a node; what it is told does no harm
	}
	if d != nil {
		m.distribute(&l, a, r, d)
	}
	return l, m.launchBy(ctx, &l, a, r, at, env)
}

func grace(a backends.Attempt) time.Duration {
	if a.Config.Grace > 0 {
		return time.Duration(a.Config.Grace)
	}
	return defaultGrace
}
