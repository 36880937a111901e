package sparksubmit

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/run"
)

func TestMasterPages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, master, port string
		want               []string
	}{
		{"one", "spark://m:7077", "", []string{"http://m:8080"}},
		{"without a port", "spark://m", "", []string{"http://m:8080"}},
		{"several, with another page", "spark://m1:7077,m2:7078", "18080", []string{"http://m1:18080", "http://m2:18080"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, newStandalone(c.master, c.port).pages); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What a master's page says of an application whose driver failed here.
func TestConcludeAtMaster(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, page string
		want       Report
	}{
		{"it ended", `{"activeapps":[],"completedapps":[{"id":"app-1-1","state":"FINISHED"}]}`, Report{State: "FINISHED"}},
		{"killed there", `{"activeapps":[],"completedapps":[{"id":"app-1-0","state":"FINISHED"},{"id":"app-1-1","state":"KILLED"}]}`, Report{
			State: "KILLED", Outcome: run.OutcomeCanceled, Reason: "the application was killed at the master",
		}},
		{"not listed", `{"activeapps":[],"completedapps":[]}`, Report{}},
		{"no page of a master", `<html>`, Report{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/json/" {
					http.NotFound(w, r)
					return
				}
				_, _ = w.Write([]byte(c.page))
			}))
			t.Cleanup(server.Close)
			at, err := url.Parse(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			l := &launcher{plan: &Plan{}, report: reportBeside(filepath.Join(t.TempDir(), PlanFile)), master: newStandalone("spark://127.0.0.1:7077", at.Port())}
			if err := l.report.change(func(r *Report) { r.Application = "app-1-1" }); err != nil {
				t.Fatal(err)
			}
			if err := l.conclude(1); err != nil {
				t.Fatal(err)
			}
			got := l.report.now()
			c.want.Application, c.want.UpdatedAt = "app-1-1", got.UpdatedAt
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
