package onhost

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// packer compresses what shrinks. It learns from what it saw: data that does
// not is hardly looked at, because its compression would cost more than the
// line.
type packer struct {
	enc *zstd.Encoder
	out []byte
	// skip is how many frames go as they are before the next is tried.
	skip, step int
}

const (
	// sample of a frame is tried first.
	sample = 4 << 10
	// fewest bytes that are worth a try.
	fewest = 512
	// mostSkipped is how many frames go untried, at most, in a row.
	mostSkipped = 64
)

func newPacker() (*packer, error) {
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), // every file has its digest
		zstd.WithSingleSegment(true), zstd.WithWindowSize(dataFrame))
	if err != nil {
		return nil, fmt.Errorf("make compressor: %w", err)
	}
	return &packer{enc: enc}, nil
}

// another begins what may be of another kind.
func (p *packer) another() { p.skip, p.step = min(p.skip, 1), min(p.step, 1) }

// pack gives raw compressed, until it is called again, or nil when it does not
// shrink by a tenth.
func (p *packer) pack(raw []byte) []byte {
	if len(raw) < fewest {
		return nil
	}
	if p.skip > 0 {
		p.skip--
		return nil
	}
	if p.out == nil {
		p.out = make([]byte, 0, dataFrame)
	}
	shrinks := true
	if len(raw) >= 4*sample {
		middle := raw[len(raw)/2:][:sample]
		shrinks = less(len(p.enc.EncodeAll(middle, p.out[:0])), sample)
	}
	if shrinks {
		p.out = p.enc.EncodeAll(raw, p.out[:0])
		shrinks = less(len(p.out), len(raw))
	}
	if !shrinks {
		p.step = min(2*p.step+1, mostSkipped)
		p.skip = p.step
		return nil
	}
	p.step = 0
	return p.out
}

func less(packed, raw int) bool { return packed < raw-raw/10 }

// unpack restores a compressed frame in buf.
func (l *listener) unpack(packed, buf []byte) ([]byte, error) {
	if l.unpacker == nil {
		dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return nil, fmt.Errorf("make decompressor: %w", err)
		}
		l.unpacker = dec
	}
	if cap(buf) < dataFrame {
		buf = make([]byte, 0, dataFrame)
	}
	raw, err := l.unpacker.DecodeAll(packed, buf[:0])
	if err != nil {
		return nil, fmt.Errorf("a compressed frame: %w", err)
	}
	return raw, nil
}
