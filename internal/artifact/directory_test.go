package artifact

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func read(t *testing.T, d *Directory, name string) string {
	t.Helper()
	f, err := d.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// names lists "path", "path/" for an empty directory, "path -> target" for a link.
func names(t *testing.T, d *Directory) []string {
	t.Helper()
	files, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		switch {
		case f.Dir:
			out = append(out, f.Path+"/")
		case f.Link != "":
			out = append(out, f.Path+" -> "+f.Link)
		default:
			out = append(out, f.Path)
		}
	}
	return out
}

// everything lists all that is in the directory, ours and hidden things too.
func everything(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); rel != "." {
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tree(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "yet")
	d := OpenDirectory(dir)
	ctx := t.Context()
	if got := names(t, d); got != nil {
		t.Errorf("a directory that is not there lists %q", got)
	}
	odd := "outputs/ü \"quoted\"\nline/-rf"
	for _, step := range []error{
		d.Put(ctx, File{Path: "outputs/a/model.bin", Mode: 0o640, Size: 3}, strings.NewReader("one")),
		d.Put(ctx, File{Path: "outputs/a/model.bin", Mode: 0o755, Size: -1}, strings.NewReader("two")),
		d.Put(ctx, File{Path: odd, Mode: 0, Size: 3}, strings.NewReader("odd")),
		d.Mkdir(ctx, "outputs/empty"),
		d.Mkdir(ctx, "outputs/empty"),
		d.Link(ctx, "outputs/latest", "a/model.bin"),
		d.Put(ctx, File{Path: "outputs/was-dir/x", Mode: 0o600, Size: 1}, strings.NewReader("x")),
		d.Put(ctx, File{Path: "outputs/was-dir", Mode: 0o600, Size: 1}, strings.NewReader("y")),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	want := []string{"outputs/a/model.bin", "outputs/empty/", "outputs/latest -> a/model.bin", "outputs/was-dir", odd}
	if diff := cmp.Diff(want, names(t, d)); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]string{"outputs/a/model.bin": "two", "outputs/latest": "two", odd: "odd", "outputs/was-dir": "y"} {
		if got := read(t, d, name); got != want {
			t.Errorf("%q = %q, want %q", name, got, want)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "outputs/a/model.bin"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := os.Lstat(filepath.Join(dir, incoming)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s stays: %v", incoming, err)
	}
}

func TestPutCutHalfway(t *testing.T) {
	broken := errors.New("the line broke")
	for name, c := range map[string]struct {
		size int64
		r    io.Reader
		want error
	}{
		"error":     {-1, io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)), broken},
		"too short": {10, strings.NewReader("half"), io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			d := OpenDirectory(t.TempDir())
			if err := d.Put(t.Context(), File{Path: "outputs/f", Mode: 0o600, Size: -1}, strings.NewReader("whole")); err != nil {
				t.Fatal(err)
			}
			if err := d.Put(t.Context(), File{Path: "outputs/f", Mode: 0o600, Size: c.size}, c.r); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if got := read(t, d, "outputs/f"); got != "whole" {
				t.Errorf("content %q", got)
			}
			if diff := cmp.Diff([]string{"outputs", "outputs/f"}, without(everything(t, d.path), incoming)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func without(list []string, name string) []string {
	var out []string
	for _, s := range list {
		if s != name {
			out = append(out, s)
		}
	}
	return out
}

func TestNames(t *testing.T) {
	d := OpenDirectory(t.TempDir())
	for _, name := range []string{
		"", ".", "..", "/", "/etc/passwd", "other/file", "outputs/../x", "outputs//x", "outputs/./x", "outputs/", "../outputs/x", "outputs/a\x00b", "Outputs/x",
	} {
		var bad *NameError
		if err := d.Put(t.Context(), File{Path: name, Mode: 0o600, Size: 0}, strings.NewReader("")); !errors.As(err, &bad) {
			t.Errorf("Put(%q): %v", name, err)
		}
		if _, err := d.Open(t.Context(), name); !errors.As(err, &bad) {
			t.Errorf("Open(%q): %v", name, err)
		}
		if err := d.Adopt(t.Context(), name, t.TempDir()); !errors.As(err, &bad) {
			t.Errorf("Adopt(%q): %v", name, err)
		}
	}
}

func TestLeadsOut(t *testing.T) {
	for _, c := range []struct {
		name, target string
		want         bool
	}{
		{"outputs/a", "b", false},
		{"outputs/a", "./b/../c", false},
		{"outputs/a", "../logs/x", false},
		{"outputs/d/a", "../../logs", false},
		{"outputs/a", "/etc/passwd", true},
		{"outputs/a", "", true},
		{"outputs/a", "..", true},
		{"outputs/a", "../work/x", true},
		{"outputs/a", "../../x", true},
		{"outputs/a", "../../../outputs/x", true},
		{"outputs", "../x", true},
		{"outputs/a", "...", false},
	} {
		if got := LeadsOut(c.name, c.target); got != c.want {
			t.Errorf("LeadsOut(%q, %q) = %v", c.name, c.target, got)
		}
	}
	var leads *LinkError
	if err := OpenDirectory(t.TempDir()).Link(t.Context(), "outputs/a", "/etc"); !errors.As(err, &leads) {
		t.Errorf("Link: %v", err)
	}
}

// What a script left in its directory is never followed out of it.
func TestHostileTree(t *testing.T) {
	outside := tree(t, t.TempDir(), map[string]string{"secret": "s"})
	d := OpenDirectory(t.TempDir())
	if err := os.MkdirAll(filepath.Join(d.path, "outputs"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Symlink(outside, filepath.Join(d.path, "outputs/dir")),
		os.Symlink(filepath.Join(outside, "secret"), filepath.Join(d.path, "outputs/file")),
		syscall.Mkfifo(filepath.Join(d.path, "outputs/pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"outputs/dir/secret", "outputs/file", "outputs/pipe", "outputs"} {
		if f, err := d.Open(t.Context(), name); err == nil {
			t.Errorf("Open(%q) opened", name)
			_ = f.Close()
		}
	}
	if err := d.Put(t.Context(), File{Path: "outputs/dir/new", Mode: 0o600, Size: -1}, strings.NewReader("x")); err == nil {
		t.Error("Put followed a link out")
	}
	if err := d.Adopt(t.Context(), "outputs/dir/new", tree(t, t.TempDir(), nil)); err == nil {
		t.Error("Adopt followed a link out")
	}
	if diff := cmp.Diff([]string{"secret"}, everything(t, outside)); diff != "" {
		t.Error(diff)
	}
	if err := d.Put(t.Context(), File{Path: "outputs/file", Mode: 0o600, Size: -1}, strings.NewReader("mine")); err != nil {
		t.Error(err)
	}
	if got := read(t, d, "outputs/file"); got != "mine" {
		t.Errorf("Put over a link gave %q", got)
	}
}

func TestAdopt(t *testing.T) {
	places := map[string]func(t *testing.T) string{
		"same file system": func(t *testing.T) string { return t.TempDir() },
		"another file system": func(t *testing.T) string {
			dir, err := os.MkdirTemp("/dev/shm", "artifact")
			if err != nil {
				t.Skip("no second file system here")
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			var a, b syscall.Stat_t
			if syscall.Stat(dir, &a) != nil || syscall.Stat(t.TempDir(), &b) != nil || a.Dev == b.Dev {
				t.Skip("no second file system here")
			}
			return dir
		},
	}
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			base := place(t)
			d := OpenDirectory(t.TempDir())
			ctx := t.Context()
			if err := d.Put(ctx, File{Path: "outputs/old", Mode: 0o600, Size: -1}, strings.NewReader("old")); err != nil {
				t.Fatal(err)
			}
			from := tree(t, filepath.Join(base, "outputs"), map[string]string{"a": "1", "d/b": "2"})
			for _, err := range []error{
				os.Mkdir(filepath.Join(from, "empty"), 0o755), os.Symlink("d/b", filepath.Join(from, "link")),
				os.Chmod(filepath.Join(from, "a"), 0o755), os.Chmod(filepath.Join(from, "d"), 0o500),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Adopt(ctx, "outputs", from); err != nil {
				t.Fatal(err)
			}
			want := []string{"outputs/a", "outputs/d/b", "outputs/empty/", "outputs/link -> d/b"}
			if diff := cmp.Diff(want, names(t, d)); diff != "" {
				t.Error(diff)
			}
			if info, err := os.Stat(filepath.Join(d.path, "outputs/a")); err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("mode %v, %v", info, err)
			}
			if _, err := os.Lstat(from); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what was adopted is still there: %v", err)
			}
			if err := d.Adopt(ctx, "outputs", from); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("adopting nothing: %v", err)
			}
			if diff := cmp.Diff(want, names(t, d)); diff != "" {
				t.Errorf("adopting nothing lost something: %s", diff)
			}
			log := filepath.Join(tree(t, base, map[string]string{"log": "text"}), "log")
			if err := d.Adopt(ctx, "logs/std_log.txt", log); err != nil {
				t.Fatal(err)
			}
			if got := read(t, d, "logs/std_log.txt"); got != "text" {
				t.Errorf("log %q", got)
			}
			if _, err := os.Lstat(filepath.Join(d.path, incoming)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s stays: %v", incoming, err)
			}
		})
	}
}

func TestConcurrent(t *testing.T) {
	d := OpenDirectory(filepath.Join(t.TempDir(), "new"))
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if err := d.Put(t.Context(), File{Path: fmt.Sprintf("outputs/%d/%d", i%5, i), Mode: 0o600, Size: -1}, strings.NewReader("x")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := len(names(t, d)); got != 50 {
		t.Errorf("%d files", got)
	}
}

func TestListHidesOurs(t *testing.T) {
	d := OpenDirectory(tree(t, t.TempDir(), map[string]string{
		"logs/std_log.idx": "i", "logs/std_log.txt": "l", "work/outputs/x": "x", "outputs/std_log.idx": "kept",
	}))
	if diff := cmp.Diff([]string{"logs/std_log.txt", "outputs/std_log.idx"}, names(t, d)); diff != "" {
		t.Error(diff)
	}
}

// TestDigestFirst is about a file that has grown since it was listed.
func TestDigestFirst(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "outputs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "outputs", "log"), []byte("abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := OpenView(dir)
	want := sha256.Sum256([]byte("abc"))
	if got, err := d.DigestFirst(t.Context(), "outputs/log", 3); err != nil || !bytes.Equal(got, want[:]) {
		t.Errorf("%x, %v, want %x", got, err, want)
	}
	if _, err := d.DigestFirst(t.Context(), "outputs/log", 7); !errors.Is(err, ErrChanged) {
		t.Errorf("of a file that has become shorter: %v", err)
	}
}
