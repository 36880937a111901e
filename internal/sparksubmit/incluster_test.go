package sparksubmit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// standIn is a cluster of our own words: a ResourceManager and a node of its REST
// API, and programs that note how they were called.
type standIn struct {
	*launcher
	dir string

	mu     sync.Mutex
	apps   []application
	killed []string
	// logs of the driver's container by name; nil: the node has none.
	logs map[string]string
	// state of the driver's container.
	state string
}

// newStandIn is a stand-in and a launcher of an attempt with its driver there;
// sparkClass is what is done in place of Hadoop's programs.
func newStandIn(t *testing.T, sparkClass string) *standIn {
	t.Helper()
	s := &standIn{dir: t.TempDir(), state: "DONE"}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws/v1/cluster/apps", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		var found []application
		for _, a := range s.apps {
			if strings.Contains(a.Tags, r.URL.Query().Get("applicationTags")) {
				found = append(found, a)
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"apps": map[string]any{"app": found}})
	})
	mux.HandleFunc("GET /ws/v1/cluster/apps/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, a := range s.apps {
			if a.ID == r.PathValue("id") {
				_ = json.NewEncoder(w).Encode(map[string]any{"app": a})
				return
			}
		}
		w.WriteHeader(http.StatusNotFound) // as Hadoop 3.5 says it
		_, _ = fmt.Fprintf(w, `{"RemoteException":{"exception":"NotFoundException","message":"java.lang.Exception: app with id: %s not found","javaClassName":"org.apache.hadoop.yarn.webapp.NotFoundException"}}`, r.PathValue("id"))
	})
	mux.HandleFunc("PUT /ws/v1/cluster/apps/{id}/state", func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.killed = append(s.killed, r.PathValue("id"))
	})
	mux.HandleFunc("GET /ws/v1/node/containers/{id}", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, _ = fmt.Fprintf(w, `{"container":{"state":%q}}`, s.state)
		s.state = "DONE"
	})
	mux.HandleFunc("GET /ws/v1/node/containers/{id}/logs/{name}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		text, there := s.logs[r.PathValue("name")]
		if !there {
			http.NotFound(w, r)
			return
		}
		_, _ = fmt.Fprintf(w, "LogType:%s\nLogLength:%d\nLogContents:\n%s\nEnd of LogType:x\n", r.PathValue("name"), len(text), text)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	submit := write("bin/spark-submit", "#!/bin/sh\necho submit >>"+s.dir+"/calls\n", 0o700)
	write("bin/spark-class", "#!/bin/sh\necho \"$@\" >>"+s.dir+"/calls\n"+sparkClass, 0o700)
	write("conf/yarn-site.xml", "<configuration><property><name>yarn.resourcemanager.webapp.address</name><value>"+
		strings.TrimPrefix(server.URL, "http://")+"</value></property></configuration>", 0o600)
	work := filepath.Join(s.dir, "work")
	if err := os.MkdirAll(filepath.Join(work, "outputs"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := &Plan{
		Run: "x", Attempt: 2, Master: "yarn", DeployMode: runconfig.DeployCluster, HadoopConf: filepath.Join(s.dir, "conf"),
		Script: "train.py", Work: work,
	}
	l, err := newLauncher(p, submit, filepath.Join(s.dir, "launcher", PlanFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.launcher = l
	s.apps = []application{{
		ID: "application_1_2", State: "RUNNING", Final: "UNDEFINED", Tags: p.Tag() + "," + p.RunTag(), DriverLogs: server.URL + "/node/containerlogs/container_1/root",
	}}
	return s
}

func (s *standIn) calls(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, "calls"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

// copies is a hadoop fs that copies the directory staged of the stand-in.
const copies = `case "$2" in -copyToLocal) cp -r "$(dirname "$0")/../staged" "$4";; esac
`

// What the driver left stays in the cluster until it is all here, however often
// that is tried; a cluster that cannot be asked is not one that has nothing.
func TestFetch(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, `if [ ! -e "$(dirname "$0")/../staged" ]; then
echo "copyToLocal: Call From n1 to n2:8020 failed on connection exception: Connection refused" >&2; exit 1
fi
if [ -e "$(dirname "$0")/../cut" ]; then mkdir -p "$4/outputs"; echo ha >"$4/outputs/model"; echo "copyToLocal: cut" >&2; exit 1; fi
`+copies)
	if _, err := s.fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "Connection refused") {
		t.Errorf("a cluster that is away: %v", err)
	}
	staged := filepath.Join(s.dir, "staged")
	for name, content := range map[string]string{"outputs/model": "half and half", "logs.half/x": "x"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(staged, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(staged, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cut := filepath.Join(s.dir, "cut")
	if err := os.WriteFile(cut, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.fetch(t.Context()); err == nil {
		t.Error("what was cut is called fetched")
	}
	if s.report.now().Home {
		t.Error("it is noted as home, and is not")
	}
	if err := os.Remove(cut); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := os.ReadFile(filepath.Join(s.plan.Work, "outputs/model")); err != nil || string(data) != "half and half" {
		t.Errorf("outputs/model is %q, %v", data, err)
	}
	if got := strings.Count(s.calls(t), "-copyToLocal"); got != 3 || !s.report.now().Home {
		t.Errorf("fetched %d times, home: %t", got, s.report.now().Home)
	}
	if strings.Contains(s.calls(t), "-rm") {
		t.Errorf("something was removed: %s", s.calls(t))
	}
}

// An application whose outputs cannot be fetched when it ends has ended as it did,
// and they are fetched later.
func TestEndedWhileTheFileSystemIsAway(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, "echo away >&2; exit 1\n")
	s.apps[0].State, s.apps[0].Final, s.logs = "FINISHED", "SUCCEEDED", map[string]string{"stdout": "", "stderr": ""}
	code, err := s.follow(t.Context(), "application_1_2")
	if code != 0 || err != nil || s.report.now().Home {
		t.Errorf("code %d, %v, home %t", code, err, s.report.now().Home)
	}
}

// A driver that left nothing, as YARN's file system says it, leaves nothing to
// fetch.
func TestNothingToFetch(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, "echo \"copyToLocal: \\`$3': No such file or directory\" >&2; exit 1\n")
	if some, err := s.fetch(t.Context()); some || err != nil || !s.report.now().Home {
		t.Errorf("some %t, %v, home %t", some, err, s.report.now().Home)
	}
}

// Whoever comes after a follower that was killed follows the application that is
// there: nothing is submitted, and nothing killed.
func TestFollowedAgain(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, copies)
	s.apps[0].State, s.apps[0].Final = "FINISHED", "FAILED"
	s.apps[0].Diagnostics = "User application exited with status 7"
	s.logs = map[string]string{"stdout": "one\ntwo\n", "stderr": ""}
	if err := os.MkdirAll(filepath.Join(s.dir, "staged", "logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	code, err := s.run(t.Context())
	if code != 7 || err != nil {
		t.Errorf("code %d, %v", code, err)
	}
	if calls := s.calls(t); strings.Contains(calls, "submit") || len(s.killed) > 0 {
		t.Errorf("called %q, killed %q", calls, s.killed)
	}
	if r := s.report.now(); !r.Concluded || !r.Home || r.Application != "application_1_2" {
		t.Errorf("the report: %+v", r)
	}
}

// What an earlier attempt of the run left there is ended before one begins.
func TestEarlierAttemptsAreEnded(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, copies)
	s.apps[0].Tags = "runner-x-1,runner-x"
	code, err := s.run(t.Context())
	if err == nil || code != 0 { // the stand-in's spark-submit does nothing
		t.Errorf("code %d, %v", code, err)
	}
	if diff := cmp.Diff([]string{"application_1_2"}, s.killed); diff != "" {
		t.Error(diff)
	}
	if calls := s.calls(t); strings.Count(calls, "submit") != 1 {
		t.Errorf("called %q", calls)
	}
}

// An application that YARN has forgotten is not followed for ever.
func TestForgotten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, programs string
		want           run.Outcome
	}{
		{"while it ran", "echo \"copyToLocal: \\`$3': No such file or directory\" >&2; exit 1\n", run.OutcomeNodeLost},
		{"when its script had ended", copies, run.OutcomeInternalError},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t, `case "$*" in *-status*) echo "Application with id 'x' doesn't exist in RM or Timeline Server."; exit 255;; esac
`+c.programs)
			s.apps = nil
			if err := os.MkdirAll(filepath.Join(s.dir, "staged", "outputs"), 0o700); err != nil {
				t.Fatal(err)
			}
			code, err := s.follow(t.Context(), "application_1_2")
			if code == 0 || err != nil {
				t.Errorf("code %d, %v", code, err)
			}
			if r := s.report.now(); r.Outcome != c.want || !strings.Contains(r.Reason, "knows nothing of application_1_2") {
				t.Errorf("the report: %+v", r)
			}
		})
	}
}

