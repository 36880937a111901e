package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/program"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
)

// Targets is the part of a Service that is about compute targets.
type Targets interface {
	// Attach may give a *compute.UnknownHostKeyError, for a person to confirm, or
	// a *compute.SecretNeededError, for a person to tell it.
	// told hears how far it is.
	Attach(ctx context.Context, a controller.Attachment, told func(controller.Progress)) (*controller.TargetInfo, error)
	Targets(ctx context.Context) ([]controller.TargetInfo, error)
	Target(ctx context.Context, name string) (*controller.TargetInfo, error)
	CheckTarget(ctx context.Context, name string) (*controller.TargetCheck, error)
	Detach(ctx context.Context, name string, d controller.Detachment) error
	StopQueue(ctx context.Context, name string) (*controller.TargetInfo, error)
	StartQueue(ctx context.Context, name string) (*controller.TargetInfo, error)
}

// AttachAnswer is what attaching came to: exactly one field is set.
type AttachAnswer struct {
	Target *controller.TargetInfo `json:"target,omitempty"`
	// UnknownHostKey is a key to be confirmed: its fingerprint then goes into
	// the accepted ones of the next try.
	UnknownHostKey *compute.UnknownHostKeyError `json:"unknown_host_key,omitempty"`
	// NeedsSecret is a secret to be asked for: under its purpose it goes into
	// the secrets of the next try.
	NeedsSecret *compute.SecretNeededError `json:"needs_secret,omitempty"`
}

// targetRoutes are the requests about compute targets.
func (s *Server) targetRoutes() map[string]func(http.ResponseWriter, *http.Request) error {
	return map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /v1/targets":               s.targets,
		"POST /v1/targets":              s.attach,
		"GET /v1/targets/{name}":        s.target,
		"POST /v1/targets/{name}/check": s.checkTarget,
		"POST /v1/targets/{name}/stop":  s.queue(Service.StopQueue),
		"POST /v1/targets/{name}/start": s.queue(Service.StartQueue),
		"POST /v1/targets/{name}/detach": func(w http.ResponseWriter, r *http.Request) error {
			var d controller.Detachment
			if err := readJSON(r, &d); err != nil {
				return err
			}
			if err := s.Service.Detach(r.Context(), r.PathValue("name"), d); err != nil {
				return err
			}
			writeJSON(w, http.StatusOK, struct{}{})
			return nil
		},
	}
}

func (s *Server) targets(w http.ResponseWriter, r *http.Request) error {
	all, err := s.Service.Targets(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, all)
	return nil
}

func (s *Server) target(w http.ResponseWriter, r *http.Request) error {
	info, err := s.Service.Target(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, info)
	return nil
}

func (s *Server) attach(w http.ResponseWriter, r *http.Request) error {
	var a controller.Attachment
	if err := readJSON(r, &a); err != nil {
		return err
	}
	steps := &interim{out: w}
	info, err := s.Service.Attach(r.Context(), a, steps.tell)
	steps.end()
	if unknown, ok := errors.AsType[*compute.UnknownHostKeyError](err); ok {
		writeJSON(w, http.StatusOK, AttachAnswer{UnknownHostKey: unknown})
		return nil
	}
	if need, ok := errors.AsType[*compute.SecretNeededError](err); ok {
		writeJSON(w, http.StatusOK, AttachAnswer{NeedsSecret: need})
		return nil
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, AttachAnswer{Target: info})
	return nil
}

func (s *Server) checkTarget(w http.ResponseWriter, r *http.Request) error {
	check, err := s.Service.CheckTarget(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, check)
	return nil
}

// queue stops or starts the queue of a target.
func (s *Server) queue(do func(Service, context.Context, string) (*controller.TargetInfo, error)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		info, err := do(s.Service, r.Context(), r.PathValue("name"))
		if err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, info)
		return nil
	}
}

// isTarget gives p the kind of an error about a compute target.
func isTarget(err error, p *Problem) bool {
	if e, ok := errors.AsType[*store.NotFoundError](err); ok && e.Kind == "compute target" {
		p.Code, p.Message, p.Hint = NotFound, e.Error(), "runner compute list shows those that are there"
		return true
	}
	if e, ok := errors.AsType[*store.NotFoundError](err); ok && e.Kind == "secret" {
		p.Code, p.Message, p.Hint = NotFound, e.Error(), "runner secret list shows those that are there"
		return true
	}
	for _, fits := range []func(error) bool{
		is[*store.TargetExistsError], is[*compute.SameMachineError], is[*compute.ForeignError],
		is[*controller.BusyTargetError], is[*controller.ForeignRunsError], is[*controller.NotInstanceError],
		is[*controller.SecretInUseError],
	} {
		if fits(err) {
			p.Code = Conflict
			return true
		}
	}
	if is[*compute.MicromambaError](err) {
		p.Code = Invalid
		return true
	}
	if is[*compute.ElsewhereError](err) {
		p.Code = Conflict
		return true
	}
	if e, ok := errors.AsType[*compute.ClaimedError](err); ok {
		p.Code, p.Hint = Conflict, "if it is yours to take: runner compute attach ... --take-over"
		if e.Ours {
			p.Hint = "detach it first, or name another directory with --remote-dir"
		}
		return true
	}
	for _, fits := range []func(error) bool{
		is[*compute.ReachError], is[*compute.UnknownHostKeyError], is[*compute.SecretNeededError], is[*compute.OtherMachineError],
		is[*compute.UnclaimedError], is[*compute.NotWritableError],
	} {
		if fits(err) {
			p.Code = Code(run.OutcomeTargetUnreachable)
			return true
		}
	}
	return isProgram(err, p)
}

// isProgram gives p the words of a machine for which we have no program.
func isProgram(err error, p *Problem) bool {
	if e, ok := errors.AsType[*program.MissingError](err); ok {
		p.Code, p.Message = Code(run.OutcomeTargetUnreachable), e.Error()
		return true
	}
	if e, ok := errors.AsType[*program.WrongError](err); ok {
		p.Code, p.Message = Code(run.OutcomeTargetUnreachable), e.Error()
		return true
	}
	return false
}
