package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/inventory"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/runconfig"
)

// world is the machines that targets of a test can be, by address. They live
// on this computer's disk and outlive agents.
type world struct {
	dir  string
	here *host.Here

	mu       sync.Mutex
	machines map[string]*fakeMachine
	secrets  map[string]string // what the last connection was given
}

// fakeMachine is a machine with a fake target on it.
type fakeMachine struct {
	id, key string
	target  *fakeTarget
	down    error // what connecting answers
	broken  error // what opening the backend answers
	trouble error // of a connection that is open
	since   time.Time
	tries   int // how often it was connected to, in vain or not
	line    *fakeLine
	images  []string
	pulled  []string
	opening func(context.Context, backends.Progress) error // opening the backend takes that long
}

func newWorld(t *testing.T) *world {
	w := &world{dir: t.TempDir(), machines: map[string]*fakeMachine{}}
	w.here = host.NewHere(t.TempDir())
	t.Cleanup(func() { _ = w.here.Close() })
	return w
}

func (w *world) add(address, id, key string) *fakeMachine {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := &fakeMachine{id: id, key: key, target: newFakeTarget(4)}
	w.machines[address] = m
	return m
}

func (w *world) set(m *fakeMachine, change func(*fakeMachine)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(m)
}

func (w *world) root(m *fakeMachine) string { return filepath.Join(w.dir, m.id) }

