package onhost

import (
	"context"
	"io"
	"sync"

	"github.com/runnerml/runner/internal/host"
)

// Sessions opens up to want commands that stay open at once, and says how many
// the host gave before ctx ended.
func (c *Client) Sessions(ctx context.Context, want int) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	given, left := 0, want
	settled := make(chan struct{})
	settle := func(ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if ok {
			given++
		}
		if left--; left == 0 {
			close(settled)
		}
	}
	var running sync.WaitGroup
	var inputs []io.Closer
	for range want {
		toCommand, in := io.Pipe()
		inputs = append(inputs, in)
		running.Go(func() {
			said := &firstWord{heard: func() { settle(true) }}
			_ = c.host.Run(ctx, host.Command{Argv: []string{"sh", "-c", "echo; read x"}, Stdin: toCommand, Stdout: said}) // it is the counting that matters
			said.once.Do(func() { settle(false) })
			_ = toCommand.Close()
		})
	}
	select {
	case <-settled:
	case <-ctx.Done():
	}
	mu.Lock()
	n := given
	mu.Unlock()
	for _, in := range inputs {
		_ = in.Close() // ends its command
	}
	if n < want {
		cancel() // those that got none wait still
	}
	running.Wait()
	return n
}

// firstWord calls heard when something is written.
type firstWord struct {
	once  sync.Once
	heard func()
}

func (f *firstWord) Write(p []byte) (int, error) {
	f.once.Do(f.heard)
	return len(p), nil
}
