package snapshot_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runnerml/runner/internal/snapshot"
)

func TestTakeAndUnpack(t *testing.T) {
	big := strings.Repeat("a long line that shrinks well\n", 150_000) // more than one chunk
	src := t.TempDir()
	tree{
		"train.py":                "print('hi')\n",
		"run.sh|755":              "#!/bin/sh\n",
		"secret|600":              "x",
		"empty":                   "",
		"empty dir/":              "",
		"deep/er/still/":          "",
		"closed/|500":             "",
		"a":                       "a",
		"a-b":                     "sorts between a and a/",
		"dir/file":                "content",
		"dir.x":                   "content",
		"same":                    "content",
		"big":                     big,
		"link":                    "-> dir/file",
		"dir/up":                  "-> ../train.py",
		"dangling":                "-> nowhere",
		"loop":                    "-> loop",
		"bytes \xff\xfe\n\t'\"\\": "not UTF-8",
		"日本語/ü":                   "unicode",
		strings.Repeat("n", 255):  "long name",
	}.write(t, src)
	s := newStore(t)
	snap := take(t, s, src)
	want := read(t, src)
	same(t, "unpacked", want, unpack(t, s, snap.ID))
	same(t, "counts", snapshot.Totals{Files: 13, Links: 4, Dirs: 7, Bytes: snap.Bytes}, snap.Totals)
	if snap.Stored <= 0 || snap.Stored >= snap.Bytes {
		t.Errorf("stored %d of %d bytes, want fewer but some", snap.Stored, snap.Bytes)
	}

	again := take(t, openStore(t, filepath.Join(t.TempDir(), "other")), src)
	same(t, "ID in another store", snap.ID, again.ID)
	copied := filepath.Join(t.TempDir(), "copy")
	must(t, s.Unpack(t.Context(), snap.ID, copied, nil))
	fromCopy := take(t, s, copied)
	same(t, "ID of a copy", snap.ID, fromCopy.ID)
	same(t, "stored for a copy", int64(0), fromCopy.Stored)
}

func TestTakeSeesEveryChange(t *testing.T) {
	changes := map[string]func(t *testing.T, dir string){
		"content":                func(t *testing.T, dir string) { must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("other"), 0o644)) },
		"same size, same second": func(t *testing.T, dir string) { must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("B"), 0o644)) },
		"mode":                   func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, "f"), 0o755)) },
		"new file":               func(t *testing.T, dir string) { must(t, os.WriteFile(filepath.Join(dir, "d/new"), nil, 0o644)) },
		"new directory":          func(t *testing.T, dir string) { must(t, os.Mkdir(filepath.Join(dir, "d/new"), 0o755)) },
		"file gone":              func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "f"))) },
		"directory gone":         func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "e"))) },
		"directory mode":         func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, "e"), 0o700)) },
		"link retargeted": func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "l")))
			must(t, os.Symlink("d", filepath.Join(dir, "l")))
		},
		"file to directory": func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "f")))
			must(t, os.Mkdir(filepath.Join(dir, "f"), 0o755))
		},
		"old time set back": func(t *testing.T, dir string) {
			path := filepath.Join(dir, "f")
			info, err := os.Stat(path)
			must(t, err)
			must(t, os.WriteFile(path, []byte("C"), 0o644))
			must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		},
		"ignore rule": func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("f\n"), 0o644))
		},
	}
	for name, change := range changes {
		for _, aged := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, aged %v", name, aged), func(t *testing.T) {
				t.Parallel()
				src := t.TempDir()
				tree{"f": "A", "d/x": "x", "e/": "", "l": "-> f"}.write(t, src)
				s := newStore(t)
				if aged {
					waitUntilReused(t, s, src, 2)
				}
				before := take(t, s, src)
				change(t, src)
				after := take(t, s, src)
				if before.ID == after.ID {
					t.Errorf("the change was not seen")
				}
				same(t, "ID with an empty cache", take(t, newStore(t), src).ID, after.ID)
				want := read(t, src)
				if name == "ignore rule" {
					delete(want, "f")
				}
				same(t, "unpacked", want, unpack(t, s, after.ID))
			})
		}
	}
}

// waitUntilReused takes pictures until the files are old enough to be trusted.
func waitUntilReused(t testing.TB, s *snapshot.Store, src string, files int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		snap := take(t, s, src)
		if snap.Reused == files {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %d of %d files are ever reused", snap.Reused, files)
		}
	}
}

