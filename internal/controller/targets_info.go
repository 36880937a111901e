package controller

import (
	"context"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/store"
)

// TargetState is how it stands with a target.
type TargetState string

// The states of a target.
const (
	// TargetReady takes runs.
	TargetReady TargetState = "ready"
	// TargetStopped is ready, and its queue is stopped.
	TargetStopped TargetState = "stopped"
	// TargetUnreachable cannot be asked now. Runs wait for it.
	TargetUnreachable TargetState = "unreachable"
)

// TargetInfo is what is known of a compute target. It holds no secret.
type TargetInfo struct {
	Name string       `json:"name"`
	Kind compute.Kind `json:"kind"`
	// Instance: its queue can be stopped and started.
	Instance bool        `json:"instance"`
	State    TargetState `json:"state"`
	// Message says why it is not ready, or nothing.
	Message string `json:"message,omitempty"`
	// CPUs, Memory in bytes and GPUs by id that runs are given; zero: unknown.
	CPUs   float64  `json:"cpus"`
	Memory int64    `json:"memory"`
	GPUs   []string `json:"gpus"`
	// Running holds a slot, Waiting does not yet.
	Running int `json:"running"`
	Waiting int `json:"waiting"`
	// StoppedAt is since when its queue is stopped; nil: it is not.
	StoppedAt *time.Time `json:"stopped_at"`
	// Config is how it is reached; nil for this computer.
	Config     *compute.Config `json:"config,omitempty"`
	HostKey    string          `json:"host_key,omitempty"`
	MachineID  string          `json:"machine_id,omitempty"`
	AttachedAt *time.Time      `json:"attached_at"`
	// CheckedAt is when it was last found in order.
	CheckedAt *time.Time `json:"checked_at"`
	// Facts are what attaching found; only of a single target.
	Facts *compute.Facts `json:"facts,omitempty"`
	// Pool is the nodes of a cluster, as they are now; only of a single target
	// whose engine tells of them. PoolMessage says why it does not.
	Pool        *backends.Pool `json:"pool,omitempty"`
	PoolMessage string         `json:"pool_message,omitempty"`
}

// poolPatience is how long an engine may take to tell of its nodes.
const poolPatience = 15 * time.Second

// Targets lists the targets by name.
func (c *Controller) Targets(ctx context.Context) ([]TargetInfo, error) {
	checked, err := c.checkedAt(ctx)
	if err != nil {
		return nil, err
	}
	list := []TargetInfo{}
	for _, t := range c.allTargets() {
		info := t.info()
		info.CheckedAt, info.Facts = checked[t.name], nil
		list = append(list, info)
	}
	return list, nil
}

// Target gives everything known of one.
func (c *Controller) Target(ctx context.Context, name string) (*TargetInfo, error) {
	t, err := c.named(name)
	if err != nil {
		return nil, err
	}
	checked, err := c.checkedAt(ctx)
	if err != nil {
		return nil, err
	}
	info := t.info()
	info.CheckedAt = checked[name]
	t.lookAtPool(ctx, &info)
	return &info, nil
}

// lookAtPool fills in the nodes of a cluster that can be asked.
func (t *target) lookAtPool(ctx context.Context, info *TargetInfo) {
	pooled, ok := t.backend.(backends.Pooled)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, poolPatience)
	defer cancel()
	pool, err := pooled.Pool(ctx)
	if err != nil {
		info.PoolMessage = err.Error()
		return
	}
	info.Pool = &pool
}

// named is a target that a command names.
func (c *Controller) named(name string) (*target, error) {
	t, err := c.target(name)
	if err != nil {
		return nil, &store.NotFoundError{Kind: "compute target", Name: name}
	}
	return t, nil
}

// checkedAt is when targets were last found in order.
func (c *Controller) checkedAt(ctx context.Context) (map[string]*time.Time, error) {
	stored, err := c.store.Targets(ctx)
	if err != nil {
		return nil, err
	}
	at := map[string]*time.Time{}
	for _, t := range stored {
		at[t.Name] = t.CheckedAt
	}
	return at, nil
}

func (t *target) info() TargetInfo {
	i := TargetInfo{Name: t.name, Kind: compute.Local, Instance: true, State: TargetReady, GPUs: []string{}}
	if r := t.record; r != nil {
		config := r.Config
		i.Kind, i.Instance, i.Config, i.Facts = r.Kind, r.Instance, &config, r.Facts
		i.HostKey, i.MachineID, i.AttachedAt = r.HostKey, r.MachineID, &r.AttachedAt
	}
	t.slots.mu.Lock()
	if s := t.slots.size; s != nil {
		i.CPUs, i.Memory = s.CPUs, s.Memory
		i.GPUs = append(i.GPUs, s.GPUs...)
	}
	t.slots.mu.Unlock()
	i.Running, i.Waiting = t.slots.counts()
	if since := t.slots.stoppedSince(); !since.IsZero() {
		i.State, i.StoppedAt = TargetStopped, &since
	}
	if why := t.away(); why != "" {
		i.State, i.Message = TargetUnreachable, why
	}
	return i
}
