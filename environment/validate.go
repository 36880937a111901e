package environment

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/runnerml/runner/internal/yamlpos"
)

var (
	namePattern     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	versionPattern  = regexp.MustCompile(`^[0-9]{1,2}(\.[0-9]{1,3}){0,2}$`)
)

// IsVariableName says whether name can be the name of an environment variable.
func IsVariableName(name string) bool { return variablePattern.MatchString(name) }

// Validate reports everything that is wrong with the spec as a *SpecError, or
// nil. Files that it names are not looked at; Resolve does that.
func (s *Spec) Validate() error { return yamlpos.ErrorOf(s.Problems()) }

// Problems is Validate as a list, each with the path of its field.
func (s *Spec) Problems() []Problem {
	var c checks
	if s.Name != "" && !namePattern.MatchString(s.Name) {
		c.addf("name", "use letters, digits, dots, dashes and underscores", "%q is no name for an environment", s.Name)
	}
	for name, value := range s.Variables {
		field := yamlpos.Join("environment_variables", name)
		if !IsVariableName(name) {
			c.addf(field, "", "%q is no name for an environment variable", name)
		}
		if strings.ContainsRune(value, 0) {
			c.addf(field, "", "the value of %s holds a NUL byte", name)
		}
	}
	if s.Python != nil {
		c.within("python", s.Python.problems())
	}
	if s.Docker != nil {
		c.within("docker", s.Docker.problems())
		if s.Docker.Dockerfile != "" && s.Python.hasPackages() {
			c.addf("python", "install the packages in the Dockerfile, or name a base image with docker.image instead",
				"a Dockerfile of your own and Python packages are given together")
		}
	}
	return c.problems
}

func (p *Python) hasPackages() bool {
	return p != nil && (len(p.Pip) > 0 || p.Requirements != "" || p.Conda != nil || p.Version != "")
}

func (p *Python) problems() []Problem {
	var c checks
	if p.Version != "" && !versionPattern.MatchString(p.Version) {
		c.addf("version", `for example "3.11" or "3.11.9"`, "%q is no Python version", p.Version)
	}
	if p.Requirements != "" && len(p.Pip) > 0 {
		c.addf("requirements", "put all of them into one of the two", "pip and requirements are given together")
	}
	c.path("requirements", p.Requirements)
	c.path("interpreter_path", p.InterpreterPath)
	if strings.HasPrefix(p.InterpreterPath, "-") {
		c.addf("interpreter_path", "", "%q is no path of an interpreter", p.InterpreterPath)
	}
	for i, line := range p.Pip {
		if message := requirementProblem(line); message != "" {
			c.addf(fmt.Sprintf("pip[%d]", i), "", "%s", message)
		}
	}
	if p.Conda != nil {
		c.within("conda", p.Conda.problems())
		for field, given := range map[string]bool{
			"pip": len(p.Pip) > 0, "requirements": p.Requirements != "", "version": p.Version != "",
			"interpreter_path": p.InterpreterPath != "",
		} {
			if given {
				c.addf(field, condaHint(field), "%s and conda are given together", field)
			}
		}
	}
	if p.UserManaged && p.hasPackages() {
		c.addf("user_managed", "leave user_managed out, or the packages and the version",
			"user_managed means nothing is installed, but packages or a version are given")
	}
	return c.problems
}

func condaHint(field string) string {
	switch field {
	case "version":
		return `put the version among conda's dependencies: [python=3.11]`
	case "interpreter_path":
		return "conda brings its own interpreter"
	default:
		return "put these packages under conda's own pip: list"
	}
}

func (c *Conda) problems() []Problem {
	var out checks
	out.path("", c.File)
	if c.File != "" {
		return out.problems
	}
	if len(c.Dependencies) == 0 {
		out.addf("dependencies", "for example dependencies: [python=3.11, numpy]", "a conda environment has no dependencies")
	}
	for i, dependency := range c.Dependencies {
		if message := condaSpecProblem(dependency); message != "" {
			out.addf(fmt.Sprintf("dependencies[%d]", i), "for example numpy=1.26 or conda-forge::numpy", "%s", message)
		}
	}
	for i, channel := range c.Channels {
		if strings.TrimSpace(channel) == "" || strings.HasPrefix(channel, "-") || strings.ContainsAny(channel, "\n\x00") {
			out.addf(fmt.Sprintf("channels[%d]", i), "", "%q is no channel", channel)
		}
	}
	for i, line := range c.Pip {
		if message := requirementProblem(line); message != "" {
			out.addf(fmt.Sprintf("pip[%d]", i), "", "%s", message)
		}
	}
	return out.problems
}

