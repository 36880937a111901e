package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// Limits of a request.
const (
	maxBody           = 16 << 20 // bytes of JSON
	maxHeader         = 64 << 10
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
)

// Options of a Server. Service, Info and Log must be set.
type Options struct {
	Service Service
	// Snapshots takes uploads of sources.
	Snapshots Snapshots
	// MaxUpload is the largest snapshot in bytes that is taken; zero: 4 GiB.
	MaxUpload int64
	// Metrics answers GET /metrics. Nil: not found.
	Metrics http.Handler
	Info    AgentInfo
	// Stop is called once when somebody asks the agent to stop. Nil: refused.
	Stop func()
	Log  *slog.Logger
}

// Server answers the API's requests.
type Server struct {
	Options
	mux      *http.ServeMux
	activity activity
	stopOnce sync.Once
}

// New makes a Server.
func New(o Options) *Server {
	if o.MaxUpload == 0 {
		o.MaxUpload = 4 << 30
	}
	s := &Server{Options: o, mux: http.NewServeMux()}
	s.activity.last = time.Now()
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /v1/agent":                     s.agentInfo,
		"POST /v1/agent/stop":               s.agentStop,
		"POST /v1/runs":                     s.submit,
		"POST /v1/arrays":                   s.submitArray,
		"GET /v1/runs":                      s.list,
		"POST /v1/plan":                     s.plan,
		"GET /v1/runs/{id}":                 s.run,
		"GET /v1/runs/{id}/events":          s.events,
		"GET /v1/runs/{id}/watch":           s.watch,
		"GET /v1/runs/{id}/logs":            s.logs,
		"POST /v1/runs/{id}/cancel":         s.cancel,
		"GET /v1/runs/{id}/outputs":         s.outputs,
		"GET /v1/runs/{id}/outputs/content": s.output,
		"GET /v1/runs/{id}/lock":            s.runLock,
		"POST /v1/prune":                    s.prune,
		"POST /v1/data/check":               s.checkData,
		"GET /v1/environments":              s.environments,
		"POST /v1/environments/build":       s.buildEnvironment,
		"POST /v1/environments/prune":       s.pruneEnvironments,
		"GET /v1/environments/{name}":       s.environment,
		"GET /v1/environments/{name}/lock":  s.environmentLock,
		"GET /v1/snapshots/{id}":            s.snapshotHave,
		"POST /v1/snapshots/missing":        s.snapshotMissing,
		"POST /v1/snapshots":                s.snapshotUpload,
	} {
		s.mux.HandleFunc(pattern, s.answer(h))
	}
	for pattern, h := range s.targetRoutes() {
		s.mux.HandleFunc(pattern, s.answer(h))
	}
	for pattern, h := range s.secretRoutes() {
		s.mux.HandleFunc(pattern, s.answer(h))
	}
	if o.Metrics != nil {
		s.mux.Handle("GET /metrics", o.Metrics)
	}
	s.mux.HandleFunc("/", s.answer(func(_ http.ResponseWriter, r *http.Request) error {
		return &Problem{
			Code: NotFound, Message: "there is no such request", Where: r.Method + " " + r.URL.Path,
			Hint: "runner and its server may be of different versions: see runner version",
		}
	}))
	return s
}

// ServeHTTP answers one request, and notes that somebody is there.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer s.activity.begin()()
	w.Header().Set(HeaderVersion, s.Info.Version)
	s.mux.ServeHTTP(w, r)
}

// answer makes an http.HandlerFunc of a handler that may fail, or panic.
func (s *Server) answer(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			caught := recover()
			if caught == nil {
				return
			}
			if caught == http.ErrAbortHandler { //nolint:errorlint // a panic's value
				panic(caught)
			}
			s.Log.Error("panic in a request", "method", r.Method, "path", r.URL.Path,
				"panic", fmt.Sprint(caught), "stack", string(debug.Stack()))
			s.fail(w, r, &Problem{Code: Internal, Message: "internal error", Hint: "see agent.log in RUNNER_HOME"})
		}()
		r.Body = http.MaxBytesReader(w, r.Body, s.bodyLimit(r))
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	}
}

func (s *Server) bodyLimit(r *http.Request) int64 {
	if strings.HasPrefix(r.URL.Path, "/v1/snapshots") {
		return s.MaxUpload
	}
	return maxBody
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		// Nobody listens any more, or this process stops: cut the line, so
		// that it is not taken for an answer.
		panic(http.ErrAbortHandler)
	}
	p := ProblemOf(err)
	if p.Code == Internal {
		s.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	writeJSON(w, p.Code.Status(), problemBody{Error: p})
}

// problemBody is the JSON of an answer that says what went wrong.
type problemBody struct {
	Error *Problem `json:"error"`
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) //nolint:errchkjson // the line broke: the client sees that by itself
}

func readJSON(r *http.Request, v any) error {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return &Problem{Code: TooLarge, Message: "the request is too large"}
		}
		return Wrong("the request is not valid JSON: "+err.Error(), "", "")
	}
	return nil
}

// activity counts what goes on, so that an agent with nothing to do can end.
type activity struct {
	mu   sync.Mutex
	open int
	last time.Time
}

func (a *activity) begin() (end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.open--
		a.last = time.Now()
	}
}

// idleSince says since when no request was open; ok is false while one is.
func (a *activity) idleSince() (since time.Time, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last, a.open == 0
}

func (s *Server) agentInfo(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, s.Info)
	return nil
}

func (s *Server) agentStop(w http.ResponseWriter, _ *http.Request) error {
	if s.Stop == nil {
		return &Problem{Code: Conflict, Message: "this server cannot be stopped from here"}
	}
	writeJSON(w, http.StatusAccepted, s.Info)
	s.stopOnce.Do(s.Stop)
	return nil
}

// newHTTPServer has the limits of every listener. base ends all open requests.
func newHTTPServer(base context.Context, h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext:       baseContext(base),
	}
}
