package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/runconfig"
)

// HomeStore is the name of the artifact store that is always there: RUNNER_HOME.
const HomeStore = "home"

// Artifacts are the stores in which outputs, logs and checkpoints of runs end.
type Artifacts struct {
	// Stores by name, beside HomeStore.
	Stores map[string]artifact.Store
	// Default store of runs whose spec names none, and Experiments those of
	// certain experiments. Empty: HomeStore.
	Default     string
	Experiments map[string]string
}

// of is the name of the store of a run with that spec.
func (a Artifacts) of(cfg *runconfig.ScriptRunConfig) string {
	for _, name := range []string{cfg.Outputs.Store, a.Experiments[cfg.Experiment], a.Default} {
		if name != "" {
			return name
		}
	}
	return HomeStore
}

// check refuses a spec that names a store that is not there.
func (a Artifacts) check(cfg *runconfig.ScriptRunConfig) *InvalidError {
	name := cfg.Outputs.Store
	if _, known := a.Stores[name]; known || name == "" || name == HomeStore {
		return nil
	}
	names := append(slices.Sorted(maps.Keys(a.Stores)), HomeStore)
	return &InvalidError{
		What: fmt.Sprintf("there is no artifact store %q", name), Where: "outputs.store",
		Hint: "config.yaml has " + strings.Join(names, ", "),
	}
}

// checkTimeout is how long a submission waits for what a store says.
const checkTimeout = 10 * time.Second

// refused says that a store does not take what a run would leave, and waiting
// would not help: better now than when the run has ended. One that cannot be
// reached now is no reason to refuse a run.
func (a Artifacts) refused(ctx context.Context, cfg *runconfig.ScriptRunConfig) *InvalidError {
	name := a.of(cfg)
	s, ok := a.Stores[name]
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	down, ok := errors.AsType[*artifact.UnavailableError](s.Check(ctx))
	if !ok || !down.Lasting {
		return nil
	}
	return &InvalidError{What: down.Error(), Where: "outputs.store", Hint: down.Advice}
}

// errNoStore is a store that runs refer to and config.yaml does not have.
var errNoStore = errors.New("config.yaml does not have it any more")

// isStoreDown tells a store that cannot be used now from other errors.
func isStoreDown(err error) bool {
	_, down := errors.AsType[*artifact.UnavailableError](err)
	return down
}

// artifactStore is where what the run leaves is kept. It was decided when the
// run was submitted.
func (c *Controller) artifactStore(cfg *runconfig.ScriptRunConfig) (artifact.Store, error) {
	if cfg.Outputs.Store == "" || cfg.Outputs.Store == HomeStore {
		return c.homeArtifacts, nil
	}
	if s, ok := c.artifacts.Stores[cfg.Outputs.Store]; ok {
		return s, nil
	}
	return nil, &artifact.UnavailableError{
		Store: cfg.Outputs.Store, Lasting: true, Err: errNoStore,
		Advice: "put it back under artifacts.stores in config.yaml, and start the agent again",
	}
}

// attemptFolder is where what an attempt of a run with that spec leaves is kept.
func (c *Controller) attemptFolder(cfg *runconfig.ScriptRunConfig, id string, number int) (artifact.Folder, error) {
	s, err := c.artifactStore(cfg)
	if err != nil {
		return nil, err
	}
	return s.Attempt(id, number), nil
}

// deleteArtifacts removes what a run left in a store that is not this home. That
// cannot be done in one step with its row, so it comes first: of what is not
// removed there stays a run that can be pruned again.
func (c *Controller) deleteArtifacts(ctx context.Context, id string, dryRun bool) (bytes int64, err error) {
	if len(c.artifacts.Stores) == 0 {
		return 0, nil
	}
	r, err := c.store.Run(ctx, id)
	if err != nil {
		return 0, err
	}
	s, err := c.artifactStore(r.Config)
	if errors.Is(err, errNoStore) {
		return 0, nil // whoever took it out of config.yaml knows
	}
	if err != nil || s == c.homeArtifacts {
		return 0, err
	}
	if bytes, err = s.Size(ctx, id); err != nil || dryRun {
		return bytes, err
	}
	return bytes, s.Delete(ctx, id)
}
