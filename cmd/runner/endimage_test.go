package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// inImage submits a command in an image.
func inImage(image, command string, more ...string) []string {
	return append([]string{
		"submit", "--set", "experiment=image", "--set", "resources.cpus=0.2",
		"--set", `environment={docker: {image: "` + image + `"}}`, "--set", "command=" + command,
	}, more...)
}

// Every end of a container has its own words and exit code.
func TestEndContainers(t *testing.T) {
	t.Parallel()
	engine := testenv.Docker(t)
	c := testenv.Runner(t, "DOCKER_HOST="+engine.Host)
	for _, test := range []struct {
		name    string
		args    []string
		code    int
		line    string
		outcome run.Outcome
		exit    int
		signal  string
	}{
		{"completed", inImage(engine.Small, "echo done > outputs/x"), 0, ` completed in [0-9.]+s, outputs in .*/outputs`, run.OutcomeCompleted, 0, ""},
		{"exit code", inImage(engine.Small, "exit 7"), 1, ` failed after [0-9.]+s: the script failed: exit code 7`, run.OutcomeScriptFailed, 7, ""},
		{"signal", inImage(engine.Small, "kill -SEGV $$"), 1, ` failed after [0-9.]+s: the script failed: SIGSEGV`, run.OutcomeScriptFailed, 139, "SIGSEGV"},
		{
			"out of memory", inImage(engine.Base, `exec python3 -c "x=bytearray(300<<20)"`, "--set", "resources.memory=48MiB"), 1,
			` failed after [0-9.]+s: out of memory: .*`, run.OutcomeOutOfMemory, 137, "SIGKILL",
		},
		{
			"time", inImage(engine.Small, `trap "" TERM; while :; do sleep 0.1; done`, "--set", "max_run_duration=1s", "--grace", "1s"), 1,
			` failed after [0-9.]+s: ran longer than max_run_duration: its time is over: 1s`, run.OutcomeTimedOut, 137, "SIGKILL",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := say(t, c, nil, test.args...)
			s.want(t, test.code, `image-[0-9a-z]+`+test.line)
			r := show(t, c, "@last")
			if r.Outcome == nil || *r.Outcome != test.outcome || r.ExitCode == nil || *r.ExitCode != test.exit || r.Signal != test.signal {
				t.Errorf("outcome %v, exit code %v, signal %q", r.Outcome, r.ExitCode, r.Signal)
			}
		})
	}
	t.Run("cancel of who ignores TERM", func(t *testing.T) {
		id := detached(t, c, inImage(engine.Small, `trap "" TERM; echo here; while :; do sleep 0.1; done`, "--grace", "1s")[1:]...)
		inState(t, c, id, run.Running)
		say(t, c, nil, "cancel", id).want(t, 0)
		say(t, c, nil, "wait", id).want(t, 130)
	})
}

