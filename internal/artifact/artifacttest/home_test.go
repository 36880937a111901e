package artifacttest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/artifact/artifacttest"
)

func TestHome(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs")
	artifacttest.Suite(t, artifacttest.Subject{
		Open:  func(*testing.T) artifact.Store { return artifact.OpenHome(dir) },
		Large: 5<<20 + 3,
		Many:  5000,
		Stray: func(t *testing.T) (stray []string) {
			entries, err := os.ReadDir(dir)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			for _, e := range entries {
				stray = append(stray, e.Name())
			}
			return stray
		},
	})
}
