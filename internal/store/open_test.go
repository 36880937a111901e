package store_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
)

// writeFixture keeps a database of the newest schema for those to come:
// go test ./internal/store -run TestMigrations -write-fixture
var writeFixture = flag.Bool("write-fixture", false, "write testdata/schema-N.db.gz of the newest schema")

// newestSchema is the number of the newest migration.
func newestSchema(t *testing.T) int {
	t.Helper()
	names, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	return len(names)
}

// fillFixture writes what every fixture holds: a run on its second attempt,
// with secrets and a lock, one that ended, an environment, and (from schema 2
// on) a target with a secret, which (from schema 4 on) is not reached.
func fillFixture(t *testing.T, s *store.Store) {
	t.Helper()
	r, _, err := s.CreateRun(t.Context(), newRun("iris-0000000001"), "request-1", map[string][]byte{"TOKEN": []byte("sealed")})
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, r.ID, withAttempt(run.Preparing))
	create(t, s, newRun("iris-0000000002"))
	finish(t, s, "iris-0000000002")
	if err := s.PutLock(t.Context(), r.ID, "numpy==2.0\n"); err != nil {
		t.Fatal(err)
	}
	if err := s.PutEnvironment(t.Context(), store.Environment{Name: "sk", Digest: "sha256:bb", CreatedAt: start}); err != nil {
		t.Fatal(err)
	}
	if err := s.AddTarget(t.Context(), gpubox()); err != nil {
		t.Fatal(err)
	}
	if err := s.MissTarget(t.Context(), "gpubox", start); err != nil {
		t.Fatal(err)
	}
}

// checkFixture sees that all of it is there, and can go on.
func checkFixture(t *testing.T, s *store.Store, schema int) {
	t.Helper()
	ctx := t.Context()
	want := newRun("iris-0000000001")
	want.State, want.Message = run.Preparing, string(run.Preparing)
	want.Attempts = []run.Attempt{{Number: 1, State: run.Preparing, Allocation: run.Allocation{CPUs: 1}}}
	got, err := s.Run(ctx, want.ID)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	if again, created, err := s.CreateRun(ctx, newRun("x"), "request-1", nil); err != nil || created || again.ID != want.ID {
		t.Errorf("the request made a second run: %v, %v", created, err)
	}
	sealed, err := s.Sealed(ctx, want.ID)
	if string(sealed["TOKEN"]) != "sealed" || err != nil {
		t.Error(sealed, err)
	}
	if text, err := s.Lock(ctx, want.ID); text != "numpy==2.0\n" || err != nil {
		t.Error(text, err)
	}
	if e, err := s.EnvironmentByName(ctx, "sk"); err != nil || e.Digest != "sha256:bb" {
		t.Error(e, err)
	}
	if r, err := s.Run(ctx, "iris-0000000002"); err != nil || r.State != run.Completed {
		t.Error(r, err)
	}
	targets := []store.Target{}
	if schema >= schemaWithTargets {
		targets = append(targets, gpubox())
	}
	if schema >= schemaWithUnreached {
		targets[0].UnreachedAt = new(start)
	}
	if got, err := s.Targets(ctx); err != nil || !cmp.Equal(targets, got) {
		t.Error(cmp.Diff(targets, got), err)
	}
	update(t, s, want.ID, withAttempt(run.Starting))
	if events, err := s.Events(ctx, want.ID, 0); len(events) != 3 || err != nil {
		t.Error(events, err)
	}
}

// schemaWithTargets is the first that knows attached targets.
const schemaWithTargets = 2

// schemaWithUnreached is the first that knows since when targets are not reached.
const schemaWithUnreached = 4

// TestMigrations opens a database of every version there ever was. Whoever
// adds a migration adds its fixture.
func TestMigrations(t *testing.T) {
	newest := newestSchema(t)
	if *writeFixture {
		keepFixture(t, newest)
	}
	for n := 1; n <= newest; n++ {
		t.Run(fmt.Sprintf("schema %d", n), func(t *testing.T) {
			f, err := os.Open(fixture(n))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			z, err := gzip.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			db, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "runner.db")
			if err := os.WriteFile(path, db, 0o600); err != nil {
				t.Fatal(err)
			}
			checkFixture(t, openAt(t, path), n)
			if got := pragma(t, path, "user_version"); got != newest {
				t.Errorf("schema %d after opening, want %d", got, newest)
			}
		})
	}
}

func fixture(n int) string { return fmt.Sprintf("testdata/schema-%d.db.gz", n) }

