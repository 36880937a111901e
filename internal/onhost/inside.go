package onhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/supervise"
)

// What is asked of our own program, serve answers itself: it is that program,
// and to start it once more takes longer than most answers.

// verb is one of those of Main.
type verb func(ctx context.Context, args []string, in *listener, out *speaker) error

// insideVerb gives a verb that serve carries out itself. The others are for
// much, and live long: they have a process of their own.
func (t *taking) insideVerb(name string) verb {
	return map[string]verb{"keep": t.mainKeep, "fill": t.mainFill}[name]
}

// inside carries a command line of our program out, if it is one of those.
// known false: another process must.
func (t *taking) inside(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) (known bool, err error) {
	if len(args) < 2 { //nolint:mnd // a room and a verb
		return false, nil
	}
	switch room, rest := args[0], args[1:]; room {
	case "onhost":
		v := t.insideVerb(rest[0])
		if v == nil {
			return false, nil
		}
		out := &speaker{w: stdout}
		err := v(ctx, rest[1:], newListener(stdin), out)
		if err != nil {
			_ = out.value(markFailed, failureOf(err)) // nobody may hear it
		}
		return true, ended(room, err, errors.Is(err, errUsage))
	case "supervise":
		if !supervise.Answers(rest) {
			return false, nil
		}
		err := supervise.Answer(ctx, rest, stdout)
		return true, ended(room, err, errors.Is(err, supervise.ErrUsage))
	}
	return false, nil
}

// ended is how a process of its own would have ended with that error.
func ended(room string, err error, usage bool) error {
	if err == nil {
		return nil
	}
	code := codeFailed
	if usage {
		code = codeUsage
	}
	return &host.ExitError{Argv: []string{room}, Code: code, Stderr: fmt.Sprintf("error: %v\n", err)}
}

// taking takes snapshots in. Stores stay open, with what they remember.
type taking struct {
	mu     sync.Mutex
	stores map[string]*snapshot.Store
}

func newTaking() *taking { return &taking{stores: map[string]*snapshot.Store{}} }

// open gives the store of a directory.
func (t *taking) open(dir string) (*snapshot.Store, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.stores[dir]; s != nil {
		if _, err := os.Stat(dir); err == nil {
			return s, nil
		}
	}
	s, err := snapshot.Open(dir)
	if err != nil {
		return nil, err
	}
	t.stores[dir] = s
	return s, nil
}
