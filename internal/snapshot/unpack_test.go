package snapshot_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/runnerml/runner/internal/snapshot"
)

func TestUnpackInto(t *testing.T) {
	src := t.TempDir()
	tree{"a": "1", "d/b|755": "2"}.write(t, src)
	s := newStore(t)
	snap := take(t, s, src)
	want := read(t, src)
	tests := map[string]struct {
		prepare func(dst string) error
		err     error
	}{
		"absent":          {func(string) error { return nil }, nil},
		"empty directory": {func(dst string) error { return os.MkdirAll(dst, 0o700) }, nil},
		"absent parents":  {func(dst string) error { return os.RemoveAll(filepath.Dir(dst)) }, nil},
		"full directory":  {func(dst string) error { return os.MkdirAll(filepath.Join(dst, "x"), 0o700) }, snapshot.ErrNotEmpty},
		"a file":          {func(dst string) error { return os.WriteFile(dst, nil, 0o600) }, fs.ErrInvalid},
		"link to nowhere": {func(dst string) error { return os.Symlink("nowhere", dst) }, fs.ErrNotExist},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dst := filepath.Join(t.TempDir(), "parent", "dst")
			must(t, os.Mkdir(filepath.Dir(dst), 0o700))
			must(t, tt.prepare(dst))
			before := read(t, filepath.Dir(filepath.Dir(dst)))
			var last snapshot.Progress
			err := s.Unpack(t.Context(), snap.ID, dst, func(p snapshot.Progress) { last = p })
			if tt.err == nil {
				must(t, err)
				same(t, "unpacked", want, read(t, dst))
				same(t, "progress", snapshot.Progress{Files: 2, TotalFiles: 2, Bytes: 2, TotalBytes: 2}, last)
				return
			}
			if err == nil || name != "a file" && !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			same(t, "what was there", before, read(t, filepath.Dir(filepath.Dir(dst))))
		})
	}
}

func TestUnpackCanceled(t *testing.T) {
	src := t.TempDir()
	tr := tree{"closed/|555": ""}
	for i := range 100 {
		tr["d/"+string(rune('a'+i))] = noise(byte(i), 10_000)
	}
	tr.write(t, src)
	s := newStore(t)
	snap := take(t, s, src)
	for _, there := range []bool{false, true} {
		dst := filepath.Join(t.TempDir(), "dst")
		if there {
			must(t, os.Mkdir(dst, 0o700))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		errWhy := errors.New("changed my mind")
		err := s.Unpack(ctx, snap.ID, dst, func(snapshot.Progress) { cancel(errWhy) })
		if !errors.Is(err, errWhy) {
			t.Errorf("error %v, want %v", err, errWhy)
		}
		_, err = os.Lstat(dst)
		same(t, "directory is there", there, err == nil)
		if there {
			same(t, "files left", 0, countFiles(t, dst))
		}
	}
}
