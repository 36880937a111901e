package environment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/runnerml/runner/internal/yamlpos"
)

// DefaultInterpreter is what runs scripts when a spec names nothing else.
const DefaultInterpreter = "python3"

// DefaultChannel is used by a conda environment that names no channel.
const DefaultChannel = "conda-forge"

// Picture takes a snapshot of a directory and gives its digest.
type Picture func(ctx context.Context, dir string) (digest string, err error)

// Resolve reads in the files that spec names, relative to dir, fills defaults
// and computes the digest. A nil spec is python3 as it is found. picture is
// asked for the build context of a Dockerfile and may be nil when there is
// none. Mistakes in the spec itself are a *SpecError; the others name the file
// and the line.
func Resolve(ctx context.Context, spec *Spec, dir string, picture func(ctx context.Context, dir string) (string, error)) (*Resolved, error) {
	if spec == nil {
		spec = &Spec{}
	}
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	r := &Resolved{Name: spec.Name, Interpreter: DefaultInterpreter, Variables: maps.Clone(spec.Variables)}
	if err := r.readPython(ctx, spec.Python, dir); err != nil {
		return nil, err
	}
	if spec.Docker != nil {
		docker := *spec.Docker
		r.Docker = &docker
		if err := r.readDocker(ctx, dir, picture); err != nil {
			return nil, err
		}
	}
	r.Kind = kindOf(spec, r)
	digest, err := r.digest()
	if err != nil {
		return nil, err
	}
	r.Digest = digest
	return r, nil
}

func kindOf(spec *Spec, r *Resolved) Kind {
	packages := !spec.userManaged() && spec.Python.hasPackages()
	switch {
	case r.Docker != nil && r.Docker.Dockerfile != "":
		return Dockerfile
	case r.Docker != nil && packages:
		return ImageBuild
	case r.Docker != nil:
		return Image
	case !packages:
		return Existing
	case r.Conda != nil:
		return CondaEnv
	default:
		return Venv
	}
}

func (s *Spec) userManaged() bool { return s.Python != nil && s.Python.UserManaged }

func (r *Resolved) readPython(ctx context.Context, p *Python, dir string) error {
	if p == nil {
		return nil
	}
	if p.InterpreterPath != "" {
		r.Interpreter = p.InterpreterPath
	}
	r.PythonVersion = p.Version
	var files requirementFiles
	if p.Requirements != "" {
		path := within(dir, p.Requirements)
		if err := files.addFile(ctx, path, false); err != nil {
			return inField("python.requirements", missingFile("requirements file", path, inside(dir, p.Requirements), err))
		}
	} else if err := files.addText(ctx, "pip", dir, strings.Join(p.Pip, "\n"), false); err != nil {
		return inField("python.pip", err)
	}
	r.Requirements, r.Constraints = text(files.requirements), text(files.constraints)
	if p.Conda == nil {
		return nil
	}
	return r.readConda(ctx, p.Conda, dir)
}

func (r *Resolved) readConda(ctx context.Context, c *Conda, dir string) error {
	conda := *c
	if c.File != "" {
		path := within(dir, c.File)
		data, err := readLimited(path, yamlpos.MaxSize)
		if err != nil {
			return inField("python.conda", missingFile("conda file", path, inside(dir, c.File), fmt.Errorf("read conda environment: %w", err)))
		}
		document, err := yamlpos.Parse(path, data)
		if err != nil {
			return err
		}
		spec, err := parseCondaFile(document)
		if err != nil {
			return err
		}
		conda = *spec.Python.Conda
		dir = filepath.Dir(path)
		for name, value := range spec.Variables {
			if _, given := r.Variables[name]; !given {
				if r.Variables == nil {
					r.Variables = map[string]string{}
				}
				r.Variables[name] = value
			}
		}
	}
	var files requirementFiles
	if err := files.addText(ctx, "conda's pip list", dir, strings.Join(conda.Pip, "\n"), false); err != nil {
		return inField("python.conda", err)
	}
	r.Constraints = text(files.constraints)
	conda.Pip = files.requirements
	if len(conda.Channels) == 0 {
		conda.Channels = []string{DefaultChannel}
	}
	conda.Dependencies = slices.Clone(conda.Dependencies)
	for i, dependency := range conda.Dependencies {
		conda.Dependencies[i] = strings.Join(strings.Fields(dependency), " ")
	}
	conda.File = ""
	r.Conda = &conda
	return nil
}

func (r *Resolved) readDocker(ctx context.Context, dir string, picture Picture) error {
	d := r.Docker
	if d.Image != "" && !builtinImage(d.Image) {
		named, err := reference.ParseNormalizedNamed(d.Image)
		if err != nil {
			return inField("docker.image", fmt.Errorf("image reference %q: %w", d.Image, err))
		}
		d.Image = reference.FamiliarString(reference.TagNameOnly(named))
	}
	if d.Dockerfile == "" {
		return nil
	}
	path := within(dir, d.Dockerfile)
	data, err := readLimited(path, yamlpos.MaxSize)
	if err != nil {
		return inField("docker.dockerfile", missingFile("Dockerfile", path, inside(dir, d.Dockerfile), fmt.Errorf("read Dockerfile: %w", err)))
	}
	if picture == nil {
		return errors.New("a Dockerfile's directory cannot be pictured here")
	}
	digest, err := picture(ctx, filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("picture the Dockerfile's directory: %w", err)
	}
	r.Dockerfile, r.Context = string(data), digest
	d.Dockerfile = filepath.Base(path)
	return nil
}

// digest names everything that decides what the environment holds. What only
// says how it is run or fetched (variables, shm, volumes, logins, names of
// files) is left out. The form is fixed: a change of it makes every stored
// environment unknown, so there is a golden test.
func (r *Resolved) digest() (string, error) {
	content := struct {
		Form          int    `json:"form"`
		Kind          Kind   `json:"kind"`
		Interpreter   string `json:"interpreter,omitempty"`
		PythonVersion string `json:"python_version,omitempty"`
		Requirements  string `json:"requirements,omitempty"`
		Constraints   string `json:"constraints,omitempty"`
		Conda         *Conda `json:"conda,omitempty"`
		Image         string `json:"image,omitempty"`
		Registry      string `json:"registry,omitempty"`
		Dockerfile    string `json:"dockerfile,omitempty"`
		Context       string `json:"context,omitempty"`
	}{
		Form: 1, Kind: r.Kind, Interpreter: r.Interpreter, PythonVersion: r.PythonVersion,
		Requirements: r.Requirements, Constraints: r.Constraints, Conda: r.Conda,
		Dockerfile: r.Dockerfile, Context: r.Context,
	}
	if r.Docker != nil {
		content.Image = r.Docker.Image
		if r.Docker.Registry != nil {
			content.Registry = r.Docker.Registry.Address
		}
	}
	data, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("environment digest: %w", err)
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// Tag names the image of kinds that make one, apart from its base image (see
// ImageRecipe.Tag): "runner/env:<first 16 hex digits of the digest>".
func (r *Resolved) Tag() string { return imageTag(r.Digest) }

func imageTag(digest string) string {
	hexadecimal := strings.TrimPrefix(digest, "sha256:")
	return "runner/env:" + hexadecimal[:min(16, len(hexadecimal))]
}

// inside is path as one names it who is in dir.
func inside(dir, path string) string {
	if rest, err := filepath.Rel(dir, path); err == nil && filepath.IsAbs(path) && filepath.IsLocal(rest) {
		return rest
	}
	return path
}

func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

func text(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}
