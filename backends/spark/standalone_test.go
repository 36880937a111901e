package spark_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/backends/backendtest"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// A standalone master with one worker: a job that trains, twice with different
// arguments, one that is killed at the master, and one that waits for more than
// the worker has; the suite with make conformance.
func TestStandalone(t *testing.T) {
	t.Parallel()
	cluster := testenv.SparkMaster(t)
	at := func(t *testing.T) (place, func(snapshot, id string, arguments ...string) backends.Attempt) {
		t.Helper()
		p := newPlace(t, cluster.Master, "", "")
		return p, func(snapshot, id string, arguments ...string) backends.Attempt {
			a := p.attempt(t, snapshot, id, arguments...)
			a.Config.Spark.Configuration["spark.master.ui.port"] = cluster.Port
			a.Config.Spark.Configuration["spark.cores.max"] = "1"
			return a
		}
	}
	t.Run("trains", func(t *testing.T) {
		t.Parallel()
		p, attempt := at(t)
		b, snapshot := p.new(t), p.target(t).Snapshot(t, source(t, train))
		for _, c := range []struct {
			id, regularization string
			code               int
			outcome            run.Outcome
		}{
			{"first", "0.1", 0, run.OutcomeCompleted},
			{"second", "0.5", 3, run.OutcomeScriptFailed},
		} {
			done := p.carryOut(t, b, attempt(snapshot, c.id, c.regularization, string(rune('0'+c.code))), nil)
			done.expect(t, c.outcome, c.code)
			if want := "coefficients 3 of 6 rows ['" + c.regularization + "'"; !strings.Contains(done.log, want) {
				t.Errorf("the log has no %q:\n%s", want, done.log)
			}
			done.has(t, "outputs/model.json")
			if !strings.Contains(done.running.Reason, "app-") {
				t.Errorf("while it ran: %q", done.running.Reason)
			}
		}
	})
	t.Run("killed at the master", func(t *testing.T) {
		t.Parallel()
		p, attempt := at(t)
		snapshot := p.target(t).Snapshot(t, source(t, map[string]string{"train.py": endless}))
		c := p.carryOut(t, p.new(t), attempt(snapshot, "killed"), func(_ backends.Ref, o backends.Observation) bool {
			id, _, _ := strings.Cut(o.Reason, ",")
			if !strings.HasPrefix(id, "app-") {
				return false
			}
			return killAtMaster(t, cluster, id)
		})
		if diff := cmp.Diff(run.OutcomeCanceled, c.seen.Outcome); diff != "" {
			t.Errorf("%s\n%s\n%s", diff, c.seen.Reason, c.log)
		}
	})
	t.Run("waits for more than there is", func(t *testing.T) {
		t.Parallel()
		p, attempt := at(t)
		b, snapshot := p.new(t), p.target(t).Snapshot(t, source(t, map[string]string{"train.py": endless}))
		a := attempt(snapshot, "waits")
		a.Config.Spark.ExecutorMemory = 64 << 30
		waited := false
		c := p.carryOut(t, b, a, func(ref backends.Ref, o backends.Observation) bool {
			if !strings.Contains(o.Reason, "waits for workers") {
				return false
			}
			waited = true
			if err := b.Stop(t.Context(), ref, 5*time.Second); err != nil {
				t.Error(err)
			}
			return true
		})
		if !waited || c.seen.Outcome != run.OutcomeCanceled {
			t.Errorf("waited %t, ended %s: %s", waited, c.seen.Outcome, c.seen.Reason)
		}
	})
	if os.Getenv("RUNNER_CONFORMANCE") == "full" {
		t.Run("conformance", func(t *testing.T) {
			p, _ := at(t)
			backendtest.Run(t, p.target(t), nil)
		})
	}
}

// endless uses executors again and again.
const endless = `import time
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
while True:
    spark.sparkContext.parallelize([1], 1).count()
    time.sleep(1)
`

// csrfToken is what a master's page wants back from who pressed its button.
var csrfToken = regexp.MustCompile(`csrfToken\W+(?:value\W+)?([0-9A-Za-z_=-]{8,})`)

// killAtMaster ends an application as a person at the master's page would.
func killAtMaster(t *testing.T, cluster testenv.SparkCluster, id string) bool {
	t.Helper()
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	page := "http://127.0.0.1:" + cluster.Port
	response, err := client.Get(page + "/")
	if err != nil {
		t.Fatal(err)
	}
	html, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"id": {id}, "terminate": {"true"}}
	if m := csrfToken.FindSubmatch(html); m != nil {
		form.Set("csrfToken", string(m[1]))
	}
	if response, err = client.PostForm(page+"/app/kill/", form); err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode >= http.StatusBadRequest && strings.Contains(string(html), id) {
		t.Fatalf("kill %s: %s\n%s", id, response.Status, html)
	}
	return response.StatusCode < http.StatusBadRequest
}
