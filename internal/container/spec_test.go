package container

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/runnerml/runner/internal/host"
)

// TestWhatReachesTheEngine inspects created containers: what the engine has
// understood, not what we meant to ask.
func TestWhatReachesTheEngine(t *testing.T) {
	b := newBench(t)
	created := func(t *testing.T, s Spec) container.InspectResponse {
		t.Helper()
		id, err := b.Create(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		found, err := b.api.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return found.Container
	}
	t.Run("GPUs by id", func(t *testing.T) {
		s := b.spec("gpus", "true")
		ids := []string{"GPU-8e9a", "MIG-4f1b"}
		s.GPUs = []GPU{{ID: ids[0]}, {ID: ids[1], Vendor: "nvidia"}}
		s.Env = []string{visibleDevices + "=all"}
		c := created(t, s)
		want := []container.DeviceRequest{{Driver: "nvidia", DeviceIDs: ids, Capabilities: [][]string{{"gpu"}}}}
		if diff := cmp.Diff(want, c.HostConfig.DeviceRequests, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("device requests (-want +got):\n%s", diff)
		}
		for _, v := range c.Config.Env {
			if strings.HasPrefix(v, visibleDevices) {
				t.Errorf("%s decides beside the request", v)
			}
		}
	})
	t.Run("no GPU", func(t *testing.T) {
		s := b.spec("none", "true")
		s.Env = []string{visibleDevices + "=all"}
		c := created(t, s)
		if len(c.HostConfig.DeviceRequests) > 0 || len(c.HostConfig.Devices) > 0 {
			t.Errorf("it gets devices: %+v, %+v", c.HostConfig.DeviceRequests, c.HostConfig.Devices)
		}
		if !slices.Contains(c.Config.Env, visibleDevices+"=void") || slices.Contains(c.Config.Env, visibleDevices+"=all") {
			t.Errorf("an NVIDIA runtime would give all: %v", c.Config.Env)
		}
	})
	t.Run("limits", func(t *testing.T) {
		s := b.spec("limits", "true")
		s.Memory, s.CPUs, s.ShmSize = 64<<20, 1.5, 32<<20
		h := created(t, s).HostConfig
		if h.Memory != 64<<20 || h.MemorySwap != 64<<20 || h.NanoCPUs != 15e8 || h.ShmSize != 32<<20 {
			t.Errorf("memory %d, with swap %d, CPUs %d, shm %d", h.Memory, h.MemorySwap, h.NanoCPUs, h.ShmSize)
		}
		if h.Init == nil || *h.Init {
			t.Error("another first process than the supervisor")
		}
		if h.LogConfig.Type != "json-file" || h.LogConfig.Config["max-size"] != outputSize {
			t.Errorf("log %+v", h.LogConfig)
		}
	})
	t.Run("docker.arguments", func(t *testing.T) {
		s := b.spec("arguments", "true")
		s.ShmSize = 32 << 20
		var err error
		s.Extra, err = ParseArguments([]string{
			"--network=none", "--shm-size=48m", "--ulimit=nofile=512", "--cap-add=SYS_PTRACE", "--env=HOME=/x", "--user=0:0",
			"--tmpfs=/t:size=1m", "--sysctl=kernel.msgmax=9000", "--group-add=7", "--label=a=b", "--hostname=h", "--pids-limit=50",
		})
		if err != nil {
			t.Fatal(err)
		}
		c := created(t, s)
		h := c.HostConfig
		if h.NetworkMode != "none" || h.ShmSize != 48<<20 || len(h.Ulimits) != 1 || len(h.CapAdd) != 1 || h.Tmpfs["/t"] != "size=1m" ||
			h.Sysctls["kernel.msgmax"] != "9000" || !slices.Contains(h.GroupAdd, "7") || h.PidsLimit == nil || *h.PidsLimit != 50 {
			t.Errorf("host configuration %+v", h)
		}
		if c.Config.User != "0:0" || c.Config.Hostname != "h" || c.Config.Labels["a"] != "b" || c.Config.Labels[LabelRun] != s.Mark.Run {
			t.Errorf("configuration %+v", c.Config)
		}
		if homes := slices.DeleteFunc(slices.Clone(c.Config.Env), func(v string) bool { return !strings.HasPrefix(v, "HOME=") }); !slices.Equal(homes, []string{"HOME=/x"}) {
			t.Errorf("homes %v, want the one asked for", homes)
		}
	})
}

// statHost is a host on which device files are of certain groups.
type statHost struct{ host.Host }

func (statHost) Run(_ context.Context, c host.Command) error {
	for range c.Argv[4:] {
		if _, err := c.Stdout.Write([]byte("109\n")); err != nil {
			return err
		}
	}
	return nil
}

func TestGPURequests(t *testing.T) {
	tests := []struct {
		name string
		info Info
		gpus []GPU
		want container.HostConfig
		err  string
	}{
		{
			name: "docker", info: Info{NVIDIARuntime: true, CDI: true, CDIDevices: []string{"nvidia.com/gpu=0"}}, gpus: []GPU{{ID: "0"}},
			want: container.HostConfig{Resources: container.Resources{DeviceRequests: []container.DeviceRequest{{Driver: "nvidia", DeviceIDs: []string{"0"}, Capabilities: [][]string{{"gpu"}}}}}},
		},
		{
			name: "docker with CDI alone", info: Info{CDI: true, CDIDevices: []string{"nvidia.com/gpu=0"}}, gpus: []GPU{{ID: "0"}, {ID: "GPU-x"}},
			want: container.HostConfig{Resources: container.Resources{DeviceRequests: []container.DeviceRequest{{Driver: "cdi", DeviceIDs: []string{"nvidia.com/gpu=0", "nvidia.com/gpu=GPU-x"}}}}},
		},
		{
			name: "podman", info: Info{Podman: true}, gpus: []GPU{{ID: "0"}},
			want: container.HostConfig{Resources: container.Resources{DeviceRequests: []container.DeviceRequest{{Driver: "cdi", DeviceIDs: []string{"nvidia.com/gpu=0"}}}}},
		},
		{
			name: "AMD", gpus: []GPU{{ID: "0", Vendor: "amd", Devices: []string{"/dev/dri/renderD128"}}},
			want: container.HostConfig{GroupAdd: []string{"109"}, Resources: container.Resources{Devices: []container.DeviceMapping{
				{PathOnHost: "/dev/kfd", PathInContainer: "/dev/kfd", CgroupPermissions: "rw"},
				{PathOnHost: "/dev/dri/renderD128", PathInContainer: "/dev/dri/renderD128", CgroupPermissions: "rw"},
			}}},
		},
		{name: "AMD without files", gpus: []GPU{{ID: "0", Vendor: "amd"}}, err: "device files"},
		{name: "another vendor", gpus: []GPU{{ID: "0", Vendor: "acme"}}, err: "acme"},
		{name: "no id", gpus: []GPU{{}}, err: "without an id"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := &Engine{host: statHost{}, info: test.info}
			var got container.HostConfig
			err := e.addGPUs(t.Context(), test.gpus, &got)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error %v, want %q in it", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUsersAreMapped(t *testing.T) {
	tests := []struct {
		name   string
		info   Info
		user   string
		userns container.UsernsMode
	}{
		{"docker", Info{}, "1000:100", ""},
		{"docker that remaps", Info{RemapsUsers: true}, "1000:100", "host"},
		{"rootless docker", Info{Rootless: true, RemapsUsers: true}, "0:0", ""},
		{"rootless podman", Info{Podman: true, Rootless: true}, "0:0", ""},
		{"podman of root", Info{Podman: true}, "1000:100", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.info.user(1000, 100); got != test.user {
				t.Errorf("user %q, want %q", got, test.user)
			}
			if got := test.info.userns(); got != test.userns {
				t.Errorf("user namespace %q, want %q", got, test.userns)
			}
		})
	}
}

// stubborn is a host whose user may not remove another's files.
type stubborn struct {
	host.Local
	uid, gid int
	refused  bool
}

func (s *stubborn) Platform(ctx context.Context) (host.Platform, error) {
	p, err := s.Local.Platform(ctx)
	p.UID, p.GID = s.uid, s.gid
	return p, err
}

func (s *stubborn) RemoveAll(ctx context.Context, path string) error {
	if owner(filepath.Join(path, "sub", "file")) != s.uid {
		s.refused = true
		return os.ErrPermission
	}
	return s.Local.RemoveAll(ctx, path)
}

func TestRemoveFilesOfOtherUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root to make another user's files")
	}
	b := newBench(t)
	work := filepath.Join(b.dir, "work")
	outside := filepath.Join(b.dir, "outside")
	for _, dir := range []string{work, outside} {
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(outside, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := b.spec("root", "mkdir /work/sub; chmod 700 /work/sub; echo x >/work/sub/file")
	s.Binds = []Bind{{Source: work, Target: "/work"}}
	b.run(t, s)
	b.await(t, s.Mark, Exited)
	if err := os.Symlink(outside, filepath.Join(work, "link")); err != nil {
		t.Fatal(err)
	}
	h := &stubborn{Local: b.host.(host.Local), uid: 12345, gid: 12345}
	b.host = h
	if err := b.RemoveFiles(t.Context(), b.docker.Base, work); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(work); !os.IsNotExist(err) || !h.refused {
		t.Errorf("still there: %v; refused at first: %v", err, h.refused)
	}
	if out, err := b.docker.Command(t.Context(), "ps", "--all", "--filter", "name=runner-files-", "--quiet").Output(); err != nil || len(out) > 0 {
		t.Errorf("a container is left: %s, %v", out, err)
	}
	if got := owner(filepath.Join(outside, "file")); got != 0 {
		t.Errorf("what a link leads to was given away, to %d", got)
	}
	for _, dir := range []string{"/etc", b.dir, b.dir + "/work/../..", "work"} {
		if err := b.RemoveFiles(t.Context(), b.docker.Small, dir); KindOf(err) != InvalidSpec {
			t.Errorf("remove %s: %v, want that it is refused", dir, err)
		}
	}
}
