package backendtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// patience is how long the suite waits for what must happen.
const patience = time.Minute

// world is what one case works with.
type world struct {
	*testing.T
	target  Target
	backend backends.Backend
	// made are the attempts to release when the case ends.
	made []backends.Ref
}

func newWorld(t *testing.T, target Target) *world {
	return &world{T: t, target: target, backend: target.New(t)}
}

// must ends the case when err is set.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// context that ends with the suite's patience.
func (w *world) context() context.Context {
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	w.Cleanup(cancel)
	return ctx
}

// files is a source directory in one value: name -> content; a name that ends
// in a slash is an empty directory.
type files map[string]string

func (w *world) snapshot(source files) string {
	w.Helper()
	dir := filepath.Join(w.TempDir(), "source")
	w.must(os.MkdirAll(dir, 0o755))
	for name, content := range source {
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			w.must(os.MkdirAll(path, 0o755))
			continue
		}
		w.must(os.MkdirAll(filepath.Dir(path), 0o755))
		mode := os.FileMode(0o644)
		if strings.HasPrefix(content, "#!") {
			mode = 0o755
		}
		w.must(os.WriteFile(path, []byte(content), mode))
	}
	return w.target.Snapshot(w, dir)
}

// attempt of a new run that runs a shell command in an empty source
// directory. It is released when the case ends.
func (w *world) attempt(command string, change ...func(*backends.Attempt)) backends.Attempt {
	w.Helper()
	a := backends.Attempt{
		Run: "case-" + strings.ToLower(rand.Text()[:10]), Number: 1, Experiment: "conformance",
		Config: &runconfig.ScriptRunConfig{
			Experiment: "conformance", Command: command,
			Resources: runconfig.Resources{Nodes: 1, CPUs: 1},
			Grace:     runconfig.Duration(5 * time.Second),
		},
		Environment: w.target.Environment,
		Allocation:  run.Allocation{CPUs: 1},
	}
	for _, f := range change {
		f(&a)
	}
	if a.Snapshot == "" {
		a.Snapshot = w.snapshot(files{"README": "nothing here"})
	}
	if w.target.Adapt != nil {
		w.target.Adapt(&a)
	}
	w.releaseLater(a.Ref())
	return a
}

func (w *world) releaseLater(ref backends.Ref) {
	if w.made = append(w.made, ref); len(w.made) == 1 {
		w.Cleanup(w.releaseAll)
	}
}

// releaseAll releases what the case made, by a backend that knows nothing of
// it: one for all, as each costs a login where the target is far.
func (w *world) releaseAll() {
	b := w.target.New(w)
	for _, ref := range w.made {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.Context()), patience)
		if err := b.Release(ctx, ref); err != nil {
			w.Errorf("release at the end of the case: %v", err)
		}
		cancel()
		if w.target.Traces != nil {
			if left := w.target.Traces(w, ref); len(left) > 0 {
				w.Errorf("left after release: %q", left)
			}
		}
	}
}

// begin prepares and starts.
func (w *world) begin(a backends.Attempt) backends.Ref {
	w.Helper()
	w.must(w.backend.Prepare(w.context(), a, nil))
	handle, err := w.backend.Start(w.context(), a)
	w.must(err)
	if handle == "" {
		w.Fatal("Start gave an empty handle")
	}
	ref := a.Ref()
	ref.Handle = handle
	return ref
}

// carryOut runs the attempt to its end.
func (w *world) carryOut(a backends.Attempt) (backends.Ref, backends.Observation) {
	w.Helper()
	ref := w.begin(a)
	return ref, w.ended(ref)
}

func (w *world) observe(ref backends.Ref) backends.Observation {
	w.Helper()
	seen, err := w.backend.Observe(w.context(), []backends.Ref{ref})
	w.must(err)
	if len(seen) != 1 {
		w.Fatalf("Observe of one gave %d", len(seen))
	}
	return seen[0]
}

func (w *world) ended(ref backends.Ref) backends.Observation {
	w.Helper()
	return w.seen(ref, "ended", func(o backends.Observation) bool { return o.Phase == backends.Ended })
}

func (w *world) running(ref backends.Ref) backends.Observation {
	w.Helper()
	return w.seen(ref, "running", func(o backends.Observation) bool { return o.Phase == backends.Running })
}

// seen waits until what is observed of ref fits.
func (w *world) seen(ref backends.Ref, what string, fits func(backends.Observation) bool) backends.Observation {
	w.Helper()
	var last backends.Observation
	w.eventually(what, func() bool {
		last = w.observe(ref)
		return fits(last)
	}, func() string { return describe(last) })
	return last
}

// eventually looks again and again until ok; it fails after the suite's patience.
func (w *world) eventually(what string, ok func() bool, last ...func() string) {
	w.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			for _, f := range last {
				what += "; last seen: " + f()
			}
			w.Fatalf("waited %s for: %s", patience, what)
		}
		<-tick.C
	}
}

func describe(o backends.Observation) string {
	code := "none"
	if o.ExitCode != nil {
		code = strconv.Itoa(*o.ExitCode)
	}
	return string(o.Phase) + " outcome=" + string(o.Outcome) + " code=" + code + " signal=" + o.Signal + " reason=" + o.Reason
}

// log reads the whole log of an attempt that ended, or what is there.
func (w *world) log(ref backends.Ref) string {
	w.Helper()
	return w.logFrom(ref, 0)
}

// logFrom reads the log from an offset in what the script writes.
func (w *world) logFrom(ref backends.Ref, offset int64) string {
	w.Helper()
	r, err := w.openLog(w.context(), ref, backends.Source{}, offset)
	w.must(err)
	defer func() { w.must(r.Close()) }()
	var b bytes.Buffer
	_, err = io.Copy(&b, r)
	w.must(err)
	return b.String()
}

// openLog opens the log at an offset in what the script writes.
func (w *world) openLog(ctx context.Context, ref backends.Ref, src backends.Source, offset int64) (io.ReadCloser, error) {
	return w.backend.Logs(ctx, ref, src, offset+int64(len(w.target.Preamble)))
}

// collect brings the attempt's files home and gives the directory.
func (w *world) collect(ref backends.Ref) *artifact.Directory {
	w.Helper()
	home := w.home(ref)
	w.must(w.backend.Collect(w.context(), ref, w.sink(home)))
	return home
}

func (w *world) sink(home *artifact.Directory) artifact.Sink {
	if w.target.Sink != nil {
		return w.target.Sink(home)
	}
	return home
}

func (w *world) home(ref backends.Ref) *artifact.Directory {
	if w.target.Home != nil {
		return w.target.Home(w, ref)
	}
	return artifact.OpenDirectory(filepath.Join(w.TempDir(), "home"))
}

// content of a collected file.
func (w *world) content(home *artifact.Directory, name string) string {
	w.Helper()
	f, err := home.Open(w.Context(), name)
	w.must(err)
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(f)
	w.must(err)
	if name == "logs/std_log.txt" {
		return strings.TrimPrefix(string(data), w.target.Preamble)
	}
	return string(data)
}

// expect checks how an attempt ended.
func (w *world) expect(o backends.Observation, outcome run.Outcome, code int, signal string) {
	w.Helper()
	if o.Phase != backends.Ended || o.Outcome != outcome || o.Signal != signal || o.ExitCode == nil || *o.ExitCode != code {
		w.Errorf("seen: %s\nwant: outcome=%s code=%d signal=%s", describe(o), outcome, code, signal)
	}
}
