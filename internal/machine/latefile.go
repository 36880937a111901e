package machine

import "os"

// lateFile is a file on this computer that is made with the first byte, so that
// an environment that was there already leaves none. On other hosts what is
// written is dropped: the error of a build carries its last lines.
type lateFile struct {
	path  string
	local bool
	file  *os.File
	err   error
}

// Write never fails: the log is not worth a build.
func (l *lateFile) Write(p []byte) (int, error) {
	if l.file == nil && l.err == nil && l.local {
		l.file, l.err = os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	}
	if l.file != nil && l.err == nil {
		_, l.err = l.file.Write(p)
	}
	return len(p), nil
}

func (l *lateFile) close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
