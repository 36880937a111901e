package backendtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/snapshot"
)

// Root is a directory with attempts, and with what they need: an agent's home,
// or ours on a machine that this computer plays.
type Root string

// NewHome makes an agent's home. It goes with the test.
func NewHome(t testing.TB) Root {
	t.Helper()
	dir, err := os.MkdirTemp("", "runner home ü") // the test's own has its name in it, and files' names are only so long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return Root(dir)
}

// Installation is the name of the agent whose home it is.
func (r Root) Installation() string { return "test-" + filepath.Base(string(r)) }

// Objects opens the store of snapshots.
func (r Root) Objects() (*snapshot.Store, error) {
	return snapshot.Open(filepath.Join(string(r), "objects"))
}

// Snapshot stores a picture of dir and gives its digest.
func (r Root) Snapshot(t testing.TB, dir string) string {
	t.Helper()
	store, err := r.Objects()
	if err != nil {
		t.Fatal(err)
	}
	taken, err := store.Take(t.Context(), dir, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return string(taken.ID)
}

// Attempt is the directory of an attempt.
func (r Root) Attempt(ref backends.Ref) string {
	return filepath.Join(string(r), "runs", url.PathEscape(ref.Run), "attempts", strconv.Itoa(ref.Number))
}

// Home is where an attempt's files are brought to.
func (r Root) Home(_ testing.TB, ref backends.Ref) *artifact.Directory {
	return artifact.OpenDirectory(r.Attempt(ref))
}

// Traces of an attempt: its directory and what is in it, and processes with its
// mark. What is named in stays may be there, and the directory with it.
func (r Root) Traces(t testing.TB, ref backends.Ref, stays ...string) []string {
	t.Helper()
	var found []string
	entries, err := os.ReadDir(r.Attempt(ref))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err == nil && len(stays) == 0 {
		found = append(found, "its directory")
	}
	for _, e := range entries {
		if !slices.Contains(stays, e.Name()) {
			found = append(found, e.Name())
		}
	}
	for _, pid := range Marked(ref) {
		found = append(found, fmt.Sprintf("process %d", pid))
	}
	return found
}

// Supervisor of an attempt that runs.
func (r Root) Supervisor(t testing.TB, ref backends.Ref) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(r.Attempt(ref), "sup", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// Vanish kills all that runs of an attempt: its supervisor first, or it would
// write down how it ended.
func (r Root) Vanish(t testing.TB, ref backends.Ref) {
	t.Helper()
	for _, pid := range append([]int{r.Supervisor(t, ref)}, Marked(ref)...) {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill()
		}
	}
}

// Marked are the processes of an attempt, its supervisor left out.
func Marked(ref backends.Ref) []int {
	mark := fmt.Appendf(nil, "\x00RUNNER_MARK=%s.%d\x00", ref.Run, ref.Number)
	files, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is right
	var pids []int
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(append([]byte{0}, data...), mark) { // it ended
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Existing is an environment with an interpreter as it is.
func Existing(interpreter string) *environment.Resolved {
	return &environment.Resolved{Kind: environment.Existing, Digest: "sha256:" + strings.Repeat("e", 64), Interpreter: interpreter}
}

// Open opens a backend, as an agent that is started anew does. It is closed
// with the test.
func Open[B interface{ Close() error }](t testing.TB, open func(ctx context.Context) (B, error)) B {
	t.Helper()
	b, err := open(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}
