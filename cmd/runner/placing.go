package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/yamlpos"
	"github.com/runnerml/runner/runconfig"
)

// judge finds all that is wrong with a submission, before a byte of its source
// is looked at: what the spec names and is not here, and what the server
// refuses. Everything is told with its place in the spec.
func (s *submitting) judge(ctx context.Context, c *client.Client, missing []server.Problem, sub controller.Submission) error {
	found := slices.Clone(s.spec.Missing)
	wrong := missing
	if sub.Environment == nil {
		var err error
		sub.Environment, err = resolveEnvironment(ctx, c, s.config, notPictured)
		if err = s.collect(&wrong, err); err != nil {
			return err
		}
	}
	sub.Snapshot = "" // only checked
	if len(missing) > 0 {
		sub.Secrets = map[string]string{}
		for _, name := range s.config.Secrets { // those that are not set are told already
			sub.Secrets[name] = ""
		}
	}
	_, err := c.Plan(ctx, sub)
	if err = s.collect(&wrong, err); err != nil {
		return err
	}
	if len(found) == 0 && len(wrong) == 0 {
		return nil
	}
	for _, p := range wrong {
		s.nameNearest(ctx, c, &p)
		one := runconfig.Problem{Message: p.Message, Hint: p.Hint}
		if isField(p.Where) {
			one.Field = p.Where
			one = s.spec.Place(one)[0]
		} else {
			one.File = p.Where
		}
		found = append(found, one)
	}
	return s.flags.ownWords(yamlpos.ErrorOf(found))
}

// notPictured stands for a Dockerfile's directory as long as only the words of
// a spec are looked at.
func notPictured(context.Context, string) (string, error) { return "sha256:not-pictured", nil }

// collect adds an error about the request to those found. Others come back.
func (s *submitting) collect(found *[]server.Problem, err error) error {
	if err == nil {
		return nil
	}
	p := server.ProblemOf(err)
	if p.Code != server.Invalid {
		return err
	}
	*found = append(*found, p.All()...)
	return nil
}

// nameNearest turns a list of known names into the one that was meant.
func (s *submitting) nameNearest(ctx context.Context, c *client.Client, p *server.Problem) {
	if p.Where != "compute_target" {
		return
	}
	all, err := c.Targets(ctx)
	if err != nil {
		return // the error says enough
	}
	var names []string
	for _, t := range all {
		names = append(names, t.Name)
	}
	if near := yamlpos.Nearest(s.config.ComputeTarget, names); near != "" {
		p.Hint = fmt.Sprintf("did you mean %q?", near)
	}
}

// isField tells the path of a spec's field from a file's name and other places.
func isField(where string) bool {
	top, _, _ := strings.Cut(where, ".")
	top, _, _ = strings.Cut(top, "[")
	switch top {
	case "compute_target", "distributed", "environment", "environment_variables", "inputs", "resources", "restart",
		"script", "secrets", "source_directory", "vm_priority":
		return true
	}
	return false
}

// unknownEnvironment says that nobody registered a name, and which was meant.
func unknownEnvironment(ctx context.Context, c *client.Client, name string) error {
	hint := "runner environment list shows them; runner environment build FILE --name " + name + " makes one"
	if all, err := c.Environments(ctx); err == nil { // without them the hint is the general one
		var names []string
		for _, e := range all {
			names = append(names, e.Name)
		}
		if near := yamlpos.Nearest(name, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
	}
	return server.Wrong(fmt.Sprintf("there is no environment named %q", name), "environment", hint)
}

// wrongEnvironment places an error of an environment's parts: in the field of
// the spec, or in the file that holds the environment.
func wrongEnvironment(err error, file string) error {
	if field, ok := errors.AsType[*environment.FieldError](err); ok {
		return server.Wrong(field.Error(), cmp.Or(file, yamlpos.Join("environment", field.Field)), "")
	}
	return wrongInput(err, cmp.Or(file, "environment"))
}
