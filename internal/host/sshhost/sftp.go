package sshhost

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// fileSession is the SFTP session of a connection, begun when the first file
// is asked for. Where there can be none, a shell serves.
type fileSession struct {
	mu      sync.Mutex
	none    bool
	broken  int // sessions that ended by themselves
	client  *sftp.Client
	session *session
}

// maxBroken sessions are enough to do without.
const maxBroken = 3

// transport is the way to the files of a connection.
func (f *fileSession) transport(ctx context.Context, c *conn) (transport, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.client != nil {
		return &sftpFiles{client: f.client, conn: c}, nil
	}
	if f.none || c.slots.all.few() {
		return shellFiles{c}, nil
	}
	client, s, err := c.sftp(ctx)
	switch {
	case err == nil:
		f.client, f.session = client, s
		return &sftpFiles{client: client, conn: c}, nil
	case ctx.Err() != nil, !c.lives(), errors.Is(err, errFull):
		return nil, err
	}
	f.none = true
	c.log.Debug("no SFTP, a shell serves for files", "address", c.address, "error", err)
	return shellFiles{c}, nil
}

// ready says whether files need no session more.
func (f *fileSession) ready() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.client != nil
}

// drop gives up SFTP so that commands can have its session. What is under way
// in it is repeated by a shell.
func (f *fileSession) drop() {
	if !f.mu.TryLock() {
		return // it is just being opened, and will be refused
	}
	defer f.mu.Unlock()
	f.none = true
	f.end()
}

// gone says that the SFTP session of a living connection ended.
func (f *fileSession) gone(client *sftp.Client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.client != client {
		return
	}
	f.broken++
	f.none = f.broken >= maxBroken
	f.end()
}

func (f *fileSession) end() {
	if f.client != nil {
		f.session.close()
		f.client, f.session = nil, nil
	}
}

// errNoSFTP is a server without that subsystem.
var errNoSFTP = errors.New("the server has no SFTP subsystem")

// sftp begins an SFTP session.
func (c *conn) sftp(ctx context.Context) (*sftp.Client, *session, error) {
	s, err := c.session(ctx)
	if err != nil {
		return nil, nil, err
	}
	type begun struct {
		client *sftp.Client
		err    error
	}
	got := make(chan begun, 1)
	c.tasks.Go(func() {
		ok, err := s.ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"}))
		if err != nil || !ok {
			got <- begun{err: errors.Join(errNoSFTP, err)}
			return
		}
		client, err := sftp.NewClientPipe(s.ch, s.ch, sftp.UseConcurrentWrites(true))
		got <- begun{client, err}
	})
	ctx, cancel := context.WithTimeoutCause(ctx, defaultDialTimeout, errSilent)
	defer cancel()
	select {
	case b := <-got:
		if b.err == nil {
			c.tasks.Go(func() { _, _ = io.Copy(io.Discard, s.ch.Stderr()) }) // else the window fills
			return b.client, s, nil
		}
		s.close()
		if !c.lives() {
			b.err = c.lost(false, b.err)
		}
		return nil, nil, b.err
	case <-ctx.Done(): // the login shell said something that is not SFTP, and waits
		s.close()
		return nil, nil, context.Cause(ctx)
	}
}

// sftpFiles are a host's files over SFTP.
type sftpFiles struct {
	client *sftp.Client
	conn   *conn
}

// within does f, which knows no context, until ctx ends.
func within[T any](ctx context.Context, s *sftpFiles, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	got := make(chan result, 1)
	s.conn.tasks.Go(func() {
		v, err := f()
		got <- result{v, err}
	})
	var none T
	select {
	case r := <-got:
		return r.value, s.meaning(r.err)
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// meaning tells the session's end from an answer.
func (s *sftpFiles) meaning(err error) error {
	var status *sftp.StatusError
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return err
	case errors.As(err, &status) && status.FxCode() != sftp.ErrSSHFxConnectionLost && status.FxCode() != sftp.ErrSSHFxNoConnection:
		return err
	case !s.conn.lives():
		return s.conn.lost(true, err)
	case errors.Is(err, sftp.ErrSSHFxConnectionLost), errors.Is(err, sftp.ErrSSHFxNoConnection), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		s.conn.files.gone(s.client)
		return s.conn.lost(true, err)
	}
	return err
}

func (s *sftpFiles) stat(ctx context.Context, name string, follow bool) (fs.FileInfo, error) {
	return within(ctx, s, func() (fs.FileInfo, error) {
		if follow {
			return s.client.Stat(name)
		}
		return s.client.Lstat(name)
	})
}

func (s *sftpFiles) readDir(ctx context.Context, name string) ([]fs.DirEntry, error) {
	infos, err := within(ctx, s, func() ([]fs.FileInfo, error) { return s.client.ReadDir(name) })
	return entriesOf(infos), err
}

// entriesOf sorts by name.
func entriesOf(infos []fs.FileInfo) []fs.DirEntry {
	entries := make([]fs.DirEntry, 0, len(infos))
	for _, i := range infos {
		entries = append(entries, fs.FileInfoToDirEntry(i))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return entries
}

func (s *sftpFiles) readlink(ctx context.Context, name string) (string, error) {
	return within(ctx, s, func() (string, error) { return s.client.ReadLink(name) })
}

func (s *sftpFiles) read(ctx context.Context, name string, offset int64, n int) ([]byte, error) {
	return within(ctx, s, func() ([]byte, error) {
		f, err := s.client.Open(name)
		if err != nil {
			return nil, err
		}
		buf := make([]byte, n)
		got, err := f.ReadAt(buf, offset)
		_ = f.Close() // only read
		if errors.Is(err, io.EOF) && s.conn.lives() {
			err = nil
		}
		return buf[:got], err
	})
}

func (s *sftpFiles) put(ctx context.Context, name, temporary string, data []byte, mode fs.FileMode) error {
	_, err := within(ctx, s, func() (struct{}, error) {
		err := s.putNow(name, temporary, data, mode)
		var status *sftp.StatusError
		if errors.As(err, &status) && status.FxCode() == sftp.ErrSSHFxFailure {
			if vfs, statErr := s.client.StatVFS(path.Dir(name)); statErr == nil && vfs.FreeSpace() < uint64(len(data)) {
				err = fmt.Errorf("%w (%w)", syscall.ENOSPC, err)
			}
		}
		return struct{}{}, err
	})
	return err
}

func (s *sftpFiles) putNow(name, temporary string, data []byte, mode fs.FileMode) (err error) {
	f, err := s.client.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()                  // already failing
			_ = s.client.Remove(temporary) // nothing half-done stays
		}
	}()
	if err := f.Chmod(0o600); err != nil { // before there is anything to read
		return err
	}
	if len(data) > 0 {
		if _, err := f.ReadFromWithConcurrency(bytes.NewReader(data), writesInFlight); err != nil {
			return err
		}
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if _, ok := s.client.HasExtension("fsync@openssh.com"); ok {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	return s.replace(temporary, name)
}

func (s *sftpFiles) rename(ctx context.Context, from, to string) error {
	if _, ok := s.client.HasExtension("posix-rename@openssh.com"); !ok {
		return shellFiles{s.conn}.rename(ctx, from, to)
	}
	_, err := within(ctx, s, func() (struct{}, error) { return struct{}{}, s.client.PosixRename(from, to) })
	return err
}

// replace renames over what is there.
func (s *sftpFiles) replace(from, to string) error {
	if _, ok := s.client.HasExtension("posix-rename@openssh.com"); ok {
		return s.client.PosixRename(from, to)
	}
	return shellFiles{s.conn}.rename(context.Background(), from, to)
}
