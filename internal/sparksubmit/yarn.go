package sparksubmit

import (
	"context"
	"errors"
	"fmt"
)

// application is what YARN says of one.
type application struct {
	ID          string  `json:"id"`
	User        string  `json:"user"`
	Queue       string  `json:"queue"`
	State       string  `json:"state"`
	Final       string  `json:"finalStatus"`
	Progress    float64 `json:"progress"`
	URL         string  `json:"trackingUrl"`
	Diagnostics string  `json:"diagnostics"`
	Tags        string  `json:"applicationTags"`
	// DriverLogs is the page of the container that the driver runs in.
	DriverLogs string `json:"amContainerLogs"`
	Started    int64  `json:"startedTime"`
	// LogAggregation is how far YARN is with collecting its logs; empty: it does
	// not say.
	LogAggregation string `json:"logAggregationStatus"`
}

// ended reports whether YARN is done with it.
func (a *application) ended() bool {
	return a.State == "FINISHED" || a.State == "FAILED" || a.State == "KILLED"
}

// errForgotten is an application that the ResourceManager knows nothing of: it was
// started anew without its memory, or has forgotten what ended long ago.
var errForgotten = errors.New("the ResourceManager knows nothing of it")

// yarn is a ResourceManager, asked in one way or another.
type yarn interface {
	// find gives the applications with a tag.
	find(ctx context.Context, tag string) ([]application, error)
	// status of one application; errForgotten: there is none.
	status(ctx context.Context, id string) (*application, error)
	// kill ends one; one that has ended is fine.
	kill(ctx context.Context, id string) error
}

// both asks over HTTP, and by the cluster's own programs where that is refused.
type both struct{ web, programs yarn }

func (b both) find(ctx context.Context, tag string) ([]application, error) {
	found, err := b.web.find(ctx, tag)
	if err == nil || ctx.Err() != nil {
		return found, err
	}
	found, slowErr := b.programs.find(ctx, tag)
	return found, orBoth(err, slowErr)
}

func (b both) status(ctx context.Context, id string) (*application, error) {
	a, err := b.web.status(ctx, id)
	if err == nil || ctx.Err() != nil {
		return a, err
	}
	a, slowErr := b.programs.status(ctx, id)
	return a, orBoth(err, slowErr)
}

func (b both) kill(ctx context.Context, id string) error {
	err := b.web.kill(ctx, id)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return orBoth(err, b.programs.kill(ctx, id))
}

// orBoth is no error when the second way had none.
func orBoth(first, second error) error {
	if second == nil {
		return nil
	}
	return errors.Join(first, second)
}

// killTagged ends all applications with a tag that have not ended.
func killTagged(ctx context.Context, y yarn, tag string) error {
	found, err := y.find(ctx, tag)
	if err != nil {
		return fmt.Errorf("look for applications tagged %s: %w", tag, err)
	}
	var errs []error
	for i := range found {
		if !found[i].ended() {
			errs = append(errs, y.kill(ctx, found[i].ID))
		}
	}
	return errors.Join(errs...)
}
