package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// oneAtATime is the program on a computer of which runs may take one CPU.
func oneAtATime(t *testing.T, more string) *testenv.CLI {
	t.Helper()
	c := testenv.Runner(t)
	write(t, filepath.Join(c.Home, "config.yaml"), "local: {cpus: 1}\n"+more)
	return c
}

func TestEndPriority(t *testing.T) {
	t.Parallel()
	c := oneAtATime(t, "")
	dir := t.TempDir()
	goFile, order := filepath.Join(dir, "go"), filepath.Join(dir, "order")
	queued := func(name string, args ...string) string {
		command := "command=until [ -e '" + goFile + "' ]; do sleep 0.02; done; echo " + name + " >>'" + order + "'"
		return detached(t, c, append([]string{"--name", name, "--set", "experiment=queue", "--set", command}, args...)...)
	}
	ids := []string{queued("first")}
	inState(t, c, ids[0], run.Running)
	ids = append(ids, queued("second"), queued("third"), queued("urgent", "--priority", "5"))
	wantLines(t, c.Run("show", ids[1]), `waits for .*CPU.*`+ids[0]+`.*`)
	write(t, goFile, "")
	say(t, c, nil, append([]string{"wait"}, ids...)...).want(t, 0)
	got, err := os.ReadFile(order)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("first\nurgent\nsecond\nthird\n", string(got)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// A lowpriority run gives way and goes on from its checkpoint.
func TestEndPreemption(t *testing.T) {
	t.Parallel()
	c := oneAtATime(t, "")
	low := detached(t, c, "--grace", "2s", "--set", "experiment=low", "--set", "vm_priority=lowpriority", "--set",
		`command=if [ -e "$RUNNER_CHECKPOINT_DIR/step" ]; then echo "goes on after $(cat "$RUNNER_CHECKPOINT_DIR/step")"; exit 0; fi; `+
			`echo 41 >"$RUNNER_CHECKPOINT_DIR/step"; echo begins; echo kept >outputs/x; sleep 600`)
	soon(t, "it has a checkpoint", func() bool { return strings.Contains(c.Run("logs", low), "begins") })
	say(t, c, nil, "submit", "-q", "--set", "experiment=high", "--set", "command=echo dedicated").want(t, 0)
	say(t, c, nil, "wait", low).want(t, 0)
	r := show(t, c, low)
	if len(r.Attempts) != 2 || r.Attempts[0].Outcome == nil || *r.Attempts[0].Outcome != run.OutcomePreempted || *r.Outcome != run.OutcomeCompleted {
		t.Errorf("attempts %+v", r.Attempts)
	}
	if got := c.Run("logs", low) + c.Run("logs", low, "--attempt", "1"); got != "goes on after 41\nbegins\n" {
		t.Errorf("logs %q", got)
	}
	if got := c.Run("outputs", low, "--attempt", "1"); !strings.Contains(got, "outputs/x") {
		t.Errorf("the first attempt left\n%s", got)
	}
	wantLines(t, c.Run("show", low), `.*Queued.*restart 1 of 10: .*preempted.*`)
}

func TestEndLogs(t *testing.T) {
	t.Parallel()
	c := oneAtATime(t, "max_log_size: 1MiB\n")
	big := make([]byte, 700<<10)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(big)
	src := t.TempDir()
	write(t, filepath.Join(src, "big"), string(big))
	write(t, filepath.Join(src, "cat.sh"), "cat big\n")
	c.Run("submit", "-q", filepath.Join(src, "cat.sh"))
	if got := c.Run("logs", "@last"); !bytes.Equal([]byte(got), big) {
		t.Errorf("a log of %d bytes came as %d, or otherwise", len(big), len(got))
	}

	c.Run("submit", "-d", "--set", "experiment=cut", "--set", `command=i=0; while [ $i -lt 300000 ]; do i=$((i+1)); echo "line $i"; done`)
	say(t, c, nil, "wait", "@last").want(t, 0)
	cut := c.Run("logs", "@last")
	if len(cut) > 2<<20 || !strings.HasPrefix(cut, "line 1\n") || !strings.HasSuffix(cut, "line 300000\n") {
		t.Errorf("a log that is too large came as %d bytes, %.40q ... %.40q", len(cut), cut, cut[len(cut)-40:])
	}
	wantLines(t, cut, `.*(dropped|left out|cut).*`)
	if got := c.Run("logs", "@last", "--tail", "2"); got != "line 299999\nline 300000\n" {
		t.Errorf("its tail %q", got)
	}

	c.Run("submit", "-q", "--set", "experiment=since", "--set", "command=echo early; sleep 1.5; echo late")
	if got := c.Run("logs", "@last", "--tail", "0"); got != "" {
		t.Errorf("no lines are %q", got)
	}
	ended := show(t, c, "@last").EndedAt
	since := ended.Add(-800 * time.Millisecond).Format(time.RFC3339Nano)
	if got := c.Run("logs", "@last", "--since", since); got != "late\n" {
		t.Errorf("since a moment before the end: %q", got)
	}
	if got := c.Run("logs", "@last", "--since", "1h"); got != "early\nlate\n" {
		t.Errorf("of the last hour: %q", got)
	}
	say(t, c, nil, "logs", "@last", "--attempt", "2").want(t, 2, `error: since-[0-9a-z]+ has no attempt 2: the newest is 1.*`)
	say(t, c, nil, "logs", "@last", "--tail", "-3").want(t, 2, `error: --tail counts lines from 0: .*`)
	say(t, c, nil, "logs", "@last", "--since", "soon").want(t, 2, `error: .*soon.*`)
}

// A secret is nowhere but in the script.
func TestEndSecrets(t *testing.T) {
	t.Parallel()
	c := testenv.Runner(t)
	const secret = "sEcReT-4711-never-told"
	src := t.TempDir()
	goFile := filepath.Join(t.TempDir(), "go")
	write(t, filepath.Join(src, "main.sh"), `echo "it is $HF_TOKEN."
printf %s "$HF_TOKEN" | wc -c
echo "$GH_TOKEN" >outputs/inherited
until [ -e '`+goFile+`' ]; do sleep 0.02; done
`)
	// GH_TOKEN is not the run's, and whoever starts the agent has it.
	env := []string{"HF_TOKEN=" + secret, "GH_TOKEN=" + secret}
	say(t, c, nil, "submit", filepath.Join(src, "main.sh"), "--set", "secrets=[HF_TOKEN]").want(t, 2,
		"error: secret HF_TOKEN is not set: --set secrets=...", `hint: export HF_TOKEN=\.\.\. before submitting`)
	s := say(t, c, env, "submit", "-d", filepath.Join(src, "main.sh"), "--set", "secrets=[HF_TOKEN]")
	s.want(t, 0)
	id := strings.TrimSpace(s.out)
	soon(t, "it has said all", func() bool { return strings.Contains(c.Run("logs", id), strconv.Itoa(len(secret))) })
	processes, err := exec.Command("ps", "axww", "-o", "args").Output()
	if err != nil {
		t.Fatal(err)
	}
	look := func(when string) {
		t.Helper()
		for what, text := range map[string]string{
			"the process list": string(processes), "logs": c.Run("logs", id), "show": c.Run("show", id), "show -o json": c.Run("show", id, "-o", "json"),
			"ps -o json": c.Run("ps", "-o", "json"),
		} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: %s tells it", when, what)
			}
		}
		err := filepath.WalkDir(c.Home, func(path string, e os.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil //nolint:nilerr // files come and go
			}
			data, err := os.ReadFile(path)
			if err == nil && bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s: %s has it", when, path)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	look("while it runs")
	write(t, goFile, "")
	say(t, c, nil, "wait", id).want(t, 0)
	look("after it ended")
	if got, want := c.Run("logs", id), fmt.Sprintf("it is ***.\n%d\n", len(secret)); got != want {
		t.Errorf("log %q, not %q", got, want)
	}
}
