package metrics

import (
	"bytes"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

func scrape(t *testing.T) string {
	t.Helper()
	m := New(func() map[run.State]int { return map[run.State]int{run.Queued: 3} })
	m.Submitted(1 << 20)
	m.Granted(20 * time.Millisecond)
	m.Prepared(time.Second)
	m.EnvironmentMade("venv", 9*time.Second)
	m.Restarted(run.OutcomePreempted)
	m.Ended(run.OutcomeOutOfMemory, time.Minute)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	return w.Body.String()
}

func TestWhatIsServed(t *testing.T) {
	text := scrape(t)
	for _, want := range []string{
		`runner_runs{state="Queued"} 3`,
		`runner_runs{state="Running"} 0`,
		`runner_runs_submitted_total 1`,
		`runner_runs_ended_total{outcome="out_of_memory"} 1`,
		`runner_runs_ended_total{outcome="completed"} 0`,
		`runner_restarts_total{reason="preempted"} 1`,
		`runner_queue_wait_seconds_count 1`,
		`runner_preparation_duration_seconds_sum 1`,
		`runner_environment_build_duration_seconds_sum{kind="venv"} 9`,
		`runner_run_duration_seconds_sum{outcome="out_of_memory"} 60`,
		`runner_snapshot_bytes_sum 1.048576e+06`,
		`go_goroutines `,
		`process_resident_memory_bytes `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("not served: %s", want)
		}
	}
}

func TestPromtoolFindsNothingToSay(t *testing.T) {
	path, err := exec.LookPath("promtool")
	testenv.Need(t, "promtool", err)
	cmd := exec.CommandContext(t.Context(), path, "check", "metrics")
	cmd.Stdin = bytes.NewReader([]byte(scrape(t)))
	if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
