package attemptdir_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/attemptdir"
	"github.com/runnerml/runner/internal/supervise"
)

// What is there of an attempt decides what an opening does.
func TestOpen(t *testing.T) {
	for _, c := range []struct {
		name   string
		before string // the record; empty: none
		again  bool
		want   attemptdir.Opened
		record string
		stale  bool // is still there
	}{
		{"new", "", false, attemptdir.Opened{Written: true}, "mine", false},
		{"with a record", "before", false, attemptdir.Opened{Before: []byte("before")}, "before", true},
		{"with a record, again", "before", true, attemptdir.Opened{Before: []byte("before"), Written: true}, "mine", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "runs", "r", "attempts", "1")
			stale, record := filepath.Join(dir, "work.half"), filepath.Join(dir, "attempt.json")
			if c.before != "" {
				write(t, record, c.before)
				write(t, filepath.Join(stale, "file"), "")
			}
			found, err := attemptdir.Open(t.Context(), attemptdir.Opening{
				Dirs: []string{dir}, Sup: filepath.Join(dir, "sup"), Record: record, Content: []byte("mine"), Stale: []string{stale}, Replace: c.again,
			})
			if err != nil {
				t.Fatal(err)
			}
			if found.Status.Phase != supervise.Absent {
				t.Errorf("phase %s", found.Status.Phase)
			}
			found.Status = supervise.Status{}
			if diff := cmp.Diff(c.want, found); diff != "" {
				t.Error(diff)
			}
			if data, err := os.ReadFile(record); err != nil || string(data) != c.record {
				t.Errorf("the record holds %q, %v", data, err)
			}
			if _, err := os.Stat(stale); (err == nil) != c.stale {
				t.Errorf("what is stale: %v", err)
			}
		})
	}
}

// What is in a source decides whether it becomes the working directory.
func TestFinish(t *testing.T) {
	for _, c := range []struct {
		name, script string
		files        []string
		want         attemptdir.Finished
	}{
		{"a script", "run.sh", []string{"run.sh"}, attemptdir.Finished{Head: []byte("text"), Mode: 0o600}},
		{"no script wanted", "", nil, attemptdir.Finished{}},
		{"another name", "trian.sh", []string{"train.sh"}, attemptdir.Finished{NoScript: true, Near: "train.sh"}},
		{"in a directory", "train.sh", []string{"src/train.sh"}, attemptdir.Finished{NoScript: true, Near: "src/train.sh"}},
		{"a directory", "src", []string{"src/train.sh"}, attemptdir.Finished{IsDir: true}},
		{"a file named logs", "run.sh", []string{"run.sh", "logs"}, attemptdir.Finished{Head: []byte("text"), Mode: 0o600, InTheWay: "logs"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			half, work := filepath.Join(dir, "work.half"), filepath.Join(dir, "work")
			for _, name := range append(c.files, "data.csv") {
				write(t, filepath.Join(half, name), "text")
			}
			f := attemptdir.Finishing{Work: work, Script: c.script, Head: 16, Make: []string{"outputs", "logs"}}
			found, err := attemptdir.Finish(half, f)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, found); diff != "" {
				t.Error(diff)
			}
			again, there, err := attemptdir.Before(f)
			if err != nil || there != c.want.OK() {
				t.Fatalf("it is there: %v, %v", there, err)
			}
			if !there {
				return
			}
			if diff := cmp.Diff(c.want, again); diff != "" {
				t.Errorf("whose answer was lost:\n%s", diff)
			}
			if info, err := os.Stat(filepath.Join(work, "outputs")); err != nil || !info.IsDir() {
				t.Errorf("outputs: %v", err)
			}
		})
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
