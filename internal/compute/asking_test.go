package compute

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
)

// breaking is a machine whose line breaks at the nth command.
type breaking struct {
	host.Host
	left atomic.Int64
}

func (b *breaking) Run(ctx context.Context, c host.Command) error {
	if b.left.Add(-1) == 0 {
		return &sshhost.LostError{Address: "box:22", Begun: true, Err: errors.New("reset")}
	}
	return b.Host.Run(ctx, c)
}

func (*breaking) Greeting() sshhost.Greeting            { return sshhost.Greeting{} }
func (*breaking) Judge(func(sshhost.Greeting) error)    {}
func (*breaking) HostKey() string                       { return "" }
func (*breaking) Trouble() (since time.Time, err error) { return since, nil }
func (*breaking) Close() error                          { return nil }

// A machine is not taken for one that lacks what could not be asked for.
func TestTakeOverALineThatBreaks(t *testing.T) {
	t.Parallel()
	for _, at := range []int64{1, 3, 6} { // commands run beside each other
		t.Run(fmt.Sprint("command ", at), func(t *testing.T) {
			t.Parallel()
			b := &breaking{Host: newHost(t)}
			b.left.Store(at)
			v := &Visit{m: &Machines{}, t: &Target{Name: "box"}, c: b}
			_, err := v.Take(t.Context())
			if !errors.Is(err, sshhost.ErrUnreachable) || !strings.Contains(err.Error(), "the connection to box:22 was lost") {
				t.Errorf("%d commands more: %v", b.left.Load(), err)
			}
		})
	}
}
