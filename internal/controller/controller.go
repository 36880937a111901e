package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/metrics"
	"github.com/runnerml/runner/runconfig"
)

// DefaultUnreachableLimit is how long a target may stay silent before its
// attempts count as lost to us.
const DefaultUnreachableLimit = 24 * time.Hour

// Options are what a Controller is made of. All fields without a default in
// their comment are needed.
type Options struct {
	// Home is RUNNER_HOME.
	Home      string
	Store     *store.Store
	Snapshots *snapshot.Store
	// Backends of the targets that are built in, by their names.
	Backends map[string]backends.Backend
	// Artifacts are stores beside RUNNER_HOME; none: everything ends there.
	Artifacts Artifacts
	// Machines reaches attached targets; nil: none can be attached.
	Machines *compute.Machines
	Metrics  *metrics.Metrics
	// Logger; default: slog.Default().
	Logger *slog.Logger
	// Now; default: time.Now.
	Now func() time.Time
	// UnreachableLimit; default: DefaultUnreachableLimit.
	UnreachableLimit time.Duration
	// Keeping is what machines keep; its zero value: everything.
	Keeping Keeping
	// Uploader ends named outputs; nil: specs with some are refused.
	Uploader Uploader
}

// Controller carries runs out. Make it with New, then call Start once.
type Controller struct {
	home             string
	store            *store.Store
	snapshots        *snapshot.Store
	metrics          *metrics.Metrics
	log              *slog.Logger
	now              func() time.Time
	unreachableLimit time.Duration
	sealer           *sealer
	live             *liveBoard
	artifacts        Artifacts
	homeArtifacts    artifact.Store
	machines         *compute.Machines
	keeping          Keeping
	uploader         Uploader
	comings          comings
	pruning          sync.Mutex

	tmu     sync.RWMutex
	targets map[string]*target // see targets.go

	ctx    context.Context //nolint:containedctx // the life of the controller's own goroutines, ended by Close
	cancel context.CancelCauseFunc
	group  sync.WaitGroup

	mu      sync.Mutex
	drivers map[string]*driver
}

// New makes a controller that does nothing yet.
func New(o Options) (*Controller, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.UnreachableLimit == 0 {
		o.UnreachableLimit = DefaultUnreachableLimit
	}
	s, err := openSealer(filepath.Join(o.Home, "secrets.key"))
	if err != nil {
		return nil, err
	}
	c := &Controller{
		home: o.Home, store: o.Store, snapshots: o.Snapshots, metrics: o.Metrics, log: o.Logger, now: o.Now,
		unreachableLimit: o.UnreachableLimit, sealer: s, live: newLiveBoard(), keeping: o.Keeping, uploader: o.Uploader,
		machines: o.Machines, targets: map[string]*target{}, drivers: map[string]*driver{},
	}
	c.artifacts, c.homeArtifacts = o.Artifacts, artifact.OpenHome(filepath.Join(o.Home, "runs"))
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	for name, b := range o.Backends {
		c.targets[name] = c.newTarget(name, b, newSlots())
	}
	return c, nil
}

// Start picks everything up where the store says it is and begins to work. It
// returns once all unfinished runs are known; Close ends what it began.
func (c *Controller) Start(ctx context.Context) error {
	active, err := c.store.Active(ctx)
	if err != nil {
		return fmt.Errorf("read unfinished runs: %w", err)
	}
	for _, t := range c.targets {
		if err := t.measure(ctx); err != nil {
			return fmt.Errorf("size of target %s: %w", t.name, err)
		}
	}
	if err := c.loadTargets(ctx); err != nil {
		return err
	}
	demands, err := c.store.Demands(ctx)
	if err != nil {
		return fmt.Errorf("read what unfinished runs ask for: %w", err)
	}
	for i := range active {
		c.pickUp(&active[i], demands[active[i].ID])
	}
	for _, t := range c.allTargets() {
		c.begin(t)
	}
	return nil
}

// pickUp puts an unfinished run where its state says it belongs; begin then
// drives those that hold a slot.
func (c *Controller) pickUp(r *run.Run, d store.Demand) {
	t, err := c.target(r.Target)
	if err != nil {
		c.log.Error("a stored run names a target that is not here", "run", r.ID, "target", r.Target)
		return
	}
	if r.State == run.Queued {
		t.slots.wait(wantOf(r, d))
		return
	}
	t.slots.hold(heldOf(r, d.VMPriority == runconfig.LowPriority))
}

// Close stops working and waits for its goroutines. Runs go on: they belong to
// their targets.
func (c *Controller) Close() {
	c.cancel(backends.ErrAgentEnds)
	c.group.Wait()
	for _, t := range c.allTargets() {
		c.closeTarget(t)
	}
}

// Idle reports whether no run is unfinished.
func (c *Controller) Idle() bool {
	for _, t := range c.allTargets() {
		if t.slots.busy() {
			return false
		}
	}
	return true
}

// update changes a run in the store and tells the metrics of its end.
func (c *Controller) update(ctx context.Context, id string, change func(*run.Run) ([]run.Event, error)) (*run.Run, error) {
	r, err := c.store.Update(ctx, id, change)
	if err != nil {
		return nil, fmt.Errorf("store run %s: %w", id, err)
	}
	return r, nil
}

// event is a change of state, or a remark when from and to are equal.
func (c *Controller) event(attempt int, from, to run.State, why string) run.Event {
	return run.Event{Time: c.now().UTC(), Attempt: attempt, From: from, To: to, Why: why}
}

var errNoChange = errors.New("nothing to change")
