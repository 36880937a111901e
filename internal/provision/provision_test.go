package provision_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/testenv"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/provision"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/supervise"
)

const childVariable = "RUNNER_PROVISIONTEST_CHILD"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		testenv.Exit(supervise.Main(os.Args[2:], os.Stdin, os.Stdout))
	}
	if root := os.Getenv(childVariable); root != "" {
		child(root)
	}
	goleak.VerifyTestMain(m)
}

// child makes the environment on its standard input until it is killed.
func child(root string) {
	var r environment.Resolved
	if err := json.NewDecoder(os.Stdin).Decode(&r); err != nil {
		panic(err)
	}
	p, err := open(context.Background(), root, os.Environ())
	if err != nil {
		panic(err)
	}
	_, err = p.Ensure(context.Background(), &r, "", nil, nil)
	panic(fmt.Sprintf("not killed in time: %v", err))
}

func open(ctx context.Context, root string, environ []string) (*provision.Provisioner, error) {
	h := host.NewHere(root)
	bin, err := supervise.Install(ctx, h, nil, nil)
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return provision.New(provision.Config{Host: h, Keeper: supervise.New(h, bin), Environ: environ}), nil
}

// shut closes a provisioner and its host.
func shut(t *testing.T, p *provision.Provisioner) {
	t.Helper()
	p.Close()
	if here, ok := p.Host.(*host.Here); ok {
		if err := here.Close(); err != nil {
			t.Error(err)
		}
	}
}

// standIn is a small program in uv's place: it makes real virtual environments,
// counts them, waits while it is held and fails when it is told to.
type standIn struct {
	dir string
}

const standInScript = `#!/bin/sh
dir=%s
case "$1 $2" in
"--version ") echo "uv 0.0.1" ;;
"venv --python")
	echo made >>"$dir/count"
	echo "$TMPDIR" >"$dir/tmpdir"
	echo "tool output: making"
	while [ -e "$dir/hold" ]; do sleep 0.02; done
	if [ -e "$dir/fail" ]; then echo "error: the tool's own words"; exit 1; fi
	exec /usr/bin/python3 -m venv --without-pip "$4" ;;
"pip freeze") echo "one==1.0" ;;
*) exit 9 ;;
esac
`

func newStandIn(t *testing.T) standIn {
	t.Helper()
	s := standIn{dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(s.dir, "uv"), fmt.Appendf(nil, standInScript, s.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s standIn) environ() []string {
	return []string{"PATH=" + s.dir + ":/usr/local/bin:/usr/bin:/bin", "HOME=" + s.dir}
}

func (s standIn) set(t *testing.T, name string, on bool) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if on {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (s standIn) count() int {
	data, _ := os.ReadFile(filepath.Join(s.dir, "count"))
	return bytes.Count(data, []byte("\n"))
}

// bench is a host's root with a provisioner on it.
type bench struct {
	*testing.T
	root string
	tool standIn
	*provision.Provisioner
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, root: t.TempDir(), tool: newStandIn(t)}
	b.reopen()
	return b
}

// reopen is an agent started anew.
func (b *bench) reopen() {
	b.Helper()
	p, err := open(b.Context(), b.root, b.tool.environ())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { shut(b.T, p) })
	b.Provisioner = p
}

func (b *bench) eventually(what string, ok func() bool) {
	b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			b.Fatalf("waited in vain for: %s", what)
		}
	}
}

// left names what is in environments/, digests shortened.
func (b *bench) left() []string {
	b.Helper()
	entries, err := os.ReadDir(filepath.Join(b.root, "environments"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.Replace(e.Name(), strings.Repeat("a", 64), "A", 1))
	}
	return names
}

func venv() *environment.Resolved {
	return &environment.Resolved{Kind: environment.Venv, Digest: "sha256:" + strings.Repeat("a", 64), Interpreter: "python3"}
}

// waiter is one who wants an environment.
type waiter struct {
	cancel context.CancelFunc
	made   provision.Made
	err    error
	done   chan struct{}

	mu    sync.Mutex
	steps []string
	log   bytes.Buffer
}

