package blob

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"golang.org/x/sync/errgroup"

	"github.com/runnerml/runner/internal/partfile"
)

// Upload is one file that is wanted as a blob.
type Upload struct {
	From     string            // the file; with Open: what it is called in errors
	Name     string            // of the blob
	Metadata map[string]string // kept with the blob; keys are lower-case letters, digits and _, and begin with a letter
	// Open opens the content when it is no file here; nil: From.
	Open  func(context.Context) (Content, error)
	Known *Blob // what List or Stat told of the blob; without an ETag: it is not there; nil: the store is asked
}

// Content is what an upload reads: a file, or what can be read like one.
type Content interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

const (
	// maxBlocks is how many blocks a blob has at most.
	maxBlocks = 50_000
	// maxRounds is how often an upload begins again because somebody else wrote the
	// same blob, or the file changed.
	maxRounds = 3
)

// Upload sends one file. The blob appears, or is replaced, only whole, with the
// MD5 of its content; one that has the file's size and MD5 already is left as it
// is. Blocks that are at the store already, from an upload that was cut or
// killed or from what the blob was before, are not sent again. A file that grows
// is sent as long as it was at first; one that is changed otherwise on the way
// is an error of the problem Changed.
func (c *Container) Upload(ctx context.Context, u Upload) (Blob, error) {
	m := c.meter()
	m.expect(1, 0)
	defer m.end()
	return c.upload(ctx, u, m)
}

// UploadAll sends many files, several at once, and tells each when it is there
// (one at a time, by its place in all). It ends with the first error.
func (c *Container) UploadAll(ctx context.Context, all []Upload, each func(i int, b Blob)) error {
	m := c.meter()
	m.expect(len(all), 0)
	defer m.end()
	known, err := c.knownOf(ctx, all)
	if err != nil {
		return err
	}
	told := make(chan struct{}, 1)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.options.Connections)
	for i, u := range all {
		if ctx.Err() != nil {
			break
		}
		if u.Known == nil {
			u.Known = known(u.Name)
		}
		group.Go(func() error {
			b, err := c.upload(ctx, u, m)
			if err == nil && each != nil {
				told <- struct{}{}
				each(i, b)
				<-told
			}
			return err
		})
	}
	return group.Wait()
}

// knownOf finds out what the store has, by one listing for many files.
func (c *Container) knownOf(ctx context.Context, all []Upload) (func(name string) *Blob, error) {
	unknown := 0
	var prefix string
	for _, u := range all {
		if u.Known != nil {
			continue
		}
		dir, _ := splitName(u.Name)
		if unknown == 0 {
			prefix = dir
		}
		for prefix != "" && dir != prefix && !strings.HasPrefix(dir, prefix+"/") {
			prefix, _ = splitName(prefix)
		}
		unknown++
	}
	const worthListing, page = 4, 5000
	if unknown < worthListing {
		return func(string) *Blob { return nil }, nil
	}
	there := map[string]Blob{}
	seen, whole := 0, true
	for b, err := range c.List(ctx, prefix) {
		if p := ProblemOf(err); p == NotPermitted || p == WrongKey {
			return func(string) *Blob { return nil }, nil // the right may be to write alone
		}
		if err != nil {
			return nil, err
		}
		there[b.Name] = b
		if seen++; seen > page+4*unknown { // much that has nothing to do with these
			whole = false
			break
		}
	}
	return func(name string) *Blob {
		if b, ok := there[name]; ok {
			return &b
		}
		if whole {
			return &Blob{}
		}
		return nil
	}, nil
}

func splitName(name string) (dir, base string) {
	i := strings.LastIndexByte(name, '/')
	return name[:max(i, 0)], name[i+1:]
}

func (c *Container) upload(ctx context.Context, u Upload, m *meter) (Blob, error) {
	f, err := u.open(ctx)
	if err != nil {
		return Blob{}, fileError(err, u.From)
	}
	defer func() { _ = f.Close() }()
	client, err := c.blockBlob(u.Name, "")
	if err != nil {
		return Blob{}, err
	}
	s := &sending{container: c, upload: u, file: f, client: client, meter: m}
	for round := 1; ; round++ {
		b, err := s.round(ctx)
		if err == nil {
			m.done()
			return b, nil
		}
		if p := ProblemOf(err); p != Changed && p != Corrupt && p != blocksGone || round == maxRounds || ctx.Err() != nil {
			return Blob{}, err
		}
		s.upload.Known = nil
		m.expect(0, -s.size)
		m.skip(-s.counted)
	}
}

func (u Upload) open(ctx context.Context) (Content, error) {
	if u.Open != nil {
		return u.Open(ctx)
	}
	return os.Open(u.From)
}

// sending is a file on its way.
type sending struct {
	container *Container
	upload    Upload
	file      Content
	client    *blockblob.Client
	meter     *meter

	size    int64
	counted int64
}

func (s *sending) where() string { return s.container.where(s.upload.Name) }

