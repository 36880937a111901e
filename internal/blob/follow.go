package blob

import (
	"context"
	"crypto/md5"
	"io"
	"sync"

	"github.com/runnerml/runner/internal/partfile"
)

// follower computes the MD5 of a file while it grows: behind the units that
// are there without a gap, so that little is left to read at the end.
type follower struct {
	file    *partfile.File
	to      string
	mu      sync.Mutex
	more    *sync.Cond
	there   []bool
	stopped bool
	done    chan struct{}
	result  []byte
	err     error
}

func newFollower(file *partfile.File, to string) *follower {
	f := &follower{file: file, to: to, there: make([]bool, file.Units()), done: make(chan struct{})}
	for i := range f.there {
		f.there[i] = file.Has(i)
	}
	f.more = sync.NewCond(&f.mu)
	go f.follow()
	return f
}

// reached says that unit i is in the file.
func (f *follower) reached(i int) {
	if f == nil {
		return
	}
	f.mu.Lock()
	f.there[i] = true
	f.mu.Unlock()
	f.more.Signal()
}

func (f *follower) follow() {
	defer close(f.done)
	h := md5.New()
	buf := make([]byte, copyBuffer)
	for i := range f.there {
		s := f.file.Span(i)
		f.mu.Lock()
		for !f.there[i] && !f.stopped {
			f.more.Wait()
		}
		stopped := f.stopped
		f.mu.Unlock()
		if stopped {
			return
		}
		// Only Read of the section: no copying by the kernel into a hash.
		if _, err := io.CopyBuffer(h, onlyReader{io.NewSectionReader(f.file.Data(), s.Off, s.N)}, buf); err != nil {
			f.err = fileError(err, f.to)
			return
		}
	}
	f.result = h.Sum(nil)
}

type onlyReader struct{ io.Reader }

// sum waits for the end. All units must have been reached.
func (f *follower) sum(ctx context.Context) ([]byte, error) {
	select {
	case <-f.done:
		return f.result, f.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// stop ends it, however far it is.
func (f *follower) stop() {
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	f.more.Signal()
	<-f.done
}
