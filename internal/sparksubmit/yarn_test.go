package sparksubmit

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// manager is a ResourceManager as its REST API describes it, with two
// applications; killed is the one that was ended.
func manager(t *testing.T, killed *string) *httptest.Server {
	t.Helper()
	apps := []application{{ID: "application_1_1", State: "FINISHED", Final: "SUCCEEDED"}, {ID: "application_1_2", State: "RUNNING", Final: "UNDEFINED"}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws/v1/cluster/apps", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("applicationTags") != "runner-x" {
			_, _ = w.Write([]byte(`{"apps":null}`))
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"apps": map[string]any{"app": apps}})
	})
	mux.HandleFunc("PUT /ws/v1/cluster/apps/{id}/state", func(_ http.ResponseWriter, r *http.Request) { *killed += r.PathValue("id") })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// Of two managers one stands by; only what has not ended is ended.
func TestKillTagged(t *testing.T) {
	t.Parallel()
	standby := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "This is standby RM.", http.StatusServiceUnavailable)
	}))
	t.Cleanup(standby.Close)
	var killed string
	w := newWeb([]string{standby.URL, manager(t, &killed).URL})
	if err := killTagged(t.Context(), w, "runner-x"); err != nil {
		t.Fatal(err)
	}
	if killed != "application_1_2" {
		t.Errorf("killed %q", killed)
	}
	killed = ""
	if err := killTagged(t.Context(), w, "runner-other"); err != nil || killed != "" {
		t.Errorf("killed %q, error %v", killed, err)
	}
}

func TestManagers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, site string
		want       []string
	}{
		{"no file", "", nil},
		{"a host", `<property><name>yarn.resourcemanager.hostname</name><value>rm</value></property>`, []string{"http://rm:8088"}},
		{"an address", `<property><name>yarn.resourcemanager.webapp.address</name><value>rm:18088</value></property>`, []string{"http://rm:18088"}},
		{
			"two, with TLS", `<property><name>yarn.http.policy</name><value>HTTPS_ONLY</value></property>
			<property><name>yarn.resourcemanager.ha.enabled</name><value>true</value></property>
			<property><name>yarn.resourcemanager.ha.rm-ids</name><value>rm1, rm2</value></property>
			<property><name>yarn.resourcemanager.hostname.rm1</name><value>a</value></property>
			<property><name>yarn.resourcemanager.webapp.https.address.rm2</name><value>b:9</value></property>`,
			[]string{"https://a:8090", "https://b:9"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if c.site != "" {
				if err := os.WriteFile(filepath.Join(dir, "yarn-site.xml"), []byte("<configuration>"+c.site+"</configuration>"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			conf, err := readHadoopConf(dir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, conf.managers()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := func(name string) string {
		path := filepath.Join(dir, name, "bin", "spark-submit")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	named, home, inPath := program("named"), program("home"), program("path")
	for _, c := range []struct{ name, named, home, path, want string }{
		{"named", named, filepath.Join(dir, "home"), filepath.Dir(inPath), named},
		{"SPARK_HOME", "", filepath.Join(dir, "home"), filepath.Dir(inPath), home},
		{"PATH", "", "", "relative:" + filepath.Dir(inPath), inPath},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := Find(c.named, c.home, c.path)
			if err != nil || got != c.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	if _, err := Find("/not/there", "", ""); err == nil {
		t.Error("what is not there was found")
	}
}
