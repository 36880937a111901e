package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/testenv"
)

// agentOf is the agent that serves, nil when none does.
func agentOf(t *testing.T, c *testenv.CLI) *server.AgentInfo {
	t.Helper()
	var status agentStatus
	if err := json.Unmarshal([]byte(c.Run("agent", "status", "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	return status.Agent
}

// A new build takes the place of the old one's agent; what runs goes on.
func TestEndUpgrade(t *testing.T) {
	t.Parallel()
	c := testenv.Runner(t)
	later := *c
	later.Bin = filepath.Join(t.TempDir(), "runner")
	build := exec.Command("go", "build", "-ldflags", "-X github.com/runnerml/runner/internal/program.version=later", "-o", later.Bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	goFile := filepath.Join(t.TempDir(), "go")
	followed := make(chan said, 1)
	command := "command=echo begins; until [ -e '" + goFile + "' ]; do sleep 0.02; done; echo ends; echo kept >outputs/model; exit 5"
	go func() { followed <- say(t, c, nil, "submit", "--set", "experiment=upgrade", "--set", command) }()
	soon(t, "it runs", func() bool { return strings.Contains(c.Run("ps"), "Running") })
	before := agentOf(t, c)

	later.Run("ps")
	after := agentOf(t, &later)
	if before == nil || after == nil || before.PID == after.PID || after.Version != "later" || before.Version == "later" {
		t.Errorf("the agent was %+v and is %+v", before, after)
	}
	if r := show(t, &later, "@last"); r.State != run.Running || len(r.Attempts) != 1 {
		t.Errorf("after the upgrade it is %s, attempts %d", r.State, len(r.Attempts))
	}
	write(t, goFile, "")
	got := <-followed
	if got.code != 1 || got.out != "begins\nends\n" {
		t.Errorf("the old command, that followed: %+v", got)
	}
	r := show(t, &later, "@last")
	if r.ExitCode == nil || *r.ExitCode != 5 || len(r.Attempts) != 1 {
		t.Errorf("it ended with %v after %d attempts", r.ExitCode, len(r.Attempts))
	}
	if out := later.Run("outputs", "@last"); !strings.Contains(out, "outputs/model") {
		t.Errorf("its outputs\n%s", out)
	}
}

func TestEndManyCommandsOneAgent(t *testing.T) {
	t.Parallel()
	c := testenv.Runner(t)
	var together sync.WaitGroup
	for range 6 {
		together.Go(func() {
			if s := say(t, c, nil, "submit", "-q", "--set", "experiment=many", "--set", "resources.cpus=0.1", "--set", "command=echo $RUNNER_RUN_ID"); s.code != 0 || s.out == "" {
				t.Errorf("%+v", s)
			}
		})
	}
	together.Wait()
	if got := strings.Count(c.Run("ps", "--all"), "Completed"); got != 6 {
		t.Errorf("%d runs", got)
	}
	log, err := os.ReadFile(filepath.Join(c.Home, "agent.log"))
	if err != nil || strings.Count(string(log), "the agent serves") != 1 {
		t.Errorf("agents: %v\n%s", err, log)
	}
}

func TestEndIdle(t *testing.T) {
	t.Parallel()
	c := testenv.Runner(t, "RUNNER_AGENT_IDLE=300ms")
	id := detached(t, c, "--set", "experiment=idle", "--set", "command=sleep 1.2")
	socket := filepath.Join(c.Home, "agent.sock")
	soon(t, "the agent ends", func() bool { _, err := os.Stat(socket); return os.IsNotExist(err) })
	// It stayed as long as there was work.
	if r := show(t, c, id); r.State != run.Completed || r.EndedAt.Sub(*r.StartedAt).Seconds() < 1 {
		t.Errorf("%+v", r)
	}
}

// An answer to submit is lost on its way: the command asks again, and there is
// one run.
func TestEndAnswerIsLost(t *testing.T) {
	t.Parallel()
	c := testenv.Runner(t)
	token := write(t, filepath.Join(t.TempDir(), "token"), "a-long-enough-token-for-this")
	if err := os.Chmod(token, 0o600); err != nil {
		t.Fatal(err)
	}
	api, _ := serving(t, c, "--listen", "127.0.0.1:0", "--token-file", token)
	var lost, posts atomic.Int64
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: api})
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.Request.Method == http.MethodPost && r.Request.URL.Path == "/v1/runs" {
			posts.Add(1)
			if lost.Add(1) <= 2 {
				return io.ErrUnexpectedEOF
			}
		}
		return nil
	}
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	door := &http.Server{Handler: proxy} //nolint:gosec // of a test
	go func() { _ = door.Serve(listener) }()
	t.Cleanup(func() { _ = door.Close() })

	s := say(t, c, []string{"RUNNER_SERVER=http://" + listener.Addr().String(), "RUNNER_TOKEN=a-long-enough-token-for-this"},
		"submit", "-q", "--set", "experiment=lost", "--set", "command=echo once")
	if s.code != 0 || s.out != "once\n" {
		t.Errorf("%+v", s)
	}
	if posts.Load() != 3 {
		t.Errorf("it was asked %d times", posts.Load())
	}
	if got := strings.Count(c.Run("ps", "--all"), "Completed"); got != 1 {
		t.Errorf("%d runs", got)
	}
}

var listens = regexp.MustCompile(`(the API listens|metrics listen).*address=(\S+)`)

// serving starts runner serve and says where its API and its metrics are.
func serving(t *testing.T, c *testenv.CLI, args ...string) (api, metrics string) {
	t.Helper()
	cmd := exec.Command(c.Bin, append([]string{"serve"}, args...)...)
	cmd.Env = c.Env
	log := filepath.Join(t.TempDir(), "serve.log")
	file, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd.Stderr = file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	soon(t, "it serves", func() bool {
		text, _ := os.ReadFile(log)
		for _, found := range listens.FindAllSubmatch(text, -1) {
			if strings.Contains(string(found[1]), "API") {
				api = string(found[2])
			} else {
				metrics = string(found[2])
			}
		}
		return bytes.Contains(text, []byte("the agent serves"))
	})
	return api, metrics
}

func TestEndMetrics(t *testing.T) {
	t.Parallel()
	c := testenv.Runner(t)
	_, at := serving(t, c, "--metrics-addr", "127.0.0.1:0")
	c.Run("submit", "-q", "--set", "experiment=metrics", "--set", "command=true")
	say(t, c, nil, "submit", "-q", "--set", "experiment=metrics", "--set", "command=false").want(t, 1)
	response, err := http.Get("http://" + at + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, string(text), `runner_runs_submitted_total(\{.*\})? 2`, `runner_runs_ended_total\{.*outcome="completed".*\} 1`,
		`runner_runs_ended_total\{.*outcome="script_failed".*\} 1`, `runner_runs\{.*state="Completed".*\} 1`, `runner_queue_wait_seconds_count.* 2`,
		`runner_run_duration_seconds_count\{.*outcome="completed".*\} 1`, `go_goroutines [0-9]+`)
	tool, err := exec.LookPath("promtool")
	testenv.Need(t, "promtool", err)
	check := exec.Command(tool, "check", "metrics")
	check.Stdin = bytes.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
