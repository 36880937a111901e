package controller

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/runconfig"
)

// DataCheck says whether data can be read as an input, and how fast.
type DataCheck struct {
	Path     string                 `json:"path"`
	Target   string                 `json:"target"`
	Readings []backends.DataReading `json:"readings"`
}

// CheckData reads some of what path names where a run on the target would.
func (c *Controller) CheckData(ctx context.Context, path, target string) (*DataCheck, error) {
	c.awaitFirstTry(ctx, target)
	t, err := c.named(target)
	if err != nil {
		return nil, err
	}
	in := runconfig.Input{Path: path}
	switch in.Kind() {
	case runconfig.InputRun:
		if in.Path, err = c.inputOfRun(ctx, in, true); err != nil {
			wrong := &InvalidError{What: err.Error(), Where: path}
			if hinted, ok := errors.AsType[*NoInputError](err); ok {
				wrong.Hint = hinted.Hint
			}
			return nil, wrong
		}
	case runconfig.InputURL:
		if why := runconfig.CheckAddress(path); why != "" {
			return nil, &InvalidError{What: why}
		}
	case runconfig.InputTarget:
		if !strings.HasPrefix(in.TargetPath(), "/") {
			return nil, &InvalidError{What: "a path of the target must begin with a slash", Where: path}
		}
	case runconfig.InputLocal:
		if !filepath.IsAbs(path) {
			return nil, &InvalidError{What: "the path is not absolute", Where: path}
		}
	}
	checker, ok := t.backend.(backends.DataChecker)
	if !ok {
		return nil, &InvalidError{What: "data cannot be checked on " + target + t.awayWords()}
	}
	readings, err := checker.CheckData(ctx, in)
	if err != nil {
		return nil, err
	}
	for i := range readings {
		if readings[i].Where == backends.OnTarget {
			readings[i].Where = t.name
		}
	}
	return &DataCheck{Path: path, Target: t.name, Readings: readings}, nil
}

// awayWords say why a target is away, if it is.
func (t *target) awayWords() string {
	if why := t.away(); why != "" {
		return ": " + why
	}
	return ""
}
