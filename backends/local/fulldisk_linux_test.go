package local_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
)

func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a small disk is mounted by root only")
	}
	c := newComputer(t, "")
	small := filepath.Join(c.home, "runs")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("no small disk here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	big := c.attempt(nil, "true", map[string]string{"big": strings.Repeat("x", 2<<20)})
	err := c.Prepare(t.Context(), big, nil)
	if backends.OutcomeOf(err) != run.OutcomeEnvironmentFailed || !strings.Contains(backends.HintOf(err), "full") {
		t.Errorf("error %v, outcome %s, hint %q", err, backends.OutcomeOf(err), backends.HintOf(err))
	}
	if err := c.Release(t.Context(), big.Ref()); err != nil {
		t.Fatal(err)
	}
	fits := c.attempt(nil, "echo fits", map[string]string{"small": "x"})
	ref := c.begin(fits)
	if o := c.ended(ref); o.Outcome != run.OutcomeCompleted {
		t.Errorf("after a full disk: %+v", o)
	}
}
