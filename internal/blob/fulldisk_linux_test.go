package blob

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runnerml/runner/internal/testenv"
)

func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	testenv.SmallDisk(t, disk, "size=1m")
	s := testenv.Azurite(t)
	c := open(t, s, s.Addr, "full", Options{BlockSize: mib})
	create(t, c)
	large := content(3, 3*mib)
	if _, err := c.Upload(t.Context(), Upload{From: write(t, filepath.Join(t.TempDir(), "large"), large), Name: "large"}); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(disk, "large")
	err := c.Download(t.Context(), Download{Blob: Blob{Name: "large"}, To: to})
	if ProblemOf(err) != Local || err.Error() != "there is no space left on this disk: "+to || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}
