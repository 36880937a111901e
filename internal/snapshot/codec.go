package snapshot

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// codec compresses and restores chunks and manifests. It is safe for several
// goroutines and makes its coders when they are first needed: a picture of an
// unchanged tree needs none.
type codec struct {
	encoder func() (*zstd.Encoder, error)
	chunks  func() (*zstd.Decoder, error) // never writes beyond the capacity it is given
	whole   func() (*zstd.Decoder, error) // for manifests
}

func newCodec() codec {
	return codec{
		encoder: sync.OnceValues(func() (*zstd.Encoder, error) {
			return zstd.NewWriter(nil,
				zstd.WithEncoderLevel(zstd.SpeedFastest),
				zstd.WithEncoderCRC(false), // everything has its digest
				zstd.WithSingleSegment(true),
				zstd.WithWindowSize(chunkSize))
		}),
		chunks: sync.OnceValues(func() (*zstd.Decoder, error) {
			return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true))
		}),
		whole: sync.OnceValues(func() (*zstd.Decoder, error) {
			return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxManifest))
		}),
	}
}

const (
	// sampleSize is how much of a large chunk is tried first.
	sampleSize = 16 << 10
	// worthwhile: what does not lose a twentieth is kept as it is.
	worthwhile = 20
)

// compress appends raw, compressed, to buf, or returns raw itself when it does
// not shrink.
func (c *codec) compress(raw, buf []byte) ([]byte, error) {
	enc, err := c.encoder()
	if err != nil {
		return nil, fmt.Errorf("make compressor: %w", err)
	}
	if len(raw) >= 4*sampleSize {
		middle := raw[len(raw)/2:][:sampleSize]
		if len(enc.EncodeAll(middle, buf[:0])) > sampleSize-sampleSize/worthwhile {
			return raw, nil
		}
	}
	out := enc.EncodeAll(raw, buf[:0])
	if len(out) > len(raw)-len(raw)/worthwhile-1 {
		return raw, nil
	}
	return out, nil
}

// restore gives the raw bytes of a stored chunk in buf, or stored itself when
// it was not compressed. It never makes more than raw bytes.
func (c *codec) restore(stored []byte, raw uint32, buf []byte) ([]byte, error) {
	if len(stored) == int(raw) {
		return stored, nil
	}
	dec, err := c.chunks()
	if err != nil {
		return nil, fmt.Errorf("make decompressor: %w", err)
	}
	var h zstd.Header
	if err := h.Decode(stored); err != nil {
		return nil, fmt.Errorf("chunk: %w", err)
	}
	if !h.HasFCS || h.FrameContentSize != uint64(raw) {
		return nil, fmt.Errorf("chunk: frame says %d bytes, want %d", h.FrameContentSize, raw)
	}
	if cap(buf) < int(raw) {
		buf = make([]byte, 0, raw)
	}
	out, err := dec.DecodeAll(stored, buf[:0])
	if err != nil {
		return nil, fmt.Errorf("chunk: %w", err)
	}
	if len(out) != int(raw) {
		return nil, fmt.Errorf("chunk has %d bytes, want %d", len(out), raw)
	}
	return out, nil
}

// pack compresses a manifest.
func (c *codec) pack(data []byte) ([]byte, error) {
	enc, err := c.encoder()
	if err != nil {
		return nil, fmt.Errorf("make compressor: %w", err)
	}
	return enc.EncodeAll(data, nil), nil
}

// unpack restores a manifest, of at most maxManifest bytes.
func (c *codec) unpack(data []byte) ([]byte, error) {
	dec, err := c.whole()
	if err != nil {
		return nil, fmt.Errorf("make decompressor: %w", err)
	}
	return dec.DecodeAll(data, nil)
}
