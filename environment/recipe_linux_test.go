package environment_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/testenv"
)

func TestVenvRecipeDiskFull(t *testing.T) {
	disk := t.TempDir()
	testenv.SmallDisk(t, disk, "size=3m")
	prefix := filepath.Join(disk, "env")
	_, recipe := recipeOf(t, environment.Python{Pip: []string{"runner-alone"}}, prefix)
	result := newMachine(t, systemPython(t)).carryOut(t, recipe)
	if got := result.failure(); result.exit != environment.ExitFailed || !strings.Contains(got.Message, "no disk space left") || !strings.Contains(got.Hint, disk) {
		t.Errorf("exit %d, %+v:\n%s", result.exit, got, result.output)
	}
	nothingStays(t, prefix)
}
