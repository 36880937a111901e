package hosttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/host"
)

func testFiles(t *testing.T, f *fixture) {
	f.ok(f.MkdirAll(f.ctx(), f.path("a", "b c", "d"), 0o700))
	f.ok(f.MkdirAll(f.ctx(), f.path("a", "b c", "d"), 0o700))
	f.write("a/b c/d/two", "0123456789")
	f.write("a/b c/d/one", "")
	f.ok(f.Run(f.ctx(), host.Command{Argv: []string{"ln", "-s", "to nowhere", f.path("a", "link")}}))

	entries, err := f.ReadDir(f.ctx(), f.path("a", "b c", "d"))
	f.ok(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"one", "two"}, names); diff != "" {
		t.Error("ReadDir:", diff)
	}
	file, err := f.Open(f.ctx(), f.path("a", "b c", "d", "two"))
	f.ok(err)
	info, err := file.Stat()
	f.ok(err)
	if info.Size() != 10 {
		t.Errorf("size %d", info.Size())
	}
	if _, err := file.Seek(7, io.SeekStart); err != nil {
		t.Error(err)
	}
	rest, err := io.ReadAll(file)
	f.ok(errors.Join(err, file.Close()))
	if string(rest) != "789" {
		t.Errorf("read %q", rest)
	}
	target, err := f.Readlink(f.ctx(), f.path("a", "link"))
	f.ok(err)
	if target != "to nowhere" {
		t.Errorf("link to %q", target)
	}
	if info, err := f.Lstat(f.ctx(), f.path("a", "link")); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("Lstat: %v %v", info, err)
	}
	if _, err := f.Stat(f.ctx(), f.path("a", "link")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of a link to nowhere: %v", err)
	}
	if _, err := f.Open(f.ctx(), f.path("nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of nothing: %v", err)
	}
	if _, err := f.ReadDir(f.ctx(), f.path("nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadDir of nothing: %v", err)
	}
	f.ok(f.Rename(f.ctx(), f.path("a", "b c"), f.path("moved")))
	if _, err := f.Stat(f.ctx(), f.path("moved", "d", "two")); err != nil {
		t.Error(err)
	}
}

func testWriteFile(t *testing.T, f *fixture) {
	path := f.path("file ü")
	for _, c := range []struct {
		name string
		data []byte
		mode fs.FileMode
	}{
		{"new", []byte("one"), 0o600},
		{"over it, with another mode", bytes.Repeat([]byte{0, 1, 255}, 1<<20), 0o755},
		{"empty", nil, 0o444},
		{"over one that is read only", []byte("x"), 0o600},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.ok(f.WriteFile(f.ctx(), path, c.data, c.mode))
			file, err := f.Open(f.ctx(), path)
			f.ok(err)
			got, err := io.ReadAll(file)
			f.ok(errors.Join(err, file.Close()))
			if !bytes.Equal(c.data, got) {
				t.Errorf("%d bytes came back of %d", len(got), len(c.data))
			}
			info, err := f.Stat(f.ctx(), path)
			f.ok(err)
			if info.Mode().Perm() != c.mode {
				t.Errorf("mode %o, want %o", info.Mode().Perm(), c.mode)
			}
		})
	}
	if err := f.WriteFile(f.ctx(), f.path("no", "such", "dir"), nil, 0o600); err == nil {
		t.Error("no error without a directory")
	}
	ctx, cancel := context.WithCancel(f.ctx())
	cancel()
	if err := f.WriteFile(ctx, f.path("late"), nil, 0o600); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of ctx: %v", err)
	}
	entries, err := f.ReadDir(f.ctx(), f.Root())
	f.ok(err)
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func testRemoveAll(t *testing.T, f *fixture) {
	f.write("kept", "x")
	f.ok(f.MkdirAll(f.ctx(), f.path("tree", "shut", "deep"), 0o700))
	f.write("tree/shut/deep/file", "x")
	f.ok(f.Run(f.ctx(), host.Command{Argv: []string{"sh", "-c", "ln -s ../../kept tree/shut/out; ln -s ../.. tree/shut/up; chmod 000 tree/shut/deep; chmod 500 tree/shut"}}))
	f.ok(f.RemoveAll(f.ctx(), f.path("tree")))
	if _, err := f.Lstat(f.ctx(), f.path("tree")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if _, err := f.Lstat(f.ctx(), f.path("kept")); err != nil {
		t.Errorf("a link was followed: %v", err)
	}
	f.ok(f.RemoveAll(f.ctx(), f.path("tree")))
	f.ok(f.RemoveAll(f.ctx(), f.path("kept")))
}

// testDial dials sockets that listen where the test runs, so it is for hosts
// that are this computer under another name.
func testDial(t *testing.T, f *fixture) {
	dir, err := os.MkdirTemp("", "dial-*") //nolint:usetesting // a socket's name must be short
	f.ok(err)
	t.Cleanup(func() { f.ok(os.RemoveAll(dir)) })
	f.ok(os.Chmod(dir, 0o755)) // the host's user may be another
	for _, c := range []struct{ network, address string }{
		{"tcp", "127.0.0.1:0"},
		{"unix", dir + "/s"},
	} {
		t.Run(c.network, func(t *testing.T) {
			l, err := net.Listen(c.network, c.address)
			f.ok(err)
			defer l.Close()
			if c.network == "unix" {
				f.ok(os.Chmod(c.address, 0o666))
			}
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = io.Copy(conn, conn) // an echo; the test reads what comes
			}()
			conn, err := f.Dial(f.ctx(), c.network, l.Addr().String())
			f.ok(err)
			defer conn.Close()
			_, err = io.Copy(conn, strings.NewReader("hello"))
			f.ok(err)
			got := make([]byte, 5)
			_, err = io.ReadFull(conn, got)
			f.ok(err)
			if string(got) != "hello" {
				t.Errorf("got %q", got)
			}
		})
	}
	if _, err := f.Dial(f.ctx(), "unix", dir+"/nobody"); err == nil {
		t.Error("no error where nobody listens")
	}
}