func TestTakeDoesNotReadUnchangedFiles(t *testing.T) {
	src := t.TempDir()
	tree{"a": "1", "b/c": "2", "d": ""}.write(t, src)
	s := newStore(t)
	first := take(t, s, src)
	waitUntilReused(t, s, src, 3)
	second := take(t, s, src)
	same(t, "second picture", snapshot.Snapshot{ID: first.ID, Totals: first.Totals, Reused: 3}, second)

	must(t, os.WriteFile(filepath.Join(src, "a"), []byte("new"), 0o644))
	third := take(t, s, src)
	same(t, "reused after one change", 2, third.Reused)
}

func TestTakeRefuses(t *testing.T) {
	tests := map[string]struct {
		tree  tree
		opt   snapshot.Options
		extra func(t *testing.T, dir string)
		want  error
		text  []string
	}{
		"links that lead out": {
			tree: tree{
				"abs": "-> /etc/passwd", "up": "-> ../x", "d/up": "-> ../../x", "d/in": "-> ../ok", "ok": "-> .",
				"far": "-> d/e/l/../x", "d/e/l": "-> ../..",
				"gone/": "", "away": "-> nowhere/../../x",
			},
			want: &snapshot.LinkError{Links: []snapshot.LeadingLink{
				{Path: "abs", Target: "/etc/passwd"},
				{Path: "away", Target: "nowhere/../../x"},
				{Path: "d/up", Target: "../../x"},
				{Path: "far", Target: "d/e/l/../x"},
				{Path: "up", Target: "../x"},
			}, Ignore: ".runnerignore"},
			text: []string{"abs -> /etc/passwd", "d/up -> ../../x"},
		},
		"special files": {
			tree: tree{"a": ""},
			extra: func(t *testing.T, dir string) {
				must(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o644))
				fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
				must(t, err)
				t.Cleanup(func() { must(t, unix.Close(fd)) })
				must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(dir, "s")}))
			},
			want: &snapshot.SpecialFileError{Files: []snapshot.SpecialFile{{Path: "pipe", Kind: "named pipe"}, {Path: "s", Kind: "socket"}}, Ignore: ".runnerignore"},
			text: []string{"pipe (named pipe)", "s (socket)"},
		},
		"too large": {
			tree: tree{
				"a": strings.Repeat("x", 3<<20), "b/b": strings.Repeat("y", 2<<20), "c": "1", "d": "22", "e": "333",
				"f": "4444", "g": "55555", "h": "666666", "i": "7777777", "j": "88888888", "k": "999999999", ".amlignore": "",
			},
			opt:  snapshot.Options{MaxBytes: 4 << 20},
			text: []string{"is 5.0 MiB, more than the limit of 4.0 MiB", "3.0 MiB  a\n", "2.0 MiB  b/b\n", "0.0 MiB  d"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			src := t.TempDir()
			tt.tree.write(t, src)
			if tt.extra != nil {
				tt.extra(t, src)
			}
			s := newStore(t)
			_, err := s.Take(t.Context(), src, tt.opt)
			if err == nil {
				t.Fatal("no error")
			}
			if tt.want != nil {
				same(t, "error", tt.want, err)
			}
			for _, text := range tt.text {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("error %q does not say %q", err, text)
				}
			}
			list, err := s.List()
			must(t, err)
			same(t, "snapshots kept", 0, len(list))
		})
	}
}

func TestTooLargeNamesTen(t *testing.T) {
	src := t.TempDir()
	tr := tree{".amlignore": "skipped\n", "skipped": strings.Repeat("x", 1000)}
	for i := range 20 {
		tr[fmt.Sprintf("f%02d", i)] = strings.Repeat("x", i)
	}
	tr.write(t, src)
	_, err := newStore(t).Take(t.Context(), src, snapshot.Options{MaxBytes: 100})
	var large *snapshot.TooLargeError
	if !errors.As(err, &large) {
		t.Fatalf("error %v, want TooLargeError", err)
	}
	names := make([]string, len(large.Largest))
	for i, f := range large.Largest {
		names[i] = f.Path
	}
	same(t, "largest", []string{"f19", "f18", "f17", "f16", "f15", "f14", "f13", "f12", "f11", "f10"}, names)
	if !strings.Contains(large.Hint(), ".amlignore") {
		t.Errorf("hint %q does not name the ignore file in use", large.Hint())
	}
}

