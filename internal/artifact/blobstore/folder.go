package blobstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/blob"
)

// folder is what is below a name in the container.
type folder struct {
	store *Store
	below string
	tops  []string
	// spool holds what came and is not in the store yet; dir is its directory.
	spool *artifact.Directory
	dir   string

	mu sync.Mutex
	// there is what a listing told, kept up to date by what is stored here; nil:
	// nobody has asked yet. It spares a question for each of many files.
	there map[string]blob.Blob // by the encoded name
}

var (
	_ artifact.Folder    = (*folder)(nil)
	_ artifact.Resumer   = (*folder)(nil)
	_ artifact.Taker     = (*folder)(nil)
	_ artifact.Addressed = (*folder)(nil)
)

// Address is the place of the blob, or above the blobs, that name stands for.
// Whoever reads them knows nothing of names that a blob cannot have, of links
// and of empty directories.
func (f *folder) Address(ctx context.Context, name string) (string, error) {
	if err := f.check(name); err != nil {
		return "", err
	}
	c, err := f.store.blobs(ctx)
	if err != nil {
		return "", err
	}
	return c.Location().Below(f.full(name)).String(), nil
}

func (f *folder) check(name string) error { return artifact.CheckNameIn(name, f.tops...) }

// full is a file's name in the container.
func (f *folder) full(name string) string { return f.below + "/" + encode(name) }

// Put spools a stream, and stores it.
func (f *folder) Put(ctx context.Context, file artifact.File, r io.Reader) error {
	if err := f.check(file.Path); err != nil {
		return err
	}
	defer f.store.alone(f.full(file.Path))()
	if err := f.spool.Put(ctx, file, r); err != nil {
		return err
	}
	return f.unspool(ctx, file)
}

// Begun is what is spooled of a file.
func (f *folder) Begun(ctx context.Context, name string) (size int64, digest []byte, err error) {
	if err := f.check(name); err != nil {
		return 0, nil, err
	}
	if whole, err := f.spool.Stat(ctx, name); err == nil && whole.Mode.IsRegular() {
		digest, err := f.spool.Digest(ctx, name)
		return whole.Size, digest, err
	}
	return f.spool.Begun(ctx, name)
}

// PutRest spools the rest of a stream, and stores all of it.
func (f *folder) PutRest(ctx context.Context, file artifact.File, at int64, r io.Reader) error {
	if err := f.check(file.Path); err != nil {
		return err
	}
	defer f.store.alone(f.full(file.Path))()
	whole, err := f.spool.Open(ctx, file.Path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := f.spool.PutRest(ctx, file, at, r); err != nil {
			return err
		}
		return f.unspool(ctx, file)
	}
	if err != nil {
		return err
	}
	defer func() { _ = whole.Close() }() // only read
	if err := f.spool.Put(ctx, file, io.MultiReader(io.LimitReader(whole, at), r)); err != nil {
		return err
	}
	return f.unspool(ctx, file)
}

// unspool stores what is spooled, whole.
func (f *folder) unspool(ctx context.Context, file artifact.File) error {
	sum, err := f.spool.Digest(ctx, file.Path)
	if err != nil {
		return err
	}
	file.Digest = sum
	if err := f.upload(ctx, file, filepath.Join(f.dir, filepath.FromSlash(file.Path))); err != nil {
		return err
	}
	return f.spool.Remove(ctx, file.Path)
}

// Take stores a file from where it lies on this computer.
func (f *folder) Take(ctx context.Context, file artifact.File, from string) error {
	if err := f.check(file.Path); err != nil {
		return err
	}
	defer f.store.alone(f.full(file.Path))()
	sum, err := digestOf(ctx, from)
	if err != nil {
		return err
	}
	file.Digest = sum
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if file.Size >= 0 && info.Size() != file.Size || !file.Modified.IsZero() && !info.ModTime().Equal(file.Modified) {
		return artifact.ErrChanged
	}
	return f.upload(ctx, file, from)
}

func digestOf(ctx context.Context, name string) ([]byte, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()                         // only read
	stop := context.AfterFunc(ctx, func() { _ = in.Close() }) // ends the reading
	defer stop()
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	return sum.Sum(nil), nil
}

func (f *folder) upload(ctx context.Context, file artifact.File, from string) error {
	c, err := f.store.blobs(ctx)
	if err != nil {
		return err
	}
	known, err := f.known(ctx, encode(file.Path))
	if err != nil {
		return err
	}
	b, err := c.Upload(ctx, blob.Upload{From: from, Name: f.full(file.Path), Metadata: metadata(file), Known: known})
	if err != nil {
		return f.store.failure(err)
	}
	f.note(encode(file.Path), &b)
	return nil
}

// known is what a listing told of a blob; one without an ETag is not there.
func (f *folder) known(ctx context.Context, encoded string) (*blob.Blob, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.there == nil {
		if err := f.look(ctx); err != nil {
			return nil, err
		}
	}
	b := f.there[encoded]
	return &b, nil
}

