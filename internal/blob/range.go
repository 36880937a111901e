package blob

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"

	"github.com/runnerml/runner/internal/partfile"
)

// getRange writes one range of a blob to its place, whole, or fails. A cut
// answer is gone on with where it was cut, if the content can be verified by
// other means than the range's own checksum.
func (c *Container) getRange(ctx context.Context, g *getting, sas string) ([]byte, error) {
	g.md5, g.single = md5.New(), g.span.N == g.blob.Size
	if g.span.N == 0 {
		return g.md5.Sum(nil), nil
	}
	client, err := c.blockBlob(g.blob.Name, sas)
	if err != nil {
		return nil, err
	}
	err = c.by(sas).try(ctx, c.where(g.blob.Name), func(ctx context.Context) error {
		return g.attempt(ctx, client.BlobClient().DownloadStream, c.where(g.blob.Name))
	})
	return g.md5.Sum(nil), err
}

type downloader func(context.Context, *blob.DownloadStreamOptions) (blob.DownloadStreamResponse, error)

// getting is a range on its way.
type getting struct {
	blob    Blob
	span    partfile.Span
	to      io.WriterAt
	meter   *meter
	byRange bool // the service tells the range's MD5
	// unit is what done is told of, by its number and sum, when it is there: at
	// once, or when its answer is verified. 0: nothing.
	unit int64
	done func(i int, sum uint32) error

	single bool  // the range is the whole blob
	got    int64 // of the range
	sum    uint32
	sums   []uint32 // of units that are not verified
	md5    hash.Hash
}

func (g *getting) restart() {
	g.meter.add(-g.got)
	g.got, g.sum, g.sums = 0, 0, nil
	g.md5.Reset()
}

const copyBuffer = 256 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }}

func (g *getting) attempt(ctx context.Context, download downloader, where string) error {
	if g.byRange { // its MD5 is of one answer
		g.restart()
	}
	left := g.span.N - g.got
	opts := &blob.DownloadStreamOptions{
		Range:            blob.HTTPRange{Offset: g.span.Off + g.got, Count: left},
		AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: to.Ptr(azcore.ETag(g.blob.ETag))}},
	}
	if g.byRange {
		opts.RangeGetContentMD5 = to.Ptr(true)
	}
	r, err := download(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	if etag := string(value(r.ETag)); etag != g.blob.ETag {
		return &Error{Problem: Changed, What: "the blob has changed", Where: where}
	}
	if want := fmt.Sprintf("bytes %d-%d/%d", opts.Range.Offset, g.span.Off+g.span.N-1, g.blob.Size); value(r.ContentRange) != want {
		return &Error{
			Problem: Unavailable, What: "the store answers with another part than was asked for", Where: where, Temporary: true,
		}
	}
	if err := g.take(ctx, r.Body); err != nil {
		return err
	}
	if told := r.ContentMD5; g.byRange && len(told) > 0 && !bytes.Equal(told, g.md5.Sum(nil)) {
		return &Error{Problem: Corrupt, What: "what came is not what the store sent", Where: where, Temporary: true}
	}
	if g.single && len(g.blob.MD5) > 0 && !bytes.Equal(g.blob.MD5, g.md5.Sum(nil)) {
		g.restart()
		return &Error{
			Problem: Corrupt, What: "what came is not what the blob's MD5 says", Where: where, Temporary: true,
			Hint: "the blob itself may be damaged: write it again where it comes from",
		}
	}
	for i, sum := range g.sums {
		if err := g.done(int(g.span.Off/g.unit)+i, sum); err != nil {
			return err
		}
	}
	return nil
}

// take reads the answer to the range's end, and not beyond.
func (g *getting) take(ctx context.Context, from io.Reader) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for g.got < g.span.N {
		n, err := from.Read((*buf)[:min(int64(len(*buf)), g.next()-g.got)])
		if n > 0 {
			moved(ctx)
			part := (*buf)[:n]
			if _, err := g.to.WriteAt(part, g.span.Off+g.got); err != nil {
				return fileError(err, fileName(g.to))
			}
			if g.byRange || g.single {
				_, _ = g.md5.Write(part)
			}
			g.got += int64(n)
			g.meter.add(int64(n))
			if err := g.count(part); err != nil {
				return err
			}
		}
		if err != nil && g.got < g.span.N {
			if errors.Is(err, io.EOF) { // shorter than it said: never taken for whole
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// next is how far the unit reaches that is on its way, in the range.
func (g *getting) next() int64 {
	if g.unit == 0 {
		return g.span.N
	}
	return min(g.span.N, (g.got/g.unit+1)*g.unit) // a range begins with a unit
}

// count adds what came to its unit's sum, and tells of the unit when it is there.
func (g *getting) count(part []byte) error {
	if g.unit == 0 {
		return nil
	}
	g.sum = partfile.Sum(g.sum, part)
	if g.got < g.span.N && g.got%g.unit != 0 {
		return nil
	}
	sum := g.sum
	g.sum = 0
	if g.byRange {
		g.sums = append(g.sums, sum)
		return nil
	}
	return g.done(int((g.span.Off+g.got-1)/g.unit), sum)
}

func fileName(w io.WriterAt) string {
	if f, ok := w.(*os.File); ok {
		return f.Name()
	}
	return "memory"
}
