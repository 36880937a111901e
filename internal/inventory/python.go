package inventory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/runnerml/runner/internal/host"
)

// Python is an interpreter.
type Python struct {
	// Path by which it is called, and other paths to the same one.
	Path    string   `json:"path"`
	Aliases []string `json:"aliases,omitempty"`
	Version string   `json:"version"`
	// Venv: it can make virtual environments with pip inside, for which it
	// needs the modules venv and ensurepip.
	Venv       bool `json:"venv"`
	EnsurePip  bool `json:"ensurepip"`
	VenvModule bool `json:"venv_module"`
	// Virtual: it is itself inside a virtual environment.
	Virtual bool `json:"virtual"`
	// Conda: it is inside a conda environment.
	Conda bool `json:"conda"`
	// Error is why it does not run; the other fields are empty then.
	Error string `json:"error,omitempty"`
}

const (
	oldestMinor, newestMinor = 8, 15
	// probes is how many interpreters start at once.
	probes = 4
	// commandNotFound is how a shim (pyenv's, asdf's) ends that leads nowhere.
	commandNotFound = 127
)

// pythonProbe runs on Python 2.7 as well, to say what it is.
const pythonProbe = `import json, os, sys
try:
    from importlib.util import find_spec
except ImportError:
    find_spec = None
def has(name):
    try:
        spec = find_spec(name) if find_spec else None
        return spec is not None and spec.origin is not None
    except Exception:
        return False
base = getattr(sys, 'base_prefix', sys.prefix)
print(json.dumps({'version': '.'.join(str(n) for n in sys.version_info[:3]),
    'prefix': sys.prefix, 'virtual': base != sys.prefix, 'venv': has('venv'), 'ensurepip': has('ensurepip'),
    'conda': os.path.isdir(os.path.join(sys.prefix, 'conda-meta'))}))`

type pythonAnswer struct {
	Version   string `json:"version"`
	Prefix    string `json:"prefix"`
	Virtual   bool   `json:"virtual"`
	Venv      bool   `json:"venv"`
	EnsurePip bool   `json:"ensurepip"`
	Conda     bool   `json:"conda"`
}

// pythonNames are what interpreters are called; python3 comes first since that
// is what a spec takes when it says nothing.
func pythonNames() []string {
	names := []string{"python3", "python"}
	for minor := newestMinor; minor >= oldestMinor; minor-- {
		names = append(names, fmt.Sprintf("python3.%d", minor))
	}
	return names
}

// pythons finds the interpreters and asks each what it can do. The first is
// the one that "python3" leads to.
func (a *asker) pythons(ctx context.Context, home string) []Python {
	paths := a.find(ctx, pythonNames(), []string{"/usr/bin", "/usr/local/bin", path.Join(home, ".local/bin")})
	// "python3" of any directory before "python": that is how a spec finds it.
	slices.SortStableFunc(paths, func(p, q string) int {
		return rank(path.Base(p)) - rank(path.Base(q))
	})
	answers := make([]pythonAnswer, len(paths))
	faults := make([]error, len(paths))
	said := make([]string, len(paths))
	var group errgroup.Group
	group.SetLimit(probes)
	for i, p := range paths {
		group.Go(func() error {
			s, err := a.run(ctx, p, "-E", "-s", "-c", pythonProbe)
			if err == nil {
				err = json.Unmarshal([]byte(s.out.String()), &answers[i])
			}
			faults[i], said[i] = err, s.words()
			return nil
		})
	}
	_ = group.Wait() // none gives an error
	var out []Python
	known := map[string]int{} // by prefix and version
	for i, p := range paths {
		if err := faults[i]; err != nil {
			var ended *host.ExitError
			if errors.As(err, &ended) && ended.Code == commandNotFound {
				continue
			}
			out = append(out, Python{Path: p, Error: failure(err, said[i])})
			continue
		}
		got := answers[i]
		key := got.Prefix + "\x00" + got.Version
		if at, ok := known[key]; ok {
			out[at].Aliases = append(out[at].Aliases, p)
			continue
		}
		known[key] = len(out)
		out = append(out, Python{
			Path: p, Version: got.Version, VenvModule: got.Venv, EnsurePip: got.EnsurePip,
			Venv: got.Venv && got.EnsurePip, Virtual: got.Virtual, Conda: got.Conda,
		})
	}
	return out
}

// rank orders names: python3, then python, then those with a version.
func rank(name string) int {
	switch name {
	case "python3":
		return 0
	case "python":
		return 1
	}
	return 2
}

// failure is why a tool gave no answer, on one line.
func failure(err error, said string) string {
	if errors.Is(err, errHung) {
		return errHung.Error()
	}
	if said != "" {
		return said
	}
	return oneLine(err.Error())
}

// programs finds conda's tools, uv and git.
func (a *asker) programs(ctx context.Context, home, root string) (conda []Program, uv, git *Program) {
	in := func(dirs ...string) []string {
		var out []string
		for _, d := range dirs {
			if home != "" {
				out = append(out, path.Join(home, d))
			}
		}
		return out
	}
	condas := append(in("micromamba/bin", ".local/bin", "bin", "miniforge3/bin", "mambaforge/bin", "miniconda3/bin", "anaconda3/bin"), "/opt/conda/bin",
		path.Join(root, "tools")) // what attaching brought
	var wait sync.WaitGroup
	found := make([]*Program, 5)
	for i, name := range []string{"micromamba", "mamba", "conda"} {
		wait.Go(func() { found[i] = a.program(ctx, name, condas...) })
	}
	// uv counts only where PATH leads to it: nothing else is used.
	wait.Go(func() { found[3] = a.program(ctx, "uv") })
	wait.Go(func() { found[4] = a.program(ctx, "git") })
	wait.Wait()
	for _, p := range found[:3] {
		if p != nil {
			conda = append(conda, *p)
		}
	}
	return conda, found[3], found[4]
}

// Program is a tool.
type Program struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	Version string `json:"version"`
	// Error is why it does not run.
	Error string `json:"error,omitempty"`
}

// program finds a tool and asks for its version; nil: there is none.
func (a *asker) program(ctx context.Context, name string, more ...string) *Program {
	at := a.first(ctx, name, more...)
	if at == "" {
		return nil
	}
	p := &Program{Name: name, Path: at}
	s, err := a.run(ctx, at, "--version")
	if err != nil {
		p.Error = failure(err, s.words())
		return p
	}
	for word := range strings.FieldsSeq(s.out.String()) {
		if v := version(word); strings.Contains(v, ".") {
			p.Version = v
			break
		}
	}
	return p
}
