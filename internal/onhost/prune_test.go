package onhost_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/supervise"
)

// root is a machine's root that tests fill.
type root struct {
	*testing.T
	dir string
}

func (r root) write(name, content string, age time.Duration) string {
	r.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
		r.Fatal(err)
	}
	at := time.Now().Add(-age)
	for p := path; p != r.dir && filepath.Base(p) != "runs" && filepath.Base(p) != "inputs"; p = filepath.Dir(p) {
		if err := os.Chtimes(p, at, at); err != nil {
			r.Fatal(err)
		}
	}
	return path
}

// snapshot takes a picture of one file with that content.
func (r root) snapshot(content string) snapshot.ID {
	r.Helper()
	src := r.TempDir()
	if err := os.WriteFile(filepath.Join(src, "f"), []byte(content), 0o600); err != nil {
		r.Fatal(err)
	}
	store, err := snapshot.Open(filepath.Join(r.dir, onhost.ObjectsDir))
	if err != nil {
		r.Fatal(err)
	}
	taken, err := store.Take(r.Context(), src, snapshot.Options{})
	if err != nil {
		r.Fatal(err)
	}
	return taken.ID
}

func (r root) record(run string, values map[string]any) {
	r.Helper()
	data, err := json.Marshal(values)
	if err != nil {
		r.Fatal(err)
	}
	r.write("runs/"+run+"/attempts/1/attempt.json", string(data), 0)
}

func (r root) prune(p onhost.Pruning) (onhost.Pruned, map[onhost.Part]int, error) {
	r.Helper()
	if p.Parts == nil {
		p.Parts = []onhost.Part{onhost.RunDirectories, onhost.Snapshots, onhost.Inputs, onhost.Programs}
	}
	done, err := onhost.Prune(r.Context(), r.dir, p)
	counts := map[onhost.Part]int{}
	for _, f := range done.Freed {
		counts[f.Part] = f.Count
	}
	return done, counts, err
}

const day = 24 * time.Hour

// What attempts say that they need stays, whatever the age asked for.
func TestPruneLeavesWhatIsInUse(t *testing.T) {
	r := root{t, t.TempDir()}
	used, onItsWay, free := r.snapshot("used"), r.snapshot("on its way"), r.snapshot("free")
	for _, key := range []string{"held", "placed", "free"} {
		r.write("inputs/"+key+"/f", key, 40*day)
	}
	r.record("a", map[string]any{
		"snapshot": used, "bin": filepath.Join(r.dir, "bin/runner-00000000000a"), "holds": []string{"held", onItsWay.Hex()},
		"inputs": []any{map[string]string{"source": filepath.Join(r.dir, "inputs/placed/f")}},
	})
	for _, name := range []string{"runner-00000000000a", "runner-00000000000b", "runner-00000000000c"} {
		r.write("bin/"+name, "", 2*day)
	}
	r.write("runs/a/checkpoint/f", "1", 40*day)
	r.write("runs/waits/checkpoint/f", "1", 40*day)
	r.write("runs/ended/checkpoint/f", "1", 40*day)
	r.write("runs/young/checkpoint/f", "1", time.Minute)
	ask := onhost.Pruning{Runs: []string{"waits"}, Bin: filepath.Join(r.dir, "bin/runner-00000000000b"), DryRun: true}
	want := map[onhost.Part]int{onhost.Snapshots: 1, onhost.Inputs: 1, onhost.Programs: 1, onhost.RunDirectories: 1}
	dry, counts, err := r.prune(ask)
	if diff := cmp.Diff(want, counts); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	ask.DryRun = false
	done, _, err := r.prune(ask)
	if diff := cmp.Diff(dry, done); diff != "" || err != nil {
		t.Errorf("done is not what was foretold: %v\n%s", err, diff)
	}
	store, err := snapshot.Open(filepath.Join(r.dir, onhost.ObjectsDir))
	if err != nil {
		t.Fatal(err)
	}
	if !store.Has(used) || !store.Has(onItsWay) || store.Has(free) {
		t.Error("the wrong snapshots are left")
	}
	for name, there := range map[string]bool{
		"inputs/held": true, "inputs/placed": true, "inputs/free": false, "runs/a/checkpoint/f": true, "runs/waits/checkpoint/f": true,
		"runs/ended": false, "runs/young": true, "bin/runner-00000000000a": true, "bin/runner-00000000000b": true, "bin/runner-00000000000c": false,
	} {
		if _, err := os.Stat(filepath.Join(r.dir, name)); (err == nil) != there {
			t.Errorf("%s: there %v, want %v", name, err == nil, there)
		}
	}
	if _, counts, err = r.prune(ask); err != nil || len(counts) > 0 {
		t.Errorf("again: %v, %v", counts, err)
	}
}

