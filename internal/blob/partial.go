package blob

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runnerml/runner/internal/flock"
)

// A file on its way is FILE.part, with a journal FILE.part.ranges when it is more
// than one range:
//
//	one line of JSON   what is in FILE.part: the blob's ETag and size, the ranges' size
//	8 bytes a range    its number and its content's CRC-32C, appended when it is there
//
// A record counts only if the content has its checksum, so neither a lost write
// nor a torn journal is ever taken for content. FILE.part is locked while it is
// worked on; a second process waits, and then finds the file.
const (
	partSuffix    = ".part"
	journalSuffix = ".ranges"
	recordSize    = 8
	maxFileName   = 255
)

// partPath is where a file is while it is on its way.
func partPath(path string) string {
	dir, base := filepath.Split(path)
	if len(base)+len(partSuffix)+len(journalSuffix) > maxFileName {
		sum := sha256.Sum256([]byte(base))
		base = base[:150] + "." + hex.EncodeToString(sum[:8])
	}
	return filepath.Join(dir, base+partSuffix)
}

// IsPartial says whether a file's name is one that a transfer on its way has.
func IsPartial(name string) bool {
	return filepath.Ext(name) == partSuffix || filepath.Ext(name) == journalSuffix && filepath.Ext(name[:len(name)-len(journalSuffix)]) == partSuffix
}

func removeParts(path string) error {
	var problems []error
	for _, name := range []string{partPath(path), partPath(path) + journalSuffix} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, fileError(err, name))
		}
	}
	return errors.Join(problems...)
}

// header is a journal's first line.
type header struct {
	ETag  string `json:"etag"`
	Size  int64  `json:"size"`
	Range int64  `json:"range"`
}

// partial is a file on its way.
type partial struct {
	to       string
	mode     fs.FileMode
	modified time.Time
	dataPath string
	held     *flock.Held
	data     *os.File
	spans    []span
	has      []bool
	finished bool // it is in its place already

	mu      sync.Mutex
	journal *os.File // nil for a file of one range
}

