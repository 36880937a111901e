package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/blob"
)

// Store is one container, or what is below a path in it.
type Store struct {
	name  string
	open  func(context.Context) (*blob.Container, error)
	spool string

	mu        sync.Mutex
	container *blob.Container
	// busy are names that are being stored, one Put after the other.
	busy map[string]*busyName
}

type busyName struct {
	mu    sync.Mutex
	users int
}

var _ artifact.Store = (*Store)(nil)

// New is the store called name, for messages. open gives the container; it is
// called when it is needed, and again as long as it fails. spool is a directory
// of this computer.
func New(name string, open func(context.Context) (*blob.Container, error), spool string) *Store {
	return &Store{name: name, open: open, spool: spool, busy: map[string]*busyName{}}
}

// Close ends idle connections.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.container != nil {
		s.container.Close()
	}
	return nil
}

func (s *Store) blobs(ctx context.Context) (*blob.Container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.container == nil {
		c, err := s.open(ctx)
		if err != nil {
			return nil, &artifact.UnavailableError{Store: s.name, Lasting: true, Advice: hintOf(err), Err: err}
		}
		s.container = c
	}
	return s.container, nil
}

// hintOf is what a person can do about what keeps a container from being opened.
func hintOf(err error) string {
	if e, ok := errors.AsType[*blob.CredentialError](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*blob.LocationError](err); ok {
		return e.Hint
	}
	return ""
}

// Attempt is the folder of one attempt.
func (s *Store) Attempt(run string, number int) artifact.Folder {
	dir := filepath.Join(s.spool, run, "attempts", strconv.Itoa(number))
	return &folder{
		store: s, below: run + "/attempts/" + strconv.Itoa(number), tops: []string{"outputs", "logs"}, spool: artifact.OpenDirectory(dir), dir: dir,
	}
}

// Checkpoint is the folder of a run's checkpoint directory.
func (s *Store) Checkpoint(run string) artifact.Folder {
	dir := filepath.Join(s.spool, run, "checkpoints")
	return &folder{store: s, below: run, tops: []string{"checkpoint"}, spool: artifact.OpenCheckpoint(dir), dir: dir}
}

// Check says whether the store can be used: nil, or why not.
func (s *Store) Check(ctx context.Context) error {
	c, err := s.blobs(ctx)
	if err != nil {
		return err
	}
	return s.failure(c.Check(ctx))
}

// Runs names the runs of which there is something. It looks at all there is.
func (s *Store) Runs(ctx context.Context) ([]string, error) {
	var runs []string
	err := s.each(ctx, "", func(b blob.Blob) {
		run, _, ok := strings.Cut(b.Name, "/")
		if ok && (len(runs) == 0 || runs[len(runs)-1] != run) { // they come sorted
			runs = append(runs, run)
		}
	})
	return runs, err
}

// Size of all blobs of a run.
func (s *Store) Size(ctx context.Context, run string) (total int64, err error) {
	if err := checkRun(run); err != nil {
		return 0, err
	}
	err = s.each(ctx, run, func(b blob.Blob) { total += b.Size })
	return total, err
}

// deletedAtOnce is how many blobs are deleted at the same time.
const deletedAtOnce = 16

// Delete removes all blobs of a run, and what is spooled of it.
func (s *Store) Delete(ctx context.Context, run string) error {
	if err := checkRun(run); err != nil {
		return err
	}
	var names []string
	if err := s.each(ctx, run, func(b blob.Blob) { names = append(names, b.Name) }); err != nil {
		return err
	}
	c, err := s.blobs(ctx)
	if err != nil {
		return err
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(deletedAtOnce)
	for _, name := range names {
		group.Go(func() error { return c.Delete(within, name) })
	}
	if err := group.Wait(); err != nil {
		return s.failure(err)
	}
	if err := os.RemoveAll(filepath.Join(s.spool, run)); err != nil {
		return fmt.Errorf("remove what was spooled of run %s: %w", run, err)
	}
	_ = os.Remove(s.spool) // if it is empty
	return nil
}

func checkRun(run string) error {
	if run == "" || !filepath.IsLocal(run) || filepath.Base(run) != run {
		return &artifact.NameError{Name: run}
	}
	return nil
}

// each calls f for all blobs below a name.
func (s *Store) each(ctx context.Context, below string, f func(blob.Blob)) error {
	c, err := s.blobs(ctx)
	if err != nil {
		return err
	}
	for b, err := range c.List(ctx, below) {
		if err != nil {
			return s.failure(err)
		}
		f(b)
	}
	return nil
}

// failure says what an error of the container means to whoever uses the store.
func (s *Store) failure(err error) error {
	e, ok := errors.AsType[*blob.Error](err)
	switch {
	case !ok:
		return err // nil, or the end of a context
	case e.Problem == blob.NotFound:
		return fmt.Errorf("%w: %s", fs.ErrNotExist, e.Where)
	case e.Problem == blob.Changed:
		return fmt.Errorf("%w: %w", artifact.ErrChanged, err)
	case e.Problem == blob.Local:
		return err
	case e.Problem == blob.WrongKey, e.Problem == blob.Expired, e.Problem == blob.NoIdentity:
		s.mu.Lock()
		s.container = nil // a right that is renewed counts at once
		s.mu.Unlock()
		fallthrough
	default:
		return &artifact.UnavailableError{Store: s.name, Lasting: !e.Temporary, Advice: e.Hint, Err: err}
	}
}

// alone lets one at a time store a name.
func (s *Store) alone(name string) (done func()) {
	s.mu.Lock()
	b := s.busy[name]
	if b == nil {
		b = &busyName{}
		s.busy[name] = b
	}
	b.users++
	s.mu.Unlock()
	b.mu.Lock()
	return func() {
		b.mu.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		if b.users--; b.users == 0 {
			delete(s.busy, name)
		}
	}
}
