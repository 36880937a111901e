package datafetch

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/runnerml/runner/internal/blob"
)

// A file on its way is FILE.part, with a journal FILE.part.ranges: one line of
// JSON that says what it is of, then 8 bytes a range, its number and its
// content's CRC-32C, appended when it is there. A record counts only if the
// content has its checksum. Whoever fetches has the directory alone.
const (
	partSuffix    = ".part"
	journalSuffix = ".ranges"
	recordSize    = 8
)

// header is a journal's first line.
type header struct {
	File  File  `json:"file"`
	Range int64 `json:"range"`
}

// partial is a file on its way.
type partial struct {
	data, journal *os.File
	size, each    int64

	mu   sync.Mutex
	done []bool
}

func openPartial(name string, f File, each int64) (_ *partial, err error) {
	p := &partial{size: max(0, f.Size), each: each}
	p.done = make([]bool, (p.size+each-1)/each)
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	const private = 0o600
	flags := os.O_RDWR | os.O_CREATE | unix.O_NOFOLLOW
	if p.data, err = os.OpenFile(name+partSuffix, flags, private); err != nil {
		return nil, localError(err, name)
	}
	if p.journal, err = os.OpenFile(name+partSuffix+journalSuffix, flags, private); err != nil {
		return nil, localError(err, name)
	}
	if err := p.resume(header{File: f, Range: each}); err != nil {
		return nil, err
	}
	return p, p.room()
}

// room makes the file as long as it will be, so that a full disk is known
// before anything travels.
func (p *partial) room() error {
	if err := p.data.Truncate(p.size); err != nil || p.size == 0 {
		return localError(err, p.data.Name())
	}
	if err := blob.Reserve(p.data, p.size); err != nil {
		return errors.Join(localError(err, p.data.Name()), p.remove())
	}
	return nil
}

// resume reads the journal, and begins it anew when it is of something else.
func (p *partial) resume(h header) error {
	r := bufio.NewReader(p.journal)
	line, err := r.ReadBytes('\n')
	var found header
	if err != nil || json.Unmarshal(line, &found) != nil || found != h {
		return p.begin(h)
	}
	kept := int64(len(line))
	for {
		var record [recordSize]byte
		if _, err := io.ReadFull(r, record[:]); err != nil {
			break // the rest was not written
		}
		kept += recordSize
		i := int(binary.LittleEndian.Uint32(record[:]))
		if i < len(p.done) && !p.done[i] && p.crc(i) == uint64(binary.LittleEndian.Uint32(record[4:])) {
			p.done[i] = true
		}
	}
	if err := p.journal.Truncate(kept); err != nil {
		return localError(err, p.journal.Name())
	}
	_, err = p.journal.Seek(0, io.SeekEnd)
	return localError(err, p.journal.Name())
}

func (p *partial) begin(h header) error {
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := p.journal.Truncate(0); err != nil {
		return localError(err, p.journal.Name())
	}
	if _, err := p.journal.WriteAt(append(line, '\n'), 0); err != nil {
		return localError(err, p.journal.Name())
	}
	_, err = p.journal.Seek(0, io.SeekEnd)
	return localError(err, p.journal.Name())
}

// crc of a range's content, or no checksum at all where it cannot be read.
func (p *partial) crc(i int) uint64 {
	off, n := p.span(i)
	h := crc32.New(castagnoli)
	if m, err := io.Copy(h, io.NewSectionReader(p.data, off, n)); err != nil || m != n {
		return 1 << 63
	}
	return uint64(h.Sum32())
}

func (p *partial) count() int { return len(p.done) }

func (p *partial) span(i int) (off, n int64) {
	off = int64(i) * p.each
	return off, min(p.each, p.size-off)
}

func (p *partial) has(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done[i]
}

// have is how many bytes are there.
func (p *partial) have() (total int64) {
	for i := range p.done {
		if p.has(i) {
			_, n := p.span(i)
			total += n
		}
	}
	return total
}

func (p *partial) write(b []byte, off int64) error {
	_, err := p.data.WriteAt(b, off)
	return localError(err, p.data.Name())
}

// record writes down that a range is there.
func (p *partial) record(i int, crc uint32) error {
	b := binary.LittleEndian.AppendUint32(nil, uint32(i))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done[i] = true
	_, err := p.journal.Write(binary.LittleEndian.AppendUint32(b, crc))
	return localError(err, p.journal.Name())
}

// restart forgets what is there.
func (p *partial) restart() error { return localError(p.data.Truncate(0), p.data.Name()) }

// finish puts the file in its place: after a power cut, too, it is whole there
// or not there.
func (p *partial) finish(name string) error {
	if err := p.data.Sync(); err != nil {
		return localError(err, name)
	}
	if err := os.Rename(p.data.Name(), name); err != nil {
		return localError(err, name)
	}
	return localError(os.Remove(p.journal.Name()), name)
}

// remove takes away what is there.
func (p *partial) remove() error {
	var problems []error
	for _, f := range []*os.File{p.data, p.journal} {
		if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, localError(err, f.Name()))
		}
	}
	return errors.Join(problems...)
}

func (p *partial) close() {
	for _, f := range []*os.File{p.data, p.journal} {
		if f != nil {
			_ = f.Close() // what was not written is not recorded
		}
	}
}
