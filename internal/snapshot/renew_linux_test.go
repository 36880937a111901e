package snapshot_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/runnerml/runner/internal/snapshot"
)

// workingCopy is a directory that holds a snapshot, and what is known of it.
type workingCopy struct {
	store *snapshot.Store
	dir   string
	known *snapshot.Copy
}

// renew makes the directory hold a snapshot. What is known of it goes through
// its bytes, as between two processes.
func (w *workingCopy) renew(t testing.TB, id snapshot.ID, trust bool) (kept int, err error) {
	t.Helper()
	m, err := w.store.Manifest(t.Context(), id)
	must(t, err)
	r, err := w.store.Renew(t.Context(), w.dir, w.known, m)
	if err != nil {
		return 0, err
	}
	missing, err := r.Missing(t.Context())
	must(t, err)
	if len(missing) > 0 {
		t.Fatalf("%d contents are missing", len(missing))
	}
	made, err := r.Apply(t.Context(), nil)
	if err != nil {
		return 0, err
	}
	if trust {
		made.Trust()
	}
	data, err := made.MarshalBinary()
	must(t, err)
	w.known = &snapshot.Copy{}
	must(t, w.known.UnmarshalBinary(data))
	return r.Kept(), nil
}

// nextTick returns when a change made now has another time than one before.
func nextTick(t testing.TB) {
	t.Helper()
	probe := filepath.Join(t.TempDir(), "probe")
	stamp := func() time.Time {
		must(t, os.WriteFile(probe, nil, 0o600))
		must(t, os.Chmod(probe, 0o600))
		var st unix.Stat_t
		must(t, unix.Stat(probe, &st))
		return time.Unix(st.Ctim.Unix())
	}
	for first := stamp(); !stamp().After(first); {
		if time.Since(first) > time.Minute {
			t.Fatal("the file system's clock stands")
		}
	}
}

// plain is everything in dir, with what read does not tell: links to one file,
// extended attributes.
func plain(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := read(t, dir)
	for path := range all {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(dir, path), &st))
		if st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink != 1 {
			all[path] += fmt.Sprintf(" has %d names", st.Nlink)
		}
		var names [1 << 10]byte
		if n, err := unix.Llistxattr(filepath.Join(dir, path), names[:]); err == nil && strings.Contains(string(names[:n]), "user.") {
			all[path] += " has attributes"
		}
	}
	return all
}

// inPlace changes a byte of a file and sets its times back.
func inPlace(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("!"), 0)
	return errors.Join(err, f.Close(), os.Chtimes(name, info.ModTime(), info.ModTime()))
}

