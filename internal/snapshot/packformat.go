package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
)

// A pack is
//
//	magic | chunks | index | trailer
//
// A blob's content is cut into chunks of at most chunkSize bytes; a chunk is
// one zstd frame, or the bytes as they are when they do not shrink (then its
// stored length is its raw length). The index has one record per blob, sorted
// by digest so that it is searched without being parsed, and one per chunk.
const (
	packMagic    = "runner-pack 1\n"
	trailerMagic = "runner-pack-end\n"
	chunkSize    = 1 << 20
	blobRecord   = 32 + 8 + 4 + 4 // digest, size, first chunk, number of chunks
	chunkRecord  = 8 + 4 + 4      // offset, stored length, raw length
	indexHeader  = 4 + 4          // number of blobs, number of chunks
	trailerSize  = 8 + 8 + sha256.Size + len(trailerMagic)
)

// chunk says where one piece of a blob is.
type chunk struct {
	off    int64
	stored uint32
	raw    uint32
}

func (c chunk) compressed() bool { return c.stored != c.raw }

// packBlob is a blob that a writer put into its pack.
type packBlob struct {
	digest Digest
	size   int64
	chunks []chunk
}

// encodeIndex gives index and trailer for a pack whose chunks end at off.
func encodeIndex(blobs []packBlob, off int64) []byte {
	slices.SortFunc(blobs, func(a, b packBlob) int { return bytes.Compare(a.digest[:], b.digest[:]) })
	chunks := 0
	for i := range blobs {
		chunks += len(blobs[i].chunks)
	}
	le := binary.LittleEndian
	b := make([]byte, 0, indexHeader+len(blobs)*blobRecord+chunks*chunkRecord+trailerSize)
	b = le.AppendUint32(b, uint32(len(blobs)))
	b = le.AppendUint32(b, uint32(chunks))
	first := 0
	for i := range blobs {
		b = append(b, blobs[i].digest[:]...)
		b = le.AppendUint64(b, uint64(blobs[i].size))
		b = le.AppendUint32(b, uint32(first))
		b = le.AppendUint32(b, uint32(len(blobs[i].chunks)))
		first += len(blobs[i].chunks)
	}
	for i := range blobs {
		for _, c := range blobs[i].chunks {
			b = le.AppendUint64(b, uint64(c.off))
			b = le.AppendUint32(b, c.stored)
			b = le.AppendUint32(b, c.raw)
		}
	}
	sum := sha256.Sum256(b)
	length := uint64(len(b))
	b = le.AppendUint64(b, uint64(off))
	b = le.AppendUint64(b, length)
	b = append(b, sum[:]...)
	return append(b, trailerMagic...)
}

// decodeTrailer says where the index is in a pack of that size.
func decodeTrailer(t []byte, size int64) (off, length int64, sum [sha256.Size]byte, err error) {
	if len(t) != trailerSize || string(t[trailerSize-len(trailerMagic):]) != trailerMagic {
		return 0, 0, sum, errors.New("no trailer: cut short, or not a pack")
	}
	le := binary.LittleEndian
	off, length = int64(le.Uint64(t)), int64(le.Uint64(t[8:]))
	copy(sum[:], t[16:])
	if off < int64(len(packMagic)) || length < indexHeader || off > size || length > size || off+length+int64(trailerSize) != size {
		return 0, 0, sum, fmt.Errorf("trailer places the index at %d+%d of %d bytes", off, length, size)
	}
	return off, length, sum, nil
}

// packIndex finds blobs in the encoded index of one pack.
type packIndex struct {
	blobs  []byte
	chunks []byte

	mu  sync.RWMutex
	bad map[Digest]bool // found to be damaged
}

func decodeIndex(b []byte, off int64) (*packIndex, error) {
	le := binary.LittleEndian
	nblobs, nchunks := int64(le.Uint32(b)), int64(le.Uint32(b[4:]))
	b = b[indexHeader:]
	if int64(len(b)) != nblobs*blobRecord+nchunks*chunkRecord {
		return nil, errors.New("index has the wrong length")
	}
	x := &packIndex{blobs: b[:nblobs*blobRecord], chunks: b[nblobs*blobRecord:]}
	for i := range x.len() {
		blob := x.record(i)
		var raw int64
		if i > 0 && bytes.Compare(x.blobs[(i-1)*blobRecord:][:32], blob.digest[:]) >= 0 {
			return nil, errors.New("index is not sorted")
		}
		if blob.size <= 0 || blob.size > maxFileSize || int64(blob.first)+int64(blob.count) > nchunks {
			return nil, fmt.Errorf("index record of %s is impossible", blob.digest)
		}
		for j := range blob.count {
			c := x.chunk(blob.first + j)
			if c.off < int64(len(packMagic)) || c.off+int64(c.stored) > off || c.raw == 0 || c.raw > chunkSize || c.stored > c.raw {
				return nil, fmt.Errorf("index: chunk %d of %s is impossible", j, blob.digest)
			}
			raw += int64(c.raw)
		}
		if raw != blob.size {
			return nil, fmt.Errorf("index: chunks of %s do not make its size", blob.digest)
		}
	}
	return x, nil
}

func (x *packIndex) len() int { return len(x.blobs) / blobRecord }

// indexRecord is one blob in a pack's index.
type indexRecord struct {
	digest       Digest
	size         int64
	first, count uint32 // chunks
}

func (x *packIndex) record(i int) indexRecord {
	b := x.blobs[i*blobRecord:]
	le := binary.LittleEndian
	r := indexRecord{size: int64(le.Uint64(b[32:])), first: le.Uint32(b[40:]), count: le.Uint32(b[44:])}
	copy(r.digest[:], b)
	return r
}

func (x *packIndex) chunk(i uint32) chunk {
	b := x.chunks[int(i)*chunkRecord:]
	le := binary.LittleEndian
	return chunk{off: int64(le.Uint64(b)), stored: le.Uint32(b[8:]), raw: le.Uint32(b[12:])}
}

// condemn makes a damaged blob one that is not there.
func (x *packIndex) condemn(d Digest) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.bad == nil {
		x.bad = make(map[Digest]bool)
	}
	x.bad[d] = true
}

func (x *packIndex) isBad(d Digest) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.bad[d]
}

// find searches the index.
func (x *packIndex) find(d Digest) (indexRecord, bool) {
	i, ok := sort.Find(x.len(), func(i int) int { return bytes.Compare(d[:], x.blobs[i*blobRecord:][:len(d)]) })
	if !ok || x.isBad(d) {
		return indexRecord{}, false
	}
	return x.record(i), true
}
