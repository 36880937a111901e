package provision_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/provision"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/internal/testenv"
)

func resolve(t *testing.T, spec environment.Spec, store *snapshot.Store) *environment.Resolved {
	t.Helper()
	r, err := environment.Resolve(t.Context(), &spec, t.TempDir(), func(ctx context.Context, dir string) (string, error) {
		taken, err := store.Take(ctx, dir, snapshot.Options{})
		return string(taken.ID), err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Real pip, real packages.
func TestVenvWithPip(t *testing.T) {
	index := testenv.PyIndex(t)
	root := t.TempDir()
	p, err := open(t.Context(), root, []string{"PATH=/usr/bin:/bin", "HOME=" + root, "PIP_INDEX_URL=" + index.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, p) })
	r := resolve(t, environment.Spec{Python: &environment.Python{Pip: []string{"runner-greet==1.0"}}}, nil)
	var log strings.Builder
	made, err := p.Ensure(t.Context(), r, "", nil, &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	out, err := exec.Command(filepath.Join(filepath.Dir(made.Interpreter), "runner-greet")).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "hello 1.0" {
		t.Errorf("%q, %v", out, err)
	}
	lock, err := p.Lock(t.Context(), r)
	if err != nil || !strings.Contains(lock, "runner-words==1.0") {
		t.Errorf("lock %q, %v", lock, err)
	}
	wrong := resolve(t, environment.Spec{Python: &environment.Python{Pip: []string{"runner-no-such-package"}}}, nil)
	_, err = p.Ensure(t.Context(), wrong, "", nil, nil)
	if backends.OutcomeOf(err) != run.OutcomeEnvironmentFailed || !strings.Contains(err.Error(), "runner-no-such-package") {
		t.Errorf("error %v, hint %q", err, backends.HintOf(err))
	}
}

// A real solver and installer under a stand-in's command line.
func TestConda(t *testing.T) {
	tool := testenv.Conda(t)
	root := t.TempDir()
	p, err := open(t.Context(), root, []string{"PATH=" + tool.BinDir + ":/usr/bin:/bin", "HOME=" + root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, p) })
	r := resolve(t, environment.Spec{Python: &environment.Python{Conda: &environment.Conda{
		Channels: []string{tool.Channel}, Dependencies: []string{"python", "runner-lib=1.0"},
	}}}, nil)
	var steps []string
	made, err := p.Ensure(t.Context(), r, "", func(s backends.Step) { steps = append(steps, s.Detail) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) == 0 {
		t.Error("no step was told")
	}
	out, err := exec.Command(filepath.Join(made.PathPrepend[0], "runner-lib")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "1.0") {
		t.Errorf("%q, %v", out, err)
	}
	lock, err := p.Lock(t.Context(), r)
	if err != nil || !strings.Contains(lock, "runner-tool") {
		t.Errorf("lock %q, %v", lock, err)
	}
	none, err := open(t.Context(), t.TempDir(), []string{"PATH=/usr/bin:/bin", "HOME=" + root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, none) })
	_, err = none.Ensure(t.Context(), r, "", nil, nil)
	if backends.OutcomeOf(err) != run.OutcomeEnvironmentFailed || !strings.Contains(backends.HintOf(err), "micromamba") {
		t.Errorf("without conda: %v, hint %q", err, backends.HintOf(err))
	}
}

// dockerBench is a provisioner with an engine.
type dockerBench struct {
	*provision.Provisioner
	engine testenv.Engine
	api    *container.Engine
	store  *snapshot.Store
}

func newDockerBench(t *testing.T, environ ...string) *dockerBench {
	t.Helper()
	b := &dockerBench{engine: testenv.Docker(t)}
	// Not the user's logins.
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	h := host.NewHere(t.TempDir())
	var err error
	if b.api, err = container.Open(t.Context(), h, container.Options{Socket: b.engine.Host}); err != nil {
		t.Fatal(err)
	}
	if b.store, err = snapshot.Open(filepath.Join(h.Root(), "objects")); err != nil {
		t.Fatal(err)
	}
	b.Provisioner = provision.New(provision.Config{
		Host: h, Keeper: supervise.New(h, "/nowhere"), Contexts: b.store, Environ: environ, Home: "test-" + filepath.Base(h.Root()) + fmt.Sprint(os.Getpid()),
		Engine: func(context.Context) (*container.Engine, error) { return b.api, nil },
		Images: []environment.BaseImage{{Name: "cpu", Reference: b.engine.Base}, {Name: "gpu", Reference: b.engine.Base, CUDA: "12.4", MinDriver: "550.54.14"}},
	})
	t.Cleanup(func() {
		shut(t, b.Provisioner)
		if err := b.api.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// forget removes an environment's images after the test.
func (b *dockerBench) forget(t *testing.T, r *environment.Resolved) {
	t.Helper()
	t.Cleanup(func() {
		if err := b.Remove(context.WithoutCancel(t.Context()), r.Digest); err != nil {
			t.Error(err)
		}
	})
}

func (b *dockerBench) run(t *testing.T, image string, args ...string) string {
	t.Helper()
	out, err := b.engine.Command(t.Context(), append([]string{"run", "--rm", image}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker run %s %q: %v: %s", image, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestImageFromRegistry(t *testing.T) {
	b := newDockerBench(t)
	registry := testenv.Registry(t, true)
	reference := registry.Push(b.engine.Small, "team/tool:1")
	r := func(image string) *environment.Resolved {
		return resolve(t, environment.Spec{Docker: &environment.Docker{
			Image: image, Registry: &environment.Registry{Address: registry.Addr, Username: registry.User, Password: &environment.Secret{Env: "X"}},
		}}, b.store)
	}
	for name, c := range map[string]struct {
		image, password, words string
	}{
		"wrong password":   {"team/tool:1", "wrong", registry.Addr},
		"missing password": {"team/tool:1", "", registry.Addr},
		"no such image":    {"team/nothing:1", registry.Password, "team/nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.Ensure(t.Context(), r(c.image), c.password, nil, nil)
			if backends.OutcomeOf(err) != run.OutcomeEnvironmentFailed || backends.HintOf(err) == "" || !strings.Contains(err.Error(), c.words) {
				t.Errorf("error %v, hint %q", err, backends.HintOf(err))
			}
			if c.password != "" && strings.Contains(fmt.Sprint(err), c.password) {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
	if cached, err := b.Cached(t.Context(), r("team/tool:1")); cached || err != nil {
		t.Errorf("cached before: %v, %v", cached, err)
	}
	made, err := b.Ensure(t.Context(), r("team/tool:1"), registry.Password, nil, nil)
	if err != nil || made.Image != reference {
		t.Errorf("made %+v, %v", made, err)
	}
	if cached, err := b.Cached(t.Context(), r("team/tool:1")); !cached || err != nil {
		t.Errorf("cached after: %v, %v", cached, err)
	}
	lock, err := b.Lock(t.Context(), r("team/tool:1"))
	if err != nil || !strings.Contains(lock, "@sha256:") {
		t.Errorf("lock %q, %v", lock, err)
	}
}

func TestBaseImages(t *testing.T) {
	b := newDockerBench(t)
	made, err := b.Ensure(t.Context(), resolve(t, environment.Spec{Docker: &environment.Docker{Image: "cpu"}}, b.store), "", nil, nil)
	if err != nil || !strings.Contains(made.Image, b.engine.Base) {
		t.Errorf("cpu: %+v, %v", made, err)
	}
	gpu := resolve(t, environment.Spec{Docker: &environment.Docker{Image: "gpu"}}, b.store)
	for driver, want := range map[string]string{"": "none was found", "470.57.02": "470.57.02", "550.54.14": ""} {
		b.Driver = func(context.Context) (string, error) { return driver, nil }
		_, err := b.Ensure(t.Context(), gpu, "", nil, nil)
		if want == "" && err != nil || want != "" && (backends.OutcomeOf(err) != run.OutcomeEnvironmentFailed || !strings.Contains(err.Error(), want)) {
			t.Errorf("gpu with driver %q: %v", driver, err)
		}
	}
}

func TestImageWithPython(t *testing.T) {
	engine := testenv.Docker(t)
	index := testenv.PyIndexOn(t, engine.Gateway)
	b := newDockerBench(t, "PIP_INDEX_URL="+index.URL, "PIP_TRUSTED_HOST="+engine.Gateway)
	r := resolve(t, environment.Spec{Docker: &environment.Docker{Image: "cpu"}, Python: &environment.Python{Pip: []string{"runner-greet==2.0"}}}, b.store)
	b.forget(t, r)
	var log strings.Builder
	made, err := b.Ensure(t.Context(), r, "", nil, &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if got := b.run(t, made.Image, "runner-greet"); got != "hello again 2.0" {
		t.Errorf("it says %q", got)
	}
	before := index.Requests()
	again, err := b.Ensure(t.Context(), r, "", nil, nil)
	if err != nil || again.Image != made.Image || index.Requests() != before {
		t.Errorf("again: %+v, %v, %d requests", again, err, index.Requests()-before)
	}
	list, err := b.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Digest != r.Digest || list[0].Kind != environment.ImageBuild || list[0].Bytes == 0 {
		t.Errorf("list %+v, %v", list, err)
	}
	wrong := resolve(t, environment.Spec{Docker: &environment.Docker{Image: "cpu"}, Python: &environment.Python{Pip: []string{"runner-no-such-package"}}}, b.store)
	_, err = b.Ensure(t.Context(), wrong, "", nil, nil)
	if backends.OutcomeOf(err) != run.OutcomeEnvironmentFailed || !strings.Contains(fmt.Sprint(err), "runner-no-such-package") {
		t.Errorf("error %v, hint %q", err, backends.HintOf(err))
	}
}

func TestDockerfile(t *testing.T) {
	b := newDockerBench(t)
	dir := t.TempDir()
	for name, content := range map[string]string{
		"Dockerfile": "FROM " + b.engine.Small + "\nCOPY sub /sub\nRUN cat /sub/link >/said\n", "sub/file ü": "from the context\n",
		"bad": "FROM " + b.engine.Small + "\nRUN echo oh no && exit 3\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("file ü", filepath.Join(dir, "sub/link")); err != nil {
		t.Fatal(err)
	}
	r := resolve(t, environment.Spec{Docker: &environment.Docker{Dockerfile: filepath.Join(dir, "Dockerfile")}}, b.store)
	b.forget(t, r)
	made, err := b.Ensure(t.Context(), r, "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.run(t, made.Image, "cat", "/said"); got != "from the context" {
		t.Errorf("it says %q", got)
	}
	list, err := b.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Digest != r.Digest || list[0].Kind != environment.Dockerfile {
		t.Errorf("list %+v, %v", list, err)
	}
	bad := resolve(t, environment.Spec{Docker: &environment.Docker{Dockerfile: filepath.Join(dir, "bad")}}, b.store)
	_, err = b.Ensure(t.Context(), bad, "", nil, nil)
	if backends.OutcomeOf(err) != run.OutcomeEnvironmentFailed || !strings.Contains(fmt.Sprint(err), "oh no") {
		t.Errorf("error %v", err)
	}
}

func TestNoEngine(t *testing.T) {
	b := newBench(t)
	r := resolve(t, environment.Spec{Docker: &environment.Docker{Image: "cpu"}}, nil)
	_, err := b.Ensure(t.Context(), r, "", nil, nil)
	if backends.OutcomeOf(err) != run.OutcomeEnvironmentFailed || backends.HintOf(err) == "" {
		t.Errorf("error %v, hint %q", err, backends.HintOf(err))
	}
}