// look lists everything anew. The caller holds mu.
func (f *folder) look(ctx context.Context) error {
	there := map[string]blob.Blob{}
	for _, top := range f.tops {
		err := f.store.each(ctx, f.below+"/"+top, func(b blob.Blob) {
			there[strings.TrimPrefix(b.Name, f.below+"/")] = b
		})
		if err != nil {
			return err
		}
	}
	f.there = there
	return nil
}

// note remembers what became of a blob; nil: it is gone.
func (f *folder) note(encoded string, b *blob.Blob) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.there == nil:
	case b == nil:
		delete(f.there, encoded)
	default:
		f.there[encoded] = *b
	}
}

// Mkdir stores a mark.
func (f *folder) Mkdir(ctx context.Context, name string) error {
	if err := f.check(name); err != nil {
		return err
	}
	return f.small(ctx, encode(name)+"/"+marker, artifact.File{Mode: defaultMode}, "")
}

// Link stores where it leads.
func (f *folder) Link(ctx context.Context, name, target string) error {
	if err := f.check(name); err != nil {
		return err
	}
	if artifact.LeadsOut(name, target) {
		return &artifact.LinkError{Name: name, Target: target}
	}
	return f.small(ctx, encode(name), artifact.File{Mode: defaultMode, Link: target}, target)
}

// small stores what stands for something that is no file.
func (f *folder) small(ctx context.Context, encoded string, file artifact.File, content string) error {
	defer f.store.alone(f.below + "/" + encoded)()
	c, err := f.store.blobs(ctx)
	if err != nil {
		return err
	}
	known, err := f.known(ctx, encoded)
	if err != nil {
		return err
	}
	half, err := os.CreateTemp("", "runner-link-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(half.Name()) }() // in the system's temporary directory
	_, err = half.WriteString(content)
	if err := errors.Join(err, half.Close()); err != nil {
		return err
	}
	b, err := c.Upload(ctx, blob.Upload{From: half.Name(), Name: f.below + "/" + encoded, Metadata: metadata(file), Known: known})
	if err != nil {
		return f.store.failure(err)
	}
	f.note(encoded, &b)
	return nil
}

// Settle drops what is spooled: all that was put is in the store.
func (f *folder) Settle(context.Context) error {
	if err := os.RemoveAll(f.dir); err != nil {
		return fmt.Errorf("remove what was spooled: %w", err)
	}
	for at := filepath.Dir(f.dir); at != filepath.Dir(f.store.spool); at = filepath.Dir(at) {
		_ = os.Remove(at) // only if it is empty
	}
	return nil
}

// List gives everything.
func (f *folder) List(ctx context.Context) ([]artifact.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.look(ctx); err != nil {
		return nil, err
	}
	full := map[string]bool{} // directories that something is in
	var files, empty []artifact.File
	for encoded, b := range f.there {
		name := decode(encoded)
		if dir, ok := strings.CutSuffix(encoded, "/"+marker); ok {
			name = decode(dir)
			empty = append(empty, artifact.File{Path: name, Mode: fs.ModeDir | 0o755, Dir: true})
		} else if name == hidden {
			continue
		} else {
			files = append(files, fileOf(name, b))
		}
		for at := path.Dir(name); at != "."; at = path.Dir(at) {
			full[at] = true
		}
	}
	for _, dir := range empty {
		if !full[dir.Path] {
			files = append(files, dir)
		}
	}
	slices.SortFunc(files, func(a, b artifact.File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

// hidden is the log's index, which is ours.
const hidden = "logs/std_log.idx"

// Stat tells of one thing, as far as a listing told it.
func (f *folder) Stat(ctx context.Context, name string) (artifact.File, error) {
	if err := f.check(name); err != nil {
		return artifact.File{}, err
	}
	b, err := f.known(ctx, encode(name))
	if err != nil {
		return artifact.File{}, err
	}
	if b.ETag != "" {
		return fileOf(name, *b), nil
	}
	if b, err := f.known(ctx, encode(name)+"/"+marker); err != nil || b.ETag != "" {
		return artifact.File{Path: name, Mode: fs.ModeDir | 0o755, Dir: true}, err
	}
	return artifact.File{}, fmt.Errorf("artifact %q: %w", name, fs.ErrNotExist)
}

// Remove removes one thing.
func (f *folder) Remove(ctx context.Context, name string) error {
	if err := f.check(name); err != nil {
		return err
	}
	defer f.store.alone(f.full(name))()
	c, err := f.store.blobs(ctx)
	if err != nil {
		return err
	}
	for _, encoded := range []string{encode(name), encode(name) + "/" + marker} {
		if err := c.Delete(ctx, f.below+"/"+encoded); err != nil {
			return f.store.failure(err)
		}
		f.note(encoded, nil)
	}
	return nil
}

// Digest is what the blob's metadata tell, or else what is in it.
func (f *folder) Digest(ctx context.Context, name string) ([]byte, error) {
	r, err := f.open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // only read
	if r.file.Digest != nil {
		return bytes.Clone(r.file.Digest), nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return nil, err
	}
	return sum.Sum(nil), nil
}
