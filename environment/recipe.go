package environment

import (
	_ "embed"
	"fmt"
	"path"
	"strings"

	"al.essio.dev/pkg/shellescape"
)

//go:embed recipe/common.sh
var commonScript string

//go:embed recipe/venv.sh
var venvScript string

//go:embed recipe/conda.sh
var condaScript string

// Names of the files that a recipe leaves in the environment's directory.
const (
	// LockFile holds the exact versions of everything installed.
	LockFile = "runner-lock.txt"
	// ReadyFile is written last: where it is, the environment is whole.
	ReadyFile = "runner-ready.json"
	// MakingSuffix is added to the prefix for the recipe's working directory.
	// It is gone when the recipe ends, and stays only after a kill; the next
	// try removes it.
	MakingSuffix = ".making"
)

// ExitFailed is the exit code of a recipe that said why it failed.
const ExitFailed = 4

// Recipe makes one environment on any machine that has a POSIX shell.
type Recipe struct {
	// Prefix is the directory that the environment is made at. It cannot be
	// moved afterwards.
	Prefix string
	// Script is for /bin/sh, as a file or on standard input. It removes what
	// an earlier try left and does not look whether the environment is there
	// already: the caller reads ReadyFile first, and lets one make it at a
	// time.
	Script string
}

// Recipe gives the script that makes the environment at prefix, an absolute
// path on the machine where it will run. Only the kinds venv and conda have
// one.
func (r *Resolved) Recipe(prefix string) (Recipe, error) {
	if !path.IsAbs(prefix) || strings.ContainsAny(prefix, "\x00\n") || path.Clean(prefix) == "/" {
		return Recipe{}, fmt.Errorf("environment recipe: %q is no absolute path", prefix)
	}
	prefix = path.Clean(prefix)
	var s scriptWriter
	s.line("#!/bin/sh")
	s.line("# Makes the environment " + r.Digest + ".")
	s.line("set -u")
	s.variable("prefix", prefix)
	s.variable("digest", r.Digest)
	s.variable("kind", string(r.Kind))
	switch r.Kind {
	case Venv:
		s.venv(r)
	case CondaEnv:
		s.conda(r)
	case Existing, Image, ImageBuild, Dockerfile:
		return Recipe{}, fmt.Errorf("environment recipe: kind %s has none", r.Kind)
	default:
		return Recipe{}, fmt.Errorf("environment recipe: unknown kind %q", r.Kind)
	}
	return Recipe{Prefix: prefix, Script: s.String()}, nil
}

// scriptWriter builds a script; whatever comes from a user goes through
// variable or file, which quote.
type scriptWriter struct {
	strings.Builder
}

func (s *scriptWriter) line(text string) { s.WriteString(text + "\n") }

func (s *scriptWriter) variable(name, value string) {
	s.line(name + "=" + shellescape.Quote(value))
}

func (s *scriptWriter) venv(r *Resolved) {
	s.variable("interpreter", r.Interpreter)
	s.variable("wanted", r.PythonVersion)
	s.variable("packages", countPackages(r.Requirements))
	steps := 3
	if r.Requirements != "" {
		steps = 4
	}
	s.variable("steps", fmt.Sprint(steps))
	s.line("")
	s.files(r.Requirements, r.Constraints)
	s.line(commonScript)
	s.line(venvScript)
}

func (s *scriptWriter) conda(r *Resolved) {
	requirements := text(r.Conda.Pip)
	dependencies := r.Conda.Dependencies
	if requirements != "" && !mentionsPip(dependencies) {
		// What conda itself does for an environment.yml with a pip: list.
		dependencies = append(append([]string{}, dependencies...), "pip")
	}
	s.variable("packages", countPackages(requirements))
	s.variable("conda_packages", plural(len(dependencies), "package"))
	steps := 3
	if requirements != "" {
		steps = 4
	}
	s.variable("steps", fmt.Sprint(steps))
	s.line("")
	arguments := []string{"create", "--yes", "--prefix"}
	line := "\tkeep \"$conda\" " + shellescape.QuoteCommand(arguments) + ` "$prefix" --override-channels`
	for _, channel := range r.Conda.Channels {
		if channel != "nodefaults" { // says what --override-channels does
			line += " --channel " + shellescape.Quote(channel)
		}
	}
	for _, dependency := range dependencies {
		line += " " + shellescape.Quote(dependency)
	}
	s.line("conda_create() {\n" + line + "\n}\n")
	s.files(requirements, r.Constraints)
	s.line(commonScript)
	s.line(condaScript)
}

// files defines write_files, which puts the requirements into $work.
func (s *scriptWriter) files(requirements, constraints string) {
	s.line("write_files() {")
	s.line("\tprintf '%s' " + shellescape.Quote(requirements) + ` >"$work/requirements.txt"`)
	s.line("\tprintf '%s' " + shellescape.Quote(constraints) + ` >"$work/constraints.txt"`)
	s.line("}\n")
}

func mentionsPip(dependencies []string) bool {
	for _, dependency := range dependencies {
		_, name, found := strings.Cut(dependency, "::")
		if !found {
			name = dependency
		}
		if end := strings.IndexAny(name, " =<>!~["); end >= 0 {
			name = name[:end]
		}
		if name == "pip" {
			return true
		}
	}
	return false
}

func countPackages(requirements string) string {
	count := 0
	for line := range strings.Lines(requirements) {
		if !strings.HasPrefix(line, "-") || strings.HasPrefix(line, "-e ") || strings.HasPrefix(line, "--editable ") {
			count++
		}
	}
	return plural(count, "package")
}

func plural(count int, what string) string {
	if count == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", count, what)
}
