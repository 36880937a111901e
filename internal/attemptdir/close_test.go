package attemptdir_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/attemptdir"
	"github.com/runnerml/runner/internal/supervise"
)

var errParking = errors.New("no room")

// What is there of an attempt decides what closing it does.
func TestClose(t *testing.T) {
	for _, c := range []struct {
		name   string
		files  []string // in the attempt's directory
		park   bool
		fails  bool     // parking does
		parked bool     // it was asked
		left   []string // below the directory of attempts
	}{
		{name: "all that there may be", files: []string{"work/a", "sup/x", "inputs.half-1/b", ".unfinished-1", "attempt.json"}, left: []string{}},
		{name: "what has come home stays", files: []string{"work/a", "outputs/model", "attempt.json"}, left: []string{"1/outputs/model"}},
		{name: "kept", files: []string{"work/a", "work.list", "attempt.json"}, park: true, parked: true, left: []string{}},
		{name: "nothing to keep", files: []string{"work/a", "attempt.json"}, park: true, left: []string{}},
		{
			name: "it cannot be kept", files: []string{"work/a", "work.list", "attempt.json"}, park: true, parked: true, fails: true,
			left: []string{"1/attempt.json", "1/work/a", "1/work.list"},
		},
		{name: "cut before the last step", left: []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			attempts := filepath.Join(t.TempDir(), "attempts")
			if err := os.Mkdir(attempts, 0o700); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(attempts, "1")
			for _, name := range c.files {
				write(t, filepath.Join(dir, name), "text")
			}
			in := func(name string) string { return filepath.Join(dir, name) }
			ask := attemptdir.Closing{
				Dir: dir, Begun: []string{"inputs.half-", ".unfinished-"},
				Names: []string{in("work"), in("work.unit"), in("work.list"), in("sup"), in("attempt.json")}, Parents: []string{attempts},
			}
			if c.park {
				ask.Park = &attemptdir.Parking{Work: in("work"), List: in("work.list"), Unit: in("work.unit")}
			}
			parked := false
			done, err := attemptdir.Close(t.Context(), ask, func(_ context.Context, p attemptdir.Parking) error {
				if parked = true; c.fails {
					return errParking
				}
				return os.Rename(p.Work, p.Unit)
			})
			if (err != nil) != c.fails || done.Stuck != "" || parked != c.parked {
				t.Errorf("%+v, parked %v, %v", done, parked, err)
			}
			left := []string{}
			_ = filepath.WalkDir(attempts, func(name string, e os.DirEntry, err error) error {
				if err == nil && !e.IsDir() {
					below, _ := filepath.Rel(attempts, name)
					left = append(left, below)
				}
				return nil
			})
			if d := cmp.Diff(c.left, left); d != "" {
				t.Error(d)
			}
			if _, err := os.Stat(attempts); (err == nil) != (len(left) > 0) {
				t.Errorf("the directory of attempts: %v", err)
			}
		})
	}
}

func TestLook(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "1")
	ask := attemptdir.Looking{Sup: filepath.Join(dir, "sup"), Record: filepath.Join(dir, "attempt.json"), List: filepath.Join(dir, "work")}
	look := func() attemptdir.Looked {
		t.Helper()
		found, err := attemptdir.Look(ask)
		if err != nil || found.Status.Phase != supervise.Absent {
			t.Fatal(found, err)
		}
		return found
	}
	if found := look(); found.Record != nil {
		t.Errorf("nothing is there: %+v", found)
	}
	write(t, ask.Record, "")
	if found := look(); found.Record == nil || found.Entries != nil {
		t.Errorf("a record that was cut: %+v", found)
	}
	write(t, filepath.Join(ask.List, "a\xff"), "text")
	if err := os.MkdirAll(filepath.Join(ask.List, "outputs"), 0o700); err != nil {
		t.Fatal(err)
	}
	found := look()
	if d := cmp.Diff([]attemptdir.Entry{{Name: []byte("a\xff"), Mode: 0o600, Size: 4}}, found.Entries[:1]); d != "" {
		t.Error(d)
	}
	if len(found.Entries) != 2 || !found.Entries[1].Mode.IsDir() {
		t.Errorf("%+v", found.Entries)
	}
}
