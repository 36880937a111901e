package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/yamlpos"
	"github.com/runnerml/runner/runconfig"
	"github.com/spf13/cobra"
)

// specFlags are the flags of submit that change the spec: shorthands for --set.
type specFlags struct {
	target, source, environment, experiment, name string
	array                                         string
	nodes, gpus, priority                         int
	cpus, memory, grace                           string
	tags, sets                                    []string
	given                                         map[string]string // flags by the field that they set
}

func (f *specFlags) add(c *cli, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.target, "target", "", "compute target `NAME`")
	flags.StringVar(&f.source, "source", "", "source directory `DIR`")
	flags.StringVar(&f.environment, "environment", "", "environment, a registered `NAME` or a file")
	flags.StringVar(&f.experiment, "experiment", "", "experiment `NAME`")
	flags.StringVar(&f.name, "name", "", "display name `TEXT`")
	flags.IntVar(&f.nodes, "nodes", 0, "how many machines the run spans")
	flags.IntVar(&f.gpus, "gpus", 0, "GPUs a node")
	flags.StringVar(&f.cpus, "cpus", "", "CPUs a node `N`, fractions are allowed")
	flags.StringVar(&f.memory, "memory", "", "memory a node `SIZE`, for example 4GiB")
	flags.IntVar(&f.priority, "priority", 0, "higher goes first")
	flags.StringVar(&f.grace, "grace", "", "time between SIGTERM and SIGKILL, for example 30s")
	flags.StringArrayVar(&f.tags, "tag", nil, "tag `KEY=VALUE`, repeatable")
	cmd.Flags().StringArrayVar(&f.sets, "set", nil, "any field of the spec `KEY=VALUE`, in YAML; null unsets; repeatable")
	c.completeFlag(cmd, "target", c.targetNames)
	c.completeFlag(cmd, "environment", c.environmentNames)
}

// assignments are the flags that were given, in the form of --set, and after
// them --set itself, so that it wins.
func (f *specFlags) assignments(cmd *cobra.Command, arguments []string) ([]string, error) {
	var sets []string
	f.given = map[string]string{"arguments": "--", "tags": "--tag"}
	text := func(flag, field, value string) {
		if cmd.Flags().Changed(flag) {
			f.given[field] = "--" + flag
			sets = append(sets, field+"="+quoted(value))
		}
	}
	number := func(flag, field string, value int) {
		if cmd.Flags().Changed(flag) {
			f.given[field] = "--" + flag
			sets = append(sets, field+"="+strconv.Itoa(value))
		}
	}
	source, err := absolute(f.source)
	if err != nil {
		return nil, err
	}
	text("source", "source_directory", source)
	environment := f.environment
	if runconfig.ParseEnvironmentRef(environment).File != "" {
		if environment, err = absolute(environment); err != nil {
			return nil, err
		}
	}
	text("environment", "environment", environment)
	array, err := absolute(f.array)
	if err != nil {
		return nil, err
	}
	text("array", "array.file", array)
	text("target", "compute_target", f.target)
	text("experiment", "experiment", f.experiment)
	text("name", "display_name", f.name)
	text("grace", "grace", f.grace)
	text("memory", "resources.memory", f.memory)
	if cmd.Flags().Changed("cpus") {
		f.given["resources.cpus"] = "--cpus"
		if _, err := strconv.ParseFloat(f.cpus, 64); err != nil {
			return nil, server.Wrong(fmt.Sprintf("--cpus: %q is no number", f.cpus), cmd.CommandPath(), "")
		}
		sets = append(sets, "resources.cpus="+f.cpus)
	}
	number("nodes", "resources.nodes", f.nodes)
	number("gpus", "resources.gpus", f.gpus)
	number("priority", "priority", f.priority)
	for _, tag := range f.tags {
		key, value, ok := strings.Cut(tag, "=")
		if !ok || key == "" || strings.Contains(key, `"]`) {
			return nil, server.Wrong("a tag has the form key=value", "--tag "+tag, "")
		}
		sets = append(sets, fmt.Sprintf(`tags["%s"]=%s`, key, quoted(value)))
	}
	if arguments != nil {
		data, err := json.Marshal(arguments)
		if err != nil {
			return nil, fmt.Errorf("arguments: %w", err)
		}
		for _, argument := range arguments {
			if !utf8.ValidString(argument) {
				return nil, server.Wrong("the argument is not UTF-8 text", strconv.Quote(argument), "give it as a file instead")
			}
		}
		sets = append(sets, "arguments="+string(data))
	}
	return append(sets, f.sets...), nil
}

// ownWords says in an error which flag it was, where a flag made the
// assignment that is wrong.
func (f *specFlags) ownWords(err error) error {
	spec, ok := errors.AsType[*yamlpos.Error](err)
	if !ok {
		return err
	}
	for i := range spec.Problems {
		place := &spec.Problems[i].File
		field, isSet := strings.CutPrefix(*place, "--set ")
		field = field[:max(0, strings.IndexAny(field+"=", "=["))]
		own := slices.ContainsFunc(f.sets, func(set string) bool { return strings.HasPrefix(set, field) })
		if flag := f.given[field]; isSet && flag != "" && !own {
			*place = flag
		}
	}
	return err
}

func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return abs, nil
}

// quoted is value as a YAML string.
func quoted(value string) string {
	data, err := json.Marshal(value)
	if err != nil {
		return strconv.Quote(value)
	}
	return string(data)
}

// loadSpec reads what the first argument names: a spec, a script, or nothing,
// when the flags say it all.
func loadSpec(path, source string, sets []string) (*runconfig.Placed, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml", ".json":
		spec, err := runconfig.Open(path, sets)
		return spec, wrongInput(err, path)
	}
	if path != "" {
		path = inSource(path, source)
		spec, err := runconfig.OpenScript(path, sets)
		return spec, wrongInput(err, path)
	}
	spec, err := runconfig.ParsePlaced("command line", []byte("{}"), sets)
	return spec, wrongInput(err, "")
}

// inSource is where a script is that was named as in a spec: relative to the
// source directory. One that is there from here is taken first.
func inSource(script, source string) string {
	if source == "" || filepath.IsAbs(script) {
		return script
	}
	inside := filepath.Join(source, script)
	if _, err := os.Stat(script); !errors.Is(err, fs.ErrNotExist) {
		return script
	}
	if _, err := os.Stat(inside); err != nil {
		return script
	}
	return inside
}
