package provision

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/run"
)

// outcomes say how an attempt ends that an engine's error stopped.
var outcomes = map[container.Kind]run.Outcome{
	container.NoEngine:            run.OutcomeEnvironmentFailed,
	container.PermissionDenied:    run.OutcomeEnvironmentFailed,
	container.NoForwarding:        run.OutcomeEnvironmentFailed,
	container.EngineTooOld:        run.OutcomeEnvironmentFailed,
	container.Unreachable:         run.OutcomeTargetUnreachable,
	container.InvalidReference:    run.OutcomeEnvironmentFailed,
	container.ImageNotFound:       run.OutcomeEnvironmentFailed,
	container.LoginRequired:       run.OutcomeEnvironmentFailed,
	container.LoginRefused:        run.OutcomeEnvironmentFailed,
	container.RegistryUnreachable: run.OutcomeEnvironmentFailed,
	container.NoSpace:             run.OutcomeEnvironmentFailed,
	container.WrongPlatform:       run.OutcomeEnvironmentFailed,
	container.NameTaken:           run.OutcomeInternalError,
	container.InvalidSpec:         run.OutcomeEnvironmentFailed,
	container.NoGPUSupport:        run.OutcomeEnvironmentFailed,
	container.StartFailed:         run.OutcomeEnvironmentFailed,
	container.InUse:               run.OutcomeInternalError,
	container.NotFound:            run.OutcomeInternalError,
	container.Failed:              run.OutcomeInternalError,
}

// FailureOf tells whose fault an engine's error is; others, and an end of the
// context, stay what they are.
func FailureOf(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if _, ok := errors.AsType[*backends.Failure](err); ok {
		return err
	}
	if b, ok := errors.AsType[*container.BuildError](err); ok {
		return buildFailure(b, err)
	}
	if b, ok := errors.AsType[*environment.BaseError](err); ok {
		return &backends.Failure{Outcome: run.OutcomeEnvironmentFailed, Hint: b.Hint, Err: err}
	}
	e, ok := errors.AsType[*container.Error](err)
	if !ok {
		return noSpace(err)
	}
	outcome, ok := outcomes[e.Kind]
	if !ok {
		outcome = run.OutcomeInternalError
	}
	return &backends.Failure{Outcome: outcome, Hint: e.Hint, Temporary: e.Temporary(), Err: err}
}

// buildFailure is a step of an image's build that failed. Our own recipe says
// why in a line of its own.
func buildFailure(b *container.BuildError, err error) error {
	f := &backends.Failure{Outcome: run.OutcomeEnvironmentFailed, Err: err}
	said := b.Tail[max(0, len(b.Tail)-lastLines):]
	for _, line := range b.Tail {
		if event, ok := environment.ParseLine(line); ok && event.Kind == environment.ErrorEvent {
			f.Hint = event.Hint
			f.Err = errors.New(event.Message)
			return f
		}
	}
	if len(said) > 0 {
		f.Err = errors.Join(err, errors.New("  "+strings.Join(said, "\n  ")))
	}
	return f
}

// noSpace names a full disk; other errors stay what they are.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &backends.Failure{
			Outcome: run.OutcomeEnvironmentFailed, Temporary: true, Err: err,
			Hint: "the disk is full: runner prune frees what nothing needs any more",
		}
	}
	return err
}
