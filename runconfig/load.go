package runconfig

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/yamlpos"
	"go.yaml.in/yaml/v4"
)

// Problem is one thing that is wrong with a spec and where.
type Problem = yamlpos.Problem

// SpecError holds everything that is wrong with a spec.
type SpecError = yamlpos.Error

// Load reads a spec from a file, applies the assignments of --set, fills the
// defaults and checks it, also that the source directory and the script are
// there. Relative paths are relative to the file. What is wrong in the spec is
// a *SpecError; a file that cannot be read is another error.
func Load(path string, sets []string) (*ScriptRunConfig, error) {
	p, err := Open(path, sets)
	if err != nil {
		return nil, err
	}
	return p.Config, yamlpos.ErrorOf(p.Missing)
}

// Open is Load for who wants to know where the fields stand. What a complete
// spec names and is not there is no error but in Missing.
func Open(path string, sets []string) (*Placed, error) {
	data, err := readSpec(path)
	if err != nil {
		return nil, err
	}
	return parse(path, data, sets, (*ScriptRunConfig).missing)
}

// Parse is Load for content already read; file names it in errors, and its
// directory is what relative paths are relative to. It does not look whether
// the source directory and the script are there.
func Parse(file string, data []byte, sets []string) (*ScriptRunConfig, error) {
	p, err := ParsePlaced(file, data, sets)
	if err != nil {
		return nil, err
	}
	return p.Config, nil
}

// ParsePlaced is Parse for who wants to know where the fields stand.
func ParsePlaced(file string, data []byte, sets []string) (*Placed, error) {
	return parse(file, data, sets, nil)
}

// look reports files that a complete spec names and that are not there.
type look func(*ScriptRunConfig) []Problem

func parse(file string, data []byte, sets []string, find look) (*Placed, error) {
	document, err := yamlpos.Parse(file, data)
	if err != nil {
		return nil, err
	}
	directory, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("directory of %s: %w", file, err)
	}
	return build(document, &ScriptRunConfig{}, sets, directory, find)
}

// FromScript makes the spec of a script that comes without one: its directory
// is the source directory, unless an assignment names another, which the
// script must then lie in. Relative paths in assignments are relative to the
// working directory.
func FromScript(path string, sets []string) (*ScriptRunConfig, error) {
	p, err := OpenScript(path, sets)
	if err != nil {
		return nil, err
	}
	return p.Config, nil
}

// OpenScript is FromScript for who wants to know where the fields stand.
func OpenScript(path string, sets []string) (*Placed, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("script %s: %w", path, withoutPath(err))
	}
	if info.IsDir() {
		return nil, fmt.Errorf("script %s: it is a directory", path)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("script %s: the working directory is gone", path)
	}
	here, err := filepath.Abs(".")
	if err != nil {
		here = filepath.Dir(absolute) // the working directory is gone
	}
	c := &ScriptRunConfig{Script: filepath.Base(absolute), SourceDirectory: filepath.Dir(absolute)}
	if slices.ContainsFunc(sets, unsetsScript) {
		c.Script = ""
	}
	placed, err := build(yamlpos.Empty(""), c, sets, here, nil)
	if err != nil {
		return nil, err
	}
	if c.SourceDirectory == filepath.Dir(absolute) || c.Script != filepath.Base(absolute) {
		return placed, nil
	}
	inside, err := filepath.Rel(c.SourceDirectory, absolute)
	if err != nil || !filepath.IsLocal(inside) {
		return nil, &SpecError{Problems: []Problem{{
			Field:   "script",
			Message: fmt.Sprintf("the script %s is not inside the source directory %s", path, c.SourceDirectory),
			Hint:    "only what is inside the source directory reaches the target",
		}}}
	}
	c.Script = filepath.ToSlash(inside)
	return placed, nil
}

