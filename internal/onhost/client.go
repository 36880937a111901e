package onhost

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/runnerml/runner/internal/host"
)

// Client asks our program on one machine. It is safe for concurrent use.
type Client struct {
	host host.Host
	// bin is this program on the host.
	bin string
	// unreachable tells a machine that cannot be asked now from other errors.
	unreachable func(error) bool
}

// New is the Client of a machine; bin is this program there (supervise.Install).
// unreachable reports whether an error of the host means that it could not be
// reached, so that asking again can help; nil: none does.
func New(h host.Host, bin string, unreachable func(error) bool) *Client {
	if unreachable == nil {
		unreachable = func(error) bool { return false }
	}
	return &Client{host: h, bin: bin, unreachable: unreachable}
}

// tries is how often a verb is asked again when the line breaks. The host waits
// between them.
const tries = 4

// again repeats what is safe to repeat while the line breaks.
func (c *Client) again(ctx context.Context, what string, once func() error) error {
	for i := 1; ; i++ {
		err := once()
		if err == nil {
			return nil
		}
		if i == tries || ctx.Err() != nil || !c.unreachable(err) {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// talk runs a verb and speaks with it. When f ends, so does the verb's standard
// input.
func (c *Client) talk(ctx context.Context, args []string, f func(*listener, *speaker) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	toVerb, in := io.Pipe()
	out := newPipe()
	ran := make(chan error, 1)
	go func() {
		err := c.host.Run(ctx, host.Command{Argv: append([]string{c.bin, "onhost"}, args...), Stdin: toVerb, Stdout: out})
		_ = toVerb.CloseWithError(ErrCut) // always nil
		out.end(io.EOF)
		ran <- err
	}()
	from := newListener(out)
	said := f(from, &speaker{w: in})
	_ = in.Close() // always nil
	if errors.Is(said, ErrCut) {
		said = from.lastWords(said)
	} else if _, onHost := errors.AsType[*HostError](said); said != nil && !onHost {
		cancel(said) // it is we who do not go on
	}
	out.drop()
	err := <-ran
	if killed, ok := errors.AsType[*host.ExitError](err); ok && killed.Signal != "" {
		err = errors.Join(ErrCut, err) // asking again can help
	}
	if said == nil || errors.Is(said, ErrCut) && err != nil {
		return err
	}
	return said
}

// lastWords are what a verb said before it ended while we spoke; else err.
func (l *listener) lastWords(err error) error {
	for {
		mark, payload, endErr := l.frame()
		if endErr != nil {
			return err
		}
		if mark == markFailed {
			return decodeFailure(payload)
		}
	}
}
