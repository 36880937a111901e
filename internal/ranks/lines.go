package ranks

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/runnerml/runner/internal/supervise"
)

const (
	// longestLine is how much of a line is held until its end comes; a longer
	// one is cut into lines.
	longestLine = 64 << 10
	readAtOnce  = 64 << 10
	// lastLines is how many lines of a process that failed are told.
	lastLines = 5
	// lateOutput is how long output is waited for that a process's own
	// children may still write after it ended.
	lateOutput = 100 * time.Millisecond
)

// together is the one output that all write to, a line at a time.
type together struct {
	mu  sync.Mutex
	out io.Writer
}

func (t *together) write(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = t.out.Write(p) // the supervisor is gone, and we soon after
}

// lines passes one process's output on in whole lines with a prefix.
type lines struct {
	prefix string
	to     *together
	hide   *supervise.Filter // nil: nothing to hide
	held   []byte            // the line that has not ended
	cut    []byte            // what is written at once, kept to be used again
	last   []string          // the last lines
	from   *os.File          // where it comes from; nil in tests
	done   chan struct{}     // closed when all is passed on
}

// drained waits until all that a process that ended wrote is passed on, and gives
// its last lines.
func (l *lines) drained() []string {
	stop(l.from)
	<-l.done
	return l.last
}

// write takes what came.
func (l *lines) write(p []byte) {
	if l.hide != nil {
		p = l.hide.Next(p)
	}
	l.take(p)
}

func (l *lines) take(p []byte) {
	l.held = append(l.held, p...)
	for len(l.held) > 0 {
		end := lineEnd(l.held)
		switch {
		case end > 0 && end <= longestLine:
			l.emit(l.held[:end], "")
		case len(l.held) > longestLine:
			end = longestLine
			l.emit(l.held[:end], "\n")
		default:
			l.shown()
			return
		}
		l.held = l.held[end:]
	}
	l.shown()
}

// shown writes the lines that ended, all at once.
func (l *lines) shown() {
	if len(l.cut) == 0 {
		return
	}
	l.to.write(l.cut)
	l.cut = l.cut[:0]
}

func (l *lines) emit(line []byte, end string) {
	l.cut = append(append(append(l.cut, l.prefix...), line...), end...)
	if text := strings.TrimRight(string(line), "\r\n"); text != "" {
		if l.last = append(l.last, text); len(l.last) > lastLines {
			l.last = l.last[1:]
		}
	}
}

// lineEnd is where the first line ends, or 0. A carriage return ends one, too:
// that is how progress bars write.
func lineEnd(p []byte) int {
	i := bytes.IndexAny(p, "\r\n")
	switch {
	case i < 0 || p[i] == '\r' && i+1 == len(p): // a newline may come after it
		return 0
	case p[i] == '\r' && p[i+1] == '\n':
		return i + 2
	default:
		return i + 1
	}
}

// finish writes what had no end.
func (l *lines) finish() {
	if l.hide != nil {
		l.take(l.hide.Rest())
	}
	if len(l.held) > 0 {
		l.emit(l.held, "\n")
		l.held = nil
	}
	l.shown()
}

// carry passes on what comes from a pipe, until all who write are gone or,
// after stop was called, nothing more comes.
func (l *lines) carry(from *os.File) {
	defer l.finish()
	buf := make([]byte, readAtOnce)
	for {
		n, err := from.Read(buf)
		l.write(buf[:n])
		if err == nil {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			l.drain(from, buf)
		}
		return
	}
}

// stop makes carry end soon: the process ended, and whoever writes on is not
// waited for.
func stop(from *os.File) {
	_ = from.SetReadDeadline(time.Now().Add(lateOutput)) // a pipe has deadlines
}

// pipeHolds is what an ordinary pipe holds at most, so that somebody who writes
// on and on is not read for ever.
const pipeHolds = 1 << 20

// drain takes what is in the pipe already.
func (l *lines) drain(from *os.File, buf []byte) {
	_ = from.SetReadDeadline(time.Time{}) // a pipe has deadlines
	raw, err := from.SyscallConn()
	if err != nil {
		return
	}
	for taken := 0; taken < pipeHolds; {
		n := 0
		_ = raw.Read(func(fd uintptr) bool { // n says it
			n, err = syscall.Read(int(fd), buf)
			for errors.Is(err, syscall.EINTR) {
				n, err = syscall.Read(int(fd), buf)
			}
			return true
		})
		if n <= 0 {
			return
		}
		taken += n
		l.write(buf[:n])
	}
}
