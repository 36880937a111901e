package runconfig

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kballard/go-shellquote"

	"github.com/runnerml/runner/internal/yamlpos"
)

// Array makes many runs of one spec, each with further arguments of its own and
// its number, from 0, in RUNNER_ARRAY_INDEX. Exactly one of its fields is set.
type Array struct {
	// File has a line of arguments for each run, split into words as a shell
	// splits them, with nothing replaced. Empty lines, and those that begin with #,
	// are left out. Relative to the spec.
	File string `json:"file,omitempty" yaml:"file,omitempty"`
	// Grid has the values of options by their names: each run is given one of
	// each, as "--NAME VALUE", in the order of the names. All there are is tried,
	// the values of the last name first.
	Grid map[string][]string `json:"grid,omitempty" yaml:"grid,omitempty"`
}

// ArrayIndex is the variable in which a run of an array finds its number.
const ArrayIndex = "RUNNER_ARRAY_INDEX"

// MaxArray is how many runs an array may have.
const MaxArray = 10_000

// maxArrayFile is how large its file may be.
const maxArrayFile = 32 << 20

// ArrayError is an array that does not say what its runs are given; Where is the
// place of it.
type ArrayError struct{ What, Where string }

func (e *ArrayError) Error() string { return e.What + ": " + e.Where }

// Lines are the arguments of each run, at least one run. Errors: *ArrayError.
func (a *Array) Lines() ([][]string, error) {
	if a.File == "" {
		return a.product(), nil
	}
	info, err := os.Stat(a.File)
	switch {
	case err != nil:
		return nil, &ArrayError{What: withoutPath(err).Error(), Where: a.File}
	case !info.Mode().IsRegular():
		return nil, &ArrayError{What: "it is no file", Where: a.File}
	case info.Size() > maxArrayFile:
		return nil, &ArrayError{What: fmt.Sprintf("more than %d MiB of arguments", maxArrayFile>>20), Where: a.File}
	}
	data, err := os.ReadFile(a.File)
	if err != nil {
		return nil, &ArrayError{What: withoutPath(err).Error(), Where: a.File}
	}
	return linesOf(a.File, string(data))
}

func linesOf(file, text string) ([][]string, error) {
	var all [][]string
	number := 0
	for line := range strings.Lines(text) {
		number++
		where := fmt.Sprintf("%s:%d", file, number)
		line = strings.TrimRight(line, "\r\n")
		if bare := strings.TrimSpace(line); bare == "" || strings.HasPrefix(bare, "#") {
			continue
		}
		if strings.ContainsRune(line, 0) || !utf8.ValidString(line) {
			return nil, &ArrayError{What: "the line is no text", Where: where}
		}
		words, err := shellquote.Split(line)
		switch {
		case errors.Is(err, shellquote.UnterminatedSingleQuoteError), errors.Is(err, shellquote.UnterminatedDoubleQuoteError):
			return nil, &ArrayError{What: "a quotation mark has no end", Where: where}
		case err != nil:
			return nil, &ArrayError{What: "a backslash has nothing behind it", Where: where}
		case len(all) == MaxArray:
			return nil, &ArrayError{What: fmt.Sprintf("more than %d runs", MaxArray), Where: where}
		}
		all = append(all, words)
	}
	if len(all) == 0 {
		return nil, &ArrayError{What: "it has no line with arguments", Where: file}
	}
	return all, nil
}

// product is each value of one option with each of the others.
func (a *Array) product() [][]string {
	all := [][]string{{}}
	for _, name := range slices.Sorted(maps.Keys(a.Grid)) {
		var next [][]string
		for _, line := range all {
			for _, value := range a.Grid[name] {
				next = append(next, append(slices.Clone(line), "--"+name, value))
			}
		}
		all = next
	}
	return all
}

// array checks what can be told without the file.
func (v *checks) array(a *Array) {
	switch {
	case a.File != "" && len(a.Grid) > 0:
		v.addf("array.grid", "keep one of them", "file and grid are given together")
	case a.File == "" && len(a.Grid) == 0:
		v.addf("array", "give file: args.txt, or grid: {alpha: [0.1, 0.5]}", "it says nothing of what its runs are given")
	}
	v.bytes("array.file", "the name of the file", a.File)
	count := 1
	for _, name := range slices.Sorted(maps.Keys(a.Grid)) {
		field := yamlpos.Join("array.grid", name)
		if !namePattern.MatchString(name) {
			v.addf(field, "use letters, digits, dots, dashes and underscores: the runs are given --NAME VALUE", "%q is no name for an option", name)
		}
		if len(a.Grid[name]) == 0 {
			v.addf(field, "give at least one", "it has no values")
		}
		for i, value := range a.Grid[name] {
			v.bytes(fmt.Sprintf("%s[%d]", field, i), "a value", value)
		}
		if count *= max(1, len(a.Grid[name])); count > MaxArray {
			v.addf("array.grid", "", "it makes more than %d runs", MaxArray)
			return
		}
	}
}

// fillArray makes the file's name absolute.
func (c *ScriptRunConfig) fillArray(directory string) {
	if c.Array != nil && c.Array.File != "" {
		c.Array.File = anchored(directory, c.Array.File)
	}
}

// Member is the spec of one run of an array, number index, with its arguments
// behind the spec's own.
func (c *ScriptRunConfig) Member(index int, arguments []string) *ScriptRunConfig {
	one := *c
	one.Array = nil
	one.Arguments = slices.Concat(c.Arguments, arguments)
	one.EnvironmentVariables = maps.Clone(c.EnvironmentVariables)
	if one.EnvironmentVariables == nil {
		one.EnvironmentVariables = map[string]string{}
	}
	one.EnvironmentVariables[ArrayIndex] = fmt.Sprint(index)
	return &one
}
