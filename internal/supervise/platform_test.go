package supervise_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/program"
	"github.com/runnerml/runner/internal/supervise"
)

// platform of this computer; the program that installs is said to be for another.
const (
	platform = runtime.GOOS + "/" + runtime.GOARCH
	another  = "plan9/386"
)

// ofKind is a host far away that says that it is of a platform.
type ofKind struct {
	faraway
	os, arch string
}

func (h ofKind) Platform(ctx context.Context) (host.Platform, error) {
	p, err := h.faraway.Platform(ctx)
	p.OS, p.Arch = h.os, h.arch
	return p, err
}

// built is a program of this module for this computer.
func built(t *testing.T, of string, flags ...string) []byte {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "built")
	cmd := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-o", bin}, flags...), of)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	content, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// A host of another platform gets the program that is for it, if that is of
// our own version.
func TestInstallForAnotherPlatform(t *testing.T) {
	same := built(t, "./testdata/runner")
	for _, c := range []struct {
		name     string
		os, arch string
		there    []byte // what lies here for this computer's platform
		want     string // of the error
	}{
		{"found", runtime.GOOS, runtime.GOARCH, same, ""},
		{"none", "linux", "riscv64", same, "there is no runner for linux/riscv64"},
		{"of another version", runtime.GOOS, runtime.GOARCH, built(t, "./testdata/runner", "-ldflags=-X github.com/runnerml/runner/internal/program.version=v0.0.1"), "it says that it is v0.0.1, and this is devel"},
		{"of a version that does not say", runtime.GOOS, runtime.GOARCH, built(t, "../program/testdata/silent"), "on the machine it does not say what it is: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := t.TempDir()
			file := filepath.Join(home, program.BinDir, program.FileName(platform))
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, c.there, 0o600)); err != nil {
				t.Fatal(err)
			}
			h := ofKind{faraway: faraway{host.NewHere(t.TempDir())}, os: c.os, arch: c.arch}
			finder := &program.Finder{Platform: another, Home: home}
			bin, err := supervise.Install(t.Context(), h, finder, nil)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, not %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			content, err := os.ReadFile(bin)
			if err != nil || string(content) != string(c.there) {
				t.Errorf("what is there is another program; %v", err)
			}
			first, err := os.Stat(bin)
			if err != nil {
				t.Fatal(err)
			}
			again, err := supervise.Install(t.Context(), h, finder, nil)
			if err != nil || again != bin {
				t.Errorf("the second time: %s, %v", again, err)
			}
			if second, err := os.Stat(bin); err != nil || !os.SameFile(first, second) {
				t.Error("it was sent again")
			}
			if err := os.Truncate(bin, 1000); err != nil {
				t.Fatal(err)
			}
			if again, err := supervise.Install(t.Context(), h, finder, nil); err != nil || again != bin {
				t.Errorf("a damaged copy: %v", err)
			}
		})
	}
}

// What somebody put into $RUNNER_HOME/bin for other machines is no old copy of
// ours.
func TestPruneLeavesOtherPlatforms(t *testing.T) {
	h := host.NewHere(t.TempDir())
	dir := filepath.Join(h.Root(), program.BinDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		goes bool
	}{
		{"runner-0123456789ab", true},
		{"runner-linux-arm64", false},
		{"runner-linux-amd64", false},
		{"runner-darwin-arm64", false},
		{"runner-0123456789abc", false},
		{"runner-0123456789aX", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(dir, c.name)
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := supervise.PruneBins(t.Context(), h); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) != c.goes {
				t.Errorf("%v afterwards", err)
			}
		})
	}
}
