package killtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/run"
)

// fetching is `runner outputs RUN --to DIR`, begun again when it was killed.
type fetching struct {
	w        *blobWorld
	id, dir  string
	cmd      *exec.Cmd
	stderr   *bytes.Buffer
	done     chan error
	agentHit bool // since the command was begun
}

func (w *blobWorld) fetching(id, dir string) *fetching {
	w.t.Helper()
	f := &fetching{w: w, id: id, dir: dir}
	f.start()
	w.t.Cleanup(func() {
		_ = f.cmd.Process.Kill() // it may have ended
	})
	return f
}

func (f *fetching) start() {
	f.w.t.Helper()
	f.cmd = exec.Command(f.w.cli.Bin, "outputs", f.id, "--to", f.dir)
	f.stderr = &bytes.Buffer{}
	f.cmd.Env, f.cmd.Stderr = f.w.cli.Env, f.stderr
	if err := f.cmd.Start(); err != nil {
		f.w.t.Fatal(err)
	}
	cmd, done := f.cmd, make(chan error, 1)
	f.done, f.agentHit = done, false
	go func() { done <- cmd.Wait() }()
}

// kill kills the command, and every other time the agent.
func (f *fetching) kill(n int) {
	f.w.t.Helper()
	if n%2 == 1 {
		f.agentHit = true
		f.w.killAgent()
		return
	}
	_ = f.cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	if err := <-f.done; err == nil {
		f.done <- nil
		return
	}
	f.start()
}

// ended says whether all is fetched. A command whose agent was killed may fail,
// and is begun again.
func (f *fetching) ended() bool {
	f.w.t.Helper()
	select {
	case err := <-f.done:
		if err == nil {
			f.done <- nil
			return true
		}
		if !f.agentHit {
			f.w.t.Fatalf("outputs --to: %v\n%s", err, f.stderr)
		}
		f.start()
	default:
	}
	return false
}

// checkRun wants one attempt, begun once, that completed.
func (w *blobWorld) checkRun(id string) {
	w.t.Helper()
	r := w.run(id)
	if r.State != run.Completed || len(r.Attempts) != 1 {
		w.t.Errorf("%s is %s after %d attempts: %s", id, r.State, len(r.Attempts), r.Message)
	}
	if starts, err := os.ReadFile(filepath.Join(w.starts, id)); err != nil || string(starts) != "start\n" {
		w.t.Errorf("%s was started %d times (%v)", id, strings.Count(string(starts), "start"), err)
	}
}

// checkPlaces wants the same everywhere, byte for byte, and nothing besides.
func (w *blobWorld) checkPlaces(id, src, dst string) {
	w.t.Helper()
	want := sums(w, src)
	if diff := cmp.Diff(want, sums(w, filepath.Join(dst, "outputs"))); diff != "" {
		w.t.Errorf("what was fetched (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"logs", "outputs"}, entries(w, dst)); diff != "" {
		w.t.Errorf("beside what was fetched:\n%s", diff)
	}
	inputs := filepath.Join(w.home, "inputs")
	cached := entries(w, inputs)
	if len(cached) != 2 || cached[1] != cached[0]+".seal" {
		w.t.Fatalf("in the cache of inputs: %q", cached)
	}
	if diff := cmp.Diff(want, sums(w, filepath.Join(inputs, cached[0]))); diff != "" {
		w.t.Errorf("what came in (-want +got):\n%s", diff)
	}
	if stray, err := os.ReadDir(filepath.Join(w.home, "spool")); err == nil && len(stray) > 0 {
		w.t.Errorf("in the spool: %v", stray)
	}
	stored := map[string]bool{}
	for b, err := range w.direct("results").List(w.t.Context(), "") {
		if err != nil {
			w.t.Fatal(err)
		}
		if name, ok := strings.CutPrefix(b.Name, id+"/attempts/1/outputs/"); ok {
			stored[name] = true
		} else if !strings.HasPrefix(b.Name, id+"/attempts/1/logs/") {
			w.t.Errorf("stray blob %s", b.Name)
		}
	}
	for name := range want {
		if !stored[name] {
			w.t.Errorf("%s is not in the store", name)
		}
	}
	if len(stored) != len(want) {
		w.t.Errorf("%d files are in the store, not %d", len(stored), len(want))
	}
	w.left = func(map[string]bool) []string { return nil }
	w.checkNothingIsLeft()
}

func entries(w *blobWorld, dir string) (names []string) {
	w.t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

// sums are the digests of all files below a directory.
func sums(w *blobWorld, dir string) map[string]string {
	w.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read
		sum := sha256.New()
		if _, err := io.Copy(sum, f); err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		all[name] = hex.EncodeToString(sum.Sum(nil))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}
