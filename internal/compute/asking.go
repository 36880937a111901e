package compute

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"sync"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
)

// asking is a machine that is asked for much, where what cannot be found counts
// as not there: a line that breaks meanwhile ends the asking, or a machine would
// be taken for one that has no GPU.
type asking struct {
	host.Host
	end context.CancelCauseFunc

	mu   sync.Mutex
	lost error
}

// note keeps the first error that says that the line broke.
func (a *asking) note(err error) error {
	if errors.Is(err, sshhost.ErrUnreachable) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.lost == nil {
			a.lost = err
			a.end(err)
		}
	}
	return err
}

func (a *asking) why() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lost
}

func (a *asking) Platform(ctx context.Context) (host.Platform, error) {
	p, err := a.Host.Platform(ctx)
	return p, a.note(err)
}

func (a *asking) Run(ctx context.Context, c host.Command) error { return a.note(a.Host.Run(ctx, c)) }

func (a *asking) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := a.Host.Dial(ctx, network, address)
	return c, a.note(err)
}

func (a *asking) Open(ctx context.Context, path string) (host.File, error) {
	f, err := a.Host.Open(ctx, path)
	return f, a.note(err)
}

func (a *asking) Stat(ctx context.Context, path string) (fs.FileInfo, error) {
	info, err := a.Host.Stat(ctx, path)
	return info, a.note(err)
}

func (a *asking) Lstat(ctx context.Context, path string) (fs.FileInfo, error) {
	info, err := a.Host.Lstat(ctx, path)
	return info, a.note(err)
}

func (a *asking) ReadDir(ctx context.Context, path string) ([]fs.DirEntry, error) {
	entries, err := a.Host.ReadDir(ctx, path)
	return entries, a.note(err)
}

func (a *asking) Readlink(ctx context.Context, path string) (string, error) {
	target, err := a.Host.Readlink(ctx, path)
	return target, a.note(err)
}
