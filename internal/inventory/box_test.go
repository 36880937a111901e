package inventory

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnerml/runner/internal/host"
)

// box is a host whose system files (/proc, /sys ...) are those under dir, and
// which is not this computer: all that is not a file is asked with commands.
type box struct {
	host.Host
	dir string
	// readOnly are paths that "test -w" denies; all others may be written.
	readOnly []string
}

// boxHere is a box that says it is this computer.
type boxHere struct{ *box }

func (boxHere) Here() {}

func newBox(t *testing.T, dir string) *box {
	t.Helper()
	h := host.NewHere(t.TempDir())
	t.Cleanup(func() { _ = h.Close() })
	abs, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &box{Host: h, dir: abs}
}

func (b *box) in(path string) string {
	for _, top := range []string{"/proc", "/sys", "/etc", "/dev", "/opt", "/run", "/.dockerenv", "/var"} {
		if path == top || strings.HasPrefix(path, top+"/") {
			return filepath.Join(b.dir, path)
		}
	}
	return path
}

func (b *box) Open(ctx context.Context, path string) (host.File, error) {
	return b.Host.Open(ctx, b.in(path))
}

func (b *box) Stat(ctx context.Context, path string) (fs.FileInfo, error) {
	return b.Host.Stat(ctx, b.in(path))
}

func (b *box) ReadDir(ctx context.Context, path string) ([]fs.DirEntry, error) {
	return b.Host.ReadDir(ctx, b.in(path))
}

func (b *box) Run(ctx context.Context, c host.Command) error {
	if len(c.Argv) == 3 && c.Argv[0] == "test" && c.Argv[1] == "-w" {
		for _, p := range b.readOnly {
			if p == c.Argv[2] {
				return &host.ExitError{Argv: c.Argv, Code: 1}
			}
		}
		return nil
	}
	return b.Host.Run(ctx, c)
}

// write puts files into a box, by their paths on it.
func (b *box) write(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(b.dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// fakeTools puts shell scripts on PATH, before all else, and gives their
// directory.
func fakeTools(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return dir
}

// recorded is a file under testdata.
func recorded(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// shown is a shell command that prints a file under testdata.
func shown(t testing.TB, name string) string {
	t.Helper()
	abs, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return "cat " + host.Quote(abs)
}

func TestMain(m *testing.M) {
	// What the machine of the test has must not decide.
	for _, name := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"} {
		_ = os.Unsetenv(name)
	}
	code := m.Run()
	// A tool that had to be killed is waited for a little longer than its test.
	leak := goleak.Find()
	for deadline := time.Now().Add(10 * time.Second); leak != nil && time.Now().Before(deadline); {
		leak = goleak.Find() // it waits as well
	}
	if leak != nil && code == 0 {
		fmt.Fprintln(os.Stderr, leak)
		code = 1
	}
	os.Exit(code)
}
