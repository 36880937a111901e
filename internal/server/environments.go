package server

import (
	"net/http"
	"sync"

	"github.com/runnerml/runner/internal/controller"
)

func (s *Server) environments(w http.ResponseWriter, r *http.Request) error {
	all, err := s.Service.Environments(r.Context())
	if err != nil {
		return err
	}
	if all == nil {
		all = []controller.EnvironmentInfo{}
	}
	writeJSON(w, http.StatusOK, all)
	return nil
}

func (s *Server) environment(w http.ResponseWriter, r *http.Request) error {
	info, err := s.Service.Environment(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, info)
	return nil
}

func (s *Server) environmentLock(w http.ResponseWriter, r *http.Request) error {
	lock, err := s.Service.EnvironmentLock(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, Text{Text: lock})
	return nil
}

func (s *Server) pruneEnvironments(w http.ResponseWriter, r *http.Request) error {
	var request PruneRequest
	if err := readJSON(r, &request); err != nil {
		return err
	}
	options := request.options()
	options.EnvironmentsOnly = true
	report, err := s.Service.Prune(r.Context(), options)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, report)
	return nil
}

// buildEnvironment makes an environment and streams what its tools say.
func (s *Server) buildEnvironment(w http.ResponseWriter, r *http.Request) error {
	var request BuildRequest
	if err := readJSON(r, &request); err != nil {
		return err
	}
	if request.Environment == nil {
		return Wrong("no environment was given", "environment", "")
	}
	stream := &buildStream{lines: newLineWriter(w)}
	info, err := s.Service.BuildEnvironment(r.Context(), request.Environment, request.Name,
		request.RegistryPassword, stream, stream.progress)
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		stream.send(BuildItem{Error: ProblemOf(err)})
		return nil
	}
	stream.send(BuildItem{Environment: info})
	return nil
}

// buildStream is the answer to a BuildRequest; tools and progress write to it
// at the same time.
type buildStream struct {
	mu    sync.Mutex
	lines *lineWriter
}

// send ignores a broken line: the request's context ends with it.
func (b *buildStream) send(item BuildItem) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.lines.write(item)
}

func (b *buildStream) Write(p []byte) (int, error) {
	b.send(BuildItem{Log: p})
	return len(p), nil
}

func (b *buildStream) progress(p controller.Progress) { b.send(BuildItem{Progress: &p}) }
