package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// A disk that is too small for an input says so, keeps nothing of it, and the
// run goes on when there is room.
func TestEndFullDiskAtInput(t *testing.T) {
	t.Parallel()
	address, cert := dataServer(t)
	d := newSmallDisk(t)
	d.Env = append(d.Env, "SSL_CERT_FILE="+cert)
	d.Run("agent", "start")
	d.fill(12 << 20)
	id := detached(t, d.CLI, "--set", "experiment=full", "--set", "command=wc -c <${{inputs.big}}", "--set", "inputs={big: {path: "+address+"/big.bin}}")
	soon(t, "the run says that the disk is full", func() bool {
		return strings.Contains(show(t, d.CLI, id).Message, "no space left on device")
	})
	left, err := filepath.Glob(filepath.Join(d.Home, "inputs", "*", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the way of others: %v, %v", left, err)
	}
	d.free()
	say(t, d.CLI, nil, "wait", id).want(t, 0)
	if log := d.Run("logs", id); strings.TrimSpace(log) != "20971520" {
		t.Errorf("log %q", log)
	}
}

// A container sees the shared copy, and cannot write to it, whoever it is.
func TestEndInputInContainer(t *testing.T) {
	t.Parallel()
	address, cert := dataServer(t)
	engine := testenv.Docker(t)
	c := testenv.Runner(t, "DOCKER_HOST="+engine.Host, "SSL_CERT_FILE="+cert)
	command := `cat "$RUNNER_INPUT_SMALL"; { echo x >>"$RUNNER_INPUT_SMALL"; } 2>/dev/null || echo closed; echo $RUNNER_INPUT_SMALL; cat ${{inputs.own}} && echo mine >${{inputs.own}} && cat ${{inputs.own}}`
	s := say(t, c, nil, inImage(engine.Small, command, "--set",
		"inputs={small: {path: "+address+"/small.txt}, own: {path: "+address+"/small.txt, mode: copy}}")...)
	s.want(t, 0)
	if want := "from the web\nclosed\n/runner/inputs/small/small.txt\nfrom the web\nmine\n"; s.out != want {
		t.Errorf("it said %q, want %q", s.out, want)
	}
	if r := show(t, c, "@last"); r.State != run.Completed {
		t.Errorf("state %s", r.State)
	}
	if entries, err := os.ReadDir(filepath.Join(c.Home, "inputs")); err != nil || len(entries) != 2 { // with its seal
		t.Errorf("%v, %v", entries, err)
	}
}