// throughMemory changes a byte of a file that it has mapped.
func throughMemory(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() == 0 {
		return errors.Join(err, os.ErrInvalid)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	data[0] = '?'
	return unix.Munmap(data)
}

func TestRenewMakesItWhatItWas(t *testing.T) {
	source := tree{
		"a.py": "print(1)", "b.py|755": "print(2)", "empty": "", "pkg/one.py": "one", "pkg/two.py": "two", "pkg/deep/three.py": "three",
		"link": "-> pkg/one.py", "hollow/": "", "closed/x|444": "x",
	}
	join := filepath.Join
	for _, c := range []struct {
		name    string
		spoil   func(dir string) error
		strange bool // it cannot be made what it was
	}{
		{name: "nothing", spoil: func(string) error { return nil }},
		{name: "written in place, times set back", spoil: func(d string) error { return inPlace(join(d, "a.py")) }},
		{name: "written through memory", spoil: func(d string) error { return throughMemory(join(d, "a.py")) }},
		{name: "written and written back", spoil: func(d string) error {
			return errors.Join(os.WriteFile(join(d, "a.py"), []byte("other"), 0o600), os.WriteFile(join(d, "a.py"), []byte("print(1)"), 0o600))
		}},
		{name: "longer", spoil: func(d string) error { return os.WriteFile(join(d, "pkg/two.py"), []byte("two and more"), 0o600) }},
		{name: "emptied", spoil: func(d string) error { return os.Truncate(join(d, "a.py"), 0) }},
		{name: "filled", spoil: func(d string) error { return os.WriteFile(join(d, "empty"), []byte("no more"), 0o600) }},
		{name: "removed", spoil: func(d string) error { return os.Remove(join(d, "pkg/deep/three.py")) }},
		{name: "all removed", spoil: func(d string) error {
			return errors.Join(os.RemoveAll(join(d, "pkg")), os.RemoveAll(join(d, "hollow")), os.Remove(join(d, "link")), os.Remove(join(d, "a.py")))
		}},
		{name: "mode", spoil: func(d string) error { return os.Chmod(join(d, "a.py"), 0o777) }},
		{name: "setuid", spoil: func(d string) error { return os.Chmod(join(d, "a.py"), 0o755|os.ModeSetuid) }},
		{name: "no rights", spoil: func(d string) error { return os.Chmod(join(d, "a.py"), 0) }},
		{name: "directory's mode", spoil: func(d string) error { return os.Chmod(join(d, "pkg"), 0o777|os.ModeSticky) }},
		{name: "directory closed, file in it changed", spoil: func(d string) error {
			return errors.Join(inPlace(join(d, "pkg/one.py")), os.Chmod(join(d, "pkg"), 0o500))
		}},
		{name: "file to link", spoil: func(d string) error {
			return errors.Join(os.Remove(join(d, "a.py")), os.Symlink("b.py", join(d, "a.py")))
		}},
		{name: "file to directory", spoil: func(d string) error {
			return errors.Join(os.Remove(join(d, "a.py")), os.MkdirAll(join(d, "a.py/in/it"), 0o700))
		}},
		{name: "directory to link out", spoil: func(d string) error {
			return errors.Join(os.RemoveAll(join(d, "pkg")), os.Symlink(t.TempDir(), join(d, "pkg")))
		}},
		{name: "directory to file", spoil: func(d string) error {
			return errors.Join(os.RemoveAll(join(d, "pkg")), os.WriteFile(join(d, "pkg"), nil, 0o600))
		}},
		{name: "link to another", spoil: func(d string) error {
			return errors.Join(os.Remove(join(d, "link")), os.Symlink("pkg/two.py", join(d, "link")))
		}},
		{name: "link to file", spoil: func(d string) error {
			return errors.Join(os.Remove(join(d, "link")), os.WriteFile(join(d, "link"), []byte("one"), 0o600))
		}},
		{name: "swapped", spoil: func(d string) error {
			return errors.Join(os.Rename(join(d, "pkg/one.py"), join(d, "x")), os.Rename(join(d, "pkg/two.py"), join(d, "pkg/one.py")), os.Rename(join(d, "x"), join(d, "pkg/two.py")))
		}},
		{name: "copied over with its times", spoil: func(d string) error {
			info, err := os.Stat(join(d, "pkg/one.py"))
			return errors.Join(err, os.WriteFile(join(d, "new"), []byte("eno"), 0o644), os.Chtimes(join(d, "new"), info.ModTime(), info.ModTime()), os.Rename(join(d, "new"), join(d, "pkg/one.py")))
		}},
		{name: "another name", spoil: func(d string) error { return os.Link(join(d, "a.py"), join(d, "again.py")) }},
		{name: "another name outside", spoil: func(d string) error { return os.Link(join(d, "a.py"), d+".py") }},
		{name: "more", spoil: func(d string) error {
			return errors.Join(os.MkdirAll(join(d, "outputs/deep"), 0o700), os.MkdirAll(join(d, "pkg/__pycache__"), 0o700),
				os.WriteFile(join(d, "pkg/__pycache__/one.pyc"), []byte("x"), 0o600), os.WriteFile(join(d, "hollow/no more"), nil, 0o600), os.Symlink("/etc", join(d, "pkg.")))
		}},
		{name: "pipe", spoil: func(d string) error { return syscall.Mkfifo(join(d, "pipe"), 0o600) }},
		{name: "pipe in place of a file", spoil: func(d string) error {
			return errors.Join(os.Remove(join(d, "a.py")), syscall.Mkfifo(join(d, "a.py"), 0o600))
		}},
		{name: "attribute of a file", spoil: func(d string) error { return unix.Setxattr(join(d, "a.py"), "user.x", []byte("y"), 0) }},
		{name: "attribute of a directory", spoil: func(d string) error { return unix.Setxattr(join(d, "pkg"), "user.x", []byte("y"), 0) }},
		{name: "the directory's own mode", spoil: func(d string) error { return os.Chmod(d, 0o711) }, strange: true},
		{name: "the directory's own attribute", spoil: func(d string) error { return unix.Setxattr(d, "user.x", []byte("y"), 0) }, strange: true},
		{name: "another directory", spoil: func(d string) error {
			return errors.Join(os.Rename(d, d+".old"), os.Mkdir(d, 0o755))
		}},
	} {
		for _, trust := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, trust %v", c.name, trust), func(t *testing.T) {
				src := t.TempDir()
				source.write(t, src)
				must(t, os.Chmod(filepath.Join(src, "closed"), 0o555))
				s := newStore(t)
				snap := take(t, s, src)
				w := &workingCopy{store: s, dir: filepath.Join(t.TempDir(), "work")}
				_, err := w.renew(t, snap.ID, trust)
				must(t, err)
				want := plain(t, w.dir)
				same(t, "made anew", read(t, src), read(t, w.dir))
				nextTick(t)
				if err := c.spoil(w.dir); errors.Is(err, unix.ENOTSUP) {
					t.Skip("no extended attributes here")
				} else {
					must(t, err)
				}
				kept, err := w.renew(t, snap.ID, trust)
				if c.strange {
					if !errors.Is(err, snapshot.ErrStrange) {
						t.Fatalf("error %v, want ErrStrange", err)
					}
					return
				}
				must(t, err)
				same(t, "renewed", want, plain(t, w.dir))
				if c.name == "nothing" && kept != snap.Files {
					t.Errorf("%d of %d files were kept", kept, snap.Files)
				}
				kept, err = w.renew(t, snap.ID, trust)
				must(t, err)
				if kept != snap.Files {
					t.Errorf("of what was renewed %d of %d files are kept", kept, snap.Files)
				}
			})
		}
	}
}

