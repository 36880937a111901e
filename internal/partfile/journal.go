package partfile

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const recordSize = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum is the CRC-32C of what had the sum before and b.
func Sum(before uint32, b []byte) uint32 { return crc32.Update(before, castagnoli, b) }

// Record writes down that a unit is there. A file of one unit has no journal.
func (f *File) Record(i int, sum uint32) error {
	if f.journal == nil {
		return nil
	}
	record := binary.LittleEndian.AppendUint32(nil, uint32(i))
	record = binary.LittleEndian.AppendUint32(record, sum)
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.journal.Write(record) // at its end: resume went there
	return err
}

// resume reads the journal, and begins it anew if it is of something else.
func (f *File) resume() error {
	r := bufio.NewReader(f.journal)
	line, err := r.ReadBytes('\n')
	var found Content
	if err != nil || json.Unmarshal(line, &found) != nil || found != f.content {
		return f.begin()
	}
	records, err := io.ReadAll(io.LimitReader(r, int64(len(f.has))*recordSize*2))
	if err != nil {
		return err
	}
	data, done := f.inPlace()
	defer done()
	count := 0
	for rest := records; len(rest) >= recordSize; rest = rest[recordSize:] {
		i, sum := binary.LittleEndian.Uint32(rest), binary.LittleEndian.Uint32(rest[4:])
		if int(i) < len(f.has) && !f.has[i] && sumOf(data, f.Span(int(i))) == uint64(sum) {
			f.has[i] = true
			count++
		}
	}
	if data != f.data {
		if f.moved = count == len(f.has) && sizeOf(data) == f.content.Size; !f.moved {
			clear(f.has)
			return f.begin()
		}
	}
	end := int64(len(line) + len(records)/recordSize*recordSize) // the rest is torn
	if err := f.journal.Truncate(end); err != nil {
		return err
	}
	_, err = f.journal.Seek(end, io.SeekStart)
	return err
}

// inPlace is the file with the content that the journal tells of: what has the
// name already, if it was moved there and the journal not yet removed.
func (f *File) inPlace() (data *os.File, done func()) {
	if sizeOf(f.data) == 0 {
		if moved, err := os.OpenFile(f.to, os.O_RDONLY|unix.O_NOFOLLOW, 0); err == nil {
			return moved, func() { _ = moved.Close() } // only read
		}
	}
	return f.data, func() {}
}

func (f *File) begin() error {
	line, err := json.Marshal(f.content)
	if err != nil {
		return err
	}
	if err := f.journal.Truncate(0); err != nil {
		return err
	}
	if _, err := f.journal.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = f.journal.Write(append(line, '\n'))
	return err
}

func sizeOf(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return -1
	}
	return info.Size()
}

// sumOf is the checksum of a part of a file, or no checksum at all where it
// cannot be read.
func sumOf(f *os.File, s Span) uint64 {
	h := crc32.New(castagnoli)
	if n, err := io.Copy(h, io.NewSectionReader(f, s.Off, s.N)); err != nil || n != s.N {
		return 1 << 63
	}
	return uint64(h.Sum32())
}
