package onhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	codeUsage  = 2
	codeFailed = 125
)

const usage = `usage: runner onhost serve ROOT
       runner onhost keep STORE SNAPSHOT DIR
       runner onhost fill --dir DIR --list FILE --unit DIR --shelf DIR --work DIR [--script FILE --head BYTES] [--make DIR]... STORE SNAPSHOT
       runner onhost fetch PATH...
       runner onhost send
       runner onhost watch RUNS
       runner onhost prune ROOT
       runner onhost bring ROOT
       runner onhost look
They speak with the runner that started them.
`

// errUsage is a wrong command line.
var errUsage = errors.New("wrong arguments")

// Main is the hidden subcommand "runner onhost"; args are what follows that
// word. It returns the exit code.
func Main(args []string, stdin io.Reader, stdout io.Writer) int {
	if len(args) == 2 && args[0] == "serve" {
		if err := serve(args[1], stdin, stdout); err != nil {
			fmt.Fprintf(os.Stderr, "error: %v\n", err)
			return codeFailed
		}
		return 0
	}
	var v verb
	if len(args) > 0 {
		v = map[string]verb{
			"fetch": mainFetch, "send": mainSend, "watch": mainWatch, "prune": mainPrune, "bring": mainBring, "look": mainLook,
		}[args[0]]
		if v == nil {
			v = newTaking().insideVerb(args[0])
		}
	}
	if v == nil {
		fmt.Fprint(os.Stderr, usage)
		return codeUsage
	}
	out := &speaker{w: stdout}
	err := v(context.Background(), args[1:], newListener(stdin), out)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "error: %v\n%s", err, usage)
		return codeUsage
	default:
		_ = out.value(markFailed, failureOf(err)) // nobody may hear it
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		return codeFailed
	}
}

// absolute checks that arguments are absolute paths.
func absolute(paths ...string) error {
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			return fmt.Errorf("%w: %q is not an absolute path", errUsage, p)
		}
	}
	return nil
}

// untilCut is a context that ends when nobody speaks with us any more.
func untilCut(ctx context.Context, in *listener) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		for {
			if _, _, err := in.frame(); err != nil {
				cancel(ErrCut)
				return
			}
		}
	}()
	return ctx, cancel
}
