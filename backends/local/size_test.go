package local_test

import (
	"path/filepath"
	"testing"

	"github.com/runnerml/runner/backends/local"
	"github.com/runnerml/runner/internal/snapshot"
)

func TestRunsMayTakeAShareOfThisComputer(t *testing.T) {
	dir := home(t)
	store, err := snapshot.Open(filepath.Join(dir, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := local.New(t.Context(), local.Options{
		Home: dir, Installation: "test", Snapshots: store, CPUs: 0.5, Memory: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	size, err := b.Size(t.Context())
	if err != nil || size.CPUs != 0.5 || size.Memory != 1<<20 {
		t.Errorf("size %+v, %v", size, err)
	}
}
