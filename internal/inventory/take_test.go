package inventory

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/container"
)

// TestTakeThere asks a machine that is not this computer, with commands, for
// everything: two H100, Ubuntu, no engine for this user.
func TestTakeThere(t *testing.T) {
	fakeTools(t, map[string]string{
		"nvidia-smi": shown(t, "h100.xml"), "python3": answersAs("3.12.3", "/usr", true, true), "uv": "echo uv 0.5.14",
		"micromamba": "echo 2.0.5", "git": "echo git version 2.43.0",
	})
	b := newBox(t, t.TempDir())
	b.write(t, map[string]string{
		"/etc/os-release":                "ID=ubuntu\nID_LIKE=debian\nPRETTY_NAME=\"Ubuntu 24.04.2 LTS\"\n",
		"/proc/sys/kernel/osrelease":     "6.8.0-55-generic\n",
		"/proc/meminfo":                  "MemTotal: 67108864 kB\nMemAvailable: 33554432 kB\n",
		"/sys/devices/system/cpu/online": "0-15\n",
		"/proc/self/mountinfo":           "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n",
		"/proc/self/cgroup":              "0::/\n",
	})
	inv, err := Take(t.Context(), b, Options{Docker: func(context.Context) (EngineInfo, error) {
		return EngineInfo{}, &container.Error{Kind: container.PermissionDenied, Op: "find Docker engine"}
	}})
	if err != nil {
		t.Fatal(err)
	}
	size := inv.Size()
	if inv.Local || size.CPUs != 16 || size.Memory != 64*gibi || len(size.GPUs) != 2 || inv.Driver() != "550.54.15" {
		t.Errorf("local %v, size %+v, driver %q", inv.Local, size, inv.Driver())
	}
	if !inv.Clock.Known || inv.Clock.Skew > 2 || inv.Clock.Skew < -2 || inv.Disk.Total <= 0 || inv.System.Kernel != "6.8.0-55-generic" {
		t.Errorf("clock %+v, disk %+v, system %+v", inv.Clock, inv.Disk, inv.System)
	}
	if len(inv.Python) == 0 || inv.Python[0].Version != "3.12.3" || inv.UV == nil || inv.Git == nil || len(inv.Conda) == 0 {
		t.Errorf("tools: %+v %+v %+v %+v", inv.Python, inv.UV, inv.Git, inv.Conda)
	}
	if f := Diagnose(inv)[0]; f.Subject != subjectDocker && f.Subject != subjectMemory || f.Level != Warning {
		t.Errorf("the first finding is %+v", f)
	}
	data, err := json.Marshal(inv)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(data); strings.Contains(s, `"faults":null`) || !strings.Contains(s, `"gpus":[{"vendor":"nvidia"`) {
		t.Errorf("JSON: %s", s)
	}
}

// TestTakeWhileToolsHang: what hangs costs the limit once and a fault each.
func TestTakeWhileToolsHang(t *testing.T) {
	hang := "exec sleep 60"
	fakeTools(t, map[string]string{"nvidia-smi": hang, "git": hang, "conda": hang, "uv": hang, "python3": hang})
	began := time.Now()
	inv, err := Take(t.Context(), newBox(t, t.TempDir()), Options{
		ToolTimeout: time.Second,
		Docker: func(ctx context.Context) (EngineInfo, error) {
			<-ctx.Done()
			return EngineInfo{}, ctx.Err()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("took %v", took)
	}
	if len(inv.Faults) != 1 || inv.Faults[0].Kind != FaultHung || inv.Git.Error == "" || inv.UV.Error == "" || inv.Docker.Found {
		t.Errorf("faults %+v, git %+v, uv %+v", inv.Faults, inv.Git, inv.UV)
	}
	if w := Worst(Diagnose(inv)); w != Problem {
		t.Errorf("worst finding is %s", w)
	}
}
