package main

import (
	"fmt"
	"path"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/spf13/cobra"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/yamlpos"
)

// choose picks the files that the patterns name, each of which must name
// something; all of them without a pattern.
func choose(r *run.Run, files []controller.OutputFile, patterns []string) ([]controller.OutputFile, error) {
	if len(patterns) == 0 {
		return files, nil
	}
	wanted := make([]bool, len(files))
	for _, pattern := range patterns {
		found := false
		for i, f := range files {
			if named(pattern, f.Path) {
				wanted[i], found = true, true
			}
		}
		if !found {
			return nil, notLeft(r, files, pattern)
		}
	}
	chosen := []controller.OutputFile{}
	for i, f := range files {
		if wanted[i] {
			chosen = append(chosen, f)
		}
	}
	return chosen, nil
}

// outputsTop is what a pattern need not say.
const outputsTop = "outputs/"

// named says whether a pattern names a file, or a directory that it is in, from
// the top or from outputs/.
func named(pattern, file string) bool {
	pattern = path.Clean(pattern)
	if pattern == "." || pattern == strings.TrimSuffix(outputsTop, "/") && strings.HasPrefix(file, outputsTop) {
		return true
	}
	for {
		inside, below := strings.CutPrefix(file, outputsTop)
		if file == pattern || below && inside == pattern || doublestar.MatchUnvalidated(pattern, file) ||
			below && doublestar.MatchUnvalidated(pattern, inside) {
			return true
		}
		file = path.Dir(file)
		if !strings.Contains(file, "/") { // logs and outputs themselves are named by their names only
			return file == pattern
		}
	}
}

// notLeft is a pattern that names nothing.
func notLeft(r *run.Run, files []controller.OutputFile, pattern string) error {
	p := &server.Problem{Code: server.NotFound, Hint: fmt.Sprintf("runner outputs %s lists what it left", r.ID)}
	so := ""
	if !r.State.Ended() {
		so = " so far"
	}
	switch {
	case len(files) == 0:
		p.Message, p.Hint = leftNothing(r), ""
	case !doublestar.ValidatePattern(pattern):
		p.Code, p.Message, p.Hint = server.Invalid, fmt.Sprintf("the pattern %q is not whole", pattern), `a \ before [, {, * or ? takes it as it is`
	case strings.ContainsAny(pattern, `*?[{\`):
		p.Message = fmt.Sprintf("nothing that %s left%s matches %q", r.ID, so, pattern)
	default:
		p.Message = fmt.Sprintf("%s left no %s%s", r.ID, pattern, so)
		if near := nearOutput(files, pattern); near != "" {
			p.Hint = fmt.Sprintf("did you mean %q?", near)
		}
	}
	return p
}

// nearOutput is the file, or directory, whose name is most like name: its whole
// path, or only its last part.
func nearOutput(files []controller.OutputFile, name string) string {
	means := map[string]string{}
	var names []string
	add := func(like, meant string) {
		if means[like] == "" {
			means[like] = meant
			names = append(names, like)
		}
	}
	for _, f := range files {
		for at := f.Path; strings.Contains(at, "/"); at = path.Dir(at) {
			short := strings.TrimPrefix(at, outputsTop)
			add(at, at)
			add(short, short)
		}
	}
	for _, f := range files {
		add(path.Base(f.Path), strings.TrimPrefix(f.Path, outputsTop))
	}
	return means[yamlpos.Nearest(name, names)]
}

// completeOutputs offers runs, and then the files of the one that was named.
func (c *cli) completeOutputs(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return c.completeRuns(cmd, args, typed)
	}
	client, err := c.connect(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer client.Close()
	files, err := client.Outputs(cmd.Context(), args[0], 0)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []cobra.Completion
	for _, f := range files {
		names = append(names, strings.TrimPrefix(f.Path, outputsTop))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
