package testenv

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed conda/channel.py
var channelScript string

//go:embed conda/micromamba.py
var micromambaScript string

// condaRequirements are installed with pip, once, into a cached venv.
var condaRequirements = []string{"py-rattler==0.28.0", "pyyaml==6.0.3"}

// CondaTool is a conda-like tool and a channel to install from.
type CondaTool struct {
	// BinDir holds an executable called micromamba: a stand-in with micromamba's command line over a real solver
	// and installer (conda/micromamba.py says what it knows). Put it into the PATH of what is tested.
	BinDir string
	// Channel is the address (file://...) of a channel with python, pip, runner-tool 1.0 and 2.0, and the noarch
	// runner-lib 1.0 (which wants runner-tool<2) and 2.0 (which wants runner-tool>=2). Commands of the last two
	// print their name and version.
	Channel string
	// PythonVersion is the version of the channel's only python, such as 3.11.2.
	PythonVersion string

	dir, venv string
}

// For is a copy of the tool and its channel that the user of an account can use. It goes with the account.
func (c CondaTool) For(t testing.TB, account SSHAccount) CondaTool {
	t.Helper()
	own := filepath.Join(filepath.Dir(account.Home), "conda")
	c, err := c.copyTo(t.Context(), own)
	if err != nil {
		t.Fatalf("testenv: conda: %v", err)
	}
	return c
}

func (c CondaTool) copyTo(ctx context.Context, own string) (CondaTool, error) {
	if err := os.Mkdir(own, 0o755); err != nil {
		return c, err
	}
	for from, to := range map[string]string{c.venv: "venv", filepath.Join(c.dir, "channel"): "channel"} {
		to = filepath.Join(own, to)
		// Links where they can be: nobody but root may write to the files.
		if _, err := output(exec.CommandContext(ctx, "cp", "-al", from, to)); err != nil {
			if _, err := output(exec.CommandContext(ctx, "cp", "-a", from, to)); err != nil {
				return c, err
			}
		}
	}
	c.BinDir, c.Channel = filepath.Join(own, "bin"), "file://"+filepath.Join(own, "channel")
	tool := "#!" + filepath.Join(own, "venv/bin/python") + " -Es\n" + micromambaScript
	return c, errors.Join(os.Mkdir(c.BinDir, 0o755), os.WriteFile(filepath.Join(c.BinDir, "micromamba"), []byte(tool), 0o755))
}

// Conda gives the conda-like tool and its channel, made once and cached.
func Conda(t testing.TB) CondaTool {
	t.Helper()
	return begin(t, "conda", startConda)
}

func startConda(ctx context.Context) (CondaTool, error) {
	venv, err := cachedVenv(ctx, "conda", condaRequirements...)
	if err != nil {
		return CondaTool{}, err
	}
	python := filepath.Join(venv, "bin/python")
	parent, err := stateSubdir("conda")
	if err != nil {
		return CondaTool{}, err
	}
	dir := filepath.Join(parent, digest(venv, channelScript, micromambaScript))
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := makeConda(ctx, parent, dir, python); err != nil {
			return CondaTool{}, fmt.Errorf("conda: %w", err)
		}
	} else if err != nil {
		return CondaTool{}, err
	}
	version, err := os.ReadFile(filepath.Join(dir, "python-version"))
	return CondaTool{
		BinDir:        filepath.Join(dir, "bin"),
		Channel:       "file://" + filepath.Join(dir, "channel"),
		PythonVersion: string(version),
		dir:           dir,
		venv:          venv,
	}, err
}

// makeConda fills dir; the caller has found that it is not there.
func makeConda(ctx context.Context, parent, dir, python string) error {
	release, err := lock(ctx, filepath.Join(parent, "lock"))
	if err != nil {
		return err
	}
	defer release()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) { // another process was faster
		return err
	}
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(part, "bin"), 0o755); err != nil {
		return err
	}
	script := filepath.Join(part, "make-channel.py")
	if err := os.WriteFile(script, []byte(channelScript), 0o600); err != nil {
		return err
	}
	if _, err := output(exec.CommandContext(ctx, python, "-Es", script, filepath.Join(part, "channel"))); err != nil {
		return err
	}
	version, err := output(exec.CommandContext(ctx, python, "-Es", "-c", "import platform; print(platform.python_version(), end='')"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(part, "python-version"), []byte(version), 0o600); err != nil {
		return err
	}
	// -E and -s: what the tested code sets for its own Python does not reach the tool's.
	tool := "#!" + python + " -Es\n" + micromambaScript
	if err := os.WriteFile(filepath.Join(part, "bin/micromamba"), []byte(tool), 0o755); err != nil {
		return err
	}
	return os.Rename(part, dir)
}
