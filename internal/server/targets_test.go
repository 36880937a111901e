package server_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/server/servertest"
	"github.com/runnerml/runner/internal/store"
)

func TestTargetProblems(t *testing.T) {
	since := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	claim := compute.Claim{Installation: "two", Target: "box", Since: since}
	unreachable := server.Code(run.OutcomeTargetUnreachable)
	for _, c := range []struct {
		name string
		err  error
		code server.Code
		exit int
		hint string
	}{
		{"no such target", &store.NotFoundError{Kind: "compute target", Name: "x"}, server.NotFound, 2, "runner compute list shows those that are there"},
		{"the name is taken", &store.TargetExistsError{Name: "x"}, server.Conflict, 2, ""},
		{"the same machine", &compute.SameMachineError{Name: "a"}, server.Conflict, 2, "use that name, or detach it first: runner compute detach a"},
		{"another installation's", &compute.ClaimedError{Claim: claim}, server.Conflict, 2, "if it is yours to take: runner compute attach ... --take-over"},
		{"another name of ours", &compute.ClaimedError{Claim: claim, Ours: true}, server.Conflict, 2, "detach it first, or name another directory with --remote-dir"},
		{
			"another installation's elsewhere", &compute.ElsewhereError{ClaimedError: compute.ClaimedError{Claim: claim}, Root: "/data/r"}, server.Conflict, 2,
			"to take it over: --remote-dir /data/r --take-over; to share the machine, each with a queue of its own: --allow-same-machine",
		},
		{"busy", &controller.BusyTargetError{Name: "x", Runs: []string{"r"}}, server.Conflict, 2, "wait for them, or cancel them with --force"},
		{"another's runs", &controller.ForeignRunsError{Name: "x", Runs: []string{"r"}}, server.Conflict, 2, "wait for them, or end them with --force"},
		{"no instance", &controller.NotInstanceError{Name: "x"}, server.Conflict, 2, "attach it with --as instance to stop and start its queue"},
		{"unreachable", &compute.ReachError{Name: "x", Err: errors.New("no route to host"), Advice: "check it"}, unreachable, 3, "check it"},
		{"nothing to write to", &compute.NotWritableError{Path: "/x", Why: "full"}, unreachable, 3, "name another directory with --remote-dir"},
		{"our claim is gone", &compute.UnclaimedError{Path: "/x"}, unreachable, 3, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := server.ProblemOf(errors.Join(c.err, nil))
			if p.Code != c.code || p.Code.Exit() != c.exit || p.Hint != c.hint {
				t.Errorf("code %s, exit %d, hint %q", p.Code, p.Code.Exit(), p.Hint)
			}
		})
	}
}

// TestTargetRequests asks over HTTP, as any client would.
func TestTargetRequests(t *testing.T) {
	s := httptest.NewServer(server.New(server.Options{Service: servertest.New(t)}))
	t.Cleanup(s.Close)
	ask := func(method, path, body string) (int, map[string]any) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		data, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if !strings.HasPrefix(string(data), "[") {
			if err := json.Unmarshal(data, &v); err != nil {
				t.Fatal(err, string(data))
			}
		}
		return r.StatusCode, v
	}
	status, v := ask(http.MethodPost, "/v1/targets", `{"name":"box","kind":"ssh","config":{"address":"unknown-key"}}`)
	want := map[string]any{"unknown_host_key": map[string]any{
		"host": "unknown-key", "type": "ssh-ed25519", "fingerprint": servertest.FakeHostKey,
	}}
	if d := cmp.Diff(want, v); d != "" || status != http.StatusOK {
		t.Error(status, d)
	}
	status, v = ask(http.MethodPost, "/v1/targets", `{"name":"box","kind":"ssh","config":{"address":"unknown-key",
 "password":"given","accepted_host_keys":["`+servertest.FakeHostKey+`"]},"secrets":{"password":"hunter2"}}`)
	if status != http.StatusOK || v["target"] == nil {
		t.Error(status, v)
	}
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{http.MethodGet, "/v1/targets", "", http.StatusOK},
		{http.MethodGet, "/v1/targets/box", "", http.StatusOK},
		{http.MethodGet, "/v1/targets/none", "", http.StatusNotFound},
		{http.MethodPost, "/v1/targets/box/check", "", http.StatusOK},
		{http.MethodPost, "/v1/targets/box/stop", "", http.StatusConflict}, // no instance
		{http.MethodPost, "/v1/targets/local/stop", "", http.StatusOK},
		{http.MethodPost, "/v1/targets/local/start", "", http.StatusOK},
		{http.MethodPost, "/v1/targets/box/detach", "not JSON", http.StatusBadRequest},
		{http.MethodPost, "/v1/targets/box/detach", "{}", http.StatusOK},
		{http.MethodPost, "/v1/targets/box/detach", "{}", http.StatusNotFound},
		{http.MethodPost, "/v1/targets", `{"name":"x","kind":"ssh","config":{"address":"down"}}`, http.StatusServiceUnavailable},
	} {
		if status, v := ask(c.method, c.path, c.body); status != c.want {
			t.Errorf("%s %s: %d, want %d: %v", c.method, c.path, status, c.want, v)
		}
	}
}
