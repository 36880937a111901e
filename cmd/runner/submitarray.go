package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/runconfig"
)

// takeArray reads what the runs of an array are given, and leaves in config what
// all of them have. It is nil for a single run.
func (s *submitting) takeArray() ([][]string, error) {
	if s.config.Array == nil {
		return nil, nil
	}
	lines, err := s.config.Array.Lines()
	if e, ok := errors.AsType[*runconfig.ArrayError](err); ok {
		return nil, server.Wrong("array: "+e.What, e.Where, "a line of it is the arguments of one run, in a shell's quotes")
	}
	if err != nil {
		return nil, err
	}
	for i, arguments := range lines {
		if err := s.config.Member(i, arguments).Validate(); err != nil {
			return nil, fmt.Errorf("run %d of the array: %w", i, err)
		}
	}
	shared := *s.config
	shared.Array = nil
	s.config = &shared
	return lines, nil
}

// runArray submits many runs, says their ids, and waits for them.
func (s *submitting) runArray(ctx context.Context, arguments [][]string) error {
	return s.ready(ctx, func(ctx context.Context, prepared *prepared) error { return s.runAll(ctx, prepared, arguments) })
}

func (s *submitting) runAll(ctx context.Context, prepared *prepared, arguments [][]string) error {
	runs, err := prepared.client.SubmitArray(ctx, controller.ArraySubmission{Submission: prepared.Submission, Arguments: arguments})
	if err != nil {
		return err
	}
	s.lines.clear()
	if s.detach && s.json {
		return s.printJSON(runs)
	}
	ids := make([]string, len(runs))
	for i := range runs {
		ids[i] = runs[i].ID
	}
	if err := s.print(strings.Join(ids, "\n") + "\n"); err != nil || s.detach {
		return err
	}
	return s.awaitArray(ctx, prepared.client, runs, ids)
}

func (s *submitting) awaitArray(ctx context.Context, client *client.Client, runs []run.Run, ids []string) error {
	s.sayf("%s submitted to %s; runner ps --tag array=%s lists them", plural(len(runs), "run"), runs[0].Target, ids[0])
	err := s.wait(ctx, client, ids)
	if ctx.Err() != nil {
		s.sayf("they go on; runner wait %s waits for the first", ids[0])
	}
	return err
}
