package host

import (
	"bytes"
	"io"
	"os"
)

// tailSize is how much of a command's standard error an ExitError holds.
const tailSize = 4 << 10

// Tail keeps the last 4 KiB written to it, for an ExitError.
type Tail struct{ buf []byte }

// Write never fails.
func (t *Tail) Write(p []byte) (int, error) {
	n := len(p)
	if n >= tailSize {
		t.buf = append(t.buf[:0], p[n-tailSize:]...)
		return n, nil
	}
	if over := len(t.buf) + n - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

// String is what it keeps, as valid UTF-8.
func (t *Tail) String() string { return string(bytes.ToValidUTF8(t.buf, []byte("?"))) }

// tailOf reads the last tailSize bytes of a file; nothing when it cannot.
func tailOf(f *os.File) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	from := max(0, info.Size()-tailSize)
	var t Tail
	_, _ = io.Copy(&t, io.NewSectionReader(f, from, tailSize)) // best effort: it only decorates an error
	return t.String()
}
