package supervise

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	// tailSize is how much of the end of an output over MaxLog is kept.
	tailSize = 64 << 10
	// indexStep is how far apart in time two entries of the index are.
	indexStep = 100 * time.Millisecond
	// retryStep is how often a full disk is tried again.
	retryStep = 200 * time.Millisecond
	// indexEntry is the size of an entry: offset, then unix time in
	// nanoseconds, both little endian, 64 bits.
	indexEntry = 16
)

// logFile is what a log needs of its file. It is written in order, not with
// WriteAt: that one of os.File does not say how much it wrote before an error.
type logFile interface {
	io.WriteSeeker
	Truncate(size int64) error
}

// logWriter writes an output to its file. It never fails and never waits for
// room: what cannot be kept is counted.
type logWriter struct {
	file  logFile
	index io.WriterAt
	close func() error
	now   func() time.Time
	max   int64

	size     int64 // of the file
	last     byte  // last byte in the file
	indexed  int64 // size of the index
	lastTime int64 // of the last index entry
	total    int64 // dropped for good

	lost   int64 // dropped for want of room, not yet said in the file
	reason error
	retry  time.Time

	over int64 // bytes beyond max
	ring []byte
}

// openLog makes the two files of a log in dir, or goes on where they end.
func openLog(dir string, maxLog int64, now func() time.Time, goOn bool) (*logWriter, error) {
	if maxLog == 0 {
		maxLog = DefaultMaxLog
	}
	how := os.O_WRONLY | os.O_CREATE
	if !goOn {
		how |= os.O_TRUNC
	}
	f, err := os.OpenFile(filepath.Join(dir, LogFile), how, 0o600)
	if err != nil {
		return nil, err
	}
	x, err := os.OpenFile(filepath.Join(dir, indexFile), how, 0o600)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	w := &logWriter{
		file: f, index: x, now: now, max: maxLog,
		close: func() error { return errors.Join(f.Close(), x.Close()) },
	}
	size, err := f.Seek(0, io.SeekEnd)
	indexed, indexErr := x.Seek(0, io.SeekEnd)
	if err := errors.Join(err, indexErr); err != nil {
		return nil, errors.Join(err, w.close())
	}
	w.size, w.indexed = size, indexed-indexed%indexEntry // an entry that was cut is written over
	return w, nil
}

// Write keeps p, or counts it.
func (w *logWriter) Write(p []byte) (int, error) {
	n := len(p)
	if w.lost > 0 && !w.sayLost(false) {
		w.lost += int64(n)
		return n, nil
	}
	if room := w.max - w.size; int64(len(p)) > room {
		room = max(room, 0)
		w.keepTail(p[room:])
		p = p[:room]
	}
	if len(p) > 0 {
		w.mark()
		w.put(p)
	}
	return n, nil
}

// put writes p at the end of the file and counts what did not fit.
func (w *logWriter) put(p []byte) {
	n, err := w.file.Write(p)
	if n > 0 {
		w.size += int64(n)
		w.last = p[n-1]
	}
	if err != nil {
		w.lost += int64(len(p) - n)
		w.reason = err
		w.retry = w.now().Add(retryStep)
	}
}

// mark notes in the index when the byte at the end of the file is written.
func (w *logWriter) mark() {
	t := w.now().UnixNano()
	if w.indexed > 0 && t-w.lastTime < int64(indexStep) {
		return // too soon, or the clock was set back
	}
	var e [indexEntry]byte
	binary.LittleEndian.PutUint64(e[:8], uint64(w.size))
	binary.LittleEndian.PutUint64(e[8:], uint64(t))
	if _, err := w.index.WriteAt(e[:], w.indexed); err == nil {
		w.indexed += indexEntry
		w.lastTime = t
	}
}

// sayLost writes down that bytes are missing here, once there is room. It says
// whether the file is whole again.
func (w *logWriter) sayLost(atEnd bool) bool {
	if !atEnd && w.now().Before(w.retry) {
		return false
	}
	w.retry = w.now().Add(retryStep)
	notice := []byte(fmt.Sprintf("%s[runner] %d bytes of output are missing here: %s\n", w.newline(), w.lost, plainReason(w.reason)))
	if _, err := w.file.Write(notice); err != nil {
		w.cut()
		return false
	}
	w.size += int64(len(notice))
	w.last = '\n'
	w.total += w.lost
	w.lost = 0
	return true
}

// cut takes away what was only half written. The next try writes over it.
func (w *logWriter) cut() {
	_ = w.file.Truncate(w.size) // needs no room
	_, _ = w.file.Seek(w.size, io.SeekStart)
}

func (w *logWriter) newline() string {
	if w.size > 0 && w.last != '\n' {
		return "\n"
	}
	return ""
}

// plainReason is the system's own word without our file's name.
func plainReason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// keepTail keeps the last of what is over the limit.
func (w *logWriter) keepTail(p []byte) {
	w.over += int64(len(p))
	if w.ring == nil {
		w.ring = make([]byte, 0, 2*tailSize)
	}
	if len(p) >= tailSize {
		w.ring = append(w.ring[:0], p[len(p)-tailSize:]...)
		return
	}
	if len(w.ring)+len(p) > cap(w.ring) {
		w.ring = append(w.ring[:0], w.ring[len(w.ring)-tailSize:]...)
	}
	w.ring = append(w.ring, p...)
}

// finish appends what is still to be said and closes the files. It returns
// how many bytes of output are in no file.
func (w *logWriter) finish() (dropped int64, err error) {
	if w.lost > 0 && !w.sayLost(true) {
		w.total += w.lost
	}
	if w.over > 0 {
		tail := w.ring[max(0, len(w.ring)-tailSize):]
		if gone := w.over - int64(len(tail)); gone > 0 {
			w.total += gone
			w.put([]byte(fmt.Sprintf("%s[runner] log reached %s: %d bytes dropped, the last %s follow\n",
				w.newline(), sizeText(w.max), gone, sizeText(int64(len(tail))))))
		}
		w.lost = 0
		w.put(tail)
		w.total += w.lost
	}
	return w.total, w.close()
}

// sizeText is a size for a person: exact, in the largest unit that divides it.
func sizeText(n int64) string {
	for i, unit := range []string{"GiB", "MiB", "KiB"} {
		if size := int64(1) << (30 - 10*i); n >= size && n%size == 0 {
			return strconv.FormatInt(n/size, 10) + " " + unit
		}
	}
	return strconv.FormatInt(n, 10) + " bytes"
}