func (w *waiter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *waiter) heard() (steps []string, log string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.steps), w.log.String()
}

func (b *bench) want(r *environment.Resolved) *waiter {
	ctx, cancel := context.WithCancel(b.Context())
	w := &waiter{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.made, w.err = b.Ensure(ctx, r, "", func(s backends.Step) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.steps = append(w.steps, s.Detail)
		}, w)
	}()
	return w
}

func TestBuildOnce(t *testing.T) {
	b := newBench(t)
	b.tool.set(t, "hold", true)
	waiters := []*waiter{b.want(venv()), b.want(venv())}
	b.eventually("the build to begin", func() bool { return b.tool.count() > 0 })
	waiters = append(waiters, b.want(venv()))
	b.eventually("all to hear of it", func() bool {
		return !slices.ContainsFunc(waiters, func(w *waiter) bool {
			_, log := w.heard()
			return !strings.Contains(log, "tool output: making")
		})
	})
	b.tool.set(t, "hold", false)
	for _, w := range waiters {
		<-w.done
		if w.err != nil {
			t.Fatal(w.err)
		}
		if steps, _ := w.heard(); len(steps) == 0 {
			t.Error("one heard of no step")
		}
	}
	w := b.want(venv())
	<-w.done
	if w.err != nil {
		t.Fatal(w.err)
	}
	if _, log := w.heard(); log != "" {
		t.Errorf("found, and made again: %q", log)
	}
	if n := b.tool.count(); n != 1 {
		t.Errorf("made %d times", n)
	}
	if diff := cmp.Diff([]string{"A"}, b.left()); diff != "" {
		t.Error(diff)
	}
	temporary, err := os.ReadFile(filepath.Join(b.tool.dir, "tmpdir"))
	if want := filepath.Join(b.root, "environments", strings.Repeat("a", 12)+".tmp"); err != nil || strings.TrimSpace(string(temporary)) != want {
		t.Errorf("temporary files were made in %q, %v", temporary, err)
	}
	out, err := exec.Command(w.made.Interpreter, "-c", "import sys; print(sys.prefix)").Output()
	if want := filepath.Join(b.root, "environments", strings.Repeat("a", 64)); err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("prefix %q, %v", out, err)
	}
}

