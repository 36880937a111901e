package inventory_test

import (
	"context"
	"encoding/json"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/inventory"
	"github.com/runnerml/runner/internal/testenv"
)

// TestTakeHere asks the machine that the test runs on, whatever it is.
func TestTakeHere(t *testing.T) {
	h := host.NewHere(t.TempDir())
	defer h.Close()
	began := time.Now()
	inv, err := inventory.Take(t.Context(), h, inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("took %v", time.Since(began))
	if text, err := json.MarshalIndent(inv, "", "  "); err != nil {
		t.Error(err)
	} else {
		t.Logf("%s", text)
	}
	for _, f := range inventory.Diagnose(inv) {
		t.Logf("%-8s %-8s %s\n\t\t%s\n\t\t%s", f.Level, f.Subject, f.What, f.Means, f.Hint)
	}
	if inv.CPUs.Usable <= 0 || inv.CPUs.Usable > float64(runtime.NumCPU()) {
		t.Errorf("usable CPUs: %v, and Go may use %d", inv.CPUs.Usable, runtime.NumCPU())
	}
	if inv.Memory.Usable <= 0 || inv.Memory.Usable > inv.Memory.Total {
		t.Errorf("memory: %+v", inv.Memory)
	}
	if runtime.GOOS == "linux" && (inv.Disk.Total <= 0 || inv.Disk.FileSystem == "" || !inv.Disk.Writable) {
		t.Errorf("disk: %+v", inv.Disk)
	}
	if inv.System.Arch != runtime.GOARCH || inv.System.Kernel == "" || inv.System.Name == "" {
		t.Errorf("system: %+v", inv.System)
	}
	quick, err := inventory.Size(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	if full := inv.Size(); quick.CPUs != full.CPUs || quick.Memory != full.Memory || !slices.Equal(quick.GPUs, full.GPUs) {
		t.Errorf("Size says %+v, Take %+v", quick, full)
	}
}

// TestTakeDocker asks a real Docker engine.
func TestTakeDocker(t *testing.T) {
	docker := testenv.Docker(t)
	t.Setenv("DOCKER_HOST", docker.Host)
	h := host.NewHere(t.TempDir())
	defer h.Close()
	inv, err := inventory.Take(t.Context(), h, inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := inv.Docker
	if !d.Found || d.Version == "" || d.API == "" || d.CPUs <= 0 || d.Memory <= 0 || d.DiskFree <= 0 || d.NVIDIA || "unix://"+d.Socket != docker.Host {
		t.Errorf("%+v", d)
	}
}

func TestTakeCanceled(t *testing.T) {
	h := host.NewHere(t.TempDir())
	defer h.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := inventory.Take(ctx, h, inventory.Options{}); err == nil {
		t.Error("Take on a canceled context gave no error")
	}
	if _, err := inventory.Size(ctx, h); err == nil {
		t.Error("Size on a canceled context gave no error")
	}
}

func BenchmarkSize(b *testing.B) {
	h := host.NewHere(b.TempDir())
	defer h.Close()
	for b.Loop() {
		if _, err := inventory.Size(b.Context(), h); err != nil {
			b.Fatal(err)
		}
	}
}
