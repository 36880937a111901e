package artifact

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/runnerml/runner/internal/testenv"
)

// On a full disk nothing is visible, and nothing keeps it full.
func TestFullDisk(t *testing.T) {
	mount := t.TempDir()
	const size = 4 << 20
	testenv.SmallDisk(t, mount, "size=4m")
	d := OpenDirectory(filepath.Join(mount, "home"))
	if err := d.Put(t.Context(), File{Path: "outputs/small", Size: 1}, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := d.Put(t.Context(), File{Path: "outputs/large", Size: -1}, strings.NewReader(strings.Repeat("x", 2*size)))
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("error %v", err)
		}
	}
	if got := names(t, d); len(got) != 1 {
		t.Errorf("there is %q", got)
	}
	if err := d.Put(t.Context(), File{Path: "outputs/half", Size: -1}, strings.NewReader(strings.Repeat("x", size/2))); err != nil {
		t.Errorf("what was cut off takes its room: %v", err)
	}
}
