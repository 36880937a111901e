package blob

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"golang.org/x/sync/errgroup"

	"github.com/runnerml/runner/internal/partfile"
)

// blocks sends a large file.
func (s *sending) blocks(ctx context.Context, modified time.Time) (Blob, error) {
	there, err := s.there(ctx)
	if err != nil {
		return Blob{}, err
	}
	each, most := s.blockSizes()
	spans := partfile.Cut(s.size, each)
	ids := make([]string, len(spans))
	whole := md5.New()
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(most)
	for i, part := range spans {
		sum, err := hashBoth(s.file, part, whole)
		if err != nil || inner.Err() != nil {
			if waited := group.Wait(); waited != nil {
				return Blob{}, waited
			}
			return Blob{}, s.blame(fileError(err, s.upload.From), part, nil)
		}
		ids[i] = blockID(i, part.N, sum)
		if size, ok := there[ids[i]]; ok && size == part.N {
			s.meter.skip(part.N)
			continue
		}
		group.Go(func() error { return s.stage(inner, part, ids[i], sum) })
	}
	if err := group.Wait(); err != nil {
		return Blob{}, err
	}
	after, err := s.file.Stat()
	if err != nil {
		return Blob{}, fileError(err, s.upload.From)
	}
	if after.Size() < s.size || after.Size() == s.size && !after.ModTime().Equal(modified) {
		return Blob{}, s.changed()
	}
	return s.commit(ctx, ids, whole.Sum(nil))
}

// blockSizes are how large the store's blocks are, and how many may be on their
// way at once. Together these are no more than the options' block: what is on
// its way when we are killed is sent again, and no more of a file. Smaller ones
// than these 4 MiB keep the store busy with other things than bytes. Blocks grow
// with the file where they must.
func (s *sending) blockSizes() (each int64, most int) {
	o := s.container.options
	const least = 64 << 10
	each = max(least, o.BlockSize/int64(o.Connections))
	for (s.size+each-1)/each > maxBlocks {
		each *= 2
	}
	return each, int(min(int64(o.Connections), max(1, o.BlockSize/each)))
}

// there are the blocks that the store has of this blob, by their ids.
func (s *sending) there(ctx context.Context) (map[string]int64, error) {
	found := map[string]int64{}
	err := s.container.try(ctx, s.where(), func(ctx context.Context) error {
		r, err := s.client.GetBlockList(ctx, blockblob.BlockListTypeAll, nil)
		if err != nil {
			return missing(err)
		}
		clear(found)
		for _, b := range slices.Concat(r.CommittedBlocks, r.UncommittedBlocks) {
			found[value(b.Name)] = value(b.Size)
		}
		return nil
	})
	if p := ProblemOf(err); p == NotFound || p == NotPermitted {
		return nil, nil
	}
	return found, err
}

// blockID names a block by its place, size and content.
func blockID(i int, size int64, sum []byte) string {
	raw := binary.BigEndian.AppendUint32(nil, uint32(i))
	raw = binary.BigEndian.AppendUint32(raw, uint32(size))
	return base64.StdEncoding.EncodeToString(append(raw, sum...))
}

func (s *sending) stage(ctx context.Context, p partfile.Span, id string, sum []byte) error {
	return s.container.try(ctx, s.where(), func(ctx context.Context) error {
		part := s.part(ctx, p)
		_, err := s.client.StageBlock(ctx, id, part, &blockblob.StageBlockOptions{TransactionalValidation: blob.TransferValidationTypeMD5(sum)})
		if err != nil {
			part.undo()
			return s.blame(err, p, sum)
		}
		return nil
	})
}

// blocksGone is the problem of a list that names blocks which another writer's
// commit has thrown away.
const blocksGone Problem = "blocks_gone"

func (s *sending) commit(ctx context.Context, ids []string, sum []byte) (b Blob, err error) {
	err = s.container.try(ctx, s.where(), func(ctx context.Context) error {
		r, err := s.client.CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{HTTPHeaders: headers(sum), Metadata: pointers(s.upload.Metadata)})
		if err != nil {
			return err
		}
		b = Blob{ETag: string(value(r.ETag)), MD5: sum, Modified: value(r.LastModified)}
		return nil
	})
	if e, ok := errors.AsType[*Error](err); ok && e.Code == "InvalidBlockList" {
		e.Problem, e.What = blocksGone, "another process writes this blob"
	}
	return b, err
}

// hashBoth is the MD5 of a part of a file, which it also adds to the whole's.
func hashBoth(f io.ReaderAt, p partfile.Span, whole io.Writer) ([]byte, error) {
	h := md5.New()
	var bufs [2][]byte
	for i := range bufs {
		buf := buffers.Get().(*[]byte)
		defer buffers.Put(buf)
		bufs[i] = *buf
	}
	// Two cores: the part's and the whole's hash of one buffer while the next is read.
	busy := make(chan struct{}, 1)
	defer func() { busy <- struct{}{}; <-busy }()
	for i, got := 0, int64(0); got < p.N; i++ {
		buf := bufs[i%2][:min(int64(copyBuffer), p.N-got)]
		if _, err := f.ReadAt(buf, p.Off+got); err != nil {
			return nil, err
		}
		busy <- struct{}{}
		go func() {
			_, _ = whole.Write(buf)
			<-busy
		}()
		_, _ = h.Write(buf)
		got += int64(len(buf))
	}
	return h.Sum(nil), nil
}
