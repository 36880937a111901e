package inventory

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const gibi = 1 << 30

// TestCgroups reads machines as the kernel shows them.
func TestCgroups(t *testing.T) {
	const (
		v2Mount = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
		v1Mount = "33 32 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n" +
			"34 32 0:30 / /sys/fs/cgroup/memory rw,relatime shared:10 - cgroup cgroup rw,memory\n"
		status  = "Name:\trunner\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n"
		meminfo = "MemTotal:       67108864 kB\nMemFree:         1048576 kB\nMemAvailable:   33554432 kB\nSwapTotal:             0 kB\n"
	)
	for name, c := range map[string]struct {
		files    map[string]string
		readOnly []string
		cpus     CPUs
		memory   Memory
		cgroup   Cgroup
	}{
		"bare machine, root, v2": {
			files: map[string]string{
				"/proc/self/cgroup": "0::/user.slice/user-0.slice/session-1.scope\n", "/proc/self/mountinfo": v2Mount,
				"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n", "/sys/fs/cgroup/cgroup.subtree_control": "cpu memory pids\n",
			},
			cpus: CPUs{Online: 8, Allowed: 8, Usable: 8}, memory: Memory{Total: 64 * gibi, Usable: 64 * gibi, Available: 32 * gibi},
			cgroup: Cgroup{Version: 2, Memory: true, CPU: true},
		},
		"an ordinary user, v2, nothing delegated": {
			files: map[string]string{
				"/proc/self/cgroup": "0::/user.slice\n", "/proc/self/mountinfo": v2Mount,
				"/sys/fs/cgroup/cgroup.subtree_control": "cpu memory pids\n",
			},
			readOnly: []string{"/sys/fs/cgroup", "/sys/fs/cgroup/user.slice"},
			cpus:     CPUs{Online: 8, Allowed: 8, Usable: 8}, memory: Memory{Total: 64 * gibi, Usable: 64 * gibi, Available: 32 * gibi},
			cgroup: Cgroup{Version: 2, Why: "no control group can be made by this user"},
		},
		"only memory is delegated": {
			files: map[string]string{
				"/proc/self/cgroup": "0::/user.slice/app.slice\n", "/proc/self/mountinfo": v2Mount,
				"/sys/fs/cgroup/user.slice/app.slice/cgroup.controllers":     "memory pids\n",
				"/sys/fs/cgroup/user.slice/app.slice/cgroup.subtree_control": "memory pids\n",
			},
			readOnly: []string{"/sys/fs/cgroup", "/sys/fs/cgroup/user.slice"},
			cpus:     CPUs{Online: 8, Allowed: 8, Usable: 8}, memory: Memory{Total: 64 * gibi, Usable: 64 * gibi, Available: 32 * gibi},
			cgroup: Cgroup{Version: 2, Memory: true, Why: "the CPU controller is not given to this user"},
		},
		"a group full of processes cannot give controllers": {
			files: map[string]string{
				"/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": v2Mount, "/sys/fs/cgroup/cgroup.type": "domain\n",
				"/sys/fs/cgroup/cgroup.controllers": "cpu memory\n", "/sys/fs/cgroup/cgroup.subtree_control": "\n", "/sys/fs/cgroup/cgroup.procs": "1\n17\n",
			},
			cpus: CPUs{Online: 8, Allowed: 8, Usable: 8}, memory: Memory{Total: 64 * gibi, Usable: 64 * gibi, Available: 32 * gibi},
			cgroup: Cgroup{Version: 2, Why: "no control group can be made by this user"},
		},
		"container with quota and limit, v2": {
			files: map[string]string{
				"/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": v2Mount,
				"/sys/fs/cgroup/cpu.max": "150000 100000\n", "/sys/fs/cgroup/memory.max": "4294967296\n",
				"/sys/fs/cgroup/memory.current": "3221225472\n", "/sys/fs/cgroup/memory.stat": "anon 100\ninactive_file 1073741824\n",
			},
			readOnly: []string{"/sys/fs/cgroup"},
			cpus:     CPUs{Online: 8, Allowed: 8, Quota: 1.5, Usable: 1.5},
			memory:   Memory{Total: 64 * gibi, Limit: 4 * gibi, Usable: 4 * gibi, Available: 2 * gibi},
			cgroup:   Cgroup{Version: 2, Why: "no control group can be made by this user"},
		},
		"the limit is a parent's, v2": {
			files: map[string]string{
				"/proc/self/cgroup": "0::/a/b\n", "/proc/self/mountinfo": v2Mount,
				"/sys/fs/cgroup/a/cpu.max": "200000 100000\n", "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
				"/sys/fs/cgroup/a/memory.max": "8589934592\n", "/sys/fs/cgroup/a/b/memory.max": "max\n",
			},
			readOnly: []string{"/sys/fs/cgroup", "/sys/fs/cgroup/a", "/sys/fs/cgroup/a/b"},
			cpus:     CPUs{Online: 8, Allowed: 8, Quota: 2, Usable: 2},
			memory:   Memory{Total: 64 * gibi, Limit: 8 * gibi, Usable: 8 * gibi, Available: 8 * gibi},
			cgroup:   Cgroup{Version: 2, Why: "no control group can be made by this user"},
		},
		"v1, in a group of its own, affinity": {
			files: map[string]string{
				"/proc/self/cgroup":                           "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n",
				"/proc/self/mountinfo":                        "33 32 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n34 32 0:30 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
				"/proc/self/status":                           "Cpus_allowed_list:\t0-1,4\n",
				"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
				"/sys/fs/cgroup/memory/memory.limit_in_bytes": "2147483648\n", "/sys/fs/cgroup/memory/memory.usage_in_bytes": "1073741824\n",
				"/sys/fs/cgroup/memory/memory.stat": "total_inactive_file 536870912\n",
			},
			cpus: CPUs{Online: 8, Allowed: 3, Usable: 3}, memory: Memory{Total: 64 * gibi, Limit: 2 * gibi, Usable: 2 * gibi, Available: 3 * gibi / 2},
			cgroup: Cgroup{Version: 1, Memory: true, CPU: true},
		},
		"v1 without a limit": {
			files: map[string]string{
				"/proc/self/cgroup": "4:memory:/\n3:cpu,cpuacct:/\n0::/\n", "/proc/self/mountinfo": v1Mount,
				"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
			},
			readOnly: []string{"/sys/fs/cgroup/cpu,cpuacct"},
			cpus:     CPUs{Online: 8, Allowed: 8, Usable: 8}, memory: Memory{Total: 64 * gibi, Usable: 64 * gibi, Available: 32 * gibi},
			cgroup: Cgroup{Version: 1, Memory: true, Why: "the CPU controller is not given to this user"},
		},
		"none": {
			files: map[string]string{"/proc/self/cgroup": "", "/proc/self/mountinfo": ""},
			cpus:  CPUs{Online: 8, Allowed: 8, Usable: 8}, memory: Memory{Total: 64 * gibi, Usable: 64 * gibi, Available: 32 * gibi},
			cgroup: Cgroup{Why: "this system has no control groups"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, t.TempDir())
			b.readOnly = c.readOnly
			b.write(t, map[string]string{"/sys/devices/system/cpu/online": "0-7\n", "/proc/self/status": status, "/proc/meminfo": meminfo})
			b.write(t, c.files)
			a := newAsker(b, 0)
			g := a.groups(t.Context())
			if diff := cmp.Diff(c.cpus, a.cpus(t.Context(), g)); diff != "" {
				t.Errorf("CPUs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.memory, a.memory(t.Context(), g)); diff != "" {
				t.Errorf("memory (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.cgroup, a.cgroup(t.Context(), g)); diff != "" {
				t.Errorf("cgroup (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDisk(t *testing.T) {
	const table = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 27 0:31 / /tmp rw,nosuid,noexec - tmpfs tmpfs rw
40 27 0:40 / /home rw,relatime shared:5 - nfs4 server:/export rw,vers=4.2
41 27 254:1 / /mnt/my\040disk ro,relatime - xfs /dev/vdb ro
42 31 0:42 / /tmp rw,relatime - overlay overlay rw
`
	mounts := parseMounts(table)
	for dir, want := range map[string]struct {
		point, kind string
	}{
		"/root/.runner": {"/", "ext4"}, "/home/me/.runner": {"/home", "nfs4"}, "/homework": {"/", "ext4"},
		"/mnt/my disk/x": {"/mnt/my disk", "xfs"}, "/tmp/a": {"/tmp", "overlay"},
	} {
		if m, ok := mountOf(mounts, dir); !ok || m.point != want.point || m.kind != want.kind {
			t.Errorf("%s is on %+v, want %+v", dir, m, want)
		}
	}
	b := newBox(t, t.TempDir())
	b.write(t, map[string]string{"/proc/self/mountinfo": "27 1 0:1 / / ro,noexec - nfs4 server:/ rw\n"})
	b.readOnly = []string{"/usr"}
	got := newAsker(b, 0).disk(t.Context(), "/usr/not-there/at-all")
	if got.Total <= 0 || got.Free <= 0 {
		t.Errorf("df told nothing: %+v", got)
	}
	got.Total, got.Free = 0, 0
	want := Disk{Path: "/usr", FreeFiles: -1, FileSystem: "nfs4", MountPoint: "/", Network: true, ReadOnly: true, NoExec: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for text, want := range map[string][2]int64{
		"Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 1000 200 700 23% /\n":       {1000 << 10, 700 << 10},
		"Filesystem 1024-blocks Used Available Capacity Mounted on\nmy share 1000 200 700 23% /a 5% b\n": {0, 0},
		"": {}, "x": {},
	} {
		total, free := parseDF(text)
		if want != [2]int64{} && (total != want[0] || free != want[1]) {
			t.Errorf("parseDF(%q) = %d %d", text, total, free)
		}
	}
}

func TestSystem(t *testing.T) {
	b := newBox(t, t.TempDir())
	b.write(t, map[string]string{
		"/etc/os-release":            "PRETTY_NAME=\"Ubuntu 24.04.2 LTS\"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID='24.04'\n# a comment\n",
		"/proc/sys/kernel/osrelease": "5.15.167.4-microsoft-standard-WSL2\n",
		"/proc/self/limits":          "Limit                     Soft Limit           Hard Limit           Units     \nMax processes             63474                63474                processes \nMax open files            1024                 unlimited            files     \n",
	})
	a := newAsker(b, 0)
	p, err := b.Platform(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := System{
		OS: p.OS, Arch: p.Arch, Kernel: "5.15.167.4-microsoft-standard-WSL2", Distribution: "ubuntu", Version: "24.04",
		Family: []string{"debian"}, Name: "Ubuntu 24.04.2 LTS", WSL: true,
	}
	if diff := cmp.Diff(want, a.system(t.Context(), p)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Limits{OpenFiles: -1, Processes: 63474}, a.limits(t.Context())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestClock(t *testing.T) {
	fakeTools(t, map[string]string{"date": "[ \"$*\" = '-u +%s' ] && echo $(( $(/bin/date +%s) + 100 ))"})
	c := newAsker(newBox(t, t.TempDir()), 0).clock(t.Context())
	if !c.Known || c.Skew < 98 || c.Skew > 102 {
		t.Errorf("%+v, want a skew of 100 s", c)
	}
	if c := newAsker(boxHere{newBox(t, t.TempDir())}, 0).clock(t.Context()); !c.Known || c.Skew != 0 {
		t.Errorf("here: %+v", c)
	}
}

func TestCountList(t *testing.T) {
	for text, want := range map[string]int{"0-3\n": 4, "0": 1, "0-1,4,6-7": 5, "": 0, "x": 0, "3-1": 0, "0-99999999999": 0} {
		if got := countList(text); got != want {
			t.Errorf("countList(%q) = %d, want %d", text, got, want)
		}
	}
}
