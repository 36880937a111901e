package supervise

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMounts(t *testing.T) {
	for _, c := range []struct {
		name, own, table string
		want             groupMounts
	}{
		{
			"v2 under systemd", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope\n",
			"30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
			groupMounts{v2: "/sys/fs/cgroup", v2Own: "/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope", v1: map[string]string{}},
		},
		{
			"v1", "4:memory:/jobs/a\n2:cpu,cpuacct:/\n1:name=systemd:/\n",
			"31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n32 24 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
			groupMounts{v1: map[string]string{"memory": "/sys/fs/cgroup/memory/jobs/a", "cpu": "/sys/fs/cgroup/cpu,cpuacct"}},
		},
		{
			"v1 in a container", "4:memory:/docker/abc\n",
			"31 24 0:27 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			groupMounts{v1: map[string]string{"memory": "/sys/fs/cgroup/memory"}},
		},
		{"none", "", "24 1 0:22 / / rw - ext4 /dev/vda rw\n", groupMounts{v1: map[string]string{}}},
		{"damaged", "x\n:::\n", "- -\n\n1 2 3\n", groupMounts{v1: map[string]string{}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, parseMounts(c.own, c.table), cmp.AllowUnexported(groupMounts{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSaysKilled(t *testing.T) {
	for _, c := range []struct {
		name, record string
		pid          int
		want         bool
	}{
		{"it", "3,1234,5000,-;Out of memory: Killed process 42 (python3) total-vm:1kB", 42, true},
		{"in a group", "3,1234,5000,-;Memory cgroup out of memory: Killed process 42 (python3) total-vm:1kB", 42, true},
		{"another", "3,1234,5000,-;Out of memory: Killed process 421 (python3) total-vm:1kB", 42, false},
		{"one of that number, before", "3,1234,4999,-;Out of memory: Killed process 42 (python3)", 42, false},
		{"another line", "6,1,5001,-;usb 1-1: new device", 42, false},
		{"no record", "Out of memory: Killed process 42 (", 42, false},
		{"no numbers", "a,b;Out of memory: Killed process 42 (", 42, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := saysKilled(c.record, c.pid, 5000); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestParseStat(t *testing.T) {
	const rest = " S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 9 9"
	for _, c := range []struct {
		name, text string
		want       stat
		bad        bool
	}{
		{name: "plain", text: "42 (sh)" + rest, want: stat{state: 'S', parent: 7, group: 42, start: 123456}},
		{name: "a name that looks like the rest", text: "42 (a) R 1 1 (b)" + rest, want: stat{state: 'S', parent: 7, group: 42, start: 123456}},
		{name: "short", text: "42 (sh) S 7", bad: true},
		{name: "empty", bad: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseStat([]byte(c.text))
			if (err != nil) != c.bad || got != c.want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