// The agent is killed while it makes an environment; the next one follows.
func TestFollowAfterKill(t *testing.T) {
	b := newBench(t)
	b.tool.set(t, "hold", true)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(b.tool.environ(), childVariable+"="+b.root)
	spec, err := json.Marshal(venv())
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = bytes.NewReader(spec)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.eventually("the build to begin", func() bool { return b.tool.count() > 0 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	w := b.want(venv())
	b.eventually("the next one to follow", func() bool {
		_, log := w.heard()
		return strings.Contains(log, "tool output: making")
	})
	b.tool.set(t, "hold", false)
	<-w.done
	if w.err != nil {
		t.Fatal(w.err)
	}
	if n := b.tool.count(); n != 1 {
		t.Errorf("made %d times", n)
	}
	if diff := cmp.Diff([]string{"A"}, b.left()); diff != "" {
		t.Error(diff)
	}
}

// The agent ends by itself while it makes an environment: the build goes on,
// and the next agent follows it.
func TestAgentEndsWhileItMakesOne(t *testing.T) {
	b := newBench(t)
	b.tool.set(t, "hold", true)
	ctx, end := context.WithCancelCause(t.Context())
	done := make(chan error)
	go func() {
		_, err := b.Ensure(ctx, venv(), "", nil, nil)
		done <- err
	}()
	b.eventually("the build to begin", func() bool { return b.tool.count() > 0 })
	end(backends.ErrAgentEnds)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who waited: %v", err)
	}
	b.Close()
	b.reopen()
	w := b.want(venv())
	b.eventually("the next one to follow", func() bool {
		_, log := w.heard()
		return strings.Contains(log, "tool output: making")
	})
	b.tool.set(t, "hold", false)
	<-w.done
	if w.err != nil {
		t.Fatal(w.err)
	}
	if n := b.tool.count(); n != 1 {
		t.Errorf("made %d times", n)
	}
}

func TestCancel(t *testing.T) {
	b := newBench(t)
	b.tool.set(t, "hold", true)
	first, second := b.want(venv()), b.want(venv())
	b.eventually("both to hear", func() bool {
		_, one := first.heard()
		_, two := second.heard()
		return strings.Contains(one, "tool output") && strings.Contains(two, "tool output")
	})
	first.cancel()
	<-first.done
	if !errors.Is(first.err, context.Canceled) {
		t.Errorf("the one who left: %v", first.err)
	}
	if running := b.left(); !slices.Contains(running, "A.make") {
		t.Errorf("the build of the other was stopped: %q", running)
	}
	second.cancel()
	<-second.done
	b.eventually("nothing to be left", func() bool { return len(b.left()) == 0 })
	// Whoever comes while it is being stopped gets a build of his own.
	b.tool.set(t, "hold", false)
	third := b.want(venv())
	<-third.done
	if third.err != nil {
		t.Error(third.err)
	}
	if n := b.tool.count(); n != 2 {
		t.Errorf("made %d times", n)
	}
}

func TestCancelAndWantAgain(t *testing.T) {
	b := newBench(t)
	b.tool.set(t, "hold", true)
	for range 3 {
		w := b.want(venv())
		b.eventually("it to be made", func() bool { return slices.Contains(b.left(), "A.make") })
		w.cancel()
		<-w.done
	}
	b.tool.set(t, "hold", false)
	w := b.want(venv())
	<-w.done
	if w.err != nil {
		t.Error(w.err)
	}
	if diff := cmp.Diff([]string{"A"}, b.left()); diff != "" {
		t.Error(diff)
	}
}

func TestFailure(t *testing.T) {
	b := newBench(t)
	b.tool.set(t, "fail", true)
	one, two := b.want(venv()), b.want(venv())
	for _, w := range []*waiter{one, two} {
		<-w.done
		if backends.OutcomeOf(w.err) != run.OutcomeEnvironmentFailed || backends.HintOf(w.err) == "" || !strings.Contains(w.err.Error(), "the tool's own words") {
			t.Errorf("error %v, hint %q", w.err, backends.HintOf(w.err))
		}
	}
	if left := b.left(); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	b.tool.set(t, "fail", false)
	w := b.want(venv())
	<-w.done
	if w.err != nil {
		t.Error(w.err)
	}
}

func TestHalfMade(t *testing.T) {
	prefix := func(b *bench) string { return filepath.Join(b.root, "environments", strings.Repeat("a", 64)) }
	for name, spoil := range map[string]func(b *bench) error{
		"no ready file": func(b *bench) error { return os.Remove(filepath.Join(prefix(b), environment.ReadyFile)) },
		"its interpreter is gone": func(b *bench) error {
			return errors.Join(os.Remove(filepath.Join(prefix(b), "bin/python")), os.Symlink("/gone/python3", filepath.Join(prefix(b), "bin/python")))
		},
		"left by a dead build": func(b *bench) error {
			return errors.Join(os.Remove(filepath.Join(prefix(b), environment.ReadyFile)), os.MkdirAll(prefix(b)+".make", 0o700),
				os.WriteFile(prefix(b)+".make/started.json", []byte(`{"mark":"environment.x","pid":1,"started_at":"2020-01-01T00:00:00Z","boot_id":"another"}`), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			w := b.want(venv())
			<-w.done
			if err := errors.Join(w.err, os.WriteFile(filepath.Join(prefix(b), "old"), nil, 0o600), spoil(b)); err != nil {
				t.Fatal(err)
			}
			b.reopen()
			if cached, err := b.Cached(t.Context(), venv()); cached || err != nil {
				t.Errorf("cached %v, %v", cached, err)
			}
			w = b.want(venv())
			<-w.done
			if w.err != nil {
				t.Fatal(w.err)
			}
			if _, err := os.Stat(filepath.Join(prefix(b), "old")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("made over what was half-made: %v", err)
			}
			if diff := cmp.Diff([]string{"A"}, b.left()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
