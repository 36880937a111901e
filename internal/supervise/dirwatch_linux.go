package supervise

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// dirWatch is one inotify for many supervised directories. It is not fsnotify
// because that cannot be told to leave out writes: a log of 500 MB/s in a
// watched directory would cost more than writing it.
type dirWatch struct {
	file *os.File

	mu   sync.Mutex
	dirs map[int32]string
	ids  map[string]int32
}

func newDirWatch() (*dirWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	return &dirWatch{file: os.NewFile(uintptr(fd), "inotify"), dirs: map[int32]string{}, ids: map[string]int32{}}, nil
}

// add watches a directory for state files (renamed into place) and for the
// supervisor's end (the kernel closes its files, however it dies); with writes
// also for the log growing.
func (w *dirWatch) add(dir string, writes bool) error {
	mask := uint32(unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE | unix.IN_DELETE_SELF | unix.IN_ONLYDIR)
	if writes {
		mask |= unix.IN_MODIFY | unix.IN_CREATE
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	id := -1
	var opErr error
	err := w.control(func(fd int) { id, opErr = unix.InotifyAddWatch(fd, dir, mask) })
	if err := errors.Join(err, opErr); err != nil {
		return &os.PathError{Op: "watch", Path: dir, Err: err}
	}
	w.dirs[int32(id)], w.ids[dir] = dir, int32(id)
	return nil
}

func (w *dirWatch) remove(dir string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id, ok := w.ids[dir]
	if !ok {
		return
	}
	delete(w.ids, dir)
	delete(w.dirs, id)
	_ = w.control(func(fd int) {
		_, _ = unix.InotifyRmWatch(fd, uint32(id)) // gone with its directory already
	})
}

func (w *dirWatch) control(f func(fd int)) error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { f(int(fd)) })
}

func (w *dirWatch) close() error {
	err := w.file.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// run calls changed for each directory that changed, with "" when events were
// lost, until ctx ends or the watch is closed.
func (w *dirWatch) run(ctx context.Context, changed func(dir string)) error {
	stop := context.AfterFunc(ctx, func() { _ = w.close() }) // wakes the read
	defer stop()
	buf := make([]byte, 16<<10)
	for {
		n, err := w.file.Read(buf)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		last := ""
		for e := range events(buf[:n]) {
			if e.mask&unix.IN_Q_OVERFLOW != 0 {
				changed("")
				continue
			}
			dir := w.dir(e)
			if dir != "" && (dir != last || e.mask&unix.IN_MODIFY == 0) {
				changed(dir)
			}
			last = dir
		}
	}
}

func (w *dirWatch) dir(e event) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	dir := w.dirs[e.id]
	if e.mask&unix.IN_IGNORED != 0 { // the directory is gone
		delete(w.dirs, e.id)
		if w.ids[dir] == e.id {
			delete(w.ids, dir)
		}
		return ""
	}
	return dir
}

// event is one record of inotify.
type event struct {
	id   int32
	mask uint32
	name string
}

func events(buf []byte) func(yield func(event) bool) {
	return func(yield func(event) bool) {
		for len(buf) >= unix.SizeofInotifyEvent {
			e := event{id: int32(binary.NativeEndian.Uint32(buf)), mask: binary.NativeEndian.Uint32(buf[4:])}
			size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[12:]))
			if size > len(buf) {
				return
			}
			name, _, _ := bytes.Cut(buf[unix.SizeofInotifyEvent:size], []byte{0})
			e.name = string(name)
			if !yield(e) {
				return
			}
			buf = buf[size:]
		}
	}
}
