package blob

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/runnerml/runner/internal/partfile"
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
		return fileError(partfile.Remove(d.To), d.To)
	}
	if err := os.MkdirAll(filepath.Dir(d.To), 0o700); err != nil {
		return fileError(err, d.To)
	}
	err = c.fill(ctx, d, len(d.Blob.MD5) == 0, m)
	if ProblemOf(err) == Corrupt && d.Blob.Size > c.options.one() {
		// Once more from nothing, in ranges that the service tells the checksum of, so
		// that whichever came wrong comes again.
		m.skip(-d.Blob.Size)
		if err = fileError(partfile.Remove(d.To), d.To); err == nil {
			err = c.fill(ctx, d, true, m)
		}
	}
	if p := ProblemOf(err); p == Changed || p == NotFound || p == Corrupt {
		// What came of it is of no use.
		err = errors.Join(err, fileError(partfile.Remove(d.To), d.To))
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
// whether the service tells the checksum of each range.
func (c *Container) fill(ctx context.Context, d Download, verify bool, m *meter) (err error) {
	unit, most := c.units(d.Blob.Size, verify)
	f, err := c.arrive(ctx, d, unit)
	if err != nil {
		return err
	}
	if f == nil {
		m.skip(d.Blob.Size)
		return nil
	}
	defer func() { err = errors.Join(err, f.close()) }()
	whole, err := c.ranges(ctx, d, f, ranging{unit: unit, most: most, verify: verify, meter: m})
	if err != nil {
		return err
	}
	if len(d.Blob.MD5) > 0 && !bytes.Equal(whole, d.Blob.MD5) {
		return &Error{
			Problem: Corrupt, What: "what came is not what the blob's MD5 says", Where: c.where(d.Blob.Name),
			Hint: "the blob itself may be damaged: write it again where it comes from",
		}
	}
	return fileError(f.Finish(d.Mode, d.Blob.Modified), d.To)
}

// units are how much of a download is written down as one, and how much is asked
// for at once. All that may be on its way at a time and not written down, in as
// many connections as there are, is one block: no more of a file comes again
// after a kill. The most of it is for what the kernel holds.
func (c *Container) units(size int64, verify bool) (unit, most int64) {
	block, one := c.options.BlockSize, c.options.one()
	if size <= one && (!verify || size <= verifiedRange) {
		return max(size, 1), max(size, 1)
	}
	const least = 4 << 10
	unit = max(least, block/int64(4*c.options.Connections)/least*least)
	if verify { // nothing of an answer counts before all of it is there
		return unit, min(4*unit, verifiedRange)
	}
	return unit, one
}

// ranging is how ranges come.
type ranging struct {
	unit, most int64
	verify     bool
	meter      *meter
}

// ranges gets what is missing, several ranges at once, and gives the MD5 of all,
// if the blob has one.
func (c *Container) ranges(ctx context.Context, d Download, f *arrival, how ranging) (whole []byte, err error) {
	var follow *follower
	if len(d.Blob.MD5) > 0 && f.Units() > 1 {
		follow = newFollower(f.File, d.To)
		defer follow.stop()
	}
	how.meter.skip(f.Have())
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(c.options.Connections)
	for _, s := range f.Missing(how.most) {
		if inner.Err() != nil {
			break
		}
		group.Go(func() error {
			g := &getting{
				blob: d.Blob, span: s, to: f.Data(), meter: how.meter, byRange: how.verify, unit: how.unit,
				done: func(i int, sum uint32) error {
					follow.reached(i)
					return fileError(f.Record(i, sum), d.To)
				},
			}
			sum, err := c.getRange(inner, g, d.SAS)
			if err != nil {
				return err
			}
			// The disk begins with it now: at the end nobody waits for all of it at once.
			writeBack(f.Data(), s)
			if f.Units() == 1 {
				whole = sum
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil || follow == nil {
		return whole, err
	}
	return follow.sum(ctx)
}
