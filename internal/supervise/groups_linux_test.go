package supervise

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUnifiedGroup: a process is born in a v2 group, and all of it can be
// killed and the group removed. It needs no controller, so it also runs where
// v1 has them all.
func TestUnifiedGroup(t *testing.T) {
	m := readMounts()
	if m.v2 == "" || os.Geteuid() != 0 {
		t.Skip("no unified hierarchy that we may use")
	}
	g := &groups{v2: filepath.Join(m.v2, m.v2Own, groupPrefix+"test-unified")}
	if err := makeGroup(g.v2); err != nil {
		t.Skip("no group can be made here:", err)
	}
	t.Cleanup(g.remove)
	cmd := exec.Command("sh", "-c", "setsid sleep 1000 & cat /proc/self/cgroup; sleep 1000")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	err = g.around(func(cgroup int) error {
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: cgroup}
		return cmd.Start()
	})
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	said := ""
	for !strings.Contains(said, "0::") {
		n, err := out.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		said += string(buf[:n])
	}
	if !strings.Contains(said, groupPrefix+"test-unified") {
		t.Errorf("it is in %s", said)
	}
	g.kill()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it lives")
	}
	g.remove()
	if _, err := os.Stat(g.v2); err == nil {
		t.Error("the group is left")
	}
	if g.oomKills() != 0 {
		t.Error("kills for want of memory where nothing was limited")
	}
}

// TestUnifiedLimits writes the limits into a directory that looks like one of
// the kernel's.
func TestUnifiedLimits(t *testing.T) {
	for _, c := range []struct {
		name  string
		tree  map[string]string
		own   string
		group string // where it is made; empty: nowhere
	}{
		{
			"in the group above ours, which gives its controllers down",
			map[string]string{"cgroup.subtree_control": "", "app.slice/cgroup.subtree_control": "cpu memory pids\n", "app.slice/x.scope/cgroup.subtree_control": ""},
			"/app.slice/x.scope", "app.slice",
		},
		{"in our own", map[string]string{"cgroup.subtree_control": "memory cpu"}, "/", "."},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range c.tree {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				// A directory refuses writes as the kernel does for a group
				// that has processes.
				if text == "" {
					if err := os.Mkdir(path, 0o700); err != nil {
						t.Fatal(err)
					}
					continue
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			dir := ""
			for d := filepath.Join(root, c.own); ; d = filepath.Dir(d) {
				if offers(d, []string{"memory", "cpu"}) {
					dir = d
					break
				}
				if d == root {
					break
				}
			}
			if want := filepath.Join(root, c.group); dir != want {
				t.Errorf("made in %q, want %q", dir, want)
			}
		})
	}
}