// The end of a driver's log comes from its node as soon as its container is done;
// YARN's collected logs are asked for only where that is not to be had, and not
// where YARN says that it has none.
func TestRestOfTheLog(t *testing.T) {
	t.Parallel()
	const collected = "case \"$*\" in *LogsCLI*) printf 'LogType:stdout\\nLogLength:8\\nLogContents:\\none\\ntwo\\n\\n';; esac\n"
	for _, c := range []struct {
		name, aggregation string
		logs              map[string]string
		want              string
		asked             int
		fails             bool
	}{
		{"from the node", "RUNNING", map[string]string{"stdout": "one\ntwo\n", "stderr": ""}, "one\ntwo\n", 0, false},
		{"collected", "SUCCEEDED", nil, "one\ntwo\n", 1, false},
		{"collected, by one that does not say so", "", nil, "one\ntwo\n", 1, false},
		{"none", "DISABLED", nil, "", 0, true},
		{"lost with its node", "RUNNING", nil, "", 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t, collected)
			s.logs, s.state, s.apps[0].LogAggregation = c.logs, "RUNNING", c.aggregation
			if c.name == "lost with its node" {
				s.apps[0].State, s.apps[0].Final = "FAILED", "FAILED"
				s.apps[0].Diagnostics = "Application application_1_2 failed 1 times due to AM Container for appattempt_1 exited with  exitCode: -100"
			}
			var out, errs strings.Builder
			d := newDriverLog(s.file(passedFile), &out, &errs)
			err := d.rest(t.Context(), s.yarn, s.programs, &s.apps[0])
			if (err != nil) != c.fails || out.String() != c.want {
				t.Errorf("%q, %v", out.String(), err)
			}
			if got := strings.Count(s.calls(t), "LogsCLI"); got != c.asked {
				t.Errorf("YARN was asked %d times", got)
			}
			// Whoever comes after goes on where this one ended.
			var more strings.Builder
			if err := newDriverLog(s.file(passedFile), &more, &errs).rest(t.Context(), s.yarn, s.programs, &s.apps[0]); (err != nil) != c.fails || more.String() != "" {
				t.Errorf("again: %q, %v", more.String(), err)
			}
		})
	}
}
