package container

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/system"
)

// TestInfoOfRootlessPodman answers as podman 4.3.1, run by a user, did.
func TestInfoOfRootlessPodman(t *testing.T) {
	socket := fakeEngine(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		var file string
		switch {
		case strings.HasSuffix(r.URL.Path, "/info"):
			file = "podman-rootless-info.json"
		case strings.HasSuffix(r.URL.Path, "/version"):
			file = "podman-rootless-version.json"
		default:
			return
		}
		said, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(said)
	})
	e := openAt(t, socket, t.TempDir())
	if !e.info.Podman || !e.info.Rootless || e.info.Version != "4.3.1" || e.info.RootDir != "/home/user/.local/share/containers/storage" {
		t.Errorf("info %+v", e.info)
	}
	if got := e.info.user(1000, 1000); got != root {
		t.Errorf("a container's user is %q, want root, who is the user outside", got)
	}
}

func TestInfoOf(t *testing.T) {
	tests := []struct {
		name string
		says system.Info
		want Info
	}{
		{"plain", system.Info{Driver: "overlay2", CgroupVersion: "2", NCPU: 8, MemTotal: 1 << 30}, Info{StorageDriver: "overlay2", CgroupVersion: "2", NCPU: 8, Memory: 1 << 30}},
		{"rootless", system.Info{SecurityOptions: []string{"name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"}}, Info{Rootless: true}},
		{"remapped and confined", system.Info{SecurityOptions: []string{"name=userns", "name=selinux"}}, Info{RemapsUsers: true, SELinux: true}},
		{"NVIDIA", system.Info{Runtimes: map[string]system.RuntimeWithStatus{"runc": {}, "nvidia": {}}}, Info{NVIDIARuntime: true}},
		{
			"CDI",
			system.Info{CDISpecDirs: []string{"/etc/cdi"}, DiscoveredDevices: []system.DeviceInfo{{Source: "cdi", ID: "nvidia.com/gpu=0"}, {Source: "other", ID: "x"}}},
			Info{CDI: true, CDIDevices: []string{"nvidia.com/gpu=0"}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, infoOf(test.says)); diff != "" {
				t.Errorf("info (-want +got):\n%s", diff)
			}
		})
	}
}