func TestTakeLeavesOut(t *testing.T) {
	src := t.TempDir()
	home := filepath.Join(src, "runner home")
	tree{
		"keep":                 "",
		".git/config":          "",
		"sub/.git":             "gitdir: elsewhere",
		"sub/__pycache__/x":    "",
		".venv/bin/python":     "-> /usr/bin/python3",
		".runner/runner.db":    "",
		"runner home/runs/1/x": "",
		"data/big.bin":         "",
		"notes.tmp":            "",
	}.write(t, src)
	s := openStore(t, filepath.Join(src, "store"))
	snap, err := s.Take(t.Context(), src, snapshot.Options{Exclude: []string{"/data", "*.tmp"}, SkipDirs: []string{home, "/nonexistent"}})
	must(t, err)
	m, err := s.Manifest(t.Context(), snap.ID)
	must(t, err)
	var paths []string
	for _, e := range m.Entries {
		paths = append(paths, e.Path)
	}
	same(t, "paths", []string{"keep", "sub"}, paths)
	if _, ok := m.Find("keep"); !ok {
		t.Error("Find does not find keep")
	}
	if _, ok := m.Find("data/big.bin"); ok {
		t.Error("Find finds what was left out")
	}
}

func TestTakeProgress(t *testing.T) {
	src := t.TempDir()
	tree{"a": "12345", "b/c": "678"}.write(t, src)
	s := newStore(t)
	for _, run := range []string{"first", "again"} {
		var got []snapshot.Progress
		_, err := s.Take(t.Context(), src, snapshot.Options{Progress: func(p snapshot.Progress) { got = append(got, p) }})
		must(t, err)
		same(t, run+": begins with", snapshot.Progress{TotalFiles: 2, TotalBytes: 8}, got[0])
		same(t, run+": ends with", snapshot.Progress{Files: 2, TotalFiles: 2, Bytes: 8, TotalBytes: 8}, got[len(got)-1])
	}
}

func TestTakeFailsClearly(t *testing.T) {
	s := newStore(t)
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for dir, want := range map[string]string{
		filepath.Join(filepath.Dir(file), "absent"): "no such file",
		file: "not a directory",
	} {
		if _, err := s.Take(t.Context(), dir, snapshot.Options{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("Take(%s): %v, want %q and the path", dir, err, want)
		}
	}
}

func TestListAndHas(t *testing.T) {
	src := t.TempDir()
	tree{"a": "1"}.write(t, src)
	s := newStore(t)
	one := take(t, s, src)
	tree{"b": "2"}.write(t, src)
	two := take(t, s, src)
	list, err := s.List()
	must(t, err)
	ids := []snapshot.ID{list[0].ID, list[1].ID}
	want := []snapshot.ID{one.ID, two.ID}
	slices.Sort(want)
	same(t, "list", want, ids)
	for _, id := range want {
		same(t, "has", true, s.Has(id))
	}
	for _, id := range []snapshot.ID{"", "sha256:", "sha256:../../x", snapshot.ID("sha256:" + strings.Repeat("0", 64))} {
		same(t, "has "+string(id), false, s.Has(id))
	}
	if _, err := s.Manifest(t.Context(), snapshot.ID("sha256:"+strings.Repeat("0", 64))); !errors.Is(err, snapshot.ErrNotFound) {
		t.Errorf("manifest of nothing: %v", err)
	}
}

func TestDryRunStoresNothing(t *testing.T) {
	src := t.TempDir()
	tree{"a": "1", "d/b": strings.Repeat("2", 3<<20)}.write(t, src)
	dir := filepath.Join(t.TempDir(), "objects")
	s := openStore(t, dir)
	dry := func() snapshot.Snapshot {
		t.Helper()
		snap, err := s.Take(t.Context(), src, snapshot.Options{DryRun: true})
		must(t, err)
		return snap
	}
	first := dry()
	for _, part := range []string{"packs", "manifests", "sources", "tmp"} {
		same(t, part, 0, countFiles(t, filepath.Join(dir, part)))
	}
	taken := take(t, s, src)
	same(t, "ID", taken.ID, first.ID)
	same(t, "totals", taken.Totals, first.Totals)
	waitUntilReused(t, s, src, 2)
	same(t, "unchanged", snapshot.Snapshot{ID: taken.ID, Totals: taken.Totals, Reused: 2}, dry())
	tree{"c": "3"}.write(t, src)
	changed := dry()
	if changed.ID == taken.ID || s.Has(changed.ID) || changed.Reused != 2 {
		t.Errorf("after a change: %+v, want another ID that is not stored", changed)
	}
}
