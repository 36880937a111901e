package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// maxLogFile is how large agent.log grows, in bytes, before it becomes
// agent.log.1.
const maxLogFile = 10 << 20

// OpenLog opens agent.log to append to it; a large one is put aside first.
func (h Home) OpenLog() (*os.File, error) {
	path := h.LogFile()
	if info, err := os.Stat(path); err == nil && info.Size() >= maxLogFile {
		if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("rotate the agent's log: %w", err)
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the agent's log: %w", err)
	}
	return file, nil
}

// LogWriter appends to agent.log and puts it aside whenever it is large.
type LogWriter struct {
	home Home
	mu   sync.Mutex
	file *os.File
	size int64
}

// NewLogWriter opens the log of a home.
func NewLogWriter(h Home) (*LogWriter, error) {
	w := &LogWriter{home: h}
	return w, w.open()
}

var _ io.WriteCloser = (*LogWriter)(nil)

func (w *LogWriter) open() error {
	file, err := w.home.OpenLog()
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open the agent's log: %w", err), file.Close())
	}
	w.file, w.size = file, info.Size()
	return nil
}

// Write appends p, in one piece.
func (w *LogWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.size >= maxLogFile {
		old := w.file
		if err := w.open(); err != nil {
			return 0, err
		}
		if err := old.Close(); err != nil {
			return 0, fmt.Errorf("rotate the agent's log: %w", err)
		}
	}
	n, err := w.file.Write(p)
	w.size += int64(n)
	return n, err
}

// Close closes the file.
func (w *LogWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.file.Close()
}