// TestRenewAnyTree spoils random trees in random ways, then makes them hold one
// or another snapshot.
func TestRenewAnyTree(t *testing.T) {
	s := newStore(t)
	name := rapid.SampledFrom([]string{"a", "b", "a.b", "a-", "c c", "\xff", "d"})
	content := rapid.SampledFrom([]string{"", "1", "2", strings.Repeat("long ", 5000)})
	rapid.Check(t, func(r *rapid.T) {
		work, err := os.MkdirTemp(t.TempDir(), "")
		must(t, err)
		grow := func(dir string) {
			for range rapid.IntRange(0, 12).Draw(r, "names") {
				path := filepath.Join(dir, name.Draw(r, "1"), name.Draw(r, "2"))
				_ = os.MkdirAll(filepath.Dir(path), 0o700) // a file has the name
				switch rapid.IntRange(0, 5).Draw(r, "what") {
				case 0:
					_ = os.Mkdir(path, os.FileMode(rapid.SampledFrom([]int{0o700, 0o555, 0o777}).Draw(r, "mode")))
				case 1:
					_ = os.Symlink(name.Draw(r, "target"), path)
				default:
					_ = os.WriteFile(path, []byte(content.Draw(r, "content")), os.FileMode(rapid.SampledFrom([]int{0o600, 0o644, 0o755, 0o400}).Draw(r, "mode")))
				}
			}
		}
		var ids []snapshot.ID
		for i := range 3 {
			src := filepath.Join(work, fmt.Sprint("src", i))
			must(t, os.Mkdir(src, 0o700))
			grow(src)
			ids = append(ids, take(t, s, src).ID)
		}
		trust := rapid.Bool().Draw(r, "trust")
		w := &workingCopy{store: s, dir: filepath.Join(work, "work")}
		_, err = w.renew(t, ids[0], trust)
		must(t, err)
		for range rapid.IntRange(1, 4).Draw(r, "rounds") {
			if trust {
				nextTick(t)
			}
			spoil(r, w.dir, name)
			grow(w.dir)
			id := rapid.SampledFrom(ids).Draw(r, "id")
			_, err := w.renew(t, id, trust)
			must(t, err)
			fresh := filepath.Join(work, "fresh")
			must(t, s.Unpack(t.Context(), id, fresh, nil))
			same(r, "renewed", plain(t, fresh), plain(t, w.dir))
			must(t, os.RemoveAll(fresh))
		}
	})
}

// spoil does something to some of what is in dir.
func spoil(r *rapid.T, dir string, name *rapid.Generator[string]) {
	var all []string
	_ = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if path != dir && err == nil {
			all = append(all, path)
		}
		return nil
	})
	if len(all) == 0 {
		return
	}
	for range rapid.IntRange(0, 4).Draw(r, "spoilt") {
		path := rapid.SampledFrom(all).Draw(r, "path")
		other := rapid.SampledFrom(all).Draw(r, "other")
		// Each may fail, because of what was done before: then nothing was.
		switch rapid.IntRange(0, 8).Draw(r, "how") {
		case 0:
			_ = os.RemoveAll(path)
		case 1:
			_ = os.Chmod(path, os.FileMode(rapid.IntRange(0o500, 0o777).Draw(r, "mode")))
		case 2:
			if !slices.ContainsFunc(all, func(p string) bool { return strings.HasPrefix(p, path+"/") }) {
				_ = os.RemoveAll(path)
				_ = os.Symlink(name.Draw(r, "to"), path)
			}
		case 3:
			_ = os.Link(path, other+"x")
		case 4:
			_ = os.Rename(path, other)
		case 5:
			_ = throughMemory(path)
		case 6:
			_ = unix.Lsetxattr(path, "user.x", []byte("y"), 0)
		case 7:
			_ = os.RemoveAll(path)
			_ = os.Mkdir(path, 0o755)
		default:
			_ = inPlace(path)
		}
	}
}

