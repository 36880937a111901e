package server

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/store"
)

// isStored gives p the kind of an error of the store.
func isStored(err error, p *Problem) bool {
	if e, ok := errors.AsType[*store.NotFoundError](err); ok {
		p.Code, p.Message = NotFound, e.Error()
		if e.Kind == "run" {
			p.Hint = "runner ps --all lists the runs"
			if e.Name == store.LastRun {
				p.Hint = "runner submit makes one"
			}
		} else {
			p.Hint = "runner environment list shows those that are there"
		}
		return true
	}
	if e, ok := errors.AsType[*store.AmbiguousError](err); ok {
		p.Code, p.Message, p.Hint = Ambiguous, e.Error(), "give more of the id"
		return true
	}
	if e, ok := errors.AsType[*store.NotEndedError](err); ok {
		p.Code, p.Hint = Conflict, "wait for it, or cancel it: runner cancel "+e.ID
		return true
	}
	if _, ok := errors.AsType[*store.NewerError](err); ok {
		p.Code = Unavailable
		return true
	}
	if _, ok := errors.AsType[*run.TransitionError](err); ok {
		p.Code = Conflict
		return true
	}
	if errors.Is(err, store.ErrClosed) {
		p.Code = Unavailable
		return true
	}
	return false
}

// isAsked gives p the kind of an error about what was asked of the controller.
func isAsked(err error, p *Problem) bool {
	if e, ok := errors.AsType[*controller.InvalidError](err); ok {
		p.Code, p.Message, p.Where, p.Hint = Invalid, e.What, e.Where, e.Hint
		return true
	}
	if e, ok := errors.AsType[*controller.InvalidsError](err); ok {
		p.Code, p.Message = Invalid, "the submission is not valid"
		for _, one := range e.All {
			p.Problems = append(p.Problems, Problem{Code: Invalid, Message: one.What, Where: one.Where, Hint: one.Hint})
		}
		return true
	}
	if e, ok := errors.AsType[*controller.UnknownTargetError](err); ok {
		p.Code, p.Message, p.Where, p.Hint = Invalid, e.Error(), "compute_target", e.Hint()
		return true
	}
	if e, ok := errors.AsType[*controller.NoAttemptError](err); ok {
		p.Code, p.Message = NotFound, e.Error()
		return true
	}
	if e, ok := errors.AsType[*controller.NoOutputError](err); ok {
		p.Code, p.Message, p.Hint = NotFound, e.Error(), "runner outputs "+e.Run+" lists what it left"
		return true
	}
	if e, ok := errors.AsType[*controller.UnknownEnvironmentError](err); ok {
		slices.Sort(e.Known)
		p.Code, p.Message, p.Hint = NotFound, e.Error(), "runner environment list shows those that are there"
		if len(e.Known) > 0 {
			p.Hint = "known environments: " + strings.Join(e.Known, ", ")
		}
		return true
	}
	if e, ok := errors.AsType[*artifact.UnavailableError](err); ok {
		p.Code, p.Lasting = Unavailable, e.Lasting
		return true
	}
	if errors.Is(err, controller.ErrKeepsNone) {
		p.Code = Invalid
		return true
	}
	return false
}

// isSnapshot gives p the kind of an error about a source directory or a
// stored picture of one.
func isSnapshot(err error, p *Problem) bool {
	if _, ok := errors.AsType[*snapshot.TooLargeError](err); ok {
		p.Code = TooLarge
		return true
	}
	invalid := []func(error) bool{
		is[*snapshot.LinkError], is[*snapshot.SpecialFileError], is[*snapshot.StreamError],
		is[*snapshot.MissingError], is[*snapshot.ChangedError],
	}
	for _, fits := range invalid {
		if fits(err) {
			p.Code = Invalid
			return true
		}
	}
	if errors.Is(err, snapshot.ErrNotFound) {
		p.Code = NotFound
		return true
	}
	if errors.Is(err, syscall.ENOSPC) && p.Hint == "" {
		p.Hint = "free some space on the disk, for example with runner prune"
	}
	return false
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// WrongPath is a file that a user named and that cannot be read.
func WrongPath(err error) *Problem {
	p := &Problem{Code: Invalid, Message: err.Error(), cause: err}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		p.Message, p.Where = e.Err.Error(), e.Path
	}
	return p
}
