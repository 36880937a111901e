package server

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
)

func (s *Server) submit(w http.ResponseWriter, r *http.Request) error {
	var sub controller.Submission
	if err := readJSON(r, &sub); err != nil {
		return err
	}
	got, created, err := s.Service.Submit(r.Context(), sub)
	if err != nil {
		return err
	}
	writeCreated(w, created, got)
	return nil
}

func (s *Server) submitArray(w http.ResponseWriter, r *http.Request) error {
	var sub controller.ArraySubmission
	if err := readJSON(r, &sub); err != nil {
		return err
	}
	got, created, err := s.Service.SubmitArray(r.Context(), sub)
	if err != nil {
		return err
	}
	writeCreated(w, created, got)
	return nil
}

// writeCreated tells what a request made from what an earlier one of the same id
// did.
func writeCreated(w http.ResponseWriter, created bool, v any) {
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	writeJSON(w, status, v)
}

func (s *Server) plan(w http.ResponseWriter, r *http.Request) error {
	var sub controller.Submission
	if err := readJSON(r, &sub); err != nil {
		return err
	}
	plan, err := s.Service.Plan(r.Context(), sub)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, plan)
	return nil
}

func (s *Server) run(w http.ResponseWriter, r *http.Request) error {
	got, err := s.Service.Run(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, got)
	return nil
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) error {
	filter, err := parseFilter(r.URL.Query())
	if err != nil {
		return err
	}
	runs, err := s.Service.List(r.Context(), filter)
	if err != nil {
		return err
	}
	if runs == nil {
		runs = []run.Run{}
	}
	writeJSON(w, http.StatusOK, runs)
	return nil
}

// EncodeFilter is the query of GET /v1/runs.
func EncodeFilter(f controller.Filter) url.Values {
	q := url.Values{}
	set(q, "experiment", f.Experiment)
	set(q, "target", f.Target)
	for _, state := range f.States {
		q.Add("state", string(state))
	}
	for key, value := range f.Tags {
		q.Add("tag", key+"="+value)
	}
	if f.Active {
		q.Set("active", "true")
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return q
}

func set(q url.Values, key, value string) {
	if value != "" {
		q.Set(key, value)
	}
}

func parseFilter(q url.Values) (controller.Filter, error) {
	f := controller.Filter{Experiment: q.Get("experiment"), Target: q.Get("target")}
	for _, word := range q["state"] {
		state := run.State(word)
		if !state.Known() {
			return f, Wrong("unknown state "+strconv.Quote(word), "state", "")
		}
		f.States = append(f.States, state)
	}
	for _, tag := range q["tag"] {
		key, value, ok := strings.Cut(tag, "=")
		if !ok {
			return f, Wrong("a tag has the form key=value", "tag", "")
		}
		if f.Tags == nil {
			f.Tags = map[string]string{}
		}
		f.Tags[key] = value
	}
	var err error
	if f.Active, err = boolOf(q, "active"); err != nil {
		return f, err
	}
	f.Limit, err = intOf(q, "limit", 0)
	return f, err
}

func boolOf(q url.Values, key string) (bool, error) {
	if q.Get(key) == "" {
		return false, nil
	}
	value, err := strconv.ParseBool(q.Get(key))
	if err != nil {
		return false, Wrong("not true or false: "+strconv.Quote(q.Get(key)), key, "")
	}
	return value, nil
}

func intOf(q url.Values, key string, absent int) (int, error) {
	if q.Get(key) == "" {
		return absent, nil
	}
	value, err := strconv.Atoi(q.Get(key))
	if err != nil {
		return 0, Wrong("not a number: "+strconv.Quote(q.Get(key)), key, "")
	}
	return value, nil
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	after, err := intOf(r.URL.Query(), "after", 0)
	if err != nil {
		return err
	}
	events, err := s.Service.Events(r.Context(), r.PathValue("id"), after)
	if err != nil {
		return err
	}
	if events == nil {
		events = []run.Event{}
	}
	writeJSON(w, http.StatusOK, events)
	return nil
}

func (s *Server) cancel(w http.ResponseWriter, r *http.Request) error {
	got, err := s.Service.Cancel(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, got)
	return nil
}

func (s *Server) runLock(w http.ResponseWriter, r *http.Request) error {
	lock, err := s.Service.RunLock(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, Text{Text: lock})
	return nil
}

func (s *Server) prune(w http.ResponseWriter, r *http.Request) error {
	var request PruneRequest
	if err := readJSON(r, &request); err != nil {
		return err
	}
	report, err := s.Service.Prune(r.Context(), request.options())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, report)
	return nil
}

func (p PruneRequest) options() controller.PruneOptions {
	return controller.PruneOptions{
		OlderThan: time.Duration(p.OlderThan * float64(time.Second)), KeepLast: p.KeepLast, States: p.States, Target: p.Target, DryRun: p.DryRun,
	}
}

func (s *Server) checkData(w http.ResponseWriter, r *http.Request) error {
	var request DataCheckRequest
	if err := readJSON(r, &request); err != nil {
		return err
	}
	got, err := s.Service.CheckData(r.Context(), request.Path, request.Target)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, got)
	return nil
}