func TestRenewAfterACut(t *testing.T) {
	src := t.TempDir()
	for i := range 300 {
		tree{fmt.Sprintf("d%d/f%d", i%7, i): fmt.Sprint("one ", i)}.write(t, src)
	}
	s := newStore(t)
	one := take(t, s, src)
	for i := range 100 {
		tree{fmt.Sprintf("d%d/f%d", i%7, i): fmt.Sprint("two ", i)}.write(t, src)
	}
	must(t, os.RemoveAll(filepath.Join(src, "d6")))
	two := take(t, s, src)
	w := &workingCopy{store: s, dir: filepath.Join(t.TempDir(), "work")}
	_, err := w.renew(t, one.ID, false)
	must(t, err)
	// A kill leaves some of the work done, and what was known before.
	before := w.known
	_, err = w.renew(t, two.ID, false)
	must(t, err)
	must(t, os.RemoveAll(filepath.Join(w.dir, "d3")))
	w.known = before
	_, err = w.renew(t, two.ID, false)
	must(t, err)
	same(t, "after a cut", read(t, src), read(t, w.dir))
}

func TestDeltaIsWhatItIsOf(t *testing.T) {
	s := newStore(t)
	name := rapid.SampledFrom([]string{"a", "b", "a.b", "a-", "c", "\xff"})
	rapid.Check(t, func(r *rapid.T) {
		work, err := os.MkdirTemp(t.TempDir(), "")
		must(t, err)
		var ms []*snapshot.Manifest
		for i := range 2 {
			src := filepath.Join(work, fmt.Sprint(i))
			must(t, os.Mkdir(src, 0o700))
			for range rapid.IntRange(0, 10).Draw(r, "names") {
				path := filepath.Join(src, name.Draw(r, "1"), name.Draw(r, "2"))
				_ = os.MkdirAll(filepath.Dir(path), 0o700) // a file has the name
				_ = os.WriteFile(path, []byte(name.Draw(r, "content")), 0o600)
			}
			m, err := s.Manifest(t.Context(), take(t, s, src).ID)
			must(t, err)
			ms = append(ms, m)
		}
		got, err := ms[0].Apply(ms[1].Delta(ms[0]))
		must(t, err)
		same(r, "applied", ms[1], got)
	})
}

func TestDeltaIsChecked(t *testing.T) {
	base := &snapshot.Manifest{}
	good := &snapshot.Manifest{Entries: []snapshot.Entry{{Path: "d", Kind: snapshot.KindDir, Mode: 0o755}, {Path: "d/l", Kind: snapshot.KindLink, Target: "x"}}}
	for _, c := range []struct {
		name    string
		entries []snapshot.Entry
		cut     int
	}{
		{name: "leads out", entries: []snapshot.Entry{{Path: "../x", Kind: snapshot.KindDir}}},
		{name: "link leads out", entries: []snapshot.Entry{{Path: "l", Kind: snapshot.KindLink, Target: "../.."}}},
		{name: "beneath a link", entries: []snapshot.Entry{{Path: "l", Kind: snapshot.KindLink, Target: "d"}, {Path: "l/x", Kind: snapshot.KindDir}}},
		{name: "no directory", entries: []snapshot.Entry{{Path: "no/x", Kind: snapshot.KindDir}}},
		{name: "out of order", entries: []snapshot.Entry{{Path: "b", Kind: snapshot.KindDir}, {Path: "a", Kind: snapshot.KindDir}}},
		{name: "cut", entries: good.Entries, cut: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			delta := (&snapshot.Manifest{Entries: c.entries}).Delta(base)
			if _, err := base.Apply(delta[:len(delta)-c.cut]); err == nil {
				t.Error("it was applied")
			}
		})
	}
	if _, err := base.Apply(good.Delta(base)); err != nil {
		t.Errorf("a good one: %v", err)
	}
	if _, err := base.Apply([]byte("nonsense")); err == nil {
		t.Error("nonsense was applied")
	}
}
