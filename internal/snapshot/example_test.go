package snapshot_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/runnerml/runner/internal/snapshot"
)

// A source directory is pictured, and written out again where the script runs.
func Example() {
	work, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(work)
	src := filepath.Join(work, "src")
	for name, content := range map[string]string{"train.py": "print('hello')\n", "debug.log": "noise\n", ".runnerignore": "*.log\n"} {
		if err := os.MkdirAll(src, 0o700); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(src, name), []byte(content), 0o600); err != nil {
			log.Fatal(err)
		}
	}

	ctx := context.Background()
	store, err := snapshot.Open(filepath.Join(work, "objects"))
	if err != nil {
		log.Fatal(err)
	}
	snap, err := store.Take(ctx, src, snapshot.Options{SkipDirs: []string{work + "/home"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(snap.ID)
	fmt.Println(snap.Files, "files,", snap.Bytes, "bytes")

	copied := filepath.Join(work, "copy")
	if err := store.Unpack(ctx, snap.ID, copied, nil); err != nil {
		log.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join(copied, "train.py"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(script))
	// Output:
	// sha256:64fe75c7d0bbca3832abd1a34340ec0bba63d7a270bb20d3e70fdb9bdf97e7c8
	// 2 files, 21 bytes
	// print('hello')
}
