package partfile

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Content is what is to come: the same content has the same ID.
type Content struct {
	ID   string `json:"id"`
	Size int64  `json:"size"`
	// Unit is what is written down as one, in bytes. What is lost by a kill is
	// less than a unit for each that is on its way.
	Unit int64 `json:"unit"`
}

// File is a file on its way. Record may be called from several goroutines.
type File struct {
	to      string
	content Content
	data    *os.File
	has     []bool // as it was opened
	moved   bool

	mu      sync.Mutex
	journal *os.File // nil for one unit
}

const private = 0o600

// Open opens what there is of a file, or begins it, and makes room for the rest,
// so that a full disk is known before anything travels.
func Open(to string, c Content) (_ *File, err error) {
	f := &File{to: to, content: c, has: make([]bool, len(Cut(c.Size, c.Unit)))}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	const flags = os.O_RDWR | os.O_CREATE | unix.O_NOFOLLOW
	if f.data, err = os.OpenFile(Path(to), flags, private); err != nil {
		return nil, err
	}
	if len(f.has) == 1 {
		if err := os.Remove(f.journalPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return f, f.room()
	}
	if f.journal, err = os.OpenFile(f.journalPath(), flags, private); err != nil {
		return nil, err
	}
	if err := f.resume(); err != nil || f.moved {
		return f, err
	}
	return f, f.room()
}

func (f *File) journalPath() string { return Path(f.to) + journalSuffix }

func (f *File) room() error {
	if err := f.data.Truncate(f.content.Size); err != nil || f.content.Size == 0 {
		return err
	}
	return reserve(f.data, f.content.Size)
}

// Moved says that the file has its name already, whole: whoever gave it was
// killed just after. Nothing is to be done but to Close and Remove.
func (f *File) Moved() bool { return f.moved }

// Data is the file itself.
func (f *File) Data() *os.File { return f.data }

// Units are how many there are; an empty file is one.
func (f *File) Units() int { return len(f.has) }

// Has says whether a unit was there when the file was opened.
func (f *File) Has(i int) bool { return f.has[i] }

// Span of a unit.
func (f *File) Span(i int) Span {
	off := int64(i) * f.content.Unit
	return Span{Off: off, N: max(0, min(f.content.Unit, f.content.Size-off))}
}

// Missing are the spans that were not there when the file was opened, none
// longer than most, each from a unit's beginning to a unit's end.
func (f *File) Missing(most int64) (spans []Span) {
	for i := range f.has {
		if f.has[i] {
			continue
		}
		s := f.Span(i)
		if last := len(spans) - 1; last >= 0 && spans[last].Off+spans[last].N == s.Off && spans[last].N+s.N <= most {
			spans[last].N += s.N
			continue
		}
		spans = append(spans, s)
	}
	return spans
}

// Have is how many bytes were there when the file was opened.
func (f *File) Have() (total int64) {
	for i := range f.has {
		if f.has[i] {
			total += f.Span(i).N
		}
	}
	return total
}

// Finish gives the file its name: after a power cut, too, it is whole there or
// not there. The zero time: none is set.
func (f *File) Finish(mode fs.FileMode, modified time.Time) error {
	if err := f.data.Chmod(mode); err != nil {
		return err
	}
	if !modified.IsZero() {
		if err := os.Chtimes(f.data.Name(), time.Now(), modified); err != nil {
			return err
		}
	}
	if err := f.data.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.data.Name(), f.to); err != nil {
		return err
	}
	if f.journal != nil {
		return os.Remove(f.journalPath())
	}
	return nil
}

// Close lets go of the file. What was not recorded is not there any more.
func (f *File) Close() (err error) {
	for _, file := range []*os.File{f.data, f.journal} {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
	}
	return err
}

// Span is a part of a file, in bytes.
type Span struct{ Off, N int64 }

// Cut parts a size into spans; nothing is one empty span.
func Cut(size, each int64) []Span {
	spans := make([]Span, 0, max(0, size)/each+1)
	for off := int64(0); off < size; off += each {
		spans = append(spans, Span{Off: off, N: min(each, size-off)})
	}
	if len(spans) == 0 {
		spans = append(spans, Span{})
	}
	return spans
}
