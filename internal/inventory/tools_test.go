package inventory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/container"
)

// answersAs is a fake interpreter.
func answersAs(version, prefix string, venv, ensurepip bool) string {
	return fmt.Sprintf(`echo '{"version": %q, "prefix": %q, "virtual": false, "venv": %v, "ensurepip": %v, "conda": false}'`, version, prefix, venv, ensurepip)
}

func TestPythons(t *testing.T) {
	dir := fakeTools(t, map[string]string{
		"python3":    answersAs("3.11.2", "/fake/usr", true, false),
		"python3.11": answersAs("3.11.2", "/fake/usr", true, false),
		"python":     answersAs("2.7.18", "/fake/two", false, false),
		"python3.13": answersAs("3.13.1", "/fake/thirteen", true, true),
		"python3.12": "echo 'pyenv: python3.12: command not found' >&2; exit 127",
		"python3.9":  "echo 'error while loading shared libraries: libpython3.9.so' >&2; exit 1",
		"python3.8":  "exec sleep 60",
	})
	a := newAsker(newBox(t, t.TempDir()), 0)
	a.limit = time.Second
	var got []Python
	for _, p := range a.pythons(t.Context(), "") {
		if filepath.Dir(p.Path) != dir {
			continue // the machine's own
		}
		p.Path = filepath.Base(p.Path)
		for i := range p.Aliases {
			p.Aliases[i] = filepath.Base(p.Aliases[i])
		}
		got = append(got, p)
	}
	want := []Python{
		{Path: "python3", Aliases: []string{"python3.11"}, Version: "3.11.2", VenvModule: true},
		{Path: "python", Version: "2.7.18"},
		{Path: "python3.13", Version: "3.13.1", Venv: true, VenvModule: true, EnsurePip: true},
		{Path: "python3.9", Error: "error while loading shared libraries: libpython3.9.so"},
		{Path: "python3.8", Error: "it does not answer"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPrograms(t *testing.T) {
	fakeTools(t, map[string]string{
		"micromamba": "echo 2.0.5", "conda": "echo 'conda 24.11.1'", "mamba": "printf 'mamba 1.5.8\\nconda 24.3.0\\n'",
		"uv": "echo 'uv 0.5.14 (9f1ba2b96 2025-01-02)'", "git": "echo 'git version 2.43.0'; exit 0",
	})
	conda, uv, git := newAsker(newBox(t, t.TempDir()), 0).programs(t.Context(), "", "")
	var got []string
	for _, p := range append(conda, *uv, *git) {
		got = append(got, p.Name+" "+p.Version+p.Error)
	}
	want := []string{"micromamba 2.0.5", "mamba 1.5.8", "conda 24.11.1", "uv 0.5.14", "git 2.43.0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	brought := t.TempDir()
	tool := filepath.Join(brought, "tools", "micromamba")
	if err := errors.Join(os.MkdirAll(filepath.Dir(tool), 0o755), os.WriteFile(tool, []byte("#!/bin/sh\necho 2.1.0\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	fakeTools(t, map[string]string{})
	conda, _, _ = newAsker(newBox(t, t.TempDir()), 0).programs(t.Context(), "", brought)
	if len(conda) != 1 || conda[0].Path != tool || conda[0].Version != "2.1.0" {
		t.Errorf("what attaching brought: %+v", conda)
	}
	fakeTools(t, map[string]string{"uv": "echo broken >&2; exit 3"})
	if _, uv, _ := newAsker(newBox(t, t.TempDir()), 0).programs(t.Context(), "", ""); uv == nil || uv.Error != "broken" {
		t.Errorf("a broken uv: %+v", uv)
	}
}

func TestDocker(t *testing.T) {
	fakeTools(t, nil)
	a := newAsker(newBox(t, t.TempDir()), 300*time.Millisecond)
	for name, c := range map[string]struct {
		info EngineInfo
		err  error
		want Docker
	}{
		"there": {
			info: EngineInfo{Socket: "/var/run/docker.sock", Info: container.Info{Version: "28.5.2", API: "1.51", NCPU: 8, Memory: 1 << 34, NVIDIARuntime: true, CgroupVersion: "2", StorageDriver: "overlay2"}},
			want: Docker{Found: true, Socket: "/var/run/docker.sock", Version: "28.5.2", API: "1.51", CPUs: 8, Memory: 1 << 34, NVIDIA: true, CgroupVersion: "2", StorageDriver: "overlay2", DiskFree: -1},
		},
		"NVIDIA by CDI": {
			info: EngineInfo{Info: container.Info{Podman: true, CDI: true, CDIDevices: []string{"nvidia.com/gpu=all"}}},
			want: Docker{Found: true, Podman: true, NVIDIA: true, DiskFree: -1},
		},
		"denied": {
			err:  &container.Error{Kind: container.PermissionDenied, Op: "find Docker engine", Hint: "join", Err: errors.New("/var/run/docker.sock: permission denied")},
			want: Docker{DiskFree: -1, Problem: "permission denied", Message: "find Docker engine: /var/run/docker.sock: permission denied", Hint: "join"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := a.docker(t.Context(), func(context.Context) (EngineInfo, error) { return c.info, c.err })
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	hung := a.docker(t.Context(), func(ctx context.Context) (EngineInfo, error) {
		<-ctx.Done()
		return EngineInfo{}, ctx.Err()
	})
	if hung.Problem != string(container.Unreachable) || hung.Message != "the engine does not answer" {
		t.Errorf("an engine that hangs: %+v", hung)
	}
}
