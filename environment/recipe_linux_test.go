package environment_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/runnerml/runner/environment"
)

func TestVenvRecipeDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT TESTED: mounting a small disk needs root")
	}
	disk := t.TempDir()
	if err := syscall.Mount("none", disk, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	prefix := filepath.Join(disk, "env")
	_, recipe := recipeOf(t, environment.Python{Pip: []string{"runner-alone"}}, prefix)
	result := newMachine(t, systemPython(t)).carryOut(t, recipe)
	if got := result.failure(); result.exit != environment.ExitFailed || !strings.Contains(got.Message, "no disk space left") || !strings.Contains(got.Hint, disk) {
		t.Errorf("exit %d, %+v:\n%s", result.exit, got, result.output)
	}
	nothingStays(t, prefix)
}
