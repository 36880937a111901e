package controller

import (
	"context"
	"sync"

	"github.com/runnerml/runner/internal/compute"
)

// comings are the targets that are just being attached or given up, one at a
// time of a name: a machine that does not answer holds up nobody else.
type comings struct {
	mu sync.Mutex
	by map[string]*coming
}

// coming is a target that comes or goes.
type coming struct {
	over chan struct{} // closed when it has come, or gone, or not
	// target that is being attached; nil: one is being given up.
	target *compute.Target
	// known tells its machine, once that is known; nil: not yet.
	known *compute.Known
}

// enter waits until no target of that name comes or goes. leave ends it.
func (c *comings) enter(ctx context.Context, name string, t *compute.Target) (leave func(), err error) {
	for {
		c.mu.Lock()
		other := c.by[name]
		if other == nil {
			break
		}
		c.mu.Unlock()
		select {
		case <-other.over:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]*coming{}
	}
	own := &coming{over: make(chan struct{}), target: t}
	c.by[name] = own
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.by, name)
		close(own.over)
	}, nil
}

// isComing reports whether a target of that name is being attached.
func (c *comings) isComing(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.by[name]
	return own != nil && own.target != nil
}

// settle says which machine a target is that is being attached, unless refuse is
// against it, which is told of the machines of the others that are alike.
func (c *comings) settle(t *compute.Target, refuse func(others []compute.Known) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var others []compute.Known
	for name, other := range c.by {
		if name != t.Name && other.known != nil && alike(other.target.Kind, t.Kind) {
			others = append(others, *other.known)
		}
	}
	if err := refuse(others); err != nil {
		return err
	}
	c.by[t.Name].known = &compute.Known{Name: t.Name, MachineID: t.MachineID, HostKey: t.HostKey}
	return nil
}

// alike reports whether one machine cannot be targets of both kinds.
func alike(a, b compute.Kind) bool { return a == b || !a.OnCluster() && !b.OnCluster() }
