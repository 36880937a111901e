package environment_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/runnerml/runner/environment"
)

// goldenDigests never change: environments are found again by them.
var goldenDigests = []struct {
	name   string
	spec   *environment.Spec
	kind   environment.Kind
	digest string
}{
	{"nothing", nil, environment.Existing, ""},
	{"empty", &environment.Spec{Name: "x", Variables: map[string]string{"A": "b"}}, environment.Existing, "nothing"},
	{"an interpreter", &environment.Spec{Python: &environment.Python{UserManaged: true, InterpreterPath: "/opt/py/bin/python"}}, environment.Existing, ""},
	{"pip", &environment.Spec{Python: &environment.Python{Pip: []string{"numpy==1.26.4", "six  # why"}}}, environment.Venv, ""},
	{"the same as a file", &environment.Spec{Python: &environment.Python{Requirements: "requirements.txt"}}, environment.Venv, "pip"},
	{"with a version", &environment.Spec{Python: &environment.Python{Version: "3.11", Pip: []string{"numpy==1.26.4", "six"}}}, environment.Venv, ""},
	{"only a version", &environment.Spec{Python: &environment.Python{Version: "3.11"}}, environment.Venv, ""},
	{"with constraints", &environment.Spec{Python: &environment.Python{Pip: []string{"numpy==1.26.4", "six", "-c limits.txt"}}}, environment.Venv, ""},
	{"conda", &environment.Spec{Python: &environment.Python{Conda: &environment.Conda{Channels: []string{"conda-forge"}, Dependencies: []string{"python=3.11", "numpy  >=1"}, Pip: []string{"six"}}}}, environment.CondaEnv, ""},
	{"conda as a file", &environment.Spec{Python: &environment.Python{Conda: &environment.Conda{File: "environment.yml"}}}, environment.CondaEnv, "conda"},
	{"an image", &environment.Spec{Docker: &environment.Docker{Image: "python"}}, environment.Image, ""},
	{"an image with what decides nothing", &environment.Spec{Docker: &environment.Docker{Image: "library/python:latest", ShmSize: "2GiB", Volumes: []string{"/a:/b"}, Arguments: []string{"--ipc=host"}}}, environment.Image, "an image"},
	{"an image with packages", &environment.Spec{Docker: &environment.Docker{Image: "gpu"}, Python: &environment.Python{Pip: []string{"six"}}}, environment.ImageBuild, ""},
	{"an image with its interpreter", &environment.Spec{Docker: &environment.Docker{Image: "cpu"}, Python: &environment.Python{UserManaged: true, InterpreterPath: "/py"}}, environment.Image, ""},
	{"a Dockerfile", &environment.Spec{Docker: &environment.Docker{Dockerfile: "image/Dockerfile"}}, environment.Dockerfile, ""},
}

func TestResolve(t *testing.T) {
	directory := files(t)
	var golden strings.Builder
	digests := map[string]string{}
	for _, test := range goldenDigests {
		t.Run(test.name, func(t *testing.T) {
			r, err := environment.Resolve(t.Context(), test.spec, directory, picture)
			if err != nil {
				t.Fatal(err)
			}
			if r.Kind != test.kind {
				t.Errorf("kind %s, want %s", r.Kind, test.kind)
			}
			if test.digest != "" && r.Digest != digests[test.digest] {
				t.Errorf("digest %s, want that of %q", r.Digest, test.digest)
			}
			for other, digest := range digests {
				if test.digest == "" && digest == r.Digest {
					t.Errorf("the same digest as %q", other)
				}
			}
			digests[test.name] = r.Digest
			fmt.Fprintf(&golden, "%s  %s\n", r.Digest, test.name)
		})
	}
	want, err := os.ReadFile("testdata/digests.golden")
	if err != nil {
		t.Fatalf("%v; now:\n%s", err, golden.String())
	}
	if diff := cmp.Diff(string(want), golden.String()); diff != "" {
		t.Errorf("digests changed, so that no stored environment would be found again:\n%s", diff)
	}
}

func TestResolveContent(t *testing.T) {
	directory := files(t)
	got, err := environment.Resolve(t.Context(), &environment.Spec{
		Name:      "x",
		Python:    &environment.Python{Requirements: "sub/all.txt", InterpreterPath: "/usr/bin/python3"},
		Variables: map[string]string{"A": "b"},
	}, directory, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &environment.Resolved{
		Name: "x", Kind: environment.Venv, Digest: got.Digest, Interpreter: "/usr/bin/python3",
		Requirements: "pandas\nnumpy==1.26.4\nsix\n", Constraints: "six<2\n", Variables: map[string]string{"A": "b"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got, err = environment.Resolve(t.Context(), &environment.Spec{Docker: &environment.Docker{Dockerfile: "image/Dockerfile"}}, directory, picture)
	if err != nil {
		t.Fatal(err)
	}
	if got.Dockerfile != "FROM python\n" || got.Context != "sha256:of-image" || got.Docker.Dockerfile != "Dockerfile" {
		t.Errorf("%+v", got)
	}
}

func TestResolveRefuses(t *testing.T) {
	directory := files(t)
	python := func(p environment.Python) *environment.Spec { return &environment.Spec{Python: &p} }
	tests := map[string]struct {
		spec *environment.Spec
		want string
	}{
		"missing requirements": {python(environment.Python{Requirements: "nosuch.txt"}), "requirements file nosuch.txt does not exist"},
		"missing include":      {python(environment.Python{Requirements: "broken.txt"}), "broken.txt: line 2: requirements file nosuch.txt does not exist"},
		"a cycle":              {python(environment.Python{Requirements: "cycle.txt"}), "cycle.txt includes itself"},
		"a local path":         {python(environment.Python{Requirements: "local.txt"}), `local.txt: line 1: "." is a path on this machine`},
		"a directory":          {python(environment.Python{Requirements: "sub"}), "is a directory"},
		"wrong conda":          {python(environment.Python{Conda: &environment.Conda{File: "wrong.yml"}}), "unknown field \"dependencys\""},
		"invalid spec":         {python(environment.Python{Version: "three"}), `"three" is no Python version`},
		"missing Dockerfile":   {&environment.Spec{Docker: &environment.Docker{Dockerfile: "nosuch"}}, "Dockerfile nosuch does not exist"},
		"failing picture":      {&environment.Spec{Docker: &environment.Docker{Dockerfile: "Dockerfile"}}, "picture the Dockerfile's directory: too large"},
	}
	failing := func(context.Context, string) (string, error) { return "", errors.New("too large") }
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := environment.Resolve(t.Context(), test.spec, directory, failing)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func picture(_ context.Context, directory string) (string, error) {
	return "sha256:of-" + filepath.Base(directory), nil
}

func files(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	for name, content := range map[string]string{
		"requirements.txt": "# ours\nnumpy==1.26.4   # fast\n\nsix\n",
		"limits.txt":       "six<2\n",
		"sub/all.txt":      "pandas\n-r ../requirements.txt\n-c ../limits.txt\n",
		"broken.txt":       "a\n-r nosuch.txt\n",
		"cycle.txt":        "-r cycle.txt\n",
		"local.txt":        "-e .\n",
		"environment.yml":  "name: x\nchannels: [conda-forge]\ndependencies:\n- python=3.11\n- numpy >=1\n- pip:\n  - six\n",
		"wrong.yml":        "channels: [a]\ndependencys: [b]\n",
		"image/Dockerfile": "FROM python\n",
		"Dockerfile":       "FROM python\n",
	} {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}
