package main

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// Outputs end in a blob store; while it is down the run waits and says why,
// whatever becomes of the agent, and the secret is nowhere.
func TestEndArtifactStore(t *testing.T) {
	t.Parallel()
	s := testenv.Azurite(t)
	line := testenv.Cut(t, s.Addr)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Trust.Pool, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	client, err := container.NewClientFromConnectionString(s.ConnectionString(s.Addr), "results", &container.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: &http.Client{Transport: transport}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c := testenv.Runner(t, "SSL_CERT_FILE="+s.Trust.File)
	secret := filepath.Join(t.TempDir(), "connection")
	if err := os.WriteFile(secret, []byte(s.ConnectionString(line.Address)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(c.Home, "config.yaml")
	write(t, config, "storage_accounts: {"+s.Account+": \"file:"+secret+"\"}\nartifacts:\n  default: results\n  stores:\n"+
		"    results: azblob://"+s.Account+"/results/team\n    wrong: azblob://"+s.Account+"/resluts\n")

	say(t, c, nil, "submit", "--set", "outputs.store=wrong", "--set", "command=true").
		want(t, 2, `error: the artifact store wrong cannot be used now: .*resluts.*: outputs.store`)
	goFile := filepath.Join(t.TempDir(), "go")
	id := detached(t, c, "--set", "experiment=far", "--set",
		"command=echo hello; mkdir 'outputs/a b'; echo model >'outputs/a b/model.txt'; until [ -e '"+goFile+"' ]; do sleep 0.02; done")
	inState(t, c, id, run.Running)
	line.Refuse()
	line.Reset()
	write(t, goFile, "")
	waits := func() bool {
		r := show(t, c, id)
		return r.State == run.Finalizing && strings.Contains(r.Message, "the artifact store results cannot be used now")
	}
	soon(t, "the reason", waits)
	if wide := c.Run("ps", "-o", "wide"); !strings.Contains(wide, "the artifact store results") {
		t.Errorf("ps -o wide says\n%s", wide)
	}
	agent := agentOf(t, c)
	if agent == nil || agent.PID <= 1 {
		t.Fatalf("agent %+v", agent)
	}
	if err := syscall.Kill(agent.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	soon(t, "the reason from another agent", waits)
	line.Heal()
	say(t, c, nil, "wait", id).want(t, 0)
	if got := c.Run("logs", id); got != "hello\n" {
		t.Errorf("log %q", got)
	}
	var files []controller.OutputFile
	if err := json.Unmarshal([]byte(c.Run("outputs", id, "-o", "json")), &files); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Path)
	}
	if diff := cmp.Diff([]string{"logs/std_log.txt", "outputs/a b/model.txt"}, names); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	to := t.TempDir()
	c.Run("outputs", id, "--to", to)
	if got, err := os.ReadFile(filepath.Join(to, "outputs", "a b", "model.txt")); err != nil || string(got) != "model\n" {
		t.Errorf("fetched %q, %v", got, err)
	}
	asInputOfAnother(t, c, id)
	if _, err := os.Stat(filepath.Join(c.Home, "runs", id, "attempts", "1", "outputs")); err == nil {
		t.Error("the outputs are at home, too")
	}
	log, err := os.ReadFile(filepath.Join(c.Home, "agent.log"))
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"show": c.Run("show", id, "-o", "json"), "agent.log": string(log)} {
		if strings.Contains(text, s.Key) {
			t.Errorf("%s has the key", where)
		}
	}
}

// asInputOfAnother reads what a run left in a blob store as another's input.
func asInputOfAnother(t *testing.T, c *testenv.CLI, id string) {
	t.Helper()
	got := c.Run("submit", "--set", "inputs.model.path=run:"+id+"/outputs/a b/", "--set",
		"command=cat \"${{inputs.model}}/model.txt\"; mkdir outputs/sub; ln -s sub outputs/link; echo >'outputs/100%'; echo >outputs/sub/f")
	if got != "model\n" {
		t.Errorf("the input is %q", got)
	}
	if checked := c.Run("data", "check", "run:"+id+"/outputs/a b/model.txt"); !strings.Contains(checked, "1 file, 6 B") {
		t.Errorf("data check says\n%s", checked)
	}
	for what, want := range map[string]string{
		"outputs/link":    `error: input model: outputs/link of .*, in the artifact store results, is no plain file.*`,
		"outputs":         `error: input model: outputs/.* of .*, in the artifact store results, is no plain file.*`,
		"outputs/100%":    `error: input model: outputs/100% of .*, in the artifact store results, is no plain file.*`,
		"outputs/missing": `error: input model: .* left no outputs/missing: --set inputs.model.path=.*`,
	} {
		say(t, c, nil, "submit", "--set", "inputs.model.path=run:@last/"+what, "--set", "command=true").want(t, 2, want)
	}
	say(t, c, nil, "submit", "--set", "inputs.model.path=run:@last/outputs/sub/f", "--set", `command=test -f "${{inputs.model}}"`).want(t, 0)
}