// round sends the file as it is now.
func (s *sending) round(ctx context.Context) (Blob, error) {
	before, err := s.file.Stat()
	if err != nil {
		return Blob{}, fileError(err, s.upload.From)
	}
	if !before.Mode().IsRegular() {
		return Blob{}, &Error{Problem: Local, What: "this is no regular file", Where: s.upload.From}
	}
	s.size, s.counted = before.Size(), 0
	s.meter.expect(0, s.size)
	known, err := s.known(ctx)
	if err != nil {
		return Blob{}, err
	}
	if known.ETag != "" && known.Size == s.size && len(known.MD5) > 0 && maps.Equal(known.Metadata, s.upload.Metadata) {
		sum, err := s.md5(s.size)
		if err != nil {
			return Blob{}, err
		}
		if bytes.Equal(sum, known.MD5) {
			s.counted = s.size
			s.meter.skip(s.size)
			return known, nil
		}
	}
	var b Blob
	if s.size <= s.container.options.one() {
		b, err = s.whole(ctx)
	} else {
		b, err = s.blocks(ctx, before.ModTime())
	}
	if err != nil {
		return Blob{}, err
	}
	b.Name, b.Size, b.Metadata = s.upload.Name, s.size, s.upload.Metadata
	return b, nil
}

func (s *sending) known(ctx context.Context) (Blob, error) {
	if s.upload.Known != nil {
		return *s.upload.Known, nil
	}
	b, err := s.container.Stat(ctx, s.upload.Name)
	if p := ProblemOf(err); p == NotFound || p == NotPermitted { // the right may be to write alone
		return Blob{}, nil
	}
	return b, err
}

func (s *sending) md5(size int64) ([]byte, error) {
	h := md5.New()
	n, err := io.Copy(h, onlyReader{io.NewSectionReader(s.file, 0, size)})
	if err != nil {
		return nil, fileError(err, s.upload.From)
	}
	if n != size {
		return nil, s.changed()
	}
	return h.Sum(nil), nil
}

func (s *sending) changed() error {
	return &Error{Problem: Changed, What: "this file changes while it is read", Where: s.upload.From, Hint: "it is sent when it is no longer written to"}
}

func (s *sending) count(n int64) {
	s.meter.add(n)
}

// headers are what is kept with the blob.
func headers(sum []byte) *blob.HTTPHeaders { return &blob.HTTPHeaders{BlobContentMD5: sum} }

func pointers(metadata map[string]string) map[string]*string {
	if len(metadata) == 0 {
		return nil
	}
	out := make(map[string]*string, len(metadata))
	for key, val := range metadata {
		out[key] = &val
	}
	return out
}

// whole sends a small file in one request.
func (s *sending) whole(ctx context.Context) (b Blob, err error) {
	err = s.container.try(ctx, s.where(), func(ctx context.Context) error {
		sum, err := s.md5(s.size)
		if err != nil {
			return err
		}
		part := s.part(ctx, partfile.Span{N: s.size})
		r, err := s.client.Upload(ctx, part, &blockblob.UploadOptions{
			TransactionalValidation: blob.TransferValidationTypeMD5(sum),
			HTTPHeaders:             headers(sum), Metadata: pointers(s.upload.Metadata),
		})
		if err != nil {
			part.undo()
			return s.blame(err, partfile.Span{N: s.size}, sum)
		}
		b = Blob{ETag: string(value(r.ETag)), MD5: sum, Modified: value(r.LastModified)}
		return nil
	})
	return b, err
}

// blame finds out whether a part could not be sent because the file does not
// have it any more, or has something else in its place: then what the store got
// is not what was promised, and it is the file and not the line that is at fault.
// sum is the part's MD5 as it was before; nil: nobody knows it.
func (s *sending) blame(err error, part partfile.Span, sum []byte) error {
	if info, statErr := s.file.Stat(); statErr == nil && info.Size() < part.Off+part.N {
		return s.changed()
	}
	if answer, ok := errors.AsType[*azcore.ResponseError](err); !ok || answer.ErrorCode != codeMD5 || sum == nil {
		return err
	}
	h := md5.New()
	if n, readErr := io.Copy(h, onlyReader{io.NewSectionReader(s.file, part.Off, part.N)}); readErr != nil || n != part.N {
		return s.changed()
	}
	if !bytes.Equal(h.Sum(nil), sum) {
		return s.changed()
	}
	return err
}

// part is a part of the file as a request's body.
func (s *sending) part(ctx context.Context, p partfile.Span) *body {
	return &body{SectionReader: io.NewSectionReader(s.file, p.Off, p.N), ctx: ctx, count: s.count}
}

// Put stores a small content under a name, whole, in one request.
func (c *Container) Put(ctx context.Context, name string, content []byte, metadata map[string]string) (Blob, error) {
	client, err := c.blockBlob(name, "")
	if err != nil {
		return Blob{}, err
	}
	sum := md5.Sum(content)
	b := Blob{Name: name, Size: int64(len(content)), MD5: sum[:], Metadata: metadata}
	err = c.try(ctx, c.where(name), func(ctx context.Context) error {
		part := &body{SectionReader: io.NewSectionReader(bytes.NewReader(content), 0, b.Size), ctx: ctx, count: func(int64) {}}
		r, err := client.Upload(ctx, part, &blockblob.UploadOptions{
			TransactionalValidation: blob.TransferValidationTypeMD5(sum[:]), HTTPHeaders: headers(sum[:]), Metadata: pointers(metadata),
		})
		if err != nil {
			return err
		}
		b.ETag, b.Modified = string(value(r.ETag)), value(r.LastModified)
		return nil
	})
	return b, err
}