func keepFixture(t *testing.T, n int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runner.db")
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	fillFixture(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(db); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fixture(n), z.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func pragma(t *testing.T, path, name string) int {
	t.Helper()
	var v int
	raw(t, path, func(db *sql.DB) error { return db.QueryRow("PRAGMA " + name).Scan(&v) })
	return v
}

// raw opens the file past the store.
func raw(t *testing.T, path string, f func(*sql.DB) error) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f(db), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// closed makes a database with a run in it and returns its path.
func closed(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runner.db")
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		create(t, s, newRun(fmt.Sprintf("iris-%010d", i)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRefusedDatabasesAreLeftAlone(t *testing.T) {
	newest := newestSchema(t)
	exec := func(text string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			raw(t, path, func(db *sql.DB) error { _, err := db.Exec(text); return err })
		}
	}
	write := func(b []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name  string
		spoil func(*testing.T, string)
		want  string
		newer bool
	}{
		{
			"of a newer version", exec("PRAGMA user_version = 99"),
			fmt.Sprintf("the database was made by a newer runner (schema 99, this one knows %d): PATH", newest), true,
		},
		{"no database", write([]byte(strings.Repeat("not a database. ", 1000))), "damaged or not one of runner: PATH", false},
		{"of something else", func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			exec("CREATE TABLE notes (x)")(t, path)
		}, "damaged or not one of runner: PATH: it holds tables of something else", false},
		{"cut off", func(t *testing.T, path string) {
			if err := os.Truncate(path, 3*4096); err != nil {
				t.Fatal(err)
			}
		}, "damaged or not one of runner: PATH", false},
		{"overwritten in the schema", func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteAt(bytes.Repeat([]byte{0xa5}, 3000), 100)
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}, "damaged or not one of runner: PATH", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := closed(t)
			tt.spoil(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := store.Open(t.Context(), path)
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			var ne *store.NewerError
			var ce *store.CorruptError
			if tt.newer != errors.As(err, &ne) || tt.newer == errors.As(err, &ce) {
				t.Errorf("%#v", err)
			}
			if want := strings.ReplaceAll(tt.want, "PATH", path); !strings.Contains(err.Error(), want) {
				t.Errorf("%v\nwant %s", err, want)
			}
			var hint interface{ Hint() string }
			if !errors.As(err, &hint) || hint.Hint() == "" {
				t.Error("no hint")
			}
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file was changed, %v", err)
			}
		})
	}
}

// TestDamageFoundLater: a page in the middle is broken; opening may succeed,
// reading tells.
func TestDamageFoundLater(t *testing.T) {
	path := closed(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for at := int64(2 * 4096); at < info.Size(); at += 4096 {
		if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, 200), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), path)
	if err == nil {
		_, err = s.List(t.Context(), store.Filter{Specs: true})
		_ = s.Close()
	}
	var ce *store.CorruptError
	if !errors.As(err, &ce) || ce.Path != path {
		t.Errorf("%v", err)
	}
}

func TestFilesArePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a dir?with#odd%20 name", "runner.db")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	create(t, openAt(t, path), newRun("iris-0000000001"))
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v", filepath.Base(name), info.Mode())
		}
	}
}

func TestInstallationIDStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runner.db")
	var first string
	for range 2 {
		s, err := store.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		id, err := s.InstallationID(t.Context())
		if err != nil || len(id) != 16 || first != "" && id != first {
			t.Errorf("%q, first %q, %v", id, first, err)
		}
		first = id
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if other, err := open(t).InstallationID(t.Context()); err != nil || other == first {
		t.Errorf("another database has the same id %q, %v", other, err)
	}
}

func TestAfterClose(t *testing.T) {
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "runner.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.CreateRun(t.Context(), newRun("iris-0000000001"), "", nil); !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
	if _, err := s.Run(t.Context(), "x"); !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
	changes, cancel := s.Subscribe("")
	defer cancel()
	if _, ok := <-changes; ok {
		t.Error("a change after Close")
	}
}

func TestCanceledContextWritesNothing(t *testing.T) {
	s := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.CreateRun(ctx, newRun("iris-0000000001"), "", nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := s.Run(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if runs, err := s.List(t.Context(), store.Filter{}); len(runs) != 0 || err != nil {
		t.Errorf("%v, %v", runs, err)
	}
}

func TestMissingDirectory(t *testing.T) {
	_, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "none", "runner.db"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
