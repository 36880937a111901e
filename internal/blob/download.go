package blob

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"golang.org/x/sync/errgroup"
)

// Download is one blob that is wanted as a file.
type Download struct {
	Blob Blob        // as List or Stat told it; without an ETag it is asked for by its name
	To   string      // the file; its directory is made
	Mode fs.FileMode // 0: 0600
	SAS  string      // for this blob, in place of the container's credential
}

// Download brings one blob home. The file appears under its name only whole and
// verified, with the blob's time; one that is there already with the same size
// and MD5 (or, where the blob has no MD5, the same time) is left as it is. What
// came of a download that was cut or killed is beside the file and is not asked
// for again, unless the blob has changed since. A blob that changes on the way is
// an error of the problem Changed.
func (c *Container) Download(ctx context.Context, d Download) error {
	m := c.meter()
	m.expect(1, d.Blob.Size)
	defer m.end()
	return c.download(ctx, d, m)
}

// DownloadAll brings many blobs home, several at once. It ends with the first
// error.
func (c *Container) DownloadAll(ctx context.Context, all []Download) error {
	m := c.meter()
	for _, d := range all {
		m.expect(1, d.Blob.Size)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.options.Connections)
	for _, d := range all {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return c.download(ctx, d, m) })
	}
	defer m.end()
	return group.Wait()
}

func (c *Container) download(ctx context.Context, d Download, m *meter) error {
	if d.Blob.ETag == "" {
		found, err := c.stat(ctx, d.Blob.Name, d.SAS)
		if err != nil {
			return err
		}
		m.expect(0, found.Size-d.Blob.Size)
		d.Blob = found
	}
	if d.Mode == 0 {
		d.Mode = 0o600
	}
	same, err := isSame(d.To, d.Blob)
	if err != nil {
		return err
	}
	if same {
		m.skip(d.Blob.Size)
		m.done()
		// A process that was killed between the last two steps has left this.
		return removeParts(d.To)
	}
	if err := os.MkdirAll(filepath.Dir(d.To), 0o700); err != nil {
		return fileError(err, d.To)
	}
	err = c.fill(ctx, d, len(d.Blob.MD5) == 0, m)
	if ProblemOf(err) == Corrupt && d.Blob.Size > c.options.BlockSize {
		// Once more from nothing, in ranges that the service tells the checksum of, so
		// that whichever came wrong comes again.
		m.skip(-d.Blob.Size)
		if err = removeParts(d.To); err == nil {
			err = c.fill(ctx, d, true, m)
		}
	}
	if p := ProblemOf(err); p == Changed || p == NotFound || p == Corrupt {
		// What came of it is of no use.
		err = errors.Join(err, removeParts(d.To))
	}
	if err == nil {
		m.done()
	}
	return err
}

// isSame says whether a file has the blob's content already.
func isSame(path string, b Blob) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fileError(err, path)
	}
	if !info.Mode().IsRegular() || info.Size() != b.Size {
		return false, nil
	}
	if len(b.MD5) == 0 {
		return !b.Modified.IsZero() && info.ModTime().Equal(b.Modified), nil
	}
	sum, err := md5Of(path)
	if err != nil {
		return false, err
	}
	return bytes.Equal(sum, b.MD5), nil
}

func md5Of(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(err, path)
	}
	defer func() { _ = f.Close() }()
	h := md5.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, fileError(err, path)
	}
	return h.Sum(nil), nil
}

