package controller

import (
	"context"
	"fmt"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// SubmitArray stores many runs of one submission, all or none, and queues them:
// each has its arguments behind those of the config. created and errors are as
// of Submit.
func (c *Controller) SubmitArray(ctx context.Context, s ArraySubmission) (_ []run.Run, created bool, _ error) {
	switch n := len(s.Arguments); {
	case n == 0:
		return nil, false, &InvalidError{What: "an array without runs", Where: "array"}
	case n > runconfig.MaxArray:
		return nil, false, &InvalidError{What: fmt.Sprintf("%d runs, at most %d", n, runconfig.MaxArray), Where: "array"}
	}
	a, err := c.admit(ctx, s.Submission)
	if err != nil {
		return nil, false, err
	}
	defer a.done()
	runs := make([]*run.Run, len(s.Arguments))
	for i, arguments := range s.Arguments {
		one := a.Submission
		one.Config = a.Config.Member(i, arguments)
		runs[i] = c.newRun(one)
	}
	stored, created, err := c.store.CreateArray(ctx, runs, s.RequestID, a.sealed)
	if err != nil {
		return nil, false, err
	}
	if created {
		c.queued(a, stored...)
	}
	return stored, created, nil
}
