package environment

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/runnerml/runner/internal/yamlpos"
	"go.yaml.in/yaml/v4"
)

// Problem is one thing that is wrong with a spec and where.
type Problem = yamlpos.Problem

// SpecError holds everything that is wrong with a spec.
type SpecError = yamlpos.Error

// Load reads an environment from a YAML or JSON file. Two kinds of file are
// understood: our own, with the fields of Spec, and conda's environment.yml
// (name, channels, dependencies). Files named inside are made relative to it.
// What is wrong in the file is a *SpecError.
func Load(path string) (*Spec, error) {
	data, err := readLimited(path, yamlpos.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("read environment: %w", err)
	}
	spec, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	directory, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("read environment: %w", err)
	}
	spec.AnchorFiles(directory)
	return spec, nil
}

// Parse is Load for content already read; file names it in errors. The files
// it names stay relative.
func Parse(file string, data []byte) (*Spec, error) {
	document, err := yamlpos.Parse(file, data)
	if err != nil {
		return nil, err
	}
	if document.HasTop("dependencies") {
		return parseCondaFile(document)
	}
	spec := &Spec{}
	problems := document.Decode(spec)
	problems = append(problems, document.Place(yamlpos.Unreported(spec.Problems(), problems))...)
	if err := yamlpos.ErrorOf(problems); err != nil {
		return nil, err
	}
	return spec, nil
}

// condaFile is conda's environment.yml.
type condaFile struct {
	Name         string            `yaml:"name"`
	Channels     []string          `yaml:"channels"`
	Dependencies []condaDependency `yaml:"dependencies"`
	Prefix       string            `yaml:"prefix"` // where it was exported from; means nothing here
	Variables    map[string]string `yaml:"variables"`
}

func parseCondaFile(document *yamlpos.Document) (*Spec, error) {
	var file condaFile
	problems := document.Decode(&file)
	conda := file.conda()
	problems = append(problems, document.Place(yamlpos.Unreported(conda.problems(), problems))...)
	if err := yamlpos.ErrorOf(problems); err != nil {
		return nil, err
	}
	return &Spec{Name: file.Name, Python: &Python{Conda: conda}, Variables: file.Variables}, nil
}

func (f *condaFile) conda() *Conda {
	c := &Conda{Channels: f.Channels}
	for _, dependency := range f.Dependencies {
		if dependency.isPip {
			c.Pip = append(c.Pip, dependency.pip...)
		} else {
			c.Dependencies = append(c.Dependencies, dependency.spec)
		}
	}
	return c
}

// condaDependency is a match spec, or the nested list under "pip:".
type condaDependency struct {
	spec  string
	pip   []string
	isPip bool
}

// UnmarshalYAML reads one entry of dependencies.
func (d *condaDependency) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return yamlpos.DecodeNode(n, &d.spec)
	}
	var nested struct {
		Pip []string `yaml:"pip"`
	}
	if err := yamlpos.DecodeNode(n, &nested); err != nil {
		return err
	}
	d.pip, d.isPip = nested.Pip, true
	return nil
}

// UnmarshalYAML reads a conda environment: the path of an environment.yml, or
// its content, with pip packages in a field of their own or under "- pip:".
func (c *Conda) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return yamlpos.DecodeNode(n, &c.File)
	}
	var inline struct {
		Name         string            `yaml:"name"` // as in a pasted environment.yml; the environment has its own
		Channels     []string          `yaml:"channels"`
		Dependencies []condaDependency `yaml:"dependencies"`
		Pip          []string          `yaml:"pip"`
	}
	if err := yamlpos.DecodeNode(n, &inline); err != nil {
		return err
	}
	file := condaFile{Channels: inline.Channels, Dependencies: inline.Dependencies}
	*c = *file.conda()
	c.Pip = append(c.Pip, inline.Pip...)
	return nil
}

// MarshalYAML writes the path alone when the environment is a file.
func (c Conda) MarshalYAML() (any, error) {
	if c.File != "" {
		return c.File, nil
	}
	type plain Conda
	return plain(c), nil
}

// MarshalJSON writes the path as a string when the environment is a file.
func (c Conda) MarshalJSON() ([]byte, error) {
	if c.File != "" {
		return json.Marshal(c.File)
	}
	type plain Conda
	return json.Marshal(plain(c))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *Conda) UnmarshalJSON(data []byte) error {
	*c = Conda{}
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &c.File)
	}
	type plain Conda
	return json.Unmarshal(data, (*plain)(c))
}

// AnchorFiles makes the files that the spec names absolute: they are relative
// to directory, the one of the file that holds the spec.
func (s *Spec) AnchorFiles(directory string) {
	anchor := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(directory, *path)
		}
	}
	if s.Python != nil {
		anchor(&s.Python.Requirements)
		if s.Python.Conda != nil {
			anchor(&s.Python.Conda.File)
		}
		// An interpreter given as a path, not as a name to look up.
		if strings.HasPrefix(s.Python.InterpreterPath, ".") {
			anchor(&s.Python.InterpreterPath)
		}
	}
	if s.Docker != nil {
		anchor(&s.Docker.Dockerfile)
		if r := s.Docker.Registry; r != nil && r.Password != nil {
			anchor(&r.Password.File)
		}
	}
}

func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, plainPathError(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, plainPathError(err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %s", path, FormatSize(limit))
	}
	return data, nil
}

// plainPathError leaves the system call out of a file error: "no such file or
// directory: requirements.txt".
func plainPathError(err error) error {
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		return fmt.Errorf("%w: %s", pathError.Err, pathError.Path)
	}
	return err
}
