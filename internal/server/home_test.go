package server_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/testenv"
)

func TestMakeHome(t *testing.T) {
	const nobody = 65534
	for _, c := range []struct {
		name   string
		before os.FileMode // zero: it is not there
		owner  int
		want   os.FileMode
	}{
		{name: "not there", want: 0o700},
		{name: "private", before: 0o700, want: 0o700},
		{name: "open to read", before: 0o755, want: 0o700},
		{name: "open to write", before: 0o777, want: 0o700},
		{name: "somebody else's", before: 0o755, owner: nobody, want: 0o755},
		{name: "everybody's", before: 0o777 | os.ModeSticky, want: 0o777},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "home")
			if c.before != 0 {
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(dir, c.before); err != nil {
					t.Fatal(err)
				}
			}
			if c.owner != 0 {
				testenv.Root(t, "a directory that is somebody else's")
				if err := os.Chown(dir, c.owner, c.owner); err != nil {
					t.Fatal(err)
				}
			}
			if err := server.Home(dir).Make(); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(dir)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != c.want {
				t.Errorf("mode %o, want %o", got, c.want)
			}
		})
	}
}
