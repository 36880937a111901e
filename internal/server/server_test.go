package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/server/servertest"
)

// panicking panics where it is asked for a run.
type panicking struct{ server.Service }

func (panicking) Run(context.Context, string) (*run.Run, error) { panic("secret detail") }

func TestRequests(t *testing.T) {
	s := server.New(server.Options{Service: servertest.New(t), Log: slog.New(slog.DiscardHandler)})
	tests := []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"no runs", "GET", "/v1/runs", "", 200, "[]"},
		{"unknown run", "GET", "/v1/runs/x", "", 404, `{"error":{"code":"not_found","message":"there is no run \"x\"","hint":"runner ps --all lists the runs"}}`},
		{"unknown path", "GET", "/v1/nothing", "", 404, `{"error":{"code":"not_found","message":"there is no such request","where":"GET /v1/nothing","hint":"runner and its server may be of different versions: see runner version"}}`},
		{"bad JSON", "POST", "/v1/runs", "{", 400, `{"error":{"code":"invalid","message":"the request is not valid JSON: unexpected EOF"}}`},
		{"bad state", "GET", "/v1/runs?state=Sleeping", "", 400, `{"error":{"code":"invalid","message":"unknown state \"Sleeping\"","where":"state"}}`},
		{"bad limit", "GET", "/v1/runs?limit=many", "", 400, `{"error":{"code":"invalid","message":"not a number: \"many\"","where":"limit"}}`},
		{"bad offset", "GET", "/v1/runs/x/logs?offset=-1", "", 400, `{"error":{"code":"invalid","message":"not an offset: \"-1\"","where":"offset"}}`},
		{"too large", "POST", "/v1/runs", `{"snapshot":"` + strings.Repeat("x", 17<<20) + `"}`, 413, `{"error":{"code":"too_large","message":"the request is too large"}}`},
		{"bad snapshot id", "GET", "/v1/snapshots/x", "", 400, `{"error":{"code":"invalid","message":"snapshot id: digest \"x\": want sha256: and 64 lower-case hex digits"}}`},
		{"stop refused", "POST", "/v1/agent/stop", "", 409, `{"error":{"code":"conflict","message":"this server cannot be stopped from here"}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), test.method, test.path, strings.NewReader(test.body)))
			if w.Code != test.status {
				t.Errorf("status %d, want %d", w.Code, test.status)
			}
			if diff := cmp.Diff(test.want, strings.TrimSpace(w.Body.String())); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPanicIsNoStackForTheUser(t *testing.T) {
	var log bytes.Buffer
	s := server.New(server.Options{Service: panicking{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/runs/x", nil))
	var body struct{ Error server.Problem }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusInternalServerError || body.Error.Message != "internal error" {
		t.Errorf("status %d, body %s", w.Code, w.Body)
	}
	if strings.Contains(w.Body.String(), "secret detail") || strings.Contains(w.Body.String(), "goroutine") {
		t.Errorf("the user sees: %s", w.Body)
	}
	if !strings.Contains(log.String(), "secret detail") {
		t.Errorf("the log does not say why: %s", &log)
	}
}

func TestToken(t *testing.T) {
	h := server.WithToken([]byte("0123456789abcdef"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "in")
	}))
	for name, test := range map[string]struct {
		header string
		status int
	}{
		"right":          {"Bearer 0123456789abcdef", 200},
		"wrong":          {"Bearer 0123456789abcdeX", 401},
		"shorter":        {"Bearer 0123", 401},
		"none":           {"", 401},
		"another scheme": {"Basic 0123456789abcdef", 401},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/runs", nil)
			if test.header != "" {
				r.Header.Set("Authorization", test.header)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != test.status {
				t.Errorf("status %d, want %d", w.Code, test.status)
			}
		})
	}
}

func TestListenWantsAHost(t *testing.T) {
	for _, address := range []string{":8484", "8484", ""} {
		if _, err := server.Listen(address); err == nil || server.ProblemOf(err).Code != server.Invalid {
			t.Errorf("Listen(%q): %v", address, err)
		}
	}
}

func TestWithoutTargetsRefusesAttachAndDetach(t *testing.T) {
	h := server.WithoutTargets(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for request, want := range map[string]int{
		"POST /v1/targets":            http.StatusForbidden,
		"POST /v1/targets/vm/detach":  http.StatusForbidden,
		"POST /v1/targets/vm/check":   http.StatusTeapot,
		"GET /v1/targets":             http.StatusTeapot,
		"POST /v1/runs":               http.StatusTeapot,
		"POST /v1/targets/../targets": http.StatusTemporaryRedirect, // cleaned, and asked again
	} {
		method, path, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", request, w.Code, want)
		}
	}
}
