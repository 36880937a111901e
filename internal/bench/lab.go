package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// lab is what all benches share.
type lab struct {
	runner   string   // the binary under test
	python   string   // a real interpreter, no version manager's shim
	environ  []string // of everything that is started
	dir      string   // temporary, holds everything
	quick    bool
	progress io.Writer
}

// openLab builds the runner from this tree as it is released.
func openLab(ctx context.Context, quick bool, progress io.Writer) (_ *lab, err error) {
	l := &lab{quick: quick, progress: progress}
	if l.dir, err = os.MkdirTemp("", "runner-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	// A shim such as pyenv's takes many times as long as Python itself, for us
	// and for the bare command: a difference must not drown in it.
	out, err := exec.CommandContext(ctx, "python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return nil, fmt.Errorf("find python3: %w", err)
	}
	l.python = strings.TrimSpace(string(out))
	l.environ = slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return strings.HasPrefix(name, "RUNNER_") || name == "PATH"
	})
	l.environ = append(l.environ, "PATH="+filepath.Dir(l.python)+string(os.PathListSeparator)+os.Getenv("PATH"))
	l.runner = filepath.Join(l.dir, "runner")
	l.sayf("building runner ...")
	// With its symbols, so that a profile taken meanwhile has names.
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", l.runner, "github.com/runnerml/runner/cmd/runner")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build runner: %w\n%s", err, out)
	}
	return l, nil
}

func (l *lab) close() error { return os.RemoveAll(l.dir) }

func (l *lab) sayf(format string, args ...any) {
	fmt.Fprintf(l.progress, "bench: "+format+"\n", args...)
}

// count is n, or few with -quick.
func (l *lab) count(n, few int) int {
	if l.quick {
		return few
	}
	return n
}

// source makes a source directory of the size of a small project, with the
// files given by name.
func (l *lab) source(files map[string]string) (string, error) {
	dir, err := os.MkdirTemp(l.dir, "source-")
	if err != nil {
		return "", err
	}
	for i := range 20 {
		files[fmt.Sprintf("model/layer%d.py", i)] = strings.Repeat(
			fmt.Sprintf("def layer%d(x, weights):\n    return [a * b for a, b in zip(x, weights)]\n\n", i), 10+i)
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}
