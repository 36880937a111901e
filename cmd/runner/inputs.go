package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/yamlpos"
	"github.com/runnerml/runner/runconfig"
)

// wrongInput makes a file that cannot be read, or that says something
// impossible, an error of the request.
func wrongInput(err error, where string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*yamlpos.Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*server.Problem](err); ok {
		return err
	}
	p := server.ProblemOf(err)
	if p.Code == server.Internal {
		p.Code = server.Invalid
	}
	if cause, ok := errors.AsType[*os.PathError](err); ok {
		p.Message, p.Where = cause.Err.Error(), cause.Path
	} else if errors.Is(err, os.ErrNotExist) && where != "" {
		p.Message, p.Where = os.ErrNotExist.Error(), where
	}
	return p
}

// ownPath is PATH of this shell, as it means the same in any directory.
func ownPath() string {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	for i, dir := range dirs {
		if abs, err := filepath.Abs(dir); err == nil { // else it is as good as it is
			dirs[i] = abs
		}
	}
	return strings.Join(dirs, string(filepath.ListSeparator))
}

// secretsOf reads the values of a spec's secrets from our environment.
func secretsOf(config *runconfig.ScriptRunConfig) (values map[string]string, missing []server.Problem) {
	if len(config.Secrets) == 0 {
		return nil, nil
	}
	values = make(map[string]string, len(config.Secrets))
	for i, name := range config.Secrets {
		value, ok := os.LookupEnv(name)
		if !ok {
			missing = append(missing, server.Problem{
				Code: server.Invalid, Message: "secret " + name + " is not set", Where: fmt.Sprintf("secrets[%d]", i),
				Hint: "export " + name + "=... before submitting",
			})
		}
		values[name] = value
	}
	return values, missing
}

// registryPassword reads the password of an environment's image registry.
func registryPassword(e *environment.Resolved) (string, error) {
	if e == nil || e.Docker == nil || e.Docker.Registry == nil || e.Docker.Registry.Password == nil {
		return "", nil
	}
	where := "environment.docker.registry.password"
	switch ref := e.Docker.Registry.Password; {
	case ref.Env != "":
		value, ok := os.LookupEnv(ref.Env)
		if !ok {
			return "", server.Wrong("the registry's password "+ref.Env+" is not set", where, "export "+ref.Env+"=... before submitting")
		}
		return value, nil
	case ref.File != "":
		file, err := os.Open(ref.File)
		if err != nil {
			return "", server.WrongPath(err)
		}
		defer file.Close()
		line, err := bufio.NewReader(file).ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", server.Wrong("the file's first line is empty", ref.File, "it should hold the registry's password")
		}
		_ = err // a last line needs no end
		return line, nil
	}
	return "", nil
}

// resolveEnvironment reads in what a spec's environment needs.
func resolveEnvironment(ctx context.Context, c *client.Client, config *runconfig.ScriptRunConfig, picture environment.Picture) (*environment.Resolved, error) {
	ref := config.Environment
	if ref == nil {
		ref = &runconfig.EnvironmentRef{}
	}
	if ref.Name != "" {
		info, err := c.Environment(ctx, ref.Name)
		if p, ok := errors.AsType[*server.Problem](err); ok && p.Code == server.NotFound {
			return nil, unknownEnvironment(ctx, c, ref.Name)
		}
		if err != nil {
			return nil, err
		}
		if info.Resolved == nil {
			return nil, server.Wrong(fmt.Sprintf("the environment %q cannot be used again", ref.Name), "environment", "build it again")
		}
		return info.Resolved, nil
	}
	spec, dir := ref.Spec, config.SourceDirectory
	if ref.File != "" {
		return resolveFile(ctx, ref.File, picture)
	}
	resolved, err := environment.Resolve(ctx, spec, dir, picture)
	return resolved, wrongEnvironment(err, "")
}

// resolveFile reads an environment from a file.
func resolveFile(ctx context.Context, path string, picture environment.Picture) (*environment.Resolved, error) {
	spec, err := environment.Load(path)
	if err != nil {
		return nil, wrongInput(err, path)
	}
	resolved, err := environment.Resolve(ctx, spec, filepath.Dir(path), picture)
	return resolved, wrongEnvironment(err, path)
}
