package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/program"
)

// slowHost takes a block a while, and says so.
type slowHost struct {
	host.Host
	blocks, most int64
	pause        time.Duration
}

func (h *slowHost) Stat(context.Context, string) (fs.FileInfo, error) { return nil, fs.ErrNotExist }

func (h *slowHost) Run(ctx context.Context, c host.Command) error {
	switch c.Argv[2] {
	case partScript:
		_, err := fmt.Fprintln(c.Stdout, h.blocks*partBlock)
		return err
	case restScript:
		for range h.most {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(h.pause):
			}
			n, err := io.CopyN(io.Discard, c.Stdin, partBlock)
			h.blocks++
			_, _ = fmt.Fprintln(c.Stdout, (h.blocks-1)*partBlock+n)
			if errors.Is(err, io.EOF) {
				return nil
			}
		}
		<-ctx.Done() // it hangs
		return context.Cause(ctx)
	}
	return nil
}

// How long it takes does not matter, as long as it grows.
func TestSendSlowly(t *testing.T) {
	p, err := (&program.Finder{}).Running()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		most int64
		want error
	}{
		{"slowly", 1 << 40, nil},
		{"it hangs", 100, errNoGrowth},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				h := &slowHost{most: c.most, pause: silence - time.Second}
				err := putThere(t.Context(), h, "/root/bin/runner-0123456789ab", p, nil)
				if !errors.Is(err, c.want) {
					t.Error(err)
				}
				if took := time.Since(began); took < time.Hour {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}