// What is wrong with an image is told in words, and nothing is tried in vain.
func TestEndBadImages(t *testing.T) {
	t.Parallel()
	engine := testenv.Docker(t)
	registry := testenv.Registry(t, true)
	image := registry.Push(engine.Small, "team/small:1")
	c := testenv.Runner(t, "DOCKER_HOST="+engine.Host)
	behind := func(image, password string) []string {
		return []string{
			"submit", "--set", "experiment=image", "--set", `environment={docker: {image: "` + image + `", registry: {address: "` + registry.Addr +
				`", username: ` + registry.User + `, password: ` + password + `}}}`, "--set", "command=echo in the image",
		}
	}
	good := "REGISTRY_PASSWORD=" + registry.Password
	quoted := regexp.QuoteMeta(image)

	say(t, c, nil, behind(image, "{env: REGISTRY_PASSWORD}")...).want(t, 2,
		`error: the registry's password REGISTRY_PASSWORD is not set: environment\.docker\.registry\.password`,
		`hint: export REGISTRY_PASSWORD=\.\.\. before submitting`)
	say(t, c, nil, behind(image, "{file: /nowhere/password}")...).want(t, 2, `error: no such file or directory: /nowhere/password`)
	say(t, c, []string{"REGISTRY_PASSWORD=wrong"}, behind(image, "{env: REGISTRY_PASSWORD}")...).want(t, 4,
		`image-[0-9a-z]+ failed after [0-9.]+s: the environment could not be made: pull image `+quoted+`: .*(unauthorized|denied|refused).*`, `hint: .*`)
	say(t, c, nil, inImage(image, "true")...).want(t, 4,
		`image-[0-9a-z]+ failed after [0-9.]+s: the environment could not be made: pull image `+quoted+`: .*`, `hint: .*`)
	say(t, c, []string{good}, behind(registry.Addr+"/team/none:1", "{env: REGISTRY_PASSWORD}")...).want(t, 4,
		`image-[0-9a-z]+ failed after [0-9.]+s: the environment could not be made: pull image `+regexp.QuoteMeta(registry.Addr)+`/team/none:1: .*`, `hint: .*`)

	r := show(t, c, "@last")
	if r.Hint == "" || r.Attempts[0].Hint != r.Hint || strings.Contains(r.Message, "hint: ") || r.State != run.Failed || r.ExitCode != nil {
		t.Errorf("in JSON: message %q, hint %q, exit code %v", r.Message, r.Hint, r.ExitCode)
	}

	right := say(t, c, []string{good}, behind(image, "{env: REGISTRY_PASSWORD}")...)
	right.want(t, 0)
	if right.out != "in the image\n" {
		t.Errorf("it said %q", right.out)
	}
	if all := c.Run("ps", "-o", "json") + right.err; strings.Contains(all, registry.Password) {
		t.Error("the password is told")
	}
}

// A registry that does not answer is asked again; whoever follows sees why, and
// may end it.
func TestEndRegistryThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	engine := testenv.Docker(t)
	c := testenv.Runner(t, "DOCKER_HOST="+engine.Host)
	said := make(chan said, 1)
	go func() { said <- say(t, c, nil, inImage("127.0.0.1:1/team/none:1", "true")...) }()
	soon(t, "the run says why it waits", func() bool {
		return strings.Contains(c.Run("ps"), "connection refused (since ")
	})
	say(t, c, nil, "cancel", "@last").want(t, 0)
	got := <-said
	got.want(t, 130,
		`pull image 127\.0\.0\.1:1/team/none:1: .*connection refused \(since [0-9:]+, still trying\)`,
		`image-[0-9a-z]+ canceled after [0-9.]+s: canceled before the script began`)
	if strings.Count(got.err, "still trying") != 1 {
		t.Errorf("the same is told again:\n%s", got.err)
	}
}

func TestEndNoEngine(t *testing.T) {
	t.Parallel()
	c := testenv.Runner(t, "DOCKER_HOST=unix:///nowhere/docker.sock")
	say(t, c, nil, inImage("some/image:1", "true")...).want(t, 4,
		`image-[0-9a-z]+ failed after [0-9.]+s: the environment could not be made: find Docker engine: DOCKER_HOST names /nowhere/docker\.sock: .*`,
		`hint: install and start Docker or podman, or say where it listens: docker_socket .*; an environment without docker needs none`)
	wantLines(t, c.Run("agent", "status"), `docker   unix:///nowhere/docker\.sock`)
	wantLines(t, c.Run("doctor"), `[a-z]+ +Docker .*`)
	// A process needs no engine, and an agent does not change its own for another shell.
	say(t, c, nil, "submit", "--set", "experiment=plain", "--set", "command=true").want(t, 0)
	say(t, c, []string{"DOCKER_HOST=unix:///elsewhere.sock"}, inImage("some/image:1", "true")...).want(t, 4,
		`note: the agent uses unix:///nowhere/docker\.sock, not this shell's DOCKER_HOST \(unix:///elsewhere\.sock\); .*`)
}