// fill gets what is missing of a blob and puts the file in its place. verify is
// whether the service tells the checksum of each range, which are 4 MiB then.
func (c *Container) fill(ctx context.Context, d Download, verify bool, m *meter) (err error) {
	each := c.options.BlockSize
	if verify {
		each = min(each, verifiedRange)
	}
	p, err := c.openPartial(ctx, d, each)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if p.finished { // by a process that was killed just after
		m.skip(d.Blob.Size)
		return nil
	}
	var follow *follower
	if len(d.Blob.MD5) > 0 && len(p.spans) > 1 {
		follow = newFollower(p)
		defer follow.stop()
	}
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(c.options.Connections)
	var whole []byte // the MD5 of a blob that is one range
	for i := range p.spans {
		if inner.Err() != nil {
			break
		}
		if p.has[i] {
			m.skip(p.spans[i].n)
			follow.reached(i)
			continue
		}
		group.Go(func() error {
			sums, err := c.getRange(inner, d.Blob, d.SAS, p.spans[i], verify, p.data, m)
			if err != nil {
				return err
			}
			// The disk begins with it now: at the end nobody waits for all of it at once.
			writeBack(p.data, p.spans[i])
			if len(p.spans) == 1 {
				whole = sums.md5
			} else if err := p.record(i, sums.crc); err != nil {
				return err
			}
			follow.reached(i)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if len(d.Blob.MD5) > 0 {
		switch {
		case follow != nil:
			whole, err = follow.sum(ctx)
		case whole == nil: // it was all there
			whole, err = md5Of(p.dataPath)
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(whole, d.Blob.MD5) {
			return &Error{
				Problem: Corrupt, What: "what came is not what the blob's MD5 says", Where: c.where(d.Blob.Name),
				Hint: "the blob itself may be damaged: write it again where it comes from",
			}
		}
	}
	return p.finish()
}

// span is a part of a blob.
type span struct{ off, n int64 }

// sums are of a span's content.
type sums struct {
	crc uint32
	md5 []byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// getRange writes one range of a blob to its place, whole, or fails. A cut
// answer is gone on with where it was cut, if the content can be verified by
// other means than the range's own checksum.
func (c *Container) getRange(ctx context.Context, b Blob, sas string, s span, verify bool, to io.WriterAt, m *meter) (sums, error) {
	if s.n == 0 {
		empty := md5.Sum(nil)
		return sums{md5: empty[:]}, nil
	}
	client, err := c.blockBlob(b.Name, sas)
	if err != nil {
		return sums{}, err
	}
	g := &getting{blob: b, span: s, to: to, meter: m, byRange: verify, md5: md5.New(), single: s.n == b.Size}
	err = c.try(ctx, c.where(b.Name), func(ctx context.Context) error {
		return g.attempt(ctx, client.BlobClient().DownloadStream, c.where(b.Name))
	})
	if err != nil {
		return sums{}, err
	}
	return sums{crc: g.crc, md5: g.md5.Sum(nil)}, nil
}

type downloader func(context.Context, *blob.DownloadStreamOptions) (blob.DownloadStreamResponse, error)

// getting is a range on its way.
type getting struct {
	blob    Blob
	span    span
	to      io.WriterAt
	meter   *meter
	byRange bool // the service tells the range's MD5
	single  bool // the range is the whole blob

	got int64 // of the range
	crc uint32
	md5 hash.Hash
}

func (g *getting) restart() {
	g.meter.add(-g.got)
	g.got, g.crc = 0, 0
	g.md5.Reset()
}

const copyBuffer = 256 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }}

func (g *getting) attempt(ctx context.Context, download downloader, where string) error {
	if g.byRange { // its MD5 is of one answer
		g.restart()
	}
	left := g.span.n - g.got
	opts := &blob.DownloadStreamOptions{
		Range:            blob.HTTPRange{Offset: g.span.off + g.got, Count: left},
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
	if want := fmt.Sprintf("bytes %d-%d/%d", opts.Range.Offset, g.span.off+g.span.n-1, g.blob.Size); value(r.ContentRange) != want {
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
	return nil
}

// take reads the answer to the range's end, and not beyond.
func (g *getting) take(ctx context.Context, from io.Reader) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for g.got < g.span.n {
		n, err := from.Read((*buf)[:min(int64(len(*buf)), g.span.n-g.got)])
		if n > 0 {
			moved(ctx)
			part := (*buf)[:n]
			if _, err := g.to.WriteAt(part, g.span.off+g.got); err != nil {
				return fileError(err, fileName(g.to))
			}
			g.crc = crc32.Update(g.crc, castagnoli, part)
			if g.byRange || g.single {
				_, _ = g.md5.Write(part)
			}
			g.got += int64(n)
			g.meter.add(int64(n))
		}
		if err != nil && g.got < g.span.n {
			if errors.Is(err, io.EOF) { // shorter than it said: never taken for whole
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

func fileName(w io.WriterAt) string {
	if f, ok := w.(*os.File); ok {
		return f.Name()
	}
	return "memory"
}
