package client_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/runnerml/runner/internal/server/servertest"
	"github.com/runnerml/runner/internal/snapshot"
)

func openStore(t *testing.T) *snapshot.Store {
	s, err := snapshot.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUpload(t *testing.T) {
	here, there := openStore(t), openStore(t)
	c := dialing(t, servertest.Serve(t, servertest.New(t), there).Home)
	source := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(source, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	upload := func() (sent int64) {
		picture, err := here.Take(t.Context(), source, snapshot.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Upload(t.Context(), here, picture.ID, func(n int64) { sent = n }); err != nil {
			t.Fatal(err)
		}
		if !there.Has(picture.ID) {
			t.Fatal("the snapshot did not arrive")
		}
		return sent
	}
	write("a.py", "print(1)\n")
	big := make([]byte, 1<<20)
	for i := range big {
		big[i] = byte(i * i >> 7)
	}
	write("data.bin", string(big))
	first := upload()
	if again := upload(); again != 0 {
		t.Errorf("the same again sent %d bytes", again)
	}
	write("a.py", "print(2)\n")
	if delta := upload(); delta == 0 || delta > first/10 {
		t.Errorf("a small change sent %d bytes, the whole %d", delta, first)
	}
}