// seenFrom is the world as an installation sees it.
func (w *world) seenFrom(installation string) *compute.Machines {
	return &compute.Machines{
		Installation: installation, By: "me@" + installation, Here: fakeConnection{Here: w.here, id: "this computer"},
		Take: func(_ context.Context, h host.Host) (*inventory.Inventory, error) {
			return &inventory.Inventory{
				Root: h.Root(), CPUs: inventory.CPUs{Usable: 4}, Memory: inventory.Memory{Usable: 8 << 30},
				Disk: inventory.Disk{Writable: true},
			}, nil
		},
		Connect: func(_ context.Context, t *compute.Target, s compute.Secrets) (compute.Connection, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.secrets = s.Given
			m := w.machines[t.Config.Address]
			if m != nil {
				m.tries++
			}
			switch {
			case m == nil:
				return nil, &compute.ReachError{Name: t.Name, Err: errors.New("no such host")}
			case m.down != nil:
				return nil, m.down
			case m.line.isCut():
				return nil, &compute.ReachError{Name: t.Name, Err: errLineCut, Advice: "check the address", Temporary: true}
			}
			return fakeConnection{Here: host.NewHere(w.root(m)), id: m.id, key: m.key, line: m.line, trouble: func() (time.Time, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				return m.since, m.trouble
			}}, nil
		},
		Backend: func(ctx context.Context, t *compute.Target, _ compute.Connection, opening backends.Progress) (backends.Backend, error) {
			w.mu.Lock()
			m := w.machines[t.Config.Address]
			slowly := m.opening
			w.mu.Unlock()
			if slowly != nil {
				if err := slowly(ctx, opening); err != nil {
					return nil, err
				}
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if m.broken != nil {
				return nil, m.broken
			}
			if err := m.line.over(func() error { return nil }); err != nil {
				return nil, err
			}
			return keepingBackend{fakeBackend{m.target}, m}, nil
		},
	}
}

// keepingBackend keeps environments, some of them outside our directory.
type keepingBackend struct {
	fakeBackend
	m *fakeMachine
}

func (b keepingBackend) EnsureEnvironment(context.Context, *environment.Resolved, string, backends.Progress, io.Writer) error {
	return nil
}

func (b keepingBackend) HasEnvironment(context.Context, *environment.Resolved) (bool, error) {
	return true, nil
}

func (b keepingBackend) EnvironmentLock(context.Context, *environment.Resolved) (string, error) {
	return "", nil
}

func (b keepingBackend) Environments(context.Context) ([]backends.MadeEnvironment, error) {
	b.m.target.mu.Lock()
	defer b.m.target.mu.Unlock()
	var made []backends.MadeEnvironment
	for _, digest := range b.m.images {
		made = append(made, backends.MadeEnvironment{Digest: digest})
	}
	return made, nil
}

func (b keepingBackend) RemoveEnvironment(_ context.Context, digest string) error {
	b.m.target.mu.Lock()
	defer b.m.target.mu.Unlock()
	b.m.images = slices.DeleteFunc(b.m.images, func(d string) bool { return d == digest })
	return nil
}

func (b keepingBackend) Prune(_ context.Context, p backends.Pruning) ([]backends.Freed, error) {
	b.m.target.mu.Lock()
	defer b.m.target.mu.Unlock()
	if p.OlderThan == 0 && slices.Contains(p.Kinds, backends.PruneImages) {
		b.m.pulled = nil
	}
	return nil, nil
}

// fakeConnection is a directory that says it is a machine of its own.
type fakeConnection struct {
	*host.Here
	id, key string
	trouble func() (time.Time, error)
	line    *fakeLine
}

func (c fakeConnection) HostKey() string { return c.key }

func (c fakeConnection) Greeting() sshhost.Greeting {
	g := sshhost.Greeting{Root: c.Root(), Files: map[string]sshhost.Found{}}
	for _, name := range compute.AskAtLogin() {
		if !filepath.IsAbs(name) {
			name = filepath.Join(c.Root(), name)
		}
		var found sshhost.Found
		if f, err := c.Open(context.Background(), name); err == nil {
			data, err := io.ReadAll(f)
			found = sshhost.Found{There: err == nil, Content: string(data)}
			_ = f.Close() // only read
		}
		g.Files[name] = found
	}
	return g
}

func (c fakeConnection) Judge(func(sshhost.Greeting) error) {}

func (c fakeConnection) Trouble() (time.Time, error) {
	if c.line.isCut() {
		return time.Now(), errLineCut
	}
	return c.trouble()
}

func (c fakeConnection) Open(ctx context.Context, path string) (host.File, error) {
	if path == "/etc/machine-id" {
		return fakeFile{bytes.NewReader(fmt.Appendf(nil, "%032x\n", c.id)[:33])}, nil
	}
	var f host.File
	err := c.line.over(func() (err error) { f, err = c.Here.Open(ctx, path); return err })
	return f, err
}

type fakeFile struct{ *bytes.Reader }

func (fakeFile) Close() error               { return nil }
func (fakeFile) Stat() (os.FileInfo, error) { return nil, errors.ErrUnsupported }

// box is what attaching a machine asks.
func box(name, address string) Attachment {
	return Attachment{Name: name, Kind: compute.SSH, Config: compute.Config{Address: address}}
}

func (h *house) attach(a Attachment) *TargetInfo {
	h.t.Helper()
	info, err := h.c.Attach(h.t.Context(), a, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return info
}

func (h *house) submitTo(target string) *run.Run {
	h.t.Helper()
	return h.submit(func(c *runconfig.ScriptRunConfig) { c.ComputeTarget = target })
}

// refused submits what must not be accepted.
func (h *house) refused(change func(*runconfig.ScriptRunConfig)) error {
	cfg := &runconfig.ScriptRunConfig{Experiment: "iris", Script: "train.py", Resources: runconfig.Resources{Nodes: 1}}
	change(cfg)
	_, _, err := h.c.Submit(h.t.Context(), Submission{RequestID: "refused", Config: cfg, Snapshot: string(h.source)})
	return err
}

func (h *house) message(id string) string {
	h.t.Helper()
	r, err := h.c.Run(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return r.Message
}

// newWorldHouse is a house from which a world is seen.
func newWorldHouse(t *testing.T) (*house, *world) {
	w := newWorld(t)
	h := &house{machines: w.seenFrom("one")}
	h.init(t, newFakeTarget(4))
	return h, w
}

func names(t *testing.T, h *house) []string {
	t.Helper()
	all, err := h.c.Targets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, i := range all {
		list = append(list, i.Name+" "+string(i.State))
	}
	return list
}

func TestAttachSubmitDetach(t *testing.T) {
	h, w := newWorldHouse(t)
	m := w.add("gpubox", "m1", "SHA256:k1")
	m.target.endAtOnce = true
	m.images, m.pulled = []string{"sha256:aa", "sha256:bb"}, []string{"python:3.12"}
	a := box("gpubox", "gpubox")
	a.Config.Password, a.Secrets = "env:PW", map[string]string{"password": "hunter2"}
	info := h.attach(a)
	if info.State != TargetReady || info.Facts == nil || info.CPUs == 0 || info.HostKey != "SHA256:k1" {
		t.Errorf("%+v", info)
	}
	for range 2 { // as well after the agent came again
		h.until(h.submitTo("gpubox").ID, run.Completed)
		if d := cmp.Diff([]string{"gpubox ready", "local ready"}, names(t, h)); d != "" {
			t.Error(d)
		}
		h.restart()
		h.eventually("gpubox is reached", func() bool { return names(t, h)[0] == "gpubox ready" })
	}
	if w.secrets["password"] != "hunter2" {
		t.Error("the sealed password did not come back:", w.secrets)
	}
	if data, err := os.ReadFile(filepath.Join(h.home, "runner.db")); err != nil || bytes.Contains(data, []byte("hunter2")) {
		t.Error("the password is readable in the store", err)
	}
	// What is not ours stays.
	if err := os.WriteFile(filepath.Join(w.root(m), "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(w.root(m), "environments", "abc"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := h.c.Detach(t.Context(), "gpubox", Detachment{}); err != nil {
		t.Fatal(err)
	}
	if len(m.images)+len(m.pulled) > 0 {
		t.Error("images are left:", m.images, m.pulled)
	}
	left, err := os.ReadDir(w.root(m))
	if err != nil || len(left) != 1 || left[0].Name() != "notes.txt" {
		t.Error(left, err)
	}
	if _, err := h.c.Target(t.Context(), "gpubox"); err == nil {
		t.Error("it is still there")
	}
	h.restart()
	if d := cmp.Diff([]string{"local ready"}, names(t, h)); d != "" {
		t.Error(d)
	}
}

func TestAttachRefused(t *testing.T) {
	h, w := newWorldHouse(t)
	w.add("gpubox", "m1", "SHA256:k1")
	w.add("10.0.0.5", "m1", "SHA256:k1")
	w.add("clone", "m2", "SHA256:k1")
	w.add("localhost", "this computer", "SHA256:k3")
	down := w.add("down", "m4", "SHA256:k4")
	down.down = &compute.ReachError{Name: "x", Err: errors.New("no route to host"), Temporary: true}
	key := w.add("unknown", "m5", "SHA256:k5")
	key.down = &compute.UnknownHostKeyError{Host: "unknown", Type: "ssh-ed25519", Fingerprint: "SHA256:k5"}
	broken := w.add("broken", "m6", "SHA256:k6")
	broken.broken = errors.New("no room on the disk")
	foreign := w.add("foreign", "m7", "SHA256:k7")
	if err := os.MkdirAll(filepath.Join(w.root(foreign), "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	other := w.add("other", "m8", "SHA256:k8")
	if err := os.MkdirAll(w.root(other), 0o700); err != nil {
		t.Fatal(err)
	}
	claim := []byte(`{"installation":"two","target":"box","by":"ana@laptop","since":"2026-03-01T12:00:00Z"}`)
	if err := os.WriteFile(filepath.Join(w.root(other), "claim.json"), claim, 0o600); err != nil {
		t.Fatal(err)
	}
	h.attach(box("gpubox", "gpubox"))
	for _, c := range []struct {
		name string
		ask  Attachment
		want string
	}{
		{"the name is taken", box("gpubox", "other"), `a compute target named "gpubox" is attached already`},
		{"the built-in name", box("local", "other"), `"local" cannot name a target: it is this computer, which is always there`},
		{"a bad name", box("-x", "other"), `"-x" cannot name a target: use lower-case letters, digits, and - . _ between them`},
		{"no address", box("x", ""), "the machine has no address: --address"},
		{"another kind", Attachment{Name: "x", Kind: "databricks"}, `no kind of target is named "databricks"`},
		{"the same machine, spelt otherwise", box("x", "10.0.0.5"), `this machine is attached already, as "gpubox"`},
		{"the same host key", box("x", "clone"), `this machine is attached already, as "gpubox"`},
		{"this computer", box("x", "localhost"), "this is the computer that the agent runs on"},
		{"unreachable", box("x", "down"), "no route to host"},
		{"unknown host key", box("x", "unknown"), "the host key of unknown is not known: ssh-ed25519 SHA256:k5"},
		{"it cannot be made ready", box("x", "broken"), "make the machine ready: no room on the disk"},
		{"somebody else's directory", box("x", "foreign"), w.root(foreign) + " on the machine holds what is not of this target: bin"},
		{"another installation's", box("x", "other"), `the machine is attached as "box" by ana@laptop (installation two) since 2026-03-01 12:00 UTC`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := h.c.Attach(t.Context(), c.ask, nil)
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
	if d := cmp.Diff([]string{"gpubox ready", "local ready"}, names(t, h)); d != "" {
		t.Error(d)
	}
	if left, err := os.ReadDir(w.root(broken)); err == nil {
		t.Error("something is left of what failed:", left)
	}

	t.Run("taken over, knowingly", func(t *testing.T) {
		a := box("mine", "other")
		a.TakeOver = true
		h.attach(a)
	})
	t.Run("this computer, knowingly", func(t *testing.T) {
		a := box("here", "localhost")
		a.AllowSameMachine = true
		h.attach(a)
	})
}

func TestTakenOverByAnother(t *testing.T) {
	h, w := newWorldHouse(t)
	m := w.add("gpubox", "m1", "SHA256:k1")
	h.attach(box("gpubox", "gpubox"))
	other := &house{machines: w.seenFrom("two")}
	other.init(t, newFakeTarget(4))
	a := box("ours", "gpubox")
	a.TakeOver = true
	other.attach(a)
	if _, err := h.c.CheckTarget(t.Context(), "gpubox"); err == nil || !strings.Contains(err.Error(), `attached as "ours" by me@two`) {
		t.Error(err)
	}
	h.restart()
	r := h.submitTo("gpubox")
	h.eventually("the reason is shown", func() bool { return strings.Contains(h.message(r.ID), `attached as "ours" by me@two`) })
	// Detaching leaves what is theirs.
	if err := h.c.Detach(t.Context(), "gpubox", Detachment{Force: true, Forget: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(w.root(m), "claim.json")); err != nil {
		t.Error(err)
	}
	if got := names(t, other); got[1] != "ours ready" {
		t.Error(got)
	}
}

func TestUnreachableAtStart(t *testing.T) {
	h, w := newWorldHouse(t)
	m := w.add("gpubox", "m1", "SHA256:k1")
	h.attach(box("gpubox", "gpubox"))
	running := h.until(h.submitTo("gpubox").ID, run.Running)
	h.close()
	w.set(m, func(m *fakeMachine) {
		m.down = &compute.ReachError{Name: "gpubox", Err: errors.New("no route to host"), Temporary: true}
	})
	h.open()
	waiting := h.submitTo("gpubox") // accepted all the same
	for _, id := range []string{running.ID, waiting.ID} {
		h.eventually("the reason is shown", func() bool {
			m := h.message(id)
			return strings.HasPrefix(m, "target unreachable since ") && strings.HasSuffix(m, "still trying: no route to host")
		})
	}
	if info, err := h.c.Target(t.Context(), "gpubox"); err != nil || info.State != TargetUnreachable || info.CPUs == 0 {
		t.Errorf("%+v, %v", info, err)
	}
	tooLarge := func(c *runconfig.ScriptRunConfig) { c.ComputeTarget, c.Resources.GPUs = "gpubox", 64 }
	if err := h.refused(tooLarge); err == nil {
		t.Error("what it can never carry out is accepted while it is away")
	}
	if r := h.until(h.submitTo("local").ID, run.Running); r.ID == "" { // others go on
		t.Error(r)
	}
	m.target.end(attempt(running, 1), run.OutcomeCompleted, 0, "done\n")
	w.set(m, func(m *fakeMachine) { m.down = nil })
	if _, err := h.c.CheckTarget(t.Context(), "gpubox"); err != nil { // and tries at once
		t.Fatal(err)
	}
	h.until(running.ID, run.Completed)
	h.until(waiting.ID, run.Running)
	if n := m.target.starts[attempt(running, 1)]; n != 1 {
		t.Errorf("started %d times", n)
	}
}

func TestLineLost(t *testing.T) {
	h, w := newWorldHouse(t)
	m := w.add("gpubox", "m1", "SHA256:k1")
	h.attach(box("gpubox", "gpubox"))
	w.set(m, func(m *fakeMachine) { m.trouble, m.since = errors.New("connection lost"), time.Now() })
	info, err := h.c.Target(t.Context(), "gpubox")
	if err != nil || info.State != TargetUnreachable || !strings.HasSuffix(info.Message, ", still trying: connection lost") {
		t.Errorf("%+v, %v", info, err)
	}
	w.set(m, func(m *fakeMachine) { m.trouble = nil })
	if info, err := h.c.Target(t.Context(), "gpubox"); err != nil || info.State != TargetReady {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestGiveUpOnTarget(t *testing.T) {
	h, w := newWorldHouse(t)
	m := w.add("gpubox", "m1", "SHA256:k1")
	h.attach(box("gpubox", "gpubox"))
	r := h.until(h.submitTo("gpubox").ID, run.Running)
	h.close()
	w.set(m, func(m *fakeMachine) {
		m.down = &compute.ReachError{Name: "gpubox", Err: errors.New("no route to host"), Temporary: true}
	})
	h.limit = time.Nanosecond
	h.open()
	got := h.until(r.ID, run.Failed)
	if *got.Outcome != run.OutcomeTargetUnreachable || !strings.Contains(got.Message, "no route to host") {
		t.Errorf("%s: %s", *got.Outcome, got.Message)
	}
}

func TestStopAndStartQueue(t *testing.T) {
	h, w := newWorldHouse(t)
	w.add("gpubox", "m1", "SHA256:k1")
	w.add("plain", "m2", "SHA256:k2")
	a := box("gpubox", "gpubox")
	a.Instance = true
	h.attach(a)
	h.attach(box("plain", "plain"))
	var notInstance *NotInstanceError
	if _, err := h.c.StopQueue(t.Context(), "plain"); !errors.As(err, &notInstance) {
		t.Error(err)
	}
	for _, name := range []string{"gpubox", "local"} {
		t.Run(name, func(t *testing.T) {
			before := h.until(h.submitTo(name).ID, run.Running)
			if info, err := h.c.StopQueue(t.Context(), name); err != nil || info.State != TargetStopped || info.Running != 1 {
				t.Errorf("%+v, %v", info, err)
			}
			waits := h.submitTo(name)
			h.restart()
			h.eventually("the reason is shown", func() bool {
				return strings.HasPrefix(h.message(waits.ID), "the queue of "+name+" is stopped since ")
			})
			h.until(before.ID, run.Running)
			if _, err := h.c.StartQueue(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			h.until(waits.ID, run.Running)
		})
	}
}

func TestDetachBusy(t *testing.T) {
	for _, c := range []struct {
		name   string
		away   bool
		silent bool // it was there, and does not answer now
		how    Detachment
		want   string
		cancel bool
	}{
		{name: "refused", want: "gpubox has unfinished runs: 2, the first is "},
		{name: "by force", how: Detachment{Force: true}, cancel: true},
		{name: "by force, away", away: true, how: Detachment{Force: true}, want: "target unreachable since "},
		{name: "by force, silent", silent: true, how: Detachment{Force: true}, want: "target unreachable since "},
		{name: "forgotten by force, silent", silent: true, how: Detachment{Force: true, Forget: true}, cancel: true},
		{name: "forgotten, away, refused", away: true, how: Detachment{Forget: true}, want: "gpubox has unfinished runs: 2, the first is "},
		{name: "forgotten by force, away", away: true, how: Detachment{Force: true, Forget: true}, cancel: true},
		{name: "forgotten by force", how: Detachment{Force: true, Forget: true}, cancel: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, w := newWorldHouse(t)
			m := w.add("gpubox", "m1", "SHA256:k1")
			h.attach(box("gpubox", "gpubox"))
			runs := []*run.Run{
				h.until(h.submitTo("gpubox").ID, run.Running),
				h.submit(func(c *runconfig.ScriptRunConfig) { c.ComputeTarget, c.Resources.CPUs = "gpubox", 4 }),
			}
			if c.away {
				h.close()
				w.set(m, func(m *fakeMachine) { m.down = &compute.ReachError{Name: "gpubox", Err: errors.New("gone")} })
				h.open()
				h.eventually("it is away", func() bool { return strings.HasSuffix(h.message(runs[0].ID), "gone") })
			}
			if c.silent {
				w.set(m, func(m *fakeMachine) { m.trouble, m.since = errors.New("gone"), time.Now() })
			}
			err := h.c.Detach(t.Context(), "gpubox", c.how)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			for _, r := range runs {
				got, err := h.c.Run(t.Context(), r.ID)
				if err != nil || (got.State == run.Canceled) != c.cancel || got.CancelRequestedAt != nil != c.cancel {
					t.Errorf("%s is %s, %v", got.ID, got.State, err)
				}
			}
			var missing *store.NotFoundError
			if _, err := h.c.Target(t.Context(), "gpubox"); errors.As(err, &missing) != c.cancel {
				t.Error(err)
			}
			if !c.cancel && !c.away { // it takes runs as before
				h.submitTo("gpubox")
			}
		})
	}
}
