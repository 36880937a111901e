package environment_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/runnerml/runner/environment"
)

func TestResolveNamesTheFieldAndTheFileThatIsNotThere(t *testing.T) {
	type found struct{ Field, Message string }
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "more.txt"), []byte("numpy\n-r other.txt\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spec environment.Spec
		want found
	}{
		"requirements": {
			environment.Spec{Python: &environment.Python{Requirements: "nope.txt"}},
			found{"python.requirements", "requirements file nope.txt does not exist"},
		},
		"included": {
			environment.Spec{Python: &environment.Python{Requirements: "more.txt"}},
			found{"python.requirements", filepath.Join(dir, "more.txt") + ": line 2: requirements file other.txt does not exist"},
		},
		"included from pip": {
			environment.Spec{Python: &environment.Python{Pip: []string{"-r other.txt"}}},
			found{"python.pip", "pip: line 1: requirements file other.txt does not exist"},
		},
		"conda": {
			environment.Spec{Python: &environment.Python{Conda: &environment.Conda{File: "environment.yml"}}},
			found{"python.conda", "conda file environment.yml does not exist"},
		},
		"Dockerfile": {
			environment.Spec{Docker: &environment.Docker{Dockerfile: "Dockerfile"}},
			found{"docker.dockerfile", "Dockerfile Dockerfile does not exist"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := environment.Resolve(t.Context(), &c.spec, dir, nil)
			field, ok := errors.AsType[*environment.FieldError](err)
			if !ok || !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(c.want, found{field.Field, field.Error()}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
