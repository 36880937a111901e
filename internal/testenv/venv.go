package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// uvRequirement is the uv that [UV] installs.
const uvRequirement = "uv==0.13.9"

// UV gives the path of a uv binary, installed with pip once and cached.
func UV(t testing.TB) string {
	t.Helper()
	return begin(t, "uv", func(ctx context.Context) (string, error) {
		venv, err := cachedVenv(ctx, "uv", uvRequirement)
		return filepath.Join(venv, "bin/uv"), err
	})
}

// systemPython is the interpreter that cached venvs are made with: the system's own before a version manager's
// shim, whose meaning changes from directory to directory.
func systemPython() (string, error) {
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no python3 (Debian package python3-venv)")
}

// cachedVenv is a venv with the requirements, made once for each set of them and for each interpreter.
func cachedVenv(ctx context.Context, name string, requirements ...string) (string, error) {
	python, err := systemPython()
	if err != nil {
		return "", err
	}
	version, err := output(exec.CommandContext(ctx, python, "--version"))
	if err != nil {
		return "", err
	}
	parent, err := stateSubdir("venv")
	if err != nil {
		return "", err
	}
	venv := filepath.Join(parent, name+"-"+digest(append([]string{python, version}, requirements...)...))
	complete := filepath.Join(venv, "testenv-complete")
	if _, err := os.Stat(complete); err == nil {
		return venv, nil
	}
	release, err := lock(ctx, filepath.Join(parent, name+".lock"))
	if err != nil {
		return "", err
	}
	defer release()
	if _, err := os.Stat(complete); err == nil {
		return venv, nil
	}
	// A venv cannot be moved once made: it is made in its place, and counts when the mark is there.
	if err := os.RemoveAll(venv); err != nil {
		return "", err
	}
	if _, err := output(exec.CommandContext(ctx, python, "-m", "venv", venv)); err != nil {
		return "", fmt.Errorf("venv %s: %w", name, err)
	}
	pip := exec.CommandContext(ctx, filepath.Join(venv, "bin/pip"),
		append([]string{"install", "--quiet", "--disable-pip-version-check", "--retries", "5"}, requirements...)...)
	if _, err := output(pip); err != nil {
		return "", fmt.Errorf("venv %s: %w", name, err)
	}
	return venv, os.WriteFile(complete, []byte(strings.Join(requirements, "\n")+"\n"), 0o600)
}
