package environment_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/runnerml/runner/environment"
)

func TestLoad(t *testing.T) {
	directory := t.TempDir()
	at := func(name string) string { return filepath.Join(directory, name) }
	tests := map[string]struct {
		text string
		want *environment.Spec
	}{
		"ours": {
			"name: x\npython: {requirements: r.txt, interpreter_path: ./py}\ndocker: {dockerfile: d/Dockerfile, registry: {address: a, username: u, password: {file: p}}}\n",
			nil,
		},
		"files are next to it": {
			"name: x\npython: {version: 3.10, requirements: r.txt, interpreter_path: ./py}\nenvironment_variables: {A: 1}\n",
			&environment.Spec{
				Name:      "x",
				Python:    &environment.Python{Version: "3.10", Requirements: at("r.txt"), InterpreterPath: at("py")},
				Variables: map[string]string{"A": "1"},
			},
		},
		"conda's own": {
			"name: x\nchannels: [conda-forge]\ndependencies:\n- python=3.11\n- pip:\n  - six\n- numpy\nprefix: /home/me/x\nvariables: {A: b}\n",
			&environment.Spec{
				Name:      "x",
				Python:    &environment.Python{Conda: &environment.Conda{Channels: []string{"conda-forge"}, Dependencies: []string{"python=3.11", "numpy"}, Pip: []string{"six"}}},
				Variables: map[string]string{"A": "b"},
			},
		},
		"JSON": {`{"docker": {"image": "cpu"}}`, &environment.Spec{Docker: &environment.Docker{Image: "cpu"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(at("env.yaml"), []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := environment.Load(at("env.yaml"))
			if test.want == nil { // a Dockerfile and packages do not go together
				if err == nil {
					t.Error("no error")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := environment.Load(at("nosuch.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"misspelt", "pyhton: {}\n", "unknown field \"pyhton\": env.yaml:1:1\nhint: did you mean \"python\"?"},
		{"a spec of a run", "script: a.py\n", "unknown field \"script\": env.yaml:1:1\nhint: one of name, python, docker, environment_variables"},
		{"name", "name: a/b\n", "\"a/b\" is no name for an environment: env.yaml:1:7\nhint: use letters, digits, dots, dashes and underscores"},
		{"version", "python: {version: '>=3'}\n", "\">=3\" is no Python version: env.yaml:1:19\nhint: for example \"3.11\" or \"3.11.9\""},
		{"two lines", "python: {pip: [\"a\\nb\"]}\n", "\"a\\nb\" is more than one line: env.yaml:1:16"},
		{"local path", "python: {pip: [six, ./x]}\n", "\"./x\" is a path on this machine, which a target does not have: name a package of an index, an https:// or git+https:// address, or keep the code in the source directory, where the script can import it: env.yaml:1:21"},
		{"empty requirement", "python: {pip: ['# x']}\n", "an empty requirement: env.yaml:1:16"},
		{"conda and pip", "python:\n  conda: e.yml\n  pip: [six]\n", "pip and conda are given together: env.yaml:3:8\nhint: put these packages under conda's own pip: list"},
		{"conda and version", "python: {conda: e.yml, version: 3.11}\n", "version and conda are given together: env.yaml:1:33\nhint: put the version among conda's dependencies: [python=3.11]"},
		{"conda option", "python: {conda: {dependencies: [--file]}}\n", "\"--file\" is no conda package: env.yaml:1:33\nhint: for example numpy=1.26 or conda-forge::numpy"},
		{"conda without any", "python: {conda: {channels: [x]}}\n", "a conda environment has no dependencies: env.yaml:1:17\nhint: for example dependencies: [python=3.11, numpy]"},
		{"managed with packages", "python: {user_managed: true, pip: [six]}\n", "user_managed means nothing is installed, but packages or a version are given: env.yaml:1:24\nhint: leave user_managed out, or the packages and the version"},
		{"image reference", "docker: {image: 'A b'}\n", "\"A b\" is no image reference: env.yaml:1:17\nhint: cpu, gpu, or a reference such as \"python:3.12-slim\""},
		{"Dockerfile and packages", "docker: {dockerfile: D}\npython: {pip: [six]}\n", "a Dockerfile of your own and Python packages are given together: env.yaml:2:9\nhint: install the packages in the Dockerfile, or name a base image with docker.image instead"},
		{"shm", "docker: {image: cpu, shm_size: big}\n", "\"big\" is no size: write for example 4GiB, 500MB or 1073741824: env.yaml:1:32"},
		{
			"volume", "docker: {image: cpu, volumes: ['./a:/b', '/a:b', '/a', '/a:/b:rx', 'named:/b:ro']}\n",
			"the volume's host path \"./a\" is not absolute: env.yaml:1:32\nhint: host:container or host:container:ro\n" +
				"the volume's container path \"b\" is not absolute: env.yaml:1:42\nhint: host:container or host:container:ro\n" +
				"\"/a\" is no volume: env.yaml:1:50\nhint: host:container or host:container:ro\n" +
				"a volume's mode is ro or rw, not \"rx\": env.yaml:1:56\nhint: host:container or host:container:ro",
		},
		{
			"registry", "docker: {image: x, registry: {address: 'https://a', username: u}}\n",
			"a registry has a username without a password or a password without a username: env.yaml:1:30\nhint: give both, or none\n" +
				"\"https://a\" is no registry address: env.yaml:1:40\nhint: a host, with a port when it is not 443, without a scheme",
		},
		{"password twice", "docker: {image: x, registry: {address: a, username: u, password: {env: A, file: b}}}\n", "a password is given by exactly one of env and file: env.yaml:1:66\nhint: password: {env: REGISTRY_PASSWORD}"},
		{"password in place of its name", "docker: {image: x, registry: {address: a, username: u, password: {env: hunter-2}}}\n", "password.env is no name of an environment variable: env.yaml:1:72\nhint: give the variable's name, never the password"},
		{"variable", "environment_variables: {1A: x}\n", "\"1A\" is no name for an environment variable: env.yaml:1:29"},
		{"conda file", "dependencies: [a, {pip: b}]\n", "dependencies[1].pip must be a list, not \"b\": env.yaml:1:25\nhint: write [b]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := environment.Parse("env.yaml", []byte(test.text))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
