package testenv

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// For is a socket of the engine that an account may use, as a member of the group docker may. It is where Docker
// Desktop has it, in the account's home, and lasts as long as the test.
func (e Engine) For(t testing.TB, account SSHAccount) (socket string) {
	t.Helper()
	socket = filepath.Join(account.Home, ".docker/run/docker.sock")
	listener, err := listenFor(account, socket)
	if err != nil {
		t.Fatalf("testenv: a socket for %s: %v", account.Name, err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var working sync.WaitGroup
	working.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			working.Go(func() { passOn(ctx, conn, strings.TrimPrefix(e.Host, "unix://")) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		cancel()
		working.Wait()
	})
	return socket
}

// listenFor makes a socket that is an account's own, with its directories.
func listenFor(account SSHAccount, socket string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	for path := socket; path != account.Home; path = filepath.Dir(path) {
		err = errors.Join(err, os.Chown(path, account.UID, -1))
	}
	return listener, err
}

// passOn carries a connection to another socket and back.
func passOn(ctx context.Context, conn net.Conn, to string) {
	defer func() { _ = conn.Close() }()
	up, err := net.Dial("unix", to)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	stop := context.AfterFunc(ctx, func() { _, _ = conn.Close(), up.Close() })
	defer stop()
	var both sync.WaitGroup
	carry := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		if half, ok := to.(*net.UnixConn); ok {
			_ = half.CloseWrite()
		}
	}
	both.Go(func() { carry(up, conn) })
	both.Go(func() { carry(conn, up) })
	both.Wait()
}
