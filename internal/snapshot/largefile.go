package snapshot

import (
	"context"
	"crypto/sha256"
	"hash/crc32"
	"runtime"
	"sync"
	"sync/atomic"
)

// readLarge reads a file of many chunks through for its digest; finish reads it
// again, only when it is new, and stores it.
func (r *reader) readLarge(ctx context.Context, f *sourceFile, size int64, buf *scratch) (Digest, func() error, error) {
	buf.raw = grow(buf.raw, chunkSize)
	hash := sha256.New()
	var sums []uint32
	for off := int64(0); off < size; off += chunkSize {
		if err := context.Cause(ctx); err != nil {
			return Digest{}, nil, err
		}
		raw := buf.raw[:min(size-off, chunkSize)]
		if err := f.read(raw, off); err != nil {
			return Digest{}, nil, err
		}
		hash.Write(raw)
		sums = append(sums, chunkSum(raw))
	}
	digest := Digest(hash.Sum(nil))
	return digest, func() error { return r.storeLarge(ctx, f, size, digest, sums) }, nil
}

// chunkSum tells whether a chunk is the one that was read before.
func chunkSum(raw []byte) uint32 { return crc32.Checksum(raw, crc32.MakeTable(crc32.Castagnoli)) }

// storeLarge compresses and stores a file's chunks on all processors: the only
// large file of a tree should not take longer than many small ones.
func (r *reader) storeLarge(ctx context.Context, f *sourceFile, size int64, digest Digest, sums []uint32) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	chunks := make([]chunk, len(sums))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(sums)) {
		wg.Go(func() {
			buf := scratch{raw: make([]byte, chunkSize)}
			for {
				i := next.Add(1) - 1
				if i >= int64(len(sums)) || ctx.Err() != nil {
					return
				}
				raw := buf.raw[:min(size-i*chunkSize, chunkSize)]
				c, err := r.storeChunk(f, raw, i*chunkSize, sums[i], &buf)
				if err != nil {
					cancel(err)
					return
				}
				chunks[i] = c
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	r.writer.add(packBlob{digest: digest, size: size, chunks: chunks})
	return nil
}

func (r *reader) storeChunk(f *sourceFile, raw []byte, off int64, sum uint32, buf *scratch) (chunk, error) {
	if err := f.read(raw, off); err != nil {
		return chunk{}, err
	}
	if chunkSum(raw) != sum {
		return chunk{}, errUnsteady
	}
	return r.keepChunk(raw, buf)
}

// keepChunk compresses a chunk and writes it to the pack.
func (r *reader) keepChunk(raw []byte, buf *scratch) (chunk, error) {
	stored, err := r.view.s.codec.compress(raw, buf.stored)
	if err != nil {
		return chunk{}, err
	}
	if len(stored) < len(raw) {
		buf.stored = stored
	}
	return r.writer.chunk(stored, len(raw))
}
