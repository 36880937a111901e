package machine

import (
	"context"
	"os"

	"github.com/runnerml/runner/internal/host"
)

// lateFile is a file on the host that is made with the first byte, so that an
// environment that was there already leaves none. On a host that is not this
// computer it is written at the end, and holds the last of what came.
type lateFile struct {
	ctx   context.Context //nolint:containedctx // an io.Writer cannot take one in Write
	host  host.Host
	path  string
	local bool
	file  *os.File
	held  []byte
	err   error
}

const readable = 0o600

// maxHeld is how much of it another host gets.
const maxHeld = 1 << 20

// Write never fails: the log is not worth a build.
func (l *lateFile) Write(p []byte) (int, error) {
	if !l.local {
		l.held = append(l.held, p...)
		if len(l.held) > 2*maxHeld {
			l.held = append(l.held[:0], l.held[len(l.held)-maxHeld:]...)
		}
		return len(p), nil
	}
	if l.file == nil && l.err == nil {
		l.file, l.err = os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, readable)
	}
	if l.file != nil && l.err == nil {
		_, l.err = l.file.Write(p)
	}
	return len(p), nil
}

func (l *lateFile) close() error {
	if len(l.held) > 0 {
		_ = l.host.WriteFile(l.ctx, l.path, l.held, readable) // as above
	}
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