// unsetsScript says whether an assignment takes the script away, for a command
// in its place.
func unsetsScript(set string) bool {
	field, value, _ := strings.Cut(set, "=")
	return strings.TrimSpace(field) == "script" && slices.Contains([]string{"null", "~"}, strings.TrimSpace(value))
}

// pathHints says how an input or output is written where only its path is given.
func pathHints(problems []Problem) {
	for i := range problems {
		p := &problems[i]
		kind, name, ok := strings.Cut(p.Field, ".")
		if ok && (kind == "inputs" || kind == "outputs") && p.Hint == "" && !strings.Contains(name, ".") && strings.Contains(p.Message, "must be a mapping") {
			p.Hint = "write " + name + ": {path: ...}"
		}
	}
}

// build applies assignments, decodes over c, fills defaults and checks.
func build(document *yamlpos.Document, c *ScriptRunConfig, sets []string, directory string, find look) (*Placed, error) {
	var problems []Problem
	for _, set := range sets {
		var wrong *SpecError
		if err := document.Set(set); errors.As(err, &wrong) {
			problems = append(problems, wrong.Problems...)
		}
	}
	problems = append(problems, document.Decode(c)...)
	pathHints(problems)
	rules := unreported(c.problems(document.Has), problems)
	problems = append(problems, document.Place(rules)...)
	if len(problems) > 0 {
		if find != nil { // what else is wrong is said in the same breath
			c.fill(directory)
			problems = append(problems, document.Place(yamlpos.Unreported(find(c), problems))...)
		}
		return nil, yamlpos.ErrorOf(problems)
	}
	c.fill(directory)
	// Defaults are made to be legal; this is for those taken from names.
	if err := c.Validate(); err != nil {
		return nil, err
	}
	p := &Placed{Config: c, document: document}
	if find != nil {
		p.Missing = document.Place(find(c))
	}
	return p, nil
}

// unreported leaves out the rules about what could not be read in the first
// place, and that script and command are missing when one of them is misspelt.
func unreported(rules, reported []Problem) []Problem {
	noScript := slices.ContainsFunc(reported, func(p Problem) bool {
		return p.Field == "" || p.Field == "script" || p.Field == "command" ||
			p.Hint == `did you mean "script"?` || p.Hint == `did you mean "command"?`
	})
	return slices.DeleteFunc(yamlpos.Unreported(rules, reported), func(rule Problem) bool {
		return rule.Field == "" && noScript
	})
}

// UnmarshalYAML reads a text (a registered name, or a file when it has a slash
// or ends in .yaml, .yml or .json) or a mapping (the environment itself).
func (e *EnvironmentRef) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.MappingNode {
		e.Spec = &environment.Spec{}
		return yamlpos.DecodeNode(n, e.Spec)
	}
	if n.Kind != yaml.ScalarNode {
		return errors.New("it must be a name, a file or a mapping")
	}
	var text string
	if err := yamlpos.DecodeNode(n, &text); err != nil {
		return err
	}
	*e = ParseEnvironmentRef(text)
	return nil
}

// ParseEnvironmentRef tells a file from a registered name: a file has a slash
// or ends in .yaml, .yml or .json.
func ParseEnvironmentRef(text string) EnvironmentRef {
	switch extension := filepath.Ext(text); {
	case strings.Contains(text, "/"), extension == ".yaml", extension == ".yml", extension == ".json":
		return EnvironmentRef{File: text}
	default:
		return EnvironmentRef{Name: text}
	}
}

// MarshalYAML writes what UnmarshalYAML reads.
func (e EnvironmentRef) MarshalYAML() (any, error) {
	switch {
	case e.Spec != nil:
		return e.Spec, nil
	case e.File != "":
		return e.File, nil
	default:
		return e.Name, nil
	}
}

func readSpec(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read spec %s: %w", path, withoutPath(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, yamlpos.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read spec %s: %w", path, withoutPath(err))
	}
	return data, nil
}

// withoutPath leaves out the path that os puts into its errors, where the
// message around it says it already.
func withoutPath(err error) error {
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}