// Processes that are none of ours have things in use, too.
func TestPruneLeavesWhatProcessesUse(t *testing.T) {
	r := root{t, t.TempDir()}
	for _, key := range []string{"open", "cwd", "free"} {
		r.write("inputs/"+key+"/f", key, 40*day)
	}
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	python := r.write("environments/0123456789abcdef/bin/python", string(sleep), 40*day)
	open, err := os.Open(filepath.Join(r.dir, "inputs/open/f"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	cmd := exec.Command(python, "1000")
	cmd.Dir, cmd.Stdin = filepath.Join(r.dir, "inputs/cwd"), open
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	_ = open.Close()
	done, counts, err := r.prune(onhost.Pruning{})
	if err != nil || counts[onhost.Inputs] != 1 {
		t.Errorf("%v, %v", counts, err)
	}
	if diff := cmp.Diff([]string{"0123456789abcdef"}, done.Busy); diff != "" {
		t.Error(diff)
	}
	for key, there := range map[string]bool{"open": true, "cwd": true, "free": false} {
		if _, err := os.Stat(filepath.Join(r.dir, "inputs", key)); (err == nil) != there {
			t.Errorf("%s: there %v", key, err == nil)
		}
	}
}

// A record that a power failure cut, of an attempt that runs: nobody knows what
// it needs.
func TestPruneOfWhatIsUnclear(t *testing.T) {
	r := root{t, t.TempDir()}
	r.write("inputs/k/f", "", 40*day)
	r.write("runs/a/attempts/1/attempt.json", "{", 0)
	if _, counts, err := r.prune(onhost.Pruning{DryRun: true}); err != nil || counts[onhost.Inputs] != 1 {
		t.Errorf("nothing runs: %v, %v", counts, err)
	}
	here := host.NewHere(r.dir)
	defer here.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	keeper := supervise.New(here, self)
	sup := filepath.Join(r.dir, "runs/a/attempts/1/sup")
	if _, err := keeper.Start(t.Context(), sup, supervise.Launch{Mark: "a.1", Argv: []string{"sleep", "1000"}, Dir: r.dir}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := keeper.Clean(t.Context(), sup); err != nil {
			t.Error(err)
		}
	}()
	if _, counts, err := r.prune(onhost.Pruning{}); err == nil || !strings.Contains(err.Error(), "nothing is removed") || len(counts) > 0 {
		t.Errorf("it runs: %v, %v", counts, err)
	}
}

func TestPruneOfAnothersRoot(t *testing.T) {
	r := root{t, t.TempDir()}
	r.write("inputs/k/f", "", 40*day)
	r.write("claim.json", `{"installation": "theirs"}`, 0)
	_, counts, err := r.prune(onhost.Pruning{Installation: "ours"})
	if owner := (*onhost.OwnerError)(nil); !errors.As(err, &owner) || owner.Installation != "theirs" || len(counts) > 0 {
		t.Errorf("%v, %v", counts, err)
	}
	if _, counts, err = r.prune(onhost.Pruning{Installation: "theirs"}); err != nil || counts[onhost.Inputs] != 1 {
		t.Errorf("%v, %v", counts, err)
	}
}

// By itself a machine is pruned once in a while.
func TestPruneNotWithin(t *testing.T) {
	r := root{t, t.TempDir()}
	r.write("inputs/a/f", "", 40*day)
	if done, _, err := r.prune(onhost.Pruning{NotWithin: day, DryRun: true}); err != nil || done.Skipped {
		t.Errorf("%+v, %v", done, err)
	}
	for i, skipped := range []bool{false, true} {
		done, counts, err := r.prune(onhost.Pruning{NotWithin: day})
		if err != nil || done.Skipped != skipped || skipped && len(counts) > 0 {
			t.Errorf("%d: %+v, %v", i, done, err)
		}
	}
}

// Killed at any moment it leaves only whole things, and the next one goes on.
func TestPruneKilled(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := root{t, t.TempDir()}
	const objects, files = 6, 300
	for o := range objects {
		for f := range files {
			r.write(fmt.Sprintf("inputs/k%d/%d", o, f), "x", 40*day)
		}
	}
	ask, err := json.Marshal(onhost.Pruning{Parts: []onhost.Part{onhost.Inputs}})
	if err != nil {
		t.Fatal(err)
	}
	frame := append([]byte{'q', byte(len(ask)) | 0x80, byte(len(ask) >> 7)}, ask...)
	for delay := 30 * time.Millisecond; ; delay += delay / 12 { // also where processes begin slowly
		cmd := exec.Command(self, "onhost", "prune", r.dir)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(frame); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(delay, func() { _ = cmd.Process.Kill() })
		err = cmd.Wait()
		kill.Stop()
		entries, readErr := os.ReadDir(filepath.Join(r.dir, "inputs"))
		if readErr != nil {
			t.Fatal(readErr)
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".gone") || strings.HasSuffix(e.Name(), ".lock") {
				continue
			}
			left, _ := os.ReadDir(filepath.Join(r.dir, "inputs", e.Name()))
			if len(left) != files {
				t.Fatalf("%s looks whole and has %d of %d files", e.Name(), len(left), files)
			}
		}
		if err == nil {
			if len(entries) > 0 {
				t.Errorf("left: %v", entries)
			}
			return
		}
	}
}

func TestPruneAsksForParts(t *testing.T) {
	r := root{t, t.TempDir()}
	if _, _, err := r.prune(onhost.Pruning{Parts: []onhost.Part{"all"}}); err == nil {
		t.Error("an unknown part is fine")
	}
	parts := map[string]onhost.Part{"inputs": onhost.Inputs, "runs": onhost.RunDirectories}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if _, counts, err := r.prune(onhost.Pruning{Parts: []onhost.Part{parts[name]}}); err != nil || len(counts) > 0 {
			t.Errorf("%s of nothing: %v, %v", name, counts, err)
		}
	}
}
