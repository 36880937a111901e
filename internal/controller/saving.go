package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// saver is the target's ability to save while the run goes on; nil: the spec
// does not ask for it, or the target cannot.
func (d *driver) saver() backends.Saver {
	if d.spec.config.Outputs.Upload != runconfig.UploadLive {
		return nil
	}
	s, _ := d.t.backend.(backends.Saver)
	return s
}

// saveNow brings home what the attempt has left so far.
func (d *driver) saveNow(ctx context.Context, s backends.Saver, r *run.Run) error {
	kept, err := d.c.artifactStore(d.spec.config)
	if err != nil {
		return err
	}
	return s.Save(ctx, ref(r), kept.Attempt(d.id, r.Last().Number), kept.Checkpoint(d.id))
}

// saveLive saves again and again while the attempt runs. The end of what it
// returns waits until it does so no more.
func (d *driver) saveLive(ctx context.Context, r *run.Run) (end func()) {
	s := d.saver()
	if s == nil || r.State != run.Running {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		tick := time.NewTicker(time.Duration(d.spec.config.Outputs.Every))
		defer tick.Stop()
		var failing time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			switch err := d.saveNow(ctx, s, r); {
			case ctx.Err() != nil:
				return
			case err != nil:
				if failing.IsZero() {
					failing = d.c.now()
					d.log.Warn("what a running attempt has left could not be saved; it is tried again", "error", err)
				}
				d.c.live.setRemark(d.id, fmt.Sprintf("%v (since %s, still trying)", err, failing.Local().Format("15:04")))
			case !failing.IsZero():
				failing = time.Time{}
				d.c.live.setRemark(d.id, "")
			}
		}
	})
	return func() {
		cancel()
		group.Wait()
	}
}

// saveLast saves what the last saving before the end did not have: the next
// attempt may begin on another machine. Of what is at home it moves nothing.
func (d *driver) saveLast(ctx context.Context, r *run.Run) error {
	s := d.saver()
	if s == nil {
		return nil
	}
	return d.saveNow(ctx, s, r)
}

// restore brings the checkpoint directory to a target that does not have it.
func (d *driver) restore(ctx context.Context, r *run.Run) error {
	s := d.saver()
	if s == nil || r.Last().Number == 1 {
		return nil
	}
	kept, err := d.c.artifactStore(d.spec.config)
	if err != nil {
		return err
	}
	return s.Restore(ctx, d.id, kept.Checkpoint(d.id))
}