func condaSpecProblem(spec string) string {
	switch {
	case strings.TrimSpace(spec) == "":
		return "an empty dependency"
	case strings.HasPrefix(strings.TrimSpace(spec), "-"), strings.ContainsAny(spec, "\n\r\x00"):
		return fmt.Sprintf("%q is no conda package", spec)
	default:
		return ""
	}
}

func (d *Docker) problems() []Problem {
	var c checks
	switch {
	case d.Image != "" && d.Dockerfile != "":
		c.addf("dockerfile", "the Dockerfile's FROM names the image", "image and dockerfile are given together")
	case d.Image == "" && d.Dockerfile == "":
		c.addf("", "docker: {image: cpu} takes the built-in base image", "docker has neither image nor dockerfile")
	case d.Image != "" && !builtinImage(d.Image):
		if _, err := reference.ParseNormalizedNamed(d.Image); err != nil {
			c.addf("image", `cpu, gpu, or a reference such as "python:3.12-slim"`, "%q is no image reference", d.Image)
		}
	}
	c.path("dockerfile", d.Dockerfile)
	if d.ShmSize != "" {
		if size, err := ParseSize(d.ShmSize); err != nil {
			c.addf("shm_size", "", "%s", err)
		} else if size <= 0 {
			c.addf("shm_size", "", "shm_size must be more than 0")
		}
	}
	for i, volume := range d.Volumes {
		if message := volumeProblem(volume); message != "" {
			c.addf(fmt.Sprintf("volumes[%d]", i), "host:container or host:container:ro", "%s", message)
		}
	}
	for i, argument := range d.Arguments {
		if strings.ContainsRune(argument, 0) {
			c.addf(fmt.Sprintf("arguments[%d]", i), "", "an argument holds a NUL byte")
		}
	}
	if d.Registry != nil {
		c.within("registry", d.Registry.problems())
	}
	return c.problems
}

func builtinImage(name string) bool { return name == "cpu" || name == "gpu" }

func volumeProblem(volume string) string {
	parts := strings.Split(volume, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || strings.ContainsAny(volume, "\n\x00") {
		return fmt.Sprintf("%q is no volume", volume)
	}
	if !path.IsAbs(parts[0]) && !namePattern.MatchString(parts[0]) {
		return fmt.Sprintf("the volume's host path %q is not absolute", parts[0])
	}
	if !path.IsAbs(parts[1]) {
		return fmt.Sprintf("the volume's container path %q is not absolute", parts[1])
	}
	if len(parts) == 3 && !slices.Contains([]string{"ro", "rw"}, parts[2]) {
		return fmt.Sprintf("a volume's mode is ro or rw, not %q", parts[2])
	}
	return ""
}

func (r *Registry) problems() []Problem {
	var c checks
	if r.Address == "" {
		c.addf("address", "for example registry.example.com", "a registry has no address")
	} else if strings.ContainsAny(r.Address, " \n\x00") || strings.Contains(r.Address, "://") {
		c.addf("address", "a host, with a port when it is not 443, without a scheme", "%q is no registry address", r.Address)
	}
	if (r.Username == "") != (r.Password == nil) {
		c.addf("", "give both, or none", "a registry has a username without a password or a password without a username")
	}
	if p := r.Password; p != nil {
		switch {
		case (p.Env == "") == (p.File == ""):
			c.addf("password", "password: {env: REGISTRY_PASSWORD}", "a password is given by exactly one of env and file")
		case p.Env != "" && !IsVariableName(p.Env):
			c.addf("password.env", "give the variable's name, never the password", "password.env is no name of an environment variable")
		}
	}
	return c.problems
}

// checks collects problems.
type checks struct {
	problems []Problem
}

func (c *checks) addf(field, hint, format string, args ...any) {
	c.problems = append(c.problems, Problem{Field: field, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

func (c *checks) within(prefix string, problems []Problem) {
	c.problems = append(c.problems, yamlpos.Within(prefix, problems)...)
}

// path refuses what no file name can hold.
func (c *checks) path(field, value string) {
	if strings.ContainsRune(value, 0) {
		c.addf(field, "", "a path holds a NUL byte")
	}
}
