package controller

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/runnerml/runner/runconfig"
)

// checkInputs refuses inputs that cannot be read: a run would only find that
// out after it had waited. here: the target is this computer; elsewhere a path
// may be one of the target's own.
func checkInputs(cfg *runconfig.ScriptRunConfig, here bool) (wrong []*InvalidError) {
	names := make([]string, 0, len(cfg.Inputs))
	for name := range cfg.Inputs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		path, where := cfg.Inputs[name].Path, "inputs."+name+".path"
		if scheme, _, ok := strings.Cut(path, "://"); ok {
			wrong = append(wrong, &InvalidError{
				What: fmt.Sprintf("input %s: addresses with %s:// cannot be read yet: %s", name, scheme, path), Where: where,
				Hint: "give the path of a file or directory on this computer",
			})
			continue
		}
		if _, err := os.Stat(path); err != nil && here {
			wrong = append(wrong, &InvalidError{What: fmt.Sprintf("input %s is not there: %s", name, path), Where: where})
		}
	}
	return wrong
}

// checkNode refuses a node that no attempt of the run has.
func checkNode(id string, cfg *runconfig.ScriptRunConfig, node int) error {
	nodes := 1
	if cfg != nil {
		nodes = max(nodes, cfg.Resources.Nodes)
	}
	if node >= 0 && node < nodes {
		return nil
	}
	return &InvalidError{What: fmt.Sprintf("%s has no node %d: it has %d, counted from 0", id, node, nodes), Where: "--node"}
}
