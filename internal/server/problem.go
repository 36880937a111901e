package server

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// Code is the kind of a problem: one of the constants here, or an outcome of
// package run.
type Code string

// The codes.
const (
	Invalid      Code = "invalid"
	NotFound     Code = "not_found"
	Ambiguous    Code = "ambiguous"
	Conflict     Code = "conflict"
	TooLarge     Code = "too_large"
	Unauthorized Code = "unauthorized"
	Forbidden    Code = "forbidden"
	Unavailable  Code = "unavailable"
	Interrupted  Code = "interrupted"
	Internal     Code = "internal"
)

// meanings is the one table of what each code means: the HTTP status, and the
// exit code of the command that met it.
var meanings = map[Code]struct{ status, exit int }{
	Invalid:      {http.StatusBadRequest, 2},
	NotFound:     {http.StatusNotFound, 2},
	Ambiguous:    {http.StatusConflict, 2},
	Conflict:     {http.StatusConflict, 2},
	TooLarge:     {http.StatusRequestEntityTooLarge, 2},
	Unauthorized: {http.StatusUnauthorized, 3},
	Forbidden:    {http.StatusForbidden, 2},
	Unavailable:  {http.StatusServiceUnavailable, 3},
	Interrupted:  {499, 130},
	Internal:     {http.StatusInternalServerError, 5},
}

// Status is the HTTP status of the code.
func (c Code) Status() int {
	if m, ok := meanings[c]; ok {
		return m.status
	}
	if run.Outcome(c) == run.OutcomeTargetUnreachable {
		return http.StatusServiceUnavailable
	}
	if run.Outcome(c) == run.OutcomeEnvironmentFailed {
		return http.StatusUnprocessableEntity
	}
	return http.StatusInternalServerError
}

// Exit is the exit code of a command that ends with the code.
func (c Code) Exit() int {
	if m, ok := meanings[c]; ok {
		return m.exit
	}
	return run.Outcome(c).Meaning().Exit
}

// Problem is an error as a user sees it, on the wire and on the terminal.
type Problem struct {
	Code Code `json:"code"`
	// Message says what is wrong, Where in which file, run or place, and Hint
	// what to do. Where and Hint may be empty.
	Message string `json:"message"`
	Where   string `json:"where,omitempty"`
	Hint    string `json:"hint,omitempty"`
	// Lasting: asking again does not help, though the code sounds like it.
	Lasting bool `json:"lasting,omitempty"`
	// Problems, when there are several at once (those of a spec).
	Problems []Problem `json:"problems,omitempty"`
	cause    error
}

func (p *Problem) Error() string {
	if len(p.Problems) > 0 {
		lines := make([]string, len(p.Problems))
		for i := range p.Problems {
			lines[i] = p.Problems[i].Error()
		}
		return strings.Join(lines, "\n")
	}
	if p.Where == "" {
		return p.Message
	}
	return p.Message + ": " + p.Where
}

// Unwrap gives the error that the problem was made from, when it was made in
// this process.
func (p *Problem) Unwrap() error { return p.cause }

// All lists the single problems: p itself when it is one.
func (p *Problem) All() []Problem {
	if len(p.Problems) > 0 {
		return p.Problems
	}
	return []Problem{*p}
}

// ProblemOf says what err is to a user. Errors without a kind of their own
// are internal ones.
func ProblemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if spec, ok := errors.AsType[*runconfig.SpecError](err); ok {
		return specProblem(spec, err)
	}
	p := &Problem{Code: Internal, Message: err.Error(), cause: err}
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		p.Hint = h.Hint()
	}
	if h := backends.HintOf(err); h != "" {
		p.Hint = h
	}
	switch {
	case isTarget(err, p), isAsked(err, p), isStored(err, p), isSnapshot(err, p):
	case errors.Is(err, context.Canceled):
		p.Code, p.Message = Interrupted, "interrupted"
	case isFailure(err):
		p.Code = Code(backends.OutcomeOf(err))
	}
	return p
}

func isFailure(err error) bool {
	_, ok := errors.AsType[*backends.Failure](err)
	return ok
}

func specProblem(spec *runconfig.SpecError, err error) *Problem {
	p := &Problem{Code: Invalid, Message: "the spec is not valid", cause: err}
	for _, one := range spec.Problems {
		p.Problems = append(p.Problems, Problem{
			Code: Invalid, Message: one.Message, Where: one.Where(), Hint: one.Hint,
		})
	}
	return p
}

// Wrong is a request that cannot be carried out as it is.
func Wrong(message, where, hint string) *Problem {
	return &Problem{Code: Invalid, Message: message, Where: where, Hint: hint}
}
