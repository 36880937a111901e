package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/runconfig"
)

// checkInputs refuses inputs that cannot be read: a run would only find that
// out after it had waited. here: the target is this computer; elsewhere a path
// may be one of the target's own.
func (c *Controller) checkInputs(ctx context.Context, cfg *runconfig.ScriptRunConfig, here bool) (wrong []*InvalidError) {
	for _, name := range slices.Sorted(maps.Keys(cfg.Inputs)) {
		in, where := cfg.Inputs[name], "inputs."+name+".path"
		switch in.Kind() {
		case runconfig.InputURL:
		case runconfig.InputRun:
			if _, err := c.inputOfRun(ctx, in, true); err != nil {
				e := &InvalidError{What: fmt.Sprintf("input %s: %v", name, err), Where: where}
				if hinted, ok := errors.AsType[*NoInputError](err); ok {
					e.Hint = hinted.Hint
				}
				wrong = append(wrong, e)
			}
		case runconfig.InputLocal, runconfig.InputTarget:
			if _, err := os.Stat(in.TargetPath()); err != nil && here {
				wrong = append(wrong, &InvalidError{What: fmt.Sprintf("input %s is not there: %s", name, in.TargetPath()), Where: where})
			}
		}
	}
	return wrong
}

// NoInputError is what a run did not leave, or not yet.
type NoInputError struct{ What, Hint string }

func (e *NoInputError) Error() string { return e.What }

// inputOfRun is where the files are that an input names of another run: a path
// here, or a place that the target can read. check looks whether they can be
// read as they are; a store that cannot be asked now is no reason to refuse.
func (c *Controller) inputOfRun(ctx context.Context, in runconfig.Input, check bool) (string, error) {
	id, what := in.OfRun()
	r, left, err := c.left(ctx, id, 0)
	if _, unknown := errors.AsType[*store.NotFoundError](err); unknown {
		return "", &NoInputError{What: "there is no run " + id, Hint: "runner ps --all lists them"}
	}
	if err != nil {
		return "", err
	}
	if !r.State.Ended() {
		return "", &NoInputError{What: fmt.Sprintf("%s has not ended: it is %s", r.ID, r.State), Hint: "runner wait " + r.ID}
	}
	what = strings.TrimSuffix(what, "/")
	none := &NoInputError{What: fmt.Sprintf("%s left no %s", r.ID, what), Hint: "runner outputs " + r.ID + " lists what it left"}
	if d, here := left.(*artifact.Directory); here {
		return pathLeft(d.Path(), what, none)
	}
	a, ok := left.(addressedFolder)
	if !ok {
		return "", none
	}
	if check {
		if err := checkLeft(ctx, r, a, what, none); err != nil && !isStoreDown(err) {
			return "", err
		}
	}
	return a.Address(ctx, what)
}

// pathLeft is what has a name in a directory, and not out of it by a link.
func pathLeft(dir, what string, none *NoInputError) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", none
	}
	defer func() { _ = root.Close() }() // only looked into
	if _, err := root.Stat(filepath.FromSlash(what)); errors.Is(err, fs.ErrNotExist) {
		return "", none
	} else if err != nil {
		return "", fmt.Errorf("input of a run: %w", err)
	}
	return filepath.Join(dir, filepath.FromSlash(what)), nil
}

// addressedFolder is what a run left where others can read it by themselves.
type addressedFolder interface {
	artifact.Folder
	artifact.Addressed
}

// checkLeft says why the target could not read by itself what a run left in a
// store: what is no plain file is there in words of our own.
func checkLeft(ctx context.Context, r *run.Run, left addressedFolder, what string, none *NoInputError) error {
	files, err := left.List(ctx)
	if err != nil {
		return err
	}
	found := false
	for _, f := range files {
		if f.Path != what && !strings.HasPrefix(f.Path, what+"/") {
			continue
		}
		found = true
		address, err := left.Address(ctx, f.Path)
		if err != nil {
			return err
		}
		if !f.Mode.IsRegular() || !strings.HasSuffix(address, "/"+f.Path) {
			return &NoInputError{
				What: fmt.Sprintf("%s of %s, in the artifact store %s, is no plain file that a target could read", f.Path, r.ID, r.Config.Outputs.Store),
				Hint: fmt.Sprintf("runner outputs %s --to DIR brings it here: name it there as the input's path", r.ID),
			}
		}
	}
	if !found {
		return none
	}
	return nil
}

// settleInputs names the runs of inputs by their whole ids: what "@last" means
// changes.
func (c *Controller) settleInputs(ctx context.Context, cfg *runconfig.ScriptRunConfig) (*runconfig.ScriptRunConfig, error) {
	settled := *cfg
	settled.Inputs = maps.Clone(cfg.Inputs)
	for name, in := range cfg.Inputs {
		if in.Kind() != runconfig.InputRun {
			continue
		}
		id, _ := in.OfRun()
		whole, err := c.store.Resolve(ctx, id)
		if err != nil {
			return nil, err
		}
		settled.Inputs[name] = in.WithRun(whole)
	}
	return &settled, nil
}

// placeInputsOfRuns is a config whose inputs of other runs are paths here, or
// places that the target can read.
func (c *Controller) placeInputsOfRuns(ctx context.Context, cfg *runconfig.ScriptRunConfig) (*runconfig.ScriptRunConfig, error) {
	if !slices.ContainsFunc(slices.Collect(maps.Values(cfg.Inputs)), func(in runconfig.Input) bool { return in.Kind() == runconfig.InputRun }) {
		return cfg, nil
	}
	placed := *cfg
	placed.Inputs = maps.Clone(cfg.Inputs)
	for name, in := range cfg.Inputs {
		if in.Kind() != runconfig.InputRun {
			continue
		}
		path, err := c.inputOfRun(ctx, in, false)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", name, err)
		}
		in.Path = path
		placed.Inputs[name] = in
	}
	return &placed, nil
}

// inputsFrom are the runs that a run's inputs come from.
func inputsFrom(cfg *runconfig.ScriptRunConfig) (from []run.InputFrom) {
	if cfg == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Inputs)) {
		if in := cfg.Inputs[name]; in.Kind() == runconfig.InputRun {
			id, path := in.OfRun()
			from = append(from, run.InputFrom{Input: name, Run: id, Path: path})
		}
	}
	return from
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
