package container

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

func TestParseArguments(t *testing.T) {
	limit := int64(100)
	tests := []struct {
		name string
		args []string
		want Extra
	}{
		{"none", nil, Extra{}},
		{"with equals", []string{"--ipc=host"}, Extra{IPC: "host"}},
		{"in two arguments", []string{"--ipc", "host"}, Extra{IPC: "host"}},
		{"in one with a space", []string{"--ipc host"}, Extra{IPC: "host"}},
		{"a value with spaces", []string{"--env=A=b c = d"}, Extra{Env: []string{"A=b c = d"}}},
		{"a value with spaces of its own argument", []string{"--env", "A=b c"}, Extra{Env: []string{"A=b c"}}},
		{"network", []string{"--network", "host"}, Extra{Network: "host"}},
		{"network's short name", []string{"--net=none"}, Extra{Network: "none"}},
		{"switches", []string{"--privileged", "--read-only", "--init"}, Extra{Privileged: true, ReadOnly: true, Init: true}},
		{"a switch that is off", []string{"--privileged=false"}, Extra{}},
		{"shm size", []string{"--shm-size=2g"}, Extra{ShmSize: 2 << 30}},
		{"shm size in MiB", []string{"--shm-size", "512MiB"}, Extra{ShmSize: 512 << 20}},
		{"shm size in bytes", []string{"--shm-size", "1048576"}, Extra{ShmSize: 1 << 20}},
		{
			"ulimits",
			[]string{"--ulimit", "memlock=-1", "--ulimit=nofile=1024:2048"},
			Extra{Ulimits: []*container.Ulimit{{Name: "memlock", Soft: -1, Hard: -1}, {Name: "nofile", Soft: 1024, Hard: 2048}}},
		},
		{"capabilities", []string{"--cap-add", "SYS_PTRACE,IPC_LOCK", "--cap-drop=ALL"}, Extra{CapAdd: []string{"SYS_PTRACE", "IPC_LOCK"}, CapDrop: []string{"ALL"}}},
		{"security", []string{"--security-opt", "seccomp=unconfined"}, Extra{SecurityOpt: []string{"seccomp=unconfined"}}},
		{
			"devices",
			[]string{"--device=/dev/infiniband", "--device", "/dev/fuse:/dev/x:r", "--device=/dev/zero:rw"},
			Extra{Devices: []container.DeviceMapping{
				{PathOnHost: "/dev/infiniband", PathInContainer: "/dev/infiniband", CgroupPermissions: "rwm"},
				{PathOnHost: "/dev/fuse", PathInContainer: "/dev/x", CgroupPermissions: "r"},
				{PathOnHost: "/dev/zero", PathInContainer: "/dev/zero", CgroupPermissions: "rw"},
			}},
		},
		{"variables", []string{"-e", "A=1", "-eB=2", "--env", "C="}, Extra{Env: []string{"A=1", "B=2", "C="}}},
		{
			"volumes",
			[]string{"-v", "/data:/data:ro", "--volume=cache:/cache"},
			Extra{Mounts: []mount.Mount{
				{Type: mount.TypeBind, Source: "/data", Target: "/data", ReadOnly: true},
				{Type: mount.TypeVolume, Source: "cache", Target: "/cache"},
			}},
		},
		{
			"mounts",
			[]string{"--mount", "type=bind,source=/a b,target=/c,readonly", "--mount=type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=1777"},
			Extra{Mounts: []mount.Mount{
				{Type: mount.TypeBind, Source: "/a b", Target: "/c", ReadOnly: true},
				{Type: mount.TypeTmpfs, Target: "/t", TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 64 << 20, Mode: 0o1777}},
			}},
		},
		{"tmpfs", []string{"--tmpfs", "/run:size=64m", "--tmpfs=/x"}, Extra{Tmpfs: map[string]string{"/run": "size=64m", "/x": ""}}},
		{"sysctl", []string{"--sysctl", "net.core.somaxconn=1024"}, Extra{Sysctls: map[string]string{"net.core.somaxconn": "1024"}}},
		{
			"names",
			[]string{"--hostname=node", "--add-host", "db:10.0.0.1", "--dns=10.0.0.2", "--dns", "::1"},
			Extra{Hostname: "node", ExtraHosts: []string{"db:10.0.0.1"}, DNS: []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("::1")}},
		},
		{"an IPv6 host", []string{"--add-host=db:fe80::1"}, Extra{ExtraHosts: []string{"db:fe80::1"}}},
		{"user", []string{"-u", "0:0", "--group-add", "video"}, Extra{User: "0:0", GroupAdd: []string{"video"}}},
		{"labels", []string{"--label", "a=b", "-l", "c"}, Extra{Labels: map[string]string{"a": "b", "c": ""}}},
		{"the rest", []string{"--pid=host", "--runtime=runc", "--pids-limit=100", "--oom-score-adj=-500"}, Extra{PID: "host", Runtime: "runc", PidsLimit: &limit, OOMScoreAdj: -500}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseArguments(test.args)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseArgumentsRefuses(t *testing.T) {
	tests := []struct {
		name string
		args []string
		says []string
	}{
		{"a misspelt option", []string{"--shm-sise=2g"}, []string{"--shm-sise", "is --shm-size meant?"}},
		{"an unknown option", []string{"--frobnicate"}, []string{"--frobnicate is unknown"}},
		{"an unknown letter", []string{"-z"}, []string{"-z is unknown"}},
		{"no option", []string{"host"}, []string{`"host" is not an option`}},
		{"GPUs", []string{"--gpus", "all"}, []string{"use resources.gpus"}},
		{"GPUs by device", []string{"--device=/dev/nvidia0"}, []string{"use resources.gpus"}},
		{"GPUs by variable", []string{"-e", "NVIDIA_VISIBLE_DEVICES=all"}, []string{"use resources.gpus"}},
		{"memory", []string{"--memory=8g"}, []string{"use resources.memory"}},
		{"memory's letter", []string{"-m", "8g"}, []string{"-m", "use resources.memory"}},
		{"CPUs", []string{"--cpus", "2"}, []string{"use resources.cpus"}},
		{"switches", []string{"--rm", "-d", "-t"}, []string{"removes its containers", "background", "no terminal"}},
		{"switches together", []string{"-it"}, []string{"no terminal"}},
		{"no value", []string{"--ipc"}, []string{"--ipc: it needs a value"}},
		{"an empty value", []string{"--ipc="}, []string{"--ipc: the value is empty"}},
		{"no size", []string{"--shm-size=lots"}, []string{"--shm-size", `"lots" is not a size`}},
		{"no size at all", []string{"--shm-size=0"}, []string{"above zero"}},
		{"no limit", []string{"--ulimit=x"}, []string{"--ulimit"}},
		{"a variable of ours", []string{"-e", "HOME_OF_MINE"}, []string{"write HOME_OF_MINE=VALUE"}},
		{"a label of ours", []string{"--label=dev.runner.run=x"}, []string{"Runner's own"}},
		{"a relative volume", []string{"-v", "./a:/b"}, []string{"absolute"}},
		{"a volume to nowhere", []string{"-v", "/a"}, []string{"SOURCE:TARGET"}},
		{"a volume's option", []string{"-v", "/a:/b:Z"}, []string{`"Z"`}},
		{"a mount's type", []string{"--mount=type=npipe,src=/a,dst=/b"}, []string{`"npipe"`}},
		{"a mount's key", []string{"--mount=type=bind,src=/a,dst=/b,colour=red"}, []string{`"colour"`}},
		{"no address", []string{"--dns=example.com"}, []string{"--dns"}},
		{"several at once", []string{"--gpus=all", "--shm-sise=1", "--privileged"}, []string{"resources.gpus", "--shm-size"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseArguments(test.args)
			if err == nil {
				t.Fatalf("taken: %+v", got)
			}
			for _, want := range test.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func FuzzParseArguments(f *testing.F) {
	for _, seed := range []string{
		"--ipc=host", "--ipc\nhost", "--mount\ntype=bind,src=/a,dst=/b", "-v\n/a:/b:ro", "-eA=b", "-it", "--ulimit=nofile=1:2", "--", "-", "",
		"--device=/dev/x:/dev/y:rwm", "--privileged=maybe", "--cap-add=\"a,b\"", "--add-host=a:b", "-m", "--sysctl=a=b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		x, err := ParseArguments(strings.Split(text, "\n"))
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("an error without words")
			}
			return
		}
		// Whatever is taken must not give what is refused.
		for _, v := range x.Env {
			if strings.HasPrefix(v, visibleDevices+"=") {
				t.Errorf("taken: %q", v)
			}
		}
		for label := range x.Labels {
			if strings.HasPrefix(label, "dev.runner.") {
				t.Errorf("taken: label %q", label)
			}
		}
		for _, m := range x.Mounts {
			if !strings.HasPrefix(m.Target, "/") || m.Type == mount.TypeBind && !strings.HasPrefix(m.Source, "/") {
				t.Errorf("taken: mount %+v", m)
			}
		}
		for _, d := range x.Devices {
			if strings.HasPrefix(d.PathOnHost, "/dev/nvidia") || strings.HasPrefix(d.PathOnHost, "/dev/dri") {
				t.Errorf("taken: device %+v", d)
			}
		}
	})
}