func (c *Container) openPartial(ctx context.Context, d Download, rangeSize int64) (*partial, error) {
	p := &partial{to: d.To, mode: d.Mode, modified: d.Blob.Modified, dataPath: partPath(d.To)}
	var err error
	if p.held, err = lockPart(ctx, p.dataPath, func() {
		if c.report.Wait != nil {
			c.report.Wait(Wait{Reason: "another process fetches this: " + d.To, Since: time.Now()})
		}
	}); err != nil {
		return nil, err
	}
	if p.data, err = os.OpenFile(p.dataPath, os.O_RDWR|unix.O_NOFOLLOW, 0); err != nil {
		p.held.Release()
		return nil, fileError(err, d.To)
	}
	if err := p.prepare(d.Blob, rangeSize); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// prepare finds out what is there and makes room for the rest.
func (p *partial) prepare(b Blob, rangeSize int64) error {
	p.spans = cut(b.Size, rangeSize)
	p.has = make([]bool, len(p.spans))
	// Another process may have finished while this one waited for the lock.
	same, err := isSame(p.to, b)
	if err != nil {
		return err
	}
	if same {
		p.finished = true
		return removeParts(p.to)
	}
	if len(p.spans) == 1 {
		if err := os.Remove(p.dataPath + journalSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fileError(err, p.to)
		}
		return p.room(b.Size)
	}
	p.journal, err = os.OpenFile(p.dataPath+journalSuffix, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fileError(err, p.to)
	}
	h := header{ETag: b.ETag, Size: b.Size, Range: rangeSize}
	if err := p.resume(h); err != nil {
		return err
	}
	if p.finished {
		return removeParts(p.to)
	}
	return p.room(b.Size)
}

// room makes the file as long as it will be, so that a full disk is known before
// anything travels.
func (p *partial) room(size int64) error {
	if err := p.data.Truncate(size); err != nil {
		return fileError(err, p.to)
	}
	if size == 0 {
		return nil
	}
	return fileError(Reserve(p.data, size), p.to)
}

// resume reads the journal, and begins it anew if it is of something else.
func (p *partial) resume(h header) error {
	r := bufio.NewReader(p.journal)
	line, err := r.ReadBytes('\n')
	var found header
	if err != nil || json.Unmarshal(line, &found) != nil || found != h {
		return p.begin(h)
	}
	records, err := io.ReadAll(io.LimitReader(r, int64(len(p.spans))*recordSize*2))
	if err != nil {
		return fileError(err, p.to)
	}
	whole := len(records) / recordSize * recordSize
	if err := p.journal.Truncate(int64(len(line) + whole)); err != nil {
		return fileError(err, p.to)
	}
	content := p.data
	if info, err := p.data.Stat(); err == nil && info.Size() == 0 {
		// The file was moved to its place, and the journal not yet removed.
		moved, err := os.OpenFile(p.to, os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if err == nil {
			defer func() { _ = moved.Close() }()
			content = moved
		}
	}
	count := 0
	for ; len(records) >= recordSize; records = records[recordSize:] {
		i := binary.LittleEndian.Uint32(records)
		if int(i) < len(p.spans) && !p.has[i] && crcOf(content, p.spans[i]) == uint64(binary.LittleEndian.Uint32(records[4:])) {
			p.has[i] = true
			count++
		}
	}
	if content != p.data {
		p.finished = count == len(p.spans) && sizeOf(content) == h.Size
		if !p.finished {
			clear(p.has)
			return p.begin(h)
		}
	}
	return nil
}

func sizeOf(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return -1
	}
	return info.Size()
}

// crcOf is the checksum of a part of a file, or no checksum at all where it
// cannot be read.
func crcOf(f *os.File, s span) uint64 {
	h := crc32.New(castagnoli)
	if n, err := io.Copy(h, io.NewSectionReader(f, s.off, s.n)); err != nil || n != s.n {
		return 1 << 63
	}
	return uint64(h.Sum32())
}

func (p *partial) begin(h header) error {
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := p.journal.Truncate(0); err != nil {
		return fileError(err, p.to)
	}
	if _, err := p.journal.WriteAt(append(line, '\n'), 0); err != nil {
		return fileError(err, p.to)
	}
	return nil
}

// record writes down that a range is there.
func (p *partial) record(i int, crc uint32) error {
	var record [recordSize]byte
	binary.LittleEndian.PutUint32(record[:], uint32(i))
	binary.LittleEndian.PutUint32(record[4:], crc)
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.journal.Seek(0, io.SeekEnd); err != nil {
		return fileError(err, p.to)
	}
	if _, err := p.journal.Write(record[:]); err != nil {
		return fileError(err, p.to)
	}
	return nil
}

// finish puts the file in its place. After a power cut, too, it is whole there
// or not there.
func (p *partial) finish() error {
	if err := p.data.Chmod(p.mode); err != nil {
		return fileError(err, p.to)
	}
	if !p.modified.IsZero() {
		if err := os.Chtimes(p.dataPath, time.Now(), p.modified); err != nil {
			return fileError(err, p.to)
		}
	}
	if err := p.data.Sync(); err != nil {
		return fileError(err, p.to)
	}
	if err := os.Rename(p.dataPath, p.to); err != nil {
		return fileError(err, p.to)
	}
	if p.journal != nil {
		if err := os.Remove(p.dataPath + journalSuffix); err != nil {
			return fileError(err, p.to)
		}
	}
	return nil
}

func (p *partial) close() error {
	err := p.data.Close()
	if p.journal != nil {
		err = errors.Join(err, p.journal.Close())
	}
	p.held.Release()
	return err
}

// cut parts a size into spans; nothing is one empty span.
func cut(size, each int64) []span {
	spans := make([]span, 0, size/each+1)
	for off := int64(0); off < size; off += each {
		spans = append(spans, span{off: off, n: min(each, size-off)})
	}
	if len(spans) == 0 {
		spans = append(spans, span{})
	}
	return spans
}

// lockPart takes the lock of a part, which is the part itself, and tells when it
// has to wait for it.
func lockPart(ctx context.Context, path string, waiting func()) (*flock.Held, error) {
	held, err := flock.TryFile(path)
	if err == nil && held == nil {
		waiting()
		held, err = flock.File(ctx, path)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return held, fileError(err, path)
}
