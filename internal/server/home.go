package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Home is a RUNNER_HOME: the directory with everything that an agent keeps.
type Home string

// Socket is where its agent listens.
func (h Home) Socket() string { return filepath.Join(string(h), "agent.sock") }

// LogFile is what its agent logs.
func (h Home) LogFile() string { return filepath.Join(string(h), "agent.log") }

func (h Home) lockFile() string { return filepath.Join(string(h), "agent.lock") }

// Make makes the directory, for its owner alone. One that is there is closed to
// others when it is ours; one that everybody may write to, like /tmp, stays as
// it is.
func (h Home) Make() error {
	const private = 0o700
	if err := os.MkdirAll(string(h), private); err != nil {
		return fmt.Errorf("make RUNNER_HOME: %w", err)
	}
	info, err := os.Stat(string(h))
	if err != nil {
		return fmt.Errorf("make RUNNER_HOME: %w", err)
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	ours := known && int(owner.Uid) == os.Geteuid() && info.Mode()&os.ModeSticky == 0
	if !ours || info.Mode().Perm()&^private == 0 {
		return nil
	}
	if err := os.Chmod(string(h), private); err != nil {
		return fmt.Errorf("close RUNNER_HOME to others: %w", err)
	}
	return nil
}

// maxSocketPath is what the kernel takes as the path of a socket, with room
// for the shorter limit of darwin.
const maxSocketPath = 100

// within calls f with a path of the socket that is short enough for the
// kernel: a long one goes through the descriptor of its directory.
func (h Home) within(f func(path string) error) error {
	if len(h.Socket()) <= maxSocketPath {
		return f(h.Socket())
	}
	dir, err := os.Open(string(h))
	if err != nil {
		return err
	}
	defer dir.Close()
	short := filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())))
	if _, err := os.Stat(short); err != nil {
		return fmt.Errorf("the path of the socket is too long for this system: %s", h.Socket())
	}
	return f(filepath.Join(short, filepath.Base(h.Socket())))
}

// Dial connects to the agent.
func (h Home) Dial(ctx context.Context) (conn net.Conn, err error) {
	err = h.within(func(path string) error {
		conn, err = new(net.Dialer).DialContext(ctx, "unix", path)
		return err
	})
	return conn, err
}

// listen opens the socket, mode 0600. The caller holds the home's lock.
func (h Home) listen() (net.Listener, error) {
	if err := removeSocket(h.Socket()); err != nil {
		return nil, err
	}
	var socket *net.UnixListener
	err := h.within(func(path string) error {
		var err error
		socket, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return err
		}
		socket.SetUnlinkOnClose(false) // its short name may be gone by then
		return os.Chmod(h.Socket(), 0o600)
	})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", h.Socket(), err)
	}
	return &socketListener{UnixListener: socket, path: h.Socket()}, nil
}

// socketListener removes its socket when it closes.
type socketListener struct {
	*net.UnixListener
	path string
}

func (l *socketListener) Close() error {
	return errors.Join(removeSocket(l.path), l.UnixListener.Close())
}
